import dataclasses

import numpy as np
import pytest
from pyeer.cmc_stats import get_cmc_curve

from embedlab.analyses import identification
from embedlab.analyses.identification import IdentificationParams
from embedlab.errors import UserError
from embedlab.lab.embeddings import EmbeddingSet
from embedlab.maths.people.bootstrap import resamples
from tests.planted import embedding_set

FEW = IdentificationParams(resamples=200)


def some(images, seed=0, noise=0.7, dimension=16, model="m", probe="p", permuted=False):
    """People with as many images as told, round Gaussian centres."""
    labels = np.repeat(np.arange(len(images)), images)
    centres = np.random.default_rng(99).normal(size=(len(images), dimension))
    vectors = centres[labels] + noise * np.random.default_rng(seed).normal(size=(len(labels), dimension))
    order = np.random.default_rng(1).permutation(len(labels)) if permuted else np.arange(len(labels))
    return EmbeddingSet.from_rows(
        model,
        probe,
        vectors[order],
        [f"item{k:05d}" for k in order],
        [f"person{k:04d}" for k in labels[order]],
    )


@pytest.fixture(scope="module")
def mixed():
    """Forty people with several images and thirty with one."""
    return some([5] * 20 + [2] * 20 + [1] * 30)


@pytest.fixture(scope="module")
def found(mixed):
    return identification.compute(mixed, FEW)


@pytest.fixture
def searched(mixed, monkeypatch):
    """Each draw as it is searched: probes, gallery, where each probe's person stands, how many enrolled."""
    seen = []
    search = identification._search

    def spy(*inputs):
        seen.append((*inputs, search(*inputs)))
        return seen[-1][-1]

    monkeypatch.setattr(identification, "_search", spy)

    def run(params, a=mixed):
        seen.clear()
        return identification.compute(a, params), list(seen)

    return run


def test_the_cmc_curve_is_that_of_pyeer(searched):
    found, draws = searched(FEW)
    for column, (probes, gallery, own, _, _) in zip(found.cmc, draws, strict=True):
        scores = probes @ gallery.T
        # Unknown people with one image are no probes of the closed set: they are their own gallery entry.
        mated = np.abs(scores[np.arange(len(own)), own] - 1) > 1e-5
        queries = {
            f"q{row}": (
                [str(own[row])],
                [(str(c), float(scores[row, c])) for c in np.argsort(-scores[row], kind="stable")],
            )
            for row in np.flatnonzero(mated)
        }
        assert len(queries) == found.probes == 20 * 4 + 20
        assert column == pytest.approx(get_cmc_curve(queries, 20))
    assert found.estimates["rank-1",].value == pytest.approx(found.cmc[:, 0].mean())
    assert found.estimates["rank-5",].value == pytest.approx(found.cmc[:, 4].mean())


def test_open_set_figures_are_those_of_the_written_out_definition(searched):
    found, draws = searched(dataclasses.replace(FEW, fpir=0.9))
    assert (found.gallery, found.people, found.distractors, found.enrolled) == (70, 40, 30, 35)
    assert list(found.levels) == [0.9, 0.1]
    outdone = 0
    for k, (probes, gallery, own, enrolled, _) in enumerate(draws):
        scores = probes @ gallery[:enrolled].T
        known = own < enrolled
        first = scores[known].argmax(axis=1) == own[known]
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


def test_no_image_is_compared_with_itself_and_no_person_brings_more_probes_than_allowed(searched, mixed):
    found, draws = searched(dataclasses.replace(FEW, probes=2))
    assert found.probes == 20 * 2 + 20
    for _, _, own, enrolled, (_, scores, _) in draws:
        itself = np.abs(scores - 1) < 1e-5
        assert (own[itself] >= enrolled).all()
        assert np.bincount(own).max() == 2


def test_templates_are_means_of_half_of_the_images(searched, mixed):
    """Whoever has five images is enrolled with two of them and searched for with three."""
    found, [(probes, gallery, own, _, _)] = searched(dataclasses.replace(FEW, gallery="template", draws=1))
    assert found.title == "p in m, templates enrolled"
    assert found.probes == 20 * 3 + 20
    rows = np.argmin(((probes[:, None] - mixed.unit) ** 2).sum(axis=2), axis=1)
    for column in np.flatnonzero(np.bincount(own) == 3):
        used = rows[own == column]
        rest = np.setdiff1d(np.flatnonzero(mixed.labels == mixed.labels[used[0]]), used)
        mean = mixed.unit[rest].mean(axis=0)
        assert len(rest) == 2
        assert gallery[column] == pytest.approx(mean / np.linalg.norm(mean), abs=1e-6)


