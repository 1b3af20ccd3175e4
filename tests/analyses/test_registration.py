"""Clouds with a planted map between them, or with none."""

import dataclasses

import numpy as np
import pytest
from scipy.stats import special_ortho_group

from embedlab.analyses import registration
from embedlab.analyses.registration import (
    AFTER,
    BEFORE,
    BEYOND,
    FOUND,
    GAIN,
    IMAGE,
    KEPT,
    LIMIT,
    NOTHING,
    NULL,
    PARTLY,
    PERSON,
    PROCRUSTES,
    RMSE,
    SHAPE,
    WORSE,
    RegistrationParams,
    charts,
    compute,
    findings,
)
from embedlab.charts import Histogram, Scatter, Table
from embedlab.errors import UserError
from embedlab.estimates import Estimate, Estimates
from embedlab.lab.embeddings import EmbeddingSet
from embedlab.maths.people.evidence import expanded
from tests.planted import embedding_set

QUICK = RegistrationParams(resamples=200, nulls=4)
PEOPLE = 90


def cloud(seed=0, dimension=16, people=PEOPLE, images=2):
    """Vectors in a skewed cloud of three dimensions and little of others, far from the origin.

    At length one they keep their shape, about a thousandth of it apart from them.
    """
    rng = np.random.default_rng(seed)
    centres = rng.gamma(1.0, size=(people, 3)) * (3.0, 2.0, 1.2)
    rows = np.zeros((people * images, dimension))
    rows[:, :3] = np.repeat(centres, images, axis=0) + 0.2 * rng.normal(size=(people * images, 3))
    rows[:, 3:-1] = 0.02 * rng.normal(size=(people * images, dimension - 4))
    rows[:, -1] = 500.0
    return rows


def as_set(rows, model="m", probe="p", images=2):
    items = [f"item{k:04d}" for k in range(len(rows))]
    people = [f"person{k // images:03d}" for k in range(len(rows))]
    return EmbeddingSet.from_rows(model, probe, rows, items, people)


def turned(rows, degrees, shift=(0.0, 0.0, 0.0), noise=0.3):
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    found = rows.copy()
    middle = rows[:, :3].mean(axis=0)
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    found[:, :3] = (rows[:, :3] - middle) @ turn + middle + shift
    found[:, :3] += noise * np.random.default_rng(9).normal(size=(len(rows), 3))
    return found


@pytest.fixture(scope="module")
def turned_pair():
    return as_set(cloud()), as_set(turned(cloud(), 25, (1.0, -2.0, 0.5)), probe="p@32")


@pytest.fixture(scope="module")
def found(turned_pair):
    return compute(*turned_pair, QUICK)


def test_a_turned_and_shifted_copy_is_found(found):
    before, after, known, null = (found.of(IMAGE, how) for how in (BEFORE, AFTER, PROCRUSTES, NULL))
    assert found.verdict == FOUND
    assert before.value < 0.3
    assert abs(after.value - known.value) <= 0.05 < 0.5 < after.value
    assert null.value < after.value - 0.2
    assert after.null == pytest.approx(null.value)
    assert known.null == pytest.approx(1 / 60) == found.chance_image
    assert found.of(PERSON, AFTER).value >= after.value
    assert found.of(RMSE, AFTER).value == pytest.approx(found.of(RMSE, PROCRUSTES).value, rel=0.1)
    assert found.of(RMSE, AFTER).value < found.of(RMSE, BEFORE).value / 4
    assert found.turned == pytest.approx(25, abs=2)
    assert found.apart < 2
    assert found.scale == pytest.approx(1, abs=0.03)
    assert found.converged
    assert not found.searched


def test_its_finding_says_so_with_its_numbers(found):
    outcome, way = findings([found])
    assert outcome.tone == "good"
    assert "finds the true correspondence" in outcome.text
    for number in (found.of(IMAGE, how).value for how in (BEFORE, AFTER, PROCRUSTES, NULL)):
        assert f"{number:.1%}" in outcome.text
    assert "60 held-out images" in outcome.text
    assert "25°" in way.text
    assert "CPD converged after" in way.text


def test_differences_are_of_the_same_resamples(found):
    gain, beyond = found.estimates[GAIN,], found.estimates[BEYOND,]
    assert gain.value == pytest.approx(found.of(IMAGE, AFTER).value - found.of(IMAGE, BEFORE).value)
    assert beyond.value == pytest.approx(found.of(IMAGE, AFTER).value - found.null_matches.mean())
    assert 0 < gain.low < gain.value < gain.high
    after = found.of(IMAGE, AFTER)
    low, high = expanded(after.value, after.draws, after.n)
    assert found.of(IMAGE, AFTER).low == pytest.approx(low)
    assert found.of(IMAGE, AFTER).high == pytest.approx(high)


