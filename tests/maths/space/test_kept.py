"""Lists of nearest people: what two of them have in common."""

from itertools import pairwise

import numpy as np
import pytest

from embedlab.maths.space.kept import agreement, halves, kept, kept_of_others, means, nearest_people
from tests.spaces import images, unit


@pytest.fixture
def places():
    return np.random.default_rng(1).normal(size=(300, 24))


def test_halves_share_no_image_and_take_turns():
    owners = np.repeat(np.arange(40), [2, 3, 4, 7] * 10)
    half = halves(owners, np.random.default_rng(0))
    for person in range(40):
        counts = np.bincount(half[owners == person], minlength=2)
        assert counts[0] - counts[1] == counts.sum() % 2
    assert (half != halves(owners, np.random.default_rng(1))).any()


def test_means_are_the_plain_ones_and_images_that_cancel_out_leave_a_direction():
    rows = unit(np.random.default_rng(0).normal(size=(7, 5)))
    rows[6] = -rows[5]
    owners = np.array([0, 1, 0, 1, 1, 2, 2])
    found = means(rows, owners)
    for person in (0, 1):
        assert found[person] == pytest.approx(unit(rows[owners == person].mean(axis=0)))
    assert np.linalg.norm(found, axis=1) == pytest.approx(np.ones(3))
    some = means(rows, owners, np.array([0, 3, 5]))
    assert some == pytest.approx(rows[[0, 3, 5]])


def test_nearest_people_are_those_of_a_plain_search(places, monkeypatch):
    monkeypatch.setattr("embedlab.maths.space.kept.BLOCK", 7 * len(places))
    rows = unit(places)
    cosines = rows @ rows.T
    np.fill_diagonal(cosines, -2)
    found = nearest_people(rows, 12, np.random.default_rng(0))
    assert (found == np.argsort(-cosines, axis=1)[:, :12]).all()


def test_spaces_that_tell_nobody_apart_agree_by_chance_only():
    same = np.tile([1.0, 0.0], (200, 1))
    lists = [nearest_people(same, 10, np.random.default_rng(seed)) for seed in range(60)]
    shares = [kept(first, second)[:, -1].mean() for first, second in pairwise(lists)]
    assert np.mean(shares) == pytest.approx(10 / 199, abs=0.03)


def test_kept_counts_common_names_among_the_first_ones():
    rng = np.random.default_rng(0)
    a, b = (np.stack([rng.permutation(12)[:6] for _ in range(12)]) for _ in range(2))
    a[0] = b[0]
    found = kept(a, b)
    for row in range(12):
        for k in range(1, 7):
            assert found[row, k - 1] == pytest.approx(len({*a[row, :k]} & {*b[row, :k]}) / k)
    assert found[0] == pytest.approx(np.ones(6))


def test_lists_of_others_share_what_all_pairs_of_people_share_on_average(places):
    a, b = (nearest_people(unit(places[:40, :d]), 5, np.random.default_rng(0)) for d in (3, 4))
    found = kept_of_others(a, b)
    for k in (1, 5):
        pairs = [len({*a[i, :k]} & {*b[j, :k]}) / k for i in range(len(a)) for j in range(len(a)) if i != j]
        assert found[k - 1] == pytest.approx(np.mean(pairs))


def test_a_turned_space_agrees_across_as_far_as_within(places):
    rows, owners = images(places, 4, 0.5, 0)
    turn = np.linalg.qr(np.random.default_rng(2).normal(size=(24, 24)))[0].astype(np.float32)
    found = agreement(rows, rows @ turn, owners, 10, 20, 3, np.random.default_rng(0))
    assert found.across == pytest.approx(found.within[0], abs=1e-12)
    assert 0.1 < found.across[:, 9].mean() < 0.9
    # Whoever stands in a list takes another's place, so that over all people nothing is gained.
    assert found.across_others.mean() == pytest.approx(0)
    assert found.across_others.std() > 0.01


def test_unrelated_spaces_agree_as_lists_of_others_do(places):
    rows, owners = images(places, 4, 0.5, 0)
    other, _ = images(np.random.default_rng(5).normal(size=(300, 24)), 4, 0.5, 0)
    found = agreement(rows, other, owners, 10, 10, 3, np.random.default_rng(0))
    assert found.across[:, 9].mean() == pytest.approx(found.strangers[9], abs=0.01)
    assert found.strangers[9] == pytest.approx(10 / 299, rel=0.3)
