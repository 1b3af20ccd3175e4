"""Bringing faces to one place: five points moved onto a template, or the middle cut out.

The template is the one that ArcFace's models were trained on, for 112 x 112 pixels, and scaled for other
sizes (``insightface/utils/face_align.py``: coordinates times size / 112). The move is the turning, scaling
and shifting, without mirroring, that leaves the least squares between points and template [1]_.

References
----------
.. [1] Umeyama, S. Least-squares estimation of transformation parameters between two point patterns. IEEE
   Transactions on Pattern Analysis and Machine Intelligence 13, 376–380, 1991.
"""

import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, UInt8

from embedlab.data.datasets import SUFFIXES, Dataset, UnreadableImage
from embedlab.data.degradations import prepare
from embedlab.data.encoding import encoder
from embedlab.errors import UserError
from embedlab.lab.store import locked, sha256_of, write_json
from embedlab.progress import say, track

if TYPE_CHECKING:
    from embedlab.data.detection import Detector
    from embedlab.data.landmarks import Landmarks

TEMPLATE_SIZE = 112
_TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
SIZES = (8, 4096)
SHRINKING = 0.5
"""A face that gets less than this share of its side is shrunk by an antialiasing filter first."""
AT_ONCE = 256


def template(size: int) -> Float[np.ndarray, "5 2"]:
    """Give the places of the five points in a picture of ``size`` pixels a side.

    Left eye, right eye, nose, left and right corner of the mouth, left and right being the viewer's; x
    and y in pixels from the middle of the upper left one.
    """
    return _TEMPLATE * (size / TEMPLATE_SIZE)


def similarity(
    points: Float[np.ndarray, "*n k 2"], target: Float[np.ndarray, "k 2"]
) -> Float[np.ndarray, "*n 2 3"]:
    """Find the similarity transform that moves points nearest to their targets.

    With points as complex numbers p and q about their means the transform is q = a p, and the least
    squares have a = Σ p̄ q / Σ |p|²: in the plane this is Umeyama's solution (eqs. 40–42) without mirroring.

    Parameters
    ----------
    points
        x and y of k points; several faces at once if wished.
    target
        Where they should come to lie.

    Returns
    -------
    Matrices [[u, −v, s], [v, u, t]], so that (x, y, 1) is moved to the target; NaN where all points are one.
    """
    middle = points.mean(-2, keepdims=True)
    p, q = points - middle, target - target.mean(-2)
    with np.errstate(invalid="ignore", divide="ignore"):
        u, v = (
            part.sum(-1) / (p**2).sum((-2, -1))
            for part in (p[..., 0] * q[:, 0] + p[..., 1] * q[:, 1], p[..., 0] * q[:, 1] - p[..., 1] * q[:, 0])
        )
    turned = np.stack([np.stack([u, -v], -1), np.stack([v, u], -1)], -2)
    shift = target.mean(-2)[:, None] - turned @ np.swapaxes(middle, -2, -1)
    return np.concatenate([turned, shift], -1)


def warp(
    image: UInt8[np.ndarray, "h w 3"], matrix: Float[np.ndarray, "2 3"], size: int
) -> UInt8[np.ndarray, "s s 3"]:
    """Move an image, bilinearly; what lies outside of it becomes black, as in InsightFace.

    Where the face gets less than half its side, the image is shrunk first by PIL's bilinear filter, which
    antialiases; then it is only turned and shifted.

    Parameters
    ----------
    image
        RGB, 8 bits a channel.
    matrix
        Moves (x, y, 1) of the image to x and y of the result, in pixels from the middle of the first.
    size
        Side in pixels of the result.
    """
    from PIL import Image

    turned, shift = matrix[:, :2], matrix[:, 2]
    back = np.linalg.inv(turned)
    # PIL counts from the corner of the first pixel, half a pixel before its middle.
    coefficients = np.column_stack([back, 0.5 - back @ (shift + 0.5)])
    picture = Image.fromarray(image)
    if (scale := float(np.sqrt(np.linalg.det(turned)))) < SHRINKING:
        small = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        coefficients *= (np.array(small) / picture.size)[:, None]
        picture = picture.resize(small, Image.Resampling.BILINEAR)
    moved = picture.transform(
        (size, size), Image.Transform.AFFINE, coefficients.ravel().tolist(), Image.Resampling.BILINEAR
    )
    # A copy, because what PIL shares is read-only.
    array: np.ndarray = np.array(moved)
    return array


@dataclass(frozen=True)
class Aligned:
    """What became of a data set.

    Attributes
    ----------
    path
        The identity folder.
    images, people
        How many it holds.
    left_out
        Images that are not in it, each with ``item`` and ``reason``.
    """

    path: Path
    images: int
    people: int
    left_out: tuple[dict[str, str], ...] = ()


