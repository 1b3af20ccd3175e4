"""Which code a module's results depend on: all that it imports, hashed, and the versions of the rest.

Imports are read from the source and nothing is run: absolute and relative ones, in functions too, and the
``__init__`` of every package on the way. They are followed through the module's own package, embedlab, and
whatever else lies outside the folders where packages are installed; of an installed package its version
counts. An import whose name is made at run time cannot be followed, so all modules of that package count,
or all that lie beside a module of none.

Not followed are `PRESENTATION`: what only shows, stores or reports progress gives no number to a result.
"""

import ast
import hashlib
import importlib.metadata
import importlib.util
import pkgutil
import re
import site
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

PRESENTATION = ("embedlab.charts", "embedlab.lab.store", "embedlab.progress", "embedlab.files.frames")
"""No result holds a chart, what is read or stored is hashed itself, and progress hands on what it gets."""

DISTRIBUTIONS = {
    "sklearn": ("scikit-learn",),
    "umap": ("umap-learn", "pynndescent"),
    "PIL": ("pillow",),
    "cv2": ("opencv-python-headless", "opencv-python"),
}
"""Where the package that is installed is called otherwise, or draws on another for its numbers."""

NO_BEARING = ("jaxtyping", "rich", "filelock", "threadpoolctl", "pyarrow", "safetensors")
"""Packages without a say in any number: what is read by one is hashed after it is read."""

BY_NAME = ("import_module", "__import__")
"""Functions that import a module by its name."""

RUNS = ("run_path", "run_module", "resolve_name", "exec_module", "spec_from_file_location")
"""Functions that run other code, of which a call does not tell."""

BUILT_IN = ("exec", "eval")
"""Such of the language itself; networks have methods called so."""

STATEMENTS = (ast.stmt, ast.excepthandler, ast.match_case)
"""What holds statements."""


@dataclass(frozen=True)
class Module:
    """What stands in one source file.

    Attributes
    ----------
    digest
        sha256 of the file; empty for a folder without a source.
    imports
        Every module that it may import, by its whole name, and the packages above each.
    open
        Whether it imports by a name that only running it would tell.
    """

    digest: str
    imports: tuple[str, ...]
    open: bool = False


def fingerprint(module: str, further: Iterable[str] = ()) -> str:
    """Hash the source of a module and of all that it imports, and the versions of installed packages.

    Parameters
    ----------
    module
        Its whole name; it need not be imported.
    further
        Modules on which a result depends whether or not the module imports them.

    Raises
    ------
    ModuleNotFoundError
        If the module has no source.
    """
    sources, versions = closure(module, further)
    told = repr([sorted(sources.items()), sorted(versions.items())])
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def closure(module: str, further: Iterable[str] = ()) -> tuple[dict[str, str], dict[str, str]]:
    """Give the hash of each source file, by module, and the version of each installed package.

    Raises
    ------
    ModuleNotFoundError
        If the module has no source.
    """
    own = module.partition(".")[0]
    sources: dict[str, str] = {}
    packages: dict[str, str] = {}
    seen: set[str] = set()
    waiting = [*_above(module), *further]
    while waiting:
        name = waiting.pop()
        if name in seen or _presents(name):
            continue
        seen.add(name)
        top = name.partition(".")[0]
        if not _followed(top, own):
            packages |= _versions(top)
        elif (found := _module(name)) is not None:
            sources[name] = found.digest
            waiting += found.imports
            if found.open and top != "embedlab":
                waiting += _every(top)
    if not sources.get(module):
        raise ModuleNotFoundError(f"{module} has no source that could be hashed")
    return sources, packages


def _presents(name: str) -> bool:
    return any(name == one or name.startswith(f"{one}.") for one in PRESENTATION)


def _above(name: str) -> list[str]:
    """Name a module and the packages above it, whose ``__init__`` runs first."""
    parts = name.split(".")
    return [".".join(parts[:k]) for k in range(1, len(parts) + 1)]


_known: dict[str, tuple[Any, ModuleSpec | None, Module | None]] = {}


def _module(name: str) -> Module | None:
    """Look into a module's source; None where there is no such module."""
    spec = _spec(name)
    # The code that runs is that which stood in the file when it was loaded, and loading it again makes
    # another spec; only a file that is not loaded can be judged by its date.
    stamp = ("loaded", id(spec)) if name in sys.modules else _stamp(spec)
    if name not in _known or _known[name][0] != stamp:
        _known[name] = stamp, spec, _read(name, spec)
    return _known[name][2]


