"""Self-training: from few known pairs to a map, by rounds of Procrustes on mutual nearest neighbours.

Two clouds show the same people, and of few it is known who is who. A rotation fitted on these is applied to
the first cloud; points of both clouds that are each other's nearest then stand for known pairs, the rotation
is fitted anew, and so on until no match changes [1]_. Nearest is by CSLS: the cosine less the mean cosine to
a point's own nearest ones, so that points near everything (hubs) are nobody's match [1]_.

Whether what was found is right can be told without a pair more (`agreement`): where matches are right, half
of them give the same map as the other half. Wrong ones are each other's nearest no less often, but each by a
chance of its own.

References
----------
.. [1] Conneau, A., Lample, G., Ranzato, M., Denoyer, L. and Jégou, H. Word translation without parallel data.
   ICLR 2018. arXiv 1710.04087.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from embedlab.maths.linear.crossmodel import cosines, sides, unit
from embedlab.maths.linear.linear_maps import LinearMap
from embedlab.maths.linear.procrustes import thin_svd
from embedlab.maths.space.neighbours import within_reach


@dataclass(frozen=True, eq=False)
class SelfTrained:
    """A map, and the pairs it came to rest on.

    Attributes
    ----------
    map
        The rotation and shift of the last round.
    rows, partners
        Mutual nearest neighbours under it: rows of the first cloud and of the second.
    rounds
        How many rounds there were.
    settled
        Whether the last round changed no match.
    agreement
        What `agreement` says of the matches, those that were known not among them; 0 of fewer than four.
    """

    map: LinearMap
    rows: Int[np.ndarray, " m"]
    partners: Int[np.ndarray, " m"]
    rounds: int
    settled: bool
    agreement: float


def rotation(a: Float[np.ndarray, "n d_a"], b: Float[np.ndarray, "n d_b"]) -> LinearMap:
    """Fit x ↦ x·R + t with R as near to orthogonal as its shape lets it be, on matched rows.

    Directions that the rows leave open are mapped to nothing, where `linear_maps.procrustes` turns them as
    little as it can: between spaces of different kind the latter would say something of what was not seen.

    Raises
    ------
    ValueError
        If the rows do not match, or there is none.
    """
    if len(a) != len(b) or not len(a):
        raise ValueError(f"a and b must be matched rows, not {a.shape} and {b.shape}")
    mean_a, mean_b = (rows.mean(axis=0, dtype=np.float64) for rows in (a, b))
    return _turned((a - mean_a).T @ (b - mean_b), mean_a, mean_b, len(a))


def _turned(cross: np.ndarray, mean_a: np.ndarray, mean_b: np.ndarray, rows: int) -> LinearMap:
    """Fit the rotation by the cross products of so many rows about their means."""
    left, strengths, right = thin_svd(cross)
    known = strengths > strengths[0] * max(rows, len(cross)) * np.finfo(np.float64).eps
    matrix = left[:, known] @ right[known]
    return LinearMap("Procrustes", matrix, mean_b - mean_a @ matrix, 0.0, int(known.sum()))


def mutual(
    a: Float[np.ndarray, "n d"], b: Float[np.ndarray, "m d"], neighbours: int
) -> tuple[Int[np.ndarray, " k"], Int[np.ndarray, " k"]]:
    """Find the rows of two clouds in one space that are each other's nearest by CSLS.

    Parameters
    ----------
    a, b
        Vectors of any length; their cosine counts, and one without direction is near nothing.
    neighbours
        How many nearest points say how crowded it is about a point.

    Returns
    -------
    Rows of ``a``, rising, and their partners in ``b``.
    """
    return _mutual(unit(a) @ unit(b).T, neighbours)


def _mutual(scores: Float[np.ndarray, "n m"], neighbours: int) -> tuple[np.ndarray, np.ndarray]:
    """Find each other's nearest by their cosines, which are written over."""
    about_a, about_b = _crowded(scores, neighbours), _crowded(np.ascontiguousarray(scores.T), neighbours)
    scores *= 2
    scores -= about_a[:, None]
    scores -= about_b
    partner = scores.argmax(axis=1)
    # A column's first maximum, without numpy's slow search down columns: the last one written is the first.
    at = np.flatnonzero(scores == scores.max(axis=0))[::-1]
    back = np.empty(scores.shape[1], np.int64)
    back[at % len(back)] = at // len(back)
    rows = np.flatnonzero(back[partner] == np.arange(len(scores)))
    return rows, partner[rows]


