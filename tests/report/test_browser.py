"""A report opened from disk in a browser draws every chart, says no error and asks for nothing."""

import dataclasses

import numpy as np
import pytest

from embedlab.charts import Face, Faces, Table, faces_from
from embedlab.report import Section, build


@pytest.fixture
def report(tmp_path, outcome, evil):
    return build(
        tmp_path / "index.html",
        title=f"Cheese {evil}",
        outcomes=[outcome],
        models=["brie", "gouda"],
        provenance={"Run": [("name", evil)]},
        prose=evil,
    )


@pytest.fixture
def flat(tmp_path, cheese, outcome):
    """A report without 3-D charts, which are slow to draw where there is no graphics card."""
    charts = tuple(chart for chart in cheese.charts(outcome.results) if chart.projection is None)
    section = Section("flat", "How does it look?", charts=charts)
    return build(
        tmp_path / "flat.html", title="Flat", outcomes=[], models=["brie"], provenance={}, extra=[section]
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
    browser.call("Emulation.setEmulatedMedia", features=[])
    assert found == ["rgb(255, 255, 255)", "rgb(24, 27, 30)"]


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
    assert look(browser, path) == {"charts": 9, "drawn": 9, "failures": []}
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
