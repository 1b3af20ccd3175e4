"""The better of two models is named, equal ones are called so, one alone is held against what is wanted."""

import numpy as np
import pytest

from embedlab.analyses.verification import Verification
from embedlab.errors import UserError
from embedlab.operating import tar_at
from embedlab.questions.recognition import QUESTION
from tests.questions.planted import bare, by_key, estimate, told


def verification(model, tar, probe="faces", sd=0.005, **more):
    found = by_key({(tar_at(0.001),): tar}, sd)
    at = {"levels": np.array([0.01, 0.001]), "thresholds": np.array([0.2, 0.31234]), "far": 0.001}
    one = {"model": model, "probe": probe, "templates": False, "estimates": found}
    return bare(Verification, **{**one, **at, **more})


def test_the_better_model_is_named_with_its_threshold():
    (better,) = told(QUESTION, verification=[verification("a", 0.8), verification("b", 0.95)])
    assert (better.verdict, better.winner, better.subject) == ("yes", "b", ("b", "a"))
    assert "b recognises more on faces than a: 95.0% against 80.0%" in better.text
    assert "0.3123" in better.text
    (turned,) = told(QUESTION, verification=[verification("a", 0.95), verification("b", 0.8)])
    assert turned.winner == "a"


def test_equal_models_are_shown_to_be_and_noisy_ones_are_not():
    (same,) = told(QUESTION, verification=[verification("a", 0.9), verification("b", 0.901)])
    assert same.verdict == "no"
    noisy = [verification(name, tar, sd=0.2) for name, tar in (("a", 0.5), ("b", 0.6), ("c", 0.4))]
    for seed, one in enumerate(noisy):
        one.estimates[tar_at(0.001),] = estimate(one.tar(0.001).value, 0.2, seed)
    (open_,) = told(QUESTION, verification=noisy)
    assert open_.verdict == "undecided"
    assert open_.subject == ("b", "a")


def test_one_model_is_held_against_what_is_wanted():
    for tar, verdict in ((0.99, "yes"), (0.5, "no"), (0.95, "undecided")):
        (one,) = told(QUESTION, verification=[verification("a", tar)])
        assert one.verdict == verdict


def test_degraded_probes_and_templates_do_not_count():
    every = [
        verification("a", 0.9),
        verification("a", 0.2, probe="faces@32"),
        verification("a", 0.2, templates=True),
    ]
    (one,) = told(QUESTION, verification=every)
    assert "90.0%" in one.text


def test_a_set_that_does_not_resolve_the_rate_cannot_be_judged():
    few = verification("a", 0.9, levels=np.array([0.1]), impostor_pairs=40)
    with pytest.raises(
        UserError, match="40 impostor pairs resolve no FAR of 0.001: add images of more people"
    ):
        told(QUESTION, verification=[few])
