"""A network trained elsewhere gives here what it gave there, or every tensor that does not fit is named."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from embedlab.errors import UserError
from embedlab.lab.store import Lab, sha256_of
from embedlab.networks import checkpoints, foreign, imports
from embedlab.networks.embedder import PRESETS
from embedlab.networks.imports import import_backbone, read
from tests.networks import published

KINDS = [
    ("cavaface", 18, False, "ir_18", "insightface"),
    ("cavaface", 18, True, "ir_se_18", "insightface"),
    ("face.evoLVe", 18, False, "ir_18", "insightface"),
    ("adaface", 18, False, "ir_18", "adaface"),
    ("adaface", 50, True, "ir_se_50", "adaface"),
    ("iresnet", 18, False, "ir_18", "insightface"),
    ("iresnet", 50, False, "ir_50", "insightface"),
    ("mobilefacenet", 18, False, "mobilefacenet", "insightface"),
]
FACES = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)


@pytest.fixture
def lab(tmp_path):
    return Lab(tmp_path / "lab")


@pytest.fixture
def said(monkeypatch):
    lines = []
    monkeypatch.setattr(imports, "say", lambda line, **_: lines.append(line))
    return lines


def theirs(network, preset):
    """What the published network gives for the faces, prepared by hand."""
    x = FACES[..., ::-1] if preset == "adaface" else FACES
    x = torch.from_numpy(((x - 127.5) / 127.5).transpose(0, 3, 1, 2).astype(np.float32, order="C"))
    with torch.inference_mode():
        return network(x).numpy()


def plain(source, seed=0, **options):
    """A published network as it begins, where its outputs do not matter."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return published.shaped(source, width=16, **options)


def saved(path, network, wrap=None, before=""):
    state = {before + key: value for key, value in network.state_dict().items()}
    torch.save({wrap: state, "epoch": 3} if wrap else state, path)
    return path


@pytest.mark.parametrize(("source", "layers", "se", "backbone", "preset"), KINDS)
def test_an_imported_network_gives_what_the_published_one_gives(
    lab, tmp_path, said, source, layers, se, backbone, preset
):
    network = published.made(source, layers, se=se, width=16 if se else 8)
    path = saved(tmp_path / "theirs.pth", network)
    folder = import_backbone(lab, path, backbone=backbone, input_size=32)
    embedder = checkpoints.load(lab, "theirs")
    expected = theirs(network, preset)
    # The outputs must be worth comparing: neither all alike nor enormous.
    assert 0.1 < expected.std(axis=0).mean() < 10
    np.testing.assert_allclose(embedder.embed(FACES), expected, atol=1e-5 * np.abs(expected).max())
    assert embedder.preprocessing == PRESETS[preset].at(32)
    assert folder == lab.checkpoint("theirs")


def test_two_layouts_differ_where_they_should(tmp_path):
    """The same tensors in another layout give something else, so that the comparison above can fail."""
    found = {}
    for source in ("cavaface", "face.evoLVe", "adaface", "iresnet"):
        match = read(saved(tmp_path / "n.pth", published.shaped(source, width=8))).match
        found[source] = (match.source, *match.layout.values())
    assert found == {
        "cavaface": ("cavaface", False, "subsample", False, True),
        "face.evoLVe": ("face.evoLVe or InsightFace_Pytorch", False, "subsample", True, True),
        "adaface": ("AdaFace", True, "subsample", False, True),
        "iresnet": ("InsightFace iresnet", True, "convolution", True, True),
    }


@pytest.mark.parametrize(
    ("wrap", "before"),
    [
        (None, ""), (None, "module."), ("state_dict", "model."), ("model", "backbone."),
        ("state_dict_backbone", "module."), ("state_dict", "module.backbone."), (None, "_orig_mod."),
    ],
)  # fmt: skip
def test_it_may_stand_under_another_key_and_all_keys_may_begin_alike(tmp_path, wrap, before):
    network = published.made("adaface")
    found = read(saved(tmp_path / "a.pth", network, wrap, before))
    assert found.prefix == before
    assert found.left_out == ()
    ours, x = found.network.eval(), torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        assert torch.allclose(ours(x), network(x), atol=1e-5)