def align(
    dataset: Dataset,
    out: Path | str,
    *,
    size: int,
    landmarks: Path | str | None = None,
    detector: "Path | str | Detector | None" = None,
    crop: bool = False,
    format: str = "png",
) -> Aligned:
    """Write a data set's faces, aligned, as an identity folder that ``open_dataset`` reads.

    The folder appears when it is whole. Until then the images lie in a hidden folder beside it, and
    beginning again goes on from there, if data, points and settings are the same. Beside the folder
    ``<out>_alignment.json`` says how it was made and what was left out, and ``.<out>.lock`` lets one
    process at a time make it. Images keep their names but for the suffix.

    Parameters
    ----------
    dataset
        The images.
    out
        The folder to make.
    size
        Side in pixels of the results.
    landmarks
        A file of five points an image, as ``landmarks.read`` reads.
    detector
        YuNet's ONNX file, or anything that finds a face's points.
    crop
        Cut out the central square instead, and bring it to ``size``.
    format
        ``png``, which loses nothing, or ``jpg``.

    Raises
    ------
    UserError
        If not exactly one of ``landmarks``, ``detector`` and ``crop`` is given, one of them cannot be
        used, ``out`` holds something else, no image can be aligned, or writing fails.
    """
    out = Path(os.path.abspath(out))  # noqa: PTH100 -- resolve() would follow a link
    if [landmarks is not None, detector is not None, crop].count(True) != 1:
        raise UserError("faces are aligned by one thing: give landmarks, or a detector, or ask for the crop")
    if not SIZES[0] <= size <= SIZES[1]:
        raise UserError(f"faces cannot be {size} pixels a side: choose {SIZES[0]} to {SIZES[1]}")
    encode = encoder(format)
    how, points, find = _finder(dataset, landmarks, detector)
    settings = {
        "dataset": dataset.name,
        "fingerprint": dataset.fingerprint,
        "size": size,
        "format": format,
        **how,
    }

    def made(i: int, target: Path) -> str | None:
        if target.exists():
            return None
        try:
            image = dataset.image(i)
        except UnreadableImage as error:
            return str(error)
        if crop:
            result = prepare(image, None, size)
        else:
            five = find(image) if find is not None else points[i]
            if five is None:
                return "no face was found" if find is not None else "it has no landmarks"
            if not _inside(five, image):
                return "its face lies outside the picture"
            result = warp(image, similarity(five, template(size)), size)
        _put(target, encode(result))
        return None

    with locked(out, f"aligning into {out}"):
        if (done := _done(out, settings)) is not None:
            say(f"  {out} was made so before, and stays")
            return done
        part = out.with_name(f".{out.name}.part")
        _begin(part, out, settings)
        return _fill(dataset, part, out, settings, made)


def _fill(
    dataset: Dataset, part: Path, out: Path, settings: dict[str, Any], made: Callable[[int, Path], str | None]
) -> Aligned:
    """Make what is missing of the images in the hidden folder, and give the folder its name.

    Parameters
    ----------
    made
        Makes the image of a row at a path; says why it could not.
    """
    names = _targets(dataset, settings["format"])
    left_out = []
    try:
        for folder in {name.rpartition("/")[0] for name in names}:
            (part / folder).mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            for i, reason in track(
                _mapped(pool, made, names, part), f"aligning {dataset.name}", len(dataset)
            ):
                if reason is not None:
                    left_out.append({"item": dataset.items[i], "reason": reason})
        return _finish(dataset, part, out, settings, left_out)
    except OSError as error:
        raise UserError(
            f"cannot write {out}: {error.strerror or error}: make room, or choose another place, and begin "
            "again; what was done is kept"
        ) from None


def _mapped(
    pool: ThreadPoolExecutor, made: Any, names: list[str], part: Path
) -> Iterator[tuple[int, str | None]]:
    """Run over all images, with only some of them waiting at a time."""
    for start in range(0, len(names), AT_ONCE):
        block = range(start, min(start + AT_ONCE, len(names)))
        yield from zip(block, pool.map(made, block, [part / names[i] for i in block]), strict=True)


def _finder(
    dataset: Dataset, landmarks: Path | str | None, detector: "Path | str | Detector | None"
) -> tuple[dict[str, str], list[Any], "Detector | None"]:
    """Say where the points come from; give those of the images, or who finds them."""
    if landmarks is not None:
        from embedlab.data import landmarks as reader

        given = reader.read(landmarks)
        return {"landmarks": sha256_of(Path(landmarks))}, _given(dataset, given, Path(landmarks)), None
    if detector is not None:
        find = detector if not isinstance(detector, Path | str) else _network(Path(detector))
        return {"detector": find.fingerprint}, [], find
    return {"crop": "centre"}, [], None


def _network(path: Path) -> "Detector":
    from embedlab.data.detection import YuNet
    from embedlab.data.mtcnn import Mtcnn

    return Mtcnn(path) if path.is_dir() else YuNet(path)


