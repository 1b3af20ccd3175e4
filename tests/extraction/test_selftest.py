"""The self-test finds planted mistakes, names them, and keeps still where there are none."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from embedlab.data.datasets import open_dataset
from embedlab.errors import UserError
from embedlab.extraction import selftest as module
from embedlab.extraction.selftest import selftest
from embedlab.formats.protocols import PairList
from embedlab.networks.embedder import PRESETS, Preprocessing

SIZE = 8


def drawn(folder, *, people=40, each=5, noise=(40, 90, 1000), symmetric=True):
    """People with patterns: red tells them apart well, green less, blue not at all."""
    draw = np.random.default_rng(0)
    for person in range(people):
        own = draw.integers(0, 256, (SIZE, SIZE, 3)).astype(float)
        for image in range(each):
            pixels = own + draw.normal(0, 1, own.shape) * noise
            if symmetric:
                pixels = np.concatenate([pixels[:, : SIZE // 2], pixels[:, SIZE // 2 - 1 :: -1]], axis=1)
                pixels += draw.normal(0, 3, own.shape)
            path = folder / f"p{person:02d}" / f"{image}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(path)
    return open_dataset(folder)


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """Forty people, five images each, as symmetric as faces are."""
    return drawn(tmp_path_factory.mktemp("faces") / "planted")


@dataclass
class Planted:
    """A model that looks at some planes of its input, and saturates beyond 1."""

    preprocessing: Preprocessing = field(default_factory=lambda: PRESETS["insightface"].at(SIZE))
    planes: tuple[int, ...] = (0,)
    name: str = "planted"
    dimension: int = SIZE * SIZE
    fingerprint: str = "x"
    assumed_preprocessing: bool = False

    def embed(self, images):
        x = self.preprocessing.apply(images)[:, list(self.planes)]
        return np.tanh(3 * x.reshape(len(images), -1)).astype(np.float32)


def trial(found, what):
    return next(each for each in found.trials if each.what.startswith(what))


def test_a_sound_model_is_left_in_peace(people):
    found = selftest(Planted(), people, images=120)
    assert found.warnings == ()
    assert trial(found, "channels swapped").verdict == "worse"
    assert trial(found, "scaled as raw255").verdict == "worse"
    assert trial(found, "scaled as arcface-paper").verdict == "no matter"
    assert (found.images, found.people, found.genuine) == (120, 40, 40 * 3)
    assert found.impostor == 120 * 119 // 2 - 120
    text = found.text()
    assert "so RGB is the order it was trained on" in text
    assert "No other scaling does better than the stated one (RGB, mean 127.5, deviation 127.5)" in text
    assert "Measured on 120 of 200 images of planted, drawn with seed 0: 40 people" in text
    assert "WARNING" not in text


def test_swapped_channels_are_found_and_named(people):
    wrong = Planted(PRESETS["adaface"].at(SIZE), assumed_preprocessing=True)
    found = selftest(wrong, people, images=120)
    assert trial(found, "channels swapped").verdict == "better"
    (warning,) = (line for line in found.warnings if "channels swapped" in line)
    assert "trained on RGB: state the channels so" in warning
    assert "as stated (which was assumed, not stated)" in warning
    assert f"WARNING: {warning}" in found.text()


def test_a_wrong_scaling_is_found_and_the_right_one_named(people):
    found = selftest(Planted(PRESETS["raw255"].at(SIZE)), people, images=120)
    assert trial(found, "scaled as insightface").verdict == "better"
    assert any("probably that of the preset 'insightface'" in line for line in found.warnings)
    assert not any("No other scaling" in line for line in found.sentences)


def test_an_order_that_makes_no_difference_does_not_matter(people):
    found = selftest(Planted(planes=(0, 1, 2)), people, images=80)
    swapped = trial(found, "channels swapped")
    assert (swapped.verdict, swapped.low, swapped.high) == (
        "no matter",
        pytest.approx(0, abs=1e-3),
        pytest.approx(0, abs=1e-3),
    )
    assert any("so the order does not matter to it" in line for line in found.sentences)


def test_a_difference_within_noise_is_called_so(tmp_path):
    few = drawn(tmp_path / "few", people=8, each=2, noise=(60, 60, 60))
    found = selftest(Planted(), few)
    swapped = trial(found, "channels swapped")
    assert swapped.low < 0 < swapped.high
    assert swapped.verdict == "not told apart"
    assert any("within noise: more images may tell" in line for line in found.sentences)


def test_the_figures_are_those_of_all_pairs(people):
    model = Planted()
    found = selftest(model, people, images=400)  # all of them
    assert found.images == len(people)
    vectors = model.embed(np.stack([people.image(k) for k in range(len(people))]))
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    a, b = np.triu_indices(len(people), 1)
    scores, same = (unit @ unit.T)[a, b], people.labels[a] == people.labels[b]
    genuine, impostor = scores[same], scores[~same]
    stated = found.trials[0]
    assert stated.auc == pytest.approx(roc_auc_score(same, scores), abs=1e-4)
    d = (genuine.mean() - impostor.mean()) / np.sqrt((genuine.var() + impostor.var()) / 2)
    assert stated.d_prime == pytest.approx(d, rel=1e-3)
    limit = np.sort(impostor)[::-1][int(1e-3 * len(impostor))]
    assert stated.tar == pytest.approx((genuine > limit).mean(), abs=1e-3)
    assert found.norms == pytest.approx(
        [f(np.linalg.norm(vectors, axis=1)) for f in (np.min, np.median, np.max)], rel=1e-5
    )


def test_equal_seeds_give_equal_results_and_others_another_sample(people):
    first, again, other = (selftest(Planted(), people, images=40, seed=seed) for seed in (3, 3, 4))
    assert first.text() == again.text()
    assert first.trials != other.trials


def test_a_model_that_prefers_images_moved_is_said_to_be_aligned_otherwise(people):
    class Edge(Planted):
        def embed(self, images):
            # Its faces are to lie further down: it looks at what is above only where it is moved down.
            blank = images.copy()
            blank[:, : SIZE // 2 + 1, :, 0] = np.where(
                (images[:, :1] == images[:, 1:2]).all(axis=(1, 2, 3))[:, None, None],
                images[:, : SIZE // 2 + 1, :, 0], 128,
            )  # fmt: skip
            return super().embed(blank)

    found = selftest(Edge(), people, images=120)
    assert trial(found, "shifted").verdict == "better"
    assert any("Its faces are probably to be aligned otherwise" in line for line in found.warnings)


def test_a_mirror_image_less_alike_than_another_photograph_is_a_warning(people, tmp_path):
    line = "A face and its mirror image have a median similarity of"
    assert any(each.startswith(line) for each in selftest(Planted(), people, images=80).sentences)
    uneven = drawn(tmp_path / "uneven", people=10, symmetric=False)
    assert any(each.startswith(line) for each in selftest(Planted(), uneven).warnings)


def test_bad_vectors_are_counted(people):
    class Broken(Planted):
        def embed(self, images):
            vectors = super().embed(images)
            dark = images[:, 0, 0, 0] < 60
            vectors[dark] = np.where(images[dark, 1, 1, :1] < 128, np.nan, 0.0)
            return vectors

    found = selftest(Broken(), people, images=120)
    assert any(" of 120 vectors are zero or not finite" in line for line in found.warnings)
    assert np.isfinite([each.d_prime for each in found.trials]).all()


def test_a_model_without_any_number_is_refused(people):
    broken = Planted()
    broken.embed = lambda images: np.full((len(images), 4), np.nan, np.float32)
    with pytest.raises(UserError, match="zero or not finite for all 40 images"):
        selftest(broken, people, images=40)


def test_a_model_that_does_not_look_is_found(people):
    constant = Planted()
    constant.embed = lambda images: np.ones((len(images), 4), np.float32)
    found = selftest(constant, people, images=40)
    assert any("All images give the same vector" in line for line in found.warnings)


def test_vectors_of_one_length_are_said_to_hold_no_quality(people):
    unit = Planted()

    def embed(images):
        vectors = Planted().embed(images)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    unit.embed = embed
    assert any("norms say nothing of quality" in line for line in selftest(unit, people, images=40).sentences)


@pytest.mark.parametrize("kind", ["noise", "batch"])
def test_vectors_that_change_from_call_to_call_are_found(people, kind):
    draw = np.random.default_rng(0)

    class Unsteady(Planted):
        def embed(self, images):
            vectors = super().embed(images)
            if kind == "noise":
                return vectors + draw.normal(0, 0.2, vectors.shape).astype(np.float32)
            return vectors - 0.5 * vectors.mean(axis=0)  # as BatchNorm in training mode

    found = selftest(Unsteady(), people, images=40)
    assert any("not deterministic, or was left in training mode" in line for line in found.warnings)
    assert not any("not deterministic" in line for line in selftest(Planted(), people, images=40).warnings)


def test_a_model_that_prepares_its_images_itself_is_not_rescaled(people):
    class Own(Planted):
        def embed(self, images):
            return Planted().embed(images)

    found = selftest(Own(), people, images=40)
    assert [each.what for each in found.trials] == [
        "as stated", "channels swapped", "mirrored", "shifted by 1 px"
    ]  # fmt: skip
    assert any("no other scaling was tried" in line for line in found.sentences)


def test_only_images_that_the_pairs_name_are_taken(people):
    items = [people.items[k] for k in range(50)]  # ten people
    pairs = PairList(tuple(items[::2]), tuple(items[1::2]), np.zeros(25, bool))
    found = selftest(Planted(), people, pairs)
    assert (found.images, found.people) == (50, 10)


def test_people_with_two_images_must_be_enough(people, tmp_path):
    pairs = PairList((people.items[0], people.items[5]), (people.items[1], people.items[6]), np.ones(2, bool))
    with pytest.raises(UserError, match="2 people of planted have two readable images in the sample of 4"):
        selftest(Planted(), people, pairs)


def test_images_that_cannot_be_read_are_left_out_and_named(tmp_path, monkeypatch):
    drawn(tmp_path / "some", people=6, each=3)
    (tmp_path / "some" / "p03" / "1.png").write_bytes(b"no picture")
    said = []
    monkeypatch.setattr(module, "say", said.append)
    found = selftest(Planted(), open_dataset(tmp_path / "some"))
    assert found.images == 17
    assert ["p03/1.png" in line for line in said] == [True]


def test_a_real_network_is_better_off_as_it_was_trained(shared_data):
    from embedlab.networks.foreign import open_onnx

    embedder = open_onnx(shared_data / "models" / "edgeface_xxs.onnx", "insightface")
    found = selftest(embedder, open_dataset(shared_data / "orl"), images=40)
    assert trial(found, "scaled as raw255").verdict == "worse"
    # Grey images have no channels to swap.
    assert trial(found, "channels swapped").verdict == "no matter"
