"""Recipes: how a model is trained, as a TOML file of flat values.

A file gives the values of full scale, and may have a table for each smaller scale. It replaces some of the
values of the next larger one::

    title = "Faces of 36 px, brought to 144 px"
    data = "lowres"
    input_size = 144
    epochs = 20

    [small]
    width = 16
    epochs = 4

    [demo]
    width = 8

The name of a recipe with ``_seed`` and a number, as in ``lowres144_seed31``, is the recipe with that seed:
another training of it, which shows how much two trainings differ that differ in nothing else.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from itertools import pairwise
from math import isfinite
from pathlib import Path
from typing import Any, Literal

from embedlab import plugins
from embedlab.analysis import Params, bounded
from embedlab.errors import UserError
from embedlab.files.documents import toml

ENTRY_POINTS = "embedlab.recipes"
SEEDED = re.compile(r"(.+)_seed([0-9]{1,9})")
SCALES = ("demo", "small", "paper")
"""From the smallest on."""
MARGINS = {
    "softmax": "0, as softmax has none",
    "cosface": "from 0 to 1, a cosine",
    "sphereface": "a whole number from 1 to 8, a factor of the angle",
    "derivenet": "from 0 to 64, a factor of the likeness of two people",
}
ANGLE = "from 0 to 1.5 radians"


@dataclass(frozen=True)
class Recipe(Params):
    """How a model is trained."""

    title: str = ""
    """What the model stands for, in a few words."""
    data: str = ""
    """The data sets it is trained on, joined by ``+``."""
    input_size: int = bounded(144, least=16)
    """Side of the network's input in pixels, a multiple of 16."""
    backbone: str = "ir_se_18"
    """The network; one of ``embedlab.networks.backbones.NAMES``. Not used where ``parts`` are given."""
    width: int = bounded(64, least=1)
    """Channels of the first layers; the later ones have a multiple of it, as the backbone says."""
    stem: int = bounded(1, least=1, most=4)
    """Stride of the first convolution, 1, 2 or 4: how much smaller than the image the first layers work."""
    dimension: int = bounded(128, least=1)
    """Length of the embedding. With ``parts`` their own, or all of them together, decide."""
    dropout: float = bounded(0.4, least=0, below=1)
    """Share of the last feature map that training drops."""
    initial: str = ""
    """Trained model whose weights training starts from (fine-tuning); empty draws them."""
    parts: str = ""
    """Trained models whose embeddings are fused, joined by ``+``; empty trains one backbone."""
    fusion: Literal["sum", "concatenate"] = "sum"
    """What becomes of the embeddings of the parts."""
    shrink: str = ""
    """Pixels that each part's image is shrunk to first, joined by ``+``, 0 for as it is: ``36+0``."""
    trained: Literal["all", "output", "none"] = "all"
    """Which layers of the backbones learn: all, the output layers, or none; the head always does."""
    head: str = "arcface"
    """What turns embeddings into a loss; one of ``embedlab.networks.heads.NAMES``."""
    scale: float = bounded(64.0, above=0)
    """The head's scale s."""
    margin: float = bounded(0.5, least=0)
    """The head's margin m: radians (ArcFace), cosine (CosFace), a factor (SphereFace, DeriveNet),
    0 for softmax."""
    margin_high: float = bounded(0.8, least=0)
    """MagFace's margin at the highest quality; ``margin`` is that at the lowest."""
    easy_margin: bool = False
    """ArcFace: add the margin only where the angle is below 90°."""
    sample_rate: float = bounded(1.0, above=0, most=1)
    """Share of the classes that a step's softmax sees (Partial FC); 1 takes all."""
    octuplet: float = bounded(0.0, least=0)
    """Weight of the octuplet loss beside the head's; needs ``low = "cross"`` and ``per_identity`` ≥ 2."""
    adversarial: float = bounded(0.0, least=0)
    """Weight of the reversed gradient that makes resolution unreadable; needs ``low``."""
    epochs: int = bounded(20, least=1)
    """Passes over the data, or over ``epoch_images`` of them."""
    epoch_images: int = bounded(0, least=0)
    """Images an epoch, drawn anew for each; 0 takes all."""
    batch: int = bounded(512, least=2)
    """Images a step, over all processes; with ``low = "cross"`` each is seen twice."""
    per_identity: int = bounded(0, least=0)
    """Images of each person in a batch; 0 draws images whoever they show."""
    learning_rate: float = bounded(0.1, above=0)
    """The highest rate."""
    schedule: Literal["cosine", "multistep", "plateau"] = "cosine"
    """How the rate falls: half a cosine to zero, in steps at the milestones, or ÷5 when validation stalls."""
    milestones: str = "0.5+0.75+0.9"
    """Shares of the training at which ``multistep`` divides the rate by ten, joined by ``+``."""
    patience: int = bounded(2, least=1)
    """Validations without a better accuracy after which ``plateau`` divides the rate by five."""
    warmup_epochs: float = bounded(1.0, least=0)
    """How long the rate rises from zero, in epochs."""
    momentum: float = bounded(0.9, least=0, below=1)
    """Momentum of SGD."""
    weight_decay: float = bounded(5e-4, least=0)
    """Weight decay, not on norm layers, PReLU slopes and biases."""
    clip: float = bounded(0.0, least=0)
    """Longest gradient (L2 norm over all parameters); 0 does not clip."""
    flip: bool = True
    """Mirror half of the images at random."""
    jitter: float = bounded(0.0, least=0, below=1)
    """Largest change of brightness, contrast and saturation, as a share; 0 changes none."""
    erasing: float = bounded(0.0, least=0, most=1)
    """Share of the images of which a random rectangle is blanked out."""
    low: Literal["never", "random", "cross"] = "never"
    """Random lower resolutions: in ``low_share`` of the images, or each image a second time (cross)."""
    low_share: float = bounded(0.5, least=0, most=1)
    """Share of the images that ``low = "random"`` shrinks."""
    low_exponents: str = "3+8"
    """Images are shrunk to 2^u px, u uniform between these; at or above the input's size as they are."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic of the network: auto takes bfloat16 on CUDA, float32 elsewhere."""
    compiled: bool = False
    """Compile the network with ``torch.compile``: some minutes first, faster steps after."""
    validate_every: int = bounded(0, least=0)
    """Steps between two validations within an epoch; 0 validates after each epoch only."""
    state_every: int = bounded(0, least=0)
    """Steps between two resumable states within an epoch; 0 writes one after each epoch only."""
    seed: int = bounded(0, least=0)
    """What the weights, the order, the augmentation and the dropout are drawn from."""

    @property
    def datasets(self) -> tuple[str, ...]:
        """The names in ``data``."""
        return tuple(name.strip() for name in self.data.split("+"))

    @property
    def models(self) -> tuple[str, ...]:
        """The trained models that training begins from: those in ``parts``, or ``initial``."""
        if self.parts:
            return tuple(name.strip() for name in self.parts.split("+"))
        return (self.initial,) if self.initial else ()


