"""A report opened from disk in a browser draws every chart, says no error and asks for nothing."""

import base64
import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest

from benchmarks.page import plant
from embedlab import runner
from embedlab.analysis import Estimate, Finding
from embedlab.charts import Bars, BarSeries, Curve, Curves, Face, Faces, Heatmap, Scatter, Table, faces_from
from embedlab.lab.store import Lab
from embedlab.report import Section, build
from embedlab.report.build import Head
from embedlab.report.growing import growing
from embedlab.study import Study


# A browser compiles the scripts of a page that it has seen once, and of each other page anew.
@pytest.fixture(scope="module")
def report(tmp_path_factory, outcome, evil):
    return build(
        tmp_path_factory.mktemp("report") / "index.html",
        title=f"Cheese {evil}",
        outcomes=[outcome],
        models=["brie", "gouda"],
        provenance={"Run": [("name", evil)]},
        prose=evil,
    )


@pytest.fixture(scope="module")
def flat(tmp_path_factory, cheese, outcome):
    """A report without 3-D charts, which are slow to draw where there is no graphics card."""
    charts = tuple(chart for chart in cheese.charts(outcome.results) if chart.projection is None)
    section = Section("flat", "How does it look?", charts=charts)
    return build(
        tmp_path_factory.mktemp("flat") / "flat.html",
        title="Flat",
        outcomes=[],
        models=["brie"],
        provenance={},
        extra=[section],
    )


def look(browser, path, width=1400, height=900):
    browser.call(
        "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
    )
    browser.open(path.as_uri())
    return browser.run("window.embedlab.drawAll()")


def complaints(browser):
    """Everything the browser had against the page; hints about speed are no complaints."""
    found = [e["exceptionDetails"]["text"] for e in browser.said("Runtime.exceptionThrown")]
    found += [
        e["args"]
        for e in browser.said("Runtime.consoleAPICalled")
        if e["type"] in ("error", "warning", "assert")
    ]
    for event in browser.said("Log.entryAdded"):
        entry = event["entry"]
        if entry["level"] == "error" or entry["source"] in ("security", "network", "violation"):
            found.append(entry["text"])
    return found


def test_every_chart_is_drawn_without_an_error_or_a_request(browser, report):
    count = report.read_text(encoding="utf-8").count('role="img"')
    assert count == 10
    assert look(browser, report) == {"charts": count, "drawn": count, "failures": []}
    assert browser.run("document.querySelectorAll('.chart .main-svg').length") >= count
    assert complaints(browser) == []
    away = "[...document.querySelectorAll('.chart')].filter(el => el._context.showSendToCloud)"
    assert browser.run(f"{away}.length") == 0
    asked = [e["request"]["url"] for e in browser.said("Network.requestWillBeSent")]
    assert [url for url in asked if not url.startswith(("data:", "blob:"))] == [report.as_uri()]


def test_names_from_data_run_nothing_and_show_as_they_are_written(browser, report, evil):
    look(browser, report)
    assert browser.said("Page.javascriptDialogOpening") == []
    assert browser.run("document.querySelectorAll('img, main script:not([type])').length") == 0
    assert browser.run("document.querySelector('h1').textContent") == f"Cheese {evil}"
    texts = browser.run("[...document.querySelectorAll('.chart svg text')].map(t => t.textContent)")
    assert evil in texts


def test_the_policy_stops_a_request_and_a_script_that_is_not_the_page_s_own(browser, flat):
    look(browser, flat)
    assert browser.run("fetch('http://127.0.0.1:9/').then(() => 'went out', () => 'stopped')") == "stopped"
    browser.run(
        "void document.body.append("
        "Object.assign(document.createElement('script'), {textContent: 'window.ran = 1'}))"
    )
    assert browser.run("typeof window.ran") == "undefined"
    assert any("Content Security Policy" in text for text in complaints(browser))


def test_no_button_sends_a_chart_away(browser, flat):
    # A headless browser has no pointer, and without one the page shows no buttons at all.
    pointer = "const ask = matchMedia; matchMedia = q => q === '(hover: hover)' ? {matches: true} : ask(q)"
    script = browser.call("Page.addScriptToEvaluateOnNewDocument", source=pointer)
    try:
        look(browser, flat)
    finally:
        browser.call("Page.removeScriptToEvaluateOnNewDocument", **script)
    titles = browser.run(
        "[...document.querySelectorAll('.modebar-btn')]"
        ".map(b => b.getAttribute('aria-label') ?? b.dataset.title ?? '')"
    )
    assert "Pan" in titles
    assert not any("cloud" in title.lower() for title in titles)


def test_charts_are_drawn_when_they_come_near_and_not_before(browser, flat):
    look(browser, flat)
    browser.open(flat.as_uri())
    assert "waiting" in browser.run("Object.values(window.embedlab.state())")


def test_a_phone_scrolls_the_page_in_one_direction_only(browser, flat):
    look(browser, flat, width=390, height=800)
    assert browser.run("document.documentElement.scrollWidth") <= 390
    assert browser.run("document.querySelector('.contents').open") is False


def test_dark_and_light_follow_the_reader(browser, flat):
    back = "getComputedStyle(document.querySelector('.chart .main-svg')).backgroundColor"
    found = []
    for scheme in ("light", "dark"):
        browser.call(
            "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}]
        )
        look(browser, flat)
        found.append(browser.run(back))
    assert found == ["rgb(255, 255, 255)", "rgb(24, 27, 30)"]


