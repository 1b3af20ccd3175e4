"""EmbeddingSet: one model's vectors for one probe; joined by item name; Parquet in and out."""

import hashlib
import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, reduce
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from embedlab.digest import Digest
from embedlab.errors import UserError, first_line
from embedlab.files import columns, headroom, names, parquet
from embedlab.files.frames import frame
from embedlab.progress import say
from embedlab.shapes import check_shapes

COLUMNS = ("item", "identity", "embedding", "norm")
CHECKED_ROWS = 1 << 14


@dataclass(frozen=True)
class EmbeddingSet:
    """One model's vectors for one probe ("highres@32 in lowres144").

    Attributes
    ----------
    model, probe
        Names of the network and of the images' condition.
    vectors
        As the network gave them, not normalised; float32 of shape (n, d).
    items
        A stable, unique name for each image; sets are joined by it, never by row number.
    labels
        Index into ``identities`` for each row.
    identities
        The people, sorted.
    attributes
        Extra columns, each with a value a row.
    recipe
        What two trainings of one recipe share, whatever their seeds; empty where it is not known.
    trained
        Whether the network, or one that it began from, was trained on these images: ``yes``, ``no``, or empty
        where it is not known.

    Raises
    ------
    UserError
        If a vector is not finite or is zero, an item name stands twice, or the set is empty; the
        message names the item.
    TypeError
        If an array has another dtype or shape than declared.
    """

    model: str
    probe: str
    vectors: Float[np.ndarray, "n d"]
    items: Shaped[np.ndarray, " n"]
    labels: Int[np.ndarray, " n"]
    identities: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    recipe: str = ""
    trained: Literal["", "no", "yes"] = ""

    def __post_init__(self) -> None:
        check_shapes(self)
        if len(self.items) == 0:
            raise UserError(f"{self.title} holds no vectors: give at least one row")
        finite = columns.finite(self.vectors)
        if not finite.all():
            row = int(np.argmin(finite))
            raise UserError(
                f"{self.title} has {int((~finite).sum())} vectors with NaN or infinity, the first in row "
                f"{row} (item {str(self.items[row])!r}): remove those rows or extract them again"
            )
        if not np.isfinite(self.norms).all():
            row = int(np.argmin(np.isfinite(self.norms)))
            raise UserError(
                f"{self.title} has a vector whose length is beyond 32 bits in row {row} (item "
                f"{str(self.items[row])!r}): remove it"
            )
        if not self.norms.all():
            row = int(np.argmin(self.norms))
            raise UserError(
                f"{self.title} has a vector of length zero in row {row} (item {str(self.items[row])!r}): it "
                "has no direction to compare; remove it"
            )
        names, counts = np.unique(self.items, return_counts=True)
        if len(names) < len(self.items):
            twice = names[counts > 1]
            raise UserError(
                f"{self.title} has {len(twice)} item names that stand more than once, such as "
                f"{str(twice[0])!r}: give every image a name of its own"
            )

    def __repr__(self) -> str:
        """Name it, and say how large it is."""
        n, d = self.vectors.shape
        more = f", attributes {', '.join(self.attributes)}" if self.attributes else ""
        size = f"{n:,} images of {len(self.identities):,} people, {d} dimensions"
        return f"<EmbeddingSet {self.title}: {size}{more}>"

    def to_pandas(self, *, vectors: bool = False) -> Any:
        """Give a ``pandas.DataFrame``: item, identity, norm, attributes, and ``embedding`` if wanted.

        Raises
        ------
        UserError
            If pandas is not installed.
        """
        columns = {
            "item": self.items,
            "identity": np.asarray(self.identities)[self.labels],
            "norm": self.norms,
            **self.attributes,
        }
        return frame({**columns, **({"embedding": list(self.vectors)} if vectors else {})})

    @property
    def title(self) -> str:
        """The set's name in words: "highres@32 in lowres144"."""
        return f"{self.probe} in {self.model}"

    @cached_property
    def norms(self) -> Float[np.ndarray, " n"]:
        """Euclidean length of each vector."""
        return columns.lengths(self.vectors)

    @cached_property
    def unit(self) -> Float[np.ndarray, "n d"]:
        """The vectors at length one, a copy of them.

        Raises
        ------
        UserError
            If it would fill the memory.
        """
        headroom.check_rows(self.title, self.vectors.nbytes)
        unit: np.ndarray = self.vectors / self.norms[:, None]
        return unit

    @cached_property
    def fingerprint(self) -> str:
        """A hash of names, vectors and attributes; equal sets have equal fingerprints."""
        digest = Digest()
        for name in (self.model, self.probe, self.recipe, self.trained):
            digest.text(name)
        digest.array(self.vectors.astype("<f4", copy=False))
        for column in (self.items, self.labels, self.identities):
            digest.column(column)
        for name in sorted(self.attributes):
            digest.text(name)
            digest.column(self.attributes[name])
        return digest.hexdigest()

    def take(self, rows: Sequence[int] | Int[np.ndarray, " m"]) -> "EmbeddingSet":
        """Cut the set to some rows, in that order; people left without a row are dropped."""
        rows = np.asarray(rows, dtype=np.int64)
        kept, labels = np.unique(self.labels[rows], return_inverse=True)
        return replace(
            self,
            vectors=self.vectors[rows],
            items=self.items[rows],
            labels=labels.astype(np.int64),
            identities=tuple(self.identities[k] for k in kept),
            attributes={name: np.asarray(v)[rows] for name, v in self.attributes.items()},
        )

    def draw(self, people: int) -> "EmbeddingSet":
        """Draw so many people, with all their images, where a set is larger than a question needs.

        Who is drawn hangs on the names alone: sets of the same people keep the same ones, whatever the order
        of their rows, and a larger draw holds a smaller one. 0 takes all, as does a number not below theirs.
        """
        kept = drawn(self.identities, people)
        return self if kept.all() else self.take(np.flatnonzero(kept[self.labels]))

    @classmethod
    def of(
        cls,
        vectors: Any,
        labels: Any,
        items: Any = None,
        *,
        model: str = "model",
        probe: str = "memory",
        attributes: Mapping[str, Any] | None = None,
    ) -> "EmbeddingSet":
        """Make a set of what lies in memory: numpy, lists, torch, pandas, pyarrow.

        Parameters
        ----------
        vectors
            Numbers of shape (n, d), of any type and on any device; of a DataFrame the columns are the d
            numbers, or its one column holds lists.
        labels
            The person of each row: names or whole numbers.
        items
            The name of each row's image; by default the number of the row. Sets are joined by these names.
        model, probe
            What the set is of.
        attributes
            Extra columns, by name; or a DataFrame.

        Raises
        ------
        UserError
            If the vectors are not numbers of that shape, columns are not of one length, a person is missing
            or a number with decimals, or as the class itself does.
        """
        from embedlab.files import memory

        numbers = memory.matrix(vectors)
        n = len(numbers)
        people = memory.names(labels, "labels", n)
        rows = [f"{k:0{len(str(max(n - 1, 0)))}d}" for k in range(n)]
        called = rows if items is None else memory.names(items, "items", n)
        columns = memory.columns(attributes, n)
        if clash := sorted(set(columns) & set(COLUMNS)):
            raise UserError(
                f"an attribute cannot be called {clash[0]!r}, which has a meaning here: rename it"
            )
        return cls.from_rows(model, probe, numbers, called, people, columns)

    @classmethod
    def from_rows(
        cls,
        model: str,
        probe: str,
        vectors: Any,
        items: Sequence[str],
        people: Sequence[str],
        attributes: Mapping[str, Any] | None = None,
    ) -> "EmbeddingSet":
        """Make a set from parallel columns: a vector, an item name and a person's name a row."""
        names, labels = np.unique(np.asarray(people, dtype=str), return_inverse=True)
        return cls(
            model=model,
            probe=probe,
            vectors=np.ascontiguousarray(vectors, dtype=np.float32),
            items=np.asarray(items, dtype=str),
            labels=labels.astype(np.int64),
            identities=tuple(map(str, names)),
            attributes=dict(attributes or {}),
        )


