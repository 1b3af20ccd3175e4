import dataclasses

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from embedlab.analyses import verification
from embedlab.analyses.verification import VerificationParams
from embedlab.analysis import Estimate
from embedlab.embeddings import EmbeddingSet
from embedlab.errors import UserError
from tests.planted import embedding_set

FEW = VerificationParams(resamples=200)


def scores_of(a):
    upper = np.triu_indices(len(a.items), 1)
    return (a.unit @ a.unit.T)[upper], (a.labels[:, None] == a.labels)[upper]


@pytest.fixture(scope="module")
def noisy():
    return embedding_set(people=60, images=4, noise=1.0)


@pytest.fixture(scope="module")
def found(noisy):
    return verification.compute(noisy, FEW)


def test_auc_and_tar_are_those_of_scikit_learn(noisy, found):
    scores, same = scores_of(noisy)
    assert found.auc.value == pytest.approx(roc_auc_score(same, scores), abs=1e-4)
    fpr, tpr, _ = roc_curve(same, scores, drop_intermediate=False)
    for far, estimate in zip(found.levels, found.tar.values(), strict=True):
        assert estimate.value == pytest.approx(tpr[fpr <= far].max(), abs=1e-9)


def test_eer_is_where_both_errors_meet(noisy, found):
    scores, same = scores_of(noisy)
    fpr, tpr, _ = roc_curve(same, scores, drop_intermediate=False)
    k = np.argmin(np.abs(fpr - (1 - tpr)))
    assert found.eer.value == pytest.approx((fpr[k] + 1 - tpr[k]) / 2, abs=2e-3)


def test_the_achieved_far_is_counted_and_never_above_the_one_asked(noisy, found):
    scores, same = scores_of(noisy)
    for far, threshold, count in zip(found.levels, found.thresholds, found.false_accepts, strict=True):
        assert count == (scores[~same] > threshold).sum()
        assert count / found.impostor_pairs <= far


def test_a_short_tail_agrees_with_the_whole_one(noisy, found, monkeypatch):
    """Where the kept tail ends, thresholds come from histograms and intervals to first order."""
    short = verification.all_pairs
    monkeypatch.setattr(verification, "all_pairs", lambda x, y: short(x, y, tail=100))
    cut = verification.compute(noisy, FEW)
    for whole, estimate in zip(found.tar.values(), cut.tar.values(), strict=True):
        assert estimate.value == pytest.approx(whole.value, abs=0.02)
        assert estimate.low == pytest.approx(whole.low, abs=0.06)
        assert estimate.high == pytest.approx(whole.high, abs=0.06)


def test_operating_points_that_cannot_be_resolved_are_left_out(found):
    assert found.levels.min() * found.impostor_pairs >= 1
    assert 1e-6 not in found.levels


def test_fewer_than_ten_false_accepts_are_marked(found):
    for count, label in zip(found.false_accepts, found.tar, strict=True):
        assert (label.endswith(", unstable")) == (count < 10)


def test_perfect_separation_gets_the_rule_of_three():
    found = verification.compute(embedding_set(people=50, dimension=64, noise=0.01), FEW)
    best = found.tar["TAR@FAR=0.001"] if "TAR@FAR=0.001" in found.tar else list(found.tar.values())[-1]
    assert best.value == best.high == 1.0
    assert best.low == pytest.approx(1 - 3 / 50)
    assert found.eer.value == pytest.approx(0, abs=1e-6)


def test_shuffled_labels_give_the_nulls(noisy):
    people = np.random.default_rng(2).permutation(noisy.labels).astype(str)
    found = verification.compute(
        EmbeddingSet.from_rows("m", "p", noisy.vectors, noisy.items.tolist(), people.tolist()), FEW
    )
    assert found.auc.low < 0.5 + 0.03
    assert found.auc.value == pytest.approx(found.auc.null, abs=0.05)
    assert found.eer.value == pytest.approx(found.eer.null, abs=0.05)
    first = found.tar["TAR@FAR=0.1"]
    assert first.value == pytest.approx(first.null, abs=0.06)


@pytest.mark.slow
def test_intervals_cover_the_true_tar():
    """The truth is TAR over very many people; a set of forty must cover it nearly 95 % of the time."""
    truth = (
        verification.compute(gaussian(2000, seed=0), VerificationParams(resamples=2))
        .tar["TAR@FAR=0.01"]
        .value
    )
    hits = 0
    for seed in range(1, 121):
        estimate = verification.compute(gaussian(40, seed), VerificationParams(resamples=300, seed=seed)).tar[
            "TAR@FAR=0.01"
        ]
        hits += estimate.low <= truth <= estimate.high
    assert 0.88 <= hits / 120 <= 0.995


def gaussian(people, seed):
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(people), 4)
    vectors = rng.normal(size=(people, 16))[labels] + 0.8 * rng.normal(size=(len(labels), 16))
    return EmbeddingSet.from_rows(
        "m", "p", vectors, [str(k) for k in range(len(labels))], labels.astype(str).tolist()
    )


def test_a_better_model_is_called_better_with_an_interval():
    good, worse = (
        verification.compute(
            embedding_set(people=80, noise=n, model=m), VerificationParams(far=0.01, resamples=200)
        )
        for n, m in ((0.6, "good"), (1.0, "worse"))
    )
    text = verification.findings([worse, good])[0].text
    assert text.startswith("On p, good accepts")
    assert "a difference of +" in text


