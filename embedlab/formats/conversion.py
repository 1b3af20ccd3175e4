"""Old embeddings for a new model: fit a map between two models' spaces, keep it, apply it to a gallery.

::

    m.safetensors   tensors matrix (d_old, d_new) and shift (d_new,), float64; the record in its header
    m.json          the same record, for people: models, method, what it was fitted on, how well it does

A map takes vectors at length one and gives vectors of any length; both sides are compared by cosine.
"""

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from embedlab import __version__
from embedlab.analysis import Estimate
from embedlab.digest import Digest
from embedlab.errors import UserError, first_line
from embedlab.estimates import People
from embedlab.files import columns, parquet, signatures
from embedlab.formats import interchange
from embedlab.lab import embeddings
from embedlab.lab.embeddings import EmbeddingSet, aligned
from embedlab.lab.store import atomic_file, locked, made_name, sha256_of, write_json
from embedlab.maths.linear.crossmodel import cosines, search, trial
from embedlab.maths.linear.linear_maps import LinearMap, Method
from embedlab.maths.linear.linear_maps import fit as fit_map
from embedlab.maths.linear.matched import other_people
from embedlab.maths.pairs import levels
from embedlab.maths.pairs.moments import Drawn
from embedlab.maths.people.bootstrap import interval, resamples, weighted_mean
from embedlab.maths.people.folds import identity_folds
from embedlab.progress import track

SCHEMA = 1
HEADER = "embedlab_map"
BATCH = 1 << 16
"""Rows converted at once, so that a gallery of any size takes bounded memory."""
RESAMPLES = 1000
FAR, PEOPLE, PROBES = 1e-3, 2000, 10
"""The false accept rate of the TAR that a map loses, and how many people, with how many probes, tell it."""


@dataclass(frozen=True)
class Conversion:
    """A fitted map and what is known of it.

    Attributes
    ----------
    map
        From unit vectors of the old model.
    source, target
        Names of the old and the new model.
    record
        What ``m.json`` says: method, what it was fitted on, its held-out quality.
    """

    map: LinearMap
    source: str
    target: str
    record: Mapping[str, Any]


def read_vectors(path: Path, **reading: str) -> EmbeddingSet:
    """Read a file of embeddings, embedlab's own or any that ``embedlab import`` reads.

    Parameters
    ----------
    path
        The file.
    reading
        ``items`` and names of columns, as ``interchange.import_embeddings`` takes them.

    Raises
    ------
    UserError
        If it cannot be read.
    """
    if not path.exists():
        raise UserError(f"there is no file {path}: give a file of embeddings (.parquet, .csv, .npz)")
    if path.suffix.lower() == ".parquet" and embeddings.metadata(path) and not reading:
        return embeddings.read(path)
    # A plain file does not name its model; its own name serves.
    return interchange.import_embeddings(
        path, model=made_name(path.stem, "model"), probe="imported", **reading
    )


def fit(
    old: EmbeddingSet, new: EmbeddingSet, *, method: Method = "ridge", folds: int = 5, seed: int = 0
) -> Conversion:
    """Fit a map from the old model's space into the new one's, on the images that both have seen.

    The map is fitted on all of them; its quality is measured on people left out, fold by fold.

    Parameters
    ----------
    old, new
        Vectors of the two models; paired by the items' names.
    method
        How to fit, one of ``embedlab.maths.linear.linear_maps.METHODS``.
    folds
        Folds of people, both for the quality and for choosing a penalty within it.
    seed
        Who is in which fold.

    Raises
    ------
    UserError
        If the sets share no item, there are too few people for the folds, or the method needs equal
        dimensions.
    """
    pair = aligned(old, new)
    people = len(pair.a.identities)
    if folds < 2 or people < 2 * folds:
        raise UserError(
            f"{people} people are too few for {folds} folds: a map needs at least two people a fold, and two "
            "folds"
        )
    d_old, d_new = pair.a.unit.shape[1], pair.b.unit.shape[1]
    if method == "mean shift" and d_old != d_new:
        raise UserError(
            f"a mean shift needs equal dimensions, and {old.title} has {d_old} and {new.title} {d_new}: "
            "choose another method"
        )
    a, b = (one.unit.astype(np.float64) for one in (pair.a, pair.b))
    owner = pair.a.labels
    place = identity_folds(people, folds, seed)
    mapped = np.empty(b.shape)
    for k in track(range(folds), "judging the map on people left out"):
        held = place[owner] == k
        inner = identity_folds(people, folds, seed + 1 + k)[owner[~held]]
        mapped[held] = fit_map(a[~held], b[~held], method, inner).apply(a[held])
    whole = fit_map(a, b, method, place[owner])
    quality = _quality(mapped, b, place[owner], owner, people, seed) | _recognition(mapped, b, owner, seed)
    record = {
        "schema": SCHEMA,
        "source": {"model": old.model, "probe": old.probe, "dimension": d_old, "normalised": True},
        "target": {"model": new.model, "probe": new.probe, "dimension": d_new, "normalised": False},
        "method": method,
        "penalty": whole.penalty,
        "rank": whole.rank,
        "sha256": _hash(whole),
        "fitted_on": {"images": len(a), "people": people},
        "held_out": {"folds": folds, "seed": seed, **quality},
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"embedlab": __version__, "numpy": np.__version__},
    }
    return Conversion(whole, old.model, new.model, record)


