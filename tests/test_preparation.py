from types import SimpleNamespace

import pytest

from embedlab import embeddings, preparation
from embedlab.errors import UserError
from embedlab.preparation import Stages
from embedlab.request import Request
from embedlab.store import Lab, write_json
from embedlab.study import Study
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


def test_stages_add_up_by_name():
    stages = Stages()
    for name in ("data", "training", "data"):
        with stages(name):
            pass
    assert list(stages.seconds) == ["data", "training"]
    assert stages.summary().startswith("data 0.0 s, training 0.0 s; 0.0 s in all")


@pytest.fixture
def trained(request_):
    """A lab with a network called lowres144, which nothing here opens."""
    folder = request_.lab.checkpoint("lowres144")
    write_json(folder / "model.json", {"recipe": {}, "identities_sha256": "x", "weights_sha256": "y"})
    return request_


@pytest.mark.parametrize("suffix", ["parquet", "csv", "npz", "npy"])
def test_vectors_may_not_take_the_name_of_a_network_of_the_lab(trained, tmp_path, suffix):
    path = tmp_path / f"lowres144.{suffix}"
    embeddings.write(path, embedding_set(), {})
    with pytest.raises(
        UserError, match=r"lowres144\.\w+ would be called 'lowres144', as a network"
    ) as caught:
        preparation.prepare(trained, Study((str(path),)))
    assert f"embedlab import {path} --model NAME" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert trained.lab.probes("lowres144") == []


@pytest.mark.parametrize("word", ["elsewhere/lowres144.onnx", "elsewhere/lowres144.pth", "lowres144:load"])
def test_no_network_from_elsewhere_may_take_it_either(trained, monkeypatch, word):
    monkeypatch.setattr(preparation, "_network", lambda *_: SimpleNamespace(name="lowres144"))
    with pytest.raises(UserError, match=r"would be called 'lowres144', as a network .* rename it"):
        preparation.prepare(trained, Study((word,)))
