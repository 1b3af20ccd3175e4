"""Estimates are compared on the resamples that they share, and nowhere else."""

from dataclasses import replace

import numpy as np
import pytest

from embedlab.analysis import Result
from embedlab.estimates import (
    Comparisons,
    Estimate,
    Estimates,
    Finding,
    People,
    as_points,
    bars,
    by_place,
    claim,
    compared,
    counted,
    in_order,
    judged,
    label,
    settled,
    shares,
    undrawn,
    where,
)
from embedlab.maths.pairs.moments import Drawn, mean
from embedlab.maths.people.evidence import LEAST_FOR_CLAIM, LEAST_FOR_INTERVAL, expanded, of_share
from tests.planted import embedding_set


class Knobs:
    resamples = 400
    seed = 3


class Bca(Knobs):
    interval = "bca"


def measured(shift=0.0, people=40, seed=0, knobs=Knobs, who="p"):
    """The mean over people of a number each has, its replicates drawn."""
    values = np.random.default_rng(seed).normal(size=people) + shift
    drawn = People.of([f"{who}{k}" for k in range(people)], knobs)
    return drawn.estimate(mean(values, np.arange(people), drawn.counts), people, 0.0)


def test_the_difference_of_paired_estimates_has_the_interval_of_the_differences():
    a, b = measured(0.5), measured(0.0, seed=1)
    gap = a - b
    assert gap.value == pytest.approx(a.value - b.value)
    assert (gap.low, gap.high) == expanded(gap.value, a.draws.astype(float) - b.draws, 40)
    assert (gap.n, gap.null) == (40, 0.0)
    assert (b - a).high == pytest.approx(-gap.low)
    # What both share cancels: far narrower than of unpaired ones.
    twin = measured(0.1) - measured(0.0)
    assert twin.high - twin.low < 1e-6


@pytest.mark.parametrize("all_", [0.0, 1.0])
def test_a_share_of_none_or_all_is_as_unsure_in_a_difference_as_by_itself(all_):
    """Newcombe's interval by the sum of squares, from those of both shares."""
    rng, n = np.random.default_rng(0), 60
    weights = rng.multinomial(n, np.full(n, 1 / n), 2000) / n
    some = np.arange(n) < 6
    a = Estimate(0.1, *of_share(0.1, weights @ some, n), n, draws=weights @ some, drawn_from="p")
    none = np.full(2000, all_)
    b = Estimate(all_, *of_share(all_, none, n), n, draws=none, drawn_from="p")
    gap, unseen = a - b, 3 / n
    assert gap.low < 0.1 - all_ < gap.high
    drawn = expanded(gap.value, a.draws - none, n)
    low, high = (unseen, 0) if all_ == 0 else (0, unseen)
    assert gap.low == pytest.approx(gap.value - np.hypot(gap.value - drawn[0], low))
    assert gap.high == pytest.approx(gap.value + np.hypot(drawn[1] - gap.value, high))
    assert (b - a).low == pytest.approx(-gap.high)
    # Where nobody differs there is nothing to add: questions widen that themselves.
    assert ((b - b).low, (b - b).high) == (0.0, 0.0)


def test_a_small_group_without_an_error_is_called_better_no_more_often_than_chance_allows():
    """Both err alike, and the small one in a quarter of the samples not at all, which no resample shows."""
    rng, sizes, claimed, trials = np.random.default_rng(1), (200, 12), 0, 300
    weights = [rng.multinomial(n, np.full(n, 1 / n), 400) / n for n in sizes]
    for _ in range(trials):
        rates = []
        for n, drawn in zip(sizes, weights, strict=True):
            wrong = rng.random(n) < 0.1
            draws, value = drawn @ wrong, float(wrong.mean())
            rates.append(Estimate(value, *of_share(value, draws, n), n, draws=draws, drawn_from="p"))
        claimed += (rates[0] - rates[1]).sign == 1
    assert claimed <= 0.05 * trials


