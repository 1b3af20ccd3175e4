"""The command line; each handler imports what it needs and calls one function."""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedlab import __version__
from embedlab.errors import UserError

if TYPE_CHECKING:
    from embedlab.preparation import Request
    from embedlab.study import Study

SCALES = ("demo", "small", "paper")
MAP_METHODS = (
    *("mean shift", "Procrustes", "scaled Procrustes", "least squares", "ridge", "low-rank ridge"),
)
DEVICES = ("auto", "cpu", "cuda", "mps")


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
    _import(commands)
    _map(commands)
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
    command.set_defaults(handler=handler)
    if lab:
        command.add_argument(
            "--lab", metavar="DIR", help="working folder (default: $EMBEDLAB_LAB, else ./lab)"
        )
    if device:
        command.add_argument(
            "--device", choices=DEVICES, default="auto", help="where to compute (default: auto)"
        )
    return command


def _data(command: Any) -> None:
    command.add_argument(
        "--data",
        metavar="PATH",
        help="your images: a folder of <identity>/<image>, an index file of lines 'image label', or "
        "InsightFace's .bin, whose pairs are then judged as well "
        "(default: synthetic faces, drawn when needed)",
    )
    command.add_argument(
        "--scale", choices=SCALES, default="demo", help="size of synthetic data and recipes (default: demo)"
    )
    command.add_argument("--fresh", action="store_true", help="do again what is stored already")


def _models(command: Any, *, required: bool) -> None:
    command.add_argument(
        "--models",
        nargs="+",
        metavar="MODEL",
        required=required,
        help="models to look at: a name in the lab, a recipe, or the path of an .onnx or .pth network or of "
        "embeddings (.parquet, .csv, .npy, .npz)",
    )
    command.add_argument(
        "--probes",
        nargs="+",
        metavar="PROBE",
        default=[],
        help="conditions of the images: NAME as they are, NAME@PIXELS shrunk to PIXELS "
        "(default: the data as they are, and @32)",
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
    command.add_argument("--strict", action="store_true", help="stop at the first unreadable image")
    command.add_argument("--train", action="store_true", help="train known recipes that have no checkpoint")


def _settings(command: Any) -> None:
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
        help="judge verification on these pairs too: CSV of image_a,image_b,same[,fold], LFW's pairs.txt or "
        "InsightFace's .bin; the same as verification.pairs=FILE",
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
    _settings(command)
    _tables(command)
    command.add_argument(
        "--out", metavar="PATH", help="folder or .html file of the report (default: reports/<models>)"
    )


def _run(commands: Any) -> None:
    command = _command(commands, "run", run, "run one analysis and print its numbers and findings")
    command.add_argument(
        "analysis", metavar="ANALYSIS", help="which one; `embedlab list analyses` names them"
    )
    _models(command, required=True)
    _data(command)
    _settings(command)
    _tables(command)
    command.add_argument("--json", action="store_true", help="print JSON on standard output")


def _train(commands: Any) -> None:
    command = _command(
        commands, "train", train, "train a recipe into a checkpoint, resuming where it stopped"
    )
    command.add_argument("recipe", metavar="RECIPE", help="which one; `embedlab list recipes` names them")
    command.add_argument("--name", help="name of the checkpoint (default: the recipe's)")
    _data(command)
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


def _import(commands: Any) -> None:
    command = _command(
        commands, "import", import_, "bring embeddings from elsewhere into the lab", device=False
    )
    command.add_argument("file", metavar="FILE", help="a .npy, .npz, .csv or .parquet file of vectors")
    command.add_argument("--model", help="name of the model they come from (default: the file's name)")
    command.add_argument(
        "--probe", default="imported", help="name of the images' condition (default: imported)"
    )
    command.add_argument("--items", metavar="CSV", help="for .npy: the CSV of items, a line a vector")
    command.add_argument("--item-column", default="item", metavar="NAME", help="column of item names")
    command.add_argument("--identity-column", default="identity", metavar="NAME", help="column of people")
    command.add_argument("--vector-column", default="embedding", metavar="NAME", help="column of vectors")


def _map(commands: Any) -> None:
    text = "convert an old model's embeddings into a new model's space"
    parts = commands.add_parser(
        "map", help=text, description=text[0].upper() + text[1:] + "."
    ).add_subparsers(dest="part", required=True, metavar="PART")
    fit = _command(
        parts,
        "fit",
        map_fit,
        "fit a map on images that both models have seen, and save it",
        lab=False,
        device=False,
    )
    fit.add_argument("old", metavar="OLD", help="the old model's embeddings (.parquet, .csv, .npz)")
    fit.add_argument("new", metavar="NEW", help="the new model's embeddings of the same images, by item name")
    fit.add_argument("--map", required=True, metavar="FILE", help="the map to write, .safetensors")
    fit.add_argument(
        "--method",
        choices=MAP_METHODS,
        default="ridge",
        help="how to fit (default: ridge, its penalty chosen on people left out)",
    )
    fit.add_argument("--folds", type=int, default=5, metavar="K", help="folds of people (default: 5)")
    fit.add_argument("--seed", type=int, default=0, help="who is in which fold (default: 0)")
    apply = _command(
        parts,
        "apply",
        map_apply,
        "convert a file of the old model's embeddings by a saved map",
        lab=False,
        device=False,
    )
    apply.add_argument("old", metavar="OLD", help="the old model's embeddings; Parquet of any size")
    apply.add_argument("--map", required=True, metavar="FILE", help="a map that `embedlab map fit` wrote")
    apply.add_argument(
        "--out", metavar="PARQUET", help="the file to write (default: OLD-as-<new model>.parquet beside OLD)"
    )
    apply.add_argument(
        "--force", action="store_true", help="convert although the file says that it is of another model"
    )


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
    _command(commands, "doctor", doctor, "show versions, device, threads and the lab")


def _request(options: argparse.Namespace) -> "Request":
    from embedlab import compute
    from embedlab.preparation import Request
    from embedlab.store import Lab

    if options.device != "auto":
        compute.choose(options.device)
    if getattr(options, "batch", None) is not None and options.batch < 1:
        raise UserError(f"--batch must be at least 1, not {options.batch}")
    return Request(
        lab=Lab(options.lab),
        data=options.data,
        scale=options.scale,
        train=getattr(options, "train", False),
        preprocessing=_presets(getattr(options, "preprocessing", [])),
        strict=getattr(options, "strict", False),
        fresh=options.fresh,
        batch=getattr(options, "batch", None),
    )


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
    )


