import json
import tracemalloc
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from embedlab.errors import UserError
from embedlab.files import headroom
from embedlab.lab import embeddings
from embedlab.lab.embeddings import EmbeddingSet, aligned, shared_by
from tests.heard import heard
from tests.planted import embedding_set


def rows(items="abcd", people="xxyy", model="m", vectors=None):
    vectors = np.arange(1, 1 + 3 * len(items)).reshape(-1, 3) if vectors is None else vectors
    return EmbeddingSet.from_rows(model, "p", vectors, list(items), list(people))


def test_pairs_images_by_name_not_by_row():
    a = rows("abcd")
    shuffled = a.take([2, 0, 3, 1])
    both = aligned(a, shuffled)
    assert both.a.items.tolist() == both.b.items.tolist() == list("abcd")
    np.testing.assert_array_equal(both.a.vectors, both.b.vectors)


def test_sets_of_the_same_images_are_not_copied_but_whoever_has_none_is_dropped():
    a, b = rows("abcd"), rows("abcd", model="n")
    both = aligned(a, b)
    assert (both.a is a, both.b is b, both.dropped_a, both.dropped_b) == (True, True, 0, 0)
    more = replace(b, labels=b.labels + 1, identities=("nobody", *b.identities))
    for both in (aligned(a, more), aligned(more, a)):
        assert both.a.identities == both.b.identities == ("x", "y")
        np.testing.assert_array_equal(both.a.labels, both.b.labels)


def test_alignment_counts_what_it_drops():
    both = aligned(rows("abcd"), rows("cdef", "yyzz"))
    assert (both.dropped_a, both.dropped_b) == (2, 2)
    assert both.a.identities == ("y",)


def test_sets_without_a_common_item_are_refused():
    with pytest.raises(UserError, match=r"no item in common \(such as 'a' and 'e'\)"):
        aligned(rows("abcd"), rows("efgh"))


def test_sets_that_disagree_on_a_person_are_refused():
    with pytest.raises(UserError, match="name different people for item 'c' \\('y' and 'x'\\)"):
        aligned(rows("abcd", "xxyy"), rows("abcd", "xxxy"))


def test_nan_vectors_are_refused_by_row_and_item():
    vectors = np.ones((4, 3))
    vectors[2, 1] = np.nan
    with pytest.raises(UserError, match=r"1 vectors with NaN or infinity, the first in row 2 \(item 'c'\)"):
        rows(vectors=vectors)


def test_zero_vectors_are_refused():
    vectors = np.ones((4, 3))
    vectors[3] = 0
    with pytest.raises(UserError, match=r"length zero in row 3 \(item 'd'\)"):
        rows(vectors=vectors)


def test_duplicate_item_names_are_refused():
    with pytest.raises(UserError, match="1 item names that stand more than once, such as 'a'"):
        rows("abca")


def test_an_empty_set_is_refused():
    with pytest.raises(UserError, match="holds no vectors"):
        EmbeddingSet.from_rows("m", "p", np.zeros((0, 3)), [], [])


def test_units_have_length_one_and_norms_are_kept():
    a = rows()
    np.testing.assert_allclose(np.linalg.norm(a.unit, axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(a.unit * a.norms[:, None], a.vectors, rtol=1e-6)


def test_take_drops_people_left_without_a_row():
    cut = rows().take([3, 2])
    assert cut.identities == ("y",)
    assert cut.items.tolist() == ["d", "c"]
    assert cut.labels.tolist() == [0, 0]


def test_fingerprint_tells_any_change():
    a = rows()
    changed = a.vectors.copy()
    changed[0, 0] += 1
    prints = {
        s.fingerprint
        for s in (a, rows(model="n"), rows(items="abce"), rows(people="xxyz"), rows(vectors=changed))
    }
    assert len(prints) == 5
    assert rows().fingerprint == a.fingerprint


def test_a_written_set_reads_back_equal(tmp_path):
    a = EmbeddingSet.from_rows(
        "m", "p", np.eye(3), list("abc"), ["x", "x", "é<b>"], {"age": np.array([1, 2, 3])}
    )
    embeddings.write(tmp_path / "a.parquet", a, {"seed": 0})
    back = embeddings.read(tmp_path / "a.parquet")
    assert back.fingerprint == a.fingerprint
    assert back.attributes["age"].tolist() == [1, 2, 3]
    assert embeddings.metadata(tmp_path / "a.parquet")["seed"] == 0


def test_the_file_has_the_columns_that_viewers_know(tmp_path):
    a = rows()
    embeddings.write(tmp_path / "a.parquet", a, {})
    schema = pq.read_schema(tmp_path / "a.parquet")
    assert schema.field("embedding").type == pa.list_(pa.float32(), 3)
    assert schema.field("item").type == pa.string()
    assert schema.field("norm").type == pa.float32()
    assert json.loads(schema.metadata[b"embedlab"])["model"] == "m"


def test_a_truncated_parquet_is_told_in_one_line(tmp_path):
    path = tmp_path / "a.parquet"
    embeddings.write(path, rows(), {})
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(UserError, match="cannot read .*a.parquet as Parquet") as caught:
        embeddings.read(path)
    assert "\n" not in str(caught.value)


def test_a_parquet_with_other_columns_is_told(tmp_path):
    pq.write_table(pa.table({"vector": [[1.0]]}), tmp_path / "a.parquet")
    with pytest.raises(UserError, match=r"has no column 'item' \(it has vector\)"):
        embeddings.read(tmp_path / "a.parquet")


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pa.array([[1.0, 2.0], [1.0]]), "row 1 has 1 numbers where row 0 has 2"),
        (pa.array([[1.0], None]), "row 1 has no vector"),
        (pa.array(["a", "b"]), "holds string, not lists"),
        (pa.array([["a"], ["b"]]), "vectors hold string, not numbers"),
    ],
)
def test_a_column_that_is_no_matrix_is_told(tmp_path, column, message):
    table = pa.table({"item": ["a", "b"], "identity": ["x", "y"], "embedding": column})
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(UserError, match=message):
        embeddings.read(tmp_path / "a.parquet")


