"""Separability: whether the resolution of an image can be read from its vector.

The first probe is the reference, every other one is held against it, on all images that every probe shows
and on unit vectors. A linear classifier, a straight cut (Fisher's discriminant with a ridge of a thousandth
of the mean variance [1]_), is fitted on the people of all folds but one and tells the two versions of the
others' images apart. *Accuracy* is the share of versions named rightly. Each image stands in both classes,
so it is balanced, and unlike AUC it needs no score that is comparable between folds. Every person counts
once, however many images there are.

*By chance* is the mean accuracy where the versions of a person's images change places at random and the cut
is fitted again; p is the share of such permutations, the measured one included, that do as well [2]_. The
*learning curve* gives the accuracy of cuts that were fitted on a quarter and on half of the people.

Intervals are 95 % intervals of a bootstrap over people. To the accuracy of the people drawn each
resample adds what another draw of the people fitted on changes: the cut is fitted again on resampled groups
of people.

How to read it
--------------
Accuracy near one half: a straight cut cannot find the resolution. Near one it can, and whatever uses the
vectors may lean on it; that is no harm by itself. Whether the versions lie *far* apart is another question:
see displacement, and what it costs in verification. A learning curve that still rises says that more people
would let the cut read more.

Limits
------
Chance for a straight cut does not exclude a curved one. Unit vectors have no norm, which often tells
resolution by itself: geometry shows it. Accuracies of data of different size compare only along the
learning curve.

In 200 simulated sets each of equally many images, of one to forty, and of one person of 60 images among 149
of 3, 95 % intervals held the mean accuracy in 97–98 %, and of two equal models 1.5–4 % were told apart
(``benchmarks/separability.py``).

References
----------
.. [1] Hastie, T., Tibshirani, R. and Friedman, J. The Elements of Statistical Learning. Springer, 2nd ed.
   2009.
.. [2] Phipson, B. and Smyth, G. K. Permutation P-values should never be zero. Statistical Applications in
   Genetics and Molecular Biology 9(1), 2010.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
from jaxtyping import Float, Int

from embedlab.analysis import Analysis, Finding, Params, Result, bounded
from embedlab.charts import Bars, Chart, Curve, Curves, Histogram
from embedlab.errors import UserError
from embedlab.estimates import Estimate, Estimates, People, Place, bars, claim, compared, shares
from embedlab.lab.embeddings import EmbeddingSet, shared_by
from embedlab.maths.pairs.moments import Drawn
from embedlab.maths.people.folds import identity_folds
from embedlab.maths.people.permutation import p_value
from embedlab.maths.space.readout import Readout, held_out
from embedlab.progress import track

FEWEST_PEOPLE = 4
SURE = 0.05
RISES = 0.01  # Of accuracy, between half of the people and all.
BINS = 40
REFITS = 20
ACCURACY, P = "held-out accuracy", "p of held-out accuracy"
FITTED = (0.25, 0.5, 1.0)


@dataclass(frozen=True)
class SeparabilityParams(Params):
    """Knobs of the separability analysis."""

    folds: int = bounded(5, least=2)
    """How many folds of people the classifier is judged on."""
    permutations: int = bounded(199, least=1)
    """How many permutations, each with a classifier of its own, stand behind p and the accuracy by chance."""
    resamples: int = bounded(1000, least=2)
    """How many bootstrap resamples of people stand behind each interval."""
    seed: int = bounded(0, least=0)
    """Seed of the folds, the permutations and the resamples."""


@dataclass(frozen=True)
class Separability(Result):
    """How well each other probe of a model is told from its first."""

    people: int
    images: int = field(metadata={"label": "images of each probe"})
    dropped: int = field(metadata={"label": "images not in every probe, left out"})
    reference: str = field(metadata={"hidden": True})
    probes: tuple[str, ...]
    estimates: Estimates
    p_values: Mapping[Place, float]
    permutations: int = field(metadata={"hidden": True})
    fitted: Int[np.ndarray, " sizes"]
    learning: Float[np.ndarray, "probes sizes"]
    log_odds_edges: Float[np.ndarray, "probes bins+1"]
    log_odds: Int[np.ndarray, "probes 2 bins"]

    def of(self, name: str) -> Estimate:
        """Give the accuracy by which a probe is told from the reference."""
        return self.estimates[ACCURACY, name]


def compute(sets: Sequence[EmbeddingSet], params: SeparabilityParams) -> Separability:
    """Tell every other probe of a model from its first, on the images that all of them show.

    Raises
    ------
    UserError
        If there is one probe only, or the probes share no image or fewer than four people.
    """
    if len(sets) < 2:
        raise UserError(
            f"{sets[0].title} is the model's only probe, and there is nothing to tell it from: name a second "
            "one of the same images"
        )
    (shared, *others), dropped = shared_by(sets)
    people = len(shared.identities)
    if people < FEWEST_PEOPLE:
        raise UserError(
            f"{sets[0].model}: a classifier is fitted on some people and judged on others, and only {people} "
            f"are in every probe: give images of at least {FEWEST_PEOPLE}"
        )
    everybody = People.of(shared.identities, params, items=shared.items)
    fold = identity_folds(people, min(params.folds, people), params.seed)
    rng = np.random.default_rng([params.seed, 11])
    signs = rng.choice([-1.0, 1.0], size=(params.permutations, people))
    read = {}
    for other in track(others, "reading probes"):
        versions = np.stack([shared.unit, other.unit])
        read[other.probe] = held_out(versions, shared.labels, fold, signs, refits=REFITS, seed=params.seed)
    histograms = [_histograms(one.odds) for one in read.values()]
    fitted_on = people - np.bincount(fold).mean()
    return Separability(
        title=sets[0].model,
        people=people,
        images=len(shared.items),
        dropped=dropped,
        reference=sets[0].probe,
        probes=tuple(read),
        estimates=Estimates({(ACCURACY, name): _accuracy(one, everybody) for name, one in read.items()}),
        p_values={(P, name): p_value(one.right.mean(), one.by_chance) for name, one in read.items()},
        permutations=params.permutations,
        fitted=np.round(np.array(FITTED) * fitted_on).astype(np.int64),
        learning=np.stack([one.fewer for one in read.values()]),
        log_odds_edges=np.stack([edges for edges, _ in histograms]),
        log_odds=np.stack([counts for _, counts in histograms]),
    )


def _accuracy(read: Readout, everybody: People) -> Estimate:
    """Draw the people judged, and add what another draw of those fitted on changes."""
    people = len(read.right)
    drawn = everybody.counts @ read.right / people
    refitted = read.refitted - read.refitted.mean()
    refitted *= np.sqrt(len(refitted) / (len(refitted) - 1))
    drawn = np.clip(drawn + np.resize(refitted, len(drawn)), 0.0, 1.0)
    found = Drawn(float(read.right.mean()), drawn)
    return everybody.estimate(found, people, float(read.by_chance.mean()), share=True)


def _histograms(log_odds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give edges, and counts of shape (2, bins); what lies far out stands in the last bins."""
    limit = float(np.quantile(np.abs(log_odds), 0.99)) or 1.0
    edges = np.linspace(-limit, limit, BINS + 1)
    return edges, np.stack([np.histogram(np.clip(v, -limit, limit), edges)[0] for v in log_odds])