def test_the_trace_ends_where_the_map_does(found):
    assert found.trace_iterations[0] == 0
    assert (np.diff(found.trace_iterations) > 0).all()
    assert found.trace_match[0] == pytest.approx(found.of(IMAGE, BEFORE).value, abs=0.02)
    assert 5 < found.trace_iterations[-1] <= found.iterations
    assert np.isnan(found.trace_sigma2[0])
    assert found.trace_sigma2[-1] < found.trace_sigma2[1] / 10
    assert found.trace_held_out
    # All 60 held-out images are traced, so that the last share is the one judged.
    assert found.trace_match[-1] == pytest.approx(found.of(IMAGE, AFTER).value, abs=0.02)


def test_people_who_judge_have_no_part_in_the_fit(turned_pair, found):
    a, b = turned_pair
    judged = np.isin(b.items, found.items)
    assert judged.sum() == found.judged_images == 60
    rows = b.vectors.copy()
    rows[judged] = cloud(seed=7)[judged]
    other = compute(a, as_set(rows, probe="p@32"), QUICK)
    np.testing.assert_array_equal(other.trace_sigma2, found.trace_sigma2)
    assert other.scale == found.scale
    assert other.verdict == NOTHING
    assert other.of(IMAGE, AFTER).value < 0.1


@pytest.mark.parametrize("models", [("m", "m"), ("m", "n")])
def test_unrelated_clouds_are_not_called_aligned(models):
    rng = np.random.default_rng(3)
    other = cloud(seed=11)
    other[:, :3] = rng.normal(size=(len(other), 3)) * (2.0, 1.5, 1.0) + 6.0
    result = compute(
        as_set(cloud(), models[0]), as_set(other, models[1], "p@32"), dataclasses.replace(QUICK, nulls=1)
    )
    assert result.verdict == NOTHING
    assert result.of("energy distance as a share", AFTER).value < 0.1
    text = findings([result])[0].text
    assert "even known pairs match not surely beyond chance" in text
    assert "finds" not in text
    assert findings([result])[0].tone == "bad"


def test_clouds_of_one_shape_with_the_wrong_people_overlap_and_nothing_more():
    """The very same points, dealt out to other people: a perfect overlap and no correspondence."""
    rows = turned(cloud(), 20, (9.0, 0.0, 0.0))
    rows = rows.reshape(PEOPLE, 2, -1)[np.random.default_rng(0).permutation(PEOPLE)].reshape(rows.shape)
    result = compute(as_set(cloud()), as_set(rows, probe="p@32"), QUICK)
    assert result.verdict == NOTHING
    assert "lays the clouds over one another" in findings([result])[0].text


def test_a_pure_shift_is_found():
    result = compute(as_set(cloud()), as_set(turned(cloud(), 0, (3.0, 1.0, 0.0)), probe="p@32"), QUICK)
    assert result.verdict == FOUND
    assert result.turned < 2


def test_what_lies_together_already_gains_nothing():
    result = compute(as_set(cloud()), as_set(turned(cloud(), 0), probe="p@32"), QUICK)
    assert result.verdict == KEPT
    assert result.of(IMAGE, BEFORE).value > 0.5
    assert "brings no sure gain" in findings([result])[0].text
    assert findings([result])[0].tone == "plain"


@pytest.mark.parametrize("dimensions", [3, 0])
def test_two_models_of_unequal_dimension_are_brought_together(dimensions):
    """The axes of the second are turned all over, so that only their order of variance is left."""
    basis = special_ortho_group.rvs(32, random_state=1)[:16]
    b = as_set(turned(cloud(), 10) @ basis, "n")
    result = compute(as_set(cloud()), b, dataclasses.replace(QUICK, dimensions=dimensions, nulls=1))
    assert result.axes == (dimensions or 16)
    assert result.pair == "model pair"
    assert result.title == "n onto m on p"
    assert result.verdict == FOUND
    assert result.of(IMAGE, AFTER).value > 0.5
    if dimensions == 3:
        assert result.of(IMAGE, NULL).value < result.of(IMAGE, AFTER).value - 0.1


