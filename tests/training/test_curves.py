"""Curves of an interrupted training are those of an unbroken one."""

import sys
import warnings

import numpy as np
import pyarrow.parquet as pq
import pytest

from embedlab.errors import UserError
from embedlab.lab import learning
from embedlab.lab.learning import Measured, Roc, ValidationPairs
from embedlab.progress import shown
from embedlab.training import curves
from embedlab.training.curves import Curves

PAIRS = ValidationPairs("pairs", np.array([0, 1, 2]), np.array([0, 1, 0]), np.array([True, True, False]))


def measured(step, pairs=PAIRS):
    figures, rocs, right = {}, {}, {}
    for condition in ("", "@32"):
        right[condition] = np.arange(3) != step % 3
        figures[f"pair_accuracy{condition}"] = 2 / 3
        rocs[condition] = Roc(np.array([0.0, 0.5, 1.0]), np.array([0.1, step / 1000, 1.0]), 0.5, 30, 20)
    return Measured(figures, rocs, right, pairs)


def run(log, first, last, *, flush=5, validate=4):
    for step in range(first, last + 1):
        log.step(step, (step + 9) // 10, 1 / step, 0.1 / step, 100.0 + step, None if step % 2 else 2.0 * step)
        if step % validate == 0:
            log.validated(step, (step + 9) // 10, measured(step))
        if step % flush == 0:
            log.flush()


def rows(folder):
    return {
        name: learning.table(folder / name).to_pylist()
        for name in (learning.STEPS, learning.VALIDATIONS, learning.ROCS)
    }


def files(folder):
    return sorted(
        str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and "tfevents" not in p.name
    )


@pytest.fixture
def asked():
    """Ask for event files; they take a second to write."""


@pytest.fixture
def board(asked):
    pytest.importorskip("tensorboard")


@pytest.fixture(autouse=True)
def no_board_unless_asked(request, monkeypatch):
    if "asked" not in request.fixturenames:
        monkeypatch.setattr(curves, "_board", lambda folder, step: None)


@pytest.fixture
def unbroken(tmp_path):
    log = Curves(tmp_path / "unbroken", step=0)
    run(log, 1, 30)
    log.close()
    return tmp_path / "unbroken"


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(curves, "STEPS_A_PART", 4)
    monkeypatch.setattr(curves, "VALIDATIONS_A_PART", 3)


def test_what_is_entered_is_read_back(unbroken):
    found = curves.read(unbroken)
    n = np.arange(1, 31)
    np.testing.assert_array_equal(found.step, n)
    np.testing.assert_array_equal(found.epoch, (n + 9) // 10)
    np.testing.assert_array_equal(found.loss, 1 / n)
    np.testing.assert_array_equal(found.learning_rate, 0.1 / n)
    np.testing.assert_array_equal(found.images_per_second, 100.0 + n)
    np.testing.assert_array_equal(found.gradient_norm, np.where(n % 2, np.nan, 2.0 * n))
    assert [one.step for one in found.validated("@32")] == [4, 8, 12, 16, 20, 24, 28]
    last = found.validations[-1]
    assert (last.epoch, last.pairs, last.roc.tar[1], last.right.tolist()) == (
        3,
        "pairs",
        0.028,
        [True, False, True],
    )
    assert last.chance == found.pairs.chance == 2 / 3
    np.testing.assert_array_equal(found.pairs.second, PAIRS.second)


def test_each_table_is_one_file_in_the_end(unbroken):
    assert files(unbroken) == [
        "curves.parquet",
        "roc.parquet",
        "validation.parquet",
        "validation_pairs.parquet",
    ]
    assert pq.read_table(unbroken / "curves.parquet").num_rows == 30


@pytest.mark.parametrize("died", [10, 12, 17, 30])
@pytest.mark.parametrize("closed", [True, False])
def test_an_interrupted_training_ends_with_the_rows_of_an_unbroken_one(
    tmp_path, unbroken, small_parts, died, closed
):
    folder = tmp_path / "broken"
    log = Curves(folder, step=0)
    run(log, 1, died)
    log.close() if closed else log.flush()
    for begin, end in ((10, 22), (20, 21), (20, 30)):
        log = Curves(folder, step=begin)
        assert learning.table(folder / learning.STEPS)["step"].to_pylist() == list(range(1, begin + 1))
        run(log, begin + 1, end)
        log.flush()
    log.close()
    assert rows(folder) == rows(unbroken)
    assert files(folder) == files(unbroken)


def test_rows_entered_after_the_last_flush_are_lost_and_this_is_said(tmp_path, capsys):
    log = Curves(tmp_path, step=0)
    run(log, 1, 10)
    run(log, 11, 14, flush=99)
    with shown(sys.stdout):
        Curves(tmp_path, step=13)
    assert "the curves of steps 11 to 13 are missing" in capsys.readouterr().out
    assert curves.read(tmp_path).step.tolist() == list(range(1, 11))


def test_a_training_that_begins_anew_drops_what_another_left(tmp_path, unbroken):
    other = ValidationPairs("others", PAIRS.first, PAIRS.second, PAIRS.same)
    log = Curves(unbroken, step=0)
    assert not learning.is_recorded(unbroken)
    assert learning.read_pairs(unbroken) is None
    log.step(1, 1, 9.0, 0.1, 1.0)
    log.validated(1, 1, measured(1, other))
    log.close()
    found = curves.read(unbroken)
    assert (found.loss.tolist(), len(found.validations), found.pairs.fingerprint) == ([9.0], 2, "others")


def test_a_flush_writes_the_newest_part_only(tmp_path, small_parts):
    log = Curves(tmp_path, step=0)
    run(log, 1, 10, flush=99)
    log.flush()
    folder = tmp_path / "curves.parts"
    written = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert sorted(written) == [f"{n:012d}.parquet" for n in (1, 5, 9)]
    run(log, 11, 11, flush=1)
    later = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert [name for name in sorted(written) if later[name] != written[name]] == [f"{9:012d}.parquet"]
    assert len(log._steps.rows["step"]) == 3


def test_a_kill_between_merging_and_removing_the_parts_loses_and_doubles_nothing(
    tmp_path, unbroken, small_parts, monkeypatch
):
    log = Curves(tmp_path / "killed", step=0)
    run(log, 1, 30)
    with monkeypatch.context() as patch:
        patch.setattr("embedlab.training._log.shutil.rmtree", lambda path: None)
        log.close()
    assert (tmp_path / "killed" / "curves.parts").is_dir()
    assert rows(tmp_path / "killed") == rows(unbroken)
    log = Curves(tmp_path / "killed", step=18)
    run(log, 19, 30)
    log.close()
    assert rows(tmp_path / "killed") == rows(unbroken)


def test_closing_twice_is_closing_once(unbroken):
    log = Curves(unbroken, step=30)
    log.close()
    log.close()
    assert curves.read(unbroken).step.tolist() == list(range(1, 31))


def test_a_training_without_validation_has_no_files_of_it(tmp_path):
    log = Curves(tmp_path, step=0)
    run(log, 1, 3)
    log.close()
    assert files(tmp_path) == ["curves.parquet"]
    assert curves.read(tmp_path).validations == ()


def test_a_step_that_is_not_after_the_last_is_a_bug(tmp_path):
    log = Curves(tmp_path, step=0)
    with pytest.raises(ValueError, match="step 0 comes after step 0"):
        log.step(0, 1, 1.0, 0.1, 1.0)


def test_a_validation_that_was_flushed_before_the_kill_is_not_entered_twice(tmp_path):
    log = Curves(tmp_path, step=0)
    run(log, 1, 8)
    log.flush()
    log = Curves(tmp_path, step=8)
    log.validated(8, 1, measured(8))
    log.close()
    assert [one.step for one in curves.read(tmp_path).validated()] == [4, 8]


def test_a_damaged_file_stops_the_resuming_training_by_name(unbroken):
    (unbroken / "curves.parquet").write_bytes(b"PAR1 and rubbish")
    with pytest.raises(UserError, match=r"cannot read .*curves.parquet .* damaged: delete it"):
        Curves(unbroken, step=10)


def test_a_place_that_cannot_be_written_to_is_named(tmp_path):
    (tmp_path / "there").mkdir()
    log = Curves(tmp_path / "there", step=0)
    (tmp_path / "there" / "curves.parts").write_text("no folder")
    log.step(1, 1, 1.0, 0.1, 1.0)
    with pytest.raises(UserError, match=r"cannot write .*curves.parts"):
        log.flush()


def scalars(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        events = EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0, "images": 0})
        events.Reload()
    found = {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    return found, {tag: [e.step for e in events.Images(tag)] for tag in events.Tags()["images"]}


def test_tensorboard_shows_the_same_numbers(board, unbroken):
    found, images = scalars(unbroken)
    assert found["training/loss"] == [(n, pytest.approx(1 / n)) for n in range(1, 31)]
    assert found["training/gradient_norm"] == [(n, 2.0 * n) for n in range(2, 31, 2)]
    assert [step for step, _ in found["validation/pair_accuracy@32"]] == [4, 8, 12, 16, 20, 24, 28]
    assert found["validation/tar_at_far_0.1"][0] == (4, pytest.approx(0.1))
    assert "validation/tar_at_far_0.01" not in found  # 20 impostor pairs
    assert images == {"validation/roc": [4, 8, 12, 16, 20, 24, 28]}


def test_tensorboard_shows_a_resumed_training_as_an_unbroken_one(tmp_path, board, unbroken):
    log = Curves(tmp_path / "broken", step=0)
    run(log, 1, 25)
    log.close()
    log = Curves(tmp_path / "broken", step=10)
    run(log, 11, 30)
    log.close()
    assert scalars(tmp_path / "broken") == scalars(unbroken)
    log = Curves(tmp_path / "broken", step=0)
    run(log, 1, 2)
    log.close()
    assert [step for step, _ in scalars(tmp_path / "broken")[0]["training/loss"]] == [1, 2]


def test_tensorboard_sees_every_tenth_of_many_steps(tmp_path, board):
    log = Curves(tmp_path, step=0)
    for step in range(1, 131):
        log.step(step, 1, 1.0, 0.1, 1.0)
    log.close()
    assert [step for step, _ in scalars(tmp_path)[0]["training/loss"]] == [*range(1, 101), 110, 120, 130]
    assert len(curves.read(tmp_path).step) == 130


def test_without_tensorboard_the_files_are_written_and_this_is_said_once(
    tmp_path, asked, unbroken, monkeypatch, capsys
):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with shown(sys.stdout):
        log = Curves(tmp_path / "without", step=0)
        run(log, 1, 30)
        log.close()
    assert capsys.readouterr().out.count("TensorBoard is not installed") == 1
    assert not (tmp_path / "without" / "tensorboard").exists()
    assert rows(tmp_path / "without") == rows(unbroken)


def test_the_losses_of_a_run_compare_with_a_written_list(tmp_path):
    losses = np.random.default_rng(0).normal(5, 1, 100).astype(np.float32)
    log = Curves(tmp_path, step=0)
    for step, loss in enumerate(losses.tolist(), 1):
        log.step(step, 1, loss, 0.1, 1.0)
    log.close()
    np.testing.assert_array_equal(curves.read(tmp_path).loss, losses.astype(float))
