"""Vectors and scores as other programs open them: explorers of tables, TensorBoard's projector, and bob.

* ``.parquet``: an embedding set with a map and neighbours beside every image, for Renumics Spotlight and
  embedding-atlas [1]_ [2]_.
* a folder: vectors, names and a configuration, for the projector of TensorBoard [3]_.
* a folder of images, names and vectors, as FiftyOne imports it: ``FiftyOneDataset`` [5]_.
* ``.csv`` and ``.txt``: the cosine of every pair, as bob.bio.base reads scores: by name or in four
  columns [4]_.

References
----------
.. [1] Renumics Spotlight, https://renumics.com/docs.
.. [2] Ren, D. et al. Embedding Atlas: low-friction, interactive embedding visualization. arXiv 2505.06386,
   2025. Its ``--neighbors`` takes a column of {"ids", "distances"}, counted from 0.
.. [3] Smilkov, D. et al. Embedding projector: interactive visualization and interpretation of embeddings.
   arXiv 1611.05469, 2016.
.. [4] Anjos, A. et al. Bob: a free signal processing and machine learning toolbox for researchers. ACM
   Multimedia, 2012; `bob.bio.base.score.load`.
.. [5] Moore, B. E. and Corso, J. J. FiftyOne, 2020; "FiftyOneDataset" in its user guide.
"""

import csv
import hashlib
import io
import json
import re
import zlib
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from embedlab.errors import UserError
from embedlab.estimates import counted
from embedlab.files import parquet
from embedlab.formats.protocols import PairList
from embedlab.lab import embeddings
from embedlab.lab.embeddings import EmbeddingSet
from embedlab.lab.store import atomic_file, atomic_folder
from embedlab.progress import blocks, busy, track

NEIGHBOURS = 15
"""So many of an image's nearest others stand beside it, and shape the map."""

EXACT = 30_000
"""Of more images neighbours are not exact: an exact search takes four times as long for twice as many."""

ADDED = ("projection_x", "projection_y", "neighbors", "neighbor_items", "neighbors_of_same_identity")

LEAST = 5
"""So few images make no map."""

MOST_SCORES = 10**8
"""More scores fill a disk: some 10 GB as text."""

STEP = 1 << 18
"""Scores written at a time."""

FORMAT = "1.0.0"
"""The version of FiftyOne whose files are written; later ones bring them up to date as they read them."""

FIELDS = {"id": "ObjectIdField", "filepath": "StringField", "tags": "ListField", "metadata": ""}
"""What every sample has."""

CONFIG = "projector_config.pbtxt"

BOB = ("probe_template_id", "probe_subject_id", "bio_ref_template_id", "bio_ref_subject_id", "score")


def explorer(path: Path, embedded: EmbeddingSet, *, neighbours: int = NEIGHBOURS, seed: int = 0) -> str:
    """Write a set as Parquet with a UMAP and the nearest images of each.

    To the columns of every set come ``projection_x`` and ``projection_y``; ``neighbors``, a struct of
    ``ids`` (rows, from 0) and ``distances`` (one minus the cosine), nearest first; ``neighbor_items``, their
    names; and ``neighbors_of_same_identity``, how many of them show the same person. Of more than 30,000
    images neighbours are found by NN-descent, and the file's metadata say which share of the exact ones.

    Returns
    -------
    A line about the neighbours, where they are not exact; else nothing.

    Raises
    ------
    UserError
        If there are fewer than 5 images, or an attribute has the name of one of these columns.
    """
    from embedlab.maths.space import layouts
    from embedlab.maths.space.neighbours import descended, nearest

    n = len(embedded.items)
    if n < LEAST:
        raise UserError(f"{embedded.title} holds {counted(n, 'image')}: a map takes at least {LEAST}")
    if twice := [name for name in ADDED if name in embedded.attributes]:
        raise UserError(f"{embedded.title} has a column {twice[0]!r} of its own: rename it")
    k, told, head = min(neighbours, n - 1), "", {"model": embedded.model, "probe": embedded.probe}
    if n > EXACT:
        near, distances, found = descended(embedded.unit, k, seed=seed)
        told = f"neighbours are not exact: {found:.1%} of those of 500 images were found"
        head |= {"neighbors": told}
    else:
        near, distances = nearest(embedded.unit, k)
    distances = np.maximum(distances, 0)
    # Of unit vectors half the squared distance is one minus the cosine, so the neighbours are the same.
    around = layouts.Surroundings(embedded.unit, near, np.sqrt(2 * distances))
    with busy(f"UMAP of {n:,} images"):
        placed = layouts.umap(around, k + 1, seed)
    with atomic_file(path) as temporary:
        parquet.write(temporary, _explored(embedded, placed, near, distances), head)
    return told


