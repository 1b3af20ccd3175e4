"""Face images on disk: identity folders, index files, and how one image is read."""

import hashlib
import os
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from jaxtyping import Int, UInt8

from embedlab import names
from embedlab.errors import UserError, first_line
from embedlab.progress import track
from embedlab.shapes import check_shapes
from embedlab.store import checked_name, made_name

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".pgm", ".ppm", ".tif", ".tiff", ".webp")

MIN_SIDE = 8
"""A side below this many pixels holds no face."""

MAX_PIXELS = 64_000_000
"""Larger images are refused unread: a small file can unpack to more than the memory."""

GREY = (128, 128, 128)
"""What shows through transparent pixels: the middle of the scale, near zero once normalised."""

HASH_BLOCK = 256


class UnreadableImage(UserError):
    """An image that cannot be used; the message is a short reason without the file's name."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images of people, by name; nothing is read before it is asked for.

    Attributes
    ----------
    name
        The data set's name, as probes use it.
    root
        The folder that the item names start from.
    items
        Each image's path from ``root`` with forward slashes: a stable, unique name.
    labels
        Index into ``identities`` for each item; int64 of shape (n,).
    identities
        The people, sorted.
    ignored
        How many files of the folder were no images of a person: other suffixes, hidden files, images
        outside every identity's folder.
    caution
        What a reader of figures should know of how the people were found; empty if they were given.
    files
        The path of each item as it stands on disk, from ``root``; empty where items are called so.
    """

    name: str
    root: Path
    items: tuple[str, ...]
    labels: Int[np.ndarray, " n"]
    identities: tuple[str, ...]
    ignored: int = 0
    caution: str = ""
    files: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_shapes(self)

    def __len__(self) -> int:
        return len(self.items)

    def path(self, i: int) -> Path:
        """Name the file of item ``i``."""
        return self.root / (self.files or self.items)[i]

    def image(self, i: int) -> UInt8[np.ndarray, "h w 3"]:
        """Read item ``i``.

        Raises
        ------
        UnreadableImage
            As ``read_image`` does.
        """
        return read_image(self.path(i))

    @cached_property
    def fingerprint(self) -> str:
        """A sha256 of item names, identities and every file's contents."""
        digest = hashlib.sha256()
        for item, label in zip(self.items, self.labels, strict=True):
            digest.update(f"{item}\0{self.identities[label]}\0".encode())
        root = str(self.root)
        files = self.files or self.items
        blocks = [files[k : k + HASH_BLOCK] for k in range(0, len(self), HASH_BLOCK)]
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            hashed = pool.map(lambda block: _contents(root, block), blocks)
            for contents in track(hashed, f"hashing {self.name}", len(blocks)):
                digest.update(contents)
        return digest.hexdigest()


def _contents(root: str, items: tuple[str, ...]) -> bytes:
    digests = []
    for item in items:
        try:
            file = os.open(os.path.join(root, item), os.O_RDONLY | getattr(os, "O_BINARY", 0))  # noqa: PTH118
            try:
                digest = hashlib.sha256()
                while chunk := os.read(file, 1 << 20):
                    digest.update(chunk)
            finally:
                os.close(file)
            digests.append(digest.digest())
        except OSError:
            # Reading it will fail in the same way, and that is where the reason is told.
            digests.append(bytes(32))
    return b"".join(digests)


