"""A report of speakers speaks of speakers: on its page, in its charts, numbers, terminal and paper."""

import json
import re

import pytest

from embedlab import analysis, examples, question
from embedlab.errors import UserError
from embedlab.report.show import report_of
from embedlab.study import read
from embedlab.wording import said, speaking

WORDS = {"identity": "speaker", "item": "utterance", "sharp": "clean", "blurred": "noisy", "blur": "noise"}
FACE = re.compile(
    r"(?<![\w@/&#.-])(faces?|persons?|people|images?|photo(?:graph)?s?|sharp|blurr?(?:ed)?)(?![\w@/])", re.I
)
# These draw every kind of chart and take a second each.
ANALYSES = (
    "verification",
    "distances",
    "confusions",
    "audit",
    "displacement",
    "encoding",
    "components",
    "geometry",
)
READ_OUT = re.compile(r'\b(?:aria-label|alt|title|placeholder|data-find|data-items?)="([^"]*)"')
SMALL = {"people": 14, "images": 4, "dimension": 8}


def face_words(text):
    return [text[max(0, m.start() - 40) : m.end() + 40] for m in FACE.finditer(text)]


def texts(value):
    """Every text within plain values, but for keys and what says how a chart is drawn."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from () if key in ("type", "what", "where") else texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from texts(one)


@pytest.fixture(scope="module")
def spoken(tmp_path_factory):
    sets = [
        examples.planted(model, probe, noise, **SMALL)
        for model in ("wave", "mel")
        for probe, noise in (("clean", 0.4), ("noisy", 0.9))
    ]
    page = tmp_path_factory.mktemp("spoken") / "index.html"
    found = report_of(sets, page, analyses=ANALYSES, words=WORDS)
    return found, page.read_text("utf-8"), json.loads(page.with_name("report.json").read_text("utf-8"))


def test_no_face_is_left_on_the_page(spoken):
    _, page, _ = spoken
    body = re.sub(r"<(script|style|code|pre)\b.*?</\1>|<div data-as-written>.*?</div>", " ", page, flags=re.S)
    assert "speakers" in body
    assert face_words(re.sub(r"<[^>]*>", "\n", body)) == []
    assert [found for text in READ_OUT.findall(body) for found in face_words(text)] == []


def test_no_face_is_left_in_charts(spoken):
    _, page, _ = spoken
    charts = re.findall(r'<script type="application/json" id="chart[^>]*>(.*?)</script>', page, re.S)
    assert len(charts) > len(ANALYSES)
    assert [found for one in charts for text in texts(json.loads(one)) for found in face_words(text)] == []
    assert any("utterance" in one for one in charts)


def test_no_face_is_left_in_what_the_numbers_and_answers_say(spoken):
    answers, _, numbers = spoken
    said_of = list(numbers["answers"])
    for section in numbers["sections"]:
        said_of += [section["question"], section["findings"], section["cautions"]]
        said_of += [[table["title"], table["columns"]] for table in section["tables"]]
        said_of += [[run["reason"], run["caution"]] for run in section["runs"]]
    said_of.append(numbers["methods"]["text"])
    assert [found for text in texts(said_of) for found in face_words(text)] == []
    assert face_words(str(answers)) == []
    assert face_words(re.sub(r"<style>.*?</style>", "", answers._repr_html_())) == []
    assert "speaker" in str(answers)


@pytest.mark.parametrize("name", sorted(analysis.names()))
def test_no_face_is_left_in_what_an_analysis_says_of_itself(name):
    one = analysis.get(name)
    with speaking(WORDS):
        told = said(one.doc.partition("References\n")[0]), said(one.question)
    assert [found for text in told for found in face_words(re.sub(r"``.*?``", "", text))] == []


def test_no_face_is_left_in_questions():
    with speaking(WORDS):
        asked = [said(question.get(name).text) for name in question.names()]
    assert [found for text in asked for found in face_words(text)] == []


def test_keys_by_which_programs_find_numbers_stay(spoken):
    _, _, numbers = spoken
    (section,) = (one for one in numbers["sections"] if one["name"] == "distances")
    assert "effective number of people" in {one["what"] for one in section["estimates"]}


def test_a_study_names_its_words(tmp_path):
    path = tmp_path / "voices.toml"
    path.write_text('models = ["a"]\nwords = { identity = "speaker", item = "utterance" }\n')
    assert read(path).words == {"identity": "speaker", "item": "utterance"}
    for wrong, why in (
        ('words = "speaker"', "words must be a table"),
        ('words = { who = "speaker" }', "unknown word 'who': a study may name identity"),
        ("words = { item = 3 }", "item must be a word"),
    ):
        path.write_text(f'models = ["a"]\n{wrong}\n')
        with pytest.raises(UserError, match=why):
            read(path)
