"""Sets of what lies in memory, whichever library's, are the set that its numbers say."""

import subprocess
import sys

import numpy as np
import pytest

from embedlab.errors import UserError
from embedlab.lab.embeddings import EmbeddingSet

VECTORS = np.arange(1.0, 13.0).reshape(4, 3)
PEOPLE = ["b", "a", "b", "c"]
WHO = (("a", "b", "c"), [1, 0, 1, 2])


def tensors():
    import torch

    x = torch.tensor(VECTORS)
    return {
        "float32": x.float(),
        "float64, wanting a gradient": x.clone().requires_grad_(),
        "bfloat16": x.bfloat16(),
        "float16": x.half(),
        "whole": x.long(),
        "turned": x.t().contiguous().t(),
        "sparse": x.to_sparse(),
        "a part of a graph": torch.nn.Parameter(x) * 1.0,
        "a list of rows": [row.clone().requires_grad_() for row in x],
    }


def arrays():
    import pandas as pd
    import pyarrow as pa

    return {
        "float64": VECTORS,
        "float16": VECTORS.astype(np.float16),
        "bytes": VECTORS.astype(np.uint8),
        "a list": VECTORS.tolist(),
        "a list of arrays": list(VECTORS),
        "objects": np.array([*list(VECTORS), None], dtype=object)[:4],
        "read-only": np.frombuffer(VECTORS.tobytes()).reshape(4, 3),
        "a frame": pd.DataFrame(VECTORS),
        "a frame of columns called alike": pd.DataFrame(VECTORS, columns=["e", "e", "e"]),
        "a frame of lists": pd.DataFrame({"embedding": list(VECTORS)}, index=[7, 1, 5, 2]),
        "a column of lists": pd.Series(VECTORS.tolist()),
        "a frame of its own types": pd.DataFrame(VECTORS).convert_dtypes(),
        "an arrow column": pa.array(VECTORS.tolist()),
        "an arrow table": pa.table({f"e{k}": VECTORS[:, k] for k in range(3)}),
        "an arrow table of lists": pa.table({"embedding": VECTORS.tolist()}),
    }


@pytest.mark.parametrize("kind", [*arrays(), *tensors()])
def test_vectors_of_every_kind_are_those_numbers(kind):
    found = EmbeddingSet.of((arrays() | tensors())[kind], PEOPLE)
    np.testing.assert_array_equal(found.vectors, VECTORS.astype(np.float32))
    assert found.vectors.dtype == np.float32
    assert (found.identities, found.labels.tolist()) == WHO
    assert found.items.tolist() == ["0", "1", "2", "3"]


def columns():
    import pandas as pd
    import pyarrow as pa
    import torch

    words = {
        "a list": PEOPLE,
        "an array": np.array(PEOPLE),
        "objects": np.array(PEOPLE, dtype=object),
        "bytes": np.array(PEOPLE, dtype="S1"),
        "a column": pd.Series(PEOPLE, index=[3, 1, 0, 2]),
        "categories": pd.Series(PEOPLE, dtype="category"),
        "arrow": pa.array(PEOPLE),
        "arrow chunks": pa.chunked_array([PEOPLE[:1], PEOPLE[1:]]),
        "arrow dictionary": pa.array(PEOPLE).dictionary_encode(),
        "a generator": (person for person in PEOPLE),
    }
    numbers = {
        "numbers": [7, 3, 7, 10],
        "whole floats": [7.0, 3.0, 7.0, 10.0],
        "float32": np.array([7, 3, 7, 10], dtype=np.float32),
        "a tensor": torch.tensor([7, 3, 7, 10]),
        "a float tensor": torch.tensor([7.0, 3, 7, 10], dtype=torch.bfloat16),
        "nullable": pd.Series([7, 3, 7, 10], dtype="Int64"),
        "text": ["7", "3", "7", "10"],
    }
    return words, numbers


@pytest.mark.parametrize("kind", columns()[0])
def test_people_of_every_kind_are_those_people(kind):
    found = EmbeddingSet.of(VECTORS, columns()[0][kind])
    assert (found.identities, found.labels.tolist()) == WHO


@pytest.mark.parametrize("kind", columns()[1])
def test_numbered_people_are_the_same_whichever_type_their_numbers_have(kind):
    found = EmbeddingSet.of(VECTORS, columns()[1][kind], ["i", "j", "k", "l"])
    assert found.identities == ("10", "3", "7")


