"""Mapping between models: turned, bent, narrowed and unrelated spaces."""

import dataclasses
import re

import numpy as np
import pytest

from embedlab.analyses.mapping import NULL, MappingParams, charts, compute, findings
from embedlab.charts import Bars, Curves, Heatmap, Table
from embedlab.errors import UserError
from embedlab.estimates import Estimates
from embedlab.maths.linear.crossmodel import R2, RANK_1
from embedlab.maths.linear.map_trials import RIDGE, ROTATION, SOURCE, TARGET, UNMAPPED
from tests.maps import faces, turn, vectors

QUICK = MappingParams(resamples=100, folds=5)
WAYS = (("a", "b"), ("b", "a"))


def value(r, figure, entry, ends=("a", "b")):
    return r.estimates[figure, entry, *ends].value


@pytest.fixture(scope="module")
def turned():
    x = vectors()
    return compute(faces(x), faces(x @ turn(), "b"), QUICK)


@pytest.fixture(scope="module")
def unrelated():
    return compute(faces(vectors()), faces(vectors(seed=1), "b"), QUICK)


def test_a_rotation_solves_a_turned_copy_and_loses_nothing(turned):
    for ends in WAYS:
        assert value(turned, R2, ROTATION, ends) == pytest.approx(1, abs=1e-5)
        for figure in (RANK_1, turned.tar):
            assert value(turned, figure, TARGET, ends) == value(turned, figure, SOURCE, ends)
        assert value(turned, RANK_1, ROTATION, ends) == value(turned, RANK_1, TARGET, ends)
        assert value(turned, RANK_1, UNMAPPED, ends) < 0.1
        assert value(turned, R2, RIDGE, ends) > 0.99
        assert turned.estimates[RANK_1, RIDGE, *ends].null < 0.1
        assert turned.estimates[RANK_1, TARGET, *ends].null == 1 / 40


def test_unrelated_spaces_are_not_mapped(unrelated):
    for ends in WAYS:
        assert value(unrelated, R2, RIDGE, ends) < 0.05
        assert value(unrelated, RANK_1, TARGET, ends) > 0.8
        gap = unrelated.estimates[RANK_1, RIDGE, *ends] - unrelated.estimates[RANK_1, NULL, *ends]
        assert gap.sign == 0
    for finding in findings([unrelated])[:2]:
        assert "by one of wrong pairs: the" in finding.text
        assert re.search("may be chance|there is no difference", finding.text)


def test_what_a_converted_gallery_loses_is_told_of_either_direction(turned):
    said = [f.text for f in findings([turned])]
    for source, target in WAYS:
        assert any(text.startswith(f"Mapped from {source} to {target} on p, ") for text in said)
    assert sum(", a rotation finds " in text for text in said) == 2
    assert sum(text.startswith("Fitted on 100 of 160 pairs, a map from") for text in said) == 1
    assert all(len(text.split("[")[0].split()) <= 31 for text in said)


def test_dimensions_may_differ(unrelated):
    x = vectors()
    found = compute(faces(x), faces(x @ np.random.default_rng(1).normal(size=(12, 7)), "b"), QUICK)
    assert found.estimates.at(RANK_1, (UNMAPPED, "a", "b")) is None
    assert value(found, RANK_1, RIDGE) > 0.5
    assert all(f.text for f in findings([found]))
    assert charts([found])


