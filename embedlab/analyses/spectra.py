"""Spectra: whether a few directions carry a network's layers.

A layer is a matrix of one row an output channel. Its stable rank ‖W‖_F² / ‖W‖₂² is how many directions it
would have if all were as strong as the strongest [2]_. Its singular values are shown in units of the
Marchenko–Pastur edge [1]_, where those of independent weights end. Both stand beside the same weights with
random signs [3]_: as large in each place, but without a direction in common.

How to read it
--------------
A stable rank below that of random signs says that a few directions have grown: the channels of the layer
move together. A layer is called lower if it is further out than any layer is in any draw, which corrects for
the number of layers [4]_.

Of networks without a direction (weights normal, uniform or t₃, input channels of unequal length) 3 to 6 %
have any of 3 layers called lower at 5 %.

Limits
------
Random signs keep what single large weights and channels of unequal size do to the stable rank, so that
only what channels have in common counts as a direction. Weights that share a sign have one in common. Models
that come as ONNX or as embeddings have no weights to read and are left out.

References
----------
.. [1] Marchenko, V. A. and Pastur, L. A. Distribution of eigenvalues for some sets of random matrices.
   Mathematics of the USSR-Sbornik 1(4), 1967.
.. [2] Rudelson, M. and Vershynin, R. Sampling from large matrices: an approach through geometric functional
   analysis. Journal of the ACM 54(4), 2007.
.. [3] Martin, C. H. and Mahoney, M. W. Implicit self-regularization in deep neural networks. JMLR 22(165),
   2021.
.. [4] Westfall, P. H. and Young, S. S. Resampling-Based Multiple Testing. Wiley, 1993.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int

from embedlab.analysis import Analysis, Finding, Params, Result, bounded
from embedlab.charts import Cell, Chart, Curve, Curves, Table
from embedlab.errors import UserError
from embedlab.estimates import Estimate, Estimates, claim
from embedlab.lab.weights import LayerWeights
from embedlab.maths.kernels.layer_distance import further_range, lowest_p_values
from embedlab.maths.kernels.spectra import relative_to_edge, singular_values, stable_rank, with_random_signs
from embedlab.maths.people.permutation import holm
from embedlab.progress import track

TEST = 0.05
BINS = 60
DRAWN_FROM = 100
SHOWN_MODELS, TOLD_MODELS = 8, 2
STABLE, ALL = "stable rank", "median of the layers, beside random signs"


@dataclass(frozen=True)
class SpectraParams(Params):
    """Knobs of the analysis of spectra."""

    signs: int = bounded(19, least=19)
    """How many draws of random signs each layer is held against."""
    seed: int = bounded(0, least=0)
    """Seed of the signs."""


@dataclass(frozen=True)
class Spectra(Result):
    """The stable ranks of a network's layers.

    Attributes
    ----------
    estimates
        The median over layers of the stable rank divided by that with random signs; null: 1.
    by_layer
        The stable rank of each layer that has more than one direction; null: random signs.
    low, high
        Where 95 % of further draws of signs would lie.
    p_values
        Of each of these layers, corrected for their number.
    sizes
        How many weights they have.
    spectrum_layers, spectra
        A first and a last layer: singular values as they are, and with random signs.
    """

    model: str = field(metadata={"hidden": True})
    estimates: Estimates
    by_layer: Estimates = field(metadata={"hidden": True})
    draws: int = field(metadata={"hidden": True})
    layers: tuple[str, ...]
    sizes: Int[np.ndarray, " layers"]
    low: Float[np.ndarray, " layers"]
    high: Float[np.ndarray, " layers"]
    p_values: Float[np.ndarray, " layers"]
    spectrum_layers: tuple[str, ...]
    spectra: Float[np.ndarray, "shown 2 bins"]

    @property
    def ranks(self) -> tuple[np.ndarray, np.ndarray]:
        """The stable rank of each layer, and its null."""
        found = [self.by_layer[STABLE, name] for name in self.layers]
        return np.array([e.value for e in found]), np.array([e.null for e in found], np.float64)

    @property
    def large(self) -> np.ndarray:
        """The places of the layers that are drawn."""
        large = np.flatnonzero(self.sizes >= DRAWN_FROM)
        return large if len(large) else np.arange(len(self.layers))

    @property
    def lower(self) -> int:
        """How many layers have a lower stable rank than with random signs."""
        return int((self.p_values <= TEST).sum())


def compute(a: LayerWeights, params: SpectraParams) -> Spectra:
    """Give the stable rank of each layer beside its weights with random signs.

    Raises
    ------
    UserError
        If no layer has more than one direction.
    """
    wide = {
        name: kernels
        for name, kernels in a.layers.items()
        if min(len(kernels), kernels[0].size) > 1 and kernels.any()
    }
    if not wide:
        raise UserError(
            f"{a.model} has no convolution of more than one direction: leave it out of this analysis"
        )
    large = [name for name, kernels in wide.items() if kernels[0, 0].size > 1] or list(wide)
    shown = tuple(dict.fromkeys((large[0], large[-1])))
    ranks, spectra = Estimates(), np.zeros((len(shown), 2, BINS))
    nulls = np.zeros((params.signs, len(wide)))
    for k, (name, kernels) in enumerate(track(wide.items(), "spectra of layers", len(wide))):
        own = singular_values(kernels)
        seeds = (params.seed + 1000 * k + draw for draw in range(params.signs))
        drawn = [singular_values(with_random_signs(kernels, seed)) for seed in seeds]
        nulls[:, k] = [stable_rank(one) for one in drawn]
        mean, n = float(nulls[:, k].mean()), min(len(kernels), kernels[0].size)
        ranks[STABLE, name] = Estimate(stable_rank(own), n=n, null=mean)
        if name in shown:
            spectra[shown.index(name)] = [
                _binned(relative_to_edge(line, kernels.shape)) for line in (own, np.mean(drawn, axis=0))
            ]
    values = np.array([e.value for e in ranks.values()])
    ratio = float(np.median(values / nulls.mean(axis=0)))
    low, high = further_range(nulls)
    return Spectra(
        title=a.model,
        model=a.model,
        estimates=Estimates({(STABLE, ALL): Estimate(ratio, n=len(wide), null=1.0)}),
        by_layer=ranks,
        draws=params.signs,
        layers=tuple(wide),
        sizes=np.array([kernels.size for kernels in wide.values()]),
        low=low,
        high=high,
        p_values=lowest_p_values(values, nulls),
        spectrum_layers=shown,
        spectra=spectra,
    )


def _binned(line: np.ndarray) -> np.ndarray:
    binned: np.ndarray = np.interp(np.linspace(0, 1, BINS), np.linspace(0, 1, len(line)), line)
    return binned


def charts(results: Sequence[Spectra]) -> list[Chart]:
    """Draw all networks' stable ranks by layer, and the singular values of a first and a last layer."""
    drawn: list[Chart] = [_rank_chart(results)]
    shown = results[:TOLD_MODELS]
    drawn += [_spectrum_chart(r, k) for r in shown for k in range(len(r.spectrum_layers))]
    drawn += [_table(r) for r in shown]
    return drawn


