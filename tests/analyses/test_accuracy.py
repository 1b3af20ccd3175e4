import dataclasses

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score, roc_curve

from embedlab.analyses import accuracy
from embedlab.analyses.accuracy import AccuracyParams
from embedlab.errors import UserError
from embedlab.formats import protocols
from embedlab.lab.embeddings import EmbeddingSet
from tests.planted import embedding_set, gaussian

FEW = AccuracyParams(resamples=200)


@pytest.fixture(scope="module")
def noisy():
    return embedding_set(people=60, images=4, noise=1.0)


@pytest.fixture(scope="module")
def found(noisy):
    return accuracy.compute(noisy, FEW)


def listed_file(tmp_path, a, b, same, folds=None, name="list.csv"):
    pairs = protocols.PairList(tuple(a), tuple(b), np.asarray(same, bool), folds)
    protocols.write(tmp_path / name, pairs)
    return str(tmp_path / name)


def drawn_list(a, n=400, seed=0):
    rng = np.random.default_rng(seed)
    one, other = rng.integers(len(a.items), size=(2, n))
    one, other = one[one != other], other[one != other]
    partners = [
        rng.choice(np.flatnonzero((a.labels == a.labels[k]) & (np.arange(len(a.items)) != k))) for k in one
    ]
    other = np.where(np.arange(len(one)) % 3, other, partners)
    return one, other, a.labels[one] == a.labels[other]


def test_figures_of_a_list_are_those_of_scikit_learn(noisy, tmp_path):
    one, other, same = drawn_list(noisy)
    folds = np.arange(len(one)) % 7
    file = listed_file(tmp_path, noisy.items[one], noisy.items[other], same, folds)
    found = accuracy.compute(noisy, dataclasses.replace(FEW, pairs=file))
    scores = (noisy.unit[one] * noisy.unit[other]).sum(axis=1)
    fpr, tpr, thresholds = roc_curve(same, scores, drop_intermediate=False)
    assert found.estimates["AUC",].value == pytest.approx(roc_auc_score(same, scores))
    assert list(found.levels) == [0.1, 0.01]
    assert found.false_accepts.tolist() == [int(far * (~same).sum()) for far in (0.1, 0.01)]
    for far in found.levels:
        estimate = found.tar(far)
        assert estimate.value == pytest.approx(tpr[fpr <= far].max())
        assert estimate.low <= estimate.value <= estimate.high
    eer = found.estimates["EER",]
    k = np.argmax(fpr >= 1 - tpr)
    assert min(fpr[k - 1], 1 - tpr[k]) <= eer.value <= max(fpr[k], 1 - tpr[k - 1])
    right = []
    for fold in range(7):
        own = folds != fold
        tried = [((scores >= t) == same)[own].mean() for t in np.r_[thresholds[1:]]]
        best = thresholds[1:][int(np.argmax(np.round(tried, 9)))]
        right.append(((scores >= best) == same)[~own].mean())
    label = found.name
    estimate = found.estimates[label,]
    assert label == "7-fold accuracy on pairs of list.csv"
    # The threshold lies in the middle of a gap here, and at its upper end in scikit-learn.
    assert estimate.value == pytest.approx(np.mean(right), abs=0.01)
    assert found.spread == pytest.approx(np.std(found.fold_accuracy, ddof=0))
    assert estimate.null == pytest.approx(max(same.mean(), 1 - same.mean()))
    assert (found.genuine_pairs + found.impostor_pairs, found.missing, found.contradicted) == (len(one), 0, 0)
    titles = [chart.title for chart in accuracy.charts([found])]
    assert titles == ["Accuracy over folds", "ROC over listed pairs", "Operating points"]


