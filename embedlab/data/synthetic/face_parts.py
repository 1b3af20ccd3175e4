"""Eyes, brows, nose, mouth, skin and beard of the synthetic faces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from embedlab.data.synthetic.face_head import Grid, bump, noise, over, palette, step

if TYPE_CHECKING:
    from torch import Tensor

Traits = dict[str, "Tensor"]

SKIN = [(250, 222, 202), (240, 198, 168), (222, 172, 132), (190, 134, 94), (140, 92, 62), (86, 55, 40)]
IRIS = [(74, 44, 22), (120, 76, 32), (128, 116, 52), (86, 126, 76), (76, 128, 166), (122, 142, 158)]
HAIR = [(226, 200, 148), (188, 146, 88), (134, 92, 54), (88, 56, 34), (48, 32, 25), (24, 20, 20)]


def skin_color(p: Traits) -> Tensor:
    """Give the skin's linear color, ``(n, 3, 1, 1)``; worked out once a chunk."""
    import torch

    if "skin_color" in p:
        return p["skin_color"]
    base = palette(p["skin"], SKIN)
    tone = p["undertone"].unsqueeze(1)
    p["skin_color"] = base * torch.cat([1.0 + 0.04 * tone, 1.0 - 0.07 * tone, 1.0 + 0.12 * tone], dim=1)
    return p["skin_color"]


def hair_color(p: Traits) -> Tensor:
    """Give the hair's linear color, ``(n, 3, 1, 1)``; worked out once a chunk."""
    if "hair_color" in p:
        return p["hair_color"]
    color = palette(p["hair_dark"], HAIR)
    red = palette(0.15 + 0.85 * p["hair_dark"], [(214, 120, 62), (156, 62, 26), (70, 26, 16)])
    color = color + 0.85 * p["hair_red"].unsqueeze(1) * (red - color)
    grey = palette(p["hair_dark"], [(224, 222, 218), (150, 148, 146)])
    p["hair_color"] = color + p["hair_grey"].unsqueeze(1) * (grey - color)
    return p["hair_color"]


def nose_axis(p: Traits, grid: Grid) -> Tensor:
    """Give the sideways distance from the nose's ridge, which slides as the head turns."""
    turn = p["yaw_tan"] * p["nose_height"] * 0.8
    along = (grid.v / p["nose_length"]).clamp(0.0, 1.0)
    return grid.u - turn * along


def face_height(p: Traits, grid: Grid, inside: Tensor) -> Tensor:
    """Give the height map of the face, which the light falls on."""
    u, v = grid.u, grid.v
    height = (inside + 0.06).sqrt() * 1.25 - u * p["yaw_tan"] * 0.55
    height = height - (v - 0.5) * p["pitch_sin"] * 0.5
    side = u.abs()
    eye_u, eye_v = side - p["eye_gap"], v + 0.08
    height = height - 0.2 * bump(eye_u * eye_u * 1.6 + eye_v * eye_v * 3.4)
    ball_v = v - 0.03
    height = height + 0.12 * bump(eye_u * eye_u * 5.0 + ball_v * ball_v * 10.0)
    brow_v = v - p["brow_height"] + 0.02
    height = height + 0.08 * bump((side - 0.8) * (side - 0.8) * 0.9 + brow_v * brow_v * 9.0)
    cheek_u, cheek_v = side - 1.18, v - 0.95
    cheek = bump(cheek_u * cheek_u * 2.0 + cheek_v * cheek_v * 2.6)
    height = height + (0.13 + 0.07 * p["smile"]) * cheek
    chin_v = v - p["chin"] + 0.36
    height = height + 0.12 * bump(u * u * 3.5 + chin_v * chin_v * 9.0)
    mouth = mouth_line(p)
    muzzle_v = v - mouth
    height = height + 0.13 * bump(u * u * 1.4 + muzzle_v * muzzle_v * 2.4)
    # The folds from nose to mouth deepen with age and with a smile.
    run = (v - p["nose_length"] + 0.12).clamp(0.0, 0.95)
    fold_u = side - p["nose_width"] - 0.1 - 0.52 * run
    depth = (0.5 * p["age"] + 0.5 * p["smile"].clamp(min=0.0) * (0.5 + 0.5 * p["age"])) * 0.1
    fade = bump((run - 0.42) * (run - 0.42) * 5.4)
    height = height - depth * fade * bump(fold_u * fold_u * 70.0)
    bag_v = v - p["eye_lower"] - 0.2 - 0.07 * eye_u * eye_u
    bag = bump(bag_v * bag_v * 130.0) * bump(eye_u * eye_u * 5.0)
    height = height - 0.045 * p["age"] * bag
    return height + nose_height(p, grid) + wrinkles(p, grid, eye_u)


