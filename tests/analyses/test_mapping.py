"""Mapping on planted spaces: turned, shifted, bent and unrelated ones."""

import dataclasses
import re

import numpy as np
import pytest

from embedlab.analyses import mapping
from embedlab.analyses.mapping import (
    GAP,
    LOST,
    OVER_NULL,
    OVER_ROTATION,
    OVER_UNMAPPED,
    MappingParams,
    charts,
    compute,
    findings,
)
from embedlab.charts import Bars, Curves, Heatmap, Table
from embedlab.errors import UserError
from embedlab.estimates import Estimates
from embedlab.lab.embeddings import EmbeddingSet
from embedlab.maths.linear.crossmodel import COSINE, R2, RANK_1, TAR
from embedlab.maths.linear.linear_maps import METHODS
from embedlab.maths.linear.map_trials import ENTRIES, RIDGE, ROTATION, SOURCE, TARGET, UNMAPPED

QUICK = MappingParams(resamples=100, penalties=11)


def faces(vectors, model="a", probe="p", images=4, order=None):
    labels = np.arange(len(vectors)) // images
    rows = np.arange(len(vectors)) if order is None else order
    return EmbeddingSet.from_rows(
        model, probe, vectors[rows], [f"i{k:05d}" for k in rows], [f"person{labels[k]:04d}" for k in rows]
    )


def vectors(people=80, images=4, d=12, noise=0.25, seed=0):
    rng = np.random.default_rng(seed)
    found = rng.normal(size=(people, d)).repeat(images, axis=0) + noise * rng.normal(
        size=(people * images, d)
    )
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def turn(d=12, seed=9):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(d, d)))[0]


def value(r, figure, entry, direction=0):
    return r.at(direction, r.tar if figure == TAR else figure, entry).value


def null(r, figure, entry):
    return r.at(0, figure, entry).null


@pytest.fixture(scope="module")
def turned():
    x = vectors()
    return compute(faces(x), faces(x @ turn(), "b"), QUICK)


@pytest.fixture(scope="module")
def unrelated():
    return compute(faces(vectors()), faces(vectors(seed=1), "b"), QUICK)


@pytest.fixture(scope="module")
def blurred():
    """Blur takes half of the directions away from one half of the vector, and adds noise."""
    x = vectors(noise=0.4)
    found = []
    for model, strength in (("a", 0.2), ("b", 0.9)):
        y = x @ (turn() if strength < 0.5 else np.eye(12)) * np.linspace(1, 0.3, 12)
        y = y + 0.03 * np.random.default_rng(4).normal(size=x.shape)
        found.append(compute(faces(x, model), faces(y, model, "p@32"), QUICK))
    return found


def test_procrustes_solves_a_turned_copy_and_loses_nothing(turned):
    assert turned.kind == "model pair"
    assert [turned.name(d) for d in (0, 1)] == ["a → b", "b → a"]
    for d in (0, 1):
        assert value(turned, R2, ROTATION, d) == pytest.approx(1, abs=1e-5)
        assert value(turned, COSINE, ROTATION, d) == pytest.approx(1, abs=1e-5)
        for figure in (RANK_1, TAR):
            own = value(turned, figure, TARGET, d)
            assert value(turned, figure, ROTATION, d) == own == value(turned, figure, SOURCE, d)
        assert value(turned, RANK_1, UNMAPPED, d) < 0.1
        assert turned.at(d, "loss of rank-1 against target by itself").value == pytest.approx(0, abs=0.02)
        assert value(turned, R2, RIDGE, d) > 0.99


def test_shuffled_pairs_and_chance_stand_beside(turned):
    for method in METHODS:
        assert null(turned, RANK_1, method) < 0.15
    for entry in (UNMAPPED, SOURCE, TARGET):
        assert null(turned, RANK_1, entry) == 1 / 40
    assert null(turned, R2, RIDGE) < 0.05
    beyond = turned.at(0, OVER_NULL).value
    assert beyond == pytest.approx(value(turned, RANK_1, RIDGE) - null(turned, RANK_1, RIDGE))


def test_unrelated_spaces_are_not_mapped(unrelated):
    for d in (0, 1):
        assert value(unrelated, R2, "ridge", d) < 0.05
        assert value(unrelated, RANK_1, "ridge", d) < 0.12
        assert value(unrelated, RANK_1, TARGET, d) > 0.8
    said = findings([unrelated])
    for finding in said[:2]:
        assert re.search("may be chance|there is no difference", finding.text)
        assert finding.tone == "bad"


