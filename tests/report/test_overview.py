"""Planted models stand in the table in the right order, with the right numbers, and cluster as planted."""

import numpy as np

from embedlab.analyses import drift, resolution, verification
from embedlab.analyses.drift import FAR
from embedlab.analyses.verification import Verification
from embedlab.estimates import Estimates
from embedlab.operating import tar_at
from embedlab.question import Answer
from embedlab.report import overview
from embedlab.runner import Outcome, Run
from tests.questions.planted import bare, estimate
from tests.questions.test_sizes import drift as drifted
from tests.questions.test_sizes import resolution as resolved

FAR_ASKED = 0.001


def verified(model, tar, probe="d", seed=0):
    found = {(tar_at(0.001),): estimate(tar, seed=seed)}
    return bare(
        Verification,
        model=model,
        probe=probe,
        templates=False,
        far=FAR_ASKED,
        levels=np.array([FAR_ASKED]),
        thresholds=np.array([0.25]),
        estimates=Estimates(found),
    )


def outcome(analysis, results):
    return Outcome(analysis, analysis.params, tuple(Run("r", one) for one in results))


def ladders(make, values):
    found = [make(model, *value) for model, value in values.items()]
    for one in found:
        object.__setattr__(one, "dataset", "d")
    return found


def side_by_side(tars, far=None, answers=(), facts=None):
    told = [verified(m, tar, p, seed=k) for k, (m, row) in enumerate(tars.items()) for p, tar in row.items()]
    outcomes = [outcome(verification.ANALYSIS, told)]
    sizes = {m: (row["d"], {8: row.get("d@8", 0.1), 32: row.get("d@32", 0.5)}) for m, row in tars.items()}
    outcomes.append(outcome(resolution.ANALYSIS, ladders(resolved, sizes)))
    if far:
        outcomes.append(outcome(drift.ANALYSIS, ladders(drifted, dict.fromkeys(tars, (far,)))))
    return overview.of(outcomes, answers, facts or {})


TARS = {
    "a": {"d": 0.9, "d@32": 0.8, "d@8": 0.1},
    "b": {"d": 0.95, "d@32": 0.9, "d@8": 0.7},
    "c": {"d": 0.89, "d@32": 0.79, "d@8": 0.12},
    "e": {"d": 0.94, "d@32": 0.91, "d@8": 0.71},
}


def test_the_best_stands_first_and_differences_are_simultaneous():
    asked = Answer("recognition", ("b", "e"), "no", "", estimate(0.01), 0.02, "points of TAR", 50)
    found = side_by_side(TARS, answers=(asked,), facts={"b": (64, "some data")})
    assert [row.model for row in found.rows] == ["b", "e", "a", "c"]
    best, second, *_ = found.rows
    assert (best.dimension, best.trained, best.behind, best.operate) == (64, "some data", None, "0.2500")
    plain = TARS["b"]["d"] - TARS["e"]["d"]
    assert np.isclose(second.behind.value, plain)
    alone = verified("b", 0.95, seed=1).tar(0.001) - verified("e", 0.94, seed=3).tar(0.001)
    assert second.behind.high - second.behind.low > 1.5 * (alone.high - alone.low)


def test_a_size_is_sound_only_where_no_threshold_is_unsafe():
    sizes = {8: 0.2, 32: 0.001}
    found = side_by_side(TARS)
    assert found.size == "", "without drift nobody knows"
    made = side_by_side(TARS, far=sizes)
    assert made.size == "8 px", "native against small images keeps its FAR in these"
    one = made.rows[0]
    assert np.isclose(one.small.value, 0.7)
    results = ladders(drifted, dict.fromkeys(TARS, (sizes,)))
    results[2].estimates[FAR, "native", "8 px"] = estimate(0.05, sd=1e-3)
    assert overview._smallest_sound(results) == "32 px"


