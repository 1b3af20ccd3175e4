"""A checkpoint comes back as it was saved, or says in one line why it does not."""

import json
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from embedlab.errors import UserError
from embedlab.networks import checkpoints
from embedlab.networks.backbones import IRSE18
from embedlab.networks.checkpoints import Record
from embedlab.networks.embedder import PRESETS, Preprocessing
from embedlab.store import Lab


def network(seed: int = 0, size: int = 32, width: int = 2, dimension: int = 6) -> IRSE18:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return IRSE18(size, width, dimension)


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
    np.testing.assert_allclose(vectors, expected, atol=1e-5)
    assert (embedder.name, embedder.dimension, embedder.preprocessing.size) == ("tiny", 6, 32)


def test_one_image_embeds_as_it_does_in_a_batch(lab, faces):
    checkpoints.save(lab, network(), record())
    embedder = checkpoints.load(lab, "tiny")
    np.testing.assert_allclose(embedder.embed(faces[:1]), embedder.embed(faces)[:1], atol=1e-5)


def test_the_record_comes_back_equal_but_for_the_hash_of_the_weights(lab):
    checkpoints.save(lab, network(), record())
    back = checkpoints.read_record(lab, "tiny")
    assert back == record(weights_sha256=back.weights_sha256)
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


def wrapped(kind: str, state: dict) -> object:
    return {
        "bare": state,
        "state_dict": {"state_dict": state, "epoch": 3},
        "model": {"model": state},
        "module": OrderedDict((f"module.{key}", value) for key, value in state.items()),
    }[kind]


@pytest.mark.parametrize("kind", ["bare", "state_dict", "model", "module"])
def test_a_foreign_state_dict_loads_however_it_was_wrapped(tmp_path, faces, kind):
    torch.save(wrapped(kind, network(3, 48, 4, 10).state_dict()), tmp_path / "foreign.pth")
    embedder = checkpoints.load_pth(tmp_path / "foreign.pth", PRESETS["adaface"])
    assert (embedder.name, embedder.dimension, embedder.network.width) == ("foreign", 10, 4)
    assert embedder.preprocessing == PRESETS["adaface"].at(48)
    assert embedder.embed(np.zeros((2, 48, 48, 3), np.uint8)).shape == (2, 10)


def test_a_file_that_holds_code_is_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "was-run",))

    torch.save({"state_dict": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(UserError, match=r"evil.pth holds more than tensors.*save its state_dict"):
        checkpoints.load_pth(tmp_path / "evil.pth")
    assert not (tmp_path / "was-run").exists()


def test_a_whole_pickled_network_is_not_unpickled(tmp_path):
    torch.save(network(), tmp_path / "whole.pth")
    with pytest.raises(UserError, match="holds more than tensors"):
        checkpoints.load_pth(tmp_path / "whole.pth")


@pytest.mark.parametrize("content", [b"", b"not a checkpoint at all", b"PK\x03\x04 cut short"])
def test_a_file_that_is_no_checkpoint_says_so(tmp_path, content):
    (tmp_path / "bad.pth").write_bytes(content)
    with pytest.raises(UserError, match=r"bad\.pth"):
        checkpoints.load_pth(tmp_path / "bad.pth")


def test_a_missing_file_says_so(tmp_path):
    with pytest.raises(UserError, match=r"cannot read .*none.pth"):
        checkpoints.load_pth(tmp_path / "none.pth")


def test_a_file_of_other_things_holds_no_state_dict(tmp_path):
    torch.save({"epoch": 3}, tmp_path / "numbers.pth")
    with pytest.raises(UserError, match="holds no state dict of tensors"):
        checkpoints.load_pth(tmp_path / "numbers.pth")


def test_another_network_is_named_by_its_first_tensors(tmp_path):
    torch.save(torch.nn.Linear(2, 2).state_dict(), tmp_path / "linear.pth")
    with pytest.raises(UserError, match=r"is no IR-SE-18.*begins with weight, bias"):
        checkpoints.load_pth(tmp_path / "linear.pth")


def test_missing_unknown_and_misshapen_tensors_are_counted_and_named(tmp_path):
    state = dict(network().state_dict())
    del state["input_layer.1.weight"]
    state["extra.weight"] = torch.zeros(1)
    state["input_layer.2.weight"] = torch.zeros(5)
    torch.save(state, tmp_path / "odd.pth")
    with pytest.raises(
        UserError,
        match=r"1 missing \(input_layer.1.weight\); 1 unknown \(extra.weight\); "
        r"1 of another shape \(input_layer.2.weight\)",
    ):
        checkpoints.load_pth(tmp_path / "odd.pth")
