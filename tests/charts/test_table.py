"""Table: text, numbers and Estimates under named columns."""

import pytest

from embedlab.analysis import Estimate
from embedlab.charts import Table


def test_an_estimate_writes_its_own_interval_in_both_libraries(drawn):
    rows = (("a", Estimate(0.5, 0.4, 0.6), 12), ("b", float("nan"), 3000))
    figure, ax = drawn(Table(title="t", columns=("set", "TAR", "pairs"), rows=rows))
    assert list(figure.data[0].cells["values"]) == [
        ["a", "b"],
        ["0.500 [0.400, 0.600]", "n/a"],
        ["12", "3,000"],
    ]
    texts = [cell.get_text().get_text() for cell in ax.tables[0].get_celld().values()]
    assert "0.500 [0.400, 0.600]" in texts
    assert "n/a" in texts


def test_markup_in_cells_is_shown_and_not_obeyed(drawn):
    figure, _ = drawn(Table(title="t", columns=("<i>",), rows=(("<script>alert(1)</script>",),)))
    assert "<script>" not in figure.to_json()
    assert "<i>" not in figure.to_json()


def test_a_table_without_rows_draws(drawn):
    drawn(Table(title="t", columns=("a",), rows=()))


def test_a_row_must_fit_the_columns():
    with pytest.raises(ValueError, match="row 2 has 1 values for 2 columns"):
        Table(title="t", columns=("a", "b"), rows=((1, 2), (3,)))
