"""Structure: whether a network's kernels are structured, or near random.

*First layer.* A kernel, over all its colours together, is measured by the energy share of its low
frequencies, how even its steps are, and the share of energy that the best Gabor function [1]_ explains. It is
held against itself with its weights in other places, alike in all colours. The smallest p value of the three,
judged by the smallest of the shuffles, is the kernel's p value; structured are those found at a false
discovery rate of 5 % [2]_. Twice this is done. *As it is*, shuffled weights get random signs as well, so
that an even blur is structured. *Beyond its mean*, each channel's mean is taken out first, so that only an
edge, a bar or the like is. A layer as a whole is tested by shuffling the places of all its kernels alike.

*Deeper layers* are tested as a whole, by low frequencies as they are, over all their slices.

How to read it
--------------
Tiles show kernels in the colours they respond to; grey is zero. Any noise of 9 or 27 numbers looks like
something: only what beats its own shuffled weights is structured. The null of a share of structured kernels
is what kernels without structure get; of a share of energy, its mean over shuffles. P values of deeper
layers are corrected for their number [3]_.

Of layers of independent weights (normal, uniform or t₃, input channels of unequal length) 2 to 5 % are called
structured at 5 %; of such networks 3 to 6 % have any of 3 layers called smoother. Where Gabor functions hold
half the energy of 16 kernels of 3×3, all layers are found, and half of them where they hold a quarter. Single
kernels of 3×3 are found in 72 % of cases if 90 % of their energy is a Gabor function, of 5×5 in 97 % if half.

Limits
------
A pattern is one that is smooth or like a Gabor function; another kind would go unseen, and what is not found
is not shown to be absent. Weights that are more often positive than negative count as structured as they are.
At 3×3, edges, bars and gratings are hardly told apart. Intervals of shares are those of Clopper and Pearson:
they take kernels for independent draws, and hold for this training, not for others of the recipe. Models that
come as ONNX or as embeddings have no weights to read and are left out.

References
----------
.. [1] Daugman, J. G. Uncertainty relation for resolution in space, spatial frequency, and orientation
   optimized by two-dimensional visual cortical filters. JOSA A 2(7), 1985.
.. [2] Benjamini, Y. and Hochberg, Y. Controlling the false discovery rate. Journal of the Royal
   Statistical Society B 57(1), 1995.
.. [3] Holm, S. A simple sequentially rejective multiple test procedure. Scandinavian Journal of Statistics
   6(2), 1979.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from embedlab.analysis import Analysis, Finding, Params, Result, bounded
from embedlab.charts import Cell, Chart, Curve, Curves, Table, Tile, Tiles
from embedlab.errors import UserError
from embedlab.estimates import Estimate, Estimates, claim
from embedlab.lab.weights import LayerWeights
from embedlab.maths.kernels import shuffles
from embedlab.maths.kernels.first_layers import pictures
from embedlab.maths.kernels.kernel_structure import centred
from embedlab.maths.people.bootstrap import clopper_pearson
from embedlab.maths.people.permutation import holm, told
from embedlab.progress import track

TEST = 0.05
FINER = 10
SMOOTHER = "low frequencies hold more energy than in its own weights in random places"
POINTS = 101
SHOWN_MODELS, SHOWN_TILES, COLUMNS, TOLD_MODELS = 8, 64, 8, 2
KINDS = ("structured first-layer kernels", "structured beyond the mean")
# Of the three statistics, those shown of kernels as they are, and beyond their means.
SHOWN_STATISTICS = ([0, 1], [2])


@dataclass(frozen=True)
class StructureParams(Params):
    """Knobs of the analysis of structure."""

    shuffles: int = bounded(1999, least=19)
    """How many shuffles of its own weights a kernel is held against; a deeper layer, ten times as many."""
    seed: int = bounded(0, least=0)
    """Seed of the shuffles."""


@dataclass(frozen=True)
class Structure(Result):
    """How structured a network's kernels are. An axis ``two`` is: as they are, and beyond their means.

    Attributes
    ----------
    estimates
        Of the first layer the share of structured kernels, as they are and beyond their means.
    first
        The first layer's kernels.
    mean_share, measured, p_values, found
        Of each of them: the energy share of its channels' means; low-frequency share and evenness as it is,
        and Gabor share beyond its mean; p values and verdicts.
    layer_p, smallest
        P value of the first layer as a whole; the smallest that kernels of the size can get.
    shuffled_mean, shuffled_gabor
        What shuffled weights give: means of ``measured``, and quantiles of the Gabor share.
    deep, low, deep_p
        Layers of larger kernels than 1×1; of each the low-frequency share, as it is and shuffled, and the
        p value, corrected for their number.
    """

    model: str = field(metadata={"hidden": True})
    estimates: Estimates
    shuffles: int = field(metadata={"hidden": True})
    first: Float[np.ndarray, "o i h w"]
    mean_share: Float[np.ndarray, " o"]
    measured: Float[np.ndarray, "o 3"]
    p_values: Float[np.ndarray, "o two"]
    found: Bool[np.ndarray, "o two"]
    layer_p: Float[np.ndarray, " two"]
    smallest: Float[np.ndarray, " two"]
    shuffled_mean: Float[np.ndarray, " 3"]
    shuffled_gabor: Float[np.ndarray, " points"]
    deep: tuple[str, ...]
    low: Float[np.ndarray, "deep 2"]
    deep_p: Float[np.ndarray, " deep"]

    @property
    def smooth(self) -> int:
        """How many of these layers hold more there than shuffled weights do."""
        return int((self.deep_p <= TEST).sum())


def compute(a: LayerWeights, params: StructureParams) -> Structure:
    """Measure a network's kernels beside their own weights in other places.

    Raises
    ------
    UserError
        If it has no convolution.
    """
    if not a.layers:
        raise UserError(f"{a.model} has no convolution kernels: leave it out of this analysis")
    deep = [name for name, kernels in a.layers.items() if kernels[0, 0].size > 1]
    draws, each = FINER * params.shuffles, track(deep, "layers beside their shuffled weights")
    found = [shuffles.low_frequency_beside_shuffled(a.layers[name], draws, params.seed) for name in each]
    low = np.array(found).reshape(-1, 3)
    return Structure(
        title=a.model,
        model=a.model,
        shuffles=params.shuffles,
        deep=tuple(deep),
        low=low[:, :2],
        deep_p=holm(low[:, 2]),
        **_first(next(iter(a.layers.values())).astype(np.float64), params),
    )


def _first(kernels: np.ndarray, params: StructureParams) -> dict[str, Any]:
    """Measure the first layer's kernels as they are and beyond their means."""
    n, _, height, width = kernels.shape
    energy = (kernels**2).sum(axis=(1, 2, 3))
    means = height * width * (kernels.mean(axis=(2, 3)) ** 2).sum(axis=1)
    p_values, measured = np.ones((n, 2)), np.full((n, 3), np.nan)
    layer_p, mean, gabor = np.full(2, np.nan), np.full(3, np.nan), np.full(POINTS, np.nan)
    for k, (x, columns) in enumerate(zip((kernels, centred(kernels)), SHOWN_STATISTICS, strict=True)):
        there = np.any(x != 0, axis=(1, 2, 3))
        if height * width == 1 or not there.any():
            continue
        found = shuffles.beside_shuffled(x[there], params.shuffles, params.seed, signs=k == 0)
        measured[np.ix_(there, columns)] = found.measured[:, columns]
        p_values[there, k], layer_p[k] = found.p_values, found.layer_p
        mean[columns] = found.shuffled[..., columns].mean(axis=(0, 1))
        gabor = np.quantile(found.shuffled[..., 2], np.linspace(0, 1, POINTS)) if k else gabor
    verdicts = np.stack([shuffles.structured(p_values[:, k], TEST) for k in (0, 1)], axis=1)
    null, shares = shuffles.share_by_chance(n, TEST, params.seed), Estimates()
    for k, kind in enumerate(KINDS if height * width > 1 else ()):
        count = int(verdicts[:, k].sum())
        shares[kind,] = Estimate(count / n, *clopper_pearson(count, n), n, null)
    return {
        "estimates": shares,
        "first": kernels,
        "mean_share": np.divide(means, energy, out=np.full(n, np.nan), where=energy > 0),
        "measured": measured,
        "p_values": p_values,
        "found": verdicts,
        "layer_p": layer_p,
        "smallest": np.array(
            [shuffles.smallest_p(height, width, params.shuffles, signs=s) for s in (True, False)]
        ),
        "shuffled_mean": mean,
        "shuffled_gabor": gabor,
    }


