"""How the site is built: `make site`. Nothing is fetched, when it is built or when it is read."""

import argparse
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from docutils import nodes  # noqa: E402

from embedlab import __version__  # noqa: E402
from embedlab.commands import cli  # noqa: E402

os.environ["COLUMNS"] = "100"

project, release = "embedlab", __version__
copyright = ""
extensions = ["myst_parser", "numpydoc", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
exclude_patterns = ["examples"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = f"embedlab {release}"
html_show_copyright = False
html_show_sphinx = False
html_copy_source = False
# Docstrings tell shapes and units, which annotations would only repeat.
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "exclude-members": "__new__"}
numpydoc_show_class_members = False


def _made(app: Any, name: str, source: list[str]) -> None:  # noqa: ARG001
    """Show the table that `make docs` writes beside the studies, and what every command says of itself."""
    if name == "commands":
        source[0] += "\n".join(_commands(cli.parser(), ""))
    if name == "analyses":
        table = (ROOT / "analyses" / "README.md").read_text(encoding="utf-8")
        source[0] = re.sub(r"\[(\w+)\]\(\.\./embedlab/[^)]*\)", r"`\1`", table)


def _commands(parser: argparse.ArgumentParser, name: str) -> Iterator[str]:
    parts = [one for one in parser._actions if isinstance(one, argparse._SubParsersAction)]
    if not parts:
        yield f"\n## {name}\n\n```text\n{parser.format_help()}```\n"
    for part, inner in (pair for one in parts for pair in one.choices.items()):
        yield from _commands(inner, f"{name} {part}".strip())


def _probes(app: Any, tree: Any) -> None:  # noqa: ARG001
    """Take a probe's name, such as highres@32, for no address of a letter."""
    for link in list(tree.findall(nodes.reference)):
        if link.get("refuri", "").startswith("mailto:"):
            link.replace_self(nodes.Text(link.astext()))


def setup(app: Any) -> None:
    """Let pages be made of what the code says, and names of probes stay names."""
    app.connect("source-read", _made)
    app.connect("doctree-read", _probes)
