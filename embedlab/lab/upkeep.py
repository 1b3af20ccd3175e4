"""What takes how much room in a lab, what rests on what, and how to be rid of it.

A result is stale where no report can fetch it any more: its analysis's code or its weights are other than
they were, or the vectors it was computed from are gone or were made later. Results are fetched by a key of
code and inputs, so that a stale one costs room and nothing else. Times are those that the files tell, since a
lab may be copied.
"""

import io
import json
import os
import tarfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from shutil import rmtree

from embedlab.errors import UserError, first_line
from embedlab.files import signatures
from embedlab.lab import embeddings
from embedlab.lab.store import DRAWN, LOCK, Lab, atomic_file, atomic_folder, locked, people_of, sweep

ROOMS = ("data", "checkpoints", "embeddings", "results")
ANY = 1
"""Of at least so many people: sets of a few that were drawn take room too."""
HEAD = "embedlab-lab.json"
"""The first file of a pack, by which it is known."""
PACKED = {"embedlab lab": 1}


@dataclass(frozen=True)
class Stored:
    """One stored result.

    Attributes
    ----------
    folder
        Where it lies.
    analysis
        Which analysis made it.
    inputs
        What it was computed from, by the titles of sets and weights.
    why
        Why it is stale; empty if it is not.
    size
        Bytes.
    """

    folder: Path
    analysis: str
    inputs: tuple[str, ...]
    why: str
    size: int


def size_of(path: Path) -> int:
    """Count the bytes of a file, or of all files in a folder; what goes meanwhile counts nothing."""
    if not path.is_dir():
        with suppress(OSError):
            return path.lstat().st_size
        return 0
    return sum(size_of(Path(entry)) for entry in _entries(path))


