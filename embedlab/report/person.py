"""One person: the images, the nearest people, and where the person lies in each space."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int

from embedlab.charts import Face
from embedlab.charts.base import visible
from embedlab.charts.faces import faces_from, thumbnail
from embedlab.errors import UserError
from embedlab.estimates import counted
from embedlab.files import names
from embedlab.files.frames import frame
from embedlab.lab.embeddings import EmbeddingSet
from embedlab.lab.store import Lab
from embedlab.maths.sums import by_person
from embedlab.progress import track
from embedlab.report.show import faces_of
from embedlab.wording import naming, said

if TYPE_CHECKING:
    from embedlab.data.pictures import Lookup

SHOWN = 24
"""So many images of a person are shown a probe."""


@dataclass(frozen=True)
class Impostor:
    """Another person, by the pair of images that are most alike.

    Attributes
    ----------
    model, probe
        In which space.
    person
        Who.
    similarity
        The cosine of the pair.
    item, own_item
        The pair: the other person's image, and that of the person asked about.
    """

    model: str
    probe: str
    person: str
    similarity: float
    item: str
    own_item: str


@dataclass(frozen=True)
class Standing:
    """Where a person lies in one space.

    Attributes
    ----------
    model, probe
        In which space.
    images
        How many images show the person.
    from_centre
        Mean distance (one minus the cosine) of an image from the centre of the person's others; None where
        there is one image only.
    wider_than
        The share of the other people with two images or more whose images lie closer to theirs; None as well.
    first
        For how many of the images the nearest other image shows the same person; None as well.
    nearest
        The people most alike, by their most similar image.
    """

    model: str
    probe: str
    images: int
    from_centre: float | None
    wider_than: float | None
    first: int | None
    nearest: tuple[Impostor, ...]

    @property
    def title(self) -> str:
        """The space's name."""
        return f"{self.probe} in {self.model}"


def person(
    name: str,
    among: Lab | EmbeddingSet | Sequence[EmbeddingSet] | None = None,
    *,
    nearest: int = 5,
    data: str | Path | None = None,
) -> "Person":
    """Look at one person in every space.

    Parameters
    ----------
    name
        Who, as in ``identities``.
    among
        Sets, or a lab, of which every set is looked at; by default the lab that commands use.
    nearest
        How many other people are named in each space.
    data
        Where the images are: a folder of ``<identity>/<image>`` or an index file; by default those that the
        lab itself holds, which are drawn ones.

    Raises
    ------
    UserError
        If no set shows the person, there is no set, or one of the lab's or the images cannot be read.
    """
    if nearest < 1:
        raise UserError(f"{nearest} nearest people cannot be named: ask for one at least")
    lab = among if isinstance(among, Lab) else Lab()
    known: dict[str, None] = {}
    found: list[Standing] = []
    rows: list[dict[str, Any]] = []
    for one in _sets(lab if among is None else among):
        known |= dict.fromkeys(one.identities)
        if name in one.identities:
            standing, images = _standing(one, one.identities.index(name), nearest)
            found.append(standing)
            rows += images
    if not known:
        raise UserError("there are no embeddings to look into: give sets, or a lab that holds some")
    if not found:
        raise UserError(f"nobody here is called {name!r}: {names.near(name, list(known))}")
    return Person(name, tuple(found), tuple(rows), lab, None if data is None else _pictures(data))


def _pictures(data: str | Path) -> "Lookup":
    from embedlab.data.datasets import open_dataset
    from embedlab.data.pictures import pictures_of

    found = open_dataset(data)
    return pictures_of({found.name: found})


def _sets(among: Lab | EmbeddingSet | Sequence[EmbeddingSet]) -> Iterable[EmbeddingSet]:
    """Give the sets one by one: all of a lab's at once may be more than memory holds."""
    if isinstance(among, EmbeddingSet):
        return [among]
    if not isinstance(among, Lab):
        return among
    stored = [(model, probe) for model in among.models() for probe in among.probes(model)]
    return (among.embeddings(*one) for one in track(stored, "reading embeddings"))


def _standing(one: EmbeddingSet, who: int, most: int) -> tuple[Standing, list[dict[str, Any]]]:
    """Say where a person lies in a set, and of each image what is nearest to it."""
    own = np.flatnonzero(one.labels == who)
    several, others = len(own) > 1, len(one.identities) > 1
    apart = _from_centre(one)
    counts = np.bincount(one.labels)
    # One row a image of the person: memory is that of as many rows of scores as there are such images.
    scores = one.unit[own] @ one.unit.T
    scores[np.arange(len(own)), own] = -np.inf
    mine, theirs = scores[:, own], scores.copy()
    theirs[:, own] = -np.inf
    images = []
    for k, row in enumerate(own):
        best = int(theirs[k].argmax())
        same = float(mine[k].max()) if several else None
        images.append(
            {
                "model": one.model,
                "probe": one.probe,
                "item": str(one.items[row]),
                "from centre": float(apart[row]) if several else None,
                "own nearest": same,
                "impostor": one.identities[one.labels[best]] if others else None,
                "impostor item": str(one.items[best]) if others else None,
                "impostor similarity": float(theirs[k, best]) if others else None,
                "rank 1": None if same is None or not others else same > float(theirs[k, best]),
            }
        )
    spread = _mean_of_people(apart, one.labels, counts)
    rest = np.flatnonzero((counts > 1) & (np.arange(len(counts)) != who))
    return Standing(
        one.model,
        one.probe,
        len(own),
        float(spread[who]) if several else None,
        float((spread[rest] < spread[who]).mean()) if several and len(rest) else None,
        sum(bool(image["rank 1"]) for image in images) if several and others else None,
        _nearest(one, own, theirs, most) if others else (),
    ), images