def test_a_difference_of_differences_is_paired_too():
    gap = (measured(1.0) - measured(0.0, seed=1)) - (measured(0.4) - measured(0.0, seed=1))
    assert gap.value == pytest.approx(0.6)
    assert gap.low == pytest.approx(0.6, abs=1e-6)


def test_the_logarithm_has_the_interval_of_the_logarithms():
    draws = np.exp(np.random.default_rng(0).normal(np.log(30), 0.2, 4000)).astype(np.float32)
    found = Estimate(30.0, 20.0, 45.0, 10_000, draws=draws, drawn_from="p").log
    assert found.value == pytest.approx(np.log(30))
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * 0.2, rel=0.05)
    assert (Estimate(30.0, n=40).log.low, Estimate(30.0, n=40).log.sign) == (None, None)


@pytest.mark.parametrize(
    "other",
    [measured(who="q"), measured(people=39), Estimate(0.2, 0.1, 0.3, 40), undrawn(measured())],
    ids=["other people", "fewer people", "never drawn", "undrawn"],
)
def test_what_was_not_drawn_alike_has_a_difference_without_interval(other):
    gap = measured() - other
    assert (gap.low, gap.high, gap.sign) == (None, None, None)
    assert not measured().is_paired(other)
    text = compared("A is above B", measured(), other).text
    assert "A is above B; measured on different people or images" in text


def test_a_sample_of_other_images_of_the_same_people_is_not_paired():
    names = ["a", "b", "c"]
    samples = (np.array(["1", "2"]), np.array(["1", "3"]))
    one, other = (People.of(names, Knobs, items=items) for items in samples)
    assert one.drawn_from != other.drawn_from
    np.testing.assert_array_equal(one.counts, other.counts)


def test_names_of_images_are_read_from_lists_and_arrays_alike():
    names, items = ["a", "b", "c"], ["1", "2", "3"]
    for array in (np.array(items), np.array(items, object), np.array(items * 2)):
        drawn = People.of(names, Knobs, items=array)
        assert drawn.drawn_from == People.of(names, Knobs, items=array.tolist()).drawn_from


@pytest.mark.parametrize(
    ("ends", "sign", "said", "tone"),
    [
        ((0.1, 0.3), 1, "Text: a change of +20.0 points [+10.0, +30.0].", "good"),
        ((-0.3, -0.1), -1, "Text: a change of +20.0 points [-30.0, -10.0].", "bad"),
        ((-0.1, 0.3), 0, "Text: the change of +20.0 points [-10.0, +30.0] may be chance.", "plain"),
        ((0.0, 0.3), 0, "Text: the change of +20.0 points [+0.0, +30.0] may be chance.", "plain"),
        ((None, None), None, "Text; too few people to say how sure the change is.", "plain"),
    ],
)
def test_a_difference_ends_a_sentence_in_one_of_its_cases(ends, sign, said, tone):
    gap = Estimate(0.2, *ends)
    assert gap.sign == sign
    found = judged("Text", gap, word="change")
    assert (found.text, found.tone, found.gap) == (said, tone, gap)
    assert (-gap).sign == (None if sign is None else -sign)


def test_replicates_that_are_no_numbers_leave_it_open_whether_there_is_a_difference():
    a = measured(5.0)
    blind = Estimate(a.value, a.low, a.high, a.n, a.null, np.full_like(a.draws, np.nan), a.drawn_from)
    said = compared("Text", blind, measured()).text
    assert said == "Text; too few people to say how sure the difference is."


def test_a_difference_is_written_as_it_is_asked():
    said = compared("Text", measured(5.0), measured(0.0, seed=1), spec=".2f", tones=("plain", "plain"))
    assert said.text.startswith("Text: a difference of 4.94 [")
    assert said.tone == "plain"


