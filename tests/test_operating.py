"""Operating points of several sets: what they have in common, their curves and their table."""

import numpy as np
import pytest

from embedlab import operating
from embedlab.estimates import People
from embedlab.maths.pairs import levels, listed
from embedlab.operating import Operating
from tests.planted import embedding_set


def measured(model, noise=1.0, pairs=4000, probe="p", far=0.01):
    """A record of drawn pairs, as an analysis makes one."""
    a = embedding_set(people=40, images=4, noise=noise)
    x, y, same, _ = listed.drawn_pairs(a.labels, 2, pairs, 0)
    whose = np.stack([a.labels[x], a.labels[y]], axis=1)
    people = People(np.random.default_rng(0).multinomial(40, [1 / 40] * 40, 50).astype(np.float32), 50, "40")
    trials = int((~same).sum())
    asked, curve = levels.resolved(far, trials), levels.along(trials)
    rates = listed.rates(
        listed.Listed(listed.scored(a.unit, x, y), same, whose), np.concatenate([asked, curve]), people.counts
    )
    achieved = rates.false_accepts[: len(asked)] / trials
    found, fields = operating.points(rates, asked, achieved, np.ones(40), people)
    return Operating(
        f"{probe} in {model}",
        model,
        probe,
        int(same.sum()),
        trials,
        estimates=found,
        far=far,
        curve_far=curve,
        **fields,
    )


@pytest.fixture(scope="module")
def some():
    return [measured("a"), measured("b", noise=2.0), measured("c", noise=1.5)]


def test_an_estimate_stands_at_each_level_beside_chance(some):
    one = some[0]
    assert one.levels.tolist() == [0.1, 0.01]
    assert [one.tar(far).null for far in one.levels] == [0.1, 0.01]
    assert (one.eer.null, one.auc.null) == (0.5, 0.5)
    assert len(one.curve_far) == len(one.curve_tar) == len(one.curve_low)
    assert one.tar(0.1).value == pytest.approx(np.interp(0.1, one.curve_far, one.curve_tar), abs=0.02)
    with pytest.raises(ValueError, match="p in a does not resolve FAR 0.5"):
        one.tar(0.5)


def test_few_false_accepts_are_marked_in_numbers_table_and_words(some):
    assert "TAR@FAR=0.01, unstable" in some[0].numbers()
    rows = operating.table(some[:1]).cells()
    assert [row[-1].endswith("(unstable)") for row in rows] == [False, True]
    assert operating.common(some) == (0.01, "FAR 0.01 (unstable)")


def test_the_best_is_held_against_each_of_the_others_by_one_line(some):
    alone = operating.ranking("p", some[:1])
    assert alone[0].text.startswith("On p, a accepts")
    two, three = (operating.ranking("p", group) for group in (some[:2], some[::-1]))
    assert [len(two), len(three)] == [1, 2]
    assert two[0] in three
    assert all(f.gap is not None and f.gap.value > 0 for f in three)
    assert operating.ranking("p", []) == []


@pytest.mark.parametrize(
    ("values", "said"), [([0.3, 0.1, 0.2], "0.100 to 0.300"), ([0.10001, 0.10002], "0.100"), ([0.5], "0.500")]
)
def test_a_range_is_written_by_both_ends_where_they_read_apart(values, said):
    assert operating.spread(np.array(values)) == said


def test_models_meet_at_the_lowest_rate_that_all_resolve(some):
    few = measured("few", pairs=20)
    assert few.levels.tolist() == [0.1]
    assert operating.common([*some, few])[0] == 0.1


def test_a_set_that_resolves_no_rate_has_a_row_that_says_so():
    none = measured("none", pairs=2)
    assert np.isnan(none.lowest)
    assert (
        operating.table([none]).cells()[0][1] == f"none is resolved by {none.impostor_pairs} impostor pairs"
    )


def test_the_det_curve_is_the_roc_curve_upside_down(some):
    roc, det = operating.curves(some, "listed pairs")
    assert (roc.title, det.xscale) == ("ROC over listed pairs", "probit")
    shown = roc.curves[0].x <= 0.5
    assert (det.curves[0].y == 1 - roc.curves[0].y[shown]).all()
    assert (det.curves[0].low == 1 - roc.curves[0].high[shown]).all()
