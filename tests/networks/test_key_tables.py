"""State dicts are told by keys and shapes, and what cannot be told is said."""

import pytest
import torch

from embedlab.errors import UserError
from embedlab.networks import key_tables
from embedlab.networks.residual import BLOCKS
from tests.networks import published


def shapes(source, layers=18, **options):
    with torch.device("meta"):
        state = published.shaped(source, layers, **options).state_dict()
    return {key: tuple(value.shape) for key, value in state.items()}


@pytest.mark.parametrize("source", ["cavaface", "adaface", "iresnet"])
@pytest.mark.parametrize("layers", list(BLOCKS))
def test_depth_width_dimension_and_input_are_read_off_the_shapes(source, layers):
    match = key_tables.match(shapes(source, layers, width=4, dimension=7, side=3), "x")
    assert (match.backbone, match.width, match.dimension, match.input_size) == (f"ir_{layers}", 4, 7, 48)


@pytest.mark.parametrize("source", ["cavaface", "adaface", "iresnet"])
def test_a_depth_that_embedlab_lacks_is_said_in_blocks(source):
    with pytest.raises(UserError, match=r"x has 3\+4\+6\+3 residual blocks of 16, a depth .*18: 2\+2\+2\+2"):
        key_tables.match(shapes(source, 34, width=4), "x")


def test_every_tensor_of_iresnet_has_a_name_of_ours():
    match = key_tables.match(shapes("iresnet"), "x")
    assert match.theirs("input_layer.2.weight") == "prelu.weight"
    assert match.theirs("body.3.res_layer.2.running_var") == "layer2.1.bn2.running_var"
    assert match.theirs("body.0.shortcut_layer.1.bias") == "layer1.0.downsample.1.bias"
    assert match.theirs("output_layer.4.running_mean") == "features.running_mean"
    assert len(set(match.modules.values())) == len(match.modules)


def test_adafaces_squeeze_and_excitation_has_a_name_where_ours_has_a_number():
    match = key_tables.match(shapes("adaface", se=True), "x")
    assert match.backbone == "ir_se_18"
    assert match.theirs("body.4.res_layer.6.fc1.weight") == "body.4.res_layer.se_block.fc1.weight"
    assert match.theirs("body.4.res_layer.4.weight") == "body.4.res_layer.4.weight"


def test_a_layout_that_mixes_the_sources_is_nobodys():
    mixed = shapes("adaface") | {"output_layer.4.weight": (12,), "output_layer.4.bias": (12,)}
    match = key_tables.match(mixed, "x")
    assert match.source == "embedlab"
    assert match.layout["inner_norm"]
    assert match.layout["last_affine"]
    assert match.preset == "insightface"


def test_the_prefix_is_what_stands_before_the_known_keys():
    keys = list(shapes("iresnet"))
    assert key_tables.prefixes(keys) == [""]
    assert key_tables.prefixes([f"module.model.{key}" for key in keys] + ["head.kernel"]) == ["module.model."]


def test_every_network_has_a_prefix_and_other_keys_have_none():
    keys = list(shapes("cavaface"))
    both = [f"{who}.{key}" for who in ("teacher", "student") for key in keys]
    assert key_tables.prefixes(both) == ["student.", "teacher."]
    assert key_tables.prefixes(["weight", "bias"]) == []


def test_a_network_cut_short_says_what_it_lacks():
    cut = {key: shape for key, shape in shapes("cavaface").items() if key != "output_layer.3.weight"}
    with pytest.raises(UserError, match="lacks a tensor output_layer.3.weight"):
        key_tables.match(cut, "x")


def test_an_input_that_is_no_square_is_refused():
    whole = shapes("cavaface")
    whole["output_layer.3.weight"] = (12, 128 * 6)
    with pytest.raises(UserError, match=r"no square of 128 channels \(output_layer.3.weight takes 768"):
        key_tables.match(whole, "x")
