"""What a displacement is made of: a common shift, a change of scale, a rotation, and each point's own way.

Four maps are fitted by least squares on the people of all folds but one and judged on those of that fold: a
shift; a shift with a scale about the mean; a shift with a rotation at scale one; and all three [1]_. Every
person counts once, however many points it has. No map can be expected to gain on people that it was not
fitted on unless there is something in common to gain, with one exception: least squares makes the scale
smaller where points are noisy, in both directions. Whether a cloud is narrower is told by the ratio of
spreads instead, which noise of the same size in both clouds leaves at one.

References
----------
.. [1] Gower, J. C. and Dijksterhuis, G. B. Procrustes Problems. Oxford University Press, 2004.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from embedlab.maths.linear import procrustes
from embedlab.maths.linear.span import within_span
from embedlab.progress import track


@dataclass(frozen=True)
class Moved:
    """Each person's mean over its points, the maps fitted on other people.

    Attributes
    ----------
    length
        The distance moved.
    before
        The square of it.
    shift, turned
        The squared misfit after the shift, and after shift and rotation: the same there and back.
    scaled, whole
        After shift and scale, and after all three; there, and back.
    spread
        The squared distance from the mean of all, before and after.
    together
        The inner product of both, about their means.
    """

    length: Float[np.ndarray, " people"]
    before: Float[np.ndarray, " people"]
    shift: Float[np.ndarray, " people"]
    turned: Float[np.ndarray, " people"]
    scaled: Float[np.ndarray, "2 people"]
    whole: Float[np.ndarray, "2 people"]
    spread: Float[np.ndarray, "2 people"]
    together: Float[np.ndarray, " people"]


def moved(
    a: Float[np.ndarray, "n d"],
    b: Float[np.ndarray, "n d"],
    owners: Int[np.ndarray, " n"],
    fold: Int[np.ndarray, " people"],
) -> Moved:
    """Split how far each person's points moved from ``a`` to ``b``.

    Parameters
    ----------
    a, b
        Where each point is before and after.
    owners
        The person of each point, 0…people−1.
    fold
        The fold of each person, 0…k−1.
    """
    a, b = (x.astype(np.float64) for x in within_span(a, b))
    people, weights = len(fold), 1.0 / np.bincount(owners)[owners]

    def by_person(values: np.ndarray, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        return np.bincount(owners[rows], values * weights[rows], minlength=people)

    squares = ((b - a) ** 2).sum(axis=1)
    shift, turned, scaled, whole = np.zeros((4, 2, people))
    for k in track(range(int(fold.max()) + 1), "fitting and judging maps"):
        out = fold[owners] == k
        heavy = np.sqrt(weights[~out, None])
        centres = [np.average(x[~out], axis=0, weights=weights[~out]) for x in (a, b)]
        x, y = ((v[~out] - c) * heavy for v, c in zip((a, b), centres, strict=True))
        sizes = [float((v**2).sum()) for v in (x, y)]
        similar = procrustes.fit(x, y, shift=False)
        along, strength = float((x * y).sum()), similar.scale * sizes[0]
        x, y = ((v[out] - c) for v, c in zip((a, b), centres, strict=True))
        same, apart = (x * y).sum(axis=1), ((x @ similar.rotation) * y).sum(axis=1)
        ends = [(v**2).sum(axis=1) for v in (x, y)]
        rows = np.flatnonzero(out)
        for way in range(2):
            start, end = ends[way], ends[1 - way]
            of = sizes[way] or 1.0
            for found, size, inner in (
                (shift, 1.0, same),
                (scaled, along / of, same),
                (turned, 1.0, apart),
                (whole, strength / of, apart),
            ):
                found[way] += by_person(end - 2 * size * inner + size**2 * start, rows)
    means = [np.average(x, axis=0, weights=weights) for x in (a, b)]
    x, y = a - means[0], b - means[1]
    return Moved(
        length=by_person(np.sqrt(squares)),
        before=by_person(squares),
        shift=shift[0],
        turned=turned[0],
        scaled=scaled,
        whole=whole,
        spread=np.stack([by_person((v**2).sum(axis=1)) for v in (x, y)]),
        together=by_person((x * y).sum(axis=1)),
    )
