"""Pair accuracy has its known values where the truth is known."""

import dataclasses

import numpy as np
import pytest

from embedlab.errors import UserError
from embedlab.networks.embedder import Preprocessing
from embedlab.protocols import PairList
from embedlab.training import validation


def halves(n):
    return np.arange(n) % 2 == 0


def test_separated_scores_are_judged_rightly_wherever_the_threshold_lies():
    same = halves(200)
    for shift in (-0.5, 0.0, 0.7):
        assert validation.accuracy(np.where(same, 0.2, 0.1) + shift, same) == 1.0


def test_shuffled_scores_are_judged_by_chance():
    scores = np.random.default_rng(0).normal(size=4000)
    assert validation.accuracy(scores, halves(4000)) == pytest.approx(0.5, abs=0.04)


def test_two_normal_distributions_give_the_accuracy_of_theory():
    same = halves(20_000)
    scores = np.random.default_rng(1).normal(size=20_000) + 2.0 * same
    assert validation.accuracy(scores, same) == pytest.approx(0.8413, abs=0.01)


def test_thresholds_are_chosen_on_other_pairs_than_they_judge():
    # One lone misranked pair can be fitted in-sample, but not from the other folds.
    same = np.array([True] * 10 + [False] * 10)
    scores = np.where(same, 1.0, 0.0)
    scores[0] = -1.0
    assert validation.accuracy(scores, same) == pytest.approx(19 / 20)


def test_pairs_of_another_data_set_are_refused(people):
    pairs = PairList(("p0/0.png",), ("nobody.png",), np.array([True]))
    with pytest.raises(UserError, match=r"the pairs name 'nobody.png', which data set 'faces' does not have"):
        validation.prepared(people("faces"), pairs, Preprocessing(32))


def test_too_few_pairs_are_refused(people):
    pairs = PairList(("p0/0.png",), ("p0/1.png",), np.array([True]))
    with pytest.raises(UserError, match="1 matching and 0 other pairs of faces can be read"):
        validation.prepared(people("faces"), pairs, Preprocessing(32))


def test_a_pair_with_an_unreadable_image_is_left_out(people, pairs):
    dataset = people("faces")
    whole = validation.prepared(dataset, pairs(dataset), Preprocessing(32))
    dataset.path(1).write_bytes(b"broken")
    cut = validation.prepared(dataset, pairs(dataset), Preprocessing(32))
    assert len(whole.same) - len(cut.same) == 4
    assert len(cut.images[""]) == len(dataset) - 1


def test_the_second_condition_is_shrunk_to_32_pixels_first(people, pairs):
    dataset = people("faces", side=64)
    ready = validation.prepared(dataset, pairs(dataset), Preprocessing(64))
    assert ready.images["@32"].shape == ready.images[""].shape == (len(dataset), 64, 64, 3)
    assert (
        np.abs(np.diff(ready.images["@32"].astype(int), axis=2)).mean()
        < np.abs(np.diff(ready.images[""].astype(int), axis=2)).mean() + 1
    )
    assert not np.array_equal(ready.images["@32"], ready.images[""])


def test_chance_is_the_share_of_the_more_frequent_kind(people, pairs):
    dataset = people("faces")
    ready = validation.prepared(dataset, pairs(dataset), Preprocessing(32))
    assert ready.chance == max(ready.same.mean(), 1 - ready.same.mean())
    lopsided = dataclasses.replace(ready, same=np.array([True, False, False, False]))
    assert lopsided.chance == 0.75