def charts(results: Sequence[Separability]) -> list[Chart]:
    """Accuracy over probes, how it grows with the people fitted on, and each model's hardest cut."""
    names = tuple(dict.fromkeys(name for r in results for name in r.probes))
    references = " or ".join(dict.fromkeys(r.reference for r in results))
    nulls = {n: [r.of(n).null or 0.0 for r in results if n in r.probes] for n in names}
    counted = dict.fromkeys(f"{r.people:,} people, {r.images:,} images." for r in results)
    accuracy = Bars(
        title=f"Telling a probe from {references} by a linear classifier",
        ylabel="held-out accuracy",
        categories=names,
        series=bars({r.title: r.estimates for r in results}, ACCURACY, [(name,) for name in names]),
        nulls={name: float(np.mean(found)) for name, found in nulls.items()},
        note=f"Mark: versions named at random. Every person counts once. {' '.join(counted)}",
    )
    return [accuracy, _learning(results), *(_cut_chart(r) for r in results)]


def _learning(results: Sequence[Separability]) -> Curves:
    return Curves(
        title="Accuracy over the number of people learned from",
        xlabel="people the cut was fitted on",
        ylabel="held-out accuracy",
        curves=tuple(
            Curve(f"{r.title}, {name}", r.fitted.astype(float), row, model=r.title, markers=True)
            for r in results
            for name, row in zip(r.probes, r.learning, strict=True)
        ),
        note="All are judged on the same people, whom none was fitted on.",
    )


