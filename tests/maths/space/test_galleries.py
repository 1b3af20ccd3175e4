import numpy as np
import pytest

from embedlab.maths.space import galleries
from tests.planted import uneven

IMAGES = np.array([5] * 20 + [2] * 20 + [1] * 30)
NOBODY = np.zeros(70, bool)


@pytest.fixture(scope="module")
def unit():
    return uneven(IMAGES).unit


def drawn(unit, unknown=NOBODY, seed=0, most=10, template=False):
    return galleries.drawn(unit, IMAGES, unknown, np.random.default_rng(seed), most=most, template=template)


def test_no_image_is_both_enrolled_and_searched_for(unit):
    found = drawn(unit)
    scores = unit[found.probes] @ found.entries.T
    assert scores.max() < 1 - 1e-5
    assert found.entries.shape == (70, 16)
    assert len(found.probes) == 20 * 4 + 20
    assert (found.owners == np.repeat(np.arange(70), IMAGES)[found.probes]).all()


def test_nobody_brings_more_probes_than_allowed(unit):
    assert np.bincount(drawn(unit, most=2).owners).max() == 2


def test_templates_are_means_of_half_of_the_images(unit):
    """Whoever has five images is enrolled with two of them and searched for with three."""
    found = drawn(unit, template=True)
    for person in range(20):
        own = found.probes[found.owners == person]
        rest = np.setdiff1d(np.flatnonzero(np.repeat(np.arange(70), IMAGES) == person), own)
        mean = unit[rest].mean(axis=0)
        assert (len(own), len(rest)) == (3, 2)
        assert found.entries[person] == pytest.approx(mean / np.linalg.norm(mean), abs=1e-6)


def test_strangers_are_drawn_alike_among_those_with_several_images_and_with_one():
    found = galleries.strangers(IMAGES, 0.3, np.random.default_rng(0))
    assert (found[IMAGES > 1].sum(), found[IMAGES == 1].sum()) == (12, 9)


def test_strangers_are_searched_for_and_not_enrolled(unit):
    unknown = galleries.strangers(IMAGES, 0.5, np.random.default_rng(1))
    found = drawn(unit, unknown)
    assert len(found.entries) == 35
    assert ((found.places < 0) == unknown[found.owners]).all()
    assert set(np.flatnonzero(unknown & (IMAGES == 1))) <= set(found.owners)
    everybody = drawn(unit)
    enrolled = np.flatnonzero(~unknown)
    np.testing.assert_array_equal(found.entries, everybody.entries[enrolled])


def test_a_search_is_that_of_all_scores_written_out(unit):
    unknown = galleries.strangers(IMAGES, 0.5, np.random.default_rng(1))
    found = drawn(unit, unknown)
    ahead, scores, highest = galleries.search(unit, found)
    for k, (row, place) in enumerate(zip(found.probes, found.places, strict=True)):
        line = unit[row] @ found.entries.T
        if place < 0:
            assert (ahead[k], scores[k]) == (0, -np.inf)
            assert highest[k] == pytest.approx(line.max(), abs=1e-6)
        else:
            others = np.delete(line, place)
            assert scores[k] == pytest.approx(line[place], abs=1e-6)
            assert ahead[k] == (others >= line[place]).sum()
            assert highest[k] == pytest.approx(others.max(), abs=1e-6)


def test_blocks_give_the_same_as_one(unit, monkeypatch):
    whole = galleries.search(unit, drawn(unit))
    monkeypatch.setattr(galleries, "BLOCK", 500)
    for one, other in zip(whole, galleries.search(unit, drawn(unit)), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_an_empty_gallery_finds_nobody(unit):
    ahead, scores, highest = galleries.search(unit, drawn(unit, ~NOBODY))
    assert not ahead.any()
    assert (scores == -np.inf).all()
    assert (highest == -np.inf).all()