def _entries(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as found:
            # What a link leads to is not the lab's.
            return [entry.path for entry in found if not entry.is_symlink()]
    except OSError:
        return []


def results(lab: Lab, code_of: Callable[[str], str | None]) -> Iterator[Stored]:
    """Give every stored result.

    Parameters
    ----------
    lab
        Where.
    code_of
        Analysis → the fingerprint of its code now; None if there is no such analysis.
    """
    fingerprint = cache(lambda model: _fingerprint(lab, model))
    made, weights = dict(_sets(lab)), {f"weights of {name}": name for name in lab.trained()}
    for folder in sorted(lab.root.glob("results/*/[!.]*")):
        analysis = folder.parent.name
        try:
            record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
            prints = {str(one["input"]): one.get("fingerprint") for one in record["inputs"]}
            inputs, when, code = tuple(prints), str(record["created"]), record["code"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            yield Stored(folder, analysis, (), "it cannot be read", size_of(folder))
            continue
        now = code_of(analysis)
        gone = [one for one in inputs if one not in (*made, *weights) and not one.startswith("pairs of ")]
        why = ""
        if now is None:
            why = "there is no such analysis"
        elif now != code:
            why = "the analysis is other than it was"
        elif gone:
            why = f"{gone[0]} is gone"
        elif any(made[one] > when for one in inputs if one in made):
            why = "its vectors were made later"
        elif any(fingerprint(weights[one]) != prints[one] for one in inputs if one in weights):
            why = "its weights are others"
        yield Stored(folder, analysis, inputs, why, size_of(folder))


def _sets(lab: Lab) -> Iterator[tuple[str, str]]:
    """Give every set's title, and when it was made; of a file that does not say, the empty word."""
    drawn = lab.root.glob(f"embeddings/*/{DRAWN}*/[!.]*.parquet")
    for path in (*drawn, *lab.root.glob("embeddings/*/[!.]*.parquet")):
        model = path.parent.parent if people_of(path) else path.parent
        with suppress(UserError):
            yield f"{path.stem} in {model.name}", str(embeddings.metadata(path).get("created", ""))


def _fingerprint(lab: Lab, model: str) -> str:
    """Hash a model's weights as results of them do; empty if they cannot be read."""
    with suppress(UserError):
        return lab.weights(model).fingerprint
    return ""


def temporaries(lab: Lab) -> list[Path]:
    """List hidden temporaries and locks; those in use are among them."""
    return [
        path
        for path in sorted(lab.root.rglob(".*"))
        if path.name.endswith((".tmp", LOCK)) and not path.is_symlink()
    ]


def of_model(lab: Lab, model: str, stored: Iterable[Stored]) -> list[Path]:
    """List what a model takes: its checkpoint, its embeddings, and the results that rest on either.

    Raises
    ------
    UserError
        If the lab has no such model.
    """
    there = lab.models(ANY)
    if model not in there:
        raise UserError(f"the lab has no model {model!r}: there are {', '.join(there) or 'none'}")
    own = [lab.checkpoint(model), lab.root / "embeddings" / model]
    titles = {f"weights of {model}", *(f"{probe} in {model}" for probe in lab.probes(model, ANY))}
    resting = [one.folder for one in stored if titles & set(one.inputs)]
    return [path for path in own if path.is_dir()] + resting


def remove(lab: Lab, paths: Iterable[Path]) -> None:
    """Remove folders of a lab, each while nobody writes it, and what is left empty above them.

    Raises
    ------
    UserError
        If one cannot be removed.
    """
    for path in paths:
        with locked(path, f"removing {path}"):
            try:
                rmtree(path)
            except FileNotFoundError:
                pass
            except OSError as error:
                raise UserError(f"cannot remove {path}: {error.strerror}: remove it by hand") from None
        if path.parent.parent == lab.root / "results":
            with suppress(OSError):
                path.parent.rmdir()


def clean(lab: Lab) -> None:
    """Remove what processes left behind that ended before they could tidy up."""
    for folder in sorted({path.parent for path in temporaries(lab)}):
        sweep(folder)


def pack(lab: Lab, path: Path, *, keep: Callable[[Path], bool] = lambda _: True) -> int:
    """Write a lab as one file, .tar, to move it; without temporaries, and what ``keep`` refuses.

    Returns
    -------
    The number of files.

    Raises
    ------
    UserError
        If there is no lab, or the file would stand within it.
    """
    if not lab.root.is_dir():
        raise UserError(f"there is no lab {lab.root}: name another with --lab or $EMBEDLAB_LAB")
    if lab.root.resolve() in path.resolve().parents:
        raise UserError(f"{path} lies in the lab that it would hold: give another place")
    count = 0
    with atomic_file(path) as temporary, tarfile.open(temporary, "w", format=tarfile.PAX_FORMAT) as made:
        head = json.dumps(PACKED).encode()
        told = tarfile.TarInfo(HEAD)
        told.size = len(head)
        made.addfile(told, io.BytesIO(head))
        for file in _files(lab, keep):
            made.add(file, file.relative_to(lab.root).as_posix(), recursive=False)
            count += 1
    return count


def _files(lab: Lab, keep: Callable[[Path], bool]) -> Iterator[Path]:
    for room in ROOMS:
        waiting = [lab.root / room]
        while waiting:
            for entry in map(Path, _entries(waiting.pop())):
                if entry.name.startswith(".") or not keep(entry):
                    continue
                if entry.is_dir():
                    waiting.append(entry)
                elif entry.is_file():
                    yield entry


def unpack(path: Path, lab: Lab) -> int:
    """Read a packed lab into a folder that is not there yet, or is empty.

    Returns
    -------
    The number of files.

    Raises
    ------
    UserError
        If the file is no packed lab, is cut short, or holds what no lab has; or the folder is in use.
    """
    if lab.root.is_dir() and _entries(lab.root):
        raise UserError(f"the lab {lab.root} is not empty: name another with --lab or $EMBEDLAB_LAB")
    try:
        with tarfile.open(path, "r:") as made:
            first = made.next()
            read = made.extractfile(first) if first is not None and first.name == HEAD else None
            if read is None or json.loads(read.read(1000)) != PACKED:
                raise UserError(f"{path} is no packed lab: give a file that `embedlab lab pack` wrote")
            with atomic_folder(lab.root, replace=lab.root.is_dir()) as temporary:
                return _unpacked(path, made, temporary)
    except (tarfile.TarError, EOFError, ValueError, RecursionError) as error:
        if (other := signatures.mistaken(path, "packed lab", signatures.TAR)) is not None:
            raise other from None
        raise UserError(
            f"cannot read {path} ({first_line(error)}): give a file that `embedlab lab pack` wrote"
        ) from None
    except FileNotFoundError:
        raise UserError(f"cannot read {path}: there is no such file: correct its path") from None


def _unpacked(path: Path, made: tarfile.TarFile, folder: Path) -> int:
    count = 0
    while (one := made.next()) is not None:
        room = one.name.partition("/")[0]
        if not one.isfile() or room not in ROOMS or one.name == room:
            raise UserError(f"{path} holds {one.name!r:.80}, which no lab has: it is not unpacked")
        made.extract(one, folder, filter="data")
        count += 1
    return count
