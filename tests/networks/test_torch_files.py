"""The state dict is found whatever it is saved under, and what is none says what it is."""

import io
import os
import pickle
import re
import tarfile
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import save_file

from embedlab.errors import UserError
from embedlab.networks import imports, torch_files
from embedlab.networks.torch_files import read
from tests.networks import published


def state(seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return published.shaped("iresnet", width=8).state_dict()


PLAIN, OTHER = state(0), state(1)


def under(prefix, tensors):
    return {prefix + key: value for key, value in tensors.items()}


def saved(path, content):
    torch.save(content, path)
    return path


def taken(found):
    """Say which of the two networks was taken."""
    whole = {key.removeprefix(found.prefix): value for key, value in found.state.items()}
    return next(name for name, one in (("plain", PLAIN), ("other", OTHER)) if torch.equal(
        whole["fc.weight"], one["fc.weight"]
    ))  # fmt: skip


CHOICES = [
    ({"model": PLAIN, "model_ema": OTHER}, "of 'model', 'model_ema' the first was taken"),
    ({"state_dict_ema": OTHER, "state_dict": PLAIN}, "of 'state_dict', 'state_dict_ema' the first was taken"),
    (
        {"ema_state_dict": OTHER, "model_state_dict": PLAIN},
        "of 'model_state_dict', 'ema_state_dict' the first",
    ),
    ({"params": PLAIN, "params_ema": OTHER}, "of 'params', 'params_ema' the first was taken"),
    ({"ema": {"module": OTHER}, "net": PLAIN}, "of 'net', 'ema/module' the first was taken"),
    (
        {**under("backbone.", PLAIN), **under("backbone_ema.", OTHER)},
        "of 'backbone.', 'backbone_ema.' the fir",
    ),
    ({**under("ema.module.", OTHER), **under("module.", PLAIN)}, "of 'module.', 'ema.module.' the first"),
    ({"backbone": PLAIN, "previous": OTHER}, "of 'backbone', 'previous' the first was taken"),
    ({"model": {"state_dict": PLAIN}, "epoch": 3}, ""),
    ({"weights": PLAIN, "epoch": 3}, "taken from 'weights'"),
    ({"model": {"lr": 0.1}, "network": PLAIN}, ""),
    ({"generator": {"module": under("net.", PLAIN)}}, "taken from 'generator/module'"),
    ({**under("module.", PLAIN), "epoch": 3}, ""),
    ({"net": PLAIN, "optimizer": {"exp_avg": OTHER}}, ""),
    ({"weights": PLAIN, "optim_state": {"exp_avg": OTHER}}, "taken from 'weights'"),
    ({**under("module.", PLAIN), "n_averaged": torch.tensor(3)}, ""),
]


@pytest.mark.parametrize(("content", "said"), CHOICES)
def test_of_several_networks_the_plain_one_is_taken_and_all_are_named(tmp_path, content, said):
    found = read(saved(tmp_path / "a.pth", content))
    assert taken(found) == "plain"
    assert found.note.startswith(said)
    assert bool(found.note) == bool(said)


def test_an_average_alone_is_taken(tmp_path):
    found = read(saved(tmp_path / "a.pth", {"state_dict_ema": PLAIN}))
    assert (taken(found), found.note) == ("plain", "taken from 'state_dict_ema'")


@pytest.mark.parametrize(
    ("content", "names"),
    [
        ({"encoder_q": PLAIN, "encoder_k": OTHER}, "'encoder_q', 'encoder_k'"),
        ({**under("student.", PLAIN), **under("teacher.", OTHER)}, "'student.', 'teacher.'"),
        ({"model": {**under("a.", PLAIN), **under("b.", OTHER)}}, "'model/a.', 'model/b.'"),
    ],
)
def test_of_two_that_are_as_good_none_is_taken(tmp_path, content, names):
    with pytest.raises(UserError, match=f"holds several networks, under {names}: save the state dict of one"):
        read(saved(tmp_path / "a.pth", content))


def test_what_was_taken_is_in_the_words_of_an_import(tmp_path):
    found = imports.read(saved(tmp_path / "a.pth", {"model": PLAIN, "model_ema": OTHER}))
    assert "of 'model', 'model_ema' the first was taken" in found.words


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            {"model": {"conv.weight": torch.zeros(3)}, "epoch": 1},
            r"is no network .*under its keys model, epoch",
        ),
        ({"conv.weight": torch.zeros(3)}, r"is no network of a known layout .*: it begins with conv.weight;"),
        ({"epoch": 3, "lr": 0.1}, "holds no state dict of tensors, but keys epoch, lr"),
        ([1, 2], "holds no state dict of tensors, but a list"),
        (torch.zeros(3), "holds no state dict of tensors, but a Tensor"),
        ({}, "holds no state dict of tensors"),
    ],
)
def test_what_holds_no_known_network_says_what_it_holds(tmp_path, content, said):
    with pytest.raises(UserError, match=said):
        read(saved(tmp_path / "a.pth", content))


