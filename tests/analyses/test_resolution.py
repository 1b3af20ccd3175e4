import dataclasses

import numpy as np
import pytest
from sklearn.metrics import roc_curve

from embedlab.analyses import resolution
from embedlab.analyses.resolution import MEAN, TAR, ResolutionParams
from embedlab.estimates import Estimates
from embedlab.maths.people.bootstrap import resamples
from tests.planted import ladder

PEOPLE = 50
FEW = ResolutionParams(pixels="8 16", far=0.01, resamples=80)
NOISES = {0: 0.0, 8: 2.5, 16: 0.8, 32: 0.5}


@pytest.fixture(scope="module")
def sets():
    return ladder(NOISES, collapse={8: 1.0, 16: 0.4})


@pytest.fixture(scope="module")
def found(sets):
    return resolution.compute(sets, FEW)


def texts(*results):
    return [f.text for f in resolution.findings(results)]


def row(found):
    return [found.at(TAR, (found.last, p)).value for p in range(len(found.pixels))]


def changed(found, change, **fields):
    """The result with other estimates: ``change`` takes a key and an estimate."""
    estimates = Estimates({key: change(key, e) for key, e in found.estimates.items()})
    return dataclasses.replace(found, estimates=estimates, **fields)


def test_noise_that_grows_as_pixels_fall_gives_a_curve_that_falls():
    found = resolution.compute(ladder(NOISES), FEW)
    own = [found.at(TAR, (p, p)).value for p in range(4)]
    assert (np.diff(row(found)) > 0).all()
    assert (np.diff(own) > 0).all()
    assert own[0] < 0.2
    assert row(found)[-1] > 0.9


def test_the_ceiling_of_people_who_look_alike_is_the_far_over_the_share_of_doubles(sets):
    """Five groups of ten look alike at 8 px, pairs at 16; natively nobody has a double."""
    told = np.array([f"8:{k % 5} 16:{k // 2} 144:{k}" for k in range(PEOPLE)])
    known = [dataclasses.replace(s, attributes={"doubles": told[s.labels]}) for s in sets]
    found = resolution.compute(known, dataclasses.replace(FEW, pixels="8 16 32"))
    assert found.pixels.tolist() == [8, 16, 32, 0]
    alike = 9 / 49
    np.testing.assert_allclose(found.ceilings, [0.01 / alike, 0.01 / (1 / 49), np.nan, 1.0])
    (top,) = [c for c in resolution.charts([found])[0].curves if c.role == "ceiling"]
    assert (top.dash, top.model) == ("dash", "")
    np.testing.assert_array_equal(top.y, found.ceilings)


def test_without_word_of_doubles_there_is_no_ceiling(sets, found):
    assert np.isnan(found.ceilings).all()
    assert not [c for c in resolution.charts([found])[0].curves if c.role == "ceiling"]
    one = sets[0]
    some = np.where(one.labels == 3, "", "8:1 144:1")
    lacking = dataclasses.replace(one, attributes={"doubles": some})
    assert np.isnan(resolution.ceiling(lacking, 8, 0.01))


def test_every_figure_is_that_of_scikit_learn_on_the_pairs_written_out(sets, found):
    rising = sorted(sets, key=lambda s: int((s.probe + "@999").split("@")[1]))
    apart = ~np.eye(len(sets[0].items), dtype=bool)
    for k, (g, p) in enumerate(found.cells):
        scores = (rising[g].unit @ rising[p].unit.T)[apart].astype(np.float64)
        same = (rising[g].labels[:, None] == rising[p].labels)[apart]
        fpr, tpr, _ = roc_curve(same, scores.round(6), drop_intermediate=False)
        assert found.at(TAR, (g, p)).value == pytest.approx(tpr[fpr <= 0.01].max(), abs=2e-3)
        accepted = (scores >= found.thresholds[k] - 1e-7)[~same].sum()
        assert (2 if g == p else 1) * found.false_accepts[k] == pytest.approx(accepted, abs=2)


def test_the_mean_over_resolutions_is_that_of_the_native_row_without_native(found):
    mean = found.estimates[MEAN,]
    assert mean.value == pytest.approx(np.mean(row(found)[:-1]))
    draws = [found.at(TAR, (3, p)).draws for p in range(3)]
    np.testing.assert_allclose(mean.draws, np.mean(draws, axis=0), atol=1e-6)
    assert mean.low < mean.value < mean.high
    assert mean.null == 0.01


def test_the_order_of_the_sets_does_not_matter(sets, found):
    shuffled = resolution.compute([sets[k] for k in (2, 0, 3, 1)], FEW)
    for field in dataclasses.fields(found):
        np.testing.assert_equal(getattr(shuffled, field.name), getattr(found, field.name), field.name)


def test_the_sentence_names_where_accuracy_breaks(found):
    tar = row(found)
    assert 100 * (tar[1] - tar[-1]) < -10 < 100 * (tar[2] - tar[-1])
    (said,) = (f for f in resolution.findings([found]) if "the largest size to lose over 10 points" in f.text)
    assert said.text.startswith(
        f"In m, TAR against native images goes from {tar[-1]:.1%} to {tar[1]:.1%} at 16 px, the "
        "largest size to lose over 10 points: a change of "
        f"{100 * (tar[1] - tar[-1]):+.1f} points ["
    )
    assert said.tone == "bad"


