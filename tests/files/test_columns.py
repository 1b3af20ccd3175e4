"""Every Arrow and numpy type as every column: the right value, or one line that says why not."""

import datetime as dt
import decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from embedlab.errors import UserError
from embedlab.files import columns
from embedlab.files.names import Place
from embedlab.formats.interchange import import_embeddings
from embedlab.lab import embeddings
from embedlab.lab.store import Lab
from tests.heard import heard

N = 3
VECTORS = np.random.default_rng(0).standard_normal((N, 2)).astype(np.float32)
WHOLE = [1, 2, 3]
WORDS = ["a", "b", "ü"]
DAYS = [dt.date(2020, 1, k) for k in WHOLE]
TIMES = [dt.datetime(2020, 1, k) for k in WHOLE]

INTEGERS = [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()]
FLOATS = [pa.float16(), pa.float32(), pa.float64()]
DECIMALS = [pa.decimal32(5, 2), pa.decimal64(12, 2), pa.decimal128(20, 2), pa.decimal256(50, 2)]
TEXTS = [pa.string(), pa.large_string(), pa.string_view()]
BYTES = [pa.binary(), pa.large_binary(), pa.binary_view(), pa.binary(4)]
TEMPORAL = [
    *(pa.date32(), pa.date64(), pa.time32("s"), pa.time64("us"), pa.month_day_nano_interval()),
    *(pa.timestamp("s"), pa.timestamp("ns"), pa.timestamp("us", "UTC"), pa.duration("ms")),
]
LISTS = [pa.list_, pa.large_list, pa.list_view, pa.large_list_view, lambda kind: pa.list_(kind, 2)]


def value_of(kind, k):
    t = pa.types
    if t.is_floating(kind):
        return np.float16(WHOLE[k]) if t.is_float16(kind) else float(WHOLE[k])
    if t.is_decimal(kind):
        return decimal.Decimal(WHOLE[k])
    if kind in BYTES:
        return b"%03d\0" % k if t.is_fixed_size_binary(kind) else WORDS[k].encode()
    if kind in TEXTS:
        return WORDS[k]
    if t.is_boolean(kind):
        return k == 1
    if t.is_date(kind):
        return DAYS[k]
    if t.is_time(kind):
        return dt.time(k)
    if t.is_timestamp(kind):
        return TIMES[k].replace(tzinfo=dt.UTC) if kind.tz else TIMES[k]
    if t.is_duration(kind):
        return dt.timedelta(k)
    if t.is_interval(kind):
        return pa.MonthDayNano([k, 1, 1])
    return None if t.is_null(kind) else WHOLE[k]


def plain(kind, rows=N):
    return pa.array([value_of(kind, k % N) for k in range(rows)], kind)


