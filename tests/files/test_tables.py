"""CSV of any making is read right, or one line says what is wrong; what was taken is said."""

import os

import numpy as np
import pytest

from embedlab.data import landmarks
from embedlab.errors import UserError
from embedlab.files import tables
from embedlab.formats import attributes, protocols
from embedlab.formats.interchange import import_embeddings
from tests.heard import heard

ROWS = [("a/1.png", "ann", 0.5, -1.25), ("b/2.png", "bob", 3.0, 1e-3)]


def imported(path):
    found = import_embeddings(path, model="m", probe="p")
    return found.items.tolist(), list(np.array(found.identities)[found.labels]), found.vectors.tolist()


RIGHT = (["a/1.png", "b/2.png"], ["ann", "bob"], np.array([[0.5, -1.25], [3, 1e-3]], np.float32).tolist())


def text(separator=",", decimal=".", end="\n", quote=""):
    head = ["item", "identity", "e0", "e1"]
    rows = [[i, p, *(repr(x).replace(".", decimal) for x in v)] for i, p, *v in ROWS]
    return end.join(separator.join(f"{quote}{cell}{quote}" for cell in row) for row in [head, *rows]) + end


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("quote", ["", '"'])
@pytest.mark.parametrize(
    ("separator", "decimal"), [(",", "."), (";", "."), (";", ","), ("\t", "."), ("\t", ",")]
)
def test_every_dialect_gives_the_same_vectors(tmp_path, encoding, end, quote, separator, decimal):
    path = tmp_path / "a.csv"
    path.write_bytes(text(separator, decimal, end, quote).encode(encoding))
    with heard() as lines:
        assert imported(path) == RIGHT
    assert [line for line in lines if "separated by" in line] == (
        [] if separator == "," else [f"  {path}: its fields are separated by {tables.SEPARATORS[separator]}"]
    )
    assert [line for line in lines if "decimals" in line] == (
        [f"  {path}: decimals are read behind commas, as in '0,5'"] if decimal == "," else []
    )


def test_every_reader_of_csv_takes_every_dialect(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes("image_a;image_b;same\r\na;b;1\r\n".encode("utf-16"))
    assert protocols.read(path).a == ("a",)
    path.write_bytes("item\tage\r\na\t3,5\r\n".encode("utf-16"))
    assert attributes.read(path).columns == {"age": {"a": "3,5"}}
    path.write_bytes(b"item;x1;y1;x2;y2;x3;y3;x4;y4;x5;y5\na;0,5;0;9;0;5;5;1;9;8;9\n")
    assert landmarks.read(path).points[0, 0].tolist() == [0.5, 0]
    np.save(tmp_path / "a.npy", np.eye(1))
    path.write_bytes(b"\n\nitem;identity;age\na;p;3,5\n")
    found = import_embeddings(tmp_path / "a.npy", model="m", probe="p", items=path)
    assert found.attributes["age"].tolist() == [3.5]


def test_what_excel_writes_first_is_believed(tmp_path):
    (tmp_path / "a.csv").write_text(
        "sep=;\nitem;identity;e0;e1\na/1.png;ann;0,5;-1,25\nb/2.png;bob;3,0;0,001\n"
    )
    assert imported(tmp_path / "a.csv") == RIGHT


def test_fields_may_hold_line_ends_and_lines_are_counted_all_the_same(tmp_path):
    head = "item,note,identity,e0,e1\n"
    (tmp_path / "a.csv").write_text(f'{head}a,"x\ny\n\nz",ann,1,2\n\nb,"p\nq",bob,3,nan\n')
    with pytest.raises(UserError, match=r"a\.csv, line 7 \(item 'b'\): the vector has NaN"):
        imported(tmp_path / "a.csv")
    (tmp_path / "a.csv").write_text(f'{head}a,"x\ny\n\nz",ann,1,2\n\nb,"p\nq",bob,3\n')
    with pytest.raises(UserError, match=r"a\.csv, line 7: 4 fields where the head has 5"):
        imported(tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('item,identity,e0,e1\na,p,"1,234.5",2\n', "line 2: e0 is '1,234.5', not a number"),
        (
            "item;identity;e0;e1\na;p;1.234,5;2\n",
            "line 2: e0 is '1.234,5', where decimals stand behind a comma",
        ),
        (
            "item;identity;e0;e1\na;p;1,5;2\nb;p;1.5;2\n",
            "line 3: e0 is '1.5', where .* a comma .line 2.: write all",
        ),
        ("item;identity;e0;e1\na;p;1,5;2\nb;p;1.5;2\n", "line 3: e0 is '1.5'"),
        ("item;identity;e0;e1\na;p;1.5;2,5\n", "line 2: e1 is '2,5', where .* a point"),
        ("item;identity;e0;e1\na;p;1 234,5;2\n", "line 2: e0 is '1 234,5', not a number"),
        ("item,identity,e0,e1\na,p,1,5,2,5\n", "line 2: 6 fields where the head has 4"),
        ("item,identity,e0,e1\na,p,,2\n", r"line 2 \(item 'a'\): the vector has NaN, infinity or a gap"),
        ("item,identity,e0,e1\na,p,NA,2\n", "line 2: e0 is 'NA', not a number"),
        ("item,identity,age,age,e0,e1\na,p,1,2,3,4\n", "two columns of one name, 'age'"),
        ("item|identity|e0|e1\na|p|1|2\n", r"has no column 'item' \(it has item\|identity\|e0\|e1\)"),
        ('item,identity,e0,e1,note\na,p,1,2,"x\nb,p,1,2,y\n', "a quotation mark is never closed"),
    ],
)
def test_what_cannot_be_read_right_is_named(tmp_path, content, message):
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises(UserError, match=message) as caught:
        imported(tmp_path / "a.csv")
    assert "\n" not in str(caught.value)


