"""Answers stand first, wherever a report is read: page, terminal, numbers, notebook."""

import dataclasses
import json
import re

import pytest

from embedlab import question
from embedlab.analysis import Params
from embedlab.estimates import Estimate
from embedlab.over import Input
from embedlab.question import Claim, Question
from embedlab.report import Section, answering, build, show


def claims(*gaps, subject=("brie", "gouda")):
    said = {"yes": "Brie is better", "no": "They are alike", "undecided": "Which is better is open"}
    return [
        Claim(subject, gap, 0.02, said, evidence={"share of brie": gap}, hazard="yes", winner="brie")
        for gap in gaps
    ]


CLEAR, LITTLE = Estimate(0.2, 0.1, 0.3, 40), Estimate(0.0, -0.001, 0.001, 40)


@pytest.fixture
def ask(monkeypatch, outcome):
    def planted(judge):
        asked = Question("Which cheese is better?", {"conftest": "it measures cheese"}, Params(), judge)
        monkeypatch.setattr(question, "names", lambda: ("other", "cheese"))
        other = Question("What else?", {"absent": "nothing does"}, Params(), judge)
        monkeypatch.setattr(question, "get", lambda name: asked if name == "cheese" else other)
        monkeypatch.setattr(Question, "name", property(lambda self: "cheese"))
        return answering.of([outcome])

    return planted


def written(tmp_path, outcome):
    path = build(tmp_path / "index.html", title="T", outcomes=[outcome], models=["brie"], provenance={})
    return path.read_text(encoding="utf-8"), json.loads((tmp_path / "report.json").read_text("utf-8"))


def test_the_first_screen_is_the_answers_and_the_numbers_have_them(tmp_path, outcome, ask):
    ask(lambda results, params: claims(CLEAR, LITTLE))
    page, numbers = written(tmp_path, outcome)
    assert page.index("Which cheese is better?") < page.index("Which cheese has the largest share?")
    assert re.search(r'<li value="2" id="answer-cheese">', page)
    assert "hazard: " in page
    yes, no = numbers["answers"]
    assert (yes["verdict"], yes["hazard"], yes["simultaneous over"]) == ("yes", True, 2)
    assert (no["verdict"], no["hazard"]) == ("no", False)
    assert yes["effect"]["low"] < CLEAR.low
    assert yes["evidence"]["share of brie"]["value"] == 0.2


def test_answers_that_come_out_alike_are_told_in_one_line(tmp_path, outcome, ask):
    found = ask(lambda results, params: [*claims(CLEAR), *claims(CLEAR, LITTLE, subject=("feta",))])
    (asked,) = answering.by_question(found)
    yes, no = asked.lines
    assert re.fullmatch(r"Likewise feta \(\+20\.0 points \[.*\]\)\.", yes.told)
    assert (no.lead.subject, no.told) == (("feta",), "")
    page, _ = written(tmp_path, outcome)
    assert page.count("Brie is better") == 1
    three = ask(lambda results, params: [c for name in "abcd" for c in claims(CLEAR, subject=(name,))])
    assert answering.by_question(three)[0].lines[0].told == "Likewise b, c and d."
    many = ask(lambda results, params: [c for name in "abcdef" for c in claims(CLEAR, subject=(name,))])
    assert answering.by_question(many)[0].lines[0].told == "Likewise b, c, d and 2 more."


def test_what_nothing_decided_is_folded_but_for_the_first_question(tmp_path, outcome, ask, monkeypatch):
    open_ = Estimate(0.0, -0.5, 0.5, 40)
    ask(lambda results, params: claims(open_))
    page, _ = written(tmp_path, outcome)
    assert "Which is better is open" in page
    assert "questions are open" not in page
    (asked,) = answering.by_question(ask(lambda results, params: claims(open_)))
    three = [answering.Asked(k, f"q{k}", f"Question {k}?", asked.answers) for k in (1, 2, 3)]
    monkeypatch.setattr(answering, "by_question", lambda answers: three)
    page, _ = written(tmp_path, outcome)
    assert page.index("Question 1?") < page.index("2 questions are open") < page.index("Question 2?")


def test_a_bug_in_a_question_costs_its_answer_and_not_the_page(tmp_path, outcome, ask):
    (one,) = ask(lambda results, params: 1 / 0)
    assert one.verdict == "cannot"
    assert "ZeroDivisionError" in one.trouble
    page, _ = written(tmp_path, outcome)
    assert "1 question not answered" in page
    assert "this is a bug: division by zero" in page
    assert "Which cheese has the largest share?" in page


