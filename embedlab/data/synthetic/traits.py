"""What a synthetic face is made of: tables of identity and nuisance traits, and their sampling.

Lengths are in *face units*: the eyes of an average face lie 2 units apart, so one unit is
24 pixels in a 144-pixel picture. The origin lies between the eyes, ``v`` points down.
Angles are in degrees. Every trait is drawn independently of all others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Trait:
    """One column of an identity or nuisance vector.

    Parameters
    ----------
    name
        Column name.
    low, high
        Range of the values; no value lies outside.
    law
        ``bell``: normal around the middle of the range with a third of its half-width as
        standard deviation times 1.5, clipped; ``flat``: uniform; ``whole``: uniform whole numbers
        from ``low`` to ``high``; ``rare``: 0 with probability `zero`, otherwise uniform.
    meaning
        What the number does to the picture.
    zero
        Probability of exactly 0 under the law ``rare``.
    fine
        Whether the trait is too small to be seen in a picture of fewer than about 48 pixels.
    """

    name: str
    low: float
    high: float
    law: Literal["bell", "flat", "whole", "rare"]
    meaning: str
    zero: float = 0.0
    fine: bool = False


IDENTITY: tuple[Trait, ...] = (
    Trait("face_width", 1.78, 2.16, "bell", "half-width at the cheekbones"),
    Trait("chin", 2.55, 3.1, "bell", "v of the chin"),
    Trait("jaw", -0.6, 0.8, "bell", "-1 is a pointed jaw, 0 an ellipse, 1 a square one"),
    Trait("chin_square", -0.2, 0.45, "bell", "flatness of the chin"),
    Trait("cheek", -0.07, 0.07, "bell", "hollow (negative) or full cheeks"),
    Trait("skin", 0.0, 1.0, "flat", "0 is the lightest skin, 1 the darkest"),
    Trait("undertone", -1.0, 1.0, "bell", "yellow (negative) or red skin"),
    Trait("blush", 0.0, 1.0, "bell", "redness of cheeks and nose"),
    Trait("eye_gap", 0.97, 1.03, "bell", "u of the eye centres"),
    Trait("eye_width", 0.38, 0.52, "bell", "half-width of the eye opening"),
    Trait("eye_height", 0.19, 0.31, "bell", "height of the upper lid above the eye line"),
    Trait("eye_lower", 0.08, 0.17, "bell", "depth of the lower lid"),
    Trait("eye_tilt", -0.12, 0.24, "bell", "rise of the outer corner per unit"),
    Trait("eye_fold", 0.04, 0.17, "bell", "distance of the lid crease from the lid"),
    Trait("lash", 0.0, 1.0, "flat", "thickness of the lash line"),
    Trait("iris_size", 0.185, 0.235, "bell", "radius of the iris"),
    Trait("iris_hue", 0.0, 1.0, "flat", "brown, hazel, green, blue, grey"),
    Trait("iris_light", 0.7, 1.25, "bell", "lightness of the iris"),
    Trait("brow_height", -0.82, -0.54, "bell", "v of the brow's middle"),
    Trait("brow_thick", 0.05, 0.15, "bell", "half-thickness of the brow"),
    Trait("brow_length", 0.45, 0.68, "bell", "half-length of the brow"),
    Trait("brow_arch", 0.0, 0.32, "bell", "bend of the brow"),
    Trait("brow_slope", -0.15, 0.25, "bell", "rise of the outer end per unit"),
    Trait("brow_dark", 0.35, 1.0, "flat", "density of the brow"),
    Trait("nose_length", 0.95, 1.38, "bell", "v of the nose's base"),
    Trait("nose_width", 0.3, 0.56, "bell", "half-width over the nostrils"),
    Trait("nose_bridge", 0.13, 0.27, "bell", "half-width of the bridge"),
    Trait("nose_height", 0.35, 0.75, "bell", "how far the nose sticks out"),
    Trait("nose_tip", 0.16, 0.3, "bell", "radius of the tip"),
    Trait("mouth_gap", 0.42, 0.72, "bell", "distance from the nose's base to the mouth"),
    Trait("mouth_width", 0.52, 0.88, "bell", "half-width of the mouth at rest"),
    Trait("lip_upper", 0.07, 0.21, "bell", "thickness of the upper lip"),
    Trait("lip_lower", 0.11, 0.29, "bell", "thickness of the lower lip"),
    Trait("lip_bow", 0.0, 0.8, "bell", "depth of the notch in the upper lip"),
    Trait("lip_color", 0.0, 1.0, "flat", "from skin-coloured to red lips"),
    Trait("mouth_corner", -0.08, 0.08, "bell", "rise of the corners at rest"),
    Trait("ear_size", 0.36, 0.58, "bell", "half-height of the ears"),
    Trait("ear_out", 0.0, 0.24, "bell", "how far the ears stand out"),
    Trait("hair_style", 0, 9, "whole", "row of the table of hair styles"),
    Trait("hair_dark", 0.0, 1.0, "flat", "from platinum to black"),
    Trait("hair_red", 0.0, 1.0, "rare", "amount of red", zero=0.7),
    Trait("hair_grey", 0.0, 0.9, "rare", "amount of grey", zero=0.75),
    Trait("hairline", -1.8, -1.22, "bell", "v of the hairline at rest"),
    Trait("hair_peak", -0.1, 0.25, "bell", "widow's peak"),
    Trait("hair_recede", 0.0, 0.45, "rare", "receding temples", zero=0.5),
    Trait("hair_volume", 0.6, 1.5, "bell", "factor of the style's volume"),
    Trait("hair_part", -0.9, 0.9, "flat", "u of the parting"),
    Trait("hair_length", -0.45, 0.45, "flat", "added to the style's length"),
    Trait("hair_pattern", 0.0, 1.0, "flat", "which locks the hair has"),
    Trait("beard_style", 0, 9, "whole", "0 stubble, 1 moustache, 2 goatee, 3 full, from 4 none"),
    Trait("beard_dense", 0.35, 1.0, "flat", "density of the beard"),
    Trait("glasses", 0.0, 1.0, "rare", "0 none, otherwise from round to square", zero=0.85),
    Trait("glasses_size", 0.62, 0.82, "flat", "half-width of a lens"),
    Trait("glasses_shade", 0.0, 1.0, "flat", "from dark to light frames"),
    Trait("age", 0.0, 1.0, "flat", "depth of the folds from nose to mouth and of eye bags"),
    Trait("mole_1", 0.0, 1.0, "rare", "strength of the first mole", zero=0.35, fine=True),
    Trait("mole_1_u", -1.4, 1.4, "flat", "u of the first mole", fine=True),
    Trait("mole_1_v", 0.55, 2.3, "flat", "v of the first mole", fine=True),
    Trait("mole_2", 0.0, 1.0, "rare", "strength of the second mole", zero=0.35, fine=True),
    Trait("mole_2_u", -1.5, 1.5, "flat", "u of the second mole", fine=True),
    Trait("mole_2_v", 0.5, 2.2, "flat", "v of the second mole", fine=True),
    Trait("mole_3", 0.0, 1.0, "rare", "strength of the third mole", zero=0.5, fine=True),
    Trait("mole_3_u", -1.2, 1.2, "flat", "u of the third mole", fine=True),
    Trait("mole_3_v", -1.2, -0.9, "flat", "v of the third mole", fine=True),
    Trait("freckles", 0.0, 1.0, "rare", "strength of the freckles", zero=0.5, fine=True),
    Trait("freckle_pattern", 0.0, 1.0, "flat", "where the freckles lie", fine=True),
    Trait("iris_streaks", 0.2, 1.0, "flat", "contrast of the iris's streaks", fine=True),
    Trait("iris_pattern", 0.0, 1.0, "flat", "where the iris's streaks lie", fine=True),
    Trait("wrinkle_brow", 0.0, 1.0, "rare", "depth of the forehead's lines", zero=0.4, fine=True),
    Trait("wrinkle_shape", 0.0, 1.0, "flat", "course of the forehead's lines", fine=True),
    Trait("wrinkle_eye", 0.0, 1.0, "rare", "depth of the crow's feet", zero=0.4, fine=True),
    Trait("pores", 0.2, 1.0, "flat", "strength of the skin's grain", fine=True),
    Trait("pore_pattern", 0.0, 1.0, "flat", "which grain the skin has", fine=True),
)

NUISANCE: tuple[Trait, ...] = (
    Trait("yaw", -27.0, 27.0, "flat", "turn of the head to the picture's right"),
    Trait("pitch", -13.0, 13.0, "bell", "turn of the head downwards"),
    Trait("roll", -4.0, 4.0, "bell", "tilt left over after alignment"),
    Trait("shift_u", -0.08, 0.08, "bell", "error of the alignment to the right"),
    Trait("shift_v", -0.08, 0.08, "bell", "error of the alignment downwards"),
    Trait("zoom", 0.97, 1.03, "bell", "error of the alignment's scale"),
    Trait("light_x", -1.3, 1.3, "flat", "light from the left (negative) or the right"),
    Trait("light_y", -0.9, 0.45, "flat", "light from above (negative) or below"),
    Trait("light", 0.45, 1.05, "flat", "strength of the directed light"),
    Trait("ambient", 0.14, 0.5, "flat", "strength of the light from everywhere"),
    Trait("exposure", 0.75, 1.25, "bell", "factor of all light"),
    Trait("warmth", -0.16, 0.16, "bell", "blue (negative) or orange cast"),
    Trait("tint", -0.07, 0.07, "bell", "magenta (negative) or green cast"),
    Trait("smile", -0.2, 1.0, "flat", "frown (negative) or smile"),
    Trait("mouth_open", 0.0, 1.0, "rare", "opening of the mouth", zero=0.45),
    Trait("eye_open", 0.6, 1.12, "bell", "factor of the lids' opening"),
    Trait("brow_raise", -0.08, 0.14, "bell", "rise of the brows"),
    Trait("gaze_u", -0.12, 0.12, "bell", "gaze to the right"),
    Trait("gaze_v", -0.05, 0.05, "bell", "gaze downwards"),
    Trait("hair_tousle", -0.16, 0.16, "bell", "shift of hairline, parting and locks"),
    Trait("back_red", 0.08, 0.9, "flat", "red of the background"),
    Trait("back_green", 0.08, 0.9, "flat", "green of the background"),
    Trait("back_blue", 0.08, 0.9, "flat", "blue of the background"),
    Trait("back_pattern", 0.0, 1.0, "flat", "which blurred shapes the background has"),
    Trait("cloth_red", 0.05, 0.9, "flat", "red of the clothes"),
    Trait("cloth_green", 0.05, 0.9, "flat", "green of the clothes"),
    Trait("cloth_blue", 0.05, 0.9, "flat", "blue of the clothes"),
    Trait("blur", 0.0, 0.9, "rare", "blur of the lens, 1 a standard deviation of 1 px", zero=0.4),
    Trait("noise", 0.004, 0.03, "flat", "standard deviation of the sensor noise, 1 is white"),
    Trait("noise_key", 0.0, 1.0, "flat", "which sensor noise"),
)

MARK: tuple[str, ...] = ("u", "v", "width", "height", "period", "strength")
"""Spotted skin on both sides of the face: where it lies and how far it reaches, and how its spots are."""

IDENTITY_TRAITS: tuple[str, ...] = tuple(trait.name for trait in IDENTITY)
NUISANCE_TRAITS: tuple[str, ...] = tuple(trait.name for trait in NUISANCE)
FINE_TRAITS: tuple[str, ...] = tuple(trait.name for trait in IDENTITY if trait.fine)


def _draw(traits: tuple[Trait, ...], count: int, seed: int, stream: int) -> Floats:
    """Draw `count` rows, one column per trait."""
    rng = np.random.default_rng([seed, stream])
    # All columns of a row are drawn before the next row, so that row i of a longer draw is row i
    # of a shorter one.
    uniform = rng.random((count, len(traits), 3))
    columns = []
    for index, trait in enumerate(traits):
        first, second, third = uniform[:, index].T
        if trait.law == "bell":
            # The sum of three uniforms is close to normal, and bounded.
            unit = (first + second + third) / 3
            unit = 0.5 + (unit - 0.5) * 1.35
        elif trait.law == "whole":
            columns.append(np.floor(trait.low + first * (trait.high - trait.low + 1)))
            continue
        else:
            unit = first
        value = np.clip(trait.low + unit * (trait.high - trait.low), trait.low, trait.high)
        if trait.law == "rare":
            value = np.where(second < trait.zero, 0.0, value)
        columns.append(value)
    return np.stack(columns, axis=1).astype(np.float32)


def draw_identities(count: int, seed: int) -> Floats:
    """Draw people.

    Parameters
    ----------
    count
        Number of people.
    seed
        Seed; the first rows of a longer draw equal a shorter draw with the same seed.

    Returns
    -------
    float32 array of shape ``(count, len(IDENTITY_TRAITS))``
        One person a row; `IDENTITY` says what each column means and its range.
    """
    return _draw(IDENTITY, count, seed, 1)


def draw_nuisances(count: int, seed: int) -> Floats:
    """Draw what differs between pictures of one person: pose, light, expression, camera.

    Parameters
    ----------
    count
        Number of pictures.
    seed
        Seed; the first rows of a longer draw equal a shorter draw with the same seed.

    Returns
    -------
    float32 array of shape ``(count, len(NUISANCE_TRAITS))``
        One picture a row; `NUISANCE` says what each column means and its range.
    """
    return _draw(NUISANCE, count, seed, 2)


def neutral_nuisances(count: int) -> Floats:
    """Give the conditions of a passport picture: frontal, evenly lit, at rest, without noise.

    Parameters
    ----------
    count
        Number of (equal) rows.

    Returns
    -------
    float32 array of shape ``(count, len(NUISANCE_TRAITS))``
    """
    plain = {
        "zoom": 1.0,
        "light_y": -0.35,
        "light": 0.7,
        "ambient": 0.4,
        "exposure": 1.0,
        "eye_open": 1.0,
        "back_red": 0.6,
        "back_green": 0.65,
        "back_blue": 0.7,
        "cloth_red": 0.25,
        "cloth_green": 0.3,
        "cloth_blue": 0.45,
    }
    row = np.array([plain.get(name, 0.0) for name in NUISANCE_TRAITS], dtype=np.float32)
    return np.tile(row, (count, 1))
