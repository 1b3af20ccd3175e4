"""Face images on disk: identity folders, index files, and how one image is read."""

import hashlib
import os
import re
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from jaxtyping import Int, UInt8

from embedlab.data import jpeg
from embedlab.data.folders import Listing, listing
from embedlab.errors import UserError, first_line
from embedlab.files import names, signatures
from embedlab.lab.store import checked_name, made_name
from embedlab.progress import track
from embedlab.shapes import check_shapes

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".pgm", ".ppm", ".pnm", ".tif", ".tiff", ".webp"),
)

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
    notes
        Sentences on what was left out or chosen when the images were listed.
    """

    name: str
    root: Path
    items: tuple[str, ...]
    labels: Int[np.ndarray, " n"]
    identities: tuple[str, ...]
    ignored: int = 0
    caution: str = ""
    notes: tuple[str, ...] = ()
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

    An identity folder holds ``<identity>/<image>``; see `embedlab.data.folders.listing`. An index file has
    a line an image, ``relative/path.jpg 17``: a path from the file's own folder, white space, a label. A
    tab or the suffix of an image ends a path, so that both may hold spaces; paths may be written as
    Windows writes them. Where every line starts with a folder of the file's name
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
    root = where
    if where.is_dir():
        found = listing(where, SUFFIXES)
    elif where.is_file():
        root, items, people = _index(where, stem)
        found = Listing(tuple(items), tuple(people), 0, (), "")
    else:
        raise UserError(f"{where} is neither a file nor a folder: name a folder of people, or an index file")
    place = names.Place(where, "image", range(1, len(found.items) + 1))
    items, people = names.of_items(found.items, place), names.of_people(found.people, place)
    identities, labels = np.unique(np.asarray(people, dtype=str), return_inverse=True)
    if len(identities) < 2:
        raise UserError(
            f"{where} holds images of {found.people[0]!r} only: at least two people are needed to compare; "
            + _further(where, found)
        )
    return Dataset(
        # @ stands before a probe's pixels.
        name=made_name(stem.replace("@", " "), "data") if name is None else _name_given(name),
        root=root,
        items=tuple(items),
        labels=labels.astype(np.int64),
        identities=tuple(map(str, identities)),
        ignored=found.ignored,
        caution=found.caution,
        notes=found.notes,
        files=() if tuple(items) == found.items else found.items,
    )


def _further(where: Path, found: Listing) -> str:
    """Say what to do about one person only: perhaps the people are a folder further down."""
    outer = found.items[0].partition("/")[0]
    within = {item.split("/")[1] for item in found.items if item.count("/") > 1}
    if where.is_dir() and len(within) > 1:
        return f"if the {len(within):,} folders within are people, name {where / outer}"
    return "put each person's images in a folder of their own"


def _name_given(name: str) -> str:
    if "@" in name:
        raise UserError(f"{name!r} cannot be the name of a data set: @ stands before a probe's pixels")
    return checked_name(name, "data set")


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
        item, label = _parted(line, path, number)
        if item in first_line:
            raise UserError(
                f"{path}, line {number}: {item!r} stands in line {first_line[item]} already: remove one of "
                "them"
            )
        first_line[item] = number
        labels.append(label)
    if not labels:
        raise UserError(f"{path} lists no images: give it a line an image, `relative/path.jpg 17`")
    items = list(first_line)
    root = path.parent
    if all(item.startswith(f"{name}/") and item != f"{name}/" for item in items):
        root = root / name
        items = [item.removeprefix(f"{name}/") for item in items]
    return root, items, _people(items, labels)


# A path that ends as images do may be followed by a label of several words.
_ENDING = "|".join(suffix.removeprefix(".") for suffix in SUFFIXES)
_LINE = re.compile(rf"(.*\.(?:{_ENDING}))\s+(\S.*)", re.IGNORECASE)


def _parted(line: str, path: Path, number: int) -> tuple[str, str]:
    """Read an item and a label off a line of an index file."""
    whole = _LINE.fullmatch(line)
    if "\t" in line:
        written, _, label = (part.strip() for part in line.rpartition("\t"))
    elif whole is not None:
        written, label = whole[1], whole[2]
    else:
        written, label = (*line.rsplit(maxsplit=1), "")[:2]
    if not written or not label:
        raise UserError(
            f"{path}, line {number}: {line!r} has no label: write a path, a space and a label, as in "
            "`relative/path.jpg 17`"
        )
    item = _item(written)
    # On other systems than Windows a name may hold a backslash, and such a file goes first.
    if "\\" in written and not os.path.isfile(path.parent / item):  # noqa: PTH113
        item = _item(written.replace("\\", "/"))
    if item.startswith("/") or re.match("[A-Za-z]:/", item) or ".." in item.split("/"):
        raise UserError(
            f"{path}, line {number}: {item!r} leads out of {path.parent}: paths must be relative to the "
            "index file's folder, and inside it"
        )
    if not os.path.isfile(path.parent / item):  # noqa: PTH113
        raise UserError(
            f"{path}, line {number}: there is no file {path.parent / item}: correct the path (it starts "
            "from the index file's folder), or remove the line"
        )
    return item, label


def _item(written: str) -> str:
    # "./a.jpg" and "a.jpg" are one image.
    return "/".join(part for part in written.split("/") if part != ".")


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

    Of 16 bits the upper 8 are kept; transparent pixels show mid-grey; of an animation the first picture is
    taken. Instead of a path an open file may be given.

    Raises
    ------
    UnreadableImage
        If it is of none of ``FORMATS``, broken, cut short, too small or too large, or the scale of its
        numbers is not known, as of fractions, and of 16 bits of which less than a quarter is used; the
        message is a short reason.
    """
    from PIL import Image

    try:
        plain = _plain(path)
        if plain is not None:
            return plain
        with _opened(path) as image:
            depth = _depth(image)
            # All of a file is decoded here, and TIFFs are turned by PIL as they are.
            image.load()
            orientation = 1 if image.format == "TIFF" else _orientation(image)
            pixels = _rgb(image, depth)
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