def test_a_mean_shift_solves_a_shift():
    """Rows of length one that differ in one constant number remain of length one."""
    x = vectors()
    native, moved = (np.column_stack([0.8 * x, np.full(len(x), height)]) for height in (0.6, -0.6))
    found = compute(faces(native), faces(moved, probe="p@32"), QUICK)
    assert found.kind == "degraded pair"
    assert found.title == "p@32 → p in a"
    assert (found.sources, found.targets) == (("p@32",), ("p",))
    assert value(found, R2, "mean shift") == pytest.approx(1, abs=1e-5)
    assert value(found, R2, UNMAPPED) < -1
    assert value(found, RANK_1, "mean shift") == value(found, RANK_1, TARGET)


def test_a_planted_map_of_known_rank_gives_rank_penalty_and_r2():
    from sklearn.linear_model import LinearRegression

    rng = np.random.default_rng(2)
    x = vectors(400, 3, 40, noise=1.0)
    matrix = rng.normal(size=(40, 5)) @ rng.normal(size=(5, 60)) / np.sqrt(5)
    signal = x @ matrix
    y = signal + signal.std() * rng.normal(size=signal.shape)
    found = compute(faces(x, images=3), faces(y, "b", images=3), MappingParams(resamples=50))
    assert found.chosen_rank[0] in (5, 6)
    # The best that a linear map can do: least squares on the five planted directions alone.
    unit = y / np.linalg.norm(y, axis=1, keepdims=True)
    best = LinearRegression().fit(signal, unit).score(signal, unit)
    assert value(found, R2, RIDGE) == pytest.approx(best, abs=0.04)
    assert value(found, R2, "low-rank ridge") > value(found, R2, "ridge") > value(found, R2, "least squares")
    assert found.penalties[0] < found.chosen_penalty[0] < found.penalties[-1]
    within = found.in_sample[0, 0, METHODS.index("least squares")]
    assert within > value(found, R2, "least squares")


def test_dimensions_may_differ(unrelated):
    x = vectors()
    matrix = np.random.default_rng(1).normal(size=(12, 7))
    found = compute(faces(x), faces(x @ matrix, "b"), QUICK)
    for d in (0, 1):
        for entry in (UNMAPPED, "mean shift"):
            assert all(found.at(d, what, entry) is None for what in (R2, COSINE, RANK_1, found.tar))
        assert found.at(d, OVER_UNMAPPED) is None
    assert value(found, RANK_1, "ridge") > 0.5
    assert "unequal dimension" in charts([found])[0].note
    assert "unequal dimension" not in charts([unrelated])[0].note
    assert all(f.text for f in findings([found]))


