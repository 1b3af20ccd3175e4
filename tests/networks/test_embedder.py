import numpy as np
import pytest

from embedlab.errors import UserError
from embedlab.networks.embedder import PRESETS, Preprocessing

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3)).astype(np.uint8)


@pytest.mark.parametrize("channels", ["RGB", "BGR"])
def test_images_become_normalised_planes_in_channel_order(channels):
    contract = Preprocessing(4, channels, mean=(1.0, 2.0, 3.0), std=(4.0, 5.0, 6.0))
    planes = contract.apply(IMAGES)
    assert planes.dtype == np.float32
    assert planes.flags["C_CONTIGUOUS"]
    for k in range(3):
        source = IMAGES[..., k if channels == "RGB" else 2 - k].astype(float)
        np.testing.assert_allclose(planes[:, k], (source - contract.mean[k]) / contract.std[k], rtol=1e-6)


def test_insightface_spans_minus_one_to_one():
    black, white = np.zeros((1, 2, 2, 3), np.uint8), np.full((1, 2, 2, 3), 255, np.uint8)
    assert PRESETS["insightface"].apply(black).max() == -1.0
    assert PRESETS["insightface"].apply(white).min() == 1.0


def test_imagenet_is_the_usual_mean_and_deviation():
    grey = PRESETS["imagenet"].apply(np.full((1, 1, 1, 3), 128, np.uint8))[0, :, 0, 0]
    expected = (128 / 255 - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
    np.testing.assert_allclose(grey, expected, rtol=1e-5)


def test_adaface_wants_blue_first():
    assert PRESETS["adaface"].channels == "BGR"


def test_a_contract_reads_back_equal():
    for contract in PRESETS.values():
        assert Preprocessing.from_json(contract.to_json(), "x") == contract
    assert PRESETS["raw01"].at(32).size == 32


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, r"m.json: preprocessing has unknown keys \[\] or lacks 'size'"),
        ({"size": 32, "men": 1}, r"unknown keys \['men'\]"),
        ({"size": "big"}, "needs a whole number 'size'"),
        ({"size": 32, "mean": [1, 2]}, "three numbers each"),
        ({"size": 32, "channels": "GBR"}, "'channels' must be RGB or BGR"),
        ({"size": 32, "interpolation": "bicubic"}, "'interpolation' bilinear"),
        ({"size": 0}, "'size' must be positive"),
        ({"size": 32, "std": [1, 0, 1]}, "'std' must not be zero"),
    ],
)
def test_a_wrong_contract_is_told(values, message):
    with pytest.raises(UserError, match=message):
        Preprocessing.from_json(values, "m.json")
