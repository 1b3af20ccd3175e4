"""Directions: whether two networks have their strongest directions in common, once channels are matched.

Matching channels brings two networks hardly nearer in all of their weights, and yet often nearer in function:
it is the strongest singular directions of their layers that it brings together [1]_. Channels of the second
network are permuted to match the first's by their weights [2]_; then of each layer the directions with a
singular value from ``least`` of the largest on are held against each other, each counting alike: 1 for the
same directions, 0 for unrelated ones.

How to read it
--------------
The null is the second network with random signs of its channels in every layer, matched in the same way: it
keeps the size of every weight and all singular values, but not what the two networks' channels have in
common. The whole is said to have directions in common if it has more so than all draws and than a further
one would (Student's t); a layer, if it is further out than any layer in any draw [3]_. Two seeds of one
recipe, where they are among the models, are the ceiling. It shows what the distance of `layers` hardly does.

Limits
------
Directions are of the weights as they lie, not of what images make of them: CKA of activations, layer by
layer, and the loss along the path from one network to the other need images and a running network, which
analyses do not see. The search for the matching may miss the best one, with random signs as well. These are
two trainings; only two seeds show what another would give. Models without weights are left out.

References
----------
.. [1] Ito, A., Yamada, M. and Kumagai, A. Analysis of linear mode connectivity via permutation-based weight
   matching: with insights into other permutation search methods. ICLR 2025. arXiv 2402.04051.
.. [2] Ainsworth, S. K., Hayase, J. and Srinivasa, S. Git Re-Basin: merging models modulo permutation
   symmetries. ICLR 2023.
.. [3] Westfall, P. H. and Young, S. S. Resampling-Based Multiple Testing. Wiley, 1993.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int

from embedlab.analysis import Analysis, Finding, Params, Result, bounded
from embedlab.charts import Cell, Chart, Curve, Curves, Table
from embedlab.errors import UserError
from embedlab.estimates import Estimate, Estimates, claim
from embedlab.lab.weights import LayerWeights, shared_layers
from embedlab.maths.kernels.channel_matching import match, scale_free, with_signs
from embedlab.maths.kernels.layer_distance import further_range, lowest_p_values
from embedlab.maths.kernels.spectra import common_directions
from embedlab.maths.people.permutation import further_p_value, holm, told
from embedlab.progress import busy, track

TEST = 0.05
SHOWN_PAIRS = 2
COMMON, ALL = "strong directions in common", "mean of the layers"


@dataclass(frozen=True)
class DirectionsParams(Params):
    """Knobs of the analysis of directions."""

    least: float = bounded(0.5, above=0, most=1)
    """From which share of a layer's largest singular value on a direction is strong."""
    signs: int = bounded(19, least=19)
    """How many draws of random signs of the second network are matched to the first, for the null."""
    restarts: int = bounded(2, least=1)
    """How many starts the search for the matching gets, with random signs too."""
    seed: int = bounded(0, least=0)
    """Seed of everything that is drawn."""


@dataclass(frozen=True)
class Directions(Result):
    """Two networks' strong directions, layer by layer.

    Attributes
    ----------
    estimates
        How far they are in common over all layers, and by layer; null: random signs.
    counts
        How many directions of each layer are strong.
    drawn
        The same by layer in each draw of signs.
    p_value, p_values
        Of the mean; and by layer, corrected for their number.
    """

    one_recipe: bool = field(metadata={"hidden": True})
    least: float = field(metadata={"hidden": True})
    estimates: Estimates
    by_layer: Estimates = field(metadata={"hidden": True})
    p_value: float = field(metadata={"hidden": True})
    layers: tuple[str, ...]
    counts: Int[np.ndarray, " layers"]
    drawn: Float[np.ndarray, "draws layers"]
    p_values: Float[np.ndarray, " layers"]

    @property
    def whole(self) -> Estimate:
        """The mean over layers."""
        return self.estimates[COMMON, ALL]


def compute(a: LayerWeights, b: LayerWeights, params: DirectionsParams) -> Directions:
    """Match two networks' channels and compare the strong directions of their layers.

    Raises
    ------
    UserError
        If a network has no convolution, they share no layer of one name and shape, or all of these are zero.
    """
    for weights in (a, b):
        if not weights.layers:
            raise UserError(f"{weights.model} has no convolution layers: leave it out of this analysis")
    x, y = scale_free(a), scale_free(b)
    shared = [name for name in shared_layers(a, b) if x.layers[name].any() and y.layers[name].any()]
    if not shared:
        raise UserError(f"all layers that {a.model} and {b.model} share are zero: leave them out")
    with busy("matching channels"):
        found = _held_together(x, y, shared, params)
    seeds = np.random.SeedSequence([params.seed, 30]).generate_state(params.signs)
    each = track(seeds, "matching channels of random signs")
    drawn = np.array(
        [[one for one, _ in _held_together(x, with_signs(y, int(s)), shared, params)] for s in each]
    )
    values, nulls = np.array([value for value, _ in found]), drawn.mean(axis=0)
    return Directions(
        title=f"{a.model} and {b.model}",
        one_recipe=bool(a.recipe) and a.recipe == b.recipe and a.model != b.model,
        least=params.least,
        estimates=Estimates(
            {(COMMON, ALL): Estimate(float(values.mean()), n=len(shared), null=float(nulls.mean()))}
        ),
        by_layer=Estimates(
            {
                (COMMON, name): Estimate(value, n=count, null=float(null))
                for name, (value, count), null in zip(shared, found, nulls, strict=True)
            }
        ),
        p_value=further_p_value(float(values.mean()), drawn.mean(axis=1)),
        layers=tuple(shared),
        counts=np.array([count for _, count in found]),
        drawn=drawn,
        p_values=lowest_p_values(-values, -drawn),
    )


