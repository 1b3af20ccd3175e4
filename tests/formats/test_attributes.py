from dataclasses import replace

import numpy as np
import pytest

from embedlab.errors import UserError
from embedlab.formats import attributes
from tests.planted import embedding_set


def written(tmp_path, text):
    path = tmp_path / "attributes.csv"
    path.write_text(text, encoding="utf-8")
    return attributes.read(path)


@pytest.mark.parametrize("key", ["identity", "name"])
def test_columns_by_person_stand_at_each_of_their_images(tmp_path, key):
    table = written(
        tmp_path, f"\ufeff{key},gender, city \r\nperson001, f ,Ulm\r\n\r\nperson000,m,\nnobody,f,x\n"
    )
    joined, without = table.joined(embedding_set(3, images=2))
    assert joined.attributes["gender"].tolist() == ["m", "m", "f", "f", "", ""]
    assert joined.attributes["city"].tolist() == ["", "", "Ulm", "Ulm", "", ""]
    assert without == 1
    assert table.unknown() == ["nobody"]


def test_columns_by_item_come_first_and_leave_names_as_columns(tmp_path):
    table = written(tmp_path, "name,item\nAnn,item0001\n")
    joined, without = table.joined(embedding_set(2, images=2))
    assert joined.attributes["name"].tolist() == ["", "Ann", "", ""]
    assert without == 3


def test_attributes_change_the_fingerprint_and_nothing_else(tmp_path):
    embeddings = embedding_set(2)
    joined, _ = written(tmp_path, "identity,g\nperson000,a\n").joined(embeddings)
    assert joined.fingerprint != embeddings.fingerprint
    np.testing.assert_array_equal(joined.vectors, embeddings.vectors)


def test_names_that_one_set_had_are_known(tmp_path):
    table = written(tmp_path, "identity,g\nperson000,a\nperson007,b\n")
    table.joined(embedding_set(2))
    assert table.unknown() == ["person007"]
    table.joined(embedding_set(9))
    assert table.unknown() == []


def test_a_column_that_a_set_has_already_is_refused(tmp_path):
    table = written(tmp_path, "identity,g\nperson000,a\n")
    joined, _ = table.joined(embedding_set(2))
    with pytest.raises(UserError, match="has a column 'g', and p in m has an attribute of that name already"):
        table.joined(joined)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "attributes.csv is empty"),
        ("person,gender\na,f\n", "has no column item, identity or name"),
        ("identity\na\n", "has no column beside 'identity'"),
        ("identity,g\n", "has no rows: give it one identity a line"),
        ("identity,g\na,f\nb\n", "line 3: 1 fields where the head has 2"),
        ("identity,g\n,f\n", "line 2: the identity has no name"),
        ("identity,g\na,f\na,m\n", "line 3: 'a' stands in line 2 already"),
        ("identity,norm\na,1\n", "'norm' cannot be the name of an attribute"),
        ("identity,g,g\na,1,2\n", "two columns of one name, 'g'"),
        ("identity,,g\na,1,2\n", "'' cannot be the name of an attribute"),
        ('identity,g\na,"' + "x" * 200_000, "line 2: g has 200,000 letters: .* close every quotation mark"),
    ],
)
def test_a_wrong_file_is_named_with_its_line(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        written(tmp_path, text)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(UserError, match=r"cannot read .*gone.csv as a table of attributes"):
        attributes.read(tmp_path / "gone.csv")


def test_what_a_column_says_of_people_is_told_where_it_says_one_thing(tmp_path):
    table = written(tmp_path, "item,sex,pose\nitem0000,f,1\nitem0001,,2\nitem0002,m,1\nitem0003,m,1\n")
    joined, _ = table.joined(embedding_set(3, images=2))
    assert attributes.of_people(joined, "sex", "groups.columns").tolist() == ["f", "m", ""]
    assert attributes.of_people(joined, "pose", "groups.columns") is None
    numbers = replace(joined, attributes={"age": np.array([30.0, 30.0, np.nan, 41.0, np.nan, np.nan])})
    assert attributes.of_people(numbers, "age", "groups.columns").tolist() == ["30.0", "41.0", ""]
