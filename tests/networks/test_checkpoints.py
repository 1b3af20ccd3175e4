"""A checkpoint comes back as it was saved, or says in one line why it does not."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from embedlab.errors import UserError
from embedlab.lab.store import Lab, sha256_of
from embedlab.networks import backbones, checkpoints, wiring
from embedlab.networks.checkpoints import Record
from embedlab.networks.embedder import Preprocessing
from embedlab.networks.fused import Fused
from tests.networks.drawn import built, images


def network(seed: int = 0, size: int = 32, width: int = 2, dimension: int = 6):
    return built("ir_se_18", seed, input_size=size, width=width, dimension=dimension)


def record(**changes) -> Record:
    made = Record(
        name="tiny",
        recipe={"epochs": 1},
        preprocessing=Preprocessing(32),
        data={"lowres": "abc"},
        identities=3,
        identities_sha256="def",
        images=9,
        unreadable=[{"item": "a.png", "reason": "broken"}],
        history=[{"epoch": 1, "loss": 2.5}],
        metrics={"loss": 2.5},
        seed=7,
        device="cpu",
        images_per_second=10.0,
        seconds=1.0,
        versions={"python": "3.11"},
    )
    return replace(made, **changes)


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


@pytest.fixture
def faces() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)


def test_a_loaded_model_gives_the_vectors_of_the_saved_one(lab, faces):
    saved = network()
    checkpoints.save(lab, saved, record())
    embedder = checkpoints.load(lab, "tiny")
    x = (torch.from_numpy(faces).permute(0, 3, 1, 2) - 127.5) / 127.5
    with torch.inference_mode():
        expected = saved.eval()(x).numpy()
    vectors = embedder.embed(faces)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, expected, rtol=1e-4, atol=1e-4)
    assert (embedder.name, embedder.dimension, embedder.preprocessing.size) == ("tiny", 6, 32)


def fused():
    parts = [
        built(name, input_size=size, width=2, dimension=3)
        for name, size in (("ir_18", 16), ("mobilefacenet", 32))
    ]
    return Fused(parts, "concatenate", (12, 0)).eval()


@pytest.mark.parametrize("name", [*backbones.NAMES, "fused"])
def test_every_network_comes_back_with_the_same_outputs(lab, name):
    saved = fused() if name == "fused" else built(name, input_size=32, width=2, dimension=6)
    checkpoints.save(lab, saved, record())
    loaded = checkpoints.load_network(lab, "tiny").eval()
    states = [list(network.state_dict().items()) for network in (loaded, saved)]
    assert all(a == b and torch.equal(x, y) for (a, x), (b, y) in zip(*states, strict=True))
    if not name.endswith("_100"):
        with torch.inference_mode():
            assert torch.equal(loaded(images(32, 1)), saved(images(32, 1)))
    layers = lab.weights("tiny").layers
    assert list(layers) == [n for n, m in saved.named_modules() if isinstance(m, torch.nn.Conv2d)]


def test_a_layout_of_another_source_comes_back(lab):
    saved = built("ir_18", input_size=32, width=2, inner_norm=True, first_shortcut="convolution")
    checkpoints.save(lab, saved, record())
    loaded = checkpoints.load_network(lab, "tiny").eval()
    with torch.inference_mode():
        assert torch.equal(loaded(images(32, 2)), saved(images(32, 2)))


def test_a_network_is_loaded_to_be_trained_on(lab):
    checkpoints.save(lab, network().requires_grad_(False), record())
    state = torch.get_rng_state()
    loaded = checkpoints.load_network(lab, "tiny")
    assert torch.equal(state, torch.get_rng_state())
    assert loaded.training
    assert all(
        p.requires_grad and p.device.type == "cpu" and p.dtype == torch.float32 for p in loaded.parameters()
    )


def test_older_records_without_a_network_are_of_ir_se_18(lab, faces):
    saved = network()
    folder = checkpoints.save(lab, saved, record())
    values = json.loads((folder / "model.json").read_text())
    assert values.pop("network")
    (folder / "model.json").write_text(json.dumps(values))
    assert checkpoints.read_record(lab, "tiny").network == {}
    loaded = checkpoints.load_network(lab, "tiny")
    assert backbones.describe(loaded) == backbones.describe(saved)
    assert all(torch.equal(a, b) for a, b in zip(loaded.parameters(), saved.parameters(), strict=True))
    assert checkpoints.load(lab, "tiny").embed(faces).shape == (5, 6)


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"backbone": "later"}, r"model.json: unknown backbone 'later'.*train the model again with"),
        ({"width": "two"}, r"model.json: this describes no network.*TypeError.*train the model again"),
        ({"dimension": 7}, r"not the network that model.json describes: 4 of another shape.*train the model"),
        ({"backbone": "ir_18"}, r"not the network.*unknown \(body.0.res_layer.5.fc1.weight"),
        ({"backbone": "mobilefacenet", "inner_norm": True}, "mobilefacenet has no layout"),
    ],
)
def test_a_record_that_describes_another_network_is_told(lab, changed, match):
    folder = checkpoints.save(lab, network(), record())
    values = json.loads((folder / "model.json").read_text())
    values["network"] |= changed
    (folder / "model.json").write_text(json.dumps(values))
    with pytest.raises(UserError, match=match):
        checkpoints.load(lab, "tiny")


def test_one_image_embeds_as_it_does_in_a_batch(lab, faces):
    checkpoints.save(lab, network(), record())
    embedder = checkpoints.load(lab, "tiny")
    np.testing.assert_allclose(embedder.embed(faces[:1]), embedder.embed(faces)[:1], rtol=1e-4, atol=1e-4)


def test_the_record_comes_back_equal_but_for_what_saving_adds(lab):
    saved = network()
    checkpoints.save(lab, saved, record())
    back = checkpoints.read_record(lab, "tiny")
    described = {"network": backbones.describe(saved), "wiring": wiring.described(saved)}
    assert back == record(weights_sha256=back.weights_sha256, **described)
    assert back.weights_sha256 == checkpoints.load(lab, "tiny").fingerprint


def test_equal_weights_give_equal_bytes_in_network_order(lab):
    checkpoints.save(lab, network(), record())
    checkpoints.save(lab, network(), record(name="again"))
    first, again = (lab.checkpoint(name) / "model.safetensors" for name in ("tiny", "again"))
    assert first.read_bytes() == again.read_bytes()
    names = list(lab.weights("tiny").layers)
    assert names[0] == "input_layer.0"
    assert names.index("body.2.res_layer.1") < names.index("body.2.res_layer.5.fc1")
    assert names == [n.removesuffix(".weight") for n, t in network().state_dict().items() if t.ndim == 4]


def test_a_model_that_is_not_there_is_named_with_those_that_are(lab):
    checkpoints.save(lab, network(), record())
    with pytest.raises(UserError, match=r"no checkpoint of model 'big'.*there are: tiny"):
        checkpoints.load(lab, "big")


def test_weights_of_one_training_and_the_record_of_another_are_refused(lab):
    checkpoints.save(lab, network(0), record())
    checkpoints.save(lab, network(1), record(name="other"))
    foreign = lab.checkpoint("other") / "model.safetensors"
    foreign.replace(lab.checkpoint("tiny") / "model.safetensors")
    with pytest.raises(UserError, match=r"not the file that model.json.*train the model again"):
        checkpoints.load(lab, "tiny")


def test_a_save_that_is_cut_short_leaves_no_model_rather_than_a_mixed_one(lab, monkeypatch):
    checkpoints.save(lab, network(0), record())

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoints, "write_json", killed)
    with pytest.raises(KeyboardInterrupt):
        checkpoints.save(lab, network(1), record())
    assert lab.trained() == []
    with pytest.raises(UserError, match="no checkpoint of model 'tiny'"):
        checkpoints.load(lab, "tiny")


def test_an_imported_model_is_to_be_imported_again(lab):
    folder = checkpoints.save(lab, network(), record(recipe={"imported": "theirs.pth"}))
    (folder / "model.safetensors").write_bytes(b"short")
    with pytest.raises(UserError, match="import theirs.pth --model .* --fresh"):
        checkpoints.load(lab, "tiny")


def test_a_truncated_weights_file_says_so(lab):
    folder = checkpoints.save(lab, network(), record())
    (folder / "model.safetensors").write_bytes(b"short")
    with pytest.raises(UserError, match=r"not the file that model.json"):
        checkpoints.load(lab, "tiny")
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"cannot read .*model.safetensors"):
        checkpoints.load(lab, "tiny")


@pytest.mark.parametrize("text", ["{", "[]", '{"schema": 1}', '{"schema": 1, "preprocessing": {}}'])
def test_a_broken_record_says_so(lab, text):
    folder = checkpoints.save(lab, network(), record())
    (folder / "model.json").write_text(text)
    with pytest.raises(UserError, match=r"model\.json"):
        checkpoints.load(lab, "tiny")


def test_a_record_of_a_later_layout_is_refused(lab):
    folder = checkpoints.save(lab, network(), record())
    values = json.loads((folder / "model.json").read_text()) | {"schema": 99}
    (folder / "model.json").write_text(json.dumps(values))
    with pytest.raises(UserError, match="layout 99"):
        checkpoints.load(lab, "tiny")


def test_a_record_of_another_input_size_is_refused(lab):
    checkpoints.save(lab, network(), record(preprocessing=Preprocessing(48)))
    with pytest.raises(UserError, match=r"takes images of 32 px, and model.json says 48"):
        checkpoints.load(lab, "tiny")


def test_an_older_record_beside_another_network_is_told(lab):
    folder = checkpoints.save(lab, built("mobilefacenet", input_size=32, width=2), record())
    values = json.loads((folder / "model.json").read_text()) | {"network": {}}
    (folder / "model.json").write_text(json.dumps(values))
    with pytest.raises(UserError, match=r"is no IR-SE-18.*begins with.*train the model again with"):
        checkpoints.load_network(lab, "tiny")


def test_missing_unknown_and_misshapen_tensors_are_counted_and_named(lab):
    folder = checkpoints.save(lab, network(), record())
    state = load_file(folder / "model.safetensors")
    del state["input_layer.1.weight"]
    state["extra.weight"] = torch.zeros(1)
    state["input_layer.2.weight"] = torch.zeros(5)
    save_file(state, folder / "model.safetensors")
    values = json.loads((folder / "model.json").read_text())
    values["weights_sha256"] = sha256_of(folder / "model.safetensors")
    (folder / "model.json").write_text(json.dumps(values))
    with pytest.raises(
        UserError,
        match=r"1 missing \(input_layer.1.weight\); 1 unknown \(extra.weight\); "
        r"1 of another shape \(input_layer.2.weight\); train the model again",
    ):
        checkpoints.load(lab, "tiny")
