"""Verdicts follow the numbers: swapped models swap names, and flipped numbers flip verdicts."""

import dataclasses

import numpy as np
import pytest

from benchmarks import answers as simulation
from embedlab import question
from embedlab.estimates import Estimate, Estimates

MODELS = ("model A", "model B")


def planted(seed, world="nothing"):
    """Results of two models that differ in everything, by chance."""
    rng = np.random.default_rng(seed)
    crowd = simulation.Crowd(60, rng)
    found = [
        simulation.results(crowd, {**simulation.WORLDS[world], "native": rng.choice([0.5, 0.7, 0.9])}, (one,))
        for one in MODELS
    ]
    return {name: [*found[0][name], *found[1][name]] for name in found[0]}


def swapped(value):
    """The same with each model called by the other's name, at every depth."""
    if isinstance(value, str):
        one, other = MODELS
        return value.replace(one, "\0").replace(other, one).replace("\0", other)
    if isinstance(value, Estimates):
        return Estimates({tuple(map(swapped, key)): one for key, one in value.items()})
    if isinstance(value, dict):
        return {name: swapped(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(swapped, value))
    if dataclasses.is_dataclass(value) and not isinstance(value, Estimate):
        return simulation.bare(type(value), **{name: swapped(one) for name, one in vars(value).items()})
    return value


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("world", simulation.WORLDS)
def test_models_that_change_names_change_places_in_every_answer(seed, world):
    results = planted(seed, world)
    before, after = question.answers(results), question.answers(swapped(results))
    assert len({one.question for one in before}) >= 4
    for one, other in zip(before, after, strict=True):
        assert swapped(one.text) == other.text
        assert swapped(one.subject) == other.subject
        assert swapped(one.winner) == other.winner
        assert one.verdict == other.verdict
        assert one.hazard == other.hazard


@pytest.mark.parametrize("seed", range(6))
def test_the_order_in_which_models_are_named_decides_nothing(seed):
    results = planted(seed)
    turned = {name: them[::-1] for name, them in results.items()}
    told = [{one.text: one.verdict for one in question.answers(every)} for every in (results, turned)]
    assert told[0] == told[1]


def test_numbers_that_flip_flip_every_verdict():
    good = {"native": 0.95, "mixed": (0.95, 0.95), "alike": (0.95, 0.95), "far": 0.0005, "mapped": 0.3}
    bad = {"native": 0.95, "mixed": (0.2, 0.4), "alike": (0.9, 0.9), "far": 0.2, "mapped": 0.88}
    verdicts = []
    for world in (good, bad):
        results = simulation.results(simulation.Crowd(400, np.random.default_rng(0)), world, ("a",))
        results.pop("verification")
        verdicts.append([one.verdict for one in question.answers(results)])
    assert verdicts[0] == ["no"] * 4
    assert verdicts[1] == ["yes"] * 4


@pytest.mark.parametrize("world", simulation.WORLDS)
def test_few_reports_of_equal_models_say_what_is_false(world):
    # Of 20 reports at 5 % more than 4 have a false verdict in one test of 400.
    found = simulation.simulated(world, reports=20, people=60, seed=7)
    assert found["any"] <= 4
