"""Clouds with a planted map between them, or with none."""

import dataclasses

import numpy as np
import pytest
from scipy import stats

from benchmarks.registration import EXPECTED, NULLS, as_set, claims, models, over_seeds, people, turned, world
from embedlab.analyses import registration
from embedlab.analyses.registration import (
    AFFINE,
    AFTER,
    BEFORE,
    FOUND,
    IMAGE,
    KEPT,
    MORE,
    MOVED,
    NONE,
    NOTHING,
    NULL,
    PARTLY,
    PROCRUSTES,
    SHIFT,
    UNSURE,
    WORSE,
    RegistrationParams,
    charts,
    compute,
    findings,
)
from embedlab.charts import Bars, Scatter, Table
from embedlab.errors import UserError
from embedlab.estimates import Estimate, Estimates
from embedlab.maths.people.evidence import of_share
from tests.planted import embedding_set

# Three axes only, and one deal: three fits.
QUICK = RegistrationParams(native=2, resamples=200, deals=1)
PEOPLE = 90


@pytest.fixture(scope="module")
def turned_pair():
    return world("turned and shifted", count=PEOPLE)


@pytest.fixture(scope="module")
def found(turned_pair):
    return compute(*turned_pair, QUICK)


@pytest.fixture(scope="module")
def both(turned_pair):
    """On three axes and on all sixteen."""
    return compute(*turned_pair, dataclasses.replace(QUICK, native=128))


def test_a_turned_and_shifted_copy_is_found(found):
    before, shift, after, known, null = (found.of(IMAGE, m) for m in (BEFORE, SHIFT, AFTER, PROCRUSTES, NULL))
    assert found.verdicts == (FOUND,)
    assert found.agreeing == (3,)
    assert max(before.value, shift.value) < 0.4
    assert abs(after.value - known.value) <= 0.05 < 0.5 < after.value
    assert null.value < after.value - 0.2
    assert after.null == pytest.approx(1 / 60)
    assert found.of("same person", AFTER).value >= after.value
    assert found.of("RMSE", AFTER).value == pytest.approx(found.of("RMSE", PROCRUSTES).value, rel=0.1)
    assert found.of("RMSE", AFTER).value < found.of("RMSE", BEFORE).value / 4
    assert found.converged == (1.0,)


def test_its_findings_say_so_with_their_numbers(both):
    few, whole, known = findings([both])
    assert few.tone == whole.tone == "good"
    for k, said in enumerate((few, whole)):
        assert both.spaces[k] in said.text
        for how in (BEFORE, both.most(registration.RIVALS, k), AFTER):
            assert f"{both.of(IMAGE, how, k).value:.1%}" in said.text
        gap = both.of(IMAGE, AFTER, k) - both.of(IMAGE, both.most(registration.RIVALS, k), k)
        assert gap.points() in said.text
        assert f"{both.of(IMAGE, PROCRUSTES, k).value:.1%} on {both.spaces[k]}" in known.text


def test_sentences_are_short(both):
    """Numbers of an interval in brackets are not counted."""
    results = [both, dataclasses.replace(both, verdicts=(UNSURE, UNSURE))]
    for said in findings(results):
        assert len(said.text.partition("[")[0].split()) <= 30, said.text


@pytest.mark.parametrize("name", EXPECTED)
def test_verdicts_hold_over_seeds(name):
    """`benchmarks/registration.py` has ten seeds and three deals."""
    seen = [r.verdicts[0] for r in over_seeds(world(name), 2, dataclasses.replace(QUICK, resamples=100))]
    assert all(verdict in EXPECTED[name] for verdict in seen)
    if name in NULLS:
        assert not set(seen) & {FOUND, MORE, PARTLY}


@pytest.mark.parametrize("name", NULLS)
def test_where_there_is_nothing_to_register_nothing_is_claimed(name):
    """In `benchmarks/registration.py` at most 5 % of worlds are falsely claimed."""
    found = [compute(*world(name, seed, 45), QUICK) for seed in (20, 21)]
    assert not any(map(claims, found))
    assert not any(said.tone == "good" for said in findings(found))


