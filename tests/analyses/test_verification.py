import dataclasses

import numpy as np
import pytest
from pyeer import eer_stats
from sklearn.metrics import roc_auc_score, roc_curve

from embedlab.analyses import verification
from embedlab.analyses.verification import VerificationParams
from embedlab.errors import UserError
from embedlab.lab.embeddings import EmbeddingSet
from tests.planted import embedding_set, gaussian, uneven

FEW = VerificationParams(resamples=200)


def scores_of(a):
    upper = np.triu_indices(len(a.items), 1)
    return (a.unit @ a.unit.T)[upper], (a.labels[:, None] == a.labels)[upper]


def tars(found):
    return [one for (what,), one in found.estimates.items() if "TAR@" in what and "," not in what]


def elsewhere(found):
    """TAR and FAR of a threshold from other people, where there is one."""
    return [found.estimates[key,] for key in verification.elsewhere(found.far) if (key,) in found.estimates]


def redrawn(found, key, **values):
    """The result with another draw behind one estimate."""
    estimates = type(found.estimates)(found.estimates)
    estimates[key] = dataclasses.replace(estimates[key], **values)
    return dataclasses.replace(found, estimates=estimates)


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
    for far, estimate in zip(found.levels, tars(found), strict=True):
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
    monkeypatch.setattr(verification, "all_pairs", lambda x, y, **more: short(x, y, tail=100, **more))
    cut = verification.compute(noisy, FEW)
    for whole, estimate in zip(tars(found), tars(cut), strict=True):
        assert estimate.value == pytest.approx(whole.value, abs=0.02)
        assert estimate.low == pytest.approx(whole.low, abs=0.06)
        assert estimate.high == pytest.approx(whole.high, abs=0.06)


def test_operating_points_that_cannot_be_resolved_are_left_out(found):
    assert found.levels.min() * found.impostor_pairs >= 1
    assert 1e-6 not in found.levels


def test_fewer_than_ten_false_accepts_are_marked(found):
    labels = [label for label in found.numbers() if label.startswith("TAR@")]
    for count, label in zip(found.false_accepts, labels, strict=True):
        assert (label.endswith(", unstable")) == (count < 10)


def test_perfect_separation_gets_the_rule_of_three():
    found = verification.compute(embedding_set(people=50, dimension=64, noise=0.01), FEW)
    best = tars(found)[-1]
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
    first = found.estimates["TAR@FAR=0.1",]
    assert first.value == pytest.approx(first.null, abs=0.06)


def test_intervals_cover_the_true_tar():
    """The truth is TAR over very many people; a set of forty must cover it nearly 95 % of the time."""
    label = "TAR@FAR=0.01"
    truth = verification.compute(gaussian(500, 0), VerificationParams(resamples=2)).estimates[label,].value
    hits = 0
    for seed in range(1, 41):
        found = verification.compute(gaussian(40, seed), VerificationParams(resamples=100, seed=seed))
        hits += found.estimates[label,].low <= truth <= found.estimates[label,].high
    assert hits >= 34


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
    assert text.endswith(": there is no difference.")


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


def test_scores_that_are_all_one_number_are_a_reason_and_no_figures():
    near = embedding_set(12, 3)
    alike = dataclasses.replace(near, vectors=np.ones_like(near.vectors))
    with pytest.raises(UserError, match="too close for their resolution: subtract the mean"):
        verification.compute(alike, VerificationParams(resamples=20))


def test_scores_however_close_together_have_the_figures_of_others():
    near = embedding_set(12, 3)
    far = dataclasses.replace(near, vectors=near.vectors + np.float32(3000))
    found = verification.compute(far, VerificationParams(resamples=20))
    assert found.auc.value > 0.9
    assert found.auc_bin_error < 1e-3


def test_a_threshold_from_other_people_keeps_its_far_on_people_of_one_kind():
    found = verification.compute(gaussian(200, seed=1), VerificationParams(far=0.01, resamples=200))
    tar, far = elsewhere(found)
    assert far.low < 0.01 < far.high
    assert far.value == pytest.approx(0.01, rel=0.3)
    assert tar.value == pytest.approx(found.estimates["TAR@FAR=0.01",].value, abs=0.05)
    (said,) = [f for f in verification.findings([found]) if "a threshold set for" in f.text]
    assert "on half of the people gets 0.01 [" in said.text
    assert said.text.endswith("on the others; the difference may be chance.")
    assert (said.tone, said.text.endswith("may be chance.")) == ("plain", True)