def charts(results: Sequence[Structure]) -> list[Chart]:
    """Draw first layers, how their kernels lie beside shuffled ones, and low frequencies by depth."""
    shown = results[:SHOWN_MODELS]
    more = f" {len(results) - len(shown)} more networks are left out." if len(results) > len(shown) else ""
    drawn: list[Chart] = [*map(_tiles, shown), _table(results)]
    measured = [r for r in shown if np.isfinite(r.measured[:, 2]).any()]
    drawn += [_gabor_chart(measured, more)] if measured else []
    return [*drawn, _depth_chart(shown, more)] if any(len(r.deep) > 1 for r in shown) else drawn


def _tiles(r: Structure) -> Tiles:
    """Draw a network's first layer, each kernel with the p values of its structure."""
    n, channels, height, width = r.first.shape
    cut = f", the first {SHOWN_TILES} shown" if n > SHOWN_TILES else ""
    each = zip(pictures(r.first)[:SHOWN_TILES], r.p_values, strict=False)
    return Tiles(
        title=f"First-layer kernels of {r.model}",
        tiles=tuple(
            Tile(image, f"{c}: {p:.3f}|{q:.3f}".replace("0.", ".")) for c, (image, (p, q)) in enumerate(each)
        ),
        columns=COLUMNS,
        signed=channels != 3,
        note=f"{n} kernels of {height}×{width} weights{cut}; grey is zero, full colour is "
        f"{np.abs(r.first).max():.2f}. Under each: channel, p as it is|beyond its mean.",
    )