@pytest.mark.parametrize("knobs", [Knobs, Bca])
def test_few_people_have_no_interval_and_more_are_needed_for_a_claim(knobs):
    for people in (2, 3, 4, 5, 6, 9, 10, 11):
        a, b = (measured(shift, people, seed, knobs) for seed, shift in enumerate((50.0, 0.0)))
        assert (a.low is None) == ((a - b).low is None) == (people < LEAST_FOR_INTERVAL)
        said = compared("Text", a, b)
        if people < LEAST_FOR_CLAIM:
            assert said.text == "Text; too few people to say how sure the difference is."
            assert (said.tone, said.p, a.sign) == ("plain", None, None)
        else:
            assert (said.tone, said.claimed, a.sign) == ("good", True, 1)


def test_of_a_few_people_nobodys_share_has_no_interval_by_the_rule_of_three():
    drawn = People.of(["a", "b", "c"], Knobs)
    nobody = drawn.estimate(Drawn(0.0, np.zeros(400)), 3, share=True)
    assert (nobody.low, nobody.high) == (None, None)


@pytest.mark.parametrize("share", [False, True])
@pytest.mark.parametrize("knobs", [Knobs, Bca])
def test_an_interval_holds_its_value_whatever_the_replicates(knobs, share):
    """Resamples repeat people, which shifts an overlap or a rank, sometimes beyond its own spread."""
    rng = np.random.default_rng(5)
    drawn = People.of([str(k) for k in range(30)], knobs)
    for _ in range(300):
        replicates = np.clip(rng.normal(rng.random(), 0.2 * rng.random(), len(drawn.counts)), 0, 1)
        replicates[rng.random(len(replicates)) < 0.2 * rng.random()] = np.nan
        one = drawn.estimate(
            Drawn(float(rng.choice([0.0, 1.0, *rng.random(6)])), replicates), 30, share=share
        )
        assert one.low <= one.value <= one.high
        assert not share or (one.low >= 0 and one.high <= 1)
        gap = one - drawn.estimate(Drawn(0.5, replicates[::-1]), 30)
        assert gap.low <= gap.value <= gap.high


def test_a_difference_that_is_none_is_told_as_none_and_not_compared():
    found = compared("Text", measured(), measured(), word="change")
    assert (found.text, found.tone, found.p) == ("Text: there is no change.", "plain", None)


def test_what_does_not_beat_its_null_is_no_good_news():
    a, b = measured(0.0, seed=4), measured(-3.0, seed=1)
    assert a.over_null.sign == 0
    assert compared("Text", a, b).tone == "plain"
    assert compared("Text", a, b).text.startswith("Text: a difference of")
    assert compared("Text", measured(2.0), b).tone == "good"
    # Where less is better, the null lies above.
    less = ("good", "bad")
    assert compared("Text", b, a, tones=less).tone == "good"
    assert compared("Text", measured(), measured(3.0, seed=1), tones=less).tone == "plain"
    assert judged("Text", Estimate(0.2, 0.1, 0.3), beats=False).tone == "plain"
    assert judged("Text", Estimate(-0.2, -0.3, -0.1), beats=False).tone == "bad"


def strong(p, tone="good", **more):
    return claim(f"Claimed at {p}.", f"Open at {p}.", p, tone=tone, **more)


def test_among_many_comparisons_only_strong_ones_are_claimed():
    """One of p = 3 % among twenty is what chance gives; Benjamini and Hochberg's limits are 5 % × k / 20."""
    alone, plain = strong(0.03), Finding("Described.")
    assert (alone.text, alone.tone, alone.claimed) == ("Claimed at 0.03.", "good", True)
    many = settled([alone, plain, strong(1e-5), *(strong(0.5) for _ in range(18))])
    assert many[0].text == "Open at 0.03 (one of 20 comparisons)."
    assert (many[0].tone, many[0].claimed) == ("plain", False)
    assert many[0].q == pytest.approx(0.3)
    assert many[1] == plain
    assert (many[2].text, many[2].tone, many[2].claimed) == ("Claimed at 1e-05.", "good", True)
    assert many[3].text == "Open at 0.5."
    assert Comparisons.of(many) == Comparisons(20, 1)
    # Decided again with others it reads as it does there.
    assert settled(many[:1]) == [replace(alone, q=0.03)]


