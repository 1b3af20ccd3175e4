"""Trainings find their data, come in order and run side by side."""

import numpy as np
import pytest
from PIL import Image

from embedlab import protocols, trainings
from embedlab.data.datasets import open_dataset
from embedlab.data.split import draw_pairs
from embedlab.errors import UserError
from embedlab.request import Request
from embedlab.store import Lab
from embedlab.training import recipe


@pytest.fixture
def request_(tmp_path):
    return Request(Lab(tmp_path / "lab"))


def test_a_data_set_that_a_recipe_needs_and_is_missing_is_told(request_, tmp_path):
    with pytest.raises(UserError, match="recipe lowres144 needs the data set 'lowres'"):
        trainings.train(Request(request_.lab, data=str(tmp_path)), "lowres144", {})


def test_full_scale_takes_longer_than_the_demo(request_):
    demo = trainings.rough_minutes(request_, recipe.load("lowres144", "demo"))
    paper = trainings.rough_minutes(Request(request_.lab, scale="paper"), recipe.load("lowres144", "paper"))
    assert 1 <= demo <= 15
    assert paper > 1000 * demo


def test_two_trainings_run_side_by_side_and_their_mistakes_are_told(request_, tmp_path, monkeypatch):
    import io

    from embedlab import compute, progress

    monkeypatch.setattr(trainings.os, "cpu_count", lambda: 2)
    monkeypatch.setattr(compute, "device", lambda: "cpu")
    said = io.StringIO()
    # A file in the place of the data folder stops both at once, each in a process of its own.
    request_.lab.root.mkdir()
    request_.lab.data.write_text("in the way")
    with progress.shown(said), pytest.raises(UserError, match="data"):
        trainings.train_all(request_, ["lowres144", "highlow144"])
    assert "embedlab: " in said.getvalue()


@pytest.fixture
def faces(tmp_path):
    """Make an identity folder; its people are called by its name."""

    def make(name, people=6, each=4):
        draw = np.random.default_rng(len(name))
        for person in range(people):
            for image in range(each):
                path = tmp_path / "mine" / name / f"{name}{person}" / f"{image}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(draw.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(path)
        return tmp_path / "mine" / name

    return make


@pytest.fixture
def caught(monkeypatch):
    """Catch what would be trained."""
    calls = []

    def train(lab, name, recipe, data, validating=None, **options):
        calls.append((name, data, validating))
        return lab.checkpoint(name)

    from embedlab.training import loop

    monkeypatch.setattr(loop, "train", train)
    return calls


def test_what_a_recipe_starts_from_or_fuses_comes_before_it(request_):
    assert trainings.needed(request_, ["fused_frozen"]) == [["lowres144", "lowres32"], ["fused_frozen"]]
    assert trainings.needed(request_, ["lowres144_ft_highres", "lowres144"]) == [
        ["lowres144"],
        ["lowres144_ft_highres"],
    ]


def test_what_the_lab_has_is_not_trained_again_for_another(request_):
    path = request_.lab.checkpoint("lowres144") / "model.json"
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    assert trainings.needed(request_, ["fused_frozen"]) == [["lowres32"], ["fused_frozen"]]


def test_a_model_that_nothing_makes_is_told(request_, monkeypatch):
    from dataclasses import replace

    load = recipe.load
    monkeypatch.setattr(recipe, "load", lambda *a, **k: replace(load(*a, **k), initial="nobody"))
    with pytest.raises(
        UserError, match="recipe lowres144 needs the model 'nobody'.*train or import it first"
    ):
        trainings.needed(request_, ["lowres144"])


def test_data_sets_are_found_by_the_names_of_the_recipe(request_, faces, caught, tmp_path):
    faces("lowres"), faces("highres")
    trainings.train(Request(request_.lab, data=str(tmp_path / "mine")), "highlow144", {})
    ((name, data, validating),) = caught
    assert (name, [one.name for one in data], validating) == ("highlow144", ["lowres", "highres"], None)


def test_one_data_set_stands_for_those_of_the_recipe(request_, faces, caught):
    trainings.train(Request(request_.lab, data=str(faces("friends"))), "highlow144", {}, name="mine")
    ((name, data, _),) = caught
    assert (name, [one.name for one in data]) == ("mine", ["friends"])


def test_validation_on_others_draws_its_pairs_or_reads_them(request_, faces, caught, tmp_path):
    data, others = Request(request_.lab, data=str(faces("friends"))), faces("strangers")
    trainings.train(data, "lowres144", {}, validation=str(others))
    pairs = draw_pairs(open_dataset(others), 5, seed=3)
    protocols.write(tmp_path / "pairs.csv", pairs)
    trainings.train(data, "lowres144", {}, validation=str(others), pairs=str(tmp_path / "pairs.csv"))
    drawn, read = (validating for _, _, validating in caught)
    assert drawn[0].name == read[0].name == "strangers"
    assert (drawn[1].same.sum(), read[1].a) == (6 * 6, pairs.a)


def test_validating_on_people_who_are_trained_on_is_refused(request_, faces, caught):
    friends = str(faces("friends"))
    with pytest.raises(UserError, match="6 people of friends are trained on.*--hold-out"):
        trainings.train(Request(request_.lab, data=friends), "lowres144", {}, validation=friends)


def test_pairs_without_images_are_refused(request_, faces, caught):
    with pytest.raises(UserError, match="p.csv holds pairs of images that were not given.*--validation"):
        trainings.train(Request(request_.lab, data=str(faces("friends"))), "lowres144", {}, pairs="p.csv")