def test_a_known_roc_is_found_in_listed_pairs(tmp_path):
    """Pairs of plane vectors at angles whose cosines are normal: TAR = Φ((μ − t)/σ), t = σ·z."""
    n, mean, spread = 1000, 0.4, 0.2
    rng = np.random.default_rng(0)
    same = np.repeat([True, False], n)
    cosines = np.clip(spread * rng.normal(size=2 * n) + mean * same, -1, 1)
    first = rng.uniform(0, 2 * np.pi, size=2 * n)
    angles = np.concatenate([first, first + np.arccos(cosines)])
    people = [f"a{k:05d}" for k in range(2 * n)] + [f"{'a' if s else 'b'}{k:05d}" for k, s in enumerate(same)]
    items = [f"{side}{k:05d}" for side in "xy" for k in range(2 * n)]
    a = EmbeddingSet.from_rows("m", "p", np.stack([np.cos(angles), np.sin(angles)], axis=1), items, people)
    file = listed_file(tmp_path, items[: 2 * n], items[2 * n :], same, np.arange(2 * n) % 10)
    found = accuracy.compute(a, AccuracyParams(pairs=file, far=0.01, resamples=100))
    for far in (0.1, 0.01):
        estimate = found.estimates[f"TAR@FAR={far}",]
        assert estimate.low <= norm.cdf(mean / spread - norm.isf(far)) <= estimate.high
        assert estimate.high - estimate.low < 0.3
    auc, eer = (found.estimates[name,] for name in ("AUC", "EER"))
    assert auc.low <= norm.cdf(mean / spread / np.sqrt(2)) <= auc.high
    assert eer.low <= norm.cdf(-mean / spread / 2) <= eer.high
    assert found.name == "10-fold accuracy on pairs of list.csv"
    assert found.accuracy.value == pytest.approx(norm.cdf(mean / spread / 2), abs=0.015)
    assert found.fold_thresholds == pytest.approx(np.full(10, mean / 2), abs=0.08)


def test_listed_items_that_are_not_there_are_counted_and_named(noisy, tmp_path):
    one, other, same = drawn_list(noisy)
    a, b = noisy.items[one].astype(object), noisy.items[other].astype(object)
    a[3], b[3], a[7] = "gone1", "gone2", "gone1"
    found = accuracy.compute(noisy, dataclasses.replace(FEW, pairs=listed_file(tmp_path, a, b, same)))
    assert (found.missing, found.genuine_pairs + found.impostor_pairs) == (2, len(one) - 2)
    assert found.missing_items == ("gone1", "gone2")
    texts = [f.text for f in accuracy.findings([found])]
    assert (
        "On p in m, 2 pairs of list.csv lack an image and are left out (such as 'gone1', 'gone2')." in texts
    )


def test_a_list_may_be_given_as_it_is_and_goes_before_the_parameter(noisy, tmp_path):
    one, other, same = drawn_list(noisy)
    file = listed_file(tmp_path, noisy.items[one], noisy.items[other], same, np.arange(len(one)) % 7)
    named = accuracy.compute(noisy, dataclasses.replace(FEW, pairs=file))
    pairs = protocols.read(file)
    for params in (FEW, dataclasses.replace(FEW, pairs="gone.csv")):
        assert accuracy.compute(noisy, params, pairs).numbers() == named.numbers()
    made = accuracy.compute(noisy, FEW, dataclasses.replace(pairs, source=""))
    assert made.source == "pairs of the list given"
    assert made.estimates["AUC",] == named.estimates["AUC",]
    with pytest.raises(UserError, match="holds none of the 1 pairs of the list given, such as 'x' with 'z'"):
        accuracy.compute(noisy, FEW, protocols.PairList(("x",), ("z",), np.array([True])))


def test_a_list_of_other_images_is_refused(noisy, tmp_path):
    file = listed_file(tmp_path, ["x", "y"], ["z", "w"], [True, False])
    with pytest.raises(
        UserError, match=r"p in m holds none of the 2 pairs of .*list.csv, such as 'x' with 'z'"
    ):
        accuracy.compute(noisy, dataclasses.replace(FEW, pairs=file))