def test_equal_models_are_not_called_different():
    same = [verification.compute(embedding_set(model=m, noise=1.0), FEW) for m in "ab"]
    text = verification.findings(same)[0].text
    assert "the difference of +0.00 points [+0.00, +0.00] may be chance" in text


def test_a_probe_that_blurs_costs_tar():
    whole = verification.compute(embedding_set(people=80, noise=0.6), FEW)
    blurred = verification.compute(embedding_set(people=80, noise=1.2, probe="p@32"), FEW)
    drop = [f for f in verification.findings([whole, blurred]) if f.text.startswith("In m, TAR")]
    assert len(drop) == 1
    assert drop[0].tone == "bad"
    assert "a change of -" in drop[0].text


def test_too_few_impostors_for_the_far_asked_are_told():
    found = verification.compute(embedding_set(people=4), VerificationParams(far=1e-3, resamples=50))
    texts = [f.text for f in verification.findings([found])]
    assert any("too few for TAR at FAR 0.001 (at least 1,000 are needed)" in t for t in texts)


@pytest.mark.parametrize(
    ("people", "images", "message"), [(1, 5, "shows one person only"), (5, 1, "no person with two images")]
)
def test_sets_without_both_kinds_of_pairs_are_refused(people, images, message):
    with pytest.raises(UserError, match=message):
        verification.compute(embedding_set(people, images), FEW)


@pytest.mark.parametrize("far", [0.0, 1.0, -1.0])
def test_a_far_that_is_no_share_is_refused(far):
    with pytest.raises(UserError, match="verification.far must lie between 0 and 1"):
        verification.compute(embedding_set(), VerificationParams(far=far))


def test_a_threshold_from_other_people_keeps_its_far_on_people_of_one_kind():
    found = verification.compute(gaussian(200, seed=1), VerificationParams(far=0.01, resamples=200))
    tar, far = found.transferred.values()
    assert far.low < 0.01 < far.high
    assert far.value == pytest.approx(0.01, rel=0.3)
    assert tar.value == pytest.approx(found.tar["TAR@FAR=0.01"].value, abs=0.05)
    assert not [f for f in verification.findings([found]) if "a threshold chosen for" in f.text]


def test_a_threshold_that_does_not_carry_over_is_told(monkeypatch):
    found = verification.compute(gaussian(100, seed=1), VerificationParams(far=0.01, resamples=100))
    tar, _ = found.transferred.values()
    drifted = {"TAR": tar, "FAR": Estimate(0.05, 0.03, 0.07, 100)}
    text = [f.text for f in verification.findings([dataclasses.replace(found, transferred=drifted)])]
    assert any("gets FAR 0.05 [0.03, 0.07] on the others" in t for t in text)


def test_halves_too_small_for_the_far_give_no_transferred_threshold():
    found = verification.compute(embedding_set(people=4), VerificationParams(far=1e-3, resamples=50))
    assert found.transferred == {}


def test_an_unstable_operating_point_is_called_so_in_words():
    found = verification.compute(
        embedding_set(people=40, noise=1.0), VerificationParams(far=1e-3, resamples=50)
    )
    assert found.false_accepts[found.at(1e-3)] < 10
    text = verification.findings([found])[0].text
    assert "at FAR 0.001 (unstable, fewer than 10 false accepts)" in text


def test_a_set_too_small_for_any_far_does_not_silence_the_others():
    tiny = verification.compute(embedding_set(people=2, model="tiny"), VerificationParams(resamples=50))
    good = verification.compute(embedding_set(people=40, model="good"), FEW)
    for group in ([tiny, good], [good, tiny]):
        texts = [f.text for f in verification.findings(group)]
        assert any(t.startswith("On p, good accepts") for t in texts)
        assert any(
            "in tiny has 9 impostor pairs" in t and "no other FAR can be told either" in t for t in texts
        )


def test_the_reason_for_a_missing_interval_is_the_true_one():
    one, other = (verification.compute(embedding_set(model=m), FEW) for m in "ab")
    blank = np.full_like(one.tar_replicates, np.nan)
    unsure = verification.findings([dataclasses.replace(one, tar_replicates=blank), other])[0].text
    assert "too few people have two images" in unsure
    strange = verification.findings([dataclasses.replace(one, population="others"), other])[0].text
    assert "measured on different people" in strange


def test_a_transferred_threshold_is_judged_on_the_half_that_did_not_choose_it(noisy):
    found = verification.compute(noisy, VerificationParams(far=0.01, resamples=20))
    halves = np.array_split(np.random.default_rng([0, 1]).permutation(60), 2)
    tar, far = [], []
    for chosen, judged in (halves, halves[::-1]):
        scores, same = scores_of(noisy.take(np.flatnonzero(np.isin(noisy.labels, chosen))))
        falling = np.sort(scores[~same])[::-1]
        limit = falling[int(0.01 * len(falling))]
        scores, same = scores_of(noisy.take(np.flatnonzero(np.isin(noisy.labels, judged))))
        tar.append((scores[same] > limit).mean())
        far.append((scores[~same] > limit).mean())
    share, got = found.transferred.values()
    assert share.value == pytest.approx(np.mean(tar), abs=2e-3)
    assert got.value == pytest.approx(np.mean(far), rel=1e-2)
    assert abs(far[0] - 0.01) > 5e-4  # The halves differ, so judging the choosing half would show.
