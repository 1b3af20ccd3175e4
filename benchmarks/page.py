"""What the page of many models costs: its making, its size, and the time and memory of a browser.

    python -m benchmarks.page FOLDER [--models 100] [--people 150] [--images 4] [--sizes 8 …] [--only NAME …]

Models are planted: each has a family, whose members see the people alike, a noise of its own, and a size
below which the people run together. Their vectors lie in a lab in FOLDER as `embedlab import` would leave
them, and `embedlab report` is run as anybody would. The page is then opened in Chromium; memory is what the
browser says its scripts hold, after all charts that stand open were drawn, and that of the whole process.
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

SIZES = (None, 64, 32, 24, 16, 8)
DATA = "faces"
FAMILIES = 8


def names(models: int) -> list[str]:
    """Name the models, so that the order of names says nothing of how good they are."""
    width = len(str(models))
    return [f"model{k + 1:0{width}}" for k in range(models)]


def planted(model: str, number: int, size: int | None, people: int, images: int, dimension: int):
    """Draw one model's vectors of one probe.

    Parameters
    ----------
    model, number
        Its name, and its place: the place gives its family, its noise and where it breaks.
    size
        Pixels of the probe; None for images as they are.
    people, images, dimension
        How many people, images each, and numbers a vector.
    """
    from embedlab.lab.embeddings import EmbeddingSet

    own, family = np.random.default_rng([1, number]), np.random.default_rng([2, number % FAMILIES])
    shared = np.random.default_rng(0).normal(size=(people, dimension))
    centres = shared + 0.8 * family.normal(size=shared.shape) + 0.3 * own.normal(size=shared.shape)
    quality, breaks = own.uniform(0.5, 1.3), own.choice([9, 14, 20])
    labels = np.repeat(np.arange(people), images)
    # The same images are hard for every model, at every size.
    noise = np.random.default_rng(3).normal(size=(len(labels), dimension))
    noise = 0.7 * noise + 0.7 * own.normal(size=noise.shape)
    vectors = centres[labels] + quality * noise
    if size is not None:
        blur = np.random.default_rng([4, number, size]).normal(size=noise.shape)
        vectors = vectors + 0.7 * (breaks / size) ** 1.5 * blur
        vectors[:, 0] += 6 * breaks / size if size < breaks else 0.0
    probe = DATA if size is None else f"{DATA}@{size}"
    return EmbeddingSet.from_rows(
        model, probe, vectors.astype(np.float32), [f"image{k:06d}" for k in range(len(labels))],
        [f"person{k:05d}" for k in labels],
    )  # fmt: skip


def plant(
    folder: Path, models: int, people: int, images: int, dimension: int = 64, sizes: tuple = SIZES
) -> list[str]:
    """Write the vectors of some models into a lab; what is there already stays."""
    from embedlab.lab import embeddings
    from embedlab.lab.store import Lab, atomic_file

    lab = Lab(folder)
    for number, name in enumerate(names(models)):
        for size in sizes:
            made = lab.embeddings_file(name, DATA if size is None else f"{DATA}@{size}")
            if made.is_file():
                continue
            made.parent.mkdir(parents=True, exist_ok=True)
            with atomic_file(made, durable=False) as temporary:
                embeddings.write(temporary, planted(name, number, size, people, images, dimension), {})
    return names(models)


def probes(sizes: tuple = SIZES) -> list[str]:
    """Name the probes of the planted models."""
    return [DATA if size is None else f"{DATA}@{size}" for size in sizes]


def opened(page: Path) -> dict[str, float]:
    """Open a page in Chromium, and say how long it took to load and what the browser holds.

    Returns
    -------
    Seconds until loaded; MB of the scripts' heap then, and after all that stands open was drawn; MB of the
    process that holds the page (proportional set size).
    """
    from tests.report.conftest import BROWSERS, Browser

    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        raise SystemExit(f"no browser to open the page in: none of {', '.join(BROWSERS)} is installed")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Browser(program, Path(profile))
        size = {"width": 1400, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        browser.call("Emulation.setDeviceMetricsOverride", **size)
        browser.open("about:blank")
        before = _renderer(browser)
        begun = time.perf_counter()
        browser.open(page.as_uri())
        loaded = time.perf_counter() - begun
        heap = browser.call("Runtime.getHeapUsage")["usedSize"] / 1e6
        time.sleep(3)  # The charts near the window are drawn.
        drawn = browser.call("Runtime.getHeapUsage")["usedSize"] / 1e6
        held = _renderer(browser)
        screens = browser.run("document.documentElement.scrollHeight / innerHeight")
        everything = browser.run("window.embedlab.drawAll()")
        whole = browser.call("Runtime.getHeapUsage")["usedSize"] / 1e6
        found = {
            "load_s": loaded, "heap_MB": heap, "heap_drawn_MB": drawn, "page_MB": held, "blank_MB": before,
            "screens": screens, "charts": everything["charts"], "failures": len(everything["failures"]),
            "heap_all_drawn_MB": whole, "page_all_drawn_MB": _renderer(browser),
        }  # fmt: skip
        browser.close()
    return found


def _renderer(browser) -> float:
    """Give the largest proportional set size among the renderers that a browser started, in MB."""
    found = [0.0]
    parents = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "stat").read_text().rpartition(")")[2].split()
            parents[process.name] = words[1]
        except OSError:
            continue
    for name in parents:
        above = name
        while above in parents and above != str(browser.process.pid):
            above = parents[above]
        if above != str(browser.process.pid):
            continue
        try:
            if b"--type=renderer" not in Path(f"/proc/{name}/cmdline").read_bytes():
                continue
            rolled = Path(f"/proc/{name}/smaps_rollup").read_text()
        except OSError:
            continue
        found += [int(line.split()[1]) / 1e3 for line in rolled.splitlines() if line.startswith("Pss:")]
    return max(found)


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("folder", type=Path)
    words.add_argument("--models", type=int, default=100)
    words.add_argument("--people", type=int, default=150)
    words.add_argument("--images", type=int, default=4)
    words.add_argument("--sizes", nargs="+", type=int, default=SIZES[1:])
    words.add_argument("--set", nargs="+", help="parameters, as of embedlab report")
    words.add_argument("--only", nargs="+", default=[])
    asked = words.parse_args()
    lab = asked.folder / f"lab-{asked.people}-{asked.images}"
    sizes = (None, *asked.sizes)
    models = plant(lab, asked.models, asked.people, asked.images, sizes=sizes)
    out = asked.folder / f"report-{asked.models}-{asked.people}"
    command = [sys.executable, "-m", "embedlab", "report", "--lab", str(lab), "--out", str(out)]
    command += ["--models", *models, "--probes", *probes(sizes)]
    command += ["--only", *asked.only] if asked.only else []
    command += ["--set", *asked.set] if asked.set else []
    begun = time.perf_counter()
    subprocess.run(command, check=True)
    seconds = time.perf_counter() - begun
    found = {"models": asked.models, "images": asked.people * asked.images, "report_s": seconds}
    found["report_peak_MB"] = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e3
    found |= {f"{name}_MB": (out / name).stat().st_size / 1e6 for name in ("index.html", "report.json")}
    print(json.dumps({key: round(value, 2) for key, value in (found | opened(out / "index.html")).items()}))


if __name__ == "__main__":
    main()
