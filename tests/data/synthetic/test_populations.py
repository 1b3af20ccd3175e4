"""Populations: what is shared and what is not, at which size each level is lost, and the ceilings."""

from itertools import pairwise

import numpy as np
import pytest

from embedlab.data.degradations import prepare
from embedlab.data.synthetic import faces, populations, traits
from embedlab.data.synthetic.populations import DETAILS, DRAWN_SIZE, FAMILIES, SIZES

# Mean red, green and blue of the four quarters of each face, and the spread of its pixels.
DRAWN_BEFORE = {
    144: [
        [107.9, 93.5, 107.3, 125.2, 104.7, 116.2, 99.8, 82.3, 85.5, 108.4, 89.9, 94.5, 32.8],
        [162.8, 100.7, 105.1, 164.5, 120.7, 104.1, 196.0, 113.6, 111.7, 209.5, 147.3, 135.4, 68.9],
        [148.3, 94.8, 98.0, 126.6, 74.9, 73.3, 137.9, 92.8, 83.0, 129.9, 89.8, 73.6, 46.5],
        [141.0, 105.7, 89.3, 137.3, 100.2, 90.3, 172.4, 128.1, 101.6, 155.1, 114.9, 92.4, 49.8],
    ],
    36: [
        [108.4, 93.8, 107.8, 125.5, 104.9, 116.6, 100.2, 82.6, 85.4, 108.2, 90.2, 94.8, 30.8],
        [163.3, 101.4, 105.8, 165.9, 121.5, 105.1, 195.8, 113.8, 111.6, 210.3, 148.1, 135.8, 66.1],
        [148.7, 94.8, 98.2, 126.7, 75.1, 73.1, 137.8, 93.0, 83.5, 130.3, 90.0, 73.4, 44.5],
        [141.5, 106.0, 89.4, 138.3, 100.6, 90.7, 173.0, 128.5, 101.7, 155.4, 114.5, 92.1, 47.3],
    ],
}
RUNGS = (8, 16, 24, 32, 64, 144)


def people(count=400, seed=1):
    return populations.draw_people("families", count, seed)


