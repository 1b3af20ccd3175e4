"""As many people as a time allows: who is drawn, what is told, and that nothing is computed twice."""

import json

import pytest

from embedlab import runner
from embedlab.commands import cli, pipeline, within
from embedlab.commands.request import Request
from embedlab.commands.within import seconds_of
from embedlab.errors import UserError
from embedlab.lab import embeddings
from embedlab.lab.store import Lab
from embedlab.study import Study, asked
from tests.planted import embedding_set

PEOPLE = 700


@pytest.fixture
def lab(tmp_path):
    lab = Lab(tmp_path / "lab")
    file = lab.embeddings_file("m", "p")
    file.parent.mkdir(parents=True)
    embeddings.write(file, embedding_set(PEOPLE, probe="p"), {})
    return lab


@pytest.fixture
def clock(monkeypatch):
    """Have a try take a ten-thousandth of a second for each person squared, whatever this machine does."""
    tried, real = [], runner.outcomes

    def outcomes(lab, study, planned, **options):
        tried.append(study.people)
        found = list(real(lab, study, planned, **options))
        now[0] += 1e-4 * study.people**2
        return iter(found)

    now = [0.0]
    monkeypatch.setattr(runner, "outcomes", outcomes)
    monkeypatch.setattr(within, "perf_counter", lambda: now[0])
    return tried


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("5min", 300), (" 1.5 min", 90), ("2h", 7200)]
)
def test_a_time_is_read(text, seconds):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "0min", "-5min", "five", "5 minutes", "1e3", "inf", "nan"])
def test_what_is_no_time_is_refused_in_a_line(text):
    with pytest.raises(UserError, match="is no time: write 90s, 5min or 2h"):
        seconds_of(text)


@pytest.mark.parametrize(
    # The first try takes 4 s. Of 24 s, 20 are left for sqrt(5) times the people, who take all of them.
    ("seconds", "tries", "people"),
    [(24.0, [200, 447], 447), (12.0, [200, 282], 282), (6.0, [200], 200), (1.0, [200], 200)],
)
def test_what_a_try_took_says_how_many_people_the_next_one_has(lab, tmp_path, clock, seconds, tries, people):
    study = Study(("m",), analyses=("norms",))
    page, sound = pipeline.report(Request(lab), study, tmp_path / "out", within=seconds)
    assert sound
    # The report itself fetches what the last try left.
    assert clock == [*tries, people]
    told = json.loads(page.with_name("report.json").read_text("utf-8"))["sets"]
    assert {(one["people"], one["of_people"]) for one in told} == {(people, PEOPLE)}
    assert f"{people} of the {PEOPLE} people" in page.read_text("utf-8")


def test_nothing_is_computed_twice(lab, tmp_path, clock):
    def written():
        found = (lab.root / "results" / "norms").glob("*/run.json")
        return {path: path.stat().st_mtime_ns for path in found}

    pipeline.report(
        Request(lab, fresh=True), Study(("m",), analyses=("norms",)), tmp_path / "out", within=12.0
    )
    first = written()
    assert len(first) == 2
    pipeline.report(Request(lab), Study(("m",), analyses=("norms",), people=282), tmp_path / "out")
    assert written() == first


def test_a_second_time_the_same_people_are_tried_for_what_is_stored_takes_no_time(lab, tmp_path, monkeypatch):
    """A result that is fetched would let the next try have eight times the people, whatever those take."""
    tries, real = [], runner.outcomes

    def outcomes(lab, study, planned, **options):
        tries.append((study.people, options["fresh"]))
        now[0] += 1e-4 * study.people**2 if options["fresh"] else 1e-3
        return real(lab, study, planned, **options)

    now = [0.0]
    monkeypatch.setattr(runner, "outcomes", outcomes)
    monkeypatch.setattr(within, "perf_counter", lambda: now[0])
    for _ in range(2):
        pipeline.report(Request(lab), Study(("m",), analyses=("norms",)), tmp_path / "out", within=12.0)
    assert tries == 2 * [(200, True), (282, True), (282, False)]


@pytest.mark.parametrize("seconds", [1.0, 3600.0])
def test_what_is_made_anew_is_made_once(lab, tmp_path, clock, monkeypatch, seconds):
    fresh, real = [], within.prepare

    def prepare(request, *rest):
        fresh.append(request.fresh)
        made = real(request, *rest)
        made.stages.seconds["embedding"] = 7.0 if request.fresh else 0.0
        return made

    monkeypatch.setattr(within, "prepare", prepare)
    study = Study(("m",), analyses=("norms",))
    asked_now, prepared = within.fitted(Request(lab, fresh=True), study, asked(study), seconds)
    # Everybody is prepared once more where the time is enough for all.
    assert fresh == ([True] if seconds < 60 else [True, False])
    assert prepared.stages.seconds["embedding"] == 7.0
    # All people were analysed by no try, and are anew in the report.
    assert asked_now.fresh == (seconds > 60)


def test_where_time_is_enough_everybody_is_asked_about(lab, tmp_path, clock):
    page, _ = pipeline.report(
        Request(lab), Study(("m",), analyses=("norms",)), tmp_path / "out", within=3600.0
    )
    assert clock == [200, 0]
    told = json.loads(page.with_name("report.json").read_text("utf-8"))["sets"]
    assert {one["people"] for one in told} == {PEOPLE}
    assert "of_people" not in told[0]


def test_a_study_that_draws_people_itself_is_not_overruled(lab, tmp_path):
    study = Study(("m",), analyses=("norms",), people=50)
    with pytest.raises(UserError, match="draws 50 people already: leave out --within"):
        pipeline.report(Request(lab), study, tmp_path / "out", within=60.0)


def test_the_command_line_takes_either_a_number_or_a_time(lab, tmp_path, capsys):
    asked = ["--lab", str(lab.root), "--models", "m", "--out", str(tmp_path / "o"), "--only", "norms"]
    assert cli.main(["report", *asked, "--within", "soon"]) == 2
    assert "--within 'soon' is no time: write 90s, 5min or 2h" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(["report", *asked, "--within", "1min", "--people", "20"])
    assert cli.main(["run", "norms", "--lab", str(lab.root), "--models", "m", "--within", "1min"]) == 0