def test_a_wrong_shape_is_a_bug_not_a_user_error():
    with pytest.raises(TypeError, match="EmbeddingSet.items"):
        EmbeddingSet("m", "p", np.ones((3, 2), np.float32), np.array(["a"]), np.array([0]), ("x",))


def test_a_vector_too_long_for_its_length_is_refused():
    vectors = np.ones((4, 3), np.float32)
    vectors[2] = 3e38
    with pytest.raises(
        UserError, match="p in m has a vector whose length is beyond 32 bits in row 2 .item 'c'"
    ):
        rows("abcd", vectors=vectors)


@pytest.mark.parametrize("head", [b"{not", b"\xff", b"[1"])
def test_a_head_that_is_no_json_is_told(tmp_path, head):
    table = pa.table({"item": ["a"], "identity": ["x"], "embedding": [[1.0]]})
    pq.write_table(table.replace_schema_metadata({"embedlab": head}), tmp_path / "e.parquet")
    with pytest.raises(UserError, match=r"cannot read .*e.parquet as Parquet"):
        embeddings.read(tmp_path / "e.parquet")


def test_text_that_is_no_utf8_is_told(tmp_path):
    names = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\1\0\0\0"), pa.py_buffer(b"\xff")]
    )
    pq.write_table(pa.table({"item": names, "identity": ["x"], "embedding": [[1.0]]}), tmp_path / "e.parquet")
    with pytest.raises(UserError, match=r"cannot read .*e.parquet as Parquet .*UTF8"):
        embeddings.read(tmp_path / "e.parquet")


def test_flipped_bytes_are_told_in_one_line_wherever_they_lie(tmp_path):
    vectors = np.random.default_rng(0).normal(size=(40, 8))
    people = [f"p{k // 4}" for k in range(40)]
    whole = EmbeddingSet.from_rows(
        "m", "p", vectors, [f"i{k}" for k in range(40)], people, {"age": np.arange(40)}
    )
    path = tmp_path / "a.parquet"
    embeddings.write(path, whole, {})
    data = path.read_bytes()
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    refused = []
    for at in range(0, footer, 11):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        try:
            assert embeddings.read(path).fingerprint == whole.fingerprint, at
        except UserError as error:
            refused.append(str(error))
    assert len(refused) > footer / 22
    assert all(str(path) in told and "\n" not in told for told in refused)


def attributed(**columns):
    return EmbeddingSet.from_rows("m", "p", np.eye(2, 3) + 1, ["a", "b"], ["x", "y"], columns)


def test_a_value_moved_between_columns_is_another_set():
    prints = {
        one.fingerprint
        for one in (
            attributed(camera=["1", "2"], day=["3", "4"]),
            attributed(camera=["1", "23"], day=["", "4"]),
            attributed(camera=["1\x002", ""], day=["3", "4"]),
            attributed(camera=["3", "4"], day=["1", "2"]),
            attributed(camera=[1, 2], day=[3, 4]),
            attributed(camera=[1.0, 2.0], day=[3, 4]),
            attributed(camera=["1", "2"]),
            attributed(),
            replace(attributed(), recipe="camera"),
            replace(attributed(), probe="pcamera"),
        )
    }
    assert len(prints) == 10


