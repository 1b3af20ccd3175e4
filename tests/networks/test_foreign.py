import io
import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from embedlab import progress
from embedlab.errors import UserError
from embedlab.networks import foreign
from embedlab.networks.embedder import PRESETS
from embedlab.networks.foreign import open_model, open_onnx

D = 5


def weights(size=8):
    return np.random.default_rng(0).standard_normal((3 * size * size, D)).astype(np.float32)


def write_onnx(
    path, shape=("n", 3, 8, 8), *, kind=TensorProto.FLOAT, planes=False, nodes=None, external=False, more=()
):
    """A network whose vector is its flattened input times a matrix."""
    matrix = numpy_helper.from_array(weights(), "w")
    if nodes is None:
        nodes = [
            helper.make_node("Flatten", ["x"], ["f"]),
            helper.make_node("MatMul", ["f", "w"], ["flat"]),
        ]
        if planes:
            nodes.append(helper.make_node("Unsqueeze", ["flat", "axes"], ["e"]))
        else:
            nodes.append(helper.make_node("Identity", ["flat"], ["e"]))
    axes = numpy_helper.from_array(np.array([2, 3]), "axes")
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info("e", kind, None)],
        [matrix, axes, *more],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if external:
        onnx.save(model, path, save_as_external_data=True, location=external, size_threshold=0)
    else:
        onnx.save(model, path)
    return path


def faces(n, size=8):
    return np.random.default_rng(1).integers(0, 256, (n, size, size, 3), dtype=np.uint8)


def expected(images, preset="insightface"):
    x = images.astype(np.float64)
    contract = PRESETS[preset]
    if contract.channels == "BGR":
        x = x[..., ::-1]
    x = (x - contract.mean) / contract.std
    return x.transpose(0, 3, 1, 2).reshape(len(x), -1) @ weights()


@pytest.mark.parametrize("preset", list(PRESETS))
def test_every_preset_prepares_images_as_it_says(tmp_path, preset):
    embedder = open_onnx(write_onnx(tmp_path / "a.onnx"), preset)
    vectors = embedder.embed(faces(3))
    assert vectors.dtype == np.float32
    planted = expected(faces(3), preset)
    np.testing.assert_allclose(vectors, planted, atol=1e-5 * np.abs(planted).max())
    assert embedder.preprocessing == PRESETS[preset].at(8)
    assert not embedder.assumed_preprocessing


def test_an_embedder_says_what_it_is(tmp_path):
    path = write_onnx(tmp_path / "my net (v2).onnx")
    embedder = open_onnx(path, "imagenet")
    assert embedder.name == "my_net_v2_"
    assert embedder.dimension == D
    assert len(embedder.fingerprint) == 64
    assert embedder.device.startswith("cpu, onnxruntime")
    assert open_onnx(path, "imagenet", name="other").name == "other"
    with pytest.raises(UserError, match="cannot be the name of a model"):
        open_onnx(path, "imagenet", name="a/b")


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("n", [1, 4, 7])
def test_a_fixed_number_of_images_a_call_gives_the_same_vectors(tmp_path, batch, n):
    embedder = open_onnx(write_onnx(tmp_path / "a.onnx", (batch, 3, 8, 8)), "imagenet")
    assert embedder.batch == batch
    np.testing.assert_allclose(embedder.embed(faces(n)), expected(faces(n), "imagenet"), rtol=1e-4, atol=1e-3)


def test_vectors_do_not_depend_on_the_batch_they_came_in(tmp_path):
    embedder = open_onnx(write_onnx(tmp_path / "a.onnx"), "imagenet")
    images = faces(4 * foreign.CHUNK + 3)
    whole = embedder.embed(images)
    halves = np.concatenate(
        [embedder.embed(images[: 2 * foreign.CHUNK]), embedder.embed(images[2 * foreign.CHUNK :])]
    )
    np.testing.assert_array_equal(whole, halves)


def test_trailing_planes_of_one_pixel_are_flattened(tmp_path):
    embedder = open_onnx(write_onnx(tmp_path / "a.onnx", planes=True), "imagenet")
    np.testing.assert_allclose(embedder.embed(faces(2)), expected(faces(2), "imagenet"), rtol=1e-4, atol=1e-3)


