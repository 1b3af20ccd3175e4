import numpy as np
import pytest
from pyeer import eer_stats
from scipy.stats import norm
from sklearn.metrics import roc_auc_score, roc_curve

from embedlab.maths.pairs import listed
from embedlab.maths.pairs.listed import Listed
from embedlab.maths.people.bootstrap import resamples
from tests.planted import embedding_set

NOBODY = np.ones((0, 400), np.float32)


@pytest.fixture
def unshrunk(monkeypatch):
    """Weigh pairs as the counts say, so that they can be written out."""
    monkeypatch.setattr("embedlab.maths.pairs.excess.shrunk", lambda counts, c: counts)


def people_of(same, rng, people=400):
    one = rng.integers(people, size=len(same))
    other = (one + rng.integers(1, people, size=len(same))) % people
    return np.stack([one, np.where(same, one, other)], axis=1)


def planted(n=300, shift=1.5, seed=0, digits=8):
    """Genuine scores around ``shift``, impostor scores around 0, as far apart as their spread is one."""
    rng = np.random.default_rng(seed)
    same = np.repeat([True, False], n)
    scores = (rng.normal(size=2 * n) + shift * same).round(digits)
    return Listed(scores, same, people_of(same, rng))


@pytest.fixture(scope="module")
def some():
    return planted()


def test_the_rates_of_normal_scores_are_those_of_the_closed_form():
    """TAR = Φ(μ − z), AUC = Φ(μ/√2), EER = Φ(−μ/2): the binormal model with equal spreads."""
    fars = np.array([0.3, 0.1, 0.01, 1e-3])
    found = listed.rates(planted(100_000, shift=2.0, seed=1), fars, NOBODY)
    assert found.tar == pytest.approx(norm.cdf(2.0 - norm.isf(fars)), abs=0.012)
    assert found.thresholds == pytest.approx(norm.isf(fars), abs=0.05)
    assert found.auc == pytest.approx(norm.cdf(2.0 / np.sqrt(2)), abs=0.002)
    assert found.eer == pytest.approx(norm.cdf(-1.0), abs=0.003)
    assert found.false_accepts.tolist() == [30_000, 10_000, 1_000, 100]


@pytest.mark.parametrize("digits", [8, 1])
def test_auc_and_tar_are_those_of_scikit_learn_with_ties_and_without(digits):
    some = planted(digits=digits)
    fars = np.array([0.5, 0.1, 0.02])
    found = listed.rates(some, fars, NOBODY)
    fpr, tpr, thresholds = roc_curve(some.same, some.scores, drop_intermediate=False)
    assert found.auc == pytest.approx(roc_auc_score(some.same, some.scores), abs=1e-12)
    for k, far in enumerate(fars):
        best = np.flatnonzero(fpr <= far)[-1]
        assert found.tar[k] == pytest.approx(tpr[best])
        assert found.false_accepts[k] == round(fpr[best] * 300)
        accepted = some.scores >= found.thresholds[k]
        assert (accepted == (some.scores >= thresholds[best])).all()


def test_eer_and_far_thresholds_are_those_of_pyeer(some):
    genuine, impostor = some.scores[some.same], some.scores[~some.same]
    thresholds, fmr, fnmr = eer_stats.calculate_roc(genuine, impostor)
    _, low, high, eer = eer_stats.get_eer_values(fmr, fnmr)
    found = listed.rates(some, np.array([0.1, 0.01]), NOBODY)
    assert abs(high - low) <= 1 / 300 + 1e-12
    assert found.eer == pytest.approx(eer, abs=1 / 300)
    for k, far in enumerate((0.1, 0.01)):
        index, missed = eer_stats.get_fmr_op(fmr, fnmr, far)
        assert fmr[index] == pytest.approx(far)
        assert found.tar[k] == pytest.approx(1 - missed, abs=1 / 300)
        assert found.false_accepts[k] == (impostor >= thresholds[index]).sum()


@pytest.mark.usefixtures("unshrunk")
def test_a_resample_is_its_pairs_written_out(some):
    """A genuine pair of i stands wᵢ times, an impostor pair of i and j wᵢ·wⱼ times."""
    counts = resamples(400, 8, seed=2)
    fars = np.array([0.2, 0.05])
    found = listed.rates(some, fars, counts)
    for k, row in enumerate(counts):
        first, second = some.people.T
        times = np.where(some.same, row[first], row[first] * row[second]).astype(int)
        written = Listed(*(np.repeat(x, times, axis=0) for x in (some.scores, some.same, some.people)))
        alone = listed.rates(written, fars, NOBODY)
        assert found.tar_replicates[k] == pytest.approx(alone.tar)
        assert found.auc_replicates[k] == pytest.approx(alone.auc)
        assert found.eer_replicates[k] == pytest.approx(alone.eer)


def test_a_resample_without_a_kind_has_no_rates(some):
    found = listed.rates(some, np.array([0.1]), np.zeros((1, 400), np.float32))
    assert np.isnan([*found.tar_replicates[0], *found.auc_replicates, *found.eer_replicates]).all()


