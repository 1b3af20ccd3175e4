"""report.json holds every number, finding, parameter and run record."""

import dataclasses
import json

import numpy as np
import pytest

from embedlab.analyses import distances
from embedlab.analysis import Estimate
from embedlab.charts import Cell, Table
from embedlab.report import numbers
from embedlab.report.sections import Numbers, Section, of_outcome
from tests.planted import embedding_set


def whole(outcome, extra=()):
    every = [of_outcome(outcome), *extra]
    provenance = {"Run": [("command", "embedlab report")]}
    return numbers.document("Cheese", ["brie"], ["as is"], every, [outcome], provenance)


def test_every_number_of_every_result_is_there_as_an_object(outcome):
    section = whole(outcome)["sections"][0]
    for result in outcome.results:
        for label, value in result.numbers().items():
            kept = section["numbers"][result.title][label]
            assert (Estimate(**kept) if isinstance(value, Estimate) else kept) == value


def test_findings_parameters_runs_and_provenance_are_there(outcome):
    document = whole(outcome)
    section = document["sections"][0]
    assert [f["tone"] for f in section["findings"]] == ["good", "bad", "plain"]
    assert section["params"] == {"holes": 7, "seed": 0}
    assert [run["title"] for run in section["runs"]] == [run.title for run in outcome.runs]
    assert section["runs"][0]["record"] == outcome.runs[0].record
    assert section["runs"][2]["reason"] == "feta has one person only"
    assert "ZeroDivisionError" in section["runs"][3]["error"]
    assert document["provenance"] == {"Run": [["command", "embedlab report"]]}


def test_it_is_valid_json_whatever_the_numbers_are(outcome):
    odd = Section(
        "odd", "?", numbers=Numbers(("a", "a"), {"x": (float("nan"), np.float32(2.5)), "y": (None, 1)})
    )
    document = whole(outcome, [odd])
    assert document["sections"][1]["numbers"] == {"a": {"x": None}, "a (2)": {"x": 2.5, "y": 1}}
    json.dumps(document, allow_nan=False)


def test_headlines_leave_out_what_another_machine_need_not_find():
    one = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 9, "null": None}
    labels = [
        "RMSE, before", "RMSE, after", "RMSE, unrelated people", "RMSE, after minus before", "TAR, unstable",
    ]  # fmt: skip
    column = {"a onto b": dict.fromkeys(labels, one) | {"images": 7}}
    document = {
        "sections": [{"name": name, "numbers": column} for name in ("registration", "mapping", "layers")]
    }
    found = {name: list(columns["a onto b"]) for name, columns in numbers.headlines(document).items()}
    assert found == {"registration": ["RMSE, before"], "mapping": labels[:-1], "layers": []}


def test_tables_keep_their_values(outcome):
    table = whole(outcome)["sections"][0]["tables"][0]
    assert table["title"] == "Rows"
    assert table["rows"][1] == ["as is in brie", 2500]
    assert table["rows"][0][1]["value"] == outcome.results[0].share.value


def test_a_cell_is_read_as_its_value_and_shown_as_its_text():
    table = Table(title="t", columns=("x", "y"), rows=((Cell(0.123456, "0.1235"), Cell(None, "–")),))
    assert table.cells() == [["0.1235", "–"]]
    section = Section("s", "?", charts=(table,))
    document = numbers.document("t", [], [], [section], [], {})
    assert document["schema"] == numbers.SCHEMA
    assert document["sections"][0]["tables"][0]["rows"] == [[0.123456, None]]


@pytest.fixture(scope="module")
def measured():
    sets = [[embedding_set(20, model=m, probe=p, seed=k) for p in ("p", "p@8")] for k, m in enumerate("ab")]
    return [distances.compute(both, distances.DistanceParams(resamples=60)) for both in sets]


def test_every_estimate_stands_there_by_result_what_and_where(measured):
    rows = {(r["result"], r["what"], *r["where"]): r for r in numbers.estimates_of(measured)}
    one = measured[1].estimates["d′", "p", "p@8"]
    found = rows["b", "d′", "p", "p@8"]
    assert [found[k] for k in ("value", "low", "high", "n", "null")] == [
        one.value, one.low, one.high, one.n, one.null,
    ]  # fmt: skip
    assert ("a", "d′, Euclidean, raw", "p") in rows
    json.dumps(list(rows.values()), allow_nan=False)


def test_differences_have_the_paired_interval(measured):
    rows = numbers.differences_of(measured)
    (models,) = [r for r in rows if r["what"] == "d′" and r["a"]["where"] == r["b"]["where"] == ("p",)]
    gap = measured[0].estimates["d′", "p"] - measured[1].estimates["d′", "p"]
    assert (models["value"], models["low"], models["high"]) == (gap.value, gap.low, gap.high)
    assert (models["a"]["result"], models["b"]["result"]) == ("a", "b")
    probes = [r for r in rows if r["what"] == "d′" and r["a"]["result"] == r["b"]["result"] == "a"]
    assert [(r["a"]["where"], r["b"]["where"]) for r in probes] == [
        (("p@8",), ("p",)),
        (("p", "p@8"), ("p",)),
    ]
    # What was never drawn has no difference.
    assert not any(r["what"] == "d′, Euclidean, raw" for r in rows)


def test_of_many_results_each_is_held_against_the_first(measured):
    many = [dataclasses.replace(measured[0], title=str(k)) for k in range(numbers.ALL_COMPARED + 2)]
    rows = [r for r in numbers.differences_of(many) if r["a"]["result"] != r["b"]["result"]]
    assert {r["a"]["result"] for r in rows} == {"0"}
    assert {r["b"]["result"] for r in rows} == {str(k) for k in range(1, len(many))}
