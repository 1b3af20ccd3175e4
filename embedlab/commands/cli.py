"""The command line; each handler imports what it needs and calls one function."""

import argparse
import errno
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, TextIO

from embedlab import __version__
from embedlab.commands import files as cli_files
from embedlab.commands import gating, upkeep
from embedlab.errors import (
    ESCAPED,
    UNWRITABLE,
    Terminated,
    UserError,
    checked_word,
    first_line,
    is_out_of_memory,
    lacking,
    unwritable,
)

if TYPE_CHECKING:
    from embedlab.commands.request import Request
    from embedlab.study import Study

SCALES = ("demo", "small", "paper")
POPULATIONS = ("easy", "families")
DEVICES = ("auto", "cpu", "cuda", "mps")
BOUNDS = {
    "people": (2, 1_000_000_000),
    "batch": (1, 1 << 16),
    "jobs": (1, 1024),
    "images": (1, 10_000_000),
    "input": (1, 4096),
    "size": (2, 4096),
    "folds": (2, 1000),
    "seed": (0, 2**32 - 1),
    "hold_out": (0.0, 0.99),
}
"""The least and the most that an option's number may be."""

REPEATED_S = 5.0
"""A second signal to end within this time is the same one, and does not disturb the tidying up."""


def parser() -> argparse.ArgumentParser:
    """Build the parser of every command."""
    top = argparse.ArgumentParser(
        prog="embedlab",
        description="Shows what a face-recognition model's embedding space looks like, how it changes with "
        "image resolution and how two models' spaces relate, and writes it down as a report.",
    )
    top.add_argument("--version", action="version", version=f"embedlab {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _report(commands)
    _run(commands)
    _train(commands)
    _extract(commands)
    cli_files.add(commands, _command)
    gating.add(commands, _command)
    upkeep.add(commands, _command)
    _list(commands)
    _doctor(commands)
    return top


def _command(
    commands: Any,
    name: str,
    handler: Callable[[argparse.Namespace], int],
    text: str,
    *,
    lab: bool = True,
    device: bool = True,
) -> Any:
    command = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    command.set_defaults(handler=lambda options: handler(_checked(options)))
    if lab:
        command.add_argument(
            "--lab", metavar="DIR", help="working folder (default: $EMBEDLAB_LAB, else ./lab)"
        )
    if device:
        command.add_argument(
            "--device", choices=DEVICES, default="auto", help="where to compute (default: auto)"
        )
    return command


def _checked(options: argparse.Namespace) -> argparse.Namespace:
    """Tell words and numbers that no command can use before any of them meets a file or an array.

    Raises
    ------
    UserError
        If a word is empty or too long, or a number is beyond its bounds.
    """
    for name, value in vars(options).items():
        option = f"--{name.replace('_', '-')}"
        words = [value] if isinstance(value, str) else value if isinstance(value, list) else []
        for word in words:
            checked_word(word, option if name != "set" else f"{option} {word[:40]}")
        if name in BOUNDS and isinstance(value, int | float) and not _within(value, *BOUNDS[name]):
            given = value if abs(value) < 2**63 else "a number that large"
            raise UserError(
                f"{option} must be at least {BOUNDS[name][0]} and at most {BOUNDS[name][1]}, not {given}"
            )
    return options


def _within(value: float, least: float, most: float) -> bool:
    return least <= value <= most


def _data(command: Any, *, fresh: bool = True) -> None:
    command.add_argument(
        "--data",
        metavar="PATH",
        help="your images: a folder of <identity>/<image>, an index file of lines 'image label', a pack, "
        "InsightFace's .rec, or its .bin, whose pairs are then judged as well "
        "(default: synthetic faces, drawn when needed)",
    )
    command.add_argument(
        "--scale",
        choices=SCALES,
        help="size of synthetic data and recipes (default: demo; where `train` is given --data: paper, a "
        "recipe's full scale)",
    )
    command.add_argument(
        "--population",
        choices=POPULATIONS,
        help="synthetic people: easy, told apart by hair and skin at any size, or families, told apart by "
        "details that blur away (default: easy)",
    )
    if fresh:
        command.add_argument("--fresh", action="store_true", help="do again what is stored already")


def _models(command: Any, *, required: bool) -> None:
    command.add_argument(
        "--models",
        nargs="+",
        metavar="MODEL",
        required=required,
        help="models to look at: a name in the lab, a recipe, the path of an .onnx or .pth network or of "
        "embeddings (.parquet, .csv, .npy, .npz), or your own code as module:callable",
    )
    command.add_argument(
        "--probes",
        nargs="+",
        metavar="PROBE",
        default=[],
        help="conditions of the images: NAME as they are, NAME@PIXELS shrunk to PIXELS "
        "(default: the data as they are, and @32; of stored embeddings the same two, or all if one is "
        "missing)",
    )
    command.add_argument(
        "--preprocessing",
        nargs="+",
        action="extend",
        default=[],
        metavar="[MODEL=]PRESET",
        help="how a network from elsewhere wants its images: insightface, arcface-paper, adaface, imagenet, "
        "raw01 or raw255 (default: the JSON file beside it, else insightface)",
    )
    command.add_argument("--batch", type=int, metavar="N", help="images a batch in extraction")
    command.add_argument(
        "--flip", action="store_true", help="embed each image and its mirror image, and add the two vectors"
    )
    command.add_argument("--strict", action="store_true", help="stop at the first unreadable image")
    command.add_argument("--train", action="store_true", help="train known recipes that have no checkpoint")
    cli_files.add_reading(command, nargs="+", action="extend")


def _drawing(command: Any) -> None:
    drawn = command.add_mutually_exclusive_group()
    drawn.add_argument(
        "--people",
        type=int,
        metavar="N",
        help="draw so many people of each set, with all their images, and ask about them; of images that are "
        "not embedded yet only theirs are (default: all)",
    )
    drawn.add_argument(
        "--within",
        metavar="TIME",
        help="draw as many people as are analysed in this time, as in 90s, 5min or 2h; embedding their "
        "images is not counted",
    )


def _settings(command: Any) -> None:
    command.add_argument(
        "--jobs",
        type=int,
        metavar="N",
        help="processes that analyse side by side (default: a core each, at most 8, where sets are large and "
        "memory allows)",
    )
    command.add_argument(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        metavar="ANALYSIS.PARAMETER=VALUE",
        help="change a parameter, as in distances.bins=512",
    )


def _tables(command: Any) -> None:
    command.add_argument(
        "--pairs",
        metavar="FILE",
        help="judge accuracy on these pairs: CSV of image_a,image_b,same[,fold], LFW's pairs.txt or "
        "InsightFace's .bin; the same as accuracy.pairs=FILE",
    )
    command.add_argument(
        "--attributes",
        metavar="FILE",
        help="CSV with a column item, identity or name and further columns, such as gender, that analyses "
        "can ask about",
    )


def _report(commands: Any) -> None:
    command = _command(commands, "report", report, "analyse models and write an HTML report: the main job")
    command.add_argument("study", nargs="?", metavar="STUDY", help="a study's TOML file, instead of --models")
    _models(command, required=False)
    _data(command)
    command.add_argument("--only", nargs="+", default=[], metavar="ANALYSIS", help="these analyses only")
    _drawing(command)
    _settings(command)
    _tables(command)
    command.add_argument(
        "--out", metavar="PATH", help="folder or .html file of the report (default: reports/<models>)"
    )
    command.add_argument(
        "--paper",
        metavar="DIR",
        help="write figures as PDF, tables as LaTeX and CSV, and the text as report.md into this folder too",
    )
    command.add_argument("--no-pictures", action="store_true", help="show no image of anybody")
    command.add_argument(
        "--pseudonyms", action="store_true", help="call people person-001 … and images after them, everywhere"
    )


def _run(commands: Any) -> None:
    command = _command(commands, "run", run, "run one analysis and print its numbers and findings")
    command.add_argument(
        "analysis", metavar="ANALYSIS", help="which one; `embedlab list analyses` names them"
    )
    _models(command, required=True)
    _data(command)
    _drawing(command)
    _settings(command)
    _tables(command)
    command.add_argument("--json", action="store_true", help="print JSON on standard output")
    command.add_argument(
        "--save", metavar="FILE", help="write what the analysis found to a file of its own, to work with"
    )


def _train(commands: Any) -> None:
    command = _command(
        commands, "train", train, "train a recipe into a checkpoint, resuming where it stopped"
    )
    command.add_argument(
        "recipe",
        metavar="RECIPE",
        help="which one; `embedlab list recipes` names them; NAME_seed31 is NAME from seed 31",
    )
    command.add_argument("--name", help="name of the checkpoint (default: the recipe's)")
    _data(command)
    command.add_argument(
        "--validation", metavar="PATH", help="images of other people, to measure the pair accuracy on"
    )
    command.add_argument(
        "--pairs",
        metavar="FILE",
        help="the pairs among them (default: drawn; .bin and embedded faces have theirs)",
    )
    command.add_argument(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        metavar="PARAMETER=VALUE",
        help="change a parameter of the recipe, as in width=16",
    )


def _extract(commands: Any) -> None:
    command = _command(commands, "extract", extract, "turn images into embeddings, resuming where it stopped")
    _models(command, required=True)
    _data(command)


def _list(commands: Any) -> None:
    command = _command(
        commands, "list", list_, "show models, probes, analyses and recipes, with their state", device=False
    )
    command.add_argument(
        "what",
        nargs="?",
        choices=("models", "probes", "analyses", "recipes"),
        help="only these (default: all)",
    )


def _doctor(commands: Any) -> None:
    command = _command(
        commands, "doctor", doctor, "show versions, device, threads and the lab, or examine a model"
    )
    command.add_argument(
        "--model",
        metavar="MODEL",
        help="run it on images with swapped channels and other scalings, to see whether it is fed rightly",
    )
    command.add_argument(
        "--images", type=int, default=500, metavar="N", help="images of the self-test (default: 500)"
    )
    command.add_argument(
        "--preprocessing",
        action="append",
        default=[],
        metavar="PRESET",
        help="how the model wants its images, as in `embedlab report`",
    )
    _data(command, fresh=False)


def _request(options: argparse.Namespace) -> "Request":
    from embedlab import compute
    from embedlab.commands.request import Request
    from embedlab.lab.store import Lab

    if options.device != "auto":
        compute.choose(options.device)
    return Request(
        lab=Lab(options.lab),
        data=options.data,
        scale=options.scale or _usual_scale(options),
        population=getattr(options, "population", None) or POPULATIONS[0],
        train=getattr(options, "train", False),
        preprocessing=_presets(getattr(options, "preprocessing", [])),
        strict=getattr(options, "strict", False),
        fresh=getattr(options, "fresh", False),
        jobs=getattr(options, "jobs", None),
        batch=getattr(options, "batch", None),
        flip=getattr(options, "flip", False),
        reading=cli_files.reading(options),
        pictures=not getattr(options, "no_pictures", False),
        pseudonyms=getattr(options, "pseudonyms", False),
    )


def _usual_scale(options: argparse.Namespace) -> str:
    # The demo's networks and schedules are made for the synthetic faces of that scale.
    return "paper" if options.command == "train" and options.data is not None else "demo"


def _presets(words: Sequence[str]) -> Mapping[str, str]:
    found = {}
    for word in words:
        model, _, preset = word.rpartition("=")
        found[model] = preset
    return found


def _study(options: argparse.Namespace) -> "Study":
    from embedlab import study

    if options.study is not None and options.models:
        raise UserError("give either a study file or --models, not both")
    if options.study is not None:
        asked = study.read(Path(options.study))
    elif options.models:
        asked = study.Study(models=tuple(options.models))
    else:
        raise UserError(
            "nothing to report on: give --models, such as `--models lowres144 highlow144`, or a study"
        )
    return study.merged(
        asked,
        probes=options.probes,
        analyses=options.only,
        overrides=study.parse_set(options.set),
        pairs=options.pairs,
        attributes=options.attributes,
        people=options.people,
    )


def _seconds(options: argparse.Namespace) -> float | None:
    from embedlab.commands.within import seconds_of

    return None if options.within is None else seconds_of(options.within)


def report(options: argparse.Namespace) -> int:
    """Handle ``embedlab report``."""
    from embedlab.commands import pipeline

    asked = _study(options)
    name = Path(options.study).stem if options.study else pipeline.named(asked.models)
    out = Path(options.out) if options.out else Path("reports") / name
    paper = Path(options.paper) if options.paper else None
    page, sound = pipeline.report(_request(options), asked, out, paper, _seconds(options))
    _print(f"report: {page}")
    if paper is not None:
        _print(f"for a paper: {paper}")
    if not sound:
        print("embedlab: an analysis failed with a bug or was ended; the report says how", file=sys.stderr)
    return 0 if sound else 1


def run(options: argparse.Namespace) -> int:
    """Handle ``embedlab run``."""
    from embedlab import study
    from embedlab.commands import pipeline

    asked = study.merged(
        study.Study(models=tuple(options.models), analyses=(options.analysis,)),
        probes=options.probes,
        overrides=study.parse_set(options.set, options.analysis),
        pairs=options.pairs,
        attributes=options.attributes,
        people=options.people,
    )
    save = Path(options.save) if options.save else None
    # What a network or an analysis of somebody's own prints would stand in the JSON.
    with redirect_stdout(sys.stderr) if options.json else nullcontext():
        text, sound = pipeline.run(
            _request(options), asked, as_json=options.json, save=save, within=_seconds(options)
        )
    _print(text)
    return 0 if sound else 1


def train(options: argparse.Namespace) -> int:
    """Handle ``embedlab train``."""
    from embedlab import study
    from embedlab.commands import trainings

    overrides = study.parse_set(options.set, options.recipe).get(options.recipe, {})
    folder = trainings.train(
        _request(options),
        options.recipe,
        overrides,
        name=options.name,
        validation=options.validation,
        pairs=options.pairs,
    )
    _print(f"checkpoint: {folder}")
    return 0


def extract(options: argparse.Namespace) -> int:
    """Handle ``embedlab extract``."""
    from embedlab import ranks
    from embedlab.commands import pipeline
    from embedlab.study import Study

    asked = Study(models=tuple(options.models), probes=tuple(options.probes))
    # A card is chosen on joining, so networks are loaded inside.
    with ranks.joined():
        for path in pipeline.extract(_request(options), asked):
            _print(f"embeddings: {path}")
    return 0


def _print(line: str) -> None:
    """Print a line once, however many processes share the work."""
    from embedlab import ranks

    if ranks.from_environment().leads:
        print(line)


def list_(options: argparse.Namespace) -> int:
    """Handle ``embedlab list``."""
    from embedlab.commands import catalogue
    from embedlab.lab.store import Lab

    print(catalogue.listing(Lab(options.lab), options.what))
    return 0


def doctor(options: argparse.Namespace) -> int:
    """Handle ``embedlab doctor``."""
    from embedlab import compute
    from embedlab.commands import catalogue
    from embedlab.lab.store import Lab

    compute.choose(options.device)
    if options.model is None:
        print(catalogue.checkup(Lab(options.lab)))
        return 0
    from embedlab.commands import pipeline

    print(pipeline.examine(_request(options), options.model, options.images))
    return 0


def main(words: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns
    -------
    0 if all went well, 1 if an analysis had a bug or a gate failed, 2 for a mistake of the user or a machine
    that is too small, 3 if two reports cannot be compared or hold too little, 130 if interrupted, 143 if
    ended by SIGTERM, 129 by SIGHUP.
    """
    # Whoever closed a stream, as by `>&-`, wants to see nothing of it.
    sys.stdout, sys.stderr = (
        stream or os.fdopen(os.open(os.devnull, os.O_WRONLY), "w") for stream in (sys.stdout, sys.stderr)
    )
    for stream in (sys.stdout, sys.stderr):
        _escaping(stream)
    options = parser().parse_args(words)
    from embedlab import progress

    try:
        with _ended_by_signals(), progress.shown(doing=options.command):
            status: int = options.handler(options)
            sys.stdout.flush()
            return status
    except UserError as error:
        return _told(str(error), error.status)
    except Terminated as error:
        name = signal.Signals(error.number).name
        return _told(
            f"ended by {name}; what was finished is kept, and the same command goes on", 128 + error.number
        )
    except KeyboardInterrupt:
        return _told("interrupted; what was finished is kept, and the same command goes on", 130)
    except BrokenPipeError:
        _silence(sys.stdout)
        return 0
    except Exception as error:
        if (line := lacking(error) or _too_small(error)) is None:
            raise
        _silence(sys.stdout)
        return _told(line, 2)


def _told(line: str, status: int) -> int:
    print(f"embedlab: {line}", file=sys.stderr)
    return status


def _too_small(error: Exception) -> str | None:
    """Say what the machine lacks where nobody did so before; None if the error is a bug."""
    if is_out_of_memory(error):
        return f"not enough memory ({first_line(error)}): end other programs, or give it fewer images"
    number = unwritable(error)
    named = error.filename if isinstance(error, OSError) else None
    # Of rights to a file it may be that it cannot be read.
    if number is None or (named is not None and number in (errno.EACCES, errno.EPERM)):
        return None
    return f"cannot write {named or 'the output'}: {os.strerror(number)}: {UNWRITABLE[number]}"


def _escaping(stream: TextIO) -> None:
    """Let a stream take every sign: what its encoding lacks is written by its number."""
    with suppress(AttributeError, ValueError):
        stream.reconfigure(errors=ESCAPED)  # type: ignore[attr-defined]


def _silence(stream: TextIO) -> None:
    """Keep Python from failing once more where it flushes a stream that nothing can be written to."""
    if stream is sys.__stdout__:
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP raise ``Terminated``, so that what is temporary is removed.

    Whoever was told to ignore them, as by nohup, still does; outside the main thread nothing changes.
    """
    came = -REPEATED_S

    def end(number: int, _: FrameType | None) -> None:
        nonlocal came
        before, came = came, time.monotonic()
        if came - before >= REPEATED_S:
            raise Terminated(number)

    numbers = []
    if threading.current_thread() is threading.main_thread():
        both = (signal.SIGTERM, signal.SIGHUP)
        numbers = [number for number in both if signal.getsignal(number) == signal.SIG_DFL]
    for number in numbers:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


if __name__ == "__main__":
    sys.exit(main())
