"""A request opens the images it is about."""

from pathlib import Path

import pytest

from embedlab.commands import request
from embedlab.commands.request import Request
from embedlab.errors import UserError
from embedlab.lab.store import Lab


def test_no_data_named_is_none(tmp_path):
    assert request.given_data(Request(Lab(tmp_path))) is None


def test_a_data_set_that_is_not_drawn_is_named_with_those_that_are_before_any_is_drawn(tmp_path):
    lab = Lab(tmp_path / "lab")
    with pytest.raises(UserError, match=r"unknown probe 'lfw': .* are highres, highres_eval, lowres; images"):
        request.embedded_dataset(Request(lab), "lfw")
    assert not lab.root.exists()
    lab.data.mkdir(parents=True)
    (lab.data / "highres_ids.txt").write_text("")
    with pytest.raises(UserError, match=r"unknown probe 'lfw': the data sets in .* are highres"):
        request.embedded_dataset(Request(lab), "lfw")


FILES = {"a": Path("x/a.npy"), "b": Path("b.npz"), "c": Path("c.parquet")}


@pytest.mark.parametrize(
    ("words", "chosen"),
    [
        ({"items": ["l.csv"]}, ({"items": "l.csv"}, {"items": "l.csv"}, {})),
        ({"items": ["a=l.csv", "m.csv"]}, ({"items": "l.csv"}, {"items": "m.csv"}, {})),
        ({"items": ["c=l.csv"]}, ({}, {}, {"items": "l.csv"})),
        (
            {"item_column": ["p", "q", "c=r"]},
            ({"item_column": "q"}, {"item_column": "q"}, {"item_column": "r"}),
        ),
        ({"identity_column": ["x=y"]}, ({"identity_column": "x=y"},) * 3),
        ({"vector_column": ["a=x=y"]}, ({"vector_column": "x=y"}, {}, {})),
    ],
)
def test_words_are_for_one_file_or_for_all(words, chosen):
    assert tuple(request.reading_of(words, FILES, name) for name in "abc") == chosen


def test_a_list_of_items_may_have_any_name(tmp_path):
    (tmp_path / "a=b.csv").write_text("")
    word = str(tmp_path / "a=b.csv")
    assert request.reading_of({"items": [word]}, FILES, "a") == {"items": word}


@pytest.mark.parametrize(
    ("word", "files", "message"),
    [
        ("z=l.csv", FILES, "--items z=l.csv: there is no such file, .* is called 'z': there are a, b, c"),
        (
            "l.csv",
            {"c": Path("c.parquet")},
            "--items l.csv is for .npy and .npz files, and c.parquet names its",
        ),
    ],
)
def test_a_list_of_items_for_nobody_is_told(word, files, message):
    with pytest.raises(UserError, match=message):
        request.reading_of({"items": [word]}, files, "c")


def test_what_is_known_of_embedded_images_is_found_beside_them(tmp_path):
    asked = Request(lab=Lab(tmp_path))
    assert request.known_attributes(asked, "highres_eval") == ""
    asked.lab.data.mkdir(parents=True)
    (asked.lab.data / "highres_eval_attributes.csv").write_text("item,skin\ne0001/e0001_0001.png,light\n")
    assert request.known_attributes(asked, "highres_eval").endswith("highres_eval_attributes.csv")
    assert request.known_attributes(asked, "lowres") == ""
