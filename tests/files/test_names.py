"""Names are one, whatever file they come from and however they are written there."""

import unicodedata

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from embedlab.data import datasets, landmarks, packed
from embedlab.errors import UserError
from embedlab.files import names
from embedlab.formats import attributes, protocols
from embedlab.formats.interchange import import_embeddings
from embedlab.lab import embeddings
from embedlab.lab.embeddings import EmbeddingSet, aligned
from tests.heard import heard

NAME, PERSON = "zoë/é1", "zoë"
OTHER = "bob/b1"
VECTORS = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)
POINTS = "0,0,9,0,5,5,1,9,8,9"

SPELLINGS = {
    "as it is": lambda name: name,
    "NFD": lambda name: unicodedata.normalize("NFD", name),
    "spaces around": lambda name: f" {name}  ",
    "a no-break space": lambda name: f"{name}\u00a0",
    "zero-width": lambda name: f"\u200b{name}\ufeff",
    "a tab": lambda name: f"{name}\t",
    "an ideographic space": lambda name: f"\u3000{name}",
    "str of bytes": lambda name: str(name.encode()),
}


def from_npy(folder, items, people):
    np.save(folder / "a.npy", VECTORS)
    written(folder / "items.csv", "item,identity", items, people)
    return imported(folder / "a.npy", folder / "items.csv")


def from_npz(folder, items, people):
    np.savez(folder / "a.npz", vectors=VECTORS, items=np.array(items), identities=np.array(people))
    return imported(folder / "a.npz")


def from_npz_of_bytes(folder, items, people):
    items, people = ([name.encode() for name in column] for column in (items, people))
    return from_npz(folder, items, people)


def from_csv(folder, items, people):
    written(folder / "a.csv", "item,identity,e0,e1", items, people, "1,2")
    return imported(folder / "a.csv")


def from_parquet(folder, items, people):
    table(items, people, folder / "a.parquet")
    return imported(folder / "a.parquet")


def from_parquet_of_bytes(folder, items, people):
    return from_parquet(folder, *([name.encode() for name in column] for column in (items, people)))


def from_our_own(folder, items, people):
    table(items, people, folder / "a.parquet")
    found = embeddings.read(folder / "a.parquet")
    return found.items.tolist(), list(np.array(found.identities)[found.labels])


def from_pairs(folder, items, people):
    (folder / "p.csv").write_text(f'image_a,image_b,same\n"{items[0]}","{items[1]}",0\n', encoding="utf-8")
    found = protocols.read(folder / "p.csv")
    return [*found.a, *found.b], None


def from_attributes(folder, items, people):
    written(folder / "a.csv", "item,age", items, ["3", "4"])
    found = attributes.read(folder / "a.csv")
    written(folder / "b.csv", "identity,age", people, ["3", "4"])
    return list(found.columns["age"]), list(attributes.read(folder / "b.csv").columns["age"])


def from_landmarks(folder, items, people):
    written(folder / "l.csv", "item,x1,y1,x2,y2,x3,y3,x4,y4,x5,y5", items, [POINTS] * 2)
    return list(landmarks.read(folder / "l.csv").items), None


def written(path, head, *columns):
    columns = [[value] * 2 if isinstance(value, str) else value for value in columns]
    rows = [",".join(v if v[:1].isdigit() else f'"{v}"' for v in row) for row in zip(*columns, strict=True)]
    path.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")


def table(items, people, path):
    pq.write_table(pa.table({"item": items, "identity": people, "embedding": list(VECTORS)}), path)


def imported(path, items=None):
    found = import_embeddings(path, model="m", probe="p", items=items)
    return found.items.tolist(), list(np.array(found.identities)[found.labels])


READERS = [
    *(from_npy, from_npz, from_npz_of_bytes, from_csv, from_parquet, from_parquet_of_bytes, from_our_own),
    *(from_pairs, from_attributes, from_landmarks),
]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_reader_gives_one_name_and_says_what_it_changed(tmp_path, read, spelling):
    spell = SPELLINGS[spelling]
    with heard() as lines:
        items, people = read(tmp_path, [spell(NAME), spell(OTHER)], [spell(PERSON), spell("bob")])
    assert items == [NAME, OTHER]
    assert people in (None, [PERSON, "bob"])
    told = [line for line in lines if "are tidied" in line]
    assert bool(told) == (spelling != "as it is")
    assert all("\n" not in line for line in lines)


@pytest.mark.parametrize("read", [from_npz, from_csv, from_parquet, from_our_own])
@pytest.mark.parametrize("people", [["3.0", "4.0"], ["3", "4"], ["3", "4.0"]])
def test_people_called_by_whole_numbers_have_no_decimals(tmp_path, read, people):
    assert read(tmp_path, ["10.0", "11.0"], people) == (["10", "11"], ["3", "4"])


def test_decimals_stay_where_a_column_has_other_names_too(tmp_path):
    assert from_parquet(tmp_path, ["1.0", "1.5"], ["2.0", "v2"]) == (["1.0", "1.5"], ["2.0", "v2"])


def test_numbers_of_a_table_that_pandas_filled_are_whole(tmp_path):
    table([1.0, 2.0], [7.0, 8.0], tmp_path / "a.parquet")
    assert imported(tmp_path / "a.parquet") == (["1", "2"], ["7", "8"])
    table([1.0, np.nan], [7.0, 8.0], tmp_path / "a.parquet")
    with pytest.raises(UserError, match="row 1: the item has no name"):
        imported(tmp_path / "a.parquet")
    table([1.0, 2.5], [7.0, 8.0], tmp_path / "a.parquet")
    with pytest.raises(UserError, match="row 1: 'item' is 2.5, no name"):
        imported(tmp_path / "a.parquet")