def open_dataset(where: Path | str, name: str | None = None) -> Dataset:
    """List the images of an identity folder or of an index file.

    An identity folder holds ``<identity>/<image>``; images in deeper folders belong to the outermost
    one. An index file has a line an image, ``relative/path.jpg 17``: a path from the file's own folder,
    white space, a label. Where every line starts with a folder of the file's name
    (``highres_ids.txt`` beside ``highres/``), item names start inside that folder, so that folder and
    index give the same names.

    Parameters
    ----------
    where
        The folder or the file.
    name
        The data set's name; by default that of the folder, or of the file without ``_ids``, with other
        signs than letters, digits and ``_ . + -`` made ``_``.

    Raises
    ------
    UserError
        If there is nothing there, nothing that is an image, fewer than two people, or a line of the
        index is wrong; the message names the file and the line.
    """
    where = Path(where)
    if not where.exists():
        raise UserError(f"{where} does not exist: name a folder of people, or an index file of images")
    stem = where.resolve().name if where.is_dir() else where.stem.removesuffix("_ids")
    if where.is_dir():
        root = where
        items, people, ignored = _folder(where)
    else:
        root, items, people = _index(where, stem)
        ignored = 0
    files = items
    place = names.Place(where, "image", range(1, len(files) + 1))
    items, people = names.of_items(files, place), names.of_people(people, place)
    identities, labels = np.unique(np.asarray(people, dtype=str), return_inverse=True)
    if len(identities) < 2:
        raise UserError(
            f"{where} holds images of {people[0]!r} only: at least two people are needed to compare; put "
            "each person's images in a folder of their own"
        )
    return Dataset(
        # @ stands before a probe's pixels.
        name=made_name(stem.replace("@", " "), "data") if name is None else _name_given(name),
        root=root,
        items=tuple(items),
        labels=labels.astype(np.int64),
        identities=tuple(map(str, identities)),
        ignored=ignored,
        files=() if files == items else tuple(files),
    )


def _name_given(name: str) -> str:
    if "@" in name:
        raise UserError(f"{name!r} cannot be the name of a data set: @ stands before a probe's pixels")
    return checked_name(name, "data set")


def _folder(root: Path) -> tuple[list[str], list[str], int]:
    items = []
    ignored = 0
    for relative in _files(str(root), "", frozenset()):
        inside = "/" in relative
        hidden = relative.rpartition("/")[2].startswith(".")
        if inside and not hidden and relative.lower().endswith(SUFFIXES):
            items.append(_utf8(relative, root))
        else:
            ignored += 1
    if not items:
        raise UserError(
            f"{root} holds no images in folders of people ({ignored} other files): lay them out as "
            f"{root}/<person>/<image>, with images ending in {' '.join(SUFFIXES)}"
        )
    items.sort()
    return items, [item.partition("/")[0] for item in items], ignored


def _files(folder: str, prefix: str, above: frozenset[tuple[int, int]]) -> Iterator[str]:
    """Walk a folder, links too, but never round a circle of links."""
    try:
        status = os.stat(folder)  # noqa: PTH116
        here = (status.st_dev, status.st_ino)
        if here in above:
            return
        with os.scandir(folder) as found:
            entries = list(found)
    except OSError as error:
        raise UserError(
            f"cannot list {folder}: {error.strerror or error}: make the folder readable, or move it away"
        ) from None
    for entry in entries:
        if entry.is_dir():
            if not entry.name.startswith("."):
                yield from _files(entry.path, f"{prefix}{entry.name}/", above | {here})
        else:
            yield prefix + entry.name


def _utf8(item: str, where: Path) -> str:
    try:
        item.encode()
    except UnicodeEncodeError:
        raise UserError(f"{where} holds a file whose name is not UTF-8, {item!r}: rename it") from None
    return item


def _index(path: Path, name: str) -> tuple[Path, list[str], list[str]]:
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"cannot read {path} as a list of images ({error}): it must be UTF-8 text with a line an "
            "image, `relative/path.jpg 17`"
        ) from None
    first_line: dict[str, int] = {}
    labels = []
    for number, line in enumerate(map(str.strip, lines), start=1):
        if not line:
            continue
        parts = line.rsplit(maxsplit=1)
        if len(parts) < 2:
            raise UserError(
                f"{path}, line {number}: {line!r} has no label: write a path, a space and a label, as in "
                "`relative/path.jpg 17`"
            )
        # "./a.jpg" and "a.jpg" are one image.
        item = "/".join(part for part in parts[0].split("/") if part != ".")
        if item.startswith("/") or ".." in item.split("/"):
            raise UserError(
                f"{path}, line {number}: {item!r} leads out of {path.parent}: paths must be relative to the "
                "index file's folder, and inside it"
            )
        if item in first_line:
            raise UserError(
                f"{path}, line {number}: {item!r} stands in line {first_line[item]} already: remove one of "
                "them"
            )
        if not os.path.isfile(path.parent / item):  # noqa: PTH113
            raise UserError(
                f"{path}, line {number}: there is no file {path.parent / item}: correct the path (it starts "
                "from the index file's folder), or remove the line"
            )
        first_line[item] = number
        labels.append(parts[1])
    if not labels:
        raise UserError(f"{path} lists no images: give it a line an image, `relative/path.jpg 17`")
    items = list(first_line)
    root = path.parent
    if all(item.startswith(f"{name}/") and item != f"{name}/" for item in items):
        root = root / name
        items = [item.removeprefix(f"{name}/") for item in items]
    return root, items, _people(items, labels)


