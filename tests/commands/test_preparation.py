import io
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from embedlab import progress
from embedlab.commands import cli, preparation, words
from embedlab.commands.preparation import Stages
from embedlab.commands.request import Request
from embedlab.errors import UserError
from embedlab.lab import embeddings
from embedlab.lab.store import Lab, made_name, write_json
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
    for kind in (words.Code, words.NetworkFile):
        monkeypatch.setattr(kind, "opened", lambda *_: SimpleNamespace(name="lowres144"))
    with pytest.raises(UserError, match=r"would be called 'lowres144', as a network .* rename it"):
        preparation.prepare(trained, Study((word,)))


# Networks whose weights alone are looked at

KERNELS = ("kernels", "layers")
NETWORKS = """
import torch
from embedlab.networks.backbones import build

def make(seed):
    torch.manual_seed(seed)
    network = build("ir_se_18", input_size=32, width=2, dimension=8)
    network.preprocessing = "raw01"
    return network

def a():
    return make(0)

def b():
    return make(1)

def function():
    return lambda images: images.reshape(len(images), -1)[:, :4].astype("float32")
function.preprocessing = {"size": 32}
"""


@pytest.fixture
def networks(tmp_path, monkeypatch):
    """Two networks as code, as state dicts, and as the lab's checkpoints, and a function."""
    import torch

    from embedlab.networks import imports

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (tmp_path / "two_nets.py").write_text(NETWORKS)
    monkeypatch.syspath_prepend(str(tmp_path))
    import two_nets

    for name in "ab":
        torch.save(getattr(two_nets, name)().state_dict(), f"{name}.pth")
        imports.import_backbone(Lab("other"), f"{name}.pth", name=name, preprocessing="raw01")
    yield {"code": ("two_nets:a", "two_nets:b"), "files": ("a.pth", "b.pth"), "both": ("two_nets:a", "b.pth")}
    sys.modules.pop("two_nets", None)


@pytest.mark.parametrize("kind", ["code", "files", "both"])
def test_weights_are_read_from_the_network_and_nothing_is_embedded(request_, networks, kind):
    asked = Study(networks[kind], analyses=KERNELS)
    settled = preparation.prepare(request_, asked).study
    for name, model in zip("ab", settled.models, strict=True):
        found, checkpoint = request_.lab.weights(model), Lab("other").weights(name)
        assert list(found.layers) == list(checkpoint.layers)
        for layer, kernels in checkpoint.layers.items():
            np.testing.assert_array_equal(found.layers[layer], kernels)
        assert (set(found.norms), set(found.slopes)) == (set(checkpoint.norms), set(checkpoint.slopes))
    assert not request_.lab.root.exists()


def test_kernels_of_live_networks_are_those_of_their_checkpoints(networks, capsys):
    few = ["--set", "shuffles=19", "resamples=20"]
    told = []
    for models, lab in ((("a.pth", "b.pth"), "empty"), (("a", "b"), "other")):
        assert cli.main(["run", "kernels", "--models", *models, "--lab", lab, *few]) == 0
        told.append(capsys.readouterr().out)
    assert told[0] == told[1]
    assert "first-layer kernels" in told[0]


def people_of_noise(folder, people=16, each=4):
    rng = np.random.default_rng(0)
    for p in range(people):
        (folder / f"p{p:02d}").mkdir(parents=True)
        for k in range(each):
            pixels = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"p{p:02d}" / f"{k}.png")
    return str(folder)


def test_networks_are_lent_with_images_to_whoever_asks_for_them(networks, tmp_path, capsys):
    few = ["--set", "shuffles=19", "resamples=20", "steps=1", "--data", people_of_noise(tmp_path / "faces")]
    told = []
    for models, status in (
        (("a.pth", "b.pth"), 0),
        (("a.pth",), 2),
        (("a.pth", "two_nets:function"), 2),
    ):
        assert cli.main(["run", "barrier", "--models", *models, "--lab", "empty", *few]) == status
        told.append("".join(capsys.readouterr()))
    assert "Halfway between a and b, channels matched, TAR is" in told[0]
    assert "barrier compares two models and a probe" in told[1]
    assert "two_nets_function is no network whose weights can be changed here" in told[2]


def test_vectors_alone_have_no_network_to_run(request_, networks, tmp_path):
    embeddings.write(tmp_path / "v.parquet", embedding_set(), {})
    with pytest.raises(
        UserError, match="there is no network v to be run on images of p: name a trained model"
    ):
        request_.lab.network("v", "p")


