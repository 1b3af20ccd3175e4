"""Similarity of models: planted likeness is found, none is not, and scores stand between null and seeds."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from embedlab.analyses.similarity import ANGLE, CORRECTED, NAMES, SimilarityParams, charts, compute, findings
from embedlab.charts import Bars, Dendrogram, Heatmap, Table
from embedlab.errors import UserError
from embedlab.lab.embeddings import EmbeddingSet
from embedlab.maths.likeness.similarity import CKNNA, LINEAR_CKA, MEASURES, MUTUAL, PROCRUSTES, PWCCA, RSA

PEOPLE, IMAGES, D = 40, 3, 8
QUICK = SimilarityParams(shuffles=19, refits=19, resamples=200)
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
    assert r.estimates[ANGLE, *AB].value == pytest.approx(0, abs=2e-2)


def test_alike_models_are_beyond_every_null():
    r = two()
    assert (r.p == 0.05).all()
    for name in NAMES:
        value = r.estimates[name, *AB]
        assert value.low > value.null
        assert r.null_high[0, NAMES.index(name)] < value.value


def test_the_corrected_score_is_the_place_between_null_and_one():
    r = two()
    for name in NAMES:
        one = r.estimates[name, *AB]
        assert r.score(name, AB).value == pytest.approx((one.value - one.null) / (1 - one.null))
    assert not r.by_seeds.any()
    assert r.twins == ()


def test_the_angle_is_that_whose_cosine_stands_beside_it():
    r = two()
    angle, cosine = r.estimates[ANGLE, *AB], r.estimates[PROCRUSTES, *AB]
    assert np.cos(angle.value) == pytest.approx(cosine.value)
    assert np.cos([angle.high, angle.low]) == pytest.approx([cosine.low, cosine.high], abs=1e-3)
    assert angle.null == pytest.approx(np.pi / 2, abs=0.15)


def test_two_seeds_of_one_recipe_are_the_ceiling():
    r = with_seeds()
    assert r.twins == (SEEDS,)
    assert r.by_seeds.all()
    for m, name in enumerate(NAMES):
        assert r.ceiling[m] == pytest.approx(r.estimates[name, *SEEDS].value)
        seeds, near, far = (r.score(name, pair) for pair in (SEEDS, NEAR, ("s0", "far")))
        assert seeds.value == pytest.approx(1)
        assert near.value == pytest.approx(1, abs=0.35), name
        assert far.value < 0.6, name
        assert far.high < 1, name


def test_a_score_against_seeds_moves_with_both_of_its_ends():
    """What the same resamples do to the seeds is part of the interval."""
    r = with_seeds()
    m = NAMES.index(LINEAR_CKA)
    assert np.allclose(r.score(LINEAR_CKA, SEEDS).draws, 1, atol=1e-6)
    raw, drawn = r.estimates[LINEAR_CKA, *NEAR], r.score(LINEAR_CKA, NEAR).draws
    held_fixed = (raw.high - raw.low) / (r.ceiling[m] - raw.null)
    assert not np.isclose(np.ptp(np.quantile(drawn, [0.025, 0.975])), held_fixed, rtol=1e-3)


def test_seeds_alone_are_held_against_equal_spaces():
    r = compute([noisy("s0", 0.3, 1, recipe="r"), noisy("s1", 0.3, 2, recipe="r")], QUICK)
    assert not r.by_seeds.any()
    assert (r.ceiling == 1).all()
    assert r.score(LINEAR_CKA, SEEDS).value < 0.99


def test_seeds_no_more_alike_than_chance_are_no_ceiling():
    sets = [replace(unrelated(f"s{k}", k), recipe="r") for k in (0, 1)]
    r = compute([*sets, noisy("c", 0.3, 4)], QUICK)
    assert not r.by_seeds.all()
    assert (r.ceiling[~r.by_seeds] == 1).all()


def test_models_without_a_recipe_are_no_seeds_of_each_other():
    r = compute([noisy("a", 0.3, 1), noisy("b", 0.3, 2), noisy("c", 0.3, 3)], QUICK)
    assert r.twins == ()


def test_items_are_joined_by_name_and_those_left_out_are_counted():
    a, b = noisy("a", 0.3, 1), noisy("b", 0.3, 2)
    order = np.random.default_rng(0).permutation(len(LABELS))
    shuffled = compute([a.take(order[::-1]), b.take(order)], QUICK)
    assert shuffled.estimates == two().estimates
    fewer = compute([a.take(np.arange(3, 120)), b.take(np.arange(118))], QUICK)
    assert (fewer.images, fewer.people, fewer.dropped) == (115, 39, 5)


def test_three_models_draw_a_matrix_a_measure_and_a_tree():
    r = with_seeds()
    drawn = charts([r])
    matrices = [c for c in drawn if isinstance(c, Heatmap)]
    assert len(matrices) == len(NAMES)
    for matrix in matrices:
        np.testing.assert_array_equal(matrix.values, matrix.values.T)
        np.testing.assert_array_equal(np.diag(matrix.values), 1)
        assert "two seeds" in matrix.note
    (tree,) = (c for c in drawn if isinstance(c, Dendrogram))
    assert "far" in {tree.labels[leaf] for leaf in (tree.leaves()[0], tree.leaves()[-1])}
    assert tree.merges[-1, 2] == pytest.approx(
        1 - np.mean([r.score(LINEAR_CKA, (m, "far")).value for m in ("s0", "s1", "near")])
    )


def test_two_models_draw_bars_beside_their_nulls():
    drawn = charts([two()])
    assert not [c for c in drawn if isinstance(c, Heatmap | Dendrogram)]
    (bars,) = (c for c in drawn if isinstance(c, Bars))
    np.testing.assert_array_equal(bars.nulls, [two().estimates[n, *AB].null for n in NAMES])
    np.testing.assert_array_equal(bars.series[0].values, [two().estimates[n, *AB].value for n in NAMES])


def test_charts_stay_few_however_many_probes_and_models_there_are():
    many = [replace(with_seeds(), title=f"p{k}", probe=f"p{k}") for k in range(12)]
    assert len(charts(many)) <= len(NAMES) + 4
    assert len(charts([two()] * 12)) == 4
    assert len(findings(many)) <= 6


def test_the_table_says_what_each_measure_does_not_see():
    (table,) = (c for c in charts([two()]) if isinstance(c, Table) and "not see" in c.title)
    assert [row[0] for row in table.rows] == list(NAMES)
    assert ["PWCCA", "no", "yes", "yes", "no", "yes"] in table.cells()


def test_a_sample_says_that_it_is_one():
    r = compute([noisy("a", 0.3, 1), noisy("b", 0.3, 2)], replace(QUICK, sample=60))
    assert r.sample_images <= 60
    assert r.estimates[RSA, *AB].n == r.sample_people < 40
    assert r.estimates[LINEAR_CKA, *AB].n == 40
    (bars,) = (c for c in charts([r]) if isinstance(c, Bars))
    assert f"{r.sample_images} images of {r.sample_people} of these people, seed 0" in bars.note


def test_a_finding_counts_measures_beyond_chance_and_never_claims_absence():
    (alike,) = findings([two()])
    assert "by 8 of 8 measures (p ≤ 0.05 each)" in alike.text
    nothing = replace(apart(), p=np.ones_like(apart().p))
    assert findings([nothing])[0].text.endswith("that does not show that they have nothing in common.")


def test_findings_name_the_closest_pair_and_hold_it_against_two_seeds():
    first, second = findings([with_seeds()])
    closest = max([NEAR, ("s1", "near")], key=lambda pair: with_seeds().score(LINEAR_CKA, pair).value)
    named = " and ".join(closest)
    assert f"{named} are the closest of 5 pairs" in first.text
    assert "far the furthest apart" in first.text
    less = sum(with_seeds().score(name, closest).high < 1 for name in NAMES)
    assert f"{named} are less alike than two seeds of one recipe (s0 and s1) by {less} of 8" in second.text


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
    assert other.endswith(
        "; they were measured on different people or images, so no interval of the change is given."
    )


def test_the_table_holds_numbers_and_says_which_are_in_sample():
    r = with_seeds()
    (table,) = (c for c in charts([r]) if isinstance(c, Table) and "its null" in c.title)
    assert len(table.rows) == len(r.pairs) * len(MEASURES)
    for k, row in enumerate(table.rows):
        pair, m = r.pairs[k // len(NAMES)], k % len(NAMES)
        assert row[1:4] == (" and ".join(pair), NAMES[m], r.estimates[NAMES[m], *pair])
        assert [cell.value for cell in row[4:8]] == [
            row[3].null,
            r.null_high[k // len(NAMES), m],
            r.p[k // len(NAMES), m],
            r.ceiling[m],
        ]
        assert row[8] == r.estimates[CORRECTED[NAMES[m]], *pair]
        assert (row[9] == "") == (not MEASURES[m].fitted)
        if MEASURES[m].fitted:
            assert row[9].value.value > row[3].value
            assert row[9].value.null > row[3].null


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
        assert np.isnan(value) == ((name, *AB) not in r.estimates)
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
