import dataclasses
import itertools

import numpy as np
import pytest
from sklearn.metrics import roc_curve

from embedlab.analyses import drift
from embedlab.analyses.drift import FAR, MEASURES, OWN, TAR, DriftParams
from embedlab.estimates import Estimates
from embedlab.maths.pairs import excess
from embedlab.maths.people.bootstrap import resamples
from tests.planted import ladder

PEOPLE, IMAGES = 50, 4
TITLE = "FAR and TAR of every gallery and probe"
FEW = DriftParams(pixels="8 16", far=0.01, resamples=80)


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
    return drift.compute(sets, FEW)


def tables(found):
    return np.array([found.table(what) for what in MEASURES])


def changed(found, change, **fields):
    """The result with other estimates: ``change`` takes a key and an estimate."""
    estimates = Estimates({key: change(key, e) for key, e in found.estimates.items()})
    return dataclasses.replace(found, estimates=estimates, **fields)


def texts(*results):
    return [f.text for f in drift.findings(results)]


def test_every_cell_is_that_of_scikit_learn_on_the_pairs_written_out(sets, found):
    for (g, a), (p, b) in itertools.product(enumerate(sets), repeat=2):
        scores, same = written_out(a, b)
        fpr, tpr, _ = roc_curve(same, scores.astype(np.float64).round(6), drop_intermediate=False)
        assert found.table(OWN)[g, p] == pytest.approx(tpr[fpr <= 0.01].max(), abs=2e-3)
        accepted = scores >= found.threshold - 1e-7
        assert found.table(TAR)[g, p] == pytest.approx(accepted[same].mean(), abs=1e-3)
        assert found.table(FAR)[g, p] == pytest.approx(accepted[~same].mean(), abs=1e-4)
        times = 2 if g == p else 1
        assert times * found.counted(FAR, (g, p)) == pytest.approx(accepted[~same].sum(), abs=2)


def test_a_resample_is_judged_at_the_threshold_that_it_sets_on_native_images(sets, monkeypatch):
    # What pairs vary by themselves is drawn back elsewhere, which has its own tests.
    monkeypatch.setattr(excess, "shrunk", lambda counts, _: counts)
    found = drift.compute(sets, FEW)
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
            assert found.at(TAR, (g, p)).draws[b] == pytest.approx(tar, abs=2e-3)
            assert found.at(FAR, (g, p)).draws[b] == pytest.approx(far, rel=0.01, abs=2e-4)


def test_the_table_is_symmetric_since_all_ordered_pairs_are_counted(sets, found):
    for table in (*tables(found), *found.false_accepts):
        np.testing.assert_array_equal(table, table.T)
    assert len(found.estimates) == 3 * 10


def test_the_order_of_the_sets_does_not_matter(sets, found):
    shuffled = drift.compute([sets[k] for k in (2, 0, 3, 1)], FEW)
    for field in dataclasses.fields(found):
        np.testing.assert_equal(getattr(shuffled, field.name), getattr(found, field.name), field.name)


def test_vectors_that_collapse_to_one_direction_let_impostors_in_at_a_fixed_threshold():
    whole = drift.compute(ladder({0: 0, 8: 0.3}, collapse={8: 0.0}), FEW)
    fallen = drift.compute(ladder({0: 0, 8: 0.3}, collapse={8: 1.0}), FEW)
    assert whole.table(FAR)[0, 0] < 0.02
    assert fallen.table(FAR)[0, 0] > 0.2
    assert fallen.table(OWN)[0, 0] > 0.5
    most, *_ = drift.findings([fallen])
    assert most.text.startswith(
        f"In m, the threshold of FAR 0.01 on native images gets FAR {fallen.table(FAR)[0, 0]:.2g} at worst, "
        "between 8-px images: a difference of +"
    )
    assert most.tone == "bad"
    assert not any("pairings" in t for t in texts(whole) + texts(fallen))


def test_several_pairings_with_far_too_high_a_far_are_counted():
    found = drift.compute(ladder({0: 0, 16: 0.3, 8: 0.3}, collapse={16: 1.0, 8: 1.0}), FEW)
    (said,) = (f for f in drift.findings([found]) if "pairings" in f.text)
    worst = found.table(FAR)[1, 1]
    assert said.text == (
        "In m, the native threshold gets over 3 × its FAR in 3 of 5 pairings, already "
        f"between 16-px images (FAR {worst:.2g})."
    )
    assert said.tone == "bad"


def test_cells_that_let_in_more_than_three_times_as_many_are_hatched():
    found = drift.compute(ladder({0: 0, 8: 0.3}, collapse={8: 1.0}), FEW)
    maps = [one for one in drift.charts([found]) if hasattr(one, "hatched")]
    assert [one.title for one in maps] == ["FAR of d in m", "TAR of d in m"]
    for one in maps:
        assert one.hatched.tolist() == [[True, False], [False, False]]
        assert one.hatched_label == "FAR over 3 times the one asked for"
    assert [row[-1] for row in chart([found], TITLE).rows] == ["", "", "over 3×"]


def test_below_the_kept_tail_the_drift_is_told_from_histograms(sets, found, monkeypatch):
    whole = drift.all_pairs
    monkeypatch.setattr(drift, "all_pairs", lambda *given, **more: whole(*given, tail=600, **more))
    cut = drift.compute(sets, FEW)
    np.testing.assert_allclose(tables(cut), tables(found), atol=0.01)
    given, expected = (np.array(r.estimates.row(FAR, found.estimates.places(FAR))) for r in (cut, found))
    np.testing.assert_allclose(given, expected, atol=0.02, rtol=0.15)


