import dataclasses

import numpy as np
import pytest
from pyeer.cmc_stats import get_cmc_curve

from embedlab.analyses import identification
from embedlab.analyses.identification import IdentificationParams
from embedlab.errors import UserError
from embedlab.maths.people.bootstrap import resamples
from embedlab.maths.space import galleries
from tests.planted import embedding_set, gaussian, uneven

FEW = IdentificationParams(resamples=200)


@pytest.fixture(scope="module")
def mixed():
    """Forty people with several images and thirty with one."""
    return uneven([5] * 20 + [2] * 20 + [1] * 30)


@pytest.fixture(scope="module")
def found(mixed):
    return identification.compute(mixed, FEW)


def drawn(a, params, draw):
    rng = np.random.default_rng([params.seed, 5, draw])
    images = np.bincount(a.labels)
    return galleries.drawn(a.unit, images, np.zeros(len(images), bool), rng, most=params.probes)


def test_the_cmc_curve_is_that_of_pyeer(mixed, found):
    for draw, column in enumerate(found.cmc):
        gallery = drawn(mixed, FEW, draw)
        scores = mixed.unit[gallery.probes] @ gallery.entries.T
        queries = {
            f"q{row}": (
                [str(gallery.places[row])],
                [(str(c), float(line[c])) for c in np.argsort(-line, kind="stable")],
            )
            for row, line in enumerate(scores)
        }
        assert len(queries) == found.probes == 20 * 4 + 20
        assert column == pytest.approx(get_cmc_curve(queries, 20))
    assert found.estimates["rank-1",].value == pytest.approx(found.cmc[:, 0].mean())
    assert found.estimates["rank-5",].value == pytest.approx(found.cmc[:, 4].mean())
    assert (found.gallery, found.people, found.distractors) == (70, 40, 30)


def test_templates_find_more_than_single_images():
    a = uneven([8] * 80, noise=1.2)
    one = identification.compute(a, FEW)
    template = identification.compute(a, dataclasses.replace(FEW, gallery="template"))
    assert template.first.low > one.first.high


def test_shuffled_labels_give_the_nulls():
    a = uneven([6] * 50)
    shuffled = dataclasses.replace(a, labels=np.random.default_rng(0).permutation(a.labels))
    found = identification.compute(shuffled, FEW)
    for name, k in (("rank-1", 1), ("rank-5", 5)):
        assert found.estimates[name,].null == k / 50
        assert found.estimates[name,].value == pytest.approx(k / 50, abs=0.03)


def test_what_does_not_beat_chance_is_told_without_praise():
    """Noise finds one of twelve; a network that gives one vector for all finds nobody, since ties count."""
    noise, constant = (embedding_set(12, 6, noise=1e3, model=m, seed=2) for m in ("noise", "constant"))
    constant = dataclasses.replace(constant, vectors=np.ones_like(constant.vectors))
    results = [identification.compute(a, FEW) for a in (constant, noise)]
    (said,) = identification.findings(results)
    assert said.text.startswith("On p, noise names the right one of 12 people first for")
    assert said.text.endswith("of probes, the highest, and not shown to beat chance (8.3%).")
    assert said.tone == "plain"


def test_a_tie_counts_against_the_person():
    """Everybody looks alike, so the right one is no better than last."""
    a = embedding_set(people=6, images=2)
    found = identification.compute(dataclasses.replace(a, vectors=np.ones_like(a.vectors)), FEW)
    assert found.first.value == found.estimates["rank-5",].value == 0.0
    assert found.cmc[:, 5].tolist() == [1.0] * 5


def test_people_far_apart_are_all_found_with_the_exact_interval():
    first = identification.compute(uneven([4] * 60, noise=0.01, dimension=64), FEW).first
    assert (first.value, first.high) == (1.0, 1.0)
    assert first.low == pytest.approx(0.025 ** (1 / 60))


