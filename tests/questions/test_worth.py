"""A score is worth elsewhere what it is worth on the first probe, or misleads there."""

import pytest

from embedlab.analyses.calibration import NATIVE, OWN, Calibrated
from embedlab.errors import UserError
from embedlab.questions.worth import QUESTION
from tests.questions.planted import bare, by_key, told


def calibrated(costs, model="a", native="faces"):
    """Cllr by the native calibration of each further probe; by its own 0.1."""
    found = {
        (what, probe): cost for probe, cost in costs.items() for what, cost in ((NATIVE, cost), (OWN, 0.1))
    }
    found |= {(OWN, native): 0.1}
    return bare(Calibrated, model=model, probes=(native, *costs), estimates=by_key(found))


@pytest.mark.parametrize(
    ("cost", "verdict", "said"),
    [
        (
            0.3,
            "yes",
            "On faces@8 a score of a is not worth what it is on faces: Cllr is 0.300 by the calibration",
        ),
        (0.1, "no", "A score of a is worth on faces@8 what it is on faces: Cllr is 0.100 by the calibration"),
        (0.15, "undecided", "Whether a score of a is worth on faces@8 what it is on faces is open: Cllr"),
    ],
)
def test_a_score_misleads_where_the_native_calibration_costs_more(cost, verdict, said):
    (one,) = told(QUESTION, calibration=[calibrated({"faces@8": cost})])
    assert one.verdict == verdict
    assert one.text.startswith(said)
    assert "0.100 by its own (cost " in one.text


def test_the_probe_that_costs_most_is_judged_among_all():
    claims = QUESTION.judge(
        {"calibration": [calibrated({"faces@32": 0.11, "faces@8": 0.4, "faces@16": 0.2})]}, QUESTION.params
    )
    assert [(one.among, one.unit) for one in claims] == [(3, "bits a pair on faces@8")]


def test_one_probe_says_nothing_of_others():
    with pytest.raises(UserError, match="calibrated on faces only: name a second probe"):
        QUESTION.judge({"calibration": [calibrated({})]}, QUESTION.params)
