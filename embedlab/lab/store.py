"""The lab folder: data, checkpoints, embeddings, results; every write atomic.

::

    lab/data/<dataset>/…            images, and <dataset>_ids.txt, <dataset>_pairs.csv beside them
    lab/checkpoints/<model>/        model.safetensors, model.json, train_state.safetensors;
                                    curves.parquet, validation.parquet, roc.parquet, tensorboard/
    lab/embeddings/<model>/<probe>.parquet
    lab/results/<analysis>/<key>/   result.json, arrays.npz, run.json
"""

import errno
import fcntl
import glob
import hashlib
import json
import os
import re
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from shutil import rmtree
from typing import Any, Literal, TypeVar

from embedlab.errors import ESCAPED, Unwritable, UserError, unwritable
from embedlab.lab import embeddings, weights
from embedlab.lab.embeddings import EmbeddingSet
from embedlab.lab.live import Live
from embedlab.lab.weights import LayerWeights
from embedlab.progress import say

T = TypeVar("T")

READINGS = 20
"""Tries to read a folder that is replaced again and again."""

LOCK = ".embedlab-lock"

FORGOTTEN_S = 7 * 86400.0
"""After this long a temporary folder is nobody's, where the file system has no locks to tell by."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+-]*")
LONGEST_NAME = 120
"""Letters of a name at most: file systems take 255 bytes or, encrypted, 143, and file names add to it."""

WEIGHTS_FROM = (
    "name models trained or imported there, state dicts (.pth, .safetensors) or networks as module:callable; "
    "ONNX files and embeddings give none"
)


def checked_name(name: str, what: str) -> str:
    """Return a name that is safe as a file name.

    Raises
    ------
    UserError
        If it is empty or too long, begins with a dot or holds anything but letters, digits and
        ``_ . @ + -``.
    """
    article = "an" if what[0] in "aeiou" else "a"
    if len(name) > LONGEST_NAME:
        raise UserError(
            f"{name[:40]!r}… cannot be the name of {article} {what}: it has {len(name):,} letters, and "
            f"{LONGEST_NAME} are the most"
        )
    if not _NAME.fullmatch(name):
        raise UserError(
            f"{name!r} cannot be the name of {article} {what}: use letters, digits and _ . @ + - only, "
            "not beginning with a sign"
        )
    return name


def made_name(stem: str, otherwise: str) -> str:
    """Make a name that ``checked_name`` takes of whatever a file is called."""
    return re.sub(r"[^A-Za-z0-9_.@+-]+", "_", stem).lstrip(".@+-")[:LONGEST_NAME] or otherwise


def sha256_of(path: Path) -> str:
    """Hash a file's contents, as 64 hexadecimal digits.

    Raises
    ------
    UserError
        If it is a pipe or a device, which may never end.
    OSError
        If it cannot be read.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise UserError(f"cannot read {path}: it is no regular file: give the path of one")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def atomic_file(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Give a temporary path of the same name to write to, and put it in its place at the end.

    Whoever reads ``path`` sees the old file or the whole new one, after a power cut too. After an
    exception nothing is left behind; what a kill leaves, the next process that writes beside it removes.

    Parameters
    ----------
    path
        The file to make.
    durable
        Wait until the disk has it: some milliseconds, which thousands of small files need not spend.

    Raises
    ------
    UserError
        If the folder cannot be made or written to, or has no room.
    """
    with _told(path), _temporary(path) as folder:
        temporary = folder / path.name
        temporary.touch()
        yield temporary
        # After writing, because some libraries make the file anew, for its owner alone.
        temporary.chmod(0o666 & ~_umask())
        # Within a temporary folder that one waits for the disk, once for all.
        durable = durable and not any(map(_TEMPORARY.fullmatch, path.parent.parts))
        if durable:
            _sync(temporary)
        temporary.replace(path)
        if durable:
            _sync(path.parent)


@contextmanager
def atomic_folder(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """Give a temporary folder to fill, and put it in the place of ``path`` at the end.

    Losing a race to another process that makes the same folder is success: theirs stays.

    Parameters
    ----------
    path
        The folder to make.
    replace
        Put the new folder in the place of one that is there already; ``steadily`` reads such a folder.

    Raises
    ------
    UserError
        If the folder cannot be made or written to, or has no room.
    """
    with _told(path), _temporary(path) as folder:
        temporary = folder / path.name
        temporary.mkdir()
        yield temporary
        for inner, _, files in os.walk(temporary):
            for file in files:
                _sync(Path(inner) / file)
            _sync(Path(inner))
        with locked(path, f"replacing {path}") if replace else nullcontext():
            # The old one goes with the temporary folder; a loser of the race replaces the winner's.
            if not (replace and path.is_dir() and _exchanged(temporary, path)):
                if replace and path.is_dir():
                    path.rename(folder / "old")
                _settle(temporary, path)
        _sync(path.parent)


def _settle(temporary: Path, path: Path) -> None:
    try:
        temporary.rename(path)
    except OSError:
        if not path.is_dir():
            raise


def check_spared(path: Path, read: Iterable[Path | str | None]) -> None:
    """Refuse to write over, or into, what is read for it.

    Parameters
    ----------
    path
        The file or folder that is to be written.
    read
        The files and folders that are read; names that are none do no harm.

    Raises
    ------
    UserError
        If it is one of them, or would be taken for a part of a folder among them.
    """
    meant = path.resolve()
    for one in (Path(one) for one in read if one):
        source = one.resolve()
        is_part = source in meant.parents and path.suffix in ("", one.suffix)
        if source.exists() and (meant == source or is_part):
            what = f"would be written into {one}, which" if is_part else "would be written over, and"
            raise UserError(f"{path} {what} is read: give another name")


def check_writable(path: Path, *, folder: bool = False) -> None:
    """Find out before long work whether a file, or a folder, can be made at a path; leave no trace.

    Raises
    ------
    UserError
        If it cannot: its folder cannot be made or written to, its name is too long, or is that of a folder.
    """
    with _told(path):
        if path.is_dir() and not folder:
            raise UserError(f"cannot write {path}: it is a folder: give the name of a file in it")
    made = [above for above in path.parents if not above.exists()]
    try:
        with _told(path), _temporary(path) as within:
            (within / path.name).touch()
    finally:
        for above in made:
            with suppress(OSError):  # Another process may be at work there already.
                above.rmdir()


def steadily(folder: Path, read: Callable[[Path], T]) -> T:
    """Read several files of a folder that another process may replace meanwhile, all of one state of it.

    Raises
    ------
    OSError
        And whatever else ``read`` raises of a folder that nobody replaced.
    """
    for _ in range(READINGS):
        with _kept(folder) as before:
            try:
                found = read(folder)
            except Exception:
                if before is not None and _inode(folder) == before:
                    raise
            else:
                if _inode(folder) == before:
                    return found
        time.sleep(0.01)
    with locked(folder, f"replacing {folder}"):
        return read(folder)


@contextmanager
def _kept(folder: Path) -> Iterator[tuple[int, int] | None]:
    """Give a folder's inode, and hold it open, so that no other folder gets that number meanwhile."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:  # Not there, or a system that opens no folders.
        yield _inode(folder)
        return
    try:
        yield _inode(handle)
    finally:
        os.close(handle)


def _inode(path: Path | int) -> tuple[int, int] | None:
    try:
        status = os.stat(path)  # noqa: PTH116 -- of an open folder too
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _exchanged(new: Path, old: Path) -> bool:
    """Let two folders change places in one moment, where the system can and both are there."""
    import ctypes

    exchange = 2  # RENAME_EXCHANGE of Linux.
    try:
        rename = ctypes.CDLL(None).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    here = -100  # AT_FDCWD
    return bool(rename(here, os.fsencode(new), here, os.fsencode(old), exchange) == 0)


def _sync(path: Path) -> None:
    """Wait until the disk has a file's contents, or a folder's names; some file systems cannot say."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except PermissionError:
        return  # A folder that takes files may show nobody its names.
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(handle)


_asking = threading.Lock()


def _umask() -> int:
    # It can only be read by being set: two threads at once would leave the process with none.
    with _asking:
        mask = os.umask(0)
        os.umask(mask)
    return mask


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Say in a line that a path cannot be written, whichever library found out."""
    try:
        yield
    except UserError as error:
        if not (isinstance(error, Unwritable) and _concerns(error.path, path)):
            raise
        raise Unwritable(path, error.number) from None  # Nobody knows the temporary name.
    except Exception as error:
        number = unwritable(error)
        if isinstance(error, OSError) and isinstance(named := error.filename, str | bytes):
            if _concerns(Path(os.fsdecode(named)), path):
                number = error.errno or number
            elif number in (errno.EACCES, errno.EPERM):
                raise  # A file elsewhere that may not be read is another matter.
        if number is None:
            raise
        raise Unwritable(path, number) from None


def _concerns(named: Path, path: Path) -> bool:
    """Tell whether a path is that of what is to be made, of a folder above it, or of its temporary."""
    if named == path or named in path.parents:
        return True
    return path.parent in named.parents and bool(
        _TEMPORARY.fullmatch(named.relative_to(path.parent).parts[0])
    )


@contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """Make a hidden folder beside a path for what shall take its place; it goes at the end.

    Within it, because some libraries write beside the file they are given. It is locked and carries the
    number of this process, so that ``sweep`` knows when nobody works in it any more.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        # A file is in the way, and "File exists" would be said of what does not.
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path.parent)) from None
    if path.parent not in _swept:
        _swept.add(path.parent)
        sweep(path.parent)
    begin = f".{_cut(path.name)}.{os.getpid()}-"
    folder = Path(tempfile.mkdtemp(prefix=begin, suffix=".tmp", dir=path.parent))
    handle = None
    try:
        folder.chmod(0o777 & ~_umask())
        handle = _locked_at_once(folder)
        yield folder
    finally:
        rmtree(folder, ignore_errors=True)
        if handle is not None:
            os.close(handle)


_TEMPORARY = re.compile(r"\..+\.(\d+)-[a-z0-9_]{8}\.tmp", re.DOTALL)
_swept: set[Path] = set()


def _cut(name: str) -> str:
    """Shorten a name that signs are to be put to, as file systems take 255 bytes."""
    return os.fsdecode(os.fsencode(name)[:200])


def sweep(folder: Path) -> None:
    """Remove temporary folders, and locks, of processes that ended before they could."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.name.endswith((".tmp", LOCK))]
    except OSError:
        return
    for name in names:
        match = _TEMPORARY.fullmatch(name)
        if match and _is_abandoned(folder / name, int(match[1])):
            rmtree(folder / name, ignore_errors=True)
        elif name.startswith(".") and name.endswith(LOCK):
            with suppress(OSError):
                _remove_lock(folder / name)


def _remove_lock(lock: Path) -> None:
    handle = _locked_at_once(lock)
    if handle is not None:
        try:
            lock.unlink()
        finally:
            os.close(handle)


def _is_abandoned(folder: Path, process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        pass
    except (OSError, OverflowError):
        return False
    else:
        return False
    # The process may be one of another machine or container that shares the disk.
    try:
        handle = _locked_at_once(folder)
        if handle is None:
            return time.time() - folder.stat().st_mtime > FORGOTTEN_S
    except OSError:
        return False
    os.close(handle)
    return True


def _locked_at_once(path: Path) -> int | None:
    """Lock a folder or file that is there; None where the file system has no such locks.

    Raises
    ------
    BlockingIOError
        If another process holds it.
    """
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise
    except OSError:
        os.close(handle)
        return None
    return handle


_holding: ContextVar[frozenset[Path]] = ContextVar("embedlab_holding", default=frozenset())


@contextmanager
def locked(path: Path, doing: str) -> Iterator[bool]:
    """Let one process at a time work at a path; a second one says so, and waits.

    The lock is the operating system's, on a hidden file beside the path: it is gone with the process
    that held it, however that ended. Whoever holds it may lock the path again. Where no lock can be had,
    the work goes on without: what cannot be written there says so itself, and what is only read needs
    none.

    Parameters
    ----------
    path
        The file or folder that is worked at; it need not exist.
    doing
        What is done with it, as in "training lowres144".

    Yields
    ------
    Whether another process held it meanwhile, and may have done the same.
    """
    key = Path(os.path.abspath(path))  # noqa: PTH100 -- resolve() would follow a link
    if key in _holding.get():
        yield False
        return
    lock = path.with_name(f".{_cut(path.name)}{LOCK}")
    handle, waited = _lock(lock, doing)
    token = _holding.set(_holding.get() | {key})
    try:
        yield waited
    finally:
        _holding.reset(token)
        if handle is not None:
            with suppress(OSError):
                lock.unlink()
            os.close(handle)


def _lock(lock: Path, doing: str) -> tuple[int | None, bool]:
    """Wait for a lock; give its handle, None where there can be none, and whether another had it."""
    waited = False
    while True:
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError:
            return None, waited
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if not waited:
                    say(f"  another process is {doing}: waiting for it")
                waited = True
                fcntl.flock(handle, fcntl.LOCK_EX)
            # The one before may have removed the name meanwhile, and a third made it anew.
            if _inode(lock) == (os.fstat(handle).st_dev, os.fstat(handle).st_ino):
                return handle, waited
        except OSError as error:
            os.close(handle)
            say(f"  {lock.parent} has no locks ({error.strerror}): run one command there at a time")
            return None, waited
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file atomically; a number that is not finite is a bug and raises ValueError."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors=ESCAPED)


def learned_from(record: Mapping[str, Any], data: Mapping[str, Any]) -> Literal["", "no", "yes"]:
    """Say whether a network, or one that it began from, was trained on a data set; empty if unknown.

    Parameters
    ----------
    record
        What ``model.json`` says of the network.
    data
        What embeddings say of their data: ``fingerprint``, and of a pack its ``source``.
    """
    try:
        learned = {*record.get("data", {}).values(), *record.get("seen", [])}
        asked = {data.get("fingerprint"), data.get("source")} - {None, ""}
    except (AttributeError, TypeError):
        return ""
    if not learned or not asked:
        return ""
    return "yes" if learned & asked else "no"


DRAWN = ".drawn-"
"""Begins the folders, beside the sets of all people, of sets of so many that were drawn by their names."""


def people_of(path: Path) -> int:
    """Read off a file of vectors how many people were drawn into it; 0 means all."""
    count = path.parent.name.removeprefix(DRAWN)
    return int(count) if path.parent.name.startswith(DRAWN) and count.isdecimal() else 0


class Lab:
    """The working folder; nothing is created before something is written.

    Parameters
    ----------
    root
        The folder; by default ``$EMBEDLAB_LAB``, else ``./lab``.

    Attributes
    ----------
    lent
        The weights of networks that lie elsewhere, by the name of the model; gone with this object.
    live
        Networks that can be run on images, by model and probe, or why one cannot; gone with it too.

    Raises
    ------
    UserError
        If there is something of that name that is no folder.
    """

    def __init__(self, root: Path | str | None = None) -> None:
        self.root = Path(root or os.environ.get("EMBEDLAB_LAB") or "lab")
        self.lent: dict[str, LayerWeights] = {}
        self.live: dict[tuple[str, str], Live | UserError] = {}
        self.imported: dict[tuple[str, str], tuple[str, str]] = {}
        if os.path.lexists(self.root) and not self.root.is_dir():
            raise UserError(f"the lab {self.root} is no folder: name another with --lab or $EMBEDLAB_LAB")

    def __repr__(self) -> str:
        return f"Lab({str(self.root)!r})"

    @property
    def data(self) -> Path:
        """Where the data sets lie."""
        return self.root / "data"

    def checkpoint(self, model: str) -> Path:
        """Name the folder of a model's checkpoint."""
        return self.root / "checkpoints" / checked_name(model, "model")

    def embeddings_file(self, model: str, probe: str, people: int = 0) -> Path:
        """Name the Parquet file of one model's vectors for one probe.

        Where only so many people are drawn and the lab has not all of them, it is the file of the smallest
        draw that holds them; one of their own, if there is none.
        """
        folder = self.root / "embeddings" / checked_name(model, "model")
        whole = folder / f"{checked_name(probe, 'probe')}.parquet"
        if not people or whole.is_file():
            return whole
        drawn = {people_of(path): path for path in self.drawn_files(model, probe)}
        larger = [count for count in drawn if count >= people]
        return drawn[min(larger)] if larger else folder / f"{DRAWN}{people}" / whole.name

    def drawn_files(self, model: str, probe: str) -> list[Path]:
        """List the files that hold a model's vectors of some people alone, drawn by their names."""
        folder = self.root / "embeddings" / checked_name(model, "model")
        return sorted(folder.glob(f"{DRAWN}*/{glob.escape(checked_name(probe, 'probe'))}.parquet"))

    def result(self, analysis: str, key: str) -> Path:
        """Name the folder of one stored result."""
        return self.root / "results" / checked_name(analysis, "analysis") / key

    def trained(self) -> list[str]:
        """List the models with a checkpoint."""
        return sorted(path.parent.name for path in self.root.glob("checkpoints/*/model.json"))

    def models(self, people: int = 0) -> list[str]:
        """List the models with a checkpoint or embeddings, of all people or of so many drawn and more."""
        embedded = {path.parent.name for path in self.root.glob("embeddings/*/[!.]*.parquet")}
        if people:
            drawn = self.root.glob(f"embeddings/*/{DRAWN}*/[!.]*.parquet")
            embedded |= {path.parent.parent.name for path in drawn if people_of(path) >= people}
        return sorted(embedded | set(self.trained()))

    def probes(self, model: str, people: int = 0) -> list[str]:
        """List the probes a model has embeddings for: of all people, or of so many drawn ones and more."""
        folder = self.root / "embeddings" / checked_name(model, "model")
        found = {path.stem for path in folder.glob("[!.]*.parquet")}
        if people:
            drawn = folder.glob(f"{DRAWN}*/[!.]*.parquet")
            found |= {path.stem for path in drawn if people_of(path) >= people}
        return sorted(found)

    def check_imported(self) -> None:
        """See that what was imported here, each a file and its hash, was not replaced by another run since.

        Raises
        ------
        UserError
            If it was: what is read since is not what was asked for.
        """
        for (model, probe), (source, sha256) in self.imported.items():
            path = self.embeddings_file(model, probe)
            origin = embeddings.metadata(path).get("imported_from") if path.is_file() else None
            if not isinstance(origin, dict) or origin.get("sha256") != sha256:
                raise UserError(
                    f"{path} no longer holds {source}: another run replaced it meanwhile, so nothing of this "
                    "one can be trusted: give each a --lab of its own, or the files different names"
                )

    def embeddings(self, model: str, probe: str, people: int = 0) -> EmbeddingSet:
        """Read one model's vectors for one probe, under the names of their folder and file.

        They have the checkpoint's recipe, and it is known whether it was trained on them, only if that very
        network made them. With ``people`` so many are drawn, as by ``EmbeddingSet.draw``.

        Raises
        ------
        UserError
            If there is no such file, or it cannot be read.
        """
        path = self.embeddings_file(model, probe, people)
        if not path.is_file():
            there = ", ".join(self.probes(model, people)) or "none"
            # A network from elsewhere is known by its file alone.
            how, of = (model, "") if model in self.trained() else (f"{model}.onnx", ", and the images")
            raise UserError(
                f"no embeddings of probe {probe!r} in model {model!r} (there are: {there}): make them "
                f"with `embedlab extract --models {how} --probes {probe}`{of}"
            )
        found = embeddings.read(path, model, probe).draw(people)
        if not self.is_made_here(model, probe, people):
            return found
        made_of = embeddings.metadata(path).get("dataset", {})
        return replace(found, recipe=self.recipe(model), trained=learned_from(self._record(model), made_of))

    def weights(self, model: str) -> LayerWeights:
        """Give the kernels of a model by layer: as lent, or from its checkpoint.

        Raises
        ------
        UserError
            If the model was not lent and has no checkpoint in this lab, its weights are not those that
            ``model.json`` tells of, nor is its wiring, or vectors that no network made here have its name.
        """
        if model in self.lent:
            return self.lent[model]
        path = self.checkpoint(model) / "model.safetensors"
        if not path.is_file():
            raise UserError(f"{model} has no weights to read in {self.root}: {WEIGHTS_FROM}")
        record = self._record(model)
        if record.get("weights_sha256", "") not in ("", sha256_of(path)):
            raise UserError(
                f"{path} is not the file that model.json beside it was written for: train or import {model} "
                "again with --fresh"
            )
        self.refuse_strangers(model)
        found = replace(weights.read(path, model), recipe=self.recipe(model))
        return weights.wired(found, record.get("wiring", {}), path.with_name("model.json"))

    def network(self, model: str, probe: str) -> Live:
        """Give a network that can be run on images of a probe, as lent.

        Raises
        ------
        UserError
            If none was lent, or why none could be.
        """
        found = self.live.get((model, probe))
        if isinstance(found, UserError):
            raise found
        if found is None:
            raise UserError(
                f"there is no network {model} to be run on images of {probe}: name a trained model or a "
                "network's file, and give the images"
            )
        return found

    def is_made_here(self, model: str, probe: str, people: int = 0) -> bool:
        """Say whether stored vectors were made by the network that is the model's checkpoint now.

        Raises
        ------
        UserError
            If the file of the vectors cannot be read.
        """
        path = self.embeddings_file(model, probe, people)
        made_by = embeddings.metadata(path).get("model_sha256")
        return bool(made_by) and made_by == self._record(model).get("weights_sha256")

    def refuse_strangers(self, model: str) -> None:
        """Keep a network from the name of vectors that came from elsewhere, whose weights it does not have.

        Raises
        ------
        UserError
            If such vectors are stored under that name.
        """
        for probe in self.probes(model):
            path = self.embeddings_file(model, probe)
            try:
                made_by = embeddings.metadata(path).get("model_sha256")
            except UserError:
                continue  # Whoever wants these vectors is told.
            if not made_by:
                raise UserError(
                    f"{path} holds vectors from elsewhere, and a network called {model} would be taken for "
                    f"theirs: rename the folder {path.parent}, or give the network another name"
                )

    def recipe(self, model: str) -> str:
        """Name the recipe and the data that a model was trained by, whatever its seed; empty if unknown."""
        record = self._record(model)
        try:
            recipe = {key: value for key, value in record["recipe"].items() if key != "seed"}
            people = record["identities_sha256"]
        except (KeyError, AttributeError):
            return ""
        return hashlib.sha256(json.dumps([recipe, people], sort_keys=True).encode()).hexdigest()[:16]

    def _record(self, model: str) -> dict[str, Any]:
        try:
            record = json.loads((self.checkpoint(model) / "model.json").read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        return record if isinstance(record, dict) else {}
