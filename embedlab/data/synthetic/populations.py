"""Populations: which people are drawn, and how many of them a blurred picture can still tell apart.

In the population ``easy`` each trait of a person is drawn by itself, so hair and skin tell people apart at
any size. In ``families`` they do not: a family shares whatever is coarse, and within it a person is one
level of each of `DETAILS`. A level has a size in pixels of the 144-pixel picture: it can be read in a
picture whose pixels are no larger, and is lost in others. So it is known who is whose double at how many
pixels, and what the best recogniser could do there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from embedlab.data.synthetic import traits
from embedlab.data.synthetic.traits import IDENTITY_TRAITS, NUISANCE, NUISANCE_TRAITS, Floats

Population = Literal["easy", "families"]
POPULATIONS: tuple[Population, ...] = get_args(Population)
Ints = npt.NDArray[np.int64]
Place = tuple[float, float]

DRAWN_SIZE = 144
FAMILIES = 8
UNIT = 24.0
"""Pixels of the 144-pixel picture to a face unit."""


@dataclass(frozen=True)
class Detail:
    """Something about a face that has few levels, all as likely.

    Parameters
    ----------
    name
        What it is.
    sizes
        For each level, how many pixels of the 144-pixel picture a pixel may be large before the level looks
        like the first one.
    traits
        Trait → its value at each level.
    area
        Where the skin is spotted, on both sides of the face: u, v, and how far that reaches.
    """

    name: str
    sizes: tuple[float, ...]
    traits: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    area: tuple[float, float, float, float] | None = None

    @property
    def count(self) -> int:
        """How many levels there are."""
        return len(self.sizes)

    def read(self, pixels: int) -> Ints:
        """Give the level that each level looks like in pictures of so many pixels."""
        seen = np.array(self.sizes) * pixels >= DRAWN_SIZE
        return np.where(seen, np.arange(self.count), 0)


# Sizes are measured: tests/data/synthetic/test_populations.py reads each level off the pixels by regression.
_SPOTTED = (0.0, 2.25, 4.5, 6.0)
PERIODS = (6.0, 5.5, 10.0, 13.5)
"""Pixels from one dark spot to the next at each level; the first level has none."""

DETAILS: tuple[Detail, ...] = (
    Detail("mouth width", (0.0, 18.0), {"mouth_width": (0.58, 0.84)}),
    Detail("brow thickness", (0.0, 18.0), {"brow_thick": (0.055, 0.14)}),
    Detail("eye tilt", (0.0, 9.0), {"eye_tilt": (-0.08, 0.2)}),
    Detail("lid crease", (0.0, 9.0), {"eye_fold": (0.05, 0.16)}),
    Detail("forehead", _SPOTTED, area=(0.0, -1.25, 1.5, 0.55)),
    Detail("cheeks", (0.0, 2.25, 4.5, 9.0), area=(1.2, 0.95, 0.75, 0.75)),
    Detail("nose", _SPOTTED, area=(0.0, 0.65, 0.55, 0.8)),
    Detail("chin", _SPOTTED, area=(0.0, 2.4, 1.1, 0.6)),
)
STRENGTH = 0.22

# What all people share, because it would tell them apart at any size, or would hide a detail.
_SHARED = {
    "glasses": 0.0, "beard_style": 9.0, "age": 0.2, "chin": 2.95, "hairline": -1.7, "hair_peak": 0.0,
    "hair_recede": 0.0, "hair_volume": 0.9, "brow_length": 0.56, "brow_arch": 0.12, "brow_dark": 0.9,
    "brow_height": -0.68, "brow_slope": 0.05, "eye_gap": 1.0, "eye_width": 0.46,
    "eye_height": 0.25, "eye_lower": 0.12, "lash": 0.5, "iris_size": 0.22, "iris_streaks": 0.6,
    "nose_bridge": 0.2, "nose_height": 0.55, "nose_length": 1.15, "nose_width": 0.42, "nose_tip": 0.22,
    "mouth_gap": 0.58, "mouth_corner": 0.0, "lip_upper": 0.13, "lip_lower": 0.2, "lip_bow": 0.4,
    "lip_color": 0.5, "mole_1": 0.0, "mole_2": 0.0, "mole_3": 0.0, "freckles": 0.0, "wrinkle_brow": 0.0,
    "wrinkle_eye": 0.0, "pores": 0.3,
}  # fmt: skip
_STYLES = (1, 2, 4, 6, 7, 8, 9)  # No fringe hides the birthmark.

# Share of its range that a nuisance keeps, so that what differs is pose, light and expression.
_NARROWED = {
    "yaw": 0.6, "pitch": 0.6, "light_x": 0.7, "light_y": 0.7, "exposure": 0.5, "warmth": 0.4, "tint": 0.4,
    "eye_open": 0.5, "hair_tousle": 0.5, "back_red": 0.15, "back_green": 0.15, "back_blue": 0.15,
    "cloth_red": 0.2, "cloth_green": 0.2, "cloth_blue": 0.2,
}  # fmt: skip


@dataclass(frozen=True)
class People:
    """People as the renderer takes them, and what is known of them.

    Attributes
    ----------
    identities
        Traits, ``(n, len(IDENTITY_TRAITS))``.
    marks
        Spots on the skin, ``(n, k, len(MARK))``; None in the population ``easy``.
    families
        Number of each one's family, ``(n,)``; None in the population ``easy``.
    levels
        Level of each of `DETAILS`, ``(n, len(DETAILS))``; None in the population ``easy``.
    """

    identities: Floats
    marks: Floats | None = None
    families: Ints | None = None
    levels: Ints | None = None


def draw_people(population: Population, count: int, seed: int) -> People:
    """Draw people.

    Parameters
    ----------
    population
        One of ``POPULATIONS``.
    count
        Number of people.
    seed
        Seed; the first people of a longer draw equal a shorter draw with the same seed.
    """
    if population == "easy":
        return People(traits.draw_identities(count, seed))
    uniform = np.random.default_rng([seed, 3]).random((count, 1 + len(DETAILS)))
    sizes = np.array([FAMILIES, *(detail.count for detail in DETAILS)])
    drawn = (uniform * sizes).astype(np.int64)
    families, levels = drawn[:, 0], drawn[:, 1:]
    identities, marks = _families()[families], []
    for detail, level in zip(DETAILS, levels.T, strict=True):
        for name, values in detail.traits.items():
            identities[:, IDENTITY_TRAITS.index(name)] = np.array(values, np.float32)[level]
        if detail.area:
            areas = np.tile(np.array(detail.area, np.float32), (count, 1))
            periods = np.array(PERIODS, np.float32)[level] / UNIT
            marks.append(np.column_stack([areas, periods, np.where(level, np.float32(STRENGTH), 0.0)]))
    return People(identities, np.stack(marks, axis=1).astype(np.float32), families, levels)


def _families() -> Floats:
    """Give a row of traits for each family: the same ones whatever the seed, light and dark in turn."""
    table = traits.draw_identities(FAMILIES, 7)
    rank = np.arange(FAMILIES)
    spread = {
        "hair_style": np.array(_STYLES)[rank % len(_STYLES)],
        "skin": (rank * 5 % FAMILIES) / (FAMILIES - 1),
        "hair_dark": (rank * 3 % FAMILIES) / (FAMILIES - 1),
    }
    for name, value in (_SHARED | spread).items():
        table[:, IDENTITY_TRAITS.index(name)] = value
    return table


def draw_conditions(population: Population, count: int, seed: int) -> Floats:
    """Draw what differs between pictures of one person, ``(count, len(NUISANCE_TRAITS))``."""
    table = traits.draw_nuisances(count, seed)
    if population == "easy":
        return table
    for column, trait in zip(table.T, NUISANCE, strict=True):
        if trait.name in _NARROWED:
            middle = np.float32((trait.low + trait.high) / 2)
            column[:] = middle + (column - middle) * np.float32(_NARROWED[trait.name])
    return table


def doubles(people: People, pixels: int) -> Ints:
    """Give a number to each group of people who look alike in pictures of so many pixels.

    Parameters
    ----------
    people
        Of the population ``families``.
    pixels
        Side of the pictures.

    Returns
    -------
    int64 array of shape ``(n,)``
    """
    assert people.levels is not None
    assert people.families is not None
    read = [detail.read(pixels)[level] for detail, level in zip(DETAILS, people.levels.T, strict=True)]
    seen = np.column_stack([people.families, *read])
    return np.unique(seen, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)


@dataclass(frozen=True)
class Ceiling:
    """What the best recogniser could do that reads every trait which a resolution leaves, and no other.

    Attributes
    ----------
    pixels
        Side of the pictures.
    share
        Share of the identity's bits that are left: of the entropy of family and details.
    tar
        Share of genuine pairs accepted at the false accept rate asked for.
    rank1
        How often the right person of a gallery of all of them comes first.
    """

    pixels: int
    share: float
    tar: float
    rank1: float


def ceiling(people: People, pixels: int, far: float = 1e-3) -> Ceiling:
    """Say how far people can be told apart in pictures of so many pixels, from their traits alone.

    Two pictures with the same readable traits look alike, so the best recogniser accepts pairs with the same
    traits, as many of them as the false accept rate allows, and guesses among doubles.

    Parameters
    ----------
    people
        At least two, of the population ``families``.
    pixels
        Side of the pictures.
    far
        False accept rate, weighing any two people the same.
    """
    alike = np.bincount(doubles(people, pixels))
    n = alike.sum()
    mistaken = (alike * (alike - 1)).sum() / (n * (n - 1))
    left, whole = (
        np.log2(FAMILIES) + sum(map(_bits, (d.read(side) for d in DETAILS))) for side in (pixels, DRAWN_SIZE)
    )
    tar = 1.0 if mistaken <= far else far / mistaken
    return Ceiling(pixels, float(left / whole), float(tar), len(alike) / float(n))


def _bits(read: Ints) -> float:
    """Give the entropy of what levels, all as likely, look like."""
    shares = np.bincount(read) / len(read)
    return float(-(shares[shares > 0] * np.log2(shares[shares > 0])).sum())


SIZES = (8, 16, 24, 32, 64, DRAWN_SIZE)
"""Sides in pixels at which doubles and ceilings are written beside the pictures."""


def attributes(people: People, who: Ints, conditions: Floats) -> dict[str, list[str]]:
    """Name what is known of each picture, in words: columns of a table.

    Parameters
    ----------
    people
        Who is shown.
    who
        Row of each picture's person.
    conditions
        How each is shown, a row a picture.

    Returns
    -------
    The columns ``skin``, ``yaw``, ``light`` and ``expression``; of the population ``families`` also
    ``family`` and ``doubles``: at each number of pixels the group of people who look alike, as in
    ``8:3 16:17``.
    """
    tone = people.identities[:, IDENTITY_TRAITS.index("skin")]
    column = {name: conditions[:, NUISANCE_TRAITS.index(name)] for name in ("yaw", "light_x", "smile")}
    opened = conditions[:, NUISANCE_TRAITS.index("mouth_open")] > 0.5
    face = np.where(opened, "open mouth", np.where(column["smile"] > 0.4, "smiling", "at rest"))
    found = {
        "skin": [("light", "medium", "dark")[min(2, int(3 * tone[k]))] for k in who],
        "yaw": _sides(column["yaw"], 5.0),
        "light": _sides(column["light_x"], 0.3),
        "expression": [str(one) for one in face],
    }
    if people.families is None:
        return found
    groups = {pixels: doubles(people, pixels) for pixels in SIZES}
    alike = [" ".join(f"{pixels}:{groups[pixels][k]}" for pixels in SIZES) for k in range(len(tone))]
    return {
        "family": [f"family {chr(ord('A') + int(people.families[k]))}" for k in who],
        **found,
        "doubles": [alike[k] for k in who],
    }


def _sides(values: Floats, middle: float) -> list[str]:
    return ["left" if one < -middle else "right" if one > middle else "middle" for one in values.tolist()]
