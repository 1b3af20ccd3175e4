"""A pack gives back what was put in, or says what is wrong with it."""

import errno
import json
import os
import shutil
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from embedlab import progress
from embedlab.data import packed
from embedlab.data.datasets import open_dataset
from embedlab.data.degradations import prepare, squared
from embedlab.data.packed import open_pack, pack
from embedlab.errors import UserError


def made(root: Path, shapes, people=3, seed=0):
    """Save noise of given heights and widths, image after image to person after person."""
    draw = np.random.default_rng(seed)
    for k, shape in enumerate(shapes):
        path = root / f"p{k % people}" / f"{k:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (*shape, 3), dtype=np.uint8)).save(path)
    return open_dataset(root)


@pytest.fixture
def faces(tmp_path):
    return made(tmp_path / "faces", [(36, 36)] * 7 + [(50, 60), (44, 40)] * 4)


@pytest.fixture
def folder(faces, tmp_path):
    return pack(faces, tmp_path / "faces.pack").root


def said(work):
    import io

    stream = io.StringIO()
    with progress.shown(stream):
        work()
    return stream.getvalue()


@pytest.mark.parametrize("size", [None, 40, 45, 100])
def test_every_image_comes_back_as_prepare_makes_it(faces, tmp_path, size):
    there = pack(faces, tmp_path / "faces.pack", size=size)
    assert (there.name, there.items, there.identities) == (faces.name, faces.items, faces.identities)
    np.testing.assert_array_equal(there.labels, faces.labels)
    for i in range(len(faces)):
        image = faces.image(i)
        side = min(*image.shape[:2], size or 1000)
        np.testing.assert_array_equal(there.image(i), prepare(image, None, side))
        assert there.image(i).flags.writeable
    sides = sorted({min(side, size or 1000) for side in (36, 40, 50)})
    assert [block.shape[1] for block in there.blocks] == sides
    files = {path.name for path in there.root.iterdir()}
    assert files == {*(f"{side}.npy" for side in sides), "items.parquet", "pack.json"}


def test_files_open_in_numpy_and_parquet_as_they_are(folder):
    there = open_pack(folder)
    images = np.load(folder / "36.npy")
    assert images.dtype == np.uint8
    assert images.shape == (7, 36, 36, 3)
    rows = pq.read_table(folder / "items.parquet").to_pylist()
    assert [row["item"] for row in rows] == list(there.items)
    first = next(row for row in rows if row["file"] == "36.npy" and row["row"] == 2)
    np.testing.assert_array_equal(there.image(there.items.index(first["item"])), images[2])


def test_images_stay_on_disk(folder):
    there = open_pack(folder)
    assert all(isinstance(block.base, np.memmap) and not block.flags.writeable for block in there.blocks)


def test_the_fingerprint_is_of_names_people_and_pixels(tmp_path):
    shapes = [(36, 36), (40, 40)] * 3
    first = pack(made(tmp_path / "a" / "x", shapes), tmp_path / "a.pack").fingerprint
    again = made(tmp_path / "b" / "x", shapes)
    for i in range(len(again)):
        # The same pixels, encoded otherwise.
        Image.fromarray(again.image(i)).save(again.path(i), compress_level=0)
    assert pack(again, tmp_path / "b.pack").fingerprint == first
    renamed = made(tmp_path / "f" / "x", shapes)
    renamed.path(5).rename(renamed.path(5).with_name("zzz.png"))
    other = [
        pack(open_dataset(tmp_path / "f" / "x"), tmp_path / "f.pack"),
        pack(made(tmp_path / "c" / "x", shapes, seed=1), tmp_path / "c.pack"),
        pack(made(tmp_path / "d" / "x", shapes, people=2), tmp_path / "d.pack"),
        pack(again, tmp_path / "e.pack", size=36),
    ]
    assert len({first, *(one.fingerprint for one in other)}) == 5
    assert pack(again, tmp_path / "b.pack").source == again.fingerprint


def one_pixel(folder):
    images = np.lib.format.open_memmap(folder / "36.npy", mode="r+")
    images[3, 2, 1, 0] ^= 1
    images.flush()


def other_person(folder):
    table = pq.read_table(folder / "items.parquet")
    people = table["identity"].to_pylist()
    people[0], people[-1] = people[-1], people[0]
    pq.write_table(table.set_column(1, "identity", pa.array(people)), folder / "items.parquet")


