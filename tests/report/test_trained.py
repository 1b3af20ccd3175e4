"""Pair accuracies are resampled by people, and many comparisons hold at once."""

import numpy as np
import pytest

from embedlab.lab.learning import ValidationPairs
from embedlab.lab.store import Lab
from embedlab.maths.people import bootstrap
from embedlab.report import trained
from tests.planted_learning import judged, pairs_of, plant


def test_a_resample_weighs_each_pair_by_how_often_its_people_were_drawn():
    pairs = ValidationPairs(
        "f",
        first=np.array([0, 1, 2, 0, 1]),
        second=np.array([0, 1, 2, 1, 2]),
        same=np.array([True, True, True, False, False]),
    )
    right = np.array([[True, False, True, False, True], [False, True, True, True, True]])
    found = trained.replicates(pairs, right, count=50, seed=4)
    counts = bootstrap.resamples(3, 50, 4).astype(int)
    for b, drawn in enumerate(counts):
        for m in range(2):
            same = [right[m, p] for p in range(3) for _ in range(drawn[pairs.first[p]])]
            other = [
                right[m, p]
                for p in (3, 4)
                for _ in range(drawn[pairs.first[p]])
                for _ in range(drawn[pairs.second[p]])
            ]
            expected = 0.6 * np.mean(same) + 0.4 * np.mean(other) if other else np.nan
            np.testing.assert_allclose(found[b, m], expected, rtol=1e-6)


def test_resamples_in_pieces_are_those_in_one(monkeypatch):
    pairs = pairs_of(30)
    right = judged(pairs, 0.2)[None]
    whole = trained.replicates(pairs, right)
    monkeypatch.setattr(trained, "HELD", 500)
    np.testing.assert_allclose(trained.replicates(pairs, right), whole, rtol=1e-6)


def test_the_interval_of_an_accuracy_holds_the_truth_about_as_often_as_it_says():
    pairs = pairs_of(80)
    draw = np.random.default_rng(0)
    held = 0
    for _ in range(200):
        ease = draw.beta(8, 2, 80)  # how often a person's pairs are judged rightly
        right = draw.random(len(pairs.same)) < np.sqrt(ease[pairs.first] * ease[pairs.second])
        truth = 0.5 * 0.8 + 0.5 * TRUTH
        low, high = np.quantile(trained.replicates(pairs, right[None], 200), [0.025, 0.975])
        held += low <= truth <= high
    assert 0.88 <= held / 200 <= 0.995


# The mean of √(ease·ease) of two people is the square of the mean of √ease.
TRUTH = float(np.sqrt(np.random.default_rng(1).beta(8, 2, 1_000_000)).mean() ** 2)


def test_simultaneous_intervals_are_wider_than_one_and_hold_together():
    draw = np.random.default_rng(0)
    held = 0
    for _ in range(300):
        values = draw.normal(0, 1, 6)
        low, high = trained.simultaneous(values, values + draw.normal(0, 1, (400, 6)))
        held += bool(((low <= 0) & (high >= 0)).all())
        assert ((high - low) / 2 > 2.2).all()
    assert 0.9 <= held / 300 <= 0.99


def test_a_difference_that_no_resample_moves_has_no_interval():
    low, high = trained.simultaneous(np.array([0.0, 1.0]), np.array([[0.0, 0.5], [0.0, 1.5], [0.0, 1.0]]))
    assert np.isnan([low[0], high[0]]).all()
    assert np.isfinite([low[1], high[1]]).all()
    assert np.isnan(trained.simultaneous(np.zeros(1), np.full((9, 1), np.nan))).all()


def test_a_model_knows_its_pace_its_conditions_and_its_accuracy(tmp_path):
    lab, pairs = Lab(tmp_path), pairs_of()
    right = judged(pairs, 0.2)
    plant(lab, "a", [right, {"": right, "@32": ~right}], pairs)
    plant(lab, "old", [right], pairs, written=False)
    (a, old), notes = trained.load(lab, ["a", "imported", "old"])
    assert notes == []
    for one in (a, old):
        assert (one.images_a_step, one.steps_an_epoch, one.conditions) == (8, 5.0, ["", "@32"])
    assert a.accuracy("@32") == pytest.approx(1 - right.mean())
    assert a.last("@32").step == 10
    assert (old.last(""), old.accuracy("")) == (None, right.mean())
    with_people, without = a.estimate(""), old.estimate("")
    assert with_people.low < with_people.value == without.value < with_people.high
    assert (with_people.n, with_people.null, without.n, without.low) == (60, 0.5, 0, None)


def test_no_error_at_all_has_the_interval_of_the_rule_of_three(tmp_path):
    lab, pairs = Lab(tmp_path), pairs_of()
    plant(lab, "a", [np.ones(len(pairs.same), bool)], pairs)
    estimate = trained.load(lab, ["a"])[0][0].estimate("")
    assert (estimate.value, estimate.low, estimate.high) == (1.0, 0.95, 1.0)


def test_damaged_curves_become_a_remark(tmp_path):
    lab, pairs = Lab(tmp_path), pairs_of()
    plant(lab, "a", [judged(pairs, 0.2)], pairs)
    (lab.checkpoint("a") / "curves.parquet").write_bytes(b"rubbish")
    (a,), (note,) = trained.load(lab, ["a"])
    assert a.learned is None
    assert note.text.startswith("Only the means of a's epochs are shown: cannot read")
