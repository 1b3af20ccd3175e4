"""The report is one file that says everything, escapes everything and asks for nothing."""

import base64
import contextlib
import dataclasses
import gzip
import hashlib
import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from embedlab.analysis import Estimate, Finding
from embedlab.charts import PALETTE, Table
from embedlab.errors import UserError
from embedlab.estimates import claim
from embedlab.report import Section, build
from embedlab.report.build import across, check_place, figure_json, part_of, prose_html, shown_of, words_of
from embedlab.report.items import Items
from embedlab.report.sections import Numbers

# The package's own ``build`` is the function.
build_module = sys.modules["embedlab.report.build"]
GAP = Estimate(0.2, 0.1, 0.3, 40)
PROVENANCE = {"This report": [("command", "embedlab report"), ("seed", "0")]}


class Page(HTMLParser):
    """The elements, attributes and visible text of a page."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.texts, self.scripts = [], [], []
        self.open = ""
        # A word that is explained is still a part of its sentence.
        self.feed(re.sub(r'<a class="term"[^>]*>(.*?)</a>', r"\1", text))

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.open = tag
        if tag == "script":
            self.scripts.append([dict(attrs), ""])

    def handle_endtag(self, _):
        self.open = ""

    def handle_data(self, data):
        if self.open == "script":
            self.scripts[-1][1] += data
        elif self.open != "style":
            self.texts.append(data.strip())

    def says(self, text):
        return text in " ".join(self.texts)


def make(tmp_path, outcomes, **changes):
    values = {"title": "Cheese", "models": ["brie", "gouda"], "provenance": PROVENANCE, "probes": ["as is"]}
    path = build(tmp_path / "index.html", outcomes=outcomes, **(values | changes))
    return Page(path.read_text(encoding="utf-8"))


def test_the_page_says_once_what_was_found_and_of_which_models(tmp_path, outcome, cheese):
    page = make(tmp_path, [outcome], prose="Why *we* asked.")
    for finding in cheese.findings(outcome.results):
        assert page.texts.count(finding.text) == 1
    assert page.says("brie")
    assert page.says("on as is")
    assert ("a", {"href": "#section-conftest"}) in page.elements
    assert any(attributes.get("id") == "section-conftest" for _, attributes in page.elements)


def said(name, *p):
    findings = [
        claim(f"{name} {k} differs.", f"{name} {k} may be chance.", p, gap=GAP) for k, p in enumerate(p)
    ]
    return Section(name, "?", findings=tuple(findings))


def test_over_all_sections_of_a_page_it_is_decided_what_is_claimed(tmp_path):
    """A section by itself claims at 3 %; beside twenty that are nothing the page does not."""
    weak, crowd = said("weak", 0.03, 1e-6), said("crowd", *[0.9] * 20)
    page = make(tmp_path, [], extra=[weak])
    assert page.texts.count("weak 0 differs.") == 1
    assert page.says(
        "Of 2 comparisons fewer than one would be expected to pass for real by chance alone; 2 are"
    )
    page = make(tmp_path, [], extra=[weak, crowd])
    assert page.texts.count("weak 0 may be chance (one of 22 comparisons).") == 1
    assert page.texts.count("weak 1 differs.") == 1
    assert page.says(
        "Of 22 comparisons about 1 would be expected to pass for real by chance alone; 1 is claimed"
    )
    whole = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert whole["comparisons"] == {"count": 22, "claimed": 1, "by_chance": pytest.approx(1.1)}
    strong, open_ = whole["sections"][0]["findings"]
    assert (strong["claimed"], strong["p"], strong["q"]) == (True, 1e-6, pytest.approx(2.2e-5))
    assert (open_["claimed"], open_["tone"], open_["least_p"]) == (False, "plain", 0.0)
    assert open_["difference"] == {"value": 0.2, "low": 0.1, "high": 0.3, "n": 40, "null": None}


def test_a_caution_is_given_once_a_page_for_all_its_runs(tmp_path, outcome):
    runs = tuple(dataclasses.replace(run, caution="2 images were left out") for run in outcome.runs[:2])
    twice = dataclasses.replace(outcome, runs=runs)
    page = make(tmp_path, [twice, twice])
    (told,) = [text for text in page.texts if "2 images were left out" in text]
    assert told == f"{runs[0].title}; {runs[1].title}: 2 images were left out"


def test_a_page_that_compares_nothing_does_not_count(tmp_path, outcome):
    assert not make(tmp_path, [outcome]).says("comparisons")


def test_tone_is_not_told_by_colour_alone(tmp_path, outcome):
    page = make(tmp_path, [outcome])
    assert page.says("✓")
    assert page.says("attention:")


def test_a_section_has_question_numbers_reading_help_parameters_and_origin(tmp_path, outcome):
    page = make(tmp_path, [outcome])
    for text in ("Which cheese has the largest share?", "How to read it", "Limits", "References", "holes"):
        assert page.says(text)
    assert page.says("0.040 [0.010, 0.500]")
    assert page.says("null 0.005 · n 60")
    assert page.says("0123456789ab")
    assert page.says("default 3")
    assert page.says("command")
    assert page.says("embedlab report")


def test_what_failed_or_does_not_apply_is_named_in_the_contents_too(tmp_path, outcome):
    failed = dataclasses.replace(outcome, runs=outcome.runs[3:])
    inapplicable = dataclasses.replace(outcome, runs=outcome.runs[2:3])
    page = make(tmp_path, [failed, inapplicable, outcome])
    assert page.texts.count("failed") == 1
    assert page.elements.count(("span", {"class": "tag"})) == 1
    assert page.texts.count("Does not apply to as is in feta: feta has one person only") == 2
    assert page.says("ZeroDivisionError: by zero")


def test_sections_stand_in_chapters_and_show_one_picture_before_the_rest(tmp_path, outcome, cheese):
    verification = Section("verification", "How many?", charts=tuple(cheese.charts(outcome.results)))
    made = [verification, Section("mine", "?"), Section("layers", "Which?")]
    page = make(tmp_path, [], extra=made)
    assert [text for text in page.texts if text in ("Recognition", "Inside the networks", "Further")] == [
        *("Recognition", "Inside the networks", "Further"),  # in the contents
        *("Recognition", "Inside the networks", "Further"),
    ]
    shown = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert shown.index('id="section-layers"') < shown.index('id="section-mine"')
    (lead,) = re.findall(r'<div class="charts lead">(.*?)</details>', shown, re.DOTALL)
    assert lead.split("<details")[0].count('role="img"') == 1


def test_no_name_from_data_becomes_an_element(tmp_path, outcome, evil):
    hostile = dataclasses.replace(
        outcome, runs=(*outcome.runs, dataclasses.replace(outcome.runs[2], title=evil))
    )
    page = make(
        tmp_path,
        [hostile],
        title=evil,
        models=[evil, "brie"],
        probes=[evil],
        prose=evil,
        provenance={evil: [(evil, evil)]},
        extra=[Section(evil, evil, findings=(Finding(evil),))],
    )
    assert "img" not in [tag for tag, _ in page.elements]
    kinds = [attributes.get("type") for attributes, _ in page.scripts]
    assert kinds.count(None) == 1, "the report's own script is the only one"
    assert page.texts.count(evil) > 8


def test_no_chart_carries_markup_from_data_into_plotly(tmp_path, outcome):
    page = make(tmp_path, [outcome])
    charts = [
        json.loads(text) for attributes, text in page.scripts if attributes.get("id", "").endswith("-data")
    ]
    assert len(charts) == 10
    assert not re.search(r"<(script|img)", json.dumps(charts))
    assert not any("<" in text for attributes, text in page.scripts if attributes.get("type"))


def test_every_chart_is_announced_by_its_title_what_it_shows_and_the_finding(tmp_path, outcome, cheese, evil):
    page = make(tmp_path, [outcome])
    labels = [attributes["aria-label"] for _, attributes in page.elements if attributes.get("role") == "img"]
    assert f"DET: {evil} 0.99 at 0.01, 0.01 at 0.99." in labels
    assert f"Bars: {evil} 0.3 for {evil}." in labels
    first = f"In space {evil}: 6 points of as is; 6 points of {evil}. Cheese as is in gouda has the largest"
    assert labels[0].startswith(first)
    assert len(labels) == 10


def test_a_chart_has_its_heading_and_look_from_the_page_only(tmp_path, outcome):
    page = make(tmp_path, [outcome])
    for attributes, text in page.scripts:
        if attributes.get("id", "").endswith("-data"):
            layout = json.loads(text)["layout"]
            assert not {"title", "template", "height"} & set(layout)
    looks = next(json.loads(text) for attributes, text in page.scripts if attributes.get("id") == "looks")
    assert looks["light"]["layout"]["font"]["color"] != looks["dark"]["layout"]["font"]["color"]


def test_a_chart_that_is_begun_without_its_look_is_the_same_in_the_page(outcome, cheese, monkeypatch):
    drawn = [chart for chart in cheese.charts(outcome.results) if not isinstance(chart, Table)]
    apart = [figure_json(chart, Items()) for chart in drawn]
    with build_module.look_apart():
        assert drawn[0].plotly().layout.template.layout.font.size is None
    assert drawn[0].plotly().layout.template.layout.font.size == 13
    monkeypatch.setattr(build_module, "look_apart", contextlib.nullcontext)
    assert apart == [figure_json(chart, Items()) for chart in drawn]


def test_only_the_page_s_own_scripts_may_run_and_nothing_may_be_fetched(tmp_path, outcome):
    page = make(tmp_path, [outcome])
    policy = next(
        attributes["content"]
        for tag, attributes in page.elements
        if attributes.get("http-equiv") == "Content-Security-Policy"
    )
    assert "default-src 'none'" in policy
    assert "connect-src 'none'" in policy
    assert "http" not in policy
    assert "unsafe-inline" not in policy.split("script-src")[1].split(";")[0]
    assert "unsafe-eval" not in policy
    packed = next(text for attributes, text in page.scripts if attributes.get("id") == "plotly")
    own = next(text for attributes, text in page.scripts if "type" not in attributes)
    for script in (gzip.decompress(base64.b64decode(packed)), own.encode()):
        assert base64.b64encode(hashlib.sha256(script).digest()).decode() in policy


def test_the_page_names_nothing_outside_itself(tmp_path, outcome):
    page = make(tmp_path, [outcome])
    for tag, attributes in page.elements:
        assert not {"src", "srcset", "action", "data"} & set(attributes), tag
        assert attributes.get("href", "#").startswith("#")


def test_equal_arguments_give_equal_bytes(tmp_path, outcome):
    make(tmp_path / "a", [outcome])
    make(tmp_path / "b", [outcome])
    for name in ("index.html", "report.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_nothing_but_the_two_files_is_left(tmp_path, outcome):
    make(tmp_path, [outcome])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["index.html", "report.json"]


def test_the_numbers_of_another_name_have_that_name(tmp_path, outcome):
    path = build(tmp_path / "cheese.html", title="t", outcomes=[outcome], models=[], provenance={})
    assert json.loads(path.with_name("cheese.json").read_text(encoding="utf-8"))["title"] == "t"


def test_one_model_has_one_colour_from_the_heading_to_the_charts(tmp_path, outcome):
    page = make(tmp_path, [outcome], models=["gouda", "brie"])
    text = next(text for attributes, text in page.scripts if attributes.get("id") == "chart-0-3-data")
    line = next(t for t in json.loads(text)["data"] if t.get("line", {}).get("color", "").startswith("#"))
    assert line["line"]["color"] == PALETTE[1]
    swatches = [a["style"] for _, a in page.elements if a.get("class") == "swatch"]
    assert swatches == [f"background: {PALETTE[0]}", f"background: {PALETTE[1]}"]


def test_a_report_without_charts_carries_no_chart_library(tmp_path):
    section = Section("training", "How did it go?", findings=(Finding("It went."),))
    page = make(tmp_path, [], extra=[section])
    assert page.says("It went.")
    assert (tmp_path / "index.html").stat().st_size < 60_000


def test_a_report_is_not_much_larger_than_the_chart_library(tmp_path, outcome):
    make(tmp_path, [outcome])
    assert (tmp_path / "index.html").stat().st_size < 2_500_000


@pytest.mark.parametrize("name", ["report", "report.json", "report.txt"])
def test_a_name_that_is_no_html_is_refused(tmp_path, name):
    with pytest.raises(UserError, match=r"end it in \.html"):
        build(tmp_path / name, title="t", outcomes=[], models=[], provenance={})


def test_a_folder_in_the_place_of_the_report_is_refused(tmp_path):
    (tmp_path / "index.html").mkdir()
    with pytest.raises(UserError, match="it is a folder"):
        build(tmp_path / "index.html", title="t", outcomes=[], models=[], provenance={})


def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write .*choose another place"):
        build(tmp_path / "file" / "index.html", title="t", outcomes=[], models=[], provenance={})


def test_a_disk_that_is_full_is_one_line_and_leaves_the_old_report(tmp_path, outcome, monkeypatch):
    make(tmp_path, [outcome])
    before = (tmp_path / "index.html").read_bytes()

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(UserError, match="No space left on device"):
        make(tmp_path, [outcome], title="Other")
    assert (tmp_path / "index.html").read_bytes() == before


def test_prose_knows_paragraphs_lists_references_and_code():
    text = "One\nline.\n\n- a ``b``\n- *c*\n  d\n\n.. [1] Brie,\n   1999.\n.. [2] Gouda [1]_."
    assert prose_html(text) == (
        "<p>One line.</p>\n<ul><li>a <code>b</code></li><li><em>c</em> d</li></ul>\n"
        "<ul><li>[1] Brie, 1999.</li><li>[2] Gouda [1].</li></ul>"
    )
    assert prose_html("2 * 3 * 4 <b>") == "<p>2 * 3 * 4 &lt;b&gt;</p>"


def test_charts_without_a_neighbour_take_the_whole_width():
    narrow, tiles = "Histogram", "Tiles"
    assert across([narrow]) == [True]
    assert across([narrow, narrow]) == [False, False]
    assert across([narrow, narrow, narrow, tiles, narrow, narrow]) == [False, False, True, True, False, False]


def test_a_long_table_scrolls_in_a_window_of_its_own(tmp_path):
    def kind(n):
        table = Table(title="Rows", columns=("n",), rows=tuple((k,) for k in range(n)))
        page = make(tmp_path, [], extra=[Section("s", "?", charts=(table,))])
        (found,) = (a["class"] for tag, a in page.elements if a.get("aria-label") == "Rows")
        return found, page.says(f"{n} rows")

    assert kind(16) == ("scroll", False)
    assert kind(17) == ("scroll long", True)


def test_a_folded_table_shows_its_heading_and_how_long_it_is(tmp_path):
    def holders(folded):
        table = Table(title="Rows", columns=("n",), rows=((0,), (1,)), folded=folded)
        page = make(tmp_path, [], extra=[Section("s", "?", charts=(table,))])
        tags = [tag for tag, _ in page.elements]
        return tags.count("summary"), tags.count("figcaption"), page.says("2 rows")

    (plain, captions, said), (folding, without, told) = holders(folded=False), holders(folded=True)
    assert (folding - plain, captions - without) == (1, 1)
    assert (said, told) == (False, True)


def test_columns_of_words_stand_left_and_intervals_break_nowhere(tmp_path):
    rows = (("a", "rank-1", Estimate(0.5, 0.4, 0.6), "7 (unstable)"),)
    table = Table(title="t", columns=("set", "figure", "mean", "n"), rows=rows)
    page = make(tmp_path, [], extra=[Section("s", "?", charts=(table,))])
    assert words_of(table) == [True, True, False, False]
    assert [a.get("class") for tag, a in page.elements if tag == "td"][:3] == ["words", None, None]
    assert page.says("0.500 [0.400,\N{NO-BREAK SPACE}0.600]")
    assert words_of(Table(title="t", columns=("a",), rows=())) == [False]


def test_a_section_folds_what_is_more_than_a_few_findings(tmp_path):
    def folded(n):
        said = tuple(Finding(f"Finding {k} is so.") for k in range(n))
        page = make(tmp_path, [], extra=[Section("s", "?", findings=said)])
        assert page.texts.count(f"Finding {n - 1} is so.") == 1
        return page.says("more")

    assert not folded(2)
    assert folded(3)


class Unspeakable:
    """A value that cannot be written down."""

    def __format__(self, spec):
        raise ZeroDivisionError("planted")

    __str__ = __repr__ = lambda self: format(self)


BROKEN = {
    "a table": {"charts": (Table(title="Rows <b>", columns=("n",), rows=((Unspeakable(),),)),)},
    "a chart that is none": {"charts": (object(),)},
    "a number": {"numbers": Numbers(("a",), {"x": (Unspeakable(),)})},
    "a finding": {"findings": (Finding("It is.", "splendid"),)},
    "a note": {"notes": (None,)},
    "params": {"params": ((1, 2),)},
    "about": {"about": (("Limits", 3),)},
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_cannot_be_shown_costs_itself_and_no_other(tmp_path, outcome, what):
    odd = Section("odd", "Does it show?", **BROKEN[what])
    page = make(tmp_path, [outcome], extra=[odd, Section("last", "?", findings=(Finding("It went."),))])
    assert page.says("this is a bug")
    assert page.says("Traceback (most recent call last)")
    assert page.says("It went.")
    assert page.says("0.040 [0.010, 0.500]")
    assert not part_of(odd, 0, Items()).sound
    whole = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert [one["name"] for one in whole["sections"]] == ["conftest", "odd", "last"]


def test_a_chart_that_cannot_be_drawn_leaves_its_section_the_others(tmp_path, outcome, cheese):
    histogram = next(c for c in cheese.charts(outcome.results) if type(c).__name__ == "Histogram")
    spoilt = dataclasses.replace(histogram, title="Spoilt <i>")
    object.__setattr__(spoilt, "edges", None)
    page = make(tmp_path, [], extra=[Section("s", "?", charts=(spoilt, histogram))])
    assert page.says("The chart 'Spoilt <i>' could not be drawn; this is a bug.")
    (label,) = [a["aria-label"] for _, a in page.elements if a.get("role") == "img"]
    assert label.startswith("Spread: half of ")


def test_a_table_without_rows_has_its_headings(tmp_path):
    page = make(
        tmp_path, [], extra=[Section("s", "?", charts=(Table(title="t", columns=("a", "b"), rows=()),))]
    )
    assert [a.get("class") for tag, a in page.elements if tag == "th"][:2] == [None, None]
    assert page.texts.count("b") == 1
    assert not page.says("this is a bug")


def test_a_name_that_steers_is_shown_and_bytes_that_are_no_text_do_not_cost_the_page(tmp_path, outcome):
    name = "a\x1b[31mb\u202ec\udcff"
    section = Section("s", "?", findings=(Finding(f"It is {name}."),), numbers=Numbers((name,), {name: (1,)}))
    page = make(tmp_path, [], extra=[section], title=name, provenance={name: [(name, name)]}, prose=name)
    assert page.says(r"It is a\u001b[31mb\u202ec\udcff.")
    assert not set(name) - set("a[31mbc") & set("".join(page.texts))
    whole = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert whole["title"] == name


def test_cautions_stand_in_the_section_and_in_the_numbers(tmp_path, outcome):
    runs = (dataclasses.replace(outcome.runs[0], caution="2 images <left> out"), *outcome.runs[1:])
    page = make(tmp_path, [dataclasses.replace(outcome, runs=runs)])
    assert page.says("as is in brie: 2 images <left> out")
    (section,) = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["sections"]
    assert section["cautions"] == ["as is in brie: 2 images <left> out"]
    assert section["runs"][0]["caution"] == "2 images <left> out"


@pytest.mark.parametrize(
    ("name", "text"),
    [("index.html", "<h1>My page</h1>"), ("report.json", '{"mine": 1}'), ("index.html", "\xff")],
)
def test_a_file_that_embedlab_did_not_write_is_left_alone(tmp_path, outcome, name, text):
    (tmp_path / name).write_text(text, encoding="latin-1")
    with pytest.raises(UserError, match=rf"{name} is there, and embedlab did not write it"):
        make(tmp_path, [outcome])
    assert (tmp_path / name).read_text(encoding="latin-1") == text
    assert len(list(tmp_path.iterdir())) == 1


def test_other_files_in_the_folder_and_what_a_link_leads_to_stay(tmp_path, outcome):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "page.html").write_text("mine")
    for link in ("index.html", "report.json"):
        (tmp_path / link).symlink_to(tmp_path / "other" / "page.html")
    (tmp_path / "notes.txt").write_text("mine")
    assert make(tmp_path, [outcome]).says("Cheese")
    assert (tmp_path / "other" / "page.html").read_text() == (tmp_path / "notes.txt").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "index.html",
        "notes.txt",
        "other",
        "report.json",
    ]


def test_an_earlier_report_and_an_empty_file_are_replaced(tmp_path, outcome):
    (tmp_path / "index.html").write_text("")
    make(tmp_path, [outcome], title="Old")
    assert make(tmp_path, [outcome], title="New").says("New")


@pytest.mark.parametrize("name", ["index.html", "report.json"])
def test_a_folder_in_the_place_of_a_file_is_told(tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises(UserError, match=rf"cannot write .*{name}: it is a folder"):
        check_place(tmp_path / "index.html")


def test_what_may_be_chance_stands_open_only_where_nothing_else_does():
    sure, unsure, bad = (
        claim("So it is.", "That may be chance.", p, tone=tone)
        for p, tone in ((0.001, "plain"), (0.5, "plain"), (0.001, "bad"))
    )
    assert shown_of([sure, unsure, unsure]) == 1
    assert shown_of([unsure, unsure, unsure]) == 1
    assert shown_of([sure, sure, unsure]) == 2
    assert shown_of([bad, bad, bad, bad]) == 3