def nose_height(p: Traits, grid: Grid) -> Tensor:
    """Give the nose's part of the height map."""
    import torch

    across = nose_axis(p, grid)
    length = p["nose_length"]
    along = (grid.v + 0.25) / (length + 0.25)
    ramp = (along * (2.0 - along)).clamp(min=0.0)
    reach = torch.where(
        grid.v < length - 0.1, ramp, bump((grid.v - length + 0.1) * 3.2 * ((grid.v - length + 0.1) * 3.2))
    )
    width = p["nose_bridge"] + 0.14 + (p["nose_tip"] - 0.1) * along.clamp(0.0, 1.0)
    ridge = bump(across * across / (width * width)) * reach * (along > 0.0)
    tip_v = grid.v - length + 0.2
    radius = p["nose_tip"]
    tip = bump((across * across + tip_v * tip_v) / (radius * radius * 2.2))
    wing_u, wing_v = across.abs() - p["nose_width"] + 0.12, grid.v - length + 0.12
    wing = bump(wing_u * wing_u * 26.0 + wing_v * wing_v * 24.0)
    return p["nose_height"] * (0.62 * ridge + 0.22 * tip) + 0.14 * wing


def wrinkles(p: Traits, grid: Grid, eye_u: Tensor) -> Tensor:
    """Give the lines of forehead and eye corners as grooves of one or two pixels."""
    shape = p["wrinkle_shape"]
    bow = grid.u * grid.u * (0.05 + 0.08 * shape) + 0.03 * noise(grid.u * 1.4, grid.v, shape)
    phase = (grid.v + 1.15 + bow) * (4.6 + 1.6 * shape)
    wave = (phase - phase.floor()) - 0.5
    band_v = grid.v + 1.12
    band = bump(grid.u * grid.u * 0.75 + band_v * band_v * 9.0)
    groove = bump(wave * wave * 40.0) * band * p["wrinkle_brow"]
    away = eye_u - p["eye_width"] - 0.05
    ray = (grid.v - 0.02) * (1.0 / (away + 0.22).clamp(min=0.08)) * 2.2
    ray = ray - ray.floor() - 0.5
    fan_u, fan_v = away - 0.2, grid.v - 0.02
    fan = bump(fan_u * fan_u * 22.0 + fan_v * fan_v * 12.0)
    feet = bump(ray * ray * 24.0) * fan * p["wrinkle_eye"]
    return -0.03 * groove - 0.024 * feet


