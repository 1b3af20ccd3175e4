"""The commands about files: ``import``, ``export``, ``map`` and ``data``; see ``embedlab.commands.cli``."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from embedlab.errors import UserError

MAP_METHODS = (
    *("mean shift", "Procrustes", "scaled Procrustes", "least squares", "ridge", "low-rank ridge"),
)


READING = (
    ("--items", "CSV", "of .npy and .npz files, the CSV of items and people, a line a vector"),
    ("--item-column", "NAME", "column of item names (default: item)"),
    ("--identity-column", "NAME", "column of people (default: identity)"),
    ("--vector-column", "NAME", "column of vectors (default: embedding)"),
)
"""The options about how vectors in files are read: option, value, meaning."""
Command = Callable[..., Any]


def add(commands: Any, command: Command) -> None:
    """Add the parsers of these commands; ``command`` makes one with the options all have."""
    _import(commands, command)
    _export(commands, command)
    _map(commands, command)
    _data(commands, command)


def _import(commands: Any, make: Command) -> None:
    command = make(
        commands, "import", import_, "bring embeddings or a network from elsewhere into the lab", device=False
    )
    command.add_argument(
        "file",
        metavar="FILE",
        help="a .npy, .npz, .csv or .parquet file of vectors (or a folder of Parquet parts), or a .pth, .pt "
        "or .safetensors file of a network's weights",
    )
    command.add_argument("--model", help="name of the model they come from (default: the file's name)")
    command.add_argument(
        "--probe", default="imported", help="name of the images' condition (default: imported)"
    )
    for option, kind, meaning in READING:
        usual = {"--item-column": "item", "--identity-column": "identity", "--vector-column": "embedding"}
        command.add_argument(option, default=usual.get(option), metavar=kind, help=meaning)
    network = command.add_argument_group("networks")
    network.add_argument(
        "--recipe",
        metavar="BACKBONE",
        help="which network it is, as in ir_se_18 (default: by its keys)",
    )
    network.add_argument("--input", type=int, metavar="PX", help="side of its input (default: by its shapes)")
    network.add_argument(
        "--preprocessing",
        metavar="PRESET",
        help="how it wants its images: insightface, arcface-paper, adaface, imagenet, raw01 or raw255 "
        "(default: by its keys)",
    )
    network.add_argument("--fresh", action="store_true", help="replace a model of that name")


def _export(commands: Any, make: Command) -> None:
    text = "write vectors or scores as other programs open them"
    command = make(commands, "export", export, text, lab=False, device=False)
    command.add_argument(
        "file", metavar="FILE", help="embeddings (.parquet, .csv, .npz, .npy), such as one of the lab's"
    )
    command.add_argument(
        "--out",
        metavar="PATH",
        required=True,
        help="a .parquet with a map and neighbours, for Spotlight and embedding-atlas; a .csv or .txt of "
        "scores, for bob; else a folder, for TensorBoard's projector",
    )
    command.add_argument("--to", choices=("fiftyone",), help="write a folder for FiftyOne, with the images")
    command.add_argument("--data", metavar="PATH", help="for FiftyOne: the images that the vectors are of")
    command.add_argument("--pairs", metavar="FILE", help="which pairs' scores (default: all)")
    add_reading(command, action="append")


def add_reading(command: Any, **how: Any) -> None:
    """Add the options about how vectors in files are read; ``how`` goes to argparse."""
    group = command.add_argument_group("vectors given as files")
    for option, kind, meaning in READING:
        text = f"{meaning}; MODEL is a file's name without its ending, and without it all are meant"
        group.add_argument(option, default=[], metavar=f"[MODEL=]{kind}", help=text, **how)


def reading(options: argparse.Namespace) -> dict[str, list[str]]:
    """Gather what a command says of how vectors in files are read."""
    names = [option.removeprefix("--").replace("-", "_") for option, _, _ in READING]
    return {
        name: words for name in names if isinstance(words := getattr(options, name, None), list) and words
    }


def _map(commands: Any, make: Command) -> None:
    text = "convert an old model's embeddings into a new model's space"
    parts = commands.add_parser(
        "map", help=text, description=text[0].upper() + text[1:] + "."
    ).add_subparsers(dest="part", required=True, metavar="PART")
    fit = make(
        parts,
        "fit",
        map_fit,
        "fit a map on images that both models have seen, and save it",
        lab=False,
        device=False,
    )
    fit.add_argument("old", metavar="OLD", help="the old model's embeddings (.parquet, .csv, .npz, .npy)")
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
    add_reading(fit, action="append")
    apply = make(
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
    add_reading(apply, action="append")


def _data(commands: Any, make: Command) -> None:
    text = "pack, align and convert sets of images"
    parts = commands.add_parser(
        "data", help=text, description=text[0].upper() + text[1:] + "."
    ).add_subparsers(dest="part", required=True, metavar="PART")

    def part(name: str, handler: Callable[[argparse.Namespace], int], text: str) -> Any:
        command = make(parts, name, handler, text, lab=False, device=False)
        command.add_argument(
            "source",
            metavar="IMAGES",
            help="a folder of <identity>/<image>, an index file, an InsightFace .bin or .rec, or a pack",
        )
        return command

    pack = part("pack", data_pack, "pack many small image files into a few large ones, which train faster")
    pack.add_argument("--out", metavar="DIR", default=".", help="where the pack goes (default: here)")
    pack.add_argument("--size", type=int, metavar="PX", help="shrink larger images to this side")
    pack.add_argument(
        "--fit",
        choices=("crop", "pad", "stretch"),
        default="crop",
        help="how images that are not square are made so (default: crop, to their central square)",
    )
    pack.add_argument(
        "--hold-out",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="keep this share of the people apart: makes two packs, _train and _held, and pairs of the held",
    )
    pack.add_argument("--seed", type=int, default=0, help="who is held out, and which pairs (default: 0)")
    align = part("align", data_align, "align faces by five landmarks, or cut out the centre")
    align.add_argument("--out", metavar="DIR", required=True, help="the folder of aligned faces to make")
    align.add_argument("--size", type=int, default=112, metavar="PX", help="side of the faces (default: 112)")
    how = align.add_mutually_exclusive_group(required=True)
    how.add_argument("--landmarks", metavar="FILE", help="CSV of item and five points, or CelebA's list")
    how.add_argument(
        "--detector",
        metavar="PATH",
        help="find the points with YuNet's ONNX file, or a folder of MTCNN's three",
    )
    how.add_argument("--crop", action="store_true", help="no landmarks: cut out the central square")
    export = part("export", data_export, "write images and pairs in the formats of other programs")
    export.add_argument("--pairs", metavar="FILE", help="for .bin, .txt and .csv: the pairs")
    export.add_argument("--size", type=int, metavar="PX", help="for .rec and .bin: side of the images")
    export.add_argument(
        "--out",
        metavar="FILE",
        required=True,
        help="what to write: .rec (InsightFace's images), .bin (its images and pairs), .txt (LFW's pairs) or "
        ".csv (pairs)",
    )


def import_(options: argparse.Namespace) -> int:
    """Handle ``embedlab import``."""
    from embedlab.commands import words
    from embedlab.data.degradations import parse_probe
    from embedlab.formats import interchange
    from embedlab.lab.store import Lab, made_name

    path, lab = Path(options.file), Lab(options.lab)
    word = words.of(options.file)
    if isinstance(word, words.OnnxFile):
        raise UserError(f"{path} is used as it is, without an import: name it as a model, --models {path}")
    if options.recipe is not None or isinstance(word, words.TorchFile):
        return _import_network(options, path)
    found = interchange.import_embeddings(
        path,
        model=options.model or made_name(path.stem, "imported"),
        # What no command could name again is refused, and faces@032 is faces@32.
        probe=str(parse_probe(options.probe)),
        items=Path(options.items) if options.items else None,
        item_column=options.item_column,
        identity_column=options.identity_column,
        vector_column=options.vector_column,
    )
    saved = interchange.save(lab, found, path)
    n, d = found.vectors.shape
    print(f"embeddings: {saved} ({n:,} vectors of {d} numbers, {len(found.identities):,} people)")
    return 0


def _import_network(options: argparse.Namespace, path: Path) -> int:
    from embedlab.lab.store import Lab
    from embedlab.networks import imports

    folder = imports.import_backbone(
        Lab(options.lab),
        path,
        backbone=options.recipe,
        input_size=options.input,
        name=options.model,
        preprocessing=options.preprocessing,
        fresh=options.fresh,
    )
    print(f"checkpoint: {folder}")
    return 0


def _model(file: Path) -> str:
    from embedlab.lab.store import made_name

    return made_name(file.stem, "model")


def _by_model(*files: str) -> dict[str, Path]:
    return {_model(Path(file)): Path(file) for file in files}


def export(options: argparse.Namespace) -> int:
    """Handle ``embedlab export``."""
    from embedlab.commands.request import reading_of
    from embedlab.estimates import counted
    from embedlab.formats import conversion, exports, protocols
    from embedlab.lab.store import check_spared, check_writable

    file, out = Path(options.file), Path(options.out)
    kind = out.suffix.lower()
    if kind not in ("", ".parquet", ".csv", ".txt"):
        raise UserError(f"{out} has no ending that is known: write .parquet, .csv, .txt or a folder")
    if options.pairs and kind not in (".csv", ".txt"):
        raise UserError(f"--pairs say which scores to write, and {out} holds none: write .csv or .txt")
    if options.to and (kind or not options.data):
        raise UserError("FiftyOne takes a folder and shows images: name both, --out DIR and --data PATH")
    if options.data and not options.to:
        raise UserError("--data names the images for FiftyOne: add --to fiftyone, or leave it out")
    mine = "samples.json" if options.to else exports.CONFIG
    if not kind and out.exists() and not (out / mine).is_file():
        held = "samples of FiftyOne" if options.to else "projector"
        raise UserError(f"{out} is there and holds no {held}: name a folder that is to be made")
    how = reading_of(reading(options), _by_model(options.file), _model(file))
    check_spared(out, [file, options.data, how.get("items"), options.pairs])
    check_writable(out, folder=not kind)
    pairs = protocols.read(options.pairs) if options.pairs else None
    embedded = conversion.read_vectors(file, **how)
    if options.to:
        exports.fiftyone(out, embedded, _jpegs(options.data, embedded.items.tolist()))
        print(
            f"FiftyOne: {out} (Dataset.from_dir({str(out)!r}, dataset_type=fiftyone.types.FiftyOneDataset))"
        )
    elif kind == ".parquet":
        if told := exports.explorer(out, embedded):
            print(told)
        print(f"table: {out} (embedding-atlas {out} --x projection_x --y projection_y --neighbors neighbors)")
    elif kind:
        print(f"scores: {out} ({counted(exports.scores(out, embedded, pairs), 'pair')})")
    else:
        exports.projector(out, embedded)
        print(f"projector: {out} (tensorboard --logdir {out})")
    return 0


def _jpegs(data: str, items: Sequence[str]) -> Callable[[str], bytes]:
    """Give a function from an item to the JPEG of its image.

    Raises
    ------
    UserError
        If the data hold no image of an item.
    """
    from embedlab.data.encoding import encoder
    from embedlab.data.sources import open_source
    from embedlab.estimates import counted

    images, encode = open_source(data), encoder("jpg")
    rows = {item: row for row, item in enumerate(images.items)}
    if missing := [item for item in items if item not in rows]:
        raise UserError(
            f"{data} has no image of {counted(len(missing), 'item')}, the first {missing[0]!r}: name the "
            "images that the vectors are of"
        )
    return lambda item: encode(images.image(rows[item]))


def map_fit(options: argparse.Namespace) -> int:
    """Handle ``embedlab map fit``."""
    from embedlab.commands.request import reading_of
    from embedlab.formats import conversion
    from embedlab.lab.store import check_writable

    check_writable(Path(options.map))
    files = _by_model(options.old, options.new)
    old, new = (
        conversion.read_vectors(file, **reading_of(reading(options), files, _model(file)))
        for file in map(Path, (options.old, options.new))
    )
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
    if far := found.record["held_out"].get("FAR"):
        moved, own, lost = (conversion.held_out(found, f"TAR{end}") for end in ("", "_new", "_lost"))
        print(f"TAR@FAR={far:g} of the new model's probes in a mapped gallery {moved}, in its own {own}")
        print(f"what the map loses: {lost.points()} of TAR")
        other: Literal["ridge", "Procrustes"] = "ridge" if options.method == "Procrustes" else "Procrustes"
        beside = conversion.fit(old, new, method=other, folds=options.folds, seed=options.seed)
        less = conversion.held_out(beside, "TAR_lost")
        if less.value < lost.value:
            print(f"{other} loses {less.points()} on the same people: --method {other} fits it")
    else:
        print("what it loses in TAR cannot be told: give several images of more people")
    return 0


def map_apply(options: argparse.Namespace) -> int:
    """Handle ``embedlab map apply``."""
    from embedlab.commands.request import reading_of
    from embedlab.formats import conversion
    from embedlab.lab.store import check_writable, made_name

    old, path = Path(options.old), Path(options.map)
    how = reading_of(reading(options), _by_model(options.old), _model(old))
    found = conversion.load(path)
    # A map may come from anywhere, and what it calls its model is no place to write to.
    target = made_name(str(found.target), "model")
    out = Path(options.out) if options.out else old.with_name(f"{old.stem}-as-{target}.parquet")
    check_writable(out)
    rows = conversion.apply(found, old, out, map_file=path, force=options.force, reading=how)
    print(f"embeddings: {out} ({rows:,} vectors, from {found.source} to {found.target})")
    return 0


def data_pack(options: argparse.Namespace) -> int:
    """Handle ``embedlab data pack``."""
    from embedlab.data import packed, split
    from embedlab.data.sources import open_source
    from embedlab.formats import protocols
    from embedlab.lab.store import check_writable

    check_writable(Path(options.out), folder=True)
    whole, folder = open_source(options.source), Path(options.out)
    parts = [whole]
    if options.hold_out:
        parts = list(split.split(whole, options.hold_out, options.seed))
    for one in parts:
        made = packed.pack(one, folder / f"{one.name}.pack", size=options.size, fit=options.fit)
        print(f"pack: {made.root} ({len(made):,} images of {len(made.identities):,} people)")
    if options.hold_out:
        pairs = folder / f"{whole.name}_held_pairs.csv"
        protocols.write(pairs, split.draw_pairs(made, seed=options.seed))
        print(f"pairs: {pairs}")
    return 0


def data_align(options: argparse.Namespace) -> int:
    """Handle ``embedlab data align``."""
    from embedlab.data import alignment
    from embedlab.data.sources import open_source
    from embedlab.lab.store import check_spared, check_writable

    check_spared(Path(options.out), [options.source])
    check_writable(Path(options.out), folder=True)
    done = alignment.align(
        open_source(options.source),
        Path(options.out),
        size=options.size,
        landmarks=Path(options.landmarks) if options.landmarks else None,
        detector=Path(options.detector) if options.detector else None,
        crop=options.crop,
    )
    print(f"faces: {done.path} ({done.images:,} images of {done.people:,} people)")
    return 0


def data_export(options: argparse.Namespace) -> int:
    """Handle ``embedlab data export``."""
    from embedlab.data import binned, recorded
    from embedlab.data.sources import open_source
    from embedlab.formats import protocols
    from embedlab.lab.store import check_spared, check_writable

    out = Path(options.out)
    kind = out.suffix.lower()
    if kind not in (".rec", ".bin", ".txt", ".csv"):
        raise UserError(f"{out} has no ending that is known: write .rec, .bin, .txt or .csv")
    if kind != ".rec" and options.pairs is None:
        raise UserError(f"{out} holds pairs: say which with --pairs FILE")
    # A folder may stand for the .rec in it.
    check_spared(out, [options.source, options.pairs, *Path(options.source).glob("*.rec")])
    check_writable(out)
    if kind == ".rec":
        written = recorded.write_rec(open_source(options.source), out, size=options.size)
        print(f"images: {written.path} ({written.images:,} images of {written.people:,} people)")
        return 0
    pairs = protocols.read(options.pairs)
    count = len(pairs)
    if kind == ".bin":
        count = binned.write_bin(open_source(options.source), pairs, out, size=options.size)
    elif kind == ".txt":
        protocols.write_lfw(out, pairs)
    else:
        protocols.write(out, pairs)
    print(f"pairs: {out} ({count:,} pairs)")
    return 0