def test_a_threshold_that_does_not_carry_over_is_told():
    """One half of the people are drawn together, as those of another country or camera may be."""
    params = VerificationParams(far=0.01, resamples=100)
    a = gaussian(100, seed=1)
    alike = np.random.default_rng([params.seed, 1]).permutation(100)[:50]
    vectors = a.vectors + 2 * np.isin(a.labels, alike)[:, None] * np.eye(16, dtype=np.float32)[0]
    found = verification.compute(dataclasses.replace(a, vectors=vectors), params)
    _, got = elsewhere(found)
    assert got.low > 0.01
    (said,) = [f for f in verification.findings([found]) if "a threshold set for" in f.text]
    assert f"gets {got:.3g} on the others, more than asked for." in said.text
    assert said.tone == "bad"


def test_the_far_of_a_threshold_of_few_false_accepts_is_not_called_more_than_asked_for():
    """Where nobody is told from anybody, such a threshold seemed to let in more in a quarter of samples."""
    for people, has_interval in ((40, False), (120, True)):
        found = verification.compute(
            embedding_set(people=people, noise=50.0), VerificationParams(resamples=50)
        )
        _, got = elsewhere(found)
        assert (got.low is not None, got.null) == (has_interval, 0.001)
        (said,) = [f for f in verification.findings([found]) if "a threshold set for" in f.text]
        assert said.text.endswith("too few false accepts to be told from chance.") != has_interval
        assert has_interval or said.tone == "plain"


def test_a_tar_of_none_that_hangs_on_one_pair_reaches_as_far_as_resamples_without_it():
    """Two of twelve people share a photograph, so that no threshold within FAR accepts anything."""
    a = embedding_set(people=12, images=5, noise=0.2)
    vectors = a.vectors.copy()
    vectors[5] = vectors[0]
    cut = (a.labels < 2) & (np.arange(len(a.labels)) % 5 > 1)
    found = verification.compute(
        dataclasses.replace(a, vectors=vectors).take(np.flatnonzero(~cut)),
        VerificationParams(resamples=200),
    )
    none = found.estimates["TAR@FAR=0.001",]
    assert (none.value, none.low) == (0, 0)
    assert none.high > 0.9


def test_two_people_give_a_report_whose_table_says_that_no_point_is_resolved():
    found = verification.compute(embedding_set(people=2, images=2), FEW)
    assert list(found.levels) == []
    table = verification.charts([found])[-1]
    assert table.cells() == [["p in m", "none is resolved by 4 impostor pairs", *["–"] * 4]]
    said, few = verification.findings([found])
    assert said.text.endswith("are needed); no other FAR can be told either.")
    assert few.text == "Only 2 people on p have two images, so its figures are rough."
    assert said.tone == "plain"


def test_halves_of_an_odd_number_of_people_keep_their_own_resamples():
    found = verification.compute(
        embedding_set(people=31, noise=1.0), VerificationParams(far=0.1, resamples=100)
    )
    tar, far = elsewhere(found)
    assert tar.low < tar.value < tar.high
    assert far.low < far.value < far.high


def test_halves_too_small_for_the_far_give_no_transferred_threshold():
    found = verification.compute(embedding_set(people=4), VerificationParams(far=1e-3, resamples=50))
    assert elsewhere(found) == []


def test_an_unstable_operating_point_is_called_so_in_words():
    found = verification.compute(
        embedding_set(people=40, noise=1.0), VerificationParams(far=1e-3, resamples=50)
    )
    assert found.false_accepts[found.at(1e-3)] < 10
    text = verification.findings([found])[0].text
    assert "at FAR 0.001 (unstable)" in text


def test_a_set_too_small_for_any_far_does_not_silence_the_others():
    tiny = verification.compute(embedding_set(people=2, model="tiny"), VerificationParams(resamples=50))
    good = verification.compute(embedding_set(people=40, model="good"), FEW)
    for group in ([tiny, good], [good, tiny]):
        texts = [f.text for f in verification.findings(group)]
        assert any(t.startswith("On p, good accepts") for t in texts)
        assert any(
            "in tiny, 9 impostor pairs are too few" in t and "no other FAR can be told either" in t
            for t in texts
        )