def test_nothing_of_held_out_people_enters_a_fit(turned):
    from embedlab.maths.linear import map_trials
    from embedlab.maths.linear.map_inputs import MapInputs

    x = vectors()
    inputs = MapInputs.of(faces(x), faces(x @ turn(), "b"), QUICK)
    held = inputs.held[np.arange(len(x)) // 4]
    assert held.sum() == len(x) / 2
    spoilt = [z.copy() for z in (x, x @ turn())]
    for z in spoilt:
        z[held] = np.random.default_rng(3).normal(size=(held.sum(), 12))
    again = MapInputs.of(faces(spoilt[0]), faces(spoilt[1], "b"), QUICK)
    choices = map_trials.Choices(5, 10, 0.0, 0)
    counts = np.ones((2, 40), np.float32)
    one, other = (map_trials.try_maps(i, counts, choices, curve=False) for i in (inputs, again))
    np.testing.assert_allclose(one.each[:, 2], other.each[:, 2])
    assert (one.penalty, one.rank) == (other.penalty, other.rank)
    assert other.judged[RIDGE][R2].value < 0.1


def test_the_order_of_rows_changes_nothing(turned):
    x = vectors()
    order = np.random.default_rng(0).permutation(len(x))
    found = compute(faces(x, order=order), faces(x @ turn(), "b"), QUICK)
    assert (found.estimates, found.fewer) == (turned.estimates, turned.fewer)


def test_pairs_of_one_person_serve_as_well_but_explain_less(turned):
    x = vectors()
    params = dataclasses.replace(QUICK, pairs="same person")
    found = compute(faces(x), faces(x @ turn(), "b"), params)
    assert found.fitted_pairs == turned.fitted_pairs
    assert value(found, RANK_1, ROTATION) > 0.9
    assert 0.9 < value(found, R2, ROTATION) < value(turned, R2, ROTATION)
    with pytest.raises(UserError, match="set pairs to 'same image'"):
        compute(faces(x, images=1), faces(x @ turn(), "b", images=1), params)


def test_where_nobody_has_two_images_the_same_image_is_searched_and_the_note_says_so(turned):
    x = vectors(images=1)
    found = compute(faces(x, images=1), faces(x @ turn(), "b", images=1), QUICK)
    assert found.same_image
    assert value(found, RANK_1, ROTATION) == value(found, RANK_1, TARGET) == 1.0
    assert "Probe and gallery are the same image" in charts([found])[0].note
    assert "Probe and gallery" not in charts([turned])[0].note


def test_what_impostors_cannot_resolve_is_no_operating_point(turned):
    x = vectors(12)
    found = compute(faces(x), faces(x @ turn(), "b"), QUICK)
    assert found.impostors < 1000
    assert not any("TAR" in what for what, *_ in found.estimates)
    assert turned.tar == "TAR@FAR=0.001, unstable"
    assert turned.estimates[turned.tar, TARGET, "a", "b"].n == turned.searched
    assert "unstable" in charts([turned])[-1].columns[-2]


def test_a_sample_says_that_it_is_one(turned):
    x = vectors()
    params = dataclasses.replace(QUICK, people=30, images=2)
    found = compute(faces(x), faces(x @ turn(), "b"), params)
    assert (found.people, found.all_people, found.fitted_pairs) == (30, 80, 30)
    assert "30 of 80 people." in charts([found])[0].note
    assert "of 80" not in charts([turned])[0].note


def test_intervals_of_differences_are_paired(turned):
    ridge, rotation = (turned.estimates[RANK_1, entry, "a", "b"] for entry in (RIDGE, ROTATION))
    gain = ridge - rotation
    np.testing.assert_allclose(
        (gain.low, gain.high), np.quantile(ridge.draws - rotation.draws, [0.025, 0.975]), atol=1e-6
    )
    assert (gain.high - gain.low) < (ridge.high - ridge.low)


def test_what_fewer_pairs_lose_is_measured_and_drawn(turned):
    assert turned.sizes.tolist() == [30, 100, 160]
    few, every = (turned.fewer[RANK_1, size, "a", "b"].value for size in ("30", "160"))
    assert every == value(turned, RANK_1, RIDGE) >= few
    curve = next(c for c in charts([turned]) if isinstance(c, Curves)).curves
    assert any(one.y[[0, -1]].tolist() == [few, every] for one in curve)


def test_differences_that_few_people_leave_without_an_interval_are_not_called_chance(turned):
    blank = Estimates(
        {k: dataclasses.replace(one, draws=one.draws * np.nan) for k, one in turned.estimates.items()}
    )
    said = [f.text for f in findings([dataclasses.replace(turned, estimates=blank)])]
    assert said
    assert not any("chance" in text for text in said)


def many(turned, times=5):
    found = []
    for k in range(times):
        named = {"a": f"m{k}", "b": "z"}
        estimates, fewer = (
            Estimates({(*key[:2], *(named[end] for end in key[2:])): one for key, one in kept.items()})
            for kept in (turned.estimates, turned.fewer)
        )
        found.append(dataclasses.replace(turned, sources=(f"m{k}", "z"), estimates=estimates, fewer=fewer))
    return found


def test_many_results_stay_readable(turned):
    results = many(turned)
    drawn = charts(results)
    assert [type(one) for one in drawn] == [Bars, Heatmap, Curves, Table]
    assert len(drawn[0].categories) <= 6
    assert len(drawn[2].curves) <= 4
    assert "These are 6 of 10 directions" in drawn[0].note
    assert len(drawn[-1].rows) == 10
    assert len(findings(results)) <= 5


def test_the_matrix_holds_probes_by_row_and_galleries_by_column(turned):
    picture = next(chart for chart in charts(many(turned, 2)) if isinstance(chart, Heatmap))
    assert picture.xlabels == picture.ylabels == ("m0", "z", "m1")
    np.testing.assert_array_equal(picture.values[0, 1], value(turned, RANK_1, RIDGE))
    np.testing.assert_array_equal(picture.values[1, 0], value(turned, RANK_1, RIDGE, ("b", "a")))
    np.testing.assert_array_equal(picture.values[0, 0], value(turned, RANK_1, SOURCE))
    assert np.isnan(picture.values[0, 2])


def test_three_people_are_too_few():
    x = vectors(3)
    with pytest.raises(UserError, match="share 3 people: four are needed"):
        compute(faces(x), faces(x, "b"), QUICK)


def test_one_vector_for_all_is_refused():
    x = vectors(8)
    with pytest.raises(UserError, match="all drawn images of p in b have one vector"):
        compute(faces(x), faces(np.ones_like(x), "b"), QUICK)
