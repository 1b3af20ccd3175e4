"""What a file is by its first bytes, whatever it is called.

Downloads end as web pages, clones without Git LFS as pointers, and files get suffixes of other kinds. A
reader that fails asks here what it was given, so that its advice fits the file.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from embedlab.errors import UserError

HEAD = 600
"""Bytes that are looked at."""


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes
    ----------
    name
        In words, with an article: "a web page".
    cure
        What to do where something else was wanted; empty if nothing general is known.
    """

    name: str
    cure: str = ""


EMPTY = Kind("an empty file", "fetch it again")
LFS = Kind("a Git LFS pointer, not the file itself", "run `git lfs pull` where it was cloned")
PAGE = Kind("a web page, not a file", "download the file itself again")
SAFETENSORS = Kind("a safetensors file", "call it .safetensors")
HDF5 = Kind("an HDF5 file, as Keras writes", "export the network to ONNX")
ZIP = Kind("a zip archive", "unpack it")
CUT_ZIP = Kind("a zip archive that is cut short", "fetch it again")
NUMPY = Kind("a .npy file of numpy", "call it .npy")
PARQUET = Kind("a Parquet file", "call it .parquet")
TORCH = Kind("a PyTorch file", "give it as .pth")
SCRIPT = Kind("a TorchScript program", "export the network to ONNX")
TAR = Kind("a tar archive", "unpack it")
ONNX = Kind("an ONNX network", "call it .onnx")

_KINDS: tuple[tuple[str, Kind], ...] = (
    (r"version https://git-lfs", LFS),
    (r"(\xef\xbb\xbf)?\s*<(!doctype|html|head|body|\?xml[^>]*>\s*<(!doctype html|html))", PAGE),
    (r"(\xef\xbb\xbf)?\s*<(\?xml|svg|Error)", Kind("a file of XML", "download the file itself again")),
    (r"(\xef\xbb\xbf)?\s*[{\[]", Kind("a file of JSON", "download the file itself again")),
    (r"\x89HDF\r\n\x1a\n", HDF5),
    (r"\x1f\x8b", Kind("a file packed with gzip", "unpack it")),
    (r"BZh[1-9]", Kind("a file packed with bzip2", "unpack it")),
    (r"\xfd7zXZ\x00", Kind("a file packed with xz", "unpack it")),
    (r"\x28\xb5\x2f\xfd", Kind("a file packed with zstd", "unpack it")),
    (r"7z\xbc\xaf\x27\x1c", Kind("a 7z archive", "unpack it")),
    (r"Rar!\x1a\x07", Kind("a RAR archive", "unpack it")),
    (r".{257}ustar", TAR),
    (r"PK(\x03\x04|\x05\x06)", ZIP),
    # The number that torch.save began with before it wrote archives.
    (r"\x80[\x02-\x05]\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19", TORCH),
    (r"%!PS|\xc5\xd0\xd3\xc6", Kind("a PostScript file")),
    (r"%PDF", Kind("a PDF file")),
    (r"8BPS", Kind("a Photoshop file")),
    (r"....ftyp(hei|hev|mif|avi)", Kind("a HEIC or AVIF picture", "save it as PNG or JPEG")),
    (r"....ftyp", Kind("a video", "save its pictures as PNG or JPEG")),
    (r"\x00\x00\x00\x0cjP  |\xff\x4f\xff\x51", Kind("a JPEG 2000 picture", "save it as PNG or JPEG")),
    (r"\x89PNG|\xff\xd8\xff|GIF8|BM.{4}\x00\x00\x00\x00|RIFF....WEBP", Kind("a picture")),
    (r"\x93NUMPY", NUMPY),
    (r"PAR1", PARQUET),
    (r"....TFL3", Kind("a TensorFlow Lite network", "export it to ONNX")),
    (r"\x08[\x01-\x20](\x12|\x1a|\x22|\x28|\x32|\x3a|\x42)", ONNX),
)
_TABLE = tuple(
    (re.compile(pattern.encode("latin1"), re.DOTALL | re.IGNORECASE), kind) for pattern, kind in _KINDS
)


def of_bytes(head: bytes) -> Kind | None:
    """Tell what begins with these bytes; None if that is not known.

    Parameters
    ----------
    head
        The first ``HEAD`` bytes, or all of a shorter file.
    """
    if not head:
        return EMPTY
    # Eight bytes of a length, and then a header of JSON; before JSON itself, which begins with the brace.
    if re.match(rb".{6}\x00\x00\{\s*\"", head, re.DOTALL):
        return SAFETENSORS
    return next((kind for pattern, kind in _TABLE if pattern.match(head)), None)


def of_file(path: Path) -> Kind | None:
    """Tell what a file is; None if that is not known, or it cannot be read.

    A zip archive is told by what it holds: what ``torch.save`` writes, a TorchScript program, or others.
    """
    try:
        with path.open("rb") as file:
            kind = of_bytes(file.read(HEAD))
    except OSError:
        return None
    return _archive(path) if kind is ZIP else kind


def check_regular(path: Path, what: str) -> None:
    """Refuse folders, pipes and devices, which would hang whoever reads them.

    Parameters
    ----------
    path
        The file; it need not exist.
    what
        As what it is read: "a list of pairs".

    Raises
    ------
    UserError
        If it is there, and no regular file.
    """
    if path.exists() and not path.is_file():
        raise UserError(f"cannot read {path} as {what}: it is no regular file: give the path of one")


def mistaken(path: Path, wanted: str, *right: Kind) -> UserError | None:
    """Say what a file is that a reader failed on; None if that is not known, or it is what was wanted.

    Parameters
    ----------
    path
        The file.
    wanted
        What it should be: "Parquet file".
    right
        The kinds that the reader reads; damaged and empty files are its own to tell.
    """
    kind = of_file(path)
    if kind is None or kind in (EMPTY, CUT_ZIP, *right):
        return None
    return UserError(f"{path} is no {wanted}, but {kind.name}: {kind.cure or 'give another file'}")


def _archive(path: Path) -> Kind:
    from zipfile import BadZipFile, ZipFile

    try:
        with ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, BadZipFile, ValueError, NotImplementedError):
        return CUT_ZIP
    if any("/code/" in name for name in names) and any(name.endswith("constants.pkl") for name in names):
        return SCRIPT
    return TORCH if any(name.endswith("data.pkl") for name in names) else ZIP