def _explored(
    embedded: EmbeddingSet, placed: np.ndarray, near: np.ndarray, distances: np.ndarray
) -> Iterator[Any]:
    """Give the table some rows at a time: names of neighbours take many times what the neighbours do."""
    import pyarrow as pa

    people = np.asarray(embedded.identities)
    for start in range(0, len(near), parquet.BATCH):
        some = slice(start, start + parquet.BATCH)
        attributes = {name: np.asarray(column)[some] for name, column in embedded.attributes.items()}
        labels = embedded.labels[some]
        rows = embeddings.table(
            embedded.vectors[some], embedded.items[some].tolist(), people[labels].tolist(), attributes
        )
        of = near[some]
        added = (
            pa.array(placed[some, 0].astype(np.float32)),
            pa.array(placed[some, 1].astype(np.float32)),
            pa.StructArray.from_arrays(
                [_lists(of), _lists(distances[some].astype(np.float32))], names=["ids", "distances"]
            ),
            _lists(embedded.items[of].astype(object)),
            pa.array((embedded.labels[of] == labels[:, None]).sum(axis=1).astype(np.int32)),
        )
        for name, column in zip(ADDED, added, strict=True):
            rows = rows.append_column(name, column)
        yield rows


def _lists(rows: np.ndarray) -> object:
    """Give the rows of a matrix as an Arrow array of lists."""
    import pyarrow as pa

    ends = np.arange(len(rows) + 1, dtype=np.int32) * rows.shape[1]
    return pa.ListArray.from_arrays(pa.array(ends), pa.array(rows.reshape(-1)))


def projector(folder: Path, embedded: EmbeddingSet) -> None:
    """Write a folder that ``tensorboard --logdir`` opens as a projector: every vector at full precision."""
    names = {"item": embedded.items, "identity": np.asarray(embedded.identities)[embedded.labels]}
    columns = {**names, "norm": embedded.norms, **embedded.attributes}
    n, d = embedded.vectors.shape
    config = (
        f"embeddings {{\n  tensor_name: {json.dumps(embedded.title, ensure_ascii=True)}\n"
        f"  tensor_shape: {n}\n  tensor_shape: {d}\n"
        '  tensor_path: "vectors.bytes"\n  metadata_path: "metadata.tsv"\n}\n'
    )
    with atomic_folder(folder, replace=True) as temporary:
        embedded.vectors.astype("<f4").tofile(temporary / "vectors.bytes")
        with (temporary / "metadata.tsv").open("w", encoding="utf-8", newline="\n") as file:
            for row in (
                tuple(columns),
                *zip(*(np.asarray(one).tolist() for one in columns.values()), strict=True),
            ):
                file.write("\t".join(" ".join(str(value).split()) for value in row) + "\n")
        (temporary / CONFIG).write_text(config, encoding="utf-8")


def fiftyone(folder: Path, embedded: EmbeddingSet, picture: Callable[[str], bytes]) -> None:
    """Write a folder that ``fiftyone.Dataset.from_dir(folder, dataset_type=FiftyOneDataset)`` opens.

    A sample has the image, ``item``, ``identity`` (a Classification), ``norm``, ``embedding`` and attributes.

    Parameters
    ----------
    folder
        Where to; images go into it, so that it can be moved.
    embedded
        The set.
    picture
        Item → the bytes of a JPEG.

    Raises
    ------
    UserError
        If an attribute's name is one of FiftyOne's, or none for it.
    """
    own = {**FIELDS, "item": "StringField", "identity": "", "norm": "FloatField", "embedding": "VectorField"}
    columns = {name: np.asarray(column).tolist() for name, column in embedded.attributes.items()}
    for name in columns:
        if name in own or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
            raise UserError(
                f"{embedded.title} has a column {name!r}, which is no name for FiftyOne: rename it"
            )
    kinds = {bool: "BooleanField", int: "IntField", float: "FloatField"}
    extra = {name: kinds.get(type(column[0]), "StringField") for name, column in columns.items()}
    people = np.asarray(embedded.identities)[embedded.labels].tolist()
    head = {
        **{"name": embedded.title, "version": FORMAT, "media_type": "image", "tags": [], "frame_fields": []},
        "info": {"model": embedded.model, "probe": embedded.probe},
        "sample_fields": [_field(name, kind) for name, kind in {**own, **extra}.items()],
    }
    with atomic_folder(folder, replace=True) as temporary:
        (temporary / "data").mkdir()
        (temporary / "metadata.json").write_text(json.dumps(head), encoding="utf-8")
        with (temporary / "samples.json").open("w", encoding="utf-8") as file:
            file.write('{"samples": [')
            for row, item in enumerate(track(embedded.items.tolist(), "writing images")):
                name = f"data/{row:08d}.jpg"
                (temporary / name).write_bytes(picture(item))
                sample = {
                    **{"filepath": name, "tags": [], "_media_type": "image", "item": item},
                    "identity": {
                        "_id": _id(item, "identity"),
                        "_cls": "Classification",
                        "label": people[row],
                    },
                    "norm": float(embedded.norms[row]),
                    "embedding": {"$binary": {"base64": _packed(embedded.vectors[row]), "subType": "00"}},
                    **{name: column[row] for name, column in columns.items()},
                    "_id": _id(item, "sample"),
                }
                file.write(("" if row == 0 else ",") + "\n" + json.dumps(sample))
            file.write("\n]}\n")