def test_families_are_decided_apart():
    few = [strong(0.03, family="difference"), *(strong(1e-9) for _ in range(30))]
    few += [strong(0.5, family="difference") for _ in range(9)]
    assert settled(few)[0].text == "Open at 0.03 (one of 40 comparisons)."
    assert settled([replace(one, family="null") for one in few])[0].claimed
    assert judged("Text", Estimate(0.2, 0.1, 0.3)).family == "difference"


def test_claims_stand_by_their_strength_and_open_ones_last():
    said = [strong(0.2), Finding("First."), strong(0.001), Finding("Second."), strong(1e-9), strong(0.1)]
    assert [one.text for one in in_order(settled(said))] == [
        "First.",
        "Claimed at 1e-09.",
        "Second.",
        "Claimed at 0.001.",
        "Open at 0.1.",
        "Open at 0.2.",
    ]


def test_a_count_says_its_smallest_p_and_what_cannot_be_told_claims_nothing():
    assert strong(0.01, least_p=0.01).least_p == 0.01
    nobody = strong(float("nan"))
    assert (nobody.text, nobody.p, nobody.claimed) == ("Open at nan.", None, None)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((1, "probe"), "1 probe"),
        ((0, "probe"), "0 probes"),
        ((1680, "person", "people"), "1,680 people"),
        ((1, "person", "people"), "1 person"),
    ],
)
def test_what_is_counted_has_its_plural(given, said):
    assert counted(*given) == said


@pytest.mark.parametrize(
    ("count", "claimed", "said"),
    [
        (
            40,
            9,
            "Of 40 comparisons about 2 would be expected to pass for real by chance alone; 9 are claimed",
        ),
        (9, 1, "Of 9 comparisons fewer than one would be expected to pass for real by chance alone; 1 is"),
        (1, 1, ""),
        (0, 0, ""),
    ],
)
def test_how_many_comparisons_there_were_is_a_sentence(count, claimed, said):
    assert Comparisons(count, claimed).text().startswith(said)
    assert bool(Comparisons(count, claimed).text()) == bool(said)


def test_p_and_the_interval_never_disagree():
    for shift in np.linspace(0, 0.8, 30):
        one = measured(shift)
        assert (one.p <= 0.05) == (one.sign != 0)
    assert np.isnan(Estimate(0.2).p)
    assert Estimate(0.2, 0.1, 0.3).p == pytest.approx(2 * 4.43e-5, rel=0.01)


def test_bca_and_the_rule_of_three_are_those_of_the_bootstrap():
    plain, corrected = measured(), measured(knobs=Bca)
    assert plain.value == corrected.value
    assert (plain.low, plain.high) != (corrected.low, corrected.high)
    np.testing.assert_allclose(plain.draws, corrected.draws, rtol=1e-6)
    drawn = People.of([str(k) for k in range(60)], Knobs)
    nobody = drawn.estimate(Drawn(0.0, np.zeros(400)), 60, share=True)
    assert (nobody.low, nobody.high) == (0.0, pytest.approx(3 / 60))


def test_estimates_are_found_by_what_and_where():
    found = Estimates()
    found["d′", "p"], found["d′", "p", "q"], found["rank", "p"], found["ratio",] = map(Estimate, range(4))
    assert found.places("d′") == (("p",), ("p", "q"))
    assert found.at("d′", ("p", "q")) == Estimate(1)
    assert found.at("rank", ("p", "q")) is None
    value, low, _ = found.row("rank", [("p",), ("q",)])
    np.testing.assert_array_equal(value, [2, np.nan])
    assert np.isnan(low).all()
    found["d′", "z"] = Estimate(9)
    assert list(found.labelled()) == ["d′, p", "d′, p × q", "d′, z", "rank, p", "ratio"]
    assert label(("d′", "p", "q")) == "d′, p × q"
    assert where(("p",)) == "p"