def _stamp(spec: ModuleSpec | None) -> tuple[Any, ...]:
    try:
        status = Path(str(spec.origin)).stat() if spec else None
    except OSError:
        status = None
    return ("a file", status.st_size, status.st_mtime_ns) if status else ("none",)


def _spec(name: str) -> ModuleSpec | None:
    """Find a module without importing any."""
    loaded = getattr(sys.modules.get(name), "__spec__", None)
    if loaded is not None:
        return loaded  # type: ignore[no-any-return]
    above, _, _ = name.rpartition(".")
    try:
        if not above:
            return importlib.util.find_spec(name)
        package = _spec(above)
        return _inside(package, name) if package else None
    except (ImportError, ValueError):
        return None  # As of ``__main__``, which has no spec.


def _inside(package: ModuleSpec, name: str) -> ModuleSpec | None:
    portions: list[str] = []
    for folder in package.submodule_search_locations or ():
        found = getattr(pkgutil.get_importer(folder), "find_spec", lambda _: None)(name)
        if found is not None and found.loader is not None:
            return found  # type: ignore[no-any-return]
        portions += (found and found.submodule_search_locations) or ()
    if not portions:
        return None
    # Folders without an __init__; importlib's own would need the package above to be loaded.
    made = ModuleSpec(name, None, is_package=True)
    made.submodule_search_locations = portions
    return made


def _read(name: str, spec: ModuleSpec | None) -> Module | None:
    if spec is None:
        return None
    if not spec.has_location or spec.origin is None:
        return Module("", ())
    source = _bytes(spec)
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        tree = ast.Module([], [])  # An extension module, or one that could not run.
    package = name if spec.submodule_search_locations is not None else name.rpartition(".")[0]
    # Expressions are looked through only where one may ask for a module.
    asks = any(name.encode() in source for name in (*BY_NAME, *RUNS, *(f"{name}(" for name in BUILT_IN)))
    found, is_open = _imports(_running(tree, ast.AST if asks else STATEMENTS), package)
    return Module(hashlib.sha256(source).hexdigest(), tuple(dict.fromkeys(found)), is_open)


def _bytes(spec: ModuleSpec) -> bytes:
    read = getattr(spec.loader, "get_data", None)
    try:
        return bytes(read(spec.origin)) if read else Path(str(spec.origin)).read_bytes()
    except OSError:
        return b""


def _imports(nodes: Iterable[ast.AST], package: str) -> tuple[list[str], bool]:
    """List what a source may import, and whether it also imports by names made at run time."""
    found: list[str] = []
    is_open = False
    plain: set[int] = set()
    for node in nodes:
        match node:
            case ast.Import(names=names):
                for one in names:
                    found += _above(one.name)
            case ast.ImportFrom():
                found += _from(node, package)
                is_open |= any(one.name in BY_NAME and one.asname for one in node.names)
            case ast.Call(func=function) if _called(function) in BY_NAME:
                plain.add(id(function))
                named = _by_name(node, package)
                found += named or []
                is_open |= named is None
            case ast.Name() | ast.Attribute():
                name = _called(node)
                is_open |= name in RUNS or (name in BY_NAME and id(node) not in plain)
                is_open |= name in BUILT_IN and isinstance(node, ast.Name)
            case ast.Constant(value=str() as word):
                is_open |= word in BY_NAME
    return found, is_open


def _by_name(call: ast.Call, package: str) -> list[str] | None:
    """Name what a call imports, as in ``import_module(".a", "pack")``; None where only running it tells."""
    by_module = _called(call.func) == "import_module"
    words = ("name", "package") if by_module else ("name", "globals", "locals", "fromlist", "level")
    if any(isinstance(one, ast.Starred) for one in call.args) or any(not one.arg for one in call.keywords):
        return None
    given = dict(zip(words, call.args, strict=False)) | {str(one.arg): one.value for one in call.keywords}
    name, within, level = (_constant(given.get(word)) for word in ("name", "package", "level"))
    if not isinstance(name, str):
        return None
    if by_module and "package" in given and not isinstance(within, str):
        # Such as ``__package__``: then it is this one.
        within = package if isinstance(given["package"], ast.Name) else None
        if within is None and name.startswith("."):
            return None
    if not by_module and "level" in given and not isinstance(level, int):
        return None
    dots = "." * level if isinstance(level, int) and not by_module else ""
    whole = _absolute(dots + name, within if isinstance(within, str) else package)
    found = _above(whole)
    if "fromlist" in given:
        if not isinstance(given["fromlist"], ast.List | ast.Tuple):
            return None
        found += [f"{whole}.{_constant(one)}" for one in given["fromlist"].elts]
    return found