def swapped_rows(folder):
    table = pq.read_table(folder / "items.parquet")
    rows = table["row"].to_pylist()
    rows[0], rows[3] = rows[3], rows[0]
    pq.write_table(table.set_column(3, "row", pa.array(rows)), folder / "items.parquet")


def another_fingerprint(folder):
    changed(folder, fingerprint="0" * 64)


CHANGES = [one_pixel, other_person, swapped_rows, another_fingerprint]


@pytest.mark.parametrize("settled", [True, False])
@pytest.mark.parametrize("change", CHANGES)
def test_a_pack_that_was_changed_is_told_and_gives_no_old_numbers(tmp_path, monkeypatch, change, settled):
    monkeypatch.setattr(packed, "SETTLED_NS", 0 if settled else 10**18)
    faces = made(tmp_path / "faces", [(36, 36)] * 7)
    folder = pack(faces, tmp_path / "faces.pack").root
    assert open_pack(folder).fingerprint
    assert (folder / packed.CHECKED).exists() == settled
    dates = {path: path.stat() for path in folder.iterdir()}
    time.sleep(0.02)
    change(folder)
    for path, status in dates.items():
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))  # As rsync and unzip do.
    with pytest.raises(
        UserError, match=r"faces.pack was changed after it was packed.*pack the images anew"
    ) as told:
        assert open_pack(folder).fingerprint
    assert "\n" not in str(told.value)
    with pytest.raises(UserError, match="was changed after it was packed"):
        pack(faces, folder)


def test_a_pack_is_read_through_only_where_its_files_may_have_changed(folder, monkeypatch, tmp_path):
    monkeypatch.setattr(packed, "SETTLED_NS", 0)
    first = open_pack(folder).fingerprint
    read = []
    real = packed._entries
    monkeypatch.setattr(packed, "_entries", lambda there: read.append(there.root) or real(there))
    assert open_pack(folder).fingerprint == first
    assert read == []
    for spoil in ("", "{", "[" * 100_000, "{}", "\ud800"):
        (folder / packed.CHECKED).write_bytes(spoil.encode("utf-8", "surrogatepass"))
        assert open_pack(folder).fingerprint == first
        assert read.pop() == folder
    copy = shutil.copytree(folder, tmp_path / "copy.pack")
    assert open_pack(copy).fingerprint == first
    assert read.pop() == copy
    (folder / "36.npy").touch()
    assert open_pack(folder).fingerprint == first
    assert read == [folder]


def test_a_pack_in_a_place_that_cannot_be_written_is_compared_each_time(folder, monkeypatch):
    monkeypatch.setattr(packed, "SETTLED_NS", 0)

    def full(*_):
        raise UserError("cannot write")

    monkeypatch.setattr(packed, "write_json", full)
    assert open_pack(folder).fingerprint == open_pack(folder).fingerprint
    assert not (folder / packed.CHECKED).exists()


def test_unreadable_images_are_left_out_counted_and_named(faces, tmp_path):
    faces.path(3).write_bytes(b"broken")
    faces.path(5).write_bytes(b"")
    text = said(lambda: pack(faces, tmp_path / "faces.pack"))
    assert f"left out 2 unreadable images ({faces.items[3]}: no image that is read)" in text
    there = open_pack(tmp_path / "faces.pack")
    assert [one["item"] for one in there.skipped] == [faces.items[3], faces.items[5]]
    assert there.skipped[1]["reason"] == "the file is empty"
    assert there.items == tuple(item for i, item in enumerate(faces.items) if i not in (3, 5))
    np.testing.assert_array_equal(
        there.image(3), prepare(faces.image(4), None, min(faces.image(4).shape[:2]))
    )


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("size", [None, 32])
def test_images_that_are_not_square_are_fitted_as_asked_and_counted(tmp_path, fit, size):
    faces = made(tmp_path / "faces", [(112, 92)] * 4 + [(40, 60)] * 2 + [(36, 36)] * 3)
    text = said(lambda: pack(faces, tmp_path / "faces.pack", fit=fit, size=size))
    told = "6 of 9 images of faces are not square, but of 92 x 112 px (4), 60 x 40 px (2): "
    assert text.count(told) == 1
    assert ("only their central square is packed; --fit pad keeps all of it" in text) == (fit == "crop")
    there = open_pack(tmp_path / "faces.pack")
    assert there.fit == fit
    for i in range(len(faces)):
        image = faces.image(i)
        height, width = image.shape[:2]
        side = min(height, width) if fit == "crop" else max(height, width)
        whole = squared(image, fit)
        assert whole.shape == (side, side, 3)
        if fit == "pad" and height > width:
            left = (height - width) // 2
            np.testing.assert_array_equal(whole[:, left : left + width], image)
            assert (whole[:, :left] == 128).all()
            assert (whole[:, left + width :] == 128).all()
        if fit == "stretch":
            resized = Image.fromarray(image).resize((side, side), Image.Resampling.BILINEAR)
            np.testing.assert_array_equal(whole, np.asarray(resized))
        np.testing.assert_array_equal(there.image(i), prepare(whole, None, min(side, size or side)))


