"""Synthetic faces: alignment, determinism, and what each kind of trait does to the picture."""

import subprocess
import sys

import numpy as np
import pytest

from embedlab.data.synthetic import faces, traits

STRENGTHS = ("mole_1", "mole_2", "mole_3", "freckles", "iris_streaks", "wrinkle_brow", "wrinkle_eye", "pores")


def with_traits(vectors, **values):
    changed = vectors.copy()
    names = faces.IDENTITY_TRAITS if vectors.shape[1] == len(faces.IDENTITY_TRAITS) else faces.NUISANCE_TRAITS
    for name, value in values.items():
        changed[:, names.index(name)] = value
    return changed


def drawn(identities, nuisances, size=144, **keywords):
    return faces.render(identities, nuisances, size, **keywords).astype(float)


def rms(difference):
    return np.sqrt(np.mean(difference**2))


def irises(people, conditions):
    """Columns and rows of both irises of each person, from the pixels that change with their color."""
    brown, grey = (drawn(with_traits(people, iris_hue=hue), conditions) for hue in (0.0, 1.0))
    change = np.abs(brown - grey).sum(axis=-1)
    places = np.arange(144) + 0.5
    found = []
    for half in (slice(0, 72), slice(72, 144)):
        weight = change[:, :, half] / change[:, :, half].sum(axis=(1, 2), keepdims=True)
        found.append((weight.sum(axis=1) @ places[half], weight.sum(axis=2) @ places))
    return np.array(found).transpose(2, 0, 1)


@pytest.fixture(scope="module")
def wide_eyed():
    return with_traits(
        faces.draw_identities(6, 3),
        skin=0.1,
        glasses=0.0,
        hair_style=1,
        eye_height=0.3,
        eye_lower=0.16,
        eye_gap=1.0,
        eye_tilt=0.0,
    )


def test_eyes_lie_48_pixels_apart_around_the_middle(wide_eyed):
    (left, row), (right, other_row) = irises(wide_eyed, faces.neutral_nuisances(6)).transpose(1, 2, 0)
    np.testing.assert_allclose(right - left, 48.0, atol=0.4)
    np.testing.assert_allclose((left + right) / 2, 72.0, atol=0.2)
    np.testing.assert_allclose(row, 63.0, atol=1.0)
    np.testing.assert_allclose(other_row, row, atol=0.2)


def test_the_gap_between_the_eyes_is_its_trait():
    narrow, wide = (
        np.diff(
            irises(
                with_traits(faces.draw_identities(3, 3), glasses=0.0, hair_style=1, eye_gap=gap),
                faces.neutral_nuisances(3),
            )[:, :, 0]
        ).mean()
        for gap in (0.97, 1.03)
    )
    assert wide - narrow == pytest.approx(48 * 0.06, abs=0.4)


@pytest.mark.parametrize("yaw", [-25.0, 25.0])
def test_a_turned_head_is_aligned_on_its_eyes(wide_eyed, yaw):
    turned = with_traits(faces.neutral_nuisances(6), yaw=yaw)
    (left, _), (right, _) = irises(wide_eyed, turned).transpose(1, 2, 0)
    np.testing.assert_allclose(right - left, 48.0, atol=1.2)


def test_yaw_moves_the_nose_to_its_side():
    someone = with_traits(faces.draw_identities(1, 0), glasses=0.0, beard_style=9)
    wide = with_traits(someone, nose_width=0.56)
    slim = with_traits(someone, nose_width=0.3)
    centers = []
    for yaw in (-25.0, 0.0, 25.0):
        conditions = with_traits(faces.neutral_nuisances(1), yaw=yaw)
        change = np.abs(drawn(wide, conditions) - drawn(slim, conditions)).sum(axis=(0, 1, 3))
        centers.append((change * (np.arange(144) + 0.5)).sum() / change.sum())
    assert centers[1] == pytest.approx(72.0, abs=0.5)
    assert centers[0] < centers[1] - 3 < centers[1] + 3 < centers[2]


@pytest.mark.parametrize("size", [36, 50, 144, 160])
def test_pictures_are_uint8_rgb_of_the_asked_size(size):
    pictures = faces.render(faces.draw_identities(2, 0), faces.draw_nuisances(2, 0), size)
    assert pictures.shape == (2, size, size, 3)
    assert pictures.dtype == np.uint8
    assert pictures.std() > 20


