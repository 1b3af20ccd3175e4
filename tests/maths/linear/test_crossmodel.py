"""Searches against a plain count of all pairs."""

from dataclasses import replace

import numpy as np
import pytest

from embedlab.maths.linear import crossmodel
from embedlab.maths.linear.crossmodel import R2, RANK_1, TAR, Judge, Mapped, search, sides, trial
from embedlab.maths.linear.linear_maps import LinearMap
from embedlab.maths.people.bootstrap import interval, resamples

IMAGES = np.array([1, 4, 2, 7, 1, 3, 5, 2, 2, 6])
LABELS = np.repeat(np.arange(10), IMAGES)


def spaces(noise=1.2, d=6):
    rng = np.random.default_rng(5)
    centres = rng.normal(size=(10, d))[LABELS]
    return tuple((centres + noise * rng.normal(size=centres.shape)).astype(np.float32) for _ in range(2))


def scores(a, b, who):
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a[who.probes], b[who.gallery]))
    return a @ b.T


def test_everybody_has_an_entry_and_probes_are_other_images():
    who = trial(LABELS, 3, 0)
    np.testing.assert_array_equal(LABELS[who.gallery], np.arange(10))
    np.testing.assert_array_equal(LABELS[who.probes], who.owners)
    assert not set(who.gallery) & set(who.probes)
    np.testing.assert_array_equal(np.bincount(who.owners, minlength=10), np.minimum(IMAGES - 1, 3))
    assert not who.same_image


def test_where_nobody_has_two_images_they_are_searched_themselves():
    who = trial(np.arange(4), 3, 0)
    assert who.same_image
    np.testing.assert_array_equal(who.probes, who.gallery)


def test_rank_1_and_tar_are_those_of_all_pairs():
    a, b = spaces()
    who = trial(LABELS, 10, 0)
    found = search(a, b, who, 0.05)
    plain = scores(a, b, who)
    own = np.arange(10) == who.owners[:, None]
    counts = resamples(10, 20, 0)
    assert found.impostors == (~own).sum()
    np.testing.assert_allclose(found.genuine, plain[own], atol=1e-6)
    assert found.rank_1(counts).value == (plain.argmax(axis=1) == who.owners).mean()
    tar, _, accepted = found.tar(0.05, counts)
    limit = np.sort(plain[~own])[::-1][int(0.05 * (~own).sum())]
    assert accepted == int(0.05 * (~own).sum())
    assert tar == pytest.approx((plain[own] > limit).mean())


@pytest.mark.parametrize("d", [3, 90])
def test_a_search_by_few_numbers_is_that_of_the_rows_they_are_mapped_to(d):
    """Into many dimensions the product is that of the few."""
    rows, rng = spaces()[0], np.random.default_rng(3)
    way = LinearMap("any", rng.normal(size=(6, d)), rng.normal(size=d))
    gallery = (way.apply(rows) + 2 * rng.normal(size=(len(rows), d))).astype(np.float32)
    who, by = trial(LABELS, 10, 0), Mapped.by(way, rows)
    few, whole = (search(probes, gallery, who, 0.05) for probes in (by, by.vectors))
    narrow = sides(rows, by.vectors, by.matrix, by.shift, gallery)[1].shape[1]
    assert narrow == (7 if d == 90 else 3)
    assert 0 < whole.hits.mean() < 1
    np.testing.assert_array_equal(few.hits, whole.hits)
    np.testing.assert_allclose(few.genuine, whole.genuine, atol=1e-6)
    np.testing.assert_allclose(few.tail_scores, whole.tail_scores, atol=1e-6)


def test_replicates_are_those_of_a_set_in_which_people_stand_so_often():
    a, b = spaces()
    who = trial(LABELS, 10, 0)
    counts = resamples(10, 5, 1)
    found = search(a, b, who, 0.05)
    # As if nobody stood alone before anybody.
    ranks = replace(found, blocked=np.empty((0, 2), int)).rank_1(counts).replicates
    tars = found.tar(0.05, counts)[1]
    plain = scores(a, b, who)
    own = np.arange(10) == who.owners[:, None]
    hits = plain.argmax(axis=1) == who.owners
    for k, weights in enumerate(counts):
        assert ranks[k] == pytest.approx(np.average(hits, weights=weights[who.owners]))
        times = (weights[who.owners][:, None] * weights[None]).astype(int)
        impostors = np.sort(np.repeat(plain[~own], times[~own]))[::-1]
        limit = impostors[int(0.05 * len(impostors))]
        assert tars[k] == pytest.approx(np.average(plain[own] > limit, weights=weights[who.owners]))