@pytest.mark.parametrize(("kind", "words"), [(True, "one person"), (False, "two people")])
def test_a_list_of_one_kind_is_refused(noisy, tmp_path, kind, words):
    one, other, same = drawn_list(noisy)
    kept = same == kind
    file = listed_file(tmp_path, noisy.items[one[kept]], noisy.items[other[kept]], same[kept])
    with pytest.raises(UserError, match=f"are of {words}: give a list with pairs of both kinds"):
        accuracy.compute(noisy, dataclasses.replace(FEW, pairs=file))


def test_pairs_that_contradict_the_identities_are_told(noisy, tmp_path):
    one, other, same = drawn_list(noisy)
    wrong = same.copy()
    # A list that names a pair with both truths is refused as such.
    pairs = [tuple(sorted(pair)) for pair in zip(one.tolist(), other.tolist(), strict=True)]
    alone = [row for row, pair in enumerate(pairs) if pairs.count(pair) == 1][:2]
    wrong[alone] = ~wrong[alone]
    file = listed_file(tmp_path, noisy.items[one], noisy.items[other], wrong)
    found = accuracy.compute(noisy, dataclasses.replace(FEW, pairs=file))
    assert found.contradicted == 2
    assert found.contradicted_items[0] == f"{noisy.items[one[alone[0]]]} with {noisy.items[other[alone[0]]]}"
    assert any("2 pairs of list.csv contradict the identities" in f.text for f in accuracy.findings([found]))


def test_a_list_without_folds_has_no_accuracy_and_is_compared_by_its_operating_point(noisy, tmp_path):
    one, other, same = drawn_list(noisy)
    file = listed_file(tmp_path, noisy.items[one], noisy.items[other], same)
    params = dataclasses.replace(FEW, pairs=file, far=0.1)
    worse = dataclasses.replace(embedding_set(people=60, images=4, noise=2.0, model="worse"))
    good, bad = (accuracy.compute(a, params) for a in (noisy, worse))
    assert (good.accuracy, good.spread, len(good.fold_accuracy)) == (None, None, 0)
    (said,) = accuracy.findings([bad, good])
    assert said.text.startswith("On p, m accepts")
    assert "of genuine pairs of list.csv at FAR 0.1, worse" in said.text
    assert ": a difference of +" in said.text


def test_numbers_of_two_lists_of_one_name_are_not_paired(noisy, tmp_path):
    def judged(seed, folder):
        folder.mkdir(exist_ok=True)
        one, other, same = drawn_list(noisy, seed=seed)
        file = listed_file(folder, noisy.items[one], noisy.items[other], same)
        return accuracy.compute(noisy, dataclasses.replace(FEW, pairs=file))

    first, again, others = judged(0, tmp_path / "a"), judged(0, tmp_path / "b"), judged(1, tmp_path / "a")
    assert len(first.estimates) > 2
    for key, one in first.estimates.items():
        assert one.is_paired(again.estimates[key])
        assert not one.is_paired(others.estimates[key])


def test_a_list_too_short_for_everything_says_so(noisy):
    pairs = protocols.PairList(
        tuple(noisy.items[[0, 0]]), tuple(noisy.items[[1, 4]]), np.array([True, False])
    )
    found = accuracy.compute(noisy, FEW, pairs)
    assert [f.text for f in accuracy.findings([found])] == [
        "On p in m, the pairs of the list given have no folds, and those of two people are too few for any "
        "FAR up to 0.1."
    ]
    assert "none is resolved by 1 impostor pairs" in accuracy.charts([found])[-1].rows[0]


