"""The commands ``compare`` and ``check``: whether a report is worse than another, or than it has to be."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedlab.errors import UserError

if TYPE_CHECKING:
    from embedlab.report.gates import Judged
    from embedlab.report.notes import Note

Command = Callable[..., Any]

STATUSES = (
    "Exit status: 0 passed; 1 something is worse, or fails; 2 a mistake in the command or a file; 3 the "
    "reports cannot be compared, or hold too little to tell."
)


def add(commands: Any, command: Command) -> None:
    """Add the parsers of these commands; ``command`` makes one with the options all have."""
    parser = command(
        commands,
        "compare",
        compare,
        "say whether a report is worse than an earlier one",
        lab=False,
        device=False,
    )
    parser.epilog = STATUSES
    parser.add_argument("old", metavar="OLD", help="the earlier report.json, or the folder it is in")
    parser.add_argument("new", metavar="NEW", help="that of the same images, with the models as they are now")
    parser.add_argument(
        "--measure",
        nargs="+",
        action="extend",
        default=[],
        metavar="ANALYSIS:WHAT",
        help="what to compare, with the wildcards of a shell, as in 'resolution:TAR*' (default: "
        "verification:TAR@FAR=0.001, verification:EER and identification:rank-1)",
    )
    parser.add_argument(
        "--margin",
        type=float,
        metavar="LOSS",
        help="the loss that is put up with, as a share: 0.02 is two points (default: 0.02)",
    )
    parser.add_argument(
        "--rename",
        nargs="+",
        action="extend",
        default=[],
        metavar="OLD=NEW",
        help="a model is called otherwise now",
    )
    _shared(
        parser, "what to compare, each with its margin: a TOML file of [[gate]] tables, instead of --measure"
    )
    parser = command(
        commands,
        "check",
        check,
        "say whether a report's numbers are where they have to be",
        lab=False,
        device=False,
    )
    parser.epilog = STATUSES
    parser.add_argument("report", metavar="REPORT", help="a report.json, or the folder it is in")
    _shared(parser, "what is asked: a TOML file of [[gate]] tables", required=True)


def _shared(parser: Any, gates: str, *, required: bool = False) -> None:
    parser.add_argument("--gates", metavar="TOML", help=gates, required=required)
    parser.add_argument(
        "--fail-if",
        choices=("worse", "unproven"),
        default="worse",
        help="fail on what is shown to be worse (1), or also on what is not shown to be no worse (3) "
        "(default: worse)",
    )
    parser.add_argument(
        "--notes",
        metavar="JSON",
        help="what a reader accepted or disputed in the page of the report that is judged: what is accepted "
        "does not fail",
    )
    parser.add_argument("--markdown", metavar="FILE", help="write a summary for a pull request, too")
    parser.add_argument("--junit", metavar="FILE", help="write JUnit XML, too")


def compare(options: argparse.Namespace) -> int:
    """Handle ``embedlab compare``."""
    from embedlab.report import gates, past

    if options.gates and (options.measure or options.margin is not None):
        raise UserError("give either --gates or --measure and --margin, not both")
    margin = gates.MARGIN if options.margin is None else options.margin
    if not 0 <= margin < float("inf"):
        raise UserError(f"--margin must be 0 or more, not {margin}")
    _check_spared(options, options.old, options.new)
    asked = gates.read(Path(options.gates)) if options.gates else []
    if options.gates and all(gate.margin is None for gate in asked):
        raise UserError(
            f"{options.gates}: none of the gates has a margin, which a comparison "
            "goes by: write margin = 0.02, or ask `embedlab check` about one report"
        )
    asked += [gates.Gate(measure=measure, margin=margin) for measure in options.measure]
    old, new = past.read(Path(options.old)), past.read(Path(options.new))
    names = _names(options.rename, old.models)
    return _told(gates.compare(old.renamed(names), new, asked, margin, _notes(options)), options)


def _check_spared(options: argparse.Namespace, *reports: str) -> None:
    from embedlab.lab.store import check_spared

    kept = [Path(one, "report.json") if Path(one).is_dir() else Path(one) for one in reports]
    for written in filter(None, (options.markdown, options.junit)):
        check_spared(Path(written), [*kept, options.gates, options.notes])


def _notes(options: argparse.Namespace) -> "tuple[Note, ...]":
    from embedlab.report import notes

    return notes.read(Path(options.notes)) if options.notes else ()


def _names(words: list[str], models: list[str]) -> dict[str, str]:
    names = {}
    for word in words:
        old, sign, new = word.partition("=")
        if not (old and sign and new):
            raise UserError(f"--rename {word}: write OLD=NEW")
        if old not in models:
            raise UserError(f"--rename {word}: the earlier report has {', '.join(models) or 'no models'}")
        names[old] = new
    called = [names.get(model, model) for model in models]
    if twice := next((name for name in called if called.count(name) > 1), None):
        raise UserError(f"--rename: two models of the earlier report would be called {twice}")
    return names


def check(options: argparse.Namespace) -> int:
    """Handle ``embedlab check``."""
    from embedlab.report import gates, past

    _check_spared(options, options.report)
    asked = gates.read(Path(options.gates))
    return _told(gates.check(past.read(Path(options.report)), asked, _notes(options)), options)


def _told(judged: "Judged", options: argparse.Namespace) -> int:
    from embedlab.lab.store import atomic_file
    from embedlab.report import gates

    unproven = options.fail_if == "unproven"
    written = ((options.markdown, gates.as_markdown), (options.junit, gates.as_junit))
    for name, write in written:
        if name:
            with atomic_file(Path(name)) as temporary:
                temporary.write_text(write(judged, unproven=unproven), encoding="utf-8", newline="\n")
    print("\n".join(gates.as_text(judged, unproven=unproven)))
    return judged.status(unproven=unproven)
