"""A worse model is called worse, an equal one is not, and what cannot be told is not passed over."""

import dataclasses
import inspect
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from embedlab import question
from embedlab.errors import UserError
from embedlab.estimates import Estimate
from embedlab.report import gates, past
from embedlab.report.gates import Gate, NotComparable
from tests.report.reports import written

TAR = "verification:TAR@FAR=0.001"
EVIL = "<img src=x onerror=alert(1)>|`*_[a](b)"


def report(tmp_path, name, noises, **how):
    return past.read(written(tmp_path / name / "report.json", noises, **how))


def compared(tmp_path, before, after, asked=(), **how):
    return gates.compare(report(tmp_path, "old", before), report(tmp_path, "new", after, **how), asked)


def outcomes(judged):
    return {row.name.partition(",")[0]: row.outcome for row in judged.rows}


def test_a_planted_loss_is_worse(tmp_path):
    judged = compared(tmp_path, {"aster": 0.4}, {"aster": 0.9})
    assert outcomes(judged) == {TAR: "worse", "verification:EER": "worse"}
    assert judged.status() == 1


def test_a_planted_gain_is_better(tmp_path):
    judged = compared(tmp_path, {"aster": 0.9}, {"aster": 0.4})
    assert set(outcomes(judged).values()) == {"better"}
    assert judged.status() == judged.status(unproven=True) == 0


def test_the_same_report_again_is_not_worse(tmp_path):
    judged = compared(tmp_path, {"aster": 0.9}, {"aster": 0.9})
    assert set(outcomes(judged).values()) == {"not worse"}
    assert all("+0.00 points [+0.00, +0.00]" in row.text for row in judged.rows)
    assert judged.status(unproven=True) == 0


def test_an_equal_model_is_open_and_fails_only_where_it_is_to_be_proven(tmp_path):
    judged = compared(tmp_path, {"aster": 0.7}, {"aster": 0.7}, seed=5)
    assert set(outcomes(judged).values()) <= {"open", "not worse"}
    assert judged.count("open")
    assert (judged.status(), judged.status(unproven=True)) == (0, 3)


def test_a_loss_within_the_margin_is_put_up_with(tmp_path):
    before, after = {"aster": 0.5}, {"aster": 0.53}
    strict = compared(tmp_path, before, after, [Gate(measure="verification:EER", margin=0.0)])
    lenient = compared(tmp_path, before, after, [Gate(measure="verification:EER", margin=0.05)])
    assert outcomes(strict)["verification:EER"] in ("worse", "open")
    assert outcomes(lenient)["verification:EER"] == "not worse"


def test_both_shares_are_as_fine_as_their_difference(tmp_path):
    judged = compared(tmp_path, {"aster": 0.5}, {"aster": 0.503})
    for row in judged.rows:
        before, after = (float(part.split("%")[0]) for part in row.text.split("→"))
        gap = row.text.partition("(")[2].split(" points")[0]
        assert abs(round(after - before, 6) - float(gap)) <= 0.51 * 10.0 ** -len(gap.partition(".")[2]), (
            row.text
        )


def test_other_images_cannot_be_compared(tmp_path):
    with pytest.raises(NotComparable, match="other images or people") as caught:
        compared(tmp_path, {"aster": 0.7}, {"aster": 0.7}, shown=1)
    assert caught.value.status == 3


def test_other_models_cannot_be_compared(tmp_path):
    with pytest.raises(NotComparable, match="share no model.*--rename"):
        compared(tmp_path, {"aster": 0.7}, {"birch": 0.7})


def test_reports_that_do_not_say_on_whom_cannot_be_compared(tmp_path):
    old = report(tmp_path, "old", {"aster": 0.7})
    with pytest.raises(NotComparable, match="on whom"):
        gates.compare(past.Past("x", "x", old.estimates), old)


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({"weigh": "pairs"}, "weigh was 'people' and is 'pairs'"),
        ({"resamples": 100}, "resamples was 200 and is 100"),
    ],
)
def test_numbers_made_otherwise_cannot_be_compared(tmp_path, how, why):
    judged = compared(tmp_path, {"aster": 0.7}, {"aster": 0.7}, **how)
    assert {row.text for row in judged.rows} == {why}
    assert judged.status() == 3


def test_a_model_that_is_gone_is_not_passed_over(tmp_path):
    judged = compared(tmp_path, {"aster": 0.7, "birch": 0.7}, {"aster": 0.7})
    assert judged.count("cannot") == 2
    assert judged.notes == ["gone: p in birch"]
    assert judged.status() == 3


def test_few_people_cannot_be_told(tmp_path):
    noises = {"aster": 0.7}
    old, new = (report(tmp_path, name, noises, people=8) for name in ("old", "new"))
    judged = gates.compare(old, new, [Gate(measure="verification:EER", margin=0.02)])
    assert judged.rows[0].text == "8 people are too few"


