"""What a reader accepts does not fail a build as long as it is what was read; a dispute is told."""

import dataclasses
import json
import time
import xml.etree.ElementTree as ET

import pytest

from embedlab.commands import cli
from embedlab.errors import UserError
from embedlab.report import gates, notes, past
from embedlab.report.gates import Gate
from embedlab.report.notes import Note
from tests.report.reports import written
from tests.report.test_browser import complaints, look, reported, violations

LOST = {"question": "recognition", "verdict": "no", "text": "It is worse."}


def report(path, noise, *answers):
    return past.read(written(path / "report.json", {"aster": noise}, answers=answers))


def on(answer, stance="accepted", text="new faces", **changes):
    note = Note(answer.question, answer.models, answer.kind, answer.fingerprint, stance, text)
    return dataclasses.replace(note, **changes)


@pytest.fixture
def two(tmp_path):
    return report(tmp_path / "old", 0.4), report(tmp_path / "new", 0.9, LOST)


def test_an_accepted_loss_does_not_fail(two):
    old, new = two
    assert gates.compare(old, new).status() == 1
    judged = gates.compare(old, new, notes=[on(new.answers[0])])
    assert judged.status() == 0
    assert {row.outcome for row in judged.rows} == {"accepted"}
    assert all(row.text.startswith("worse, and accepted (new faces): ") for row in judged.rows)
    assert "passed: 2 accepted" in gates.summary(judged)
    suite = ET.fromstring(gates.as_junit(judged))
    assert len(suite.findall(".//skipped")) == int(suite.get("skipped")) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"fingerprint": "0" * 16},
        {"subject": ("birch",)},
        {"kind": "other"},
        {"question": "sizes"},
    ],
)
def test_a_note_on_another_answer_does_not_apply_and_that_is_said(two, changes):
    old, new = two
    judged = gates.compare(old, new, notes=[on(new.answers[0], **changes)])
    assert judged.status() == 1
    assert any("is of another answer and does not apply" in one for one in judged.notes)


def test_what_an_answer_does_not_rest_on_is_not_accepted_with_it(tmp_path):
    old = report(tmp_path / "old", 0.4)
    for answer in ({**LOST, "question": "sphere"}, {**LOST, "question": "gone"}, {**LOST, "subject": []}):
        new = report(tmp_path / "new", 0.9, answer)
        assert gates.compare(old, new, notes=[on(new.answers[0])]).status() == 1


def test_any_number_of_an_answer_changes_its_fingerprint(tmp_path):
    found = [
        report(tmp_path / "r", 0.4, {**LOST, **more}).answers[0].fingerprint
        for more in ({}, {"matters": 0.02}, {"matters": 0.021}, {"text": "It is."}, {"evidence": {"a": 1}})
    ]
    assert len(set(found)) == len(found)
    assert found[0] == report(tmp_path / "again", 0.9, LOST).answers[0].fingerprint


def test_a_disputed_answer_is_told_and_still_fails(two):
    old, new = two
    judged = gates.compare(old, new, notes=[on(new.answers[0], "disputed")])
    assert judged.status() == 1
    assert "disputed: recognition, aster (points): It is worse. (new faces)" in judged.notes


def test_an_accepted_hazard_and_verdict_pass_and_limits_of_numbers_hold(tmp_path):
    new = report(tmp_path, 0.9, {"verdict": "yes", "hazard": True})
    asked = [Gate(question="sizes", verdicts=("no",)), Gate(no_hazards=True)]
    limit = Gate(measure="verification:AUC", at_most=0.5)
    accepted = [on(new.answers[0])]
    assert gates.check(new, asked).status() == 1
    judged = gates.check(new, asked, accepted)
    assert [row.outcome for row in judged.rows] == ["accepted", "accepted"]
    assert judged.status(unproven=True) == 0
    assert gates.check(new, [*asked, limit], accepted).status() == 1


GOOD = {"question": "q", "subject": ["m"], "kind": "", "fingerprint": "f", "stance": "accepted", "text": ""}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "3",
        "[" * 100_000,
        json.dumps({"schema": 2, "notes": []}),
        json.dumps({"schema": 1}),
        json.dumps({"schema": 1, "notes": [3]}),
        *(
            json.dumps({"schema": 1, "notes": [GOOD | bad]})
            for bad in (
                {"stance": "maybe"},
                {"stance": []},
                {"subject": "m"},
                {"subject": [1]},
                {"text": None},
            )
        ),
        json.dumps({"schema": 1, "notes": [GOOD, GOOD | {"stance": "disputed"}]}),
    ],
)
def test_what_is_no_file_of_notes_is_told_in_a_line(tmp_path, text):
    path = tmp_path / "notes.json"
    path.write_text(text)
    with pytest.raises(UserError) as told:
        notes.read(path)
    assert "\n" not in str(told.value)