def test_what_could_not_be_measured_is_told_with_the_reason(outcome, ask):
    ask(lambda results, params: claims(CLEAR))
    for run, why in ((outcome.runs[2], "feta has one person only"), (outcome.runs[3], "it failed")):
        (one,) = answering.of([dataclasses.replace(outcome, runs=(run,))])
        assert one.verdict == "cannot"
        assert why in one.text


def test_a_model_that_could_not_be_measured_is_told_beside_those_that_could(outcome, ask, tmp_path):
    ask(lambda results, params: claims(CLEAR))
    places = [(name, Input("set", name, "faces")) for name in ("brie", "feta", "edam", "gruyère")]
    one_sided = "it has one person only"
    runs = tuple(
        dataclasses.replace(
            outcome.runs[0] if name == "brie" else outcome.runs[2], reason=reason, title=name, inputs=(place,)
        )
        for (name, place), reason in zip(
            places, ("", one_sided, one_sided, "its file is broken"), strict=True
        )
    )
    # One size of several that failed is told in its section, and so are pairs.
    runs += (dataclasses.replace(runs[1], inputs=(Input("set", "brie", "faces@8"),)),)
    runs += (dataclasses.replace(runs[1], inputs=(*runs[1].inputs, Input("set", "colby", "faces"))),)
    # So is one of a model that no answer is about, but that was measured.
    parmesan = Input("set", "parmesan", "faces"), Input("set", "parmesan", "faces@8")
    runs += tuple(
        dataclasses.replace(run, inputs=(place,)) for run, place in zip(runs[:2], parmesan, strict=True)
    )
    given = dataclasses.replace(outcome, runs=runs)
    yes, *others = answering.of([given])
    assert (yes.verdict, yes.subject) == ("yes", ("brie", "gouda"))
    assert [(one.subject, one.verdict, one.text) for one in others] == [
        (("feta", "edam"), "cannot", f"Of feta and edam nothing can be said: {one_sided}"),
        (("gruyère",), "cannot", "Of gruyère nothing can be said: its file is broken"),
    ]
    page, numbers = written(tmp_path, given)
    assert "Of gruyère nothing can be said" in page
    assert [one["verdict"] for one in numbers["answers"]] == ["yes", "cannot", "cannot"]
    assert "Of gruyère nothing can be said" in "\n".join(answering.as_text([yes, *others]))


def test_hostile_names_in_answers_are_text(tmp_path, outcome, ask, evil):
    said = dict.fromkeys(("yes", "no", "undecided"), f"It is {evil}")
    ask(lambda results, params: [Claim((evil,), CLEAR, 0.0, said, evidence={evil: CLEAR})])
    page, _ = written(tmp_path, outcome)
    assert evil not in page
    assert "&lt;script&gt;alert(1)" in page


def test_answers_print_as_lines_and_show_themselves_in_a_notebook(ask):
    found = show.Answers(ask(lambda results, params: claims(CLEAR)))
    first, second = str(found).splitlines()
    assert first == " 2 Which cheese is better?"
    assert re.fullmatch(r"   ! yes  Brie is better \(\+20\.0 points \[.*\]\)\.", second)
    assert "Brie is better" in found._repr_html_()


def test_a_verdict_is_shown_in_the_words_of_its_claim_wherever_answers_stand(tmp_path, outcome, ask):
    marks = {"yes": "tastes better", "no": "tastes alike"}

    def judge(results, params):
        return [dataclasses.replace(one, marks=marks) for one in claims(CLEAR, LITTLE)]

    found = show.Answers(ask(judge))
    assert re.search(r"! tastes better  Brie is", str(found))
    assert re.search(r"  tastes alike +They are", str(found))
    page, numbers = written(tmp_path, outcome)
    for place in (page, found._repr_html_()):
        assert re.findall(r'<span class="verdict">.*?(tastes \w+)</span>', place) == list(marks.values())
    assert [one["shown as"] for one in numbers["answers"]] == list(marks.values())
    assert [one["verdict"] for one in numbers["answers"]] == ["yes", "no"]