def test_safetensors_are_read_as_well(tmp_path):
    from safetensors.torch import save_file

    network = plain("iresnet")
    save_file(network.state_dict(), tmp_path / "a.safetensors")
    assert read(tmp_path / "a.safetensors").match.backbone == "ir_18"
    (tmp_path / "b.safetensors").write_bytes(b"short")
    with pytest.raises(UserError, match=r"cannot read .*b\.safetensors as safetensors"):
        read(tmp_path / "b.safetensors")


def test_half_precision_becomes_float32(tmp_path):
    network = plain("cavaface").half()
    found = read(saved(tmp_path / "a.pth", network))
    weight = found.network.input_layer[0].weight
    assert weight.dtype == torch.float32
    assert torch.equal(weight, network.input_layer[0].weight.float())


def test_what_was_found_is_said_and_recorded(lab, tmp_path, said):
    state = {f"model.{key}": value for key, value in plain("adaface", se=True).state_dict().items()}
    state["head.kernel"] = torch.zeros(12, 3)
    path = tmp_path / "ada net.pth"
    torch.save({"state_dict": state}, path)
    import_backbone(lab, path)
    assert said[0] == (
        "  ada net.pth: layout of AdaFace, under 'model.': ir_se_18, width 16, 32 px, 12 numbers; left out: "
        "head.kernel"
    )
    assert "preprocessing 'adaface' is assumed, as AdaFace has it" in said[1]
    assert "with RGB" in said[1]
    record = checkpoints.read_record(lab, "ada_net")
    assert record.recipe["imported"] == "ada net.pth"
    assert record.recipe["sha256"] == sha256_of(path)
    assert record.recipe["preprocessing_assumed"] is True
    assert record.history == []
    json.dumps(record.recipe)


def test_stated_preprocessing_is_kept_and_not_called_assumed(lab, tmp_path, said):
    path = saved(tmp_path / "a.pth", plain("adaface"))
    import_backbone(lab, path, preprocessing="imagenet", name="stated")
    (tmp_path / "a.json").write_text('{"preprocessing": {"channels": "BGR", "mean": [1, 2, 3]}}')
    import_backbone(lab, path, name="beside")
    assert not any("assumed" in line for line in said)
    for name in ("stated", "beside"):
        assert checkpoints.read_record(lab, name).recipe["preprocessing_assumed"] is False
    assert checkpoints.read_record(lab, "stated").preprocessing == PRESETS["imagenet"].at(32)
    assert checkpoints.read_record(lab, "beside").preprocessing.mean == (1, 2, 3)


def test_an_imported_network_is_one_of_the_lab(lab, tmp_path):
    network = published.made("iresnet")
    import_backbone(lab, saved(tmp_path / "a.pth", network))
    assert lab.trained() == ["a"]
    again = checkpoints.load_network(lab, "a").eval()
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        assert torch.allclose(again(x), network(x), atol=1e-5)
    weights = lab.weights("a")
    np.testing.assert_array_equal(
        weights.layers["body.2.res_layer.1"], network.layer2[0].conv1.weight.detach().numpy()
    )
    assert weights.recipe


def test_importing_again_changes_nothing_unless_it_is_another_network(lab, tmp_path, said):
    path = saved(tmp_path / "a.pth", plain("cavaface"))
    folder = import_backbone(lab, path)
    before = (folder / "model.json").stat().st_mtime_ns
    assert import_backbone(lab, path) == folder
    assert (folder / "model.json").stat().st_mtime_ns == before
    assert any("a is there already, from this file" in line for line in said)
    saved(path, plain("cavaface", seed=1))
    with pytest.raises(UserError, match="there is another model 'a' in .*another --model, or with --fresh"):
        import_backbone(lab, path)
    import_backbone(lab, path, fresh=True)
    assert checkpoints.read_record(lab, "a").recipe["sha256"] == sha256_of(path)
    import_backbone(lab, path, name="other")
    assert lab.trained() == ["a", "other"]


def test_what_the_file_is_not_is_refused(tmp_path):
    path = saved(tmp_path / "a.pth", plain("adaface"))
    with pytest.raises(UserError, match=r"is ir_18 in the layout of AdaFace, not ir_se_18.*--recipe ir_18"):
        read(path, backbone="ir_se_18")
    with pytest.raises(UserError, match=r"takes images of 32 px, .*not 112: `embedlab import .* --input 32`"):
        read(path, input_size=112)


def test_a_pooled_network_must_be_told_its_input(tmp_path):
    from embedlab.networks import backbones

    network = backbones.build("se_resnet_50", input_size=32, width=4, dimension=8)
    path = saved(tmp_path / "a.pth", network)
    with pytest.raises(
        UserError, match="leave the input open: say how large with `embedlab import .* --input PX`"
    ):
        read(path)
    assert read(path, input_size=48).network.input_size == 48


