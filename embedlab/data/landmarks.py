"""Five points of a face each, read from a file: two eyes, the nose's tip, two corners of the mouth.

*Left* and *right* are those of whoever looks at the picture, as in CelebA, VGGFace2, MTCNN and
RetinaFace: the left eye lies left of the right one in an upright picture. (OpenCV and dlib call it the
right eye, because it is the person's.)
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import Bool, Float, Int

from embedlab.errors import UserError
from embedlab.files import names, tables
from embedlab.progress import say
from embedlab.shapes import check_shapes

ITEM_COLUMNS = ("item", "image", "imageid", "filename", "file", "path", "name", "nameid")
POINTS = ("lefteye", "righteye", "nose", "leftmouth", "rightmouth")
FORMS = (
    tuple(f"{point}{axis}" for point in POINTS for axis in "xy"),
    tuple(f"{axis}{k}" for k in range(1, 6) for axis in "xy"),
    tuple(f"p{k}{axis}" for k in range(1, 6) for axis in "xy"),
)
FARTHEST = 1e6
WHAT = "landmarks"
_Points = tuple[list[str], list[int], Float[np.ndarray, "n 10"]]
"""Names, lines and coordinates, row by row."""


@dataclass(frozen=True, eq=False)
class Landmarks:
    """Five points for each of some images.

    Attributes
    ----------
    items
        The images' names, as the file has them.
    points
        Left eye, right eye, nose, left and right corner of the mouth; x and y in pixels of the picture
        as it is read, from the middle of its upper left pixel; float64 of shape (n, 5, 2).
    """

    items: tuple[str, ...]
    points: Float[np.ndarray, "n 5 2"]

    def __post_init__(self) -> None:
        check_shapes(self)

    def __len__(self) -> int:
        return len(self.items)

    def rows(self, items: Sequence[str]) -> Int[np.ndarray, " m"]:
        """Find the points of images.

        A name that is not in the file as it stands is looked for without the suffixes of both; and, where
        the file names no folders, without those of the image.

        Parameters
        ----------
        items
            The images' names.

        Returns
        -------
        For each the row in ``points``, -1 where there is none; int64 of shape (m,).
        """
        exact = {item: row for row, item in enumerate(self.items)}
        bare: dict[str, int] = {}
        for row, item in enumerate(self.items):
            # Two that differ in nothing but the suffix are nobody's.
            name = _bare(item)
            bare[name] = row if name not in bare else -1
        within = [item.rpartition("/")[2] for item in items]
        alone = len(set(within)) == len(within) and not any("/" in item for item in self.items)

        def row_of(item: str, name: str) -> int:
            if (row := exact.get(item, bare.get(_bare(item), -1))) >= 0 or not alone:
                return row
            return exact.get(name, bare.get(_bare(name), -1))

        return np.array([row_of(*both) for both in zip(items, within, strict=True)], dtype=np.int64)


def _bare(item: str) -> str:
    folder, slash, name = item.rpartition("/")
    return f"{folder}{slash}{PurePosixPath(name).stem}"


def read(path: Path | str) -> Landmarks:
    """Read five points for each image.

    Two kinds of file are read:

    * CSV with a head: a column of images (``item``, ``image``, ``image_id``, ``filename``, ``file``,
      ``path``, ``name`` or ``NAME_ID``) and ten of coordinates: ``left_eye_x, left_eye_y, right_eye_x, …,
      nose_x, …, left_mouth_x, …, right_mouth_y`` (in Kaggle's CelebA ``lefteye_x``), or ``x1, y1, …, y5``,
      or ``P1X, P1Y, …, P5Y`` as in VGGFace2's ``loose_landmark_*.csv``. Large and small letters and ``_``
      are no matter; other columns are left alone.
    * CelebA's ``list_landmarks_align_celeba.txt``: the number of images, the ten names, and lines
      ``000001.jpg 69 109 106 113 …``.

    Where a face's points are those of its mirror image, the eyes are as a rule swapped. A few such rows,
    as profiles make them, are told and kept.

    Raises
    ------
    UserError
        If the file cannot be read, a row is wrong, or most have left and right swapped; the message names
        the line.
    """
    path = Path(path)
    first = tables.start(path, WHAT)[1].strip()
    counted = first.isascii() and first.isdigit()
    written, lines, points = _celeba(path, tables.text(path, WHAT)) if counted else _csv(path)
    items: dict[str, int] = {}
    for line, item in zip(lines, names.cleaned(written, "items", path), strict=True):
        if not item:
            raise UserError(f"{path}, line {line}: the image has no name: give it, or remove the row")
        if item in items:
            raise UserError(
                f"{path}, line {line}: {item!r} stands in line {items[item]} already: remove one of them"
            )
        items[item] = line
    if not items:
        raise UserError(f"{path} lists no landmarks: give it a row an image")
    if len(wrong := np.argwhere(~(np.abs(points) < FARTHEST))):
        row, k = wrong[0]
        raise UserError(
            f"{path}, line {lines[row]}: {points[row, k]:g} is no coordinate in pixels: correct the row, or "
            "remove it"
        )
    points = points.reshape(-1, 5, 2)
    _check_faces(path, points, items)
    return Landmarks(tuple(items), points)


def _celeba(path: Path, text: str) -> _Points:
    # As the first line was found: splitlines() would also cut at signs that strip() removes.
    lines = text.split("\n")
    announced = int(lines[0].strip()) if len(lines[0]) < 16 else -1
    names = lines[1].split() if len(lines) > 1 else []
    if tuple(map(_plain, names)) != FORMS[0]:
        raise UserError(
            f"{path}, line 2: {' '.join(names)[:80]!r} are not the ten names of CelebA's landmarks ("
            "lefteye_x lefteye_y … rightmouth_y): correct the line, or give a CSV file with a head"
        )
    rows = [(number, line.split()) for number, line in enumerate(lines[2:], 3) if line.strip()]
    if len(rows) != announced:
        raise UserError(
            f"{path} holds {len(rows):,} rows where its first line announces {lines[0].strip()[:20]}: the "
            "file is cut short, or that line is wrong"
        )
    for number, words in rows:
        if len(words) != 11:
            raise UserError(
                f"{path}, line {number}: {len(words)} words where an image and ten numbers belong: correct it"
            )
    points = [_coordinates(path, number, words[1:]) for number, words in rows]
    return [words[0] for _, words in rows], [number for number, _ in rows], np.array(points).reshape(-1, 10)


def _plain(name: str) -> str:
    plain = re.sub(r"[_\-. ]", "", name.strip().lower())
    for part in ("eye", "mouth"):
        for side in ("left", "right"):
            plain = plain.replace(part + side, side + part)
    return plain.replace("nosetip", "nose")


def _csv(path: Path) -> _Points:
    file = tables.opened(path, WHAT)
    head = {_plain(name): name for name in reversed(file.head)}
    form = next((form for form in FORMS if set(form) <= head.keys()), None)
    named = [name for name in ITEM_COLUMNS if name in head]
    if form is None or not named:
        lacks = "a column of images (item)" if not named else "the ten columns of points"
        raise UserError(
            f"{path} lacks {lacks}: name them in its first line as in item,x1,y1,x2,y2,…,x5,y5 or "
            "item,left_eye_x,left_eye_y,right_eye_x,…,right_mouth_y"
        )
    items: list[str] = []
    lines: list[int] = []
    points = []
    for rows in tables.batches(file):
        items += rows.texts(head[named[0]])
        lines += rows.lines
        points.append(rows.numbers([head[name] for name in form]))
    return items, lines, np.concatenate(points)


def _coordinates(path: Path, line: int, words: Sequence[str]) -> list[float]:
    numbers = []
    for word in words:
        try:
            numbers.append(float(word))
        except ValueError:
            raise UserError(
                f"{path}, line {line}: {word[:20]!r} is no coordinate in pixels: correct the row, or "
                "remove it"
            ) from None
    return numbers


def mirrored(points: Float[np.ndarray, "n 5 2"]) -> Bool[np.ndarray, " n"]:
    """Say which faces are mirror images: seen from the eyes, the mouth lies on the wrong side.

    Turning a face does not change the answer, swapping its eyes does; swapping the corners of the mouth
    alone is not seen.
    """
    across = points[:, 1] - points[:, 0]
    down = points[:, 3:].mean(1) - points[:, :2].mean(1)
    found: np.ndarray = across[:, 0] * down[:, 1] - across[:, 1] * down[:, 0] < 0
    return found


def _check_faces(path: Path, points: Float[np.ndarray, "n 5 2"], items: dict[str, int]) -> None:
    names = list(items)
    spread = np.ptp(points, axis=1).max(1)
    if len(flat := np.flatnonzero(spread < 1)):
        raise UserError(
            f"{path}, line {items[names[flat[0]]]}: the five points of {names[flat[0]]!r} are one and the "
            "same: correct the row, or remove it (coordinates are in pixels, not shares of the width)"
        )
    swapped = np.flatnonzero(mirrored(points))
    if 2 * len(swapped) > len(points):
        raise UserError(
            f"{path}: {len(swapped):,} of {len(points):,} faces are mirror images by their points, first "
            f"line {items[names[swapped[0]]]}: left and right are those of whoever looks at the picture; "
            "swap the columns' names"
        )
    if len(swapped):
        say(
            f"  {path}: {len(swapped):,} of {len(points):,} faces are mirror images by their points, first "
            f"line {items[names[swapped[0]]]} ({names[swapped[0]]}): their eyes may be swapped, or they are "
            "profiles"
        )
