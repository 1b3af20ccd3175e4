import dataclasses

import numpy as np
import pytest

from embedlab.analyses import watchlist
from embedlab.analyses.watchlist import WatchlistParams, tpir_at
from embedlab.errors import UserError
from embedlab.maths.people.bootstrap import resamples
from embedlab.maths.space import galleries
from tests.planted import embedding_set, uneven

FEW = WatchlistParams(resamples=200, fpir=0.1)


@pytest.fixture(scope="module")
def mixed():
    """Forty people with several images and thirty with one."""
    return uneven([5] * 20 + [2] * 20 + [1] * 30)


@pytest.fixture(scope="module")
def found(mixed):
    return watchlist.compute(mixed, FEW)


def drawn(a, params, draw):
    images = np.bincount(a.labels)
    unknown = galleries.strangers(images, params.unknown, np.random.default_rng([params.seed, 6, draw]))
    rng = np.random.default_rng([params.seed, 5, draw])
    return galleries.drawn(a.unit, images, unknown, rng, most=params.probes)


def test_open_set_figures_are_those_of_the_written_out_definition(mixed):
    params = dataclasses.replace(FEW, fpir=0.9)
    found = watchlist.compute(mixed, params)
    assert (found.enrolled, found.strangers) == (35, 35)
    assert list(found.levels) == [0.9, 0.1]
    outdone = 0
    for k in range(5):
        gallery = drawn(mixed, params, k)
        scores = mixed.unit[gallery.probes] @ gallery.entries.T
        known = gallery.places >= 0
        first = scores[known].argmax(axis=1) == gallery.places[known]
        top = np.sort(scores[~known].max(axis=1))[::-1]
        for level, fpir in enumerate(found.levels):
            allowed = int(fpir * len(top) + 1e-9)
            threshold = found.thresholds[k, level]
            assert (top >= threshold).sum() == found.false_alarms[k, level] == allowed
            assert found.achieved[k, level] == allowed / len(top)
            reached = scores[known].max(axis=1) >= threshold
            assert found.tpirs[k, level] == pytest.approx((first & reached).mean())
            outdone += (~first & reached).sum()
        assert known.sum() >= found.known_probes
        assert (~known).sum() >= found.unknown_probes
    assert outdone  # Somebody reaches the threshold behind another, and does not count.
    assert found.estimates["TPIR@FPIR=0.1",].value == pytest.approx(found.tpirs[:, 1].mean())


def test_shuffled_labels_give_the_null():
    a = uneven([6] * 50)
    shuffled = dataclasses.replace(a, labels=np.random.default_rng(0).permutation(a.labels))
    found = watchlist.compute(shuffled, FEW)
    estimate = found.estimates["TPIR@FPIR=0.1",]
    assert estimate.null == pytest.approx(0.1 / 25)
    assert estimate.value == pytest.approx(estimate.null, abs=0.01)
    (said,) = watchlist.findings([found])
    assert said.tone == "plain"
    assert said.text.endswith(", not shown to beat chance (0.4%).")


def test_people_far_apart_are_all_named_with_the_exact_interval():
    found = watchlist.compute(uneven([4] * 60, noise=0.01, dimension=64), FEW)
    alarm = found.estimates["TPIR@FPIR=0.1",]
    assert alarm.value == 1.0
    assert alarm.low == pytest.approx(0.025 ** (1 / 30))


def test_resamples_are_the_written_out_people(mixed):
    """A person drawn twice brings each probe twice; the gallery stays; thresholds are found anew."""
    params = dataclasses.replace(FEW, draws=2, resamples=6, seed=3)
    found = watchlist.compute(mixed, params)
    searched = [watchlist._searched(mixed.unit, np.bincount(mixed.labels), params, k) for k in range(2)]
    for b, row in enumerate(resamples(70, 6, 3).astype(int)):
        shares = []
        for one in searched:
            top = np.sort(np.repeat(one.unknown_scores, row[one.unknown_people]))[::-1].astype(np.float32)
            limit = top[int(0.1 * len(top))]
            shares.append((np.repeat(one.known_scores, row[one.known_people]) > limit).mean())
        assert found.estimates["TPIR@FPIR=0.1",].draws[b] == pytest.approx(np.mean(shares))


def test_rows_in_another_order_give_the_same_figures(found):
    again = watchlist.compute(uneven([5] * 20 + [2] * 20 + [1] * 30, permuted=True), FEW)
    assert (again.tpirs == found.tpirs).all()
    assert again.estimates[tpir_at(0.1),].is_paired(found.estimates[tpir_at(0.1),])


def test_a_better_model_is_called_better_with_an_interval():
    results = [
        watchlist.compute(uneven([4] * 80, noise=n, model=m), FEW) for n, m in ((1.0, "worse"), (0.5, "good"))
    ]
    (said,) = watchlist.findings(results)
    assert said.text.startswith("On p, with 40 people enrolled, good names")
    assert ": a difference of +" in said.text
    assert said.tone == "good"


def test_too_few_unknown_probes_for_the_fpir_asked_are_told(mixed):
    found = watchlist.compute(mixed, dataclasses.replace(FEW, fpir=0.01))
    (said,) = watchlist.findings([found])
    words = "On p in m, TPIR at FPIR 0.01 needs 100 probes of unknown people: there are "
    assert said.text.startswith(words)
    assert said.tone == "plain"


def test_unstable_points_are_called_so(found):
    assert found.false_alarms.min() < 10
    assert "at FPIR 0.1 (unstable)" in watchlist.findings([found])[0].text
    assert watchlist.charts([found])[-1].rows[0][-1].endswith("(unstable)")
    assert "TPIR@FPIR=0.1, unstable" in found.numbers()


def test_templates_are_told_apart(mixed):
    found = watchlist.compute(mixed, dataclasses.replace(FEW, gallery="template"))
    assert found.title == "p in m, templates enrolled"
    assert watchlist.findings([found])[0].text.startswith("On p, templates enrolled, with 35 people")


def test_a_gallery_without_strangers_or_without_probes_is_refused():
    message = "p in m has too few people with two images for a gallery and strangers"
    with pytest.raises(UserError, match=message):
        watchlist.compute(embedding_set(people=2), dataclasses.replace(FEW, unknown=0.9))
    with pytest.raises(UserError, match=message):
        watchlist.compute(embedding_set(people=2), dataclasses.replace(FEW, unknown=0.1))


@pytest.mark.parametrize(
    ("images", "message"), [([5], "shows one person only"), ([1] * 5, "no person with two images")]
)
def test_sets_without_anybody_to_find_are_refused(images, message):
    with pytest.raises(UserError, match=message):
        watchlist.compute(uneven(images), FEW)
