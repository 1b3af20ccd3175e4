import hashlib
import io
import pickle

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from embedlab.errors import UserError
from embedlab.formats.interchange import import_embeddings, save
from embedlab.lab import embeddings
from embedlab.lab.store import Lab, write_json
from tests.heard import heard

N, D = 6, 4
ITEMS = [f"p{k // 2}/{k}.png" for k in range(N)]
PEOPLE = [f"p{k // 2}" for k in range(N)]


@pytest.fixture
def vectors():
    return np.random.default_rng(0).standard_normal((N, D)).astype(np.float32)


@pytest.fixture
def said():
    with heard() as lines:
        yield lines


def read(path, items=None, **columns):
    return import_embeddings(path, model="theirs", probe="faces", items=items, **columns)


def is_planted(found, vectors):
    assert (found.model, found.probe) == ("theirs", "faces")
    assert found.items.tolist() == ITEMS
    assert found.identities == ("p0", "p1", "p2")
    assert found.labels.tolist() == [0, 0, 1, 1, 2, 2]
    np.testing.assert_array_equal(found.vectors, vectors)
    assert found.vectors.dtype == np.float32
    return True


def write_items(tmp_path, lines=None, head="item,identity"):
    path = tmp_path / "items.csv"
    rows = (
        [f"{item},{person}" for item, person in zip(ITEMS, PEOPLE, strict=True)] if lines is None else lines
    )
    path.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    return path


def write_npy(tmp_path, array):
    np.save(tmp_path / "a.npy", array)
    return tmp_path / "a.npy"


def write_csv(tmp_path, vectors, names):
    path = tmp_path / "a.csv"
    rows = [",".join(["item", "identity", *names])]
    for item, person, vector in zip(ITEMS, PEOPLE, vectors, strict=True):
        rows.append(",".join([item, person, *(repr(float(x)) for x in vector)]))
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def write_parquet(tmp_path, **columns):
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    return tmp_path / "a.parquet"


# .npy with a list of items


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_npy_takes_its_items_from_a_csv_file(tmp_path, vectors, dtype):
    path = write_npy(tmp_path, vectors.astype(dtype))
    is_planted(read(path, write_items(tmp_path)), vectors.astype(dtype).astype(np.float32))


def test_further_columns_of_the_list_become_attributes(tmp_path, vectors):
    rows = [f"{i},{p},{k * 10},x{k}" for k, (i, p) in enumerate(zip(ITEMS, PEOPLE, strict=True))]
    found = read(write_npy(tmp_path, vectors), write_items(tmp_path, rows, "item,identity,age,group"))
    assert found.attributes["age"].tolist() == [0, 10, 20, 30, 40, 50]
    assert found.attributes["group"].tolist() == ["x0", "x1", "x2", "x3", "x4", "x5"]


def test_names_that_look_like_numbers_stay_as_they_are_written(tmp_path, vectors):
    rows = [f"000{k},0{k % 2}" for k in range(N)]
    found = read(write_npy(tmp_path, vectors), write_items(tmp_path, rows))
    assert found.items[1] == "0001"
    assert found.identities == ("00", "01")


def test_columns_may_be_called_otherwise(tmp_path, vectors):
    items = write_items(tmp_path, head="file,person")
    is_planted(
        read(write_npy(tmp_path, vectors), items, item_column="file", identity_column="person"), vectors
    )
    with pytest.raises(
        UserError, match=r"items\.csv has no column 'item' \(it has file, person\): .*--item-column"
    ):
        read(tmp_path / "a.npy", items)
    with pytest.raises(UserError, match=r"has no column 'identity' .*--identity-column"):
        read(tmp_path / "a.npy", items, item_column="file")


def test_npy_without_a_list_of_items_is_refused(tmp_path, vectors):
    with pytest.raises(UserError, match=r"a\.npy does not say whose vectors it holds: .* with --items"):
        read(write_npy(tmp_path, vectors))


def test_counts_that_differ_are_both_told(tmp_path, vectors):
    with pytest.raises(UserError, match=r"a\.npy has 6 vectors, but .*items\.csv names 5 items"):
        read(write_npy(tmp_path, vectors), write_items(tmp_path, ["a,p", "b,p", "c,p", "d,p", "e,p"]))


@pytest.mark.parametrize(
    "array", [np.zeros(3), np.zeros((2, 3, 4)), np.array([["a", "b"]]), np.ones((2, 2), complex)]
)
def test_an_array_that_is_no_list_of_vectors_is_refused(tmp_path, array):
    with pytest.raises(UserError, match=r"not vectors: it must be numbers of shape \(n, d\)"):
        read(write_npy(tmp_path, array), write_items(tmp_path))


