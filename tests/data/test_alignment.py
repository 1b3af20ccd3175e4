"""Faces come to lie on the template, as scikit-image and OpenCV would put them."""

import json

import numpy as np
import pytest
from PIL import Image

from embedlab import progress
from embedlab.data import alignment
from embedlab.data.alignment import align, similarity, template, warp
from embedlab.data.datasets import open_dataset
from embedlab.errors import UserError


def smooth(height, width, seed=0):
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return np.array(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def random_faces(n, seed=0):
    rng = np.random.default_rng(seed)
    return (
        template(112) * rng.uniform(0.3, 4, (n, 1, 1))
        + rng.normal(0, 6, (n, 5, 2))
        + rng.uniform(0, 99, (n, 1, 2))
    )


# The transform


def test_the_transform_is_scikit_images():
    transform = pytest.importorskip("skimage.transform", reason="scikit-image is not installed")
    faces = random_faces(20)
    found = similarity(faces, template(112))
    assert found.shape == (20, 2, 3)
    for face, matrix in zip(faces, found, strict=True):
        theirs = transform.SimilarityTransform.from_estimate(face, template(112))
        np.testing.assert_allclose(matrix, theirs.params[:2], atol=1e-9)
        np.testing.assert_allclose(similarity(face, template(112)), matrix)


def umeyama(points, target):
    """Equations 38 to 42 of the paper, by the singular value decomposition."""
    p, q = points - points.mean(0), target - target.mean(0)
    u, d, v = np.linalg.svd(q.T @ p / len(p))
    signs = np.array([1, np.sign(np.linalg.det(u) * np.linalg.det(v))])
    turn = u @ np.diag(signs) @ v
    scale = (d * signs).sum() / (p**2).sum(1).mean()
    return np.column_stack([scale * turn, target.mean(0) - scale * turn @ points.mean(0)])


def test_the_transform_is_umeyamas_for_mirrored_faces_too():
    for face in random_faces(20):
        np.testing.assert_allclose(similarity(face, template(112)), umeyama(face, template(112)), atol=1e-9)
        face *= [-1, 1]
        matrix = similarity(face, template(112))
        np.testing.assert_allclose(matrix, umeyama(face, template(112)), atol=1e-9)
        assert np.linalg.det(matrix[:, :2]) > 0


def test_a_planted_move_is_found_again():
    angle, scale = 0.7, 2.3
    turned = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    face = (template(112) - [5, 9]) @ np.linalg.inv(turned).T
    np.testing.assert_allclose(similarity(face, template(112)), np.column_stack([turned, [5, 9]]), atol=1e-9)


def test_points_all_in_one_place_have_no_transform():
    assert np.isnan(similarity(np.ones((5, 2)), template(112))).any()


def test_the_template_is_arcfaces():
    """Numbers as insightface/utils/face_align.py has them."""
    points = [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ]
    np.testing.assert_array_equal(template(112), points)
    np.testing.assert_allclose(template(224), 2 * np.array(points))


# Moving pixels


def test_nothing_moves_where_the_points_lie_on_the_template():
    image = np.random.default_rng(0).integers(0, 256, (144, 144, 3), dtype=np.uint8)
    moved = warp(image, similarity(template(144), template(144)), 144)
    np.testing.assert_array_equal(moved, image)


def test_whole_pixels_move_as_they_are_and_the_outside_is_black():
    image = np.random.default_rng(0).integers(1, 256, (20, 20, 3), dtype=np.uint8)
    moved = warp(image, np.array([[1, 0, 3], [0, 1, -2]], float), 20)
    np.testing.assert_array_equal(moved[:18, 3:], image[2:, :17])
    assert (moved[:, :3] == 0).all()
    assert (moved[18:] == 0).all()
    quarter = warp(image, np.array([[0, -1, 19], [1, 0, 0]], float), 20)
    np.testing.assert_array_equal(quarter, np.rot90(image, -1))


def test_pixels_move_as_by_opencv():
    cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed: pip install 'embedlab[detection]'")
    image = smooth(300, 260)
    for angle, scale in ((0.3, 0.9), (-1.2, 0.55), (2.9, 1.7)):
        turned = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        matrix = np.column_stack([turned, [56, 56] - turned @ [130, 150]])
        theirs = cv2.warpAffine(image, matrix, (112, 112)).astype(int)
        y, x = np.mgrid[:112, :112]
        back = np.linalg.inv(turned) @ (np.stack([x.ravel(), y.ravel()]) - matrix[:, 2:])
        # At the rim OpenCV mixes black in.
        inside = ((back >= 1) & (back <= [[258], [298]])).all(0).reshape(112, 112)
        # Its bilinear weights are multiples of 1/32 of a pixel.
        assert np.abs(warp(image, matrix, 112).astype(int) - theirs)[inside].max() <= 1


@pytest.mark.parametrize("scale", [0.49, 0.2, 0.12])
def test_a_shrunk_face_lies_where_an_unshrunk_one_does(scale):
    """A smooth picture shrinks to nearly what is read off it point by point."""
    image = smooth(600, 500)
    matrix = np.array([[scale, -0.02, 7], [0.02, scale, 9]])
    moved = warp(image, matrix, 40).astype(int)
    y, x = np.mgrid[:40, :40]
    back = np.linalg.inv(np.vstack([matrix, [0, 0, 1]])) @ np.stack([x.ravel(), y.ravel(), np.ones(1600)])
    at = np.rint(back[:2]).astype(int)
    inside = (at >= 8).all(0) & (at[0] < 492) & (at[1] < 592)
    read = image[np.clip(at[1], 0, 599), np.clip(at[0], 0, 499)].astype(int)
    # Most by which a whole shift of half a result's pixel would show:
    away = np.abs(moved.reshape(-1, 3) - read)[inside]
    assert inside.sum() > 300
    assert away.mean() < 2.5
    shifted = warp(image, matrix + np.array([[0, 0, 0.5], [0, 0, 0]]), 40).astype(int).reshape(-1, 3)
    assert np.abs(shifted - read)[inside].mean() > 1.3 * away.mean()


def test_a_fine_pattern_becomes_grey_instead_of_another_pattern():
    pattern = np.zeros((640, 640, 3), np.uint8)
    pattern[::2, ::2] = pattern[1::2, 1::2] = 255
    moved = warp(pattern, np.array([[0.13, 0.02, 0], [-0.02, 0.13, 10]]), 60)
    inner = moved[20:50, 20:50].astype(int)
    assert np.abs(inner - 127).max() < 12


# A data set


@pytest.fixture
def faces(tmp_path):
    """Two people, three pictures of 90 x 100; the eyes' places are painted."""
    rng = np.random.default_rng(5)
    rows = ["item,x1,y1,x2,y2,x3,y3,x4,y4,x5,y5"]
    for item in ("ann/1.jpg", "ann/1.png", "bob/x/2.png"):
        angle = rng.uniform(-0.5, 0.5)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        points = (template(60) - 30) @ turn.T + 45
        y, x = np.mgrid[:100, :90]
        pixels = np.full((100, 90, 3), 40.0)
        for k in (0, 1):
            pixels[..., k] += 215 * np.exp(-((x - points[k, 0]) ** 2 + (y - points[k, 1]) ** 2) / 12)
        image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
        path = tmp_path / "faces" / item
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path, **({"quality": 95} if item.endswith("jpg") else {}))
        rows.append(",".join([item, *(f"{value:.6f}" for value in points.ravel())]))
    (tmp_path / "points.csv").write_text("\n".join(rows) + "\n")
    return open_dataset(tmp_path / "faces")