def _quality(
    mapped: np.ndarray, b: np.ndarray, fold: np.ndarray, owner: np.ndarray, people: int, seed: int
) -> dict[str, Any]:
    """Give R² and mean cosine of mapped vectors of people left out, with intervals over people.

    Their nulls: R² 0 is the mean of the new space; the cosine is that to the vector of somebody else.
    """
    counts = resamples(people, RESAMPLES, seed)
    # Each fold is compared with the mean of what its map was fitted on.
    base = np.stack([b[fold != k].mean(axis=0) for k in range(int(fold.max()) + 1)])[fold]
    lost, spread = (((b - x) ** 2).sum(axis=1) for x in (mapped, base))
    cosine = cosines(mapped, b)
    stranger = other_people(owner, np.random.default_rng(seed))
    lost_drawn, spread_drawn, cosine_drawn = (
        weighted_mean(values, owner, counts) for values in (lost, spread, cosine)
    )
    found = {
        "R2": (1 - lost.sum() / spread.sum(), 1 - lost_drawn / spread_drawn, 0.0),
        "cosine": (cosine.mean(), cosine_drawn, cosines(mapped, b[stranger]).mean()),
    }
    return {
        name: dict(
            zip(("value", "low", "high", "null"), map(float, (value, *interval(drawn), null)), strict=True)
        )
        for name, (value, drawn, null) in found.items()
    }


def _recognition(mapped: np.ndarray, b: np.ndarray, owner: np.ndarray, seed: int) -> dict[str, Any]:
    """Give the TAR of the new model's probes in a mapped gallery and in its own, and what is lost.

    Nothing where nobody has two images, or too few people have for any false accept rate. Their nulls are
    that rate, and no loss.
    """
    drawn = np.random.default_rng([seed, 13]).permutation(int(owner.max()) + 1)[:PEOPLE]
    some = np.flatnonzero(np.isin(owner, drawn))
    who = trial(np.unique(owner[some], return_inverse=True)[1], PROBES, seed)
    resolved = levels.resolved(FAR, who.impostors)
    if who.same_image or not len(resolved):
        return {}
    far = max(FAR, float(resolved.min()))
    people = People.of(range(len(who.gallery)), _Draw(RESAMPLES, seed))
    mine, moved = (
        people.estimate(
            Drawn(*search(b[some], gallery[some], who, far).tar(far, people.counts)[:2]),
            who.searched,
            far,
            share=True,
        )
        for gallery in (b, mapped)
    )
    figures = {"TAR": moved, "TAR_new": mine, "TAR_lost": mine - moved}
    return {"FAR": far, "probes": len(who.probes)} | {
        name: {part: getattr(one, part) for part in ("value", "low", "high", "null")}
        for name, one in figures.items()
    }


class _Draw(NamedTuple):
    """What ``People.of`` asks of parameters."""

    resamples: int
    seed: int


def _hash(fitted: LinearMap) -> str:
    digest = Digest()
    for part in (fitted.matrix, fitted.shift):
        digest.array(part)
    return digest.hexdigest()


def held_out(conversion: Conversion, figure: str) -> Estimate:
    """Give a held-out figure of the record as an Estimate over people.

    Parameters
    ----------
    conversion
        The map.
    figure
        ``R2`` or ``cosine``; where people have two images also ``TAR`` of a mapped gallery, ``TAR_new`` of
        the new model's own, and ``TAR_lost``.
    """
    return Estimate(**conversion.record["held_out"][figure], n=conversion.record["fitted_on"]["people"])


