"""Principal components fitted on some rows, and the variance of other rows along them."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from embedlab.maths.linear.span import basis_of, within_span
from embedlab.maths.sums import by_person

BLOCK = 8192


@dataclass(frozen=True)
class Components:
    """All principal components of some rows, widest first, within the k dimensions that rows span.

    Attributes
    ----------
    mean
        Of shape (d,).
    variances
        The rows' own variance along each component: the eigenvalues of their covariance, of shape (k,).
    directions
        Orthonormal columns, of shape (d, k), each with its largest number positive.
    """

    mean: Float[np.ndarray, " d"]
    variances: Float[np.ndarray, " k"]
    directions: Float[np.ndarray, "d k"]

    def project(self, vectors: Float[np.ndarray, "n d"], components: int) -> Float[np.ndarray, "n k"]:
        """Give the rows' coordinates along the first components."""
        projected: np.ndarray = (vectors.astype(np.float64) - self.mean) @ self.directions[:, :components]
        return projected

    def squares(
        self, vectors: Float[np.ndarray, "n d"], owners: Int[np.ndarray, " n"], people: int
    ) -> Float[np.ndarray, "people k"]:
        """Sum each person's squared coordinates along every component.

        Parameters
        ----------
        vectors
            Rows, as a rule others than those fitted on.
        owners
            The person of each row, 0…people−1.
        people
            How many people there are.
        """
        found = np.zeros((people, len(self.variances)))
        for start in range(0, len(vectors), BLOCK):
            some = slice(start, start + BLOCK)
            squares = self.project(vectors[some], len(self.variances)) ** 2
            found += by_person(squares, owners[some], people)
        return found


def principal(
    vectors: Float[np.ndarray, "n d"], within: Float[np.ndarray, "m d"] | None = None
) -> Components:
    """Fit the principal components of rows in double precision, a block of rows at a time.

    Parameters
    ----------
    vectors
        The rows.
    within
        All rows whose variance will be asked for, these among them; components are given within the space
        that they span. Without it within that of ``vectors``.
    """
    mean = vectors.mean(axis=0, dtype=np.float64)
    basis = basis_of(vectors if within is None else within)
    centred_in = (vectors, mean) if basis is None else (vectors @ basis, mean @ basis)
    values, directions = np.linalg.eigh(_scatter(*centred_in) / len(vectors))
    directions = directions[:, ::-1] if basis is None else basis @ directions[:, ::-1]
    signs = np.sign(directions[np.abs(directions).argmax(axis=0), np.arange(directions.shape[1])])
    return Components(mean, np.maximum(values[::-1], 0.0), directions * signs)


def _scatter(vectors: np.ndarray, mean: np.ndarray) -> Float[np.ndarray, "d d"]:
    found = np.zeros((len(mean), len(mean)))
    for start in range(0, len(vectors), BLOCK):
        centred = vectors[start : start + BLOCK] - mean
        found += centred.T @ centred
    return found


def participation_ratio(variances: Float[np.ndarray, " d"]) -> float:
    """Give (Σλ)²/Σλ²: how many equally wide directions would spread as much [1]_.

    The eigenvalues of a sample differ more than the true ones, so from a sample it comes out too small.

    References
    ----------
    .. [1] Gao, P. et al. A theory of multineuronal dimensionality, dynamics and measurement. bioRxiv
       214262, 2017.
    """
    return float(variances.sum() ** 2 / (variances**2).sum())


def ratio_between(
    vectors: Float[np.ndarray, "n d"], labels: Int[np.ndarray, " n"], counts: Float[np.ndarray, "b people"]
) -> tuple[float, Float[np.ndarray, " b"]]:
    """Give the participation ratio of what people are drawn from, whatever the size of the sample.

    It is (E|x|²)²/E(x·y)² about the mean, over rows x and y of two *different* people: the expectations
    are tr Σ and tr Σ², where those of one sample's covariance are too large, the second by more. People weigh
    alike, or who has most of the images would be the cloud.

    Parameters
    ----------
    vectors, labels
        Rows, and the person of each, 0…people−1.
    counts
        Resamples of the people, as ``bootstrap.resamples`` draws them.

    Returns
    -------
    The ratio, at most d, and its replicates, to first order; NaN without variance or a second person.
    """
    most = vectors.shape[1]
    whole, images = vectors.astype(np.float64), np.bincount(labels)
    weights = 1.0 / np.maximum(images, 1)[labels]
    (rows,) = within_span((whole - np.average(whole, axis=0, weights=weights)) * np.sqrt(weights)[:, None])
    # A person's rows together weigh one, and so do the products of two people's.
    sizes = (images > 0).astype(np.float64)
    spread, common = _by_person(
        rows, labels, np.zeros(rows.shape[1]), _scatter(rows, np.zeros(rows.shape[1]))
    )
    order = np.argsort(labels, kind="stable")
    for person, own in enumerate(np.split(rows[order], np.cumsum(images[:-1]))):
        common[person] -= float(((own.T @ own if len(own) > own.shape[1] else own @ own.T) ** 2).sum())
    n, pairs = sizes.sum(), sizes * (sizes.sum() - sizes)
    first, second = spread.sum() / n, common.sum() / max(pairs.sum(), 1.0)
    # What rounding leaves of equal rows is no direction.
    if first < 1e-10 or second <= 0:
        return np.nan, np.full(len(counts), np.nan)
    moved = counts - 1.0
    first_drawn = first + moved @ (spread - first * sizes) / n
    second_drawn = second + 2 * (moved @ (common - second * pairs)) / pairs.sum()
    ratio = np.divide(first_drawn**2, second_drawn, out=np.full(len(moved), np.inf), where=second_drawn > 0)
    return min(first**2 / second, float(most)), np.minimum(ratio, most)


