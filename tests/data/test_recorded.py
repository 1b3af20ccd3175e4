"""InsightFace's files of records, against a copy of how its own data set reads them."""

import io
import os
import struct

import numpy as np
import pytest
from PIL import Image

from embedlab import progress
from embedlab.data import recorded, recordio
from embedlab.data.datasets import UnreadableImage, open_dataset
from embedlab.errors import UserError

rng = np.random.default_rng(0)


def encoded(shade, kind="PNG"):
    file = io.BytesIO()
    Image.new("RGB", (12, 12), (shade, 0, 255 - shade)).save(file, kind)
    return file.getvalue()


def put(tmp_path, records, name="train.rec"):
    path = tmp_path / "faces_emore" / name
    recordio.write(path, records)
    return path


def images(labels, start=1, flat=False):
    return [
        (k, recordio.pack(label if flat else [label, 1], k, encoded(10 * k % 256)))
        for k, label in enumerate(labels, start)
    ]


@pytest.fixture
def emore(tmp_path):
    """As face2rec2.py writes: images 1…5 of people 7, 7, 2, 2, 9; then record 0; then three ranges."""
    ranges = [(1, 3), (3, 5), (5, 6)]
    records = [*images([7, 7, 2, 2, 9]), (0, recordio.pack([6, 9], 0))]
    return put(tmp_path, [*records, *((k, recordio.pack(ends, k)) for k, ends in enumerate(ranges, 6))])


def mx_face_dataset(path):
    """What arcface_torch's MXFaceDataset yields: (encoded, label) by its own reading of the bytes."""
    data = path.read_bytes()
    lines = path.with_suffix(".idx").read_text().splitlines()
    places = {int(line.split("\t")[0]): int(line.split("\t")[1]) for line in lines}

    def read_idx(key):
        at, parts = places[key], []
        while True:
            magic, word = struct.unpack_from("<II", data, at)
            assert magic == 0xCED7230A
            parts.append(data[at + 8 : at + 8 + (word & ((1 << 29) - 1))])
            at += 8 + (len(parts[-1]) + 3) // 4 * 4
            if word >> 29 in (0, 3):
                record = struct.pack("<I", magic).join(parts)
                break
        flag, label, _, _ = struct.unpack("IfQQ", record[:24])
        record = record[24:]
        if flag > 0:
            label = np.frombuffer(record, np.float32, flag)
            record = record[flag * 4 :]
        return flag, label, record

    flag, label, _ = read_idx(0)
    keys = range(1, int(label[0])) if flag > 0 else list(places)
    for key in keys:
        _, label, image = read_idx(key)
        yield image, int(label if np.ndim(label) == 0 else label[0])


def same_as_insightface(found, path):
    theirs = list(mx_face_dataset(path))
    assert [found.identities[label] for label in found.labels] == [f"{label:06d}" for _, label in theirs]
    for i, (image, _) in enumerate(theirs):
        np.testing.assert_array_equal(
            found.image(i), np.asarray(Image.open(io.BytesIO(image)).convert("RGB"))
        )
    return len(theirs)


# Reading


def test_a_file_with_a_range_is_read_as_insightface_does(emore):
    found = recorded.open_rec(emore)
    assert found.name == "faces_emore"
    assert found.items == ("00000001", "00000002", "00000003", "00000004", "00000005")
    assert found.identities == ("000002", "000007", "000009")
    assert found.labels.tolist() == [1, 1, 0, 0, 2]
    assert same_as_insightface(found, emore) == 5


def test_a_file_without_a_range_is_all_images(tmp_path):
    path = put(tmp_path, images([3, 4, 4], start=0, flat=True), "webface.rec")
    found = recorded.open_rec(path)
    assert found.name == "webface"
    assert found.items == ("00000000", "00000001", "00000002")
    assert same_as_insightface(found, path) == 3


def test_the_folder_the_index_and_the_file_are_one(emore):
    assert recorded.open_rec(emore.parent).items == recorded.open_rec(emore.with_suffix(".idx")).items
    emore.rename(emore.with_name("other.rec"))
    emore.with_suffix(".idx").rename(emore.with_name("other.idx"))
    assert len(recorded.open_rec(str(emore.parent))) == 5


def test_without_its_index_the_same_is_found(emore, capsys):
    before = recorded.open_rec(emore)
    emore.with_suffix(".idx").unlink()
    with progress.shown():
        found = recorded.open_rec(emore)
    assert "train.idx is missing: the 9 records" in capsys.readouterr().err
    assert found.items == before.items
    assert found.labels.tolist() == before.labels.tolist()
    assert found.fingerprint == before.fingerprint