def names() -> list[str]:
    """List the recipes that come with embedlab, and those of other packages."""
    return sorted({*_builtin(), *(point.name for point in plugins.points(ENTRY_POINTS))})


def known(name: str) -> bool:
    """Tell whether a name is a recipe's, or a recipe's with another seed."""
    return _seeded(name)[0] in names()


def _seeded(name: str) -> tuple[str, int | None]:
    """Take a name apart into the recipe's and the seed; a recipe that is called so itself has none."""
    told = SEEDED.fullmatch(name)
    return (told[1], int(told[2])) if told and name not in names() else (name, None)


def _builtin() -> list[str]:
    folder = resources.files("embedlab.training") / "recipes"
    return [file.name.removesuffix(".toml") for file in folder.iterdir() if file.name.endswith(".toml")]


def unusable() -> dict[str, str]:
    """Say of each recipe of another package that cannot be used why, in a sentence."""
    found = {}
    builtin = _builtin()
    for point in plugins.points(ENTRY_POINTS):
        if point.name in builtin:
            said = plugins.where("recipe", point.name, point.value)
            found[f"{point.name} = {point.value}"] = (
                f"{said} has the name of one of embedlab's, and is left out: rename its entry point"
            )
            continue
        try:
            title(point.name)
        except UserError as error:
            found[point.name] = str(error)
    return found


def _of_a_package(name: str) -> Any:
    """Find the file of a recipe that a package declares: ``<name>.toml`` in the package that is named."""
    point = next(point for point in plugins.points(ENTRY_POINTS) if point.name == name)
    package = plugins.load("recipe", name, point.value)
    try:
        file = resources.files(package) / f"{name}.toml"
    except TypeError:
        file = None
    if file is None or not file.is_file():
        said = plugins.where("recipe", name, point.value)
        raise UserError(f"{said} is no package that holds {name}.toml: {plugins.MEND}")
    return file


def title(name: str) -> str:
    """Say what a recipe stands for, without checking the rest of it, which takes torch."""
    return str(_read(name)[0].get("title", ""))


