"""Maps from degraded to native: shifts, shrinkage, turns, and what blur takes away."""

import dataclasses

import numpy as np
import pytest

from embedlab.analyses.restoration import RestorationParams, charts, compute, findings
from embedlab.charts import Bars, Table
from embedlab.errors import UserError
from embedlab.maths.linear.crossmodel import R2, RANK_1
from embedlab.maths.linear.map_trials import (
    MAPS,
    RIDGE,
    ROTATION,
    SCALED_SHIFT,
    SHIFT,
    TARGET,
    UNMAPPED,
)
from tests.maps import faces, turn, vectors

QUICK = RestorationParams(resamples=100, folds=5)


def degraded(matrix, model="a", noise=0.03, x=None, **changes):
    x = vectors(noise=0.4) if x is None else x
    y = x @ matrix + noise * np.random.default_rng(4).normal(size=x.shape)
    params = dataclasses.replace(QUICK, **changes)
    return compute(faces(x, model), faces(y, model, "p@32"), params)


def value(r, what, entry):
    return r.estimates[what, entry].value


@pytest.fixture(scope="module")
def blurred():
    """In one model blur turns and narrows; in the other it narrows alone."""
    narrow = np.linspace(1, 0.3, 12)
    return [degraded(turn() * narrow, "a"), degraded(np.eye(12) * narrow, "b")]


def test_a_shift_solves_a_shift():
    """Rows of length one that differ in one constant number remain of length one."""
    x = vectors()
    native, moved = (np.column_stack([0.8 * x, np.full(len(x), height)]) for height in (0.6, -0.6))
    found = compute(faces(native), faces(moved, probe="p@32"), QUICK)
    assert found.title == "p@32 → p in a"
    assert found.each[MAPS.index(SHIFT), 0] == pytest.approx(1, abs=1e-5)
    assert found.each[MAPS.index(SHIFT), 1] == value(found, RANK_1, TARGET)
    assert value(found, R2, UNMAPPED) < -1


def test_a_turn_is_found_where_there_is_one_and_not_where_vectors_shrink(blurred):
    turned, narrowed = (r.estimates[R2, ROTATION] - r.estimates[R2, SCALED_SHIFT] for r in blurred)
    assert turned.value > 0.5
    assert turned.sign == 1
    assert abs(narrowed.value) < 0.1


def test_noise_and_shrinkage_alone_are_no_rotation():
    """Rotation fits far more numbers than shift and scale, and must pay for them on held-out people."""
    rng = np.random.default_rng(0)
    found = 0
    for seed in range(12):
        x = vectors(60, 3, 24, noise=0.5, seed=seed)
        y = 0.6 * x + 0.15 * rng.normal(size=x.shape) + 0.2
        r = compute(faces(x, images=3), faces(y, probe="p@32", images=3), QUICK)
        found += (r.estimates[R2, ROTATION] - r.estimates[R2, SCALED_SHIFT]).sign == 1
    assert found == 0


def test_a_map_that_undoes_blur_is_told_with_what_the_native_probe_has(blurred):
    far, near = blurred
    floor, one, top = (value(far, RANK_1, entry) for entry in (UNMAPPED, RIDGE, TARGET))
    said = findings([far])[0]
    told = f"In a, a linear map takes rank-1 of p@32 among {far.gallery} people from {floor:.1%} to {one:.1%}"
    assert said.text.startswith(f"{told} (sharp: {top:.1%})")
    assert said.tone == "good"
    assert value(near, RANK_1, UNMAPPED) > floor


def test_models_are_compared_on_the_same_resamples(blurred):
    far, near = blurred
    gains = [r.estimates[RANK_1, RIDGE] - r.estimates[RANK_1, UNMAPPED] for r in (far, near)]
    text = next(f.text for f in findings(blurred) if "points in a and" in f.text)
    assert f"by {100 * gains[0].value:+.1f} points in a and {100 * gains[1].value:+.1f} in b" in text
    assert text.endswith(f": a difference of {(gains[0] - gains[1]).points()}.")


def test_a_gain_over_nothing_that_does_not_beat_its_null_is_not_called_good():
    """Unrelated vectors: whatever ridge seems to gain, shuffled pairs gain too."""
    x = vectors()
    found = compute(faces(x), faces(vectors(seed=1), probe="p@32"), QUICK)
    assert all(f.tone != "good" for f in findings([found]))


def test_a_planted_map_of_known_rank_gives_rank_and_r2():
    from sklearn.linear_model import LinearRegression

    rng = np.random.default_rng(2)
    x = vectors(300, 3, 30, noise=1.0)
    signal = x @ rng.normal(size=(30, 5)) @ rng.normal(size=(5, 30)) / np.sqrt(5)
    y = signal + signal.std() * rng.normal(size=signal.shape)
    found = compute(faces(y, images=3), faces(x, probe="p@32", images=3), QUICK)
    assert found.rank in (5, 6)
    # The best that a linear map can do: least squares on the planted directions alone.
    unit = y / np.linalg.norm(y, axis=1, keepdims=True)
    best = LinearRegression().fit(signal, unit).score(signal, unit)
    assert value(found, R2, RIDGE) == pytest.approx(best, abs=0.04)
    low, ridge, least = (found.each[MAPS.index(n), 0] for n in ("low-rank ridge", RIDGE, "least squares"))
    assert low > ridge > least
    assert found.each[MAPS.index("least squares"), 2] > least


def test_many_results_stay_readable(blurred):
    results = [dataclasses.replace(blurred[k % 2], model=f"m{k}") for k in range(8)]
    drawn = charts(results)
    assert [type(one) for one in drawn] == [Bars, Bars, Table, Table]
    assert len(drawn[0].categories) == 6
    assert "These are 6 of 8" in drawn[0].note
    assert len(drawn[2].rows) == 8
    assert len(findings(results)) == 3
    assert all(len(f.text.split("[")[0].split()) <= 31 for f in findings(results))


def test_three_people_are_too_few():
    x = vectors(3)
    with pytest.raises(UserError, match="share 3 people: four are needed"):
        compute(faces(x), faces(x, probe="p@32"), QUICK)
