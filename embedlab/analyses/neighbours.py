"""Neighbours: whose surroundings are others in a second space, by how much, and who came and went.

Two spaces are compared on the same images: one model's native and degraded probe, or one probe in two
models. A person's place is the mean of the unit vectors of their images. Of the ``k`` other people
nearest to a person in the first space, the share is *kept* that is among the k nearest in the second as
well. Lists of names alone are compared, so the spaces need not have the same axes or dimension.

Images are noise: two sets of pictures of one person have other neighbours too. So no image is ever used
on both sides. Everybody's images are dealt into two halves, ``splits`` times; one half's list in the
first space is held against the other half's in the second. How far the two halves agree *within* each
space says how much noise there is [1]_.

What would be kept if *nothing but noise* differed is measured on twins: two spaces drawn from the
steadier real one, with everybody in the same place, whose images scatter anew until halves agree within
each twin as far as in the real space it stands for, and all images agree across the twins as far as
across the real spaces. Twins are measured as the real spaces are. What people keep less than that is a
change of their neighbourhood.

For each person the expected share follows from how far their own halves agree, along the line that fits
the twins. The p value is how often twins of people with about as many images lose as much; its tail is
extrapolated by a generalised Pareto distribution [2]_. People are *found changed* if the false discovery
rate is at most ``fdr`` [3]_ and they lose at least one of the k neighbours more than expected.

How to read it
--------------
Compare *kept* with *noise alone*: equal numbers mean the same neighbourhoods, as far as these images
can tell, and *kept* at the null means that nothing of them is left. The null is what lists of two
different people have in common: k of the others, and more if both spaces have the same hubs. Where
halves of a person's images agree no further than that within a space, no neighbourhood can be told there,
and so no change of it. *Kept with the same images* is what a comparison without halves would show; it is
too high where both spaces are misled by the same pictures. Intervals are 95 % percentile intervals of a
bootstrap over people, as those who have neighbours and as those who are some.

Limits
------
Only people with two images take part, as neighbours as well; with more people, or more images of each,
other lists come out. Lists of half of a person's images are compared, so shares are lower than those
of all images; names are listed from all. In the twins everybody's images scatter alike, but for
their number: whoever is photographed far more unevenly than others may be found changed, or be
overlooked; and what noise alone would leave is sure to half a point only. The most changed are the
extremes of many: in other images of theirs the change would be smaller. Nobody found changed is no proof
that nobody did; with two or three images and a noisy space only a large change can be found, and who is
found just so may not be with another seed.

References
----------
.. [1] Spearman, C. The proof and measurement of association between two things. American Journal of
   Psychology 15(1), 1904.
.. [2] Knijnenburg, T. A., Wessels, L. F. A., Reinders, M. J. T. and Shmulevich, I. Fewer permutations,
   more accurate P-values. Bioinformatics 25(12), 2009.
.. [3] Benjamini, Y. and Hochberg, Y. Controlling the false discovery rate. Journal of the Royal
   Statistical Society B 57(1), 1995.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from embedlab.analysis import Analysis, Finding, Params, Result, bounded
from embedlab.charts import Chart, Curve, Curves, Face, Faces, Heatmap, Histogram, Table, faces_at_hand
from embedlab.errors import UserError
from embedlab.estimates import Estimate, People, compared, judged, undrawn
from embedlab.lab.embeddings import EmbeddingSet, aligned
from embedlab.maths.pairs.moments import Drawn
from embedlab.maths.space.neighbourhoods import (
    Agreement,
    Twins,
    agreement,
    kept,
    means,
    nearest_people,
    p_values,
)
from embedlab.maths.turns import some_of_each
from embedlab.progress import busy, track

FEWEST = 3
LONGEST = 50
BINS = 25
# So many null values say well enough how far noise goes, but twins are not drawn without end.
NULL_VALUES, MOST_TWINS = 3000, 20
# How many results are drawn one by one, and told one by one.
DRAWN, TOLD, COMPARED = 3, 4, 3
# Half a point: how far twins may be off where nothing but noise differs.
INEXACT = 0.005
FACES, LISTED, NAMED = 4, 4, 3
NEAR = 7


@dataclass(frozen=True)
class NeighboursParams(Params):
    """Knobs of the comparison of neighbourhoods."""

    k: int = bounded(10, least=1)
    """How many nearest people are a neighbourhood; at most half of the others."""
    people: int = bounded(2000, least=FEWEST)
    """How many people to draw at most, of those with two images or more."""
    images: int = bounded(20, least=2)
    """How many images of a person to draw at most."""
    splits: int = bounded(6, least=1)
    """How often everybody's images are dealt into halves."""
    twins: int = bounded(3, least=1)
    """How many pairs of twins are drawn to see what noise alone does, at least: few people need more."""
    fdr: float = bounded(0.05, above=0, below=1)
    """The false discovery rate at which people are found changed."""
    shown: int = bounded(8, least=1)
    """How many people are listed: those found changed, and those that come nearest to it."""
    resamples: int = bounded(1000, least=1)
    """How many bootstrap resamples of people stand behind each interval."""
    seed: int = bounded(0, least=0)
    """Seed of the draw of people and images, of the halves, of the twins and of the resamples."""