def test_differences_are_of_the_same_resamples_and_fits(found):
    gap = found.of(IMAGE, AFTER) - found.of(IMAGE, SHIFT)
    assert 0 < gap.low < gap.value < gap.high
    assert gap.value == pytest.approx(
        np.diff(found.fit_matches[:, [found.maps.index(SHIFT), found.maps.index(AFTER)]].mean(axis=0))[0]
    )
    after = found.of(IMAGE, AFTER)
    assert (after.low, after.high) == pytest.approx(of_share(after.value, after.draws, after.n))


def test_an_interval_holds_how_fits_differ():
    """Between models, with much noise, some fits end in a mirror image: another seed's mean is within."""
    rows, rng = people(3, 60), np.random.default_rng(0)
    rows[:, :3] = rng.normal(size=(60, 3)).repeat(2, axis=0) * (2.0, 1.6, 1.2)
    basis = np.linalg.qr(rng.normal(size=(32, 16)))[0].T
    pair = as_set(rows), as_set(turned(rows, 0, noise=0.9) @ basis, "n")
    one, other = (compute(*pair, dataclasses.replace(QUICK, seed=seed)) for seed in (0, 1))
    rmse, known = one.of("RMSE", AFTER), one.of("RMSE", PROCRUSTES)
    assert np.ptp(one.fit_matches[:, one.maps.index(AFTER)]) > 0.1
    assert rmse.low <= other.of("RMSE", AFTER).value <= rmse.high
    assert rmse.high - rmse.low > 3 * (known.high - known.low)
    assert one.verdicts[0] not in (FOUND, MORE)


@pytest.mark.slow
def test_between_models_what_is_said_does_not_hang_on_the_seed():
    """Where half of the fits find the turn each seed says that some do; where hardly any does, none does."""
    params = RegistrationParams(dimensions=0, resamples=200)
    found = list(over_seeds(models(0.5), 3, params))
    assert np.ptp(found[0].fit_matches[:, found[0].maps.index(AFTER)]) > 0.5
    for what in (IMAGE, "RMSE"):
        each = [r.of(what, AFTER) for r in found]
        assert max(one.low for one in each) < min(one.high for one in each)
    assert all(claims(r) for r in found)
    assert not any(said.tone == "good" for said in findings(found))
    assert not any(claims(r) for r in over_seeds(models(0.7), 2, params))


def test_a_turn_that_is_missed_is_identifiable_by_the_likelihood_of_known_pairs():
    """Much noise on each of 32 axes: hardly any fit finds the turn, though known pairs find two of three."""
    missed = compute(*models(0.8), dataclasses.replace(QUICK, dimensions=0, native=128))
    assert missed.verdicts == (NONE,)
    found, known, wrong = missed.fit_likelihood.T
    assert (known > found + 3).all()
    assert (found > wrong).all()
    told = next(one for one in findings([missed]) if "is identifiable, though not surely found" in one.text)
    assert f"{known.mean():.1f} from known pairs on, {found.mean():.1f} at best without" in told.text
    assert 2 * stats.ttest_rel(known, found, alternative="greater").pvalue == pytest.approx(told.p)
    assert 0.0001 < told.p < 0.01


def test_of_spaces_that_have_nothing_in_common_nothing_is_identifiable():
    """In 32 axes pairs of few images make a fit of anything, wrong ones as well as those of one name."""
    for seed in range(3):
        pair = models(0.5, seed)[0], models(0.5, seed + 50)[1]
        nothing = compute(*pair, dataclasses.replace(QUICK, dimensions=0, native=128, seed=seed))
        found, known, wrong = nothing.fit_likelihood.T
        assert (known < found).all()
        assert abs(known.mean() - wrong.mean()) < 3
        assert not any("identifiable" in one.text for one in findings([nothing]))


