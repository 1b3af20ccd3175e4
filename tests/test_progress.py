import dataclasses
import io
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest

from embedlab import analysis, progress
from embedlab.progress import about, blocks, busy, carried, in_words, say, shown, sweep, track
from tests.planted import embedding_set, grouped, layer_weights
from tests.planted_live import Planted


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass when a test says so; the thread that breaks silences has clocks of its own."""
    now = SimpleNamespace(at=1000.0)
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: now.at))
    monkeypatch.setattr(progress._Lines, "_break_silences", lambda self: None)
    return now


def passing(clock, seconds, items):
    """Items that take so long each."""
    for item in items:
        yield item
        clock.at += seconds


def lines(stream):
    return stream.getvalue().splitlines()


def test_silent_when_nobody_listens(capsys):
    assert list(track(range(3), "counting")) == [0, 1, 2]
    assert list(sweep(range(3), "counting", 3, "three numbers")) == [0, 1, 2]
    with busy("waiting"), about("a test"):
        say("nothing")
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def test_plain_lines_where_there_is_no_terminal():
    stream = io.StringIO()
    with shown(stream):
        assert list(track(iter(range(3)), "counting", 3)) == [0, 1, 2]
        say("a stage ended")
    assert "counting: 3 done in" in stream.getvalue()
    assert "a stage ended" in stream.getvalue()


def test_a_long_loop_says_how_far_it_is_and_how_long_it_will_take(clock):
    stream = io.StringIO()
    with shown(stream):
        for _ in track(range(10), "counting"):
            clock.at += 2.0
    assert lines(stream) == [
        "  counting: 3 of 10, 6 s, about 14 s left",
        "  counting: 6 of 10, 12 s, about 8 s left",
        "  counting: 9 of 10, 18 s, about 2 s left",
        "  counting: 10 done in 20.0 s",
    ]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "1 s"), (40, "40 s"), (89, "89 s"), (600, "10 min"), (5399, "90 min"), (9000, "2.5 h")],
)
def test_times_in_words(seconds, words):
    assert in_words(seconds) == words


def test_loops_within_loops_end_silently_unless_they_were_long(clock):
    stream = io.StringIO()
    with shown(stream):
        for k in track(range(2), "outer"):
            list(passing(clock, 0.1 if k == 0 else 3.0, track(range(3), f"inner {k}")))
    assert [line.split(":")[0].strip() for line in lines(stream)] == ["inner 1", "inner 1", "outer"]


def test_what_loops_belong_to_stands_before_them(clock):
    stream = io.StringIO()
    with shown(stream), about("geometry, lowres144"), about("probe p [x]"):
        list(track(range(2), "pairs"))
    assert lines(stream) == ["  geometry, lowres144: probe p [x]: pairs: 2 done in 0.0 s"]


def test_a_sweep_tells_its_length_from_its_first_steps(clock):
    stream = io.StringIO()
    with shown(stream):
        for _ in sweep(range(1000), "all pairs", 1000, "499,500 pairs of 1,000 images"):
            clock.at += 0.3
    assert lines(stream)[0] == "  all pairs: 499,500 pairs of 1,000 images, about 5 min"
    short = io.StringIO()
    with shown(short):
        list(sweep(range(8), "all pairs", 8, "28 pairs"))
    assert lines(short) == ["  all pairs: 8 done in 0.0 s"]


def test_one_block_is_no_loop():
    stream = io.StringIO()
    with shown(stream):
        assert list(blocks(range(0, 5, 8), "blocks")) == [0]
        assert not stream.getvalue()
        assert list(blocks(range(0, 5, 2), "blocks")) == [0, 2, 4]
    assert "blocks: 3 done" in stream.getvalue()


def test_a_step_that_takes_long_is_told_of_by_a_thread(monkeypatch):
    monkeypatch.setattr(progress, "PLAIN_INTERVAL_S", 0.3)
    stream = io.StringIO()
    with shown(stream):
        for _ in track(range(1), "outer"):
            with busy("t-SNE of 9 images"):
                time.sleep(0.7)
    heard = lines(stream)
    assert sum(line.startswith("  t-SNE of 9 images: ") for line in heard) >= 2
    assert progress.BEAT not in {thread.name for thread in threading.enumerate()}


def test_where_nothing_is_tracked_the_command_is_named(monkeypatch):
    monkeypatch.setattr(progress, "PLAIN_INTERVAL_S", 0.3)
    stream = io.StringIO()
    with shown(stream, "import"):
        time.sleep(0.5)
    assert lines(stream)[0].startswith("  import: ")
    with shown(silent := io.StringIO()):
        time.sleep(0.5)
    assert not silent.getvalue()


def test_a_call_of_known_length_says_so_before(clock):
    stream = io.StringIO()
    with shown(stream), busy("t-SNE of 13,233 images", 60):
        clock.at += 1
    assert lines(stream) == ["  t-SNE of 13,233 images, about 60 s"]


def test_other_threads_are_heard_and_end_when_nobody_waits(monkeypatch):
    monkeypatch.setattr(progress, "PLAIN_INTERVAL_S", 0.0)
    stream, stopped = io.StringIO(), threading.Event()
    with shown(stream), about("similarity"), ThreadPoolExecutor(2) as pool:
        work = carried(lambda n: list(track(range(n), "matching")), stopped)
        assert list(pool.map(work, (2, 3))) == [[0, 1], [0, 1, 2]]
        assert "similarity: matching: 1 of 3" in stream.getvalue()
        stopped.set()
        with pytest.raises(progress.Stopped):
            pool.submit(work, 5).result()


def test_bars_on_a_terminal_nest_and_let_lines_through():
    stream = Terminal()
    with shown(stream):
        for _ in track(range(2), "outer [x]"):
            list(track(range(2), "inner"))
            with busy("one call [y]"):
                say("a [bracket] line")
    assert "outer [x]" in stream.getvalue()
    assert "one call [y]" in stream.getvalue()
    assert "a [bracket] line" in stream.getvalue()


def test_what_is_printed_beside_bars_goes_where_it_should(capsys):
    with shown(Terminal()), busy("working"):
        print("a result")
    assert capsys.readouterr().out == "a result\n"


def test_the_listener_goes_with_its_block(capsys):
    with shown(io.StringIO()):
        pass
    say("after")
    assert capsys.readouterr().err == ""


# Every analysis tells of itself -----------------------------------------------------------------------


class Ears:
    """Notes every loop and its length."""

    def __init__(self):
        self.heard = []

    def loop(self, items, what, total):
        self.heard.append((what, total))
        return iter(items)

    @contextmanager
    def wait(self, what, seconds):
        self.heard.append((what, None))
        yield

    def say(self, message):
        pass


def trained_on_some(a):
    return grouped(a, ("yes", "yes", "no", "no"), "trained")


def inputs(over):
    sets = [
        [trained_on_some(grouped(embedding_set(30, model=m, probe=p, seed=k))) for p in ("p", "p@32")]
        for k, m in enumerate("ab")
    ]
    return {
        "set": sets[0][:1],
        "model": sets[0],
        "probe pair": sets[0],
        "degraded pair": sets[0],
        "model pair": [row[0] for row in sets],
        "models": [*(row[0] for row in sets), embedding_set(model="c", seed=2)],
        "weight pair": [layer_weights("a"), layer_weights("b", seed=1)],
        "weights": [layer_weights("a")],
        "network pair": [Planted(row[0], k) for k, row in enumerate(sets)],
    }[over]


QUICK = {
    "resamples": 20, "permutations": 9, "refits": 2, "shuffles": 19, "signs": 19, "nulls": 2, "twins": 2,
    "restarts": 1,
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(analysis.names()))
def test_every_analysis_tracks_loops_of_known_length(name, monkeypatch):
    # However small the blocks are cut, all of them are told of.
    for module, size in (
        ("pairs.all_pairs", 16),
        ("pairs.extremes", 16),
        ("pairs.listed", 16),
        ("space.neighbours", 16),
        ("space.sphere", 16),
    ):
        monkeypatch.setattr(f"embedlab.maths.{module}.BLOCK", size)
    monkeypatch.setattr("embedlab.maths.pairs.extremes.ROWS", 16)
    monkeypatch.setattr("embedlab.maths.space.neighbours.ROWS", 1)
    monkeypatch.setattr("embedlab.maths.pairs.weighted.ENTRIES", 1)
    # A layout takes seconds, and is one call.
    for layout in ("tsne", "umap"):
        monkeypatch.setattr(
            f"embedlab.maths.space.layouts.{layout}",
            lambda around, _, seed, axes=2: np.random.default_rng(seed).normal(
                size=(len(around.vectors), axes)
            ),
        )
    found, ears = analysis.get(name), Ears()
    there = {one.name for one in dataclasses.fields(found.params)}
    params = found.params.with_overrides({name: n for name, n in QUICK.items() if name in there})
    token = progress._listener.set(ears)
    try:
        found.run(inputs(found.overs[0].word), params)
    finally:
        progress._listener.reset(token)
    counted = [(what, total) for what, total in ears.heard if total is not None]
    # The principal components are one call, which cannot be looked into.
    assert counted or name == "components"
    assert all(what for what, _ in ears.heard)
    if name in ("verification", "distances", "resolution", "drift"):
        assert any(what.startswith("all pairs") and total == 21 for what, total in counted)
