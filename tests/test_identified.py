"""What registration missed is identifiable where known pairs are likelier than all that was found without."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from embedlab.estimates import Estimate
from embedlab.identified import missed, unfound
from embedlab.maths.clouds.trials import AFTER, PROCRUSTES

FOUND, KNOWN, WRONG = [20.0, 20.4, 19.5], [27.1, 26.8, 27.6], [17.0, 17.2, 16.9]


def registered(found=FOUND, known=KNOWN, wrong=WRONG, after=0.1, paired=0.8):
    """Three fits on the second of two spaces; one on the first has no likelihood."""
    rows = np.vstack([[np.nan] * 3, np.array([found, known, wrong]).T])
    shares = {AFTER: Estimate(after, null=0.02), PROCRUSTES: Estimate(paired, null=0.02)}
    return SimpleNamespace(
        title="b onto a", spaces=("3 axes", "all axes"), fit_space=np.array([0, 1, 1, 1]),
        fit_likelihood=rows, of=lambda what, how, space: shares[how],
    )  # fmt: skip


def test_known_pairs_are_held_against_the_best_without_them_by_a_paired_test():
    for wrong, rival in ((WRONG, FOUND), ([26.0, 26.5, 25.9], [26.0, 26.5, 25.9])):
        known, other, p = unfound(registered(wrong=wrong), 1)
        assert (known, other) == pytest.approx((np.mean(KNOWN), np.mean(rival)))
        assert p == pytest.approx(stats.ttest_rel(KNOWN, rival).pvalue)


def test_a_sentence_says_which_of_both():
    (one,) = missed(registered(), 1)
    assert one.claimed
    assert one.text == (
        "The correspondence on all axes of b onto a is identifiable, though not surely found "
        "(log-likelihood an image 27.2 from known pairs on, 20.0 at best without)."
    )
    for other in (registered(known=WRONG, wrong=KNOWN), registered(known=[27, 19, 20.5])):
        (one,) = missed(other, 1)
        assert not one.claimed
        assert one.text.startswith(
            "Whether the correspondence on all axes of b onto a is identifiable is open"
        )


def test_nothing_is_said_where_registration_comes_near_known_pairs_or_has_no_likelihood():
    assert unfound(registered(after=0.75), 1) is None
    assert unfound(registered(after=0.02, paired=0.02), 1) is None
    assert missed(registered(), 0) == []
    assert unfound(registered(after=0.7), 1) is not None
