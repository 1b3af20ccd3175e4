"""Whatever holds images is opened by what it is."""

import io

import numpy as np
import pytest
from PIL import Image

from embedlab import progress
from embedlab.data import packed, recorded, recordio, sources
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


# Folders that hold one file of images


@pytest.fixture
def bin_file(folder, tmp_path):
    from embedlab.data import binned, split

    dataset = open_dataset(folder)
    binned.write_bin(dataset, split.draw_pairs(dataset), tmp_path / "lfw.bin")
    return tmp_path / "lfw.bin"


def told(work):
    heard = io.StringIO()
    with progress.shown(heard):
        found = work()
    return found, heard.getvalue()


def moved(place, *paths):
    place.mkdir()
    for path in paths:
        path.rename(place / path.name)
    return place


def test_the_folder_of_a_train_rec_is_opened_as_it(folder, bin_file, tmp_path):
    place = tmp_path / "emore"
    recorded.write_rec(open_dataset(folder), place)
    assert {"train.rec", "train.idx", "property"} <= {path.name for path in place.iterdir()}
    # As InsightFace hands them out, with the files of validation beside it.
    bin_file.rename(place / "lfw.bin")
    found, heard = told(lambda: sources.open_source(place))
    assert (type(found), found.name, len(found)) == (recorded.RecDataset, "emore", 4)
    assert f"{place}: opened as its train.rec" in heard
    assert sources.is_dataset(place)
    np.testing.assert_array_equal(found.image(0), open_dataset(folder).image(0))


def test_the_index_of_a_rec_is_opened_as_the_rec(every):
    assert len(sources.open_source(every["rec"].with_suffix(".idx"))) == 4


@pytest.mark.parametrize("kind", ["pack", "rec", "bin"])
def test_a_folder_of_one_pack_or_file_is_opened_as_it(every, bin_file, tmp_path, kind):
    path = bin_file if kind == "bin" else every[kind]
    beside = [path.with_suffix(".idx")] if kind == "rec" else []
    found, heard = told(lambda: sources.open_source(moved(tmp_path / "place", path, *beside)))
    assert len(found) == 4
    assert f"opened as its {path.name}" in heard
    assert ("name that file itself to have its pairs too" in heard) == (kind == "bin")


def test_a_folder_of_several_is_refused_and_they_are_named(every, bin_file, tmp_path):
    place = moved(tmp_path / "place", every["pack"], bin_file)
    with pytest.raises(UserError, match=r"no images in folders of people, but faces.pack, lfw.bin: give one"):
        sources.open_source(place)
    assert not sources.is_dataset(place)


def test_people_go_before_files_in_the_same_folder(folder, bin_file):
    bin_file.rename(folder / "lfw.bin")
    found, heard = told(lambda: sources.open_source(folder))
    assert found.items == ("a/1.png", "a/2.png", "b/1.png", "b/2.png")
    assert "1 files of" in heard


def test_a_pipe_is_no_source_whatever_it_is_called(tmp_path):
    import os

    for name in ("x", "x.bin", "x.rec", "x_ids.txt"):
        os.mkfifo(tmp_path / name)
        with pytest.raises(UserError, match="neither a file nor a folder"):
            sources.open_source(tmp_path / name)


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "loop", "file/within"])
def test_paths_that_lead_nowhere_are_one_line(tmp_path, name):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UserError, match="cannot open|does not exist") as caught:
        sources.open_source(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_folder_that_may_not_be_entered_is_one_line(tmp_path, monkeypatch):
    def refused(self, **_):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(type(tmp_path), "stat", refused)
    with pytest.raises(UserError, match="cannot open .*: Permission denied: name a folder of people"):
        sources.open_source(tmp_path)


def test_a_list_of_images_may_be_called_idx(every):
    path = every["index"].rename(every["index"].with_name("some.idx"))
    assert len(sources.open_source(path)) == 4


def test_what_a_reader_left_out_is_said_once(folder):
    (folder / "@eaDir" / "a").mkdir(parents=True)
    (folder / "a" / "loop").symlink_to(folder / "a" / "loop")
    _, heard = told(lambda: sources.open_source(folder))
    assert heard.count("folders that programs made were passed over: @eaDir (1 in all)") == 1
    assert heard.count("a/loop (1 in all): no file or folder") == 1


# One way of turning


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_pictures_are_turned_alike_wherever_they_lie(tmp_path, format):
    """In folders, packs, .rec and .bin files, and once they are aligned: the red corner is top left."""
    from embedlab.data import alignment, binned
    from embedlab.formats import insightface_bin as bins

    upright = np.zeros((32, 32, 3), np.uint8)
    upright[:16, :16, 0], upright[16:, :, 2] = 255, 255
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = Image.fromarray(upright).transpose(Image.Transpose.ROTATE_90)
    root = tmp_path / "faces"
    contents = []
    for person in "ab":
        for k in range(2):
            path = root / person / f"{k}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            shade = Image.fromarray(np.minimum(np.asarray(stored), 255 - 20 * (k + 2 * (person == "b"))))
            shade.save(path, format, exif=exif)
            contents.append(path.read_bytes())
    dataset = open_dataset(root)
    bins.write(tmp_path / "raw.bin", contents, [True, False])
    recordio.write(
        tmp_path / "raw.rec", ((k, recordio.pack(k // 3, k, data)) for k, data in enumerate(contents, 1))
    )
    sets = {
        "folder": dataset,
        "pack": packed.pack(dataset, tmp_path / "x.pack"),
        "raw bin": binned.open_bin(tmp_path / "raw.bin"),
        "raw rec": recorded.open_rec(tmp_path / "raw.rec"),
        "written rec": recorded.open_rec(recorded.write_rec(dataset, tmp_path / "out" / "x.rec").path),
        "aligned": open_dataset(alignment.align(dataset, tmp_path / "aligned", size=32, crop=True).path),
    }
    for kind, one in sets.items():
        for i in range(len(one)):
            image = one.image(i).astype(int)
            assert image[4, 4, 0] > 150, kind
            assert image[4, 27, 0] < 60, kind
            assert image[27, 4, 2] > 150, kind