def eyes_of(image):
    """Where red and green are strongest."""
    weights = [np.clip(image[..., k].astype(float) - image[..., 1 - k] - 60, 0, None) for k in (0, 1)]
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    return np.array([[(w * x).sum() / w.sum(), (w * y).sum() / w.sum()] for w in weights])


@pytest.mark.parametrize("size", [40, 112])
def test_landmarks_bring_the_eyes_to_the_template(tmp_path, faces, size):
    made = align(faces, tmp_path / "out", size=size, landmarks=tmp_path / "points.csv")
    assert (made.images, made.people, made.left_out) == (3, 2, ())
    found = open_dataset(tmp_path / "out")
    # Two images that differ in nothing but the suffix keep it.
    assert found.items == ("ann/1.jpg.png", "ann/1.png.png", "bob/x/2.png")
    assert found.identities == ("ann", "bob")
    assert found.ignored == 0
    for i in range(3):
        assert found.image(i).shape == (size, size, 3)
        np.testing.assert_allclose(eyes_of(found.image(i)), template(size)[:2], atol=0.3 * size / 60)


def test_a_detector_does_the_same(tmp_path, faces):
    class Detector:
        fingerprint = "a stand-in"

        def __call__(self, image):
            if not image.any():
                return None
            eyes = eyes_of(image)
            across = eyes[1] - eyes[0]
            turn = np.array([across, [-across[1], across[0]]]) / (template(1)[1] - template(1)[0])[0]
            return eyes[0] + (template(1) - template(1)[0]) @ turn

    Image.new("RGB", (90, 100)).save(tmp_path / "faces" / "bob" / "empty.png")
    with np.errstate(invalid="ignore"):
        made = align(
            open_dataset(tmp_path / "faces"), tmp_path / "out", size=60, detector=Detector(), format="jpg"
        )
    assert made.images == 3
    assert made.left_out == ({"item": "bob/empty.png", "reason": "no face was found"},)
    found = open_dataset(tmp_path / "out")
    assert found.items[-1] == "bob/x/2.jpg"
    np.testing.assert_allclose(eyes_of(found.image(2)), template(60)[:2], atol=0.5)