@dataclass(frozen=True)
class Neighbours(Result):
    """How much of people's neighbourhoods two spaces share, and who changed most.

    Attributes
    ----------
    names, kept, expected_of, p, q
        Each drawn person, the share kept, the share that noise alone would leave, the p value and the
        one adjusted for all people.
    most
        The people listed, most changed first, as indices into ``names``.
    near_a, near_b, place_b, place_a
        The nearest people of each one listed, in either space, and what place those have in the other.
    faces
        The image of each person that lies nearest to their mean in the first space.
    """

    kind: str = field(metadata={"hidden": True})
    model_a: str = field(metadata={"hidden": True})
    model_b: str = field(metadata={"hidden": True})
    probe_a: str = field(metadata={"hidden": True})
    probe_b: str = field(metadata={"hidden": True})
    k: int = field(metadata={"label": "people in a neighbourhood"})
    people: int
    people_of: int = field(metadata={"label": "of these with two images or more"})
    images: int
    fdr: float = field(metadata={"hidden": True})
    seed: int = field(metadata={"hidden": True})
    across: Estimate = field(metadata={"label": "kept across the spaces"})
    expected: Estimate = field(metadata={"label": "kept by noise alone"})
    lost: Estimate = field(metadata={"label": "difference from noise alone"})
    within_a: Estimate = field(metadata={"label": "kept within the first space"})
    within_b: Estimate = field(metadata={"label": "kept within the second space"})
    same_images: Estimate = field(metadata={"label": "kept with the same images"})
    changed: int = field(metadata={"label": "people found changed"})
    names: Shaped[np.ndarray, " people"]
    faces: Shaped[np.ndarray, " people"]
    kept: Float[np.ndarray, " people"]
    expected_of: Float[np.ndarray, " people"]
    p: Float[np.ndarray, " people"]
    q: Float[np.ndarray, " people"]
    found: Bool[np.ndarray, " people"]
    most: Int[np.ndarray, " shown"]
    near_a: Int[np.ndarray, "shown near"]
    near_b: Int[np.ndarray, "shown near"]
    place_b: Int[np.ndarray, "shown near"]
    place_a: Int[np.ndarray, "shown near"]
    curve: Float[np.ndarray, " longest"]
    curve_within: Float[np.ndarray, "2 longest"]
    curve_expected: Float[np.ndarray, " longest"]
    curve_null: Float[np.ndarray, " longest"]

    @property
    def first(self) -> str:
        """The first space in words, as far as it differs from the second."""
        return self.probe_a if self.kind == "degraded" else self.model_a

    @property
    def second(self) -> str:
        """The second space in words, as far as it differs from the first."""
        return self.probe_b if self.kind == "degraded" else self.model_b

    @property
    def common(self) -> str:
        """What both spaces have in common."""
        return f"in {self.model_a}" if self.kind == "degraded" else f"on {self.probe_a}"

    @property
    def steady(self) -> bool:
        """Whether two halves of a person's images agree further than chance in both spaces."""
        return all(
            one.low is not None and one.null is not None and one.low > one.null
            for one in (self.within_a, self.within_b)
        )