def paint_skin(p: Traits, grid: Grid, canvas: Tensor) -> None:
    """Paint flush, grain, freckles and moles, in place."""
    u, v = grid.u, grid.v
    color = skin_color(p)
    side = u.abs()
    flush = color * color.new_tensor([1.02, 0.72, 0.7]).reshape(1, 3, 1, 1)
    cheek_u, cheek_v = side - 1.15, v - 0.95
    nose_u, nose_v = nose_axis(p, grid), v - p["nose_length"] + 0.2
    red = bump(cheek_u * cheek_u * 1.9 + cheek_v * cheek_v * 2.4)
    red = red + 0.7 * bump(nose_u * nose_u * 5.0 + nose_v * nose_v * 5.0)
    over(canvas, (red * (0.15 + 0.6 * p["blush"])).clamp(max=1.0), flush)
    mottle = noise(u * 2.3, v * 2.3, p["pore_pattern"]) * 0.035
    grain = noise(u * 13.0, v * 13.0, p["pore_pattern"]) * 0.085 * p["pores"]
    canvas *= (1.0 + mottle + grain).unsqueeze(1)
    # Dark socket around the eye, and shadow beneath the lower lip.
    eye_u, eye_v = side - p["eye_gap"] + 0.12, v + 0.1
    canvas *= (1.0 - 0.26 * bump(eye_u * eye_u * 1.7 + eye_v * eye_v * 4.6)).unsqueeze(1)
    # Two turned lattices hide each other's grid.
    speck = noise(u * 10.0 + v * 2.5, v * 10.0 - u * 2.5, p["freckle_pattern"])
    speck = 0.6 * (speck + noise(u * 8.0 - v * 5.0, v * 8.0 + u * 5.0, p["freckle_pattern"]))
    speck = step(speck, 0.24, 0.54)
    area_v = v - 0.75
    area = bump(u * u * 0.22 + area_v * area_v * 0.75)
    # Brighter skin between the freckles keeps the average, so that they vanish when small.
    freckle = (speck - 0.16) * area * p["freckles"] * 0.75
    brown = color * color.new_tensor([0.62, 0.46, 0.36]).reshape(1, 3, 1, 1)
    over(canvas, freckle, brown)
    for index in (1, 2, 3):
        mole_u, mole_v = u - p[f"mole_{index}_u"], v - p[f"mole_{index}_v"]
        strength = p[f"mole_{index}"]
        radius = 0.035 + 0.022 * strength
        distance = (mole_u * mole_u + mole_v * mole_v + 1e-6).sqrt() - radius
        mole = grid.cover(distance, 0.012) * (strength > 0.0) * (0.65 + 0.3 * strength)
        over(canvas, mole, color * 0.22)


def paint_blotches(p: Traits, grid: Grid, canvas: Tensor) -> None:
    """Paint blotches that come and go from picture to picture, in place.

    They are as large as the pixels of a small picture, and hide what such pixels leave of spots.
    """
    u, v, key = grid.u, grid.v, p["back_pattern"]
    uneven = 1.0 + 0.05 * noise(u * 2.0, v * 2.0, key)
    canvas *= (uneven * uneven).unsqueeze(1)


def paint_marks(p: Traits, marks: Tensor, grid: Grid, canvas: Tensor) -> None:
    """Paint areas of dark and pale spots, in place.

    Dark and pale cancel out, so that nothing is left of them where a pixel is as large as their distance.
    """
    beyond = 0.4  # How far skin moves across the picture at most when the head turns.
    side = grid.u.abs()
    for mark in marks.unbind(dim=1):
        u, v, width, height, period, strength = (one.reshape(-1, 1, 1) for one in mark.unbind(dim=1))
        reach = float((u.abs() + width).max()) + beyond
        rows, across = grid.window(
            float((v - height).min()) - beyond, float((v + height).max()) + beyond, -reach, reach
        )
        near = grid.crop(rows, across)
        x, y = side[:, rows, across], near.v
        du, dv = (x - u) / width, (y - v) / height
        away = du * du + dv * dv
        area = (2.0 * bump(away * away)).clamp(max=1.0)
        # A lattice on its corner, and bent, so that no line of it is seen.
        a, b = (x + 0.73 * y) / period, (0.73 * x - y) / period
        bend = noise(a * 0.7, b * 0.7, p["pore_pattern"], round_off=True) * 0.45
        tone = 1.0 + strength * area * _wave(a + bend) * _wave(b - bend)
        # Squared, because the picture is the root of this light.
        canvas[:, :, rows, across] *= (tone * tone).unsqueeze(1)


def _wave(place: Tensor) -> Tensor:
    """Rise and fall between -1 and 1 once a unit, nearly as a cosine does."""
    t = (place - place.floor()) * 2.0 - 1.0
    return 1.0 - 2.0 * t * t * (2.0 - t * t)