def test_an_open_size_comes_from_the_preset_or_the_contract(tmp_path):
    nodes = [helper.make_node("GlobalAveragePool", ["x"], ["e"])]
    path = write_onnx(tmp_path / "a.onnx", ("n", 3, "h", "w"), nodes=nodes)
    assert open_onnx(path, "imagenet").preprocessing.size == 112
    (tmp_path / "a.json").write_text('{"preprocessing": {"size": 40, "mean": [0, 0, 0], "std": [1, 1, 1]}}')
    embedder = open_onnx(path)
    assert embedder.preprocessing.size == 40
    images = faces(2, 40)
    np.testing.assert_allclose(embedder.embed(images), images.mean(axis=(1, 2)), rtol=1e-4)
    (tmp_path / "a.json").write_text('{"preprocessing": {"channels": "BGR"}}')
    assert open_onnx(path).preprocessing == PRESETS["adaface"]


# Other shapes of input and output


@pytest.mark.parametrize("shape", [("n", 8, 8, 3), (4, 8, 8, 3), ("n", 8, "w", 3), ("n", "h", "w", 3)])
def test_colours_may_come_last(tmp_path, shape):
    (tmp_path / "a.json").write_text('{"preprocessing": {"size": 8, "channels": "BGR", "mean": [1, 2, 3]}}')
    embedder = open_onnx(write_onnx(tmp_path / "a.onnx", shape))
    assert (embedder.layout, embedder.preprocessing.size) == ("NHWC", 8)
    x = (faces(7)[..., ::-1] - np.array([1.0, 2.0, 3.0])) / 127.5
    np.testing.assert_allclose(embedder.embed(faces(7)), x.reshape(7, -1) @ weights(), rtol=1e-4, atol=1e-4)


def test_three_rows_of_pixels_do_not_hide_that_colours_come_first(tmp_path):
    nodes = [helper.make_node("GlobalAveragePool", ["x"], ["e"])]
    path = write_onnx(tmp_path / "a.onnx", ("n", 3, 3, 3), nodes=nodes)
    embedder = open_onnx(path, "raw255")
    assert embedder.layout == "NCHW"
    np.testing.assert_allclose(embedder.embed(faces(2, 3)), faces(2, 3).mean(axis=(1, 2)), rtol=1e-4)


def test_one_open_side_is_as_long_as_the_other(tmp_path):
    assert open_onnx(write_onnx(tmp_path / "a.onnx", ("n", 3, 8, "w")), "imagenet").preprocessing.size == 8
    assert open_onnx(write_onnx(tmp_path / "b.onnx", ("n", 3, -1, 8)), "imagenet").preprocessing.size == 8