def test_a_set_has_the_same_fingerprint_after_it_was_stored(tmp_path):
    columns = {
        "camera": np.array(["one", ""]),
        "age": np.array([1, 2], np.uint8),
        "blur": np.array([0.1, 3], np.float32),
        "glasses": np.array([True, False]),
    }
    embeddings.write(tmp_path / "a.parquet", attributed(**columns), {})
    assert embeddings.read(tmp_path / "a.parquet").fingerprint == attributed(**columns).fingerprint


def test_the_fingerprint_of_many_takes_bounded_memory():
    n = 300_000
    names = np.array([f"item{k:09d}" for k in range(n)])
    labels = np.repeat(np.arange(n // 3), 3)
    people = tuple(f"p{k}" for k in range(n // 3))
    large = EmbeddingSet("m", "p", np.ones((n, 4), np.float32), names, labels, people, {"camera": names})
    tracemalloc.start()
    try:
        assert large.fingerprint
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 30e6  # All names joined and encoded, twice, were 60 MB.


@pytest.mark.parametrize("head", [b"[" * 100_000, b'{"a":' * 100_000, b"{", b"\xff", b"1" * 5000])
def test_a_head_that_json_cannot_hold_is_told(tmp_path, head):
    table = pa.table({"item": ["a"], "identity": ["b"], "embedding": [[1.0, 2.0]]})
    pq.write_table(table.replace_schema_metadata({b"embedlab": head}), tmp_path / "x.parquet")
    with pytest.raises(UserError, match=r"cannot read .*x.parquet as Parquet") as told:
        embeddings.read(tmp_path / "x.parquet")
    assert "\n" not in str(told.value)


def test_what_was_cut_from_a_set_is_not_told_as_another_set():
    a, b = (embedding_set(12, images=2, model=name) for name in "ab")
    with heard() as lines:
        shared = aligned(a.take(np.arange(20)), b).a
        aligned(shared, a)
        aligned(shared, b)
    assert [line.partition(";")[0] for line in lines] == ["  p in a and p in b share 20 images"]


@pytest.mark.parametrize("probes", [1, 2, 3, 4, 6])
def test_places_are_counted_as_they_are_given(probes):
    """All pairs of up to three probes, of more the first with each other."""
    sets = [embedding_set(people=3, probe=f"p{k}") for k in range(probes)]
    places = [one.place for one in embeddings.crossings(sets)]
    assert len(set(places)) == embeddings.crossed(probes)
    assert (("p1", "p2") in places) == (probes == 3)


def test_what_many_sets_share_stands_in_the_order_of_names_in_all_of_them():
    whole = embedding_set(people=4, images=3)
    rows = np.random.default_rng(0).permutation(12)
    cut, dropped = shared_by([whole, replace(whole.take(rows[:10]), model="b"), whole.take(rows[2:])])
    names = sorted(str(item) for item in whole.items[rows[2:10]])
    assert [one.items.tolist() for one in cut] == [names] * 3
    assert dropped == 4
    np.testing.assert_array_equal(cut[0].vectors, cut[1].vectors)
    alone, none = shared_by([whole.take(rows)])
    assert (alone[0].items.tolist(), none) == (sorted(map(str, whole.items)), 0)


def test_a_set_names_itself_shortly_and_is_a_table():
    one = embedding_set(20, model="net", probe="p")
    assert repr(one).startswith("<EmbeddingSet p in net: ")
    assert len(repr(one)) < 200
    table = one.to_pandas()
    assert list(table.columns)[:3] == ["item", "identity", "norm"]
    assert list(table["identity"]) == [one.identities[k] for k in one.labels]
    with_vectors = one.to_pandas(vectors=True)
    assert np.array_equal(np.stack(with_vectors["embedding"]), one.vectors)


def test_members_are_the_same_in_any_order_and_others_for_other_people(tmp_path):
    one = embedding_set(20)
    shuffled = one.take(np.random.default_rng(0).permutation(len(one.items)))
    other = EmbeddingSet.from_rows("m", "p", one.vectors, list(one.items), ["x"] * len(one.items))
    found = []
    for k, each in enumerate((one, shuffled, other)):
        embeddings.write(tmp_path / f"{k}.parquet", each, {})
        found.append(embeddings.members(tmp_path / f"{k}.parquet").told)
    assert found[0] == found[1]
    assert found[0]["members"] != found[2]["members"]
    assert (found[0]["images"], found[0]["people"], found[2]["people"]) == (len(one.items), 20, 1)


def test_people_are_drawn_by_name_whole_and_larger_draws_hold_smaller_ones(tmp_path):
    one = embedding_set(60)
    shuffled = one.take(np.random.default_rng(0).permutation(len(one.items)))
    few, more = one.draw(12), one.draw(30)
    assert (len(few.identities), len(more.identities)) == (12, 30)
    assert set(few.identities) < set(more.identities)
    assert shuffled.draw(12).identities == few.identities
    for who in few.identities:
        of_all = one.items[one.labels == one.identities.index(who)]
        assert set(few.items[few.labels == few.identities.index(who)]) == set(of_all)
    assert few.fingerprint != one.fingerprint
    assert one.draw(0) is one.draw(60) is one.draw(1000) is one
    embeddings.write(tmp_path / "all.parquet", one, {})
    embeddings.write(tmp_path / "few.parquet", few, {})
    told = embeddings.members(tmp_path / "all.parquet", people=12).told
    assert told == {**embeddings.members(tmp_path / "few.parquet").told, "of_people": 60}


def test_who_is_drawn_is_not_said_by_the_order_of_names():
    """A draw of neighbours in the alphabet would be of one country or one year of a data set."""
    one = EmbeddingSet.of(np.eye(500, dtype=np.float32), [f"{k:03d}" for k in range(500)])
    ranks = np.array([int(who) for who in one.draw(100).identities])
    assert abs(ranks.mean() - 249.5) < 4 * 144 / 10
    assert np.diff(np.sort(ranks)).max() < 60


@pytest.mark.parametrize("kind", [pa.int64(), pa.float64(), pa.binary()])
def test_members_are_drawn_by_the_names_that_are_read(tmp_path, kind):
    """Files of other programs have people as numbers or bytes, which are read as 1 and not 1.0."""
    people = np.repeat(np.arange(40), 3)
    column = pa.array([str(k).encode() for k in people] if kind == pa.binary() else people, kind)
    table = {"item": [f"i{k}" for k in range(120)], "identity": column, "embedding": np.eye(120).tolist()}
    pq.write_table(pa.table(table), tmp_path / "a.parquet")
    told = embeddings.members(tmp_path / "a.parquet", people=13).told
    kept = embeddings.read(tmp_path / "a.parquet").draw(13)
    embeddings.write(tmp_path / "kept.parquet", kept, {})
    assert told == {**embeddings.members(tmp_path / "kept.parquet").told, "of_people": 40}


@pytest.mark.parametrize("head", [{}, {"dataset": {}}, {"dataset": 3}, {"dataset": {"people": "many"}}])
def test_a_record_of_a_draw_that_does_not_say_of_how_many_is_passed_over(tmp_path, head):
    embeddings.write(tmp_path / "a.parquet", embedding_set(20), {"drawn": True, **head})
    assert embeddings.members(tmp_path / "a.parquet").told["people"] == 20


@pytest.mark.parametrize("scale", [1e-18, 1e-22, 1e-30])
def test_tiny_vectors_have_their_length_and_direction(scale):
    vectors = np.random.default_rng(0).normal(size=(5, 8))
    tiny = EmbeddingSet.of((vectors * scale).astype(np.float32), list("aabbc"))
    np.testing.assert_allclose(np.linalg.norm(tiny.unit, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(tiny.norms, np.linalg.norm(vectors, axis=1) * scale, rtol=1e-5)


def test_members_of_the_same_rows_are_found_once(tmp_path):
    for name, seed in (("a", 0), ("b", 1)):
        embeddings.write(tmp_path / f"{name}.parquet", embedding_set(20, seed=seed), {})
    embeddings.write(tmp_path / "c.parquet", embedding_set(21), {})
    first = embeddings.members(tmp_path / "a.parquet")
    assert embeddings.members(tmp_path / "b.parquet", first) is first
    assert embeddings.members(tmp_path / "c.parquet", first).told["people"] == 21


def test_members_of_what_is_no_set_are_told_in_a_line(tmp_path):
    (tmp_path / "x.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(UserError, match="x.parquet"):
        embeddings.members(tmp_path / "x.parquet")


def test_vectors_at_length_one_that_would_fill_the_memory_are_refused_in_a_line(monkeypatch):
    one = rows("abcd")
    monkeypatch.setattr(headroom, "free", lambda: 40)
    assert one.unit.shape == (4, 3), "of few bytes nothing is asked"
    monkeypatch.setattr(headroom, "SMALL", 0)
    with pytest.raises(
        UserError, match=r"^p in m at length one takes 0\.0 GB, and 0\.0 GB of memory are free"
    ):
        _ = rows("abcd").unit
    monkeypatch.setattr(headroom, "free", lambda: 48)
    assert rows("abcd").unit.shape == (4, 3)
