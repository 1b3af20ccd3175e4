import itertools
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedlab.digest import ROWS, Digest


def hashed(*columns):
    digest = Digest()
    for one in columns:
        digest.column(one)
    return digest.hexdigest()


text = st.text(st.sampled_from("ab\0\n,1"), max_size=4)
column = st.one_of(
    st.lists(text, max_size=4).map(lambda one: np.array(one, dtype=str)),
    st.lists(st.integers(-3, 3), max_size=4).map(lambda one: np.array(one, dtype=np.int64)),
    st.lists(st.floats(-2, 2, width=16), max_size=4).map(lambda one: np.array(one, dtype=np.float64)),
    st.lists(st.booleans(), max_size=4).map(lambda one: np.array(one, dtype=bool)),
    st.lists(st.one_of(st.none(), text, st.integers(0, 2), st.just(float("nan"))), max_size=4),
)


def plain(columns):
    """Write columns so that two are the same text only if they are the same."""
    return repr(
        [(getattr(one, "dtype", np.dtype(object)).kind, np.asarray(one, object).tolist()) for one in columns]
    )


@settings(max_examples=300, deadline=None)
@given(st.lists(column, max_size=3), st.lists(column, max_size=3))
def test_two_hashes_are_equal_only_where_all_values_are(first, second):
    one = [np.asarray(column) for column in first]
    other = [np.asarray(column) for column in second]
    assert (hashed(*one) == hashed(*other)) == (plain(one) == plain(other))


@settings(max_examples=200, deadline=None)
@given(st.lists(text, min_size=2, max_size=6), st.integers(0, 6), st.integers(0, 6))
def test_a_value_moved_to_the_next_column_is_seen(words, first, second):
    cuts = [[np.array(words[:k], dtype=str), np.array(words[k:], dtype=str)] for k in (first, second)]
    assert (hashed(*cuts[0]) == hashed(*cuts[1])) == (min(first, len(words)) == min(second, len(words)))


def test_numbers_text_and_truth_are_told_apart():
    columns = [[1, 0], [1.0, 0.0], [True, False], ["1", "0"], [b"1", b"0"], [1, None], ["1", None], [1, "0"]]
    kinds = [
        np.array(one, dtype=object if None in one or len({*map(type, one)}) > 1 else None) for one in columns
    ]
    assert len({hashed(one) for one in kinds}) == len(columns)


@pytest.mark.parametrize(
    ("narrow", "wide"),
    [
        (np.array([1, 2], np.int8), np.array([1, 2], ">i8")),
        (np.array([1, 2], np.uint8), np.array([1, 2], np.uint64)),
        (np.array([1, 2], np.uint64), np.array([1, 2])),
        (np.array([0.5, np.nan], np.float32), np.array([0.5, np.nan])),
        (np.array(["a", "é"], "<U1"), np.array(["a", "é"], "<U9")),
        (np.array(["a", "b", "c"])[::-1], np.array(["c", "b", "a"])),
    ],
)
def test_equal_columns_have_equal_hashes_however_they_lie_in_memory(narrow, wide):
    assert hashed(narrow) == hashed(wide)


def test_blocks_leave_no_seam():
    words = np.array([f"w{k}" for k in range(2 * ROWS + 3)])
    moved = words.copy()
    moved[ROWS - 1], moved[ROWS] = f"w{ROWS - 1}w", str(ROWS)
    assert hashed(words) != hashed(moved)
    assert hashed(words[:ROWS], words[ROWS:]) != hashed(words)
    mixed = [None, *words.tolist()]
    assert hashed(np.array(mixed, dtype=object)) != hashed(np.array(mixed[:-1], dtype=object))


def test_arrays_count_with_type_and_shape():
    zeros = [np.zeros(shape, kind) for shape in ((4,), (2, 2), (4, 1)) for kind in (np.int32, np.float32)]
    found = []
    for one in zeros:
        digest = Digest()
        digest.array(one)
        found.append(digest.hexdigest())
    assert len(set(found)) == len(found)


def test_values_of_any_kind_are_a_column():
    tables = [
        np.zeros((2, 2)),
        np.zeros((4, 1)),
        [[0.0, 0.0], [0.0, 0.1]],
        [[0], [0, 1]],
        [["a"], ["b", "c"]],
    ]
    ragged = [np.array(one, dtype=object) if len({*map(len, one)}) > 1 else one for one in tables]
    large = [np.full(1, 1 << 63, np.uint64), np.full(1, -(1 << 63), np.int64)]
    assert len({hashed(one) for one in (*ragged, *large)}) == 7


def test_texts_that_run_together_are_told_apart():
    found = set()
    for parts in itertools.chain(*(itertools.permutations(("a", "ab", "b", ""), k) for k in range(5))):
        digest = Digest()
        for one in parts:
            digest.text(one)
        found.add(digest.hexdigest())
    assert len(found) == 1 + 4 + 12 + 24 + 24


def test_memory_stays_bounded():
    words = np.array([f"item{k:08d}" for k in range(400_000)])
    vectors = np.zeros((400_000, 8), np.float32)
    tracemalloc.start()
    try:
        digest = Digest()
        digest.column(words)
        digest.array(vectors[:, ::2])
        digest.array(vectors)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 24e6  # All names as Python text would be 27 MB, and encoded once more as much.