def test_draws_that_were_not_kept_are_told(tmp_path):
    old = report(tmp_path, "old", {"aster": 0.7})
    bare = {key: Estimate(one.value, one.low, one.high, one.n) for key, one in old.estimates.items()}
    judged = gates.compare(past.Past("x", "x", bare, old.params, old.members), old)
    assert {row.text for row in judged.rows} == {"its draws were not kept"}


def test_what_changed_in_the_answers_is_noted(tmp_path):
    answers = [{"verdict": "no"}], [{"verdict": "yes", "hazard": True, "text": "One threshold is unsafe."}]
    old, new = (
        report(tmp_path, name, {"aster": 0.7}, answers=one)
        for name, one in zip(("old", "new"), answers, strict=True)
    )
    (note,) = gates.compare(old, new).notes
    assert note == "a new hazard: sizes, aster (points) was no, is yes: One threshold is unsafe."
    assert not gates.compare(old, old).notes


def test_answers_of_one_kind_are_all_kept(tmp_path):
    answers = [{"verdict": "yes", "hazard": True, "text": "On p."}, {"verdict": "no", "text": "On q."}]
    found = report(tmp_path, "one", {"aster": 0.7}, answers=answers)
    judged = gates.check(found, [Gate(no_hazards=True)])
    assert [row.text for row in judged.rows] == ["On p."]
    assert "hold together" not in gates.summary(judged)
    flipped = report(tmp_path, "two", {"aster": 0.7}, answers=[{**answers[1]}, {"verdict": "undecided"}])
    (note,) = gates.compare(found, flipped).notes
    assert note.startswith("sizes, aster (points) was yes and no, is undecided: ")


def test_a_gate_of_both_kinds_is_asked_by_both_commands(tmp_path):
    found = report(tmp_path, "one", {"aster": 0.7})
    both = [Gate(measure="verification:AUC", margin=0.1, at_least=0.99999)]
    assert gates.compare(found, found, both).status() == 0
    assert gates.check(found, both).status() == 1


def test_draws_of_other_numbers_cannot_be_compared(tmp_path):
    old = report(tmp_path, "old", {"aster": 0.7})
    cut = {key: dataclasses.replace(one, draws=one.draws[:50]) for key, one in old.estimates.items()}
    judged = gates.compare(old, dataclasses.replace(old, estimates=cut))
    assert judged.count("cannot") == len(judged.rows)


def test_limits_are_judged_by_whole_intervals(tmp_path):
    found = report(tmp_path, "one", {"aster": 0.7})
    (value,) = [e.value for key, e in found.estimates.items() if key.measure == "verification:AUC"]
    for asked, outcome in (
        ({"at_least": 0.5}, "holds"),
        ({"at_most": 0.5}, "fails"),
        ({"at_least": value}, "open"),
        ({"at_least": 0.5, "at_most": 0.51}, "fails"),
    ):
        judged = gates.check(found, [Gate(measure="verification:AUC", **asked)])
        assert [row.outcome for row in judged.rows] == [outcome], asked
        assert judged.status() == (outcome == "fails")


def test_no_end_of_a_share_is_beyond_one_however_many_limits_stand_together(tmp_path):
    found = report(tmp_path, "one", {"aster": 0.4}, people=20)
    asked = [Gate(measure=f"verification:{what}", at_least=0.0, at_most=1.0) for what in ("TAR*", "EER") * 9]
    judged = gates.check(found, asked)
    assert {row.outcome for row in judged.rows} == {"holds"}
    ends = [float(end) for row in judged.rows for end in re.findall(r"(-?[0-9.]+)%", row.text)]
    assert 0 <= min(ends) < max(ends) <= 100


def test_verdicts_and_hazards_are_asked_for(tmp_path):
    answers = [{"verdict": "yes", "hazard": True}, {"verdict": "no", "kind": "other"}]
    found = report(tmp_path, "one", {"aster": 0.7}, answers=answers)
    judged = gates.check(found, [Gate(question="sizes", verdicts=("yes",)), Gate(no_hazards=True)])
    assert [row.outcome for row in judged.rows] == ["fails", "fails", "holds"]
    for gate in (
        Gate(question="size", verdicts=("yes",)),
        Gate(question="sizes", model="b*", verdicts=("yes",)),
    ):
        with pytest.raises(UserError, match=f"no question '{gate.question}' of model .*: there are sizes"):
            gates.check(found, [gate])
    calm = report(tmp_path, "two", {"aster": 0.7}, answers=answers[1:])
    judged = gates.check(calm, [Gate(no_hazards=True)])
    assert judged.status() == 0
    assert [row.text for row in judged.rows] == ["no answer is a hazard; not answered: data, groups"]


