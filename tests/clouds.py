"""Clouds to register: a fish's outline in the plane, a bunny's surface in space, and what bends them."""

import numpy as np


def fish(n, rng):
    """Points of a fish's outline, with the deviation of one."""
    turn = rng.uniform(0, 2 * np.pi, n)
    points = np.column_stack([np.cos(turn) - np.sin(turn) ** 2 / np.sqrt(2), np.cos(turn) * np.sin(turn)])
    return points / points.std()


def bunny(n, rng):
    """Points of a bumpy closed surface, with the deviation of one."""
    sides = rng.normal(size=(n, 3))
    x, y, z = (sides / np.linalg.norm(sides, axis=1, keepdims=True)).T
    radius = 1 + 0.25 * np.sin(3 * x) + 0.2 * y * z + 0.15 * np.cos(8 * x * y)
    points = radius[:, None] * np.column_stack([1.2 * x, 0.9 * y, 0.7 * z])
    return points / points.std()


def turned(points, degrees):
    """Turn points in the plane of their first two axes."""
    angle = np.radians(degrees)
    whole = np.eye(points.shape[1])
    whole[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return points @ whole


def bent(points, much=0.3):
    """Move points by a smooth field that no turn, scale or shift undoes."""
    return points + much * np.sin(1.2 * np.roll(points, 1, axis=1) + 0.4)