def write_with_outputs(path, order):
    """A network with a map, a norm and a vector as outputs."""
    nodes = [
        helper.make_node("Identity", ["x"], ["map"]),
        helper.make_node("Flatten", ["x"], ["f"]),
        helper.make_node("MatMul", ["f", "w"], ["vector"]),
        helper.make_node("ReduceL2", ["vector"], ["norm"], axes=[1], keepdims=1),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "several",
        [value("x", TensorProto.FLOAT, ("n", 3, 8, 8))],
        [value(name, TensorProto.FLOAT, None) for name in order],
        [numpy_helper.from_array(weights(), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("order", [("vector", "norm"), ("map", "norm", "vector")])
def test_the_first_output_that_is_a_vector_is_taken_and_that_is_said(tmp_path, monkeypatch, order):
    said = []
    monkeypatch.setattr(foreign, "say", lambda line, **_: said.append(line))
    embedder = open_onnx(write_with_outputs(tmp_path / "a.onnx", order), "imagenet")
    assert (embedder.output, embedder.dimension) == ("vector", D)
    np.testing.assert_allclose(embedder.embed(faces(3)), expected(faces(3), "imagenet"), rtol=1e-4, atol=1e-3)
    assert [f"({', '.join(order)}) 'vector' is taken" in line for line in said] == [True]


def test_one_number_an_image_is_taken_where_there_is_nothing_else(tmp_path):
    assert open_onnx(write_with_outputs(tmp_path / "a.onnx", ("map", "norm")), "imagenet").output == "norm"


def test_a_network_that_changes_its_output_with_the_batch_is_refused(tmp_path):
    nodes = [
        helper.make_node("Flatten", ["x"], ["f"]),
        helper.make_node("MatMul", ["f", "w"], ["flat"]),
        helper.make_node("Reshape", ["flat", "two"], ["e"]),
    ]
    path = write_onnx(
        tmp_path / "a.onnx", nodes=nodes, more=[numpy_helper.from_array(np.array([2, -1]), "two")]
    )
    embedder = open_onnx(path, "imagenet")
    with pytest.raises(UserError, match=r"output of shape \(2, 10\) for 4 images"):
        embedder.embed(faces(4))


# Where the preprocessing comes from


def test_a_json_file_beside_the_model_names_a_preset_or_a_contract(tmp_path):
    path = write_onnx(tmp_path / "a.onnx")
    beside = tmp_path / "a.json"
    beside.write_text('{"preprocessing": "adaface"}')
    embedder = open_onnx(path)
    assert embedder.preprocessing == PRESETS["adaface"].at(8)
    assert not embedder.assumed_preprocessing
    beside.write_text(json.dumps({"preprocessing": PRESETS["imagenet"].at(8).to_json()}))
    assert open_onnx(path).preprocessing == PRESETS["imagenet"].at(8)
    assert open_onnx(path, "raw01").preprocessing == PRESETS["raw01"].at(8)


def test_without_a_word_the_usual_preset_is_assumed_and_that_is_said(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(foreign, "say", lambda line, **_: said.append(line))
    embedder = open_onnx(write_onnx(tmp_path / "a.onnx"))
    assert embedder.preprocessing == PRESETS["insightface"].at(8)
    assert embedder.assumed_preprocessing
    assert len(said) == 1
    assert "'insightface' is assumed" in said[0]
    assert "a.json" in said[0]
    said.clear()
    open_onnx(tmp_path / "a.onnx", "insightface")
    assert not said


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot read .*a.json as JSON"),
        ("[]", "states no preprocessing"),
        ('{"size": 8}', "states no preprocessing"),
        (
            '{"preprocessing": "imgnet"}',
            "a.json: unknown preprocessing 'imgnet': choose one of insightface, .*imagenet",
        ),
        ('{"preprocessing": {"size": 9}}', "says size 9, but the network's input is 8 x 8"),
        ('{"preprocessing": {"sizes": 9}}', "unknown keys"),
    ],
)
def test_a_wrong_json_file_is_named(tmp_path, text, message):
    path = write_onnx(tmp_path / "a.onnx")
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(UserError, match=message):
        open_onnx(path)


def test_an_unknown_preset_is_refused_with_those_there_are(tmp_path):
    with pytest.raises(
        UserError, match="unknown preprocessing 'imgnet': choose one of insightface, arcface-paper"
    ):
        open_onnx(write_onnx(tmp_path / "a.onnx"), "imgnet")


# What is no network of faces


@pytest.mark.parametrize(
    "shape", [("n", 8, 8, 1), ("n", 1, 8, 8), ("n", 3, 8, 9), ("n", 192), ("n", 8, 9, 3), ("n", 8, 8, 4)]
)
def test_an_input_of_another_shape_is_refused(tmp_path, shape):
    path = write_onnx(tmp_path / "a.onnx", shape, nodes=[helper.make_node("Flatten", ["x"], ["e"])])
    with pytest.raises(
        UserError, match=r"has an input of shape .*: it must be \(N, 3, H, W\) or \(N, H, W, 3\)"
    ):
        open_onnx(path, "imagenet")


def test_an_input_of_another_type_is_refused(tmp_path):
    nodes = [helper.make_node("Identity", ["x"], ["e"])]
    path = write_onnx(tmp_path / "a.onnx", kind=TensorProto.FLOAT16, nodes=nodes)
    with pytest.raises(UserError, match=r"input of type tensor\(float16\): it must be float32"):
        open_onnx(path, "imagenet")


def test_two_inputs_are_refused(tmp_path):
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "y"], ["e"])],
        "two",
        [value("x", TensorProto.FLOAT, ("n", 3, 8, 8)), value("y", TensorProto.FLOAT, ("n", 3, 8, 8))],
        [value("e", TensorProto.FLOAT, None)],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8),
        tmp_path / "a.onnx",
    )
    with pytest.raises(UserError, match=r"has 2 inputs \(x, y\)"):
        open_onnx(tmp_path / "a.onnx", "imagenet")