def test_a_pair_called_genuine_of_two_people_weighs_as_two_people(some):
    counts = np.zeros((1, 400), np.float32)
    counts[0, [5, 6]] = 2, 3
    pairs = Listed(np.zeros(3), np.array([True, True, False]), np.array([[5, 5], [5, 6], [6, 7]]))
    assert pairs.weights(counts).tolist() == [[2, 6, 0]]


def reference(pairs, folds, thresholds):
    """Accuracy a fold as ten-fold code is commonly written: the first best of given thresholds, rising."""
    found = []
    for fold in np.unique(folds):
        chooses, judged = folds != fold, folds == fold
        right = [((pairs.scores >= t) == pairs.same)[chooses].mean() for t in thresholds]
        best = thresholds[int(np.argmax(right))]
        found.append((((pairs.scores >= best) == pairs.same)[judged].mean(), max(right), best))
    return np.array(found).T


@pytest.mark.parametrize("digits", [8, 1])
def test_fold_accuracy_is_that_of_trying_every_threshold(digits):
    some = planted(seed=3, digits=digits)
    folds = np.arange(600) % 10
    found = listed.fold_accuracy(some, folds, NOBODY)
    values = []
    for fold in range(10):
        falling = np.unique(some.scores[folds != fold])[::-1]
        middles = (falling[1:] + falling[:-1]) / 2
        candidates = np.r_[falling[0] + 1e-9, middles, falling[-1]]
        accuracy, _, best = reference(some, folds, candidates)
        values.append(accuracy[fold])
        assert found.thresholds[fold] == pytest.approx(best[fold], abs=1e-8)
    assert found.accuracy == pytest.approx(np.array(values))
    assert found.mean == pytest.approx(np.mean(values))


def test_the_threshold_is_the_best_point_of_scikit_learns_roc_curve(some):
    folds = np.arange(600) % 10
    found = listed.fold_accuracy(some, folds, NOBODY)
    for fold in range(10):
        own = folds != fold
        fpr, tpr, thresholds = roc_curve(some.same[own], some.scores[own], drop_intermediate=False)
        share = some.same[own].mean()
        right = (share * tpr + (1 - share) * (1 - fpr)).round(9)
        got = ((some.scores[own] >= found.thresholds[fold]) == some.same[own]).mean()
        assert got == pytest.approx(right.max())
        # The highest of the best, as the first of a falling row is.
        assert (some.scores[own] >= found.thresholds[fold]).sum() == (
            some.scores[own] >= thresholds[np.argmax(right)]
        ).sum()


def test_insightfaces_grid_agrees_within_its_step():
    """arange(0, 4, 0.01) on squared distances of unit vectors, accepting below the threshold."""
    a = embedding_set(people=120, images=6, noise=0.9)
    one, other, same, folds = listed.drawn_pairs(a.labels, 10, 300, seed=0)
    people = np.stack([a.labels[one], a.labels[other]], axis=1)
    pairs = Listed(listed.scored(a.unit, one, other), same, people)
    found = listed.fold_accuracy(pairs, folds, np.ones((0, 120), np.float32))
    grid = np.arange(0, 4, 0.01)
    squared = Listed(-(2 - 2 * pairs.scores.astype(np.float64)), same, people)
    accuracy, chosen, best = reference(squared, folds, -grid)
    near = 0
    for fold, threshold in enumerate(1 + best / 2):
        own = folds != fold
        exact = ((pairs.scores >= found.thresholds[fold]) == same)[own].mean()
        # No step of the grid can gain more than the pairs that lie within it.
        step = np.abs(pairs.scores[own] - found.thresholds[fold]) <= 0.005
        assert chosen[fold] <= exact <= chosen[fold] + step.mean()
        near += abs(threshold - found.thresholds[fold]) <= 0.005
    assert near >= 5
    assert found.mean == pytest.approx(accuracy.mean(), abs=0.005)


def test_fold_accuracy_of_normal_scores_is_the_share_on_the_right_side_of_the_middle():
    some = planted(20_000, shift=2.0, seed=4)
    found = listed.fold_accuracy(some, np.arange(40_000) % 10, NOBODY)
    assert found.mean == pytest.approx(norm.cdf(1.0), abs=0.005)
    assert found.thresholds == pytest.approx(np.full(10, 1.0), abs=0.15)


def test_a_fold_never_judges_by_its_own_pairs(some):
    folds = np.arange(600) % 10
    turned = Listed(some.scores, np.where(folds == 0, ~some.same, some.same), some.people)
    before, after = (listed.fold_accuracy(pairs, folds, NOBODY) for pairs in (some, turned))
    assert after.thresholds[0] == before.thresholds[0]
    assert after.accuracy[0] == pytest.approx(1 - before.accuracy[0])