def _cut_chart(r: Separability) -> Histogram:
    name = _hardest([r])
    place = r.probes.index(name)
    reference, other = r.log_odds[place]
    return Histogram(
        title=f"The cut between {r.reference} and {name} in {r.title}",
        xlabel=f"held-out log odds of {name}",
        edges=r.log_odds_edges[place],
        series={r.reference: reference, name: other},
        lines={"cut": 0.0},
        note=f"{'The hardest to tell. ' if len(r.probes) > 1 else ''}The last bins hold what lies beyond.",
    )


def _hardest(results: Sequence[Separability]) -> str:
    shared = [name for name in results[0].probes if all(name in r.probes for r in results)]
    return min(shared, key=lambda name: sum(r.of(name).value for r in results))


def findings(results: Sequence[Separability]) -> list[Finding]:
    """Say how well resolution is read where it is hardest, and which model hides it better."""
    said = [one for r in results for one in _reading(r)]
    for a, b in combinations(results, 2):
        if a.reference == b.reference and set(a.probes) & set(b.probes):
            name = _hardest([a, b])
            more, less = sorted((a, b), key=lambda r: -r.of(name).value)
            most, least = shares(more.of(name), less.of(name))
            text = (
                f"A linear classifier tells {name} from {a.reference} in {most} of images in {more.title} "
                f"and {least} in {less.title}"
            )
            said.append(compared(text, more.of(name), less.of(name), tones=("plain", "plain")))
    return said


def _reading(r: Separability) -> list[Finding]:
    name = _hardest([r])
    found, p = r.of(name), r.p_values[P, name]
    hardest = f", the hardest of {len(r.probes)} probes" if len(r.probes) > 1 else ""
    chance = f"{found.null or 0.0:.1%} by chance, p = {p:.3f}"
    said = [
        claim(
            f"In {r.title} a linear classifier tells {name} from {r.reference}{hardest}, in {found:.1%} of "
            f"new people's images ({chance}).",
            f"In {r.title} no linear classifier is found that tells {name} from {r.reference}{hardest} "
            f"({found:.1%} of images named rightly, {chance}).",
            p,
            least_p=1 / (1 + r.permutations),
        )
    ]
    half, whole = r.learning[r.probes.index(name)][1:]
    if p <= SURE and found.high is not None and whole - half > max(RISES, found.high - found.value):
        said.append(
            Finding(
                f"In {r.title} the classifier that tells {name} is right in {half:.1%} when learned from "
                f"{r.fitted[-2]:,} people, in {whole:.1%} from {r.fitted[-1]:,}: with more it may be more."
            )
        )
    return said


ANALYSIS = Analysis(
    question="Can the resolution of an image be read from its vector?",
    over="model",
    params=SeparabilityParams(),
    result=Separability,
    compute=compute,
    charts=charts,
    findings=findings,
)