@dataclass(frozen=True)
class _Drawn:
    """The images taken part, those of a person one after another."""

    names: np.ndarray
    a: np.ndarray
    b: np.ndarray
    owners: np.ndarray
    items: np.ndarray
    people_of: int


def compute(a: EmbeddingSet, b: EmbeddingSet, params: NeighboursParams) -> Neighbours:
    """Compare everybody's nearest people in two spaces.

    Raises
    ------
    UserError
        If fewer than three people have two images.
    """
    drawn = _drawn(a, b, params)
    people = len(drawn.names)
    images = np.bincount(drawn.owners)
    k = min(params.k, (people - 1) // 2)
    longest = max(k, min(LONGEST, people - 2))
    rng = np.random.default_rng([params.seed, 11])
    real = agreement(drawn.a, drawn.b, drawn.owners, k, longest, params.splits, rng)
    levels = real.within[:, :, k - 1].mean(axis=1)
    whole = [means(x, drawn.owners) for x in (drawn.a, drawn.b)]
    same = kept(*(nearest_people(x, k, rng) for x in whole))[:, k - 1]
    # People stay where they are in the space where halves agree further.
    twins = Twins.of(drawn.a if levels[0] >= levels[1] else drawn.b, drawn.owners)
    with busy("making twins as noisy as the spaces"):
        twins = twins.matched((float(levels[0]), float(levels[1])), float(same.mean()), k, rng)
    pairs = max(params.twins, min(MOST_TWINS, -(-NULL_VALUES // people)))
    alike = [twins.agreement(k, longest, params.splits, rng) for _ in track(range(pairs), "drawing twins")]
    at_k = [_AtK.of(one, k) for one in (real, *alike)]
    null_k = float(real.strangers[k - 1])
    everybody = People.of(drawn.names, params, items=drawn.items)
    means_of, draws = _means(at_k, everybody.counts)
    level, level_draws = float(_noise_alone(means_of, null_k)), _noise_alone(draws, null_k)
    expected, differences, null = _beyond_noise(at_k, level)
    p = p_values(differences, null, images)
    q = _adjusted(p)
    # Rounding must not decide about exactly one neighbour.
    found = (q <= params.fdr) & (differences <= -1 / k + 1e-9)

    def estimate(mean: float, draws: np.ndarray) -> Estimate:
        one = Drawn(float(mean), np.clip(draws, 0.0, 1.0))
        return everybody.estimate(one, people, null_k, share=True)

    gap = Drawn(float(means_of[0, 2]) - level, draws[0, 2] - level_draws)
    most = np.lexsort((differences, ~found))[: params.shown]
    ranks = [_ranks(x, most) for x in whole]
    near_a, near_b = (np.argsort(x, axis=1, kind="stable")[:, : max(k, min(NEAR, people - 1))] for x in ranks)
    kind = "degraded" if a.model == b.model else "models"
    return Neighbours(
        title=f"{a.probe} to {b.probe} in {a.model}"
        if kind == "degraded"
        else f"{a.model} to {b.model} on {a.probe}",
        kind=kind,
        model_a=a.model,
        model_b=b.model,
        probe_a=a.probe,
        probe_b=b.probe,
        k=k,
        people=people,
        people_of=drawn.people_of,
        images=len(drawn.owners),
        fdr=params.fdr,
        seed=params.seed,
        across=estimate(means_of[0, 2], draws[0, 2]),
        expected=estimate(level, level_draws),
        lost=everybody.estimate(gap, people, 0.0),
        within_a=estimate(means_of[0, 0], draws[0, 0]),
        within_b=estimate(means_of[0, 1], draws[0, 1]),
        same_images=estimate(same.mean(), everybody.counts @ same / people),
        changed=int(found.sum()),
        names=drawn.names,
        faces=_typical(drawn, whole[0]),
        kept=at_k[0].rows[2],
        expected_of=expected,
        p=p,
        q=q,
        found=found,
        most=most,
        near_a=near_a,
        near_b=near_b,
        place_b=np.take_along_axis(ranks[1], near_a, axis=1) + 1,
        place_a=np.take_along_axis(ranks[0], near_b, axis=1) + 1,
        curve=real.across.mean(axis=0),
        curve_within=real.within.mean(axis=1),
        curve_expected=np.mean([t.across.mean(axis=0) for t in alike], axis=0),
        curve_null=real.strangers,
    )


def _drawn(a: EmbeddingSet, b: EmbeddingSet, params: NeighboursParams) -> _Drawn:
    """Take the same images from both sets, in the order of names: how rows lie must not matter."""
    both = aligned(a, b)
    names = np.asarray(both.a.identities)
    several = np.flatnonzero(np.bincount(both.a.labels) > 1)
    if len(several) < FEWEST:
        raise UserError(
            f"{a.title} and {b.title} share {len(several)} people with two images, too few to be each "
            f"other's neighbours: at least {FEWEST} are needed; add more images of the same people"
        )
    rng = np.random.default_rng([params.seed, 10])
    chosen = np.sort(rng.permutation(several)[: params.people])
    order = np.lexsort((both.a.items, both.a.labels))
    order = order[np.isin(both.a.labels[order], chosen)]
    owners = np.searchsorted(chosen, both.a.labels[order])
    rows = some_of_each(owners, params.images, rng)
    order, owners = order[rows], owners[rows]
    return _Drawn(
        names=names[chosen],
        a=both.a.unit[order],
        b=both.b.unit[order],
        owners=owners,
        items=both.a.items[order],
        people_of=len(several),
    )


@dataclass(frozen=True)
class _AtK:
    """Shares kept in the first space, in the second and across, of one size of neighbourhood.

    Attributes
    ----------
    rows
        Of each person's own neighbours, of shape (3, people).
    columns
        Of the lists that a person stands in, of the same shape and means.
    """

    rows: np.ndarray
    columns: np.ndarray

    @classmethod
    def of(cls, one: Agreement, k: int) -> "_AtK":
        rows = np.concatenate([one.within[:, :, k - 1], one.across[None, :, k - 1]])
        return cls(rows, np.concatenate([one.within_others, one.across_others[None]]))

    @property
    def own(self) -> np.ndarray:
        """The mean of both spaces' own agreement: what is kept across where noise alone is at work."""
        mean: np.ndarray = self.rows[:2].mean(axis=0)
        return mean


def _means(at_k: Sequence[_AtK], counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give the three mean shares of the real spaces and of the mean twin, and their replicates.

    People are drawn as they are neighbours too, to first order: a share is a mean over pairs of people.
    """
    kinds = [at_k[:1], at_k[1:]]
    values = np.stack([np.mean([x.rows for x in kind], axis=0) for kind in kinds])
    both = values + np.stack([np.mean([x.columns for x in kind], axis=0) for kind in kinds])
    means_of = values.mean(axis=2)
    draws = np.einsum("bp,skp->skb", counts - 1, both) / counts.shape[1] + means_of[:, :, None]
    return means_of, draws


def _noise_alone(shares: np.ndarray, null: float) -> np.ndarray:
    """Give what noise alone would leave: the twins' share, for twins matched up to a little.

    What is missing is made up for as in the correction for attenuation: a share beyond chance goes with
    the root of the product of the shares within the spaces.
    """
    real, twin = shares
    ratio = np.maximum(real[:2] - null, 1e-6) / np.maximum(twin[:2] - null, 1e-6)
    found: np.ndarray = null + (twin[2] - null) * np.clip(np.sqrt(ratio[0] * ratio[1]), 0.5, 2.0)
    return found


def _beyond_noise(at_k: Sequence[_AtK], level: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give the share expected of each person, the difference from it, and the twins' differences."""
    real, *alike = at_k
    own, across = np.stack([t.own for t in alike]), np.stack([t.rows[2] for t in alike])
    centred = own - own.mean()
    spread = (centred**2).sum()
    slope = float((centred * across).sum() / spread) if spread > 0 else 0.0
    expected = np.clip(level + slope * (real.own - real.own.mean()), 0.0, 1.0)
    return expected, real.rows[2] - expected, across - (across.mean() + slope * centred)


def _adjusted(p: np.ndarray) -> np.ndarray:
    from scipy.stats import false_discovery_control

    adjusted: np.ndarray = false_discovery_control(np.clip(p, 0.0, 1.0))
    return adjusted


def _ranks(means: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Give what place everybody has from a person, 0 the nearest; the person comes last."""
    near = means[rows] @ means.T
    near[np.arange(len(rows)), rows] = -np.inf
    order = np.argsort(-near, axis=1, kind="stable")
    places = np.empty_like(order)
    np.put_along_axis(places, order, np.arange(len(means))[None], axis=1)
    return places


def _typical(drawn: _Drawn, means: np.ndarray) -> np.ndarray:
    """Name the image of each person that lies nearest to the mean."""
    near = np.einsum("ij,ij->i", drawn.a, means[drawn.owners])
    order = np.lexsort((-near, drawn.owners))
    found: np.ndarray = drawn.items[order[np.flatnonzero(np.diff(drawn.owners, prepend=-1))]]
    return found


def charts(results: Sequence[Neighbours]) -> list[Chart]:
    """All comparisons in one table, and for a few of them how much was kept and who changed."""
    drawn: list[Chart] = [_table(results)]
    if len(results) > 1:
        drawn.insert(0, _heatmap(results))
    for r in _few(results):
        drawn += [_histogram(r), _curves(r), _people(r)]
        drawn += [_faces(r)] if faces_at_hand() else []
    return drawn


def _few(results: Sequence[Neighbours]) -> list[Neighbours]:
    """Choose what is drawn one by one: all if they are few, else of each kind the one most changed."""
    if len(results) <= DRAWN:
        return list(results)
    kinds = dict.fromkeys(r.kind for r in results)
    return [max((r for r in results if r.kind == kind), key=lambda r: r.changed) for kind in kinds]


def _table(results: Sequence[Neighbours]) -> Table:
    few = _few(results)
    left_out = (
        ""
        if len(few) == len(results)
        else " Drawn below: of each kind the comparison with the most people found changed."
    )
    return Table(
        title="Share of the nearest people kept",
        columns=(
            *("spaces", "k", "kept", "noise alone", "difference", "within first", "within second"),
            *("other people's lists", "people found changed"),
        ),
        rows=tuple(
            (
                r.title,
                r.k,
                r.across,
                r.expected,
                r.lost,
                r.within_a,
                r.within_b,
                r.across.null,
                f"{r.changed:,} of {r.people:,}",
            )
            for r in results
        ),
        note="Lists of halves of everybody's images, never the same image twice. "
        f"{_sample(results[0])}{left_out}",
    )


def _sample(r: Neighbours) -> str:
    if r.people == r.people_of:
        return f"All {r.people:,} people with two images or more."
    return f"{r.people:,} of {r.people_of:,} people with two images or more, seed {r.seed}."


def _heatmap(results: Sequence[Neighbours]) -> Heatmap:
    series = list(dict.fromkeys(_series(r) for r in results))
    columns = list(dict.fromkeys(r.probe_b for r in results))
    values = np.full((len(series), len(columns)), np.nan)
    text = np.full(values.shape, "", dtype="U40")
    for r in results:
        at = series.index(_series(r)), columns.index(r.probe_b)
        values[at] = r.across.value
        text[at] = f"{r.across.value:.0%} of {r.expected.value:.0%}"
    return Heatmap(
        title="Share of the nearest people kept, of what noise alone would leave",
        xlabels=tuple(columns),
        ylabels=tuple(series),
        values=values,
        text=text,
        xlabel="probe",
        colour_label="kept",
        span=(0.0, 1.0),
        note="Rows that name one model compare its native probe with each degraded one; rows of two "
        "models compare these on each probe.",
    )


def _series(r: Neighbours) -> str:
    return f"{r.model_a}, from {r.probe_a}" if r.kind == "degraded" else f"{r.model_a} and {r.model_b}"


def _histogram(r: Neighbours) -> Histogram:
    edges = np.linspace(0, 1, BINS + 1)
    return Histogram(
        title=f"How much of their neighbourhood people keep: {r.title}",
        xlabel=f"share of a person's {r.k} nearest people kept",
        edges=edges,
        series={
            f"kept from {r.first} to {r.second}": np.histogram(r.kept, edges)[0],
            "expected of noise alone": np.histogram(r.expected_of, edges)[0],
        },
        lines={"other people's lists (null)": float(r.across.null or 0.0)},
        density=False,
        note=f"A count is a person. {_sample(r)}",
    )


def _curves(r: Neighbours) -> Curves:
    k = np.arange(1, len(r.curve) + 1)
    return Curves(
        title=f"Kept by size of neighbourhood: {r.title}",
        xlabel="nearest people compared",
        ylabel="share kept",
        curves=(
            Curve(f"{r.first} to {r.second}", k, r.curve),
            Curve("noise alone", k, r.curve_expected, dash="dash"),
            Curve(f"within {r.first}", k, r.curve_within[0], dash="dot"),
            Curve(f"within {r.second}", k, r.curve_within[1], dash="dot"),
            Curve("other people's lists (null)", k, r.curve_null, dash="dash", role="null"),
        ),
        note=f"Noise alone is matched at {r.k} nearest people.",
    )


def _people(r: Neighbours) -> Table:
    rows = []
    for j, i in enumerate(r.most):
        came = _moved(r, r.near_b[j], r.place_a[j])
        went = _moved(r, r.near_a[j], r.place_b[j])
        p = "< 0.0001" if r.p[i] < 1e-4 else f"{r.p[i]:.4f}"
        found = "changed" if r.found[i] else "may be noise"
        rows.append((r.names[i], f"{r.kept[i]:.0%}", f"{r.expected_of[i]:.0%}", p, found, came, went))
    return Table(
        title=f"Whose neighbourhood changed most: {r.title}",
        columns=(
            *("person", "kept", "noise alone", "p", f"at a false discovery rate of {r.fdr:.0%}"),
            f"came (place in {r.first})",
            f"went (place in {r.second})",
        ),
        rows=tuple(rows),
        note=f"Those found changed come first, by what they keep less than expected. Came and went: up to "
        f"{LISTED} of the {r.k} nearest people by all images, nearest first. p values are not adjusted for "
        "the number of people; what is called changed is.",
    )


def _moved(r: Neighbours, near: np.ndarray, places: np.ndarray) -> str:
    moved = [f"{r.names[i]} ({at:,})" for i, at in zip(near[: r.k], places[: r.k], strict=True) if at > r.k]
    more = len(moved) - LISTED
    return ", ".join(moved[:LISTED]) + (f" and {more} more" if more > 0 else "") or "nobody"


def _faces(r: Neighbours) -> Faces:
    rows: list[tuple[str, tuple[Face, ...]]] = []
    for j, i in enumerate(r.most[:FACES]):
        for space, probe, near, places in (
            (r.first, r.probe_a, r.near_a[j], r.place_b[j]),
            (r.second, r.probe_b, r.near_b[j], r.place_a[j]),
        ):
            others = zip(near[:NEAR], places[:NEAR], strict=True)
            faces = [Face(probe, str(r.faces[i]), str(r.names[i]))]
            faces += [Face(probe, str(r.faces[o]), f"{r.names[o]} ({at:,})") for o, at in others]
            rows.append((f"{r.names[i]}, {space}", tuple(faces)))
    return Faces(
        title=f"Who is near to those whose neighbourhood changed most: {r.title}",
        rows=tuple(rows),
        note="Each person twice: first, and followed by the nearest people, nearest first, in the one space "
        "and then in the other. In brackets the place that these have in the other space. Everybody is "
        "shown by the image nearest to their mean.",
    )


def findings(results: Sequence[Neighbours]) -> list[Finding]:
    """Say what share is kept beside what noise alone would leave, who changed, and which model keeps more."""
    if len(results) <= TOLD:
        said = [finding for r in results for finding in (_kept(r), *_who(r))]
    else:
        said = []
        for series in dict.fromkeys((r.kind, _series(r)) for r in results):
            group = [r for r in results if (r.kind, _series(r)) == series]
            said.append(_kept(min(group, key=lambda r: r.lost.value), len(group)))
        said += _often(results)
    return said + _compared(results)


def _kept(r: Neighbours, of: int = 1) -> Finding:
    """Judge one comparison: the one that falls farthest below noise alone where there are several."""
    most = f"Of {of} comparisons this falls farthest below noise alone: " if of > 1 else ""
    text = (
        f"{most}{'from' if most else 'From'} {r.first} to {r.second} {r.common}, people keep "
        f"{r.across:.1%} of their {r.k} nearest people in other images of theirs"
    )
    null = f"lists of other people share {r.across.null:.1%}"
    if not r.steady:
        worse, space = min(((r.within_a, r.first), (r.within_b, r.second)), key=lambda one: one[0].value)
        return Finding(
            f"{text}; {null}. Two halves of a person's images share {worse:.1%} within {space}, which may be "
            "chance, so no change of neighbourhood can be told from noise there."
        )
    text = f"{text}, where noise alone would leave {r.expected.value:.1%} ({null})"
    if r.lost.sign and abs(r.lost.value) < INEXACT:
        return Finding(
            f"{text}: the difference of {r.lost.points()} is within the {100 * INEXACT:g} points that this "
            "estimate of noise may be off."
        )
    return judged(text, r.lost, tones=("bad" if r.kind == "degraded" else "plain", "plain"))


def _who(r: Neighbours) -> list[Finding]:
    if not r.steady:
        return []
    where = f"from {r.first} to {r.second} {r.common}"
    rate = f"at a false discovery rate of {r.fdr:.0%}"
    if not r.changed:
        return [
            Finding(
                f"Nobody is found to have changed their neighbourhood beyond noise {where}, {rate}; that is "
                "no proof that nobody did."
            )
        ]
    named = [
        f"{r.names[i]} ({r.kept[i]:.0%} kept, {r.expected_of[i]:.0%} expected)"
        for i in r.most[:NAMED]
        if r.found[i]
    ]
    return [
        Finding(
            f"{r.changed:,} of {r.people:,} people {_are(r.changed)} found to have changed their "
            f"neighbourhood beyond noise {where}, {rate}; most of all {_listed(named)}."
        )
    ]


def _often(results: Sequence[Neighbours]) -> list[Finding]:
    """Name who is found changed in most comparisons, those without a steady space apart."""
    steady = [r for r in results if r.steady]
    names = np.concatenate([r.names[r.found] for r in steady]) if steady else np.empty(0)
    if not len(names):
        return []
    people, times = np.unique(names, return_counts=True)
    first = np.lexsort((people, -times))[:NAMED]
    named = [f"{people[i]} (in {times[i]})" for i in first]
    return [
        Finding(
            f"{len(people):,} people {_are(len(people))} found to have changed their neighbourhood beyond "
            f"noise in at least one of {len(steady)} comparisons, most often {_listed(named)}."
        )
    ]


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _listed(words: Sequence[str]) -> str:
    *others, last = words
    return f"{', '.join(others)} and {last}" if others else last


def _compared(results: Sequence[Neighbours]) -> list[Finding]:
    """Compare models by what they keep on the same degraded probe."""
    said = []
    degraded = [r for r in results if r.kind == "degraded"]
    for pair in list(dict.fromkeys((r.probe_a, r.probe_b) for r in degraded))[:COMPARED]:
        best, *rest = sorted(
            (r for r in degraded if (r.probe_a, r.probe_b) == pair), key=lambda r: -r.across.value
        )
        for other in rest[:COMPARED]:
            text = (
                f"From {pair[0]} to {pair[1]}, people keep {best.across.value:.1%} of their nearest people "
                f"in {best.model_a} and {other.across.value:.1%} in {other.model_a}"
            )
            # Neighbourhoods of another size are other things to keep.
            other_across = other.across if other.k == best.k else undrawn(other.across)
            said.append(compared(text, best.across, other_across))
    return said


ANALYSIS = Analysis(
    question="Whose nearest people change between two spaces, beyond what the choice of images changes?",
    over=("degraded pair", "model pair"),
    params=NeighboursParams(),
    result=Neighbours,
    compute=compute,
    charts=charts,
    findings=findings,
)