def test_what_wrong_pairs_fit_as_well_is_not_called_identifiable(found):
    rows = np.array([[1.0, 9.0, 9.0], [1.2, 9.3, 9.1], [1.1, 8.8, 9.2]])
    worse = {(IMAGE, how, "3 axes"): found.of(IMAGE, how) for how in found.maps}
    worse[IMAGE, AFTER, "3 axes"] = found.of(IMAGE, BEFORE)
    missed = dataclasses.replace(found, verdicts=(NONE,), estimates=Estimates(worse), fit_likelihood=rows)
    told = next(one for one in findings([missed]) if "identifiable" in one.text)
    assert (
        "is identifiable is open (log-likelihood an image 9.0 from known pairs on, 9.1 at best" in told.text
    )
    right = dataclasses.replace(missed, fit_likelihood=rows[:, [0, 1, 0]])
    assert any("is identifiable, though not surely found" in one.text for one in findings([right]))


def test_people_who_judge_have_no_part_in_the_fit(turned_pair, found):
    a, b = turned_pair
    judged = np.isin(b.items, found.items)
    assert judged.sum() == found.judged_images == 60
    rows = b.vectors.copy()
    rows[judged] = people(7)[: len(rows)][judged]
    other = compute(a, as_set(rows, probe="p@32"), QUICK)
    after = found.maps.index(AFTER)
    assert other.fit_matches[0, after] < 0.1 < 0.5 < found.fit_matches[0, after]
    np.testing.assert_array_equal(other.items, found.items)


def test_a_pure_shift_is_called_one():
    result = compute(*world("shifted"), QUICK)
    assert result.verdicts == (MOVED,)
    assert result.of(IMAGE, SHIFT).value > result.of(IMAGE, BEFORE).value + 0.2
    first = findings([result])[0]
    assert first.tone == "plain"
    assert ", shifted " in first.text
    assert "may be chance" in first.text


def test_what_lies_together_already_has_nothing_left():
    rows = people(0, 45)
    result = compute(as_set(rows), as_set(turned(rows, 0, noise=0.02), probe="p@32"), QUICK)
    assert result.verdicts == (KEPT,)
    assert (
        "100.0% of images find themselves without registration: nothing is left to find"
        in findings([result])[0].text
    )
    same = compute(as_set(rows), as_set(rows, probe="p@32"), QUICK)
    assert same.verdicts == (KEPT,)


def test_clouds_of_one_shape_with_the_wrong_people_overlap_and_nothing_more():
    """The very same points, dealt out to other people: a perfect overlap and no correspondence."""
    rows = turned(people(0, PEOPLE), 20, (9.0, 0.0, 0.0)).reshape(PEOPLE, 2, -1)
    rows = rows[np.random.default_rng(0).permutation(PEOPLE)].reshape(2 * PEOPLE, -1)
    result = compute(as_set(people(0, PEOPLE)), as_set(rows, probe="p@32"), QUICK)
    assert result.verdicts == (NOTHING,)


@pytest.mark.parametrize("dimensions", [3, 0])
def test_two_models_of_unequal_dimension_are_brought_together(dimensions):
    """The axes of the second are turned all over, so that only their order of variance is left."""
    native = 128 if dimensions == 0 else 2
    result = compute(
        *world("another model"), dataclasses.replace(QUICK, dimensions=dimensions, native=native)
    )
    assert result.spaces == (f"{dimensions} axes" if dimensions else "all 16 axes",)
    assert result.names == ("m", "n")
    assert result.title == "n onto m on p"
    assert result.verdicts == (FOUND,)
    if dimensions == 3:
        assert result.of(IMAGE, NULL).value < result.of(IMAGE, AFTER).value - 0.1


def test_all_axes_stand_beside_the_few(both, found):
    assert both.spaces == ("3 axes", "all 16 axes")
    assert both.verdicts == (FOUND, FOUND)
    assert both.fixed.shape[1] == 3
    assert both.explained[1] == pytest.approx(1)
    np.testing.assert_array_equal(both.fit_matches[:3], found.fit_matches)
    assert (both.fit_space == [0, 0, 0, 1, 1, 1]).all()


