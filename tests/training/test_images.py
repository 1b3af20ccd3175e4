"""Training sees the images that extraction sees, changed as the plan says, from files and packs alike."""

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image

from embedlab.data import packed
from embedlab.data.datasets import open_dataset, read_image
from embedlab.data.degradations import prepare
from embedlab.errors import UserError
from embedlab.networks.embedder import Preprocessing
from embedlab.training import augment, images
from embedlab.training.recipe import Recipe
from embedlab.training.sampling import Epoch, Plan


def plan(chosen, **columns):
    """Show images as they are, but for the columns given."""
    n = len(chosen)
    plain = Plan(
        np.array(chosen), np.zeros(n, bool), np.zeros(n, np.int64), np.ones((n, 3)), np.zeros((n, 4))
    )
    return dataclasses.replace(plain, **{name: np.array(column) for name, column in columns.items()})


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
    batch = read.batch(plan([4, 0, 2])).x.numpy()
    expected = contract.apply(np.stack([prepare(read_image(dataset.path(i)), None, 32) for i in (4, 0, 2)]))
    # One level of 255, on the smallest of the scales.
    assert np.abs(batch - expected).max() <= 1 / 25 + 1e-5
    if side >= 32:
        np.testing.assert_allclose(batch, expected, atol=1e-5)


def test_mirrored_images_are_mirrored_and_the_others_are_not(people):
    read = images.read([people("faces")], Preprocessing(32))
    plain, mixed = read.batch(plan([3, 7])).x, read.batch(plan([3, 7], mirrored=[True, False])).x
    torch.testing.assert_close(mixed[0], plain[0].flip(-1))
    torch.testing.assert_close(mixed[1], plain[1])


def test_people_of_two_data_sets_are_never_one(people):
    small, large = people("small", count=3, side=20), people("large", count=4, side=40, seed=1)
    read = images.read([small, large], Preprocessing(32))
    assert read.identities == (*(f"small/p{i}" for i in range(3)), *(f"large/p{i}" for i in range(4)))
    assert read.labels.tolist() == [*small.labels.tolist(), *(large.labels + 3).tolist()]
    assert [block.side for block in read.blocks] == [20, 32]
    both = read.batch(plan([0, len(small)]))
    alone = images.read([large], Preprocessing(32)).batch(plan([0]))
    torch.testing.assert_close(both.x[1:], alone.x)
    assert both.labels.tolist() == [0, 3]


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
    expected = contract.apply(
        np.stack([prepare(read_image(dataset.path(i)), None, 32) for i in range(len(read))])
    )
    assert np.abs(read.batch(plan(range(len(read)))).x.numpy() - expected).max() <= 1 / 127.5 + 1e-5


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


@pytest.mark.parametrize("side", [20, 32, 45])
def test_a_lower_resolution_is_the_probe_of_that_side(people, side):
    dataset = people("faces", count=2, each=3, side=side)
    read = images.read([dataset], Preprocessing(32))
    made = read.batch(plan(range(6), sides=[0, 8, 11, 19, 31, 200]), pixels=True).pixels
    plain = read.batch(plan(range(6)), pixels=True).pixels
    for i, low in enumerate([0, 8, 11, 19, 31, 0]):
        image = prepare(read_image(dataset.path(i)), None, min(side, 32))
        expected = prepare(image, low or None, 32).transpose(2, 0, 1)
        # Of images as they are enlarging may differ from PIL by one level; lowered ones agree to the bit.
        as_it_is = not 0 < low < min(side, 32)
        assert np.abs(made[i].numpy() - expected.astype(float)).max() <= as_it_is, low
        assert not as_it_is or torch.equal(made[i], plain[i])


@pytest.mark.parametrize("side", [20, 32, 45])
def test_what_resolution_an_image_shows_is_its_own_unless_it_is_shrunk_below_it(people, side):
    read = images.read([people("faces", count=2, each=3, side=side)], Preprocessing(32))
    own = min(side, 32)
    sides = read.sides(plan(range(6), sides=[0, 8, 11, 19, 31, 200])).tolist()
    assert sides == [own, 8, 11, 19, min(31, own), own]