def drawn(identities: Sequence[str], people: int) -> Bool[np.ndarray, " people"]:
    """Say of each person whether they are among so many that are drawn by their names; 0 takes all."""
    if not 0 < people < len(identities):
        return np.ones(len(identities), dtype=bool)
    mixed = [hashlib.blake2b(name.encode(errors="surrogatepass")).digest() for name in identities]
    kept = np.zeros(len(identities), dtype=bool)
    kept[sorted(range(len(identities)), key=mixed.__getitem__)[:people]] = True
    return kept


class Alignment(NamedTuple):
    """Two sets with the same items in the same order, and what was left out."""

    a: EmbeddingSet
    b: EmbeddingSet
    dropped_a: int
    dropped_b: int


def aligned(a: EmbeddingSet, b: EmbeddingSet) -> Alignment:
    """Cut two sets to the items they share, in the same order: the only way to pair two sets.

    How many items stand in one set only is said.

    Raises
    ------
    UserError
        If they share no item, or call the person of an item differently.
    """
    cut_a, cut_b = _shared(a, b)
    people_a = np.asarray(cut_a.identities)[cut_a.labels]
    people_b = np.asarray(cut_b.identities)[cut_b.labels]
    if (people_a != people_b).any():
        row = int(np.argmax(people_a != people_b))
        raise UserError(
            f"{a.title} and {b.title} name different people for item {str(cut_a.items[row])!r} "
            f"({str(people_a[row])!r} and {str(people_b[row])!r}): correct one of them"
        )
    shared = len(cut_a.items)
    found = Alignment(cut_a, cut_b, len(a.items) - shared, len(b.items) - shared)
    # A set and what was cut from it have one title, and nothing is left out of a comparison.
    if (found.dropped_a or found.dropped_b) and a.title != b.title:
        say(_dropped(a, b, found), once=True)
    return found


