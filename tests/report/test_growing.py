"""A report is written as its sections come, and a run that is stopped leaves what it had."""

import dataclasses
import itertools
import json
import threading
import time

import pytest

from embedlab.charts import PALETTE
from embedlab.errors import UserError
from embedlab.lab import store
from embedlab.report import build, growing
from embedlab.report.build import Head
from embedlab.report.sections import Section

HEAD = Head("Cheese", ("brie", "gouda"), {"This report": [("command", "embedlab report")]})
NAMES = ("conftest", "second", "third")


@pytest.fixture(autouse=True)
def no_wait(monkeypatch):
    """Let the run be as old as is needed to write its first page."""
    monkeypatch.setattr(growing, "SOON_S", 0.0)


@pytest.fixture
def done(outcome):
    """An outcome that is quick to draw."""
    return dataclasses.replace(outcome, analysis=dataclasses.replace(outcome.analysis, charts=lambda _: []))


def page(tmp_path):
    return (tmp_path / "index.html").read_text(encoding="utf-8")


def grown(tmp_path, work):
    with growing.growing(tmp_path / "index.html", HEAD, NAMES) as report:
        work(report)


def numbers(tmp_path):
    return json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))


def test_the_first_section_is_in_the_page_at_once_and_what_is_to_come_stands_on_top(tmp_path, done):
    with growing.growing(tmp_path / "index.html", HEAD, NAMES) as report:
        assert not (tmp_path / "index.html").exists()
        report.add(done)
        text = page(tmp_path)
        assert "unfinished: 1 of 3 analyses done; run the same command to go on" in text
        assert "Still to come: second, third." in text
        assert "Which cheese has the largest share?" in text
        assert numbers(tmp_path)["unfinished"] is True
        assert len(numbers(tmp_path)["sections"]) == 1
        report.finish({"Times": [("all", "1 s")]})
    assert "unfinished" not in page(tmp_path)
    assert numbers(tmp_path)["unfinished"] is False
    assert numbers(tmp_path)["provenance"] == {"Times": [["all", "1 s"]]}


@pytest.mark.parametrize("how", [KeyboardInterrupt, SystemExit, MemoryError, RuntimeError])
def test_whatever_stops_the_run_the_page_has_every_section_that_was_done(tmp_path, done, how):
    def stop(report):
        report.add(done)
        report.add(done)
        assert len(numbers(tmp_path)["sections"]) == 1, "the second waits its 20 s"
        raise how

    # Other tests of this process may have left a thread of theirs.
    before = threading.active_count()
    with pytest.raises(how):
        grown(tmp_path, stop)
    assert len(numbers(tmp_path)["sections"]) == 2
    assert "unfinished: 2 of 3 analyses done" in page(tmp_path)
    assert threading.active_count() <= before


def test_what_was_added_comes_into_the_page_amid_the_next_analysis(tmp_path, done, monkeypatch):
    monkeypatch.setattr(growing, "EVERY_S", 0.2)
    written = []
    real = growing.write
    monkeypatch.setattr(growing, "write", lambda *given: written.append(time.monotonic()) or real(*given))
    with growing.growing(tmp_path / "index.html", HEAD, NAMES) as report:
        for _ in range(3):
            report.add(done)
        end = time.monotonic() + 10
        while len(numbers(tmp_path)["sections"]) < 3 and time.monotonic() < end:
            time.sleep(0.02)
        assert "unfinished: 3 of 3 analyses done" in page(tmp_path)
    assert len(written) <= 3, "a section is not a reason of its own to write"
    assert all(later - earlier >= 0.19 for earlier, later in itertools.pairwise(written))


def test_a_run_that_is_done_soon_writes_its_page_once(tmp_path, done, monkeypatch):
    monkeypatch.setattr(growing, "SOON_S", 60.0)
    written = []
    real = growing.write
    monkeypatch.setattr(growing, "write", lambda *given: written.append(given) or real(*given))
    with growing.growing(tmp_path / "index.html", HEAD, NAMES) as report:
        for _ in range(3):
            report.add(done)
        assert not (tmp_path / "index.html").exists()
        report.finish({})
    assert len(written) == 1
    assert len(numbers(tmp_path)["sections"]) == 3