def test_an_empty_array_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"a\.npy holds no vectors"):
        read(write_npy(tmp_path, np.zeros((0, 4))), write_items(tmp_path, []))


def test_pickles_are_never_opened(tmp_path):
    class Harm:
        def __reduce__(self):
            return (pytest.fail, ("a pickle was opened",))

    np.save(tmp_path / "object.npy", np.array([Harm()], dtype=object), allow_pickle=True)
    (tmp_path / "raw.npy").write_bytes(pickle.dumps(Harm()))
    (tmp_path / "raw.npz").write_bytes(pickle.dumps(Harm()))
    np.savez(tmp_path / "object.npz", embedding=np.array([Harm()], dtype=object))
    for name in ("object.npy", "raw.npy", "raw.npz", "object.npz"):
        with pytest.raises(UserError, match="holds pickled objects, which are never opened"):
            read(tmp_path / name, write_items(tmp_path))


@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_truncated_arrays_are_refused_at_every_length(tmp_path, vectors, suffix):
    path = tmp_path / f"a.{suffix}"
    if suffix == "npy":
        np.save(path, vectors)
    else:
        np.savez(path, embedding=vectors)
    whole = path.read_bytes()
    for kept in (0, 5, 30, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:kept])
        with pytest.raises(UserError, match=r"cannot read .* cut short"):
            read(path, write_items(tmp_path))


# .npz


def test_npz_may_name_its_items_itself(tmp_path, vectors):
    np.savez(
        tmp_path / "a.npz", embedding=vectors, items=ITEMS, identities=PEOPLE, age=np.arange(N), note="one"
    )
    found = read(tmp_path / "a.npz")
    assert is_planted(found, vectors)
    assert set(found.attributes) == {"age"}
    assert found.attributes["age"].tolist() == list(range(N))


def test_npz_may_give_labels_or_indices_into_the_people(tmp_path, vectors):
    np.savez(tmp_path / "a.npz", features=vectors, items=ITEMS, labels=[7, 7, 8, 8, 9, 9])
    assert read(tmp_path / "a.npz").identities == ("7", "8", "9")
    np.savez(
        tmp_path / "b.npz",
        vectors=vectors,
        items=ITEMS,
        identities=["p0", "p1", "p2"],
        labels=[0, 0, 1, 1, 2, 2],
    )
    is_planted(read(tmp_path / "b.npz"), vectors)
    np.savez(
        tmp_path / "c.npz", vectors=vectors, items=ITEMS, identities=["p0", "p1"], labels=[0, 0, 1, 1, 2, 2]
    )
    with pytest.raises(UserError, match="'labels' point outside 'identities', which names 2 people"):
        read(tmp_path / "c.npz")


def test_npz_may_take_its_items_from_a_csv_file(tmp_path, vectors):
    np.savez(tmp_path / "a.npz", mine=vectors, items=["x"] * N)
    is_planted(read(tmp_path / "a.npz", write_items(tmp_path), vector_column="mine"), vectors)