def test_blocks_and_a_short_tail_change_nothing(monkeypatch):
    a, b = spaces()
    who = trial(LABELS, 10, 0)
    counts = resamples(10, 20, 0)
    whole = search(a, b, who, 0.03)
    monkeypatch.setattr(crossmodel, "BLOCK", 50)
    monkeypatch.setattr(crossmodel, "FEWEST_KEPT", 0)
    short = search(a, b, who, 0.03)
    assert len(short.tail_scores) < len(whole.tail_scores) / 2
    np.testing.assert_array_equal(short.hits, whole.hits)
    one, other = whole.tar(0.03, counts), short.tar(0.03, counts)
    assert one[0] == other[0]
    assert one[2] == other[2]
    there = np.isfinite(other[1])
    assert there.mean() > 0.7
    np.testing.assert_array_equal(one[1][there], other[1][there])


def test_equal_vectors_find_nobody():
    a, b = spaces()
    who = trial(LABELS, 10, 0)
    assert not search(a, np.ones_like(b), who, 0.0).hits.any()
    assert not search(np.zeros_like(a), b, who, 0.0).hits.any()


def judge(b, far=0.05):
    who = trial(LABELS, 10, 0)
    return Judge(b, LABELS, np.zeros(b.shape[1]), who, resamples(10, 50, 0), far)


def test_a_perfect_map_explains_all_and_is_as_good_as_the_space_itself():
    _, b = spaces()
    mapped, native = judge(b).mapped(b), judge(b).native(b)
    assert mapped[R2].value == pytest.approx(1, abs=1e-6)
    assert set(native) == {RANK_1, TAR}
    for figure in (RANK_1, TAR):
        assert mapped[figure].value == native[figure].value
        np.testing.assert_array_equal(mapped[figure].replicates, native[figure].replicates)
    assert not (mapped[RANK_1] - native[RANK_1]).replicates.any()


def test_r2_is_that_of_scikit_learn_and_the_cosine_too():
    from sklearn.metrics import r2_score
    from sklearn.metrics.pairwise import paired_cosine_distances

    a, b = spaces()
    own = Judge(b, LABELS, b.mean(axis=0), trial(LABELS, 10, 0), resamples(10, 50, 0), 0.0)
    found = own.mapped(a)
    assert found[R2].value == pytest.approx(r2_score(b, a, multioutput="variance_weighted"), abs=1e-6)
    assert crossmodel.cosines(a, b).mean() == pytest.approx(
        1 - paired_cosine_distances(a, b).mean(), abs=1e-6
    )
    assert TAR not in found
    low, high = interval(found[R2].replicates)
    assert low < found[R2].value < high


def test_who_alone_stands_before_others_is_found():
    a, b = spaces()
    who = trial(LABELS, 10, 0)
    found = search(a, b, who, 0.0)
    plain = scores(a, b, who)
    own = plain[np.arange(len(plain)), who.owners]
    before = plain > own[:, None]
    alone = before.sum(axis=1) == 1
    expected = np.stack([who.owners[alone], before[alone].argmax(axis=1)], axis=1)
    np.testing.assert_array_equal(found.blocked, expected)


def test_maps_that_differ_by_whom_they_were_fitted_on_widen_the_interval_and_equal_ones_do_not():
    a, b = spaces()
    own = judge(b)
    alone, equal = own.mapped(a), own.mapped(a, [a] * 5)
    apart = own.mapped(a, [a + shift * b for shift in (-0.4, -0.2, 0.0, 0.2, 0.4)])
    for figure in (R2, RANK_1, TAR):
        assert alone[figure].value == equal[figure].value == apart[figure].value
        np.testing.assert_array_equal(alone[figure].replicates, equal[figure].replicates)
    assert np.nanstd(apart[R2].replicates) > 1.2 * np.nanstd(alone[R2].replicates)
    assert (np.nan_to_num(apart[RANK_1].replicates) >= 0).all()