def test_a_file_that_holds_itself_is_read_in_no_time(tmp_path):
    content = {"weights": PLAIN}
    content |= {str(k): content for k in range(2000)}
    assert taken(read(saved(tmp_path / "a.pth", content))) == "plain"


@pytest.mark.parametrize("name", ["x" * 300 + ".pth", "loop.pth", "pipe.pth", "folder.pth", "gone.pth"])
def test_what_is_no_file_is_one_line(tmp_path, name):
    (tmp_path / "loop.pth").symlink_to(tmp_path / "loop.pth")
    os.mkfifo(tmp_path / "pipe.pth")
    (tmp_path / "folder.pth").mkdir()
    with pytest.raises(UserError, match="there is no model file|cannot read .*: File name too long"):
        read(tmp_path / name)


def test_a_file_that_may_not_be_read_gives_the_systems_reason(tmp_path, monkeypatch):
    path = saved(tmp_path / "a.pth", PLAIN)

    def refused(self, *_, **__):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(type(path), "open", refused)
    with pytest.raises(UserError, match=r"cannot read .*a\.pth: Permission denied"):
        read(path)


# Other kinds of numbers


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_float32(tmp_path, kind):
    other = {key: value.to(kind) if value.is_floating_point() else value for key, value in PLAIN.items()}
    ours = imports.read(saved(tmp_path / "a.pth", other)).network.state_dict()
    assert all(value.dtype == torch.float32 for value in ours.values() if value.is_floating_point())
    np.testing.assert_array_equal(ours["output_layer.3.weight"].numpy(), other["fc.weight"].float().numpy())


@pytest.mark.parametrize("kind", [torch.int8, torch.complex64])
def test_weights_of_other_numbers_are_not_taken_for_fractions(tmp_path, kind):
    other = {**PLAIN, "fc.weight": PLAIN["fc.weight"].to(kind)}
    with pytest.raises(UserError, match=r"1 of whole or complex numbers \(fc.weight\)"):
        imports.read(saved(tmp_path / "a.pth", other))


def test_numbers_too_large_for_float32_are_named(tmp_path):
    other = {key: value.double() if value.is_floating_point() else value for key, value in PLAIN.items()}
    other["fc.bias"] = other["fc.bias"] + 1e300
    with pytest.raises(UserError, match=r"1 not finite \(fc.bias\)"):
        imports.read(saved(tmp_path / "a.pth", other))


def whole_numbers(tensor):
    return torch.quantize_per_tensor(tensor, 0.1, 0, torch.qint8)


@pytest.mark.filterwarnings("ignore:.*quant.*")
@pytest.mark.parametrize(
    "content",
    [
        {**PLAIN, "layer1.0.conv1.weight": 0},
        {"conv.weight": 0, "conv.scale": torch.ones(1), "conv.zero_point": torch.zeros(1)},
        {"fc._packed_params.dtype": torch.qint8, "fc._packed_params._packed_params": (0, torch.ones(2))},
        {"state_dict": {"fc.scale": torch.ones(1), "fc._packed_params._packed_params": (0, None)}},
    ],
)
def test_a_quantised_network_is_one_clear_line(tmp_path, content):
    def filled(value):
        if isinstance(value, dict):
            return {key: filled(one) for key, one in value.items()}
        if isinstance(value, tuple):
            return tuple(map(filled, value))
        return whole_numbers(PLAIN["layer1.0.conv1.weight"]) if isinstance(value, int) else value

    with pytest.raises(UserError, match="is of a quantised network, .*or export it to ONNX$"):
        imports.read(saved(tmp_path / "q.pth", filled(content)))


# What is no PyTorch file


def a_tar():
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("x"), io.BytesIO())
    return file.getvalue()


def an_onnx():
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    x, y = (onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in "xy")
    return onnx.helper.make_model(onnx.helper.make_graph([node], "g", [x], [y])).SerializeToString()