def test_a_column_may_turn_from_whole_numbers_to_others_after_any_number_of_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "BLOCK", 1 << 10)
    rows = [
        f"i{k},p{k % 3},{k + 1},{k},{'' if k < 900 else 'old'},{k if k < 900 else k + 0.5}"
        for k in range(1000)
    ]
    (tmp_path / "a.csv").write_text(
        "\n".join(["item,identity,e0,e1,age,size", *rows]).replace("999.5", "1e3")
    )
    found = import_embeddings(tmp_path / "a.csv", model="m", probe="p")
    assert found.vectors[:, 0].tolist() == list(range(1, 1001))
    assert found.attributes["size"][[0, 899, 900, 999]].tolist() == [0, 899, 900.5, 1000]
    assert found.attributes["age"][[0, 999]].tolist() == ["", "old"]
    (tmp_path / "a.csv").write_text("\n".join(["item,identity,e0,e1,age,size", *rows, "z,p,x,1,,"]))
    with pytest.raises(UserError, match=r"a\.csv, line 1002: e0 is 'x', not a number"):
        imported(tmp_path / "a.csv")


def test_whole_numbers_too_long_for_numbers_stay_text(tmp_path):
    (tmp_path / "a.csv").write_text(
        f"item,identity,e0,e1,hash,gap\na,p,1,2,{2**64 - 1},{10**17}\nb,p,1,2,3,\n"
    )
    found = import_embeddings(tmp_path / "a.csv", model="m", probe="p")
    assert found.attributes["hash"].tolist() == [str(2**64 - 1), "3"]
    assert found.attributes["gap"].tolist() == [str(10**17), ""]


def test_a_run_of_columns_that_is_much_longer_is_the_vector_and_that_is_said(tmp_path):
    names = [*(f"e{k}" for k in range(40)), *(f"lm{k}" for k in range(10))]
    (tmp_path / "a.csv").write_text(f"item,identity,{','.join(names)}\na,p,{','.join(map(str, range(50)))}\n")
    with heard() as lines:
        found = import_embeddings(tmp_path / "a.csv", model="m", probe="p")
    assert found.vectors.shape == (1, 40)
    assert lines == [f"  {tmp_path / 'a.csv'}: the vector is e0 … e39; other columns are attributes"]
    named = [*(f"embedding_{k}" for k in range(4)), *(f"lm{k}" for k in range(10))]
    (tmp_path / "a.csv").write_text(f"item,identity,{','.join(named)}\na,p,{','.join(map(str, range(14)))}\n")
    with heard() as lines:
        assert import_embeddings(tmp_path / "a.csv", model="m", probe="p").vectors.shape == (1, 4)
    assert "the vector is embedding_0 … embedding_3" in lines[0]


@pytest.mark.parametrize(
    "read",
    [imported, protocols.read, attributes.read, landmarks.read, lambda path: tables.text(path, "text")],
)
def test_only_regular_files_are_read(tmp_path, read):
    folder = tmp_path / "a.csv"
    folder.mkdir()
    with pytest.raises(UserError, match=r"cannot read .*a\.csv as .*(no regular file|Is a directory)"):
        read(folder)
    os.mkfifo(tmp_path / "b.csv")
    with pytest.raises(UserError, match=r"cannot read .*b\.csv as .*no regular file"):
        read(tmp_path / "b.csv")
