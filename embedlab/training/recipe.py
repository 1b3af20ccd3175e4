"""Recipes: how a model is trained, as a TOML file of flat values.

A file gives the values of full scale, and may have a table for each smaller scale that replaces some
of them::

    title = "Faces of 36 px, brought to 144 px"
    data = "lowres"
    input_size = 144
    epochs = 20

    [demo]
    width = 8
    epochs = 2
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from embedlab.analysis import Params
from embedlab.errors import UserError

SCALES = ("demo", "small", "paper")


@dataclass(frozen=True)
class Recipe(Params):
    """How a model is trained."""

    title: str = ""
    """What the model stands for, in a few words."""
    data: str = ""
    """The data sets it is trained on, joined by ``+``."""
    input_size: int = 144
    """Side of the network's input in pixels, a multiple of 16."""
    width: int = 64
    """Channels of the first layers; the later ones have 2, 4 and 8 times as many."""
    dimension: int = 128
    """Length of the embedding."""
    dropout: float = 0.4
    """Share of the last feature map that training drops."""
    head: Literal["arcface"] = "arcface"
    """What turns embeddings into a loss."""
    scale: float = 64.0
    """ArcFace's scale s."""
    margin: float = 0.5
    """ArcFace's margin m in radians."""
    easy_margin: bool = False
    """Add the margin only where the angle is below 90°."""
    epochs: int = 20
    """Passes over the data, or over ``epoch_images`` of them."""
    epoch_images: int = 0
    """Images an epoch, drawn anew for each; 0 takes all."""
    batch: int = 512
    """Images a step."""
    learning_rate: float = 0.1
    """The highest rate; it falls to zero along half a cosine."""
    warmup_epochs: float = 1.0
    """How long the rate rises from zero, in epochs."""
    momentum: float = 0.9
    """Momentum of SGD."""
    weight_decay: float = 5e-4
    """Weight decay, not on norm layers, PReLU slopes and biases."""
    clip: float = 0.0
    """Longest gradient (L2 norm over all parameters); 0 does not clip."""
    flip: bool = True
    """Mirror half of the images at random."""
    state_every: int = 0
    """Steps between two resumable states within an epoch; 0 writes one after each epoch only."""
    seed: int = 0
    """What the weights, the order, the mirroring and the dropout are drawn from."""

    @property
    def datasets(self) -> tuple[str, ...]:
        """The names in ``data``."""
        return tuple(name.strip() for name in self.data.split("+"))


def names() -> list[str]:
    """List the recipes that come with embedlab."""
    folder = resources.files("embedlab.training") / "recipes"
    return sorted(file.name.removesuffix(".toml") for file in folder.iterdir() if file.name.endswith(".toml"))


def load(name: str | Path, scale: str = "paper", overrides: Mapping[str, Any] | None = None) -> Recipe:
    """Read a recipe by its name, or from a TOML file of one's own.

    Parameters
    ----------
    name
        One of ``names()``, or a path that ends in ``.toml``.
    scale
        Whose table of values replaces those of full scale; a scale without a table changes nothing.
    overrides
        Values that replace both.

    Raises
    ------
    UserError
        If there is no such recipe or scale, or a name or value in it is wrong.
    """
    if scale not in SCALES:
        raise UserError(f"unknown scale {scale!r}: choose one of {', '.join(SCALES)}")
    values, where = _read(name)
    tables = {key: value for key, value in values.items() if isinstance(value, dict)}
    unknown = set(tables) - set(SCALES)
    if unknown:
        raise UserError(f"{where} has an unknown table [{min(unknown)}]: scales are {', '.join(SCALES)}")
    flat = {key: value for key, value in values.items() if key not in tables}
    recipe = Recipe().with_overrides(flat, f"{where}: ")
    recipe = recipe.with_overrides(tables.get(scale, {}), f"{where} [{scale}]: ")
    recipe = recipe.with_overrides(overrides or {})
    _check(recipe, where)
    return recipe


def _read(name: str | Path) -> tuple[dict[str, Any], str]:
    try:
        if str(name).endswith(".toml"):
            return tomllib.loads(Path(name).read_text(encoding="utf-8")), str(name)
        if name not in names():
            raise UserError(
                f"unknown recipe {str(name)!r}: there are {', '.join(names())}, or name a .toml file"
            )
        file = resources.files("embedlab.training") / "recipes" / f"{name}.toml"
        return tomllib.loads(file.read_text(encoding="utf-8")), str(name)
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read recipe {name} ({error}): correct the file or its path") from None


def _check(recipe: Recipe, where: str) -> None:
    wrong = {
        "data must name data sets, joined by +": all(recipe.datasets),
        "input_size must be a positive multiple of 16": recipe.input_size > 0 and recipe.input_size % 16 == 0,
        "width and dimension must be at least 1": min(recipe.width, recipe.dimension) >= 1,
        "dropout must be at least 0 and below 1": 0 <= recipe.dropout < 1,
        "scale must be positive": recipe.scale > 0,
        "margin must be from 0 to 1.5 radians": 0 <= recipe.margin <= 1.5,
        "epochs must be at least 1": recipe.epochs >= 1,
        "batch must be at least 2": recipe.batch >= 2,
        "learning_rate must be positive": recipe.learning_rate > 0,
        "momentum must be at least 0 and below 1": 0 <= recipe.momentum < 1,
        "weight_decay, clip, warmup_epochs, epoch_images, state_every and seed must not be negative": min(
            recipe.weight_decay,
            recipe.clip,
            recipe.warmup_epochs,
            recipe.epoch_images,
            recipe.state_every,
            recipe.seed,
        )
        >= 0,
    }
    for rule, kept in wrong.items():
        if not kept:
            raise UserError(f"recipe {where}: {rule}: correct the value")