def _people(items: list[str], labels: list[str]) -> list[str]:
    """Call people by their folder where every label has one of its own, else by the label."""
    for folders in (
        [item.partition("/")[0] if "/" in item else "" for item in items],
        [item.rpartition("/")[0] for item in items],
    ):
        together = set(zip(folders, labels, strict=True))
        if "" not in folders and len(together) == len(set(folders)) == len(set(labels)):
            return folders
    return labels


def read_image(path: Path | str | BinaryIO) -> UInt8[np.ndarray, "h w 3"]:
    """Read an image as 8-bit RGB, whatever it was, turned as its EXIF orientation says.

    Sixteen-bit grey keeps its upper byte; transparent pixels show mid-grey; of an animation the first
    picture is taken. Instead of a path an open file may be given.

    Raises
    ------
    UnreadableImage
        If it is broken, cut short, too small or too large; the message is a short reason.
    """
    from PIL import Image

    try:
        with _opened(path) as (image, orientation):
            pixels = _rgb(image)
            if orientation in _TURNS:
                pixels = pixels.transpose(Image.Transpose[_TURNS[orientation]])
            # A copy, because what PIL shares is read-only.
            array: np.ndarray = np.array(pixels)
            return array
    except UnreadableImage:
        raise
    except OSError as error:
        if error.errno is not None:
            raise UnreadableImage(f"cannot be opened: {error.strerror}") from None
        raise UnreadableImage(f"broken image: {first_line(error)}") from None
    except Exception as error:
        # A broken file makes PIL's decoders raise nearly anything.
        raise UnreadableImage(f"broken image: {first_line(error)}") from None


_TURNS = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}

# Warning filters belong to the process, and images are read by many threads.
_filters = threading.Lock()


class _opened:
    """Open an image, having judged its size before anything is unpacked."""

    def __init__(self, path: Path | str | BinaryIO) -> None:
        self.path = path

    def __enter__(self) -> tuple[Any, int]:
        from PIL import Image, UnidentifiedImageError

        with _filters, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            try:
                self.image = Image.open(self.path)
            except (Image.DecompressionBombWarning, Image.DecompressionBombError):
                raise UnreadableImage(_too_large("the image")) from None
            except UnidentifiedImageError:
                empty = isinstance(self.path, Path | str) and os.path.getsize(self.path) == 0  # noqa: PTH202
                raise UnreadableImage("the file is empty" if empty else "no image that PIL knows") from None
            try:
                orientation = int(self.image.getexif().get(0x0112, 1))
            except Exception:
                # The pixels are good even where the EXIF block is not.
                orientation = 1
        width, height = self.image.size
        if min(width, height) < MIN_SIDE:
            self.image.close()
            raise UnreadableImage(
                f"{width} x {height} pixels is too small to hold a face: at least {MIN_SIDE}"
            )
        if width * height > MAX_PIXELS:
            self.image.close()
            raise UnreadableImage(_too_large(f"{width} x {height} pixels"))
        return self.image, orientation

    def __exit__(self, *_: object) -> None:
        self.image.close()


def _too_large(what: str) -> str:
    return f"{what} is too large to be one face: at most {MAX_PIXELS // 1_000_000} million pixels"


def _rgb(image: "Image.Image") -> "Image.Image":
    from PIL import Image

    if image.mode == "RGB":
        return image
    if image.mode in ("I", "I;16", "I;16L", "I;16B", "I;16N"):
        grey = np.asarray(image).astype(np.int64)
        if grey.min() < 0 or grey.max() > 65535:
            raise UnreadableImage("32-bit integers, whose scale is not known: save it with 8 or 16 bits")
        return Image.fromarray((grey >> 8).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise UnreadableImage("floating-point pixels, whose scale is not known: save it with 8 or 16 bits")
    if image.has_transparency_data:
        over = image.convert("RGBA")
        under = Image.new("RGBA", over.size, (*GREY, 255))
        return Image.alpha_composite(under, over).convert("RGB")
    return image.convert("RGB")
