import ast
import importlib
import importlib.util
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import embedlab
from embedlab import analysis, closure

ROOT = Path(embedlab.__file__).parent
ANALYSES = sorted(path.stem for path in (ROOT / "analyses").glob("[a-z]*.py"))


def forget():
    closure._known.clear()
    kept = (
        "_every",
        "_followed",
        "_installed",
        "_further",
        "_holders",
        "_all_holders",
        "_version",
        "_versions",
    )
    for one in kept:
        getattr(closure, one).cache_clear()


@pytest.fixture(autouse=True)
def forgotten():
    forget()
    yield
    forget()


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """Write a plugin's files, and hash its analysis as a process that has just begun would."""
    monkeypatch.syspath_prepend(tmp_path)

    def hashed(files, module="acme.analyses.tilt"):
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text))
        forget()
        importlib.invalidate_caches()
        return closure.fingerprint(module)

    return hashed


FILES = {
    "acme/__init__.py": "",
    "acme/analyses/__init__.py": "",
    "acme/analyses/tilt.py": """
        from typing import TYPE_CHECKING
        import acme.whole.name
        from acme import attribute_or_module
        from acme.deep.er import inside
        from . import beside
        from ..above import angle
        if TYPE_CHECKING:
            from acme import only_typed
        def compute(a, params):
            from .. import late
            import importlib
            importlib.import_module("acme.by_name")
            importlib.import_module(".by_relative_name", "acme.analyses")
        """,
    "acme/whole/__init__.py": "",
    "acme/whole/name.py": "",
    "acme/attribute_or_module.py": "from .star import *",
    "acme/star/__init__.py": "from . import deepest",
    "acme/star/part.py": "",
    "acme/star/deepest.py": "from helper_beside import x",
    "helper_beside.py": "x = 1",
    "acme/deep/er/inside.py": "",
    "acme/deep/er/__init__.py": "",
    "acme/analyses/beside.py": "",
    "acme/above.py": "angle = 1",
    "acme/late.py": "",
    "acme/by_name.py": "",
    "acme/analyses/by_relative_name.py": "",
    "acme/only_typed.py": "",
    "acme/unrelated.py": "",
    "acme/analyses/another.py": "import acme.unrelated",
    "unrelated_beside.py": "",
}
OUTSIDE = {
    "acme/only_typed.py", "acme/unrelated.py", "acme/analyses/another.py", "unrelated_beside.py",
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_an_edit_counts_if_and_only_if_the_analysis_imports_the_file(plugin, name):
    before = plugin(FILES)
    after = plugin({name: textwrap.dedent(FILES[name]) + "\n# changed\n"})
    assert (before == after) == (name in OUTSIDE)


def test_a_name_made_at_run_time_takes_in_the_whole_package(plugin):
    files = {**FILES, "acme/late.py": "import importlib\nfor n in 'ab': importlib.import_module(n)"}
    before = plugin(files)
    assert plugin({"acme/unrelated.py": "x = 2"}) != before
    before = plugin({"unrelated_beside.py": ""})
    assert plugin({"unrelated_beside.py": "x = 2"}) == before


def test_modules_beside_a_plugin_of_one_file_count(plugin):
    files = {"tilt_alone.py": "import tilt_helper", "tilt_helper.py": "", "tilt_other.py": ""}
    before = plugin(files, "tilt_alone")
    assert plugin({"tilt_other.py": "x = 2"}, "tilt_alone") == before
    assert plugin({"tilt_helper.py": "x = 2"}, "tilt_alone") != before


@pytest.mark.parametrize(
    "source",
    [
        "import importlib\nh = importlib.import_module(name='helper')",
        "h = __import__(name='helper')",
        "from importlib import import_module as im\nh = im('helper')",
        "import importlib\nload = importlib.import_module\nh = load('helper')",
        "import importlib\nh = getattr(importlib, 'import_module')('helper')",
        "import importlib\nh = [*map(importlib.import_module, ['helper'])]",
        "import importlib\nh = importlib.import_module('hel' + 'per')",
        "import importlib\nh = importlib.import_module(*['helper'])",
        "import importlib\nh = importlib.import_module(**{'name': 'helper'})",
        "exec('import helper')",
        "import runpy\nh = runpy.run_module('helper')",
        "import pkgutil\nh = pkgutil.resolve_name('helper')",
        "import builtins\n@(lambda f: builtins.__import__('helper') and f)\ndef g(): pass",
        "def f(x=__import__('helper')): pass",
        "try:\n    pass\nexcept* ValueError:\n    import helper",
        "match 1:\n    case 1:\n        import helper",
    ],
)
def test_whichever_way_a_module_of_one_file_loads_another_that_counts(plugin, source):
    before = plugin({"tilt.py": source, "helper.py": "V = 1"}, "tilt")
    assert plugin({"helper.py": "V = 2"}, "tilt") != before


@pytest.mark.parametrize(
    "source",
    [
        "__import__('acme', fromlist=['late'])",
        "__import__('late', globals(), None, (), 1)",
        "import importlib\nimportlib.import_module('.late', package='acme')",
        "import importlib\nimportlib.import_module('.late', __package__)",
        "import importlib\nimportlib.import_module(f'acme.{1}')",
    ],
)
def test_whichever_way_a_package_loads_its_own_that_counts(plugin, source):
    files = {"acme/__init__.py": "", "acme/tilt.py": source, "acme/late.py": "V = 1", "acme/in/deep.py": ""}
    before = plugin(files, "acme.tilt")
    assert plugin({"acme/late.py": "V = 2"}, "acme.tilt") != before


def test_a_name_made_at_run_time_may_be_of_a_folder_without_an_init(plugin):
    files = {"acme/__init__.py": "", "acme/tilt.py": "__import__(x)", "acme/in_/deep/one.py": "V = 1"}
    before = plugin(files, "acme.tilt")
    assert plugin({"acme/in_/deep/one.py": "V = 2"}, "acme.tilt") != before


def test_a_network_s_eval_and_a_plain_import_by_name_open_nothing(plugin):
    source = "import importlib\nimportlib.import_module('helper')\nnet = None\nnet and net.eval()"
    before = plugin({"tilt.py": source, "helper.py": "", "other.py": "V = 1"}, "tilt")
    assert plugin({"other.py": "V = 2"}, "tilt") == before


def test_what_cannot_be_parsed_still_counts_by_its_bytes(plugin):
    before = plugin({**FILES, "acme/late.py": "def ("})
    assert plugin({"acme/late.py": "def (("}) != before


def test_imports_in_a_circle_end(plugin):
    files = {**FILES, "acme/above.py": "import acme.analyses.tilt\nangle = 1"}
    assert plugin(files) == plugin(files)


def test_without_source_there_is_no_hash():
    with pytest.raises(ModuleNotFoundError, match="no_such_module has no source"):
        closure.fingerprint("no_such_module")


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Lay packages where installers put them."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr(closure.site, "getsitepackages", lambda: [str(folder)])

    def install(distribution, version, modules):
        about = folder / f"{distribution.replace('-', '_')}.dist-info"
        about.mkdir(exist_ok=True)
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        (about / "top_level.txt").write_text("\n".join(name.partition(".")[0] for name in modules))
        for name, text in modules.items():
            (folder / name).write_text(text)
        forget()
        importlib.invalidate_caches()

    return install


def test_of_an_installed_package_the_version_counts_and_not_the_source(plugin, installed):
    installed("third-party", "1.0", {"thirdp.py": "x = 1"})
    before = plugin({**FILES, "acme/late.py": "import thirdp"})
    assert closure.closure("acme.analyses.tilt")[1] == {"third-party": "1.0"}
    installed("third-party", "1.0", {"thirdp.py": "x = 2"})
    assert plugin({}) == before
    installed("third-party", "1.1", {"thirdp.py": "x = 2"})
    assert plugin({}) != before


def test_packages_that_a_target_folder_holds_are_not_read(plugin, installed, monkeypatch):
    """As ``pip install --target`` leaves them, whose folder stands in PYTHONPATH or a .pth alone."""
    monkeypatch.setattr(closure.site, "getsitepackages", list)
    installed("third-party", "1.0", {"thirdp.py": "import thirdp_more", "thirdp_more.py": ""})
    plugin({**FILES, "acme/late.py": "import thirdp"})
    sources, versions = closure.closure("acme.analyses.tilt")
    assert versions == {"third-party": "1.0"}
    assert not [name for name in sources if name.startswith("thirdp")]


def test_an_installed_plugin_of_several_modules_counts_by_its_source(installed):
    modules = {"tilted.py": "import tilted_helper, thirdp", "tilted_helper.py": "x = 1"}
    installed("third-party", "1.0", {"thirdp.py": ""})
    installed("acme-tilt", "1.0", modules)
    before = closure.fingerprint("tilted")
    installed("acme-tilt", "1.0", {**modules, "tilted_helper.py": "x = 2"})
    assert closure.fingerprint("tilted") != before
    installed("third-party", "2.0", {"thirdp.py": ""})
    assert closure.closure("tilted")[1] == {"third-party": "2.0"}


def test_installing_what_was_missing_counts(plugin, installed):
    before = plugin({**FILES, "acme/late.py": "try:\n import thirdp\nexcept ImportError:\n pass"})
    installed("third-party", "1.0", {"thirdp.py": ""})
    assert plugin({}) != before


def test_the_code_that_runs_counts_and_not_what_the_file_says_since(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / "tilt_reloaded.py"
    path.write_text("x = 1\n")
    module = importlib.import_module("tilt_reloaded")
    try:
        first = closure.fingerprint("tilt_reloaded")
        path.write_text("x = 22\n")
        assert closure.fingerprint("tilt_reloaded") == first
        importlib.reload(module)
        assert closure.fingerprint("tilt_reloaded") != first
    finally:
        del sys.modules["tilt_reloaded"]


def test_of_our_own_only_what_an_analysis_imports_counts(monkeypatch):
    sources = {
        name: set(closure.closure(f"embedlab.analyses.{name}", analysis.INPUTS)[0]) for name in ANALYSES
    }
    assert "embedlab.maths.clouds.cpd" in sources["registration"]
    assert "embedlab.maths.clouds.cpd" not in sources["distances"]
    assert "embedlab.maths.clouds._expectation_loops" in sources["registration"]
    assert "embedlab.formats.protocols" in sources["accuracy"]
    for name, found in sources.items():
        assert {"embedlab.analysis", "embedlab.lab.embeddings", "embedlab.lab.weights"} <= found
        assert f"embedlab.analyses.{name}" in found
        assert not {one for one in found if one.startswith(("embedlab.charts", "embedlab.lab.store"))}
        assert not {one for one in found if one.startswith("embedlab.analyses.")} - {
            f"embedlab.analyses.{name}"
        }


def test_the_versions_of_what_numbers_come_from_take_part(monkeypatch):
    projection = closure.closure("embedlab.analyses.projection")[1]
    assert set(projection) == {"numpy", "numba", "scipy", "scikit-learn", "umap-learn", "pynndescent"}
    assert {"numpy", "numba", "torch"} <= set(closure.closure("embedlab.analyses.registration")[1])
    before = closure.fingerprint("embedlab.analyses.projection")
    real = closure._version
    monkeypatch.setattr(closure, "_version", lambda name: "9" if name == "pynndescent" else real(name))
    closure._versions.cache_clear()
    assert closure.fingerprint("embedlab.analyses.projection") != before
    closure._versions.cache_clear()


def test_nothing_that_is_loaded_is_missed():
    """What Python itself loads for an analysis is an oracle for the modules that it must name."""
    code = (
        "import sys, json, importlib\n"
        "from embedlab import analysis\n"
        f"for name in {ANALYSES}:\n"
        "    for one in [m for m in sys.modules if m.startswith(('embedlab.maths', 'embedlab.analyses'))]:\n"
        "        del sys.modules[one]\n"
        "    importlib.import_module(f'embedlab.analyses.{name}')\n"
        "    print(name, *[m for m in sys.modules if m.startswith('embedlab.maths')])\n"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    for line in told.splitlines():
        name, *loaded = line.split()
        assert loaded
        assert set(loaded) <= set(closure.closure(f"embedlab.analyses.{name}")[0])


def test_hashing_again_reads_no_file_again(monkeypatch):
    modules = [f"embedlab.analyses.{name}" for name in ANALYSES]
    read, bytes_of = [], closure._bytes
    monkeypatch.setattr(closure, "_bytes", lambda spec: read.append(spec.name) or bytes_of(spec))
    forget()
    first = [closure.fingerprint(module, analysis.INPUTS) for module in modules]
    assert len(read) == len(set(read)) > len(modules)
    read.clear()
    assert [closure.fingerprint(module, analysis.INPUTS) for module in modules] == first
    assert read == []


def used(tree, start):
    """Name all that a function of a module uses, through the module's other functions and classes too."""
    defined = {one.name: one for one in tree.body if isinstance(one, ast.FunctionDef | ast.ClassDef)}
    found, waiting = set(), [start]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        if name in defined:
            waiting += [one.id for one in ast.walk(defined[name]) if isinstance(one, ast.Name)]
    return found


@pytest.mark.parametrize("name", ANALYSES)
def test_no_number_of_a_result_comes_from_what_is_not_hashed(name):
    """What ``compute`` reaches uses no chart and no lab, and of progress only what loops and tells."""
    tree = ast.parse((ROOT / "analyses" / f"{name}.py").read_text(encoding="utf-8"))
    presenting = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and closure._presents(str(node.module))
        for alias in node.names
    }
    assert presenting
    assert used(tree, "compute") & presenting <= {"track", "say", "blocks", "sweep", "busy", "carried"}
    assert used(tree, "charts") & presenting


def test_no_maths_draws_or_stores():
    for path in (ROOT / "maths").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                assert not node.module.startswith(("embedlab.charts", "embedlab.lab.store")), path
