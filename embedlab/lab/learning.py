"""How a model learned: losses, validations and ROC curves, as its training wrote them beside the checkpoint.

::

    curves.parquet             a row a step: epoch, loss, learning_rate, images_per_second, gradient_norm
    validation.parquet         a row a validation and condition: pair_accuracy, chance, which pairs were right
    roc.parquet                a row a validation and condition: far and tar (lists), auc, genuine, impostors
    validation_pairs.parquet   the pairs themselves, by the numbers of the people they show

``step`` counts the steps taken, from 1. A condition is ``""`` (images as they are) or ``"@32"`` (shrunk to
32 px first). While a training runs, the newest rows of ``curves.parquet`` stand in ``curves.parts/``, and
so on; ``read`` sees both.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float, Int

from embedlab.errors import UserError, first_line

if TYPE_CHECKING:
    import pyarrow as pa

STEPS, VALIDATIONS, ROCS = "curves.parquet", "validation.parquet", "roc.parquet"
PAIRS = "validation_pairs.parquet"
DELETE = "delete it, which loses these curves but no model"


@dataclass(frozen=True, eq=False)
class Roc:
    """Exact operating points of a ROC curve, not all of them.

    Attributes
    ----------
    far
        Shares of impostor pairs accepted, rising from 0 to 1.
    tar
        The share of genuine pairs accepted there.
    auc
        Area under the whole curve.
    genuine, impostors
        How many pairs there are of either kind.
    """

    far: Float[np.ndarray, " k"]
    tar: Float[np.ndarray, " k"]
    auc: float
    genuine: int
    impostors: int

    def tar_at(self, far: float) -> float | None:
        """Give the TAR at the highest known FAR that is no higher; None where no impostor supports it.

        A false accept rate below one impostor pair is none: ``far`` × impostors must be at least 1.
        """
        if not self.supports(far):
            return None
        return float(self.tar[np.searchsorted(self.far, far * (1 + 1e-9), side="right") - 1])

    def supports(self, far: float, least: int = 1) -> bool:
        """Say whether ``far`` stands for at least so many impostor pairs."""
        return far * self.impostors * (1 + 1e-9) >= least


@dataclass(frozen=True, eq=False)
class ValidationPairs:
    """Whom the validation pairs show.

    Attributes
    ----------
    fingerprint
        A sha256 of the pairs' images: validations on the same pairs have the same.
    first, second
        The number of the person each image of a pair shows, from 0 without gaps.
    same
        Whether both are one person.
    """

    fingerprint: str
    first: Int[np.ndarray, " p"]
    second: Int[np.ndarray, " p"]
    same: Bool[np.ndarray, " p"]

    @property
    def chance(self) -> float:
        """The accuracy of calling every pair what most of them are."""
        return float(max(self.same.mean(), 1.0 - self.same.mean()))

    @property
    def people(self) -> int:
        """How many people the pairs show."""
        return int(max(self.first.max(), self.second.max())) + 1


@dataclass(frozen=True, eq=False)
class Measured:
    """What one validation found.

    Attributes
    ----------
    figures
        ``pair_accuracy`` and ``pair_accuracy@32``.
    rocs
        The ROC curve of each condition.
    right
        Which pairs were judged rightly, by condition.
    pairs
        Whom the pairs show.
    """

    figures: Mapping[str, float]
    rocs: Mapping[str, Roc]
    right: Mapping[str, Bool[np.ndarray, " p"]] = field(default_factory=dict)
    pairs: ValidationPairs | None = None


@dataclass(frozen=True, eq=False)
class Validated:
    """One condition of one validation.

    Attributes
    ----------
    step, epoch
        After how many steps, and in which epoch (from 1).
    condition
        ``""`` or ``"@32"``.
    pair_accuracy, chance
        The share of pairs judged rightly, and that of the more frequent kind.
    pairs
        Fingerprint of the pairs; empty if unknown.
    right
        Which pairs were judged rightly; empty if unknown.
    roc
        The ROC curve, if there is one.
    """

    step: int
    epoch: int
    condition: str
    pair_accuracy: float
    chance: float
    pairs: str
    right: Bool[np.ndarray, " p"]
    roc: Roc | None


@dataclass(frozen=True, eq=False)
class Learned:
    """Everything a training wrote.

    Attributes
    ----------
    step, epoch, loss, learning_rate, images_per_second, gradient_norm
        A value a step, of shape (steps,); the gradient's norm is NaN where it was not measured.
    validations
        In the order they were made.
    pairs
        The pairs of the validations, if there were any.
    """

    step: Int[np.ndarray, " steps"]
    epoch: Int[np.ndarray, " steps"]
    loss: Float[np.ndarray, " steps"]
    learning_rate: Float[np.ndarray, " steps"]
    images_per_second: Float[np.ndarray, " steps"]
    gradient_norm: Float[np.ndarray, " steps"]
    validations: tuple[Validated, ...]
    pairs: ValidationPairs | None

    def validated(self, condition: str = "") -> tuple[Validated, ...]:
        """Give the validations of one condition, in the order they were made."""
        return tuple(one for one in self.validations if one.condition == condition)


@cache
def schemas() -> "dict[str, pa.Schema]":
    """Give the columns of each file."""
    import pyarrow as pa

    when = [pa.field("step", pa.int64(), False), pa.field("epoch", pa.int32(), False)]
    condition = pa.field("condition", pa.string(), False)
    return {
        STEPS: pa.schema(
            [
                *when,
                ("loss", pa.float64()),
                ("learning_rate", pa.float64()),
                ("images_per_second", pa.float64()),
                ("gradient_norm", pa.float64()),
            ]
        ),
        VALIDATIONS: pa.schema(
            [
                *when,
                condition,
                ("pair_accuracy", pa.float64()),
                ("chance", pa.float64()),
                ("pairs", pa.string()),
                ("count", pa.int64()),
                ("right", pa.binary()),
            ]
        ),
        ROCS: pa.schema(
            [
                *when,
                condition,
                ("far", pa.list_(pa.float64())),
                ("tar", pa.list_(pa.float64())),
                ("auc", pa.float64()),
                ("genuine", pa.int64()),
                ("impostors", pa.int64()),
            ]
        ),
        PAIRS: pa.schema([("first", pa.int32()), ("second", pa.int32()), ("same", pa.bool_())]),
    }


def parts_folder(path: Path) -> Path:
    """Name the folder of a file's newest rows."""
    return path.with_suffix(".parts")