def test_no_rows_give_no_pictures():
    assert faces.render(faces.draw_identities(0, 0), faces.draw_nuisances(0, 0), 36).shape == (0, 36, 36, 3)


def test_same_arguments_give_the_same_bits_on_any_number_of_threads():
    who, how = faces.draw_identities(5, 1), faces.draw_nuisances(5, 1)
    np.testing.assert_array_equal(faces.render(who, how, threads=1), faces.render(who, how, threads=2))


@pytest.mark.parametrize("size", [36, 144])
def test_a_picture_does_not_depend_on_the_rows_beside_it(size):
    who, how = faces.draw_identities(7, 2), faces.draw_nuisances(7, 2)
    together = faces.render(who, how, size)
    for i in (0, 3, 6):
        np.testing.assert_array_equal(together[i], faces.render(who[i : i + 1], how[i : i + 1], size)[0])
    np.testing.assert_array_equal(together[::-1], faces.render(who[::-1], how[::-1], size))


def test_drawing_leaves_the_number_of_torch_threads_and_the_global_generators_alone():
    import torch

    threads, state = torch.get_num_threads(), torch.random.get_rng_state()
    legacy = np.random.get_state()[1].copy()  # noqa: NPY002
    faces.render(faces.draw_identities(2, 1), faces.draw_nuisances(2, 1), 36)
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.random.get_rng_state(), state)
    np.testing.assert_array_equal(np.random.get_state()[1], legacy)  # noqa: NPY002


def test_the_seed_changes_the_sensor_noise_alone():
    who = faces.draw_identities(2, 4)
    how = with_traits(faces.draw_nuisances(2, 4), noise=0.02)
    difference = drawn(who, how, seed=1) - drawn(who, how, seed=2)
    assert difference.std() == pytest.approx(255 * 0.02 * np.sqrt(2), rel=0.1)
    assert abs(difference.mean()) < 0.1
    np.testing.assert_array_equal(
        drawn(who, with_traits(how, noise=0.0), seed=1), drawn(who, with_traits(how, noise=0.0), seed=2)
    )


def test_sensor_noise_is_as_strong_in_a_small_picture():
    who = faces.draw_identities(2, 4)
    how = with_traits(faces.draw_nuisances(2, 4), noise=0.02)
    difference = drawn(who, how, 36) - drawn(who, with_traits(how, noise=0.0), 36)
    assert difference.std() == pytest.approx(255 * 0.02, rel=0.1)


def test_people_differ_more_than_noise_does():
    who = faces.draw_identities(6, 5)
    how = with_traits(faces.neutral_nuisances(6), noise=0.03)
    pictures = drawn(who, how)
    again = drawn(who, with_traits(how, noise_key=0.7))
    noise = [rms(a - b) for a, b in zip(pictures, again, strict=True)]
    people = [rms(pictures[i] - pictures[j]) for i in range(6) for j in range(i)]
    assert min(people) > 1.5 * max(noise)


@pytest.mark.parametrize("name", [t.name for t in traits.IDENTITY if not t.fine])
def test_every_coarse_trait_shows(name):
    trait = next(t for t in traits.IDENTITY if t.name == name)
    plain = {"glasses": 0.6, "beard_style": 3, "hair_style": 9, "hair_recede": 0.2}
    someone = with_traits(faces.draw_identities(1, 8), **{k: v for k, v in plain.items() if k != name})
    pair = [with_traits(someone, **{name: value}) for value in (trait.low, trait.high)]
    if name == "hair_length":
        pair = [with_traits(one, hair_style=5) for one in pair]
    if name in ("cheek", "lip_color", "lip_bow", "mouth_corner", "chin_square"):
        pair = [with_traits(one, beard_style=9) for one in pair]
    a, b = (drawn(one, faces.neutral_nuisances(1)) for one in pair)
    assert np.abs(a - b).max() > 12


def test_fine_traits_show_at_144_pixels_and_vanish_at_36():
    who = faces.draw_identities(12, 21)
    bare = with_traits(who, **dict.fromkeys(STRENGTHS, 0.0))
    others = faces.draw_identities(12, 22)
    columns = [faces.IDENTITY_TRAITS.index(name) for name in faces.FINE_TRAITS]
    others[:, columns] = who[:, columns]
    how = faces.neutral_nuisances(12)
    fine, share = {}, {}
    for size in (144, 36):
        pictures = drawn(who, how, size)
        change = pictures - drawn(bare, how, size)
        fine[size] = np.abs(change).max(axis=(1, 2, 3)).mean()
        share[size] = rms(change) / rms(pictures - drawn(others, how, size))
    assert fine[144] > 40
    assert fine[36] < 13
    assert share[36] < 0.02 < share[144]