def _crowded(scores: np.ndarray, neighbours: int) -> Float[np.ndarray, " n"]:
    """Give the mean score of each row with its nearest columns."""
    count = min(neighbours, scores.shape[1])
    apart, _ = within_reach(-scores, count)
    found: np.ndarray = -np.partition(apart, count - 1, axis=1)[:, :count].mean(axis=1)
    return found


def self_trained(
    a: Float[np.ndarray, "n d_a"],
    b: Float[np.ndarray, "m d_b"],
    known: tuple[Float[np.ndarray, "k d_a"], Float[np.ndarray, "k d_b"]],
    *,
    rounds: int = 20,
    neighbours: int = 10,
    seed: int = 0,
) -> SelfTrained:
    """Map the first cloud onto the second, from known pairs on.

    Parameters
    ----------
    a, b
        The clouds; nobody says which rows belong together.
    known
        Matched rows, which stay pairs in every round.
    rounds
        How many rounds there are at most.
    neighbours
        As in ``mutual``.
    seed
        Seed of the halves.

    Raises
    ------
    ValueError
        If there are fewer than two known pairs.
    """
    if len(known[0]) < 2:
        raise ValueError(f"{len(known[0])} known pairs are too few: give two or more")
    k, origin_a, origin_b = len(known[0]), *(one.mean(axis=0, dtype=np.float64) for one in known)
    # About the known rows' means these add nothing to further rows' sums but their cross products.
    fixed = (known[0] - origin_a).T @ (known[1] - origin_b)
    x, y, directions = a - origin_a, b - origin_b, unit(b)
    found, before = _turned(fixed, origin_a, origin_b, k), None
    for turn in range(1, rounds + 1):  # noqa: B007
        shift = found.shift + origin_a @ found.matrix
        one, other = sides(x, x @ found.matrix + shift, found.matrix, shift, directions)
        rows, partners = _mutual(one @ other.T, neighbours)
        some, others = x[rows], y[partners]
        mean_a, mean_b = (part.sum(axis=0) / (k + len(rows)) for part in (some, others))
        cross = fixed + some.T @ others - (k + len(rows)) * np.outer(mean_a, mean_b)
        found = _turned(cross, origin_a + mean_a, origin_b + mean_b, k + len(rows))
        now = (rows.tobytes(), partners.tobytes())
        if settled := now == before:
            break
        before = now
    return SelfTrained(found, rows, partners, turn, settled, agreement(a, a[rows], b[partners], seed=seed))


def agreement(
    cloud: Float[np.ndarray, "n d_a"],
    a: Float[np.ndarray, "m d_a"],
    b: Float[np.ndarray, "m d_b"],
    *,
    seed: int,
) -> float:
    """Say how far the rotation of half of some pairs is that of the other half: a certificate without truth.

    Parameters
    ----------
    cloud
        What both rotations map.
    a, b
        Pairs.
    seed
        Who is in which half.

    Returns
    -------
    The mean cosine of the cloud, less its mean, mapped by both: 1 where they say the same. Of wrong pairs it
    is above 0 as well, since both halves are of the same two clouds; how much so is shown by self-training
    from pairs that are known to be wrong. 0 of fewer than four pairs.
    """
    if len(a) < 4:
        return 0.0
    order = np.random.default_rng([seed, 26]).permutation(len(a))
    centred = cloud - cloud.mean(axis=0, dtype=np.float64)
    one, other = (centred @ rotation(a[half], b[half]).matrix for half in np.array_split(order, 2))
    return float(cosines(one, other).mean())