def test_the_crop_is_the_middle_square(tmp_path, faces):
    from embedlab.data.degradations import prepare

    align(faces, tmp_path / "out", size=50, crop=True)
    found = open_dataset(tmp_path / "out")
    np.testing.assert_array_equal(found.image(2), prepare(faces.image(2), None, 50))


def test_what_is_left_out_is_counted_and_named(tmp_path, faces, capsys):
    (tmp_path / "faces" / "bob" / "broken.png").write_bytes(b"broken")
    Image.new("RGB", (90, 100)).save(tmp_path / "faces" / "bob" / "new.png")
    Image.new("RGB", (90, 100)).save(tmp_path / "faces" / "bob" / "away.png")
    (tmp_path / "faces" / "cyd").mkdir()
    Image.new("RGB", (90, 100)).save(tmp_path / "faces" / "cyd" / "3.png")
    with (tmp_path / "points.csv").open("a") as file:
        file.write("bob/broken.png,1,1,9,1,5,5,1,9,9,9\nbob/away.png,101,1,109,1,105,5,101,9,109,9\n")
    with progress.shown():
        made = align(
            open_dataset(tmp_path / "faces"), tmp_path / "out", size=50, landmarks=tmp_path / "points.csv"
        )
    told = capsys.readouterr().err
    assert "4 of 7 images were left out: 2 it has no landmarks (first bob/new.png); " in told
    assert {one["item"]: one["reason"] for one in made.left_out} == {
        "bob/away.png": "its face lies outside the picture",
        "bob/broken.png": "no image that is read",
        "bob/new.png": "it has no landmarks",
        "cyd/3.png": "it has no landmarks",
    }
    assert made.people == 2
    assert open_dataset(tmp_path / "out").identities == ("ann", "bob")
    record = json.loads((tmp_path / "out_alignment.json").read_text())
    assert record["left_out"] == list(made.left_out)
    assert record["settings"]["size"] == 50
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "faces",
        "out",
        "out_alignment.json",
        "points.csv",
    ]


def test_images_outside_their_persons_folder_get_one(tmp_path):
    for name in ("s1", "s2", "s3", ".s4"):
        (tmp_path / "flat").mkdir(exist_ok=True)
        Image.new("RGB", (20, 20)).save(tmp_path / "flat" / f"{name}.pgm")
    (tmp_path / "flat_ids.txt").write_text("flat/s1.pgm .7\nflat/s2.pgm 9\nflat/s3.pgm 9\nflat/.s4.pgm 9\n")
    align(open_dataset(tmp_path / "flat_ids.txt"), tmp_path / "out", size=20, crop=True)
    assert open_dataset(tmp_path / "out").items == ("9/_.s4.png", "9/s2.png", "9/s3.png", "_.7/s1.png")


def test_an_interrupted_run_goes_on_and_leaves_nothing_behind(tmp_path, faces, monkeypatch, capsys):
    written = []
    put = alignment._put

    def stops(target, data):
        if len(written) == 2:
            raise OSError(28, "No space left on device")
        written.append(target.name)
        put(target, data)

    monkeypatch.setattr(alignment, "_put", stops)
    monkeypatch.setattr(alignment.os, "cpu_count", lambda: 1)
    with pytest.raises(
        UserError, match=r"cannot write .*out: No space left on device: .* what was done is kept"
    ):
        align(faces, tmp_path / "out", size=50, crop=True)
    assert not (tmp_path / "out").exists()
    (tmp_path / ".out.part" / "bob" / ".half.png.tmp").write_bytes(b"half")
    again = []
    monkeypatch.setattr(
        alignment, "_put", lambda target, data: (again.append(target.name), put(target, data))
    )
    with progress.shown():
        assert align(faces, tmp_path / "out", size=50, crop=True).images == 3
    assert "where an earlier try ended" in capsys.readouterr().err
    assert len(again) == 1
    assert open_dataset(tmp_path / "out").ignored == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "faces",
        "out",
        "out_alignment.json",
        "points.csv",
    ]


def test_other_settings_begin_anew(tmp_path, faces, monkeypatch):
    def stops(target, data):
        target.write_bytes(b"of another size")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(alignment, "_put", stops)
        with pytest.raises(UserError, match="cannot write"):
            align(faces, tmp_path / "out", size=50, crop=True)
    align(faces, tmp_path / "out", size=60, crop=True)
    found = open_dataset(tmp_path / "out")
    assert {found.image(i).shape for i in range(3)} == {(60, 60, 3)}