def test_npz_without_what_is_needed_is_refused(tmp_path, vectors):
    np.savez(tmp_path / "a.npz", mine=vectors)
    with pytest.raises(UserError, match=r"has no column 'embedding' \(it has mine\): .* --vector-column"):
        read(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", embedding=vectors, items=ITEMS)
    with pytest.raises(UserError, match=r"no array of items or of people \(it has embedding, items\)"):
        read(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", embedding=vectors, items=ITEMS[:4], identities=PEOPLE)
    with pytest.raises(UserError, match=r"'items' has shape \(4,\), but there are 6 vectors"):
        read(tmp_path / "a.npz")


# CSV


@pytest.mark.parametrize("prefix", ["", "e", "dim_", "embedding_"])
@pytest.mark.parametrize("first", [0, 1])
def test_csv_takes_its_numbered_columns_in_the_order_of_their_numbers(tmp_path, prefix, first):
    many = np.random.default_rng(1).standard_normal((N, 12)).astype(np.float32)
    order = np.random.default_rng(2).permutation(12)
    path = write_csv(tmp_path, many[:, order], [f"{prefix}{k + first}" for k in order])
    is_planted(read(path), many)


def test_csv_keeps_other_columns_as_attributes(tmp_path, vectors):
    path = write_csv(tmp_path, np.c_[np.arange(N), vectors], ["age1", *(f"e{k}" for k in range(D))])
    found = read(path)
    np.testing.assert_array_equal(found.vectors, vectors)
    assert found.attributes["age1"].tolist() == list(range(N))


def test_csv_names_the_run_of_columns_that_is_meant(tmp_path, vectors):
    names = [*(f"e{k}" for k in range(D)), *(f"landmark{k}" for k in range(10))]
    path = write_csv(tmp_path, np.c_[vectors, np.ones((N, 10))], names)
    with pytest.raises(
        UserError, match="runs of columns, e0 … e3 and landmark0 … landmark9: .* e or landmark"
    ):
        read(path)
    np.testing.assert_array_equal(read(path, vector_column="e").vectors, vectors)


def test_csv_leaves_out_blank_lines_and_still_counts_them(tmp_path):
    text = "item,identity,e0,e1\r\na,p,1,2\r\n\r\nb,q,3,4\r\n,,,\r\nc,q,nan,4\r\n"
    with pytest.raises(UserError, match=r"a\.csv, line 6 \(item 'c'\): the vector has NaN"):
        read(_text(tmp_path, text))
    assert len(read(_text(tmp_path, text.replace("nan", "5"))).items) == 3


def _text(tmp_path, text):
    path = tmp_path / "a.csv"
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a.csv is empty: give it a first line"),
        ("item,identity,e0,e1\n", "holds no vectors"),
        ("item,identity\na,p\n", r"has no vectors \(its columns are item, identity\)"),
        ("item,identity,e0,e2\na,p,1,2\n", "has no vectors"),
        ("item,identity,e0,e0\na,p,1,2\n", "two columns of one name"),
        ("name,identity,e0,e1\na,p,1,2\n", r"has no column 'item' \(it has name, identity, e0, e1\)"),
        ("item,identity,e0,e1\na,p,1,2\nb,p,3\n", "a.csv, line 3: 3 fields where the head has 4"),
        ("item,identity,e0,e1\na,p,1,2\nb,p,3,4,5\n", "a.csv, line 3: 5 fields where the head has 4"),
        ("item,identity,e0,e1\na,p,1,2\nb,p,3,x\n", "a.csv, line 3: e1 is 'x', not a number"),
        ("item,identity,e0,e1\na,p,1,2\nb,p,3,true\n", "a.csv, line 3: e1 is 'true', not a number"),
        ("item,identity,e0,e1\na,p,true,2\nb,p,false,1\n", "a.csv, line 2: e0 is 'true', not a number"),
        ("item,identity,e0,e1\na,p,1,2\nb,p,3,\n", r"a.csv, line 3 \(item 'b'\): the vector has NaN"),
        ("item,identity,e0,e1\na,p,1,2\nb,p,inf,1\n", r"a.csv, line 3 \(item 'b'\): the vector has NaN"),
        ("item,identity,e0,e1\na,p,1,2\nb,p,0,0\n", r"a.csv, line 3 \(item 'b'\): the vector is zero"),
        ("item,identity,e0,e1\na,p,1,2\n,p,0,1\n", "a.csv, line 3: the item has no name"),
        ("item,identity,e0,e1\na,p,1,2\nb,,0,1\n", "a.csv, line 3: the person has no name"),
        (
            "item,identity,e0,e1\na,p,1,2\nb,q,1,2\na,p,3,4\n",
            "a.csv, line 4: item 'a' stands in line 2 already",
        ),
    ],
)
def test_a_wrong_csv_file_is_named_with_its_line(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        read(_text(tmp_path, text))


def test_a_csv_file_that_is_missing_or_no_text_is_named(tmp_path):
    with pytest.raises(UserError, match=r"cannot read .*gone\.csv as CSV"):
        read(tmp_path / "gone.csv")
    (tmp_path / "a.csv").write_bytes(b"item,identity,e0,e1\n\xff\xfe,p,1,2\n")
    with pytest.raises(UserError, match=r"cannot read .*a\.csv as CSV"):
        read(tmp_path / "a.csv")


# Parquet


@pytest.mark.parametrize(
    "kind",
    [pa.list_(pa.float32()), pa.list_(pa.float64()), pa.large_list(pa.float16()), pa.list_(pa.float32(), D)],
)
def test_parquet_takes_lists_of_any_kind(tmp_path, vectors, kind):
    width = np.float16 if "half" in str(kind) else np.float32
    column = pa.array(list(vectors.astype(width)), kind)
    path = write_parquet(tmp_path, file=ITEMS, who=PEOPLE, vec=column, age=list(range(N)))
    found = read(path, item_column="file", identity_column="who", vector_column="vec")
    assert is_planted(found, vectors.astype(width).astype(np.float32))
    assert found.attributes["age"].tolist() == list(range(N))


def test_parquet_columns_that_cannot_be_kept_are_said(tmp_path, vectors, said):
    path = write_parquet(
        tmp_path,
        file=ITEMS,
        identity=PEOPLE,
        embedding=list(vectors),
        item=["other"] * N,
        box=[[1, 2]] * N,
        norm=[1.0] * N,
        group=pa.array(["a", "b"] * 3).dictionary_encode(),
    )
    found = read(path, item_column="file")
    assert set(found.attributes) == {"group"}
    assert found.attributes["group"].tolist() == ["a", "b"] * 3
    assert said == [
        "  left out, for their names have a meaning here: item",
        "  columns left out: box (list<element: int64> is neither text nor numbers)",
        "  left out: norm, which is not the length of these vectors; give it another name to keep it",
    ]


def test_the_lengths_that_embedlab_wrote_itself_are_left_out_in_silence(tmp_path, vectors, said):
    lengths = np.linalg.norm(vectors, axis=1)
    read(write_parquet(tmp_path, item=ITEMS, identity=PEOPLE, embedding=list(vectors), norm=lengths))
    assert not said


def test_arrays_that_have_not_one_value_a_row_are_left_out_aloud(tmp_path, vectors, said):
    more = {
        "landmarks": np.zeros((N, 10)),
        "column": np.zeros((N, 1)),
        "three": np.zeros(3),
        "score": np.arange(N),
    }
    np.savez(tmp_path / "a.npz", embeddings=vectors, vectors=vectors, items=ITEMS, labels=PEOPLE, **more)
    assert set(read(tmp_path / "a.npz").attributes) == {"score"}
    (line,) = said
    for name, shape in (
        ("landmarks", (N, 10)),
        ("column", (N, 1)),
        ("three", (3,)),
        ("vectors", vectors.shape),
    ):
        assert f"{name} (of shape {shape}, not one value a row)" in line


def test_what_is_missing_throughout_one_part_is_kept_of_the_others(tmp_path, vectors, said):
    folder = tmp_path / "parts.parquet"
    folder.mkdir()
    for k, (mask, bare) in enumerate(((pa.array([1, 2, 3]), pa.nulls(3)), (pa.nulls(3), pa.nulls(3)))):
        own = slice(3 * k, 3 * k + 3)
        table = {"item": ITEMS[own], "identity": PEOPLE[own], "embedding": list(vectors[own])}
        pq.write_table(pa.table({**table, "mask": mask, "bare": bare}), folder / f"{k}.parquet")
    found = read(folder).attributes
    np.testing.assert_array_equal(found["mask"], [1, 2, 3, np.nan, np.nan, np.nan])
    assert set(found) == {"mask"}
    assert said == ["  columns left out: bare (null is neither text nor numbers)"]


def test_parquet_with_mistakes_is_named(tmp_path, vectors):
    good = {"item": ITEMS, "identity": PEOPLE, "embedding": list(vectors)}
    with pytest.raises(UserError, match=r"has no column 'vec' \(it has item, identity, embedding\)"):
        read(write_parquet(tmp_path, **good), vector_column="vec")
    with pytest.raises(UserError, match="has no column 'item'"):
        read(write_parquet(tmp_path, identity=PEOPLE, embedding=list(vectors)))
    with pytest.raises(UserError, match="row 1 has 3 numbers where row 0 has 4"):
        read(write_parquet(tmp_path, **{**good, "embedding": [vectors[0], vectors[1][:3], *vectors[2:]]}))
    with pytest.raises(UserError, match="row 2 has no vector"):
        read(write_parquet(tmp_path, **{**good, "embedding": [*vectors[:2], None, *vectors[3:]]}))
    with pytest.raises(UserError, match="not lists of numbers"):
        read(write_parquet(tmp_path, **{**good, "embedding": list(range(N))}))
    broken = vectors.copy()
    broken[4, 1] = np.nan
    with pytest.raises(UserError, match=r"a\.parquet, row 4 \(item 'p2/4\.png'\): the vector has NaN"):
        read(write_parquet(tmp_path, **{**good, "embedding": list(broken)}))
    with pytest.raises(UserError, match=r"row 1: item 'p0/0\.png' stands in row 0 already"):
        read(write_parquet(tmp_path, **{**good, "item": [ITEMS[0], ITEMS[0], *ITEMS[2:]]}))
    with pytest.raises(UserError, match="row 3: the person has no name"):
        read(write_parquet(tmp_path, **{**good, "identity": [*PEOPLE[:3], None, *PEOPLE[4:]]}))
    empty = {name: pa.array(values).slice(0, 0) for name, values in good.items()}
    with pytest.raises(UserError, match="holds no vectors"):
        read(write_parquet(tmp_path, **empty))


def test_truncated_parquet_is_refused_at_every_length(tmp_path, vectors):
    path = write_parquet(tmp_path, item=ITEMS, identity=PEOPLE, embedding=list(vectors))
    whole = path.read_bytes()
    for kept in (0, 4, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:kept])
        with pytest.raises(UserError, match=r"cannot read .*a\.parquet as Parquet"):
            read(path)
    with pytest.raises(UserError, match=r"cannot read .*gone\.parquet as Parquet"):
        read(tmp_path / "gone.parquet")