def test_no_drift_is_told_where_there_is_none():
    """Impostors of a sharper and of a worse copy score alike when noise has no common direction."""
    copies = ladder({0: 0.0, 8: 0.0})
    found = drift.compute(copies, FEW)
    np.testing.assert_allclose(found.table(OWN), found.table(OWN)[0, 0], atol=1e-9)
    np.testing.assert_allclose(found.table(FAR), found.table(FAR)[0, 0], atol=1e-9)
    (said,) = drift.findings([found])
    assert said.tone == "plain"
    assert said.text.endswith(": there is no difference.")


def test_what_the_fixed_threshold_loses_is_told_against_an_own_one():
    """Noise pulls impostors across resolutions together, so a threshold of their own could be lower."""
    opposite = ladder({0: 0.0, 8: 0.6}, collapse={8: 1.0, 0: -0.5})
    found = drift.compute(opposite, FEW)
    cost = found.table(TAR)[1, 0] - found.table(OWN)[1, 0]
    assert cost < -0.3
    (said,) = (t for t in texts(found) if "between native and 8-px images, their own" in t)
    assert f": a difference of {100 * cost:+.1f} points [" in said
    assert found.table(FAR)[1, 0] < 0.01


def test_a_far_that_cannot_be_told_gives_way_to_the_lowest_that_can(sets):
    found = drift.compute(sets[2:], dataclasses.replace(FEW, far=1e-6))
    assert found.far == 1e-4
    assert found.impostor_pairs == 19_600
    assert any(
        "too few for FAR 1e-06 (at least 1,000,000 are needed); FAR 0.0001 is used" in t for t in texts(found)
    )
    assert any("unstable" in t for t in texts(found))
    assert "TAR, native × native, unstable" in found.numbers()
    assert "TAR, native × native" not in found.numbers()


def test_the_probes_wanted_are_the_first_data_set_at_every_resolution():
    params = DriftParams(pixels="8 64  16 8")
    assert drift.wanted(params, ("a",)) == ("a", "a@64", "a@16", "a@8")
    assert drift.wanted(params, ("a@32",)) == ("a", "a@64", "a@16", "a@8")
    assert drift.wanted(params, ("a", "a@32", "b", "b@8")) == ("a", "a@64", "a@16", "a@8", "b", "b@8")
    assert drift.wanted(params, ()) == ()
    assert drift.ANALYSIS.probes is drift.wanted


def test_a_resample_of_one_person_alone_has_no_threshold():
    found = drift.compute(ladder({0: 0.0, 8: 0.3}, people=3), dataclasses.replace(FEW, far=0.1))
    alone = resamples(3, FEW.resamples, FEW.seed).max(axis=1) == 3
    assert alone.any()
    for one in found.estimates.values():
        np.testing.assert_array_equal(np.isnan(one.draws), alone)


def test_the_numbers_list_the_native_row_and_the_diagonal_beside_their_nulls(found):
    tar = found.estimates[TAR, "native", "16 px"]
    assert tar.value == found.table(TAR)[-1, 1]
    assert tar.null == found.table(FAR)[-1, 1]
    assert found.estimates[OWN, "16 px", "16 px"].null == 0.01
    assert found.estimates[FAR, "8 px", "8 px"].n == PEOPLE
    assert found.numbers()["TAR, native × 16 px"] == tar
    assert not any("16 px × 8 px" in name for name in found.numbers())
    assert found.at(OWN, (0, 1)) == found.at(OWN, (1, 0)) == found.estimates[OWN, "16 px", "8 px"]
    assert len([name for name in found.numbers() if name.startswith((FAR + ",", TAR + ","))]) == 7 + 7
    assert not any(name.startswith(OWN) for name in found.numbers())


def test_the_table_holds_numbers(found):
    row = chart([found], TITLE).rows[-1]
    assert [cell.value for cell in row[2:5]] == [found.at(what, (0, 0)) for what in MEASURES]
    assert [cell.value for cell in row[5:7]] == found.false_accepts[:, 0, 0].tolist()


def test_resamples_that_say_nothing_are_no_chance(found):
    nothing = changed(found, lambda _, e: dataclasses.replace(e, draws=np.full_like(e.draws, np.nan)))
    for text in texts(nothing):
        assert text.endswith("too few people to say how sure the difference is.")


def chart(results, title):
    return next(c for c in drift.charts(results) if c.title == title)


def test_drift_is_drawn_in_decades_and_no_false_accept_as_less_than_one():
    apart = [s.take(np.arange(3, 200)) for s in ladder({0: 0.0, 8: 0.0}, collapse={8: 3.0, 0: -3.0})]
    found = drift.compute(apart, dataclasses.replace(FEW, far=0.1))
    assert found.counted(FAR, (1, 0)) == 0
    far = chart([found], "FAR of d in m")
    assert np.isfinite(far.values).all()
    assert far.values[1, 0] == pytest.approx(np.log10(1 / (2 * found.impostor_pairs) / 0.1))
    assert far.text[1, 0] == "0×"
    assert far.text[1, 1] == f"{found.table(FAR)[1, 1] / 0.1:.2g}×"
    assert far.values[1, 1] == pytest.approx(0, abs=0.01)


def test_the_table_lists_each_pair_of_resolutions_once(found):
    rows = chart([found], TITLE).rows
    assert len(rows) == 10
    assert len({frozenset(row[1].split(" × ")) for row in rows}) == 10


def test_many_times_a_rate_is_written_without_powers_of_ten():
    assert [drift._times(x) for x in (0.034, 1.25, 9.96, 99.4, 1234.5)] == [
        "0.034",
        "1.2",
        "10",
        "99",
        "1,234",
    ]
