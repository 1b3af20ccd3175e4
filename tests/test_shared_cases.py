"""The readers' rows of ../shared/cases, as they lie there; each kind has a test of its own elsewhere too."""

import numpy as np
import pytest

from embedlab.errors import UserError
from embedlab.formats import protocols
from embedlab.formats.interchange import import_embeddings
from embedlab.lab.embeddings import aligned
from tests.heard import heard


@pytest.fixture
def cases(shared_data):
    folder = shared_data.parent / "cases"
    if not folder.is_dir():
        pytest.skip(f"no cases in {folder}")
    return folder


def imported(path, **options):
    return import_embeddings(path, model=path.stem, probe="faces", **options)


def test_names_meet_whatever_wrote_them(cases):
    a, b = imported(cases / "names_as_bytes.npz"), imported(cases / "names_as_text.parquet")
    assert (a.items[0], a.identities[0]) == ("p00/i0", "p00")
    assert aligned(a, b)[2:] == (0, 0)
    assert len(a.items) == 72
    a, b = imported(cases / "people_as_int.parquet"), imported(cases / "people_as_float.parquet")
    assert a.identities == b.identities
    found = imported(cases / "vectors.npy", items=cases / "people_trailing_space.csv")
    assert len(found.identities) == 12
    pairs = protocols.read(cases / "pairs_tabs_spaces.txt")
    assert pairs.a[0] == "Bob Stone/Bob Stone_0001"


def test_columns_are_right_or_told(cases):
    with pytest.raises(UserError, match="the vector column holds struct"):
        imported(cases / "vectors_in_struct.parquet")
    with pytest.raises(UserError, match="e0 … e7 and lm0 … lm9: say which .* --vector-column e or lm"):
        imported(cases / "landmarks_beside_vector.csv")
    found = imported(cases / "landmarks_beside_vector.csv", vector_column="e")
    assert found.vectors.shape[1] == 8
    np.testing.assert_array_equal(found.attributes["lm0"], 50)
    assert len(imported(cases / "parts.parquet").items) == 72
    for name, why in (
        ("attribute_complex", "spectrum (complex128 is neither text nor numbers)"),
        ("attribute_uint64", "phash (whole numbers beyond 63 bits)"),
    ):
        with heard() as lines:
            assert imported(cases / f"{name}.npz").attributes == {}
        assert lines == [f"  columns left out: {why}"]