@pytest.mark.parametrize("read", [from_npy, from_npz, from_csv, from_parquet, from_our_own])
def test_two_items_that_are_one_are_refused_by_both_spellings(tmp_path, read):
    apart = ["zoë/é1", unicodedata.normalize("NFD", "zoë/é1")]
    with pytest.raises(
        UserError, match=r"\('zoe\\u0308/e\\u03081'|zoe\\u0308/e\\u03011' and 'zoë/é1' are one name"
    ):
        read(tmp_path, apart, ["a", "b"])


def test_people_that_are_one_are_joined_and_that_is_said(tmp_path):
    with heard() as lines:
        _, people = from_csv(tmp_path, ["a", "b"], ["p00", "p00 "])
    assert people == ["p00", "p00"]
    assert lines == [
        f"  {tmp_path / 'a.csv'}: 1 of 2 names of people are tidied (white space, form of letters, "
        "decimals), such as 'p00 ' to 'p00'; 2 spellings are 1 names"
    ]


def test_a_name_as_long_as_a_book_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"one of the items, 'xxxx.* of 5,000 letters: .* at most 4,096"):
        from_parquet(tmp_path, ["x" * 5000, "b"], ["p", "q"])


def test_bytes_that_are_no_text_are_named_by_their_row(tmp_path):
    table(["a", "b"], [b"p", b"\xff"], tmp_path / "a.parquet")
    with pytest.raises(UserError, match=r"a\.parquet, row 1: 'identity' is b'\\xff', no name"):
        imported(tmp_path / "a.parquet")


# Folders, index files, packs


def faces(folder, people):
    for person in people:
        path = folder / person / "1.png"
        path.parent.mkdir(parents=True)
        Image.new("RGB", (12, 10), (len(person), 9, 9)).save(path)
    return folder


def test_a_folder_and_an_index_of_another_form_name_the_same_items(tmp_path):
    apart = unicodedata.normalize("NFD", "zoë")
    root = faces(tmp_path / "faces", [apart, "bob"])
    with heard() as lines:
        found = datasets.open_dataset(root)
    assert found.items == ("bob/1.png", "zoë/1.png")
    assert found.identities == ("bob", "zoë")
    assert [found.image(i).shape for i in range(2)] == [(10, 12, 3)] * 2
    assert any("names of items are tidied" in line for line in lines)
    before = found.fingerprint
    other = faces(tmp_path / "other", ["zoë", "bob"])
    assert datasets.open_dataset(other).items == found.items
    Image.new("RGB", (12, 10), (1, 2, 3)).save(root / apart / "1.png")
    assert datasets.open_dataset(root).fingerprint != before
    pack = packed.pack(datasets.open_dataset(root), tmp_path / "faces.pack")
    assert pack.items == found.items
    index = tmp_path / "faces_ids.txt"
    index.write_text(f"faces/{apart}/1.png 1.0\nfaces/bob/1.png 2.0\n", encoding="utf-8")
    assert datasets.open_dataset(index).items == ("zoë/1.png", "bob/1.png")


def test_folders_of_one_name_in_two_forms_are_refused(tmp_path):
    root = faces(tmp_path / "faces", ["zoë", unicodedata.normalize("NFD", "zoë")])
    with pytest.raises(
        UserError, match=r"faces, image 2: item 'zoë/1.png' stands in image 1 already \('zoe\\u0308"
    ):
        datasets.open_dataset(root)


def test_a_folder_with_a_space_at_its_end_is_the_same_person(tmp_path):
    root = faces(tmp_path / "faces", ["ann", "bob", "bob "])
    assert datasets.open_dataset(root).identities == ("ann", "bob")


# Pairing sets


def one(items, model="m"):
    vectors = np.random.default_rng(0).standard_normal((len(items), 3))
    return EmbeddingSet.from_rows(model, "p", vectors, items, ["x"] * len(items))


def test_pairing_says_what_was_dropped_once_a_set():
    a, b = one(["1.png", "2.png", "3.png"]), one(["1.png", "2.jpg"], "n")
    with heard() as lines:
        aligned(a, b)
        aligned(a, b)
        aligned(a, one(["1.png", "2.png", "3.png"], "o"))
    assert lines == [
        "  p in m and p in n share 1 images; left out are 2 of the first and 1 of the second; of these, 1 "
        "differ only in the suffix, as '2.png' and '2.jpg'"
    ]


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        ("ann/1.png", "ann/1", "the suffix"),
        ("Ann/1.PNG", "ann/1.png", "large and small letters"),
        ("Ann/1.PNG", "ann/1.jpg", "large and small letters and the suffix"),
        ("ann lee/1", "annlee/1", "spaces"),
        ("ann\\1", "ann/1", r"/ and \\"),
        ("zoë/1", "zoe/1", "accents or the form of letters"),
        ("faces/ann1", "ann1", "the folder"),
    ],
)
def test_names_that_differ_in_form_get_a_hint(a, b, words):
    with pytest.raises(UserError, match=f"no item in common .*; 1 differ only in {words}, as ") as caught:
        aligned(one([a]), one([b]))
    assert "\n" not in str(caught.value)


def test_names_that_have_nothing_in_common_get_none():
    assert names.differing(["a/1", "b/1"], ["c/1", "d/1"]) == ""
    assert names.differing(["ann"], ["bob"]) == ""


def test_tidying_twice_changes_nothing():
    rng = np.random.default_rng(0)
    letters = [
        *"ab 1.0é'\"\\",
        "\u0301",
        "\u200b",
        "\ufeff",
        "\u00a0",
        "\x00",
        "\u3000",
        "ﬁ",
        "\u1100\u1161",
        "b'",
    ]
    for _ in range(3000):
        name = "".join(rng.choice(letters, rng.integers(0, 8)))
        assert names.clean(names.clean(name)) == names.clean(name)