def test_names_and_attributes_are_kept():
    import pandas as pd

    frame = pd.DataFrame({"age": [30, 40, 50, 60], "camera": list("xyxy")})
    found = EmbeddingSet.of(
        VECTORS, PEOPLE, ["i", "j", "k", "l"], model="ours", probe="faces@32", attributes=frame
    )
    assert (found.title, found.items.tolist()) == ("faces@32 in ours", ["i", "j", "k", "l"])
    assert found.attributes["age"].tolist() == [30, 40, 50, 60]
    assert found.attributes["camera"].tolist() == list("xyxy")
    assert EmbeddingSet.of(VECTORS, PEOPLE, attributes={"age": (1, 2, 3, 4)}).attributes["age"].sum() == 10


def test_default_names_are_of_one_length_so_that_they_sort():
    found = EmbeddingSet.of(np.ones((11, 2)), range(11))
    assert found.items.tolist() == sorted(found.items) == [f"{k:02d}" for k in range(11)]


def wrong():
    import pandas as pd
    import pyarrow as pa
    import torch

    nan, masked = VECTORS.copy(), np.ma.masked_equal(VECTORS, 5.0)
    nan[2, 1] = np.nan
    return [
        ({"vectors": VECTORS[0]}, r"float64 of shape \(3,\): give numbers of shape \(n, d\)"),
        ({"vectors": VECTORS[None]}, r"of shape \(1, 4, 3\)"),
        ({"vectors": [[1, 2], [3]] * 2}, "cannot be made an array"),
        ({"vectors": [["a", "b"]] * 4}, "give numbers of shape"),
        ({"vectors": VECTORS > 3}, "are bool of shape"),
        ({"vectors": VECTORS * 1j}, "are complex128 of shape"),
        ({"vectors": None}, "cannot be made an array"),
        ({"vectors": 3}, "cannot be made an array"),
        ({"vectors": masked}, "row 1 of the vectors is masked"),
        ({"vectors": nan}, r"NaN or infinity, the first in row 2 \(item '2'\)"),
        ({"vectors": VECTORS * 1e300}, "NaN or infinity"),
        ({"vectors": pd.DataFrame({"a": [1] * 4, "who": PEOPLE})}, r"hold no numbers \(who\)"),
        ({"vectors": VECTORS[:0], "labels": []}, "holds no vectors"),
        ({"labels": ["a"]}, "labels: there are 1 values for 4 vectors"),
        ({"labels": "abcd"}, "labels: str is no column"),
        ({"labels": 3}, "labels: int is no column"),
        ({"labels": np.eye(4)}, "labels: row 0 holds several values"),
        ({"labels": [1.5, 1, 2, 3]}, "labels: row 0 is 1.5, a number with decimals"),
        (
            {"labels": [1.0, 2.0, 2.0**53, 2.0**53 + 2]},
            "labels: row 2 is 9007199254740992, and floats do not",
        ),
        *(
            ({"labels": labels}, "labels: row 1 is 16777216, and floats do not")
            for many in [np.array([1, 2**24, 2**24 + 2, 7], np.float32)]
            for labels in (many, torch.tensor(many), pd.Series(many), pa.array(many))
        ),
        ({"labels": ["a", None, "b", "c"]}, "labels: row 1 has no name"),
        ({"labels": ["a", "b", float("nan"), "c"]}, "labels: row 2 has no name"),
        ({"labels": pd.Series([1, None, 2, 3], dtype="Int64")}, "labels: row 1 has no name"),
        ({"labels": ["a", "", "b", "c"]}, "labels: row 1 has no name"),
        ({"labels": [b"a", b"\xff", b"b", b"c"]}, "labels: row 1 holds bytes that are no UTF-8"),
        ({"items": ["a", "a", "b", "c"]}, "stand more than once, such as 'a'"),
        ({"items": ["a"]}, "items: there are 1 values"),
        ({"attributes": {"age": [1]}}, "attribute age: there are 1 values"),
        ({"attributes": {"norm": [1] * 4}}, "an attribute cannot be called 'norm'"),
        ({"attributes": 3}, "the attributes are int: give a dictionary"),
    ]


@pytest.mark.parametrize(("given", "message"), wrong())
def test_what_is_no_set_is_told_in_a_line(given, message):
    with pytest.raises(UserError, match=message) as told:
        EmbeddingSet.of(**{"vectors": VECTORS, "labels": PEOPLE, **given})
    assert "\n" not in str(told.value)


def test_no_library_is_imported_for_arrays():
    code = (
        "import sys; import numpy as np; from embedlab import EmbeddingSet\n"
        "EmbeddingSet.of(np.ones((2, 2)), [1, 2])\n"
        "print([name for name in ('torch', 'pandas', 'pyarrow') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_tensors_without_numbers_are_told():
    import torch

    with pytest.raises(UserError, match="the vectors cannot be made an array"):
        EmbeddingSet.of(torch.zeros(4, 3, device="meta"), [0, 0, 1, 1])
