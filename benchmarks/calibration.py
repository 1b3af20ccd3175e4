"""How often intervals hold the truth, and how often a report of two equal models claims a difference.

The tables of ``docs/statistics.md``: ``python -m benchmarks.calibration PART``, with a part of coverage, few,
equal, power and dependence; minutes each, ``--tiny`` seconds.

The analyses themselves are run on drawn worlds, as a report runs them, and their own estimates and findings
read: nothing is computed past them. The truth of a number is its mean over all samples of a world; widths are
in units of 3.92 standard deviations over samples, so that 1 is right and less is too short.
"""

import argparse
import dataclasses
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from embedlab import analysis
from embedlab.errors import UserError
from embedlab.estimates import Estimate, Estimates, Finding
from embedlab.lab.embeddings import EmbeddingSet
from embedlab.maths.people import bootstrap, evidence
from embedlab.report import sections

DIMENSION, NOISE = 16, 0.9
MODELS, PROBES = ("aster", "birch"), ("p", "p@32")
CHEAP = tuple(one for one in analysis.builtin() if one not in ("kernels", "layers", "projection"))
FEW: dict[str, Any] = dict.fromkeys(("permutations", "shuffles", "slices"), 40)
FEW |= dict.fromkeys(("refits", "nulls", "restarts", "penalties", "splits"), 3)
# Registration is two thirds of the time of all, and has three fits a deal and space.
FEW |= {"deals": 1, "native": 3}
# What these find between two equally good models is so: they share who is who, and a map between them loses.
OF_SPACES = ("families", "mapping", "migration", "registration", "similarity")
SECOND = {"equal": NOISE, "worse": 1.5 * NOISE}


def equal(people: int, _: np.random.Generator) -> np.ndarray:
    """Four images each."""
    return np.full(people, 4)


def lfw(people: int, rng: np.random.Generator) -> np.ndarray:
    """Numbers of images that fall off as LFW's do: two thirds have one image, a few have dozens."""
    return np.minimum(np.floor(rng.random(people) ** (-1 / 1.6)), 60).astype(int)


def ruling(people: int, _: np.random.Generator) -> np.ndarray:
    """One person of sixty images, all others of three."""
    return np.concatenate([[60], np.full(people - 1, 3)])


@dataclasses.dataclass(frozen=True)
class World:
    """Gaussians on a sphere: who has how many images, how far they lie apart, what is wrong with them."""

    sizes: Callable[[int, np.random.Generator], np.ndarray] = equal
    tails: float = np.inf
    wrong: float = 0.0

    def sets(
        self, people: int, seed: int, noises: Sequence[Sequence[float]] = ((NOISE,),)
    ) -> list[list[EmbeddingSet]]:
        """Draw people anew, and of each model (a row) and probe (a column) vectors of its own noise."""
        rng = np.random.default_rng([11, seed])
        labels = np.repeat(np.arange(people), self.sizes(people, rng))
        named = np.where(rng.random(len(labels)) < self.wrong, rng.integers(people, size=len(labels)), labels)
        centres = rng.normal(size=(people, DIMENSION))

        def drawn(noise: float) -> np.ndarray:
            if np.isfinite(self.tails):
                return noise * rng.standard_t(self.tails, (len(labels), DIMENSION)) / np.sqrt(self.tails)
            return noise * rng.normal(size=(len(labels), DIMENSION))

        items, who = [f"i{k:05d}" for k in range(len(labels))], [f"person{k:04d}" for k in named]
        return [
            [
                EmbeddingSet.from_rows(model, probe, centres[labels] + drawn(noise), items, who)
                for probe, noise in zip(PROBES, row, strict=False)
            ]
            for model, row in zip(MODELS, noises, strict=False)
        ]


WORLDS = {
    "equal": World(),
    "LFW-like": World(lfw),
    "one of 60": World(ruling),
    "t3 tails": World(tails=3),
    "2 % wrong": World(wrong=0.02),
}


def runs(name: str, sets: list[list[EmbeddingSet]], resamples: int) -> Iterator[Any]:
    """Run an analysis on all that a report of these sets would."""
    found = analysis.get(name)
    known = {one.name for one in dataclasses.fields(found.params)}
    few = {k: v for k, v in {**FEW, "resamples": resamples}.items() if k in known}
    params = dataclasses.replace(found.params, **few)
    flat = [one for row in sets for one in row]
    columns = list(zip(*sets, strict=True))
    kinds = {
        "set": [(one,) for one in flat],
        "model": [tuple(row) for row in sets],
        "probe pair": [tuple(row) for row in sets if len(row) > 1],
        "degraded pair": [tuple(row) for row in sets if len(row) > 1],
        "model pair": columns if len(sets) > 1 else [],
        "models": columns if len(sets) > 1 else [],
    }
    for one in (one for over in found.overs for one in kinds.get(over.word, [])):
        try:
            yield found.run(one, params)
        except UserError:
            continue


