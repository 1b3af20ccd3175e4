"""Recipes are found, read at a scale, and wrong ones named."""

import ast
import inspect
import itertools
from importlib import resources

import pytest

from embedlab.errors import UserError
from embedlab.training import recipe
from embedlab.training.recipe import SCALES, Recipe


def written(tmp_path, text):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return path


def test_the_recipes_of_the_study_are_there():
    assert {"lowres32", "lowres144", "highres32", "highres144", "highlow144"} <= set(recipe.names())


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", recipe.names())
def test_every_recipe_reads_at_every_scale(name, scale):
    read = recipe.load(name, scale)
    assert read.title
    assert set(read.datasets) <= {"lowres", "highres"}
    assert str(read.input_size) in name


def test_full_scale_is_the_networks_and_the_heads_of_the_original_study():
    for name in recipe.names():
        read = recipe.load(name)
        assert (read.width, read.dimension, read.scale, read.margin) == (64, 128, 64.0, 0.5)
        assert (read.momentum, read.weight_decay, read.dropout) == (0.9, 5e-4, 0.4)
        assert not read.easy_margin


def test_a_scale_replaces_some_values_and_overrides_replace_both(tmp_path):
    path = written(
        tmp_path, 'data = "a + b"\nwidth = 32\nepochs = 9\nbatch = 8\n[demo]\nwidth = 4\nepochs = 2\n'
    )
    assert recipe.load(path).width == 32
    demo = recipe.load(path, "demo", {"epochs": "5"})
    assert (demo.width, demo.epochs, demo.batch) == (4, 5, 8)
    assert demo.datasets == ("a", "b")
    assert recipe.load(path, "small") == recipe.load(path)


def test_an_unknown_recipe_lists_those_that_are():
    with pytest.raises(UserError, match=r"unknown recipe 'lowres99': there are .*lowres144"):
        recipe.load("lowres99")


def test_an_unknown_scale_lists_those_that_are():
    with pytest.raises(UserError, match="unknown scale 'huge': choose one of demo, small, paper"):
        recipe.load("lowres144", "huge")


def test_an_unknown_table_lists_the_scales(tmp_path):
    with pytest.raises(UserError, match=r"unknown table \[tiny\]: scales are demo"):
        recipe.load(written(tmp_path, 'data = "a"\n[tiny]\nwidth = 1\n'))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('data = "a"\nwidht = 3\n', "unknown parameter .*mine.toml: widht"),
        ('data = "a"\n[demo]\nwidth = "wide"\n', r"mine.toml \[demo\]: width must be int"),
        ('data = "a"\nhead = "softmax"\n', "head must be one of 'arcface'"),
        ("data = ", "cannot read recipe .*mine.toml"),
    ],
)
def test_a_wrong_file_is_named_with_what_is_wrong(tmp_path, text, said):
    with pytest.raises(UserError, match=said):
        recipe.load(written(tmp_path, text), "demo")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"cannot read recipe .*none.toml"):
        recipe.load(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("data", "a++b", "data must name data sets"),
        ("input_size", 100, "multiple of 16"),
        ("width", 0, "width and dimension"),
        ("dropout", 1.0, "dropout must be"),
        ("scale", 0.0, "scale must be positive"),
        ("margin", 2.0, "margin must be"),
        ("epochs", 0, "epochs must be"),
        ("batch", 1, "batch must be"),
        ("learning_rate", 0.0, "learning_rate must be"),
        ("momentum", 1.0, "momentum must be"),
        ("clip", -1.0, "clip.*must not be negative"),
    ],
)
def test_a_value_out_of_range_is_named(name, value, said):
    with pytest.raises(UserError, match=said):
        recipe.load("lowres144", "demo", {name: value})


def test_recipes_come_with_the_package_as_files():
    folder = resources.files("embedlab.training") / "recipes"
    assert (folder / "lowres144.toml").is_file()


def test_every_value_has_a_docstring_under_it():
    body = ast.parse(inspect.getsource(Recipe)).body[0].body
    for field, after in itertools.pairwise(body):
        if isinstance(field, ast.AnnAssign):
            assert isinstance(after, ast.Expr), field.target.id