def test_square_images_are_packed_without_a_word(tmp_path):
    faces = made(tmp_path / "faces", [(36, 36)] * 4)
    assert "square" not in said(lambda: pack(faces, tmp_path / "faces.pack"))


def test_a_pack_fitted_otherwise_is_another(tmp_path):
    faces = made(tmp_path / "faces", [(40, 36)] * 4)
    fingerprints = {
        fit: pack(faces, tmp_path / f"{fit}.pack", fit=fit).fingerprint for fit in ("crop", "pad", "stretch")
    }
    assert len(set(fingerprints.values())) == 3
    with pytest.raises(UserError, match="exists already and does not hold these images"):
        pack(faces, tmp_path / "pad.pack", fit="crop")
    with pytest.raises(UserError, match="cannot be made square by 'squeeze': choose crop, pad, stretch"):
        pack(faces, tmp_path / "x.pack", fit="squeeze")


def test_packs_from_before_there_was_a_choice_are_cropped(tmp_path):
    root = pack(made(tmp_path / "faces", [(40, 36)] * 4), tmp_path / "faces.pack").root
    about = json.loads((root / "pack.json").read_text())
    del about["fit"]
    (root / "pack.json").write_text(json.dumps(about))
    assert open_pack(root).fit == "crop"
    (root / "pack.json").write_text(json.dumps({**about, "fit": "squeeze"}))
    with pytest.raises(UserError, match="'fit' is none of crop, pad, stretch"):
        open_pack(root)


def test_a_strip_that_would_fill_the_memory_once_square_is_left_out(tmp_path):
    faces = made(tmp_path / "faces", [(36, 36)] * 2 + [(8, 9000)])
    there = pack(faces, tmp_path / "faces.pack", fit="pad")
    assert [one["reason"] for one in there.skipped] == [
        "9000 x 8 pixels would be too large once they are square"
    ]


def test_a_person_without_a_readable_image_is_no_identity(tmp_path):
    dataset = made(tmp_path / "faces", [(20, 20)] * 5, people=5)
    dataset.path(1).write_bytes(b"broken")
    there = pack(dataset, tmp_path / "faces.pack")
    assert there.identities == ("p0", "p2", "p3", "p4")
    assert there.labels.tolist() == [0, 1, 2, 3]


def test_images_of_which_none_can_be_read_are_no_pack(tmp_path):
    dataset = made(tmp_path / "faces", [(20, 20)] * 2)
    for i in range(2):
        dataset.path(i).write_bytes(b"broken")
    with pytest.raises(UserError, match=r"none of the 2 images of faces can be read \(p0/000.png: no image"):
        pack(dataset, tmp_path / "faces.pack")
    assert [path.name for path in tmp_path.iterdir()] == ["faces"]


def test_rare_sizes_are_brought_to_the_nearest_that_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(packed, "MAX_SIZES", 3)
    monkeypatch.setattr(packed, "HELD_BYTES", 10_000)
    sides = [30] * 5 + [40] * 4 + [33, 36, 29, 47, 60] + [45] * 2
    dataset = made(tmp_path / "faces", [(side, side + 4) for side in sides])
    text = said(lambda: pack(dataset, tmp_path / "faces.pack"))
    assert "6 images of 5 rare sizes were brought to the nearest of 30, 40, 60 px" in text
    there = open_pack(tmp_path / "faces.pack")
    goes_to = {30: 30, 40: 40, 33: 30, 36: 40, 29: 30, 47: 40, 60: 60, 45: 40}
    for i in range(len(dataset)):
        image = dataset.image(i)
        np.testing.assert_array_equal(there.image(i), prepare(image, None, goes_to[min(image.shape[:2])]))
    assert there.fingerprint == pack(dataset, tmp_path / "again.pack").fingerprint


