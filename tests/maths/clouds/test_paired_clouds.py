import numpy as np
import pytest

from embedlab.errors import UserError
from embedlab.lab.embeddings import EmbeddingSet
from embedlab.maths.clouds.paired_clouds import ADDED, FITTED, JUDGED, PairedClouds
from tests.planted import embedding_set

SIZES = {"axes": 3, "people": 500, "images": 4, "seed": 0}


def pair(models=("m", "m"), dimensions=(16, 16), **more):
    return tuple(
        embedding_set(model=model, probe=probe, dimension=dimension, seed=k, **more)
        for k, (model, probe, dimension) in enumerate(zip(models, ("p", "p@32"), dimensions, strict=True))
    )


def test_people_fall_into_three_groups_and_rows_of_both_clouds_are_the_same_items():
    a, b = pair()
    shuffled = b.take(np.random.default_rng(0).permutation(len(b.items)))
    clouds, again = (PairedClouds.of(a, other, **SIZES) for other in (b, shuffled))
    np.testing.assert_array_equal(clouds.names, again.names)
    np.testing.assert_allclose(clouds.source, again.source, atol=1e-6)
    groups = [set(clouds.person[clouds.group == k]) for k in (FITTED, ADDED, JUDGED)]
    assert [len(g) for g in groups] == [10, 10, 10]
    assert len(set.union(*groups)) == 30
    assert (np.diff(clouds.person) >= 0).all()


def test_parts_go_round():
    """Whoever is fitted on in one part is drawn alike in the others."""
    first, second, third = (PairedClouds.of(*pair(), **SIZES, part=part) for part in range(3))
    np.testing.assert_array_equal(first.people(FITTED), second.people(ADDED))
    np.testing.assert_array_equal(first.people(FITTED), third.people(JUDGED))
    np.testing.assert_array_equal(first.names, third.names)


def test_units_are_the_targets_spread_and_axes_are_common_within_a_model():
    a, b = pair()
    clouds = PairedClouds.of(a, b, **(SIZES | {"axes": 0}))
    x, y = clouds.rows(FITTED)
    assert x.var(axis=0).sum() == pytest.approx(1)
    assert clouds.axes == 16
    assert clouds.explained == pytest.approx(1)
    rows = np.isin(a.items, clouds.names[clouds.group == FITTED])
    true = np.linalg.norm(a.unit[rows] - b.unit[rows], axis=1)
    assert np.linalg.norm(x - y, axis=1).mean() / true.mean() == pytest.approx(
        1 / np.sqrt(a.unit[rows].var(axis=0).sum()), rel=1e-5
    )


def test_two_models_have_axes_and_units_of_their_own():
    clouds = PairedClouds.of(*pair(("m", "n"), (16, 32)), **(SIZES | {"axes": 0}))
    assert clouds.axes == 16
    x, y = clouds.rows(FITTED)
    for cloud in (x, y):
        assert cloud.var(axis=0).sum() == pytest.approx(1)
        assert (np.diff(cloud.var(axis=0)) <= 1e-12).all()
    assert 0.5 < PairedClouds.of(*pair(("m", "n"), (16, 32)), **(SIZES | {"axes": 10})).explained < 1


def test_axes_are_fitted_on_the_first_group_alone():
    a, b = pair()
    before = PairedClouds.of(a, b, **SIZES)
    others = np.isin(b.items, before.names[before.group != FITTED])
    vectors = b.vectors.copy()
    vectors[others] = np.random.default_rng(5).normal(size=(others.sum(), 16))
    changed = EmbeddingSet("m", "p@32", vectors, b.items, b.labels, b.identities)
    after = PairedClouds.of(a, changed, **SIZES)
    for one, other in zip(before.rows(FITTED), after.rows(FITTED), strict=True):
        np.testing.assert_array_equal(one, other)
    assert not np.allclose(before.rows(JUDGED)[1], after.rows(JUDGED)[1])


def test_unrelated_clouds_show_different_people_none_of_them_judged():
    a, b = pair()
    clouds = PairedClouds.of(a, b, **SIZES)
    who = {tuple(row): person for row, person in zip(clouds.target, clouds.person, strict=True)}
    who |= {tuple(row): person for row, person in zip(clouds.source, clouds.person, strict=True)}
    seen = set()
    for seed in range(5):
        some, others = ({who[tuple(row)] for row in cloud} for cloud in clouds.unrelated(seed))
        assert len(some) == len(others) == 10
        assert not some & others
        assert not (some | others) & set(clouds.person[clouds.group == JUDGED])
        seen.add(frozenset(some))
    assert len(seen) > 1


def test_no_more_people_and_images_are_drawn_than_asked_for():
    clouds = PairedClouds.of(*pair(), axes=3, people=4, images=2, seed=0)
    assert len(clouds.names) == 3 * 4 * 2
    assert clouds.all_people == 30
    other = PairedClouds.of(*pair(), axes=3, people=4, images=2, seed=1)
    assert set(other.names) != set(clouds.names)


def test_too_few_people_or_numbers_or_no_spread_is_said():
    with pytest.raises(UserError, match="share 8 people"):
        PairedClouds.of(*pair(people=8), **SIZES)
    with pytest.raises(UserError, match="one axis"):
        PairedClouds.of(*pair(), **(SIZES | {"axes": 1}))
    with pytest.raises(UserError, match="one axis"):
        PairedClouds.of(*pair(dimensions=(1, 1)), **SIZES)
    a, b = pair()
    same = EmbeddingSet("n", "p", np.ones_like(b.vectors), b.items, b.labels, b.identities)
    with pytest.raises(UserError, match="p in n: the images drawn have one and the same vector"):
        PairedClouds.of(a, same, **SIZES)
