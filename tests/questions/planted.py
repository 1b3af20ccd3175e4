"""Results that hold only what a question reads."""

import re

import numpy as np

from embedlab import question
from embedlab.estimates import Estimate, Estimates

PEOPLE = 200
LONGEST_MARK = 8
LONGEST = 30


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
    """The answers of one question, judged among so many claims; each says its verdict in its own words."""
    claims = asked.judge(results, asked.params)
    found = [question.judged(asked.name, claim, over) for claim in claims]
    for one, claim in zip(found, claims, strict=True):
        assert {"yes", "no"} & set(claim.said) == set(claim.marks), f"{asked.name}: {one.text}"
        bare = re.sub(r"\([^()]*\)", "", one.text).rstrip(". ")
        assert len(bare.split()) <= LONGEST, f"{asked.name}: {one.text}"
        assert all(0 < len(mark) <= LONGEST_MARK for mark in claim.marks.values())
        assert one.shown_as not in ("yes", "no"), "what a yes is good for differs from question to question"
    return found


def by_key(values, sd=0.005):
    """Estimates by key, each with draws of its own."""
    return Estimates({key: estimate(v, sd, seed) for seed, (key, v) in enumerate(values.items())})