def test_the_same_images_are_packed_once(faces, folder, monkeypatch):
    before = (folder / "pack.json").stat().st_mtime_ns
    assert "holds these images already" in said(lambda: pack(faces, folder))
    assert (folder / "pack.json").stat().st_mtime_ns == before


def test_what_stands_there_is_never_replaced(faces, folder, tmp_path):
    with pytest.raises(UserError, match=r"faces.pack exists already and does not hold these images"):
        pack(faces, folder, size=40)
    (tmp_path / "mine").mkdir()
    with pytest.raises(UserError, match="mine exists already"):
        pack(faces, tmp_path / "mine")


@pytest.mark.parametrize("size", [0, 7, -144, 8001])
def test_a_size_that_is_none_is_refused(faces, tmp_path, size):
    with pytest.raises(UserError, match=f"size {size} cannot be the side of a face: choose from 8 to 8000"):
        pack(faces, tmp_path / "faces.pack", size=size)


def test_a_full_disk_leaves_nothing_behind(faces, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(packed._Files, "flush", full)
    with pytest.raises(UserError, match="cannot write .*faces.pack: No space left on device: make room"):
        pack(faces, tmp_path / "out" / "faces.pack")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_kill_halfway_leaves_no_pack(faces, tmp_path, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(packed, "_write_table", killed)
    with pytest.raises(KeyboardInterrupt):
        pack(faces, tmp_path / "out" / "faces.pack")
    assert list((tmp_path / "out").iterdir()) == []


def test_memory_stays_bounded(tmp_path, monkeypatch):
    dataset = made(tmp_path / "faces", [(60, 60)] * 4)
    repeated = 3_000
    large = type(dataset)(
        "faces", dataset.root, tuple(f"{k}" for k in range(repeated)),
        np.arange(repeated) % 2, ("a", "b"),
    )  # fmt: skip
    image = dataset.image(0)
    monkeypatch.setattr(type(dataset), "image", lambda *_: image)
    monkeypatch.setattr(packed, "HELD_BYTES", 1 << 20)
    tracemalloc.start()
    try:
        there = pack(large, tmp_path / "faces.pack")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert there.blocks[0].nbytes == repeated * image.nbytes
    # Held images, and those that threads have read ahead.
    assert peak < there.blocks[0].nbytes / 3


def test_threads_read_only_so_far_ahead():
    begun = []
    with ThreadPoolExecutor(2) as pool:
        made = packed._ahead(pool, begun.append, range(100), 5)
        next(made)
        assert len(begun) <= 6
        assert len(list(made)) == 99
    assert sorted(begun) == list(range(100))


def test_a_pack_is_told_by_its_record(folder, tmp_path):
    assert packed.is_pack(folder)
    assert not packed.is_pack(tmp_path)
    assert not packed.is_pack(tmp_path / "nothing")
    with pytest.raises(UserError, match=r"is no pack, for it has no pack.json"):
        open_pack(tmp_path)


def changed(folder, **values):
    path = folder / "pack.json"
    about = json.loads(path.read_text()) | values
    path.write_text(json.dumps({key: value for key, value in about.items() if value is not None}))


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"schema": 2}, "its schema is not 1"),
        ({"name": None}, "'name' is missing or is no str"),
        ({"name": "a@b"}, "a data set that cannot be called so"),
        ({"size": True}, "'size' is missing or is no int"),
        ({"files": []}, "'files' is missing or is no dict"),
        ({"files": {}}, "it names no files"),
        ({"files": {"../../36.npy": 7}}, "is no file of images"),
        ({"files": {"36.npy": "7"}}, "is no file of images"),
        ({"files": {"36.npy": 8}}, r"36.npy.*it holds uint8 of shape \(7, 36, 36, 3\), not \(8, 36, 36, 3\)"),
        ({"files": {"37.npy": 8}}, "37.npy.*it cannot be mapped"),
        ({"files": {"36.npy": 7}}, "it lists 15 images, and the files hold 7"),
        ({"skipped": [{"item": 3}]}, "no item and reason"),
    ],
)
def test_a_wrong_record_is_named(folder, values, why):
    changed(folder, **values)
    with pytest.raises(UserError, match=why):
        open_pack(folder)