def test_no_hazards_is_asked_of_questions_that_can_find_one(tmp_path):
    answers = [{"verdict": "no"}, {"verdict": "no", "question": "sphere"}, {"verdict": "cannot"}]
    for number, (told, model) in enumerate(((answers[:1], "b*"), (answers[1:2], "*"), (answers[2:], "*"))):
        found = report(tmp_path, str(number), {"aster": 0.7}, answers=told)
        with pytest.raises(UserError, match=r"that can find a hazard \(.*data.*\): make the report with"):
            gates.check(found, [Gate(no_hazards=True, model=model)])


@pytest.mark.parametrize("name", question.names())
def test_a_question_says_whether_it_can_find_a_hazard(name):
    source = inspect.getsource(inspect.getmodule(question.get(name).judge))
    assert question.get(name).hazards == bool(re.search(r"hazard=", source))


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        ({"margin": 2}, "TAR@FAR=0.001 is a share, from 0 to 1, and margin is 2: write 0.02 for 2 points"),
        ({"margin": 1}, "write 0.01 for 1 points"),
        ({"at_least": 90}, "at_least is 90: write 0.9 for 90 %"),
        ({"at_most": 5}, "at_most is 5: write 0.05 for 5 %"),
        ({"at_most": -0.1}, "at_most is -0.1: write one in between"),
    ],
)
def test_a_limit_that_no_share_comes_up_to_is_a_mistake(tmp_path, limit, said):
    found = report(tmp_path, "one", {"aster": 0.7})
    asked = [Gate(measure=TAR, **limit)]
    with pytest.raises(UserError, match=said):
        gates.compare(found, found, asked) if "margin" in limit else gates.check(found, asked)
    # Of what is told as a number and no share anything may be asked.
    assert gates.check(found, [Gate(measure="verification:AUC", at_most=500)]).status() == 0


def test_a_wildcard_passes_over_numbers_without_draws_and_says_so(tmp_path):
    found = report(tmp_path, "one", {"aster": 0.7})
    (key,) = [key for key in found.estimates if key.measure == TAR]
    bare = dataclasses.replace(key, what="TAR@FAR=0.5")
    more = {**found.estimates, bare: dataclasses.replace(found.estimates[key], draws=np.empty(0))}
    found = dataclasses.replace(found, estimates=more)
    judged = gates.compare(found, found, [Gate(measure="verification:TAR*", margin=0.01)])
    assert judged.status() == 0
    assert judged.notes == ["not compared, for a report keeps no draws of it: verification:TAR@FAR=0.5"]
    named = gates.compare(found, found, [Gate(measure="verification:TAR@FAR=0.5", margin=0.01)])
    assert named.status() == 3


@pytest.mark.parametrize("order", [1, -1])
def test_a_wide_gate_does_not_stand_for_a_narrow_one_of_the_same_number(tmp_path, order):
    asked = [Gate(measure="verification:EER", margin=0.01), Gate(measure="verification:E*", margin=0.9)]
    judged = compared(tmp_path, {"aster": 0.4}, {"aster": 0.9}, asked[::order])
    assert [row.outcome for row in judged.rows] == ["worse", "not worse"]
    assert (judged.intervals, judged.status()) == (1, 1)


def test_a_number_asked_for_by_its_name_is_not_passed_over_with_those_of_a_wildcard(tmp_path):
    old = report(tmp_path, "old", {"aster": 0.7})
    bare = {
        key: Estimate(one.value, one.low, one.high, one.n) if key.what == "EER" else one
        for key, one in old.estimates.items()
    }
    old = dataclasses.replace(old, estimates=bare)
    asked = [Gate(measure=f"verification:{what}", margin=0.1, better=1) for what in ("*", "EER")]
    judged = gates.compare(old, old, asked)
    assert outcomes(judged)["verification:EER"] == "cannot"
    assert judged.status() == 3
    assert not any("verification:EER" in note for note in judged.notes)


@pytest.mark.parametrize("lost", [{"value": np.nan}, {"low": np.nan, "high": np.nan}])
def test_a_number_that_is_none_is_not_open(tmp_path, lost):
    found = report(tmp_path, "one", {"aster": 0.7})
    holed = {key: dataclasses.replace(one, **lost) for key, one in found.estimates.items()}
    holed = dataclasses.replace(found, estimates=holed)
    judged = gates.check(holed, [Gate(measure="verification:EER", at_most=0.001)])
    assert [row.outcome for row in judged.rows] == ["cannot"]
    if "value" in lost:
        judged = gates.compare(found, holed, [Gate(measure="verification:EER", margin=0.02)])
        assert [row.outcome for row in judged.rows] == ["cannot"]


