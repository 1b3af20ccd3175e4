"""Checkpoints whose training went as planted: which pairs each validation judged rightly."""

import json

import numpy as np

from embedlab.lab.learning import Measured, Roc, ValidationPairs
from embedlab.training import curves

STEPS = 5
"""Steps an epoch."""


def pairs_of(people=60, fingerprint="pairs"):
    """Pair each person with themselves twice and with two others."""
    numbers = np.arange(people)
    first = np.concatenate([numbers] * 4)
    second = np.concatenate([numbers, numbers, (numbers + 1) % people, (numbers + 7) % people])
    return ValidationPairs(fingerprint, first, second, first == second)


def judged(pairs, wrong, seed=0):
    """Judge all pairs rightly but a share of them, drawn by the seed; a smaller share is part of a larger."""
    draw = np.random.default_rng(seed).random(len(pairs.same))
    return draw >= wrong


def plant(lab, model, validations, pairs, *, written=True, roc=True, **more):
    """Write a checkpoint with a validation an epoch; judgements by condition, or for both."""
    folder = lab.checkpoint(model)
    history = []
    with_board, curves._board = curves._board, lambda folder, step: None
    log = curves.Curves(folder, step=0) if written else None
    curves._board = with_board
    for epoch, right in enumerate(validations, 1):
        found = right if isinstance(right, dict) else {"": right, "@32": right}
        figures = {f"pair_accuracy{condition}": float(r.mean()) for condition, r in found.items()}
        far = np.array([0.0, 1 / 120, 0.1, 1.0])
        rocs = (
            {c: Roc(far, np.array([0.0, 0.2, 0.5 + epoch / 100, 1.0]), 0.9, 120, 120) for c in found}
            if roc
            else {}
        )
        losses = [10.0 / (STEPS * (epoch - 1) + k) for k in range(1, STEPS + 1)]
        if log:
            for k, loss in enumerate(losses, 1):
                log.step(STEPS * (epoch - 1) + k, epoch, loss, 0.1, 100.0)
            log.validated(STEPS * epoch, epoch, Measured(figures, rocs, found, pairs))
        history.append(
            {"epoch": epoch, "loss": np.mean(losses), **figures, "pair_chance": 0.5, "learning_rate": 0.1}
        )
    if log:
        log.close()
    recipe = {"batch": 8, "epoch_images": 40, "head": "arcface", "scale": 16.0, "margin": 0.1}
    record = {"recipe": recipe, "images": 100, "identities_sha256": "x", "seconds": 3.0, "seed": 1, **more}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.json").write_text(json.dumps({"history": history, **record}))
