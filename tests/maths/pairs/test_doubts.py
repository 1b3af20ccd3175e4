"""Planted faults are found by the models' vote, and evidence is what the pairs written out say."""

import numpy as np
import pytest

from embedlab.maths.pairs import doubts
from embedlab.maths.pairs.doubts import Voter


def faces(sizes, noise=0.55, dimension=64, seed=0):
    """Unit vectors of people with so many images, and their labels."""
    labels = np.repeat(np.arange(len(sizes)), sizes)
    centres = np.random.default_rng(5).normal(size=(len(sizes), dimension))
    vectors = centres[labels] + noise * np.random.default_rng(seed).normal(size=(len(labels), dimension))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), labels


def like_lfw(people=600):
    """As many images a person as in Labeled Faces in the Wild: most have one or two, some very many."""
    share = [0.708, 0.135, 0.051, 0.033, 0.019, 0.01, 0.007, 0.006, 0.005, 0.003, 0.023]
    many = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 25]
    return np.repeat(many, np.round(np.array(share) * people).astype(int))


def swapped(labels, share, seed):
    """Labels of which a share was swapped, two by two, among people with two images; and whose."""
    rng, new, moved = np.random.default_rng(seed), labels.copy(), []
    pick = rng.permutation(np.flatnonzero(np.bincount(labels)[labels] > 1))
    for x, y in pick[: len(pick) // 2 * 2].reshape(-1, 2):
        if labels[x] != labels[y] and len(moved) < share * len(pick):
            new[x], new[y] = labels[y], labels[x]
            moved += [x, y]
    return new, np.array(moved)


def test_of_one_percent_swapped_labels_nearly_all_are_found_and_little_else():
    found, named, right = 0, 0, 0
    for seed in range(4):
        first, labels = faces(like_lfw(2000), noise=1.0, dimension=128, seed=2 * seed)
        second, _ = faces(like_lfw(2000), noise=1.1, dimension=128, seed=2 * seed + 1)
        new, moved = swapped(labels, 0.01, seed)
        doubted = doubts.wrong_labels([Voter.of(v, new) for v in (first, second)], new, 0.05, 50, 0)
        found, right = found + len(moved), right + np.isin(moved, doubted.rows).sum()
        named += len(doubted.rows)
        at = np.isin(doubted.rows, moved)
        assert np.mean(doubted.whose[at] == labels[doubted.rows[at]]) > 0.9
    assert right / found >= 0.95
    assert right / named >= 0.90


def test_of_right_labels_hardly_any_is_doubted():
    for seed in range(4):
        unit, labels = faces(like_lfw(), noise=1.2, seed=seed)
        assert len(doubts.wrong_labels([Voter.of(unit, labels)], labels, 0.05, 100, 0).rows) <= 1


@pytest.mark.parametrize("turns", [1, 2, doubts.TURNS])
def test_whom_images_match_is_told_without_those_doubted_whenever_judging_ends(turns, monkeypatch):
    monkeypatch.setattr(doubts, "TURNS", turns)
    unit, labels = faces([4] * 60, noise=1.0)
    new, _ = swapped(labels, 0.05, 0)
    voters = [Voter.of(unit, new)]
    found = doubts.wrong_labels(voters, new, 0.2, 50, 0)
    assert len(found.rows)
    kept = ~np.isin(np.arange(len(new)), found.rows)
    np.testing.assert_array_equal(found.matched, doubts.evidence(voters, new, kept).matched)


def test_who_has_no_image_left_is_like_nobody():
    unit = np.array([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]], np.float32)
    labels = np.array([0, 0, 1, 1, 2])
    voter = Voter(unit, 1.0, 5.0)
    found = doubts.evidence([voter], labels, labels < 2)
    assert found.whose.tolist() == [1, 1, 0, 0, 0]
    assert found.matched.tolist() == [[1, 1, 1, 1, 2]]
    pairs, odds, _ = doubts.one_person([voter], labels, labels < 2)
    assert pairs.tolist() == [[0, 1]]
    assert odds == pytest.approx([4 - np.log(3)])


def test_what_one_model_alone_doubts_is_its_own_fault():
    unit, labels = faces([4] * 60)
    odd = unit.copy()
    odd[9] = unit[100]
    voters = [Voter.of(v, labels) for v in (unit, odd)]
    assert doubts.wrong_labels(voters[1:], labels, 0.05, 100, 0).rows.tolist() == [9]
    assert doubts.wrong_labels(voters, labels, 0.05, 100, 0).rows.tolist() == []


def test_evidence_is_that_of_the_pairs_written_out():
    unit, labels = faces([1, 3, 4, 2])
    kept = np.arange(10) != 5
    voter = Voter(unit, 20.0, -7.0)
    found = doubts.evidence([voter], labels, kept)
    for i in range(10):
        means = {}
        for p in range(4):
            rows = [j for j in np.flatnonzero(kept & (labels == p)) if j != i]
            means[p] = np.mean([20 * float(unit[i] @ unit[j]) - 7 for j in rows]) if rows else np.nan
        assert found.own[0, i] == pytest.approx(means[labels[i]], abs=1e-4, nan_ok=True)
        others = {p: mean for p, mean in means.items() if p != labels[i]}
        assert found.whose[i] == max(others, key=others.get)
        assert found.other[0, i] == pytest.approx(max(others.values()), abs=1e-4)
        assert found.matched[0, i] == sum(mean > 0 for mean in others.values())


def test_blocks_change_nothing(monkeypatch):
    unit, labels = faces([3] * 50)
    voter, kept = Voter.of(unit, labels), np.ones(150, bool)
    whole = doubts.evidence([voter], labels, kept), doubts.one_person([voter], labels, kept)
    monkeypatch.setattr(doubts, "BLOCK", 400)
    parts = doubts.evidence([voter], labels, kept), doubts.one_person([voter], labels, kept)
    np.testing.assert_allclose(whole[0].own, parts[0].own, atol=1e-4)
    np.testing.assert_array_equal(whole[0].whose, parts[0].whose)
    np.testing.assert_array_equal(whole[1][0], parts[1][0])


def test_one_person_under_two_names_is_found():
    unit, labels = faces([3] * 100)
    both = np.where(labels == 70, 100, labels)
    both[np.flatnonzero(labels == 30)[1:]] = 70  # One image keeps its name.
    both = np.unique(both, return_inverse=True)[1]
    pairs, odds, rates = doubts.one_person([Voter.of(unit, both)], both, np.ones(300, bool))
    assert pairs.tolist() == [[30, 70]]
    assert odds[0] > 0
    assert rates[0] < 0.05


def test_a_name_of_two_people_falls_into_their_images():
    unit, labels = faces([4] * 60)
    new = np.unique(np.where(labels == 41, 7, labels), return_inverse=True)[1]
    voter = Voter.of(unit, new)
    first, second, apart = doubts.two_parts([voter], np.flatnonzero(new == 7))
    assert sorted([first.tolist(), second.tolist()]) == [[28, 29, 30, 31], [164, 165, 166, 167]]
    assert apart > 0
    assert doubts.two_parts([voter], np.flatnonzero(new == 8)) is None
