"""Hair, ears, neck, glasses and background of the synthetic faces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from embedlab.data.synthetic.face_head import Grid, bump, noise, over, palette, step
from embedlab.data.synthetic.face_parts import Traits, hair_color, skin_color

if TYPE_CHECKING:
    from torch import Tensor

# One row a style: how far the hair stands off above and at the sides, v where it ends, how far
# the fringe hangs below the hairline, rise of the hairline away from the parting, its slant,
# curliness, flare of the lengths, half-width of the face's opening relative to the face.
STYLES = (
    (0.02, 0.01, -0.2, 0.0, 0.0, 0.0, 0.02, 0.0, 1.02),  # shaved
    (0.16, 0.06, 0.15, 0.0, 0.0, 0.0, 0.06, 0.0, 0.98),  # cropped
    (0.34, 0.1, 0.3, 0.05, 0.2, 0.26, 0.05, 0.0, 0.96),  # side parting
    (0.26, 0.14, 0.5, 0.62, 0.02, 0.02, 0.07, 0.0, 0.93),  # short with fringe
    (0.26, 0.22, 3.4, 0.0, 0.42, 0.0, 0.04, 0.06, 0.86),  # long, parted
    (0.28, 0.3, 1.9, 0.6, 0.02, 0.03, 0.04, 0.1, 0.84),  # bob with fringe
    (0.46, 0.55, 0.9, 0.05, 0.0, 0.0, 0.22, -0.1, 0.94),  # curls, short
    (0.34, 0.42, 3.2, 0.05, 0.3, 0.14, 0.16, 0.12, 0.86),  # waves, long
    (0.14, 0.03, 0.1, 0.0, 0.06, 0.0, 0.03, 0.0, 0.97),  # tied back, with a bun
    (0.55, 0.06, 0.2, -0.22, -0.12, -0.06, 0.08, 0.0, 0.97),  # swept up
)
BUN = 8
SHAVED = 0


def _style(p: Traits) -> list[Tensor]:
    """Give the columns of the table of styles for every row, each ``(n, 1, 1)``."""
    table = p["hair_style"].new_tensor(STYLES)
    rows = table[p["hair_style"].reshape(-1).long().clamp(0, len(STYLES) - 1)]
    return [rows[:, i].reshape(-1, 1, 1) for i in range(rows.shape[1])]


def _strands(p: Traits, u: Tensor, v: Tensor, curl: Tensor) -> Tensor:
    """Give the lightness of hair strands that fan out from the crown, -1..1."""
    part = p["hair_part"] * 0.4 + p["hair_tousle"]
    fan = (u - part) / (0.75 + 0.42 * (v + 2.6).clamp(min=0.0))
    wave = noise(u * 1.1, v * 1.6, p["hair_pattern"]) * (0.06 + 0.9 * curl)
    fine = noise((fan + wave * 0.5) * 26.0, v * 1.3, p["hair_pattern"])
    lock = noise((fan + wave) * 7.5, v * 0.8 + wave * 3.0, p["hair_pattern"])
    straight = 0.5 * fine + 0.6 * lock
    ring = noise(u * 5.5 + wave, v * 5.5, p["hair_pattern"], round_off=True)
    ring = 1.1 * ring + 0.35 * noise(u * 14.0, v * 14.0, p["hair_pattern"])
    return straight + (4.0 * curl).clamp(max=0.85) * (ring - straight)


def _paint(p: Traits, canvas: Tensor, mask: Tensor, strand: Tensor, light: Tensor) -> None:
    """Lay hair over `canvas` with its strands and its light."""
    color = hair_color(p)
    tone = (light * (1.0 + 0.5 * strand)).clamp(min=0.05)
    over(canvas, mask, color * tone.unsqueeze(1))


def _outer(p: Traits, u: Tensor, v: Tensor, style: list[Tensor], rough: Tensor) -> Tensor:
    """Give the signed distance to the outer contour of the hair."""
    import torch

    top, side, end, _, _, _, curl, flare, _ = style
    volume = p["hair_volume"]
    crown = 2.2 + top * volume + 0.3
    width = p["face_width"] + 0.02 + side * volume
    width = width + flare * volume * (v - 0.3).clamp(min=0.0)
    t = ((0.3 - v) / crown).clamp(min=0.0)
    t2 = t * t
    share = u / width
    value = share * share - (1.0 - t2 + 0.55 * (t2 - t2 * t2))
    across = 2.0 * share / width
    steep = t * (2.0 - 0.55 * (2.0 - 4.0 * t2)) / crown
    distance = value / (across * across + steep * steep + 1e-3).sqrt()
    ending = v - end - (p["hair_length"] + p["hair_tousle"]) * (end > 1.0)
    return torch.maximum(distance - curl * rough * 0.9, ending - (0.1 + 0.5 * curl) * rough)


def paint_back_hair(p: Traits, grid: Grid, canvas: Tensor) -> None:
    """Paint the hair behind neck and face, in place."""
    style = _style(p)
    u, v = grid.x, grid.y
    rough = noise(u * 3.6, v * 3.6, p["hair_pattern"], round_off=True)
    distance = _outer(p, u, v, style, rough)
    mask = grid.cover(distance, 0.03) * (p["hair_style"] != SHAVED)
    bun_v = v + 2.35
    bun = grid.cover((u * u + bun_v * bun_v + 1e-6).sqrt() - 0.62 * p["hair_volume"] - 0.05 * rough)
    mask = (mask + bun * (p["hair_style"] == BUN)).clamp(max=1.0)
    light = (p["ambient"] + 0.35 * p["light"]) * 0.72
    _paint(p, canvas, mask, rough * 0.3 + noise(u * 8.0, v * 0.9, p["hair_pattern"]), light)


def paint_hair(p: Traits, grid: Grid, canvas: Tensor, lit: Tensor, shine: Tensor) -> None:
    """Paint the hair before the face, in place; `lit` and `shine` are the head's light."""
    import torch

    style = _style(p)
    _, _, end, fringe, rise, slant, curl, _, narrow = style
    u, v = grid.u, grid.v
    rough = noise(u * 3.6, v * 3.6, p["hair_pattern"], round_off=True)
    strand = _strands(p, u, v, curl)
    distance = _outer(p, u, v, style, rough)
    part = p["hair_part"] + p["hair_tousle"]
    away = (u - part).abs()
    line = p["hairline"] + fringe * (0.85 + 0.3 * p["hair_length"]) + p["hair_tousle"] * 0.5
    line = line + rise * away * away * 0.8 - 0.35 * rise + slant * (u * p["hair_part"].sign())
    line = line + p["hair_peak"] * bump(u * u * 3.0) * (1.0 - (fringe > 0.4) * 1.0)
    temple = u.abs() - 1.05
    line = line - p["hair_recede"] * bump(temple * temple * 2.2) * (1.0 - (fringe > 0.4) * 1.0)
    line = line + strand * (0.05 + 0.09 * (fringe > 0.4))
    middle = 0.25
    t = ((middle - v) / (middle - line).clamp(min=0.3)).clamp(min=0.0)
    t2 = t * t
    width = p["face_width"] * narrow + 0.03 * strand
    short = end < 1.0
    width = width + short * 0.6 * (v - 0.05).clamp(min=0.0)
    share = u / width
    value = share * share - (1.0 - t2 + 0.8 * (t2 - t2 * t2))
    across = 2.0 * share / width
    opening = value / (across * across + 0.9).sqrt()
    soft = torch.where(p["hair_style"] == SHAVED, 0.22, 0.035)
    edge = (0.5 + opening / (grid.pixel + soft)).clamp(0.0, 1.0)
    mask = grid.cover(distance, 0.03) * edge
    mask = torch.where(p["hair_style"] == SHAVED, mask * 0.38, mask)
    # The hair throws a soft shadow on the skin beside it.
    shadow = bump((opening * 4.0) * (opening * 4.0)) * (1.0 - mask) * (distance < 0.0)
    canvas *= (1.0 - 0.3 * shadow * (p["hair_style"] != SHAVED)).unsqueeze(1)
    gleam_v = v + 1.75 + 0.12 * u * u
    gleam = 1.0 + 0.55 * bump(gleam_v * gleam_v * 3.5) * (1.0 - 2.0 * curl)
    root = 1.0 - 0.3 * bump(opening * opening * 9.0)
    _paint(p, canvas, mask, strand, lit * gleam * root)
    canvas += (mask * shine * (0.6 + strand) * 0.5).clamp(min=0.0).unsqueeze(1)