@pytest.mark.parametrize("models", [("two_nets:function", "a.pth"), ("v.parquet", "two_nets:a")])
def test_networks_without_weights_are_told_before_the_work(request_, networks, models):
    embeddings.write(request_.lab.root.parent / "v.parquet", embedding_set(), {})
    name = made_name(models[0].removesuffix(".parquet"), "")
    message = f"kernels and layers compare the weights of two networks, and of {name} there are none"
    with pytest.raises(UserError, match=message):
        preparation.prepare(request_, Study(models, analyses=KERNELS))
    assert not request_.lab.root.exists()


# Which probes


def stored(lab, model, *probes):
    for probe in probes:
        path = lab.embeddings_file(model, probe)
        path.parent.mkdir(parents=True, exist_ok=True)
        embeddings.write(path, embedding_set(model=model, probe=probe), {})


def settled(request_, *models, probes=(), analyses=("distances",)):
    said = io.StringIO()
    with progress.shown(said):
        found = preparation.prepare(request_, Study(models, tuple(probes), analyses)).study
    return found.probes, said.getvalue()


def test_of_stored_embeddings_the_native_and_32_pixels_are_taken_and_the_others_named(request_):
    stored(request_.lab, "m", "lfw", "lfw@8", "lfw@16", "lfw@32", "lfw@64")
    probes, said = settled(request_, "m")
    assert probes == ("lfw", "lfw@32")
    assert "probes: lfw, lfw@32 (stored as well: lfw@16, lfw@64, lfw@8; name them with --probes)" in said
    assert settled(request_, "m", probes=["lfw@8"]) == (("lfw@8",), "")


def test_all_are_taken_where_one_of_the_two_is_missing(request_):
    stored(request_.lab, "m", "lfw", "lfw@8", "sharp", "ijb@32")
    assert settled(request_, "m") == (("ijb@32", "lfw", "lfw@8", "sharp"), "")


def test_of_a_file_its_own_vectors_are_taken(request_, tmp_path):
    stored(request_.lab, "v", "lfw", "lfw@32")
    embeddings.write(tmp_path / "v.parquet", embedding_set(), {})
    assert settled(request_, str(tmp_path / "v.parquet"))[0] == ("imported",)


@pytest.mark.parametrize("analysing", [True, False])
@pytest.mark.parametrize("probes", [("typo",), ("lfw", "typo@32")])
def test_a_probe_that_nobody_has_is_told_with_those_there_are(request_, probes, analysing):
    stored(request_.lab, "m", "lfw", "lfw@8")
    stored(request_.lab, "n", "sharp")
    with pytest.raises(UserError, match="unknown probe 'typo.*stored are lfw, lfw@8 of m; sharp of n"):
        preparation.prepare(request_, Study(("m", "n"), probes, ("distances",)), analysing=analysing)


def test_a_probe_that_one_of_two_models_has_is_taken(request_):
    stored(request_.lab, "m", "lfw")
    stored(request_.lab, "n", "sharp")
    probes, said = settled(request_, "m", "n", probes=["lfw"])
    assert probes == ("lfw",)
    assert said == (
        "  n is only its embeddings, and has none of lfw: it has sharp, so it stands in no comparison\n"
    )


@pytest.mark.parametrize(
    ("analyses", "message"),
    [
        (
            ("registration",),
            r"registration compares two probes of one model or two models, and there is 1 model \(m\)",
        ),
        (("kernels",), "kernels compares the weights of two networks, and of m there are none"),
        (("restoration", "registration"), "restoration compares .*; registration compares"),
        (("structure",), "structure looks at the weights of networks, and of m there are none"),
        (("structure", "layers"), "structure and layers look at the weights of networks, and of m there"),
    ],
)
def test_analyses_that_have_nothing_to_run_on_are_told_before_the_work(request_, analyses, message):
    stored(request_.lab, "m", "lfw")
    with pytest.raises(UserError, match=message):
        settled(request_, "m", analyses=analyses)


# How files of vectors are read


def test_options_about_files_of_vectors_need_one(request_):
    stored(request_.lab, "m", "lfw")
    asked = Request(request_.lab, reading={"item_column": ["name"]})
    with pytest.raises(UserError, match="--item-column is about files of vectors, and no model is one"):
        preparation.prepare(asked, Study(("m",)))


def test_an_array_whose_items_nobody_names_is_told_before_the_work(request_, tmp_path):
    np.save(tmp_path / "v.npy", embedding_set().vectors)
    with pytest.raises(UserError, match=r"v.npy does not say whose vectors .* with --items"):
        preparation.prepare(request_, Study((str(tmp_path / "v.npy"),)))
    assert not request_.lab.root.exists()
