import io
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from embedlab import progress
from embedlab.workers import Dealt, _Board, cores, dealt

PIECES = tuple(range(12))


def squared(piece):
    return piece * piece, os.getpid()


def unwell(piece):
    if piece == 11:
        os.kill(os.getpid(), signal.SIGKILL)
    if piece == 10:
        return lambda: "no process can hand this over", os.getpid()
    return squared(piece)


def telling(piece):
    progress.say("  told by each")
    for _ in progress.track(range(3), "counting"):
        time.sleep(0.05)
    return squared(piece)


def threaded(piece):
    import numba
    import threadpoolctl

    np.ones((64, 64)) @ np.ones((64, 64))
    pools = [pool["num_threads"] for pool in threadpoolctl.threadpool_info()]
    return max([numba.get_num_threads(), *pools]), os.getpid()


def begin(function):
    return function


def how(function, packed=lambda piece: piece):
    def here(piece):
        # Long enough for the other process to take its share.
        time.sleep(0.1)
        return squared(piece) if function in (unwell, telling) else function(piece)

    return Dealt(
        here, begin, (function,), packed, float, lambda piece: piece % 4, lambda piece, why: (why, 0)
    )


def test_one_process_does_them_in_their_order():
    assert list(dealt(PIECES, how(squared), 1, "squaring")) == [
        (piece, (piece * piece, os.getpid())) for piece in PIECES
    ]


def test_several_do_each_piece_once_the_others_the_longest_first():
    found = list(dealt(PIECES, how(squared), 3, "squaring"))
    assert sorted((place, value) for place, (value, _) in found) == [(p, p * p) for p in PIECES]
    mine = {place for place, (_, who) in found if who == os.getpid()}
    assert 0 in mine
    assert 11 not in mine
    assert not multiprocessing.active_children()


def test_pieces_that_are_alike_are_left_to_who_has_the_first_of_them():
    kinds = {0: "a", 1: "a", 2: "b", 3: "b", 4: "c"}
    one = how(squared)
    board = _Board(list(kinds), replace(one, size=lambda piece: piece > 1, like=kinds.get), list(kinds))
    assert board.take(1, kinds) == 2
    assert board.take(2, kinds) == 4
    assert board.take(1, kinds) == 3
    board.pending.append(2)
    assert [board.take(0, kinds) for _ in range(4)] == [0, 1, 2, None]


def test_a_long_piece_is_left_to_who_has_what_is_like_it_while_there_is_another():
    kinds = {0: "a", 1: "a", 2: "b"}
    board = _Board(
        list(kinds), replace(how(squared), size=[5, 9, 1].__getitem__, like=kinds.get), list(kinds)
    )
    assert board.take(0, kinds) == 0
    assert [board.take(1, kinds) for _ in range(3)] == [2, 1, None]


def test_what_cannot_be_sent_is_done_here():
    packed = lambda piece: None if piece > 5 else piece  # noqa: E731
    found = dict(dealt(PIECES, how(squared, packed), 2, "squaring"))
    assert all(found[piece][1] == os.getpid() for piece in PIECES if piece > 5)
    assert sorted(found) == list(PIECES)


def test_a_process_that_ends_costs_the_piece_it_had_and_says_how():
    found = dict(dealt(PIECES, how(unwell), 2, "squaring"))
    assert found[11] == ("the process that measured it was ended by SIGKILL", 0)
    assert [found[piece][0] for piece in PIECES[:10]] == [p * p for p in PIECES[:10]]
    assert sorted(found) == list(PIECES)


def test_a_result_that_cannot_be_handed_over_is_told():
    found = dict(dealt(PIECES[:11], how(unwell), 2, "squaring"))
    assert "pickle" in found[10][0].lower()


def test_what_others_say_is_shown_once_and_their_loops_as_lines(monkeypatch):
    stream = io.StringIO()
    with progress.shown(stream):
        list(dealt(PIECES, how(telling), 3, "squaring"))
    lines = stream.getvalue().splitlines()
    assert lines.count("  told by each") == 1
    assert lines[-1].startswith("  squaring: 12 done in")
    # Their loops of a moment stand within this one.
    assert not any("counting" in line for line in lines)


def test_a_long_loop_of_another_process_says_how_far_it_is():
    told = []
    listener = progress._PassedOn(lambda kind, text: told.append((kind, text)))
    listener.last -= 60.0
    for _ in listener.loop(range(4), "counting", 4):
        pass
    assert told[0] == ("line", "  counting: 1 of 4, 0 s, about 1 s left")
    assert told[-1][1].startswith("  counting: 4 done in")
    listener.close()


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_whatever_ends_the_work_ends_the_processes(error):
    def here(piece):
        raise error

    one = how(squared)
    broken = Dealt(here, one.begin, one.given, one.packed, one.size, one.like, one.lost)
    with pytest.raises(error):
        list(dealt(PIECES, broken, 3, "squaring"))
    assert not multiprocessing.active_children()


def test_who_stops_listening_ends_the_processes():
    found = dealt(PIECES, how(squared), 2, "squaring")
    next(found)
    found.close()
    assert not multiprocessing.active_children()


def test_processes_share_the_cores(monkeypatch):
    before = {word: os.environ.get(word) for word in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS")}
    found = dict(dealt(PIECES[:4], how(threaded), 2, "counting threads"))
    assert {threads for threads, _ in found.values()} <= set(range(1, max(1, cores() // 2) + 1))
    assert {word: os.environ.get(word) for word in before} == before


ORPHAN = """
import os, signal, sys
from multiprocessing import get_context
from embedlab.workers import end_with_parent
if __name__ == "__main__":
    worker = get_context("spawn").Process(target=end_with_parent)
    worker.start()
    print(worker.pid, flush=True)
    signal.pause()
"""


def test_workers_end_with_a_parent_that_is_killed(tmp_path):
    (tmp_path / "orphan.py").write_text(ORPHAN)
    parent = subprocess.Popen(
        [sys.executable, str(tmp_path / "orphan.py")],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with parent:
        worker = int(parent.stdout.readline())
        parent.kill()
    until = time.monotonic() + 30
    while time.monotonic() < until and Path(f"/proc/{worker}").exists():
        time.sleep(0.02)
        if Path(f"/proc/{worker}/stat").exists() and " Z " in Path(f"/proc/{worker}/stat").read_text():
            break
    else:
        assert not Path(f"/proc/{worker}").exists(), "the worker outlives its parent"