def _constant(node: ast.expr | None) -> object:
    return node.value if isinstance(node, ast.Constant) else None


def _running(tree: ast.AST, kinds: tuple[type[ast.AST], ...] | type[ast.AST]) -> Iterator[ast.AST]:
    """Walk through what may run, of some kinds: not what only a type checker reads."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            waiting += node.orelse
        else:
            waiting += [one for one in ast.iter_child_nodes(node) if isinstance(one, kinds)]


def _called(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else str(getattr(function, "id", ""))


def _from(node: ast.ImportFrom, package: str) -> list[str]:
    base = _absolute("." * node.level + (node.module or ""), package)
    found = _above(base) if base else []
    for one in node.names:
        # A name is a module of the package, or something in it.
        if one.name == "*":
            found += _beneath(base)
        elif base and not _presents(base) and _submodule(f"{base}.{one.name}"):
            found.append(f"{base}.{one.name}")
    return found


def _absolute(name: str, package: str) -> str:
    level = len(name) - len(name.lstrip("."))
    if level == 0:
        return name
    parts = package.split(".")
    base = ".".join(parts[: len(parts) - level + 1])
    return ".".join(filter(None, [base, name.lstrip(".")]))


def _submodule(name: str) -> bool:
    top = name.partition(".")[0]
    return top not in sys.stdlib_module_names and not _installed(top) and _spec(name) is not None


def _beneath(package: str) -> list[str]:
    """Name the modules that lie directly in a package."""
    spec = _spec(package)
    where = spec.submodule_search_locations if spec else None
    return [f"{package}.{one.name}" for one in pkgutil.iter_modules(list(where or ()))]


@cache
def _every(top: str) -> tuple[str, ...]:
    """Name all modules of a package, in its subfolders too."""
    found = _beneath(top)
    for name in found:
        found += _beneath(name)
    spec = _spec(top)
    folders = (spec.submodule_search_locations or ()) if spec else ()
    # Folders without an __init__ as well.
    for folder in map(Path, folders):
        files = (file.relative_to(folder.parent).with_suffix("").parts for file in folder.rglob("*.py"))
        found += [".".join(parts) for parts in files if parts[-1] != "__init__"]
    if spec and not folders and spec.has_location:
        # A module by itself may name what lies beside it.
        found += [one.name for one in pkgutil.iter_modules([str(Path(str(spec.origin)).parent)])]
    return tuple(dict.fromkeys(found))


@cache
def _followed(top: str, own: str) -> bool:
    """Say whether a package's source counts, rather than its version."""
    if top in ("embedlab", own):
        return True
    if top in sys.stdlib_module_names:
        return False
    return not _installed(top) or bool(set(_holders(top)) & set(_holders(own))) or not _holders(top)


@cache
def _installed(top: str) -> bool:
    """Say whether a package lies where installers put them."""
    spec = _spec(top)
    if spec is None:
        return True  # Nothing that could be followed.
    places = [spec.origin] if spec.has_location and spec.origin else []
    folders = {*site.getsitepackages(), site.getusersitepackages(), *map(sysconfig.get_path, PLACES)}
    folders |= _further(tuple(sys.path))
    return any(
        Path(place).is_relative_to(folder)
        for place in (*places, *(spec.submodule_search_locations or ()))
        for folder in folders
    )


PLACES = ("purelib", "platlib", "stdlib")


@cache
def _further(path: tuple[str, ...]) -> frozenset[str]:
    """Find where else installers put packages, as ``pip install --target`` does: their records lie beside."""
    return frozenset(one for one in path if next(Path(one or ".").glob("*.dist-info"), None) is not None)


@cache
def _holders(top: str) -> tuple[str, ...]:
    """Name the distributions that a package came with; a look through all that are installed."""
    if top in DISTRIBUTIONS:
        return DISTRIBUTIONS[top]
    found = [top] if _version(top) else _all_holders().get(top, ())
    return tuple(re.sub(r"[-_.]+", "-", one).lower() for one in found)


@cache
def _all_holders() -> dict[str, list[str]]:
    return dict(importlib.metadata.packages_distributions())


@cache
def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""


@cache
def _versions(top: str) -> dict[str, str]:
    if top in sys.stdlib_module_names or top in NO_BEARING:
        return {}
    found = {one: _version(one) for one in _holders(top)}
    return {one: version for one, version in found.items() if version} or {top: ""}
