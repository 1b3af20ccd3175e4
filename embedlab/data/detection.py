"""Finding the face in a picture, and its five points, by OpenCV's YuNet.

The network is not part of this package: whoever wants it fetches ``face_detection_yunet_2023mar.onnx``
from OpenCV's model zoo and names the file.

References
----------
Wu, W., Peng, H. and Yu, S. YuNet: A Tiny Millisecond-level Face Detector. Machine Intelligence Research
20, 656–665, 2023.
"""

import threading
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from jaxtyping import Float, UInt8

from embedlab.errors import UserError, first_line
from embedlab.lab.store import sha256_of

SCORE = 0.6
OVERLAP = 0.3
CANDIDATES = 5000
SIDES = (1024, 320)
"""Longest sides in pixels that a picture is tried at: YuNet knows faces of some 10 to 300 pixels, and one
that fills a large picture is found when it is small."""
CENTRE_WEIGHT = 2.0


class Detector(Protocol):
    """Finds the one face of a picture."""

    @property
    def fingerprint(self) -> str:
        """What tells one detector from another."""

    def __call__(self, image: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "5 2"] | None:
        """Give a face's five points, as ``Landmarks.points`` has them; None if there is no face."""


class YuNet:
    """OpenCV's ``FaceDetectorYN`` on one ONNX file; from many threads at once if wished.

    Parameters
    ----------
    path
        The ONNX file.

    Raises
    ------
    UserError
        If OpenCV is not installed, or cannot read the file.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise UserError(
                f"{path} does not exist: give the path of YuNet's ONNX file "
                "(face_detection_yunet_2023mar.onnx of OpenCV's model zoo)"
            )
        self._each = threading.local()
        self._network()
        self.fingerprint = sha256_of(self.path)

    def _network(self) -> Any:
        # It keeps the picture's size, so that two threads cannot share one.
        if not hasattr(self._each, "network"):
            cv2 = opencv()
            try:
                self._each.network = cv2.FaceDetectorYN.create(
                    str(self.path), "", (320, 320), SCORE, OVERLAP, CANDIDATES
                )
            except (cv2.error, SystemError) as error:
                raise UserError(
                    f"OpenCV cannot read {self.path} as a face detector ({first_line(error)}): give YuNet's "
                    "ONNX file"
                ) from None
        return self._each.network

    def __call__(self, image: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "5 2"] | None:
        """Find the face that is largest, or nearly so and nearer to the middle.

        Raises
        ------
        UserError
            If the file is a network, but no face detector.
        """
        cv2, network = opencv(), self._network()
        height, width = image.shape[:2]
        for side in SIDES:
            factor = min(1.0, side / max(height, width))
            size = (max(1, round(width * factor)), max(1, round(height * factor)))
            small = image if factor == 1 else cv2.resize(image, size, interpolation=cv2.INTER_AREA)
            try:
                network.setInputSize(size)
                _, faces = network.detect(np.ascontiguousarray(small[:, :, ::-1]))
            except cv2.error as error:
                raise UserError(
                    f"OpenCV cannot find faces with {self.path} ({first_line(error)}): give YuNet's ONNX file"
                ) from None
            if faces is not None and len(faces):
                found = faces[chosen(faces[:, :4], size)].astype(np.float64)
                scale = np.array([width / size[0], height / size[1]])
                # A pixel's middle lies at a whole number.
                points: np.ndarray = (found[4:14].reshape(5, 2) + 0.5) * scale - 0.5
                return points
        return None


def chosen(boxes: Float[np.ndarray, "n 4"], size: tuple[int, int]) -> int:
    """Choose a picture's face: the largest, with some weight on the middle, as InsightFace does.

    It is the one of the greatest area − 2 d², d being how far the box's middle lies from the picture's
    (``recognition/common/build_eval_pack.py``).

    Parameters
    ----------
    boxes
        Left, top, width and height of each face, in pixels.
    size
        The picture's width and height.
    """
    away = boxes[:, :2] + boxes[:, 2:] / 2 - np.array(size) / 2
    return int(np.argmax(boxes[:, 2] * boxes[:, 3] - CENTRE_WEIGHT * (away**2).sum(1)))


def opencv() -> Any:
    """Give OpenCV.

    Raises
    ------
    UserError
        If it is not installed.
    """
    try:
        import cv2
    except ImportError:
        raise UserError(
            "finding faces needs OpenCV, which is not installed: pip install 'embedlab[detection]'"
        ) from None
    return cv2
