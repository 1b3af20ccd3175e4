"""Everything that only a card can show, in one go: correctness, images a second, and trainings.

::

    python -m benchmarks.gpu                        # at most nine minutes, unattended
    python -m benchmarks.gpu --device cpu --tiny    # the same steps, to see that they run

(1) Every CUDA path once at small size against the CPU; a failure is told and the rest runs. (2) Images a
second and share of the practical peak of training, beside a plain PyTorch loop and the way InsightFace's
trainer feeds its network (`benchmarks.training`), with what feeding and validation cost; and of extraction.
(3) As many of the five baselines as the remaining time allows. It writes ``gpu.json`` and prints a table in
Markdown for ``RESULTS.md``; it needs this repository and torch, and fetches nothing.
"""

import argparse
import json
import os
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import training as steps
from embedlab import compute, progress
from embedlab.data import packed, sources
from embedlab.data.datasets import Dataset
from embedlab.data.degradations import Probe
from embedlab.data.synthetic import faces
from embedlab.data.synthetic import sets as synthetic
from embedlab.lab.store import Lab
from embedlab.networks import backbones
from embedlab.networks.embedder import Preprocessing
from embedlab.networks.inference import embedder
from embedlab.ranks import ALONE
from embedlab.training import images as training_images
from embedlab.training import learner, recipe, trainer, validation
from embedlab.training.distributed import Slice
from embedlab.training.faults import Terminated
from embedlab.training.recipe import Recipe
from embedlab.training.state import Progress
from embedlab.training.steps import Run

BASELINES = ("lowres32", "highres32", "lowres144", "highres144", "highlow144")
PEERS = ("plain", "insightface")
NETWORKS = (("ir_se_18", 64), ("ir_50", 64), ("se_resnet_50", 64))


@dataclass
class Bench:
    """What is asked, what was found, and how much time is left."""

    device: str
    tiny: bool
    seconds: float
    folder: Path
    begun: float = field(default_factory=time.monotonic)
    checks: list[dict[str, Any]] = field(default_factory=list)
    speeds: list[dict[str, Any]] = field(default_factory=list)
    trained: list[dict[str, Any]] = field(default_factory=list)

    @property
    def left(self) -> float:
        """Seconds until the time is up."""
        return self.seconds - (time.monotonic() - self.begun)

    def check(self, name: str, found: Callable[[], tuple[float, float]]) -> None:
        """Run a check that gives a deviation from the CPU and the largest that is right; tell a failure."""
        begun = time.monotonic()
        entry: dict[str, Any] = {"check": name}
        try:
            deviation, most = found()
            entry |= {"deviation": deviation, "most": most, "right": bool(deviation <= most)}
        except Exception as error:
            entry |= {"right": False, "error": f"{type(error).__name__}: {error}".splitlines()[0]}
            traceback.print_exc()
        entry["seconds"] = round(time.monotonic() - begun, 1)
        self.checks.append(entry)
        told = entry.get("error") or f"{entry['deviation']:.2e} (at most {entry['most']:.0e})"
        print(f"  {'right' if entry['right'] else 'WRONG':6}{name}: {told}, {entry['seconds']} s", flush=True)


def main() -> None:
    options = _options()
    compute.choose(options.device)
    with tempfile.TemporaryDirectory() as folder, progress.shown():
        bench = Bench(compute.device(), options.tiny, 60 * options.minutes, Path(folder))
        print(f"{compute.describe()}, torch {torch.__version__}", flush=True)
        for part in (correctness, speed, extraction, trainings):
            print(f"\n{part.__name__}, {bench.left:.0f} s left", flush=True)
            try:
                part(bench)
            except Exception:
                traceback.print_exc()
            _write(bench, options.out)
    print(markdown(bench), flush=True)
    # The peers' fetching threads and workers never end by themselves.
    os._exit(0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=compute.CHOICES, default="auto")
    parser.add_argument("--tiny", action="store_true", help="the smallest sizes, to see that all of it runs")
    parser.add_argument("--minutes", type=float, default=9.0, help="when to stop beginning further trainings")
    parser.add_argument("--out", type=Path, default=Path(), help="folder of gpu.json (default: here)")
    return parser.parse_args()


# -------------------------------------------------------------------------------------- (1) correctness


