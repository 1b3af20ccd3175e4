"""Small reports of planted models, written as programs find them."""

import json
from functools import cache

import numpy as np

from embedlab.analyses import verification
from embedlab.lab import embeddings
from embedlab.lab.embeddings import EmbeddingSet
from embedlab.over import Input
from embedlab.report import numbers, sections
from embedlab.runner import Outcome, Run

ANSWER = {"question": "sizes", "subject": ["aster"], "kind": "points", "text": "It is so.", "hazard": False}


def planted(model, noise, people=60, seed=0, shown=0):
    """Gaussians about the same people for every model: four images each."""
    centres = np.random.default_rng(shown).normal(size=(people, 12))
    labels = np.repeat(np.arange(people), 4)
    vectors = centres[labels] + noise * np.random.default_rng([seed, shown, 7]).normal(size=(len(labels), 12))
    items = [f"i{k:04d}" for k in range(len(labels))]
    return EmbeddingSet.from_rows(model, "p", vectors, items, [f"who{shown}-{k:03d}" for k in labels])


@cache
def measured(noises, seed, shown, people, params):
    """Draw and measure models of some noises, (name, noise) each, once."""
    sets = [planted(model, noise, people, seed + k, shown) for k, (model, noise) in enumerate(noises)]
    return sets, outcome_of(sets, **dict(params))


def outcome_of(sets, **params):
    asked = verification.VerificationParams(**{"resamples": 200, **params})
    runs = [
        Run(one.title, verification.compute(one, asked), inputs=(Input("set", one.model, one.probe),))
        for one in sets
    ]
    return Outcome(verification.ANALYSIS, asked, tuple(runs))


def written(path, noises, answers=(), seed=0, shown=0, people=60, **params):
    """Write the report.json of models of some noises, measured on the people ``shown``."""
    path.parent.mkdir(exist_ok=True, parents=True)
    sets, outcome = measured(tuple(noises.items()), seed, shown, people, tuple(params.items()))
    members = []
    for one in sets:
        file = path.parent / "set.parquet"
        embeddings.write(file, one, {})
        members.append({"model": one.model, "probe": one.probe, **embeddings.members(file).told})
    section = sections.of_outcome(outcome)
    document = numbers.document("t", list(noises), ["p"], [section], [outcome], {}, members)
    document["answers"] = [{**ANSWER, **one} for one in answers]
    path.write_text(json.dumps(document))
    return path