def test_equal_noise_drawn_twice_gives_losses_that_may_be_chance():
    found = resolution.compute([*ladder({0: 0.7}, seed=1), *ladder({8: 0.7}, seed=2)], FEW)
    (said,) = (t for t in texts(found) if "the lowest of all sizes" in t)
    assert said.endswith("may be chance.")
    assert not any("among themselves" in t for t in texts(found))


def test_images_that_look_alike_among_themselves_are_told():
    """One image of each person falls to one point at 16 px and not at 8: the curve falls and rises again."""
    whole = ladder({0: 0.0, 8: 0.8, 16: 0.3}, people=60)
    vectors = whole[2].vectors.copy()
    vectors[::4] = 8 * np.eye(16, dtype=np.float32)[0] + 0.05 * vectors[::4]
    found = resolution.compute([*whole[:2], dataclasses.replace(whole[2], vectors=vectors)], FEW)
    sound = resolution.compute(whole, FEW)
    small, middle = (found.at(TAR, (p, p)).value for p in range(2))
    assert middle < 0.1 < 0.3 < small
    (said,) = (f for f in resolution.findings([found]) if "among themselves" in f.text)
    limit = found.thresholds[found.cells.index((1, 1))]
    assert limit > 0.9
    assert said.text.startswith(
        f"In m, TAR of 16 px images is {middle:.1%} among themselves (threshold {limit:.2f}) "
        f"and {found.at(TAR, (2, 1)).value:.1%} against native ones: a difference of -"
    )
    assert said.tone == "bad"
    assert not any("TAR of 16 px images" in t for t in texts(sound))


def test_a_model_that_keeps_more_is_said_to_with_a_paired_interval():
    params = ResolutionParams(far=0.01, resamples=100)
    results = [
        resolution.compute(ladder({0: 0.0, 8: noise, 32: 0.0}, model=name), params)
        for name, noise in (("base", 1.5), ("better", 0.8), ("worst", 2.5))
    ]
    base, better, _ = results
    more = better.mean - base.mean
    text = texts(*results[:2])[0]
    assert text == (
        f"Between native and 8–32 px images of d, better accepts {better.mean.value:.1%} of genuine pairs "
        f"at FAR 0.01, base {base.mean.value:.1%}: a difference of {more.points()}."
    )
    told = [t for t in texts(*results) if "8–32 px images of d" in t]
    assert (told[0], len(told)) == (text, 2)


def test_equal_models_on_the_same_vectors_do_not_differ(found):
    twin = dataclasses.replace(found, model="twin", title="d in twin")
    assert texts(found, twin)[0].endswith(": there is no difference.")


def test_models_on_other_people_get_no_interval_and_those_at_another_far_no_comparison(found):
    stranger = changed(found, lambda _, e: dataclasses.replace(e, drawn_from="others"), model="stranger")
    assert (
        "measured on different people or images, so the difference has no interval"
        in texts(found, stranger)[0]
    )
    other = dataclasses.replace(found, model="other", title="d in other", far=0.1)
    assert len([t for t in texts(found, other) if "8–32 px images of d" in t]) == 2


def test_few_false_accepts_are_cautioned(sets):
    found = resolution.compute(sets[:2], dataclasses.replace(FEW, far=1e-6))
    assert any("(unstable)" in t for t in texts(found))
    assert "TAR, native × native, unstable" in found.numbers()
    assert "TAR, native × native" not in found.numbers()


def test_a_resample_of_one_person_alone_has_no_threshold():
    found = resolution.compute(ladder({0: 0.0, 8: 0.3}, people=3), dataclasses.replace(FEW, far=0.1))
    alone = resamples(3, FEW.resamples, FEW.seed).max(axis=1) == 3
    assert alone.any()
    for one in found.estimates.values():
        np.testing.assert_array_equal(np.isnan(one.draws), alone)


def test_the_probes_wanted_are_declared():
    params = ResolutionParams(pixels="8 64  16 8")
    assert resolution.wanted(params, ("a",)) == ("a", "a@64", "a@16", "a@8")
    assert resolution.ANALYSIS.probes is resolution.wanted


def test_resamples_that_say_nothing_are_no_chance(found):
    nothing = changed(found, lambda _, e: dataclasses.replace(e, draws=np.full_like(e.draws, np.nan)))
    said = texts(nothing, dataclasses.replace(nothing, model="b"))
    assert said[0].endswith("too few people to say how sure the difference is.")
    assert said[1].endswith("too few people to say how sure the change is.")


def test_the_curve_comes_first_and_the_table_lists_its_points(found):
    curve, table = resolution.charts([found])
    assert curve.title == "TAR over resolution"
    assert curve.curves[0].y.tolist() == row(found)
    assert [line[1] for line in table.rows] == [
        *("native × native", "native × 32 px", "native × 16 px", "native × 8 px"),
        *("32 px × 32 px", "16 px × 16 px", "8 px × 8 px"),
    ]
    lost = table.rows[1][3].value
    assert lost.value == pytest.approx(row(found)[2] - row(found)[3])