def test_the_reason_for_a_missing_interval_is_the_true_one():
    one, other = (verification.compute(embedding_set(model=m), FEW) for m in "ab")
    key = ("TAR@FAR=0.001",)
    blank = np.full_like(one.estimates[key].draws, np.nan)
    unsure = verification.findings([redrawn(one, key, draws=blank), other])[0].text
    assert unsure.endswith("; too few people to say how sure the difference is.")
    strange = verification.findings([redrawn(one, key, drawn_from="others"), other])[0].text
    assert "measured on different people or images" in strange


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
    share, got = elsewhere(found)
    assert share.value == pytest.approx(np.mean(tar), abs=2e-3)
    assert got.value == pytest.approx(np.mean(far), rel=1e-2)
    assert abs(far[0] - 0.01) > 5e-4  # The halves differ, so judging the choosing half would show.


def test_eer_and_thresholds_are_those_of_pyeer(noisy, found):
    scores, same = scores_of(noisy)
    thresholds, fmr, fnmr = eer_stats.calculate_roc(scores[same], scores[~same])
    *_, eer = eer_stats.get_eer_values(fmr, fnmr)
    assert found.eer.value == pytest.approx(eer, abs=1 / same.sum() + found.eer_bin_error)
    for far, threshold, estimate in zip(found.levels, found.thresholds, tars(found), strict=True):
        allowed = np.flatnonzero(fmr <= far)[0]
        assert estimate.value == pytest.approx(1 - fnmr[allowed])
        assert thresholds[allowed - 1] <= threshold <= thresholds[allowed] + 1e-6
        # Its own operating point has the nearest FMR, which may be above the one asked for; ours never is.
        index, _ = eer_stats.get_fmr_op(fmr, fnmr, far)
        assert fmr[index] >= fmr[allowed] == found.false_accepts[found.at(far)] / found.impostor_pairs


def test_how_far_bins_may_mislead_stands_beside_the_figures(noisy, found):
    scores, same = scores_of(noisy)
    assert abs(found.auc.value - roc_auc_score(same, scores)) <= found.auc_bin_error + 1e-6
    assert 0 < found.auc_bin_error < 1e-4
    assert 0 <= found.eer_bin_error < 1e-2
    assert "AUC: bins make it wrong by at most" in found.numbers()


def test_the_det_curve_is_the_roc_curve_upside_down_on_probit_axes(found):
    roc, det = verification.charts([found])[:2]
    assert (det.xscale, det.yscale) == ("probit", "probit")
    shown = roc.curves[0].x <= 0.5
    assert (det.curves[0].x == roc.curves[0].x[shown]).all()
    assert (det.curves[0].y == 1 - roc.curves[0].y[shown]).all()
    assert (det.curves[0].low == 1 - roc.curves[0].high[shown]).all()
    assert (det.curves[0].low <= det.curves[0].high).all()


def test_the_other_dialect_is_said_once(found):
    notes = " ".join(chart.note for chart in verification.charts([found]))
    assert notes.count("FNMR") == 1


def test_both_intervals_hold_the_figure_and_are_not_the_same(noisy, found):
    bca = verification.compute(noisy, dataclasses.replace(FEW, interval="bca"))
    pairs = [(found.eer, bca.eer), (found.auc, bca.auc)]
    pairs += list(zip(tars(found), tars(bca), strict=True))
    (share, far), (corrected, _) = elsewhere(found), elsewhere(bca)
    assert far.low is None  # Of 6 false accepts a half.
    pairs.append((share, corrected))
    for plain, corrected in pairs:
        assert plain.value == corrected.value
        assert corrected.low < corrected.high
        width = plain.high - plain.low
        assert abs(corrected.low - plain.low) < width
    assert any(plain.low != corrected.low for plain, corrected in pairs)
    assert (bca.auc.draws == found.auc.draws).all()


@pytest.fixture(scope="module")
def templates(noisy):
    return verification.compute(noisy, dataclasses.replace(FEW, templates=True))


