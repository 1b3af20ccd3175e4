"""Head geometry of the synthetic faces: pose, outline, height map, light, and drawing helpers.

All per-pixel arithmetic keeps to operations that are rounded exactly (sums, products, quotients,
square roots), so that a pixel's value does not depend on where in a vector register it falls, and
thus a row's picture not on the rows beside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from embedlab.data.synthetic.traits import IDENTITY_TRAITS, NUISANCE_TRAITS, Floats

if TYPE_CHECKING:
    from torch import Tensor

SPAN = 6.0  # face units across the picture
TOP = -16.0 / 6.0  # v of the picture's upper edge: eyes lie 64/144 down
DEPTH = 2.3  # how far the middle of the face lies before the axis
NOISE_CELLS = 128


@dataclass(frozen=True)
class Grid:
    """Pixels of a picture, or of a window of it, in the head's coordinates.

    Parameters
    ----------
    u, v
        Head coordinates of every pixel, ``(n, h, w)``, after undoing pose and misalignment.
    x, y
        The same with the pose left in, for what lies behind the head.
    pixel
        Size of a pixel in face units.
    """

    u: Tensor
    v: Tensor
    x: Tensor
    y: Tensor
    pixel: float

    def window(self, top: float, bottom: float, left: float, right: float) -> tuple[slice, slice]:
        """Give the rows and columns of a window whose edges are in picture coordinates."""
        size = self.u.shape[-1]

        def place(value: float, start: float) -> int:
            return min(size, max(0, round((value - start) / self.pixel)))

        rows = slice(place(top, TOP), place(bottom, TOP))
        return rows, slice(place(left, -SPAN / 2), place(right, -SPAN / 2))

    def crop(self, rows: slice, columns: slice) -> Grid:
        """Give the grid of a window."""
        u, v, x, y = (field[:, rows, columns] for field in (self.u, self.v, self.x, self.y))
        return Grid(u.contiguous(), v.contiguous(), x, y, self.pixel)

    def cover(self, distance: Tensor, soft: float = 0.0) -> Tensor:
        """Turn a signed distance (negative inside) into coverage with an antialiased edge."""
        return (0.5 - distance * (1.0 / (self.pixel + soft))).clamp(0.0, 1.0)


def columns(identities: Floats, nuisances: Floats, device: str) -> dict[str, Tensor]:
    """Give every trait, and the sines, cosines and tangents of the pose, as ``(n, 1, 1)`` tensors."""
    import torch

    values = np.concatenate([identities, nuisances], axis=1)
    table = torch.from_numpy(values).to(device)
    names = IDENTITY_TRAITS + NUISANCE_TRAITS
    fields = {name: table[:, i].reshape(-1, 1, 1) for i, name in enumerate(names)}
    for angle in ("yaw", "pitch", "roll"):
        radians = np.deg2rad(nuisances[:, NUISANCE_TRAITS.index(angle)].astype(np.float64))
        for function in (math.sin, math.cos, math.tan):
            # One by one: vectorised versions round differently in different places.
            values = np.array([function(float(x)) for x in radians], dtype=np.float32)
            name = f"{angle}_{function.__name__}"
            fields[name] = torch.from_numpy(values).to(device).reshape(-1, 1, 1)
    return fields


def bump(squared: Tensor) -> Tensor:
    """Fall smoothly from 1 at 0 to 0 at a squared distance of 1."""
    inside = (1.0 - squared).clamp(min=0.0)
    return inside * inside


def step(value: Tensor, low: float, high: float) -> Tensor:
    """Rise smoothly from 0 at `low` to 1 at `high`."""
    t = ((value - low) * (1.0 / (high - low))).clamp(0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def over(canvas: Tensor, mask: Tensor, color: Tensor) -> None:
    """Lay a color over `canvas` in place where `mask` (``(n, h, w)``) is 1."""
    canvas += mask.unsqueeze(1) * (color - canvas)


def palette(position: Tensor, colors: Sequence[tuple[int, int, int]]) -> Tensor:
    """Interpolate 8-bit sRGB colors; give linear ``(n, 3, 1, 1)`` for positions in 0..1."""
    import torch

    table = torch.tensor(colors, dtype=torch.float32, device=position.device) / 255.0
    place = position.reshape(-1).clamp(0.0, 1.0) * (len(colors) - 1)
    low = place.floor().clamp(max=len(colors) - 2)
    part = (place - low).unsqueeze(1)
    index = low.long()
    mixed = table[index] * (1.0 - part) + table[index + 1] * part
    return (mixed * mixed).reshape(-1, 3, 1, 1)


@lru_cache(maxsize=4)
def _noise_table(device: str) -> Tensor:
    """Give a fixed table of numbers in -1..1 that wraps around at its edges."""
    import torch

    rng = np.random.default_rng(20200517)
    table = rng.uniform(-1.0, 1.0, (NOISE_CELLS, NOISE_CELLS)).astype(np.float32)
    return torch.from_numpy(np.pad(table, ((0, 1), (0, 1)), mode="wrap")).to(device)


def noise(x: Tensor, y: Tensor, pattern: Tensor, round_off: bool = False) -> Tensor:
    """Look up smooth noise in -1..1 with one random number a unit cell.

    Parameters
    ----------
    x, y
        Places, in cells, ``(n, h, w)``.
    pattern
        Number in 0..1 a row, ``(n, 1, 1)``: which part of the noise.
    round_off
        Whether the noise is smooth at the cells' borders too, for contours.
    """
    import torch

    if round_off:
        x, y = _eased(x), _eased(y)
    table = _noise_table(str(x.device))
    # 61.7 and 977.3 spread the patterns over the table in two unrelated ways.
    cell = 1.0 / NOISE_CELLS
    place = torch.empty((*x.shape, 2), device=x.device)
    torch.add(x * cell, pattern * (977.3 * cell), out=place[..., 0])
    torch.add(y * cell, pattern * (61.7 * cell), out=place[..., 1])
    place -= place.floor()
    place *= 2.0
    place -= 1.0
    tables = table.expand(x.shape[0], 1, -1, -1)
    looked = torch.nn.functional.grid_sample(
        tables, place, mode="bilinear", padding_mode="border", align_corners=True
    )
    return looked[:, 0]


def _eased(place: Tensor) -> Tensor:
    """Slow a place down near whole numbers."""
    low = place.floor()
    part = place - low
    return low + part * part * (3.0 - 2.0 * part)


def head_grid(p: dict[str, Tensor], size: int) -> Grid:
    """Undo misalignment and pose: find which point of the head each pixel shows.

    Pictures are aligned on the eyes, so a turned head is enlarged by the inverse cosine of its
    yaw, and points before the plane of the eyes slide sideways against it.
    """
    import torch

    device = p["yaw"].device
    pixel = SPAN / size
    centers = (torch.arange(size, dtype=torch.float32, device=device) + 0.5) * pixel
    x = (centers - SPAN / 2).reshape(1, 1, -1) - p["shift_u"]
    y = (centers + TOP).reshape(1, -1, 1) - p["shift_v"]
    zoom = 1.0 / p["zoom"]
    cos, sin = p["roll_cos"] * zoom, p["roll_sin"] * zoom
    x, y = x * cos + y * sin, y * cos - x * sin
    y = y * p["yaw_cos"]
    tan, sink, lift = p["yaw_tan"], p["pitch_sin"], 1.0 / p["pitch_cos"]
    at_eyes = DEPTH / (1.0 + 0.15 + 0.25 * 0.15)
    u, v = x, y
    for _ in range(3):
        low = v - 0.5
        ahead = DEPTH / (1.0 + 0.15 * u * u + 0.15 * low * low) - at_eyes
        u = x - ahead * tan
        v = (y - ahead * sink) * lift
    return Grid(u, v, x + 1.1 * tan, y + 0.9 * sink, pixel)


@dataclass(frozen=True)
class Outline:
    """Face outline: `distance` is negative inside; `inside` is 1 at the middle, 0 at the edge."""

    distance: Tensor
    inside: Tensor


def face_outline(p: dict[str, Tensor], grid: Grid) -> Outline:
    """Give the outline of skull, cheeks, jaw and chin."""
    import torch

    u, v = grid.u, grid.v
    widest = 0.3
    chin = p["chin"] + 0.16 * p["mouth_open"]
    low = v > widest
    below = 1.0 / (chin - widest)
    above = 1.0 / (widest + 2.2)
    t = torch.where(low, (v - widest) * below, (widest - v) * above)
    jaw = torch.where(low, p["jaw"], torch.full_like(p["jaw"], 0.6))
    square = torch.where(low, p["chin_square"], torch.zeros_like(p["jaw"]))
    slope = torch.where(low, below, torch.full_like(below, above))
    t2 = t * t
    t4 = t2 * t2
    profile = 1.0 - t2 + jaw * (t2 - t4) + square * (t4 - t4 * t4)
    steep = t * (-2.0 + jaw * (2.0 - 4.0 * t2) + square * (4.0 * t2 - 8.0 * t2 * t4)) * slope
    cheek = v - 1.35
    full = p["cheek"] + 0.025 * p["smile"]
    width = p["face_width"] * (1.0 + full * bump(cheek * cheek))
    share = u / width
    value = share * share - profile
    across = 2.0 * share / width
    length = (across * across + steep * steep + 1e-4).sqrt()
    return Outline(value / length, (-value).clamp(0.0, 1.0))


def shade(p: dict[str, Tensor], height: Tensor, pixel: float, gloss: float) -> tuple[Tensor, Tensor]:
    """Light a height map (``(n, h, w)``, face units); give diffuse and specular factors."""
    import torch

    along = torch.zeros_like(height)
    down = torch.zeros_like(height)
    scale = 0.5 / pixel
    along[:, :, 1:-1] = (height[:, :, 2:] - height[:, :, :-2]) * scale
    down[:, 1:-1] = (height[:, 2:] - height[:, :-2]) * scale
    lx, ly = p["light_x"], p["light_y"]
    strength = 1.0 / (lx * lx + ly * ly + 1.0).sqrt()
    inverse = 1.0 / (along * along + down * down + 1.0).sqrt()
    facing = (1.0 - along * lx - down * ly) * inverse * strength
    lit = (facing * 0.9 + 0.1).clamp(min=0.0)
    # Half-way vector between light and viewer, for the soft shine.
    hz = 1.0 + 1.0 / strength
    half = 1.0 / (lx * lx + ly * ly + hz * hz).sqrt()
    shine = ((hz - along * lx - down * ly) * inverse * half).clamp(min=0.0)
    shine = shine * shine
    shine = shine * shine
    shine = shine * shine
    shine = shine * shine
    return p["ambient"] + p["light"] * 1.05 * lit, shine * shine * p["light"] * gloss