def test_results_are_grouped_by_place_and_drawn_as_bars():
    one, two = Estimates(), Estimates()
    one["d′", "p"], two["d′", "p"], two["d′", "q"] = Estimate(1.0, 0.5, 1.5), Estimate(2.0), Estimate(3.0)
    both = {"one": one, "two": two}
    assert by_place(both, "d′", lambda name: both[name]) == {("p",): ["two", "one"], ("q",): ["two"]}
    first, second = bars(both, "d′", [("p",), ("q",)])
    np.testing.assert_array_equal(first.values, [1, np.nan])
    np.testing.assert_array_equal(first.low, [0.5, np.nan])
    assert (second.name, second.model) == ("two", "two")


def test_draws_are_stored_and_come_back(tmp_path):
    from embedlab.analyses import distances

    sets = [embedding_set(people=12, probe=p, seed=k) for k, p in enumerate(("p", "p@32"))]
    found = distances.compute(sets, distances.DistanceParams(resamples=50))
    found.save(tmp_path)
    back = distances.Distances.load(tmp_path)
    assert isinstance(back, Result)
    assert back.estimates == found.estimates
    for key, estimate in found.estimates.items():
        np.testing.assert_array_equal(back.estimates[key].draws, estimate.draws.astype(np.float32))
        assert back.estimates[key].drawn_from == estimate.drawn_from
    assert not len(back.estimates["d′, Euclidean, raw", "p"].draws)


def test_replicates_that_are_no_numbers_leave_nothing_to_tell_whatever_the_interval():
    gap = Estimate(0.2, 0.1, 0.3, 50, 0.0, np.full(20, np.nan, np.float32), "d")
    assert judged("A differs", gap).text == "A differs; too few people to say how sure the difference is."


def test_the_largest_of_several_differences_is_judged_as_such():
    alone, picked = (judged("Cheese", Estimate(0.02, 0.005, 0.035, 100), among=among) for among in (1, 20))
    assert alone.text == "Cheese: a difference of +2.0 points [+0.5, +3.5]."
    assert picked.text == "Cheese: the largest of 20 differences, +2.0 points [+0.5, +3.5], may be chance."
    assert picked.p == pytest.approx(20 * alone.p)


def test_shares_are_written_so_that_their_difference_is_the_one_told():
    for pair in ((0.98766, 0.97934), (0.5, 0.4), (0.99213, 0.98801), (0.0, 0.0)):
        a, b = (Estimate(value) for value in pair)
        one, other = shares(a, b)
        told_gap = float((a - b).points().split()[0])
        assert float(one[:-1]) - float(other[:-1]) == pytest.approx(told_gap, abs=0.051)
    assert shares(Estimate(0.98751), Estimate(0.95949)) == ["98.75%", "95.95%"]
    assert shares(Estimate(0.5), Estimate(0.4)) == ["50.0%", "40.0%"]
    assert shares(Estimate(float("nan")), Estimate(0.4))[1] == "40.0%"


@pytest.mark.parametrize(
    ("low", "spec", "told"),
    [
        (-0.001, ".0%", "0% [0%, 12%]"),
        (-0.004, ".2f", "0.00 [0.00, 0.12]"),
        (-0.02, ".0%", "0% [-2%, 12%]"),
        (-0.5, ".0f", "0 [0, 0]"),
        (-1e-9, ".0e", "0e+00 [-1e-09, 1e-01]"),
        (-np.inf, ".1f", "0.0 [-inf, 0.1]"),
        # A sign that is wanted says on which side of zero an end lies.
        (-0.001, "+.0%", "+0% [-0%, +12%]"),
    ],
)
def test_what_rounds_to_zero_has_no_sign(low, spec, told):
    assert format(Estimate(0.0, low, 0.12), spec) == told


@pytest.mark.parametrize(
    ("share", "told"), [(0.02, "2 points"), (0.01, "1 point"), (0.005, "0.5 points"), (0.0, "0 points")]
)
def test_one_point_is_no_plural(share, told):
    assert as_points(share) == told
