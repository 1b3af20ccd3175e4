"""What every model finds wrong in the data is counted by kind, and the first kind's are named."""

import math

import pytest

from embedlab.analyses.audit import KINDS, NAMES, TWICE, WRONG, Audited, Fault
from embedlab.questions.data import QUESTION, WORDS
from tests.questions.planted import bare, told


def audited(*faults, models=("a", "b")):
    return bare(Audited, models=models, probe="p", faults=tuple(map(tuple, faults)))


def fault(kind, image="x", person="ann", like_image="", like_person="bob"):
    return Fault(kind, image, person, like_image, like_person, 5.0, math.nan)


def test_planted_faults_are_counted_and_the_first_kind_is_named():
    found = audited(
        fault(WRONG, "bob/1"), fault(TWICE, "p", like_image="q"), fault(NAMES, ""), fault(NAMES, "")
    )
    (one,) = told(QUESTION, audit=[found])
    assert (one.verdict, one.hazard, one.subject) == ("yes", True, ("a", "b"))
    assert one.text == (
        "To every model, 1 image looks mislabelled (bob/1), 1 photograph stands under two names and 2 people "
        "have two names: check them."
    )


def test_where_nothing_is_found_the_answer_is_no():
    (one,) = told(QUESTION, audit=[audited(models=("a",))])
    assert (one.verdict, one.hazard) == ("no", False)
    assert one.text == "No label or image is surely wrong to a, which does not show that all are right."


def test_many_are_counted_and_the_first_named():
    (one,) = told(QUESTION, audit=[audited(*(fault(WRONG, f"bob/{k}") for k in range(5)), models=("a",))])
    assert one.text == "To a, 5 images look mislabelled (bob/0, bob/1 and 3 more): check them."


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_its_words(kind):
    (one,) = told(QUESTION, audit=[audited(fault(kind))])
    assert f"1 {WORDS[kind][0]} (x)" in one.text
