"""Whatever holds images of people, opened by what it is."""

import stat
from dataclasses import replace
from pathlib import Path

from embedlab.data.datasets import Dataset, open_dataset
from embedlab.data.folders import NoImages, listed
from embedlab.errors import UserError, first_line
from embedlab.progress import say


def open_source(where: Path | str, name: str | None = None) -> Dataset:
    """Open an identity folder, an index file, a pack, or InsightFace's ``.bin`` or ``.rec``.

    A folder without images of people that holds one such file or pack, such as that of ``train.rec``, is
    opened as what it holds. What a reader should know of it, cautions and what was left out, is said.

    Parameters
    ----------
    where
        The folder or the file.
    name
        The data set's name; by default that of the file or folder.

    Raises
    ------
    UserError
        If it is none of these, or cannot be read.
    """
    path = Path(where)
    dataset = _opened(path)
    for note in dataset.notes:
        say(f"  {path}: {note}")
    if dataset.caution:
        say(f"  caution: {dataset.caution}")
    if dataset.ignored:
        say(f"  {dataset.ignored:,} files of {where} are no images of a person and were passed over")
    return dataset if name is None else renamed(dataset, name)


def _opened(path: Path) -> Dataset:
    from embedlab.data import packed

    _look(path)
    if packed.is_pack(path):
        return packed.open_pack(path)
    if path.suffix.lower() in (".rec", ".idx") and path.with_suffix(".rec").is_file():
        from embedlab.data.recorded import open_rec

        return open_rec(path)
    if is_bin(path) and not path.is_dir():
        from embedlab.data.binned import open_bin

        return open_bin(path)
    try:
        return open_dataset(path)
    except NoImages:
        within = _held(path)
        if len(within) > 1:
            names = listed(each.name for each in within)
            raise UserError(
                f"{path} holds no images in folders of people, but {names}: give one of them"
            ) from None
        if not within:
            raise
        found = _opened(within[0])
        pairs = "; name that file itself to have its pairs too" if is_bin(within[0]) else ""
        return replace(found, notes=(*found.notes, f"opened as its {within[0].name}{pairs}"))


def _look(path: Path) -> None:
    """Refuse what cannot be looked at, and what is no file and no folder; what is missing is told later."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or first_line(error)
        raise UserError(f"cannot open {path}: {why}: name a folder of people, or a file of images") from None
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise UserError(
            f"{path} is neither a file nor a folder: name a folder of people, or a file of images"
        )


def _held(folder: Path) -> list[Path]:
    """Give the packs and files of images in a folder; only ``train.rec`` where it is there."""
    from embedlab.data import packed

    whole = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    records = [path for path in whole if path.suffix.lower() == ".rec" and path.is_file()]
    # InsightFace's own folders hold the .bin files of validation beside it.
    if first := [path for path in records if path.name == "train.rec"]:
        return first
    bins = [path for path in whole if is_bin(path) and path.is_file()]
    return sorted([*records, *bins, *(path for path in whole if packed.is_pack(path))])


def is_bin(path: Path | str) -> bool:
    """Say whether a path names an InsightFace file of images and their pairs."""
    return Path(path).suffix.lower() == ".bin"


def renamed(dataset: Dataset, name: str) -> Dataset:
    """Give the same images under another name of their data set."""
    return dataset if dataset.name == name else replace(dataset, name=name)


def find(folder: Path, name: str) -> Dataset | None:
    """Look for a data set in a folder: ``name_ids.txt``, ``name.pack``, ``name.rec`` or a folder ``name``.

    Returns
    -------
    The data set, called ``name``; None if there is none.

    Raises
    ------
    UserError
        If what is there cannot be read.
    """
    for path in (folder / f"{name}{ending}" for ending in ("_ids.txt", ".pack", ".rec", "")):
        if path.exists():
            return open_source(path, name)
    return None


def is_dataset(path: Path) -> bool:
    """Say whether a path is itself one set of images, rather than a folder of several."""
    from embedlab.data import packed

    if path.is_file() or packed.is_pack(path):
        return True
    try:
        _opened(path)
    except UserError:
        return False
    return True
