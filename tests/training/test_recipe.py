"""Recipes are found, read at a scale, and wrong ones named."""

import ast
import inspect
import itertools
from dataclasses import replace
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


@pytest.mark.parametrize("name", ["lowres32", "lowres144", "highres32", "highres144", "highlow144"])
def test_full_scale_is_the_networks_and_the_heads_of_the_original_study(name):
    read = recipe.load(name)
    assert str(read.input_size) in name
    assert (read.backbone, read.head, read.schedule) == ("ir_se_18", "arcface", "cosine")
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


def test_a_smaller_scale_has_the_values_of_the_next_larger_one_but_its_own(tmp_path):
    small, demo = "[small]\nwidth = 16\nepochs = 4\n", "[demo]\nwidth = 8\n"
    for tables in (small + demo, demo + small):
        path = written(tmp_path, f'data = "a"\nwidth = 64\nepochs = 20\nbatch = 512\n{tables}')
        read = [recipe.load(path, scale) for scale in ("paper", "small", "demo")]
        assert [(one.width, one.epochs, one.batch) for one in read] == [
            (64, 20, 512),
            (16, 4, 512),
            (8, 4, 512),
        ]


@pytest.mark.parametrize("name", recipe.names())
def test_networks_of_small_scale_are_wider_than_the_demo_s_and_see_more(name):
    demo, small, paper = (recipe.load(name, scale) for scale in ("demo", "small", "paper"))
    assert demo.width <= small.width <= paper.width
    assert demo.batch < small.batch
    assert demo.epochs < small.epochs
    assert small.epoch_images in (0, 2 * demo.epoch_images)


def test_a_recipe_with_another_seed_differs_in_nothing_else():
    for scale in SCALES:
        again = recipe.load("lowres144_seed31", scale)
        assert again.seed == 31
        assert replace(again, seed=1) == recipe.load("lowres144", scale)
    assert recipe.known("lowres144_seed31")
    assert "lowres144_seed31" not in recipe.names()


