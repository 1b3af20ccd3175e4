"""Nearest neighbours, exact or about so, and how far a picture keeps them.

Distances of all pairs are a matrix product, a block of rows at a time, in single precision; those that
may be among the k nearest within its rounding error are then measured again in double precision. The
answer is that of a plain search, ties included, at the price of the product.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int

from embedlab.maths.turns import turns
from embedlab.progress import blocks, busy, sweep
from embedlab.shares import shared

# Entries of one block of distances; a block takes four bytes an entry.
BLOCK = 1 << 22
# Rows of a block of the search at least: with fewer a product takes twice as long.
ROWS = 256
# Groups of entries for each neighbour that is looked for: the more, the fewer entries are measured again.
# Fewer than so many groups take longer: numbers that lie side by side are compared at once.
GROUPS, WIDE = 4, 64
# Groups of the compiled search at least: a row's fit into the cache that is nearest to a core.
LEAST = 512
# Pairs measured again at once: few enough that their vectors stay in the cache, which is ten times as fast.
PAIRS = 1 << 10
# What NN-descent compiles anew in each process, for half of its 25 seconds, by its modules.
COMPILED = {
    "kernels": ("generate_graph_update_array_batched",),
    "utils": (
        *("build_candidates_owner", "sort_updates_by_block", "apply_sorted_graph_update_array"),
        "deheap_sort",
    ),
}

Metric = Literal["cosine", "euclidean"]


def nearest(
    vectors: Float[np.ndarray, "n d"],
    k: int,
    *,
    others: Float[np.ndarray, "m d"] | None = None,
    metric: Metric = "cosine",
) -> tuple[Int[np.ndarray, "n k"], Float[np.ndarray, "n k"]]:
    """Find each row's k nearest rows.

    Parameters
    ----------
    vectors
        Rows of shape (n, d); for ``cosine`` none of length zero. They need not be normalised.
    k
        How many neighbours: at most m, or n − 1 without ``others``.
    others
        Where to look, of shape (m, d). Without it among ``vectors``, and no row is its own neighbour.
    metric
        ``cosine``, 1 − similarity; or ``euclidean``.

    Returns
    -------
    Indices into ``others`` (or ``vectors``) of shape (n, k), nearest first, equally near ones by index;
    and their distances, float64 of the same shape.

    Raises
    ------
    ValueError
        If there are not k rows to find.

    Notes
    -----
    Memory beyond the inputs: their copies in double and single precision, and a block of 16 MB or of the
    distances of 256 rows.
    """
    there = len(vectors) - 1 if others is None else len(others)
    if not 1 <= k <= there:
        raise ValueError(f"k must lie in 1…{there}, not {k}: there are no more rows to find")
    search = _Search.of(vectors, others, k, metric)
    indices = np.empty((len(vectors), k), np.int64)
    distances = np.empty((len(vectors), k), np.float64)
    for rows, found, apart in shared(search, search.blocks):
        indices[rows], distances[rows] = found, apart
    return indices, distances / 2 if metric == "cosine" else np.sqrt(distances)


@dataclass(frozen=True)
class _Search:
    """Rows made ready to be searched among others: finds shares of them, here or in another process.

    Attributes
    ----------
    given
        What it was made of, which is all that another process needs.
    a, b
        Rows whose neighbours are looked for, and those to look in, in double precision.
    rough_a, rough_b
        The same in single precision, such that their product orders a row's others.
    columns
        Which of the rows to look in ``b`` holds.
    slack, own_slack
        By how much a product may err: for each of ``b``, and of ``a``.
    """

    given: tuple[np.ndarray, np.ndarray | None, int, Metric]
    a: np.ndarray
    b: np.ndarray
    rough_a: np.ndarray
    rough_b: np.ndarray
    columns: np.ndarray
    slack: np.ndarray
    own_slack: np.ndarray

    @classmethod
    def of(cls, vectors: np.ndarray, others: np.ndarray | None, k: int, metric: Metric) -> "_Search":
        a, b = _prepared(vectors, vectors if others is None else others, metric)
        columns = _few_copies(b, k)
        b = b[columns]
        rough_a, rough_b = a.astype(np.float32), b.astype(np.float32)
        squares_a, squares_b = (np.einsum("ij,ij->i", x, x) for x in (rough_a, rough_b))
        # |b|² − 2a·b orders a row's others as their distances do, and errs by at most this share of
        # |a|² + 3|b|².
        error = np.float32((a.shape[1] + 10) * 2.0**-24)
        rough_a = np.concatenate([-2 * rough_a, np.ones((len(a), 1), np.float32)], axis=1)
        rough_b = np.concatenate([rough_b, (1 + 3 * error) * squares_b[:, None]], axis=1)
        slack, own_slack = 6 * error * squares_b, 2 * error * squares_a
        return cls((vectors, others, k, metric), a, b, rough_a, rough_b, columns, slack, own_slack)

    def __reduce__(self) -> tuple[Any, ...]:
        return _Search.of, self.given

    @property
    def step(self) -> int:
        return min(len(self.a), max(ROWS, BLOCK // len(self.b)))

    @property
    def blocks(self) -> int:
        return -(-len(self.a) // self.step)

    def __call__(self, mine: Sequence[int]) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
        """Give the rows of each block of some, their neighbours, and how far those are, squared."""
        from embedlab.maths.space._nearest import near

        n, m, (_, others, k, _) = len(self.a), len(self.b), self.given
        groups = min(m, max(GROUPS * k, LEAST))
        # Of the columns only so many pages are touched as there are neighbours.
        block, each = np.empty((self.step, m), np.float32), np.empty(self.step, np.int64)
        those = np.empty(block.size, np.int32)
        what, size = f"{k} nearest of {n:,} images, in blocks", f"{n:,} against {m:,}"
        for at in sweep(mine, what, len(mine), size) if self.blocks > 1 else mine:
            rows = slice(at * self.step, min((at + 1) * self.step, n))
            most = np.matmul(self.rough_a[rows], self.rough_b.T, out=block[: rows.stop - rows.start])
            if others is None:
                selves = np.flatnonzero((self.columns >= rows.start) & (self.columns < rows.stop))
                most[self.columns[selves] - rows.start, selves] = np.inf
            chosen = near(most, self.slack, self.own_slack[rows], k, groups, each, those)
            found, apart = _closest(self.a[rows], self.b, each[: len(most)], those[:chosen], k)
            yield rows, self.columns[found], apart


def reach(apart: Float[np.ndarray, "n m"], k: int) -> Float[np.ndarray, " n"]:
    """Give of each row a number that k entries do not exceed, and few more: the k-th of groups' least."""
    n, m = apart.shape
    if (groups := max(GROUPS * k, WIDE)) < m:
        deep = m // groups
        apart = apart[:, : deep * groups].reshape(n, deep, groups).min(axis=1)
    found: np.ndarray = np.partition(apart, k - 1, axis=1)[:, k - 1]
    return found