def _given(dataset: Dataset, given: "Landmarks", path: Path) -> list[Any]:
    rows = given.rows(dataset.items)
    if not (rows >= 0).any():
        raise UserError(
            f"{path} has landmarks of none of the {len(dataset):,} images of {dataset.name}: it names "
            f"{given.items[0]!r}, and the data set {dataset.items[0]!r}"
        )
    return [given.points[row] if row >= 0 else None for row in rows.tolist()]


def _inside(five: Float[np.ndarray, "5 2"], image: UInt8[np.ndarray, "h w 3"]) -> bool:
    x, y = five.mean(0)
    return bool(np.isfinite(five).all() and 0 <= x < image.shape[1] and 0 <= y < image.shape[0])


def _targets(dataset: Dataset, suffix: str) -> list[str]:
    """Name each image's place in the new folder: its person's folder, and its own name with a new suffix."""
    folders = [person.replace("/", "_") for person in dataset.identities]
    folders = [f"_{folder}" if folder.startswith(".") else folder for folder in folders]
    if len(set(folders)) < len(folders):
        twice = next(folder for folder, count in Counter(folders).items() if count > 1)
        raise UserError(f"two people of {dataset.name} would share the folder {twice}: rename one of them")
    whole = []
    for item, label in zip(dataset.items, dataset.labels.tolist(), strict=True):
        within = _within(item, dataset.identities[label]).split("/")
        # A name that begins with a point is hidden, and would be passed over.
        whole.append(
            "/".join([folders[label], *(f"_{one}" if one.startswith(".") else one for one in within)])
        )
    stems = [_stem(name) for name in whole]
    count = Counter(stems)
    names: dict[str, None] = {}
    for name, stem in zip(whole, stems, strict=True):
        # a.jpg and a.png are two images, and keep their suffixes.
        free = stem if count[stem] == 1 else name
        while f"{free}.{suffix}" in names:
            free += "_"
        names[f"{free}.{suffix}"] = None
    return list(names)


def _within(item: str, person: str) -> str:
    """Name an item without its person's folder, and with the part of the data set that it lies in."""
    part, found, rest = f"/{item}".partition(f"/{person}/")
    return f"{part[1:].replace('/', '_')}_{rest}" if found and part else item.removeprefix(f"{person}/")


def _stem(name: str) -> str:
    path = PurePosixPath(name)
    return str(path.with_suffix("")) if path.suffix.lower() in SUFFIXES else name


def _put(target: Path, data: bytes) -> None:
    temporary = target.with_name(f".{target.name}.tmp")
    temporary.write_bytes(data)
    temporary.replace(target)


def _record(out: Path) -> Path:
    return out.with_name(f"{out.name}_alignment.json")


def _done(out: Path, settings: dict[str, Any]) -> Aligned | None:
    if not out.exists():
        return None
    try:
        record = json.loads(_record(out).read_text(encoding="utf-8"))
        if record["settings"] == settings:
            out.with_name(f".{out.name}.part.json").unlink(missing_ok=True)  # A kill may have left it.
            return Aligned(out, record["images"], record["people"], tuple(record["left_out"]))
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise UserError(f"{out} is there already, and holds something else: remove it, or choose another place")


def _begin(part: Path, out: Path, settings: dict[str, Any]) -> None:
    """Keep what an earlier try left, if it was the same; else begin anew."""
    made = part.with_name(f"{part.name}.json")
    try:
        same = json.loads(made.read_text(encoding="utf-8")) == settings
    except (OSError, ValueError):
        same = False
    if not same:
        shutil.rmtree(part, ignore_errors=True)
    elif part.is_dir():
        say(f"  going on with {out} where an earlier try ended")
    write_json(made, settings)


def _finish(
    dataset: Dataset, part: Path, out: Path, settings: dict[str, Any], left_out: list[dict[str, str]]
) -> Aligned:
    kept = len(dataset) - len(left_out)
    told = "; ".join(
        f"{count:,} {reason} (first {next(one['item'] for one in left_out if one['reason'] == reason)})"
        for reason, count in Counter(one["reason"] for one in left_out).most_common(5)
    )
    if not kept:
        shutil.rmtree(part)
        part.with_name(f"{part.name}.json").unlink()
        raise UserError(f"no image of {dataset.name} could be aligned: {told}")
    if left_out:
        say(f"  {len(left_out):,} of {len(dataset):,} images were left out: {told}")
    # Folders of people without an image, and what a kill left half-written, are nobody's.
    for folder, below, files in os.walk(part, topdown=False):
        for file in files:
            if file.startswith("."):
                (Path(folder) / file).unlink()
        if not below and not any(not file.startswith(".") for file in files):
            Path(folder).rmdir()
    people = sum(1 for _ in part.iterdir())
    made = Aligned(out, kept, people, tuple(left_out))
    record = {key: value for key, value in asdict(made).items() if key != "path"}
    # Before the folder: without its record nobody would know what it holds.
    write_json(_record(out), {"settings": settings, **record})
    part.rename(out)
    part.with_name(f"{part.name}.json").unlink()
    return made
