import dataclasses
import itertools

import numpy as np
import pytest
from sklearn.metrics import roc_curve

from embedlab.analyses import resolution
from embedlab.analyses.resolution import FIXED, GOT, MEASURES, OWN, ResolutionParams
from embedlab.errors import UserError
from embedlab.estimates import Estimates
from embedlab.lab.embeddings import EmbeddingSet
from embedlab.maths.people.bootstrap import resamples

PEOPLE, IMAGES = 50, 4
TITLE = "TAR and FAR of every gallery and probe"
FEW = ResolutionParams(pixels="8 16", far=0.01, resamples=80)


def ladder(noises, *, model="m", data="d", collapse=None, people=PEOPLE, images=IMAGES, seed=0):
    """Draw native images, and the same with noise of their own and a common shift at fewer pixels."""
    rng = np.random.default_rng(99)
    labels = np.repeat(np.arange(people), images)
    native = rng.normal(size=(people, 16))[labels] + 0.5 * rng.normal(size=(len(labels), 16))
    common = 4 * np.eye(16)[0]
    items = [f"item{k:04d}" for k in range(len(labels))]
    names = [f"person{k:03d}" for k in labels]
    return [
        EmbeddingSet.from_rows(
            model,
            f"{data}@{pixels}" if pixels else data,
            native
            + noise * np.random.default_rng([seed, pixels]).normal(size=native.shape)
            + (collapse or {}).get(pixels, 0.0) * common,
            items,
            names,
        )
        for pixels, noise in noises.items()
    ]


def written_out(a, b):
    """Score all ordered pairs of two different images; within one probe that counts each twice."""
    apart = ~np.eye(len(a.items), dtype=bool)
    return (a.unit @ b.unit.T)[apart], (a.labels[:, None] == b.labels)[apart]


NOISES = {0: 0.0, 8: 2.5, 16: 0.8, 32: 0.5}


@pytest.fixture(scope="module")
def sets():
    return sorted(
        ladder(NOISES, collapse={8: 1.0, 16: 0.4}), key=lambda s: int((s.probe + "@999").split("@")[1])
    )


@pytest.fixture(scope="module")
def found(sets):
    return resolution.compute(sets, FEW)


def tables(found):
    return np.array([found.table(what) for what in MEASURES])


def changed(found, change, **fields):
    """The result with other estimates: ``change`` takes a key and an estimate."""
    estimates = Estimates({key: change(key, e) for key, e in found.estimates.items()})
    return dataclasses.replace(found, estimates=estimates, **fields)


def on_others(key, e):
    return dataclasses.replace(e, drawn_from="others")


def texts(*results):
    return [f.text for f in resolution.findings(results)]


def test_resolutions_stand_in_rising_order_and_native_last(found):
    assert found.pixels.tolist() == [8, 16, 32, 0]
    assert found.names == ("8 px", "16 px", "32 px", "native")


def test_noise_that_grows_as_pixels_fall_gives_a_table_that_falls():
    found = resolution.compute(ladder(NOISES), FEW)
    for row in found.table(OWN):
        assert (np.diff(row) > 0).all()
    assert (np.diff(np.diag(found.table(OWN))) > 0).all()
    assert found.table(OWN)[0, 0] < 0.2
    assert found.table(OWN)[-1, -1] > 0.9


def test_every_cell_is_that_of_scikit_learn_on_the_pairs_written_out(sets, found):
    for (g, a), (p, b) in itertools.product(enumerate(sets), repeat=2):
        scores, same = written_out(a, b)
        fpr, tpr, _ = roc_curve(same, scores.astype(np.float64).round(6), drop_intermediate=False)
        assert found.table(OWN)[g, p] == pytest.approx(tpr[fpr <= 0.01].max(), abs=2e-3)
        accepted = scores >= found.threshold - 1e-7
        assert found.table(FIXED)[g, p] == pytest.approx(accepted[same].mean(), abs=1e-3)
        assert found.table(GOT)[g, p] == pytest.approx(accepted[~same].mean(), abs=1e-4)
        times = 2 if g == p else 1
        assert times * found.counted(GOT, (g, p)) == pytest.approx(accepted[~same].sum(), abs=2)