def hair_height(p: Traits, grid: Grid) -> Tensor:
    """Give the height map of the hair's dome."""
    u, v = grid.u, grid.v
    low = (v + 0.1).clamp(max=0.0)
    square = u * u * 0.17 + low * low * 0.13
    tilt = u * p["yaw_tan"] * 0.5
    return (1.08 - square).clamp(min=0.02).sqrt() * 1.7 - tilt


def paint_ears(p: Traits, grid: Grid, canvas: Tensor) -> None:
    """Paint both ears, in place."""
    side = grid.u.abs() - p["face_width"] * 0.985 - p["ear_out"] * 0.6
    size = p["ear_size"]
    v = (grid.v - 0.42) / size
    x = (side - 0.12 * v * -0.5) / (0.19 + 0.35 * p["ear_out"])
    radius = (x * x + v * v + 1e-6).sqrt()
    skin = skin_color(p)
    lit = p["ambient"] + p["light"] * (0.62 + 0.25 * grid.u.sign() * p["light_x"].clamp(-1.0, 1.0))
    tone = 0.72 + 0.35 * step(radius, 0.45, 0.8) - 0.25 * step(radius, 0.85, 1.0)
    red = skin * skin.new_tensor([1.0, 0.84, 0.82]).reshape(1, 3, 1, 1)
    mask = grid.cover((radius - 1.0) * 0.24)
    over(canvas, mask, red * (tone * lit.clamp(min=0.1)).unsqueeze(1))