# All kinds


def test_what_is_no_file_of_embeddings_is_refused(tmp_path):
    with pytest.raises(
        UserError, match=r"a\.pkl is no file of embeddings: give one of \.npy, \.npz, \.csv, \.parquet"
    ):
        read(tmp_path / "a.pkl")
    for suffix in ("csv", "parquet"):
        with pytest.raises(UserError, match="names its items itself: leave out the list"):
            read(tmp_path / f"a.{suffix}", write_items(tmp_path))


def test_names_are_checked_before_anything_is_read(tmp_path):
    with pytest.raises(UserError, match="cannot be the name of a model"):
        import_embeddings(tmp_path / "a.csv", model="a/b", probe="faces")
    with pytest.raises(UserError, match="cannot be the name of a probe"):
        import_embeddings(tmp_path / "a.csv", model="a", probe="../x")


def test_an_imported_set_is_kept_in_the_lab_with_its_source(tmp_path, vectors, said):
    path = write_npy(tmp_path, vectors)
    rows = [f"{i},{p},{k}" for k, (i, p) in enumerate(zip(ITEMS, PEOPLE, strict=True))]
    found = read(path, write_items(tmp_path, rows, "item,identity,age"))
    lab = Lab(tmp_path / "lab")
    target = save(lab, found, path)
    assert target == lab.embeddings_file("theirs", "faces")
    again = lab.embeddings("theirs", "faces")
    assert is_planted(again, vectors)
    assert again.fingerprint == found.fingerprint
    head = embeddings.metadata(target)
    assert head["imported_from"] == {"name": "a.npy", "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    assert head["created"].endswith("+00:00")
    assert head["versions"]["numpy"] == np.__version__
    assert "model_sha256" not in head
    assert said == []
    save(lab, found, path)
    assert said == [f"  {target} was there and is replaced"]


def test_our_own_parquet_comes_back_the_same(tmp_path, vectors):
    path = write_npy(tmp_path, vectors)
    lab = Lab(tmp_path / "lab")
    found = read(path, write_items(tmp_path))
    is_planted(read(save(lab, found, path)), vectors)


def test_a_csv_file_written_by_numpy_is_read(tmp_path, vectors):
    text = io.StringIO()
    np.savetxt(text, vectors, delimiter=",", fmt="%.9g")
    rows = [f"{i},{p},{v}" for i, p, v in zip(ITEMS, PEOPLE, text.getvalue().splitlines(), strict=True)]
    is_planted(read(_text(tmp_path, "\n".join(["item,identity,0,1,2,3", *rows]))), vectors)


@pytest.mark.parametrize(
    "text", [b"item,identity,0\nM\xfcller,a,1\n", b"it\xffem,identity,0\n", b"\xff\xfei\0t"]
)
def test_a_csv_that_is_no_utf8_is_told(tmp_path, text):
    (tmp_path / "e.csv").write_bytes(text)
    with pytest.raises(
        UserError, match=r"cannot read .*e.csv as CSV .'utf-(8|16-le)' codec .*: save it as UTF-8 text"
    ):
        read(tmp_path / "e.csv")


def test_an_imported_set_may_not_take_the_name_of_a_network(tmp_path, vectors):
    path = write_npy(tmp_path, vectors)
    lab = Lab(tmp_path / "lab")
    write_json(lab.checkpoint("theirs") / "model.json", {"recipe": {}, "identities_sha256": "x"})
    with pytest.raises(
        UserError, match="cannot be stored as 'theirs', for a network .* another name with --model"
    ):
        save(lab, read(path, write_items(tmp_path)), path)
    assert not lab.probes("theirs")