def test_a_hostile_name_is_refused(folder):
    changed(folder, name="../x")
    with pytest.raises(UserError, match="cannot be the name of a data set"):
        open_pack(folder)


@pytest.mark.parametrize("text", ["", "[" * 100_000, "[]", "{}", '{"schema": 1', "\ud800"])
def test_a_broken_record_is_named(folder, text):
    (folder / "pack.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(UserError, match="pack.json is no part of a whole pack"):
        open_pack(folder)


def test_a_record_that_is_far_too_large_is_not_read(folder, monkeypatch):
    monkeypatch.setattr(packed, "MOST_JSON", 10)
    with pytest.raises(UserError, match="it is far too large"):
        open_pack(folder)


def test_a_file_cut_short_is_named(folder):
    path = folder / "36.npy"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"36.npy is no part of a whole pack: it cannot be mapped"):
        open_pack(folder)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((7, 36, 36, 3), np.int8),
        np.zeros((7, 36, 36, 4), np.uint8),
        np.zeros((7, 36 * 36 * 3), np.uint8),
        np.asfortranarray(np.zeros((7, 36, 36, 3), np.uint8)),
        np.array([{}], dtype=object),
    ],
)
def test_a_file_of_something_else_is_named(folder, array):
    np.save(folder / "36.npy", array, allow_pickle=True)
    with pytest.raises(UserError, match=r"36.npy is no part of a whole pack: it (holds|cannot be mapped)"):
        open_pack(folder)


def column(name, change):
    def edit(table):
        values = table[name].to_pylist()
        return table.set_column(table.column_names.index(name), name, pa.array(change(values)))

    return edit


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        (column("item", lambda items: items[:1] * 2 + items[2:]), "two of its images have one name"),
        (column("item", lambda items: [None, *items[1:]]), "'item' must hold text, without gaps"),
        (column("item", lambda items: list(range(len(items)))), "'item' must hold text"),
        (column("identity", lambda names: [name.encode() for name in names]), "'identity' must hold text"),
        (column("file", lambda files: ["../36.npy", *files[1:]]), "names the file '../36.npy'"),
        (column("row", lambda rows: [-1, *rows[1:]]), "a row that its file does not have"),
        (column("row", lambda rows: [10**15, *rows[1:]]), "a row that its file does not have"),
        (column("row", lambda rows: [rows[1], *rows[1:]]), "two of its images lie at one place"),
        (column("row", lambda rows: [None, *rows[1:]]), "'row' must hold whole numbers"),
        (column("row", lambda rows: [str(row) for row in rows]), "'row' must hold whole numbers"),
        (lambda table: table.drop_columns(["row"]), "it must have the columns"),
        (lambda table: table.slice(1), "it lists 14 images, and the files hold 15"),
    ],
)
def test_a_wrong_table_is_named(tmp_path, edit, why):
    folder = pack(made(tmp_path / "faces", [(36, 36)] * 15, people=1 + 1), tmp_path / "faces.pack").root
    path = folder / "items.parquet"
    pq.write_table(edit(pq.read_table(path)), path)
    with pytest.raises(UserError, match=f"items.parquet is no part of a whole pack: .*{why}"):
        open_pack(folder)


def test_a_table_that_would_fill_the_memory_is_not_read(folder, monkeypatch):
    monkeypatch.setattr(packed, "MOST_TABLE", 10)
    with pytest.raises(UserError, match="no part of a whole pack: it would fill"):
        open_pack(folder)


@pytest.mark.parametrize("name", ["items.parquet", "pack.json", "36.npy"])
def test_garbage_is_an_error_for_the_user_or_harmless(folder, tmp_path, name):
    draw = np.random.default_rng(0)
    whole = (folder / name).read_bytes()
    reach = min(len(whole), 200 if name == "36.npy" else len(whole))
    for _ in range(60):
        broken = bytearray(whole)
        for at in draw.integers(0, reach, draw.integers(1, 4)):
            broken[at] = draw.integers(0, 256)
        if draw.random() < 0.2:
            broken = broken[: draw.integers(0, len(broken))]
        target = tmp_path / "broken.pack"
        shutil.copytree(folder, target)
        (target / name).write_bytes(broken)
        try:
            there = open_pack(target)
            assert all(len(there.image(i)) for i in range(len(there)))
        except UserError as error:
            said_of = str(error)
        else:
            said_of = ""
        assert "\n" not in said_of
        shutil.rmtree(target)
