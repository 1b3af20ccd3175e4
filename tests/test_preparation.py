import pytest

from embedlab import embeddings, preparation
from embedlab.errors import UserError
from embedlab.preparation import Request, Stages
from embedlab.store import Lab
from embedlab.study import Study
from embedlab.training import recipe
from tests.planted import embedding_set


@pytest.fixture
def request_(tmp_path):
    return Request(Lab(tmp_path / "lab"))


def test_a_model_of_embeddings_needs_no_data(request_, tmp_path):
    for name in ("a", "b"):
        embeddings.write(tmp_path / f"{name}.parquet", embedding_set(model=name), {})
    words = tuple(str(tmp_path / f"{name}.parquet") for name in ("a", "b"))
    prepared = preparation.prepare(request_, Study(words))
    assert prepared.study.models == ("a", "b")
    assert prepared.study.probes == ("imported",)
    assert not request_.lab.data.exists()


def test_a_file_name_that_is_no_model_name_becomes_one(request_, tmp_path):
    path = tmp_path / "my vectors (1).parquet"
    embeddings.write(path, embedding_set(), {})
    assert preparation.prepare(request_, Study((str(path),))).study.models == ("my_vectors_1_",)


def test_a_missing_file_of_embeddings_is_told(request_):
    with pytest.raises(UserError, match=r"no.parquet does not exist"):
        preparation.prepare(request_, Study(("no.parquet",)))


def test_what_cannot_be_made_is_told_before_anything_is_made(request_):
    with pytest.raises(UserError, match="unknown model 'nobody'"):
        preparation.prepare(Request(request_.lab, train=True), Study(("lowres144", "nobody")))
    assert not request_.lab.root.exists()


def test_a_data_set_that_a_recipe_needs_and_is_missing_is_told(request_, tmp_path):
    with pytest.raises(UserError, match="recipe lowres144 needs the data set 'lowres'"):
        preparation.train(Request(request_.lab, data=str(tmp_path)), "lowres144", {})


def test_full_scale_takes_longer_than_the_demo(request_):
    demo = preparation.rough_minutes(request_, recipe.load("lowres144", "demo"))
    paper = preparation.rough_minutes(Request(request_.lab, scale="paper"), recipe.load("lowres144", "paper"))
    assert 1 <= demo <= 15
    assert paper > 1000 * demo


def test_stages_add_up_by_name():
    stages = Stages()
    for name in ("data", "training", "data"):
        with stages(name):
            pass
    assert list(stages.seconds) == ["data", "training"]
    assert stages.summary().startswith("data 0.0 s, training 0.0 s; 0.0 s in all")


def test_two_trainings_run_side_by_side_and_their_mistakes_are_told(request_, tmp_path, monkeypatch):
    import io

    from embedlab import compute, progress

    monkeypatch.setattr(preparation.os, "cpu_count", lambda: 2)
    monkeypatch.setattr(compute, "device", lambda: "cpu")
    said = io.StringIO()
    # A file in the place of the data folder stops both at once, each in a process of its own.
    request_.lab.root.mkdir()
    request_.lab.data.write_text("in the way")
    with progress.shown(said), pytest.raises(UserError, match="data"):
        preparation.train_all(request_, ["lowres144", "highlow144"])
    assert "embedlab: " in said.getvalue()