def test_a_mole_is_a_dark_dot_that_vanishes_in_a_small_picture():
    bare = with_traits(
        faces.draw_identities(8, 21), **dict.fromkeys(STRENGTHS, 0.0), beard_style=9, glasses=0
    )
    moled = with_traits(bare, mole_1=1.0, mole_1_u=0.8, mole_1_v=1.0)
    how = faces.neutral_nuisances(8)
    large = drawn(moled, how) - drawn(bare, how)
    small = drawn(moled, how, 36) - drawn(bare, how, 36)
    assert np.abs(large).max(axis=(1, 2, 3)).mean() > 60
    assert np.abs(small).max(axis=(1, 2, 3)).mean() < 15
    assert large.sum() < 0


def test_freckles_keep_the_average_of_the_skin():
    bare = with_traits(faces.draw_identities(6, 9), freckles=0.0)
    how = faces.neutral_nuisances(6)
    change = drawn(with_traits(bare, freckles=1.0), how) - drawn(bare, how)
    assert np.abs(change).max() > 20
    assert abs(change.mean()) < 0.15


@pytest.mark.parametrize(
    "name", ["yaw", "pitch", "light_x", "light", "smile", "mouth_open", "back_red", "blur"]
)
def test_nuisances_change_the_picture_but_not_who_is_shown(name):
    trait = next(t for t in traits.NUISANCE if t.name == name)
    who = faces.draw_identities(1, 6)
    before = who.copy()
    low, high = (
        drawn(who, with_traits(faces.neutral_nuisances(1), **{name: x})) for x in (trait.low, trait.high)
    )
    assert rms(low - high) > 1.0
    np.testing.assert_array_equal(who, before)


def test_light_from_the_left_lights_the_left_cheek():
    who = with_traits(faces.draw_identities(4, 6), hair_style=1, glasses=0.0, beard_style=9)
    for x, sign in ((-1.2, 1), (1.2, -1)):
        pictures = drawn(who, with_traits(faces.neutral_nuisances(4), light_x=x, ambient=0.2))
        left, right = pictures[:, 80:100, 38:55].mean(), pictures[:, 80:100, 89:106].mean()
        assert sign * (left - right) > 25


@pytest.mark.parametrize(
    ("draw", "table"),
    [(faces.draw_identities, traits.IDENTITY), (faces.draw_nuisances, traits.NUISANCE)],
)
def test_traits_are_independent_reproducible_and_within_their_ranges(draw, table):
    values = draw(4_000, 7)
    assert values.shape == (4_000, len(table))
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values[:100], draw(100, 7))
    assert not np.array_equal(values[:100], draw(100, 8))
    for column, trait in zip(values.T, table, strict=True):
        nonzero = column[column != 0] if trait.law == "rare" else column
        assert nonzero.min() >= np.float32(trait.low)
        assert nonzero.max() <= np.float32(trait.high)
        assert column.std() > 0
        if trait.law == "rare":
            assert np.mean(column == 0) == pytest.approx(trait.zero, abs=0.04)
    correlations = np.corrcoef(values.T) - np.eye(len(table))
    assert np.abs(correlations).max() < 0.08


def test_fine_traits_are_some_of_the_identity_traits():
    assert set(faces.FINE_TRAITS) < set(faces.IDENTITY_TRAITS)
    assert set(STRENGTHS) < set(faces.FINE_TRAITS)
    assert len(set(faces.IDENTITY_TRAITS + faces.NUISANCE_TRAITS)) == len(
        faces.IDENTITY_TRAITS + faces.NUISANCE_TRAITS
    )


def test_wrong_shapes_and_sizes_are_told():
    who, how = faces.draw_identities(2, 0), faces.draw_nuisances(2, 0)
    with pytest.raises(ValueError, match="identities must have shape"):
        faces.render(who[:, 1:], how)
    with pytest.raises(ValueError, match="nuisances must have shape"):
        faces.render(who, how[:1])
    with pytest.raises(ValueError, match="size must lie from 8 to 1024"):
        faces.render(who, how, 4)


def test_the_renderer_has_a_version_and_loads_no_torch():
    assert len(faces.renderer_version()) == 64
    code = (
        "import sys, embedlab.data.synthetic.faces as f; f.renderer_version(); print('torch' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "False"