def test_networks_of_our_own_come_back(tmp_path):
    from embedlab.networks import backbones

    for name in ("sphereface_20", "sphereface_20_bn", "ir_se_18", "mobilefacenet"):
        network = backbones.build(name, input_size=32, width=4, dimension=8).eval()
        found = read(saved(tmp_path / f"{name}.pth", network), backbone=name)
        x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
        with torch.inference_mode():
            assert torch.allclose(found.network.eval()(x), network(x), atol=1e-6)


def test_every_tensor_that_does_not_fit_is_named_as_the_file_names_it(tmp_path):
    state = plain("iresnet").state_dict()
    del state["layer2.1.bn2.weight"]
    state["layer2.1.extra"] = torch.zeros(1)
    state["layer3.0.prelu.weight"] = torch.zeros(5)
    state["bn1.running_var"][2] = float("nan")
    del state["bn1.num_batches_tracked"]
    torch.save(state, tmp_path / "odd.pth")
    with pytest.raises(
        UserError,
        match=r"odd.pth is no ir_18 of width 16 in the layout of InsightFace iresnet: 1 missing "
        r"\(layer2.1.bn2.weight\); 1 unknown \(layer2.1.extra\); 1 of another shape "
        r"\(layer3.0.prelu.weight \(5,\) for \(64,\)\); 1 not finite \(bn1.running_var\); export",
    ):
        read(tmp_path / "odd.pth")


def test_files_without_counters_are_read(tmp_path):
    state = plain("cavaface").state_dict()
    kept = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    torch.save(kept, tmp_path / "old.pth")
    assert read(tmp_path / "old.pth").match.source == "cavaface"


class Trainer:
    """Stands for the objects that Lightning keeps in its files."""


def test_a_file_of_more_than_tensors_says_how_to_save_the_tensors(tmp_path):
    path = tmp_path / "adaface_ir50.ckpt"
    torch.save({"state_dict": plain("adaface").state_dict(), "callbacks": {Trainer: 1}}, path)
    with pytest.raises(
        UserError,
        match=r"holds more than tensors \(as .*Lightning's.*such as .*Trainer, .*torch.save\(torch.load\("
        r"'adaface_ir50.ckpt', weights_only=False\)\['state_dict'\], 'adaface_ir50-tensors.pth'\)",
    ):
        read(path)


def test_code_in_a_file_is_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "was-run",))

    torch.save({"state_dict": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(UserError, match="holds more than tensors"):
        read(tmp_path / "evil.pth")
    assert not (tmp_path / "was-run").exists()


@pytest.mark.parametrize(
    "content", [b"", b"not a checkpoint at all", b"PK\x03\x04 cut short", b"\x80\x02}q\x00."]
)
def test_a_file_that_is_no_checkpoint_says_so(tmp_path, content):
    (tmp_path / "bad.pth").write_bytes(content)
    with pytest.raises(UserError, match=r"bad\.pth"):
        read(tmp_path / "bad.pth")


def test_other_files_and_missing_ones_are_refused(tmp_path):
    with pytest.raises(UserError, match="there is no model file .*none.pth"):
        read(tmp_path / "none.pth")
    (tmp_path / "a.h5").write_bytes(b"")
    with pytest.raises(UserError, match=r"no state dict that can be read: give a file .pth"):
        read(tmp_path / "a.h5")
    torch.save({"epoch": 3}, tmp_path / "numbers.pth")
    with pytest.raises(UserError, match="holds no state dict of tensors"):
        read(tmp_path / "numbers.pth")


def test_open_model_reads_by_the_same_tables(tmp_path, said):
    network = published.made("adaface")
    path = saved(tmp_path / "ada net.pth", network, "state_dict", "model.")
    embedder = foreign.open_model(path)
    assert embedder.name == "ada_net"
    assert embedder.assumed_preprocessing
    assert len(said) == 2
    expected = theirs(network, "adaface")
    np.testing.assert_allclose(embedder.embed(FACES), expected, atol=1e-5 * np.abs(expected).max())
    stated = foreign.open_model(path, "raw01", name="x")
    assert (stated.name, stated.preprocessing) == ("x", PRESETS["raw01"].at(32))
    assert not stated.assumed_preprocessing