def estimates(result: Any) -> Iterator[tuple[str, Estimate]]:
    """Give every estimate of a result with an interval."""
    for field in dataclasses.fields(result):
        value = getattr(result, field.name)
        for key, one in value.items() if isinstance(value, Estimates) else []:
            if one.low is not None and np.isfinite(one.value):
                yield ", ".join(key), one


def coverage(worlds: Sequence[str], people: int, samples: int, resamples: int, names: Sequence[str]) -> None:
    """Print per quantity and world how often the interval holds the truth, and how wide it is."""
    cells: dict[str, dict[str, str]] = defaultdict(dict)
    for world in worlds:
        found: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
        for seed in range(samples):
            sets = WORLDS[world].sets(people, seed)
            for name in names:
                for result in runs(name, sets, resamples):
                    for what, one in estimates(result):
                        found[what].append((one.value, one.low or 0.0, one.high or 0.0))
        for what, rows in found.items():
            value, low, high = np.array(rows).T
            if len(rows) < 0.9 * samples or value.std() == 0:
                continue
            truth, width = value.mean(), (high - low).mean() / (3.92 * value.std())
            held = ((low <= truth) & (truth <= high)).mean()
            cells[what][world] = f"{100 * held:.0f} %, {width:.2f}"
    table(["quantity", *worlds], [[what, *(row.get(w, "–") for w in worlds)] for what, row in cells.items()])


def said(sets: list[list[EmbeddingSet]], resamples: int, names: Sequence[str]) -> list[tuple[str, Finding]]:
    """Give the findings of a report of some analyses, decided alone, each with its analysis."""
    every: list[tuple[str, Finding]] = []
    for name in names:
        results = list(runs(name, sets, resamples))
        every += [(name, one) for one in (analysis.get(name).findings(results) if results else [])]
    return every


def between(name: str, finding: Finding) -> bool:
    """Whether a finding of an analysis compares the two models in what they are equal in."""
    return name not in OF_SPACES and all(model in finding.text for model in MODELS)


def false_claims(found: Sequence[tuple[str, Finding]]) -> dict[str, tuple[int, int]]:
    """Count, of differences between the two equal models, (claimed, compared) by way of deciding."""
    judged = [one for one in found if one[1].p is not None]
    p = [one.p or 0.0 for _, one in judged]
    is_between = np.array([between(*one) for one in judged], bool)
    together = np.array([bool(one.claimed) for one in sections.settled([one for _, one in judged])], bool)
    harmonic, q = float((1 / np.arange(1, len(p) + 1)).sum()), np.array(evidence.adjusted(p))
    count = int(is_between.sum())
    return {
        "each alone": (int((is_between & (np.array(p) <= evidence.LEVEL)).sum()), count),
        "Benjamini–Hochberg": (int((is_between & together).sum()), count),
        "Benjamini–Yekutieli": (int((is_between & (q * harmonic <= evidence.LEVEL)).sum()), count),
    }


def reports(
    noises: Sequence[Sequence[float]],
    people: int,
    samples: int,
    resamples: int,
    names: Sequence[str],
    world: str,
) -> dict[str, tuple[float, float]]:
    """Give by way of deciding the share of sentences and of reports that claim a difference of the models."""
    counted: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for seed in range(samples):
        found = said(WORLDS[world].sets(people, 5000 + seed, noises), resamples, names)
        counts = false_claims(found)
        for way, count in counts.items():
            counted[way].append(count)
        print(f"{world}, report {seed + 1} of {samples}: {counts}", file=sys.stderr, flush=True)
    shares = {}
    for way, rows in counted.items():
        claimed, compared = np.array(rows).T
        shares[way] = (claimed.sum() / max(compared.sum(), 1), (claimed > 0).mean())
    return shares


def equal_models(
    worlds: Sequence[str],
    seconds: Sequence[str],
    people: int,
    samples: int,
    resamples: int,
    names: Sequence[str],
) -> None:
    """Print false claims where the models are equal; the probes equal too, or the second worse for both."""
    rows = []
    for second in seconds:
        for world in worlds:
            noises = [(NOISE, SECOND[second])] * 2
            for way, (sentence, report) in reports(noises, people, samples, resamples, names, world).items():
                rows.append([second, world, way, f"{sentence:.1%}", f"{report:.0%}"])
    table(["second probe", "images", "decided", "false claims a sentence", "reports with one"], rows)


def power(people: int, samples: int, resamples: int, names: Sequence[str], worse: float = 1.1) -> None:
    """Print how often a true difference is claimed: the second model's noise is a tenth larger."""
    noises = [(NOISE, 1.2 * NOISE), (worse * NOISE, 1.2 * worse * NOISE)]
    found: dict[str, list[tuple[bool, bool]]] = defaultdict(list)
    for seed in range(samples):
        alone = [one for _, one in said(WORLDS["equal"].sets(people, 9000 + seed, noises), resamples, names)]
        for one, other in zip(alone, sections.settled(alone), strict=True):
            if one.p is not None and all(name in one.text for name in MODELS):
                words = re.sub(r"[-+]?\d[\d.,]*(?: ?%)?|\[.*?\]|aster|birch", "…", one.text.split(":")[0])
                found[words].append((bool(one.claimed), bool(other.claimed)))
    rows = [
        [words, len(pairs), *(f"{share:.0%}" for share in np.array(pairs).mean(axis=0))]
        for words, pairs in found.items()
    ]
    table(["sentence", "reports", "claimed alone", "claimed in a report"], rows)