def test_a_reader_s_words_are_one_line_and_no_markup(tmp_path, two):
    path = tmp_path / "notes.json"
    path.write_text(json.dumps({"schema": 1, "notes": [GOOD | {"text": "a\n\x1b[31m <b>| `c`"}]}))
    (note,) = notes.read(path)
    assert note.text == "a [31m <b>| `c`"
    old, new = two
    text = gates.as_markdown(gates.compare(old, new, notes=[on(new.answers[0], text=note.text)]))
    assert "<b>" not in text
    assert all(line.count("|") == 4 for line in text.splitlines() if line.startswith("|"))


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return reported(tmp_path_factory.mktemp("lab"), 2, (16,), ("verification", "resolution"))


LINE = "document.querySelector('#answer-recognition .noting')"


def test_notes_made_in_the_page_are_saved_read_by_check_and_opened_again(
    browser, axe, page, tmp_path, capsys
):
    look(browser, page)
    browser.call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    save = "document.querySelector('.notes button')"
    assert browser.run(f"{save}.disabled") is True
    # By the keyboard alone: open the note, accept, say why.
    browser.run(f"{LINE}.querySelector('summary').focus()")
    for key, code, text in (("Enter", 13, "\r"), ("Tab", 9, ""), ("Enter", 13, "\r"), ("Tab", 9, "")):
        for kind in ("keyDown", "keyUp"):
            typed = {"text": text} if text and kind == "keyDown" else {}
            browser.call(
                "Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **typed
            )
    browser.run(f"{LINE}.querySelector('textarea').focus()")
    browser.call("Input.insertText", text="they <b>wore</b> masks")
    assert browser.run(f"{LINE}.querySelector('button').getAttribute('aria-pressed')") == "true"
    told = "document.querySelector('#answer-recognition .reader').textContent"
    said = "Accepted by a reader: they <b>wore</b> masks"
    assert browser.until(told, said) == said
    assert browser.run(f"{save}.textContent") == "Save notes (1)"
    assert violations(browser, axe) == []
    browser.run(f"{save}.click()")
    path = tmp_path / "notes.json"
    for _ in range(50):
        if path.is_file():
            break
        time.sleep(0.1)
    new = past.read(page.with_name("report.json"))
    answered = {(one.question, one.fingerprint) for one in new.answers}
    found = notes.read(path)
    assert {note.text for note in found} == {"they <b>wore</b> masks"}
    assert {(note.question, note.fingerprint) for note in found} <= answered

    asked = tmp_path / "gates.toml"
    verdict = next(one.verdict for one in new.answers if one.question == "recognition")
    asked.write_text(
        f'[[gate]]\nquestion = "recognition"\nverdict = "{"no" if verdict != "no" else "yes"}"\n'
    )
    words = ["check", str(page.parent), "--gates", str(asked)]
    assert cli.main(words) == 1
    assert cli.main([*words, "--notes", str(path)]) == 0
    assert "and accepted (they <b>wore</b> masks)" in capsys.readouterr().out

    look(browser, page)
    other = json.loads(path.read_text())["notes"][0] | {"fingerprint": "0" * 16}
    whole = json.loads(path.read_text())
    whole["notes"].append(other)
    browser.run(f"window.embedlab.notes.load({json.dumps(json.dumps(whole))})")
    said = browser.run("document.querySelector('.notes output').textContent")
    assert said.startswith(f"{len(found)} of {len(found) + 1} notes are of answers of this report;")
    assert browser.run("window.embedlab.notes.written().notes.length") == len(found)
    browser.run("window.embedlab.notes.load('[]')")
    assert "no reader's notes" in browser.run("document.querySelector('.notes output').textContent")
    assert complaints(browser) == []


def test_a_note_is_printed_and_its_tools_are_not(browser, page):
    look(browser, page)
    browser.run(f"{LINE}.open = true; {LINE}.querySelector('button').click()")
    browser.call("Emulation.setEmulatedMedia", media="print")
    seen = browser.run(
        "['.reader:not([hidden])', '.noting', '.notes'].map(one => "
        "document.querySelector('#answers ' + one).getClientRects().length > 0)"
    )
    assert seen == [True, False, False]