def load(name: str | Path, scale: str = "paper", overrides: Mapping[str, Any] | None = None) -> Recipe:
    """Read a recipe by its name, or from a TOML file of one's own.

    Parameters
    ----------
    name
        One of ``names()``, such a name with ``_seed`` and a number, or a path that ends in ``.toml``.
    scale
        Down to which scale the tables replace values; a scale without a table changes nothing.
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
    for larger in reversed(SCALES[SCALES.index(scale) :]):
        recipe = recipe.with_overrides(tables.get(larger, {}), f"{where} [{larger}]: ")
    recipe = recipe.with_overrides(overrides or {})
    _check(recipe, where)
    return recipe


def _read(name: str | Path) -> tuple[dict[str, Any], str]:
    try:
        if str(name).endswith(".toml"):
            return toml(Path(name), "recipe"), str(name)
        recipe, seed = _seeded(str(name))
        if recipe not in names():
            raise UserError(
                f"unknown recipe {str(name)!r}: there are {', '.join(names())}, or name a .toml file"
            )
        own = resources.files("embedlab.training") / "recipes" / f"{recipe}.toml"
        file = own if own.is_file() else _of_a_package(recipe)
        values = tomllib.loads(file.read_text(encoding="utf-8"))
        return values if seed is None else _with_seed(values, seed), str(name)
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read recipe {name} ({error}): correct the file or its path") from None


def _with_seed(values: dict[str, Any], seed: int) -> dict[str, Any]:
    """Put the seed in place of the recipe's, at every scale; the rest, the title too, stays the recipe's."""
    dropped = {
        key: {k: v for k, v in value.items() if k != "seed"} if isinstance(value, dict) else value
        for key, value in values.items()
    }
    return {**dropped, "seed": seed}


def _check(recipe: Recipe, where: str) -> None:
    rules = {**_of_the_data(recipe), **_of_the_network(recipe)}
    for rule, kept in rules.items():
        if not kept:
            raise UserError(f"recipe {where}: {rule}: correct the value")


def _of_the_data(recipe: Recipe) -> dict[str, bool]:
    """Say which rules for what is shown, and when, the values keep."""
    exponents, shares = numbers(recipe.low_exponents), numbers(recipe.milestones)
    return {
        "data must name data sets, joined by +": all(recipe.datasets),
        "input_size must be a multiple of 16": recipe.input_size % 16 == 0,
        'low_exponents must be two numbers from 1 to 16, the lower first, as in "3+8"': len(exponents) == 2
        and 1 <= exponents[0] <= exponents[1] <= 16,
        'milestones must be rising shares between 0 and 1, as in "0.5+0.75"': bool(shares)
        and shares[0] > 0
        and shares[-1] < 1
        and all(a < b for a, b in pairwise(shares)),
        "per_identity must be 0, or divide batch into two people or more": recipe.per_identity == 0
        or (recipe.batch % recipe.per_identity == 0 and recipe.batch >= 2 * recipe.per_identity),
        'adversarial needs images of several resolutions, low = "random" or "cross"': recipe.adversarial == 0
        or recipe.low != "never",
        "derivenet reconstructs the sharp image from the blurred one and holds all classes together: it "
        'needs low = "cross" and sample_rate = 1': recipe.head != "derivenet"
        or (recipe.low == "cross" and recipe.sample_rate == 1),
        'octuplet needs low = "cross" and per_identity of 2 or more': recipe.octuplet == 0
        or (recipe.low == "cross" and recipe.per_identity >= 2),
    }


def _of_the_network(recipe: Recipe) -> dict[str, bool]:
    """Say which rules for backbone and head the values keep."""
    from embedlab.networks import backbones, heads

    shrunk, parts = numbers(recipe.shrink), recipe.models if recipe.parts else ()
    return {
        f"backbone must be one of {', '.join(backbones.NAMES)}": recipe.backbone in backbones.NAMES,
        "stem must be 1, or 2 or 4 where the backbone is a residual network (ir_…)": recipe.stem == 1
        or (recipe.stem in (2, 4) and recipe.backbone.startswith("ir_")),
        f"head must be one of {', '.join(heads.NAMES)}": recipe.head in heads.NAMES,
        f"margin must be {MARGINS.get(recipe.head, ANGLE)}": _is_margin(recipe.head, recipe.margin),
        "margin_high must be from margin to 1.5 radians": not recipe.head.startswith("magface")
        or recipe.margin <= recipe.margin_high <= 1.5,
        "parts must name two trained models or more, joined by +": not recipe.parts
        or (len(parts) > 1 and all(parts)),
        "initial and parts exclude each other, as parts bring their weights": not (
            recipe.initial and recipe.parts
        ),
        "fusion and shrink need parts": bool(recipe.parts) or (recipe.fusion == "sum" and not recipe.shrink),
        'shrink must be a whole number of pixels for each part, 0 for none, as in "36+0"': not recipe.shrink
        or not recipe.parts
        or (len(shrunk) == len(parts) and all(side >= 0 and side == int(side) for side in shrunk)),
        'trained = "output" and "none" need initial or parts, as drawn weights must learn': (
            recipe.trained == "all" or bool(recipe.initial or recipe.parts)
        ),
    }


def _is_margin(head: str, margin: float) -> bool:
    if head == "softmax":
        return margin == 0
    if head == "sphereface":
        return 1 <= margin <= 8 and margin == int(margin)
    if head == "derivenet":
        return margin <= 64
    return 0 <= margin <= (1.0 if head == "cosface" else 1.5)


def numbers(text: str) -> tuple[float, ...]:
    """Read numbers that are joined by ``+``; nothing at all if one of them is none."""
    try:
        read = tuple(float(word) for word in text.split("+")) if text.strip() else ()
    except ValueError:
        return ()
    return read if all(isfinite(number) for number in read) else ()