def paint_neck(p: Traits, grid: Grid, canvas: Tensor) -> None:
    """Paint neck and clothes, in place."""
    import torch

    u, v = grid.x, grid.y
    skin = skin_color(p)
    half = p["face_width"] * 0.6 + 0.3 * ((v - 2.6).clamp(min=0.0))
    shadow = 0.42 + 0.3 * step(v - p["chin"], -0.1, 0.9)
    lit = p["ambient"] + p["light"] * (0.5 + 0.22 * p["light_x"] * u).clamp(0.1, 0.9)
    over(canvas, grid.cover(u.abs() - half, 0.02) * (v > 1.0), skin * (shadow * lit).unsqueeze(1))
    cloth = torch.cat([p["cloth_red"], p["cloth_green"], p["cloth_blue"]], dim=1).unsqueeze(-1)
    cloth = cloth + 0.3 * (cloth.mean(dim=1, keepdim=True) - cloth)
    edge = 3.12 - 0.55 * (u.abs() - half + 0.35).clamp(-0.4, 0.3) + 0.16 * (u.abs() - half).clamp(min=0.0)
    over(canvas, grid.cover(edge - v), cloth * cloth * (lit * 0.9).unsqueeze(1))


def paint_glasses(p: Traits, grid: Grid, canvas: Tensor) -> None:
    """Paint the glasses, in place."""
    worn = (p["glasses"] > 0.0) * 1.0
    if not worn.any():
        return
    side = grid.u.abs()
    x = (side - 1.0 * p["eye_gap"]).abs() / p["glasses_size"]
    y = (grid.v - 0.1).abs() / (p["glasses_size"] * (0.92 - 0.22 * p["glasses"]))
    # Between a circle (power 2) and a rounded square (power 8).
    x2, y2 = x * x, y * y
    circle = x2 + y2
    square = x2 * x2 * x2 * x2 + y2 * y2 * y2 * y2
    blend = p["glasses"]
    radius = circle.sqrt() * (1.0 - blend) + square.sqrt().sqrt().sqrt() * blend
    distance = (radius - 1.0) * p["glasses_size"] * 0.9
    frame = grid.cover(distance.abs() - 0.045)
    bridge_v = grid.v + 0.02 - 0.25 * side * side
    bridge = grid.cover(bridge_v.abs() - 0.04) * (side < 1.0 - p["glasses_size"] + 0.02)
    arm = grid.cover((grid.v + 0.1).abs() - 0.05) * (side > 1.0 + p["glasses_size"] * 0.98)
    arm = arm * grid.cover(side - p["face_width"] * 0.99)
    color = palette(p["glasses_shade"], [(16, 16, 18), (70, 38, 24), (120, 20, 30), (160, 150, 140)])
    lit = p["ambient"] + 0.7 * p["light"]
    lens = grid.cover(distance)
    glare_x = grid.u - 0.5 * grid.v
    glare = bump((glare_x - 0.75) * (glare_x - 0.75) * 30.0)
    glare = glare + bump((glare_x + 1.25) * (glare_x + 1.25) * 30.0)
    over(canvas, lens * worn * (0.05 + 0.16 * glare), canvas.new_full((1, 3, 1, 1), 0.85))
    over(canvas, (frame + bridge + arm).clamp(max=1.0) * worn, color * lit.unsqueeze(1))


def paint_background(p: Traits, grid: Grid, canvas: Tensor) -> None:
    """Fill `canvas` with out-of-focus shapes around one color."""
    import torch

    x, y = grid.x, grid.y
    color = torch.cat([p["back_red"], p["back_green"], p["back_blue"]], dim=1).unsqueeze(-1)
    color = color + 0.45 * (color.mean(dim=1, keepdim=True) - color)
    key = p["back_pattern"]
    large = noise(x * 0.33, y * 0.33, key)
    small = noise(x * 0.9, y * 0.7, key)
    light = 1.0 + 0.4 * large + 0.14 * small - 0.06 * y
    second = color.flip(1)
    mix = (0.5 * noise(x * 0.25 + 31.0, y * 0.25, key)).clamp(0.0, 0.5).unsqueeze(1)
    tone = color * color * (1.0 - mix) + second * second * mix
    canvas += tone * light.clamp(min=0.1).unsqueeze(1)
