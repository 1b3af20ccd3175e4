import json

import pytest

from embedlab.errors import UserError
from embedlab.networks.contracts import ASSUMED, contract, model_file
from embedlab.networks.embedder import PRESETS


def test_what_is_told_goes_before_what_stands_beside_the_file_and_that_before_the_assumed(tmp_path):
    path = tmp_path / "m.onnx"
    assert contract(path, None, 112) == (PRESETS[ASSUMED].at(112), True)
    path.with_suffix(".json").write_text(json.dumps({"preprocessing": "imagenet"}))
    assert contract(path, None, 112) == (PRESETS["imagenet"].at(112), False)
    assert contract(path, "raw01", 112) == (PRESETS["raw01"].at(112), False)


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ("[" * 100_000, "cannot read .* as JSON"),
        ("{}", "states no preprocessing"),
        ('{"preprocessing": "none"}', "unknown preprocessing 'none'"),
        ('{"preprocessing": {"size": 64, "mean": [0, 0, 0], "std": [1, 1, 1]}}', "says size 64, but"),
    ],
)
def test_a_statement_that_cannot_be_used_is_one_line(tmp_path, stated, message):
    (tmp_path / "m.json").write_text(stated)
    with pytest.raises(UserError, match=message) as told:
        contract(tmp_path / "m.onnx", None, 112)
    assert "\n" not in str(told.value)


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(UserError, match="there is no model file"):
        model_file(tmp_path / "m.pth")