def correctness(bench: Bench) -> None:
    """Hold every path of the device against the CPU."""
    data = steps._faces(bench.folder / "small", 300, 32)
    bench.check("training steps, float32", lambda: _losses(bench, data, "float32"))
    bench.check("training steps, bfloat16", lambda: _losses(bench, data, "bfloat16"))
    bench.check("training steps, compiled", lambda: _losses(bench, data, "bfloat16", compiled=True))
    bench.check("resume after SIGTERM", lambda: _resumed(bench, data))
    bench.check("pack held on the device: a batch", lambda: _batch(bench, data))
    bench.check("extraction, all vectors (1 − cosine)", lambda: _extracted(bench, data))
    bench.check("validation scores", lambda: _validated(bench, data))
    for kind in (np.float32, np.float64):
        bench.check(f"E-step of CPD, {kind.__name__}", lambda kind=kind: _expectation(bench, kind))
    bench.check("renderer, mean difference of pixels", lambda: _rendered(bench))


def _losses(bench: Bench, data: Dataset, precision: str, *, compiled: bool = False) -> tuple[float, float]:
    found = {
        device: _steps(bench, data, device, "float32" if device == "cpu" else precision, 6, compiled=compiled)
        for device in dict.fromkeys(("cpu", bench.device))
    }
    gap = np.abs(np.subtract(found[bench.device], found["cpu"])) / np.abs(found["cpu"])
    return float(gap.max()), 2e-3 if precision == "float32" else 0.1


def _steps(
    bench: Bench, data: Dataset, device: str, precision: str, count: int, *, compiled: bool
) -> list[float]:
    """Take some steps without dropout, whose masks a card draws otherwise; give the losses."""
    made = Recipe(
        data="faces", input_size=32, width=16, dropout=0.0, batch=32, epochs=count, warmup_epochs=0.0,
        learning_rate=0.01, scale=16.0, precision=precision, compiled=compiled and device != "cpu",
    )  # fmt: skip
    images = training_images.read([data], Preprocessing(32), device)
    with torch.random.fork_rng(devices=[]):
        learns = learner.make(Lab(bench.folder / "lab"), made, len(images.identities), device)
    learns = learner.readied(learns, made, device, ALONE, Slice(1))
    run = Run("m", made, images, None, device, learns, Progress(), {}, bench.folder / "none")
    plans = steps._plans(made, images.labels.numpy())
    return [float(run.take_step(next(plans))[0]) for _ in range(count)]


class _StopsAfterTheFirstEpoch:
    """Sends this process SIGTERM when a training says that its first epoch is over."""

    def loop(self, items: Iterable[Any], what: str, total: int | None) -> Iterator[Any]:  # noqa: ARG002
        yield from items

    def say(self, message: str) -> None:
        if "epoch 1 of" in message:
            os.kill(os.getpid(), signal.SIGTERM)


def _resumed(bench: Bench, data: Dataset) -> tuple[float, float]:
    made = Recipe(data="faces", input_size=32, width=16, batch=16, epochs=3, scale=16.0, margin=0.2)
    once, twice = Lab(bench.folder / "once"), Lab(bench.folder / "twice")
    trainer.train(once, "m", made, [data])
    token = progress._listener.set(_StopsAfterTheFirstEpoch())
    try:
        trainer.train(twice, "m", made, [data])
        raise RuntimeError("the training was not stopped")
    except Terminated:
        pass
    finally:
        progress._listener.reset(token)
    trainer.train(twice, "m", made, [data])
    one, other = (_state(lab) for lab in (once, twice))
    gaps = [(one[k].float() - other[k].float()).abs().max() for k in one if one[k].is_floating_point()]
    return float(max(gaps)), 0.0 if bench.device == "cpu" else 1e-2


def _state(lab: Lab) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(lab.checkpoint("m") / "model.safetensors")


def _batch(bench: Bench, data: Dataset) -> tuple[float, float]:
    pack = packed.pack(data, bench.folder / "packs")
    made = Recipe(
        data="faces", input_size=32, batch=32, low="random", jitter=0.2, erasing=0.5, low_exponents="3+5"
    )
    found = []
    for device in ("cpu", bench.device):
        images = training_images.read([pack], Preprocessing(32), device)
        if device != "cpu" and not all(isinstance(one, training_images.Held) for one in images.blocks):
            raise RuntimeError("the pack is not held on the device")
        plan = next(steps._plans(made, images.labels.numpy()))
        found.append(images.batch(plan).x.cpu())
    return float((found[0] - found[1]).abs().max()), 1e-3