def _shared(a: EmbeddingSet, b: EmbeddingSet) -> tuple[EmbeddingSet, EmbeddingSet]:
    """Cut both to the items they share, in the order of the first."""
    if np.array_equal(a.items, b.items) and _all_shown(a) and _all_shown(b):
        # Nothing is copied, nor checked and brought to length one again.
        return a, b
    _, rows_a, rows_b = np.intersect1d(a.items, b.items, return_indices=True)
    if len(rows_a) == 0:
        hint = names.differing(a.items.tolist(), b.items.tolist())
        raise UserError(
            f"{a.title} and {b.title} have no item in common (such as {str(a.items[0])!r} and "
            f"{str(b.items[0])!r}{'; ' if hint else ''}{hint}): extract both from the same images, or give "
            "them the same item names"
        )
    order = np.argsort(rows_a)
    return a.take(rows_a[order]), b.take(rows_b[order])


def _all_shown(one: EmbeddingSet) -> bool:
    """Say whether every person has a row; one without would be dropped."""
    return bool(np.bincount(one.labels, minlength=len(one.identities)).all())


def shared_by(sets: Sequence[EmbeddingSet]) -> tuple[list[EmbeddingSet], int]:
    """Cut sets to the items that all of them have, in the order of names, and count the items left out.

    By name, so that who is drawn or dealt where does not depend on the order of rows.

    Raises
    ------
    UserError
        As ``aligned`` does.
    """
    first = reduce(lambda kept, other: aligned(kept, other).a, sets[1:], sets[0])
    first = first.take(np.argsort(first.items))
    everything = np.unique(np.concatenate([one.items for one in sets]))
    return [first, *(aligned(first, one).b for one in sets[1:])], len(everything) - len(first.items)


def _dropped(a: EmbeddingSet, b: EmbeddingSet, found: Alignment) -> str:
    shared = found.a.items
    only_a, only_b = (one.items[~np.isin(one.items, shared)].tolist() for one in (a, b))
    hint = names.differing(only_a, only_b)
    return (
        f"  {a.title} and {b.title} share {len(shared):,} images; left out are {found.dropped_a:,} of the "
        f"first and {found.dropped_b:,} of the second{'; of these, ' if hint else ''}{hint}"
    )


ALL_CROSSED = 3
"""Up to so many probes each is held against each other one; of more, the first against the others."""


class Crossing(NamedTuple):
    """A probe by itself (``b`` is None), or two of the same images, and how many stood in one only."""

    place: tuple[str, ...]
    a: EmbeddingSet
    b: EmbeddingSet | None
    dropped: int


