"""Families of models: planted ones are found, two seeds of one recipe are the ceiling."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from embedlab.analyses.families import FamiliesParams, charts, compute, findings
from embedlab.errors import UserError
from embedlab.maths.likeness.similarity import LINEAR_CKA
from tests.analyses.test_similarity import noisy, unrelated

QUICK = FamiliesParams(resamples=200)
NEAR, SEEDS = ("s0", "near"), ("s0", "s1")


@cache
def with_seeds(probe="p", noise=0.3):
    """Two seeds of one recipe, one model like them and one unlike."""
    sets = [noisy(f"s{k}", noise, k + 1, recipe="r", probe=probe) for k in (0, 1)]
    sets += [noisy("near", 1.2 * noise, 3, probe=probe), noisy("far", 2.0, 4, recipe="alone", probe=probe)]
    return compute(sets, QUICK)


def score(r, pair):
    return r.estimates["corrected linear CKA", *pair]


def test_two_seeds_of_one_recipe_are_the_ceiling():
    r = with_seeds()
    assert (r.twins, r.by_seeds) == ((SEEDS,), True)
    assert r.ceiling == pytest.approx(r.estimates[LINEAR_CKA, *SEEDS].value)
    assert score(r, SEEDS).value == pytest.approx(1)
    assert score(r, NEAR).value == pytest.approx(1, abs=0.2)
    assert score(r, ("s0", "far")).high < 0.6


def test_a_score_against_seeds_moves_with_both_of_its_ends():
    """What the same resamples do to the seeds is part of the interval."""
    r = with_seeds()
    assert np.allclose(score(r, SEEDS).draws, 1, atol=1e-6)
    raw, drawn = r.estimates[LINEAR_CKA, *NEAR], score(r, NEAR).draws
    held_fixed = (raw.high - raw.low) / (r.ceiling - raw.null)
    assert not np.isclose(np.ptp(np.quantile(drawn, [0.025, 0.975])), held_fixed, rtol=1e-3)


@pytest.mark.parametrize("recipe", ["", "r"])
def test_without_two_recipes_models_are_held_against_equal_spaces(recipe):
    r = compute([noisy(f"s{k}", 0.3, k, recipe=recipe) for k in range(3)], QUICK)
    assert (r.by_seeds, r.ceiling) == (False, 1)
    assert len(r.ranked) == 3


def test_seeds_no_more_alike_than_chance_are_no_ceiling():
    r = compute([*(replace(unrelated(f"s{k}", k), recipe="r") for k in (0, 1)), noisy("c", 0.3, 4)], QUICK)
    assert (r.by_seeds, r.ceiling) == (False, 1)
    assert all(score(r, pair).value < 0.2 for pair, _ in r.ranked)


def test_the_tree_and_the_matrix_stand_in_one_order():
    r = with_seeds()
    tree, matrix = charts([r])
    assert "far" in {tree.labels[leaf] for leaf in (tree.leaves()[0], tree.leaves()[-1])}
    apart = np.mean([score(r, (m, "far")).value for m in ("s0", "s1", "near")])
    assert tree.merges[-1, 2] == pytest.approx(1 - apart)
    assert matrix.xlabels == matrix.ylabels == tuple(tree.labels[k] for k in tree.leaves())
    np.testing.assert_array_equal(matrix.values, matrix.values.T)
    at = matrix.xlabels.index("s0"), matrix.xlabels.index("near")
    assert matrix.values[at] == score(r, NEAR).value
    assert "two seeds" in matrix.note


def test_findings_name_the_closest_and_hold_them_against_two_seeds():
    r, worse = with_seeds(), with_seeds("q", 1.5)
    said = [f.text for f in findings([r, worse])]
    near = " and ".join(r.ranked[0][0])
    assert said[0].startswith(f"On p, {near} are the closest models (corrected linear CKA ")
    assert "far are the furthest apart" in said[1]
    assert f"{near} reach" in said[2]
    assert "of the likeness of two seeds of one recipe: a difference of -" in said[2]
    assert said[3].startswith(f"From p to q the corrected linear CKA of {near} goes from ")
    assert " change of " in said[3]
    assert max(len(text.split()) for text in said) <= 30


def test_two_models_make_no_families():
    with pytest.raises(UserError, match="two models make no families: name a third one"):
        compute([noisy("a", 0.3, 1), noisy("b", 0.3, 2)], QUICK)
