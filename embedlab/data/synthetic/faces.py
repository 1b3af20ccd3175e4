"""Synthetic faces: portraits of people who do not exist, drawn from numbers.

A picture is a function of an identity vector (who), a nuisance vector (pose, light, expression,
background, camera) and a seed (sensor noise). All pictures are aligned: eyes lie a third of the
picture's width apart, at 4/9 of its height.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from embedlab.data.synthetic import face_hair, face_head, face_parts
from embedlab.data.synthetic.traits import (
    FINE_TRAITS,
    IDENTITY_TRAITS,
    MARK,
    NUISANCE_TRAITS,
    Floats,
    draw_identities,
    draw_nuisances,
    neutral_nuisances,
)

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "FINE_TRAITS",
    "IDENTITY_TRAITS",
    "MARK",
    "NUISANCE_TRAITS",
    "draw_identities",
    "draw_nuisances",
    "neutral_nuisances",
    "render",
    "renderer_version",
]

DRAWN_SIZE = 144
# Few enough that the fields of a chunk stay in a core's cache, and enough that calls cost little beside them.
CHUNK_CPU = ((100, 4), (0, 16))  # From this side of the scene in pixels, so many at once.
CHUNK_GPU = 64


def renderer_version() -> str:
    """Give the sha256 of the renderer's source text, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for name in (
        "traits.py",
        "populations.py",
        "face_head.py",
        "face_parts.py",
        "face_hair.py",
        "faces.py",
    ):
        digest.update(Path(__file__).with_name(name).read_bytes())
    return digest.hexdigest()


