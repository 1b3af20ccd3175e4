"""Pair accuracy and ROC have their known values where the truth is known."""

import sys

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score, roc_curve

from embedlab.errors import UserError
from embedlab.formats.protocols import PairList
from embedlab.networks.embedder import Preprocessing
from embedlab.progress import shown
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
    assert ready.chance == max(ready.same.mean(), 1 - ready.same.mean()) > 0.5


def test_the_judgements_say_which_pairs_were_wrong():
    same = np.array([True] * 10 + [False] * 10)
    scores = np.where(same, 1.0, 0.0)
    scores[[3, 14]] = [-1.0, 2.0]
    assert np.flatnonzero(~validation.judged(scores, same)).tolist() == [3, 14]


def drawn(genuine, impostors, seed=0, digits=9):
    same = np.arange(genuine + impostors) < genuine
    scores = np.random.default_rng(seed).normal(size=len(same)) + 1.5 * same
    return np.round(scores, digits), same


@pytest.mark.parametrize("digits", [9, 1])
@pytest.mark.parametrize("impostors", [1, 7, 100, 3000])
def test_every_point_of_the_roc_lies_on_that_of_scikit_learn(impostors, digits):
    scores, same = drawn(500, impostors, digits=digits)
    found = validation.roc(scores, same)
    far, tar, _ = roc_curve(same, scores, drop_intermediate=False)
    theirs = {round(f * impostors): t for f, t in zip(far, tar, strict=True)}  # the highest TAR of each FAR
    assert found.tar.tolist() == [theirs[k] for k in np.rint(found.far * impostors)]
    assert found.auc == pytest.approx(roc_auc_score(same, scores))
    assert (found.genuine, found.impostors) == (500, impostors)


def test_the_points_of_a_roc_are_few_rise_and_hold_the_powers_of_ten():
    found = validation.roc(*drawn(2000, 50_000))
    assert len(found.far) <= 200
    assert (np.diff(found.far) > 0).all()
    assert (np.diff(found.tar) >= 0).all()
    assert (found.far[0], found.far[-1], found.tar[-1]) == (0.0, 1.0, 1.0)
    assert {5, 50, 500, 5000} <= set(np.rint(found.far * 50_000).astype(int))


def test_a_tar_is_that_of_the_lowest_threshold_the_far_allows():
    scores, same = drawn(400, 250)
    found = validation.roc(scores, same)
    for far, allowed in ((0.1, 25), (0.01, 2), (0.004, 1)):
        limit = np.sort(scores[~same])[::-1][allowed]
        assert found.tar_at(far) == (scores[same] > limit).mean()
    assert found.tar_at(0.001) is None


class Pixels(torch.nn.Module):
    """Embeds an image as its first pixels; in training mode as noise."""

    def __init__(self):
        super().__init__()
        self.frozen = torch.nn.BatchNorm2d(3)
        self.dropout = torch.nn.Dropout(0.5)
        self.input_size = 20

    def forward(self, x):
        assert not self.training
        return self.dropout(x[:, :, ::4, ::4].reshape(len(x), -1))


@pytest.fixture
def ready(people, pairs):
    dataset = people("faces")
    return validation.prepared(dataset, pairs(dataset), Preprocessing(20))


def test_a_network_is_measured_by_the_cosines_of_its_embeddings(ready):
    network = Pixels().train()
    found = ready.measure(network, "cpu")
    assert list(found.figures) == ["pair_accuracy", "pair_accuracy@32"]
    for condition, images in ready.images.items():
        vectors = ((images / 127.5 - 1)[:, ::4, ::4].transpose(0, 3, 1, 2)).reshape(len(images), -1)
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        scores = (unit[ready.a] * unit[ready.b]).sum(axis=1)
        assert found.figures[f"pair_accuracy{condition}"] == validation.accuracy(scores, ready.same) > 0.9
        assert found.figures[f"pair_accuracy{condition}"] == found.right[condition].mean()
        assert found.rocs[condition].auc == pytest.approx(roc_auc_score(ready.same, scores), abs=1e-3)
    assert found.pairs is ready.pairs


def test_every_part_of_the_network_is_left_in_the_mode_it_was_in(ready):
    network = Pixels().train()
    network.frozen.eval()
    ready.measure(network, "cpu")
    assert [m.training for m in (network, network.frozen, network.dropout)] == [True, False, True]


def test_a_network_that_fails_is_left_in_the_mode_it_was_in(ready):
    network = Pixels().train()
    network.dropout.forward = lambda x: 1 / 0
    with pytest.raises(ZeroDivisionError):
        ready.measure(network, "cpu")
    assert network.training


def test_pairs_without_a_score_count_as_not_accepted_and_are_said(ready, capsys):
    network = Pixels().train()
    network.dropout.forward = lambda x: x * torch.nan
    with shown(sys.stdout):
        found = ready.measure(network, "cpu")
    assert f"{len(ready.a)} of {len(ready.a)} validation pairs have no score" in capsys.readouterr().out
    assert found.rocs[""].auc == 0.5


def test_the_pairs_know_whom_they_show_and_have_a_fingerprint(people, pairs):
    dataset = people("faces", count=3)
    listed = pairs(dataset)
    ready = validation.prepared(dataset, listed, Preprocessing(32))
    shown = ready.pairs
    assert shown.people == 3
    np.testing.assert_array_equal(shown.first, [int(item[1]) for item in listed.a])
    np.testing.assert_array_equal(shown.second, [int(item[1]) for item in listed.b])
    assert (shown.first == shown.second).tolist() == shown.same.tolist()
    assert shown.fingerprint == validation.prepared(dataset, listed, Preprocessing(16)).pairs.fingerprint
    dataset.path(1).write_bytes(b"broken")
    assert shown.fingerprint != validation.prepared(dataset, listed, Preprocessing(32)).pairs.fingerprint