def test_a_resample_is_judged_at_the_threshold_that_it_sets_on_native_images(sets, found):
    counts = resamples(PEOPLE, FEW.resamples, FEW.seed)
    for b in (3, 77):
        weights = counts[b][sets[0].labels]
        apart = ~np.eye(len(weights), dtype=bool)
        pair_weights = np.outer(weights, weights)[apart]
        person_weights = np.broadcast_to(weights[:, None], apart.shape)[apart]
        scores, same = written_out(sets[-1], sets[-1])
        order = np.argsort(-scores[~same])
        let_in = np.cumsum(pair_weights[~same][order])
        limit = scores[~same][order][np.argmax(let_in > 0.01 * let_in[-1])]
        for g, p in ((0, 0), (3, 1), (2, 2)):
            scores, same = written_out(sets[g], sets[p])
            in_ = scores > limit
            tar = np.average(in_[same], weights=person_weights[same])
            far = np.average(in_[~same], weights=pair_weights[~same])
            assert found.at(FIXED, (g, p)).draws[b] == pytest.approx(tar, abs=2e-3)
            assert found.at(GOT, (g, p)).draws[b] == pytest.approx(far, rel=0.01, abs=2e-4)


def test_the_table_is_symmetric_since_all_ordered_pairs_are_counted(sets, found):
    for table in (*tables(found), *found.false_accepts):
        np.testing.assert_array_equal(table, table.T)
    assert len(found.estimates) == 3 * 10


def test_the_order_of_the_sets_does_not_matter(sets, found):
    shuffled = resolution.compute([sets[k] for k in (2, 0, 3, 1)], FEW)
    for field in dataclasses.fields(found):
        np.testing.assert_equal(getattr(shuffled, field.name), getattr(found, field.name), field.name)


def test_vectors_that_collapse_to_one_direction_let_impostors_in_at_a_fixed_threshold():
    whole = resolution.compute(ladder({0: 0, 8: 0.3}, collapse={8: 0.0}), FEW)
    fallen = resolution.compute(ladder({0: 0, 8: 0.3}, collapse={8: 1.0}), FEW)
    assert whole.table(GOT)[0, 0] < 0.02
    assert fallen.table(GOT)[0, 0] > 0.2
    assert fallen.table(OWN)[0, 0] > 0.5
    text = next(t for t in texts(fallen) if t.startswith("A threshold set for FAR 0.01 on native images"))
    assert "between 8-px images in d in m" in text
    assert f"gets FAR {fallen.table(GOT)[0, 0]:.2g} [" in text
    assert next(f for f in resolution.findings([fallen]) if f.text == text).tone == "bad"


def test_below_the_kept_tail_the_drift_is_told_from_histograms(sets, found, monkeypatch):
    whole = resolution.all_pairs
    monkeypatch.setattr(resolution, "all_pairs", lambda *given: whole(*given, tail=600))
    cut = resolution.compute(sets, FEW)
    np.testing.assert_allclose(tables(cut), tables(found), atol=0.01)
    given, expected = (np.array(r.estimates.row(GOT, found.estimates.places(GOT))) for r in (cut, found))
    np.testing.assert_allclose(given, expected, atol=0.02, rtol=0.15)


def test_no_drift_is_told_where_there_is_none():
    """Impostors of a sharper and of a worse copy score alike when noise has no common direction."""
    copies = ladder({0: 0.0, 8: 0.0})
    found = resolution.compute(copies, FEW)
    np.testing.assert_allclose(found.table(OWN), found.table(OWN)[0, 0], atol=1e-9)
    np.testing.assert_allclose(found.table(GOT), found.table(GOT)[0, 0], atol=1e-9)
    said = texts(found)
    assert "no loss is beyond chance" in said[0]
    assert "between native ones: there is no difference" in said[1]


def test_equal_noise_drawn_twice_gives_losses_that_may_be_chance():
    found = resolution.compute([*ladder({0: 0.7}, seed=1), *ladder({8: 0.7}, seed=2)], FEW)
    assert "no loss is beyond chance" in texts(found)[0]
    assert found.at(OWN, (1, 1)).low < found.at(OWN, (0, 0)).value < found.at(OWN, (1, 1)).high