def _from_centre(one: EmbeddingSet) -> Float[np.ndarray, " n"]:
    """Give each image's distance from the centre of the person's others; NaN where there are none.

    The image itself is left out, or it would lie the closer to the centre the fewer images there are.
    """
    others = by_person(one.unit, one.labels, len(one.identities))[one.labels] - one.unit
    lengths = np.linalg.norm(others, axis=1)
    apart: np.ndarray = 1 - np.einsum("ij,ij->i", others, one.unit) / np.where(lengths > 0, lengths, 1)
    return np.where(np.bincount(one.labels)[one.labels] > 1, apart, np.nan)


def _mean_of_people(
    values: Float[np.ndarray, " n"], labels: Int[np.ndarray, " n"], counts: Int[np.ndarray, " people"]
) -> Float[np.ndarray, " people"]:
    means: np.ndarray = np.bincount(labels, weights=values, minlength=len(counts)) / counts
    return means


def _nearest(one: EmbeddingSet, own: np.ndarray, theirs: np.ndarray, most: int) -> tuple[Impostor, ...]:
    best = theirs.max(axis=0)
    highest = np.full(len(one.identities), -np.inf)
    np.maximum.at(highest, one.labels, best)
    ranked = np.argsort(-highest, kind="stable")[: min(most, len(one.identities) - 1)]
    found = []
    for who in ranked:
        rows = np.flatnonzero(one.labels == who)
        row = rows[best[rows].argmax()]
        pair = own[theirs[:, row].argmax()]
        found.append(
            Impostor(
                one.model,
                one.probe,
                one.identities[who],
                float(best[row]),
                str(one.items[row]),
                str(one.items[pair]),
            )
        )
    return tuple(found)


@dataclass(frozen=True, repr=False)
class Person:
    """A person in every space that shows them.

    Attributes
    ----------
    name
        Who.
    spaces
        Where the person lies in each, in the order of the sets.
    """

    name: str
    spaces: tuple[Standing, ...]
    _rows: tuple[dict[str, Any], ...]
    _lab: Lab
    _lent: "Lookup | None" = None

    def __repr__(self) -> str:
        """Name the person, and say how much is known."""
        images = len({row["item"] for row in self._rows})
        return f"<Person {self.name!r}: {counted(images, 'image')} in {counted(len(self.spaces), 'space')}>"

    def __str__(self) -> str:
        with naming(self._names):
            return "\n".join([visible(self.name), *(f"- {visible(said(told(one)))}" for one in self.spaces)])

    def to_pandas(self) -> Any:
        """Give a ``pandas.DataFrame`` of a row an image and space: distances, and who is nearest.

        Raises
        ------
        UserError
            If pandas is not installed.
        """
        return frame(self._rows)

    def impostors(self) -> Any:
        """Give a ``pandas.DataFrame`` of the nearest other people in each space, as `Impostor` has them.

        Raises
        ------
        UserError
            If pandas is not installed.
        """
        return frame([asdict(one) for space in self.spaces for one in space.nearest])

    def _names(self) -> set[str]:
        """Gather the names that are nobody's words."""
        found = {self.name, *(str(row["item"]) for row in self._rows)}
        for one in (near for space in self.spaces for near in space.nearest):
            found |= {one.person, one.item, one.own_item}
        return found | {name for space in self.spaces for name in (space.model, space.probe)}

    def _repr_html_(self) -> str:
        from embedlab.report.build import environment, for_notebook

        items: dict[str, list[str]] = {}
        for row in self._rows:
            items.setdefault(row["probe"], []).append(row["item"])
        with faces_of(self._lab) if self._lent is None else faces_from(self._lent):
            shown = {
                probe: [(item, thumbnail(Face(probe, item))) for item in dict.fromkeys(some)]
                for probe, some in items.items()
            }
            pairs = {
                one: [thumbnail(Face(one.probe, item)) for item in (one.own_item, one.item)]
                for space in self.spaces
                for one in space.nearest
            }
            made = environment().get_template("person.html.jinja").module
            return for_notebook(made.person(self, shown, pairs, SHOWN), self._names())


def told(space: Standing) -> str:
    """Say in a sentence or two where a person lies in a space, and who is most alike."""
    parts = [f"{space.title}: {counted(space.images, 'image')}"]
    if space.from_centre is not None:
        wider = "" if space.wider_than is None else f", wider than {space.wider_than:.0%} of people"
        parts.append(f"{space.from_centre:.2f} from the centre of the others on average{wider}")
    if space.first is not None:
        parts.append(f"{space.first} of {space.images} nearest to one of their own")
    if space.nearest:
        parts.append(f"most alike {space.nearest[0].person} ({space.nearest[0].similarity:.2f})")
    return "; ".join(parts)
