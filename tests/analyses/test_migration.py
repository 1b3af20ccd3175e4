"""Migration: galleries moved between turned, noisy and unrelated spaces."""

import dataclasses
import re

import numpy as np
import pytest

from embedlab.analyses.migration import COST, NEEDED, MigrationParams, charts, compute, findings
from embedlab.errors import UserError
from embedlab.maths.clouds.migration import ADAPTERS, HALF, MLP, MOVED, NEW, RIDGE, ROTATION, SELF, WRONG
from embedlab.maths.linear.crossmodel import RANK_1, TAR
from tests.maps import faces, turn, vectors

QUICK = MigrationParams(resamples=100)
WAYS = (("a", "b"), ("b", "a"))
MANY, WIDE = 200, 48


def spaces(seed=5, noise=0.05, people=MANY):
    x = vectors(people, d=WIDE, noise=0.4)
    return faces(x), faces(x @ turn(WIDE) + noise * np.random.default_rng(seed).normal(size=x.shape), "b")


@pytest.fixture(scope="module")
def turned():
    return compute(*spaces(), QUICK)


@pytest.fixture(scope="module")
def unrelated():
    return compute(faces(vectors(MANY, d=WIDE)), faces(vectors(MANY, d=WIDE, seed=1), "b"), QUICK)


def rank_1(r, adapter, size, ends=("a", "b")):
    return r.fewer[RANK_1, adapter, str(size), *ends]


def test_self_training_needs_fewer_known_people_than_ridge_and_reaches_the_new_model_itself(turned):
    assert turned.sizes.tolist() == [5, 10, 20, 40, 80, 100]
    for ends in WAYS:
        own = turned.estimates[RANK_1, NEW, *ends].value
        assert rank_1(turned, SELF, 5, ends).value > own - 0.02
        assert rank_1(turned, RIDGE, 5, ends).value < rank_1(turned, SELF, 5, ends).value - 0.1
        assert rank_1(turned, ROTATION, 100, ends).value > own - 0.01
        needed = [turned.estimates[NEEDED, name, *ends] for name in (SELF, RIDGE)]
        assert needed[0].value < needed[1].value
        assert needed[1].low <= needed[1].value <= needed[1].high
        assert (needed[0] - needed[1]).sign == -1


def test_the_certificate_holds_where_the_map_is_right_and_not_between_unrelated_spaces(turned, unrelated):
    assert turned.certified.tolist() == [5, 5]
    assert np.nanmin(turned.agreement) > np.nanmax(turned.wrong) + 0.2
    assert unrelated.certified.tolist() == [0, 0]
    assert rank_1(unrelated, SELF, 100).value < 0.1


def test_unrelated_spaces_are_not_moved_and_nothing_more_is_said_of_them(unrelated):
    said = findings([unrelated])
    assert len(said) == 2
    for finding in said:
        assert "rank-1, by wrong pairs" in finding.text
        assert re.search("may be chance|there is no difference", finding.text)


def test_the_certificate_is_rarely_given_to_what_is_wrong():
    given = 0
    for seed in range(6):
        one = faces(vectors(60, d=16, seed=seed)), faces(vectors(60, d=16, seed=100 + seed), "b")
        given += int((compute(*one, dataclasses.replace(QUICK, seed=seed)).certified > 0).sum())
    assert given <= 2