@dataclass(frozen=True)
class RatioAcross:
    """The participation ratio of what two independent samples are drawn from: tr S·tr T/tr ST.

    With S and T the samples' covariances, numerator and denominator have the expectations (tr Σ)² and
    tr Σ², where (tr S)² and tr S² of a single sample are too large, the second by more.

    Attributes
    ----------
    spread_a, spread_b
        What each person adds to tr S and to tr T.
    common_a, common_b
        What each person adds to tr ST, of the one sample and of the other.
    most
        The dimension, which the ratio cannot exceed.
    """

    spread_a: Float[np.ndarray, " a"]
    spread_b: Float[np.ndarray, " b"]
    common_a: Float[np.ndarray, " a"]
    common_b: Float[np.ndarray, " b"]
    most: int

    @classmethod
    def of(
        cls,
        a: Float[np.ndarray, "n d"],
        owners_a: Int[np.ndarray, " n"],
        b: Float[np.ndarray, "m d"],
        owners_b: Int[np.ndarray, " m"],
        mean: Float[np.ndarray, " d"],
    ) -> "RatioAcross":
        """Measure rows of two samples about one mean; ``owners`` are people 0…a−1 and 0…b−1."""
        most = len(mean)
        a, b, (mean,) = within_span(a, b, mean[None])
        spread_a, common_a = _by_person(a, owners_a, mean, _scatter(b, mean))
        spread_b, common_b = _by_person(b, owners_b, mean, _scatter(a, mean))
        return cls(spread_a, spread_b, common_a, common_b, most)

    @property
    def value(self) -> float:
        """The ratio, brought back to 1…d where an estimate leaves it; NaN without variance."""
        ones = np.ones((1, len(self.spread_a))), np.ones((1, len(self.spread_b)))
        return float(self.replicates(*ones)[0])

    def replicates(
        self, counts_a: Float[np.ndarray, "r a"], counts_b: Float[np.ndarray, "r b"]
    ) -> Float[np.ndarray, " r"]:
        """Give the ratio of each resample of both samples' people, as ``bootstrap.resamples`` draws them.

        To first order: of wᵢvⱼ = 1 + δᵢ + εⱼ + δᵢεⱼ the last term, of mean zero, is left out. In 400
        planted sets each of 20 to 400 people, of equal and of unequal variances, 94 to 99 % of the 95 %
        intervals held the truth; with one half resampled alone 83 to 95 %.
        """
        above = (counts_a @ self.spread_a) * (counts_b @ self.spread_b)
        below = counts_a @ self.common_a + counts_b @ self.common_b - self.common_a.sum()
        found = np.divide(above, below, out=np.full(len(above), np.inf), where=below > 0)
        return np.where(above > 0, np.clip(found, 1.0, self.most), np.nan)


def _by_person(
    vectors: np.ndarray, owners: np.ndarray, mean: np.ndarray, other: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Sum |x|² and xᵀ·other·x over each person's rows about the mean."""
    spread, common = np.empty(len(vectors)), np.empty(len(vectors))
    for start in range(0, len(vectors), BLOCK):
        some = slice(start, start + BLOCK)
        centred = vectors[some] - mean
        spread[some] = (centred**2).sum(axis=1)
        common[some] = ((centred @ other) * centred).sum(axis=1)
    return np.bincount(owners, spread), np.bincount(owners, common)


def shares(variances: Float[np.ndarray, "*b d"]) -> Float[np.ndarray, "*b d"]:
    """Bring the variances of each row to sum one; NaN where there is none."""
    total = variances.sum(axis=-1, keepdims=True)
    found: np.ndarray = np.divide(variances, total, out=np.full(variances.shape, np.nan), where=total > 0)
    return found