def test_native_dimensions_are_all_there_are(turned_pair):
    result = compute(*turned_pair, dataclasses.replace(QUICK, dimensions=0))
    assert result.axes == 16
    assert result.verdict == FOUND
    assert result.fixed.shape[1] == 3
    assert result.angles.shape == (3, 16)
    assert result.explained == pytest.approx(1)


@pytest.mark.parametrize("kind", ["rigid", "affine", "deformable"])
def test_every_kind_of_map_finds_it(turned_pair, kind):
    result = compute(*turned_pair, dataclasses.replace(QUICK, kind=kind, nulls=2))
    assert result.kind == kind
    assert result.verdict in (FOUND, LIMIT, PARTLY)
    assert result.of(IMAGE, AFTER).value > 0.4
    assert ("affine, known pairs" in result.methods) == (kind in ("affine", "deformable"))
    assert result.trace_held_out == (kind != "deformable")
    assert result.trace_match[-1] > 0.4


def test_rigid_without_scale_keeps_the_size():
    a, b = as_set(cloud()), turned(cloud(), 0, noise=0.05)
    b[:, :3] = (b[:, :3] - b[:, :3].mean(axis=0)) * 0.7 + b[:, :3].mean(axis=0)
    rigid, similar = (
        compute(a, as_set(b, probe="p@32"), dataclasses.replace(QUICK, kind=kind))
        for kind in ("rigid", "similarity")
    )
    assert rigid.scale == pytest.approx(1)
    assert rigid.known_scale == pytest.approx(1)
    assert similar.scale == pytest.approx(1 / 0.7, rel=0.02)
    assert similar.of(IMAGE, AFTER).value > rigid.of(IMAGE, AFTER).value


def test_pycpd_comes_to_the_same_verdict():
    pytest.importorskip("pycpd")
    pair = as_set(cloud()), as_set(turned(cloud(), 8, (3.0, 1.0, 0.0)), probe="p@32")
    own, other = (
        compute(*pair, dataclasses.replace(QUICK, engine=e, nulls=2)) for e in ("embedlab", "pycpd")
    )
    assert other.engine == "pycpd"
    assert other.verdict == own.verdict == FOUND
    assert other.turned == pytest.approx(own.turned, abs=1.5)
    assert other.iterations == other.trace_iterations[-1] == len(other.trace_sigma2) - 1
    with pytest.raises(UserError, match="pycpd"):
        compute(*pair, dataclasses.replace(QUICK, engine="pycpd", kind="rigid"))


def test_a_turn_of_any_size_is_found_where_turns_are_searched():
    pair = as_set(cloud()), as_set(turned(cloud(), 170), probe="p@32")
    never, always = (
        compute(*pair, dataclasses.replace(QUICK, search=how, nulls=1)) for how in ("never", "always")
    )
    assert never.verdict != FOUND
    assert always.verdict == FOUND
    assert always.searched
    assert always.apart < 5


@pytest.mark.parametrize(
    ("before", "after", "known", "gain", "beyond", "said"),
    [
        (0.1, 0.9, 0.9, 0.8, 0.5, FOUND),
        (0.1, 0.5, 0.9, 0.4, 0.3, PARTLY),
        (0.1, 0.3, 0.3, 0.2, 0.2, LIMIT),
        (0.1, 0.9, 0.9, 0.8, 0.0, SHAPE),
        (0.9, 0.9, 0.9, 0.0, 0.5, KEPT),
        (0.0, 0.0, 0.9, 0.0, 0.0, registration.OVERLAP),
        (0.9, 0.5, 0.9, -0.4, 0.3, WORSE),
        (0.0, 0.0, 0.0, 0.0, 0.0, NOTHING),
    ],
)
def test_the_verdict_counts_what_is_sure(before, after, known, gain, beyond, said):
    def sure(value):
        return Estimate(value, value - 0.05, value + 0.05)

    estimates = Estimates(
        {(IMAGE, how): sure(v) for how, v in ((BEFORE, before), (AFTER, after), (PROCRUSTES, known))}
    )
    estimates[GAIN,], estimates[BEYOND,] = sure(gain), sure(beyond)
    assert registration._verdict(estimates, PROCRUSTES, 0.01, np.array([after - beyond])) == said
    if said == FOUND:
        # One draw of the null that does as well is doubt enough.
        assert registration._verdict(estimates, PROCRUSTES, 0.01, np.array([0.2, after])) == SHAPE


