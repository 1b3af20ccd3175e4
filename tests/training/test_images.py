"""Training sees the images that extraction sees, mirrored or not, and says which it left out."""

import numpy as np
import pytest
import torch
from PIL import Image

from embedlab.data.datasets import open_dataset, read_image
from embedlab.data.degradations import prepare
from embedlab.errors import UserError
from embedlab.networks.embedder import Preprocessing
from embedlab.training import images


def straight(n):
    return torch.zeros(n, dtype=torch.bool)


@pytest.mark.parametrize("side", [36, 50, 144])
def test_enlarging_in_torch_agrees_with_pil_to_one_level(side):
    faces = np.random.default_rng(side).integers(0, 256, (2, side, side, 3), dtype=np.uint8)
    ours = images.enlarged(torch.from_numpy(faces).permute(0, 3, 1, 2), 144).permute(0, 2, 3, 1).numpy()
    pil = np.stack(
        [np.asarray(Image.fromarray(f).resize((144, 144), Image.Resampling.BILINEAR)) for f in faces]
    )
    assert np.abs(ours - pil.astype(float)).max() <= 1


@pytest.mark.parametrize("channels", ["RGB", "BGR"])
@pytest.mark.parametrize("side", [20, 32, 45])
def test_a_batch_is_what_extraction_makes_of_the_images(people, side, channels):
    dataset = people("faces", count=2, each=3, side=side)
    contract = Preprocessing(32, channels, std=(100.0, 50.0, 25.0))
    read = images.read([dataset], contract)
    batch = read.batch(torch.tensor([4, 0, 2]), straight(3)).numpy()
    expected = contract.apply(np.stack([prepare(read_image(dataset.path(i)), None, 32) for i in (4, 0, 2)]))
    # One level of 255, on the smallest of the scales.
    assert np.abs(batch - expected).max() <= 1 / 25 + 1e-5
    if side >= 32:
        np.testing.assert_allclose(batch, expected, atol=1e-5)


def test_mirrored_images_are_mirrored_and_the_others_are_not(people):
    read = images.read([people("faces")], Preprocessing(32))
    chosen = torch.tensor([3, 7])
    plain, mixed = read.batch(chosen, straight(2)), read.batch(chosen, torch.tensor([True, False]))
    torch.testing.assert_close(mixed[0], plain[0].flip(-1))
    torch.testing.assert_close(mixed[1], plain[1])


def test_people_of_two_data_sets_are_never_one(people):
    small, large = people("small", count=3, side=20), people("large", count=4, side=40, seed=1)
    read = images.read([small, large], Preprocessing(32))
    assert read.identities == (*(f"small/p{i}" for i in range(3)), *(f"large/p{i}" for i in range(4)))
    assert read.labels.tolist() == [*small.labels.tolist(), *(large.labels + 3).tolist()]
    assert [block.shape[-1] for block in read.blocks] == [20, 32]
    both = read.batch(torch.tensor([0, len(small)]), straight(2))
    alone = images.read([large], Preprocessing(32)).batch(torch.tensor([0]), straight(1))
    torch.testing.assert_close(both[1:], alone)


def test_images_of_many_sizes_all_arrive(tmp_path):
    draw = np.random.default_rng(0)
    sides = range(16, 30)
    for side in sides:
        path = tmp_path / "mixed" / f"p{side % 2}" / f"{side}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (side, side + 5, 3), dtype=np.uint8)).save(path)
    dataset = open_dataset(tmp_path / "mixed")
    contract = Preprocessing(32)
    read = images.read([dataset], contract)
    assert len(read.blocks) <= images.MAX_SIZES + 1
    everything = torch.arange(len(read))
    expected = contract.apply(
        np.stack([prepare(read_image(dataset.path(i)), None, 32) for i in range(len(read))])
    )
    assert np.abs(read.batch(everything, straight(len(read))).numpy() - expected).max() <= 1 / 127.5 + 1e-5


def test_unreadable_images_are_left_out_with_the_reason_or_are_fatal(people):
    dataset = people("faces")
    dataset.path(7).write_bytes(b"broken")
    read = images.read([dataset], Preprocessing(32))
    assert len(read) == len(dataset) - 1
    assert [entry["item"] for entry in read.unreadable] == [f"faces/{dataset.items[7]}"]
    assert read.unreadable[0]["reason"]
    with pytest.raises(UserError, match=r"1 unreadable images \(faces/p1/1.png"):
        images.read([dataset], Preprocessing(32), strict=True)


def test_a_person_without_a_readable_image_is_no_class(people):
    dataset = people("faces", count=3, each=1)
    dataset.path(1).write_bytes(b"broken")
    read = images.read([dataset], Preprocessing(32))
    assert read.identities == ("faces/p0", "faces/p2")
    assert read.labels.tolist() == [0, 1]


def test_one_person_is_not_enough(people):
    dataset = people("faces", count=2, each=1)
    dataset.path(1).write_bytes(b"broken")
    with pytest.raises(UserError, match="1 readable images of 1 people: training needs at least two"):
        images.read([dataset], Preprocessing(32))


def test_the_hash_of_the_identities_is_that_of_the_names(people):
    one, other = people("one"), people("other")
    assert (
        images.read([one], Preprocessing(32)).identities_sha256
        != images.read([other], Preprocessing(32)).identities_sha256
    )
    assert (
        images.read([one, other], Preprocessing(32)).identities_sha256
        == images.read([other, one], Preprocessing(32)).identities_sha256
    )