def parts(path: Path) -> list[Path]:
    """List the files of a file's newest rows, in order."""
    return sorted(parts_folder(path).glob("[0-9]*.parquet"))


def table(path: Path) -> "pa.Table":
    """Read a file and its newest rows as one table; without either it is empty.

    Raises
    ------
    UserError
        If a file is damaged or has other columns.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    schema = schemas()[path.name]
    whole = read_table(path) if path.is_file() else schema.empty_table()
    newer = [read_table(part) for part in parts(path)]
    if whole.num_rows:
        # Parts that were merged already may still stand there after a kill.
        last = pc.max(whole["step"])
        newer = [part.filter(pc.greater(part["step"], last)) for part in newer]
    return pa.concat_tables([whole, *newer])


def read_table(path: Path) -> "pa.Table":
    """Read one Parquet file of known columns; raises as ``groups`` does."""
    import pyarrow as pa

    return pa.concat_tables([*groups(path)])


def groups(path: Path) -> "Iterator[pa.Table]":
    """Read one Parquet file of known columns, some thousand rows at a time.

    Raises
    ------
    UserError
        If it is damaged or has other columns.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = schemas()[path.name if path.name in schemas() else f"{path.parent.stem}.parquet"]
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            if not file.schema_arrow.equals(schema):
                raise UserError(
                    f"{path} has the columns {', '.join(file.schema_arrow.names)}, not those of training "
                    f"curves: {DELETE}"
                )
            yield file.schema_arrow.empty_table()
            for group in range(file.num_row_groups):
                yield file.read_row_group(group)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise UserError(f"cannot read {path} ({first_line(error)}), it is damaged: {DELETE}") from None


def is_recorded(folder: Path) -> bool:
    """Say whether a checkpoint's folder holds curves of its training."""
    path = folder / STEPS
    return path.is_file() or bool(parts(path))


def read(folder: Path) -> Learned:
    """Read the curves beside a checkpoint; those of a training that still runs as well.

    Raises
    ------
    UserError
        If there are none, or a file is damaged.
    """
    if not is_recorded(folder):
        raise UserError(f"{folder} holds no {STEPS}: give the checkpoint's folder of a model trained here")
    steps = table(folder / STEPS)
    # A column without values comes as integers from pyarrow unless asked for as floats.
    columns: dict[str, Any] = {
        name: steps[name].to_numpy().astype(np.int64 if name in ("step", "epoch") else np.float64)
        for name in steps.column_names
    }
    rocs = {(one["step"], one["condition"]): _roc(one) for one in table(folder / ROCS).to_pylist()}
    validations = tuple(
        Validated(
            step=one["step"],
            epoch=one["epoch"],
            condition=one["condition"],
            pair_accuracy=one["pair_accuracy"],
            chance=one["chance"],
            pairs=one["pairs"],
            right=_unpacked(one["right"], one["count"], folder / VALIDATIONS),
            roc=rocs.get((one["step"], one["condition"])),
        )
        for one in table(folder / VALIDATIONS).to_pylist()
    )
    return Learned(**columns, validations=validations, pairs=read_pairs(folder))


def read_pairs(folder: Path) -> ValidationPairs | None:
    """Read whom the validation pairs show; None if nothing was validated.

    Raises
    ------
    UserError
        If the file is damaged.
    """
    path = folder / PAIRS
    if not path.is_file():
        return None
    found = read_table(path)
    try:
        fingerprint = str(json.loads(found.schema.metadata[b"embedlab"])["fingerprint"])
    except (TypeError, KeyError, ValueError, RecursionError):
        raise UserError(f"{path} does not say which pairs it holds: {DELETE}") from None
    first, second, same = (found[name].to_numpy() for name in ("first", "second", "same"))
    return ValidationPairs(fingerprint, first.astype(np.int64), second.astype(np.int64), same)


def _roc(row: Mapping[str, Any]) -> Roc:
    far, tar = np.array(row["far"], np.float64), np.array(row["tar"], np.float64)
    return Roc(far, tar, row["auc"], row["genuine"], row["impostors"])


def _unpacked(right: bytes, count: int, path: Path) -> Bool[np.ndarray, " p"]:
    bits = np.unpackbits(np.frombuffer(right, np.uint8))
    if len(right) != (count + 7) // 8:
        raise UserError(f"{path} holds {len(bits)} judgements for {count} pairs: {DELETE}")
    return bits[:count].astype(bool)