def test_one_picture_stands_with_the_answers_and_nowhere_else(tmp_path, outcome, cheese, ask):
    ask(lambda results, params: claims(CLEAR))
    charts = tuple(cheese.charts(outcome.results))
    extra = [
        Section("verification", "How many?", charts=charts),
        Section("resolution", "How small?", charts=charts),
    ]
    path = build(
        tmp_path / "index.html", title="T", outcomes=[outcome], models=["brie"], provenance={}, extra=extra
    )
    page = path.read_text(encoding="utf-8")
    first, rest = page.split("How many?", 1)
    assert first.count('class="charts lead"') == 1
    assert rest.count('class="charts lead"') == 2, "verification and the cheese keep theirs"
    assert "Its picture stands with the answers." in rest
    ids = re.findall(r'id="(chart-\d+-\d+)"', page)
    assert len(ids) == len(set(ids))


def test_what_matters_is_set_by_whoever_asks(monkeypatch):
    from embedlab.errors import UserError
    from embedlab.study import Study, asked

    study = Study(("a",), ("p",), ("verification",), overrides={"recognition": {"matters": 0.5}})
    assert [one.analysis.name for one in asked(study)] == ["verification"]
    with pytest.raises(UserError, match=r"recognition\.matters must be at least 0 and below 1, not 2"):
        asked(Study(("a",), ("p",), ("verification",), overrides={"recognition": {"matters": 2}}))
    with pytest.raises(
        UserError, match="which is not run: there are verification, and the questions recognition"
    ):
        asked(Study(("a",), ("p",), ("verification",), overrides={"nothing": {}}))


def test_no_folder_of_a_machine_stands_in_page_or_numbers(tmp_path, outcome, ask):
    ask(
        lambda results, params: [
            Claim(("a",), None, 0.0, {"no": "there is none in /tmp/mine/lab"}, fact="no")
        ]
    )
    reason = dataclasses.replace(outcome.runs[2], reason="nothing lies in /home/me/lab")
    page, numbers = written(tmp_path, dataclasses.replace(outcome, runs=(*outcome.runs, reason)))
    assert "there is none in lab" in page
    assert "nothing lies in lab" in page
    for text in (page, json.dumps(numbers)):
        assert "/tmp/mine" not in text
        assert "/home/me" not in text


def many(verdicts, kind="k"):
    brief = {"yes": "breaks", "no": "holds", "undecided": "open"}
    return [
        question.Answer("sizes", (f"m{k}",), verdict, f"m{k}.", kind=kind, brief=brief[verdict])
        for k, verdict in enumerate(verdicts)
    ]


def test_of_many_models_the_best_one_s_answer_is_told_and_the_others_are_counted():
    verdicts = ["yes"] * 40 + ["no"] * 30 + ["undecided"] * 27 + ["yes", "no", "no"]
    best = question.Answer("recognition", ("m69", "m3"), "yes", "m69 is best.")
    _, asked = answering.by_question([best, *many(verdicts)])
    (line,) = asked.lines
    assert line.lead.subject == ("m69",)
    assert line.told == "The other 99: breaks in 41, holds in 31, open in 27."
    assert [one.subject for one in asked.grounds] == [("m69",)]


def test_of_few_that_are_counted_the_names_stand():
    (asked,) = answering.by_question(many(["no", "yes", "yes", "undecided"]))
    assert asked.lines[0].told == "The other 3: breaks in m1 and m2, open in m3."
    two = answering.by_question(many(["yes", "undecided"]))[0].lines
    assert [line.rest for line in two] == [(), ()], "two models are told in sentences"


def test_kinds_of_claims_are_counted_apart():
    found = [*many(["yes"] * 5), *many(["no"] * 5, kind="other")]
    lines = answering.by_question(found)[0].lines
    assert [line.told for line in lines] == ["The other 4: breaks in all.", "The other 4: holds in all."]


def test_the_first_screen_has_room_for_six_lines_and_hazards_go_first():
    names = [name for name in question.names() if name != "recognition"]
    answers = [question.Answer("recognition", ("a",), "yes", "a.")]
    for name in names:
        hazard = name == names[-1]
        answers += [question.Answer(name, (m,), "yes", f"{m}.", unit=m, hazard=hazard) for m in ("a", "b")]
    found = answering.screen(answers)
    lines = sum(len(asked.lines) for asked in found.told)
    assert lines <= answering.OPEN
    assert [found.told[0].name, found.told[-1].name] == ["recognition", names[-1]]
    assert {a.name for a in (*found.told, *found.further)} == {"recognition", *names}
