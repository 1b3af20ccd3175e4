"""Every draw of a training follows from seed, epoch and step, and shares of a step make up the step."""

import dataclasses
from collections import Counter

import numpy as np
import pytest
import scipy.stats

from embedlab.errors import UserError
from embedlab.training.recipe import Recipe
from embedlab.training.sampling import Epoch, Plan

LABELS = np.repeat(np.arange(10), [1, 2, 3, 4, 5, 6, 7, 8, 9, 55])
COLUMNS = [field.name for field in dataclasses.fields(Plan) if field.name != "crossed"]


def recipe(**changes):
    return Recipe(**({"data": "x", "batch": 16, "input_size": 144, "seed": 3} | changes))


def equal(one, other):
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in COLUMNS)


@pytest.mark.parametrize(
    ("flip", "epoch_images", "batch", "steps"), [(True, 0, 16, 6), (False, 50, 16, 3), (True, 0, 500, 1)]
)
def test_without_options_order_and_mirroring_are_a_plain_permutation(flip, epoch_images, batch, steps):
    epoch = Epoch(recipe(flip=flip, epoch_images=epoch_images, batch=batch), LABELS, 2)
    draw = np.random.default_rng((3, 2))
    order, mirrored = draw.permutation(100), (draw.random(100) < 0.5) & flip
    assert epoch.steps == steps
    plans = [epoch.plan(step) for step in range(steps)]
    shown = steps * min(batch, 100)
    np.testing.assert_array_equal(np.concatenate([plan.chosen for plan in plans]), order[:shown])
    np.testing.assert_array_equal(np.concatenate([plan.mirrored for plan in plans]), mirrored[:shown])
    for plan in plans:
        assert not plan.sides.any()
        assert (plan.jitter == 1).all()
        assert not plan.erasing.any()
        assert not plan.crossed


ALL = {"jitter": 0.4, "erasing": 0.3, "low": "random"}


def test_new_options_change_neither_order_nor_mirroring():
    plain, full = (Epoch(recipe(**changes), LABELS, 1).plan(4) for changes in ({}, ALL))
    assert np.array_equal(plain.chosen, full.chosen)
    assert np.array_equal(plain.mirrored, full.mirrored)
    assert full.sides.any()
    assert (full.jitter != 1).all()
    assert full.erasing.any()


@pytest.mark.parametrize("changes", [ALL, {**ALL, "low": "cross", "per_identity": 4}])
def test_a_step_is_the_same_whatever_was_drawn_before_it(changes):
    made = recipe(**changes)
    unbroken = Epoch(made, LABELS, 1)
    plans = [unbroken.plan(step) for step in range(unbroken.steps)]
    for step in (5, 2, 5):
        assert equal(Epoch(made, LABELS, 1).plan(step), plans[step])
        assert equal(unbroken.plan(step), plans[step])


def test_steps_epochs_seeds_and_purposes_draw_apart():
    plans = [
        Epoch(recipe(seed=seed, **ALL), LABELS, epoch).plan(step)
        for seed in (0, 1) for epoch in (0, 1) for step in (0, 1)
    ]  # fmt: skip
    for name in COLUMNS:
        assert len({getattr(plan, name).tobytes() for plan in plans}) == 8, name
    big = Epoch(recipe(batch=100, erasing=1.0, jitter=0.4, low="random"), LABELS, 0).plan(0)
    drawn = np.stack([big.sides, *big.jitter.T, *big.erasing.T])
    assert np.abs(np.corrcoef(drawn) - np.eye(len(drawn)))[0].max() < 0.35