@pytest.mark.usefixtures("unshrunk")
def test_resampled_accuracy_is_that_of_the_written_out_pairs(some):
    counts = resamples(400, 6, seed=7)
    folds = np.arange(600) % 5
    found = listed.fold_accuracy(some, folds, counts)
    for k, row in enumerate(counts):
        first, second = some.people.T
        times = np.where(some.same, row[first], row[first] * row[second])
        accuracy = []
        for fold in range(5):
            own = folds == fold
            falling = np.unique(some.scores[~own])[::-1]
            candidates = np.r_[falling[0] + 1e-9, (falling[1:] + falling[:-1]) / 2, falling[-1]]
            right = [(((some.scores >= t) == some.same) * times)[~own].sum() for t in candidates]
            judged = (some.scores >= candidates[int(np.argmax(right))]) == some.same
            accuracy.append((judged * times)[own].sum() / times[own].sum())
        assert found.replicates[k] == pytest.approx(np.mean(accuracy))


def test_a_resample_that_holds_pairs_of_one_fold_only_has_no_accuracy():
    pairs = Listed(
        np.array([0.9, 0.1, 0.8, 0.2]), np.array([True, False] * 2), np.repeat([[0, 0], [1, 1]], 2, 0)
    )
    counts = np.array([[2, 0], [1, 1]], np.float32)
    found = listed.fold_accuracy(pairs, np.array([0, 0, 1, 1]), counts)
    assert np.isnan(found.replicates[0])
    assert found.replicates[1] == found.mean == 1.0


def test_drawn_pairs_are_balanced_of_disjoint_people_and_none_is_drawn_twice():
    labels = np.repeat(np.arange(60), np.random.default_rng(0).integers(1, 9, size=60))
    a, b, same, folds = listed.drawn_pairs(labels, 10, 20, seed=0)
    assert ((labels[a] == labels[b]) == same).all()
    assert (a != b).all()
    assert len(np.unique(np.sort(np.stack([a, b], axis=1), axis=1), axis=0)) == len(a)
    fold_of = {}
    for fold, one, other in zip(folds, labels[a], labels[b], strict=True):
        for person in (one, other):
            assert fold_of.setdefault(person, fold) == fold
    for fold in range(10):
        assert same[folds == fold].sum() == (~same[folds == fold]).sum() <= 20
    assert len(np.unique(folds)) == 10


def test_nobody_gives_a_second_genuine_pair_before_all_gave_a_first():
    labels = np.repeat(np.arange(20), [200, 200, *[2] * 18])
    a, _, same, folds = listed.drawn_pairs(labels, 2, 12, seed=0)
    for fold in range(2):
        people, times = np.unique(labels[a[same & (folds == fold)]], return_counts=True)
        assert len(people) == 10
        assert all(times[people > 1] == 1)
    assert (labels[a[same]] <= 1).sum() == 2 + 4  # Two people have more to give, when all have given one.


def test_every_pair_of_a_person_can_be_drawn():
    a, b, same, _ = listed.drawn_pairs(np.repeat(np.arange(8), 5), 4, 1000, seed=0)
    drawn = {(int(x), int(y)) for x, y in zip(a[same], b[same], strict=True)}
    assert drawn == {(5 * p + i, 5 * p + j) for p in range(8) for j in range(5) for i in range(j)}


@pytest.mark.parametrize(
    ("images", "folds"), [([3, 3, 3], 1), ([3, 3, 3, 3], 2), ([2, *[1] * 30], 1), ([2] * 12, 6)]
)
def test_few_people_are_dealt_into_fewer_folds(images, folds):
    *_, found = listed.drawn_pairs(np.repeat(np.arange(len(images)), images), 10, 300, seed=0)
    assert len(np.unique(found)) == folds


def test_scores_in_blocks_are_those_of_one(monkeypatch):
    a = embedding_set()
    rng = np.random.default_rng(0)
    one, other = rng.integers(90, size=(2, 50))
    monkeypatch.setattr(listed, "BLOCK", 16 * 7)
    assert listed.scored(a.unit, one, other) == pytest.approx(
        (a.unit[one] * a.unit[other]).sum(axis=1), abs=1e-6
    )


def test_resamples_in_blocks_are_those_of_one(some, monkeypatch):
    counts, folds, fars = resamples(400, 5, seed=0), np.arange(600) % 10, np.array([0.1])
    whole = listed.rates(some, fars, counts), listed.fold_accuracy(some, folds, counts)
    monkeypatch.setattr(listed, "BLOCK", 1300)
    cut = listed.rates(some, fars, counts), listed.fold_accuracy(some, folds, counts)
    assert (cut[0].auc_replicates == whole[0].auc_replicates).all()
    assert (cut[1].replicates == whole[1].replicates).all()


def test_resamples_of_a_list_vary_as_lists_do():
    """Accuracy, TAR and AUC of lists drawn anew, and their replicates."""
    figures, spreads = [], []
    for seed in range(80):
        some, counts = planted(150, seed=seed), resamples(400, 40, 1000 + seed)
        folded = listed.fold_accuracy(some, np.arange(300) % 2, counts)
        rates = listed.rates(some, np.array([0.05]), counts)
        figures.append((folded.mean, rates.tar[0], rates.auc))
        drawn = folded.replicates, rates.tar_replicates[:, 0], rates.auc_replicates
        spreads.append([np.nanvar(each) for each in drawn])
    ratio = np.sqrt(np.mean(spreads, axis=0)) / np.std(figures, axis=0)
    assert ratio == pytest.approx(1, abs=0.25)