def test_a_size_that_one_model_was_not_measured_at_is_not_sound():
    sizes = {8: 0.001, 32: 0.001}
    results = ladders(drifted, dict.fromkeys(TARS, (sizes,)))
    assert overview._smallest_sound(results) == "8 px"
    found = {key: value for key, value in results[2].estimates.items() if key != (FAR, "native", "8 px")}
    object.__setattr__(results[2], "estimates", Estimates(found))
    assert overview._smallest_sound(results) == "32 px", "its FAR is not known"
    results = [*results[:2], *ladders(drifted, {"c": ({32: 0.001},)})]
    assert overview._smallest_sound(results) == "32 px", "it has no such size"
    (native,) = ladders(drifted, {"c": ({},)})
    native.estimates[FAR, "native", "native"] = estimate(0.001, sd=1e-4)
    assert overview._smallest_sound([native]) == "", "as they are is no size"


def test_tars_of_templates_are_not_taken_for_those_of_images():
    told = [verified("a", 0.5), verified("b", 0.6, seed=1)]
    means = verified("a", 0.99)
    object.__setattr__(means, "templates", True)
    found = overview.of([outcome(verification.ANALYSIS, [*told, means])], (), {})
    assert [(row.model, row.tar.value) for row in found.rows] == [("b", 0.6), ("a", 0.5)]


def test_small_images_are_those_of_the_data_set_that_the_table_is_of():
    tars = {m: TARS[m] for m in "ab"}
    other = ladders(resolved, {m: (0.9, {8: 0.33}) for m in tars})
    for one in other:
        object.__setattr__(one, "dataset", "another")
    told = [verified(m, row["d"]) for m, row in tars.items()]
    mine = ladders(resolved, {m: (0.9, {8: 0.7}) for m in tars})
    drifts = ladders(drifted, dict.fromkeys(tars, ({8: 0.001},)))
    outcomes = [
        outcome(verification.ANALYSIS, told),
        outcome(resolution.ANALYSIS, [*mine, *other]),
        outcome(drift.ANALYSIS, drifts),
    ]
    found = overview.of(outcomes, (), {})
    assert found.size == "8 px"
    assert [row.small.value for row in found.rows] == [0.7, 0.7]


def test_where_a_model_breaks_is_the_answer_s_own_word():
    broken = Answer("sizes", ("a",), "yes", "", estimate(0.8), kind="break", brief="breaks at 8 px")
    held = Answer("sizes", ("b",), "no", "", estimate(0.0), kind="break", brief="holds down to 8 px")
    rows = {row.model: row.breaks for row in side_by_side(TARS, answers=(broken, held)).rows}
    assert rows == {"a": "8 px", "b": "holds down to 8 px", "c": "n/a", "e": "n/a"}


def test_models_that_do_alike_stand_side_by_side():
    found = side_by_side(TARS).heatmap
    order = "".join(found.ylabels)
    assert set(map(frozenset, (order[:2], order[2:]))) == {frozenset("ac"), frozenset("be")}
    assert found.xlabels == ("d", "d@32", "d@8")
    row = found.values[found.ylabels.index("b")]
    assert np.allclose(row, [0.95, 0.9, 0.7])


def test_what_is_not_known_of_a_model_joins_it_to_none():
    """As a zero it would stand with those that fail at 8 px; it does at the other sizes as b and e do."""
    found = side_by_side({**TARS, "f": {"d": 0.95, "d@32": 0.9}}).heatmap
    order = "".join(found.ylabels)
    assert set(order[:2]) == set("ac") or set(order[-2:]) == set("ac")
    assert np.isnan(found.values[order.index("f")]).tolist() == [False, False, True]
    assert found.text[order.index("f")].tolist() == ["0.950", "0.900", ""]


def test_two_models_have_a_table_and_no_clusters():
    found = side_by_side({m: TARS[m] for m in "ab"})
    assert found.heatmap is None
    assert len(found.plain()["rows"]) == 2
    assert len(found.plain()["columns"]) == len(found.plain()["rows"][0])


def test_without_a_tar_there_is_no_table():
    assert overview.of([outcome(verification.ANALYSIS, [])], (), {}) is None