def scalars():
    """Arrow columns of one value a row, by a name; each with what it is as names and as attribute."""
    for kind in INTEGERS:
        yield str(kind), plain(kind), ["1", "2", "3"], WHOLE
    for kind in [*FLOATS, *DECIMALS]:
        yield str(kind), plain(kind), ["1", "2", "3"], WHOLE
    for kind in TEXTS:
        yield str(kind), plain(kind), WORDS, WORDS
    for kind in BYTES:
        expected = ["000", "001", "002"] if pa.types.is_fixed_size_binary(kind) else WORDS
        yield str(kind), plain(kind), expected, expected
    yield "dictionary", plain(pa.string()).dictionary_encode(), WORDS, WORDS
    yield "dictionary of numbers", plain(pa.int64()).dictionary_encode(), ["1", "2", "3"], WHOLE
    runs = pa.RunEndEncodedArray.from_arrays(pa.array([1, 2, 3], pa.int32()), plain(pa.string()))
    yield "run ends", runs, WORDS, WORDS
    yield "json", pa.ExtensionArray.from_storage(pa.json_(), plain(pa.string())), WORDS, WORDS
    opaque = pa.opaque(pa.int64(), "theirs", "vendor")
    yield "opaque", pa.ExtensionArray.from_storage(opaque, plain(pa.int64())), ["1", "2", "3"], WHOLE
    uuid = pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"\xff" * 16] * N, pa.binary(16)))
    yield "uuid", uuid, None, None
    yield "bool", plain(pa.bool_()), None, [False, True, False]
    bools = pa.ExtensionArray.from_storage(pa.bool8(), pa.array([0, 1, 0], pa.int8()))
    yield "bool8", bools, None, [False, True, False]
    for kind in TEMPORAL:
        yield str(kind), plain(kind), None, None
    yield "null", plain(pa.null()), None, None
    yield "fractions", pa.array([0.5, 1.0, 2.0]), None, [0.5, 1, 2]
    for kind, exact in zip(FLOATS, (11, 24, 53), strict=True):
        large = [2.0**exact, 1.0, 2.0**exact - 1]
        yield f"{kind} beyond whole numbers", pa.array(np.array(large), pa.float64()).cast(kind), None, large
    yield "infinite", pa.array([float("inf"), 1.0, 2.0]), None, [float("inf"), 1, 2]
    yield "hashes", pa.array([2**64 - 1] * N, pa.uint64()), [str(2**64 - 1)] * N, None
    yield "no text", pa.array([b"\xff"] * N), None, None
    yield "struct", pa.array([{"v": [1.0]}] * N), None, None
    yield "map", pa.array([[("a", 1)]] * N, pa.map_(pa.string(), pa.int64())), None, None
    for kind in LISTS:
        yield str(kind(pa.float32())), listed(kind, pa.float32()), None, None
    union = pa.UnionArray.from_sparse(pa.array([0] * N, pa.int8()), [plain(pa.int64()), plain(pa.string())])
    yield "union", union, None, None


def listed(kind, values):
    flat = plain(values, 2 * N).to_pylist()
    return pa.array([flat[2 * k : 2 * k + 2] for k in range(N)], kind(values))


def nested():
    """Arrow columns of lists, each with its numbers, or None where it is no column of vectors."""
    numbers = np.array([[1, 2], [3, 1], [2, 3]], np.float32)
    for kind in LISTS:
        for values in [*INTEGERS, *FLOATS, *DECIMALS]:
            yield f"{kind(values)}", listed(kind, values), numbers
        for values in [*TEXTS, *BYTES, *TEMPORAL, pa.bool_(), pa.null()]:
            yield f"{kind(values)}", listed(kind, values), None
    tensor = pa.FixedShapeTensorArray.from_numpy_ndarray(numbers)
    yield "tensor", tensor, numbers
    yield "lists of dictionaries", pa.array(numbers.tolist(), pa.list_(pa.float32())), numbers
    yield "lists of lists", pa.array([[[1.0, 2.0]]] * N), None
    yield "map", pa.array([[("a", 1)]] * N, pa.map_(pa.string(), pa.int64())), None
    yield "struct", pa.array([{"v": [1.0]}] * N), None
    yield "list of structs", pa.array([[{"v": 1.0}]] * N), None


def arrays():
    """numpy columns, each with what it is as names and as attribute."""
    for code in (
        "i1",
        "i2",
        "<i4",
        ">i4",
        "i8",
        "u1",
        "u2",
        "<u4",
        ">u4",
        "u8",
        "f2",
        "f4",
        ">f4",
        "f8",
        "g",
    ):
        yield code, np.array(WHOLE, code), ["1", "2", "3"], WHOLE
    yield "U", np.array(WORDS), WORDS, WORDS
    yield ">U", np.array(WORDS).astype(">U3"), WORDS, WORDS
    yield "S", np.array([word.encode() for word in WORDS]), WORDS, WORDS
    yield "S that is no text", np.array([b"\xff", b"a", b"b"]), None, None
    yield "U that is no text", np.array(["\ud800", "a", "b"]), None, None
    yield "bool", np.array([False, True, False]), None, [False, True, False]
    yield "u8 beyond", np.array([2**64 - 1] * N, "u8"), [str(2**64 - 1)] * N, None
    yield "f8 beyond whole numbers", np.array([2.0**53, 1, 2]), None, [2.0**53, 1, 2]
    yield "fractions", np.array([0.5, 1, 2]), None, [0.5, 1, 2]
    for code in ("c8", "c16", "M8[s]", "m8[s]", "V4", [("x", "f4")], [("ü", "f4")], "O"):
        yield str(code), np.zeros(N, code), None, None


