"""No test runs the benchmarks, so a name that moved would break them unseen: what they import is there."""

import ast
import importlib
from pathlib import Path

import pytest

from benchmarks import scale

BENCHMARKS = sorted((Path(__file__).parent.parent / "benchmarks").glob("*.py"))


def is_there(module, name):
    try:
        importlib.import_module(f"{module}.{name}")
    except ModuleNotFoundError:
        return hasattr(importlib.import_module(module), name)
    return True


def missing(source):
    """What the imports of a source ask of this repository in vain, wherever in it they stand."""
    asked = [
        (node.module, name.name)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] in ("embedlab", "benchmarks")
        for name in node.names
    ]
    found = []
    for module, name in asked:
        try:
            there = is_there(module, name)
        except ModuleNotFoundError:
            there = False
        if not there:
            found.append(f"{module}.{name}")
    return found


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.stem)
def test_a_benchmark_finds_what_it_imports(path):
    assert missing(path.read_text(encoding="utf-8")) == []


def test_a_name_that_moved_is_noticed():
    source = "def f():\n    from embedlab.training.run import Run\nfrom embedlab.training.steps import Gone\n"
    assert set(missing(source)) == {"embedlab.training.run.Run", "embedlab.training.steps.Gone"}


def test_what_is_told_of_larger_sets_follows_from_the_last_size_and_the_stages_power():
    figures = {n: {"cpu": 2.0 * (n / 10_000) ** 2, "beyond": 50.0} for n in (10_000, 30_000)}
    # 18 s at 30,000 images are 5.56 h at a million, a thousand and some times the pairs.
    assert scale.row("all-pairs", figures).startswith(
        "| all-pairs | 2.0, 50 MB | 18.0, 50 MB | 2.00 (2) | 5.56 h |"
    )
    # A stage that draws no more than so many costs no more.
    assert scale.row("mapping", figures).endswith("| 200 s | 200 s | 200 s |")
    assert "– (1)" in scale.row("components", {10_000: figures[10_000]})