def crossings(sets: Sequence[EmbeddingSet]) -> Iterator[Crossing]:
    """Give each probe of a model by itself, then two by two, cut to the images they share.

    Raises
    ------
    UserError
        As ``aligned`` does.
    """
    for one in sets:
        yield Crossing((one.probe,), one, None, 0)
    every = itertools.combinations(sets, 2)
    pairs = every if len(sets) <= ALL_CROSSED else ((sets[0], b) for b in sets[1:])
    for first, second in pairs:
        a, b, dropped_a, dropped_b = aligned(first, second)
        yield Crossing((a.probe, b.probe), a, b, dropped_a + dropped_b)


def crossed(probes: int) -> int:
    """Count what ``crossings`` gives of so many probes."""
    return probes + (math.comb(probes, 2) if probes <= ALL_CROSSED else probes - 1)


def check_pairs(embeddings: EmbeddingSet) -> None:
    """Refuse a set without pairs of two people, or of two images of one.

    Raises
    ------
    UserError
        If it shows one person only, or nobody twice.
    """
    if len(embeddings.identities) < 2:
        raise UserError(
            f"{embeddings.title} shows one person only ({embeddings.identities[0]!r}), so there are no pairs "
            "of two people: add images of others"
        )
    if np.bincount(embeddings.labels).max() < 2:
        raise UserError(
            f"{embeddings.title} has no person with two images, so there are no genuine pairs: add more "
            "images of the same people"
        )


def write(path: Path, embeddings: EmbeddingSet, metadata: Mapping[str, Any]) -> None:
    """Write a set as Parquet to ``path`` (which the caller makes atomic), in the columns of ``table``.

    ``metadata`` goes with the set's names as JSON under the schema's key ``embedlab``.
    """
    people = np.asarray(embeddings.identities)[embeddings.labels]
    rows = table(embeddings.vectors, embeddings.items.tolist(), people.tolist(), embeddings.attributes)
    parquet.write(path, [rows], {"model": embeddings.model, "probe": embeddings.probe, **metadata})


def table(
    vectors: Float[np.ndarray, "n d"],
    items: Sequence[str],
    people: Sequence[str],
    attributes: Mapping[str, Any] | None = None,
) -> Any:
    """Lay rows out as every file of embeddings has them.

    Returns
    -------
    An Arrow table: ``item`` and ``identity`` string, ``embedding`` fixed_size_list<float32>[d], ``norm``
    float32, then the attributes.
    """
    import pyarrow as pa

    values = (pa.array(items, pa.string()), pa.array(people, pa.string()), *measured(vectors))
    extra = {name: pa.array(np.asarray(column).tolist()) for name, column in (attributes or {}).items()}
    return pa.table(dict(zip(COLUMNS, values, strict=True)) | extra)


def measured(vectors: Float[np.ndarray, "n d"]) -> tuple[Any, Any]:
    """Give the columns ``embedding`` and ``norm`` of vectors, as Arrow arrays."""
    import pyarrow as pa

    flat = pa.array(np.ascontiguousarray(vectors).reshape(-1))
    norms = columns.lengths(vectors).astype(np.float32)
    return pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1]), pa.array(norms)


