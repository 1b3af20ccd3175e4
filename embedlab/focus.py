"""Which of many models a report looks into: all are measured where models are ranked, few are dissected.

A hundred models make 4,950 pairs, and as many charts of single spaces as there are models; nobody reads them,
and they take days. Of more than ``MANY`` models all go through the analyses that rank and group them
(``MEASURED``). The others run on the best ``MANY``, and of pairs of models on those of the very best with
each of the next, on images as they are. What is left out is said.
"""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from embedlab.over import Input, degraded_pairs
from embedlab.study import Planned

if TYPE_CHECKING:
    from embedlab.analysis import Result

MANY = 6
"""So many models are looked into one by one, and in all their pairs."""

RANKING = "verification"
"""By its results models are ranked."""

MEASURED = (RANKING, "accuracy", "resolution", "drift", "families")
"""What every model goes through, however many there are."""


def is_many(models: Sequence[str]) -> bool:
    """Say whether a report on so many models looks into some of them only."""
    return len(models) > MANY


def native(probes: Sequence[str]) -> list[str]:
    """List the probes that are not degraded ones of others."""
    degraded = {probe for _, probe in degraded_pairs(probes)}
    return [probe for probe in probes if probe not in degraded]


def best(results: Sequence["Result"], models: Sequence[str]) -> tuple[str, ...]:
    """Give the models that a report looks into, the best first.

    Parameters
    ----------
    results
        What ``RANKING`` found; TAR at the FAR asked for, on the first probe that is no degraded one, counts.
    models
        All of them. Those without such a TAR come last, in their order.
    """
    from embedlab.analyses.verification import Verification

    found = [r for r in results if isinstance(r, Verification) and not r.templates]
    probe = next(iter(native(list(dict.fromkeys(r.probe for r in found)))), "")
    tar = {r.model: r.tar(r.far).value for r in found if r.probe == probe and r.at(r.far) is not None}
    order = sorted(models, key=lambda model: -tar.get(model, -1.0))
    return tuple(order[:MANY])


def narrowed(planned: Planned, chosen: Sequence[str], probes: Sequence[str]) -> Planned:
    """Leave of an analysis's runs those on the models that are looked into.

    Parameters
    ----------
    planned
        The analysis, with the runs on all models.
    chosen
        The models that are looked into, the best first.
    probes
        Those of the study.
    """
    if planned.analysis.name in MEASURED:
        return planned
    whole = set(native(probes))

    def stays(run: Sequence[Input]) -> bool:
        models = {one.model for one in run}
        alone = len(models) == 1 or planned.analysis.takes_many
        return alone or (chosen[0] in models and all(one.probe in whole for one in run if one.probe))

    kept = [tuple(one for one in run if one.model in chosen) for run in planned.runs]
    there = zip(kept, planned.runs, strict=True)
    runs = [run for run, every in there if run and (run == every or planned.analysis.takes_many)]
    return dataclasses.replace(planned, runs=tuple(filter(stays, runs)))


def told(chosen: Sequence[str], models: Sequence[str], *, pairs: bool) -> str:
    """Say which models are looked into, and what is left out."""
    text = f"Of {len(models):,} models the {len(chosen)} best are looked into: {', '.join(chosen)}"
    if pairs:
        text += f". Of {len(models) * (len(models) - 1) // 2:,} pairs, {chosen[0]} is held against each other"
        text += " of these, on images as they are"
    return f"{text}. Name fewer models to look into others"
