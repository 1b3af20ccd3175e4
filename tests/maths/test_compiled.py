"""Loops are compiled where nothing can be kept, too, and what is kept is what was compiled."""

import importlib
import pkgutil
import subprocess
import sys

import pytest

from embedlab import maths
from tests.processes import Started

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


def run(code, folder):
    """Run code in a process that keeps what it compiles there, and give what it prints."""
    process = Started(code, NUMBA_CACHE_DIR=str(folder))
    out, error = process.communicate(timeout=120)
    assert process.returncode == 0, error
    return out


SUMS = """
import numpy as np
from embedlab.maths.clouds import _expectation_loops as loops
draw = np.random.default_rng(0)
for kind in np.float32, np.float64:
    kernel, weights, totals = draw.random((37, 211)).astype(kind), np.empty(37), np.empty(37)
    u, v = draw.random((20, 3)).astype(kind), draw.random((3, 128)).astype(kind)
    logs = np.empty(2)
    loops.score(u, v, 120, draw.random((2, 3, 3)).astype(kind), -3.0, logs)
    print(loops.normalise(kernel, -3.0, weights, totals).hex(), kernel.tobytes().hex(), logs.tobytes().hex())
"""


def test_a_process_that_compiles_gives_the_bits_of_one_that_loads(tmp_path):
    first, second = run(SUMS, tmp_path), run(SUMS, tmp_path)
    assert len(first) > 10_000
    assert first == second


def called(function):
    """Give the compiled functions that one calls by their names."""
    places = function.py_func.__globals__
    names = function.py_func.__code__.co_names
    return [one for one in map(places.get, names) if hasattr(one, "targetoptions")]


def sums_in_any_order(function):
    """Whether it may, itself or in what it calls."""
    return function.targetoptions.get("fastmath") or any(map(sums_in_any_order, called(function)))


def test_what_compiled_functions_call_becomes_a_part_of_them_where_it_sums_in_any_order():
    modules = [
        importlib.import_module(one.name) for one in pkgutil.walk_packages(maths.__path__, "embedlab.maths.")
    ]
    every = {
        id(one): one for module in modules for one in vars(module).values() if hasattr(one, "targetoptions")
    }
    parts = {id(part): part for one in every.values() for part in called(one) if sums_in_any_order(part)}
    assert {"sweep", "_densities", "_few"} <= {part.py_func.__name__ for part in parts.values()}
    for part in parts.values():
        assert part.targetoptions.get("forceinline"), f"{part.py_func.__qualname__} is no part"


def test_what_is_kept_is_compiled_anew_once_a_module_that_it_takes_parts_from_has_changed(tmp_path):
    (tmp_path / "whole.py").write_text(
        "import parts\nfrom embedlab.maths._compiled import compiled\n"
        "@compiled()\ndef twice(x):\n    return 2 * parts.own(x)\n"
    )
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import whole; print(whole.twice(3))"
    for more, expected in ((1, "8"), (4, "14")):
        (tmp_path / "parts.py").write_text(
            f"from embedlab.maths._compiled import part\n@part()\ndef own(x):\n    return x + {more}\n"
        )
        assert run(code, tmp_path / "kept") == f"{expected}\n"
        assert run(code, tmp_path / "kept") == f"{expected}\n"
