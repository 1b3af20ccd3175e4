"""Planted losses and thresholds are called what they are."""

import numpy as np
import pytest

from embedlab.analyses.drift import FAR, Drift
from embedlab.analyses.resolution import TAR, Resolution
from embedlab.questions.sizes import QUESTION
from embedlab.report import answering
from tests.questions.planted import bare, by_key, estimate, told


def resolution(model, native, cross, alike=None, sd=0.005):
    """TAR of native galleries by the pixels of the probe, and of sizes among themselves."""
    found = {(TAR, "native", "native"): native}
    found |= {(TAR, "native", f"{p} px"): value for p, value in cross.items()}
    found |= {(TAR, f"{p} px", f"{p} px"): value for p, value in (alike or cross).items()}
    pixels = np.array([*sorted(cross), 0])
    return bare(Resolution, model=model, pixels=pixels, far=0.001, estimates=by_key(found, sd))


def drift(model, far, sd=1e-4):
    """FAR of one threshold, by the pixels of both images."""
    found = {(FAR, f"{p} px", f"{p} px"): value for p, value in far.items()}
    found |= {(FAR, "native", f"{p} px"): 0.001 for p in far}
    pixels = np.array([*sorted(far), 0])
    return bare(Drift, model=model, pixels=pixels, far=0.001, estimates=by_key(found, sd))


def test_a_model_that_breaks_and_one_that_holds():
    broken, held = told(
        QUESTION,
        resolution=[
            resolution("a", 0.9, {8: 0.2, 16: 0.7, 32: 0.88}),
            resolution("b", 0.9, {8: 0.89, 32: 0.9}),
        ],
    )
    assert broken.verdict == "yes"
    assert "a breaks at 16 px" in broken.text, (
        "the largest size that loses as much, not the one that loses most"
    )
    assert held.verdict == "no"
    assert "b holds down to 8 px" in held.text
    assert held.subject == ("b",)


@pytest.mark.parametrize(("far", "verdict"), [(0.5, "yes"), (0.001, "no"), (0.003, "undecided")])
def test_a_threshold_that_lets_strangers_in_is_a_hazard(far, verdict):
    (safe,) = told(QUESTION, drift=[drift("a", {8: far, 32: 0.001})])
    assert safe.verdict == verdict
    assert safe.hazard == (verdict == "yes")
    said = {"yes": "lets in many more", "no": "lets in few more, even", "undecided": "may let in many more"}
    assert said[verdict] in safe.text
    assert "between 8-px images" in safe.text or verdict == "no"


def test_a_break_that_is_sure_is_told_before_one_that_is_open():
    sure = resolution("a", 0.9, {8: 0.2, 16: 0.5})
    wide = estimate(0.78, sd=0.05, seed=9)
    sure.estimates[TAR, "native", "24 px"] = sure.estimates[TAR, "24 px", "24 px"] = wide
    object.__setattr__(sure, "pixels", np.array([8, 16, 24, 0]))
    (one,) = told(QUESTION, resolution=[sure])
    assert one.verdict == "yes"
    assert one.text.startswith("a breaks at 16 px at the latest: ")


def test_models_that_break_at_different_sizes_are_not_told_in_one_line():
    early, late = told(
        QUESTION,
        resolution=[resolution("a", 0.9, {8: 0.2, 32: 0.5}), resolution("b", 0.9, {8: 0.2, 32: 0.9})],
    )
    assert (early.verdict, late.verdict) == ("yes", "yes")
    assert len(answering.by_question([early, late])[0].lines) == 2


def test_no_end_of_a_far_is_below_zero_however_many_claims_stand_together():
    (one,) = told(QUESTION, over=50, drift=[drift("a", {8: 0.001}, sd=8e-4)])
    assert (one.verdict, one.effect.low) == ("undecided", 0)
    assert "FAR 0.001 [0, " in one.text


def test_a_model_that_recognises_nobody_holds_at_no_size():
    (one,) = told(QUESTION, resolution=[resolution("a", 0.003, {8: 0.001, 32: 0.002}, sd=1e-4)])
    assert one.verdict == "cannot"
    assert one.text == "TAR of a at FAR 0.001 on native images is 0.3%, which leaves no 10 points to lose."
