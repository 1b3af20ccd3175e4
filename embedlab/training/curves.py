"""What a training writes about itself while it runs: Parquet files beside the checkpoint, and TensorBoard.

`embedlab.lab.learning` says what the files hold, and reads them.
"""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from embedlab.files import parquet
from embedlab.lab.learning import (
    PAIRS,
    ROCS,
    STEPS,
    VALIDATIONS,
    Learned,
    Measured,
    Roc,
    ValidationPairs,
    read,
    read_pairs,
    schemas,
)
from embedlab.lab.store import atomic_file
from embedlab.progress import say
from embedlab.training._log import Log

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

__all__ = ["Curves", "Learned", "Measured", "read"]

TENSORBOARD = "tensorboard"
FARS = (0.1, 0.01, 0.001, 1e-4, 1e-5, 1e-6)
# Rows that a flush writes at most.
STEPS_A_PART, VALIDATIONS_A_PART = 4096, 64
# TensorBoard takes 0.2 ms a number: all of the first steps, then every tenth.
BOARD_ALL, BOARD_EVERY = 100, 10


class Curves:
    """The curves of one training.

    Flush them before the resumable state is written: then whatever interrupts the training, the rows up to
    that state are on disk, and a training resumed from it ends with the rows of an unbroken one.

    Parameters
    ----------
    folder
        The checkpoint's folder.
    step
        How many steps were taken before: 0 begins anew, and drops what an earlier training left; else
        rows of later steps are dropped.

    Raises
    ------
    UserError
        If a file of an earlier try is damaged, or the folder cannot be written to.
    """

    def __init__(self, folder: Path, *, step: int) -> None:
        self.folder = folder
        self._steps = Log(folder / STEPS, step, STEPS_A_PART)
        self._validations = Log(folder / VALIDATIONS, step, VALIDATIONS_A_PART)
        self._rocs = Log(folder / ROCS, step, VALIDATIONS_A_PART)
        if self._steps.last < step:
            say(
                f"{folder}: the curves of steps {self._steps.last + 1:,} to {step:,} are missing, because "
                "the training was stopped before they were written"
            )
        if step == 0:
            (folder / PAIRS).unlink(missing_ok=True)
        known = read_pairs(folder)
        self._pairs = known.fingerprint if known else ""
        self._board = _board(folder / TENSORBOARD, step)

    def step(
        self,
        step: int,
        epoch: int,
        loss: float,
        learning_rate: float,
        images_per_second: float,
        gradient_norm: float | None = None,
    ) -> None:
        """Enter one step.

        Parameters
        ----------
        step
            How many steps were taken, this one included, over all epochs.
        epoch
            The epoch, from 1.
        loss, learning_rate, images_per_second
            Of this step.
        gradient_norm
            L2 norm of the gradient over all parameters, before clipping.

        Raises
        ------
        ValueError
            If the step is not after the last one. This is a bug in the code that trains.
        """
        if step <= self._steps.last:
            raise ValueError(f"step {step} comes after step {self._steps.last}")
        row = {"loss": loss, "learning_rate": learning_rate, "images_per_second": images_per_second}
        self._steps.add(step=step, epoch=epoch, gradient_norm=gradient_norm, **row)
        if self._board is not None and (step <= BOARD_ALL or step % BOARD_EVERY == 0):
            for name, value in {**row, "gradient_norm": gradient_norm}.items():
                if value is not None:
                    self._board.add_scalar(f"training/{name}", value, step)

    def validated(self, step: int, epoch: int, measured: Measured) -> None:
        """Enter what a validation found after ``step`` steps; one that is there already stays."""
        if step <= self._validations.last:
            return
        if measured.pairs is not None and measured.pairs.fingerprint != self._pairs:
            _write_pairs(self.folder / PAIRS, measured.pairs)
            self._pairs = measured.pairs.fingerprint
        for figure, accuracy in measured.figures.items():
            if not figure.startswith("pair_accuracy"):
                continue
            condition = figure.removeprefix("pair_accuracy")
            right = measured.right.get(condition, np.zeros(0, bool))
            self._validations.add(
                step=step,
                epoch=epoch,
                condition=condition,
                pair_accuracy=accuracy,
                chance=measured.pairs.chance if measured.pairs else None,
                pairs=measured.pairs.fingerprint if measured.pairs else "",
                count=len(right),
                right=np.packbits(right).tobytes(),
            )
        for condition, roc in measured.rocs.items():
            self._rocs.add(
                step=step,
                epoch=epoch,
                condition=condition,
                far=roc.far.tolist(),
                tar=roc.tar.tolist(),
                auc=roc.auc,
                genuine=roc.genuine,
                impostors=roc.impostors,
            )
        if self._board is not None:
            _show(self._board, step, measured)

    def flush(self) -> None:
        """Bring everything entered so far to the disk."""
        for log in (self._steps, self._validations, self._rocs):
            log.flush()
        if self._board is not None:
            self._board.flush()

    def close(self) -> None:
        """Bring everything to the disk, and each table into one file."""
        for log in (self._steps, self._validations, self._rocs):
            log.close()
        if self._board is not None:
            self._board.close()


def _write_pairs(path: Path, pairs: ValidationPairs) -> None:
    import pyarrow as pa

    columns = {"first": pairs.first, "second": pairs.second, "same": pairs.same}
    with atomic_file(path) as temporary:
        table = pa.table(columns, schema=schemas()[PAIRS])
        parquet.write(temporary, [table], {"fingerprint": pairs.fingerprint})


def _board(folder: Path, step: int) -> "SummaryWriter | None":
    """Open the event files; None where TensorBoard is not installed."""
    with warnings.catch_warnings():
        # TensorBoard's own imports use what numpy, protobuf and setuptools are about to drop.
        warnings.simplefilter("ignore")
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            say("TensorBoard is not installed, so no event files are written: `pip install tensorboard`")
            return None
    if step == 0:
        for old in folder.glob("events.out.tfevents.*"):
            old.unlink()
    folder.mkdir(parents=True, exist_ok=True)
    return SummaryWriter(str(folder), purge_step=step + 1 if step else None)


def _show(board: "SummaryWriter", step: int, measured: Measured) -> None:
    for figure, value in measured.figures.items():
        board.add_scalar(f"validation/{figure}", value, step)
    for condition, roc in measured.rocs.items():
        board.add_scalar(f"validation/auc{condition}", roc.auc, step)
        for far in FARS:
            tar = roc.tar_at(far)
            if tar is not None:
                board.add_scalar(f"validation/tar_at_far_{far:g}{condition}", tar, step)
    if measured.rocs:
        board.add_figure("validation/roc", _picture(measured.rocs), step, close=False)


def _picture(rocs: dict[str, Roc] | Any) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4.5), dpi=80)
    axes = figure.subplots()
    for condition, roc in rocs.items():
        axes.step(roc.far, roc.tar, where="post", label=condition or "as they are")
    axes.set(xscale="log", xlim=(1 / max(roc.impostors for roc in rocs.values()), 1), ylim=(0, 1.02))
    axes.set(xlabel="false accept rate", ylabel="true accept rate")
    axes.grid(visible=True, alpha=0.3)
    axes.legend(loc="lower right")
    return figure
