"""The work of the command ``lab``; its words are in ``upkeep``."""

import argparse
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from embedlab.errors import UserError
from embedlab.estimates import counted
from embedlab.lab import upkeep
from embedlab.lab.store import Lab
from embedlab.lab.upkeep import Stored


def _codes() -> Callable[[str], str | None]:
    """Give the fingerprints of all analyses as they are now."""
    from embedlab import analysis

    unusable = analysis.unusable()
    return {name: analysis.get(name).code for name in analysis.names() if name not in unusable}.get


def show(options: argparse.Namespace) -> int:
    """Handle ``embedlab lab``."""
    lab = Lab(options.lab)
    print("\n".join(listing(lab, upkeep.results(lab, _codes()))))
    return 0


def rm(options: argparse.Namespace) -> int:
    """Handle ``embedlab lab rm``."""
    lab = Lab(options.lab)
    stored = list(upkeep.results(lab, _codes()))
    paths = [path for model in options.models for path in upkeep.of_model(lab, model, stored)]
    return _removed(lab, list(dict.fromkeys(paths)), yes=options.yes)


def clean(options: argparse.Namespace) -> int:
    """Handle ``embedlab lab clean``."""
    lab = Lab(options.lab)
    stale = [one.folder for one in upkeep.results(lab, _codes()) if one.why]
    if options.yes:
        upkeep.clean(lab)
    return _removed(lab, stale, yes=options.yes)


def _removed(lab: Lab, paths: Sequence[Path], *, yes: bool) -> int:
    sizes = [upkeep.size_of(path) for path in paths]
    for path, size in zip(paths, sizes, strict=True):
        print(f"  {in_words(size):>8}  {path}")
    if yes:
        upkeep.remove(lab, paths)
    total = in_words(sum(sizes))
    print(f"removed {total}" if yes else f"would remove {total}: say --yes to do it")
    return 0


def pack(options: argparse.Namespace) -> int:
    """Handle ``embedlab lab pack``."""
    lab = Lab(options.lab)
    stale = {one.folder for one in upkeep.results(lab, _codes()) if one.why}
    count = upkeep.pack(lab, Path(options.out), keep=lambda path: path not in stale)
    print(f"packed {count:,} files: {options.out}")
    return 0


def unpack(options: argparse.Namespace) -> int:
    """Handle ``embedlab lab unpack``."""
    lab = Lab(options.lab)
    print(f"unpacked {upkeep.unpack(Path(options.file), lab):,} files: {lab.root}")
    return 0


def in_words(size: float) -> str:
    """Write bytes as people do."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:,.3g} GB"


def listing(lab: Lab, stored: Iterable[Stored]) -> list[str]:
    """Say room by room and model by model what takes how much, what rests on it, and what is stale."""
    kept = list(stored)
    sizes = {room: upkeep.size_of(lab.root / room) for room in upkeep.ROOMS}
    lines = [f"{lab.root}: {in_words(sum(sizes.values()))}"]
    for room in upkeep.ROOMS:
        lines.append(f"  {room:<12}{in_words(sizes[room]):>8}")
        if room == "data":
            lines += _lines(
                (path.name, upkeep.size_of(path), "") for path in sorted((lab.root / room).glob("[!.]*/"))
            )
        elif room != "results":
            lines += _lines(
                (m, upkeep.size_of(lab.root / room / m), _about(lab, room, m, kept))
                for m in lab.models(upkeep.ANY)
            )
    lines += _lines(_of_results(kept))
    if left := upkeep.temporaries(lab):
        lines.append(
            f"  {'temporaries':<12}{in_words(sum(map(upkeep.size_of, left))):>8}  {len(left)} in all"
        )
    return lines


def _lines(rows: Iterable[tuple[str, int, str]]) -> list[str]:
    return [f"    {name:<24}{in_words(size):>8}  {more}".rstrip() for name, size, more in rows if size]


def _about(lab: Lab, room: str, model: str, stored: list[Stored]) -> str:
    whole, probes = lab.probes(model), lab.probes(model, upkeep.ANY)
    if room == "checkpoints":
        titles = {f"weights of {model}"}
        made = sum(_is_made_here(lab, model, probe) for probe in whole)
        begin = f"made {made} of {counted(len(whole), 'probe')}; "
    else:
        titles = {f"{probe} in {model}" for probe in probes}
        named = (probe if probe in whole else f"{probe} (some people)" for probe in probes)
        begin = f"probes {', '.join(named)}; "
    resting = sum(bool(titles & set(one.inputs)) for one in stored)
    return f"{begin}{counted(resting, 'result rests', 'results rest')} on it"


def _is_made_here(lab: Lab, model: str, probe: str) -> bool:
    """Say whether vectors were made by the checkpoint of their model; what cannot be read was not."""
    with suppress(UserError):
        return lab.is_made_here(model, probe)
    return False


def _of_results(stored: list[Stored]) -> Iterator[tuple[str, int, str]]:
    reasons: dict[str, list[Stored]] = {}
    for one in stored:
        reasons.setdefault(one.why, []).append(one)
    for why, them in sorted(reasons.items()):
        yield f"{len(them)} {'stale' if why else 'in use'}", sum(one.size for one in them), why
