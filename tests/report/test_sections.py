"""Sections: whatever an analysis gave becomes something to read, and nothing is lost in silence."""

import dataclasses

import numpy as np
import pytest

from embedlab.analysis import Estimate, Finding
from embedlab.charts import Face, Faces, faces_from
from embedlab.report import sections
from embedlab.report.sections import Section, of_outcome, of_results, parts
from embedlab.runner import Outcome, Run


def test_numbers_stand_side_by_side_and_a_missing_one_is_na(outcome):
    numbers = of_outcome(outcome).numbers
    assert numbers.columns == ("as is in brie", "as is in gouda")
    assert numbers.rows["share"] == tuple(result.share for result in outcome.results)
    assert numbers.rows["of brie"] == (outcome.results[0].share, None)
    assert sections.number_text(numbers.rows["of brie"][1]) == "n/a"


def test_findings_and_charts_are_the_analysis_s_own(outcome, cheese):
    section = of_outcome(outcome)
    assert list(section.findings) == cheese.findings(outcome.results)
    assert [chart.title for chart in section.charts] == [c.title for c in cheese.charts(outcome.results)]
    assert section.heading == cheese.question


def test_a_run_that_does_not_apply_is_a_grey_note_with_its_reason(outcome):
    grey = [note for note in of_outcome(outcome).notes if note.kind == "grey"]
    assert [note.text for note in grey] == ["Does not apply to as is in feta: feta has one person only"]


def test_runs_that_do_not_apply_for_one_reason_share_a_note(outcome):
    away = outcome.runs[2]
    twice = dataclasses.replace(outcome, runs=(away, dataclasses.replace(away, title="as is in brie")))
    (note,) = of_outcome(twice).notes
    assert note.text == "Does not apply to as is in feta; nor to as is in brie: feta has one person only"


def test_a_failed_run_is_an_error_with_its_traceback(outcome):
    errors = [note for note in of_outcome(outcome).notes if note.kind == "error"]
    assert [note.text for note in errors] == ["Failed on as is in edam: ZeroDivisionError: by zero"]
    assert errors[0].detail.startswith("Traceback")


@pytest.mark.parametrize(
    ("kept", "state"), [([0, 1], "ok"), ([0, 2], "partial"), ([2], "inapplicable"), ([2, 3], "failed")]
)
def test_the_state_says_what_became_of_the_runs(outcome, kept, state):
    some = dataclasses.replace(outcome, runs=tuple(outcome.runs[i] for i in kept))
    section = of_outcome(some)
    assert section.state == state
    assert bool(section.findings) == bool(some.results)


def test_a_chart_that_cannot_be_made_costs_the_chart_and_not_the_section(cheese, outcome):
    broken = dataclasses.replace(cheese, charts=lambda _: 1 / 0)
    section = of_results(broken, outcome.results)
    assert section.charts == ()
    assert len(section.findings) == 3
    assert "ZeroDivisionError" in section.notes[0].detail


@pytest.mark.parametrize(
    "change",
    [
        {"findings": lambda _: ["It is."]},
        {"findings": lambda _: [Finding("It is.", "splendid")]},
        {"findings": lambda _: None},
        {"charts": lambda _: None},
        {"charts": lambda _: [Faces(title="f", rows=None)]},
    ],
)
def test_whatever_an_analysis_gives_wrongly_is_a_note_and_the_rest_stays(cheese, outcome, change):
    section = of_outcome(dataclasses.replace(outcome, analysis=dataclasses.replace(cheese, **change)))
    assert section.state == "partial"
    assert not section.sound
    assert section.numbers.columns == ("as is in brie", "as is in gouda")
    assert section.notes[-1].text.endswith("this is a bug.")


def test_memory_that_does_not_suffice_is_no_bug(cheese, outcome):
    def charts(results):
        raise MemoryError

    (note,) = of_results(dataclasses.replace(cheese, charts=charts), outcome.results).notes
    assert note.text == "The charts could not be made; there is not enough memory."


def test_an_outcome_that_cannot_be_a_section_is_a_broken_one(outcome):
    section = of_outcome(dataclasses.replace(outcome, params=None))
    assert (section.state, section.sound, section.heading) == ("broken", False, outcome.analysis.question)


def test_only_a_bug_makes_a_section_unsound(outcome):
    assert not of_outcome(outcome).sound
    assert of_outcome(dataclasses.replace(outcome, runs=outcome.runs[:3])).sound