def test_lfws_own_file_is_read(noisy, tmp_path):
    names = [
        f"{person}/{person}_{k % 4 + 1:04d}"
        for k, person in enumerate(np.array(noisy.identities)[noisy.labels])
    ]
    a = EmbeddingSet.from_rows(
        "m",
        "p",
        noisy.vectors,
        [f"{n}.jpg" for n in names],
        np.array(noisy.identities)[noisy.labels].tolist(),
    )
    lines = ["2\t30"]
    for fold in range(2):
        lines += [f"person{30 * fold + k:03d}\t1\t3" for k in range(30)]
        lines += [f"person{30 * fold + k:03d}\t1\tperson{30 * fold + (k + 1) % 30:03d}\t2" for k in range(30)]
    (tmp_path / "pairs.txt").write_text("\n".join(lines))
    found = accuracy.compute(a, dataclasses.replace(FEW, pairs=str(tmp_path / "pairs.txt")))
    assert (found.genuine_pairs + found.impostor_pairs, found.missing, len(found.fold_accuracy)) == (
        120,
        0,
        2,
    )
    assert found.name == "2-fold accuracy on pairs of pairs.txt"
    assert found.estimates["2-fold accuracy on pairs of pairs.txt",].null == 0.5


def test_accuracy_by_drawn_pairs_is_near_the_best_one_threshold_can_do():
    a = gaussian(150, seed=3)
    found = accuracy.compute(a, AccuracyParams(resamples=100))
    estimate = found.estimates["10-fold accuracy on drawn pairs",]
    others = gaussian(150, seed=4)
    upper = np.triu_indices(len(others.items), 1)
    scores, same = (others.unit @ others.unit.T)[upper], (others.labels[:, None] == others.labels)[upper]
    fpr, tpr, _ = roc_curve(same, scores)
    best = ((tpr + 1 - fpr) / 2).max()
    assert estimate.value == pytest.approx(best, abs=0.02)
    assert estimate.low < best < estimate.high
    assert estimate.null == 0.5
    shuffled = dataclasses.replace(a, labels=np.random.default_rng(0).permutation(a.labels))
    chance = accuracy.compute(shuffled, FEW).estimates["10-fold accuracy on drawn pairs",]
    assert chance.value == pytest.approx(0.5, abs=0.04)


def test_models_are_compared_on_the_same_drawn_pairs_however_their_rows_lie():
    good = embedding_set(people=120, noise=0.6, model="good")
    worse = embedding_set(people=120, noise=1.2, model="worse").take(
        np.random.default_rng(0).permutation(360)
    )
    results = [accuracy.compute(a, FEW) for a in (worse, good)]
    text = [f.text for f in accuracy.findings(results)]
    assert len(text) == 1
    assert text[0].startswith("On p, good has a 10-fold accuracy on drawn pairs of ")
    assert "%, worse " in text[0]
    assert "%: a difference of +" in text[0]


def test_accuracies_on_different_pairs_have_no_interval_of_their_difference():
    one, other = (accuracy.compute(embedding_set(model=m, people=40), FEW) for m in "ab")
    strange = dataclasses.replace(other.accuracy, drawn_from="others")
    other = dataclasses.replace(other, estimates=type(other.estimates)({(other.name,): strange}))
    text = next(f.text for f in accuracy.findings([one, other]) if "accuracy" in f.text)
    assert "measured on different people or images, so the difference has no interval" in text


def test_perfect_accuracy_gets_the_rule_of_three():
    found = accuracy.compute(embedding_set(people=50, dimension=64, noise=0.01), FEW)
    estimate = found.estimates["10-fold accuracy on drawn pairs",]
    assert (estimate.value, estimate.low, estimate.high) == (1.0, pytest.approx(1 - 3 / 50), 1.0)


def test_three_people_are_too_few_for_folds():
    with pytest.raises(UserError, match="p in m shows too few people for two folds of pairs: give images of"):
        accuracy.compute(embedding_set(people=3), FEW)


def test_the_habits_that_decide_the_last_digit_stand_beside_the_figure(found):
    (table,) = accuracy.charts([found])
    assert "the highest of equally good ones" in table.note
    assert "The deviation is the population's" in table.note
    assert found.spread == pytest.approx(np.std(found.fold_accuracy))
