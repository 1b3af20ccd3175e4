"""A statement is supported by answers that say so, and never by an open one."""

import itertools
from dataclasses import replace

import pytest

from embedlab.question import Answer
from embedlab.report import statements
from embedlab.study import Statement


def answer(verdict, *models, question="places", unit="points of TAR"):
    return Answer(question, models, verdict, f"{verdict} for {'+'.join(models)}.", unit=unit)


def borne(said, *answers):
    (one,) = statements.held([said], answers)
    return one.borne


@pytest.mark.parametrize(
    ("verdicts", "outcome"),
    [
        (("yes",), "supported"),
        (("yes", "yes"), "supported"),
        (("no",), "not supported"),
        (("yes", "no"), "not supported"),
        (("yes", "undecided"), "undecided here"),
        (("undecided",), "undecided here"),
        (("cannot",), "undecided here"),
        ((), "undecided here"),
    ],
)
def test_a_statement_is_borne_out_by_the_answers_it_is_about(verdicts, outcome):
    answers = [answer(verdict, f"m{k}") for k, verdict in enumerate(verdicts)]
    assert borne(Statement("So.", "places", "yes"), *answers) == outcome


def test_the_opposite_verdict_is_borne_out_by_the_opposite_answers():
    for verdict, said in itertools.product(("yes", "no"), repeat=2):
        outcome = "supported" if verdict == said else "not supported"
        assert borne(Statement("So.", "places", said), answer(verdict, "a")) == outcome


def test_only_what_it_is_about_counts():
    others = [answer("no", "b"), answer("no", "a", question="sizes"), answer("no", "a", unit="FAR")]
    said = Statement("So.", "places", "yes", ("a",), about="TAR")
    assert borne(said, *others) == "undecided here"
    assert borne(said, *others, answer("yes", "a", "b")) == "supported"


def test_a_statement_of_models_that_an_answer_leaves_out_says_of_whom_it_is():
    said = Statement("c is best.", "recognition", "yes", ("c",))
    (one,) = statements.held([said], [answer("yes", "a", "b", question="recognition")])
    assert (one.borne, one.because) == (
        "undecided here",
        ("the report answers that question of a and b, not of c.",),
    )
    (none,) = statements.held([said], [answer("yes", "a")])
    assert none.because == ("the report does not answer that question.",)


def test_where_another_model_wins_the_one_named_does_not():
    said = Statement("a is best.", "recognition", "yes", ("a",))
    for winner, outcome in (("a", "supported"), ("b", "not supported"), ("", "supported")):
        one = replace(answer("yes", "a", "b", question="recognition"), winner=winner)
        assert borne(said, one) == outcome
        assert borne(replace(said, models=()), one) == "supported"
    open_ = replace(answer("undecided", "a", "b", question="recognition"), winner="b")
    assert borne(said, open_) == "undecided here"


def test_they_come_as_lines_and_as_plain_values():
    them = statements.held([Statement("So.", "places", "yes")], [answer("yes", "a")])
    assert statements.as_text(them) == ["        supported  So."]
    assert statements.plain(them) == [{"text": "So.", "borne": "supported", "because": ["yes for a."]}]
