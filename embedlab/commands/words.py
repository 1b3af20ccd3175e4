"""What a model's word is: a network or embeddings of the lab, a recipe, a file of either, or code.

It is told here and nowhere else: ``of`` goes by the word alone, ``recognised`` asks the lab as well.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from embedlab import compute
from embedlab.commands import trainings
from embedlab.commands.request import Request
from embedlab.errors import UserError
from embedlab.formats import interchange
from embedlab.lab.store import Lab, made_name
from embedlab.networks.contracts import TORCH_SUFFIXES

if TYPE_CHECKING:
    from embedlab.networks.embedder import Embedder

IMPORTED = "imported"
"""The probe of vectors that are given as a file."""
CALLABLE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


@dataclass(frozen=True)
class Word:
    """A model as a command names it; this one is a plain name, and only the lab tells of what.

    Attributes
    ----------
    text
        The word as it was written.
    embeds
        Whether it is a network that can be run on images, or will be once it is trained.
    """

    text: str
    embeds: ClassVar[bool] = False

    @property
    def path(self) -> Path:
        """The file it names, where it names one."""
        return Path(self.text)

    @property
    def title(self) -> str:
        """What it is called in the names of folders, before ``made_name``."""
        return self.text

    @property
    def name(self) -> str:
        """Its name in the lab, where no network that is open has one of its own."""
        return self.text

    def opened(self, request: Request) -> "Embedder | None":  # noqa: ARG002
        """Open the network; None where there are only embeddings, or it has yet to be trained.

        Raises
        ------
        UserError
            If it cannot be opened, or is a recipe that is not trained and may not be.
        """
        return None


class Stored(Word):
    """Embeddings in the lab whose network is not there."""


class Checkpoint(Word):
    """A network of the lab."""

    embeds = True

    def opened(self, request: Request) -> "Embedder | None":
        """Load it."""
        from embedlab.networks import checkpoints

        return checkpoints.load(request.lab, self.text, compute.device())


class Recipe(Word):
    """A known recipe without a checkpoint."""

    embeds = True

    def opened(self, request: Request) -> "Embedder | None":
        """Give None, since it has yet to be trained; refuse it where it may not be."""
        from embedlab.training import recipe

        if request.train:
            return None
        minutes = trainings.rough_minutes(request, recipe.load(self.text, scale=request.scale))
        raise UserError(
            f"model {self.text!r} is a known recipe without a checkpoint in {request.lab.root}: train it "
            f"with `embedlab train {self.text} --scale {request.scale}` (roughly {minutes:.0f} min here); "
            "report, run and extract do so themselves with --train"
        )


class Foreign(Word):
    """A network from elsewhere, which has no checkpoint here."""

    embeds = True

    @property
    def called(self) -> str:
        """The name by which ``--preprocessing`` may mean it."""
        return self.path.stem

    def preset(self, request: Request) -> str | None:
        """Give the preset that was said for it, or for all; None where none was."""
        return request.preprocessing.get(self.called, request.preprocessing.get(""))


class Code(Foreign):
    """A function that gives a network, as ``module:function``."""

    @property
    def called(self) -> str:
        """The name by which ``--preprocessing`` may mean it."""
        return made_name(self.text, "model")

    def opened(self, request: Request) -> "Embedder | None":
        """Call it."""
        from embedlab.networks import callables

        return callables.open_callable(self.text, self.preset(request))


class NetworkFile(Foreign):
    """A file of a network."""

    endings: ClassVar[tuple[str, ...]]

    @property
    def title(self) -> str:
        """The file's name without its ending."""
        return self.path.stem

    def opened(self, request: Request) -> "Embedder | None":
        """Read it."""
        from embedlab.networks import foreign

        return foreign.open_model(self.path, self.preset(request))


class OnnxFile(NetworkFile):
    """A network in ONNX."""

    endings = (".onnx",)


class TorchFile(NetworkFile):
    """A state dict."""

    endings = TORCH_SUFFIXES


class VectorsFile(Word):
    """A file of embeddings, or a folder of Parquet parts."""

    endings: ClassVar[tuple[str, ...]] = interchange.SUFFIXES

    @property
    def title(self) -> str:
        """The file's name without its ending."""
        return self.path.stem

    @property
    def name(self) -> str:
        """The file's name in the form of names in the lab."""
        return made_name(self.path.stem, "imported")

    def opened(self, request: Request) -> None:  # noqa: ARG002
        """Give None, if it is there."""
        if not self.path.exists():
            raise UserError(f"{self.text} does not exist: give the path of a file of embeddings")


FILES: tuple[type[OnnxFile | TorchFile | VectorsFile], ...] = (VectorsFile, OnnxFile, TorchFile)


def of(text: str) -> Word:
    """Tell what a word is by itself: code or a file, else a plain name."""
    if CALLABLE.fullmatch(text):
        return Code(text)
    ending = Path(text).suffix.lower()
    kind = next((kind for kind in FILES if ending in kind.endings), None)
    if kind is None and ending in (interchange.readers() if ending else ()):
        kind = VectorsFile
    return (kind or Word)(text)


def recognised(text: str, lab: Lab) -> Word:
    """Tell what a word is, and of a plain name what it names.

    Raises
    ------
    UserError
        If nothing is called so.
    """
    from embedlab.training import recipe

    word = of(text)
    if type(word) is not Word:
        return word
    models, recipes = lab.models(), recipe.names()
    if text in lab.trained():
        return Checkpoint(text)
    if text in recipes:
        return Recipe(text)
    if text in models:
        return Stored(text)
    if recipe.known(text):  # From another seed: after vectors that happen to be called so.
        return Recipe(text)
    known = ", ".join(dict.fromkeys((*models, *recipes)))
    *vectors, last = VectorsFile.endings
    raise UserError(
        f"unknown model {text!r}: name one of {known}, or give the path of an .onnx, .pth, "
        f"{', '.join(vectors)} or {last} file"
    )