def render(
    identities: Floats,
    nuisances: Floats,
    size: int = DRAWN_SIZE,
    *,
    marks: Floats | None = None,
    seed: int = 0,
    device: str = "cpu",
    threads: int | None = None,
) -> npt.NDArray[np.uint8]:
    """Draw faces.

    Below 144 pixels the scene is drawn at twice the size (at most 144) and then shrunk with an
    antialiasing filter to `size`, where the sensor noise is added, as a camera of that resolution
    would.

    Parameters
    ----------
    identities
        Who is shown, ``(n, len(IDENTITY_TRAITS))``.
    nuisances
        How they are shown, ``(n, len(NUISANCE_TRAITS))``.
    size
        Width and height in pixels, from 8 to 1024.
    marks
        Spots on the skin, ``(n, k, len(MARK))``; None draws none.
    seed
        Seed of the sensor noise; together with a row's ``noise_key`` it fixes that row's noise.
    device
        Torch device that draws.
    threads
        How many threads draw where `device` is the CPU; by default as many as torch uses.

    Returns
    -------
    uint8 array of shape ``(n, size, size, 3)``
        RGB pictures. Row i depends on row i of the arguments only, and is the same whenever
        the arguments and the device are.

    Raises
    ------
    ValueError
        If the vectors have the wrong shape or `size` lies out of range.
    """
    import torch

    identities = np.ascontiguousarray(identities, dtype=np.float32)
    nuisances = np.ascontiguousarray(nuisances, dtype=np.float32)
    if identities.ndim != 2 or identities.shape[1] != len(IDENTITY_TRAITS):
        raise ValueError(f"identities must have shape (n, {len(IDENTITY_TRAITS)}), not {identities.shape}")
    if nuisances.shape != (len(identities), len(NUISANCE_TRAITS)):
        raise ValueError(
            f"nuisances must have shape ({len(identities)}, {len(NUISANCE_TRAITS)}), not {nuisances.shape}"
        )
    if marks is not None and (marks.ndim, len(marks), marks.shape[-1]) != (3, len(identities), len(MARK)):
        raise ValueError(f"marks must have shape ({len(identities)}, k, {len(MARK)}), not {marks.shape}")
    if not 8 <= size <= 1024:
        raise ValueError(f"size must lie from 8 to 1024 pixels, not {size}")
    pictures = np.empty((len(identities), size, size, 3), dtype=np.uint8)
    on_cpu = torch.device(device).type == "cpu"
    before = torch.get_num_threads()
    count = threads or before
    together = next(most for least, most in CHUNK_CPU if _scene_size(size) >= least)
    chunk = min(together, max(1, -(-len(identities) // count))) if on_cpu else CHUNK_GPU

    def draw(start: int) -> None:
        rows = slice(start, start + chunk)
        with torch.inference_mode():
            marked = None if marks is None else marks[rows]
            drawn = _photograph(identities[rows], nuisances[rows], marked, size, seed, device)
            pictures[rows] = drawn.cpu().numpy()

    starts = range(0, len(identities), chunk)
    if not on_cpu:
        for start in starts:
            draw(start)
        return pictures
    # The fields are small: a thread a chunk is several times faster than all threads on each
    # operation, and does not collapse when other programs share the cores.
    workers = ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,))
    try:
        with workers as pool:
            list(pool.map(draw, starts))
    finally:
        torch.set_num_threads(before)
    return pictures


def _scene_size(size: int) -> int:
    return max(size, min(2 * size, DRAWN_SIZE))


def _photograph(
    identities: Floats, nuisances: Floats, marks: Floats | None, size: int, seed: int, device: str
) -> Tensor:
    """Draw a chunk of rows and pass it through the camera; give uint8 ``(n, size, size, 3)``."""
    import torch

    p = face_head.columns(identities, nuisances, device)
    spots = None if marks is None else torch.from_numpy(np.ascontiguousarray(marks, np.float32)).to(device)
    scene = _scene(p, spots, _scene_size(size))
    cast = torch.cat(
        [1.0 + p["warmth"], 1.0 + p["tint"] - 0.03 * p["warmth"].abs(), 1.0 - p["warmth"]], dim=1
    )
    scene = scene * (cast * p["exposure"]).unsqueeze(-1)
    # A shoulder keeps highlights from clipping hard; the square root is the display's gamma.
    scene = scene.clamp(min=0.0)
    photo = (1.35 * scene / (1.0 + 0.5 * scene)).sqrt()
    # Lens blur is a binomial filter, mixed in by its variance (1/2 a pass).
    for _ in range(2):
        photo = photo + (p["blur"] * p["blur"]).unsqueeze(1) * (_blurred(photo) - photo)
    if photo.shape[-1] != size:
        photo = torch.nn.functional.interpolate(
            photo, size=(size, size), mode="bilinear", antialias=True, align_corners=False
        )
    photo = photo + _sensor_noise(nuisances, size, seed).to(device)
    return (photo * 255.0).round().clamp(0.0, 255.0).to(torch.uint8).permute(0, 2, 3, 1)


def _blurred(photo: Tensor) -> Tensor:
    """Filter with (1, 2, 1) / 4 in both directions, repeating the border."""
    import torch

    wide = torch.nn.functional.pad(photo, (1, 1, 1, 1), mode="replicate")
    rows = 0.25 * (wide[:, :, :-2] + wide[:, :, 2:]) + 0.5 * wide[:, :, 1:-1]
    return 0.25 * (rows[..., :-2] + rows[..., 2:]) + 0.5 * rows[..., 1:-1]


def _sensor_noise(nuisances: Floats, size: int, seed: int) -> Tensor:
    """Give the sensor noise of every row, ``(n, 3, size, size)``."""
    import torch

    fields = np.empty((len(nuisances), 3, size, size), dtype=np.float32)
    sigma = nuisances[:, NUISANCE_TRAITS.index("noise")]
    keys = np.ascontiguousarray(nuisances[:, NUISANCE_TRAITS.index("noise_key")]).view(np.uint32)
    for field, key, scale in zip(fields, keys, sigma, strict=True):
        rng = np.random.default_rng([seed, int(key)])
        rng.standard_normal(out=field, dtype=np.float32)
        field *= scale
    return torch.from_numpy(fields)


def _scene(p: dict[str, Tensor], marks: Tensor | None, size: int) -> Tensor:
    """Draw the linear-light scene, ``(n, 3, size, size)``."""
    import torch

    grid = face_head.head_grid(p, size)
    count = grid.u.shape[0]
    canvas = torch.zeros((count, 3, size, size), device=grid.u.device)
    face_hair.paint_background(p, grid, canvas)
    face_hair.paint_back_hair(p, grid, canvas)
    face_hair.paint_neck(p, grid, canvas)
    face_hair.paint_ears(p, grid, canvas)

    outline = face_head.face_outline(p, grid)
    face = face_parts.skin_color(p).expand(-1, -1, size, size).clone()
    face_parts.paint_skin(p, grid, face)
    if marks is not None:
        face_parts.paint_blotches(p, grid, face)
        face_parts.paint_marks(p, marks, grid, face)
    face_parts.paint_beard(p, grid, face, outline.distance)
    for paint, edges in (
        (face_parts.paint_nose, (0.4, 2.1, -1.4, 1.4)),
        (face_parts.paint_mouth, (0.9, 3.2, -1.9, 1.9)),
        (face_parts.paint_eyes, (-1.0, 0.9, -2.2, 2.2)),
        (face_parts.paint_brows, (-1.7, 0.1, -2.3, 2.3)),
    ):
        rows, across = grid.window(*edges)
        paint(p, grid.crop(rows, across), face[:, :, rows, across])
    height = face_parts.face_height(p, grid, outline.inside)
    lit, shine = face_head.shade(p, height, grid.pixel, 0.2)
    face *= lit.unsqueeze(1)
    face += shine.unsqueeze(1)
    rows, across = grid.window(-0.8, 0.8, -1.7, 1.7)
    face_parts.eye_lights(p, grid.crop(rows, across), face[:, :, rows, across])
    face_head.over(canvas, grid.cover(outline.distance), face)
    face_hair.paint_glasses(p, grid, canvas)
    lit, shine = face_head.shade(p, face_hair.hair_height(p, grid), grid.pixel, 0.12)
    face_hair.paint_hair(p, grid, canvas, lit, shine)
    return canvas