def test_of_many_axes_those_of_most_variance_are_taken(turned_pair):
    result = compute(*turned_pair, dataclasses.replace(QUICK, dimensions=2, native=4))
    assert result.spaces == ("2 axes", "4 axes")
    assert [c.projection for c in charts([result]) if isinstance(c, Scatter)] == [None]


@pytest.mark.parametrize("kind", ["rigid", "affine", "deformable"])
def test_every_kind_of_map_finds_it(turned_pair, kind):
    result = compute(*turned_pair, dataclasses.replace(QUICK, kind=kind))
    assert np.isfinite(result.fit_likelihood).all() == (kind == "rigid")
    assert result.verdicts[0] in (FOUND, PARTLY)
    assert result.of(IMAGE, AFTER).value > 0.4
    assert (AFFINE in result.maps) == (kind in ("affine", "deformable"))


def test_a_size_is_found_where_the_map_may_change_it():
    rows = people(0)
    b = turned(rows, 0, noise=0.05)
    b[:, :3] = (b[:, :3] - b[:, :3].mean(axis=0)) * 0.7 + b[:, :3].mean(axis=0)
    pair = as_set(rows), as_set(b, probe="p@32")
    rigid, similar = (
        compute(*pair, dataclasses.replace(QUICK, kind=kind)) for kind in ("rigid", "similarity")
    )
    assert similar.of(IMAGE, AFTER).value > rigid.of(IMAGE, AFTER).value
    assert similar.of("RMSE", AFTER).value < rigid.of("RMSE", AFTER).value / 2


def test_pycpd_comes_to_the_same_verdict():
    pytest.importorskip("pycpd")
    pair = as_set(people(0, 60)), as_set(turned(people(0, 60), 8, (3.0, 1.0, 0.0)), probe="p@32")
    own, other = (compute(*pair, dataclasses.replace(QUICK, engine=e)) for e in ("embedlab", "pycpd"))
    assert other.verdicts == own.verdicts
    assert other.of(IMAGE, AFTER).value == pytest.approx(own.of(IMAGE, AFTER).value, abs=0.05)
    with pytest.raises(UserError, match="pycpd"):
        compute(*pair, dataclasses.replace(QUICK, engine="pycpd", kind="rigid"))


def test_a_turn_of_any_size_is_found_where_turns_are_searched():
    pair = as_set(people(0)), as_set(turned(people(0), 170), probe="p@32")
    never, always = (compute(*pair, dataclasses.replace(QUICK, search=how)) for how in ("never", "always"))
    assert never.verdicts != (FOUND,)
    assert always.verdicts == (FOUND,)


@pytest.mark.parametrize(
    ("before", "shift", "after", "known", "null", "mostly", "said"),
    [
        (0.1, 0.1, 0.9, 0.9, 0.2, True, FOUND),
        (0.1, 0.1, 0.9, 0.9, 0.2, False, UNSURE),
        (0.1, 0.1, 0.5, 0.9, 0.2, True, PARTLY),
        (0.1, 0.1, 0.3, 0.3, 0.1, True, PARTLY),
        (0.6, 0.7, 0.9, 0.9, 0.2, True, MORE),
        (0.1, 0.1, 0.8, 0.9, 0.8, True, KEPT),
        (0.1, 0.6, 0.6, 0.9, 0.2, True, MOVED),
        (0.9, 0.9, 0.9, 0.9, 0.2, True, KEPT),
        (0.0, 0.0, 0.0, 0.9, 0.0, True, NONE),
        (0.9, 0.9, 0.5, 0.9, 0.2, True, WORSE),
        (0.0, 0.0, 0.0, 0.0, 0.0, True, NOTHING),
    ],
)
def test_the_verdict_counts_what_is_sure(before, shift, after, known, null, mostly, said):
    spread = np.linspace(-0.05, 0.05, 40, dtype=np.float32)

    def sure(value, turn):
        draws = value + np.roll(spread, turn)
        return Estimate(value, value - 0.05, value + 0.05, 90, 0.01, draws, "these")

    values = {BEFORE: before, SHIFT: shift, AFTER: after, PROCRUSTES: known, NULL: null}
    estimates = Estimates(
        {(IMAGE, how, "3 axes"): sure(v, 7 * k) for k, (how, v) in enumerate(values.items())}
    )
    rival = max((BEFORE, SHIFT, NULL), key=lambda how: values[how])
    assert registration._verdict(estimates, "3 axes", rival, 0, mostly=mostly) == said
    if said == NONE:
        assert registration._verdict(estimates, "3 axes", rival, 2, mostly=mostly) == UNSURE