def within_reach(apart: Float[np.ndarray, "n m"], k: int) -> tuple[np.ndarray, np.ndarray]:
    """Give of each row the few entries that may be among its k least, in the order in which they lie.

    Returns
    -------
    Entries, infinite where a row has fewer than others, and their columns; of shape (n, few).
    """
    n, m = apart.shape
    at = np.flatnonzero(apart <= reach(apart, k)[:, None])
    rows = at // m
    each = np.bincount(rows, minlength=n)
    place = rows, np.arange(len(at)) - np.repeat(np.cumsum(each) - each, each)
    few, columns = np.full((n, each.max()), np.inf, apart.dtype), np.zeros((n, each.max()), np.int64)
    few[place], columns[place] = apart.ravel()[at], at % m
    return few, columns


def descended(
    unit: Float[np.ndarray, "n d"], k: int, *, seed: int = 0, judged: int = 500
) -> tuple[Int[np.ndarray, "n k"], Float[np.ndarray, "n k"], float]:
    """Find about each row's k nearest others by NN-descent [1]_, at a cost far below that of all pairs.

    Parameters
    ----------
    unit
        Rows of length one, shape (n, d), n above k.
    k
        How many neighbours.
    seed
        Seed of the search and of the rows judged.
    judged
        For how many rows, drawn at random, the search is held against an exact one.

    Returns
    -------
    Indices and distances (one minus the cosine, float64), each of shape (n, k), nearest first; and the share
    of the exact neighbours of the rows judged that was found.

    References
    ----------
    .. [1] Dong, W., Moses, C. and Li, K. Efficient k-nearest neighbor graph construction for generic
       similarity measures. WWW 2011; as pynndescent has it.
    """
    import warnings

    NNDescent = _nndescent()
    n = len(unit)
    with busy(f"about {k} nearest of {n:,} images"), warnings.catch_warnings():
        # Rows for which it finds too few are searched for exactly.
        warnings.filterwarnings("ignore", "Failed to correctly find", UserWarning)
        search = NNDescent(
            unit, metric="euclidean", n_neighbors=k + 1, random_state=seed, n_jobs=1, low_memory=True
        )
        found, apart = search.neighbor_graph
    # Each row stands among its own, first but where another is equal to it.
    own = found == np.arange(n)[:, None]
    own[:, -1] |= ~own.any(axis=1)
    near = found[~own].reshape(n, k).astype(np.int64)
    distances = np.maximum(apart[~own].reshape(n, k).astype(np.float64), 0) ** 2 / 2
    lacking = np.flatnonzero((near < 0).any(axis=1))
    near[lacking], distances[lacking] = _searched(unit, lacking, k)
    rows = np.sort(np.random.default_rng(seed).choice(n, min(judged, n), replace=False))
    return near, distances, float(overlap(near[rows], _searched(unit, rows, k)[0]).mean())


