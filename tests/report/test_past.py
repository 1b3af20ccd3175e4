"""Reports are read again as they were written, and nothing else is taken for one."""

import json
from pathlib import Path

import numpy as np
import pytest

from embedlab.errors import UserError
from embedlab.report import numbers, past
from tests.report.reports import written


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    return written(tmp_path_factory.mktemp("report") / "report.json", {"aster": 0.5})


def damaged(tmp_path, report, change):
    found = json.loads(report.read_text())
    change(found)
    path = tmp_path / "report.json"
    path.write_text(json.dumps(found))
    return path


def first(found):
    return found["sections"][0]["estimates"][0]


def test_estimates_are_read_with_their_draws(report):
    found = past.read(report)
    key = past.Key("verification", ("aster",), ("p",), "EER", ())
    raw = {row["what"]: row for row in json.loads(report.read_text())["sections"][0]["estimates"]}["EER"]
    one = found.estimates[key]
    assert (one.value, one.low, one.high, one.n) == (raw["value"], raw["low"], raw["high"], raw["n"])
    assert len(one.draws) == 200
    assert np.std(one.draws) > 0
    assert one.is_paired(one)
    assert past.read(report.parent).estimates.keys() == found.estimates.keys()


def test_draws_are_packed_and_unpacked():
    draws = np.array([0.25, np.nan, 1e-30, -7], np.float32)
    assert np.array_equal(numbers.unpacked(numbers.packed(draws)), draws, equal_nan=True)
    assert len(numbers.unpacked(numbers.packed(np.zeros(0)))) == 0


@pytest.mark.parametrize("text", ["", "!!", "eJw=", numbers.packed(np.ones(9))[:-8], "eNpjYAAAAAEAAQ==x"])
def test_what_are_no_draws_is_refused(text):
    with pytest.raises(ValueError, match="draws"):
        numbers.unpacked(text)


def test_a_bomb_of_draws_is_refused(monkeypatch):
    monkeypatch.setattr(numbers, "LONGEST", 1000)
    with pytest.raises(ValueError, match="too many"):
        numbers.unpacked(numbers.packed(np.zeros(1001)))


def test_models_can_be_called_otherwise(report):
    found = past.read(report).renamed({"aster": "birch"})
    assert found.models == ["birch"]
    assert {model for model, _ in found.members} == {"birch"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "no JSON"),
        ("[]", "no report's"),
        ('{"schema": 2}', "no report's"),
        ("[" * 100_000, "no JSON"),
        ('{"schema": 999, "sections": []}', "schema '999'"),
        (f'{{"schema": {numbers.SCHEMA}, "sections": [], "unfinished": true}}', "unfinished"),
        (f'{{"schema": {numbers.SCHEMA}, "sections": 3}}', "damaged"),
        (f'{{"schema": {numbers.SCHEMA}, "sections": [3]}}', "damaged"),
    ],
)
def test_what_is_no_report_is_told_in_a_line(tmp_path, text, said):
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(UserError, match=said):
        past.read(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda found: first(found).pop("value"),
        lambda found: first(found).update(value="much"),
        lambda found: first(found).update(where=[3]),
        lambda found: first(found).update(draws="?"),
        lambda found: first(found).update(models=None),
        lambda found: first(found).update(n=None),
        lambda found: found["sets"].append({}),
        lambda found: found.update(answers=[{}]),
        lambda found: found.update(answers=3),
        lambda found: found["sections"][0].update(params=3),
    ],
)
def test_what_is_damaged_is_told_in_a_line(tmp_path, report, change):
    with pytest.raises(UserError, match="damaged"):
        past.read(damaged(tmp_path, report, change))


def test_a_file_that_is_not_there_is_told():
    with pytest.raises(UserError, match="cannot read the report"):
        past.read(Path("nowhere/report.json"))
