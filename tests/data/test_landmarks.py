import numpy as np
import pytest

from embedlab import progress
from embedlab.data import landmarks
from embedlab.data.landmarks import Landmarks, mirrored, read
from embedlab.errors import UserError

FACE = [69, 109, 106, 113, 77, 142, 73, 152, 108, 154]
NAMED = (
    "left_eye_x,left_eye_y,right_eye_x,right_eye_y,nose_x,nose_y,"
    "left_mouth_x,left_mouth_y,right_mouth_x,right_mouth_y"
)
NUMBERED = "x1,y1,x2,y2,x3,y3,x4,y4,x5,y5"
SWAPPED = [106, 113, 69, 109, 77, 142, 108, 154, 73, 152]


def row(numbers=FACE):
    return ",".join(map(str, numbers))


def written(tmp_path, text, name="points.csv"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


# Forms


@pytest.mark.parametrize(
    "head",
    [
        f"item,{NAMED}",
        f"image_id,{NAMED.replace('left_', 'left').replace('right_', 'right')}",
        f"file,{NAMED.replace('left_mouth', 'mouth_left').replace('right_mouth', 'Mouth-Right')}",
        f"NAME_ID,{','.join(f'P{k}{axis}' for k in range(1, 6) for axis in 'XY')}",
        f"\ufeffPath,{NUMBERED}",
    ],
    ids=["named", "Kaggle's CelebA", "other order of words", "VGGFace2", "numbered"],
)
def test_every_head_says_the_same(tmp_path, head):
    found = read(written(tmp_path, f"{head}\na/1.jpg,{row()}\n\nb/2.jpg,{row([k / 2 for k in FACE])}\n"))
    assert found.items == ("a/1.jpg", "b/2.jpg")
    np.testing.assert_array_equal(found.points[0], np.reshape(FACE, (5, 2)))
    np.testing.assert_array_equal(found.points[1], np.reshape(FACE, (5, 2)) / 2)
    assert len(found) == 2


def test_columns_may_stand_in_any_order_among_others(tmp_path):
    columns = NUMBERED.split(",")[::-1]
    text = f"{','.join(columns)},score,item\n{row(FACE[::-1])},0.9,a\n"
    np.testing.assert_array_equal(read(written(tmp_path, text)).points[0], np.reshape(FACE, (5, 2)))


CELEBA = (
    "2\nlefteye_x lefteye_y righteye_x righteye_y nose_x nose_y leftmouth_x leftmouth_y rightmouth_x "
    "rightmouth_y\n000001.jpg  69  109  106  113   77  142   73  152  108  154\n"
    "000002.jpg  69  110  107  112   81  135   70  151  108  153\n"
)


def test_celebas_own_list_is_read(tmp_path):
    found = read(written(tmp_path, CELEBA, "list_landmarks_align_celeba.txt"))
    assert found.items == ("000001.jpg", "000002.jpg")
    np.testing.assert_array_equal(found.points[0], np.reshape(FACE, (5, 2)))
    assert found.points[1, 4].tolist() == [108, 153]


# Mistakes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "points.csv is empty"),
        (f"item,{NUMBERED}\n", "lists no landmarks: give it a row an image"),
        (f"who,{NUMBERED}\n", "lacks a column of images"),
        ("item,x1,y1\na,1,2\n", "lacks the ten columns of points"),
        (f"item,{NUMBERED}\na,1,2\n", "points.csv, line 2: 3 fields where the head has 11"),
        (f"item,{NUMBERED}\na,{row()}\n,{row()}\n", "line 3: the image has no name"),
        (f"item,{NUMBERED}\na,{row()}\nb,{row()}\na,{row()}\n", "line 4: 'a' stands in line 2 already"),
        (f"item,{NUMBERED}\na,{row(['nan', *FACE[1:]])}\n", "line 2: nan is no coordinate in pixels"),
        (f"item,{NUMBERED}\na,{row([*FACE[1:], 'inf'])}\n", "line 2: inf is no coordinate"),
        (f"item,{NUMBERED}\na,{row([*FACE[1:], ''])}\n", "line 2: nan is no coordinate"),
        (f"item,{NUMBERED}\na,{row([*FACE[1:], '1e300'])}\n", "line 2: 1e\\+300 is no coordinate"),
        (f"item,{NUMBERED}\na,{row([3] * 10)}\n", "line 2: the five points of 'a' are one and the same"),
        (f"item,{NUMBERED}\na,{row([k / 200 for k in FACE])}\n", "not shares of the width"),
        (f'item,{NUMBERED}\n"a\x00' + "x" * 200_000, "line 2: 1 fields .* quotation marks"),
        (CELEBA.replace("2\nleft", "3\nleft"), "holds 2 rows where its first line announces 3"),
        (CELEBA.replace("2\nleft", f"{'1' * 5000}\nleft"), "its first line announces 1111"),
        (CELEBA.replace("nose_x", "chin_x"), "line 2: .* are not the ten names of CelebA"),
        ("\x0b7", "line 2: '' are not the ten names"),
        ("7", "line 2: '' are not the ten names"),
        (CELEBA.replace("108  153", "108"), "line 4: 10 words where an image and ten numbers belong"),
        (CELEBA.replace("108  153", "108  x"), "line 4: 'x' is no coordinate"),
    ],
)
def test_a_wrong_file_is_named_with_its_line(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        read(written(tmp_path, text))


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(UserError, match=r"cannot read .*gone.csv as landmarks"):
        read(tmp_path / "gone.csv")
    (tmp_path / "b.csv").write_bytes(b"\xff\xff")
    with pytest.raises(UserError, match=r"cannot read .*b.csv as landmarks"):
        read(tmp_path / "b.csv")


# Swapped eyes


def test_a_mirror_image_is_known_however_the_face_is_turned():
    face, swapped = np.reshape(FACE, (5, 2)).astype(float), np.reshape(SWAPPED, (5, 2)).astype(float)
    for angle in np.linspace(0, 2 * np.pi, 13):
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        assert mirrored(np.stack([face @ turn.T, swapped @ turn.T])).tolist() == [False, True]
    assert mirrored(np.stack([face, face * [-1, 1]])).tolist() == [False, True]


def test_columns_of_the_persons_own_left_and_right_are_refused(tmp_path):
    text = f"item,{NAMED}\na,{row()}\nb,{row(SWAPPED)}\nc,{row(SWAPPED)}\n"
    with pytest.raises(
        UserError, match="2 of 3 faces are mirror images by their points, first line 3: left and"
    ):
        read(written(tmp_path, text))


def test_a_few_mirrored_faces_are_told_and_kept(tmp_path, capsys):
    text = f"item,{NAMED}\na,{row()}\nb,{row(SWAPPED)}\n"
    with progress.shown():
        assert len(read(written(tmp_path, text))) == 2
    assert "1 of 2 faces are mirror images by their points, first line 3 (b)" in capsys.readouterr().err


# Finding images


def points_of(*items):
    return Landmarks(items, np.zeros((len(items), 5, 2)))


def test_images_are_found_with_and_without_their_suffix():
    found = points_of("a/1.jpg", "b/2", "c/3.jpg", "c/3.png", "d.e/4")
    items = ["c/3.png", "a/1.png", "b/2.jpg", "c/3.bmp", "gone", "d.e/4.png", "1.jpg"]
    assert found.rows(items).tolist() == [3, 0, 1, -1, -1, 4, -1]


def test_a_file_without_folders_knows_images_by_their_own_name():
    found = points_of("1.jpg", "2.jpg")
    assert found.rows(["ann/2.jpg", "bob/1.png", "cyd/3.jpg"]).tolist() == [1, 0, -1]
    # Unless two images are called so.
    assert found.rows(["ann/2.jpg", "bob/2.jpg"]).tolist() == [-1, -1]


def test_a_record_checks_itself():
    with pytest.raises(TypeError, match=r"Landmarks\.points"):
        Landmarks(("a",), np.zeros((1, 10)))
    assert landmarks.FORMS[0][0] == "lefteyex"
