"""Similarity of models: planted likeness is found, none is not, and scores stand between null and seeds."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from embedlab.analyses.similarity import CORRECTED, NAMES, SimilarityParams, charts, compute, findings
from embedlab.charts import Bars
from embedlab.errors import UserError
from embedlab.lab.embeddings import EmbeddingSet
from embedlab.maths.likeness.similarity import CKNNA, LINEAR_CKA, MEASURES, MUTUAL, PWCCA, RSA

PEOPLE, IMAGES, D = 40, 3, 8
QUICK = SimilarityParams(shuffles=31, refits=9, resamples=200)
AB, SEEDS, NEAR = ("a", "b"), ("s0", "s1"), ("s0", "near")
LABELS = np.repeat(np.arange(PEOPLE), IMAGES)


def of(model, vectors, probe="p", recipe="", labels=LABELS):
    items = [f"i{k:03d}" for k in range(len(labels))]
    return replace(
        EmbeddingSet.from_rows(model, probe, vectors, items, [f"p{k:02d}" for k in labels]), recipe=recipe
    )


@cache
def truth():
    rng = np.random.default_rng(0)
    return rng.normal(size=(PEOPLE, D))[LABELS] + 0.5 * rng.normal(size=(len(LABELS), D))


def noisy(model, noise, seed, **names):
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(rng.normal(size=(D, D)))[0]
    return of(model, (truth() + noise * rng.normal(size=truth().shape)) @ turn, **names)


def unrelated(model, seed, dimension=D, probe="p"):
    rng = np.random.default_rng(seed)
    return of(model, rng.normal(size=(len(LABELS), dimension)), probe)


@cache
def two():
    return compute([noisy("a", 0.3, 1), noisy("b", 0.3, 2)], QUICK)


@cache
def with_seeds():
    """Two seeds of one recipe, one model like them and one unlike."""
    sets = [noisy("s0", 0.3, 1, recipe="r"), noisy("s1", 0.3, 2, recipe="r")]
    return compute([*sets, noisy("near", 0.3, 3), noisy("far", 2.0, 4, recipe="alone")], QUICK)


@cache
def apart(probe="p"):
    return compute([unrelated("a", 1, probe=probe), unrelated("b", 2, 12, probe=probe)], QUICK)


def test_unrelated_models_score_nothing_within_the_interval_by_every_measure():
    """Chance alone leaves one interval in twenty without its zero."""
    covered = 0
    for name in NAMES:
        score = apart().score(name, AB)
        assert abs(score.value) < 0.1, name
        covered += score.low <= 0 <= score.high
    assert covered >= len(NAMES) - 1


def test_a_turned_copy_scores_one_by_what_overlooks_turns():
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(D, D)))[0]
    r = compute([of("a", truth()), of("b", 5 * truth() @ turn)], QUICK)
    for measure in MEASURES:
        score = r.score(measure.name, AB)
        if measure.orthogonal:
            assert score.value == pytest.approx(1, abs=1e-4), measure.name
    assert r.score(PWCCA, AB).value < 1 + 1e-6


def test_alike_models_are_beyond_every_null():
    r = two()
    assert (r.p[0] < 1e-3).all()
    for name in NAMES:
        value = r.estimates[name, *AB]
        assert value.low > value.null


def test_the_corrected_score_is_the_place_between_null_and_one():
    r = two()
    for name in NAMES:
        one = r.estimates[name, *AB]
        assert r.score(name, AB).value == pytest.approx((one.value - one.null) / (1 - one.null))


def test_two_seeds_of_one_recipe_are_the_ceiling():
    r = with_seeds()
    for name in NAMES:
        seeds, near, far = (r.score(name, pair) for pair in (SEEDS, NEAR, ("s0", "far")))
        assert seeds.value == pytest.approx(1)
        assert near.value == pytest.approx(1, abs=0.35), name
        assert far.value < 0.6, name
        assert far.high < 1, name


def test_items_are_joined_by_name_and_those_left_out_are_counted():
    a, b = noisy("a", 0.3, 1), noisy("b", 0.3, 2)
    order = np.random.default_rng(0).permutation(len(LABELS))
    shuffled = compute([a.take(order[::-1]), b.take(order)], QUICK)
    assert shuffled.estimates == two().estimates
    fewer = compute([a.take(np.arange(3, 120)), b.take(np.arange(118))], QUICK)
    assert (fewer.images, fewer.people, fewer.dropped, fewer.uneven) == (114, 38, 5, 1)


def test_bars_are_scores_by_measure_of_probes_or_of_pairs():
    bars, _ = charts([two(), replace(two(), probe="q")])
    assert [one.name for one in bars.series] == ["p", "q"]
    np.testing.assert_array_equal(bars.series[0].values, [two().score(n, AB).value for n in NAMES])
    bars, _ = charts([with_seeds()] * 2)
    assert [one.name for one in bars.series] == [" and ".join(pair) for pair in with_seeds().pairs]


def test_charts_and_sentences_stay_few_however_many_probes_and_models_there_are():
    for r in (with_seeds(), two()):
        many = [replace(r, title=f"p{k}", probe=f"p{k}") for k in range(12)]
        bars, table = charts(many)
        assert len(bars.series) == 6
        assert table.folded
        assert len(findings(many)) <= 5


def test_a_sample_says_that_it_is_one():
    r = compute([noisy("a", 0.3, 1), noisy("b", 0.3, 2)], replace(QUICK, sample=60))
    assert r.sample_images <= 60
    assert r.estimates[RSA, *AB].n == r.sample_people < 40
    assert r.estimates[LINEAR_CKA, *AB].n == 40
    (bars,) = (c for c in charts([r]) if isinstance(c, Bars))
    assert f"{r.sample_images} of {r.sample_people} people, seed 0" in bars.note


def test_models_are_called_alike_where_most_measures_exceed_chance():
    r = replace(two(), refits=39)
    alike, how = findings([replace(r, p=np.full((1, 8), 1 / 32))])
    assert "a and b arrange people alike beyond chance, by 8 of 8 measures (p = 0.050)" in alike.text
    assert alike.claimed
    assert how.text.startswith("On p, the likeness of a and b is 0.")
    for beyond in (0, 4):
        p = np.where(np.arange(8) < beyond, 0.03, 0.5)[None]
        (said,) = findings([replace(r, p=p)])
        assert (
            f"are not shown to arrange people alike beyond chance: {beyond} of 8 measures exceed it"
            in said.text
        )
    p = np.where(np.arange(8) < 5, 0.03, 0.5)[None]
    assert "by 5 of 8 measures" in findings([replace(r, p=p)])[0].text


def test_many_pairs_are_counted():
    (said,) = findings([with_seeds()])
    assert said.text.startswith("On p, 6 of 6 pairs of models arrange people alike beyond chance")


def test_too_few_random_pairings_are_told_and_nothing_is_claimed():
    (said,) = findings([replace(two(), shuffles=19)])
    assert said.text.endswith("(p ≥ 0.08): ask for 31 shuffles or more.")


def test_one_space_twice_is_alike_by_every_measure():
    r = compute([noisy("a", 0.3, 1), noisy("b", 0.3, 1)], QUICK)
    assert "the likeness of a and b is 1.00 by every measure" in findings([r])[1].text


def uneven(seed, shared=0.0, people=100):
    """Two models whose people's places correlate by so much; numbers of images as unequal as in LFW."""
    rng = np.random.default_rng(seed)
    sizes = np.r_[np.ones(50), np.full(20, 2), np.full(15, 4), np.full(10, 8), 12, 16, 20, 30, 50].astype(int)
    labels = np.repeat(np.arange(people), sizes)
    common, *own = rng.normal(size=(3, people, D))
    places = [np.sqrt(shared) * common + np.sqrt(1 - shared) * one for one in own]
    rows = [place[labels] + 0.5 * rng.normal(size=(len(labels), D)) for place in places]
    return [of(m, x, labels=labels) for m, x in zip("ab", rows, strict=True)]