def test_an_output_that_is_no_vector_is_refused(tmp_path):
    path = write_onnx(tmp_path / "a.onnx", nodes=[helper.make_node("Identity", ["x"], ["e"])])
    with pytest.raises(
        UserError, match=r"no output that is a vector an image.*2 images it gives e \(2, 3, 8, 8\)"
    ):
        open_onnx(path, "imagenet")


def test_a_network_that_fails_on_its_input_is_named(tmp_path):
    path = write_onnx(tmp_path / "a.onnx", ("n", 3, "h", "w"))
    with pytest.raises(UserError, match=r"model a fails on a batch of shape \(2, 3, 112, 112\)"):
        open_onnx(path, "imagenet")


def test_missing_broken_and_other_files_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"there is no model file .*gone\.onnx"):
        open_model(tmp_path / "gone.onnx")
    with pytest.raises(UserError, match=r"there is no model file .*gone\.pth"):
        open_model(tmp_path / "gone.pth")
    whole = write_onnx(tmp_path / "whole.onnx").read_bytes()
    for content in (b"hello", *(whole[:kept] for kept in (3, 40, len(whole) // 2, len(whole) - 40))):
        (tmp_path / "a.onnx").write_bytes(content)
        with pytest.raises(UserError, match=r"cannot read .*a\.onnx as an ONNX network") as caught:
            open_model(tmp_path / "a.onnx", "imagenet")
        assert "\n" not in str(caught.value)
    (tmp_path / "a.h5").write_bytes(b"")
    with pytest.raises(
        UserError, match=r"no model file that can be read: give a file \.onnx, \.pth, \.pt, \.ckpt"
    ):
        open_model(tmp_path / "a.h5")


# Fingerprints


def test_the_fingerprint_is_of_the_file_and_of_weights_beside_it(tmp_path):
    path = write_onnx(tmp_path / "a.onnx", external="a.weights")
    before = open_onnx(path, "imagenet").fingerprint
    (tmp_path / "unrelated.weights").write_bytes(b"x")
    assert open_onnx(path, "imagenet").fingerprint == before
    content = bytearray((tmp_path / "a.weights").read_bytes())
    content[0] ^= 1
    (tmp_path / "a.weights").write_bytes(content)
    assert open_onnx(path, "imagenet").fingerprint != before


# PyTorch files


def test_a_torch_file_is_opened_with_the_same_words(tmp_path):
    import torch

    from embedlab.networks.backbones import build

    path = tmp_path / "their net.pth"
    torch.save(build("ir_se_18", input_size=32, width=16, dimension=8).state_dict(), path)
    embedder = open_model(path)
    assert embedder.name == "their_net"
    assert embedder.assumed_preprocessing
    stated = open_model(path, "imagenet", name="theirs")
    assert stated.name == "theirs"
    assert not stated.assumed_preprocessing
    assert stated.preprocessing == PRESETS["imagenet"].at(32)
    assert stated.embed(faces(2, 32)).shape == (2, 8)


# Real networks


@pytest.mark.parametrize(
    ("model", "preset", "d"), [("mobilefacenet_ms1m", "imagenet", 128), ("edgeface_xxs", None, 512)]
)
def test_real_networks_open_and_tell_faces_apart(shared_data, model, preset, d):
    with progress.shown():
        embedder = open_model(shared_data / "models" / f"{model}.onnx", preset)
    assert (embedder.name, embedder.dimension, embedder.preprocessing.size) == (model, d, 112)
    images = faces(3, 112)
    vectors = embedder.embed(images)
    assert np.isfinite(vectors).all()
    np.testing.assert_allclose(vectors[1:2], embedder.embed(images[1:2]), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "an empty file: fetch it again"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d\n", "a Git LFS pointer, .*git lfs pull"),
        (b"<!DOCTYPE html><html></html>", "a web page"),
        (b"PK\x03\x04 cut", "a zip archive that is cut short"),
        (b'\x10\0\0\0\0\0\0\0{"__metadata__":{}}', "a safetensors file: call it .safetensors"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    ],
)
def test_what_is_called_onnx_and_is_not_says_what_it_is(tmp_path, content, said):
    (tmp_path / "a.onnx").write_bytes(content)
    with pytest.raises(UserError, match=rf"a\.onnx is no ONNX network, but {said}") as caught:
        open_model(tmp_path / "a.onnx")
    assert "\n" not in str(caught.value)


def test_weights_that_are_not_beside_it_are_named(tmp_path):
    path = write_onnx(tmp_path / "a.onnx", external="a.weights")
    assert open_onnx(path, "imagenet").dimension == D
    (tmp_path / "a.weights").unlink()
    with pytest.raises(
        UserError, match=r"a\.onnx keeps its weights in a\.weights, and there is no such file"
    ):
        open_onnx(path, "imagenet")


def fixed_within(images, rows):
    """An open input, and a shape within that is fixed to some images."""
    shape = numpy_helper.from_array(np.array([rows, 3 * 8 * 8]), "shape")
    nodes = [
        helper.make_node("Reshape", ["x", "shape"], ["f"]),
        helper.make_node("MatMul", ["f", "w"], ["e"]),
    ]
    return {"shape": (images, 3, 8, 8), "nodes": nodes, "more": [shape]}


@pytest.mark.parametrize("n", [1, 2, 5, foreign.CHUNK + 3])
def test_an_open_input_before_a_graph_of_one_image_is_given_one_a_call(tmp_path, n):
    heard = io.StringIO()
    with progress.shown(heard):
        embedder = open_onnx(write_onnx(tmp_path / "a.onnx", **fixed_within("n", 1)), "imagenet")
    assert heard.getvalue().count("model a takes one image a call, though its input is open") == 1
    assert embedder.batch == 1
    np.testing.assert_allclose(embedder.embed(faces(n)), expected(faces(n), "imagenet"), rtol=1e-4, atol=1e-3)


def test_a_graph_that_runs_all_images_together_is_given_one_a_call(tmp_path):
    """A shape of one row takes any number of images, and makes one long vector of them."""
    shape = numpy_helper.from_array(np.array([1, -1]), "shape")
    nodes = [
        helper.make_node("Flatten", ["x"], ["f"]),
        helper.make_node("MatMul", ["f", "w"], ["g"]),
        helper.make_node("Reshape", ["g", "shape"], ["e"]),
    ]
    embedder = open_onnx(write_onnx(tmp_path / "a.onnx", nodes=nodes, more=[shape]), "imagenet")
    assert (embedder.batch, embedder.dimension) == (1, D)
    np.testing.assert_allclose(embedder.embed(faces(3)), expected(faces(3), "imagenet"), rtol=1e-4, atol=1e-3)


def test_a_graph_that_takes_neither_says_why(tmp_path):
    with pytest.raises(UserError, match=r"fails on a batch of shape \(2, 3, 8, 8\)") as caught:
        open_onnx(write_onnx(tmp_path / "a.onnx", **fixed_within("n", 4)), "imagenet")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "shape",
    [(3, 8, 8), (1, 1, 3, 8, 8), ("n", 1, 8, 8), ("n", 3, 8, 10), ("n", 192), (), ("n", 4, 8, 8), None],
)
def test_inputs_of_odd_shapes_are_refused_in_a_line(tmp_path, shape):
    nodes = [helper.make_node("Identity", ["x"], ["e"])]
    with pytest.raises(UserError, match="has an input of shape") as caught:
        open_onnx(write_onnx(tmp_path / "a.onnx", shape, nodes=nodes), "imagenet")
    assert "\n" not in str(caught.value)


def test_a_damaged_file_prints_nothing_of_its_own(tmp_path, capfd):
    whole = write_onnx(tmp_path / "a.onnx").read_bytes()
    assert whole.count(b"\x01x") > 1
    (tmp_path / "a.onnx").write_bytes(whole.replace(b"\x01x", b"\x01\xff"))
    with pytest.raises(UserError, match=r"cannot read .*a\.onnx as an ONNX network"):
        open_onnx(tmp_path / "a.onnx", "imagenet")
    assert capfd.readouterr() == ("", "")
