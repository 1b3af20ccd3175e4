import io
import pickle

import numpy as np
import pytest
from PIL import Image

from embedlab import progress
from embedlab.data import binned
from embedlab.data.datasets import UnreadableImage, open_dataset
from embedlab.errors import UserError
from embedlab.formats import protocols


def picture(shade, kind="PNG"):
    encoded = io.BytesIO()
    Image.new("RGB", (12, 12), (shade, 0, 255 - shade)).save(encoded, kind)
    return encoded.getvalue()


A, B, C, D, E, F = (picture(40 * k) for k in range(6))


def written(tmp_path, images, same, name="lfw.bin"):
    path = tmp_path / name
    path.write_bytes(pickle.dumps((images, same)))
    return path


@pytest.fixture
def opened(tmp_path):
    """A, B and C are one person by way of B; D and E are compared with others only; F with D."""
    return binned.open_bin(written(tmp_path, [A, B, C, B, A, D, E, D, D, F], [1, 1, 0, 0, 1]))


def test_people_are_whom_the_matching_pairs_join(opened):
    assert opened.name == "lfw"
    assert len(opened) == 6
    assert opened.identities == ("person0001", "person0002", "person0003")
    # In the file's order: A, B, C; D, F by their pair; E alone.
    assert opened.labels.tolist() == [0, 0, 0, 1, 2, 1]
    assert "only as far as" in opened.caution


def test_items_are_those_of_the_pairs_and_give_their_pictures(tmp_path, opened):
    pairs = protocols.read(tmp_path / "lfw.bin")
    a, b = pairs.rows(opened.items)
    assert opened.image(a[0])[0, 0].tolist() == [0, 0, 255]
    assert opened.image(b[4])[0, 0].tolist() == [200, 0, 55]
    assert (opened.labels[a] == opened.labels[b]).tolist() == [True, True, False, False, True]


def test_the_fingerprint_is_that_of_pictures_and_people(tmp_path, opened):
    again = binned.open_bin(written(tmp_path, [A, B, C, B, A, D, E, D, D, F], [1, 1, 0, 0, 1], "again.bin"))
    assert again.fingerprint == opened.fingerprint
    other = binned.open_bin(written(tmp_path, [A, B, C, B, A, D, E, D, D, F], [1, 1, 0, 0, 0]))
    assert other.fingerprint != opened.fingerprint


def test_a_broken_picture_is_one_unreadable_item(tmp_path):
    opened = binned.open_bin(written(tmp_path, [A, b"\x89PNG not really", B, C], [0, 0]))
    with pytest.raises(UnreadableImage, match="no image that is read"):
        opened.image(1)
    assert opened.image(0).shape == (12, 12, 3)


def test_no_matching_pair_leaves_everybody_alone(tmp_path):
    opened = binned.open_bin(written(tmp_path, [A, B, A, C], [0, 0]))
    np.testing.assert_array_equal(opened.labels, [0, 1, 2])


def test_one_person_only_is_refused(tmp_path):
    with pytest.raises(UserError, match="holds images of one person only"):
        binned.open_bin(written(tmp_path, [A, B], [1]))


def test_a_name_that_no_probe_can_bear_is_made_one(tmp_path):
    assert binned.open_bin(written(tmp_path, [A, B], [0], "my lfw@1.bin")).name == "my_lfw_1"


# Writing


@pytest.fixture
def people(tmp_path):
    for name, shade in (("ann/1", 0), ("ann/2", 40), ("bob/1", 80), ("bob/2", 120)):
        path = tmp_path / "faces" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(shade))
    return tmp_path / "faces"


def pairs(a, b, same):
    return protocols.PairList(tuple(a), tuple(b), np.array(same))


def test_the_images_of_pairs_come_back(tmp_path, people):
    given = open_dataset(people)
    listed = pairs(["ann/1", "ann/1", "bob/2.png"], ["ann/2", "bob/1", "bob/1"], [True, False, True])
    assert binned.write_bin(given, listed, tmp_path / "own.bin") == 3
    with open(tmp_path / "own.bin", "rb") as file:
        images, same = pickle.load(file, encoding="bytes")  # noqa: S301
    assert same == [True, False, True]
    shown = [np.asarray(Image.open(io.BytesIO(image)))[0, 0, 0] for image in images]
    assert shown == [0, 40, 0, 80, 120, 80]
    found = binned.open_bin(tmp_path / "own.bin")
    assert found.labels.tolist() == [0, 0, 1, 1]
    np.testing.assert_array_equal(found.image(3), given.image(3))


def test_images_may_be_brought_to_a_size_and_be_jpegs(tmp_path, people):
    binned.write_bin(
        open_dataset(people), pairs(["ann/1"], ["bob/2"], [False]), tmp_path / "s.bin", size=8, encoding="jpg"
    )
    found = binned.open_bin(tmp_path / "s.bin")
    assert found.image(0).shape == (8, 8, 3)
    assert found.encoded[0].startswith(b"\xff\xd8")


def test_pairs_without_their_images_are_left_out_and_told(tmp_path, people, capsys):
    (people / "bob" / "1.png").write_bytes(b"broken")
    listed = pairs(["ann/1", "ann/2", "ann/2"], ["ann/2", "bob/1", "gone/1"], [True, False, False])
    with progress.shown():
        assert binned.write_bin(open_dataset(people), listed, tmp_path / "s.bin") == 1
    told = "2 of 3 pairs lack an image (2 images; first bob/1.png: no image that is read); left out"
    assert told in capsys.readouterr().err
    with pytest.raises(
        UserError, match="1 of 1 pairs lack an image .* gone/1: not in faces.: give the pairs"
    ):
        binned.write_bin(open_dataset(people), pairs(["gone/1"], ["ann/1"], [True]), tmp_path / "n.bin")
    assert not (tmp_path / "n.bin").exists()