def _extracted(bench: Bench, data: Dataset) -> tuple[float, float]:
    from embedlab.extraction.extract import extract

    torch.manual_seed(0)
    network = backbones.build("ir_se_18", input_size=32, width=16)
    unit = []
    for device in ("cpu", bench.device):
        lab = Lab(bench.folder / f"extract-{device}-{len(unit)}")
        made = embedder("m", network, Preprocessing(32), "0" * 64, device)
        extract(lab, made, replace(data), Probe(data.name))
        unit.append(lab.embeddings("m", data.name).unit)
    return float((1 - (unit[0] * unit[1]).sum(axis=1)).max()), 1e-3


def _validated(bench: Bench, data: Dataset) -> tuple[float, float]:
    from embedlab.data import split

    held = validation.prepared(data, split.draw_pairs(data), Preprocessing(32))
    torch.manual_seed(0)
    network = backbones.build("ir_se_18", input_size=32, width=16)
    scores = [
        held._scores(network.to(device).eval(), device, "").astype(np.float64)
        for device in ("cpu", bench.device)
    ]
    return float(np.abs(scores[0] - scores[1]).max()), 5e-3


def _expectation(bench: Bench, kind: type) -> tuple[float, float]:
    from embedlab.maths.clouds._expectation import expectation

    draw = np.random.default_rng(0)
    x, y = draw.normal(size=(3_000, 16)), draw.normal(size=(2_000, 16))
    ours, theirs = (
        expectation(x, y, 0.5, 0.1, dtype=kind, device=device)
        for device in ("cpu", bench.device if bench.device != "cpu" else "torch")
    )
    gaps = [
        np.abs(getattr(ours, part) - getattr(theirs, part)).max() / np.abs(getattr(ours, part)).max()
        for part in ("p1", "pt1", "px")
    ]
    return float(max(gaps)), 1e-4 if kind is np.float32 else 1e-9


def _rendered(bench: Bench) -> tuple[float, float]:
    people, shown = faces.draw_identities(8, 0), faces.draw_nuisances(8, 0)
    one, other = (faces.render(people, shown, 72, device=d).astype(float) for d in ("cpu", bench.device))
    return float(np.abs(one - other).mean()), 2.0


# -------------------------------------------------------------------------------------------- (2) speed


def speed(bench: Bench) -> None:
    """Measure training steps beside the two peers, and what feeding and validation add to them."""
    practical = steps._peak(bench.device)
    print(f"practical peak {practical / 1e12:.1f} TFLOP/s", flush=True)
    sizes = (32,) if bench.tiny else (112, 32, 144)
    for size in sizes:
        for name, width in NETWORKS[:1] if bench.tiny else NETWORKS:
            if bench.left < 0.35 * bench.seconds:
                print("  the rest of the speeds is left out: out of time")
                return
            with ExitStack() as stack:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
                _speed(bench, folder, name, 8 if bench.tiny else width, size, practical)


def _speed(bench: Bench, folder: Path, name: str, width: int, size: int, practical: float) -> None:
    dataset = steps._faces(folder, 64 if bench.tiny else 1_500, size)
    batch = 16 if bench.tiny else (512 if size == 32 else 256)
    made = Recipe(
        data="faces", input_size=size, backbone=name, width=width, batch=batch, epochs=1_000_000,
    )  # fmt: skip
    work = steps._operations(made) * batch
    ways = {
        "embedlab": steps._embedlab(folder, dataset, made, bench.device),
        # Some half a minute before the first step: what a long training has.
        "compiled": steps._embedlab(folder / "compiled", dataset, replace(made, compiled=True), bench.device),
        "plain": steps._plain(dataset, made, bench.device),
        "insightface": steps._insightface(folder, dataset, made, bench.device),
    }
    took = steps._interleaved(ways, 1 if bench.tiny else 3, 2 if bench.tiny else 5, bench.device)
    feed = _feed(bench, folder, dataset, made)
    entry = {
        "network": name, "width": width, "pixels": size, "batch": batch,
        "gflop_an_image": round(work / batch / 1e9, 2),
        **{f"{way}_images_per_s": round(batch / seconds, 1) for way, seconds in took.items()},
        **{f"over_{way}": round(took[way] / took["embedlab"], 2) for way in PEERS},
        **{f"compiled_over_{way}": round(took[way] / took["compiled"], 2) for way in PEERS},
        "share_of_peak": round(work / took["embedlab"] / practical, 4),
        "compiled_share_of_peak": round(work / took["compiled"] / practical, 4),
        "feed_share": round(feed / took["embedlab"], 4),
    }  # fmt: skip
    bench.speeds.append(entry)
    print(f"  {entry}", flush=True)


