"""report.json holds every number, finding, parameter and run record."""

import json

import numpy as np

from embedlab.analysis import Estimate
from embedlab.report import numbers
from embedlab.report.sections import Numbers, Section, of_outcome


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
