"""What OpenCV's network finds is taken as it says; the network itself is not here."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from embedlab.data import detection
from embedlab.errors import UserError

POINTS = np.arange(10.0, 20.0)


def face(left, top, width, height, points=POINTS, score=0.9):
    return np.array([left, top, width, height, *points, score], np.float32)


class StandIn:
    """OpenCV's detector: says what faces a picture of some size has."""

    error = ValueError
    INTER_AREA = 3
    made = 0

    def __init__(self, found):
        self.found = found
        self.FaceDetectorYN = self

    def create(self, path, config, size, score, overlap, candidates):
        StandIn.made += 1
        return self.Network(self)

    def resize(self, image, size, interpolation):
        return np.zeros((size[1], size[0], 3), np.uint8) + image[0, 0]

    class Network:
        def __init__(self, owner):
            self.owner = owner

        def setInputSize(self, size):
            self.size = size

        def detect(self, image):
            assert image.shape == (self.size[1], self.size[0], 3)
            assert image.flags.c_contiguous
            # OpenCV wants blue first.
            assert image[0, 0].tolist() == [3, 2, 1]
            return 1, self.owner.found(self.size)


def picture(height, width):
    return np.full((height, width, 3), (1, 2, 3), np.uint8)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "yunet.onnx"
    path.write_bytes(b"a network")
    return path


@pytest.fixture
def finding(monkeypatch, file):
    def find(found):
        monkeypatch.setitem(sys.modules, "cv2", StandIn(found))
        return detection.YuNet(file)

    return find


def test_points_come_in_the_order_of_landmarks(finding):
    """YuNet's first is the person's right eye, which is the viewer's left."""
    found = finding(lambda size: face(0, 0, 50, 50)[None])(picture(100, 90))
    np.testing.assert_allclose(found, POINTS.reshape(5, 2))
    assert found.dtype == np.float64


def test_a_large_picture_is_shrunk_and_its_points_brought_back(finding):
    sizes = []

    def found(size):
        sizes.append(size)
        return face(0, 0, 50, 50)[None]

    points = finding(found)(picture(1024, 4096))
    assert sizes == [(1024, 256)]
    # The middle of the small picture's pixel is that of the sixteen it is made of.
    np.testing.assert_allclose(points, POINTS.reshape(5, 2) * 4 + 1.5)


def test_a_face_too_large_is_looked_for_in_a_smaller_picture(finding):
    found = finding(lambda size: face(0, 0, 50, 50)[None] if max(size) == 320 else None)
    np.testing.assert_allclose(found(picture(640, 640)), POINTS.reshape(5, 2) * 2 + 0.5)


@pytest.mark.parametrize("nothing", [None, np.zeros((0, 15), np.float32)])
def test_no_face_is_none(finding, nothing):
    assert finding(lambda size: nothing)(picture(100, 100)) is None


def test_the_largest_face_is_taken_unless_one_in_the_middle_is_nearly_as_large(finding):
    corner, middle = (0, 0, 40, 40), (80, 80, 40, 40)
    boxes = np.array([corner, middle, (90, 90, 20, 20)], float)
    assert detection.chosen(boxes, (200, 200)) == 1
    boxes[0, 2:] = 160
    assert detection.chosen(boxes, (200, 200)) == 0
    # Areas 1600 and 1000, the first 28.28 px from the middle: 1600 − 2 · 800 < 1000.
    boxes = np.array([(60, 60, 40, 40), (90, 80, 20, 50)], float)
    assert detection.chosen(boxes, (200, 200)) == 1
    both = np.stack([face(0, 0, 40, 40), face(80, 80, 40, 40, POINTS + 100)])
    np.testing.assert_allclose(finding(lambda size: both)(picture(200, 200)), POINTS.reshape(5, 2) + 100)


def test_every_thread_has_a_network_of_its_own(finding):
    found = finding(lambda size: face(0, 0, *size, np.full(10, size[0]))[None])
    sides = np.random.default_rng(0).integers(20, 300, 200).tolist()
    with ThreadPoolExecutor(4) as pool:
        points = list(pool.map(lambda side: found(picture(side, side)), sides))
    assert [point[0, 0] for point in points] == sides


def test_the_fingerprint_is_that_of_the_file(finding, file):
    before = finding(lambda size: None).fingerprint
    file.write_bytes(b"another")
    assert finding(lambda size: None).fingerprint != before


# Mistakes


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"gone.onnx does not exist: give the path of YuNet's ONNX file"):
        detection.YuNet(tmp_path / "gone.onnx")


def test_without_opencv_the_extra_is_named(monkeypatch, file):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(
        UserError, match=r"needs OpenCV, which is not installed: pip install 'embedlab.detection."
    ):
        detection.YuNet(file)


def test_a_file_that_is_no_network_is_told(file):
    pytest.importorskip("cv2", reason="OpenCV is not installed: pip install 'embedlab[detection]'")
    with pytest.raises(UserError, match=r"OpenCV cannot read .*yunet.onnx as a face detector"):
        detection.YuNet(file)


def test_a_network_that_finds_no_faces_is_told(finding):
    def fails(size):
        raise ValueError("no output named cls_8\nat line 7")

    with pytest.raises(UserError, match=r"cannot find faces with .*yunet.onnx \(no output named cls_8\)"):
        finding(fails)(picture(100, 100))


def test_yunet_itself_finds_faces_that_lie_on_the_template(shared_data):
    told = os.environ.get("EMBEDLAB_YUNET")
    path = Path(told) if told else shared_data / "models" / "face_detection_yunet_2023mar.onnx"
    if not path.is_file():
        pytest.skip(f"no face detector in {path}: name YuNet's ONNX file in EMBEDLAB_YUNET")
    from embedlab.data.alignment import template
    from embedlab.data.datasets import open_dataset

    find, faces = detection.YuNet(path), open_dataset(shared_data / "lfw144")
    found = [find(faces.image(i)) for i in range(0, len(faces), 500)]
    away = [np.abs(points - template(144)).mean() for points in found if points is not None]
    assert len(away) > 0.9 * len(found)
    assert np.median(away) < 4