def test_a_half_moved_gallery_is_held_against_the_mean_of_a_moved_and_a_new_one():
    x = vectors(MANY, d=WIDE, noise=0.6)
    same = compute(faces(x), faces(x @ turn(WIDE), "b"), QUICK).estimates[COST, TAR, "a", "b"]
    assert abs(same.value) < 0.02
    assert same.low <= 0 <= same.high
    found = compute(faces(x[:, : WIDE // 2]), faces(x, "b"), QUICK).estimates
    moved, half, new = (found[TAR, name, "a", "b"].value for name in (MOVED, HALF, NEW))
    assert moved < half < new
    assert found[COST, TAR, "a", "b"].value == pytest.approx((moved + new) / 2 - half)


def test_between_bent_spaces_a_small_network_moves_more_and_between_turned_ones_it_is_ridge(turned):
    x = vectors(300, d=16, noise=0.35)
    away = np.random.default_rng(3).normal(size=(16, 16))
    bent = x @ turn(16) + 0.8 * np.abs(x @ away)
    found = compute(faces(x), faces(bent, "b"), QUICK).estimates
    gap = found[RANK_1, MLP, "a", "b"] - found[RANK_1, MOVED, "a", "b"]
    assert gap.sign == 1
    for ends in WAYS:
        assert turned.estimates[RANK_1, MLP, *ends] == turned.estimates[RANK_1, MOVED, *ends]
    text = next(f.text for f in findings([turned]) if "residual MLP" in f.text)
    assert text == "A residual MLP from a to b on p adds nothing to ridge, and is left out."


def test_what_is_said_stands_with_its_numbers(turned):
    said = [f.text for f in findings([turned])]
    assert len(said) == 10
    assert any(re.match(r"Moved from a to b on p by 100 known people, a gallery gives \d", t) for t in said)
    assert any(
        re.match(
            r"From a to b on p, to come within 2 points of ridge on 100 people self-training needs 5, ridge",
            t,
        )
        for t in said
    )
    assert any(
        re.match(r"From 5 known people on, halves of what self-training matches from b to a", t) for t in said
    )
    assert any(
        re.match(r"At FAR 0.001 on p, a gallery half moved from b to a has TAR .*, moved and new ones", t)
        for t in said
    )


def test_nothing_of_those_nobody_knows_enters_ridge(turned):
    a, b = spaces()
    held = np.random.default_rng(3).normal(size=b.vectors.shape).astype(np.float32)
    from embedlab.maths.linear.map_inputs import MapInputs

    there = MapInputs.of(a, b, QUICK)
    rows = np.flatnonzero(there.held[b.labels])
    spoilt = b.vectors.copy()
    spoilt[rows] = held[rows]
    again = MapInputs.of(a, dataclasses.replace(b, vectors=spoilt), QUICK)
    np.testing.assert_array_equal(again.rows, there.rows)
    np.testing.assert_array_equal(again.b[again.rows], there.b[there.rows])


def test_the_order_of_rows_changes_nothing(turned):
    a, b = spaces()
    order = np.random.default_rng(0).permutation(len(a.items))
    found = compute(a.take(order), b, QUICK)
    assert (found.estimates, found.fewer) == (turned.estimates, turned.fewer)


def test_dimensions_may_differ():
    x = vectors(MANY, d=WIDE, noise=0.4)
    found = compute(faces(x), faces(x @ turn(WIDE)[:, :24], "b"), QUICK)
    for ends in WAYS:
        assert rank_1(found, SELF, 100, ends).value > 0.8
    assert charts([found])


def test_a_rate_that_impostors_cannot_resolve_is_left_out():
    found = compute(*spaces(people=20), dataclasses.replace(QUICK, probes=1))
    assert not found.estimates.places(TAR)
    assert not any("TAR" in f.text for f in findings([found]))
    assert all(row[-1].text == "–" for row in charts([found])[-1].rows)


def test_who_has_one_image_is_left_out_and_too_few_others_are_refused():
    a, b = (
        one.take(np.flatnonzero((one.labels > 6) | (np.arange(len(one.labels)) % 4 == 0))) for one in spaces()
    )
    assert compute(a, b, QUICK).gallery == (MANY - 7) // 2
    few = [one.take(np.flatnonzero(one.labels < 7)) for one in spaces()]
    with pytest.raises(UserError, match="share 7 people with two images: 8 are needed"):
        compute(*few, QUICK)


def test_many_results_stay_readable(turned):
    results = [dataclasses.replace(turned, probe=f"p{k}") for k in range(4)]
    drawn = charts(results)
    assert len(drawn) == 6
    assert "These are 4 of 8 ways." in drawn[4].note
    assert len(drawn[5].rows) == 8
    assert len(findings(results)) == 10
    assert set(ADAPTERS) == {c.name for c in drawn[0].curves[:3]}
    assert turned.estimates[RANK_1, WRONG, "a", "b"].value < 0.1