def test_the_docstring_is_cut_at_its_headings(cheese):
    about = dict(parts(cheese.doc))
    assert list(about) == ["What it measures", "How to read it", "Limits", "References"]
    assert about["Limits"] == "Cheese ends [1]_."
    assert about["How to read it"].startswith("More is better.")


@pytest.mark.parametrize("heading", ["Limits", "Limits:", "*Limits*", "**Limits**", "limits\n------"])
def test_a_heading_may_be_written_in_several_ways(heading):
    assert parts(f"It measures.\n\n{heading}\nNone.") == (
        ("What it measures", "It measures."),
        ("Limits", "None."),
    )


def test_a_docstring_without_headings_is_what_it_measures():
    assert parts("Only this.") == (("What it measures", "Only this."),)


@pytest.mark.parametrize(
    ("estimate", "text"),
    [
        (Estimate(0.9123, 0.88, 0.93), "0.912 [0.880, 0.930]"),
        (Estimate(0.0001, 0.00005, 0.0002), "0.0001 [5e-05, 0.0002]"),
        (Estimate(123.456), "123.5"),
        (Estimate(25000.0, 24000, 26000), "25,000 [24,000, 26,000]"),
        (Estimate(0.0), "0.000"),
    ],
)
def test_an_estimate_has_as_many_decimals_as_its_size_asks_for(estimate, text):
    assert sections.estimate_text(estimate) == text


def test_null_and_n_stand_beside_an_estimate():
    assert sections.aside_text(Estimate(0.5, 0.4, 0.6, n=2500, null=0.004)) == "null 0.004 · n 2,500"
    assert sections.aside_text(Estimate(0.5, null=0.25)) == "null 0.250"
    assert sections.aside_text(Estimate(0.5)) == sections.aside_text(3) == ""


def test_parameters_that_differ_from_their_default_say_so(outcome):
    rows = {name: (value, default) for name, value, default, _ in of_outcome(outcome).params}
    assert rows == {"holes": ("7", "3"), "seed": ("0", "")}


def test_parameters_of_an_installed_analysis_have_their_docstrings():
    from embedlab import analysis

    name = next(iter(analysis.names()))
    known = analysis.get(name)
    section = of_outcome(Outcome(known, known.params, (Run("x", reason="no input"),)))
    assert all(doc for *_, doc in section.params)


def test_provenance_says_from_where_and_how_long(outcome):
    fresh, stored = of_outcome(outcome).runs
    assert fresh.inputs == (("as is in brie", "0123456789ab"),)
    assert (fresh.seconds, fresh.source) == ("1.2 s", "computed 2024-05-01 10:00:00 UTC")
    assert stored.source == "stored result of 2024-05-01 10:00:00 UTC"


def test_an_anchor_holds_nothing_that_an_address_must_not():
    assert Section('Two words, "quoted"', "?").anchor == "section-two-words-quoted"
    assert Section("日本", "?").anchor == "section-unnamed"


def test_a_section_can_be_made_by_hand():
    section = Section("training", "How did training go?", findings=(Finding("It went."),))
    assert (section.state, section.numbers, section.charts) == ("ok", None, ())


def test_numbers_of_no_results_are_none(cheese):
    assert sections.numbers_of([]) is None
    assert of_results(cheese, []).findings == ()


def test_a_number_that_is_numpy_reads_like_any_other():
    assert sections.number_text(float(np.float64(0.25))) == "0.25"


def test_faces_without_any_picture_are_left_out(cheese, outcome):
    faces = Faces(title="Worst pairs", rows=(("r", (Face("p", "a"), Face("p", "b"))),))
    some = dataclasses.replace(cheese, charts=lambda _: [faces])
    assert of_results(some, outcome.results).charts == ()
    with faces_from(lambda probe, item: None):
        assert of_results(some, outcome.results).charts == ()
    with faces_from(lambda probe, item: np.zeros((4, 4, 3), np.uint8) if item == "b" else None):
        assert of_results(some, outcome.results).charts == (faces,)


def test_of_thousands_of_numbers_a_section_lists_some_and_says_how_many_more(cheese):
    share = cheese.run(["brie"], cheese.params).share
    many = {f"pair {k}": share for k in range(5000)}
    result = dataclasses.replace(cheese.run(["brie"], cheese.params), by_name=many)
    found = sections.numbers_of([result])
    assert len(found.rows) == sections.ROWS
    assert len(found.rows) + found.left_out == len(result.numbers())