ARROW = list(scalars())
NUMPY = list(arrays())
PLACE = Place("a.parquet", "row", range(N))


def attribute(column):
    with heard() as lines:
        found = embeddings.attributes({"x": column}, {})
    return found.get("x"), lines


@pytest.mark.parametrize(
    ("column", "as_names", "as_attribute"), [c[1:] for c in ARROW], ids=[c[0] for c in ARROW]
)
@pytest.mark.parametrize("chunked", [False, True])
def test_every_arrow_type_as_names_and_attribute(column, as_names, as_attribute, chunked):
    column = pa.chunked_array([column.slice(0, 1), column.slice(1)]) if chunked else column
    is_right(column, as_names, as_attribute)


@pytest.mark.parametrize(
    ("column", "as_names", "as_attribute"), [c[1:] for c in NUMPY], ids=[c[0] for c in NUMPY]
)
def test_every_numpy_type_as_names_and_attribute(column, as_names, as_attribute):
    is_right(column, as_names, as_attribute)


def is_right(column, as_names, as_attribute):
    if as_names is None:
        with pytest.raises(
            UserError, match=r"a\.parquet(, row 0)?: 'who' (holds|is) .*give text or whole numbers"
        ):
            columns.names(column, "who", PLACE)
    else:
        assert columns.names(column, "who", PLACE) == as_names
    found, lines = attribute(column)
    if as_attribute is None:
        assert found is None
        assert len(lines) == 1
        assert lines[0].startswith("  columns left out: x (")
    else:
        assert found.tolist() == as_attribute
        assert found.dtype.kind in "ifbU"
        assert lines == []


@pytest.mark.parametrize(("column", "numbers"), [c[1:] for c in nested()], ids=[c[0] for c in nested()])
@pytest.mark.parametrize("chunked", [False, True])
def test_every_arrow_type_as_vectors(column, numbers, chunked):
    column = pa.chunked_array([column.slice(0, 1), column.slice(1)]) if chunked else column
    if numbers is None:
        with pytest.raises(UserError, match="(not lists of numbers|not numbers): name another|has no vector"):
            columns.matrix(column, "a.parquet")
    else:
        np.testing.assert_array_equal(columns.matrix(column, "a.parquet"), numbers)


@pytest.mark.parametrize(
    ("column", "as_names", "as_attribute"), [c[1:] for c in ARROW], ids=[c[0] for c in ARROW]
)
def test_every_parquet_column_is_imported_stored_and_read_again(tmp_path, column, as_names, as_attribute):
    table = pa.table({"item": list("abc"), "identity": list("xyz"), "embedding": list(VECTORS), "x": column})
    try:
        pq.write_table(table, tmp_path / "a.parquet")
    except pa.ArrowNotImplementedError:
        pytest.skip("Parquet has no such type")
    with heard() as lines:
        found = import_embeddings(tmp_path / "a.parquet", model="m", probe="p")
    path = Lab(tmp_path / "lab").embeddings_file("m", "p")
    path.parent.mkdir(parents=True)
    embeddings.write(path, found, {})
    again = embeddings.read(path)
    assert again.fingerprint == found.fingerprint
    if as_attribute is None:
        assert again.attributes == {}
        assert "left out: x (" in lines[0]
    else:
        assert again.attributes["x"].tolist() == as_attribute
    for option in ("item_column", "identity_column"):
        if as_names is None or (option == "item_column" and len(set(as_names)) < N):
            with pytest.raises(UserError, match=r"a\.parquet"):
                import_embeddings(tmp_path / "a.parquet", model="m", probe="p", **{option: "x"})
        else:
            one = import_embeddings(tmp_path / "a.parquet", model="m", probe="p", **{option: "x"})
            got = one.items if option == "item_column" else np.array(one.identities)[one.labels]
            assert got.tolist() == as_names


