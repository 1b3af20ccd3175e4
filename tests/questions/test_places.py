"""Images that match their like and not each other land in different places; blur alone is no such sign."""

import numpy as np
import pytest

from embedlab.questions.places import QUESTION
from tests.questions.planted import told
from tests.questions.test_sizes import resolution


def test_images_that_match_their_like_and_not_each_other_land_apart():
    apart, together = told(
        QUESTION,
        resolution=[
            resolution("a", 0.9, cross={16: 0.4}, alike={16: 0.8}),
            resolution("b", 0.9, cross={16: 0.8}, alike={16: 0.8}),
        ],
    )
    assert (apart.verdict, together.verdict) == ("yes", "no")
    assert apart.effect.value == pytest.approx(0.4)
    # Not "more than blur itself", which costs more where it is strong.
    assert apart.text.startswith("Mixing sharp and blurred images costs a over 2 points beyond blur itself: ")


def test_numbers_turned_round_turn_the_verdict_round():
    (turned,) = told(QUESTION, resolution=[resolution("a", 0.9, cross={16: 0.95}, alike={16: 0.8})])
    assert turned.verdict == "no"


def test_what_blur_alone_costs_is_no_sign_of_another_place():
    """Blurred images that are hard to tell apart are hard everywhere: mixing them costs nothing more."""
    (one,) = told(QUESTION, resolution=[resolution("a", 0.9, cross={8: 0.1}, alike={8: 0.1})])
    assert one.verdict == "no"


def test_models_without_the_effect_are_seldom_said_to_have_it():
    rng, false = np.random.default_rng(0), 0
    for _ in range(100):
        cross, alike = 0.7 + 0.02 * rng.standard_normal(2)
        (one,) = told(QUESTION, resolution=[resolution("a", 0.9, {8: cross}, {8: alike}, sd=0.02)])
        false += one.verdict == "yes"
    assert false <= 5


def test_a_size_at_which_nobody_is_recognised_says_nothing_of_mixing():
    nobody, also = {8: 0.01}, {8: 0.01, 32: 0.5}
    (none,) = told(QUESTION, resolution=[resolution("a", 0.9, cross=nobody, alike=nobody)])
    assert none.verdict == "cannot"
    assert none.text.endswith("on images of any one size is 1.0%, which leaves no 2 points to lose.")
    (one,) = told(QUESTION, resolution=[resolution("a", 0.9, cross=also, alike=also)])
    assert (one.verdict, "at 32 px" in one.text) == ("no", True)