def save(conversion: Conversion, path: Path) -> Path:
    """Write the map as safetensors, and its record beside it as JSON.

    Returns
    -------
    The JSON file.

    Raises
    ------
    UserError
        If the name does not end in ``.safetensors``.
    """
    from safetensors.numpy import save_file

    if path.suffix != ".safetensors":
        raise UserError(f"{path} is no name for a map: let it end in .safetensors")
    tensors = {"matrix": np.ascontiguousarray(conversion.map.matrix), "shift": conversion.map.shift}
    beside = path.with_suffix(".json")
    # Else the map of one process and the record of another could stand side by side.
    with locked(path, f"writing {path}"):
        with atomic_file(path) as temporary:
            save_file(tensors, temporary, metadata={HEADER: json.dumps(conversion.record)})
        write_json(beside, dict(conversion.record))
    return beside


def load(path: Path) -> Conversion:
    """Read what ``save`` wrote; the JSON beside it is not needed.

    Raises
    ------
    UserError
        If it is no map, its parts do not fit together, are not finite, or are not those it was saved with.
    """
    from safetensors import SafetensorError, safe_open

    signatures.check_regular(path, "a map")
    try:
        with safe_open(path, framework="numpy") as file:
            record = json.loads((file.metadata() or {})[HEADER])
            matrix, shift = file.get_tensor("matrix"), file.get_tensor("shift")
        found = LinearMap(record["method"], matrix, shift, record["penalty"], record["rank"])
        source, target = str(record["source"]["model"]), str(record["target"]["model"])
    except (SafetensorError, OSError) as error:
        raise signatures.mistaken(path, "map", signatures.SAFETENSORS) or UserError(
            f"cannot read {path} as a map ({first_line(error)}): make one with `embedlab map fit`"
        ) from None
    except (KeyError, ValueError, TypeError, RecursionError):
        raise UserError(
            f"{path} is a safetensors file but no map of embedlab: make one with `embedlab map fit`"
        ) from None
    if not (np.isfinite(matrix).all() and np.isfinite(shift).all()):
        raise UserError(
            f"{path} holds NaN or infinity and maps nothing: make it again with `embedlab map fit`"
        )
    if record.get("sha256", whole := _hash(found)) != whole:
        raise UserError(
            f"{path} was changed or damaged since it was saved: make it again with `embedlab map fit`"
        )
    return Conversion(found, source, target, record)


def apply(
    conversion: Conversion,
    path: Path,
    out: Path,
    *,
    map_file: Path,
    force: bool = False,
    reading: Mapping[str, str] | None = None,
) -> int:
    """Write a file of the old model's embeddings again, as the new model's.

    Parquet is converted in batches and keeps all its other columns; other files become Parquet.

    Parameters
    ----------
    conversion
        The map.
    path
        Embeddings of the old model.
    out
        The Parquet file to write.
    map_file
        Where the map came from: its name and hash go into the file.
    force
        Convert although the file says that it is of another model.
    reading
        What ``read_vectors`` takes; of Parquet only the name of the vectors' column matters.

    Returns
    -------
    How many vectors were written.

    Raises
    ------
    UserError
        If the file cannot be read, is of another model or dimension, or holds a vector that is zero or
        not finite, or that the map makes so; nothing is written then.
    """
    if out.suffix != ".parquet":
        raise UserError(f"{out} cannot be written: converted embeddings are Parquet, so end it in .parquet")
    if path.resolve() in (out.resolve(), out.parent.resolve()):
        raise UserError(
            f"{path} would be replaced by its own conversion, or have it as a part: give another name with "
            "--out"
        )
    is_parquet = path.suffix.lower() == ".parquet"
    head: dict[str, Any] = {}
    for part in reversed(parquet.parts(path)) if is_parquet and path.exists() else ():
        head = embeddings.metadata(part)
        if (model := head.get("model")) not in (None, conversion.source) and not force:
            raise UserError(
                f"{part} holds vectors of {model}, and the map is for {conversion.source}: give vectors of "
                "that model, or --force if it only has another name"
            )
    came = {"name": map_file.name, "sha256": sha256_of(map_file), "source": conversion.source}
    if "model_sha256" in head:
        came["source_sha256"] = str(head["model_sha256"])
    # What made the old vectors did not make these.
    kept = {key: value for key, value in head.items() if key != "model_sha256"}
    written = {**kept, "model": f"{conversion.source}-as-{conversion.target}", "mapped_by": came}
    if not is_parquet:
        found = read_vectors(path, **(reading or {}))
        _check_dimension(conversion, found.vectors.shape[1], path)
        mapped = _mapped(conversion, found.unit, found.items.tolist(), path, 0)
        whole = replace(found, model=str(written["model"]), vectors=mapped)
        with atomic_file(out) as temporary:
            embeddings.write(temporary, whole, written | {"probe": found.probe})
        return len(mapped)
    column = (reading or {}).get("vector_column", "embedding")
    each = (_converted(conversion, part, column) for part in parquet.parts(path))
    with atomic_file(out) as temporary:
        rows = parquet.write(temporary, _alike(itertools.chain.from_iterable(each), path), written)
        if not rows:
            raise UserError(f"{path} holds no vectors: give at least one row")
    return rows