def report(options: argparse.Namespace) -> int:
    """Handle ``embedlab report``."""
    from embedlab import pipeline

    asked = _study(options)
    name = Path(options.study).stem if options.study else "-".join(Path(m).stem for m in asked.models)
    out = Path(options.out) if options.out else Path("reports") / name
    page, sound = pipeline.report(_request(options), asked, out)
    print(f"report: {page}")
    if not sound:
        print("embedlab: an analysis failed with a bug; the report has its traceback", file=sys.stderr)
    return 0 if sound else 1


def run(options: argparse.Namespace) -> int:
    """Handle ``embedlab run``."""
    from embedlab import pipeline, study

    asked = study.merged(
        study.Study(models=tuple(options.models), analyses=(options.analysis,)),
        probes=options.probes,
        overrides=study.parse_set(options.set, options.analysis),
        pairs=options.pairs,
        attributes=options.attributes,
    )
    text, sound = pipeline.run(_request(options), asked, as_json=options.json)
    print(text)
    return 0 if sound else 1


def train(options: argparse.Namespace) -> int:
    """Handle ``embedlab train``."""
    from embedlab import preparation, study

    overrides = study.parse_set(options.set, options.recipe).get(options.recipe, {})
    folder = preparation.train(_request(options), options.recipe, overrides, name=options.name)
    print(f"checkpoint: {folder}")
    return 0


def extract(options: argparse.Namespace) -> int:
    """Handle ``embedlab extract``."""
    from embedlab import pipeline
    from embedlab.study import Study

    asked = Study(models=tuple(options.models), probes=tuple(options.probes))
    for path in pipeline.extract(_request(options), asked):
        print(f"embeddings: {path}")
    return 0


def import_(options: argparse.Namespace) -> int:
    """Handle ``embedlab import``."""
    from embedlab import interchange
    from embedlab.store import Lab

    path = Path(options.file)
    found = interchange.import_embeddings(
        path,
        model=options.model or path.stem,
        probe=options.probe,
        items=Path(options.items) if options.items else None,
        item_column=options.item_column,
        identity_column=options.identity_column,
        vector_column=options.vector_column,
    )
    saved = interchange.save(Lab(options.lab), found, path)
    n, d = found.vectors.shape
    print(f"embeddings: {saved} ({n:,} vectors of {d} numbers, {len(found.identities):,} people)")
    return 0


def map_fit(options: argparse.Namespace) -> int:
    """Handle ``embedlab map fit``."""
    from embedlab import conversion

    old, new = (conversion.read_vectors(Path(path)) for path in (options.old, options.new))
    path = Path(options.map)
    found = conversion.fit(old, new, method=options.method, folds=options.folds, seed=options.seed)
    record = conversion.save(found, path)
    on = found.record["fitted_on"]
    print(f"map: {path} ({found.source} to {found.target}; its record: {record})")
    print(f"fitted on {on['images']:,} images of {on['people']:,} people by {options.method}")
    cosine = conversion.held_out(found, "cosine")
    print(
        f"on people left out: R² {conversion.held_out(found, 'R2')}; cosine to the new model's own vector "
        f"{cosine}, to a stranger's {cosine.null:.3f}"
    )
    return 0


def map_apply(options: argparse.Namespace) -> int:
    """Handle ``embedlab map apply``."""
    from embedlab import conversion

    old, path = Path(options.old), Path(options.map)
    found = conversion.load(path)
    out = Path(options.out) if options.out else old.with_name(f"{old.stem}-as-{found.target}.parquet")
    rows = conversion.apply(found, old, out, map_file=path, force=options.force)
    print(f"embeddings: {out} ({rows:,} vectors, from {found.source} to {found.target})")
    return 0


def list_(options: argparse.Namespace) -> int:
    """Handle ``embedlab list``."""
    from embedlab import catalogue
    from embedlab.store import Lab

    print(catalogue.listing(Lab(options.lab), options.what))
    return 0


def doctor(options: argparse.Namespace) -> int:
    """Handle ``embedlab doctor``."""
    from embedlab import catalogue, compute
    from embedlab.store import Lab

    compute.choose(options.device)
    print(catalogue.checkup(Lab(options.lab)))
    return 0


def main(words: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns
    -------
    0 if all went well, 1 if an analysis had a bug, 2 for a mistake of the user, 130 if interrupted.
    """
    options = parser().parse_args(words)
    from embedlab import progress

    try:
        with progress.shown():
            status: int = options.handler(options)
            return status
    except UserError as error:
        print(f"embedlab: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            "embedlab: interrupted; what was finished is kept, and the same command goes on", file=sys.stderr
        )
        return 130
    except BrokenPipeError:
        return 0


if __name__ == "__main__":
    sys.exit(main())
