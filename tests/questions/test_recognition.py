"""The better of two models is named, equal ones are called so, one alone is held against what is wanted."""

import numpy as np
import pytest

from embedlab.analyses.verification import Verification
from embedlab.errors import UserError
from embedlab.estimates import Estimate, People, times_the_errors
from embedlab.maths.pairs.moments import Drawn
from embedlab.maths.people.bootstrap import resamples
from embedlab.operating import tar_at
from embedlab.questions.recognition import QUESTION
from embedlab.report import answering, statements
from embedlab.study import Statement
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
    open_, rest = told(QUESTION, verification=noisy)
    assert open_.verdict == rest.verdict == "undecided"
    assert (open_.subject, rest.subject) == (("b", "a"), ("b", "c"))


def test_the_best_is_held_against_every_other_model():
    rates = {"a": 0.9, "b": 0.95, "c": 0.7, "d": 0.949, "e": 0.6}
    found = told(QUESTION, verification=[verification(name, tar) for name, tar in rates.items()])
    assert [(one.subject, one.verdict) for one in found] == [
        (("b", "d"), "no"), (("b", "a"), "yes"), (("b", "c"), "yes"), (("b", "e"), "yes"),
    ]  # fmt: skip
    assert len({one.over for one in found}) == 1
    assert found[0].evidence
    assert not found[1].evidence
    (asked,) = answering.by_question(found)
    (line,) = asked.lines
    assert line.lead is found[0]
    assert line.told == "The other 3: less than b in all."
    # Whoever was called best before and is behind now is so by these answers.
    said = [Statement("a is best.", "recognition", "yes", (name,)) for name in ("b", "a", "d")]
    assert [one.borne for one in statements.held(said, found)] == ["not supported"] * 3


def test_of_three_models_each_of_the_others_has_a_sentence():
    rates = {"a": 0.9, "b": 0.95, "c": 0.7}
    found = told(QUESTION, verification=[verification(name, tar) for name, tar in rates.items()])
    (asked,) = answering.by_question(found)
    assert [(line.lead.subject, line.told) for line in asked.lines] == [(("b", "a"), ""), (("b", "c"), "")]


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


def drawn(seed, people=200, rates=(0.02, 0.01), pairs=6):
    """TAR of two models on the same people, whose errors are theirs and shared, with its draws."""
    rng = np.random.default_rng([3, seed])
    hard = rng.gamma(0.5, 2.0, size=people)
    wrong = np.array([rng.binomial(pairs, np.clip(rate * hard, 0, 1)) / pairs for rate in rates])
    counts = resamples(people, 400, seed)
    there = People(counts, 400, "planted")
    return [there.estimate(Drawn(1 - w.mean(), 1 - counts @ w / people), people, share=True) for w in wrong]


@pytest.mark.parametrize("rates", [(0.02, 0.02), (0.02, 0.01), (0.03, 0.005)])
def test_how_many_times_the_errors_is_held_by_its_interval(rates):
    """Of 300 samples of 200 people; the truth is that of the rates."""
    held = []
    for seed in range(300):
        worse, better = drawn(seed, rates=rates)
        if (one := times_the_errors(better, worse)) is not None:
            held.append(one.low <= np.log(rates[0] / rates[1]) <= one.high)
    assert len(held) > 200
    assert 0.92 <= np.mean(held) <= 0.995


def test_where_errors_are_few_their_ratio_decides():
    """Half the errors is an answer, though it is less than a point."""
    there = [verification(name, tar, sd=0.0005) for name, tar in (("a", 0.984), ("b", 0.991))]
    (better,) = told(QUESTION, verification=there)
    assert (better.verdict, better.winner, better.unit, better.matters) == (
        *("yes", "b", "times the errors"),
        pytest.approx(1.5),
    )
    assert "b recognises more on faces than a, which errs over 1.5 times as often: 99.1% against 98.4%" in (
        better.text
    )
    assert "; 1.8 [1." in better.text
    assert better.effect.value == pytest.approx(16 / 9)
    (same,) = told(
        QUESTION,
        verification=[verification(name, tar, sd=0.0005) for name, tar in (("a", 0.99), ("b", 0.991))],
    )
    assert same.verdict == "no"
    assert "a recognise alike on faces, to within 1.5 times the errors" in same.text
    (unsure,) = told(
        QUESTION,
        verification=[verification(name, tar, sd=0.004) for name, tar in (("a", 0.984), ("b", 0.991))],
    )
    assert unsure.verdict == "undecided"


def test_points_and_ratio_say_the_same_where_one_gives_way_to_the_other():
    """At 96 % two points more errors are one and a half times as many."""
    for tar in (0.9599, 0.9601):
        for behind, verdict in ((0.03, "yes"), (0.01, "no")):
            there = [verification(name, one, sd=1e-4) for name, one in (("a", tar), ("b", tar - behind))]
            (answer,) = told(QUESTION, verification=there)
            assert answer.verdict == verdict


def test_equal_models_that_hardly_err_are_called_better_in_few_reports():
    """None of them errs 1.5 times as often as the other; of 200 pairs of models."""
    false = 0
    for seed in range(200):
        there = [verification(name, 0.99) for name in "ab"]
        for one, tar in zip(there, drawn(seed, rates=(0.01, 0.01)), strict=True):
            one.estimates[tar_at(0.001),] = tar
        (answer,) = told(QUESTION, verification=there)
        false += answer.verdict == "yes"
    assert false <= 0.05 * 200


def test_where_nobody_errs_points_judge():
    (one,) = told(QUESTION, verification=[verification("a", 1.0, sd=0.0), verification("b", 0.9)])
    assert (one.verdict, one.unit) == ("yes", "points of TAR")


def test_what_rounding_leaves_is_no_error_that_others_are_times_as_many_as():
    whole, some = Estimate(1 - 1e-9, n=50), Estimate(0.98, n=50)
    assert times_the_errors(whole, some) is None
    assert times_the_errors(some, whole) is None
    assert np.isclose(np.exp(times_the_errors(some, Estimate(0.96, n=50)).value), 2)