@pytest.mark.slow
@pytest.mark.parametrize(("shared", "least", "most"), [(0.0, 0, 1), (0.7, 5, 6)])
def test_unequal_numbers_of_images_are_no_likeness_and_hide_none(shared, least, most):
    """Laid side by side with people of other numbers, nearly all were called alike that share nothing."""
    found = [compute(uneven(seed, shared), replace(QUICK, resamples=2, refits=1)) for seed in range(6)]
    assert least <= sum(r.p_alike(AB) <= 0.05 for r in found) <= most
    assert found[0].uneven > 0


def test_a_change_from_probe_to_probe_has_its_paired_interval():
    noise = [
        compute([noisy("a", s, 1, probe=p), noisy("b", s, 2, probe=p)], QUICK)
        for s, p in ((0.3, "p"), (1.5, "q"))
    ]
    said = findings(noise)[-1].text
    assert said.startswith("From p to q the corrected linear CKA of a and b goes from")
    assert "chance" not in said
    same = findings([noise[0], replace(noise[0], probe="q")])[-1].text
    assert same.endswith(": there is no change.")
    fewer = compute([noisy(m, 1.5, k, probe="q").take(np.arange(100)) for k, m in enumerate(AB, 1)], QUICK)
    other = findings([noise[0], fewer])[-1].text
    assert other.endswith("; measured on different people or images, so the change has no interval.")