def paint_brows(p: Traits, grid: Grid, canvas: Tensor) -> None:
    """Paint both brows, in place."""
    x = grid.u.abs() - 0.98
    length = p["brow_length"]
    share = x / length
    frown = 0.07 * p["mouth_open"] - 0.05 * p["smile"].clamp(max=0.0)
    middle = p["brow_height"] - p["brow_raise"] - frown * 0.3 - p["brow_slope"] * x
    middle = middle + p["brow_arch"] * (share * share - 0.35) * 0.6
    thick = p["brow_thick"] * (1.0 - 0.32 * share - 0.3 * share * share)
    strand = noise((x + (grid.v - middle) * 0.9) * 19.0, grid.v * 5.0, p["hair_pattern"])
    ragged = 1.0 + 0.28 * strand
    distance = (grid.v - middle).abs() - thick * ragged
    ends = (share.abs() - 1.0) * 0.5
    mask = grid.cover(distance, 0.05) * grid.cover(ends, 0.1)
    color = hair_color(p) * 0.36 + skin_color(p) * 0.05
    over(canvas, (mask * p["brow_dark"] * (0.86 + 0.2 * strand)).clamp(max=1.0), color)


def paint_eyes(p: Traits, grid: Grid, canvas: Tensor) -> None:
    """Paint both eyes with lids and lashes, in place."""
    import torch

    u = grid.u
    sign = torch.where(u < 0.0, -1.0, 1.0)
    x = u.abs() - p["eye_gap"]
    v = grid.v + p["eye_tilt"] * x
    share = x / p["eye_width"]
    arc = 1.0 - share * share
    opening = p["eye_open"] * (1.0 - 0.12 * p["smile"].clamp(min=0.0))
    upper = -p["eye_height"] * opening * arc * (1.0 - 0.16 * share)
    lower = (p["eye_lower"] - 0.05 * p["smile"].clamp(min=0.0)) * arc * (1.0 + 0.2 * share)
    skin = skin_color(p)
    # Lid between lash line and crease, then the crease.
    crease = upper - p["eye_fold"] * (0.4 + 0.6 * arc.clamp(min=0.0)) - 0.02
    near = grid.cover(share.abs() * p["eye_width"] - p["eye_width"] - 0.04, 0.06)
    lid = grid.cover(crease - v) * grid.cover(v - upper) * near
    over(canvas, lid * 0.35, skin * 0.6)
    over(canvas, bump((v - crease) * (v - crease) * 600.0) * near * 0.6, skin * 0.3)
    white = grid.cover(torch.maximum(upper - v, v - lower))
    ball = canvas.new_tensor([0.76, 0.73, 0.7]).reshape(1, 3, 1, 1)
    shadow = (1.0 - 0.45 * bump((v - upper) * (v - upper) * 60.0)) * (1.0 - 0.25 * share * share)
    eye = ball * shadow.unsqueeze(1)
    iris_x = x - p["gaze_u"] * sign
    iris_y = grid.v + 0.055 - p["gaze_v"]
    radius = (iris_x * iris_x + iris_y * iris_y + 1e-6).sqrt()
    size = p["iris_size"]
    inner = radius / size
    color = palette(p["iris_hue"], IRIS) * p["iris_light"].unsqueeze(1)
    streak = noise(iris_x * sign / radius * 5.0, iris_y / radius * 5.0, p["iris_pattern"])
    glow = 1.15 + 0.5 * step(iris_y, -0.12, 0.2) - 0.75 * step(inner, 0.72, 1.0)
    glow = glow * (1.0 + 0.75 * p["iris_streaks"] * streak * step(inner, 0.35, 0.6))
    over(eye, grid.cover(radius - size, 0.01), color * glow.clamp(min=0.05).unsqueeze(1))
    over(eye, grid.cover(radius - size * 0.43), canvas.new_full((1, 3, 1, 1), 0.006))
    lid_shade = 1.0 - 0.5 * bump((v - upper) * (v - upper) * 110.0)
    eye *= lid_shade.unsqueeze(1)
    over(canvas, white, eye)
    lash = 0.018 + 0.03 * p["lash"] + 0.02 * share.clamp(0.0, 1.0)
    upper_line = grid.cover((v - upper + 0.01).abs() - lash, 0.015)
    tail = grid.cover(share.abs() * p["eye_width"] - p["eye_width"] - 0.05, 0.05)
    dark = skin * 0.06
    over(canvas, upper_line * tail * (0.75 + 0.25 * p["lash"]), dark)
    lower_line = grid.cover((v - lower).abs() - 0.012, 0.02) * tail
    over(canvas, lower_line * 0.42, dark * 2.0)