def _table(results: Sequence[Structure]) -> Table:
    return Table(
        title="How structured the first layers are",
        columns=(
            *("network", "structured", "p", "low frequencies (shuffled)", "share of means"),
            *("beyond the mean", "p beyond", "Gabor fit (shuffled)"),
        ),
        rows=tuple(
            (
                r.model,
                *_structured(r, 0),
                _beside(r.measured[:, 0], r.shuffled_mean[0]),
                _beside(r.mean_share),
                *_structured(r, 1),
                _beside(r.measured[:, 2], r.shuffled_mean[2]),
            )
            for r in results
        ),
        note=f"Structured: found one by one at a false discovery rate of {TEST:.0%}. p: of the layer as a "
        f"whole, at least {1 / (results[0].shuffles + 1):.2g} with {results[0].shuffles:,} shuffles. The "
        "others are means over kernels, in brackets those of shuffled weights.",
    )


def _structured(r: Structure, k: int) -> tuple[Cell | None, Cell | None]:
    """Give how many kernels are structured, and the p value of the layer."""
    share, p = r.estimates.at(KINDS[k], ()), r.layer_p[k]
    count = Cell(share, f"{r.found[:, k].sum()} of {len(r.found)}") if share else None
    return count, Cell(p, f"{p:.2g}") if np.isfinite(p) else None


def _beside(values: np.ndarray, null: float | None = None) -> Cell | None:
    """Give a mean over kernels, that of shuffled ones in brackets."""
    there = values[np.isfinite(values)]
    if not len(there):
        return None
    mean = Estimate(float(there.mean()), n=len(there), null=null if null is None else float(null))
    return Cell(mean, f"{mean:.2f}" + ("" if null is None else f" ({null:.2f})"))