@pytest.mark.parametrize("name", ["lowres99_seed3", "lowres144_seed", "lowres144_seedx", "_seed3"])
def test_what_only_looks_like_another_seed_is_no_recipe(name):
    assert not recipe.known(name)
    with pytest.raises(UserError, match=f"unknown recipe '{name}'"):
        recipe.load(name)


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
        ('data = "a"\n[demo]\nwidth = 0\n', r"mine.toml \[demo\]: width must be at least 1, not 0"),
        ('data = "a"\nlow = "always"\n', "low must be one of 'never'"),
        ("data = ", "cannot read recipe .*mine.toml"),
        ("seed = 1" + "0" * 5000, "cannot read recipe .*mine.toml: it is not valid TOML"),
        ("a = " + "[" * 20_000, "cannot read recipe .*mine.toml: it is not valid TOML"),
    ],
)
def test_a_wrong_file_is_named_with_what_is_wrong(tmp_path, text, said):
    with pytest.raises(UserError, match=said):
        recipe.load(written(tmp_path, text), "demo")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"cannot read recipe .*none.toml"):
        recipe.load(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"data": "a++b"}, "data must name data sets"),
        ({"input_size": 100}, "multiple of 16"),
        ({"stem": 3}, "stem must be 1, or 2 or 4 where the backbone is a residual network"),
        ({"stem": 2, "backbone": "mobilefacenet"}, "stem must be 1, or 2 or 4 where the backbone"),
        ({"low_exponents": "8+3"}, "low_exponents must be two numbers"),
        ({"low_exponents": "3"}, "low_exponents must be two numbers"),
        ({"low_exponents": "a+b"}, "low_exponents must be two numbers"),
        ({"low_exponents": "3+nan"}, "low_exponents must be two numbers"),
        ({"batch": 9, "per_identity": 2}, "per_identity must be 0, or divide batch"),
        ({"batch": 4, "per_identity": 4}, "per_identity must be 0, or divide batch into two people"),
        ({"octuplet": 1.0, "per_identity": 2}, 'octuplet needs low = "cross" and per_identity'),
        ({"octuplet": 1.0, "low": "cross"}, 'octuplet needs low = "cross" and per_identity'),
        ({"adversarial": 1.0}, 'adversarial needs images of several resolutions, low = "random" or "cross"'),
        ({"head": "derivenet", "low": "random"}, 'derivenet .* needs low = "cross" and sample_rate = 1'),
        ({"head": "derivenet", "low": "cross", "sample_rate": 0.5}, "derivenet .* needs low = "),
        ({"head": "derivenet", "low": "cross", "margin": 65.0}, "margin must be from 0 to 64, a factor"),
        ({"backbone": "vgg_16"}, "backbone must be one of ir_18, "),
        ({"head": "triplet"}, "head must be one of softmax, "),
        ({"margin": 2.0}, "margin must be from 0 to 1.5 radians"),
        ({"head": "softmax", "margin": 0.5}, "margin must be 0, as softmax has none"),
        ({"head": "cosface", "margin": 1.2}, "margin must be from 0 to 1, a cosine"),
        ({"head": "sphereface", "margin": 2.5}, "margin must be a whole number from 1 to 8"),
        ({"head": "magface", "margin": 0.9}, "margin_high must be from margin to 1.5"),
        ({"parts": "a"}, "parts must name two trained models or more"),
        ({"parts": "a++b"}, "parts must name two trained models or more"),
        ({"parts": "a+b", "initial": "c"}, "initial and parts exclude each other"),
        ({"fusion": "concatenate"}, "fusion and shrink need parts"),
        ({"shrink": "32+0"}, "fusion and shrink need parts"),
        ({"parts": "a+b", "shrink": "32"}, "shrink must be a whole number of pixels for each part"),
        ({"parts": "a+b", "shrink": "3.5+0"}, "shrink must be a whole number of pixels for each part"),
        ({"trained": "output"}, 'trained = "output" and "none" need initial or parts'),
        ({"milestones": "0.8+0.5"}, "milestones must be rising shares"),
        ({"milestones": "0.5+1.0"}, "milestones must be rising shares"),
        ({"milestones": ""}, "milestones must be rising shares"),
    ],
)
def test_a_value_that_breaks_a_rule_is_named(values, said):
    with pytest.raises(UserError, match=said):
        recipe.load("lowres144", "demo", values)


@pytest.mark.parametrize(
    "values",
    [
        {"parts": "a+b", "shrink": "36+0", "fusion": "concatenate", "trained": "none"},
        {"initial": "a", "trained": "output"},
        {"octuplet": 0.5, "low": "cross", "per_identity": 2, "batch": 32},
        {"adversarial": 0.5, "low": "random"},
        {"head": "derivenet", "low": "cross", "margin": 2.0},
        {"head": "sphereface", "margin": 4.0},
        {"head": "softmax", "margin": 0.0, "schedule": "multistep", "milestones": "0.5"},
    ],
)
def test_values_that_belong_together_are_taken(values):
    read = recipe.load("lowres144", "demo", values)
    assert all(getattr(read, name) == value for name, value in values.items())


def test_the_models_that_training_begins_from_are_listed():
    assert Recipe().models == ()
    assert Recipe(initial="a+b").models == ("a+b",)
    assert Recipe(parts="a + b").models == ("a", "b")


def test_recipes_come_with_the_package_as_files():
    folder = resources.files("embedlab.training") / "recipes"
    assert (folder / "lowres144.toml").is_file()


def test_every_value_has_a_docstring_under_it():
    body = ast.parse(inspect.getsource(Recipe)).body[0].body
    for field, after in itertools.pairwise(body):
        if isinstance(field, ast.AnnAssign):
            assert isinstance(after, ast.Expr), field.target.id


def test_a_title_is_told_without_torch():
    import subprocess
    import sys

    code = (
        "import sys\nfrom embedlab.training import recipe\n"
        "print(recipe.title('globe'), 'torch' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said == f"{recipe.load('globe').title} False\n"