def test_nothing_of_held_out_people_enters_a_fit(turned):
    x = vectors()
    params = QUICK
    sample = mapping._sample(faces(x), faces(x @ turn(), "b"), params)
    held = sample.held[np.arange(len(x)) // 4]
    assert held.sum() == len(x) / 2
    spoilt = [z.copy() for z in (x, x @ turn())]
    for z in spoilt:
        z[held] = np.random.default_rng(3).normal(size=(held.sum(), 12))
    found = compute(faces(spoilt[0]), faces(spoilt[1], "b"), params)
    for name in ("in_sample", "path_errors", "chosen_penalty", "rank_errors", "chosen_rank"):
        np.testing.assert_array_equal(getattr(found, name), getattr(turned, name))
    assert value(found, R2, "ridge") < 0.1


def test_the_order_of_rows_changes_nothing(turned):
    x = vectors()
    order = np.random.default_rng(0).permutation(len(x))
    found = compute(faces(x, order=order), faces(x @ turn(), "b"), QUICK)
    assert (found.estimates, found.others) == (turned.estimates, turned.others)


def test_pairs_of_one_person_serve_as_well_but_explain_less(turned):
    x = vectors()
    params = MappingParams(resamples=100, penalties=11, pairs="same person")
    found = compute(faces(x), faces(x @ turn(), "b"), params)
    assert found.fitted_pairs == turned.fitted_pairs
    within = METHODS.index(ROTATION)
    assert found.in_sample[0, 0, within] < 0.95 < turned.in_sample[0, 0, within]
    assert value(found, RANK_1, ROTATION) > 0.9
    assert value(found, R2, ROTATION) > 0.9
    with pytest.raises(UserError, match="set mapping.pairs to 'same image'"):
        compute(faces(x, images=1), faces(x @ turn(), "b", images=1), params)


def test_where_nobody_has_two_images_the_same_image_is_searched_and_the_note_says_so(turned):
    x = vectors(images=1)
    found = compute(faces(x, images=1), faces(x @ turn(), "b", images=1), QUICK)
    assert found.same_image
    assert value(found, RANK_1, ROTATION) == value(found, RANK_1, TARGET) == 1.0
    assert "same image" in charts([found])[0].note.split("Probe and gallery")[1]
    assert "Probe and gallery" not in charts([turned])[0].note


def test_what_impostors_cannot_resolve_is_no_operating_point(turned):
    x = vectors(12)
    found = compute(faces(x), faces(x @ turn(), "b"), QUICK)
    assert found.impostors < 1000
    assert not any("TAR" in what for what, *_ in {**found.estimates, **found.others})
    assert turned.impostors * turned.far < 10
    assert turned.tar == "TAR@FAR=0.001, unstable"
    assert (TARGET, "a → b") in turned.estimates.places(turned.tar)
    assert turned.at(1, f"loss of {turned.tar} against {TARGET}").n == turned.searched
    assert "unstable" in charts([turned])[-2].note


def test_a_sample_says_that_it_is_one(turned):
    x = vectors()
    params = MappingParams(resamples=50, penalties=5, people=30, images=2)
    found = compute(faces(x), faces(x @ turn(), "b"), params)
    assert (found.people, found.all_people, found.fitted_pairs) == (30, 80, 30)
    assert "30 of 80 people, seed 0" in charts([found])[0].note
    assert "seed" not in charts([turned])[0].note


def test_intervals_of_differences_are_paired(turned):
    gain = turned.at(0, OVER_ROTATION)
    ridge, rotation = (turned.at(0, RANK_1, entry) for entry in (RIDGE, ROTATION))
    assert gain.is_paired(ridge)
    assert gain.value == ridge.value - rotation.value
    paired = ridge.draws - rotation.draws
    np.testing.assert_allclose((gain.low, gain.high), np.quantile(paired, [0.025, 0.975]), atol=1e-6)


def test_five_hundred_pairs_are_tested_against_all_where_there_are_more():
    rng = np.random.default_rng(5)
    x = vectors(400, 4, 60, noise=0.6)
    y = x @ rng.normal(size=(60, 60)) + 1.5 * rng.normal(size=x.shape)
    found = compute(faces(x), faces(y, "b"), MappingParams(resamples=50, penalties=7))
    assert found.fitted_pairs == 800
    assert found.sizes.tolist() == [10, 30, 100, 300, 500, 800]
    lost = found.at(0, LOST, RIDGE)
    whole, few = (found.at(0, RANK_1, RIDGE, f"{size} pairs").value for size in (800, 500))
    assert whole == value(found, RANK_1, RIDGE)
    assert lost.value == pytest.approx(whole - few)
    curve = next(c for c in charts([found]) if isinstance(c, Curves)).curves[0]
    assert curve.y[-2:].tolist() == [few, whole]
    assert any(
        "500 pairs suffice. Fitted on so many of 800, ridge loses" in f.text for f in findings([found])
    )


def test_less_than_six_hundred_pairs_test_nothing_of_five_hundred(turned):
    assert not any("500" in f.text for f in findings([turned]))


def test_the_gap_between_degraded_and_native_is_closed_by_so_much(blurred):
    far, near = blurred
    share = far.at(0, GAP)
    floor, one, top = (value(far, RANK_1, entry) for entry in (UNMAPPED, "ridge", TARGET))
    assert share.value == pytest.approx((one - floor) / (top - floor))
    assert share.low > 0.5
    text = findings([far])[0].text
    assert "of the gap" in text
    assert findings([far])[0].tone == "good"
    assert f"from {floor:.1%} to {one:.1%}" in text
    assert near.at(0, OVER_UNMAPPED).value < 0.5


def test_no_share_of_a_gap_that_may_be_none():
    x = vectors(noise=0.1)
    found = compute(faces(x), faces(x, probe="p@32"), QUICK)
    assert value(found, RANK_1, UNMAPPED) == value(found, RANK_1, TARGET)
    assert found.at(0, GAP) is None
    assert found.at(0, OVER_UNMAPPED) is not None


def test_models_are_compared_on_the_same_resamples(blurred):
    far, near = blurred
    text = next(f.text for f in findings(blurred) if "changes rank-1 by" in f.text)
    gains = [r.at(0, OVER_UNMAPPED) for r in (far, near)]
    assert f"by {100 * gains[0].value:+.1f} points in a and by {100 * gains[1].value:+.1f} in b" in text
    assert text.endswith(f": a difference of {(gains[0] - gains[1]).points()}.")


def test_differences_that_few_people_leave_without_an_interval_are_not_called_chance(turned, blurred):
    def blank(r):
        unsure = {key: dataclasses.replace(one, low=None, high=None) for key, one in r.estimates.items()}
        return dataclasses.replace(r, estimates=Estimates(unsure))

    for results in ([turned], blurred, many(turned, blurred)):
        said = [f.text for f in findings([blank(r) for r in results])]
        assert not any("chance" in text for text in said if "Mapped by" in text or "changes rank-1" in text)
        for text in said[:2]:
            assert "too few people to say how sure the" in text
        assert not any("may be chance" in text for text in said)


def many(turned, blurred, times=5):
    found = []
    for k in range(times):
        pair = (f"m{k}", f"n{k}")
        names = {"a → b": " → ".join(pair), "b → a": " → ".join(pair[::-1])}
        estimates, others = (
            Estimates({(*key, names[name]): one for (*key, name), one in kept.items()})
            for kept in (turned.estimates, turned.others)
        )
        found.append(
            dataclasses.replace(
                turned,
                model_a=pair[0],
                model_b=pair[1],
                sources=pair,
                targets=pair[::-1],
                estimates=estimates,
                others=others,
            )
        )
        found += [dataclasses.replace(r, model_a=f"{r.model_a}{k}") for r in blurred]
    return found


def test_many_results_stay_readable(turned, blurred):
    results = many(turned, blurred)
    drawn = charts(results)
    assert len(drawn) <= 10
    for chart in drawn:
        if isinstance(chart, Bars):
            assert len(chart.categories) <= 6
        if isinstance(chart, Curves):
            assert len(chart.curves) <= 5
    assert "These are 6 of 10 directions" in drawn[0].note
    assert isinstance(drawn[-1], Table)
    assert len(drawn[-1].rows) == 20
    assert len(findings(results)) <= 5
    # Both kinds are among those drawn.
    curves = next(chart for chart in drawn if isinstance(chart, Curves))
    assert {" in " in c.name for c in curves.curves} == {True, False}


def test_the_matrix_holds_probes_by_row_and_galleries_by_column():
    x = vectors()
    found = compute(faces(x), faces(x @ turn() * np.linspace(1, 0.1, 12), "b"), QUICK)
    picture = next(chart for chart in charts([found]) if isinstance(chart, Heatmap))
    assert picture.xlabels == picture.ylabels == ("a", "b")
    there, back = (value(found, RANK_1, "ridge", d) for d in (0, 1))
    assert there != back
    expected = [[value(found, RANK_1, SOURCE), there], [back, value(found, RANK_1, TARGET)]]
    np.testing.assert_array_equal(picture.values, expected)


def test_a_degraded_probe_is_mapped_to_the_native_one_as_one_model_to_another():
    x = vectors()
    y = x @ turn() * np.linspace(1, 0.1, 12)
    within = compute(faces(x), faces(y, probe="p@32"), QUICK)
    between = compute(faces(x), faces(y, "b"), QUICK)
    for figure in (R2, COSINE, RANK_1, within.tar):
        for entry in ENTRIES:
            assert within.at(0, figure, entry) == between.at(1, figure, entry)
    assert value(between, R2, "ridge", 0) != value(between, R2, "ridge", 1)


def test_a_shuffle_leaves_a_mean_shift_as_it_is_and_the_table_says_so(turned):
    assert null(turned, R2, "mean shift") == pytest.approx(value(turned, R2, "mean shift"), abs=1e-5)
    assert "leaves a mean shift as it is" in charts([turned])[-2].note


def test_the_path_marks_the_penalty_chosen(turned):
    picture = next(c for c in charts([turned]) if isinstance(c, Curves) and "λ" in c.title)
    *curves, chosen = picture.curves
    for curve, x, y in zip(curves, chosen.x[::2], chosen.y[::2], strict=True):
        assert curve.y[np.flatnonzero(curve.x == x)[0]] == y == curve.y.min()


def test_three_people_are_too_few():
    x = vectors(3)
    with pytest.raises(UserError, match="share 3 people: four are needed"):
        compute(faces(x), faces(x, "b"), QUICK)


def test_one_vector_for_all_is_refused():
    x = vectors(8)
    with pytest.raises(UserError, match="all drawn images of p in b have one vector"):
        compute(faces(x), faces(np.ones_like(x), "b"), QUICK)
