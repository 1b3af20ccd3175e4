"""The lab folder: data, checkpoints, embeddings, results; every write atomic.

::

    lab/data/<dataset>/…            images, and <dataset>_ids.txt, <dataset>_pairs.csv beside them
    lab/checkpoints/<model>/        model.safetensors, model.json, train_state.safetensors;
                                    curves.parquet, validation.parquet, roc.parquet, tensorboard/
    lab/embeddings/<model>/<probe>.parquet
    lab/results/<analysis>/<key>/   result.json, arrays.npz, run.json
"""

import hashlib
import json
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from embedlab import embeddings, weights
from embedlab.embeddings import EmbeddingSet
from embedlab.errors import UserError
from embedlab.progress import say
from embedlab.weights import LayerWeights

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+-]*")


def checked_name(name: str, what: str) -> str:
    """Return a name that is safe as a file name.

    Raises
    ------
    UserError
        If it is empty, begins with a dot or holds anything but letters, digits and ``_ . @ + -``.
    """
    if not _NAME.fullmatch(name):
        raise UserError(
            f"{name!r} cannot be the name of a {what}: use letters, digits and _ . @ + - only, "
            "not beginning with a sign"
        )
    return name


def made_name(stem: str, otherwise: str) -> str:
    """Make a name that ``checked_name`` takes of whatever a file is called."""
    return re.sub(r"[^A-Za-z0-9_.@+-]+", "_", stem).lstrip(".@+-") or otherwise


def sha256_of(path: Path) -> str:
    """Hash a file's contents, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path`` to write to, and rename it at the end.

    Whoever reads ``path`` sees the old file or the whole new one. After an exception nothing is
    left behind; after a kill at most a temporary file that nobody reads.

    Raises
    ------
    UserError
        If the folder cannot be made or written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise UserError(
            f"cannot write {path}: {error.strerror or error}: choose another place, or make the "
            "folder writable"
        ) from None
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        try:
            # After writing, because some libraries make the file anew, for its owner alone.
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(path)
        except OSError as error:
            raise UserError(f"cannot write {path}: {error.strerror or error}: choose another place") from None
    finally:
        temporary.unlink(missing_ok=True)


_asking = threading.Lock()


def _umask() -> int:
    # It can only be read by being set: two threads at once would leave the process with none.
    with _asking:
        mask = os.umask(0)
        os.umask(mask)
    return mask


@contextmanager
def atomic_folder(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """Give a temporary folder beside ``path`` to fill, and rename it at the end.

    Losing a race to another process that makes the same folder is success: theirs stays.

    Parameters
    ----------
    path
        The folder to make.
    replace
        Put the new folder in the place of one that is there already.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    temporary.chmod(0o777 & ~_umask())
    try:
        yield temporary
        if replace and path.is_dir():
            shutil.rmtree(path)
        try:
            temporary.rename(path)
        except OSError:
            if not path.is_dir():
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def locked(path: Path, doing: str) -> Iterator[None]:
    """Let one process at a time work at a path; a second one says so, and waits.

    The lock is the operating system's, on ``.<name>.lock`` beside the path: it is gone with the process
    that held it, however that ended.

    Parameters
    ----------
    path
        The file or folder that is worked at; it need not exist.
    doing
        What is done with it, as in "training lowres144".

    Raises
    ------
    UserError
        If the folder cannot be made or written to.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(path.with_name(f".{path.name}.lock"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            say(f"  another process is {doing}: waiting for it")
            lock.acquire()
    except OSError as error:
        raise UserError(f"cannot write {path.parent}: {error.strerror or error}: make it writable") from None
    try:
        yield
    finally:
        lock.release()


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file atomically; a number that is not finite is a bug and raises ValueError."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    with atomic_file(path) as temporary:
        # A name of bytes that are no UTF-8 becomes JSON's own escape.
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


class Lab:
    """The working folder; nothing is created before something is written.

    Parameters
    ----------
    root
        The folder; by default ``$EMBEDLAB_LAB``, else ``./lab``.
    """

    def __init__(self, root: Path | str | None = None) -> None:
        self.root = Path(root or os.environ.get("EMBEDLAB_LAB") or "lab")

    def __repr__(self) -> str:
        return f"Lab({str(self.root)!r})"

    @property
    def data(self) -> Path:
        """Where the data sets lie."""
        return self.root / "data"

    def checkpoint(self, model: str) -> Path:
        """Name the folder of a model's checkpoint."""
        return self.root / "checkpoints" / checked_name(model, "model")

    def embeddings_file(self, model: str, probe: str) -> Path:
        """Name the Parquet file of one model's vectors for one probe."""
        folder = self.root / "embeddings" / checked_name(model, "model")
        return folder / f"{checked_name(probe, 'probe')}.parquet"

    def result(self, analysis: str, key: str) -> Path:
        """Name the folder of one stored result."""
        return self.root / "results" / checked_name(analysis, "analysis") / key

    def trained(self) -> list[str]:
        """List the models with a checkpoint."""
        return sorted(path.parent.name for path in self.root.glob("checkpoints/*/model.json"))

    def models(self) -> list[str]:
        """List the models with a checkpoint or embeddings."""
        embedded = {path.parent.name for path in self.root.glob("embeddings/*/[!.]*.parquet")}
        return sorted(embedded | set(self.trained()))

    def probes(self, model: str) -> list[str]:
        """List the probes a model has embeddings for."""
        folder = self.root / "embeddings" / checked_name(model, "model")
        return sorted(path.stem for path in folder.glob("[!.]*.parquet"))

    def embeddings(self, model: str, probe: str) -> EmbeddingSet:
        """Read one model's vectors for one probe, under the names of their folder and file.

        They have the checkpoint's recipe only if that very network made them.

        Raises
        ------
        UserError
            If there is no such file, or it cannot be read.
        """
        path = self.embeddings_file(model, probe)
        if not path.is_file():
            there = ", ".join(self.probes(model)) or "none"
            raise UserError(
                f"no embeddings of probe {probe!r} in model {model!r} (there are: {there}): make them "
                f"with `embedlab extract --models {model} --probes {probe}`"
            )
        found = embeddings.read(path, model, probe)
        return replace(found, recipe=self.recipe(model)) if self.is_made_here(model, probe) else found

    def weights(self, model: str) -> LayerWeights:
        """Read the kernels of a model's checkpoint by layer.

        Raises
        ------
        UserError
            If the model has no checkpoint in this lab, its weights are not those that ``model.json`` tells
            of, or vectors that no network made here have its name.
        """
        path = self.checkpoint(model) / "model.safetensors"
        if not path.is_file():
            raise UserError(
                f"{model} has no checkpoint in {self.root}, so there are no weights to read: weights are "
                "compared between models that were trained there"
            )
        if self._record(model).get("weights_sha256", "") not in ("", sha256_of(path)):
            raise UserError(
                f"{path} is not the file that model.json beside it was written for: train or import {model} "
                "again with --fresh"
            )
        self.refuse_strangers(model)
        return replace(weights.read(path, model), recipe=self.recipe(model))

    def is_made_here(self, model: str, probe: str) -> bool:
        """Say whether stored vectors were made by the network that is the model's checkpoint now.

        Raises
        ------
        UserError
            If the file of the vectors cannot be read.
        """
        made_by = embeddings.metadata(self.embeddings_file(model, probe)).get("model_sha256")
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