def test_the_table_holds_numbers_and_p_values():
    r = with_seeds()
    _, table = charts([r])
    assert len(table.rows) == len(r.pairs) * len(MEASURES)
    for k, row in enumerate(table.rows):
        pair, m = r.pairs[k // len(NAMES)], k % len(NAMES)
        assert row[1:4] == (" and ".join(pair), NAMES[m], r.estimates[NAMES[m], *pair])
        assert [cell.value for cell in row[4:6]] == [row[3].null, r.p[k // len(NAMES), m]]
        assert row[6] == r.estimates[CORRECTED[NAMES[m]], *pair]


def test_a_measure_without_a_number_is_left_out_and_drawn_as_none():
    """Where all others are neighbours, so they are by chance: nothing is left to score."""
    labels = np.arange(10)
    rng = np.random.default_rng(0)
    r = compute(
        [of(m, rng.normal(size=(10, 4)), labels=labels) for m in "ab"],
        replace(QUICK, neighbours=9, resamples=20),
    )
    assert r.estimates[MUTUAL, *AB].value == 1
    missing = [name for name in NAMES if r.score(name, AB) is None]
    assert MUTUAL in missing or CKNNA in missing
    (bars,) = (c for c in charts([r]) if isinstance(c, Bars))
    for name, value in zip(NAMES, bars.series[0].values, strict=True):
        assert np.isnan(value) == (name in missing)
    assert "nan" not in findings([r])[0].text


def test_re_pairing_images_counts_grouping_as_likeness():
    rng = np.random.default_rng(3)
    sets = [
        of(m, rng.normal(size=(PEOPLE, D))[LABELS] + 0.3 * rng.normal(size=(len(LABELS), D))) for m in "ab"
    ]
    people, images = (compute(sets, replace(QUICK, shuffle=shuffle)) for shuffle in ("people", "images"))
    assert people.score(MUTUAL, AB).low <= 0
    assert images.score(MUTUAL, AB).low > 0.1


def test_neighbours_are_fewer_than_the_images():
    with pytest.raises(UserError, match="neighbours must be less than the 120 images compared, not 120"):
        compute([noisy("a", 0.3, 1), noisy("b", 0.3, 2)], replace(QUICK, neighbours=120))


def test_one_model_is_like_nothing():
    with pytest.raises(UserError, match="a is the only model, and there is nothing to hold it against"):
        compute([noisy("a", 0.3, 1)], QUICK)


def test_too_few_people_are_told():
    rows = np.flatnonzero(LABELS < 9)
    with pytest.raises(UserError, match="p: .* share only 9: give images of at least 10"):
        compute([noisy("a", 0.3, 1).take(rows), noisy("b", 0.3, 2)], QUICK)


def test_a_model_that_says_the_same_of_everyone_is_told():
    with pytest.raises(UserError, match="all vectors of p in b are one"):
        compute([noisy("a", 0.3, 1), of("b", np.ones((len(LABELS), D)))], QUICK)
