"""Tiles: many small images in one picture, every pixel where it belongs."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from embedlab.charts import Tile, Tiles
from embedlab.charts.tiles import png


def kernels(n=6, **changes):
    rng = np.random.default_rng(0)
    tiles = tuple(Tile(rng.normal(size=(3, 3)), f"channel {i}") for i in range(n))
    return Tiles(**({"title": "t", "tiles": tiles, "columns": 4, "signed": True} | changes))


def test_every_weight_stands_in_the_figure_and_nothing_stands_between(drawn):
    chart = kernels()
    figure, ax = drawn(chart)
    z = np.asarray(figure.data[0].z)
    there = z[np.isfinite(z)]
    weights = np.concatenate([tile.image.ravel() for tile in chart.tiles]).astype(np.float32)
    np.testing.assert_array_equal(np.sort(there), np.sort(weights))
    np.testing.assert_array_equal(z[:3, :3], chart.tiles[0].image.astype(np.float32))
    assert np.isnan(z[:, 3]).all()
    assert ax.images[0].get_interpolation() == "nearest"


def test_signed_tiles_share_one_scale_round_zero(drawn):
    chart = kernels()
    figure, _ = drawn(chart)
    reach = max(np.abs(tile.image).max() for tile in chart.tiles)
    assert figure.data[0].zmax == -figure.data[0].zmin == pytest.approx(reach)


def test_faces_are_one_picture_with_their_very_pixels(drawn):
    faces = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
    figure, _ = drawn(Tiles(title="faces", tiles=tuple(Tile(face) for face in faces), columns=5))
    assert [trace.type for trace in figure.data] == ["image"]
    data = base64.b64decode(figure.data[0].source.partition(",")[2])
    pixels = np.asarray(Image.open(io.BytesIO(data)))
    np.testing.assert_array_equal(pixels[:8, :8, :3], faces[0])
    np.testing.assert_array_equal(pixels[:8, 9:17, :3], faces[1])
    assert pixels[0, 8, 3] == 0


def test_grey_bytes_keep_black_and_white():
    chart = Tiles(title="t", tiles=(Tile(np.array([[0, 255]], np.uint8)),), columns=1)
    np.testing.assert_array_equal(chart.picture()[0, :2, :3], [[0] * 3, [255] * 3])


def test_a_smaller_tile_stands_in_the_middle_of_its_cell():
    chart = Tiles(title="t", tiles=(Tile(np.ones((5, 5))), Tile(np.full((1, 1), 2.0))), columns=2)
    assert chart.composite()[2, 6 + 2] == 2


def test_captions_that_do_not_fit_keep_what_tells_them_apart(drawn):
    figure, _ = drawn(kernels(64, columns=16))
    text = next(t for t in figure.data if t.type == "scatter")
    assert list(text.text[:3]) == ["0", "1", "2"]
    assert list(text.hovertext[:2]) == ["channel 0", "channel 1"]


def test_captions_that_fit_are_whole(drawn):
    figure, _ = drawn(kernels())
    assert figure.data[1].text[0] == "channel 0"


def test_rows_have_headings(drawn):
    figure, ax = drawn(kernels(rows=("first", "second")))
    assert figure.layout.yaxis.ticktext == ("first", "second")
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["first", "second"]


def test_two_hundred_faces_are_few_traces():
    faces = tuple(Tile(np.zeros((32, 32, 3)), str(i)) for i in range(200))
    assert len(Tiles(title="t", tiles=faces, columns=20).plotly().data) <= 2


def test_a_png_is_read_back_as_it_was():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 4), dtype=np.uint8)
    data = base64.b64decode(png(pixels).partition(",")[2])
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data))), pixels)


def test_shapes_and_headings_must_fit():
    with pytest.raises(ValueError, match=r"not \(h, w\)"):
        Tile(np.zeros((2, 2, 4)))
    with pytest.raises(ValueError, match="row headings for 2 rows"):
        kernels(rows=("one",))
    with pytest.raises(ValueError, match="give at least one"):
        kernels(columns=0)


def test_no_tiles_at_all_draw(drawn):
    drawn(Tiles(title="t", tiles=(), columns=3))
