"""How often a report of two equal models says yes: answers judged on planted results.

    python -m benchmarks.answers [--reports 200] [--people 150] [--seed 0]

Every report has two models that are equal by construction: of each person both have one chance of a
genuine pair being accepted, and pairs of their own. Intervals and differences come from the resamples that
analyses draw, and all answers of a report are judged together, as `embedlab.question.answers` does.

*nothing*: no size, no mixing and no blur costs anything, every threshold keeps its FAR, no map helps. Each
``yes`` is false.
*on the edge*: every effect but the difference of the models is just what matters, the least favourable case
for both verdicts: each ``yes`` is false, and so is each ``no`` but that the models are alike.

200 reports of 150 people with six genuine pairs each, seed 0: how many have a false verdict.

| world | false `yes` or `no` | of which |
|---|---|---|
| nothing | 0 of 200 | all 200 say that the models are alike |
| on the edge | 3 of 200 (1.5 %) | sizes `yes` 1, sizes `no` 1, undoing_blur `yes` 1; all else is open |
"""

import argparse
from collections.abc import Mapping, Sequence

import numpy as np

from embedlab import question
from embedlab.analyses.drift import FAR, Drift
from embedlab.analyses.resolution import TAR, Resolution
from embedlab.analyses.restoration import Restoration
from embedlab.analyses.verification import Verification, VerificationParams
from embedlab.estimates import Estimate, Estimates, People
from embedlab.maths.linear.crossmodel import RANK_1
from embedlab.maths.linear.map_trials import RIDGE, TARGET, UNMAPPED
from embedlab.maths.pairs.moments import mean
from embedlab.operating import tar_at
from embedlab.question import Answer

FAR_ASKED, SIZES = 0.001, (8, 32)
SPREAD = 8.0
"""How alike people are: the two parameters of the Beta law of their chances sum to it."""

NOTHING = {"native": 0.9, "mixed": (0.9, 0.9), "alike": (0.9, 0.9), "far": 0.001, "mapped": 0.6}
EDGE = {"native": 0.9, "mixed": (0.8, 0.88), "alike": (0.82, 0.9), "far": 0.003, "mapped": 0.62}
WORLDS = {"nothing": NOTHING, "on the edge": EDGE}


class Crowd:
    """The people of one report: how easy each is, and how they are resampled."""

    def __init__(self, people: int, rng: np.random.Generator) -> None:
        self.rng = rng
        self.ease = rng.random(people)
        self.people = People.of(map(str, range(people)), VerificationParams())

    def share(self, chance: float, trials: int = 6) -> Estimate:
        """Draw what share of each person's trials succeeds: an easy person is so for every model."""
        from scipy.stats import beta

        if chance < 0.01:  # Impostor pairs: few people have nearly all of the false accepts.
            each = self.rng.gamma(0.5, chance / 0.5, len(self.ease))
        else:
            each = beta.ppf(self.ease, SPREAD * chance, SPREAD * (1 - chance))
            each = self.rng.binomial(trials, each) / trials
        return self.measured(each)

    def measured(self, values: np.ndarray) -> Estimate:
        """Give the mean of people's values as analyses do: with the interval of a share."""
        n = len(values)
        return self.people.estimate(mean(values, np.arange(n), self.people.counts), n, share=True)


def bare(kind, **fields):
    """Make a result without those of its fields that no question reads."""
    made = object.__new__(kind)
    for name, value in fields.items():
        object.__setattr__(made, name, value)
    return made


def results(crowd: Crowd, world: Mapping, models: Sequence[str] = ("a", "b")) -> dict[str, list]:
    """Plant what analyses find of models that are equal."""
    found = {"verification": [], "resolution": [], "drift": [], "restoration": []}
    names, pixels = [f"{p} px" for p in SIZES], np.array([*SIZES, 0])
    for model in models:
        native = crowd.share(world["native"])
        tars = {(TAR, "native", "native"): native}
        fars = {(FAR, "native", "native"): crowd.share(FAR_ASKED)}
        for k, name in enumerate(names):
            tars[TAR, "native", name] = crowd.share(world["mixed"][k])
            tars[TAR, name, name] = crowd.share(world["alike"][k])
            fars |= {(FAR, "native", name): crowd.share(world["far"])}
            fars |= {(FAR, name, name): crowd.share(world["far"])}
        found["verification"].append(
            bare(
                Verification, title=f"d in {model}", model=model, probe="d", templates=False, far=FAR_ASKED,
                levels=np.array([FAR_ASKED]), thresholds=np.array([0.3]), false_accepts=np.array([99]),
                genuine_pairs=6 * len(crowd.ease), impostor_pairs=100_000,
                estimates=Estimates({(tar_at(FAR_ASKED),): native}),
            )
        )  # fmt: skip
        at = {"title": f"d in {model}", "model": model, "dataset": "d", "pixels": pixels, "far": FAR_ASKED}
        found["resolution"].append(bare(Resolution, **at, estimates=Estimates(tars)))
        found["drift"].append(bare(Drift, **at, estimates=Estimates(fars)))
        ranks = {UNMAPPED: 0.6, RIDGE: world["mapped"], TARGET: 0.9}
        found["restoration"].append(
            bare(
                Restoration, title="", model=model, native="d", degraded="d@8", gallery=100, fitted_people=90,
                estimates=Estimates({(RANK_1, e): crowd.share(rank, 4) for e, rank in ranks.items()}),
            )
        )  # fmt: skip
    return found


def report(world: Mapping, people: int, seed: int) -> list[Answer]:
    """Give the answers of one report."""
    return question.answers(results(Crowd(people, np.random.default_rng(seed)), world))


def is_false(answer: Answer, world: str) -> bool:
    """Say whether a verdict is false in a world; that equal models are shown to be equal never is."""
    if answer.verdict not in ("yes", "no"):
        return False
    return answer.verdict == "yes" or (world == "on the edge" and answer.question != "recognition")


def simulated(world: str, reports: int, people: int, seed: int = 0) -> dict[str, int]:
    """Count reports with a false verdict.

    Returns
    -------
    Under "any", of how many reports one verdict or more is false; then by question and verdict.
    """
    counts: dict[str, int] = {"any": 0, "decided": 0}
    for k in range(reports):
        answers = report(WORLDS[world], people, seed * 100_000 + k)
        wrong = {f"{a.question}, {a.verdict}" for a in answers if is_false(a, world)}
        counts["any"] += bool(wrong)
        counts["decided"] += any(a.verdict in ("yes", "no") for a in answers)
        for one in wrong:
            counts[one] = counts.get(one, 0) + 1
    return counts


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--reports", type=int, default=200)
    words.add_argument("--people", type=int, default=150)
    words.add_argument("--seed", type=int, default=0)
    asked = words.parse_args()
    for world in WORLDS:
        found = simulated(world, asked.reports, asked.people, asked.seed)
        told = ", ".join(f"{what}: {n} ({n / asked.reports:.1%})" for what, n in found.items())
        print(f"{world}: of {asked.reports} reports, false {told}")


if __name__ == "__main__":
    main()