def test_what_is_done_stays(tmp_path, faces, monkeypatch, capsys):
    first = align(faces, tmp_path / "out", size=50, crop=True)
    monkeypatch.setattr(alignment, "_put", None)
    with progress.shown():
        assert align(faces, tmp_path / "out", size=50, crop=True) == first
    assert "was made so before, and stays" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"out is there already, and holds something else: remove it"):
        align(faces, tmp_path / "out", size=60, crop=True)
    with pytest.raises(UserError, match=r"faces is there already, and holds something else: remove it"):
        align(faces, tmp_path / "faces", size=60, crop=True)


# Mistakes


@pytest.mark.parametrize(
    "how", [{}, {"crop": True, "landmarks": "p.csv"}, {"detector": "y.onnx", "landmarks": "p.csv"}]
)
def test_exactly_one_way_is_asked_for(tmp_path, faces, how):
    with pytest.raises(UserError, match="faces are aligned by one thing: give landmarks, or a detector"):
        align(faces, tmp_path / "out", size=50, **how)


@pytest.mark.parametrize("size", [7, 4097])
def test_a_size_that_holds_no_face_is_refused(tmp_path, faces, size):
    with pytest.raises(UserError, match=f"cannot be {size} pixels a side: choose 8 to 4096"):
        align(faces, tmp_path / "out", size=size, crop=True)


def test_landmarks_of_other_images_are_told(tmp_path, faces):
    (tmp_path / "p.csv").write_text("item,x1,y1,x2,y2,x3,y3,x4,y4,x5,y5\nz.png,1,1,9,1,5,5,1,9,9,9\n")
    with pytest.raises(UserError, match="landmarks of none of the 3 images of faces: it names 'z.png', and"):
        align(faces, tmp_path / "out", size=50, landmarks=tmp_path / "p.csv")
    assert not (tmp_path / "out").exists()


def test_no_image_at_all_is_told_and_nothing_stays(tmp_path, faces):
    class Blind:
        fingerprint = "blind"

        def __call__(self, image):
            return None

    with pytest.raises(UserError, match="no image of faces could be aligned: 3 no face was found .first ann"):
        align(faces, tmp_path / "out", size=50, detector=Blind())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["faces", "points.csv"]


def test_two_people_of_one_folder_are_refused(tmp_path):
    for k in range(4):
        (tmp_path / "flat").mkdir(exist_ok=True)
        Image.new("RGB", (20, 20)).save(tmp_path / "flat" / f"{k}.png")
    (tmp_path / "flat_ids.txt").write_text("flat/0.png a/b\nflat/1.png a_b\nflat/2.png c\nflat/3.png c\n")
    with pytest.raises(UserError, match="two people of flat would share the folder a_b"):
        align(open_dataset(tmp_path / "flat_ids.txt"), tmp_path / "out", size=20, crop=True)


# Real faces


def test_real_faces_on_the_template_stay_as_they_are(shared_data, tmp_path):
    folder = shared_data / "lfw144"
    some = sorted(folder.iterdir())[::400]
    (tmp_path / "some").mkdir()
    for person in some:
        (tmp_path / "some" / person.name).symlink_to(person)
    faces = open_dataset(tmp_path / "some")
    numbers = ",".join(map(str, template(144).ravel().tolist()))
    lines = ["item,x1,y1,x2,y2,x3,y3,x4,y4,x5,y5", *(f"{item},{numbers}" for item in faces.items)]
    (tmp_path / "p.csv").write_text("\n".join(lines))
    align(faces, tmp_path / "out", size=144, landmarks=tmp_path / "p.csv")
    found = open_dataset(tmp_path / "out")
    assert len(found) == len(faces) > 10
    for i in range(len(found)):
        assert np.abs(found.image(i).astype(int) - faces.image(i)).max() < 1


def test_people_in_parts_of_a_data_set_are_aligned_into_their_own_folders(tmp_path):
    for part in ("train", "test"):
        for person in ("ann", "bob"):
            path = tmp_path / "faces" / part / person / "1.png"
            path.parent.mkdir(parents=True)
            Image.new("RGB", (40, 50), (len(part) * 9, len(person) * 9, 9)).save(path)
    made = open_dataset(align(open_dataset(tmp_path / "faces"), tmp_path / "out", size=32, crop=True).path)
    assert made.items == ("ann/test_1.png", "ann/train_1.png", "bob/test_1.png", "bob/train_1.png")
    assert (made.identities, made.caution) == (("ann", "bob"), "")


def test_a_kill_at_the_very_end_costs_nothing(tmp_path, faces, monkeypatch):
    """Neither before the folder has its name, nor after."""

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(alignment.Path, "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            align(faces, tmp_path / "out", size=50, crop=True)
    assert align(faces, tmp_path / "out", size=50, crop=True).images == 3
    (tmp_path / ".out.part.json").write_text("left by a kill")
    assert align(faces, tmp_path / "out", size=50, crop=True).images == 3
    assert not list(tmp_path.glob(".*"))