def test_resamples_are_the_written_out_people(mixed):
    """A person drawn twice brings each probe twice; the gallery stays."""
    params = dataclasses.replace(FEW, draws=2, resamples=6, seed=3)
    found = identification.compute(mixed, params)
    searched = [drawn(mixed, params, k) for k in range(2)]
    ahead = [galleries.search(mixed.unit, one)[0] for one in searched]
    for b, row in enumerate(resamples(70, 6, 3).astype(int)):
        ranks = [1 + np.repeat(a, row[one.owners]) for a, one in zip(ahead, searched, strict=True)]
        for name, k in (("rank-1", 1), ("rank-5", 5)):
            assert found.estimates[name,].draws[b] == pytest.approx(np.mean([(r <= k).mean() for r in ranks]))


def test_intervals_cover_the_rank_of_other_people():
    """Galleries of one size drawn from one population; the truth is the mean over many."""
    params = IdentificationParams(resamples=300)
    values = [identification.compute(gaussian(60, s), params).first for s in range(160)]
    truth = np.mean([one.value for one in values])
    hits = sum(one.low <= truth <= one.high for one in values)
    assert 0.80 <= hits / 160 <= 0.99


def test_galleries_differ_and_their_spread_is_shown(found):
    assert len(np.unique(found.cmc[:, 0])) > 1
    row = identification.charts([found])[-1].rows[0]
    low, high = found.cmc[:, 0].min(), found.cmc[:, 0].max()
    assert row[3] == f"{low:.3f} to {high:.3f}"
    assert low < found.first.value < high


def test_rows_in_another_order_give_the_same_figures(found):
    again = identification.compute(uneven([5] * 20 + [2] * 20 + [1] * 30, permuted=True), FEW)
    assert again.first.is_paired(found.first)
    assert (again.cmc == found.cmc).all()


def test_a_better_model_is_called_better_with_an_interval():
    results = [
        identification.compute(uneven([4] * 80, noise=n, model=m), FEW)
        for n, m in ((1.0, "worse"), (0.5, "good"), (0.8, "middling"))
    ]
    two, three = identification.findings(results[:2]), identification.findings(results)
    assert [len(two), len(three)] == [1, 2]
    assert two[0].text.startswith("On p, good names the right one of 80 people first for")
    assert ": a difference of +" in two[0].text
    assert two[0] in three
    assert {said.tone for said in three} == {"good"}


def test_models_on_other_images_get_no_interval():
    results = [identification.compute(uneven([k] * 30, model=m), FEW) for k, m in ((4, "a"), (5, "b"))]
    text = identification.findings(results)[0].text
    assert "measured on different people or images, so the difference has no interval" in text


def test_a_probe_that_blurs_costs_rank_one():
    whole, blurred = (
        identification.compute(uneven([4] * 60, noise=n, probe=p), FEW)
        for n, p in ((0.5, "p"), (1.2, "p@32"))
    )
    (drop,) = (f for f in identification.findings([whole, blurred]) if "rank-1 goes from" in f.text)
    assert drop.tone == "bad"
    assert ": a change of -" in drop.text


def test_templates_are_never_ranked_against_images(mixed, found):
    template = identification.compute(mixed, dataclasses.replace(FEW, gallery="template"))
    texts = [f.text for f in identification.findings([found, template])]
    assert any(t.startswith("On p, m names") for t in texts)
    assert any(t.startswith("On p, templates enrolled, m names") for t in texts)
    assert not any("goes from" in t for t in texts)


def test_a_missing_interval_is_said_to_be_missing(found):
    unseen = dataclasses.replace(found.first, draws=np.full_like(found.first.draws, np.nan))
    blank = dataclasses.replace(
        found, model="other", estimates=type(found.estimates)(found.estimates | {("rank-1",): unseen})
    )
    text = identification.findings([found, blank])[0].text
    assert text.endswith("; too few people to say how sure the difference is.")


@pytest.mark.parametrize(
    ("images", "message"), [([5], "shows one person only"), ([1] * 5, "no person with two images")]
)
def test_sets_without_anybody_to_find_are_refused(images, message):
    with pytest.raises(UserError, match=message):
        identification.compute(uneven(images), FEW)