def told(pixels):
    size = pixels.shape[1]
    quarters = pixels.reshape(-1, 2, size // 2, 2, size // 2, 3).mean(axis=(2, 4)).reshape(-1, 12)
    return np.column_stack([quarters, pixels.std(axis=(1, 2, 3))])


def test_the_easy_population_is_drawn_as_it_was_before_there_was_another():
    """To what processors round differently: a pixel in many, by one step of 255."""
    easy = populations.draw_people("easy", 4, 11)
    how = populations.draw_conditions("easy", 4, 12)
    assert easy.marks is None
    np.testing.assert_array_equal(easy.identities, traits.draw_identities(4, 11))
    np.testing.assert_array_equal(how, traits.draw_nuisances(4, 12))
    for size, before in DRAWN_BEFORE.items():
        drawn = faces.render(easy.identities, how, size).astype(float)
        np.testing.assert_allclose(told(drawn), before, atol=0.1)


def test_the_first_people_of_a_longer_draw_are_those_of_a_shorter_one():
    few, many = people(10), people(50)
    for name in ("identities", "marks", "families", "levels"):
        np.testing.assert_array_equal(getattr(few, name), getattr(many, name)[:10])
    assert not np.array_equal(few.levels, people(10, seed=2).levels)


def test_a_family_shares_every_trait_that_is_no_detail():
    drawn = people()
    detailed = {name for detail in DETAILS for name in detail.traits}
    shared = [k for k, name in enumerate(faces.IDENTITY_TRAITS) if name not in detailed]
    for family in range(FAMILIES):
        own = drawn.identities[drawn.families == family][:, shared]
        assert (own == own[0]).all()
    assert len(np.unique(drawn.identities[:, shared], axis=0)) == FAMILIES


def test_levels_are_as_likely_as_each_other_and_independent():
    drawn = people(6000)
    for detail, level in zip(DETAILS, drawn.levels.T, strict=True):
        np.testing.assert_allclose(np.bincount(level) / 6000, 1 / detail.count, atol=0.03)
    codes = np.column_stack([drawn.families, drawn.levels])
    assert np.abs(np.corrcoef(codes.T) - np.eye(codes.shape[1])).max() < 0.06


def test_traits_and_conditions_lie_within_their_ranges():
    drawn, how = people(), populations.draw_conditions("families", 400, 3)
    for values, table in ((drawn.identities, traits.IDENTITY), (how, traits.NUISANCE)):
        for column, trait in zip(values.T, table, strict=True):
            assert np.float32(trait.low) <= column.min() <= column.max() <= np.float32(trait.high)


@pytest.fixture(scope="module")
def lit():
    """Pictures of people seen from the front under changing light, with blotches and sensor noise."""
    drawn, how = people(360, seed=5), faces.neutral_nuisances(360)
    nature = populations.draw_conditions("families", 360, 6)
    for name in ("light", "light_x", "light_y", "ambient", "noise", "noise_key", "back_pattern"):
        column = faces.NUISANCE_TRAITS.index(name)
        how[:, column] = nature[:, column]
    return drawn, faces.render(drawn.identities, how, marks=drawn.marks)


def told_apart(drawn, pictures, pixels, detail, level):
    """Share of two levels told apart rightly on held-out people, over chance, by ridge regression."""
    number = DETAILS.index(detail)
    rows = np.flatnonzero(np.isin(drawn.levels[:, number], (0, level)))
    small = np.stack([prepare(pictures[k], pixels, pixels) for k in rows]).astype(float) / 255
    s = pixels / DRAWN_SIZE
    x = small[:, int(20 * s) : round(132 * s), int(24 * s) : round(120 * s)].reshape(len(rows), -1)
    for family in range(FAMILIES):
        own = drawn.families[rows] == family
        x[own] -= x[own].mean(axis=0)
    y = np.where(drawn.levels[rows, number] > 0, 1.0, -1.0)
    train = np.arange(len(rows)) < 2 * len(rows) // 3
    best = 0.0
    kernel = x @ x[train].T
    for weight in (1e-3, 1e-2, 1e-1):
        ridge = weight * np.trace(kernel[train]) / train.sum() * np.eye(train.sum())
        said = kernel[~train] @ np.linalg.solve(kernel[train] + ridge, y[train])
        best = max(best, 2 * float((np.sign(said) == y[~train]).mean()) - 1)
    return best


@pytest.mark.parametrize(
    ("detail", "level"),
    [(d, k) for d in DETAILS for k in range(1, d.count)],
    ids=lambda x: getattr(x, "name", x),
)
def test_a_level_is_read_at_its_size_and_lost_in_smaller_pictures(lit, detail, level):
    """Between lies the rung whose pixels are just no larger than the size, where it fades."""
    fading = min(rung for rung in RUNGS if rung * detail.sizes[level] >= DRAWN_SIZE)
    read = min(rung for rung in RUNGS if rung > fading)
    assert told_apart(*lit, read, detail, level) >= 0.5
    for rung in RUNGS:
        if rung < fading:
            assert told_apart(*lit, rung, detail, level) <= 0.5


@pytest.mark.parametrize("pixels", SIZES)
def test_the_ceiling_is_what_a_recogniser_reaches_that_reads_what_is_left(pixels):
    drawn, far, rng = people(220, seed=8), 0.01, np.random.default_rng(0)
    read = [d.read(pixels)[level] for d, level in zip(DETAILS, drawn.levels.T, strict=True)]
    codes = np.column_stack([drawn.families, *read])
    same = (codes[:, None] == codes[None]).all(axis=2)
    apart = ~np.eye(220, dtype=bool)
    # Pairs that look alike are accepted in a random order, until the false accept rate is used up.
    tar, right = [], []
    for _ in range(300):
        impostors = same[apart] + 0.5 * rng.random(apart.sum())
        threshold = np.sort(impostors)[-round(far * apart.sum()) - 1]
        tar.append(((1 + 0.5 * rng.random(220)) > threshold).mean())
        right.append(((same + 0.5 * rng.random(same.shape)).argmax(axis=1) == np.arange(220)).mean())
    found = populations.ceiling(drawn, pixels, far)
    if same[apart].any():
        assert found.tar == pytest.approx(np.mean(tar), abs=0.02)
    assert found.rank1 == pytest.approx(np.mean(right), abs=0.02)


def test_the_share_of_identity_left_is_that_of_the_drawn_codes_entropy():
    many = people(40_000, seed=9)
    levels = [np.bincount(column) / 40_000 for column in (many.families, *many.levels.T)]
    whole = -sum((share * np.log2(share)).sum() for share in levels)
    for pixels in SIZES:
        left = [many.families, *(d.read(pixels)[x] for d, x in zip(DETAILS, many.levels.T, strict=True))]
        shares = [np.bincount(column) / 40_000 for column in left]
        bits = -sum((share[share > 0] * np.log2(share[share > 0])).sum() for share in shares)
        assert populations.ceiling(people(50), pixels).share == pytest.approx(bits / whole, abs=0.01)
    rising = [populations.ceiling(people(), pixels) for pixels in SIZES]
    for name in ("share", "tar", "rank1"):
        assert (np.diff([getattr(one, name) for one in rising]) >= 0).all()
    assert rising[0].share < 0.5
    assert rising[-1].share == 1


def test_doubles_at_fewer_pixels_are_those_at_more_and_others():
    drawn = people()
    for fewer, more in pairwise(SIZES):
        coarse, fine = populations.doubles(drawn, fewer), populations.doubles(drawn, more)
        assert all(len(np.unique(coarse[fine == group])) == 1 for group in np.unique(fine))
    assert len(np.unique(populations.doubles(drawn, 8))) <= len(np.unique(populations.doubles(drawn, 144)))


def test_attributes_are_what_was_drawn():
    drawn = people(30)
    who = np.repeat(np.arange(30), 2)
    how = populations.draw_conditions("families", 60, 4)
    table = populations.attributes(drawn, who, how)
    yaw = how[:, faces.NUISANCE_TRAITS.index("yaw")]
    assert {len(column) for column in table.values()} == {60}
    assert [one == "right" for one in table["yaw"]] == (yaw > 5).tolist()
    assert set(table["skin"]) <= {"light", "medium", "dark"}
    assert len(set(table["family"])) > 1
    for k in range(30):
        assert table["family"][2 * k] == table["family"][2 * k + 1]
        assert table["doubles"][2 * k] == table["doubles"][2 * k + 1]
    groups = [dict(word.split(":") for word in text.split()) for text in table["doubles"]]
    for pixels in SIZES:
        assert [int(one[str(pixels)]) for one in groups] == populations.doubles(drawn, pixels)[who].tolist()