@cache
def _nndescent() -> Any:
    """Import NN-descent's class, and let be kept on disk what of it can be: what takes no function."""
    import pynndescent

    from embedlab.maths._compiled import kept

    for module, names in COMPILED.items():
        for name in names:
            # Other versions may call it otherwise: then it is compiled anew.
            if hasattr(function := getattr(getattr(pynndescent, module, None), name, None), "enable_caching"):
                kept(function)
    return pynndescent.NNDescent


def _searched(unit: np.ndarray, rows: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Find the k nearest others of a few rows in single precision, without a copy of all."""
    near, cosines = np.empty((len(rows), k), np.int64), np.empty((len(rows), k))
    step = max(1, BLOCK // len(unit))
    for start in range(0, len(rows), step):
        some = rows[start : start + step]
        scores = unit[some] @ unit.T
        scores[np.arange(len(some)), some] = -np.inf
        best = np.argpartition(-scores, k - 1, axis=1)[:, :k]
        found = np.take_along_axis(scores, best, axis=1)
        order = np.argsort(-found, axis=1, kind="stable")
        near[start : start + step] = np.take_along_axis(best, order, axis=1)
        cosines[start : start + step] = np.take_along_axis(found, order, axis=1)
    return near, np.maximum(1 - cosines, 0)


def _prepared(
    vectors: np.ndarray, found_in: np.ndarray, metric: Metric
) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, "m d"]]:
    """Bring both to double precision; about a common origin, because sums of small numbers lose less.

    Cosine distance is half the squared distance of unit rows, so it may be moved as well.
    """

    def whole(rows: np.ndarray) -> np.ndarray:
        rows = rows.astype(np.float64)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True) if metric == "cosine" else rows

    b = whole(found_in)
    origin = b.mean(axis=0)
    b -= origin
    return (b if vectors is found_in else whole(vectors) - origin), b


def _few_copies(rows: np.ndarray, k: int) -> Int[np.ndarray, " kept"]:
    """Leave out every row that k + 1 equal ones come before: by index it can be nobody's neighbour."""
    # Rows as strings of bytes, which compare faster than a field a number; −0 becomes 0.
    whole = np.ascontiguousarray(rows + 0.0).view(np.dtype((np.void, rows.itemsize * rows.shape[1])))
    _, group = np.unique(whole.ravel(), return_inverse=True)
    return np.flatnonzero(turns(group) <= k)


def _closest(
    a: np.ndarray, b: np.ndarray, each: np.ndarray, columns: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Measure rows against some columns, so many of each, and give their first k, with squared distances."""
    rows = np.repeat(np.arange(len(a)), each)
    squared = np.empty(len(rows))
    for start in range(0, len(rows), PAIRS):
        some = slice(start, start + PAIRS)
        gap = a[rows[some]] - b[columns[some]]
        squared[some] = np.einsum("ij,ij->i", gap, gap)
    order = np.lexsort((columns, squared, rows))
    firsts = np.cumsum(each) - each
    picked = order[firsts[:, None] + np.arange(k)]
    return columns[picked], squared[picked]


def overlap(a: Int[np.ndarray, "n k"], b: Int[np.ndarray, "n k"]) -> Float[np.ndarray, " n"]:
    """Give the share of each row's neighbours that stand in both lists, in whatever order.

    The mean of unrelated lists of k among n − 1 others is k/(n − 1).
    """
    # One sorted array of (row, neighbour) numbers instead of a comparison of all k × k.
    n, k = a.shape
    base = np.int64(max(int(a.max()), int(b.max())) + 1)
    keys = np.arange(n)[:, None] * base
    common = np.isin(a + keys, b + keys)
    share: np.ndarray = common.sum(axis=1) / k
    return share


def trustworthiness(
    space: Float[np.ndarray, "n d"], picture: Float[np.ndarray, "n p"], k: int
) -> Float[np.ndarray, " n"]:
    """Give each point's part in the trustworthiness of a picture [1]_; the mean is the figure.

    A point loses for each of its k nearest in the picture that is not among its k nearest in the
    space, by how far down it stands there. 1 is a picture that invents no neighbour.

    Parameters
    ----------
    space, picture
        The same points, row for row; distances are Euclidean in both.
    k
        How many neighbours; less than n/2.

    Raises
    ------
    ValueError
        If k is n/2 or more, where the figure is not defined.

    References
    ----------
    .. [1] Venna, J. and Kaski, S. Neighborhood preservation in nonlinear projection methods: an
       experimental study. ICANN 2001.
    """
    n = len(space)
    if not k < n / 2:
        raise ValueError(f"k must be less than half of the {n} points, not {k}")
    seen, _ = nearest(picture, k, metric="euclidean")
    centred = space.astype(np.float64) - space.mean(axis=0)
    squares = np.einsum("ij,ij->i", centred, centred)
    invented = np.empty(n)
    step = max(1, BLOCK // n)
    for start in blocks(range(0, n, step), f"trustworthiness of {n:,} images, in blocks"):
        rows = np.arange(start, min(start + step, n))
        squared = squares - 2 * centred[rows] @ centred.T
        # The point itself comes before all others and has rank 0.
        squared[rows - start, rows] = -np.inf
        order = np.argsort(squared, axis=1, kind="stable")
        ranks = np.empty_like(order)
        np.put_along_axis(ranks, order, np.arange(n)[None], axis=1)
        invented[rows] = np.maximum(np.take_along_axis(ranks, seen[rows], axis=1) - k, 0).sum(axis=1)
    return 1.0 - invented * (2.0 / (k * (2 * n - 3 * k - 1)))


def chance_trustworthiness(n: int, k: int) -> float:
    """Give the expected trustworthiness of n points at random positions: about one half."""
    return 1.0 - (n - 1 - k) * (n - k) / ((n - 1) * (2 * n - 3 * k - 1))
