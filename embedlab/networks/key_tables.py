"""Tables of keys: which tensor of a published network is which of ours, and how the network is told.

A state dict is told by its keys and shapes alone. What they leave open is written down and not guessed in
silence: how images are prepared does not stand in a state dict, so the usual preset of the source is
*assumed*, and a network's BatchNorms are taken to add 1e-5 to variances, as all of these sources do.

==========================================================  ===============================================
source                                                      told by
==========================================================  ===============================================
cavaface ``resnet_irse.py`` [1]_                            ``input_layer``, ``body``, ``output_layer``
face.evoLVe ``model_irse.py`` [2]_, and                     the same, with a factor in ``output_layer.4``
InsightFace_Pytorch ``model.py`` [3]_
AdaFace ``net.py`` [4]_                                     the same, with a BatchNorm ``res_layer.2``
InsightFace ``arcface_torch``, ``iresnet.py`` [5]_          ``layer1.0.bn1`` and ``features``
InsightFace_Pytorch's MobileFaceNet [3]_                    ``conv_6_dw``
embedlab's SphereFace and SE-ResNet-50                      ``conv1_1``; ``layer1.0.se``
==========================================================  ===============================================

Channel order is the trap. InsightFace, cavaface and face.evoLVe train on RGB, AdaFace on BGR (its
``inference.py`` says so). InsightFace_Pytorch unpacks its training records by ``recordio.unpack_img``,
which gives BGR, and decodes its ``.bin`` files to BGR on purpose; its networks have the keys and shapes of
face.evoLVe's. ``embedlab doctor`` measures which order a network was trained on.

References
----------
.. [1] ``cavalleria/cavaface``, ``backbone/resnet_irse.py`` and ``backbone/common.py``.
.. [2] ``ZhaoJ9014/face.evoLVe``, ``backbone/model_irse.py``.
.. [3] ``TreB1eN/InsightFace_Pytorch``, ``model.py`` and ``data/data_pipe.py``.
.. [4] ``mk-minchul/AdaFace``, ``net.py`` and ``inference.py``.
.. [5] ``deepinsight/insightface``, ``recognition/arcface_torch/backbones/iresnet.py``.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isqrt
from typing import Any

from embedlab.errors import UserError
from embedlab.networks.blocks import STRIDE
from embedlab.networks.residual import BLOCKS

Shapes = Mapping[str, tuple[int, ...]]

ANCHORS = {
    "input_layer.0.weight": "IR",
    "layer1.0.bn1.weight": "residual",
    "conv_6_dw.conv.weight": "mobilefacenet",
    "conv1_1.weight": "sphereface",
}
"""A tensor that is in every network of a kind, and in none of another: where its prefix ends, all end."""

OWN = "embedlab"
EVOLVE = "face.evoLVe or InsightFace_Pytorch"
ADAFACE = "AdaFace"
CAVAFACE = "cavaface"
IRESNET = "InsightFace iresnet"

PRESETS = {CAVAFACE: "insightface", EVOLVE: "insightface", ADAFACE: "adaface", IRESNET: "insightface"}
"""How each source prepares its images; for others ``insightface`` is assumed."""

CAUTIONS = {
    EVOLVE: "face.evoLVe trains on RGB, InsightFace_Pytorch on BGR, and their files look alike",
    ADAFACE: "AdaFace trains on BGR; other trainers use its network with RGB",
}

IRESNET_ENDS = {
    "input_layer.0": "conv1",
    "input_layer.1": "bn1",
    "input_layer.2": "prelu",
    "output_layer.0": "bn2",
    "output_layer.3": "fc",
    "output_layer.4": "features",
}
IRESNET_BLOCK = {
    "res_layer.0": "bn1",
    "res_layer.1": "conv1",
    "res_layer.2": "bn2",
    "res_layer.3": "prelu",
    "res_layer.4": "conv2",
    "res_layer.5": "bn3",
    "shortcut_layer.0": "downsample.0",
    "shortcut_layer.1": "downsample.1",
}
ADAFACE_BLOCK = {"res_layer.6.fc1": "res_layer.se_block.fc1", "res_layer.6.fc2": "res_layer.se_block.fc2"}


@dataclass(frozen=True)
class Match:
    """What a state dict was told to be.

    Attributes
    ----------
    source
        Whose layout it is.
    backbone
        One of ``embedlab.networks.backbones.NAMES``.
    width, dimension
        Read off the shapes.
    input_size
        Read off the shapes; None where they leave it open, since features are pooled.
    layout
        What differs from the backbone as embedlab trains it, see `embedlab.networks.residual.Layout`.
    modules
        Our name of a module → theirs, where they differ.
    """

    source: str
    backbone: str
    width: int
    dimension: int
    input_size: int | None
    layout: Mapping[str, Any] = field(default_factory=dict)
    modules: Mapping[str, str] = field(default_factory=dict)

    def theirs(self, key: str) -> str:
        """Name a tensor as the source does."""
        module, _, leaf = key.rpartition(".")
        return f"{self.modules.get(module, module)}.{leaf}"

    @property
    def preset(self) -> str:
        """Name the preset that the source prepares images by."""
        return PRESETS.get(self.source, "insightface")

    @property
    def caution(self) -> str:
        """Say what the file leaves open; empty if nothing is known to be."""
        return CAUTIONS.get(self.source, "")


def prefixes(keys: Sequence[str]) -> list[str]:
    """Find what stands before every key of a network: ``module.``, ``model.``, ``backbone.`` or nothing.

    Returns
    -------
    One for each network of a known layout, sorted.
    """
    return sorted(
        {
            key.removesuffix(anchor)
            for key in keys
            for anchor in ANCHORS
            if key == anchor or key.endswith(f".{anchor}")
        }
    )


def match(shapes: Shapes, where: str) -> Match:
    """Tell a network by the keys and shapes of its state dict, prefix removed.

    Raises
    ------
    UserError
        If it is of no known layout, or of a depth or input that embedlab does not have.
    """
    kind = next((kind for anchor, kind in ANCHORS.items() if anchor in shapes), "")
    if kind == "mobilefacenet":
        return _mobilefacenet(shapes, where)
    if kind == "sphereface":
        return _sphereface(shapes, where)
    if kind == "residual" and "layer1.0.se.fc1.weight" in shapes:
        return _se_resnet(shapes, where)
    return _iresnet(shapes, where) if kind == "residual" else _ir(shapes, where)


def _ir(shapes: Shapes, where: str) -> Match:
    width = _side(shapes, "input_layer.0.weight", 0, where)
    widths = [
        shapes[f"body.{k}.res_layer.1.weight"][0]
        for k in range(len(shapes))
        if shapes.get(f"body.{k}.res_layer.1.weight")
    ]
    blocks = tuple(widths.count(width * 2**stage) for stage in range(4))
    inner = "body.0.res_layer.2.running_mean" in shapes
    affine = "output_layer.4.weight" in shapes
    named = "body.0.res_layer.se_block.fc1.weight" in shapes
    convolved = "body.0.shortcut_layer.0.weight" in shapes
    squeeze = named or f"body.0.res_layer.{6 if inner else 5}.fc1.weight" in shapes
    source = {
        (False, False, False): CAVAFACE,
        (False, True, False): EVOLVE,
        (True, False, False): ADAFACE,
    }.get((inner, affine, convolved), OWN)
    return Match(
        source,
        f"ir_{'se_' if squeeze else ''}{_depth(blocks, len(widths), where)}",
        width,
        _side(shapes, "output_layer.3.weight", 0, where),
        _input(shapes, "output_layer.3.weight", 8 * width, where),
        {
            "inner_norm": inner,
            "first_shortcut": "convolution" if convolved else "subsample",
            "last_affine": affine,
            "linear_bias": "output_layer.3.bias" in shapes,
        },
        _in_blocks(ADAFACE_BLOCK, [f"body.{k}" for k in range(len(widths))]) if named else {},
    )


def _iresnet(shapes: Shapes, where: str) -> Match:
    width = _side(shapes, "conv1.weight", 0, where)
    pattern = re.compile(r"layer([1-4])\.(\d+)\.conv1\.weight")
    found = sorted((int(m[1]), int(m[2])) for m in map(pattern.fullmatch, shapes) if m)
    blocks = tuple(sum(stage == k for stage, _ in found) for k in (1, 2, 3, 4))
    theirs = [f"layer{stage}.{block}" for stage, block in found]
    return Match(
        IRESNET,
        f"ir_{_depth(blocks, len(found), where)}",
        width,
        _side(shapes, "fc.weight", 0, where),
        _input(shapes, "fc.weight", 8 * width, where),
        {
            "inner_norm": True,
            "first_shortcut": "convolution" if "layer1.0.downsample.0.weight" in shapes else "subsample",
            "last_affine": "features.weight" in shapes,
            "linear_bias": "fc.bias" in shapes,
        },
        {**IRESNET_ENDS, **_in_blocks(IRESNET_BLOCK, theirs)},
    )


def _mobilefacenet(shapes: Shapes, where: str) -> Match:
    width = _side(shapes, "conv1.conv.weight", 0, where)
    side = _side(shapes, "conv_6_dw.conv.weight", 2, where)
    dimension = _side(shapes, "linear.weight", 0, where)
    return Match("InsightFace_Pytorch", "mobilefacenet", width, dimension, STRIDE * side)


def _sphereface(shapes: Shapes, where: str) -> Match:
    width = _side(shapes, "conv1_1.weight", 0, where)
    name = "sphereface_20_bn" if "bn1_1.weight" in shapes else "sphereface_20"
    dimension = _side(shapes, "fc5.weight", 0, where)
    return Match(OWN, name, width, dimension, _input(shapes, "fc5.weight", 8 * width, where))


def _se_resnet(shapes: Shapes, where: str) -> Match:
    width = _side(shapes, "conv1.weight", 0, where)
    linear = shapes.get("output_layer.2.weight")
    return Match(OWN, "se_resnet_50", width, linear[0] if linear else 32 * width, None)


def _in_blocks(table: Mapping[str, str], theirs: Sequence[str]) -> dict[str, str]:
    """Write the table of a block out for every block, ours counted through."""
    return {
        f"body.{k}.{ours}": f"{block}.{name}"
        for k, block in enumerate(theirs)
        for ours, name in table.items()
    }


def _depth(blocks: tuple[int, ...], found: int, where: str) -> int:
    depth = next((layers for layers, numbers in BLOCKS.items() if numbers == blocks), None)
    if depth is None or sum(blocks) != found:
        known = ", ".join(f"{layers}: {'+'.join(map(str, b))}" for layers, b in BLOCKS.items())
        raise UserError(
            f"{where} has {'+'.join(map(str, blocks))} residual blocks of {found}, a depth that embedlab "
            f"does not build (it builds {known}): export the network to ONNX instead"
        )
    return depth


def _side(shapes: Shapes, key: str, axis: int, where: str) -> int:
    shape = shapes.get(key, ())
    if len(shape) <= axis or shape[axis] < 1:
        raise UserError(f"{where} lacks a tensor {key} of the shape that tells the network: save it whole")
    return shape[axis]


def _input(shapes: Shapes, key: str, channels: int, where: str) -> int:
    """Read the input's side off the linear layer behind the last feature map."""
    features = _side(shapes, key, 1, where)
    side = isqrt(features // channels)
    if side < 1 or side * side * channels != features:
        raise UserError(
            f"{where} is of a network whose last feature map is no square of {channels} channels ({key} "
            f"takes {features} numbers): embedlab's are; export it to ONNX instead"
        )
    return STRIDE * side
