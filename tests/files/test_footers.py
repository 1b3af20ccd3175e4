import struct
from contextlib import suppress

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from embedlab.files import footers


def test_a_footer_says_what_pyarrow_says(tmp_path):
    kinds = {
        "flag": [True],
        "day": pa.array([1], pa.int32()),
        "map": pa.array([[("a", 1)]], pa.map_("string", "int8")),
    }
    kinds |= {"a.b": [1.0], "code": pa.array([b"1234"], pa.binary(4)), "deep": [{"x": [[1.0, 2.0], [3.0]]}]}
    pq.write_table(pa.concat_tables([pa.table(kinds)] * 40), tmp_path / "a.parquet", row_group_size=7)
    file = pq.read_metadata(tmp_path / "a.parquet")
    groups = [file.row_group(k) for k in range(file.num_row_groups)]
    chunks = [group.column(k) for group in groups for k in range(file.num_columns)]
    found = footers.stated(tmp_path / "a.parquet")
    assert [(".".join(one.path), one.values, one.bytes) for one in found] == [
        (one.path_in_schema, one.num_values, one.total_uncompressed_size) for one in chunks
    ]
    names = ["BOOLEAN", "INT32", "INT64", "INT96", "FLOAT", "DOUBLE", "BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY"]
    assert [names[one.kind] for one in found] == [one.physical_type for one in chunks]


def test_a_footer_with_any_bit_turned_is_read_or_refused(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"item": ["a", "b"], "embedding": [[1.0], [2.0]]}), path)
    whole = path.read_bytes()
    start = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    read = 0
    for at in range(start, len(whole)):
        for bit in (0, 3, 7):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :])
            with suppress(ValueError):
                footers.stated(path)
                read += 1
    assert 100 < read < 3 * (len(whole) - start)


def test_a_footer_nested_without_end_is_refused(tmp_path):
    for nested in (b"\x1c" * 5000, b"\x19" + b"\x19" * 5000):
        (tmp_path / "a.parquet").write_bytes(b"PAR1" + nested + struct.pack("<I", len(nested)) + b"PAR1")
        with pytest.raises(ValueError, match="nested too deeply"):
            footers.stated(tmp_path / "a.parquet")
