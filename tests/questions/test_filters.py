"""Networks share filters where a test shows it; that they do not is never shown by a test."""

import pytest

from embedlab.analyses.kernels import CORRELATION, Kernels
from embedlab.questions.filters import QUESTION
from tests.questions.planted import bare, by_key, told


def kernels(r, turned, p, a="a", b="b"):
    found = by_key({(CORRELATION,): r})
    return bare(Kernels, a=a, b=b, turned=turned, turned_p=p, estimates=found)


@pytest.mark.parametrize(
    ("p", "over", "verdict"), [(0.001, 10, "yes"), (0.01, 10, "undecided"), (0.6, 1, "undecided")]
)
def test_the_p_value_decides_among_all_claims(p, over, verdict):
    (one,) = told(QUESTION, over, kernels=[kernels(0.8, 0.3, p)])
    assert one.verdict == verdict
    assert f"(p = {p:.2g})" in one.text


def test_a_likeness_too_small_to_matter_is_not_claimed_and_the_most_alike_pair_is_told():
    small, large = kernels(0.31, 0.3, 0.001), kernels(0.9, 0.3, 0.001, a="c")
    (one,) = told(QUESTION, kernels=[small])
    assert one.verdict == "undecided"
    (one,) = told(QUESTION, kernels=[small, large])
    assert one.subject == ("c", "b")