def test_everything_is_done_in_its_order(people):
    dataset = people("faces", side=32)
    contract = Preprocessing(32, "BGR", mean=(10.0, 20.0, 30.0), std=(100.0, 50.0, 25.0))
    read = images.read([dataset], contract)
    columns = {
        "mirrored": [True, False], "sides": [9, 0], "jitter": [[1.2, 0.8, 0.5], [1, 1, 1.5]],
        "erasing": [[0.5, 0.25, 0.0, 1.0], [0, 0, 0, 0]],
    }  # fmt: skip
    asked = plan([3, 7], **columns)
    batch = read.batch(asked, pixels=True)
    x = read.batch(plan([3, 7], sides=[9, 0]), pixels=True).pixels
    x = augment.jittered(augment.flipped(x, asked.mirrored), asked.jitter)
    x = augment.erased(x, asked.erasing, (30.0, 20.0, 10.0))
    torch.testing.assert_close(batch.pixels, x)
    expected = (x.flip(1) - torch.tensor([10.0, 20.0, 30.0])[:, None, None]) / torch.tensor(
        [100.0, 50.0, 25.0]
    )[:, None, None]
    torch.testing.assert_close(batch.x, expected)
    # What is blanked out is nothing to the network.
    assert (batch.x[0, :, :16, -8:] == 0).all()
    assert read.batch(asked).pixels is None


RECIPE = Recipe(
    data="x", input_size=32, batch=8, jitter=0.3, erasing=0.5, low="cross", low_exponents="3+5", seed=4
)


@pytest.mark.parametrize("side", [20, 32, 45])
@pytest.mark.parametrize("placed", ["mapped", "held"])
def test_a_pack_gives_the_very_batches_of_the_files(people, tmp_path, side, placed, monkeypatch):
    dataset = people("faces", side=side)
    dataset.path(5).write_bytes(b"broken")
    pack = packed.pack(dataset, tmp_path / "faces.pack")
    if placed == "held":
        monkeypatch.setattr(images, "_placed", lambda mapped, device: [one.held(7) for one in mapped])
    read = images.read([dataset], Preprocessing(32))
    of_pack = images.read([pack], Preprocessing(32))
    assert (of_pack.identities, of_pack.unreadable) == (read.identities, read.unreadable)
    assert torch.equal(of_pack.labels, read.labels)
    assert isinstance(of_pack.blocks[0], images.Mapped if placed == "mapped" else images.Held)
    epoch = Epoch(RECIPE, read.labels.numpy(), 0)
    for step in range(epoch.steps):
        one, other = (some.batch(epoch.plan(step), pixels=True) for some in (read, of_pack))
        assert torch.equal(one.x, other.x)
        assert torch.equal(one.pixels, other.pixels)
        assert torch.equal(one.labels, other.labels)


def test_packs_and_files_are_trained_on_together(people, tmp_path):
    sets = [people("a", side=20), people("b", side=40, seed=1), people("c", side=24, seed=2)]
    packs = [packed.pack(one, tmp_path / f"{one.name}.pack") for one in sets]
    together = images.read([packs[0], sets[1], packs[2]], Preprocessing(32))
    loose = images.read(sets, Preprocessing(32))
    assert together.identities == loose.identities
    asked = plan(np.random.default_rng(0).permutation(len(loose)))
    assert torch.equal(together.batch(asked).x, loose.batch(asked).x)
    assert torch.equal(together.batch(asked).labels, loose.batch(asked).labels)


def test_nothing_of_a_pack_is_read_before_a_batch_asks(people, tmp_path, monkeypatch):
    pack = packed.pack(people("faces"), tmp_path / "faces.pack")
    monkeypatch.setattr(packed.PackedDataset, "image", None)
    read = images.read([pack], Preprocessing(32))
    assert np.shares_memory(read.blocks[0].images, pack.blocks[0])
    assert read.batch(plan([1])).x.shape == (1, 3, 32, 32)


@pytest.mark.parametrize(("free", "kind"), [(10**9, images.Held), (1000, images.Mapped)])
def test_packs_are_held_on_a_gpu_where_they_fit(people, tmp_path, monkeypatch, free, kind):
    pack = packed.pack(people("faces"), tmp_path / "faces.pack")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (free, free))
    monkeypatch.setattr(
        images.Mapped, "held", lambda one: images.Held(torch.from_numpy(np.array(one.images)))
    )
    assert all(isinstance(one, kind) for one in images.read([pack], Preprocessing(32), "cuda:0").blocks)


def test_what_a_pack_left_out_is_fatal_where_files_would_be(people, tmp_path):
    dataset = people("faces")
    dataset.path(7).write_bytes(b"broken")
    pack = packed.pack(dataset, tmp_path / "faces.pack")
    with pytest.raises(UserError, match=r"1 unreadable images \(faces/p1/1.png"):
        images.read([pack], Preprocessing(32), strict=True)


def test_the_shares_of_two_processes_are_the_whole_batch(people):
    read = images.read([people("faces")], Preprocessing(32))
    whole = Epoch(RECIPE, read.labels.numpy(), 0).plan(1)
    parts = [read.batch(whole.shard(rank, 2), pixels=True) for rank in (0, 1)]
    high, low = zip(*(part.pixels.chunk(2) for part in parts), strict=True)
    torch.testing.assert_close(read.batch(whole, pixels=True).pixels, torch.cat([*high, *low]))
