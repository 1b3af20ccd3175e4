"""A backbone as inference wants it: layers that are linear in a row become one, the vectors stay.

What is folded is exact but for the rounding of float32: BatchNorm into the convolution or linear layer
before it, into the linear layer after it, and into the 3×3 convolution after it. Such a convolution pads
with zeros what BatchNorm has shifted already, so that pixels at the border get less of the shift than
those inside; the difference is taken off the border's rows and columns.

References
----------
Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
Inference", CVPR 2018, §3.2 (folding batch normalisation into the layer before it). Before it:
``torch.nn.utils.fusion``, whose functions are used here.
"""

import copy
import operator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from embedlab.networks.blocks import Backbone
from embedlab.networks.fused import Fused


def folded(network: Backbone) -> nn.Module:
    """Copy a backbone for inference on the CPU; the network itself is left as it is.

    Parameters
    ----------
    network
        One of `embedlab.networks.backbones`, in float32 on the CPU.

    Returns
    -------
    nn.Module
        Takes and gives what the network does in evaluation, to about 1e-6 of the vectors' size; weights in
        the layout ``channels_last``.
    """
    if isinstance(network, Fused):
        parts = network.parts
        network.parts = nn.ModuleList()
        try:
            shell = copy.deepcopy(network)
        finally:
            network.parts = parts
        shell.parts = nn.ModuleList(folded(part) for part in parts if isinstance(part, Backbone))
        return shell.eval()
    traced = _Traced(fx.symbolic_trace(copy.deepcopy(network).eval()))
    traced.without_dropout()
    traced.norms_into_what_precedes()
    traced.norms_into_what_follows()
    traced.weighed_sums()
    return traced.done()


CLOSE = 0.9999
"""The least cosine to a vector of float32 at which one of bfloat16 stands for it."""

TRIED = 16
"""Images on which that is tried."""

WIDE = 256
"""Channels of the widest convolution from which bfloat16 is worth it: narrower networks wait for memory."""


def halved(network: nn.Module, size: int) -> nn.Module | None:
    """Give a folded network in bfloat16, where its vectors stay what they are.

    Parameters
    ----------
    network
        A folded backbone, in float32 on the CPU.
    size
        Pixels of its input.

    Returns
    -------
    nn.Module or None
        Takes and gives float32; None if no convolution is ``WIDE``, or if a vector of ``TRIED`` smooth random
        images has a cosine below ``CLOSE`` to that of float32, as in networks of 50 layers and more.
    """
    if all(layer.out_channels < WIDE for layer in network.modules() if isinstance(layer, nn.Conv2d)):
        return None
    made = Halved(network)
    coarse = torch.rand((TRIED, 3, 8, 8), generator=torch.Generator().manual_seed(0)) * 2 - 1
    images = nn.functional.interpolate(coarse, (size, size), mode="bicubic")
    with torch.inference_mode():
        for i in range(TRIED):
            image = images[i : i + 1].contiguous(memory_format=torch.channels_last)
            if not nn.functional.cosine_similarity(made(image), network(image)).item() >= CLOSE:
                return None
    return made


class Halved(nn.Module):
    """A network's copy that computes in bfloat16."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).to(torch.bfloat16)

    def forward(self, x: Float[Tensor, "n 3 s s"]) -> Float[Tensor, "n d"]:
        """Round the images, and widen the vectors."""
        vectors: Tensor = self.network(x.to(torch.bfloat16))
        return vectors.float()


class ShiftedConv(nn.Module):
    """A BatchNorm and the 3×3 convolution after it, of stride 1 with a border of zeros, as one."""

    def __init__(self, norm: nn.BatchNorm2d, conv: nn.Conv2d) -> None:
        super().__init__()
        scale, shift = _scale_and_shift(norm)
        weight = conv.weight.detach().double()
        # What each of the nine taps adds to an output, of the shift that it is given.
        taps = torch.einsum("oikl,i->okl", weight, shift)
        bias = taps.sum((1, 2)) if conv.bias is None else taps.sum((1, 2)) + conv.bias.detach().double()
        self.conv = copy.deepcopy(conv)
        self.conv.weight = nn.Parameter((weight * scale[:, None, None]).float(), requires_grad=False)
        self.conv.bias = nn.Parameter(bias.float(), requires_grad=False)
        self.rows = nn.Buffer(taps.sum(2).T[[0, 2], :, None].float().contiguous())
        self.columns = nn.Buffer(taps.sum(1).T[[0, 2], :, None].float().contiguous())
        self.corners = nn.Buffer(taps[:, [0, 0, 2, 2], [0, 2, 0, 2]].T.float().contiguous())

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d h w"]:
        """Convolve, and take off what zeros beyond the border would not have added."""
        y: Tensor = self.conv(x)
        y[:, :, 0] -= self.rows[0]
        y[:, :, -1] -= self.rows[1]
        y[:, :, :, 0] -= self.columns[0]
        y[:, :, :, -1] -= self.columns[1]
        # A corner's tap stands in a row and in a column.
        y[:, :, 0, 0] += self.corners[0]
        y[:, :, 0, -1] += self.corners[1]
        y[:, :, -1, 0] += self.corners[2]
        y[:, :, -1, -1] += self.corners[3]
        return y


def _scale_and_shift(norm: _BatchNorm) -> tuple[Tensor, Tensor]:
    """Write a BatchNorm in evaluation as ``scale * x + shift``, in float64."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = (norm.running_var.double() + norm.eps).rsqrt()
    shift = -norm.running_mean.double() * scale
    if norm.affine:
        scale, shift = scale * norm.weight.double(), shift * norm.weight.double() + norm.bias.double()
    return scale.detach(), shift.detach()


