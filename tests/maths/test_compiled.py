"""Loops are compiled where nothing can be kept, too."""

import subprocess
import sys

import pytest

SCRIPT = """
import errno, sys
from numba.core import caching
if sys.argv[1] == "nowhere":
    caching.FunctionCache._impl_class._locator_classes = []
else:
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")
    caching.IndexDataCacheFile._open_for_write = full
    caching.IndexDataCacheFile.load = lambda *_: None
from embedlab.maths.pairs import _sweep
from embedlab.maths.clouds import _expectation_loops, _coherence_loops
from embedlab.maths._compiled import compiled
@compiled(nogil=True)
def twice(x):
    return 2 * x
print(twice(21))
"""


@pytest.mark.parametrize("where", ["nowhere", "full"])
def test_a_disk_that_takes_no_machine_code_costs_time_only(where, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run([sys.executable, str(script), where], capture_output=True, text=True, check=False)
    assert done.stdout == "42\n", done.stderr