def test_the_sentence_names_where_accuracy_breaks(found):
    text = texts(found)[0]
    tar = found.table(OWN)[-1]
    assert 100 * (tar[1] - tar[-1]) < -10 < 100 * (tar[2] - tar[-1])
    assert f"accuracy breaks at 16 px ({tar[1]:.1%}, {100 * (tar[1] - tar[-1]):+.1f} points [" in text
    assert "the largest to lose more than chance is 32 px" in text


def test_what_the_fixed_threshold_loses_is_told_against_an_own_one():
    """Noise pulls impostors across resolutions together, so a threshold of their own could be lower."""
    opposite = ladder({0: 0.0, 8: 0.6}, collapse={8: 1.0, 0: -0.5})
    found = resolution.compute(opposite, FEW)
    cost = found.table(FIXED)[1, 0] - found.table(OWN)[1, 0]
    assert cost < -0.3
    assert f": a difference of {100 * cost:+.1f} points [" in texts(found)[1]
    assert "Between native and 8-px images it accepts" in texts(found)[1]
    assert found.table(GOT)[1, 0] < 0.01


def test_a_model_that_keeps_more_is_said_to_with_a_paired_interval():
    params = ResolutionParams(far=0.01, resamples=100)
    base = resolution.compute(ladder({0: 0.0, 8: 1.5, 32: 0.0}, model="base"), params)
    better = resolution.compute(ladder({0: 0.0, 8: 0.8, 32: 0.0}, model="better"), params)
    text = texts(base, better)[-1]
    more = 100 * (better.table(OWN)[-1, 0] - base.table(OWN)[-1, 0])
    assert text.startswith(
        "Against a native gallery of d at FAR 0.01, better accepts more genuine pairs at 8 px"
    )
    assert f"({more:+.1f} points [" in text
    assert "than base; at native, 32 px no difference is beyond chance." in text
    assert "fewer genuine pairs at 8 px" in texts(better, base)[-1]
    gap = better.at(OWN, (2, 0)) - base.at(OWN, (2, 0))
    assert f"points [{100 * gap.low:+.1f}, {100 * gap.high:+.1f}]" in text


def test_models_on_the_same_vectors_may_differ_by_chance_only(found):
    twin = dataclasses.replace(found, model="twin", title="d in twin")
    said = texts(found, twin)[-1]
    assert "twin and m differ beyond chance at no resolution, most at native: there is no difference." in said


def test_models_on_other_people_get_no_interval_and_those_at_another_far_no_comparison(found):
    stranger = changed(found, on_others, model="stranger")
    said = texts(found, stranger)[-1]
    assert (
        "they were measured on different people or images, so no interval of the difference is given" in said
    )
    other = dataclasses.replace(found, model="other", title="d in other", far=0.1)
    assert texts(found, other)[-1].startswith("No comparison of d in other with d in m")


def test_a_far_that_cannot_be_told_gives_way_to_the_lowest_that_can(sets):
    found = resolution.compute(sets[2:], dataclasses.replace(FEW, far=1e-6))
    assert found.far == 1e-4
    assert found.impostor_pairs == 19_600
    assert any(
        "too few for FAR 1e-06 (at least 1,000,000 are needed); FAR 0.0001 is used" in t for t in texts(found)
    )
    assert any("unstable" in t for t in texts(found))
    assert "TAR, own threshold, native × native, unstable" in found.numbers()
    assert "TAR, own threshold, native × native" not in found.numbers()


def test_images_that_some_resolution_lacks_are_left_out_and_counted(sets):
    cut = [sets[0].take(np.arange(3, 200)), sets[3].take(np.arange(190))]
    found = resolution.compute(cut, FEW)
    assert (found.images, found.left_out) == (187, 13)
    same = resolution.compute([s.take(np.arange(3, 190)) for s in (sets[0], sets[3])], FEW)
    np.testing.assert_array_equal(tables(found), tables(same))
    assert "On d in m, 13 images are left out, as some resolution lacks them." in texts(found)
    # The first person is left with one image, which meets impostors only.
    assert found.estimates[OWN, "native", "8 px"].n == 47
    assert found.estimates[GOT, "native", "8 px"].n == found.people == 48