def dependent(
    people: int, samples: int, resamples: int, sentences: int = 40
) -> dict[tuple[float, float], list[float]]:
    """Give false claims of reports whose sentences are means over the same people, more and less correlated.

    Returns
    -------
    By correlation and by how many sentences are of a true difference (of 3.5 standard errors): the share
    of reports with a false claim where each is judged alone, by Benjamini and Hochberg, and by Benjamini and
    Yekutieli; the share of true differences claimed by the three; and of false ones among those claimed.
    """
    harmonic = float((1 / np.arange(1, sentences + 1)).sum())
    found = {}
    for correlation in (0.0, 0.5, 0.9):
        for true in (0.0, 0.5):
            real = np.arange(sentences) < true * sentences
            counted = np.zeros((samples, 3, 2), int)
            for seed in range(samples):
                rng = np.random.default_rng([13, seed])
                shared, own = rng.normal(size=(people, 1)), rng.normal(size=(people, sentences))
                sides = np.where(np.arange(sentences) % 2, 1, -1)
                x = sides * np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * own
                x += real * 3.5 / np.sqrt(people)
                drawn = bootstrap.resamples(people, resamples, seed) @ x / people
                p = [evidence.two_sided_p(*one, people) for one in zip(x.mean(axis=0), drawn.T, strict=True)]
                q = np.array(evidence.adjusted(p))
                ways = np.array([p, q, q * harmonic]) <= evidence.LEVEL
                counted[seed] = np.stack([ways[:, real].sum(axis=1), ways[:, ~real].sum(axis=1)], axis=1)
            right, wrong = counted.transpose(2, 1, 0)
            share = right.mean(axis=1) / max(real.sum(), 1)
            false = wrong.sum(axis=1) / np.maximum((right + wrong).sum(axis=1), 1)
            found[correlation, true] = [*(wrong > 0).mean(axis=1), *share, *false]
    return found


def dependence(people: int, samples: int, resamples: int) -> None:
    """Print what correlation among the sentences of a report does to the three ways of deciding."""
    rows = [
        [correlation, f"{true:.0%}", *(" / ".join(f"{x:.0%}" for x in row[k : k + 3]) for k in (0, 3, 6))]
        for (correlation, true), row in dependent(people, samples, resamples).items()
    ]
    ways = "alone / BH / BY"
    table(
        [
            "correlation",
            "true",
            f"reports with a false claim, {ways}",
            f"true ones claimed, {ways}",
            "false share",
        ],
        rows,
    )


def few_people(samples: int, resamples: int, names: Sequence[str]) -> None:
    """Print how often something is claimed of two equal models seen on a handful of people."""
    rows = []
    for people in (2, 3, 4, 6, 8, 10, 12, 20):
        shares = reports([(NOISE,)] * 2, people, samples, resamples, names, "equal")
        rows.append([people, *(f"{report:.0%}" for _, report in shares.values())])
    table(["people", "each alone", "Benjamini–Hochberg", "Benjamini–Yekutieli"], rows)


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table as it stands in the documentation."""
    for row in (columns, ["---"] * len(columns), *rows):
        print("| " + " | ".join(map(str, row)) + " |")


def main(words: Sequence[str] | None = None) -> None:
    """Measure one part and print its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=("coverage", "few", "equal", "power", "dependence"))
    parser.add_argument("--people", type=int)
    parser.add_argument("--samples", type=int)
    parser.add_argument("--resamples", type=int, default=250)
    parser.add_argument("--only", nargs="+", default=CHEAP)
    parser.add_argument("--worlds", nargs="+", default=list(WORLDS), choices=list(WORLDS))
    parser.add_argument("--second", nargs="+", default=list(SECOND), choices=list(SECOND), help="probe")
    parser.add_argument("--tiny", action="store_true", help="only to see that it runs")
    given = parser.parse_args(words)
    samples = given.samples or (2 if given.tiny else 40)
    people = given.people or (12 if given.tiny else 60)
    resamples = 30 if given.tiny else given.resamples
    names, worlds = given.only, given.worlds[: 1 if given.tiny else None]
    match given.part:
        case "coverage":
            coverage(worlds, people, samples, resamples, names)
        case "dependence":
            dependence(people, samples, resamples)
        case "few":
            few_people(samples, resamples, names)
        case "equal":
            equal_models(worlds, given.second, people, samples, resamples, names)
        case "power":
            power(people, samples, resamples, names)


if __name__ == "__main__":
    main()