@pytest.mark.parametrize(
    "changes", [ALL, {**ALL, "low": "cross"}, {**ALL, "low": "cross", "per_identity": 4}]
)
@pytest.mark.parametrize("world", [1, 2, 4])
def test_shares_of_processes_make_up_the_step(changes, world):
    plan = Epoch(recipe(**changes), LABELS, 0).plan(2)
    shares = [plan.shard(rank, world) for rank in range(world)]
    assert {len(share) for share in shares} == {len(plan) // world}
    halves = 2 if plan.crossed else 1
    for name in COLUMNS:
        parts = [np.split(getattr(share, name), halves) for share in shares]
        whole = np.concatenate([part for half in zip(*parts, strict=True) for part in half])
        np.testing.assert_array_equal(whole, getattr(plan, name))
    assert all(share.crossed == plan.crossed for share in shares)


def test_a_step_that_cannot_be_shared_is_refused():
    with pytest.raises(UserError, match="a step of 16 images cannot be shared equally by 3 processes"):
        Epoch(recipe(), LABELS, 0).plan(0).shard(0, 3)
    with pytest.raises(UserError, match="a step of 15 images cannot be shared equally by 2 processes"):
        Epoch(recipe(batch=15, low="cross"), LABELS, 0).plan(0).shard(0, 2)


def test_a_crossed_step_shows_each_image_again_at_a_lower_resolution_only():
    plan = Epoch(
        recipe(low="cross", low_share=0.0, low_exponents="3+6", jitter=0.2, erasing=0.5), LABELS, 0
    ).plan(0)
    assert plan.crossed
    assert len(plan) == 32
    for name in ("chosen", "mirrored", "jitter", "erasing"):
        high, low = np.split(getattr(plan, name), 2)
        np.testing.assert_array_equal(high, low)
    high, low = np.split(plan.sides, 2)
    assert not high.any()
    assert (low >= 8).all()
    assert (low <= 64).all()


def many(**changes):
    return Epoch(recipe(batch=20_000, **changes), np.arange(20_000) % 2, 0).plan(0)


def test_random_sides_have_the_share_and_the_distribution_of_the_recipe():
    plan = many(low="random", low_share=0.3, low_exponents="3+6")
    low = plan.sides[plan.sides > 0]
    assert len(low) == pytest.approx(6000, abs=200)
    # A side s stands for u from log2(s − ½) to log2(s + ½), cut at the ends.
    sides = np.arange(8, 65)
    ends = np.log2(np.clip(np.append(sides - 0.5, 64.5), 8, 64))
    expected = np.diff(ends) / 3 * len(low)
    assert scipy.stats.chisquare(np.bincount(low, minlength=65)[8:], expected).pvalue > 1e-3


def test_at_or_above_the_inputs_size_nothing_is_shrunk():
    sides = many(low="random", low_share=1.0, low_exponents="3+8").sides
    assert sides.max() == 143
    # u is above log2(143.5) in this share of the draws.
    assert (sides == 0).mean() == pytest.approx((8 - np.log2(143.5)) / 5, abs=0.01)
    assert many(low="random", low_share=1.0, low_exponents="0+1").sides.min() == 2


def test_jitter_is_uniform_up_to_its_share():
    jitter = many(jitter=0.25).jitter
    for column in jitter.T:
        assert scipy.stats.kstest(column, scipy.stats.uniform(0.75, 0.5).cdf).pvalue > 1e-3


def test_rectangles_have_the_share_the_areas_and_the_shapes_asked_for():
    erasing = many(erasing=0.4).erasing
    drawn = erasing[erasing[:, 0] > 0]
    assert len(drawn) == pytest.approx(8000, abs=250)
    assert not erasing[erasing[:, 0] == 0].any()
    whole = drawn[(drawn[:, :2] < 1).all(axis=1)]
    area, ratio = whole[:, 0] * whole[:, 1], whole[:, 0] / whole[:, 1]
    assert area.min() >= 0.02 - 1e-9
    assert area.max() <= 0.33 + 1e-9
    assert ratio.min() >= 0.3 - 1e-9
    assert ratio.max() <= 3.3 + 1e-9
    assert scipy.stats.kstest(np.log(ratio), scipy.stats.uniform(np.log(0.3), np.log(11)).cdf).pvalue > 1e-3
    assert len(whole) > 0.98 * len(drawn)
    for column in drawn[:, 2:].T:
        assert scipy.stats.kstest(column, "uniform").pvalue > 1e-3


def test_a_step_shows_so_many_images_of_each_of_its_people():
    epoch = Epoch(recipe(per_identity=4), LABELS, 0)
    assert (epoch.batch, epoch.steps) == (16, 6)
    for step in range(epoch.steps):
        chosen = epoch.plan(step).chosen
        people = LABELS[chosen].reshape(4, 4)
        assert (people == people[:, :1]).all()
        assert len(set(people[:, 0])) == 4
        for images in chosen.reshape(4, 4):
            # Only who has fewer than four images is shown one of them twice.
            assert len(set(images)) == 4 or (LABELS[images[0]] == LABELS).sum() < 4


def test_people_take_turns():
    epoch = Epoch(recipe(per_identity=2, batch=4, epoch_images=60), LABELS, 0)
    shown = [person for step in range(15) for person in LABELS[epoch.plan(step).chosen[::2]]]
    # Ten people, two a step: five steps show each once.
    for start in (0, 10, 20):
        assert sorted(shown[start : start + 10]) == list(range(10))
    assert shown[:10] != shown[10:20]


def test_all_images_of_a_person_come_up():
    epoch = Epoch(recipe(per_identity=8), LABELS, 0)
    seen = Counter(image for step in range(500) for image in epoch.plan(step).chosen.tolist())
    assert set(seen) == set(range(100))


def test_fewer_people_than_a_step_could_show_are_all_shown():
    epoch = Epoch(recipe(per_identity=4), np.array([5, 5, 7, 7, 7] * 8), 0)
    assert epoch.batch == 8
    assert epoch.steps == 5
    assert len(epoch.plan(4)) == 8
