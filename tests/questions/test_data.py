"""What every model finds wrong in the data is named; what one alone finds is not."""

import numpy as np

from embedlab.analyses.confusions import DIFFERENT, SAME, Confusions
from embedlab.questions.data import QUESTION
from tests.questions.planted import bare, told


def confusions(model, suspects=(), equal=()):
    pairs = [(0, DIFFERENT, 0.9999, a, b, "ann", "bob") for a, b in equal]
    pairs += [(0, SAME, 1.0, "x", "y", "ann", "ann"), (0, DIFFERENT, 0.9, "v", "w", "ann", "bob")]
    usual = {"person_intra": np.array([0.3, 0.3]), "person_place": np.zeros(2, int)}
    return bare(Confusions, title=model, suspects=tuple(suspects), worst_pairs=tuple(pairs), **usual)


def test_planted_faults_are_named():
    wrong = [("bob/1", "ann", "bob")]
    every = [confusions("a", wrong, [("p", "q")]), confusions("b", wrong, [("q", "p")])]
    (one,) = told(QUESTION, confusions=every)
    assert (one.verdict, one.hazard) == ("yes", True)
    assert one.text == (
        "To every model, 1 image looks mislabelled (bob/1) and 1 photograph stands under two names (p = q): "
        "check them."
    )


def test_what_one_model_alone_finds_is_its_own_fault():
    (one,) = told(
        QUESTION, confusions=[confusions("a", [("bob/1", "ann", "bob")], [("p", "q")]), confusions("b")]
    )
    assert (one.verdict, one.hazard) == ("no", False)


def test_many_are_counted_and_the_first_named():
    wrong = [(f"bob/{k}", "ann", "bob") for k in range(5)]
    (one,) = told(QUESTION, confusions=[confusions("a", wrong)])
    assert one.text == "To a, 5 images look mislabelled (bob/0, bob/1 and 3 more): check them."