def _alike(tables: Iterable[Any], path: Path) -> Iterator[Any]:
    first = None
    for table in tables:
        schema = table.schema.remove_metadata()
        first = first or schema
        if schema != first:
            raise UserError(f"the parts of {path} hold different types: make them alike")
        yield table


def _converted(conversion: Conversion, path: Path, column: str) -> Iterator[Any]:
    """Yield the file's rows in batches, their vectors mapped."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        raise UserError(f"there is no file {path}: give a file of embeddings")
    try:
        file = pq.ParquetFile(path, page_checksum_verification=True)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"cannot read {path} as Parquet ({first_line(error)}): make it again") from None
    if column not in file.schema_arrow.names:
        raise UserError(
            f"{path} has no column {column!r} (it has {', '.join(file.schema_arrow.names)}): name the right "
            "one with --vector-column"
        )
    done = 0
    batches = -(-file.metadata.num_rows // BATCH)
    for batch in track(_batches(file, path), "converting", batches):
        table = pa.Table.from_batches([batch])
        vectors = columns.matrix(table.column(column), path, done)
        _check_dimension(conversion, vectors.shape[1], path)
        unit = _unit(vectors, table, path, done)
        items = table.column("item").to_pylist() if "item" in table.column_names else None
        mapped = _mapped(conversion, unit, items, path, done)
        for name, values in zip((column, "norm"), embeddings.measured(mapped), strict=True):
            if name in table.column_names:
                table = table.set_column(table.schema.get_field_index(name), name, values)
        yield table
        done += len(table)


def _batches(file: Any, path: Path) -> Iterator[Any]:
    import pyarrow as pa

    try:
        yield from file.iter_batches(BATCH)
    except (pa.ArrowException, OSError) as error:
        raise UserError(
            f"cannot read {path} as Parquet ({first_line(error)}), it is damaged: make it again"
        ) from None


def _mapped(
    conversion: Conversion, unit: Float[np.ndarray, "n d"], items: Sequence[Any] | None, path: Path, done: int
) -> Float[np.ndarray, "n e"]:
    with np.errstate(over="ignore", invalid="ignore"):
        mapped: np.ndarray = conversion.map.apply(unit).astype(np.float32)
        norms = np.linalg.norm(mapped, axis=1)
    usable = np.isfinite(norms) & (norms > 0)
    if not usable.all():
        row = int(np.argmin(usable))
        item = f" (item {str(items[row])!r})" if items is not None else ""
        raise UserError(
            f"{path}, row {done + row}{item}: the map makes of the vector one that is zero or not finite: "
            f"remove that row, or fit another map from {conversion.source} to {conversion.target}"
        )
    return mapped


def _unit(vectors: Float[np.ndarray, "n d"], table: Any, path: Path, done: int) -> np.ndarray:
    norms = np.linalg.norm(vectors.astype(np.float64), axis=1)
    usable = np.isfinite(norms) & (norms > 0)
    if not usable.all():
        row = int(np.argmin(usable))
        item = f" (item {table.column('item')[row].as_py()!r})" if "item" in table.column_names else ""
        raise UserError(
            f"{path}, row {done + row}{item}: the vector is zero or not finite and cannot be mapped: remove "
            "that row"
        )
    found: np.ndarray = vectors / norms[:, None]
    return found


def _check_dimension(conversion: Conversion, dimension: int, path: Path) -> None:
    takes = len(conversion.map.matrix)
    if dimension != takes:
        raise UserError(
            f"{path} has vectors of {dimension} numbers, and the map from {conversion.source} takes {takes}: "
            f"give embeddings of {conversion.source}"
        )
