"""Time Coherent Point Drift beside its peers: ``python -m benchmarks.cpd``.

Every contender works in a process of its own at one thread, on the same clouds; rounds go from one to the
next, so that a busy machine slows all alike. Seconds are of the processor; with ``--threads N``, which each
uses as it can, they are the clock's, so that nothing else should run. Memory is the peak beyond what
imports and a small first registration took. Peers that need another numpy are run by another interpreter:
``--peers-python PATH``.

A step is one expectation and maximisation. "To its end" is by each one's own defaults for stopping, without
its limit of iterations, the least of the rounds; where that takes longer than ``--budget`` seconds, it is cut
there and marked >.
What comes "before" the first step is the start of σ², the kernel and its factors, and for embedlab's own
rigid and affine registration the search for a turn, which peers have not and which can be off.
"""

import argparse
import inspect
import json
import os
import select
import subprocess
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

KINDS = ("rigid", "affine", "deformable", "low rank")
RANK = 100
WHOLE = 8_000
CONTENDERS = ("embedlab", "embedlab, search off", "embedlab as pycpd", "pycpd", "cycpd", "probreg")
POOLS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def clouds(points: int, kind: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Make targets, sources, and where each source belongs: 100 people's points, as in a space of faces."""
    rng = np.random.default_rng(0)
    spread = np.array([1.5, 1.0, 0.7])
    people = rng.normal(size=(max(points // 20, 2), 3)) * spread
    y = people[rng.integers(len(people), size=points)] + 0.3 * rng.normal(size=(points, 3))
    if kind in ("rigid", "affine"):
        angle = np.radians(15)
        turn = np.eye(3)
        turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        truth = 1.2 * y @ turn + 0.2
    else:
        truth = y + 0.2 * np.sin(1.2 * np.roll(y, 1, axis=1))
    x = truth + 0.05 * rng.normal(size=truth.shape)
    return x[rng.permutation(points)], y, truth


# A contender gives two functions: begin(x, y, kind) → step, where each step() is an iteration and gives the
# moved sources and whether its own rule would stop; and whole(x, y, kind) → (moved, iterations).
Step = Callable[[], tuple[np.ndarray, bool]]


def _by_pycpds_names(package: Any, x: np.ndarray, y: np.ndarray, kind: str) -> Step:
    names = {"rigid": "RigidRegistration", "affine": "AffineRegistration"}
    more = {"low_rank": True, "num_eig": RANK} if kind == "low rank" else {}
    registration = getattr(package, names.get(kind, "DeformableRegistration"))
    if more and "low_rank" not in inspect.signature(registration).parameters:
        raise NotImplementedError("this version has no low rank")
    made = registration(X=x, Y=y, w=0.1, **more)
    made.transform_point_cloud()

    def step() -> tuple[np.ndarray, bool]:
        made.iterate()
        return made.TY, bool(made.diff <= made.tolerance)

    return step


def begin_pycpd(x: np.ndarray, y: np.ndarray, kind: str) -> Step:
    import pycpd

    return _by_pycpds_names(pycpd, x, y, kind)


def begin_front(x: np.ndarray, y: np.ndarray, kind: str) -> Step:
    from embedlab.maths.clouds import cpd_pycpd

    return _by_pycpds_names(cpd_pycpd, x, y, kind)


def begin_cycpd(x: np.ndarray, y: np.ndarray, kind: str) -> Step:
    import cycpd
    import cython_functions

    quiet = {"verbose": False, "print_reg_params": False}
    names = {"rigid": cycpd.rigid_registration, "affine": cycpd.affine_registration}
    if kind == "deformable":
        raise NotImplementedError("fails without low rank")
    more = {"low_rank": True, "num_eig": RANK} if kind == "low rank" else {}
    made = names.get(kind, cycpd.deformable_registration)(X=x, Y=y, w=0.1, **more, **quiet)
    made.transform_point_cloud()
    made.sigma2 = cython_functions.initialize_sigma2(made.X, made.Y)

    def step() -> tuple[np.ndarray, bool]:
        made.iterate()
        return made.TY, bool(made.err <= made.tolerance)

    return step


def _without_open3d() -> None:
    """Let probreg import where open3d does not load; CPD on arrays needs nothing of it."""
    try:
        import open3d  # noqa: F401
    except ImportError:
        inner, outer = types.ModuleType("open3d.inner"), types.ModuleType("open3d")
        inner.__getattr__ = lambda name: type(name, (), {})  # type: ignore[method-assign]
        outer.__getattr__ = lambda name: inner  # type: ignore[method-assign]  # noqa: ARG005
        sys.modules["open3d"] = outer


def begin_probreg(x: np.ndarray, y: np.ndarray, kind: str) -> Step:
    _without_open3d()
    from probreg import cpd

    if kind == "low rank":
        raise NotImplementedError("has no low rank")
    made = {"rigid": cpd.RigidCPD, "affine": cpd.AffineCPD, "deformable": cpd.NonRigidCPD}[kind](y)
    found = made._initialize(x)

    def step() -> tuple[np.ndarray, bool]:
        nonlocal found
        before = found.q
        shares = made.expectation_step(found.transformation.transform(y), x, found.sigma2, 0.0, 0.1)
        found = made.maximization_step(x, shares, found.sigma2)
        return found.transformation.transform(y), bool(abs(found.q - before) < 0.001)

    return step


def embedlab(
    name: str, x: np.ndarray, y: np.ndarray, kind: str, callback: Any = None, **settings: Any
) -> tuple[np.ndarray, int, bool]:
    from embedlab.maths.clouds.cpd import Settings
    from embedlab.maths.clouds.registration import register

    whole = Settings(search="off" not in name, **settings)
    as_here = {"rigid": "similarity", "low rank": "deformable"}.get(kind, kind)
    rank = RANK if kind == "low rank" else None
    found = register(x, y, as_here, rank=rank, settings=whole, callback=callback)
    return found.moved, found.iterations, found.converged


BEGIN: dict[str, Callable[[np.ndarray, np.ndarray, str], Step]] = {
    "embedlab as pycpd": begin_front,
    "pycpd": begin_pycpd,
    "cycpd": begin_cycpd,
    "probreg": begin_probreg,
}


def now() -> float:
    """Read the processor's time, or the clock where several threads may work."""
    return time.process_time() if os.environ.get(POOLS[0]) == "1" else time.perf_counter()


def timed_steps(name: str, x: np.ndarray, y: np.ndarray, kind: str, count: int) -> tuple[float, float]:
    """Give seconds before the first step, and of a step."""
    begun = now()
    if name not in BEGIN:
        seen = []
        embedlab(
            name,
            x,
            y,
            kind,
            lambda k, *_: seen.append((k, now())),
            iterations=count + 1,
            tolerance=0.0,
        )
        (start, first), (end, last) = seen[0], seen[-1]
        each = (last - first) / max(end - start, 1)
        return max(first - begun - each, 0.0), each
    step = BEGIN[name](x, y, kind)
    first = now()
    for _ in range(count):
        step()
    return first - begun, (now() - first) / count


def timed_end(name: str, x: np.ndarray, y: np.ndarray, kind: str, budget: float) -> dict[str, Any]:
    """Run to its own end, or as far as the budget goes."""
    begun = now()
    if name not in BEGIN:
        moved, iterations, ended = embedlab(name, x, y, kind, iterations=2_000)
    else:
        step, iterations, ended, moved = BEGIN[name](x, y, kind), 0, False, y
        while not ended and now() - begun < budget:
            moved, ended = step()
            iterations += 1
    return {"seconds": now() - begun, "iterations": iterations, "ended": ended, "moved": moved}


def work() -> None:
    """Serve one contender: a line of JSON asks, a line answers."""
    import resource
    import warnings

    warnings.simplefilter("ignore")
    # Peers print; what they print must not come between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def tell(**answer: Any) -> None:
        print(json.dumps(answer), file=answers, flush=True)

    def peak() -> float:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    asked = json.loads(sys.stdin.readline())
    name, kind, points = asked["name"], asked["kind"], asked["points"]
    try:
        if name.startswith("embedlab"):
            from embedlab import compute

            compute.device()  # Imports torch, as more than a few points do.
        x, y, _ = clouds(150, kind)
        timed_steps(name, x, y, kind, 2)
    except NotImplementedError as error:
        tell(failed=str(error))
        return
    except Exception as error:
        tell(failed=f"{type(error).__name__}: {error}"[:120])
        return
    imported = peak()
    x, y, truth = clouds(points, kind)
    tell(ready=True)
    for line in sys.stdin:
        ask = json.loads(line)
        try:
            if ask["what"] == "steps":
                before, each = timed_steps(name, x, y, kind, ask["count"])
                tell(before=before, each=each, memory=peak() - imported)
            else:
                found = timed_end(name, x, y, kind, ask["budget"])
                away = np.sqrt(((found.pop("moved") - truth) ** 2).sum(axis=1).mean())
                tell(**found, rmse=float(away / np.sqrt(((x - x.mean(0)) ** 2).sum(axis=1).mean())))
        except Exception as error:
            tell(failed=f"{type(error).__name__}: {error}"[:120])


class Worker:
    """One contender's process."""

    def __init__(self, python: str, name: str, kind: str, points: int, asked: argparse.Namespace) -> None:
        self.patience = asked.patience
        root = str(Path(__file__).resolve().parents[1])
        pools = dict.fromkeys(POOLS, str(asked.threads))
        self.process = subprocess.Popen(
            [python, "-m", "benchmarks.cpd", "--work"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True, env={**os.environ, **pools, "PYTHONPATH": root},
        )  # fmt: skip
        self.fault = self.ask(name=name, kind=kind, points=points).get("failed", "")

    def ask(self, **what: Any) -> dict[str, Any]:
        """Ask and wait for the answer."""
        if self.process.poll() is not None or self.process.stdin is None or self.process.stdout is None:
            return {"failed": "ended"}
        self.process.stdin.write(json.dumps(what) + "\n")
        self.process.stdin.flush()
        if not select.select([self.process.stdout], [], [], self.patience)[0]:
            self.close()
            return {"failed": f"no answer within {self.patience:.0f} s"}
        line = self.process.stdout.readline()
        return json.loads(line) if line else {"failed": "its process died"}

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()


def compare(kind: str, points: int, asked: argparse.Namespace) -> list[tuple[str, ...]]:
    """Time all contenders for one kind and size, and give the table's rows."""
    if kind == "deformable" and points > WHOLE:
        return [(f"{points:,}", kind, "all", *["–"] * 6, f"a whole kernel is for at most {WHOLE:,} points")]
    workers = {}
    searched = kind in ("rigid", "affine")
    for name in (one for one in CONTENDERS if searched or "off" not in one):
        python = sys.executable if name.startswith("embedlab") else asked.peers_python
        workers[name] = Worker(python, name, kind, points, asked)
    taken: dict[str, list[dict[str, float]]] = {name: [] for name in workers}
    for round_ in range(asked.rounds):
        for name, worker in workers.items():
            last = taken[name][-1] if taken[name] else None
            slow = last is not None and last["before"] + last["each"] > asked.budget / 10
            if worker.fault or (round_ and slow):
                continue
            each = last["each"] if last else (3e-8 if name.startswith("embedlab") else 3e-7) * points**2
            answer = worker.ask(what="steps", count=int(np.clip(2 / max(each, 1e-6), 2, 100)))
            worker.fault = answer.get("failed", "")
            if not worker.fault:
                taken[name].append(answer)
    ended: dict[str, dict[str, Any]] = {}
    for _ in range(asked.rounds):
        for name, worker in workers.items():
            last = ended.get(name, {"seconds": 0.0})
            if taken[name] and last.get("seconds", np.inf) < asked.budget / 10:
                found = worker.ask(what="end", budget=asked.budget)
                ended[name] = min(found, last, key=lambda one: one.get("seconds", 0.0) or np.inf)
    rows = []
    each = {name: float(np.median([one["each"] for one in t])) for name, t in taken.items() if t}
    ours = each.get("embedlab", np.nan)
    for name, worker in workers.items():
        if not taken[name]:
            rows.append((f"{points:,}", kind, name, *["–"] * 6, worker.fault))
            continue
        before = float(np.median([one["before"] for one in taken[name]]))
        memory = max(one["memory"] for one in taken[name])
        end = ended[name]
        steps = (
            f"{each[name] * 1e3:,.2f} ms",
            f"{each[name] / ours:,.1f} ×",
            f"{before:,.2f} s",
            f"{memory:,.0f} MB",
        )
        if "failed" in end:
            rows.append((f"{points:,}", kind, name, *steps, "–", "–", end["failed"]))
            continue
        cut = "" if end["ended"] else "> "
        rows.append(
            (f"{points:,}", kind, name, *steps, f"{cut}{_seconds(end['seconds'])} ({end['iterations']:,})",
             f"{end['rmse']:.3f}", "")
        )  # fmt: skip
    for worker in workers.values():
        worker.close()
    return rows


def _seconds(seconds: float) -> str:
    return f"{seconds:,.2f} s" if seconds >= 0.1 else f"{seconds * 1e3:.1f} ms"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--sizes", type=int, nargs="+", default=[200, 2_000, 10_000])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--budget", type=float, default=60.0, help="seconds to the end at most")
    parser.add_argument("--threads", type=int, default=1, help="of each contender, if it has a use for them")
    parser.add_argument("--patience", type=float, default=300.0, help="seconds to wait for an answer")
    parser.add_argument("--peers-python", default=sys.executable, help="the interpreter that has the peers")
    asked = parser.parse_args()
    if asked.work:
        work()
        return
    head = (
        "points",
        "kind",
        "",
        "a step",
        "to embedlab",
        "before",
        "memory",
        "to its end (steps)",
        "rmse",
        "",
    )
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head), flush=True)
    for points in asked.sizes:
        for kind in asked.kinds:
            for row in compare(kind, points, asked):
                print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