def test_resolutions_asked_for_and_not_there_are_named(sets):
    found = resolution.compute(sets[1:], dataclasses.replace(FEW, pixels="12 16 64"))
    assert "There are no vectors of 12 px, 64 px of d in m." in texts(found)


def test_of_several_data_sets_the_first_is_measured_and_the_others_are_named(sets, found):
    both = resolution.compute([sets[0], sets[3], *ladder({0: 0.1, 16: 0.2}, data="e")], FEW)
    assert both.pixels.tolist() == [8, 0]
    np.testing.assert_array_equal(tables(both), tables(found)[:, [[0], [3]], [0, 3]])
    assert any("Of the data sets only d was measured in m, not e" in t for t in texts(both))


def test_the_probes_wanted_are_the_first_data_set_at_every_resolution():
    params = ResolutionParams(pixels="8 64  16 8")
    assert resolution.wanted(params, ("a",)) == ("a", "a@64", "a@16", "a@8")
    assert resolution.wanted(params, ("a@32",)) == ("a", "a@64", "a@16", "a@8")
    assert resolution.wanted(params, ("a", "a@32", "b", "b@8")) == ("a", "a@64", "a@16", "a@8", "b", "b@8")
    assert resolution.wanted(params, ()) == ()
    assert resolution.ANALYSIS.probes is resolution.wanted


@pytest.mark.parametrize("pixels", ["", "8,16", "8 1", "8.5", "-8", "٣٢"])
def test_pixels_that_are_no_whole_numbers_are_refused(sets, pixels):
    params = ResolutionParams(pixels=pixels)
    with pytest.raises(UserError, match=r"resolution\.pixels must be whole numbers of at least 2"):
        resolution.wanted(params, ("d",))
    with pytest.raises(UserError, match=r"resolution\.pixels"):
        resolution.compute(sets, params)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            ladder({8: 0.1, 16: 0.1}),
            "m has no native images of d, on which the threshold is set: add the probe d",
        ),
        (ladder({0: 0.1}), "d in m is there as it is only: add a probe such as d@32"),
        (ladder({0: 0.1, 8: 0.1}, images=1), "d in m has no person with two images at every resolution"),
        (
            ladder({0: 0.1, 8: 0.1}, people=2, images=2),
            "has 4 impostor pairs.* 10 are needed, and 100 for FAR",
        ),
        ([*ladder({0: 0.1}), *ladder({0: 0.1}, data="d@x")], "after @ stands a whole number of pixels"),
    ],
)
def test_sets_that_give_no_table_are_refused(given, message):
    with pytest.raises(UserError, match=message):
        resolution.compute(given, FEW)


def test_a_resample_of_one_person_alone_has_no_threshold():
    found = resolution.compute(ladder({0: 0.0, 8: 0.3}, people=3), dataclasses.replace(FEW, far=0.1))
    alone = resamples(3, FEW.resamples, FEW.seed).max(axis=1) == 3
    assert alone.any()
    for one in found.estimates.values():
        np.testing.assert_array_equal(np.isnan(one.draws), alone)


def test_the_numbers_list_the_native_row_and_the_diagonal_beside_their_nulls(found):
    tar = found.estimates[FIXED, "native", "16 px"]
    assert tar.value == found.table(FIXED)[-1, 1]
    assert tar.null == found.table(GOT)[-1, 1]
    assert found.estimates[OWN, "16 px", "16 px"].null == 0.01
    assert found.estimates[GOT, "8 px", "8 px"].n == PEOPLE
    assert found.numbers()["TAR, fixed threshold, native × 16 px"] == tar
    assert "TAR, fixed threshold, native × native" not in found.numbers()
    assert not any("16 px × 8 px" in name for name in found.numbers())
    assert found.at(OWN, (0, 1)) == found.at(OWN, (1, 0)) == found.estimates[OWN, "16 px", "8 px"]
    assert len([name for name in found.numbers() if name.startswith(MEASURES)]) == 7 + 6 + 6