def test_templates_find_more_than_single_images():
    a = some([8] * 80, noise=1.2)
    one = identification.compute(a, FEW)
    template = identification.compute(a, dataclasses.replace(FEW, gallery="template"))
    assert template.estimates["rank-1",].low > one.estimates["rank-1",].high


def test_shuffled_labels_give_the_nulls():
    a = some([6] * 50)
    shuffled = dataclasses.replace(a, labels=np.random.default_rng(0).permutation(a.labels))
    found = identification.compute(shuffled, dataclasses.replace(FEW, fpir=0.1))
    for name, k in (("rank-1", 1), ("rank-5", 5)):
        assert found.estimates[name,].null == k / 50
        assert found.estimates[name,].value == pytest.approx(k / 50, abs=0.03)
    estimate = found.estimates["TPIR@FPIR=0.1",]
    assert estimate.null == pytest.approx(0.1 / 25)
    assert estimate.value == pytest.approx(estimate.null, abs=0.01)


def test_a_tie_counts_against_the_person():
    """Everybody looks alike, so the right one is no better than last."""
    a = embedding_set(people=6, images=2)
    same = dataclasses.replace(a, vectors=np.ones_like(a.vectors))
    found = identification.compute(same, FEW)
    assert found.estimates["rank-1",].value == found.estimates["rank-5",].value == 0.0
    assert found.cmc[:, 5].tolist() == [1.0] * 5


def test_people_far_apart_are_all_found_with_the_exact_interval():
    found = identification.compute(
        some([4] * 60, noise=0.01, dimension=64), dataclasses.replace(FEW, fpir=0.1)
    )
    first = found.estimates["rank-1",]
    assert (first.value, first.high) == (1.0, 1.0)
    assert first.low == pytest.approx(0.025 ** (1 / 60))
    alarm = found.estimates["TPIR@FPIR=0.1",]
    assert alarm.value == 1.0
    assert alarm.low == pytest.approx(0.025 ** (1 / 30))


def test_resamples_are_the_written_out_people(mixed):
    """A person drawn twice brings each probe twice; the gallery stays; thresholds are found anew."""
    params = dataclasses.replace(FEW, draws=2, resamples=6, seed=3)
    found = identification.compute(mixed, params)
    images = np.bincount(mixed.labels)
    drawn = [identification._draw(mixed.unit, images, params, k) for k in range(2)]
    for b, row in enumerate(resamples(70, 6, 3).astype(int)):
        ranks, shares = [], []
        for one in drawn:
            ranks.append(np.repeat(one.ranks, row[one.mated_people]))
            top = np.sort(np.repeat(one.unknown_scores, row[one.unknown_people]))[::-1].astype(np.float32)
            limit = top[int(0.1 * len(top))]
            shares.append((np.repeat(one.known_scores, row[one.known_people]) > limit).mean())
        assert found.estimates["rank-1",].draws[b] == pytest.approx(np.mean([(r == 1).mean() for r in ranks]))
        assert found.estimates["rank-5",].draws[b] == pytest.approx(np.mean([(r <= 5).mean() for r in ranks]))
        assert found.estimates["TPIR@FPIR=0.1",].draws[b] == pytest.approx(np.mean(shares))


@pytest.mark.slow
def test_intervals_cover_the_rank_of_other_people():
    """Galleries of one size drawn from one population; the truth is the mean over many."""
    params = IdentificationParams(resamples=300)
    values = [identification.compute(some_people(60, s), params).estimates["rank-1",] for s in range(160)]
    truth = np.mean([one.value for one in values])
    hits = sum(one.low <= truth <= one.high for one in values)
    assert 0.80 <= hits / 160 <= 0.99


def some_people(people, seed):
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(people), 4)
    vectors = rng.normal(size=(people, 16))[labels] + rng.normal(size=(len(labels), 16))
    return EmbeddingSet.from_rows(
        "m", "p", vectors, [f"i{k:04d}" for k in range(len(labels))], [f"{k:03d}" for k in labels]
    )


def test_galleries_differ_and_their_spread_is_shown(found):
    assert len(np.unique(found.cmc[:, 0])) > 1
    row = identification.charts([found])[-1].rows[0]
    low, high = found.cmc[:, 0].min(), found.cmc[:, 0].max()
    assert row[3] == f"{low:.3f} to {high:.3f}"
    assert low < found.estimates["rank-1",].value < high
    text = identification.findings([found])[0].text
    assert f"({100 * low:.1f} to {100 * high:.1f} % over 5 galleries)" in text


