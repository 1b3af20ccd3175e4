"""Names stand in a page once, and what is told at a point is what the chart told."""

import base64
import html
import json
import re

import numpy as np
import pytest

from embedlab.charts import Face, Faces, Scatter
from embedlab.report import Section, build
from embedlab.report.items import IMAGE, PERSON, Items, packed

EVIL = "</script><b>&amp; $& \x02 \u202e"


def unpacked(numbers):
    return np.frombuffer(base64.b64decode(numbers["bdata"]), f"<{numbers['dtype']}").tolist()


def table(items):
    """The rows as a reader of the page has them."""
    whole = json.loads(items.plain())
    people = [whole["people"][k] for k in unpacked(whole["of"])]
    return list(zip(people, whole["items"], strict=True))


def read(values, customdata, items):
    """What the page makes of a list of words again."""
    if not isinstance(values, dict):
        return values
    words = values["words"]
    if "at" in values:
        words = [words[k] for k in unpacked(values["at"])]
    words = [values["start"] + word for word in words]
    rows = table(items)
    if customdata is None:
        return words
    made = []
    for word, row in zip(words, unpacked(customdata), strict=True):
        person, item = (html.escape(name, quote=False) for name in rows[row])
        made.append(word.replace(IMAGE, item).replace(PERSON, person))
    return made


@pytest.mark.parametrize(("most", "kind"), [(255, "u1"), (256, "u2"), (65_535, "u2"), (65_536, "u4")])
def test_rows_take_as_few_bytes_as_they_can(most, kind):
    found = packed([0, most])
    assert found["dtype"] == kind
    assert unpacked(found) == [0, most]


def test_an_image_has_one_row_and_gets_its_person_from_whoever_knows():
    items = Items()
    first = items.row("", "a.png")
    assert items.row("ann", "a.png") == first
    assert items.row("", "a.png") == first
    assert items.row("bob", "b.png") == items.row("", "b.png") == first + 1
    assert items.row("", "") == 0
    assert table(items) == [("", ""), ("ann", "a.png"), ("bob", "b.png")]


def test_two_people_whose_images_are_called_alike_stay_two():
    items = Items()
    ann, eve = items.row("ann", "1.png"), items.row("eve", "1.png")
    assert ann != eve
    assert table(items)[1:] == [("ann", "1.png"), ("eve", "1.png")]


def test_a_person_without_an_image_is_not_the_nobody_of_row_0():
    items = Items()
    assert items.row("ann", "") != 0
    assert table(items) == [("", ""), ("ann", "")]


def traces():
    """Random names of every kind in every text, some of them within others."""
    rng = np.random.default_rng(0)
    names = ["a", "ann", "&", "a&b", "<i>", "1", "lt", EVIL, "", "p: a"]
    for _ in range(50):
        who = [[*rng.choice(names, 2)] for _ in range(12)]
        shown = [[html.escape(name, quote=False) for name in one] for one in who]
        # As charts have them: no text with a mark of control in it.
        text = [re.sub("[\x01\x02\u202e]", "", f"{p}: {i}, {p} at 1<br>{i}") for p, i in shown]
        yield {
            "type": "scatter",
            "customdata": who,
            "hovertext": text,
            "marker": {"color": [*rng.choice(["#123456", "red"], 12)]},
        }


def test_what_is_told_at_a_point_comes_back_letter_by_letter():
    items = Items()
    for trace in traces():
        told, colours = [*trace["hovertext"]], [*trace["marker"]["color"]]
        items.brief({"data": [trace]})
        assert read(trace["hovertext"], trace["customdata"], items) == told
        assert read(trace["marker"]["color"], None, items) == colours


def test_words_that_differ_have_what_they_share_once():
    told = [f"a model<br>({k}, {k / 7:.3f})" for k in range(40)]
    trace = {"hovertext": [*told], "text": ["few"] * 3}
    items = Items()
    items.brief({"data": [trace]})
    assert trace["text"] == ["few"] * 3
    assert trace["hovertext"]["start"] == "a model<br>("
    assert read(trace["hovertext"], None, items) == told


def cloud(seed, n=400):
    who = np.array([f"a rather long name of person {k // 4:04d}" for k in range(n)])
    return Scatter(
        title=f"Map {seed}",
        points=np.random.default_rng(seed).normal(size=(n, 2)),
        axes=("x", "y"),
        groups=np.arange(n) // 4,
        group_names=tuple(dict.fromkeys(who)),
        marks=np.zeros(n, np.int64),
        mark_names=("as is",),
        hover=np.array([f"{name}: {name}/{k % 4}.png, as is" for k, name in enumerate(who)]),
        people=who,
        items=np.array([f"{name}/{k % 4}.png" for k, name in enumerate(who)]),
    )


def test_a_name_stands_in_the_page_once_however_many_pictures_show_it(tmp_path):
    def size(n):
        section = Section("s", "?", charts=tuple(cloud(seed) for seed in range(n)))
        page = build(tmp_path / "r.html", title="t", outcomes=[], models=[], provenance={}, extra=[section])
        text = page.read_text(encoding="utf-8")
        assert text.count("person 0007/3.png") == 1
        return len(text)

    one, five = size(1), size(5)
    # Two coordinates of four bytes, a row of two, a colour and a text of one each, a third more as base64.
    assert (five - one) / 4 < 400 * 4 / 3 * 12 + 2500


def test_a_ring_finds_a_person_whose_name_one_picture_does_not_know(tmp_path, browser):
    """A registration knows images only; faces know whose they are."""
    items = np.array(["x/1.png", "y/1.png", EVIL])
    nameless = Scatter(
        title="Registered", points=np.eye(3)[:, :2], axes=("a", "b"), groups=np.zeros(3, np.int64),
        group_names=("g",), marks=np.zeros(3, np.int64), mark_names=("m",),
        people=np.array(["", "", ""]), items=items,
    )  # fmt: skip
    shown = (Face("p", "x/1.png", "x", "xena"), Face("p", EVIL, EVIL, "eve"))
    faces = Faces(title="Faces", rows=(("r", shown),))
    page = build(
        tmp_path / "r.html", title="t", outcomes=[], models=[], provenance={},
        extra=[Section("s", "?", charts=(nameless, faces))],
    )  # fmt: skip
    browser.open(page.as_uri())
    assert browser.run("window.embedlab.drawAll()")["failures"] == []
    browser.run("window.embedlab.search('xena')")
    assert browser.run("document.querySelector('.find output').textContent") == "xena: 1 image in 2 pictures"
    browser.run("window.embedlab.search('y/1')")
    assert browser.run("window.embedlab.picked()") == {"person": "y/1.png", "item": ""}
    browser.run("window.embedlab.search('eve')")
    rings = "document.querySelector('.chart.scatter').data.find(one => one.meta?.ring).x.length"
    assert browser.run(rings) == 1
    assert browser.said("Page.javascriptDialogOpening") == []
