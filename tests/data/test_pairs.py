import numpy as np
import pytest

from embedlab.data.pairs import Pairs, read_pairs, write_pairs
from embedlab.errors import UserError


def written(tmp_path, text):
    path = tmp_path / "pairs.csv"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("folds", [None, np.array([1, 2, 10])])
def test_what_is_written_is_read_back(tmp_path, folds):
    pairs = Pairs(("a/1.png", 'b "x", y.png', "ü.png"), ("b", "c", "d"), np.array([True, False, True]), folds)
    write_pairs(tmp_path / "p.csv", pairs)
    read = read_pairs(tmp_path / "p.csv")
    assert (read.a, read.b) == (pairs.a, pairs.b)
    assert read.same.tolist() == [True, False, True]
    assert read.same.dtype == bool
    assert len(read) == 3
    if folds is None:
        assert read.folds is None
    else:
        assert read.folds.tolist() == folds.tolist()


def test_columns_may_stand_in_any_order_and_truth_in_any_words(tmp_path):
    text = "\ufeffsame,note,image_b,image_a\r\nTrue,x,b,a\r\n\r\n0,y,c,a\r\nyes,z,d,a\r\nNO,,e,a\r\n"
    read = read_pairs(written(tmp_path, text))
    assert read.a == ("a", "a", "a", "a")
    assert read.b == ("b", "c", "d", "e")
    assert read.same.tolist() == [True, False, True, False]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no column 'image_a'"),
        ("image_a,image_b\na,b\n", "has no column 'same'"),
        ("image_a,image_b,same\n", "lists no pairs"),
        ("image_a,image_b,same\na,b,1\na,b\n", "pairs.csv, line 3: 2 fields where the head has 3"),
        ("image_a,image_b,same\na,b,maybe\n", "line 2: same is 'maybe': write 1 or 0"),
        ("image_a,image_b,same\na,,1\n", "line 2: an image has no name"),
        ("image_a,image_b,same\na,b,1\n\na,a,1\n", "line 4: 'a' is paired with itself"),
        ("image_a,image_b,same,fold\na,b,1,x\n", "line 2: fold is 'x': write a whole number"),
    ],
)
def test_a_wrong_file_is_named_with_its_line(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        read_pairs(written(tmp_path, text))


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(UserError, match=r"cannot read .*gone.csv as a list of pairs"):
        read_pairs(tmp_path / "gone.csv")
    (tmp_path / "b.csv").write_bytes(b"\xff\xff")
    with pytest.raises(UserError, match=r"cannot read .*b.csv as a list of pairs"):
        read_pairs(tmp_path / "b.csv")


def test_a_record_checks_itself():
    with pytest.raises(UserError, match="list of pairs is empty"):
        Pairs((), (), np.array([], dtype=bool))
    with pytest.raises(ValueError, match="differ in length"):
        Pairs(("a",), ("b", "c"), np.array([True]))
    with pytest.raises(TypeError, match=r"Pairs\.same"):
        Pairs(("a",), ("b",), np.array([1]))
