"""Barrier: whether one network can be turned into another step by step without losing recognition on the way.

On the straight line between the weights of two networks most networks recognise nobody, since channels have
no natural order. Those of the second are therefore permuted first to match the first's by their weights
[1]_. Norm layers' statistics are set anew at every step, by images of people who do not judge: without that
variances collapse on the way [2]_. The *barrier* is the mean TAR of both ends less that halfway between them.

Beside it stands *CKA by layer*: how alike the two networks, each with its own weights, respond to the same
images after each convolution [3]_, whatever the order of channels; unbiased, from means over few places.

How to read it
--------------
No barrier: the two lie in one basin, and differ in the order of their channels and little else. Halfway
*without matching* is what matching must beat. The null of CKA is that of shuffled images. Two trainings of
one recipe from different seeds, if such are among the models, are the ceiling for all others.

Limits
------
At most 512 images, half of whose people set statistics, so that FAR cannot be low. Matching may miss the best
order. One line is looked at: networks with a barrier may still be joined by a curve. CKA is ruled by the few
directions in which responses vary most. Networks of unlike shape have no line, and are left out.

References
----------
.. [1] Ainsworth, S. K., Hayase, J. and Srinivasa, S. Git Re-Basin: merging models modulo permutation
   symmetries. ICLR 2023.
.. [2] Jordan, K., Sedghi, H., Saukh, O., Entezari, R. and Neyshabur, B. REPAIR: renormalizing permuted
   activations for interpolation repair. ICLR 2023.
.. [3] Kornblith, S., Norouzi, M., Lee, H. and Hinton, G. Similarity of neural network representations
   revisited. ICML 2019.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from embedlab.analysis import Analysis, Finding, Params, Result, bounded
from embedlab.charts import Chart, Curve, Curves
from embedlab.errors import UserError
from embedlab.estimates import Estimate, Estimates, People, claim, compared
from embedlab.lab.live import Live
from embedlab.maths.kernels.channel_matching import match, rewired
from embedlab.maths.likeness.hsic import FEWEST, norm, u_centred
from embedlab.maths.pairs import roc
from embedlab.maths.pairs.all_pairs import all_pairs
from embedlab.maths.pairs.moments import Drawn
from embedlab.progress import busy, track

TAR, MATCHED, AS_THEY_ARE, ENDS = "TAR", "channels matched", "as they are", "mean of both ends"
HALFWAY = 0.5
SHOWN = 2


@dataclass(frozen=True)
class BarrierParams(Params):
    """Knobs of the walk from one network to the other."""

    steps: int = bounded(2, least=1, most=20)
    """Into how many steps either half of the way is divided."""
    far: float = bounded(0.01, above=0, below=1)
    """The false accept rate of TAR."""
    shuffles: int = bounded(199, least=1)
    """How many shuffles of the images stand behind the null of CKA."""
    resamples: int = bounded(1000, least=1)
    """How many bootstrap resamples of people stand behind each interval."""
    seed: int = bounded(0, least=0)
    """Seed of the matching, the shuffles and the resamples."""


@dataclass(frozen=True)
class Barrier(Result):
    """The way from one network to another.

    ``estimates`` holds TAR by step and how channels are numbered, and that of both ends. ``cka`` is by layer,
    with the mean over shuffles of the images; ``p_value`` is of its mean over layers.
    """

    models: tuple[str, str] = field(metadata={"hidden": True})
    probe: str = field(metadata={"hidden": True})
    one_recipe: bool = field(metadata={"label": "two trainings of one recipe"})
    images: int = field(metadata={"label": "images that judge"})
    far: float = field(metadata={"hidden": True})
    estimates: Estimates
    steps: Float[np.ndarray, " steps"]
    layers: tuple[str, ...]
    cka: Float[np.ndarray, " layers"]
    null: Float[np.ndarray, " layers"]
    p_value: float = field(metadata={"hidden": True})
    least_p: float = field(metadata={"hidden": True})

    def at(self, how: str, step: float) -> Estimate:
        """Give TAR at a step of the way."""
        return self.estimates[TAR, how, _step(step)]


def compute(a: Live, b: Live, params: BarrierParams) -> Barrier:
    """Walk from a to b, and hold the responses of their layers against each other.

    Raises
    ------
    UserError
        If the networks are of unlike shape or unknown wiring, or the images give too few impostor pairs.
    """
    shapes = [{name: one.shape for name, one in live.tensors.items()} for live in (a, b)]
    if shapes[0] != shapes[1]:
        raise UserError(
            f"{a.model} and {b.model} are of unlike shape: there is no line between their weights"
        )
    each = np.bincount(a.labels)
    if each.max() < 2:
        raise UserError(f"nobody has two images in {a.title}: give at least one person another")
    impostors = int(each.sum() ** 2 - (each**2).sum()) // 2
    if params.far * impostors < 1:
        raise UserError(f"{impostors:,} impostor pairs resolve no FAR of {params.far:g}: add people")
    people = People.of(range(len(each)), params, items=a.names)
    with busy("matching channels"):
        matching = match(a.weights, b.weights, seed=params.seed)
    if matching.architecture == "unknown":
        raise UserError(
            f"nobody knows how the layers of {a.model} hang together: their channels stay unmatched"
        )
    ends = {AS_THEY_ARE: b.tensors, MATCHED: rewired(b.tensors, b.wires, matching.permutations)}
    steps = np.linspace(0, 1, 2 * params.steps + 1)
    ways = [(how, step) for how in ends for step in (steps if how == MATCHED else [HALFWAY])]
    drawn = {
        (how, step): _tar(a, _between(a.tensors, ends[how], float(step)), people, params.far)
        for how, step in track(ways, f"from {a.model} to {b.model}")
    }
    first, last = drawn[MATCHED, 0.0], drawn[MATCHED, 1.0]
    mean = Drawn((first.value + last.value) / 2, (first.replicates + last.replicates) / 2)
    found = {(TAR, how, _step(step)): one for (how, step), one in drawn.items()} | {(TAR, ENDS): mean}
    cka, nulls = _cka(a.responses(), b.responses(), params)
    return Barrier(
        title=f"{a.model} to {b.model} on {a.probe}",
        models=(a.model, b.model),
        probe=a.probe,
        one_recipe=bool(a.weights.recipe) and a.weights.recipe == b.weights.recipe,
        images=len(a.labels),
        far=params.far,
        estimates=Estimates(
            {key: people.estimate(one, len(each), params.far, share=True) for key, one in found.items()}
        ),
        steps=steps,
        layers=tuple(cka),
        cka=np.array(list(cka.values())),
        null=nulls.mean(axis=0),
        p_value=float((1 + (nulls.mean(axis=1) >= np.mean(list(cka.values()))).sum()) / (1 + len(nulls))),
        least_p=1 / (1 + len(nulls)),
    )


def _step(step: float) -> str:
    return format(step, "g")


def _between(a: Mapping[str, np.ndarray], b: Mapping[str, np.ndarray], step: float) -> dict[str, np.ndarray]:
    """Give the weights on the line; what is counted and not measured stays that of the first."""
    return {
        name: ((1 - step) * one + step * b[name]).astype(one.dtype) if one.dtype.kind == "f" else one
        for name, one in a.items()
    }


def _tar(a: Live, tensors: Mapping[str, np.ndarray], people: People, far: float) -> Drawn:
    rows = a.embed(tensors).astype(np.float64)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0).astype(np.float32)
    rates = roc.rates(all_pairs(unit, a.labels), np.array([far]), people.counts)
    return Drawn(float(rates.tar[0]), rates.tar_replicates[:, 0])


def _cka(
    a: Mapping[str, np.ndarray], b: Mapping[str, np.ndarray], params: BarrierParams
) -> tuple[dict[str, float], Float[np.ndarray, "shuffles layers"]]:
    """Align the responses of each layer, unbiased; and with the images of the second shuffled."""
    n = len(next(iter(a.values())))
    if n < FEWEST:
        raise UserError(f"{n} images are too few for CKA: {FEWEST} are needed")
    rng = np.random.default_rng([params.seed, 33])
    orders = [rng.permutation(n) for _ in range(params.shuffles)]
    found, nulls = {}, []
    for name in track(list(a), "CKA by layer"):
        x, y = (u_centred(rows @ rows.T) for rows in (one[name].astype(np.float64) for one in (a, b)))
        size = norm(float((x * x).sum()), float((y * y).sum()))
        if not size > 0:
            continue  # A layer that says one and the same of all images is like nothing.
        found[name] = float((x * y).sum()) / size
        nulls.append([float((x * y[order][:, order]).sum()) / size for order in orders])
    if not found:
        raise UserError("no layer of both networks tells two images apart: check the weights")
    return found, np.array(nulls).T


def charts(results: Sequence[Barrier]) -> list[Chart]:
    """TAR along the way, and CKA by layer, of the first pairs."""
    return [chart for r in results[:SHOWN] for chart in (_way(r), _layers(r))]


def _way(r: Barrier) -> Curves:
    matched = r.estimates.row(TAR, [(MATCHED, _step(step)) for step in r.steps])
    plain = r.estimates.row(TAR, [(AS_THEY_ARE, _step(HALFWAY))])
    (a, b), straight = r.models, np.array([r.at(MATCHED, 0.0).value, r.at(MATCHED, 1.0).value])
    return Curves(
        title=f"From {a} to {b} in steps",
        xlabel=f"share of the way from {a} to {b}",
        ylabel=f"TAR at FAR {r.far:g}",
        curves=(
            Curve(MATCHED, r.steps, *matched, markers=True),
            Curve(AS_THEY_ARE, np.array([HALFWAY]), *plain, markers=True),
            Curve("no barrier", np.array([0.0, 1.0]), straight, role="ceiling", dash="dash"),
        ),
        note=f"{r.images:,} images of {r.probe}; norm statistics set anew at each step by other people's.",
    )


def _layers(r: Barrier) -> Curves:
    x = np.arange(1, len(r.layers) + 1, dtype=np.float64)
    return Curves(
        title=f"CKA of {r.models[0]} and {r.models[1]} by layer",
        xlabel="convolution, from the image on",
        ylabel="CKA",
        curves=(Curve("CKA", x, r.cka), Curve("images shuffled (null)", x, r.null, role="null")),
    )


def findings(results: Sequence[Barrier]) -> list[Finding]:
    """Say of each pair whether there is a barrier, what matching does to it, and how alike layers respond."""
    return [said for r in results for said in _of(r)]


def _of(r: Barrier) -> list[Finding]:
    (a, b), half, ends = r.models, r.at(MATCHED, HALFWAY), r.estimates[TAR, ENDS]
    seeds = ", two trainings of one recipe" if r.one_recipe else ""
    text = f"Halfway between {a} and {b}{seeds}, channels matched, TAR is {half.value:.1%} at FAR {r.far:g}"
    plain = r.at(AS_THEY_ARE, HALFWAY)
    order = f"Halfway between {a} and {b}, matched channels give a TAR of {half.value:.1%}"
    first, last = float(r.cka[0]), float(r.cka[-1])
    said = f"CKA {float(r.cka.mean()):.2f} on average over {len(r.layers)} layers, {first:.2f} in the first"
    return [
        compared(f"{text}, at both ends {ends.value:.1%} on average", half, ends, tones=("plain", "plain")),
        compared(f"{order}, those as they are {plain.value:.1%}", half, plain, tones=("plain", "plain")),
        claim(
            f"Layers of {a} and {b} respond alike to one image ({said}, {last:.2f} in the last).",
            f"Layers of {a} and {b} are not shown to respond alike to one image ({said}).",
            r.p_value,
            least_p=r.least_p,
        ),
    ]


ANALYSIS = Analysis(
    question="Can one network be turned into the other step by step, and do their layers respond alike?",
    over="network pair",
    params=BarrierParams(),
    result=Barrier,
    compute=compute,
    charts=charts,
    findings=findings,
)