@pytest.mark.parametrize(
    ("column", "as_names", "as_attribute"), [c[1:] for c in NUMPY], ids=[c[0] for c in NUMPY]
)
@pytest.mark.filterwarnings("ignore:Stored array in format 3.0")
def test_every_array_of_an_npz_is_imported_or_told(tmp_path, column, as_names, as_attribute):
    def npz(**arrays):
        np.savez(tmp_path / "a.npz", **arrays)
        with heard() as lines:
            return import_embeddings(tmp_path / "a.npz", model="m", probe="p"), lines

    found, lines = npz(vectors=VECTORS, items=list("abc"), identities=list("xyz"), x=column)
    if as_attribute is None:
        assert "x" not in found.attributes
        assert "left out: x (" in lines[0]
    else:
        assert found.attributes["x"].tolist() == as_attribute
    if as_names is None:
        with pytest.raises(UserError, match=r"a\.npz"):
            npz(vectors=VECTORS, items=list("abc"), identities=column)
    else:
        found, _ = npz(vectors=VECTORS, items=list("abc"), identities=column)
        assert np.array(found.identities)[found.labels].tolist() == as_names


@pytest.mark.parametrize("code", ["i1", ">i4", "u8", "f2", ">f4", "f8", "g"])
def test_vectors_of_every_dtype_of_numbers_are_read(tmp_path, code):
    np.savez(tmp_path / "a.npz", vectors=np.array([[1, 2], [3, 4]], code), items=["a", "b"], labels=[0, 1])
    found = import_embeddings(tmp_path / "a.npz", model="m", probe="p")
    assert found.vectors.tolist() == [[1, 2], [3, 4]]
    assert found.identities == ("0", "1")


@pytest.mark.parametrize("code", ["?", "c8", "M8[s]", "m8[s]", "S2", "U2", "V4", [("x", "f4")], "O"])
def test_vectors_of_any_other_dtype_are_refused(tmp_path, code):
    np.savez(tmp_path / "a.npz", vectors=np.zeros((2, 2), code), items=["a", "b"], labels=[0, 1])
    with pytest.raises(
        UserError, match=r"a\.npz (holds .*, not vectors|\(.*pickled objects)|cannot read .*pickled"
    ):
        import_embeddings(tmp_path / "a.npz", model="m", probe="p")


def test_gaps_are_nan_or_empty_text():
    assert np.isnan(columns.attribute(pa.array([1, None, 3]))[1])
    assert np.isnan(columns.attribute(pa.array([1.5, None]))[1])
    assert columns.attribute(pa.array(["a", None])).tolist() == ["a", ""]
    assert columns.attribute(pa.array([True, None])).tolist() == ["True", ""]
    with pytest.raises(ValueError, match="beyond 53 bits, with gaps"):
        columns.attribute(pa.array([2**60 + 1, None]))
    assert columns.names(pa.array([1.0, None, np.nan]), "who", PLACE) == ["1", "", ""]


def test_numbers_beyond_32_bits_are_told_as_infinite(tmp_path):
    pq.write_table(
        pa.table({"item": ["a"], "identity": ["x"], "embedding": [[1e300, 1.0]]}), tmp_path / "a.parquet"
    )
    with pytest.raises(UserError, match=r"row 0 \(item 'a'\): the vector has NaN, infinity"):
        import_embeddings(tmp_path / "a.parquet", model="m", probe="p")


def test_a_column_that_stands_twice_is_refused(tmp_path):
    values = [pa.array(["a"]), pa.array(["x"]), pa.array([[1.0]]), pa.array(["b"])]
    table = pa.Table.from_arrays(values, ["item", "identity", "embedding", "item"])
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(UserError, match="two columns of one name, 'item'"):
        import_embeddings(tmp_path / "a.parquet", model="m", probe="p")
