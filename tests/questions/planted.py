"""Results that hold only what a question reads."""

import numpy as np

from embedlab import question
from embedlab.estimates import Estimate, Estimates

PEOPLE = 200


def bare(kind, **fields):
    """A result without those of its fields that nobody reads."""
    made = object.__new__(kind)
    for name, value in fields.items():
        object.__setattr__(made, name, value)
    return made


def estimate(value, sd=0.005, seed=0, **more):
    """An estimate whose draws are those of one population; seeds make them independent."""
    draws = (value + sd * np.random.default_rng(seed).standard_normal(1000)).astype(np.float32)
    ends = {"low": value - 1.96 * sd, "high": value + 1.96 * sd, "n": PEOPLE, "drawn_from": "planted"}
    return Estimate(value, **{**ends, "draws": draws, **more})


def told(asked, over=1, **results):
    """The answers of one question, judged among so many claims."""
    claims = asked.judge(results, asked.params)
    return [question.judged(asked.name, claim, over) for claim in claims]


def by_key(values, sd=0.005):
    """Estimates by key, each with draws of its own."""
    return Estimates({key: estimate(v, sd, seed) for seed, (key, v) in enumerate(values.items())})