def _rank_chart(results: Sequence[Spectra]) -> Curves:
    """Draw the stable ranks of layers that are large enough not to be far from anything by chance."""
    shown = results[:SHOWN_MODELS]
    curves = []
    for r in shown:
        k, (own, null) = r.large, r.ranks
        curves.append(Curve(r.model, k + 1, (own / null)[k], model=r.model, markers=True))
    longest = max(shown, key=lambda r: len(r.layers))
    k, (_, null) = longest.large, longest.ranks
    band = (np.ones(len(k)), (longest.low / null)[k], (longest.high / null)[k])
    curves.append(Curve("random signs (null)", k + 1, *band, dash="dash", role="null"))
    more = f" {len(results) - len(shown)} more networks are left out." if len(results) > len(shown) else ""
    return Curves(
        title="Stable rank by layer",
        xlabel="layer, from the image on; the table below has their names",
        ylabel="stable rank / that with random signs",
        curves=tuple(curves),
        note="Below 1, a few directions are stronger than in the same weights with random signs. Band: where "
        f"95 % of further draws of {longest.model} lie, from {longest.draws}. Layers of fewer than "
        f"{DRAWN_FROM} weights stand in the table only.{more}",
    )


def _spectrum_chart(r: Spectra, k: int) -> Curves:
    x = np.linspace(0, 1, BINS)
    return Curves(
        title=f"Singular values of {r.spectrum_layers[k]} in {r.model}",
        xlabel="place among the singular values, from the largest (0) to the smallest (1)",
        ylabel="singular value / Marchenko–Pastur edge",
        curves=(
            Curve(r.model, x, r.spectra[k, 0], model=r.model),
            Curve("random signs (null)", x, r.spectra[k, 1], dash="dash", role="null"),
        ),
        note="In a large layer, the singular values of independent weights of one size end at 1; in a "
        f"small one they scatter about it. Random signs: mean of {r.draws} draws.",
    )


def _table(r: Spectra) -> Table:
    return Table(
        title=f"Stable ranks of the layers of {r.model}",
        columns=("", "layer", "stable rank", "random signs", "p"),
        rows=tuple(
            (k, name, *(Cell(value, f"{value:.3g}") for value in values))
            for k, (name, *values) in enumerate(zip(r.layers, *r.ranks, r.p_values, strict=True), start=1)
        ),
        note=f"p: of a further draw of signs being as low, corrected for {len(r.layers)} layers.",
        folded=True,
    )


def findings(results: Sequence[Spectra]) -> list[Finding]:
    """Say in how many layers a few directions have grown, network by network or of all."""
    end = "a few directions are stronger than in the same weights with random signs (lower stable rank)"
    if len(results) <= TOLD_MODELS:
        return [
            claim(
                f"In {r.lower} of {len(r.layers)} layers of {r.model} {end}.",
                f"In no layer of {r.model} it is shown that {end}.",
                float(r.p_values.min()),
            )
            for r in results
        ]
    shares = [r.lower / len(r.layers) for r in results]
    return [
        claim(
            f"In {min(shares):.0%} to {max(shares):.0%} of a network's layers {end}.",
            f"In no layer of any network it is shown that {end}.",
            float(holm(np.array([r.p_values.min() for r in results])).min()),
        )
    ]


ANALYSIS = Analysis(
    question="Do a few directions carry a network's layers?",
    over="weights",
    params=SpectraParams(),
    result=Spectra,
    compute=compute,
    charts=charts,
    findings=findings,
)