def eye_lights(p: Traits, grid: Grid, canvas: Tensor) -> None:
    """Add the reflection of the light in both eyes, in place."""
    import torch

    sign = torch.where(grid.u < 0.0, -1.0, 1.0)
    x = (grid.u.abs() - p["eye_gap"]) * sign - p["gaze_u"] - 0.075 * p["light_x"].clamp(-1.0, 1.0)
    y = grid.v + 0.055 - p["gaze_v"] - 0.09 * (p["light_y"] - 0.35).clamp(-1.0, 0.3)
    spot = grid.cover((x * x + y * y + 1e-6).sqrt() - 0.045)
    over(canvas, spot * (0.35 + 0.5 * p["light"]), canvas.new_full((1, 3, 1, 1), 1.0))


def paint_nose(p: Traits, grid: Grid, canvas: Tensor) -> None:
    """Paint nostrils, the wings' creases and the shadow beneath, in place."""
    across = nose_axis(p, grid).abs()
    low = grid.v - p["nose_length"]
    skin = skin_color(p)
    under_v = low - 0.07
    reach = p["nose_width"]
    under = bump(across * across / (reach * reach) + under_v * under_v * 40.0)
    over(canvas, under * 0.5, skin * 0.38)
    hole_u, hole_v = across - reach * 0.48, low - 0.005 + 0.25 * (across - reach * 0.5)
    hole = bump(hole_u * hole_u * 62.0 / (reach * 2.4) + hole_v * hole_v * 300.0)
    over(canvas, (hole * 1.5).clamp(max=0.85), skin * skin.new_tensor([0.13, 0.07, 0.06]).reshape(1, 3, 1, 1))
    wing_v = low + 0.1
    rim = across - reach - 0.01 + 1.6 * wing_v * wing_v
    crease = bump(rim * rim * 700.0) * bump(wing_v * wing_v * 30.0)
    over(canvas, crease * 0.55, skin * 0.36)


def mouth_line(p: Traits) -> Tensor:
    """Give v of the middle of the closed mouth."""
    return p["nose_length"] + p["mouth_gap"]