def _gabor_chart(shown: Sequence[Structure], more: str) -> Curves:
    curves = []
    for r in shown:
        values = np.sort(r.measured[np.isfinite(r.measured[:, 2]), 2])
        steps = np.linspace(0, 1, len(values) + 1)
        x, y = np.repeat(values, 2), np.repeat(steps, 2)[1:-1]
        curves.append(Curve(r.model, x, y, model=r.model))
        null = (r.shuffled_gabor, np.linspace(0, 1, POINTS))
        curves.append(Curve(f"{r.model}, shuffled", *null, dash="dash", role="null"))
    return Curves(
        title="Best Gabor fit of first-layer kernels",
        xlabel="share of energy beyond the mean that the best Gabor function explains",
        ylabel="share of kernels at or below",
        curves=tuple(curves),
        note=f"A line to the right of that of its shuffled weights is more structured.{more}",
    )


def _depth_chart(shown: Sequence[Structure], more: str) -> Curves:
    curves = []
    for r in shown:
        x, (low, null) = np.arange(1, len(r.deep) + 1), r.low.T
        curves.append(Curve(r.model, x, low, model=r.model, markers=True))
        curves.append(Curve(f"{r.model}, shuffled", x, null, dash="dash", role="null"))
    return Curves(
        title="Low frequencies by depth",
        xlabel="convolution with kernels larger than 1×1, from the image on",
        ylabel="share of energy in low frequencies",
        curves=tuple(curves),
        note=f"As they are; every output channel counts alike. Shuffled with random signs.{more}",
    )


def findings(results: Sequence[Structure]) -> list[Finding]:
    """Say whether kernels are structured beyond chance: of each network, or in how many of them."""
    if len(results) > TOLD_MODELS:
        return _of_all(results)
    return [finding for r in results for finding in _of_one(r)]


def _of_one(r: Structure) -> list[Finding]:
    start = f"First-layer kernels of {r.model}"
    if not np.isfinite(r.layer_p[0]) or min(r.smallest) > TEST:
        said = [Finding(f"{start} are too small, or zero, to show a pattern.")]
    elif not np.isfinite(r.layer_p[1]):
        said = [Finding(f"{start} are even blurs, without any other pattern.")]
    else:
        p, least = float(r.layer_p[1]), float(r.smallest[1])
        end = f"more pattern, such as edges, than their own weights in random places ({told(p, least)})."
        said = [claim(f"{start} hold {end}", f"{start} are not shown to hold {end}", p, least_p=least)]
    structured, patterned = r.found.sum(axis=0)
    if structured or patterned:
        said.append(
            Finding(
                f"One by one, {patterned} of {len(r.found)} first-layer kernels of {r.model} hold a pattern, "
                f"such as edges, and {structured} that or an even blur (false discovery rate {TEST:.0%})."
            )
        )
    if r.deep:
        said.append(
            claim(
                f"In {r.smooth} of {len(r.deep)} layers of {r.model} {SMOOTHER}.",
                f"In no layer of {r.model} it is shown that {SMOOTHER}.",
                float(r.deep_p.min()),
                least_p=len(r.deep) / (1 + FINER * r.shuffles),
            )
        )
    return said


def _of_all(results: Sequence[Structure]) -> list[Finding]:
    p_values = holm(np.array([r.layer_p[1] if np.isfinite(r.layer_p[1]) else 1.0 for r in results]))
    start, end = "First-layer kernels", "more pattern than their own weights in random places"
    text = f"{start} hold {end} in {(p_values <= TEST).sum()} of {len(results)} networks."
    none = f"{start} are not shown to hold {end} in any of {len(results)} networks."
    said = [claim(text, none, float(p_values.min()))]
    if deep := [(r.smooth / len(r.deep), float(r.deep_p.min())) for r in results if r.deep]:
        shares, least = zip(*deep, strict=True)
        text = f"In {min(shares):.0%} to {max(shares):.0%} of a network's layers {SMOOTHER}."
        none = f"In no layer of any network it is shown that {SMOOTHER}."
        said.append(claim(text, none, min(1.0, len(deep) * min(least))))
    return said


ANALYSIS = Analysis(
    question="Are a network's kernels structured, or near random?",
    over="weights",
    params=StructureParams(),
    result=Structure,
    compute=compute,
    charts=charts,
    findings=findings,
)
