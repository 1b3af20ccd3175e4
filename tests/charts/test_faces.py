"""Faces: pictures are fetched when they are drawn, in rows that stay together."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from embedlab.charts import Face, Faces, faces_at_hand, faces_from
from embedlab.charts.faces import MISSING, SIDE
from embedlab.charts.tiles import png

SHADE = {"a": 10, "b": 60, "c": 200}


def lookup(probe, item):
    return np.full((SIDE, SIDE, 3), SHADE[item], np.uint8) if probe == "p" and item in SHADE else None


def chart(*rows):
    made = tuple((name, tuple(Face("p", item, f"{item} 0.5") for item in items)) for name, items in rows)
    return Faces(title="Worst pairs", rows=made, note="n")


def pixels(figure):
    data = base64.b64decode(figure.data[0].source.partition(",")[2])
    return np.asarray(Image.open(io.BytesIO(data)))


def test_faces_are_at_hand_inside_the_block_only():
    assert not faces_at_hand()
    with faces_from(lookup):
        assert faces_at_hand()
    assert not faces_at_hand()


def test_each_face_stands_in_its_row_and_nothing_where_there_is_none(drawn):
    with faces_from(lookup):
        figure, ax = drawn(chart(("false matches", "abc"), ("missed", "c")))
    found = pixels(figure)
    tile = SIDE + round(0.08 * SIDE)
    assert [int(found[5, k * tile + 5, 0]) for k in range(3)] == pytest.approx([10, 60, 200], abs=2)
    below = found.shape[0] // 2
    assert int(found[below + 5, 5, 0]) == pytest.approx(200, abs=2)
    assert not found[below:, tile:, 3].any()
    assert figure.layout.yaxis.ticktext == ("false matches", "missed")
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["false matches", "missed"]


def test_a_missing_picture_is_a_grey_tile_with_its_caption(drawn):
    with faces_from(lookup):
        picture = chart(("r", "ax"))
        figure, _ = drawn(picture)
    tile = SIDE + round(0.08 * SIDE)
    np.testing.assert_array_equal(pixels(figure)[:SIDE, tile : tile + SIDE, :3], MISSING)
    assert figure.data[1].text == ("a 0.5", "x 0.5")


def test_pictures_that_were_found_are_counted():
    some = chart(("r", "ax"), ("s", "b"))
    assert some.found() == 0
    with faces_from(lookup):
        assert some.found() == 2


def test_without_a_source_every_tile_is_grey(drawn):
    figure, _ = drawn(chart(("r", "ab")))
    np.testing.assert_array_equal(pixels(figure)[:SIDE, :SIDE, :3], MISSING)


def test_a_long_row_goes_on_in_the_next_line(drawn):
    with faces_from(lookup):
        figure, _ = drawn(chart(("many", "abcabcabcab"), ("few", "c")))
    assert figure.layout.yaxis.ticktext == ("many", "", "few")


def test_a_large_picture_is_shrunk_and_keeps_its_shape(drawn):
    with faces_from(lambda probe, item: np.full((200, 100, 3), 90, np.uint8)):
        tile = chart(("r", "a")).tiles().tiles[0]
        drawn(chart(("r", "a")))
    assert tile.image.shape == (SIDE, SIDE // 2, 3)


def test_names_are_escaped_and_long_captions_whole_under_the_pointer(drawn):
    evil = "<b>$x$</b>" * 9
    with faces_from(lookup):
        figure, _ = drawn(Faces(title=evil, rows=((evil, (Face("p", "a", evil), Face("p", "b", "b")) * 4),)))
    texts = figure.data[1]
    assert texts.text[0].startswith("&lt;b&gt;")
    assert "…" in texts.text[0]
    assert texts.text[0].endswith("$x$&lt;/b&gt;")
    assert texts.text[1] == "b"
    assert texts.hovertext[0] == evil.replace("<", "&lt;").replace(">", "&gt;")
    assert "<b>" not in figure.layout.yaxis.ticktext[0]


@pytest.mark.parametrize("rows", [(), (("none", ()),)])
def test_no_faces_at_all_draw(drawn, rows):
    drawn(Faces(title="t", rows=rows))


def test_photographs_take_far_less_than_a_png_takes():
    rng = np.random.default_rng(0)
    smooth = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)).resize((SIDE, SIDE))
    noisy = np.clip(np.asarray(smooth) + rng.normal(0, 4, (SIDE, SIDE, 3)), 0, 255).astype(np.uint8)
    with faces_from(lambda probe, item: noisy):
        tiles = chart(("r", "abcabcab")).tiles()
        assert 1.8 * len(tiles._encoded()) < len(png(tiles.picture()))