def test_the_table_holds_numbers(found):
    row = chart([found, dataclasses.replace(found, model="b")], TITLE).rows[-1]
    assert [cell.value for cell in row[2:5]] == [found.at(what, (0, 0)) for what in MEASURES]
    assert [cell.value for cell in row[5:7]] == found.false_accepts[:, 0, 0].tolist()
    assert row[7].value.null == 0


def test_resamples_that_say_nothing_are_no_chance(found):
    """What no interval is behind is neither a loss nor said to be none."""
    nothing = changed(found, lambda _, e: dataclasses.replace(e, draws=np.full_like(e.draws, np.nan)))
    said = texts(nothing, dataclasses.replace(nothing, model="b"))
    assert "and fewest at 8 px (" in said[0]
    assert said[0].endswith("too few people to say how sure the loss is.")
    assert said[1].count("too few people to say how sure the difference is") == 2
    assert said[-1].endswith("too few people to say how sure the difference is.")
    assert not any("chance" in text for text in said)


def chart(results, title):
    return next(c for c in resolution.charts(results) if c.title == title)


def test_the_first_models_figures_stand_in_brackets(found):
    other = changed(found, lambda _, e: dataclasses.replace(e, value=e.value / 2), model="b", title="d in b")
    alone = chart([found], "TAR of d in m, own thresholds")
    assert "(" not in "".join(alone.text.ravel())
    beside = chart([found, other], "TAR of d in b, own thresholds")
    value = 100 * found.table(OWN)[0, 1]
    assert beside.text[0, 1] == f"{value / 2:.1f}\n({value:.1f})"
    assert beside.span == alone.span == (0.0, 100.0)


def test_differences_that_may_be_chance_are_marked(found):

    def raised(key, e):
        more = 0.1 * (key == (OWN, "8 px", "8 px"))
        return dataclasses.replace(e, value=e.value + more, draws=e.draws + np.float32(more))

    other = changed(found, raised, model="b", title="d in b")
    marks = chart([found, other], "TAR of d in b less that of m, own thresholds")
    assert marks.diverging
    assert "~" not in marks.text[0, 0]
    assert "~" in marks.text[1, 1]
    stranger = changed(other, on_others)
    marks = chart([found, stranger], "TAR of d in b less that of m, own thresholds")
    assert marks.text[0, 0] == "+10.0 ~"


def test_drift_is_drawn_in_decades_and_no_false_accept_as_less_than_one():
    apart = [s.take(np.arange(3, 200)) for s in ladder({0: 0.0, 8: 0.0}, collapse={8: 3.0, 0: -3.0})]
    found = resolution.compute(apart, dataclasses.replace(FEW, far=0.1))
    assert found.counted(GOT, (1, 0)) == 0
    drift = chart([found], "FAR of d in m, fixed threshold")
    assert np.isfinite(drift.values).all()
    assert drift.values[1, 0] == pytest.approx(np.log10(1 / (2 * found.impostor_pairs) / 0.1))
    assert drift.text[1, 0] == "0× *"
    assert drift.text[1, 1] == f"{found.table(GOT)[1, 1] / 0.1:.2g}×"
    assert drift.values[1, 1] == pytest.approx(0, abs=0.01)


def test_curves_put_native_at_the_right_end(found):
    for title in ("TAR over resolution, native gallery", "FAR over resolution, fixed threshold"):
        curves = chart([found], title)
        assert curves.xticks == {8.0: "8 px", 16.0: "16 px", 32.0: "32 px", 64.0: "native"}
        assert curves.plotly().layout.xaxis.ticktext == ("8 px", "16 px", "32 px", "native")
    np.testing.assert_array_equal(curves.curves[0].y, found.table(GOT)[-1])
    np.testing.assert_array_equal(curves.curves[1].y, np.diag(found.table(GOT)))


def test_the_table_lists_each_pair_of_resolutions_once(found):
    rows = chart([found], TITLE).rows
    assert len(rows) == 10
    assert len({frozenset(row[1].split(" × ")) for row in rows}) == 10
    twice = chart([found, dataclasses.replace(found, model="b")], TITLE)
    assert twice.rows[0][-1] == ""
    assert twice.cells()[10][-1] == "+0.00 [+0.00, +0.00]"
