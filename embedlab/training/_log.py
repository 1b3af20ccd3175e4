"""A table that only grows, in a Parquet file: each flush writes the newest rows, never all."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedlab.lab import learning
from embedlab.lab.store import atomic_file

if TYPE_CHECKING:
    import pyarrow as pa


class Log:
    """Rows that each carry the ``step`` they belong to, in rising order.

    Newest rows go to a part of at most ``part`` rows, which a flush rewrites; full parts are never
    touched again. ``close`` merges the parts into the file, one at a time. So a flush costs the same
    whether a hundred steps were taken or a million, and no more than a part is held in memory.

    Parameters
    ----------
    path
        The file; its name tells the columns.
    step
        Rows of later steps, of an earlier try, are dropped.
    part
        Rows of a part.

    Raises
    ------
    UserError
        If what is there is damaged, or the folder cannot be written to.
    """

    def __init__(self, path: Path, step: int, part: int) -> None:
        self.path, self.part = path, part
        self.schema = learning.schemas()[path.name]
        self.rows: dict[str, list[Any]] = {name: [] for name in self.schema.names}
        if step == 0:
            path.unlink(missing_ok=True)
            if learning.parts_folder(path).is_dir():
                shutil.rmtree(learning.parts_folder(path))
        self.last = self._cut(step)

    def add(self, **row: Any) -> None:
        """Add a row; it is on disk after the next flush."""
        for name, values in self.rows.items():
            values.append(row[name])
        self.last = row["step"]
        if len(self.rows["step"]) >= self.part:
            self.flush()
            for values in self.rows.values():
                values.clear()

    def flush(self) -> None:
        """Write the newest part."""
        import pyarrow as pa

        if self.rows["step"]:
            part = learning.parts_folder(self.path) / f"{self.rows['step'][0]:012d}.parquet"
            self._rewrite(part, iter([pa.table(self.rows, schema=self.schema)]))

    def close(self) -> None:
        """Write everything into the one file."""
        self.flush()
        if learning.parts(self.path):
            self._rewrite(self.path, self._merged())
            shutil.rmtree(learning.parts_folder(self.path))
        for values in self.rows.values():
            values.clear()

    def _files(self) -> list[Path]:
        return [*([self.path] if self.path.is_file() else []), *learning.parts(self.path)]

    def _cut(self, step: int) -> int:
        """Drop the rows after ``step`` and give the last step that is left, or 0."""
        left = 0
        for file in self._files():
            last = _last(file)
            if last > step:
                self._rewrite(file, (_up_to(table, step) for table in learning.groups(file)))
                last = _last(file)
            if last == 0:
                file.unlink()
            left = max(left, last)
        return left

    def _merged(self) -> "Iterator[pa.Table]":
        merged = _last(self.path) if self.path.is_file() else 0
        for file in self._files():
            for table in learning.groups(file):
                # A kill while parts were being removed leaves some whose rows are in the file already.
                yield table if file == self.path else _after(table, merged)

    def _rewrite(self, path: Path, tables: "Iterator[pa.Table]") -> None:
        import pyarrow.parquet as pq

        with (
            atomic_file(path) as temporary,
            pq.ParquetWriter(temporary, self.schema, compression="zstd", write_page_checksum=True) as out,
        ):
            for table in tables:
                if table.num_rows:
                    out.write_table(table)


def _last(path: Path) -> int:
    last = 0
    for table in learning.groups(path):
        if table.num_rows:
            last = int(table["step"][-1].as_py())
    return last


def _up_to(table: "pa.Table", step: int) -> "pa.Table":
    import pyarrow.compute as pc

    return table.filter(pc.less_equal(table["step"], step))


def _after(table: "pa.Table", step: int) -> "pa.Table":
    import pyarrow.compute as pc

    return table.filter(pc.greater(table["step"], step))