def test_fits_that_disagree_are_told(found):
    *_, said, known = findings([dataclasses.replace(found, verdicts=(UNSURE,), agreeing=(1,))])
    assert said.text.startswith("Fits disagree on 3 axes of p@32 onto p in m: 1 of 3 surely find more")
    assert known.text.startswith("Of images of p@32 onto p in m, known pairs let ")


def test_one_picture_knows_the_clouds_before_and_after(found):
    (picture,) = (c for c in charts([found]) if isinstance(c, Scatter))
    before, stages = picture.rolled()
    assert stages == ("before registration", "after registration")
    assert picture.projection == "3d"
    assert len(picture.points) == 120
    low, high = np.array(picture.ranges).T
    assert ((before >= low) & (before <= high)).all(), "the axes hold both"
    after, was = (np.diff(places[picture.links], axis=1) for places in (picture.points, before))
    assert np.linalg.norm(after, axis=2).mean() < 0.3 * np.linalg.norm(was, axis=2).mean()


def test_a_shift_stands_beside_registration_in_bars_and_table(both):
    bars, *_, table = charts([both])
    assert isinstance(bars, Bars)
    assert [s.name for s in bars.series][:3] == [BEFORE, SHIFT, AFTER]
    assert bars.categories == ("@32 in m, 3 axes", "@32 in m, all 16 axes")
    assert isinstance(table, Table)
    assert [row[2] for row in table.rows] == 2 * [BEFORE, SHIFT, AFTER, PROCRUSTES, NULL]
    assert {row[-1] for row in table.rows} == {"–", FOUND}


def test_many_results_stay_few_pictures_and_sentences(found):
    many = [dataclasses.replace(found, title=f"pair {k}") for k in range(20)]
    many[3] = dataclasses.replace(many[3], models=("m", "n"), verdicts=(NOTHING,))
    drawn = charts(many)
    assert len(drawn) == 4
    assert any("pair 3:" in c.title for c in drawn)
    assert "The first 6 of 20" in drawn[0].note
    assert drawn[-1].folded
    (said,) = findings(many)
    assert (
        said.text
        == "Of 20 blind registrations on 3 axes: the correspondence in 19, nothing that can be shown in 1."
    )


def test_a_handful_of_people_is_a_sentence_or_a_result():
    pairs = {n: tuple(embedding_set(n, probe=p, seed=k) for k, p in enumerate(("p", "p@32"))) for n in (8, 9)}
    with pytest.raises(UserError, match="share 8 people"):
        compute(*pairs[8], QUICK)
    assert "nan" not in findings([compute(*pairs[9], QUICK)])[0].text
    with pytest.raises(UserError, match="9 images are too few for an affine map of 16 axes"):
        compute(*pairs[9], dataclasses.replace(QUICK, kind="affine", dimensions=0, native=128))


def test_a_sample_says_that_it_is_one(turned_pair):
    result = compute(*turned_pair, dataclasses.replace(QUICK, people=10, images=1))
    assert (result.fitted_images, result.judged_images, result.judged_people) == (10, 10, 30)
    assert result.all_people == 90
    drawn = [c for c in charts([result]) if isinstance(c, Scatter)]
    assert "10 of 10 held-out images of the first fit on 3 axes" in drawn[0].note
