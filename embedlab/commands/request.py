"""What a command line asked for, and the images it is about."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from embedlab import compute
from embedlab.errors import UserError
from embedlab.lab.store import Lab
from embedlab.progress import say

if TYPE_CHECKING:
    from embedlab.data.datasets import Dataset

EMBEDDED_PROBE = "highres_eval"


@dataclass(frozen=True)
class Request:
    """What a command line asked for, beyond the study itself.

    Attributes
    ----------
    lab
        The working folder.
    data
        Folder, index file, pack, ``.bin`` or ``.rec`` file of images; None is the embedded synthetic
        faces.
    scale
        Size of the embedded data and of recipes: demo, small or paper.
    population
        Whom the embedded data show: ``easy`` or ``families``.
    train
        Whether to train known recipes that have no checkpoint.
    preprocessing
        Preset by model name for models from elsewhere; under "" the one for all.
    strict, fresh
        Whether an unreadable image is fatal; whether stored results are passed over.
    jobs
        How many processes run analyses; None takes as many as serve.
    batch
        Images a batch in extraction; None lets the extractor choose.
    flip
        Whether the vectors of an image and its mirror image are added.
    reading
        How vectors given as files are read: ``items``, ``item_column``, ``identity_column`` and
        ``vector_column``, each with words ``[MODEL=]VALUE``.
    pictures
        Whether the report shows images.
    pseudonyms
        Whether people and images go by pseudonyms in it.
    """

    lab: Lab
    data: str | None = None
    scale: str = "demo"
    population: str = "easy"
    train: bool = False
    preprocessing: Mapping[str, str] = field(default_factory=dict)
    strict: bool = False
    fresh: bool = False
    jobs: int | None = None
    batch: int | None = None
    flip: bool = False
    reading: Mapping[str, Sequence[str]] = field(default_factory=dict)
    pictures: bool = True
    pseudonyms: bool = False


def reading_of(reading: Mapping[str, Sequence[str]], files: Mapping[str, Path], name: str) -> dict[str, str]:
    """Pick what ``--items`` and the like say of one file of vectors.

    Parameters
    ----------
    reading
        The options' words, ``[MODEL=]VALUE``; a word that names the model goes before one for all, and a
        later word before an earlier one.
    files
        The files, by the names of their models.
    name
        Which of them.

    Returns
    -------
    Keyword arguments of ``interchange.import_embeddings``.

    Raises
    ------
    UserError
        If a word names another model than these, or a list of items is of use to none of them.
    """
    found = {}
    for option, words in reading.items():
        split = [_of_model(option, word, files) for word in words]
        for_all = [value for model, value in split if not model]
        # A list of items for all is one for those that do not name them themselves.
        if option == "items" and for_all and not _takes_items(files[name]):
            if not any(map(_takes_items, files.values())):
                raise UserError(
                    f"--items {for_all[0]} is for .npy and .npz files, and {files[name]} names its items "
                    "itself: leave it out"
                )
            for_all = []
        chosen = [*for_all, *(value for model, value in split if model == name)]
        if chosen:
            found[option] = chosen[-1]
    return found


def _takes_items(path: Path) -> bool:
    return path.suffix.lower() in (".npy", ".npz")


def _of_model(option: str, word: str, files: Mapping[str, Path]) -> tuple[str, str]:
    """Cut a word into the model that it names, if any, and its value, in which a ``=`` may stand as well."""
    model, equals, value = word.partition("=")
    if equals and model in files:
        return model, value
    if equals and option == "items" and not Path(word).exists():
        raise UserError(
            f"--items {word}: there is no such file, and no file of vectors is called {model!r}: there are "
            f"{', '.join(files)}"
        )
    return "", word


def embedded_data(request: Request) -> Path:
    """Make the synthetic faces if they are not there, and return their folder."""
    from embedlab.data.synthetic import sets as synthetic

    folder = request.lab.data
    made = synthetic.make(folder, scale=request.scale, device=compute.device(), population=request.population)
    if not made.cached:
        say(f"  drew synthetic faces ({request.scale} scale) into {folder} in {made.seconds:.1f} s")
    return folder


def known_attributes(request: Request, name: str) -> str:
    """Name the table of what is known of an embedded data set's images; empty if there is none."""
    path = request.lab.data / f"{name}_attributes.csv"
    return str(path) if path.is_file() else ""


def given_data(request: Request) -> "Dataset | None":
    """Open the data set that the command named; None if it named none."""
    from embedlab.data.sources import open_source

    return None if request.data is None else open_source(request.data)


def embedded_dataset(request: Request, name: str) -> "Dataset":
    """Open one of the embedded data sets, drawing them if needed.

    Raises
    ------
    UserError
        If there is none of that name.
    """
    from embedlab.data.datasets import open_dataset
    from embedlab.data.synthetic.sets import IMAGES

    folder = request.lab.data
    there = [path.name.removesuffix("_ids.txt") for path in folder.glob("*_ids.txt")]
    # Before the faces are drawn, which takes minutes.
    if name not in (*there, *IMAGES):
        raise UserError(
            f"unknown probe {name!r}: the data sets in {folder} are {', '.join(sorted(there or IMAGES))}; "
            "images of your own are named with --data"
        )
    return open_dataset(embedded_data(request) / f"{name}_ids.txt")
