"""What there is: models, probes, analyses and recipes with their state; and the machine."""

import os
import sys
from typing import Any

from embedlab.lab.store import Lab


def listing(lab: Lab, what: str | None = None) -> str:
    """Describe models, probes, analyses and recipes, a line each; ``what`` picks one of the four."""
    parts = {"models": _models, "probes": _probes, "analyses": _analyses, "recipes": _recipes}
    chosen = [what] if what else list(parts)
    return "\n\n".join(_table(name, parts[name](lab)) for name in chosen)


def _table(title: str, rows: list[tuple[str, ...]]) -> str:
    if not rows:
        return f"{title}\n  none yet"
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  " + "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    return "\n".join([title, *lines])


def _models(lab: Lab) -> list[tuple[str, ...]]:
    trained = lab.trained()
    return [
        (
            model,
            "trained" if model in trained else "embeddings only",
            f"probes: {', '.join(lab.probes(model)) or 'none extracted'}",
        )
        for model in lab.models()
    ]


def _probes(lab: Lab) -> list[tuple[str, ...]]:
    having: dict[str, list[str]] = {}
    for model in lab.models():
        for probe in lab.probes(model):
            having.setdefault(probe, []).append(model)
    for index in sorted(lab.data.glob("*_ids.txt")):
        having.setdefault(index.name.removesuffix("_ids.txt"), [])
    return [
        (probe, f"in {', '.join(models)}" if models else "not extracted")
        for probe, models in sorted(having.items())
    ]


def _analyses(lab: Lab) -> list[tuple[str, ...]]:
    from embedlab import analysis, question

    rows: list[tuple[str, ...]] = []
    unusable = analysis.unusable()
    for name in analysis.names():
        if name in unusable:
            continue
        found = analysis.get(name)
        stored = len(list(lab.root.glob(f"results/{name}/[!.]*")))
        rows.append(
            (
                name,
                f"over: {' or '.join(one.word for one in found.overs)}",
                f"{stored} stored",
                found.question,
            )
        )
    unusable |= question.unusable()
    return [*rows, *((name, "cannot be used", "", reason) for name, reason in unusable.items())]


def _recipes(lab: Lab) -> list[tuple[str, ...]]:
    from embedlab.training import recipe

    trained = lab.trained()
    unusable = recipe.unusable()
    return [
        *(
            (name, "trained" if name in trained else "not trained", recipe.title(name))
            for name in recipe.names()
            if name not in unusable
        ),
        *((name, "cannot be used", reason) for name, reason in unusable.items()),
    ]


def markdown() -> str:
    """Write the catalogue of analyses that stands in ``analyses/README.md``."""
    from embedlab import analysis
    from embedlab.study import params_of

    lines = [
        "# What is asked",
        "",
        "A study is a TOML file in this folder that says which models, probes, analyses and parameters, with",
        "its prose in the `.md` file beside it: `embedlab report analyses/resolution_gap.toml`. The code of",
        "each analysis is one file in `embedlab/analyses/`, whose docstring says how to read it and what it",
        "cannot say. This page is generated: `make docs`.",
        "",
        "| analysis | question | one run takes |",
        "|---|---|---|",
    ]
    knobs = []
    for name in analysis.builtin():
        found = analysis.get(name)
        takes = "; or ".join(over.takes for over in found.overs)
        lines.append(f"| [{name}](../embedlab/analyses/{name}.py) | {found.question} | {takes} |")
        knobs += ["", f"### {name}", ""]
        knobs += [
            f"- `{k}` ({'empty' if default == '' else default}): {text}"
            for k, (default, text) in params_of(name).items()
        ]
    about = (
        "In brackets what holds where nothing is said. `--set distances.bins=512` changes one, and so does a"
    )
    lines += ["", "## Parameters", "", about, "study's table `[set.distances]`."]
    return "\n".join([*lines, *knobs]) + "\n"


def checkup(lab: Lab) -> str:
    """Describe versions, device, threads and the lab."""
    import platform

    from embedlab import compute
    from embedlab.runner import versions

    rows: list[tuple[str, ...]] = [(f"  {name}", value) for name, value in versions().items()]
    omp = os.environ.get("OMP_NUM_THREADS", "not set")
    rows += [
        ("device", compute.describe()),
        ("devices", ", ".join(compute.available())),
        ("cores", str(os.cpu_count())),
        (
            "threads",
            f"{compute.threads()}, OMP_NUM_THREADS {omp}",
        ),
        ("system", f"{platform.system()} {platform.release()} {platform.machine()}"),
        ("interpreter", sys.executable),
        ("lab", f"{lab.root.resolve()} ({_state(lab)})"),
    ]
    return _table("embedlab doctor", rows)


def _state(lab: Lab) -> str:
    if not lab.root.is_dir():
        return "not there yet; the first command that writes makes it"
    if not os.access(lab.root, os.W_OK):
        return "NOT WRITABLE: choose another with --lab"
    size: Any = sum(path.stat().st_size for path in lab.root.rglob("*") if path.is_file())
    return f"{len(lab.models())} models, {size / 1e6:,.0f} MB"
