import dataclasses

import numpy as np
import pytest
from scipy.stats import beta

from embedlab.analyses import scaling
from embedlab.analyses.scaling import FNIR, FPIR, SHAPE, THRESHOLD, ScalingParams, at_far, enrolled
from embedlab.errors import UserError
from embedlab.lab.embeddings import EmbeddingSet
from tests.planted import columns, embedding_set

DIMENSION = 16
FEW = ScalingParams(people=20_000, resamples=200)


def images(people, each, noise, seed):
    """Images of people whose true directions lie evenly, so that impostor cosines have a known law."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(people), each)
    rows = rng.normal(size=(people, DIMENSION))[labels] + noise * rng.normal(size=(len(labels), DIMENSION))
    return rows / np.linalg.norm(rows, axis=1)[:, None], labels


def planted(people=200, each=2, noise=0.3, seed=0, model="m"):
    rows, labels = images(people, each, noise, seed)
    items = [f"i{k:05d}" for k in range(len(labels))]
    return EmbeddingSet.from_rows(model, "p", rows, items, [f"person{k:04d}" for k in labels])


def share_above(threshold):
    """The share of cosines of even vectors above a threshold."""
    return beta.sf((threshold + 1) / 2, (DIMENSION - 1) / 2, (DIMENSION - 1) / 2)


def texts(found):
    return [one.text for one in scaling.findings([found])]


def test_thresholds_and_rates_a_hundred_times_beyond_the_people_at_hand_hold_the_truth():
    """Of 200 people a gallery of 20,000 is foretold, where every share is known."""
    held = []
    for seed in range(20):
        found = scaling.compute(planted(seed=seed), FEW)
        at, got = (found.estimates[what, enrolled(20_000)] for what in (THRESHOLD, FPIR))
        assert got.value == pytest.approx(0.01)
        truth = 2 * beta.isf(-np.expm1(np.log(0.99) / 20_000), 7.5, 7.5) - 1
        real = -np.expm1(20_000 * np.log1p(-share_above(at.value)))
        held.append((at.low <= truth <= at.high, got.low <= real <= got.high))
        assert abs(found.estimates[SHAPE,].value) < 0.25
    assert np.mean(held, axis=0).min() >= 0.8


def test_what_is_foretold_from_200_people_is_what_20_000_and_their_probes_show():
    found = scaling.compute(planted(people=200, noise=0.3, seed=1), dataclasses.replace(FEW, fpir=0.1))
    threshold = found.estimates[THRESHOLD, enrolled(20_000)].value
    rows, labels = images(22_000, 2, 0.3, 99)
    gallery, probes = rows[::2][:20_000].astype(np.float32), rows[1::2].astype(np.float32)
    known = probes[:2000] @ gallery.T
    own = known[np.arange(2000), labels[1::2][:2000]]
    missed = ((own <= threshold) | (own < known.max(axis=1))).mean()
    alarms = ((probes[20_000:] @ gallery.T).max(axis=1) > threshold).mean()
    got, fnir = (found.estimates[what, enrolled(20_000)] for what in (FPIR, FNIR))
    assert got.low <= alarms <= got.high
    # 2,000 probes are sure to two points.
    assert fnir.low - 0.02 <= missed <= fnir.high + 0.02
    assert fnir.high - fnir.low < 0.35


def test_the_gallery_of_all_who_are_at_hand_is_as_it_is_counted():
    """No extrapolation: the tail of the fit against sums written out."""
    a = planted(people=300, each=1 + 1, seed=3)
    found = scaling.compute(a, dataclasses.replace(FEW, people=300, exceedances=5000))
    scores = a.unit.astype(np.float64) @ a.unit.astype(np.float64).T
    apart = scores[a.labels[:, None] != a.labels]
    at = found.estimates[THRESHOLD, enrolled(300)].value
    assert (apart > at).mean() == pytest.approx(0.01 / 300, rel=0.35)
    genuine = np.array([scores[2 * k, 2 * k + 1] for k in range(300)])
    first = np.array([(1 - (apart > s).mean()) ** 300 if s > at else 0 for s in genuine])
    assert found.estimates[FNIR, enrolled(300)].value == pytest.approx(1 - first.mean(), abs=0.01)
    for far in (0.1, 0.01, 0.001):
        limit = found.estimates[THRESHOLD, at_far(far)]
        assert limit.low <= limit.value <= limit.high
        assert (apart > limit.value + 1e-7).mean() <= far
        assert (apart > limit.value).mean() == pytest.approx(far, rel=0.05)
    measured, fitted, low, high = found.tail[:, 0]
    assert measured == pytest.approx((apart > found.tail_scores[0]).mean(), rel=0.01)
    assert low <= fitted <= high
    assert fitted == pytest.approx(measured, rel=0.05)
    assert found.estimates[FNIR, enrolled(300)].null == pytest.approx(1 - 0.01 / 300)


def test_a_probe_above_the_threshold_is_missed_where_somebody_else_scores_higher():
    a = planted(noise=0.4)
    found = scaling.compute(a, dataclasses.replace(FEW, fpir=0.1))
    scores = np.einsum("ij,ij->i", a.unit[::2].astype(np.float64), a.unit[1::2])
    at = found.estimates[THRESHOLD, enrolled(20_000)].value
    beyond = np.exp(np.interp(scores, found.tail_scores, np.log(found.tail[1])))
    first = np.where(scores > at, (1 - beyond) ** 20_000, 0)
    fnir = found.estimates[FNIR, enrolled(20_000)].value
    assert fnir == pytest.approx(1 - first.mean(), abs=1e-4)
    assert fnir > (scores <= at).mean() + 1e-3


def test_only_people_with_two_images_stand_behind_what_is_missed():
    a = planted()
    some = a.take(np.flatnonzero((a.labels < 150) | (np.arange(len(a.items)) % 2 == 0)))
    assert scaling.compute(some, FEW).estimates[FNIR, enrolled(20_000)].n == 150


def test_more_people_ask_for_a_higher_threshold_and_miss_more():
    found = scaling.compute(planted(), FEW)
    for what in (THRESHOLD, FNIR):
        values, _, _ = found.estimates.row(what, [(enrolled(n),) for n in found.sizes])
        assert (np.diff(values) >= 0).all()
        assert values[0] < values[2] < values[4]
    assert found.sizes == (10_000, 20_000, 100_000, 1_000_000, 10_000_000, 100_000_000)
    said = texts(found)
    at, fnir = (found.estimates[what, enrolled(20_000)] for what in (THRESHOLD, FNIR))
    assert said[0] == (
        f"On p in m, FPIR 0.01 among 20,000 people asks for a threshold of {at:.3f}; FNIR is then {fnir:.1%}."
    )
    assert "FNIR goes from" in said[1]
    table = scaling.charts([found])[1]
    needed = 1 / (-np.expm1(np.log(0.99) / 20_000) * found.impostor_pairs)
    place, times = columns(table, "enrolled", "pairs needed")[1]
    assert (place, times.text) == ("20,000 people", f"{needed:,.3g}×")
    assert times.value == pytest.approx(needed)


def test_of_two_models_the_one_that_misses_fewer_is_told():
    found = [scaling.compute(planted(noise=n, model=m, seed=5), FEW) for n, m in ((0.2, "a"), (0.6, "b"))]
    last = scaling.findings(found)[-1]
    assert last.text.startswith("On p among 20,000 people, FNIR is ")
    assert last.gap.value == pytest.approx(
        found[1].estimates[FNIR, enrolled(20_000)].value - found[0].estimates[FNIR, enrolled(20_000)].value
    )
    assert last.claimed


def twins(people=200, under_two_names=40, seed=0):
    """A set where some people stand under two names."""
    rows, labels = images(people, 2, 0.3, seed)
    names = labels.copy()
    names[np.arange(len(labels)) % 2 == 1] += np.where(labels[::2] < under_two_names, 1000, 0)
    items = [f"i{k:05d}" for k in range(len(labels))]
    return EmbeddingSet.from_rows("m", "p", rows, items, [f"person{k:04d}" for k in names])


def test_people_under_two_names_are_no_tail_and_no_answer_is_given():
    message = r"the highest impostor scores of p in m follow no .* look at audit .* scaling.suspects"
    with pytest.raises(UserError, match=message):
        scaling.compute(twins(), FEW)


def test_without_the_suspects_the_threshold_is_that_of_the_others():
    found = scaling.compute(twins(), dataclasses.replace(FEW, suspects=40))
    at = found.estimates[THRESHOLD, enrolled(20_000)]
    assert at.low <= 2 * beta.isf(0.01 / 20_000, 7.5, 7.5) - 1 <= at.high
    assert "On p in m, pairs of 40 two people are left out as suspects." in texts(found)


def test_where_true_lookalikes_are_left_out_the_tail_breaks_off_and_no_answer_is_given():
    message = (
        r"without 300 suspects the impostor scores of p in m break off \(ξ = -0.*give fewer scaling.suspects"
    )
    with pytest.raises(UserError, match=message):
        scaling.compute(planted(), dataclasses.replace(FEW, suspects=300))


def test_what_the_pairs_show_themselves_is_not_foretold():
    with pytest.raises(UserError, match="p in m shows 2 people at FPIR 0.1 by itself: ask watchlist"):
        scaling.compute(planted(), dataclasses.replace(FEW, people=2, fpir=0.1))


def test_where_all_vectors_are_nearly_equal_there_is_no_tail():
    """Scores that single precision hardly tells from 1 are a reason, and no division by nothing."""
    a = planted()
    near = EmbeddingSet.from_rows(
        "m", "p", 10 + 1e-3 * a.vectors, a.items.tolist(), np.asarray(a.identities)[a.labels].tolist()
    )
    with pytest.raises(UserError, match="as far as they can be told from 1: .* vectors that are all alike"):
        scaling.compute(near, FEW)


def test_too_few_pairs_have_no_tail():
    with pytest.raises(
        UserError, match="p in m has fewer than 40 scores in the highest 2% of impostor pairs"
    ):
        scaling.compute(embedding_set(people=20, images=2), FEW)
    with pytest.raises(UserError, match="shows one person only"):
        scaling.compute(embedding_set(people=1), FEW)
    with pytest.raises(UserError, match="no person with two images"):
        scaling.compute(planted(each=1), FEW)
