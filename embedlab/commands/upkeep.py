"""The words of the command ``lab``: what takes how much room, and how to be rid of it or move it."""

import argparse
from collections.abc import Callable
from typing import Any

Command = Callable[..., Any]


def add(commands: Any, command: Command) -> None:
    """Add the parsers of the command; ``command`` makes one with the options all have."""
    text = "show what takes how much room in the lab, remove, or move it"
    parser = command(commands, "lab", _work("show"), text, device=False)
    parser.set_defaults(part="")
    parts = parser.add_subparsers(dest="part", metavar="PART")
    rm = _part(command, parts, "rm", "remove models, and the results that rest on them")
    rm.add_argument("models", nargs="+", metavar="MODEL", help="which; nothing is removed without --yes")
    text = "remove stale results, and what killed processes left behind"
    clean = _part(command, parts, "clean", text)
    for part in (rm, clean):
        part.add_argument("--yes", action="store_true", help="do it; without it only what would go is shown")
    pack = _part(command, parts, "pack", "write the lab as one file, to move it")
    pack.add_argument("out", metavar="TAR", help="the file to write; stale results are left out")
    unpack = _part(command, parts, "unpack", "read such a file into an empty lab")
    unpack.add_argument("file", metavar="TAR", help="a file that `embedlab lab pack` wrote")


def _part(command: Command, parts: Any, name: str, text: str) -> Any:
    made = command(parts, name, _work(name), text, lab=False, device=False)
    # Else the default of the part would hide what was said before it, as in `embedlab lab --lab DIR clean`.
    made.add_argument("--lab", metavar="DIR", default=argparse.SUPPRESS, help="working folder, as before")
    return made


def _work(name: str) -> Callable[[argparse.Namespace], int]:
    def handle(options: argparse.Namespace) -> int:
        from embedlab.commands import labs

        status: int = getattr(labs, name)(options)
        return status

    return handle
