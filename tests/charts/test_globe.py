"""Globe: points on the unit sphere between longitude and latitude."""

import numpy as np
import pytest

from embedlab.charts import Globe
from embedlab.charts.globe import graticule


def globe(**changes):
    points = np.random.default_rng(0).normal(size=(12, 3))
    values = {
        "title": "the sphere",
        "points": points / np.linalg.norm(points, axis=1, keepdims=True),
        "groups": np.arange(12) % 4,
        "group_names": ("a", "b", "c", "d"),
        "marks": np.zeros(12, int),
        "mark_names": ("highres",),
    }
    return Globe(**(values | changes))


def test_points_stand_on_a_sphere_that_is_drawn_with_them(drawn):
    chart = globe()
    figure, ax = drawn(chart)
    assert chart.projection == "3d"
    kinds = [trace.type for trace in figure.data]
    assert kinds.count("surface") == 1
    points = next(t for t in figure.data if t.hovertext)
    np.testing.assert_allclose(np.stack([points.x, points.y, points.z], axis=1), chart.points, atol=1e-6)
    assert not ax.axison


def test_the_sphere_lies_just_beneath_its_points(drawn):
    figure, _ = drawn(globe())
    surface = next(t for t in figure.data if t.type == "surface")
    radius = np.sqrt(surface.x**2 + surface.y**2 + surface.z**2)
    assert radius.min() > 0.97
    assert radius.max() < 1


def test_lines_are_meridians_and_parallels_of_30_degrees():
    path = graticule()
    paths = np.split(path, np.flatnonzero(np.isnan(path[:, 0])))
    assert len(paths) - 1 == 6 + 5
    np.testing.assert_allclose(np.linalg.norm(path[~np.isnan(path[:, 0])], axis=1), 1)
    flat = {round(float(np.nanmin(p[:, 2])), 3) for p in paths[:-1] if np.nanstd(p[:, 2]) < 1e-9}
    assert flat == {-0.866, -0.5, 0.0, 0.5, 0.866}


def test_points_off_the_sphere_are_an_error():
    with pytest.raises(ValueError, match="of three dimensions and of length one only"):
        globe(points=np.full((12, 3), 2.0))
    with pytest.raises(ValueError, match="of three dimensions and of length one only"):
        globe(points=np.tile([1.0, 0.0], (12, 1)), axes=("x", "y"))
