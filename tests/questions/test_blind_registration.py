"""Registration is credited with what it finds beyond what is found without it."""

import numpy as np

from embedlab.analyses.registration import Registration
from embedlab.maths.clouds.trials import AFTER, BEFORE, IMAGE, NULL, PROCRUSTES, SHIFT
from embedlab.questions.blind_registration import QUESTION
from embedlab.report.answering import by_question
from tests.questions.planted import bare, by_key, told

MAPS = (BEFORE, SHIFT, AFTER, NULL, PROCRUSTES)


def registration(
    after, shift, models=("a", "a"), spaces=("3 axes",), before=0.1, likelihood=np.nan, known=0.95
):
    values = {BEFORE: before, SHIFT: shift, AFTER: after, NULL: 0.1, PROCRUSTES: known}
    found = by_key({(IMAGE, how, space): values[how] for how in MAPS for space in spaces})
    probes = ("faces", "faces@32") if models[0] == models[1] else ("faces", "faces")
    shown = {"title": " onto ".join(reversed(models)), "models": models, "probes": probes, "spaces": spaces}
    # Of two fits in each space one finds a little more, and one as much less.
    shown["fit_space"] = np.repeat(np.arange(len(spaces)), 2)
    shown["fit_matches"] = np.array(
        [[values[how] + off for how in MAPS] for _ in spaces for off in (-0.05, 0.05)]
    )
    shown["fit_likelihood"] = np.array([[2.0, likelihood, 1.0], [2.2, likelihood, 1.1]] * len(spaces))
    return bare(Registration, **shown, maps=MAPS, estimates=found)


def test_what_a_shift_finds_is_not_credited():
    found, shifted = told(
        QUESTION,
        registration=[registration(0.9, 0.2), registration(0.9, 0.9, models=("a", "b"))],
    )
    assert (found.verdict, found.subject) == ("yes", ("a",))
    assert (shifted.verdict, shifted.subject) == ("no", ("a", "b"))
    assert "90.0% of images find themselves, 20.0% by a shift, 95.0% by known pairs" in found.text


def test_where_images_find_themselves_already_nothing_is_left_to_find():
    (one,) = told(QUESTION, registration=[registration(0.99, 0.99, before=0.99)])
    assert (one.verdict, one.effect) == ("no", None)
    assert (
        one.text
        == "Nothing is left to find for a onto a: on 3 axes, 99.0% of images find themselves already."
    )


def test_where_a_shift_leaves_nothing_to_find_that_is_said():
    (one,) = told(QUESTION, registration=[registration(0.99, 0.995, before=0.9)])
    assert one.text.endswith("99.5% of images find themselves by a shift.")


def test_registration_is_not_judged_where_known_pairs_find_nothing_either():
    vain = registration(0.1, 0.1, known=0.11)
    (one,) = told(QUESTION, registration=[vain])
    assert one.verdict == "cannot"
    assert one.text == (
        "Less than 2 points are there to find for a onto a: on 3 axes, 11.0% of images find themselves by "
        "known pairs, 10.0% without it."
    )
    # Of several what can be judged is told, if only that nothing is left to find.
    for other, verdict in ((registration(0.1, 0.1), "no"), (registration(0.99, 0.99, before=0.99), "no")):
        (one,) = told(QUESTION, registration=[vain, other])
        assert one.verdict == verdict
    (one,) = told(QUESTION, registration=[registration(0.6, 0.1, known=0.1)])
    assert one.verdict == "yes"


def test_all_axes_are_judged_and_not_the_few():
    found = registration(0.9, 0.2, spaces=("3 axes", "all 128 axes"))
    (one,) = told(QUESTION, registration=[found])
    assert "90.0% of images" in one.text
    assert "(on all 128 axes, 2 fits of 85.0% to 95.0%; gain" in one.text


def test_where_known_pairs_find_more_it_says_how_likely_they_are():
    missed, same, bent = told(
        QUESTION,
        registration=[registration(0.2, 0.2, models=("a", "b"), likelihood=7.0)],
    ) + [
        one
        for likely, after in ((7.0, 0.95), (np.nan, 0.2))
        for one in told(QUESTION, registration=[registration(after, 0.1, likelihood=likely)])
    ]
    assert "log-likelihood an image 7.0 from known pairs on, 2.1 without" in missed.text
    assert "log-likelihood" not in same.text + bent.text


def test_each_is_told_by_itself():
    # Told beside one model's two sizes, of two models it would not be said which onto which, nor on what.
    every = [registration(0.99, 0.99, before=0.99, models=models) for models in (("a", "a"), ("a", "b"))]
    (asked,) = by_question(told(QUESTION, registration=every))
    assert len(asked.lines) == 2
    every = [registration(0.2, 0.2, models=models) for models in (("a", "a"), ("a", "b"))]
    (asked,) = by_question(told(QUESTION, registration=every))
    assert [line.told for line in asked.lines] == ["", ""]