def paint_mouth(p: Traits, grid: Grid, canvas: Tensor) -> None:
    """Paint lips, teeth and the mouth's inside, in place."""
    import torch

    smile, wide = p["smile"], p["mouth_open"]
    half = p["mouth_width"] * (1.0 + 0.2 * smile - 0.08 * wide)
    share = grid.u / half
    square = share * share
    arc = 1.0 - square
    rise = p["mouth_corner"] + 0.17 * smile
    v = grid.v - mouth_line(p) + rise * (square - 0.3) - 0.05 * wide
    gap = 0.26 * wide
    top_edge = -gap * 0.45 * arc
    low_edge = gap * arc
    stretch = 1.0 - 0.22 * smile.clamp(min=0.0)
    bow = 1.0 - p["lip_bow"] * 0.55 * bump(square * 22.0)
    upper = top_edge - p["lip_upper"] * stretch * arc * (1.0 + 0.25 * square) * bow
    lower = low_edge + p["lip_lower"] * stretch * arc * (0.6 + 0.4 * arc)
    skin = skin_color(p)
    rose = palette(p["skin"], [(214, 120, 116), (196, 104, 98), (150, 78, 72), (104, 58, 54)])
    color = skin * 0.72 + (0.35 + 0.65 * p["lip_color"]).unsqueeze(1) * (rose - skin * 0.72)
    below = v - lower - 0.09
    over(canvas, bump(below * below * 75.0 + square * 1.6) * 0.5, skin * 0.42)
    lips = grid.cover(torch.maximum(upper - v, v - lower), 0.012)
    tone = 0.72 + 0.34 * step(v, -0.02, 0.1) - 0.14 * step(v, 0.14, 0.3)
    lines = 1.0 + 0.1 * noise(grid.u * 14.0, grid.v * 2.0, p["pore_pattern"])
    over(canvas, lips, color * (tone * lines).unsqueeze(1))
    inner = grid.cover(torch.maximum(top_edge - v, v - low_edge)) * (wide > 0.0)
    dark = canvas.new_tensor([0.07, 0.012, 0.014]).reshape(1, 3, 1, 1)
    over(canvas, inner, dark)
    teeth_low = top_edge + 0.17 * arc
    teeth = grid.cover(v - teeth_low, 0.01) * inner * step(smile * 0.6 + wide, 0.05, 0.4)
    over(canvas, teeth, canvas.new_tensor([0.72, 0.68, 0.6]).reshape(1, 3, 1, 1))
    tongue = bump(square * 2.2 + (v - low_edge) * (v - low_edge) * 60.0)
    over(canvas, tongue * inner * 0.6, canvas.new_tensor([0.36, 0.09, 0.09]).reshape(1, 3, 1, 1))
    line = grid.cover(v.abs() - 0.012, 0.025) * (share.abs() < 1.04) * (wide == 0.0)
    over(canvas, line * 0.85, skin * skin.new_tensor([0.16, 0.08, 0.08]).reshape(1, 3, 1, 1))


def paint_beard(p: Traits, grid: Grid, canvas: Tensor, edge: Tensor) -> None:
    """Paint stubble, moustache, goatee or full beard, in place."""
    u, v = grid.u, grid.v
    style = p["beard_style"]
    if not (style < 4).any():
        return
    side = u.abs()
    mouth = mouth_line(p)
    base = p["nose_length"]
    fuzz = noise(u * 16.0, v * 7.0, p["hair_pattern"])
    rough = 0.09 * noise(u * 6.0, v * 6.0, p["hair_pattern"])
    # Full: below a curve from the ears down to the mouth's corners; the lips stay free.
    cheek_line = 0.55 + 1.0 * bump((side - 1.9) * (side - 1.9) * 0.3) * -0.6 + 0.95
    full = grid.cover(cheek_line - v + rough, 0.25)
    middle = (base + mouth - 0.1) * 0.5
    lip_v = v - middle - 0.12 * side - 0.03
    lip = grid.cover(lip_v.abs() - 0.13 + 0.1 * side + rough * 0.5, 0.08)
    lip = lip * grid.cover(side - p["mouth_width"] * 1.02, 0.1)
    goat_v = v - p["chin"] + 0.22
    goat = grid.cover((u * u * 1.0 + goat_v * goat_v * 1.7 + 1e-6).sqrt() - 0.52 + rough, 0.15)
    ring_u = side - p["mouth_width"] * 0.95
    ring_v = v - (mouth + p["chin"] - 0.2) * 0.5
    ring = 1.2 * bump(ring_u * ring_u * 28.0 + ring_v * ring_v * 1.9)
    free_v = v - mouth - 0.04
    free = 1.0 - bump(u * u * 1.7 + free_v * free_v * 9.0)
    goatee = (goat + ring).clamp(max=1.0)
    whole = (full + lip).clamp(max=1.0) * free
    mask = (style == 0) * whole * 0.42 + (style == 1) * lip
    mask = mask + (style == 2) * (goatee * free + lip).clamp(max=1.0) + (style == 3) * whole
    inside = grid.cover(edge + 0.02, 0.05)
    strength = mask * inside * p["beard_dense"] * (0.86 + 0.3 * fuzz)
    over(canvas, strength.clamp(0.0, 1.0), hair_color(p) * (0.8 + 0.25 * fuzz).unsqueeze(1))