def test_the_first_section_is_in_the_page_some_time_after_the_beginning(tmp_path, done, monkeypatch):
    monkeypatch.setattr(growing, "SOON_S", 0.3)
    begun = time.monotonic()
    with growing.growing(tmp_path / "index.html", HEAD, NAMES) as report:
        report.add(done)
        while not (tmp_path / "index.html").exists() and time.monotonic() < begun + 10:
            time.sleep(0.02)
        assert "unfinished: 1 of 3 analyses done" in page(tmp_path)
    assert time.monotonic() - begun >= 0.3


def test_a_stop_amid_the_last_writing_leaves_a_page_of_all_that_was_done(tmp_path, done, monkeypatch):
    monkeypatch.setattr(growing, "SOON_S", 60.0)
    real, calls = growing.write, []

    def stopped(*given):
        calls.append(given)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return real(*given)

    monkeypatch.setattr(growing, "write", stopped)

    def work(report):
        for _ in range(3):
            report.add(done)
        report.finish({})

    with pytest.raises(KeyboardInterrupt):
        grown(tmp_path, work)
    assert len(numbers(tmp_path)["sections"]) == 3
    assert "unfinished: 3 of 3 analyses done" in page(tmp_path)


def test_until_the_first_section_the_page_of_an_earlier_run_stays(tmp_path, done):
    build(tmp_path / "index.html", title="Old", outcomes=[done], models=[], provenance={})
    before = page(tmp_path), numbers(tmp_path)

    def stop(report):
        report.append(Section("training", "How did it go?"))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        grown(tmp_path, stop)
    assert (page(tmp_path), numbers(tmp_path)) == before


def test_sections_that_do_not_apply_are_no_reason_to_replace_a_page(tmp_path, done):
    (grey,) = done.runs[2:3]
    with growing.growing(tmp_path / "index.html", HEAD, NAMES) as report:
        report.add(dataclasses.replace(done, runs=(grey,)))
        assert not (tmp_path / "index.html").exists()
        report.add(done)
        assert len(numbers(tmp_path)["sections"]) == 2


def test_a_page_that_cannot_be_written_meanwhile_does_not_end_the_work(tmp_path, done, monkeypatch):
    said = []
    monkeypatch.setattr(growing, "say", said.append)
    place = tmp_path / "out"
    with growing.growing(place / "index.html", HEAD, NAMES) as report:
        place.write_text("")
        report.add(done)
        assert "the report is not there yet: cannot write" in said[0]
        place.unlink()
        report.finish({})
    assert (place / "index.html").is_file()


def test_a_grown_report_is_the_one_written_in_one_go(tmp_path, outcome):
    extra = Section("training", "How did it go?")
    second = dataclasses.replace(outcome, runs=outcome.runs[:1])
    with growing.growing(tmp_path / "a" / "index.html", HEAD, NAMES[:2]) as report:
        report.append(extra)
        report.add(outcome)
        report.add(second)
        report.finish(HEAD.provenance)
        assert not report.sound, "one of the runs has an error"
    build(
        tmp_path / "b" / "index.html",
        title=HEAD.title,
        models=HEAD.models,
        provenance=HEAD.provenance,
        outcomes=[outcome, second],
        extra=[extra],
    )
    for name in ("index.html", "report.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert PALETTE[1] in (tmp_path / "a" / "index.html").read_text(encoding="utf-8")


def test_where_the_numbers_cannot_be_written_the_page_stays_as_well(tmp_path, done, monkeypatch):
    build(tmp_path / "index.html", title="Old", outcomes=[done], models=[], provenance={})
    before, names = (page(tmp_path), numbers(tmp_path)), sorted(path.name for path in tmp_path.iterdir())

    def full(path, value):
        raise UserError(f"cannot write {path}: No space left on device")

    monkeypatch.setattr(store, "write_json", full)
    with (
        growing.growing(tmp_path / "index.html", HEAD, NAMES) as report,
        pytest.raises(UserError, match=r"report.json: No space left"),
    ):
        report.finish({})
    assert (page(tmp_path), numbers(tmp_path)) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == names, "nothing is left behind"
