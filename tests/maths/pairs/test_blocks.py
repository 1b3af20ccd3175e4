"""Error rates of groups are those of the pairs written out, and what sums them up is as others define it."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import gmean

from embedlab.maths.pairs import excess, roc
from embedlab.maths.pairs.all_pairs import all_pairs
from embedlab.maths.pairs.blocks import Errors, gini, summaries
from embedlab.maths.people.bootstrap import resamples
from tests.planted import uneven

IMAGES = [1, 4, 2, 3, 5, 2] * 6
GROUPS = [np.arange(0, 12), np.arange(12, 30), np.arange(30, 36)]


def errors_of(a, far, weigh="people"):
    pairs = all_pairs(a.unit, a.labels, weigh=weigh)
    limit = float(roc.limits(pairs, np.array([far]), np.ones((1, len(a.identities)), np.float32))[0][0])
    return Errors.of(pairs, limit), limit


def written_out(a, limit, weigh):
    """Accepted and all pairs of each two people, every pair in Python, as they weigh."""
    size, has = len(a.identities), np.bincount(a.labels)
    accepted, every = np.zeros((2, size, size))
    for x, y in itertools.combinations(range(len(a.items)), 2):
        i, j = a.labels[x], a.labels[y]
        weight = 1 / (has[i] * has[j]) if weigh == "people" else 1.0
        weight = 2 / (has[i] * (has[i] - 1)) if weigh == "people" and i == j else weight
        score = np.float32(a.unit[x] @ a.unit[y])
        for one, other in {(i, j), (j, i)}:
            accepted[one, other] += weight * (score > limit)
            every[one, other] += weight
    return accepted, every


@pytest.mark.parametrize("weigh", ["people", "pairs"])
def test_blocks_are_those_of_the_pairs_written_out(weigh):
    a = uneven(IMAGES, noise=1.2, permuted=True)
    errors, limit = errors_of(a, 0.05, weigh)
    accepted, every = written_out(a, limit, weigh)
    ones = np.ones((1, len(IMAGES)))
    strangers = 1 - np.eye(len(IMAGES))
    for g, h in itertools.combinations_with_replacement(GROUPS, 2):
        rate = errors.fmr(g, h, ones)
        at = np.ix_(g, h)
        right = (accepted * strangers)[at].sum() / (every * strangers)[at].sum()
        assert rate.value == pytest.approx(right, rel=1e-9)
        assert rate.replicates == pytest.approx([right], rel=1e-9)
    own = np.diag(every) > 0
    for g in GROUPS:
        who = g[own[g]]
        right = 1 - np.diag(accepted)[who].sum() / np.diag(every)[who].sum()
        assert errors.fnmr(g, ones).value == pytest.approx(right, rel=1e-9)


def test_people_dealt_as_they_are_give_what_was_measured():
    errors, _ = errors_of(uneven(IMAGES, noise=1.2), 0.05)
    counts = np.ones((3, len(IMAGES)))
    rates = [errors.fmr(g, g, counts) for g in GROUPS], [errors.fnmr(g, counts) for g in GROUPS]
    drawn, _ = errors.summed_up(GROUPS, rates, 2, seed=0)
    labels = np.repeat([0, 1, 2], [12, 18, 6])
    fmr, fnmr = errors._of_groups(labels, 3)
    ones = np.ones((1, len(IMAGES)))
    assert fmr == pytest.approx([errors.fmr(g, g, ones).value for g in GROUPS])
    assert fnmr == pytest.approx([errors.fnmr(g, ones).value for g in GROUPS])
    assert all(one.replicates == pytest.approx(one.value) for one in drawn)


def test_resamples_are_drawn_towards_one_as_the_pairs_of_a_block_say(monkeypatch):
    """What people and pairs add to the variance of a block, summed pair by pair."""
    errors, _ = errors_of(uneven(IMAGES, noise=1.2), 0.05)
    asked, right = [], excess.shrinkage

    def shrinkage(people, own, *, products):
        asked.append((float(people), float(own)))
        return right(people, own, products=products)

    monkeypatch.setattr("embedlab.maths.pairs.blocks.excess.shrinkage", shrinkage)
    met, masses = errors.accepted.toarray(), errors.masses
    for g, h in ((GROUPS[0], GROUPS[0]), (GROUPS[0], GROUPS[1])):
        rate = errors.fmr(g, h, np.ones((1, len(IMAGES)))).value
        moves, own = np.zeros(len(IMAGES)), 0.0
        for i, j in itertools.combinations(g, 2) if g is h else itertools.product(g, h):
            moves[[i, j]] += met[i, j] - rate * masses[i] * masses[j]
            own += met[i, j] ** 2
        assert asked.pop() == pytest.approx((moves @ moves, own * (1 - rate)))


def test_in_ratios_a_group_without_an_error_counts_half_of_one():
    errors, _ = errors_of(uneven(IMAGES, noise=1.2), 0.05, "pairs")
    g, h = GROUPS[:2]
    never = replace(errors, rejected=np.where(np.isin(errors.genuine_people, g), 0.0, errors.rejected))
    counts = np.ones((1, len(IMAGES)))
    rates = [errors.fmr(one, one, counts) for one in (g, h)], [never.fnmr(one, counts) for one in (g, h)]
    summed, _ = never.summed_up([g, h], rates, 1, seed=0)
    half = 0.5 / np.isin(errors.genuine_people, g).sum()
    assert summed[1].value == pytest.approx((rates[1][1].value / half) ** 0.5)


def test_sums_are_those_of_the_papers():
    rng = np.random.default_rng(0)
    fmr, fnmr = rng.uniform(0.001, 0.01, (2, 5))
    matched, missed, inequity, garbe = summaries(fmr, fnmr, np.full((2, 5), 1e-9))
    assert matched == pytest.approx(fmr.max() / gmean(fmr))
    assert missed == pytest.approx(fnmr.max() / gmean(fnmr))
    assert inequity == pytest.approx((fmr.max() / fmr.min()) ** 0.5 * (fnmr.max() / fnmr.min()) ** 0.5)

    def lorenz(rates):
        """Gini by the area under the curve of sorted shares, brought to 1 for one that has all."""
        shares = np.r_[0, np.cumsum(np.sort(rates)) / rates.sum()]
        area = np.trapezoid(shares, np.linspace(0, 1, len(shares)))
        return (1 - 2 * area) * len(rates) / (len(rates) - 1)

    assert garbe == pytest.approx((lorenz(fmr) + lorenz(fnmr)) / 2)
    assert gini(np.array([0.0, 0.0, 0.3])) == pytest.approx(1)
    assert gini(np.array([[0.2, 0.2], [0.0, 0.0]])).tolist() == [0, 0]


def test_a_group_without_an_error_counts_half_of_one():
    matched, *_ = summaries(np.array([0.0, 0.04]), np.array([0.1, 0.1]), np.full((2, 2), 0.01))
    assert matched == pytest.approx(2)


def test_replicates_spread_as_samples_do():
    """Over fresh samples of people a block's FMR varies as its replicates say."""
    g, h = np.arange(40), np.arange(40, 80)
    found, spread = [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        labels = np.repeat(np.arange(80), 3)
        vectors = rng.normal(size=(80, 12))[labels] + 0.7 * rng.normal(size=(240, 12))
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        errors = Errors.of(all_pairs(unit.astype(np.float32), labels, weigh="people"), 0.6)
        rates = [errors.fmr(g, g, resamples(80, 200, 0)), errors.fmr(g, h, resamples(80, 200, 0))]
        found.append([one.value for one in rates])
        spread.append([one.replicates.std() for one in rates])
    ratio = np.mean(spread, axis=0) / np.std(found, axis=0)
    assert ((ratio > 0.8) & (ratio < 1.3)).all(), ratio