def _packed(vector: Float[np.ndarray, " d"]) -> str:
    """Write a vector as FiftyOne's ``VectorField`` holds it: numpy's file, compressed."""
    file = io.BytesIO()
    np.save(file, vector, allow_pickle=False)
    return b64encode(zlib.compress(file.getvalue())).decode("ascii")


def _id(item: str, of: str) -> dict[str, str]:
    """Make the number that a document of MongoDB has; the same for the same image."""
    return {"$oid": hashlib.sha256(f"{of} {item}".encode(errors="surrogatepass")).hexdigest()[:24]}


def _field(name: str, kind: str) -> dict[str, Any]:
    place, document = "fiftyone.core.fields.", None
    if name in ("identity", "metadata"):
        kind = "EmbeddedDocumentField"
        document = (
            f"fiftyone.core.{'labels.Classification' if name == 'identity' else 'metadata.ImageMetadata'}"
        )
    return {
        **{"name": name, "db_field": "_id" if name == "id" else name, "ftype": f"{place}{kind}"},
        "subfield": f"{place}StringField" if kind == "ListField" else None,
        "embedded_doc_type": document,
    }


def scores(path: Path, embedded: EmbeddingSet, pairs: PairList | None = None) -> int:
    """Write the cosine of pairs as bob.bio.base reads scores: ``.csv`` with columns, else four columns.

    The first of a pair is the reference, the second the probe; genuine is who bears one name.

    Parameters
    ----------
    path
        The file.
    embedded
        The vectors.
    pairs
        Which pairs, in this order; all pairs of two images if None.

    Returns
    -------
    How many.

    Raises
    ------
    UserError
        If the pairs name an image that the set does not hold or call two people one, there are too many, or
        a name has a blank or quotation mark and the file is to have four columns.
    """
    found = _all(len(embedded.items)) if pairs is None else _listed(embedded, pairs)
    people = np.asarray(embedded.identities)[embedded.labels].tolist()
    items, unit = embedded.items.tolist(), embedded.unit
    four = path.suffix.lower() != ".csv"
    if four and (odd := next((one for one in (*items, *people) if set(one) & set(' \t\r\n"')), None)):
        raise UserError(f"{odd!r} would be no column of its own in {path}: write .csv")
    count = 0
    with atomic_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=" " if four else ",", lineterminator="\n")
        if not four:
            writer.writerow(BOB)
        for a, b in found:
            cosines = np.einsum("ij,ij->i", unit[a], unit[b]).tolist()
            rows = zip(a.tolist(), b.tolist(), cosines, strict=True)
            writer.writerows(
                (people[i], people[j], items[j], f"{score:.9g}")
                if four
                else (items[j], people[j], items[i], people[i], f"{score:.9g}")
                for i, j, score in rows
            )
            count += len(a)
    return count


Pairs = Iterator[tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"]]]


def _all(n: int) -> Pairs:
    if (count := n * (n - 1) // 2) > MOST_SCORES:
        raise UserError(
            f"all {count:,} pairs of {n:,} images are too many to write: say which with --pairs FILE"
        )
    return _triangle(n)


def _triangle(n: int) -> Pairs:
    """Give all pairs once, some rows at a time."""
    step = max(1, STEP // max(n, 1))
    for start in blocks(range(0, n, step), f"scores of {counted(n, 'image')}"):
        a, b = np.nonzero(np.arange(n)[None, :] > np.arange(start, min(start + step, n))[:, None])
        if len(a):
            yield a + start, b


def _listed(embedded: EmbeddingSet, pairs: PairList) -> Pairs:
    a, b = pairs.rows(embedded.items.tolist())
    missing = np.flatnonzero((a < 0) | (b < 0))
    if len(missing):
        k = int(missing[0])
        raise UserError(
            f"{pairs.name} names {counted(len(missing), 'pair')} that {embedded.title} does not hold, the "
            f"first {pairs.a[k]!r} and {pairs.b[k]!r}: leave them out"
        )
    other = np.flatnonzero((embedded.labels[a] == embedded.labels[b]) != pairs.same)
    if len(other):
        k = int(other[0])
        raise UserError(
            f"{pairs.name} and {embedded.title} do not agree whether {pairs.a[k]!r} and {pairs.b[k]!r} show "
            "one person: correct either"
        )
    return ((a[k : k + STEP], b[k : k + STEP]) for k in range(0, len(a), STEP))