OTHERS = {
    "empty": (b"", "an empty file: fetch it again"),
    "pointer": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:4d\n",
        "a Git LFS pointer, .*lfs pull",
    ),
    "page": (b"<!DOCTYPE html><html><title>Virus scan warning</title></html>", "a web page, not a file"),
    "json": (b'{"message": "Not Found"}', "a file of JSON"),
    "tar": (a_tar(), "a tar archive: unpack it"),
    "gzip": (b"\x1f\x8b\x08\x00" + bytes(20), "a file packed with gzip: unpack it"),
    "cut": (b"PK\x03\x04 cut short", "a zip archive that is cut short: fetch it again"),
    "onnx": (an_onnx(), "an ONNX network: call it .onnx"),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(20), "an HDF5 file"),
}


@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize("suffix", torch_files.TORCH_SUFFIXES)
def test_what_is_no_pytorch_file_says_what_it_is(tmp_path, kind, suffix):
    content, said = OTHERS[kind]
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    with pytest.raises(UserError, match=f"is no PyTorch file, but {said}") as caught:
        read(path)
    assert "weights_only" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"hello", bytes(100), pickle.dumps({"a": 1}), pickle.dumps({"a": 1}, protocol=0)]
)
def test_unknown_bytes_are_never_advised_to_be_unpickled(tmp_path, content):
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(
        UserError, match=r"cannot read .*it does not begin as torch.save writes one"
    ) as caught:
        read(tmp_path / "a.pth")
    assert "weights_only" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".safetensors"])
def test_a_file_is_read_as_what_it_is_whatever_it_is_called(tmp_path, suffix):
    save_file({key: value.contiguous() for key, value in PLAIN.items()}, tmp_path / f"a{suffix}")
    assert taken(read(tmp_path / f"a{suffix}")) == "plain"
    saved(tmp_path / f"b{suffix}", PLAIN)
    assert taken(read(tmp_path / f"b{suffix}")) == "plain"
    torch.save(PLAIN, tmp_path / f"c{suffix}", _use_new_zipfile_serialization=False)
    assert taken(read(tmp_path / f"c{suffix}")) == "plain"


def test_a_program_is_not_run(tmp_path):
    import zipfile

    with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
        for name in ("x/data.pkl", "x/constants.pkl", "x/code/__torch__.py", "x/version"):
            archive.writestr(name, "x")
    with pytest.raises(UserError, match="is a TorchScript program, which embedlab does not run: save"):
        read(tmp_path / "a.pt")


# Advice


def advised(path):
    with pytest.raises(UserError, match="holds more than tensors") as caught:
        read(path)
    text = str(caught.value)
    assert "\n" not in text
    return re.search(r"torch\.save\(torch\.load\((.+), weights_only=False\)(.+), (.+)\)$", text)


@pytest.mark.parametrize(
    "name", ["checkpoint.pth", "a.ckpt", "a b.pt", "x.pth.tar", "checkpoint-tensors.pth"]
)
def test_advice_never_overwrites_a_file(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    path = saved(tmp_path / "here" / name, {"state_dict": PLAIN, "best_accuracy": np.float64(0.5)})
    for _ in range(3):
        found = advised(path)
        assert found[1] == repr(name)
        assert found[2] == "['state_dict']"
        target = found[3].strip("'")
        assert target.endswith(".pth")
        assert not (path.parent / target).exists()
        assert not Path(target).exists()
        # Next time this one is there, beside the file or where the program runs.
        (path.parent / target if _ % 2 else Path(target)).write_bytes(b"")


@pytest.mark.parametrize("key", ["model", "net", "model_state_dict", "state_dict"])
def test_advice_names_the_key_that_the_file_has(tmp_path, key):
    found = advised(saved(tmp_path / "a.pth", {key: PLAIN, "best": np.float64(0.5)}))
    assert found[2] == f"[{key!r}]"


def test_advice_that_is_followed_leads_to_a_file_that_is_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = saved(tmp_path / "a.pth", {"model": PLAIN, "best": np.float64(0.5)}).read_bytes()
    source, key, target = advised(tmp_path / "a.pth").groups()
    torch.save(torch.load(source.strip("'"), weights_only=False)[key.strip("[]'")], target.strip("'"))
    assert taken(read(tmp_path / target.strip("'"))) == "plain"
    assert (tmp_path / "a.pth").read_bytes() == before


def test_a_network_saved_whole_is_asked_for_its_state_dict(tmp_path):
    found = advised(saved(tmp_path / "a.pth", torch.nn.Linear(2, 2)))
    assert found[2] == ".state_dict()"
