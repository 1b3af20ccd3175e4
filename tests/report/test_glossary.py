"""The words of the trade are explained from one list, and no name from data ever is."""

import html
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedlab.charts import Face, Faces, Scatter
from embedlab.report import glossary
from embedlab.report.glossary import Marker, terms

LINK = re.compile(r'<a class="term" href="#([\w-]+)">(.*?)</a>')
WORDS = [one.word for one in terms()]


def marked(text, names=()):
    return LINK.findall(str(Marker(names)(text)))


def test_every_word_is_short_stands_once_and_is_found_by_its_own_name():
    assert len({one.anchor for one in terms()}) == len(terms())
    for one in terms():
        assert len(one.text.split()) <= 30, one.word
        assert one.text.endswith("."), one.word
        assert re.fullmatch(r"term-[a-z][a-z0-9-]*", one.anchor), one.anchor
        told = {"p": "p = 0.01"}.get(one.word, one.word)
        assert (one.anchor, one.word) in marked(f"<p>of {told}.</p>"), one.word


def test_the_trade_s_words_that_people_ask_for_are_there():
    asked = ["d′", "FAR", "TAR", "FPIR", "EER", "null", "@32", "rank-1", "CKA"]
    asked += ["drawn pairs", "own threshold", "genuine", "impostor", "effective dimension"]
    for word in asked:
        assert marked(f"<p>with {word} and</p>"), word


def test_the_first_of_each_block_is_marked_and_no_other():
    block = "<p>FAR and TAR, FAR.</p><details><p>TAR at FAR</p></details>"
    page = f'<li id="answer-a">{block}</li><section id="section-b">{block}</section>'
    assert [word for _, word in marked(page)] == ["FAR", "TAR"] * 2


def test_headings_links_code_and_numbers_in_words_stay_as_they_are():
    for text in (
        "<h3>FAR</h3>",
        '<a href="#x">FAR</a>',
        "<code>FAR</code>",
        "<thead><tr><th>FAR</th></tr></thead>",
        '<script type="application/json">{"FAR": "<p>"}</script>',
        '<i title="FAR"></i>',
        "FARO",
        "faces@32",
        "non-FAR",
        "a/FAR/b.png",
        "FAR.png",
        "FAR-1",
    ):
        assert str(Marker()(text)) == text


NAMES = st.one_of(
    st.sampled_from(WORDS),
    st.builds(
        "{}{}{}".format, st.sampled_from(["", "a ", "<b>", "&", '"']), st.sampled_from(WORDS), st.text()
    ),
    st.text(min_size=1),
)


@given(st.lists(NAMES, min_size=1, max_size=4))
def test_no_name_is_ever_marked_and_none_brings_an_element(names):
    """Whatever models, probes or people are called, their names stand in the page as they were written."""
    escaped = [html.escape(name) for name in names]
    page = "".join(f"<p>|{name}|</p>" for name in escaped)
    made = str(Marker(names)(page))
    for name in escaped:
        assert f"<p>|{name}|</p>" in made


def test_a_word_beside_a_name_is_marked_where_the_name_is_not():
    assert marked("<p>EER has an EER at FAR 1</p>", ["EER"]) == [("term-far", "FAR")]
    assert marked("<p>In null p = 0.1</p>", ["null", "p"]) == []
    assert marked("<p>In EER null it</p>", ["EER", "EER null"]) == [], "the longer name is one as well"
    assert [word for _, word in marked("<p>the FAR team has FAR 0.1</p>", ["FAR team"])] == ["FAR"]


def test_names_are_gathered_from_results_and_charts():
    result = SimpleNamespace(
        title="t",
        identities=("ann",),
        items=np.array(["i.png"]),
        hubs=(("p", "bob", 3),),
        spaces=("all axes",),
    )
    scatter = Scatter(
        title="t",
        points=np.zeros((1, 2)),
        axes=("x", "y"),
        groups=np.zeros(1, np.int64),
        group_names=("eve",),
        marks=np.zeros(1, np.int64),
        mark_names=("p",),
        people=np.array(["cem"]),
        items=np.array(["c.png"]),
    )
    faces = Faces(title="t", rows=(("r", (Face("p", "d.png", person="dan"),)),))
    found = glossary.names_in([result], [scatter, faces])
    assert found == {"t", "ann", "i.png", "p", "bob", "eve", "cem", "c.png", "dan", "d.png"}


def test_a_notebook_has_the_meaning_with_the_word():
    made = str(Marker(as_link=False)("<p>FAR</p>"))
    assert made.startswith('<p><abbr title="False accept rate')
    assert 'tabindex="0"' in made


def test_the_page_lists_what_it_explains_and_no_more():
    marker = Marker()
    marker("<p>FAR, TAR</p>")
    assert [one.word for one in marker.listed()] == ["FAR", "TAR"]


def test_the_docs_hold_the_same_list():
    there = Path(__file__).parents[2] / "docs" / "glossary.md"
    if not there.is_file():
        pytest.skip("docs/ is not part of an installed package")
    assert there.read_text(encoding="utf-8") == glossary.markdown()
