import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from embedlab.maths.people.bootstrap import resamples
from embedlab.maths.space.recognition import leave_one_out, resampled_auc


def test_an_image_beside_its_person_is_recognised_and_a_single_one_not_asked_for():
    angles = np.radians([0, 5, 90, 95, 175, 178])
    unit = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    rows, hits = leave_one_out(unit, np.array([0, 0, 1, 2, 2, 3]))
    assert rows.tolist() == [0, 1, 3, 4]
    assert hits.tolist() == [True, True, False, False]


def test_nobody_twice_leaves_nothing_to_ask():
    rows, hits = leave_one_out(np.eye(3), np.arange(3))
    assert len(rows) == len(hits) == 0
    assert np.isnan(resampled_auc(np.empty(0), hits, rows, np.ones((2, 3)))).all()


def test_the_auc_is_that_of_scikit_learn_ties_and_weights_too():
    rng = np.random.default_rng(0)
    owners = np.repeat(np.arange(40), 5)
    values = rng.integers(0, 12, size=200).astype(float)
    hits = rng.uniform(size=200) < 0.2 + values / 20
    counts = np.r_[np.ones((1, 40)), resamples(40, 20, 0)]
    found = resampled_auc(values, hits, owners, counts)
    expected = [roc_auc_score(hits, values, sample_weight=row[owners]) for row in counts]
    np.testing.assert_allclose(found, expected)


def test_blocks_of_resamples_change_nothing(monkeypatch):
    from embedlab.maths.space import recognition

    rng = np.random.default_rng(0)
    values, hits, counts = rng.normal(size=50), rng.uniform(size=50) < 0.5, resamples(50, 30, 0)
    whole = resampled_auc(values, hits, np.arange(50), counts)
    monkeypatch.setattr(recognition, "BLOCK", 200)
    np.testing.assert_allclose(resampled_auc(values, hits, np.arange(50), counts), whole)


def test_without_a_miss_there_is_no_auc():
    found = resampled_auc(np.arange(4.0), np.ones(4, bool), np.arange(4), np.ones((1, 4)))
    assert found[0] == pytest.approx(np.nan, nan_ok=True)
