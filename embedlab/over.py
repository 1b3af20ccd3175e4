"""What an analysis is over: its word, what one run of it takes, and the runs that answer a study."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from embedlab.errors import UserError

Word = Literal[
    "set",
    "model",
    "probe pair",
    "degraded pair",
    "model pair",
    "models",
    "weights",
    "weight pair",
    "network pair",
]
Kind = Literal["set", "weights", "network"]


@dataclass(frozen=True)
class Input:
    """One input of a run: a model's vectors for a probe, its weights, or the network with images to run."""

    kind: Kind
    model: str
    probe: str = ""

    @property
    def title(self) -> str:
        """Name the input in words."""
        words = {"set": f"{self.probe} in {self.model}", "network": f"{self.probe} through {self.model}"}
        return words.get(self.kind, f"weights of {self.model}")


class Asked(Protocol):
    """What names models and probes, as a study does."""

    @property
    def models(self) -> tuple[str, ...]:
        """Names of models, in order."""

    @property
    def probes(self) -> tuple[str, ...]:
        """Names of probes, in order."""


@dataclass(frozen=True)
class Over:
    """What the runs of an analysis are over.

    Attributes
    ----------
    word
        How ``Analysis(over=…)`` names it.
    takes
        What one run takes, as the catalogue says it.
    needs
        What must be there for one run, to end "it compares …".
    runs
        Models and probes → the inputs of each run, in the order in which ``compute`` takes them.
    kind
        Whether the inputs are embedding sets, weights, or networks with images (`embedlab.lab.live`).
    many
        Whether ``compute`` takes one sequence of however many inputs, and not each as an argument.
    """

    word: Word
    takes: str
    needs: str
    runs: Callable[[Asked], list[tuple[Input, ...]]]
    kind: Kind = "set"
    many: bool = False


def named(word: str) -> Over:
    """Give what a word of ``Analysis(over=…)`` stands for.

    Raises
    ------
    UserError
        If it stands for nothing.
    """
    if word not in OVERS:
        raise UserError(f"no analysis can be over {word!r}: write one of {', '.join(map(repr, OVERS))}")
    return OVERS[word]


def degraded_pairs(probes: Sequence[str]) -> list[tuple[str, str]]:
    """Pair the native probe of each data set with its degraded ones.

    Native is the probe without ``@``, or the one of most pixels where there is none. Where the names
    tell of no degradation, the first probe is taken as the native one of all others.
    """

    def size(probe: str) -> float:
        _, _, pixels = probe.partition("@")
        return float(pixels) if pixels.isdecimal() else float("inf")

    groups: dict[str, list[str]] = {}
    for probe in probes:
        groups.setdefault(probe.partition("@")[0], []).append(probe)
    found = []
    for members in groups.values():
        native = max(members, key=size)
        found += [(native, probe) for probe in members if probe != native]
    return found or [(probes[0], probe) for probe in probes[1:]]


def _pairs(names: Sequence[str]) -> list[tuple[str, str]]:
    return list(itertools.combinations(names, 2))


def _sets(model: str, *probes: str) -> tuple[Input, ...]:
    return tuple(Input("set", model, probe) for probe in probes)


def _across(probe: str, *models: str) -> tuple[Input, ...]:
    return tuple(Input("set", model, probe) for model in models)


OVERS: dict[str, Over] = {
    one.word: one
    for one in (
        Over(
            "set",
            "one model, one probe",
            "a model and a probe",
            lambda asked: [_sets(m, p) for m in asked.models for p in asked.probes],
        ),
        Over(
            "model",
            "one model, all probes",
            "a model and a probe",
            lambda asked: [_sets(m, *asked.probes) for m in asked.models],
            many=True,
        ),
        Over(
            "probe pair",
            "one model, two probes",
            "two probes of one model",
            lambda asked: [_sets(m, *two) for m in asked.models for two in _pairs(asked.probes)],
        ),
        Over(
            "degraded pair",
            "one model, its native and a degraded probe",
            "two probes of one model",
            lambda asked: [_sets(m, *two) for m in asked.models for two in degraded_pairs(asked.probes)],
        ),
        Over(
            "model pair",
            "two models, one probe",
            "two models",
            lambda asked: [_across(p, *two) for p in asked.probes for two in _pairs(asked.models)],
        ),
        Over(
            "models",
            "all models, one probe",
            "a model and a probe",
            lambda asked: [_across(p, *asked.models) for p in asked.probes],
            many=True,
        ),
        Over(
            "weights",
            "the weights of one model",
            "a model",
            lambda asked: [(Input("weights", m),) for m in asked.models],
            kind="weights",
        ),
        Over(
            "weight pair",
            "the weights of two models",
            "two models",
            lambda asked: [(Input("weights", a), Input("weights", b)) for a, b in _pairs(asked.models)],
            kind="weights",
        ),
        Over(
            "network pair",
            "two networks, and images as they are",
            "two models and a probe",
            lambda asked: [
                (Input("network", a, probe), Input("network", b, probe))
                for probe in asked.probes[:1]
                for a, b in _pairs(asked.models)
            ],
            kind="network",
        ),
    )
}
"""By word, all that an analysis can be over; nothing else tells these kinds apart."""