@pytest.mark.parametrize(("scheme", "back"), [("light", "#FFFFFF"), ("dark", "#181B1E")])
def test_the_mark_of_a_null_has_the_page_s_colour_about_it(browser, flat, scheme, back):
    browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    look(browser, flat)
    halo = "document.querySelector('.chart.bars').data.find(trace => trace.meta?.halo)"
    assert browser.run(f"{halo}.line.color") == back


def test_long_tables_scroll_in_place_and_faces_are_drawn(browser, tmp_path):
    rng = np.random.default_rng(0)
    pictures = {name: rng.integers(0, 256, (64, 64, 3), dtype=np.uint8) for name in "abcd"}
    faces = tuple(Face("p", name, f"a long name of an image of {name}") for name in "abcdx")
    charts = (
        Faces(title="Worst pairs", rows=(("false matches", faces), ("missed", faces[:2]))),
        Table(title="Rows", columns=("n", "square"), rows=tuple((k, k * k) for k in range(200))),
    )
    with faces_from(lambda probe, item: pictures.get(item)):
        path = build(
            tmp_path / "r.html", title="t", outcomes=[], models=[], provenance={},
            extra=[Section("s", "?", charts=charts)],
        )  # fmt: skip
    assert look(browser, path) == {"charts": 1, "drawn": 1, "failures": []}
    assert browser.run("document.querySelectorAll('.chart.faces image').length") == 1
    assert browser.run("document.querySelector('.scroll.long').clientHeight") < 600
    assert browser.run("document.querySelector('.scroll.long').scrollHeight") > 4000
    assert complaints(browser) == []
    look(browser, path, width=390, height=800)
    assert browser.run("document.documentElement.scrollWidth") <= 390


@pytest.mark.slow
def test_more_scenes_than_a_browser_keeps_are_all_seen(browser, tmp_path, cheese, outcome):
    scene = cheese.charts(outcome.results)[0]
    scenes = tuple(dataclasses.replace(scene, title=f"scene {i}") for i in range(9))
    path = build(
        tmp_path / "many.html",
        title="t",
        outcomes=[],
        models=[],
        provenance={},
        extra=[Section("s", "?", charts=scenes)],
    )
    # In a narrow window, for without a graphics card a scene takes as long as it has points on the screen.
    assert look(browser, path, width=390) == {"charts": 9, "drawn": 9, "failures": []}
    kinds = list(browser.run("window.embedlab.state()").values())
    assert kinds.count("drawn") <= 7
    assert kinds.count("drawn") + kinds.count("pictured") == 9
    assert complaints(browser) == []


def test_without_scripts_sentences_and_tables_can_be_read(browser, report):
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(report.as_uri())
        shown = browser.run("document.body.textContent")
        height = browser.run("document.querySelector('noscript').getBoundingClientRect().height")
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)
    assert "has the largest share" in shown
    assert "0.040 [0.010, 0.500]" in shown
    assert height > 0


# What a reader does with the page