def _feed(bench: Bench, folder: Path, dataset: Dataset, made: Recipe) -> float:
    """Give the seconds that a batch takes from the pack to the network's input."""
    pack = packed.pack(dataset, folder / "feed")
    images = training_images.read([pack], Preprocessing(made.input_size), bench.device)
    plans = steps._plans(made, images.labels.numpy())
    took = []
    for _ in range(6):
        plan = next(plans)
        steps._wait(bench.device)
        begun = time.perf_counter()
        images.batch(plan)
        steps._wait(bench.device)
        took.append(time.perf_counter() - begun)
    return float(np.median(took[1:]))


def extraction(bench: Bench) -> None:
    """Measure extraction with the images in memory and from a pack."""
    for name, width in NETWORKS[:1] if bench.tiny else NETWORKS[:2]:
        size, count = (32, 64) if bench.tiny else (112, 16_384)
        torch.manual_seed(0)
        network = backbones.build(name, input_size=size, width=8 if bench.tiny else width)
        made = embedder("m", network, Preprocessing(size), "0" * 64, bench.device)
        images = np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)
        made.embed(images[: count // 4])
        begun = time.perf_counter()
        made.embed(images)
        rate = count / (time.perf_counter() - begun)
        entry = {"extraction": name, "pixels": size, "images_per_s": round(rate, 1)}
        bench.speeds.append(entry)
        print(f"  {entry}", flush=True)


# ---------------------------------------------------------------------------------------- (3) trainings


def trainings(bench: Bench) -> None:
    """Train baselines on synthetic faces, as many as the remaining time allows, and say what they reach."""
    lab, scale = Lab(bench.folder / "trained"), "demo" if bench.tiny else "small"
    begun = time.monotonic()
    synthetic.make(lab.data, scale=scale, device=bench.device)
    print(f"  drew the faces of {scale} scale in {time.monotonic() - begun:.0f} s", flush=True)
    held = sources.open_source(str(lab.data / "highres_eval"))
    from embedlab.formats import protocols

    pairs = protocols.read(str(lab.data / "highres_eval_pairs.csv"))
    took = 0.0
    for name in BASELINES[:1] if bench.tiny else BASELINES:
        if bench.left < max(15.0, 1.5 * took):
            print(f"  {name} is left out: {bench.left:.0f} s are left")
            continue
        begun = time.monotonic()
        made = recipe.load(name, scale=scale, overrides={"epochs": 1} if bench.tiny else {})
        data = [sources.open_source(str(lab.data / one)) for one in made.datasets]
        trainer.train(lab, name, made, data, (held, pairs))
        took = time.monotonic() - begun
        record = json.loads((lab.checkpoint(name) / "model.json").read_text(encoding="utf-8"))
        entry = {
            "model": name, "scale": scale, "seconds": round(took, 1), **record["metrics"],
            "images_per_s": round(record["images_per_second"], 1), "seconds_all": round(record["seconds"], 1),
        }  # fmt: skip
        bench.trained.append(entry)
        print(f"  {entry}", flush=True)


# ------------------------------------------------------------------------------------------------ told


def _write(bench: Bench, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    kept = {key: value for key, value in asdict(bench).items() if key in ("checks", "speeds", "trained")}
    told = {"device": compute.describe(), "torch": str(torch.__version__), **kept}
    (folder / "gpu.json").write_text(json.dumps(told, indent=1), encoding="utf-8")


def markdown(bench: Bench) -> str:
    """Give the three tables of ``RESULTS.md``."""
    parts = []
    for rows in (bench.checks, [s for s in bench.speeds if "network" in s], bench.trained):
        if rows:
            heads = list(dict.fromkeys(key for row in rows for key in row))
            lines = [heads, ["---"] * len(heads), *([str(row.get(key, "")) for key in heads] for row in rows)]
            parts.append("\n".join(f"| {' | '.join(line)} |" for line in lines))
    return "\n\n".join(parts)


if __name__ == "__main__":
    main()
