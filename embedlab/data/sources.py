"""Whatever holds images of people, opened by what it is."""

from pathlib import Path

from embedlab.data.datasets import Dataset, open_dataset
from embedlab.errors import UserError
from embedlab.progress import say


def open_source(where: Path | str, name: str | None = None) -> Dataset:
    """Open an identity folder, an index file, a pack, or InsightFace's ``.bin`` or ``.rec``.

    What a reader should know of it, cautions and files passed over, is said.

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
    from embedlab.data import packed

    path = Path(where)
    if packed.is_pack(path):
        dataset: Dataset = packed.open_pack(path)
    elif path.suffix.lower() == ".rec" and path.is_file():
        from embedlab.data.recorded import open_rec

        dataset = open_rec(path)
    elif is_bin(path):
        from embedlab.data.binned import open_bin

        dataset = open_bin(path)
    else:
        dataset = open_dataset(path)
    if dataset.caution:
        say(f"  caution: {dataset.caution}")
    if dataset.ignored:
        say(f"  {dataset.ignored:,} files of {where} are no images of a person and were passed over")
    return dataset if name is None else renamed(dataset, name)


def is_bin(path: Path | str) -> bool:
    """Say whether a path names an InsightFace file of images and their pairs."""
    return Path(path).suffix.lower() == ".bin"


def renamed(dataset: Dataset, name: str) -> Dataset:
    """Give the same images under another name of their data set."""
    from dataclasses import replace

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
        open_dataset(path)
    except UserError:
        return False
    return True
