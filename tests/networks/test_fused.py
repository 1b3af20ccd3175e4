"""Fused networks add up or join what their parts see, each part at its own size."""

import numpy as np
import pytest
import torch
from PIL import Image

from embedlab.errors import UserError
from embedlab.networks import backbones
from embedlab.networks.fused import Fused, brought
from tests.networks.drawn import built, images


def part(size: int, dimension: int = 4, seed: int = 0, name: str = "ir_se_18"):
    return built(name, seed, input_size=size, width=2, dimension=dimension)


def resized(x, size):
    """Resize each channel by PIL's bilinear filter, in floating point."""
    planes = [
        Image.fromarray(plane).resize((size, size), Image.Resampling.BILINEAR)
        for plane in x.flatten(0, 1).numpy()
    ]
    return torch.from_numpy(np.stack([np.asarray(plane) for plane in planes])).view(*x.shape[:2], size, size)


@pytest.mark.parametrize(("size", "to"), [(48, 32), (144, 32), (32, 48), (36, 144), (33, 17), (48, 48)])
def test_images_are_resized_as_pil_does(size, to):
    torch.testing.assert_close(brought(images(size), to), resized(images(size), to), atol=1e-5, rtol=0)


def test_an_image_of_the_right_size_is_not_touched():
    x = images(32)
    assert brought(x, 32) is x


def test_the_sum_is_that_of_the_parts_at_their_own_sizes():
    small, large = part(32, seed=1), part(48, seed=2)
    network = Fused([large, small]).eval()
    assert (network.input_size, network.dimension) == (48, 4)
    with torch.inference_mode():
        expected = large(images(48)) + small(resized(images(48), 32))
        torch.testing.assert_close(network(images(48)), expected, atol=1e-4, rtol=1e-4)


def test_concatenated_embeddings_keep_the_order_of_the_parts():
    small, large = part(32, 3), part(48, 5)
    network = Fused([small, large], "concatenate").eval()
    assert (network.input_size, network.dimension) == (48, 8)
    with torch.inference_mode():
        expected = torch.cat([small(resized(images(48), 32)), large(images(48))], dim=1)
        torch.testing.assert_close(network(images(48)), expected, atol=1e-4, rtol=1e-4)


def test_a_part_sees_the_shrunk_image_at_its_own_size():
    first, second = part(48, seed=1), part(48, seed=2)
    network = Fused([first, second], shrink=(20, 0)).eval()
    with torch.inference_mode():
        shrunk = resized(resized(images(48), 20), 48)
        expected = first(shrunk) + second(images(48))
        torch.testing.assert_close(network(images(48)), expected, atol=1e-4, rtol=1e-4)
        assert not torch.allclose(expected, first(images(48)) + second(images(48)), atol=1e-2)


def test_shrinking_to_more_than_there_is_leaves_the_image_as_it_is():
    network, plain = (Fused([part(32)], shrink=shrink).eval() for shrink in ((64,), ()))
    assert torch.equal(network(images(32)), plain(images(32)))


def test_parts_of_any_kind_and_fused_ones_are_fused():
    inner = Fused([part(16, 3), part(32, 3, name="mobilefacenet")])
    network = Fused([inner, part(32, 2, name="sphereface_20")], "concatenate", shrink=(16, 0)).eval()
    again = backbones.rebuild(backbones.describe(network)).eval()
    again.load_state_dict(network.state_dict())
    assert torch.equal(network(images(32)), again(images(32)))
    assert network.dimension == 5


def test_the_parts_learn_through_the_sum():
    network = Fused([part(16, name="sphereface_20"), part(32, name="sphereface_20")]).train()
    network(images(32)).square().sum().backward()
    assert all(p.grad is not None for p in network.parameters())


@pytest.mark.parametrize(
    ("dimensions", "fusion", "shrink", "match"),
    [
        ((), "sum", (), "no parts: name the trained models"),
        ((3, 4), "sum", (), "lengths 3, 4 cannot be added up.*fusion = concatenate"),
        ((3, 3), "product", (), "unknown fusion 'product': choose sum or concatenate"),
        ((3, 3), "sum", (20,), "shrink is 20 for 2 parts: give each part one number"),
        ((3, 3), "sum", (20, -1), r"shrink is 20\+-1 for 2 parts: give each part one number"),
    ],
)
def test_parts_that_do_not_fit_are_told(dimensions, fusion, shrink, match):
    with pytest.raises(UserError, match=match):
        Fused([part(16, dimension) for dimension in dimensions], fusion, shrink)
