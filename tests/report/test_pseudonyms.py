"""Pseudonyms: no name of a person, an image or a folder is left in a result, and all agree."""

from dataclasses import dataclass

import numpy as np
import pytest

from embedlab.analysis import Analysis, Params, Result
from embedlab.report.pseudonyms import Pseudonyms, without_folders, without_paths
from embedlab.runner import Outcome, Run

OWNERS = [("zoe/1.png", "zoe"), ("ann/2.png", "ann"), ("ann/1.png", "ann"), ("7/1", "7")]
HIDDEN = Pseudonyms.of(OWNERS, ["net"])


@dataclass(frozen=True)
class Seen(Result):
    items: np.ndarray
    people: tuple[str, ...]
    rows: tuple[tuple[int, str, str], ...]
    shares: np.ndarray


def test_people_are_numbered_by_name_and_images_by_person():
    assert HIDDEN.name("7") == "person-001"
    assert HIDDEN.name("ann") == "person-002"
    assert HIDDEN.name("ann/2.png") == "person-002-02"
    assert HIDDEN.name("zoe/1.png") == "person-003-01"


def test_the_order_of_the_data_changes_no_name():
    assert Pseudonyms.of(reversed(OWNERS)).names == HIDDEN.names


def test_an_image_of_two_people_belongs_to_neither():
    both = Pseudonyms.of([("1", "a"), ("1", "b")])
    assert both.name("1") == "image-001"


def test_models_and_probes_keep_their_names():
    assert Pseudonyms.of([("1.png", "net")], ["net"]).name("net") == "net"


def test_every_text_of_a_result_is_renamed_and_no_number():
    seen = Seen("net", np.array(["zoe/1.png", "none"]), ("ann", "7"), ((7, "zoe", "7/1"),), np.arange(2.0))
    found = HIDDEN.result(seen)
    assert found.items.tolist() == ["person-003-01", "none"]
    assert found.people == ("person-002", "person-001")
    assert found.rows == ((7, "person-003", "person-001-01"),)
    np.testing.assert_array_equal(found.shares, seen.shares)


def test_names_between_colons_and_commas_are_renamed():
    assert HIDDEN.name("7: 7/1, faces@32") == "person-001: person-001-01, faces@32"


def test_running_text_loses_names_but_no_numbers():
    assert HIDDEN.text("7 images of ann (ann/2.png) and annabel") == (
        "7 images of person-002 (person-002-02) and annabel"
    )


def test_a_run_that_failed_names_nobody():
    run = Run("net", error="KeyError: 'zoe'", reason="ann has one image", caution="of zoe")
    outcome = Outcome(Analysis("?", "set", Params(), Seen, len, len, len), Params(), (run,))
    (found,) = HIDDEN.outcome(outcome).runs
    assert (found.error, found.reason) == ("KeyError: 'person-003'", "person-002 has one image")
    assert found.caution == "of person-003"


def test_pictures_are_found_by_pseudonym():
    asked = []
    HIDDEN.lookup(lambda probe, item: asked.append((probe, item)))("faces", "person-002-02")
    assert asked == [("faces", "ann/2.png")]


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("/home/jo/x/net.onnx", "net.onnx"),
        ('File "/work/lib/a.py", line 3', 'File "a.py", line 3'),
        ("C:\\Users\\jo\\net.onnx", "net.onnx"),
        ("/tmp/x.png", "x.png"),
        ("/m/0abc", "/m/0abc"),
        ("https://a.b/c/d/e", "https://a.b/c/d/e"),
        ("1/2 and/or 3/4/5", "1/2 and/or 3/4/5"),
        ("</b></i></u>", "</b></i></u>"),
    ],
)
def test_folders_are_left_out(text, left):
    assert without_paths(text) == left


def test_a_command_is_shown_without_folders():
    words = ["report", "--lab", "/a/b/lab", "--models", "x=/c/net.onnx", "y", "--out=out/r.html"]
    assert without_folders(words) == ["report", "--lab", "lab", "--models", "x=net.onnx", "y", "--out=r.html"]