def test_templates_are_means_of_the_other_vectors(noisy, templates):
    scores, same = [], []
    for row, (vector, label) in enumerate(zip(noisy.unit, noisy.labels, strict=True)):
        for person in range(60):
            of = (noisy.labels == person) & (np.arange(240) != row)
            mean = noisy.unit[of].mean(axis=0)
            scores.append(vector @ mean / np.linalg.norm(mean))
            same.append(person == label)
    assert templates.genuine_pairs == 240
    assert templates.impostor_pairs == 240 * 59
    assert templates.auc.value == pytest.approx(roc_auc_score(same, scores), abs=1e-5)
    fpr, tpr, _ = roc_curve(same, scores, drop_intermediate=False)
    for far, estimate in zip(templates.levels, tars(templates), strict=True):
        assert estimate.value == pytest.approx(tpr[fpr <= far].max(), abs=1e-9)


def test_templates_are_named_everywhere_and_never_ranked_against_images(found, templates):
    assert templates.title == "p in m, images against templates"
    texts = [f.text for f in verification.findings([found, templates])]
    assert any(t.startswith("On p, m accepts") for t in texts)
    assert any(t.startswith("On p, images against templates, m accepts") for t in texts)
    assert not any("goes from" in t for t in texts)
    assert "mean of a person's other vectors" in verification.charts([templates])[0].note
    assert "mean of a person's other vectors" not in verification.charts([found])[0].note


@pytest.fixture(scope="module")
def ruled():
    """Forty people of three images, and one of thirty who looks unlike in each of them."""
    a = uneven([30] + [3] * 40, noise=0.6)
    own = a.labels == 0
    vectors = a.vectors.copy()
    vectors[own] += 3 * np.random.default_rng(5).normal(size=(own.sum(), 16)).astype(np.float32)
    return dataclasses.replace(a, vectors=vectors)


def test_each_person_weighs_the_same_or_each_pair_does(ruled):
    """Both are those of scikit-learn with weights; the effective number says how uneven they are."""
    first, second = np.triu_indices(len(ruled.items), 1)
    scores = np.einsum("ij,ij->i", ruled.unit[first], ruled.unit[second])
    one, other = ruled.labels[first], ruled.labels[second]
    same, images = one == other, np.bincount(ruled.labels)
    by_person = np.where(same, 2 / (images[one] * (images[one] - 1)), 1 / (images[one] * images[other]))
    told = {}
    for weigh, weights in (("people", by_person), ("pairs", np.ones(len(scores)))):
        found = verification.compute(ruled, dataclasses.replace(FEW, weigh=weigh, far=0.01))
        fpr, tpr, _ = roc_curve(same, scores, sample_weight=weights, drop_intermediate=False)
        for far, tar, got in zip(found.levels, tars(found), found.achieved, strict=False):
            assert tar.value == pytest.approx(tpr[fpr <= far * (1 + 1e-9)].max(), abs=1e-6)
            assert got <= far * (1 + 1e-9)
        assert found.auc.value == pytest.approx(roc_auc_score(same, scores, sample_weight=weights), abs=1e-3)
        masses = np.bincount(one[same], weights[same])
        assert found.effective == pytest.approx(masses.sum() ** 2 / (masses**2).sum())
        told[weigh] = found
    people, pairs = told["people"], told["pairs"]
    assert people.effective == pytest.approx(41)
    assert pairs.effective < 2
    assert people.tar(0.01).n == 41
    for mine, theirs in ((people, pairs), (pairs, people)):
        key = (verification.otherwise(0.01, mine.weigh),)
        assert mine.estimates[key].value == pytest.approx(theirs.tar(0.01).value)


def test_who_rules_the_pairs_is_named(ruled):
    people, pairs = (
        verification.compute(ruled, dataclasses.replace(FEW, weigh=weigh, far=0.01))
        for weigh in ("people", "pairs")
    )
    (said,) = (f.text for f in verification.findings([people]) if "weighs the same" in f.text)
    assert said == (
        f"On p in m, TAR at FAR 0.01 is {people.tar(0.01).value:.1%} where each person weighs the same and "
        f"{pairs.tar(0.01).value:.1%} where each pair does (person0000 has 78% of them)."
    )
    assert any("person0000 (78% of them)" in f.text for f in verification.findings([pairs]))


def test_equal_numbers_of_images_leave_nothing_to_weigh(found):
    assert not [key for key in found.estimates if "weighing the same" in key[0]]
    assert found.effective == pytest.approx(60)
