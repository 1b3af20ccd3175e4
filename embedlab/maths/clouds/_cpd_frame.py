"""What a registration does to the clouds before and after: standard units, and the way back."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

# Six standard deviations wide: about the box that holds a Gaussian cloud.
_WIDTH = 6.0


STRAYS = ((0.01, 1.5), (0.1, 4.0))
"""At most such a share of points are strays if the variance with them is over so many times that without."""


@dataclass(frozen=True)
class Frame:
    """Both clouds standardised, and the way back to the units they came in.

    Attributes
    ----------
    x, y
        Targets and sources about their centres, over their sizes.
    centre_x, size_x, centre_y, size_y
        Centre, and root of the mean square of a coordinate about it; far outliers are left out.
    settled_x, settled_y
        ``x`` and ``y`` as ``without_strays`` gives them.
    """

    x: Float[np.ndarray, "n d"]
    y: Float[np.ndarray, "m d"]
    centre_x: Float[np.ndarray, " d"]
    size_x: float
    centre_y: Float[np.ndarray, " d"]
    size_y: float
    settled_x: Float[np.ndarray, "k d"]
    settled_y: Float[np.ndarray, "l d"]

    def to_data(self, moved: Float[np.ndarray, "m d"]) -> Float[np.ndarray, "m d"]:
        """Bring points of the targets' standardised space into the targets' units."""
        back: np.ndarray = moved * self.size_x + self.centre_x
        return back

    def from_data(self, points: Float[np.ndarray, "k d"]) -> Float[np.ndarray, "k d"]:
        """Standardise points as the sources were."""
        there: np.ndarray = (points - self.centre_y) / self.size_y
        return there


def frame(
    x: Float[np.ndarray, "n d"],
    y: Float[np.ndarray, "m d"],
    *,
    standardise: bool = True,
    one_size: bool = False,
) -> Frame:
    """Standardise two clouds.

    Parameters
    ----------
    x, y
        Targets and sources.
    standardise
        Whether to; else centres are zero and sizes one.
    one_size
        Whether the sources are divided by the targets' size too, so that the ratio of sizes stays.

    Raises
    ------
    ValueError
        If shapes do not fit, a value is not finite, or a cloud has no extent.
    """
    x, y = _points(x, "x, the targets,"), _points(y, "y, the sources,")
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"x and y must have one dimension, not {x.shape[1]} and {y.shape[1]}")
    none = np.zeros(x.shape[1])
    near_x, near_y = _near(x), _near(y)
    centre_x, size_x = _of_near(x, near_x, "x, the targets,")
    centre_y, size_y = _of_near(y, near_y, "y, the sources,")
    if not standardise:
        centre_x, size_x, centre_y, size_y = none, 1.0, none, 1.0
    size_y = size_x if one_size else size_y
    u, v = (x - centre_x) / size_x, (y - centre_y) / size_y
    return Frame(u, v, centre_x, size_x, centre_y, size_y, _settled(u, near_x), _settled(v, near_y))


def log_volume(x: Float[np.ndarray, "n d"]) -> float:
    """Give ln V of the volume that targets fill, far outliers left out: a cube of six deviations."""
    return float(x.shape[1] * math.log(_WIDTH * core(x, "x")[1]))


def _points(points: np.ndarray, name: str) -> np.ndarray:
    points = np.asarray(points)
    if points.ndim != 2 or not points.size:
        raise ValueError(f"{name} must be points of shape (n, d), not {points.shape}")
    if not np.isfinite(points).all():
        raise ValueError(f"{name} hold a value that is not finite: leave those rows out")
    return points.astype(np.float64)


def core(points: np.ndarray, name: str) -> tuple[np.ndarray, float]:
    """Give the centre and size of a cloud without its far outliers.

    Raises
    ------
    ValueError
        If all points are one.
    """
    return _of_near(points, _near(points), name)


def _of_near(points: np.ndarray, there: np.ndarray, name: str) -> tuple[np.ndarray, float]:
    near = points[there]
    centre = near.mean(axis=0)
    size = math.sqrt(float(((near - centre) ** 2).mean()))
    if not size > 1e-12 * np.abs(centre).max() or size == 0:
        raise ValueError(f"{name} are all one point: there is nothing to turn or scale")
    return centre, size


def without_strays(points: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "k d"]:
    """Leave out points that are few, lie far away, and make up much of the cloud's variance.

    A first σ² of their making is so large that the others cannot be told apart, and the map turns to them.
    Heavy tails are none: on three axes of face networks 2 to 7 % lie far out, with a third to 60 % of it.
    """
    return _settled(points, _near(points))


def _settled(points: np.ndarray, near: np.ndarray) -> np.ndarray:
    if near.all():
        return points
    few = next((times for share, times in STRAYS if near.mean() >= 1 - share), math.inf)
    kept: np.ndarray = points[near]
    return kept if points.var(axis=0).sum() > few * kept.var(axis=0).sum() else points


def _near(points: np.ndarray) -> np.ndarray:
    away = np.linalg.norm(points - np.median(points, axis=0), axis=1)
    reach = 3 * np.median(away)
    near: np.ndarray = away <= (reach if reach > 0 else np.inf)
    return near
