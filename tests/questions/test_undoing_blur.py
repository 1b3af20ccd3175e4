"""A map that brings back what blur took is said to; one that does nothing is said to do nothing."""

from embedlab.analyses.restoration import Restoration
from embedlab.maths.linear.crossmodel import RANK_1
from embedlab.maths.linear.map_trials import RIDGE, TARGET, UNMAPPED
from embedlab.questions.undoing_blur import QUESTION
from tests.questions.planted import bare, by_key, told


def restoration(unmapped, mapped, sharp, model="a", degraded="faces@32"):
    found = {(RANK_1, UNMAPPED): unmapped, (RANK_1, RIDGE): mapped, (RANK_1, TARGET): sharp}
    shown = {"model": model, "native": "faces", "degraded": degraded, "gallery": 100, "fitted_people": 90}
    return bare(Restoration, **shown, estimates=by_key(found))


def test_planted_gains_are_called_what_they_are():
    undone, not_undone = told(
        QUESTION, restoration=[restoration(0.4, 0.8, 0.9), restoration(0.4, 0.4, 0.9, model="b")]
    )
    assert (undone.verdict, not_undone.verdict) == ("yes", "no")
    assert "rank-1 is 40.0% blurred, 80.0% mapped, 90.0% sharp" in undone.text


def test_of_several_probes_the_one_that_loses_most_is_judged():
    every = [restoration(0.85, 0.86, 0.9), restoration(0.2, 0.5, 0.9, degraded="faces@8")]
    (one,) = told(QUESTION, restoration=every)
    assert "faces@8" in one.text


def test_where_blur_loses_little_there_is_little_to_undo():
    (one,) = told(QUESTION, restoration=[restoration(0.89, 0.88, 0.89)])
    assert one.verdict == "no"
    assert one.text.startswith("There is little to undo in a: blur costs faces@32 less than 2 points; ")


def test_a_map_that_makes_it_worse_is_said_to():
    (one,) = told(QUESTION, restoration=[restoration(0.4, 0.2, 0.9)])
    assert (one.verdict, one.shown_as) == ("no", "worse")
    assert one.text.startswith(
        "A linear map makes faces@32 in a worse instead of better: rank-1 is 40.0% blurred, "
    )


def test_what_a_map_surely_brings_back_is_told_though_a_smaller_size_loses_more():
    every = [
        restoration(0.07, 0.3, 0.97, degraded="faces@16"),
        restoration(0.0, 0.015, 0.97, degraded="faces@8"),
    ]
    (one,) = told(QUESTION, restoration=every)
    assert one.verdict == "yes"
    assert one.text.startswith("A linear map brings back some of what faces@16 loses in a: ")


def test_that_no_map_helps_holds_for_all_sizes():
    every = [
        restoration(0.5, 0.515, 0.97, degraded="faces@16"),
        restoration(0.0, 0.0, 0.97, degraded="faces@8"),
    ]
    (one,) = told(QUESTION, restoration=every)
    assert "faces@16" in one.text
    assert one.verdict == "undecided"


def test_a_map_is_worse_only_where_that_is_sure_among_all_that_is_judged():
    surely, perhaps = (
        told(QUESTION, restoration=[restoration(0.4, mapped, 0.9)])[0] for mapped in (0.35, 0.382)
    )
    assert (surely.shown_as, perhaps.shown_as) == ("worse", "hardly")
    assert perhaps.text.startswith("A linear map brings back nothing of what faces@32 loses in a: ")


def test_shares_are_as_fine_as_the_one_difference_asks_for_that_is_told():
    (one,) = told(QUESTION, restoration=[restoration(0.95993, 0.96035, 0.97871)])
    assert "rank-1 is 96.0% blurred, 96.0% mapped, 97.9% sharp" in one.text


def test_where_nobody_is_recognised_nothing_is_called_undone():
    (one,) = told(QUESTION, restoration=[restoration(0.01, 0.01, 0.02)])
    assert one.verdict == "cannot"
    assert "which leaves no 2 points to lose" in one.text
