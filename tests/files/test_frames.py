import sys

import pytest

from embedlab.errors import UserError
from embedlab.files.frames import frame


def test_columns_and_rows_become_a_table():
    columns = frame({"a": [1, 2], "b": ["x", "y"]})
    rows = frame([{"a": 1, "b": "x"}, {"a": 2, "b": "y"}])
    assert columns.equals(rows)


def test_without_pandas_a_table_is_refused_in_words(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UserError, match="pip install pandas"):
        frame({"a": [1]})