def metadata(path: Path) -> dict[str, Any]:
    """Read the JSON that stands in a Parquet file's schema; empty for a foreign file.

    Raises
    ------
    UserError
        If the file is no Parquet file, or is cut short.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        found = pq.read_schema(parquet.parts(path)[0]).metadata or {}
        head = json.loads(found.get(parquet.METADATA_KEY, b"{}"))
    except (pa.ArrowException, OSError, ValueError, RecursionError) as error:
        raise parquet.unreadable(path, error) from None
    return head if isinstance(head, dict) else {}


class Members(NamedTuple):
    """Which images of which people a file holds."""

    table: Any
    """The columns of items and people, as they stand in it."""
    told: dict[str, Any]
    """``images`` and ``people``, how many, and ``members``, a hash of their names, whatever their order;
    where people are drawn, ``of_people`` says of how many."""


def members(path: Path, before: Members | None = None, people: int = 0) -> Members:
    """Say which images of which people a Parquet file holds.

    Parameters
    ----------
    path
        The file.
    before
        What was said of another file: of one that holds the same rows it is said again.
    people
        So many of them that are drawn, as by ``EmbeddingSet.draw``; 0 means all.

    Raises
    ------
    UserError
        If the file cannot be read as Parquet, or a name is none.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # Read as a data set, which `read_table` does, a file costs the loading of pandas.
        parts = [pq.ParquetFile(part).read(columns=list(COLUMNS[:2])) for part in parquet.parts(path)]
        table = pa.concat_tables(parts, promote_options="permissive")
        if before is not None and table.equals(before.table):
            return before
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise parquet.unreadable(path, error) from None
    place = names.Place(path, "row", range(table.num_rows))
    written = [columns.names(table.column(name), name, place) for name in COLUMNS[:2]]
    # As ``read`` writes them, or others would be drawn and counted than are measured.
    rows = [names.cleaned(written[0], "items", path), names.cleaned(written[1], "people", path)]
    every = sorted(set(rows[1]))
    kept = dict(zip(every, drawn(every, people), strict=True))
    pairs = sorted(pair for pair in zip(*rows, strict=True) if kept[pair[1]])
    text = "\n".join("\0".join(pair) for pair in pairs)
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]
    count, of = sum(map(bool, kept.values())), len(every)
    head = metadata(path)
    if head.get("drawn"):
        # Nobody else was embedded.
        dataset = head.get("dataset")
        told_of = dataset.get("people") if isinstance(dataset, dict) else None
        of = max(of, told_of) if isinstance(told_of, int) else of
    told = {"images": len(pairs), "people": count, "members": digest}
    return Members(table, told if count == of else {**told, "of_people": of})


def check(path: Path) -> None:
    """Read through a Parquet file, some thousand rows at a time, to find out whether it is damaged.

    Raises
    ------
    UserError
        If it is.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            for _ in file.iter_batches(CHECKED_ROWS):
                pass
    except (pa.ArrowException, OSError, ValueError) as error:
        raise parquet.unreadable(path, error) from None


def read(path: Path, model: str | None = None, probe: str | None = None) -> EmbeddingSet:
    """Read a set from Parquet as ``write`` left it.

    Parameters
    ----------
    path
        The file.
    model, probe
        Names to use instead of those in the file's metadata.

    Raises
    ------
    UserError
        If the file cannot be read as Parquet, lacks a column, or holds an unusable row.
    """
    head = metadata(path)
    table, left_out, there = parquet.read(path, COLUMNS[:2], COLUMNS[2])
    for column in COLUMNS[:3]:
        if column not in there:
            raise UserError(
                f"{path} has no column {column!r} (it has {', '.join(there)}): bring it in "
                "with `embedlab import`, which takes the columns' names"
            )
    place = names.Place(path, "row", range(table.num_rows))
    return EmbeddingSet.from_rows(
        model=model or str(head.get("model", path.parent.name)),
        probe=probe or str(head.get("probe", path.stem)),
        vectors=parquet.vectors(path, COLUMNS[2], table.num_rows),
        items=names.of_items(columns.names(table.column("item"), "item", place), place),
        people=names.of_people(columns.names(table.column("identity"), "identity", place), place),
        attributes=attributes({name: table.column(name) for name in table.column_names}, left_out),
    )


def attributes(found: Mapping[str, Any], left_out: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Give the columns that a set can keep as attributes; say which it cannot.

    Parameters
    ----------
    found
        Arrow columns or numpy arrays, by name; those of ``COLUMNS`` are passed over.
    left_out
        Columns that were not even read, with what they hold.
    """
    kept: dict[str, np.ndarray] = {}
    lost = {name: f"{kind} is neither text nor numbers" for name, kind in left_out.items()}
    for name, column in found.items():
        try:
            kept |= {} if name in COLUMNS else {name: columns.attribute(column)}
        except ValueError as error:
            lost[name] = first_line(error)
    if lost := {name: why for name, why in lost.items() if name not in COLUMNS}:
        say(f"  columns left out: {', '.join(f'{name} ({why})' for name, why in lost.items())}", once=True)
    return kept