def _with_affine(norm: _BatchNorm) -> _BatchNorm:
    """Write out the weight and bias of a BatchNorm that has none: torch's functions want them."""
    if not norm.affine:
        norm = copy.deepcopy(norm)
        norm.weight = nn.Parameter(torch.ones(norm.num_features))
        norm.bias = nn.Parameter(torch.zeros(norm.num_features))
    return norm


def _linear_after(norm: nn.BatchNorm2d, linear: nn.Linear) -> nn.Linear:
    """Fold a BatchNorm over feature maps into the linear layer that takes the maps flattened."""
    scale, shift = _scale_and_shift(norm)
    weight = linear.weight.detach().double().view(linear.out_features, norm.num_features, -1)
    bias = weight.sum(2) @ shift
    if linear.bias is not None:
        bias = bias + linear.bias.detach().double()
    made = nn.Linear(linear.in_features, linear.out_features, device="meta")
    made.weight = nn.Parameter((weight * scale[:, None]).flatten(1).float())
    made.bias = nn.Parameter(bias.float())
    return made


class _Traced:
    """A network as a graph of its layers' calls."""

    def __init__(self, module: fx.GraphModule) -> None:
        self.module = module
        self.graph = module.graph

    def layer(self, node: Any) -> nn.Module | None:
        """Give the layer a node calls, None if it is no call of a layer."""
        is_layer = isinstance(node, fx.Node) and node.op == "call_module"
        return self.module.get_submodule(str(node.target)) if is_layer else None

    def calls(self, *kinds: type[nn.Module]) -> list[fx.Node]:
        return [node for node in self.graph.nodes if isinstance(self.layer(node), kinds)]

    def replace(self, node: fx.Node, layer: nn.Module) -> None:
        self.module.set_submodule(str(node.target), layer)

    def drop(self, node: fx.Node) -> None:
        node.replace_all_uses_with(node.args[0])  # type: ignore[arg-type]
        self.graph.erase_node(node)

    def without_dropout(self) -> None:
        for node in self.calls(nn.Dropout):
            self.drop(node)

    def norms_into_what_precedes(self) -> None:
        for node in self.calls(nn.BatchNorm1d, nn.BatchNorm2d):
            before, norm = node.args[0], self.layer(node)
            assert isinstance(before, fx.Node)
            assert isinstance(norm, _BatchNorm)
            source = self.layer(before)
            if len(before.users) > 1:
                continue
            if isinstance(source, nn.Conv2d):
                self.replace(before, fuse_conv_bn_eval(source, _with_affine(norm)))
                self.drop(node)
            elif isinstance(source, nn.Linear):
                self.replace(before, fuse_linear_bn_eval(source, _with_affine(norm)))
                self.drop(node)

    def norms_into_what_follows(self) -> None:
        for node in self.calls(nn.BatchNorm2d):
            norm = self.layer(node)
            assert isinstance(norm, nn.BatchNorm2d)
            after = self._only_user(node)
            layer = self.layer(after)
            if isinstance(layer, nn.Flatten):
                after = self._only_user(after)
                layer = self.layer(after)
                if not isinstance(layer, nn.Linear):
                    continue
                made: nn.Module = _linear_after(norm, layer)
            elif isinstance(layer, nn.Conv2d) and _is_plain_3x3(layer):
                made = ShiftedConv(norm, layer)
            else:
                continue
            assert after is not None
            self.replace(after, made)
            self.drop(node)

    def weighed_sums(self) -> None:
        """Read and write ``x * weight + shortcut`` once, where squeeze-and-excitation ends."""
        for node in list(self.graph.nodes):
            if node.op != "call_function" or node.target is not operator.add:
                continue
            for product, other in (node.args, node.args[::-1]):
                weighed = isinstance(product, fx.Node) and product.target is operator.mul
                if weighed and len(product.users) == 1:
                    with self.graph.inserting_before(node):
                        both = self.graph.call_function(torch.addcmul, (other, *product.args))
                    node.replace_all_uses_with(both)
                    self.graph.erase_node(node)
                    self.graph.erase_node(product)
                    break

    def done(self) -> nn.Module:
        self.graph.lint()
        self.module.delete_all_unused_submodules()
        self.module.recompile()
        made: nn.Module = self.module.requires_grad_(False)
        return made.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    def _only_user(self, node: fx.Node | None) -> fx.Node | None:
        users = list(node.users) if node is not None else []
        return users[0] if len(users) == 1 else None


def _is_plain_3x3(conv: nn.Conv2d) -> bool:
    shape = (conv.kernel_size, conv.padding, conv.stride, conv.dilation)
    plain = shape == ((3, 3), (1, 1), (1, 1), (1, 1))
    return plain and conv.groups == 1 and conv.padding_mode == "zeros"