def _plain(path: Path | str | BinaryIO) -> UInt8[np.ndarray, "h w 3"] | None:
    """Decode a JPEG file that needs no further look; leave anything else to PIL."""
    if not isinstance(path, Path | str):
        path.seek(0)
        return jpeg.decoded(path, MIN_SIDE, MAX_PIXELS)
    with Path(path).open("rb") as file:
        return jpeg.decoded(file, MIN_SIDE, MAX_PIXELS)


FORMATS = ("PNG", "JPEG", "BMP", "GIF", "PPM", "TIFF", "WEBP")
"""What is opened, whatever the file is called. PIL knows others for which it starts further programs."""

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


@contextmanager
def _quietly() -> Iterator[None]:
    from PIL import Image

    with _filters, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


@contextmanager
def _opened(path: Path | str | BinaryIO) -> "Iterator[Image.Image]":
    """Open an image, having judged its size before anything is unpacked."""
    from PIL import Image, UnidentifiedImageError

    with _quietly():
        try:
            image = Image.open(path, formats=FORMATS)
        except (Image.DecompressionBombWarning, Image.DecompressionBombError):
            raise UnreadableImage(_too_large("the image")) from None
        except UnidentifiedImageError:
            raise UnreadableImage(_unknown(path)) from None
    with image:
        width, height = image.size
        if min(width, height) < MIN_SIDE:
            raise UnreadableImage(
                f"{width} x {height} pixels is too small to hold a face: at least {MIN_SIDE}"
            )
        if width * height > MAX_PIXELS:
            raise UnreadableImage(_too_large(f"{width} x {height} pixels"))
        yield image


