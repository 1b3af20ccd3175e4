import json

import numpy as np
import pytest

from embedlab.errors import UserError
from embedlab.formats import calibrations
from embedlab.formats.calibrations import Calibration

NATIVE = Calibration("m", "p", 20.0, -6.0, (-1.0, 0.2, 0.5), (-4.0, 0.0, 5.0))
SMALL = Calibration("m", "p@32", 10.0, -4.0, (-1.0,), (0.0,))


def test_what_was_written_is_read(tmp_path):
    path = tmp_path / "cal.json"
    calibrations.write(path, [NATIVE, SMALL])
    assert calibrations.read(path) == NATIVE
    assert calibrations.read(str(path), probe="p@32") == SMALL
    assert json.loads(path.read_text())["score"] == "cosine"
    with pytest.raises(UserError, match="no calibration of p@16 in any model: it has p in m, p@32 in m"):
        calibrations.read(path, probe="p@16")


def test_a_score_becomes_a_ratio_and_with_a_prior_a_probability():
    assert NATIVE.llr(0.5) == pytest.approx(4)
    assert NATIVE.llr([0.19, 0.2, 0.9, -2], "isotonic").tolist() == [-4, 0, 5, -4]
    even = np.exp(4) / (1 + np.exp(4))
    assert NATIVE.probability(0.5) == pytest.approx(even)
    odds = np.exp(4) * 0.001 / 0.999
    assert NATIVE.probability(np.array([0.5]), prior=0.001) == pytest.approx([odds / (1 + odds)])
    assert NATIVE.probability(0.2, kind="isotonic") == 0.5
    for prior in (0.0, 1.0, -1.0):
        with pytest.raises(UserError, match="leaves nothing to find: give one between 0 and 1"):
            NATIVE.probability(0.5, prior)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", "nan", '{"schema": 1}', '{"schema": 1, "calibrations": [1]}', "[" * 100_000,
     '{"schema": 1, "calibrations": [{"model": "m"}]}'],
)  # fmt: skip
def test_what_is_no_calibration_is_told(tmp_path, text):
    path = tmp_path / "cal.json"
    path.write_text(text)
    with pytest.raises(
        UserError, match="is no calibration: give what `embedlab run calibration --save` wrote"
    ):
        calibrations.read(path)


def test_another_schema_and_broken_steps_are_told(tmp_path):
    path = tmp_path / "cal.json"
    calibrations.write(path, [NATIVE])
    whole = json.loads(path.read_text())
    path.write_text(json.dumps(whole | {"schema": 7}))
    with pytest.raises(UserError, match="has schema 7, not 1: save it again"):
        calibrations.read(path)
    whole["calibrations"][0]["steps"] = [1.0]
    path.write_text(json.dumps(whole))
    with pytest.raises(UserError, match="its steps are not whole; save it again"):
        calibrations.read(path)
    with pytest.raises(UserError, match="cannot read the calibration"):
        calibrations.read(tmp_path / "none.json")
