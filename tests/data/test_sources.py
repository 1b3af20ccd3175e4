"""Whatever holds images is opened by what it is."""

import io

import numpy as np
import pytest
from PIL import Image

from embedlab import progress
from embedlab.data import packed, recorded, sources
from embedlab.data.datasets import open_dataset
from embedlab.errors import UserError


@pytest.fixture
def folder(tmp_path):
    draw = np.random.default_rng(0)
    for person in "ab":
        for image in "12":
            path = tmp_path / "faces" / person / f"{image}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(draw.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(path)
    return tmp_path / "faces"


@pytest.fixture
def every(folder, tmp_path):
    """The same four images as folder, index file, pack and .rec."""
    dataset = open_dataset(folder)
    index = tmp_path / "faces_ids.txt"
    index.write_text("".join(f"faces/{item} {item[0]}\n" for item in dataset.items))
    recorded.write_rec(dataset, tmp_path / "faces.rec")
    return {
        "folder": folder,
        "index": index,
        "pack": packed.pack(dataset, tmp_path / "faces.pack").root,
        "rec": tmp_path / "faces.rec",
    }


@pytest.mark.parametrize("kind", ["folder", "index", "pack", "rec"])
def test_the_same_images_come_out_of_each(every, folder, kind):
    expected, found = open_dataset(folder), sources.open_source(every[kind], "mine")
    assert (found.name, len(found), len(found.identities)) == ("mine", 4, 2)
    assert found.labels.tolist() == expected.labels.tolist()
    for i in range(4):
        np.testing.assert_array_equal(found.image(i), expected.image(i))


@pytest.mark.parametrize("kind", ["folder", "index", "pack", "rec"])
def test_each_is_found_by_its_name_in_a_folder(every, tmp_path, kind):
    place = tmp_path / "elsewhere"
    place.mkdir()
    for path in (every[kind], *([every["rec"].with_suffix(".idx")] if kind == "rec" else [])):
        path.rename(place / path.name)
    if kind == "index":
        folder = every["folder"]
        folder.rename(place / folder.name)
    found = sources.find(place, "faces")
    assert found is not None
    assert (found.name, len(found)) == ("faces", 4)
    assert sources.find(place, "others") is None


def test_one_data_set_is_told_from_a_folder_of_several(every, tmp_path):
    assert all(sources.is_dataset(path) for path in every.values())
    (tmp_path / "nothing").mkdir()
    assert not sources.is_dataset(tmp_path / "nothing")


def test_files_that_were_passed_over_are_counted(folder):
    (folder / "a" / "notes.txt").write_text("hello")
    said = io.StringIO()
    with progress.shown(said):
        sources.open_source(folder)
    assert "1 files of" in said.getvalue()


def test_what_is_nothing_is_refused(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        sources.open_source(tmp_path / "no")