def test_a_gate_that_meets_nothing_is_a_mistake(tmp_path):
    found = report(tmp_path, "one", {"aster": 0.7})
    for gate in (Gate(measure="verification:TRA*", at_least=0), Gate(measure=TAR, probe="q", at_least=0)):
        with pytest.raises(UserError, match=r"there are verification:AUC, verification:EER"):
            gates.check(found, [gate])
    odd = past.Past("x", "x", {past.Key("x", ("aster",), (), "odd", ()): Estimate(1.0)}, {}, found.members)
    with pytest.raises(UserError, match="better = "):
        gates.compare(odd, odd, [Gate(measure="x:odd", margin=0.1)])
    with pytest.raises(UserError, match="none of the gates"):
        gates.check(found, [Gate(measure=TAR, margin=0.1)])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "gates are tables"),
        ("gate = 3", "gates are tables"),
        ("[[gate]]\n[other]", "gates are tables"),
        ("gate = [3]", "is no table"),
        ("[[gate]]\nmeasure = 3", "measure must be text"),
        ("[[gate]]\nmeasure = 'a:b'\nat_least = true", "at_least must be a number"),
        ("[[gate]]\nmeasure = 'a:b'\nat_least = nan", "finite"),
        ("[[gate]]\nmeasure = 'a:b'\nmargin = -1", "margin"),
        ("[[gate]]\nmeasure = 'a:b'", "asks for nothing"),
        ("[[gate]]\nquestion = 'sizes'", "asks for nothing"),
        ("[[gate]]\nverdict = 'yes'", "asks for nothing"),
        ("[[gate]]\nquestion = 'sizes'\nverdict = 'maybe'", "verdict must be"),
        ("[[gate]]\nno_hazards = false", "asks for nothing"),
        ("[[gate]]\nquestion = 'sizes'\nverdict = 'no'\nprobe = 'p'", "probe says nothing there"),
        ("[[gate]]\nno_hazards = true\nwhere = 'x'", "where says nothing there"),
        ("[[gate]]\nmeasure = 'a:b'\nat_least = 2\nat_most = 1", "no number is at least 2 and at most 1"),
        ("[[gate]]\nmesure = 'a:b'", "unknown key 'mesure'"),
        ("[[gate]]\nmeasure = 'a:b'\nmargin = 0.1\nbetter = 'up'", "better must be"),
    ],
)
def test_gates_that_ask_for_nothing_are_told_in_a_line(tmp_path, text, said):
    path = tmp_path / "gates.toml"
    path.write_text(text)
    with pytest.raises(UserError, match=said):
        gates.read(path)


def test_gates_are_read(tmp_path):
    path = tmp_path / "gates.toml"
    path.write_text(
        "[[gate]]\nmeasure = 'verification:TAR*'\nprobe = 'p'\nmargin = 0.01\n"
        "[[gate]]\nquestion = 'sizes'\nverdict = ['yes', 'no']\n[[gate]]\nno_hazards = true\n"
        "[[gate]]\nmeasure = 'x:y'\nat_most = 1\nbetter = 'lower'\n"
    )
    assert gates.read(path) == [
        Gate(measure="verification:TAR*", probe="p", margin=0.01),
        Gate(question="sizes", verdicts=("yes", "no")),
        Gate(no_hazards=True),
        Gate(measure="x:y", at_most=1, better=-1),
    ]


def test_names_are_no_markup(tmp_path):
    judged = compared(tmp_path, {EVIL: 0.4}, {EVIL: 0.9})
    text = gates.as_markdown(judged)
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert "<img" not in text
    assert len(table) == 2 + len(judged.rows)
    assert all(line.count("|") == 4 for line in table)
    suite = ET.fromstring(gates.as_junit(judged))
    assert EVIL in suite[0].get("name")


def test_junit_counts_what_it_holds(tmp_path):
    judged = compared(tmp_path, {"aster": 0.4, "birch": 0.7, "\x07": 0.7}, {"aster": 0.9, "birch": 0.7})
    suite = ET.fromstring(gates.as_junit(judged))
    held = {kind: len(suite.findall(f".//{kind}")) for kind in ("failure", "error", "skipped")}
    assert held["failure"] == int(suite.get("failures")) == 2
    assert held["error"] == int(suite.get("errors")) == 2
    assert held["skipped"] == int(suite.get("skipped"))
    assert len(suite) == int(suite.get("tests")) == 6


def test_the_summary_says_how_it_ended(tmp_path):
    judged = compared(tmp_path, {"aster": 0.4}, {"aster": 0.9})
    assert gates.summary(judged).startswith("failed: 2 worse; ")
    assert gates.as_text(judged)[-1] == gates.summary(judged)