def test_every_verdict_has_its_words(found):
    for verdict in registration._TONES:
        said = findings([dataclasses.replace(found, verdict=verdict)])
        assert said[0].tone == registration._TONES[verdict]
    assert len({findings([dataclasses.replace(found, verdict=v)])[0].text for v in registration._TONES}) >= 6


def test_coming_nearer_without_a_match_is_told_if_it_is_sure_and_not_tiny(found):
    for nearer, said in (
        (Estimate(-0.3, -0.4, -0.2), True),
        (Estimate(-0.3, -0.6, 0.01), False),
        (Estimate(-0.001, -0.002, -0.0005), False),
    ):
        estimates = type(found.estimates)({**found.estimates, (registration.NEARER,): nearer})
        text = findings([dataclasses.replace(found, verdict=KEPT, estimates=estimates)])[0].text
        assert ("come nearer" in text) == said
    assert "come nearer" not in findings([found])[0].text


def test_pictures_before_and_after_share_their_axes(found):
    drawn = charts([found])
    before, after = (c for c in drawn if isinstance(c, Scatter))
    assert before.ranges == after.ranges
    assert before.projection == "3d"
    assert len(before.points) == 120 <= 400
    assert (
        np.linalg.norm(np.diff(after.points[after.links], axis=1), axis=2).mean()
        < 0.3 * np.linalg.norm(np.diff(before.points[before.links], axis=1), axis=2).mean()
    )
    (histogram,) = (c for c in drawn if isinstance(c, Histogram))
    assert histogram.series["same image, after"].sum() == 60
    assert histogram.series["different people, after"].sum() == 60 * 58


def test_two_dimensions_are_drawn_flat(turned_pair):
    result = compute(*turned_pair, dataclasses.replace(QUICK, dimensions=2, nulls=1))
    assert [c.projection for c in charts([result]) if isinstance(c, Scatter)] == [None, None]


def test_many_results_stay_few_pictures_and_sentences(found):
    many = [dataclasses.replace(found, title=f"pair {k}", model=f"m{k}") for k in range(20)]
    many[3] = dataclasses.replace(many[3], pair="model pair", verdict=NOTHING)
    drawn = charts(many)
    assert len(drawn) == 10
    assert any("pair 3:" in c.title for c in drawn)
    assert "The first 6 of 20" in drawn[0].note
    (table,) = (c for c in drawn if isinstance(c, Table))
    assert len(table.rows) == 20 * len(found.methods)
    assert table.folded
    said = findings(many)
    assert len(said) == 2
    assert "the true correspondence in 19 (pair 0; pair 1; pair 2 and 16 more)" in said[0].text
    assert "nothing that can be shown in 1 (pair 3)" in said[0].text


def test_two_models_on_the_same_people_are_compared_by_the_same_resamples(turned_pair, found):
    a, _ = turned_pair
    noisy = turned(cloud(), 25, noise=0.8)
    other = compute(as_set(a.vectors, "n"), as_set(noisy, "n", "p@32"), QUICK)
    assert other.of(IMAGE, AFTER).is_paired(found.of(IMAGE, AFTER))
    said = findings([found, other])
    assert len(said) == 3
    assert f"[{100 * (found.of(IMAGE, AFTER) - other.of(IMAGE, AFTER)).low:+.1f}," in said[2].text
    apart = compute(*turned_pair, dataclasses.replace(QUICK, seed=1))
    assert "no interval of the difference is given" in findings([found, apart])[2].text


def test_a_handful_of_people_is_a_sentence_or_a_result():
    pairs = {n: tuple(embedding_set(n, probe=p, seed=k) for k, p in enumerate(("p", "p@32"))) for n in (8, 9)}
    with pytest.raises(UserError, match="share 8 people"):
        compute(*pairs[8], QUICK)
    assert "nan" not in findings([compute(*pairs[9], QUICK)])[0].text
    with pytest.raises(UserError, match="9 images are too few for an affine map of 16 axes"):
        compute(*pairs[9], dataclasses.replace(QUICK, kind="affine", dimensions=0))


def test_a_sample_says_that_it_is_one(turned_pair):
    result = compute(*turned_pair, dataclasses.replace(QUICK, people=10, images=1))
    assert (result.fitted_people, result.fitted_images, result.judged_images) == (10, 10, 10)
    assert result.all_people == 90
    drawn = [c for c in charts([result]) if isinstance(c, Scatter)]
    assert "10 of 10 held-out images, seed 0" in drawn[0].note