def test_a_test_before_leaves_no_window_colours_or_finger_to_the_next(browser, flat):
    """Half of the lasso's second picture lay outside the window of a phone, which a test before had left."""
    dark = "matchMedia('(prefers-color-scheme: dark)').matches"
    facts = f"[innerWidth, innerHeight, {dark}, 'ontouchstart' in window]"
    seen = []
    for _ in range(2):
        browser.afresh()
        browser.open(flat.as_uri())
        seen.append(browser.run(facts))
        features = [{"name": "prefers-color-scheme", "value": "dark"}]
        browser.call("Emulation.setEmulatedMedia", features=features)
        browser.call("Emulation.setTouchEmulationEnabled", enabled=True)
        phone = {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": False}
        browser.call("Emulation.setDeviceMetricsOverride", **phone)
        browser.open(flat.as_uri())
        assert browser.run(facts) == [390, 800, True, True]
        browser.call("Emulation.setScriptExecutionDisabled", value=True)
    assert seen == [[1400, 900, False, False]] * 2


EVIL = "</script><img src=x onerror=alert(1)>"


def people(seed, **changes):
    """Two images each of four people, one of them with a hostile name."""
    names = np.repeat(["ann", "bob", "eve", EVIL], 2)
    items = np.array([f"{name}/{k % 2}.png" for k, name in enumerate(names)])
    groups = np.repeat(np.arange(4), 2)
    return Scatter(
        title=f"Map {seed}",
        points=np.random.default_rng(seed).normal(size=(8, 2)),
        axes=("x", "y"),
        groups=groups,
        group_names=("ann", "bob", "eve", EVIL),
        marks=np.zeros(8, np.int64),
        mark_names=("as is",),
        hover=np.array([f"{name}: {item}" for name, item in zip(names, items, strict=True)]),
        people=names,
        items=items,
        **changes,
    )


@pytest.fixture(scope="module")
def linked(tmp_path_factory):
    """Two maps of the same people by two models, their faces, a matrix, a table, and many curves."""
    rng = np.random.default_rng(0)
    pictures = {name: rng.integers(0, 256, (64, 64, 3), dtype=np.uint8) for name in ("ann", "bob")}
    faces = tuple(Face("p", f"{name}/0.png", f"{name}, 0.5", name) for name in ("bob", "ann", "bob"))
    x = np.linspace(0, 1, 9)
    curves = tuple(
        Curve(f"probe{p} in model{m}", x, x ** (m + p / 9 + 1), model=f"model{m}")
        for m in range(6)
        for p in range(6)
    )
    charts = (
        people(0),
        people(1),
        Faces(title="Worst", rows=(("r", faces),)),
        Heatmap(
            title="Matrix",
            xlabels=("a", "b"),
            ylabels=("=1+1",),
            values=np.array([[0.5, np.nan]]),
            text=np.array([["0.5", ""]]),
        ),
        Curves(title="ROC", xlabel="FAR", ylabel="TAR", curves=curves),
        Table(
            title="Rows",
            columns=("person", "share", "count"),
            rows=(
                ("bob", Estimate(0.5, 0.25, 0.75), 1200),
                ("ann", Estimate(-0.125, -0.25, 0.5), 900),
                ("eve", None, 30),
                (EVIL, Estimate(2.0, 1.0, 3.0), 4),
            ),
        ),
    )
    with faces_from(lambda probe, item: pictures.get(item.partition("/")[0])):
        return build(
            tmp_path_factory.mktemp("linked") / "index.html",
            title="Linked",
            outcomes=[],
            models=[f"model{m}" for m in range(6)],
            provenance={},
            extra=[Section("maps", "Who is where?", charts=charts)],
        )


RINGED = """JSON.stringify([...document.querySelectorAll('.chart.scatter')].map(el => {
  const ring = el.data.find(trace => trace.meta?.ring);
  return ring.x.length;
}))"""
PICKED = "window.embedlab.picked()"
FRAMED = "(document.querySelector('.chart.faces').layout.shapes ?? []).length"


def key(browser, name, code=0, text=""):
    for kind in ("keyDown", "keyUp"):
        browser.call(
            "Input.dispatchKeyEvent", type=kind, key=name, code=name, windowsVirtualKeyCode=code, text=text
        )


def settle(browser):
    browser.run("new Promise(done => setTimeout(done, 300))")


def place_of_point(browser, chart):
    """Where the first linked point of a chart lies in the window."""
    browser.run(f"document.querySelectorAll('.chart.scatter')[{chart}].scrollIntoView({{block: 'center'}})")
    return browser.run(
        f"""(() => {{
          const el = document.querySelectorAll('.chart.scatter')[{chart}];
          const box = el.querySelector('.scatterlayer .points path').getBoundingClientRect();
          return [box.x + box.width / 2, box.y + box.height / 2];
        }})()"""
    )


def test_a_click_on_a_point_rings_the_person_in_every_picture_and_escape_clears(browser, linked):
    assert look(browser, linked)["failures"] == []
    assert browser.run(RINGED) == "[0,0]"
    x, y = place_of_point(browser, 1)
    for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
        browser.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
        browser.run("new Promise(done => setTimeout(done, 150))")
    assert browser.until(PICKED, ann := {"person": "ann", "item": "ann/0.png"}) == ann
    assert browser.until(RINGED, "[2,2]") == "[2,2]"
    assert browser.until(FRAMED, 1) == 1
    assert browser.run("document.querySelector('tr.ringed').cells[0].textContent") == "ann"
    assert browser.run("document.querySelector('.find output').textContent") == "ann: 2 images in 3 pictures"
    key(browser, "Escape", 27)
    assert (browser.until(RINGED, "[0,0]"), browser.until(FRAMED, 0)) == ("[0,0]", 0)
    assert browser.run("document.querySelectorAll('tr.ringed').length") == 0
    assert complaints(browser) == []


def test_a_finger_on_a_face_and_the_keyboard_on_a_map_ring_as_well(browser, linked):
    look(browser, linked)
    face = "document.querySelector('.chart.faces .imagelayer image')"
    browser.run(f"{face}.scrollIntoView({{block: 'center'}})")
    x, y, width, height = browser.run(
        f"(() => {{ const box = {face}.getBoundingClientRect(); "
        "return [box.x, box.y, box.width, box.height]; })()"
    )
    x, y = x + width / 6, y + height / 3
    browser.call("Input.synthesizeTapGesture", x=x, y=y, gestureSourceType="touch")
    assert browser.until(PICKED, bob := {"person": "bob", "item": "bob/0.png"}) == bob
    assert browser.until(FRAMED, 2) == 2
    x, y = place_of_point(browser, 0)
    browser.call("Input.synthesizeTapGesture", x=x + 5, y=y, gestureSourceType="touch")
    assert browser.until(PICKED, ann := {"person": "ann", "item": "ann/0.png"}) == ann
    browser.run("document.querySelector('.chart.scatter').focus()")
    for _ in range(7):
        key(browser, "ArrowRight", 39)
    key(browser, "Enter", 13, "\r")
    assert browser.until(PICKED, evil := {"person": EVIL, "item": f"{EVIL}/0.png"}) == evil
    assert browser.until(RINGED, "[2,2]") == "[2,2]"
    assert browser.said("Page.javascriptDialogOpening") == []


def test_a_person_is_found_by_a_part_of_the_name(browser, linked):
    look(browser, linked)
    browser.run("document.querySelector('#find').focus()")
    browser.call("Input.insertText", text="EV")
    key(browser, "Enter", 13, "\r")
    assert browser.until(PICKED, eve := {"person": "eve", "item": ""}) == eve
    assert browser.until(RINGED, "[2,2]") == "[2,2]"
    assert browser.run("document.querySelectorAll('#people option').length") == 4
    browser.run("window.embedlab.search('nobody at all')")
    assert "nobody of that name" in browser.run("document.querySelector('.find output').textContent")


def test_a_picture_that_is_drawn_later_is_ringed_as_well(browser, linked):
    look(browser, linked)
    browser.open(linked.as_uri())
    browser.run("window.embedlab.search('ann')")
    browser.run("window.embedlab.drawAll()")
    assert browser.run(RINGED) == "[2,2]"


COLUMN = (
    "[...document.querySelectorAll('figure.table tbody tr')].map(row => row.cells[%d].textContent.trim())"
)


def test_a_table_is_sorted_by_numbers_with_the_keyboard_and_copied(browser, linked):
    look(browser, linked)
    assert browser.run(COLUMN % 0)[0] == "bob"
    sort = "document.querySelectorAll('figure.table thead button')"
    browser.run(f"{sort}[1].focus()")
    key(browser, "Enter", 13, "\r")
    assert browser.until(COLUMN % 0, up := ["ann", "bob", EVIL, "eve"]) == up
    key(browser, "Enter", 13, "\r")
    assert browser.until(COLUMN % 0, down := [EVIL, "bob", "ann", "eve"]) == down
    assert (
        browser.run("document.querySelectorAll('[aria-sort]')[0].getAttribute('aria-sort')") == "descending"
    )
    browser.run(f"{sort}[2].click()")
    assert browser.run(COLUMN % 2) == ["4", "30", "900", "1,200"]
    browser.run("document.querySelector('figure.table .tools button').click()")
    assert browser.until("typeof window.embedlab.copied", "string") == "string"
    lines = browser.run("window.embedlab.copied").split("\r\n")
    assert lines[0] == "person,share,count"
    assert lines[3].replace("\xa0", " ") == 'ann,"-0.125 [-0.250, 0.500]",900'


def saved(browser, title, kind):
    """What a button saves: the file's name and its text."""
    return browser.run(
        f"""new Promise(done => {{
          const click = HTMLAnchorElement.prototype.click;
          const make = URL.createObjectURL;
          let made = null;
          URL.createObjectURL = blob => {{ made = blob; return make(blob); }};
          HTMLAnchorElement.prototype.click = function () {{
            HTMLAnchorElement.prototype.click = click;
            URL.createObjectURL = make;
            made.text().then(text => done([this.download, text, made.size]));
          }};
          const figure = [...document.querySelectorAll('figure')]
            .find(one => one.querySelector('strong').textContent === {title!r});
          [...figure.querySelectorAll('.tools button')].find(one => one.textContent === {kind!r}).click();
        }})"""
    )


def test_each_picture_is_saved_as_svg_png_and_its_numbers(browser, linked):
    look(browser, linked)
    name, text, _ = saved(browser, "ROC", "SVG")
    assert name == "ROC.svg"
    assert text.startswith("<svg")
    assert "probe5 in model5" in text
    name, text, size = saved(browser, "Map 0", "PNG")
    assert name == "Map-0.png"
    assert text[1:4] == "PNG"
    assert size > 5000
    name, text, _ = saved(browser, "ROC", "CSV")
    rows = text.split("\r\n")
    assert rows[0] == "series,x,y,text"
    assert len(rows) == 1 + 36 * 9 + 1
    assert saved(browser, "Matrix", "CSV")[1] == ",a,b\r\n'=1+1,0.5,\r\n"
    assert EVIL in saved(browser, "Map 1", "CSV")[1]
    assert complaints(browser) == []
    heights = browser.run("[...document.querySelectorAll('.tools button')].map(b => b.clientHeight)")
    assert min(heights) > 20


@pytest.mark.parametrize("width", [1400, 390])
def test_a_long_title_of_an_axis_is_whole_in_the_page_and_in_what_is_saved(browser, tmp_path, width):
    x = np.linspace(0, 1, 5)
    long = Curves(
        title="Long",
        xlabel="per cent of enrolled images <removed>, those of most false matches first",
        ylabel="TPIR: share of enrolled people's probes named rightly",
        curves=(Curve("one", x, x),),
    )
    section = Section("long", "Is all of it read?", charts=(long,))
    options = {"title": "Long", "outcomes": [], "models": ["one"], "provenance": {}, "extra": [section]}
    look(browser, build(tmp_path / "index.html", **options), width=width)
    for which in ("xtitle", "ytitle"):
        outside = browser.run(
            f"""(() => {{
              const all = document.querySelector('.chart .main-svg').getBoundingClientRect();
              const it = document.querySelector('.chart .{which}').getBoundingClientRect();
              return [all.left - it.left, it.right - all.right, all.top - it.top, it.bottom - all.bottom];
            }})()"""
        )
        assert max(outside) <= 0, (which, outside)
    assert "<removed>," in browser.run("document.querySelector('.chart .xtitle').textContent")
    whole = saved(browser, "Long", "SVG")[1]
    assert re.search(r'class="ytitle"[^>]*><tspan class="line"', whole)


def test_on_a_phone_every_name_is_read_and_the_page_scrolls_in_one_direction(browser, tmp_path):
    names = ("participation ratio", "uniformity", "lfw144@32, mobilefacenet_ms1m")
    bars = Bars(
        title="Shares",
        ylabel="share",
        categories=names,
        series=(BarSeries("one", np.arange(3.0), None, None, model="one"),),
    )
    pixels = np.zeros((64, 64, 3), np.uint8)
    face = Face("p", "ann/0.png", "e0270, 0.86", "ann")
    with faces_from(lambda probe, item: pixels):
        faces = Faces(title="Worst", rows=(("two people, most alike", (face,) * 8),))
        about = Section("s", "Is it read?", charts=(bars, faces), about=(("Limits", f"``{'long' * 20}``"),))
        options = {"title": "Phone", "outcomes": [], "models": ["one"], "provenance": {}, "extra": [about]}
        page = build(tmp_path / "index.html", **options)
    look(browser, page, width=390, height=800)
    shown = browser.run(
        """[...document.querySelectorAll('.bars .xtick text')]
          .filter(one => getComputedStyle(one).display !== 'none')
          .map(one => [...one.querySelectorAll('tspan')].map(line => line.textContent).join(' ')
            || one.textContent)"""
    )
    assert shown == list(names)
    assert names[2] in saved(browser, "Shares", "CSV")[1]
    inside = browser.run(
        """(() => {
          const all = document.querySelector('.faces .main-svg').getBoundingClientRect();
          const boxes = [...document.querySelectorAll('.faces text')]
            .filter(one => one.textContent === 'e0270, 0.86').map(one => one.getBoundingClientRect());
          const apart = Math.min(...boxes.slice(1).map((one, k) => one.left - boxes[k].right));
          return [boxes.length, apart > 0, Math.max(...boxes.map(one => one.right)) <= all.right];
        })()"""
    )
    assert inside == [8, True, True]
    assert browser.run("document.documentElement.scrollWidth") <= 390


def test_no_key_takes_anything_of_a_chart_of_six_models_and_six_probes(browser, linked):
    look(browser, linked)
    curves = "document.querySelector('.chart.curves')"
    plotted = browser.run(f"{curves}._fullLayout._size.h")
    assert plotted > 0.75 * browser.run(f"{curves}.clientHeight")
    assert browser.run(f"{curves}.querySelectorAll('.legend').length") == 0
    entries = f"{curves}.closest('figure').querySelectorAll('.key button')"
    assert browser.run(f"{entries}.length") == 36
    browser.run(f"{entries}[3].click()")
    assert browser.until(f"{curves}.data.filter(trace => trace.visible === false).length", 1) == 1
    look(browser, linked, width=390, height=844)
    assert browser.run("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_labels_on_a_map_have_the_colours_of_the_page(browser, tmp_path, scheme):
    path = build(
        tmp_path / "r.html", title="t", outcomes=[], models=[], provenance={},
        extra=[Section("s", "?", charts=(people(0, named=True),))],
    )  # fmt: skip
    browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    look(browser, path)
    ground = browser.run("getComputedStyle(document.querySelector('.annotation rect.bg')).fill")
    ink = browser.run("getComputedStyle(document.querySelector('.annotation text')).fill")
    assert (ground, ink) == {
        "light": ("rgb(255, 255, 255)", "rgb(34, 39, 44)"),
        "dark": ("rgb(24, 27, 30)", "rgb(228, 231, 234)"),
    }[scheme]


def pages(browser):
    """How many sheets of A4 the page takes on paper."""
    made = browser.call("Page.printToPDF", paperWidth=8.27, paperHeight=11.69)
    return len(re.findall(rb"/Type\s*/Page\b", base64.b64decode(made["data"])))


def test_a_report_of_many_sections_stays_short_on_paper_on_a_phone_and_on_a_desk(
    browser, tmp_path, cheese, outcome
):
    """Of a chapter the first picture is open; what is folded takes a line, and nothing on paper."""
    few = tuple(chart for chart in cheese.charts(outcome.results) if chart.projection is None)[:4]
    said = tuple(cheese.findings(outcome.results))
    about = (("Limits", "word " * 300),)
    sections = [Section(f"s{k}", "How does it look?", said, few, about=about) for k in range(26)]
    origin = {f"part {k}": [("hash", "0" * 64)] * 9 for k in range(12)}
    path = build(
        tmp_path / "r.html", title="t", outcomes=[], models=["brie"], provenance=origin, extra=sections
    )
    for width, height, screens in ((1400, 900, 6), (390, 844, 13)):
        browser.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        browser.open(path.as_uri())
        settle(browser)
        assert browser.run("document.documentElement.scrollHeight") <= screens * height, width
    assert pages(browser) <= 9
    assert browser.run("document.querySelectorAll('details.picture').length") == 26
    assert browser.run("document.querySelectorAll('details.picture[open]').length") == 1


def reported(root, count, sizes, analyses, facts=None):
    """Make a report of planted models as the command line does."""
    lab = Lab(root)
    models = tuple(plant(lab.root, count, people=30, images=3, dimension=16, sizes=(None, *sizes)))
    probes = ("faces", *(f"faces@{size}" for size in sizes))
    quick = {name: {"resamples": "50"} for name in analyses if name != "families"}
    study = Study(models, probes, analyses, quick)
    head = Head("Many", models, {}, study.probes, facts=dict.fromkeys(models, facts) if facts else {})
    with growing(lab.root / "index.html", head, study.analyses) as made:
        for outcome in runner.outcomes(lab, study):
            made.add(outcome)
        return made.finish({})


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Thirty planted models under two probes."""
    return reported(tmp_path_factory.mktemp("lab"), 30, (16,), ("verification", "families"))


def test_the_table_of_two_models_is_whole_beside_the_contents(browser, tmp_path):
    """At the narrowest width that has the contents beside the text; with every column that there can be."""
    facts = (512, "lowres, highres_eval: 125,000 images of 25,000 people")
    page = reported(tmp_path, 2, (16, 8), ("verification", "resolution", "drift"), facts)
    for width in (1080, 1100, 1400):
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        browser.call("Emulation.setDeviceMetricsOverride", **metrics)
        browser.open(page.as_uri())
        settle(browser)
        assert browser.run("document.querySelectorAll('.models thead th').length") == 8
        seen, whole = browser.run(
            "(() => { const box = document.querySelector('.models .scroll');"
            "return [box.clientWidth, box.scrollWidth]; })()"
        )
        assert whole <= seen, width


def test_many_models_have_one_table_that_sorts_and_few_open_lines(browser, many):
    assert look(browser, many)["failures"] == []
    assert complaints(browser) == []
    assert browser.run("document.querySelectorAll('#answers > ol .answer').length") <= 6
    assert browser.run("document.querySelectorAll('.models tbody tr').length") == 30
    tars = "[...document.querySelectorAll('.models tbody tr')].map(r => parseFloat(r.cells[2].textContent))"
    best_first = browser.run(tars)
    assert best_first == sorted(best_first, reverse=True)
    browser.run("document.querySelectorAll('.models thead button')[2].click()")
    assert browser.run(tars) == sorted(best_first)
    named = browser.run("document.querySelector('header .lead').textContent")
    assert "and 24 more models" in named


def test_a_page_of_many_models_stays_small_and_says_what_it_leaves_out(browser, many):
    text = many.read_text(encoding="utf-8")
    assert "Of 30 models the 6 best are looked into" in text
    figures = many.stat().st_size - len(text[text.index('id="plotly"') :])
    assert figures < 1_000_000, "beyond the chart library"
    whole = json.loads(many.with_name("report.json").read_text(encoding="utf-8"))
    assert len(whole["overview"]["rows"]) == 30
    assert len(whole["models"]) == 30
    (verified,) = (one for one in whole["sections"] if one["name"] == "verification")
    assert len({one["result"] for one in verified["estimates"]}) == 60, "what is not shown is in the numbers"
    look(browser, many)
    assert browser.call("Runtime.getHeapUsage")["usedSize"] < 200e6


# Words of the trade


@pytest.fixture(scope="module")
def worded(tmp_path_factory):
    """A report whose sentences hold words of the trade; a model, a probe and a person are called so."""
    said = tuple(
        Finding(f"On FAR@32 in EER, {k} % of genuine pairs of CKA pass at FAR 0.001; the null is TAR = FAR.")
        for k in range(5)
    )
    charts = (dataclasses.replace(people(0), group_names=("ann", "bob", "eve", "CKA")),)
    sections = [Section(f"s{k}", "What is the FAR?", said, charts) for k in range(2)]
    return build(
        tmp_path_factory.mktemp("worded") / "index.html",
        title="TAR",
        outcomes=[],
        models=["EER"],
        probes=["FAR@32"],
        provenance={"FAR": [("TAR", "FAR")]},
        extra=sections,
    )


TERMS = "document.querySelectorAll('#section-s1 a.term')"
TIP = "[document.querySelector('#meaning').hidden, document.querySelector('#meaning').textContent]"


def middle(browser, element):
    browser.run(f"{element}.scrollIntoView({{block: 'center'}})")
    return browser.run(
        f"(() => {{ const box = {element}.getClientRects()[0];"
        "return [box.x + box.width / 2, box.y + box.height / 2]; })()"
    )


def test_a_word_says_what_it_means_under_the_pointer_at_focus_and_at_a_tap(browser, worded):
    look(browser, worded)
    found = browser.run(f"[...{TERMS}].map(word => word.textContent)")
    assert found == ["genuine pairs", "FAR", "null", "TAR"]
    x, y = middle(browser, f"{TERMS}[0]")
    browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
    assert browser.until(TIP, shown := [False, "Two images of one person."]) == shown
    assert browser.run(f"{TERMS}[0].getAttribute('aria-describedby')") == "meaning"
    box = browser.run("(() => { const b = document.querySelector('#meaning').getBoundingClientRect();"
                      "return [b.left, b.right, b.top, b.bottom]; })()")  # fmt: skip
    assert box[0] >= 0
    assert box[1] <= 1400
    assert 0 <= box[2] < box[3] <= 900
    # Whoever moves onto the meaning can go on reading it.
    browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=box[0] + 9, y=(box[2] + box[3]) / 2)
    settle(browser)
    assert browser.run(TIP)[0] is False
    browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=1, y=1)
    assert browser.until(f"{TIP}[0]", True) is True
    browser.run(f"{TERMS}[1].focus()")
    assert browser.run(TIP)[1].startswith("False accept rate")
    key(browser, "Escape", 27)
    assert browser.until(f"{TIP}[0]", True) is True
    key(browser, "Tab", 9)
    assert browser.run(TIP)[1].startswith("The same number where there is nothing to find")
    key(browser, "Enter", 13, "\r")
    assert browser.until("location.hash", "#term-null") == "#term-null"
    assert browser.run("document.querySelector('#glossary').open")
    assert complaints(browser) == []


def test_the_first_tap_says_it_and_the_second_leads_to_the_list(browser, worded):
    look(browser, worded, width=390, height=844)
    browser.call("Emulation.setTouchEmulationEnabled", enabled=True)
    try:
        for hidden, place in ((False, ""), (True, "#term-far")):
            x, y = middle(browser, f"{TERMS}[1]")
            browser.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
            browser.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
            settle(browser)
            assert browser.until(f"{TIP}[0]", hidden) is hidden
            assert browser.until("location.hash", place) == place
    finally:
        browser.call("Emulation.setTouchEmulationEnabled", enabled=False)
    assert browser.run("document.documentElement.scrollWidth") <= 390


def test_names_are_no_words_of_the_trade_and_the_list_holds_what_is_marked(browser, worded):
    look(browser, worded)
    linked = browser.run("[...new Set([...document.querySelectorAll('a.term')].map(a => a.hash))].sort()")
    listed = browser.run("[...document.querySelectorAll('.glossary > div')].map(one => '#' + one.id).sort()")
    assert linked == listed
    assert "#term-eer" not in linked
    assert "#term-cka" not in linked
    marked_in = (
        "[...document.querySelectorAll('a.term')].filter(a => a.closest('h1, h2, h3, .model, table.plain'))"
    )
    assert browser.run(f"{marked_in}.length") == 0


# To and fro


def test_points_go_to_where_they_were_by_key_and_button_and_take_their_ring_along(browser, tmp_path):
    items = np.tile(np.array(["a.png", "b.png"]), 2)
    moved = Scatter(
        title="Registered",
        points=np.array([[0.0, 0], [1, 1], [4, 2], [5, 3]]),
        axes=("x", "y"),
        groups=np.repeat([0, 1], 2),
        group_names=("fixed", "moving"),
        marks=np.repeat([0, 1], 2),
        mark_names=("fixed", "moving"),
        people=items,
        items=items,
        links=np.array([[0, 2]]),
        start=np.array([[0.0, 0], [1, 1], [8, 6], [9, 7]]),
        stages=("before <b>", "after"),
    )
    path = build(
        tmp_path / "r.html", title="t", outcomes=[], models=[], provenance={},
        extra=[Section("s", "?", charts=(moved,))],
    )  # fmt: skip
    chart = "document.querySelector('.chart.scatter')"
    where = f"{chart}.data.find(trace => trace.meta?.from && trace.mode === 'markers')"
    at = f"JSON.stringify([[...{where}.x], [...{where}.y]])"
    line = f"JSON.stringify([...{chart}.data[0].x].slice(0, 2))"
    browser.call(
        "Emulation.setEmulatedMedia", features=[{"name": "prefers-reduced-motion", "value": "reduce"}]
    )
    look(browser, path)
    browser.run("window.embedlab.search('b.png')")
    slider = "document.querySelector('.roll input')"
    assert browser.run(f"{slider}.getAttribute('aria-label')") == "from before <b> to after"
    browser.run(f"{slider}.focus()")
    key(browser, "Home", 36)
    assert browser.until(at, "[[8,9],[6,7]]") == "[[8,9],[6,7]]"
    assert browser.until(line, "[0,8]") == "[0,8]"
    assert browser.run(f"{slider}.getAttribute('aria-valuetext')") == "before <b>"
    ring = f"JSON.stringify([...{chart}.data.find(trace => trace.meta?.ring).x])"
    assert browser.until(ring, "[1,9]") == "[1,9]"
    # Drawn anew, in other colours, it stays where it was left.
    for scheme in ("dark", "light"):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.call("Emulation.setEmulatedMedia", features=features)
        settle(browser)
        assert browser.until(at, "[[8,9],[6,7]]") == "[[8,9],[6,7]]"
    browser.call(
        "Emulation.setEmulatedMedia", features=[{"name": "prefers-reduced-motion", "value": "reduce"}]
    )
    browser.run("document.querySelectorAll('.roll button')[1].click()")
    settle(browser)
    assert browser.run(at) == "[[4,5],[2,3]]", "where motion is not wanted it is there at once"
    browser.call("Emulation.setEmulatedMedia", features=[])
    browser.run("document.querySelectorAll('.roll button')[0].click()")
    assert browser.until(at, "[[8,9],[6,7]]") == "[[8,9],[6,7]]"
    assert complaints(browser) == []


@pytest.mark.slow
def test_scenes_of_one_section_are_seen_from_one_side(browser, tmp_path, cheese, outcome):
    scene = cheese.charts(outcome.results)[0]
    scenes = tuple(dataclasses.replace(scene, title=f"of {name}") for name in ("brie", "gouda"))
    path = build(
        tmp_path / "r.html", title="t", outcomes=[], models=["brie", "gouda"], provenance={},
        extra=[Section("s", "?", charts=scenes)],
    )  # fmt: skip
    look(browser, path)
    assert browser.run("document.querySelectorAll('.panels > figure').length") == 2
    turned = "{eye: {x: 0.1, y: 2, z: 0.3}}"
    browser.run(
        f"Plotly.relayout(document.querySelectorAll('.chart')[0], {{'scene.camera': {turned}}}).then(() => 0)"
    )
    assert browser.until("document.querySelectorAll('.chart')[1].layout.scene.camera.eye.y", 2) == 2


# Everybody


# What axe-core is to look for: colours are those of a scheme, whatever the width, and take longest; what is
# no colour is the same in every scheme.
SHAPES = "rules: {'color-contrast': {enabled: false}}, "
COLOURS = "runOnly: ['color-contrast'], "


# Once all pictures that stand in the window are drawn.
SEEN = """(async () => {
  const isSeen = (el) => el.checkVisibility() && el.getBoundingClientRect().top < innerHeight;
  const wait = (ms) => new Promise((done) => setTimeout(done, ms));
  while (document.readyState !== "complete") await wait(20);
  const seen = [...document.querySelectorAll(".chart")].filter(isSeen);
  while (seen.some((el) => !el.querySelector(".plot-container, .error"))) await wait(20);
  await wait(200);
  return seen.length;
})()"""


def barriers(browser, axe, path, scheme, width=1400, only=""):
    """What axe-core finds serious or moderate in a page as it opens."""
    browser.open("about:blank")
    browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.call("Emulation.setDeviceMetricsOverride", **metrics)
    browser.open(path.as_uri())
    browser.run(SEEN)
    return violations(browser, axe, only)


def violations(browser, axe, only=""):
    browser.run(f"{axe};0")
    # It would write out the source of whatever stands behind a text, of the whole page again and again.
    browser.run("axe.configure({noHtml: true})")
    found = browser.run(
        f"axe.run(document, {{{only}resultTypes: ['violations'], preload: false}})"
        ".then(found => found.violations"
        ".filter(one => one.impact !== 'minor')"
        ".map(one => [one.impact, one.id, ...one.nodes.slice(0, 3)"
        ".map(node => document.querySelector(node.target[0]).outerHTML.slice(0, 200))]))"
    )
    browser.call("Emulation.setEmulatedMedia", features=[])
    return found


@pytest.mark.parametrize(("scheme", "only"), [("light", ""), ("dark", COLOURS)], ids=["light", "dark"])
def test_nobody_is_kept_out(browser, axe, report, linked, worded, scheme, only):
    """axe-core finds nothing serious or moderate, whether things are folded or not."""
    for path in (report, linked, worded):
        assert barriers(browser, axe, path, scheme, only=only) == []
        browser.call(
            "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}]
        )
        look(browser, path)
        browser.run("document.querySelectorAll('details').forEach(one => (one.open = true))")
        assert violations(browser, axe, only) == []


def test_what_keeps_people_out_is_found_in_either_scheme(browser, axe, flat):
    browser.open(flat.as_uri())
    browser.run(
        "document.querySelector('main').insertAdjacentHTML('beforeend', "
        "'<p style=\"color: #999; background: #aaa\">pale</p><input>')"
    )
    pale, unnamed = (
        ["serious", "color-contrast", '<p style="color: #999; background: #aaa">pale</p>'],
        ["critical", "label", "<input>"],
    )
    for only, found in (("", [pale, unnamed]), (COLOURS, [pale]), (SHAPES, [unnamed])):
        assert sorted(violations(browser, axe, only), reverse=True) == found


def test_the_methods_are_copied(browser, report):
    look(browser, report)
    buttons = "[...document.querySelectorAll('#methods .tools button')]"
    assert browser.run(f"{buttons}.map(one => one.textContent)") == ["Copy the text", "Copy BibTeX"]
    browser.run(f"{buttons}[1].click()")
    assert browser.until("window.embedlab.copied?.slice(0, 6)", "@misc{") == "@misc{"
    browser.run(f"{buttons}[0].click()")
    assert browser.until("window.embedlab.copied.includes('1 analysis ran')", True) is True


# The demo, as `make report` builds it

DEMO = Path(__file__).parents[2] / "reports" / "demo" / "index.html"
DRAWN = """(async () => {
  const open = [...document.querySelectorAll(".chart")].filter((el) => el.checkVisibility());
  for (const el of open) {
    el.scrollIntoView();
    while (!el.querySelector(".plot-container, .error")) await new Promise((done) => setTimeout(done, 50));
  }
  await new Promise((done) => setTimeout(done, 300));
  return open.length;
})()"""


@pytest.fixture
def demo():
    if not DEMO.is_file():
        pytest.skip("the demo report is not built: make report")
    return DEMO


def test_the_demo_is_read_in_twelve_screens_thirty_on_a_phone_and_few_pages(browser, demo):
    for width, height, screens in ((1100, 900, 12), (1400, 900, 12), (390, 844, 30)):
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        browser.call("Emulation.setDeviceMetricsOverride", **metrics)
        browser.open(demo.as_uri())
        # With the keys of the pictures that stand open, which come when somebody gets there.
        assert browser.run(DRAWN) > 0
        assert browser.run("document.documentElement.scrollHeight") <= screens * height, width
        assert browser.run("document.documentElement.scrollWidth") <= width
        assert pages(browser) <= 25
    # Three hundred people and 33 analyses.
    assert demo.stat().st_size <= 4_000_000


@pytest.mark.parametrize(
    ("scheme", "width", "only"),
    [("light", 1400, ""), ("dark", 1400, COLOURS), ("light", 390, SHAPES)],
    ids=["light", "dark", "phone"],
)
def test_nobody_is_kept_out_of_the_demo(browser, axe, demo, scheme, width, only):
    assert barriers(browser, axe, demo, scheme, width, only) == []