def test_a_range_beyond_what_float32_counts_gives_way_to_the_records(tmp_path, monkeypatch):
    monkeypatch.setattr(recorded, "EXACT", 5)
    path = put(tmp_path, [*images([1, 2, 3]), (0, recordio.pack([6, 9], 0)), (4, recordio.pack([1, 2], 4))])
    assert recorded.open_rec(path).items == ("00000001", "00000002", "00000003")


def test_records_beyond_the_range_and_empty_ones_are_told(tmp_path, capsys):
    records = [*images([1, 2, 3]), (0, recordio.pack([3, 4], 0))]
    records[0] = (1, recordio.pack(1, 1))
    path = put(tmp_path, [*records, *images([1, 1], start=4)])
    with progress.shown(), pytest.raises(UserError, match="holds images of one person only"):
        recorded.open_rec(path)
    told = capsys.readouterr().err
    assert "1 of its 2 images are empty; passed over" in told
    assert "3 images beyond the range that record 0 announces; passed over" in told


def test_records_of_no_image_in_a_file_without_a_range_are_told(tmp_path, capsys):
    path = put(tmp_path, [*images([1, 2], start=5), (9, recordio.pack(1, 9))])
    with progress.shown():
        assert len(recorded.open_rec(path)) == 2
    assert "1 records hold no image and were passed over" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("records", "message"),
    [
        (
            [(0, recordio.pack([3, 4], 0)), *images([1])],
            "announces images 1 to 2, and 1 of them are not .* first 2",
        ),
        ([(0, recordio.pack([3, 4], 0)), *images([1], start=2)], "1 of them are not in the index, first 1"),
        ([(0, recordio.pack([2.5, 4], 0)), *images([1])], "images end before record 2.5, which is no place"),
        ([(0, recordio.pack([np.nan, 4], 0)), *images([1])], "end before record nan"),
        ([(0, recordio.pack([0, 4], 0)), *images([1])], "end before record 0"),
        (
            [(0, recordio.pack([np.inf], 0)), (1, recordio.pack(1, 1))],
            "holds no images, only records of numbers",
        ),
        (images([1, 1]), "holds images of one person only"),
        (images([1, -1, -1]), r"record 2 \(byte \d+\): its label is -1 \(2 such\)"),
        (images([1, 1.5]), "its label is 1.5"),
        (images([1, np.nan]), "its label is nan"),
        (images([1, 1e30]), "its label is 1e.30"),
    ],
)
def test_a_file_that_makes_no_sense_is_named(tmp_path, records, message):
    with pytest.raises(UserError, match=message):
        recorded.open_rec(put(tmp_path, records))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"gone.rec does not exist: give the path of a .rec file"):
        recorded.open_rec(tmp_path / "gone.idx")
    with pytest.raises(UserError, match="holds no .rec files, and none is called train.rec"):
        recorded.open_rec(tmp_path)
    for name in "ab":
        (tmp_path / f"{name}.rec").touch()
    with pytest.raises(UserError, match="holds 2 .rec files, and none is called train.rec"):
        recorded.open_rec(tmp_path)


def test_a_damaged_image_is_one_unreadable_item(tmp_path):
    records = images([1, 2, 2])
    records[1] = (2, recordio.pack([2, 1], 2, b"\x89PNG not really"))
    path = put(tmp_path, records)
    found = recorded.open_rec(path)
    with pytest.raises(UnreadableImage, match="no image that is read"):
        found.image(1)
    assert found.image(2).shape == (12, 12, 3)
    data = bytearray(path.read_bytes())
    data[int(found.records.offsets[2])] ^= 1
    path.write_bytes(data)
    with pytest.raises(UnreadableImage, match="damaged at byte"):
        found.image(2)


def test_pipes_beside_the_records_are_not_waited_for(emore, capsys):
    os.mkfifo(emore.with_name("property"))
    with progress.shown():
        recorded.open_rec(emore)
    assert "property is not `classes,height,width` and was passed over" in capsys.readouterr().err
    emore.with_suffix(".idx").unlink()
    os.mkfifo(emore.with_suffix(".idx"))
    with pytest.raises(UserError, match=r"train\.idx as an \.idx: it is no regular file"):
        recorded.open_rec(emore)


@pytest.mark.parametrize(
    ("text", "shape", "message"),
    [
        ("3,112,96", (112, 96), None),
        ("85742,112,112\n", (112, 112), "announces 85,742 people; the records show 3"),
        ("many", None, "is not `classes,height,width`"),
        ("3,112", None, "is not `classes,height,width`"),
        ("3,-1,112", None, "is not `classes,height,width`"),
    ],
)
def test_the_property_file_beside_it_is_read(emore, capsys, text, shape, message):
    emore.with_name("property").write_text(text)
    with progress.shown():
        assert recorded.open_rec(emore).shape == shape
    told = capsys.readouterr().err
    assert message in told if message else "property" not in told


