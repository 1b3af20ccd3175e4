import numpy as np
import pytest
from PIL import Image

from embedlab.data import datasets
from embedlab.data.datasets import open_dataset
from embedlab.data.pictures import SIDE, pictures_in, pictures_of


@pytest.fixture
def folder(tmp_path):
    """Two data sets with items of the same names."""
    rng = np.random.default_rng(0)
    for name in ("faces", "others"):
        for person in ("ann", "bob"):
            (tmp_path / name / person).mkdir(parents=True)
            Image.fromarray(rng.integers(0, 256, (96, 96, 3), dtype=np.uint8)).save(
                tmp_path / name / person / "1.png"
            )
    return tmp_path


@pytest.fixture
def both(folder):
    return pictures_of({name: open_dataset(folder / name) for name in ("faces", "others")})


def test_a_picture_is_small_and_that_of_its_data_set(both):
    found = both("faces", "ann/1.png")
    assert found.shape == (SIDE, SIDE, 3)
    assert found.dtype == np.uint8
    assert (found != both("others", "ann/1.png")).any()


def test_a_shrunk_probe_shows_what_the_network_saw(both):
    sharp, blurred = both("faces", "ann/1.png"), both("faces@8", "ann/1.png")
    assert blurred.shape == (SIDE, SIDE, 3)
    assert (
        np.abs(np.diff(blurred.astype(int), axis=0)).mean()
        < np.abs(np.diff(sharp.astype(int), axis=0)).mean() / 3
    )


def test_what_is_not_there_is_none(folder, both):
    (folder / "faces" / "bob" / "1.png").write_bytes(b"")
    assert both("faces", "bob/1.png") is None
    assert both("faces", "nobody.png") is None
    assert both("imported", "ann/1.png") is None
    assert both("faces@x", "ann/1.png") is None


def test_one_data_set_serves_probes_of_any_name(folder):
    alone = pictures_of({"faces": open_dataset(folder / "faces")})
    np.testing.assert_array_equal(alone("imported", "ann/1.png"), alone("faces", "ann/1.png"))


def test_a_picture_is_read_once(both, monkeypatch):
    both("faces", "ann/1.png")
    monkeypatch.setattr(datasets, "read_image", None)
    assert both("faces", "ann/1.png") is not None


def test_the_pictures_of_a_lab_are_those_of_its_indexes(folder):
    assert pictures_in(folder) is None
    (folder / "faces_ids.txt").write_text("faces/ann/1.png 0\nfaces/bob/1.png 1\n")
    assert pictures_in(folder)("faces", "bob/1.png") is not None