def test_rows_in_another_order_give_the_same_figures(mixed, found):
    again = identification.compute(some([5] * 20 + [2] * 20 + [1] * 30, permuted=True), FEW)
    assert again.estimates["rank-1",].is_paired(found.estimates["rank-1",])
    assert (again.cmc == found.cmc).all()
    assert (again.tpirs == found.tpirs).all()


def test_a_better_model_is_called_better_with_an_interval():
    params = dataclasses.replace(FEW, fpir=0.1)
    results = [
        identification.compute(some([4] * 80, noise=n, model=m), params)
        for n, m in ((1.0, "worse"), (0.5, "good"))
    ]
    closed, open_set = identification.findings(results)
    assert closed.text.startswith("On p, good names the right one of 80 people first for")
    assert ": a difference of +" in closed.text
    assert "with 40 people enrolled and the others unknown, good names" in open_set.text
    assert ": a difference of +" in open_set.text
    assert {closed.tone, open_set.tone} == {"good"}


def test_equal_models_are_not_called_different():
    closed, *_ = identification.findings([identification.compute(some([4] * 30, model=m), FEW) for m in "ab"])
    assert "there is no difference" in closed.text


def test_models_on_other_images_get_no_interval():
    results = [identification.compute(some([k] * 30, model=m), FEW) for k, m in ((4, "a"), (5, "b"))]
    assert (
        "they were measured on different people or images, so no interval of the difference is given"
        in identification.findings(results)[0].text
    )


def test_a_probe_that_blurs_costs_rank_one():
    whole, blurred = (
        identification.compute(some([4] * 60, noise=n, probe=p), FEW) for n, p in ((0.5, "p"), (1.2, "p@32"))
    )
    drop = [
        f for f in identification.findings([whole, blurred]) if f.text.startswith("In m, rank-1 goes from")
    ]
    assert len(drop) == 1
    assert drop[0].tone == "bad"
    assert ": a change of -" in drop[0].text


def test_templates_are_never_ranked_against_images(mixed, found):
    template = identification.compute(mixed, dataclasses.replace(FEW, gallery="template"))
    texts = [f.text for f in identification.findings([found, template])]
    assert any(t.startswith("On p, m names") for t in texts)
    assert any(t.startswith("On p, templates enrolled, m names") for t in texts)
    assert not any("goes from" in t for t in texts)


def test_a_missing_interval_is_said_to_be_missing(found):
    first = found.estimates["rank-1",]
    unseen = dataclasses.replace(first, draws=np.full_like(first.draws, np.nan))
    blank = dataclasses.replace(
        found, model="other", estimates=type(found.estimates)(found.estimates | {("rank-1",): unseen})
    )
    text = identification.findings([found, blank])[0].text
    assert text.endswith("; too few people to say how sure the difference is.")


def test_too_few_unknown_probes_for_the_fpir_asked_are_told(found):
    texts = [f.text for f in identification.findings([found])]
    assert found.at(0.01) is None
    words = f"In p in m, {found.unknown_probes} probes of unknown people are too few for TPIR at FPIR 0.01"
    assert any(t.startswith(words) for t in texts)


def test_unstable_points_are_called_so(mixed):
    found = identification.compute(mixed, dataclasses.replace(FEW, fpir=0.1))
    assert found.false_alarms.min() < 10
    assert "at FPIR 0.1 (unstable, fewer than 10 false alarms)" in identification.findings([found])[1].text
    assert any(
        str(cell).endswith("(unstable)") for row in identification.charts([found])[-1].rows for cell in row
    )


def test_blocks_give_the_same_as_one(mixed, found, monkeypatch):
    monkeypatch.setattr(identification, "BLOCK", 500)
    again = identification.compute(mixed, FEW)
    assert (again.cmc == found.cmc).all()
    assert again.tpirs == pytest.approx(found.tpirs)


def test_two_people_give_a_closed_set_and_no_open_one():
    found = identification.compute(embedding_set(people=2), dataclasses.replace(FEW, unknown=0.9))
    assert list(found.estimates) == [("rank-1",)]
    assert [c.title for c in identification.charts([found])][1:] == ["Identification"]


@pytest.mark.parametrize(
    ("images", "message"), [([5], "shows one person only"), ([1] * 5, "no person with two images")]
)
def test_sets_without_anybody_to_find_are_refused(images, message):
    with pytest.raises(UserError, match=message):
        identification.compute(some(images), FEW)