def test_the_fingerprint_is_that_of_pixels_and_people(tmp_path, emore):
    before = recorded.open_rec(emore).fingerprint
    assert recorded.open_rec(emore).fingerprint == before
    other = put(tmp_path / "b", [*images([7, 7, 2, 9, 9]), (0, recordio.pack([6, 6], 0))])
    assert recorded.open_rec(other).fingerprint != before
    data = bytearray(emore.read_bytes())
    data[60] ^= 1
    emore.write_bytes(data)
    assert recorded.open_rec(emore).fingerprint != before


# Writing


@pytest.fixture
def people(tmp_path):
    for person, count in (("ann", 2), ("bob", 1), ("cyd", 3)):
        for k in range(count):
            path = tmp_path / "faces" / person / f"{k}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(path)
    return tmp_path / "faces"


def test_what_is_written_is_read_by_insightface_and_back(tmp_path, people):
    given = open_dataset(people)
    written = recorded.write_rec(given, tmp_path / "out")
    assert (written.images, written.people, written.left_out) == (6, 3, ())
    assert written.path == tmp_path / "out" / "train.rec"
    found = recorded.open_rec(tmp_path / "out")
    assert same_as_insightface(found, written.path) == 6
    assert found.labels.tolist() == given.labels.tolist()
    assert found.shape == (16, 16)
    for i in range(6):
        np.testing.assert_array_equal(found.image(i), given.image(i))
    assert (tmp_path / "out" / "property").read_text() == "3,16,16\n"
    assert (tmp_path / "out" / "train.lst").read_text().splitlines()[2] == "1\tbob/0.png\t1"
    # The last records are the people's ranges, as face2rec2.py makes them.
    records = recordio.open_records(written.path)
    assert records.keys.tolist() == [1, 2, 3, 4, 5, 6, 0, 7, 8, 9]
    ranges = [recordio.unpack(records.read(k))[0].tolist() for k in (6, 7, 8, 9)]
    assert ranges == [[7, 10], [1, 3], [3, 4], [4, 7]]


def test_people_and_images_need_not_stand_in_order(tmp_path, people):
    index = tmp_path / "faces_ids.txt"
    index.write_text("faces/cyd/0.png c\nfaces/ann/0.png a\nfaces/cyd/1.png c\nfaces/ann/1.png a\n")
    written = recorded.write_rec(open_dataset(index), tmp_path / "own.rec")
    assert written.path.name == "own.rec"
    assert [label for _, label in mx_face_dataset(written.path)] == [0, 0, 1, 1]


def test_unreadable_images_are_left_out_and_told_and_labels_have_no_gaps(tmp_path, people, capsys):
    (people / "bob" / "0.png").write_bytes(b"broken")
    with progress.shown():
        written = recorded.write_rec(open_dataset(people), tmp_path / "out.rec")
    assert [one["item"] for one in written.left_out] == ["bob/0.png"]
    assert "1 unreadable images of faces were left out, first bob/0.png: no image" in capsys.readouterr().err
    assert [label for _, label in mx_face_dataset(written.path)] == [0, 0, 1, 1, 1]


def test_images_of_several_sizes_need_a_size(tmp_path, people):
    Image.new("RGB", (20, 16)).save(people / "cyd" / "1.png")
    with pytest.raises(UserError, match=r"cyd/1.png has 20 x 16 pixels and the images before it 16 x 16"):
        recorded.write_rec(open_dataset(people), tmp_path / "out" / "train.rec")
    assert not list((tmp_path / "out").iterdir())
    recorded.write_rec(open_dataset(people), tmp_path / "out", size=12, encoding="jpg")
    found = recorded.open_rec(tmp_path / "out")
    assert {found.image(i).shape for i in range(6)} == {(12, 12, 3)}
    assert found.records.read(0)[24:27] == b"\xff\xd8\xff"


def test_what_insightface_could_not_read_is_refused(tmp_path, people, monkeypatch):
    for person in ("ann", "bob"):
        for path in (people / person).iterdir():
            path.write_bytes(b"broken")
    with pytest.raises(UserError, match="faces: images of 1 people can be read, and a .rec needs two"):
        recorded.write_rec(open_dataset(people), tmp_path / "out")
    monkeypatch.setattr(recorded, "EXACT", 9)
    with pytest.raises(UserError, match="10 records are more than the 9 that record 0"):
        recorded.write_rec(open_dataset(people), tmp_path / "out")
