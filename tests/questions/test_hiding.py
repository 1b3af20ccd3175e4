"""A model whose vectors tell the size of an image worse hides it better; equal ones do not."""

import numpy as np
import pytest

from embedlab.analyses.separability import ACCURACY, Separability
from embedlab.errors import UserError
from embedlab.questions.hiding import QUESTION
from tests.questions.planted import bare, by_key, estimate, told


def separability(model, read, reference="p", sd=0.005, seed=0):
    estimates = by_key({(ACCURACY, probe): value for probe, value in read.items()}, sd)
    if seed:
        estimates = type(estimates)(
            {key: bare_again(one, sd, seed + k) for k, (key, one) in enumerate(estimates.items())}
        )
    return bare(Separability, title=model, reference=reference, probes=tuple(read), estimates=estimates)


def bare_again(one, sd, seed):
    """The same estimate from draws of another seed."""
    return estimate(one.value, sd, seed)


def test_the_model_that_is_read_worse_hides_better_whichever_comes_first():
    one, other = separability("a", {"p@32": 0.6}), separability("b", {"p@32": 0.9}, seed=7)
    for results in ([one, other], [other, one]):
        (found,) = told(QUESTION, separability=results)
        assert (found.verdict, found.winner, found.subject) == ("yes", "a", ("a", "b"))
        assert found.effect.value == pytest.approx(0.3)
        assert found.text.startswith(
            "a hides the size of images better than b (a linear classifier tells p@32 from p in 60.0%"
        )


def test_models_that_are_read_alike_hide_alike():
    results = [separability("a", {"p@32": 0.80}), separability("b", {"p@32": 0.81}, seed=7)]
    (found,) = told(QUESTION, separability=results)
    assert found.verdict == "no"
    assert found.text.startswith("a hides the size of images less than 5 points better than b")


def test_a_difference_about_as_large_as_matters_is_open():
    results = [separability("a", {"p@32": 0.75}, sd=0.02), separability("b", {"p@32": 0.8}, sd=0.02, seed=7)]
    (found,) = told(QUESTION, separability=results)
    assert found.verdict == "undecided"


def test_it_is_asked_at_the_size_that_is_read_worst_in_all():
    results = [
        separability("a", {"p@16": 0.9, "p@32": 0.7, "p@64": 0.6}),
        separability("b", {"p@16": 0.95, "p@32": 0.8}, seed=7),
    ]
    (found,) = told(QUESTION, separability=results)
    assert "tells p@32 from p" in found.text
    assert found.unit == "points of accuracy at p@32"


def test_one_model_or_models_of_other_images_are_not_compared():
    one = separability("a", {"p@32": 0.6})
    assert not told(QUESTION, separability=[])
    with pytest.raises(UserError, match="a is held against no other model: name two"):
        told(QUESTION, separability=[one])
    for other in (separability("b", {"q@32": 0.9}, reference="q"), separability("b", {"p@16": 0.9})):
        with pytest.raises(UserError, match="a and b have no degraded images in common"):
            told(QUESTION, separability=[one, other])


def test_equal_models_are_seldom_said_to_differ():
    rng, false = np.random.default_rng(0), 0
    for seed in range(100):
        a, b = 0.8 + 0.02 * rng.standard_normal(2)
        results = [separability("a", {"x": a}, sd=0.02), separability("b", {"x": b}, sd=0.02, seed=seed + 1)]
        (found,) = told(QUESTION, separability=results)
        false += found.verdict == "yes"
    assert false <= 5