def _unknown(path: Path | str | BinaryIO) -> str:
    if isinstance(path, Path | str):
        kind = signatures.of_file(Path(path))
    else:
        path.seek(0)
        kind = signatures.of_bytes(path.read(signatures.HEAD))
    if kind is signatures.EMPTY:
        return "the file is empty"
    return f"{kind.name}, and no image that is read" if kind else "no image that is read"


def _too_large(what: str) -> str:
    return f"{what} is too large to be one face: at most {MAX_PIXELS // 1_000_000} million pixels"


def _orientation(image: "Image.Image") -> int:
    try:
        with _quietly():
            return int(image.getexif().get(0x0112, 1))
    except Exception:
        # The pixels are good even where the EXIF block is not.
        return 1


@dataclass(frozen=True)
class _Depth:
    """How an image's numbers are stored.

    Attributes
    ----------
    bits
        Of each channel.
    signed
        Whether they may be negative, or fractions.
    inverted
        Whether zero is white and PIL leaves it so.
    """

    bits: int = 8
    signed: bool = False
    inverted: bool = False


def _depth(image: "Image.Image") -> _Depth:
    """Read the depth off a file's header; after decoding PIL's mode does not tell it."""
    if image.format == "TIFF":
        tags = image.tag_v2  # type: ignore[attr-defined]
        bits, sample = (np.atleast_1d(tags.get(key, usual)) for key, usual in ((258, 1), (339, 1)))
        deep = image.mode.startswith("I")
        return _Depth(int(bits.max()), bool((sample != 1).any()), deep and tags.get(262) == 0)
    if image.format == "PNG":
        tile = image.tile  # type: ignore[attr-defined]
        return _Depth(16 if image.mode.startswith("I") or ";16" in str(tile) else 8)
    # PIL brings those of PPM files to 16 bits.
    return _Depth(16 if image.format == "PPM" and image.mode == "I" else 8)


DIM = 64
"""Of 255. Where the brightest of 16-bit pixels is below this quarter of the scale, they may as well be of 8
to 14 bits, and would come out black."""


def _rgb(image: "Image.Image", depth: _Depth) -> "Image.Image":
    from PIL import Image

    if image.mode == "RGB" and depth.bits <= 8:
        return image
    if image.mode == "F" or depth.signed or depth.bits > 16:
        numbers = "signed integers" if depth.bits <= 16 else f"{depth.bits}-bit integers"
        kind = "floating-point pixels" if image.mode == "F" else numbers
        raise UnreadableImage(f"{kind}, whose scale is not known: save it with 8 bits")
    if image.mode.startswith("I"):
        return Image.fromarray(_eight_bits(np.asarray(image).astype(np.int64), depth)).convert("RGB")
    if depth.bits == 16:
        # PIL has kept the upper bytes only.
        _check_scale(int(np.asarray(image)[..., :3].max()), 255, "the upper byte of 16-bit pixels")
    if image.mode == "LAB":
        raise UnreadableImage("colours of the kind LAB, which are not converted: save it as RGB")
    if image.has_transparency_data:
        over = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
        under = Image.new("RGBA", over.size, (*GREY, 255))
        return Image.alpha_composite(under, over).convert("RGB")
    return image.convert("RGB")


def _eight_bits(grey: Int[np.ndarray, "h w"], depth: _Depth) -> UInt8[np.ndarray, "h w"]:
    top = (1 << depth.bits) - 1
    # Where the file itself says 12 bits, that is the scale.
    if depth.bits == 16:
        _check_scale(int(grey.max()), top, "16-bit pixels")
    grey = top - grey if depth.inverted else grey
    eight: np.ndarray = (grey >> (depth.bits - 8)).astype(np.uint8)
    return eight


def _check_scale(most: int, top: int, what: str) -> None:
    if most * 255 < DIM * top:
        raise UnreadableImage(
            f"{what} that end at {most:,} of {top:,}, so that their scale is not known (fewer bits in a "
            f"16-bit file?): save it with 8 bits"
        )
