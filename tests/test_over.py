"""What an analysis is over: the runs that follow, and the words for them."""

import dataclasses
import typing

import pytest

from embedlab import analysis, over
from embedlab.errors import UserError
from embedlab.over import Input
from embedlab.study import Study


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("set", [("ap",), ("aq",), ("bp",), ("bq",)]),
        ("model", [("ap", "aq"), ("bp", "bq")]),
        ("probe pair", [("ap", "aq"), ("bp", "bq")]),
        ("degraded pair", [("ap", "aq"), ("bp", "bq")]),
        ("model pair", [("ap", "bp"), ("aq", "bq")]),
        ("models", [("ap", "bp"), ("aq", "bq")]),
        ("weights", [("a",), ("b",)]),
        ("weight pair", [("a", "b")]),
        ("network pair", [("ap", "bp")]),
    ],
)
def test_runs_follow_from_what_an_analysis_is_over(word, expected):
    runs = over.named(word).runs(Study(("a", "b"), ("p", "q")))
    assert [tuple(one.model + one.probe for one in run) for run in runs] == expected


def test_a_degraded_pair_is_the_native_probe_and_another_of_its_data_set():
    pairs = over.degraded_pairs(["x@16", "x", "y@8", "x@32", "y@64"])
    assert pairs == [("x", "x@16"), ("x", "x@32"), ("y@64", "y@8")]
    assert over.degraded_pairs(["sharp", "blurred", "dark"]) == [("sharp", "blurred"), ("sharp", "dark")]
    assert over.degraded_pairs(["x"]) == []


def test_inputs_are_named_in_words():
    assert Input("set", "m", "p@32").title == "p@32 in m"
    assert Input("network", "m", "p@32").title == "p@32 through m"
    assert Input("weights", "m").title == "weights of m"


def test_every_word_has_its_object():
    assert list(over.OVERS) == list(typing.get_args(over.Word))


def test_a_word_that_nothing_is_over_is_told_with_those_there_are():
    with pytest.raises(UserError, match="no analysis can be over 'sets': write one of 'set', 'model', "):
        over.named("sets")


@pytest.mark.parametrize("word", over.OVERS)
def test_runs_take_what_is_declared_and_none_is_there_without(word):
    one, two = over.OVERS[word], Study(("a", "b"), ("p", "q"))
    assert {given.kind for run in one.runs(two) for given in run} == {one.kind}
    assert one.runs(Study(())) == []
    few = [Study(models, probes) for models in ((), ("a",)) for probes in ((), ("p",))]
    lone = [bool(run) for study in few for run in one.runs(study)]
    assert any(lone) == one.needs.startswith("a model")


def test_an_analysis_of_two_kinds_says_what_each_needs():
    both = dataclasses.replace(analysis.get("distances"), over=("set", "model pair", "weight pair"))
    assert both.needs == "a model and a probe or two models"
    assert [both.looks_at(kind) for kind in ("set", "weights")] == [True, True]
    assert not both.takes_many