def _held_together(
    x: LayerWeights, y: LayerWeights, names: Sequence[str], params: DirectionsParams
) -> list[tuple[float, int]]:
    z = match(x, y, seed=params.seed, restarts=params.restarts, scaled=True).apply(y)
    return [common_directions(x.layers[name], z.layers[name], params.least) for name in names]


def charts(results: Sequence[Directions]) -> list[Chart]:
    """Draw the first pairs by layer; all pairs, and layers by name, in tables."""
    shown = results[:SHOWN_PAIRS]
    return [*map(_curves, shown), _pairs(results), *map(_layers, shown)]


def _curves(r: Directions) -> Curves:
    x, places = np.arange(1, len(r.layers) + 1), [(name,) for name in r.layers]
    return Curves(
        title=f"Strong directions in common of {r.title}",
        xlabel="layer, from the image on; the table below has their names",
        ylabel="directions in common",
        curves=(
            Curve("matched", x, r.by_layer.row(COMMON, places)[0], markers=True, role="after"),
            Curve("random signs (null)", x, r.drawn.mean(axis=0), *further_range(r.drawn), role="null"),
        ),
        note=f"1: the same, 0: unrelated; of singular values from {r.least:g} of the largest on. "
        f"Band: where a further draw of signs would lie, from {len(r.drawn)}.",
    )


def _pairs(results: Sequence[Directions]) -> Table:
    return Table(
        title="Strong directions in common",
        columns=("pair", "in common", "random signs", "p", "layers", "seeds of one recipe"),
        rows=tuple(
            (
                *(r.title, _cell(r.whole.value), _cell(r.whole.null or 0.0), _cell(r.p_value, ".2g")),
                *(
                    Cell(count := int((r.p_values <= TEST).sum()), f"{count} of {len(r.layers)}"),
                    r.one_recipe,
                ),
            )
            for r in results
        ),
        note="Mean over layers; p: of a further draw of signs having as much.",
    )


def _layers(r: Directions) -> Table:
    rows = []
    for k, name in enumerate(r.layers):
        one = r.by_layer[COMMON, name]
        numbers = (_cell(one.value), _cell(one.null or 0.0), _cell(r.p_values[k], ".2g"))
        rows.append((k + 1, name, int(r.counts[k]), *numbers))
    return Table(
        title=f"Strong directions of the layers of {r.title}",
        columns=("", "layer", "strong directions", "in common", "random signs", "p"),
        rows=tuple(rows),
        note=f"p: of a further draw of signs having as much, corrected for {len(r.layers)} layers.",
        folded=True,
    )


def _cell(value: float, spec: str = ".3f") -> Cell:
    return Cell(value, format(value, spec))


def findings(results: Sequence[Directions]) -> list[Finding]:
    """Say whether strong directions are in common beyond random signs, and how far two seeds' are."""
    many = len(results) > SHOWN_PAIRS
    said = [_of_all(results)] if many else [one for r in results for one in _of_one(r)]
    return said + [
        Finding(
            f"Two seeds of one recipe, {r.title}, have {r.whole.value:.2f} of strong directions in common."
        )
        for r in [r for r in results if r.one_recipe][:SHOWN_PAIRS]
    ]


def _of_one(r: Directions) -> list[Finding]:
    numbers = f"({r.whole.value:.2f}, random signs {r.whole.null:.2f}, {told(r.p_value)})"
    start, end = f"With channels matched, layers of {r.title}", f"strong directions in common {numbers}."
    count = (r.p_values <= TEST).sum()
    return [
        claim(f"{start} have {end}", f"{start} are not shown to have {end}", r.p_value),
        claim(
            f"One by one, {count} of {len(r.layers)} layers of {r.title} have strong directions in common.",
            f"One by one, no layer of {r.title} is shown to have strong directions in common.",
            float(r.p_values.min()),
        ),
    ]


def _of_all(results: Sequence[Directions]) -> Finding:
    p_values = holm(np.array([r.p_value for r in results]))
    pairs, end = f"{len(results)} pairs of networks", "strong directions in common."
    return claim(
        f"With channels matched, {(p_values <= TEST).sum()} of {pairs} have {end}",
        f"With channels matched, none of {pairs} is shown to have {end}",
        float(p_values.min()),
    )


ANALYSIS = Analysis(
    question="Do two networks have their strongest directions in common, once channels are matched?",
    over="weight pair",
    params=DirectionsParams(),
    result=Directions,
    compute=compute,
    charts=charts,
    findings=findings,
)
