"""Kill, race and feed nonsense to the commands, far more often than a test may: by hand, before a release.

::

    python -m tests.soak --kills 100 --races 50 --inputs 20000

Kills: each command is ended by SIGKILL or SIGTERM at a random moment, in a third of the trials twice; then
it runs to its end, and must leave the very files, with the very contents, of an undisturbed run; so no
temporary may stay. After SIGTERM its status must be 143, or 0 if it was done. Races: two processes run one
command on one folder at once; both must end well and leave what one leaves. Inputs: files of each kind that
is read (``tests/test_fuzz.py`` makes them, and more are here) are damaged; a reader may answer with a value
or a ``UserError``, in time and memory that are bounded.

Everything is imported once, and each trial is a fork of this process, which has no threads. ``--only`` takes
names of commands or kinds of files. The exit status is 1 if anything was wrong; ``--keep`` says where the
folders of failed trials stay.
"""

import argparse
import contextlib
import hashlib
import io
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from safetensors import safe_open

from embedlab import analysis, runner
from embedlab.commands import cli
from embedlab.data import datasets
from embedlab.data.synthetic import sets as synthetic
from embedlab.errors import UserError
from embedlab.lab import embeddings, learning
from embedlab.lab.store import Lab
from embedlab.study import Study
from tests import test_fuzz
from tests.planted import embedding_set

ONE_THREAD = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
PATIENCE_S = 120.0
ENDING_S = 30.0
"""How long a process may take to end after SIGTERM on a busy machine."""
READING_S = 20
MEMORY = 4 << 30
"""Bytes that reading one damaged file may take beyond what was there before."""


# Inputs, made once and copied for each trial


def make_inputs(folder: Path) -> None:
    """Make faces, vectors, pairs, and a lab with a trained network."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    from PIL import Image

    for person in range(6):
        base = rng.integers(40, 215, size=(6, 6, 3))
        for k in range(4):
            picture = np.kron(base, np.ones((4, 4, 1))) + rng.normal(0, 12, (24, 24, 3))
            path = folder / "data" / "lowres" / f"p{person}" / f"{k}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(path)
    for name, seed in (("old", 0), ("new", 1)):
        made = embedding_set(model=name, probe="faces", seed=seed, people=12)
        embeddings.write(folder / f"{name}.parquet", made, {})
    rows = zip(made.items.tolist(), made.labels.tolist(), made.vectors.tolist(), strict=True)
    head = ",".join(["item", "identity", *(f"e{k}" for k in range(made.vectors.shape[1]))])
    lines = [",".join(map(str, (item, f"p{label}", *vector))) for item, label, vector in rows]
    (folder / "vectors.csv").write_text("\n".join([head, *lines]) + "\n")
    (folder / "map").mkdir()
    for words in (
        ["map", "fit", "old.parquet", "new.parquet", "--map", "map/map.safetensors"],
        [*TRAIN, "--lab", "trained"],
    ):
        assert ended(start(words, folder)) == 0, (folder / "said.txt").read_text()


TRAIN = ["train", "lowres144", "--data", "data", "--set", "width=2", "dimension=8", "epochs=2", "batch=8"]
TRAIN += ["input_size=16", "scale=8", "state_every=2"]
FACES = ["--data", "data/lowres", "--lab", "trained", "--models", "lowres144"]
VECTORS = ["--models", "old.parquet", "new.parquet", "--lab", "lab"]
ONLY = ["--only", "distances", "verification", "similarity"]
COMMANDS: dict[str, list[str]] = {
    "report": ["report", *VECTORS, *ONLY, "--out", "out"],
    "run": ["run", "distances", *VECTORS],
    "train": [*TRAIN, "--lab", "lab"],
    "extract": ["extract", *FACES, "--probes", "lowres", "lowres@12"],
    "import": ["import", "vectors.csv", "--model", "theirs", "--lab", "lab"],
    "map fit": ["map", "fit", "old.parquet", "new.parquet", "--map", "m.safetensors"],
    "map apply": ["map", "apply", "old.parquet", "--map", "map/map.safetensors", "--out", "o.parquet"],
    "data pack": ["data", "pack", "data/lowres", "--out", "packs", "--hold-out", "0.4"],
    "data align": ["data", "align", "data/lowres", "--out", "aligned", "--crop", "--size", "16"],
    "data export": ["data", "export", "data/lowres", "--out", "rec/train.rec", "--size", "16"],
    "drawing": ["(draw)"],
}
FRESH = ("report", "run", "train", "extract")
"""Commands that race a second time, doing again what is stored already."""


def draw() -> int:
    """Draw very few synthetic faces; there is no command for it alone."""
    with cli._ended_by_signals():
        synthetic.make(Path("faces"))
    return 0


# Processes


def start(words: list[str], folder: Path) -> int:
    """Run a command in a process of its own; give its number."""
    child = os.fork()
    if child:
        return child
    status = 70
    try:
        os.chdir(folder)
        said = os.open("said.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(said, 1)
        os.dup2(said, 2)
        sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
        status = draw() if words == ["(draw)"] else cli.main(words)
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 70
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def ended(child: int, patience: float = PATIENCE_S) -> int | None:
    """Wait for a process; its status, minus the signal that killed it, or None if it did not end."""
    until = time.monotonic() + patience
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


# What a command left


LEFT_OUT = (
    "seconds", "created", "date", "images_per_second", "versions", "provenance", "command", "source",
    "run.json",  # its digest, of what holds the time of day
)  # fmt: skip


def contents(folder: Path) -> dict[str, str]:
    """Name every file, with a hash of what in it does not depend on the clock."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name == "said.txt" or "tensorboard" in name:
            continue
        found[name] = "folder" if path.is_dir() else hashlib.sha256(settled(path)).hexdigest()[:12]
    return found


def settled(path: Path) -> bytes:
    if path.suffix == ".parquet":
        table = pq.read_table(path)
        kept = [name for name in table.column_names if name not in LEFT_OUT]
        return repr(table.select(kept).to_pydict()).encode()
    if path.suffix == ".json":
        return json.dumps(without_times(json.loads(path.read_text()))).encode()
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            return b"".join(name.encode() + arrays[name].tobytes() for name in sorted(arrays.files))
    if path.suffix == ".safetensors":
        with safe_open(path, framework="numpy") as file:
            told = {key: without_times(read_json(text)) for key, text in (file.metadata() or {}).items()}
            parts = [name.encode() + file.get_tensor(name).tobytes() for name in sorted(file.keys())]
        return json.dumps(told, sort_keys=True).encode() + b"".join(parts)
    if path.suffix == ".html":
        return path.read_bytes()[-8:]
    return path.read_bytes()


def read_json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_times(one) for key, one in value.items() if key not in LEFT_OUT}
    return [without_times(one) for one in value] if isinstance(value, list) else value


def differences(found: dict[str, str], right: dict[str, str]) -> str:
    """Say how what a trial left differs from what it should have left."""
    more = [f"+{name}" for name in found if name not in right]
    less = [f"-{name}" for name in right if name not in found]
    other = [f"≠{name}" for name in found if name in right and found[name] != right[name]]
    return " ".join((more + less + other)[:4])


# Trials


@dataclass(frozen=True)
class Right:
    """What an undisturbed run leaves, and how long it takes."""

    seconds: float
    left: dict[str, str]


class Soak:
    """The trials of one command each; every one gives "" or what was wrong."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.inputs = home / "inputs"

    def undisturbed(self, name: str) -> Right:
        """Run twice, for the first run may compile."""
        for _ in range(2):
            folder = self.fresh(f"right-{name}")
            begun = time.monotonic()
            status = ended(start(COMMANDS[name], folder))
            took = time.monotonic() - begun
            assert status == 0, f"{name}: {status}\n{(folder / 'said.txt').read_text()}"
        return Right(took, contents(folder))

    def fresh(self, name: str) -> Path:
        folder = self.home / name.replace(" ", "-")
        shutil.rmtree(folder, ignore_errors=True)
        return Path(shutil.copytree(self.inputs, folder))

    def kill(self, name: str, right: Right, number: int) -> str:
        """End a command at a random moment, then let it run."""
        rng = random.Random(f"{name} {number}")
        folder = self.fresh(f"kill-{name}-{number}")
        wrong = ""
        for _ in range(2 if number % 3 == 0 else 1):
            sign = rng.choice((signal.SIGKILL, signal.SIGTERM))
            child = start(COMMANDS[name], folder)
            time.sleep(rng.uniform(0.0, 1.05 * right.seconds))
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, sign)
            status = ended(child, ENDING_S)
            usual = (0, -signal.SIGKILL) if sign == signal.SIGKILL else (0, 143, -signal.SIGTERM)
            if status not in usual:
                wrong = f"status {status} after {sign.name}"
        status = ended(start(COMMANDS[name], folder))
        wrong = wrong or (f"status {status} in the end" if status else "")
        return self.judged(folder, wrong, right)

    def race(self, name: str, right: Right, number: int, *, fresh: bool) -> str:
        """Let two processes run a command at once."""
        folder = self.fresh(f"race-{name}-{number}-{fresh}")
        words = COMMANDS[name] + (["--fresh"] if fresh else [])
        if fresh:
            ended(start(COMMANDS[name], folder))
        children = [start(words, folder)]
        time.sleep(random.Random(f"{name} {number}").uniform(0.0, 0.5 * right.seconds) * (number % 2))
        children.append(start(words, folder))
        statuses = [ended(child) for child in children]
        return self.judged(folder, f"statuses {statuses}" if any(statuses) else "", right)

    def judged(self, folder: Path, wrong: str, right: Right) -> str:
        wrong = wrong or differences(contents(folder), right.left)
        said = (folder / "said.txt").read_text(errors="replace")
        if "Traceback" in said:
            wrong += f" traceback: {said.strip().splitlines()[-1][:150]}"
        if not wrong:
            shutil.rmtree(folder)
        return wrong.strip()


# Damaged files


def make_pictures(kind: str) -> Callable[[Path], None]:
    return lambda folder: (folder / "x").write_bytes(test_fuzz.picture(1, kind, (24, 20)))


def read_picture(folder: Path) -> None:
    with contextlib.suppress(datasets.UnreadableImage):
        datasets.read_image(io.BytesIO((folder / "x").read_bytes()))


def make_onnx(folder: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import onnx
        from onnx import TensorProto, helper

        image = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 8, 8])
        vector = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 192])
        graph = helper.make_graph([helper.make_node("Flatten", ["x"], ["y"], axis=1)], "g", [image], [vector])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
        onnx.save(model, folder / "m.onnx")


def open_onnx(folder: Path) -> None:
    from embedlab.networks import foreign

    foreign.open_model(folder / "m.onnx").embed(np.zeros((1, 8, 8, 3), np.uint8))


def make_result(folder: Path) -> None:
    lab = Lab(folder)
    path = lab.embeddings_file("a", "p")
    path.parent.mkdir(parents=True)
    embeddings.write(path, embedding_set(model="a", probe="p", people=6), {})
    run_result(folder)
    (made,) = folder.glob("results/distances/*")
    made.joinpath("run.json").stat()
    (folder / "result").symlink_to(made, target_is_directory=True)


def run_result(folder: Path) -> None:
    """Fetch a stored result, or compute it again."""
    (outcome,) = runner.run_study(Lab(folder), Study(("a",), ("p",), ("distances",)))
    for run in outcome.runs:
        if run.error:
            raise AssertionError(run.error.strip().splitlines()[-1])


def make_curves(folder: Path) -> None:
    import pyarrow as pa

    schema = learning.schemas()["curves.parquet"]
    rows = {
        name: [1, 2, 3] if pa.types.is_integer(schema.field(name).type) else [0.5, 0.4, 0.3]
        for name in schema.names
    }
    pq.write_table(pa.table(rows, schema=schema), folder / "curves.parquet")


KINDS: dict[str, tuple[Any, str, Any]] = {
    **test_fuzz.KINDS,
    **{
        f"{kind} picture": (make_pictures(kind), "x", read_picture)
        for kind in ("PNG", "JPEG", "BMP", "PPM", "TIFF", "WEBP", "GIF")
    },
    "ONNX": (make_onnx, "m.onnx", open_onnx),
    "result.json": (make_result, "result/result.json", run_result),
    "arrays.npz": (make_result, "result/arrays.npz", run_result),
    "run.json": (make_result, "result/run.json", run_result),
    "curves": (make_curves, "curves.parquet", lambda folder: learning.table(folder / "curves.parquet")),
}


def damaged(valid: bytes, rng: random.Random) -> bytes:
    """Cut, turn over, overwrite, put in, take out or double parts of a good file."""
    data = bytearray(valid)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(max(len(data), 1))
        at = at % 64 if rng.random() < 0.5 else at  # Heads say what the rest is.
        length = rng.choice((1, 2, 4, 8, 30))
        how = rng.choice(("flip", "flip", "cut", "overwrite", "insert", "remove", "double", "fill", "number"))
        if how == "flip" and data:
            data[at % len(data)] ^= 1 << rng.randrange(8)
        elif how == "cut":
            del data[at:]
        elif how == "overwrite":
            data[at : at + length] = rng.randbytes(length)
        elif how == "insert":
            data[at:at] = rng.randbytes(length)
        elif how == "remove":
            del data[at : at + length]
        elif how == "double":
            data[at:at] = data[at : at + length]
        elif how == "fill":
            data[at : at + length] = rng.choice((b"\xff", b"\x00", b"\x7f")) * length
        elif how == "number":
            data[at : at + 4] = rng.choice((2**31 - 1, 2**32 - 1, 0, 10**9)).to_bytes(4, "little")
    return bytes(data)


def fuzz(name: str, folder: Path, inputs: range, report: Callable[[str], None]) -> None:
    """Feed a reader damaged files, and report whatever is neither a value nor a line of words."""
    make, file, read = KINDS[name]
    folder.mkdir(parents=True)
    make(folder)
    with contextlib.suppress(UserError):
        read(folder)  # What it imports shall not count as its memory.
    valid = (folder / file).read_bytes()
    # Address space, of which libraries reserve much more than they use.
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + MEMORY, resource.RLIM_INFINITY))
    for number in inputs:
        data = damaged(valid, random.Random(f"{name} {number}"))
        with contextlib.suppress(FileNotFoundError):
            (folder / file).unlink()
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_bytes(data)
        (folder / "current.txt").write_text(str(number))
        wrong = ""
        try:
            with test_fuzz.at_most(READING_S):
                read(folder)
        except UserError as error:
            wrong = "" if "\n" not in str(error).strip() else f"several lines: {str(error)[:100]!r}"
        except BaseException as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            wrong = f"{type(error).__name__}: {str(error)[:100]} ({Path(where.filename).name}:{where.lineno})"
        report(f"input {number}: {wrong}" if wrong else "")
    if test_fuzz.MARKER.exists():
        report("what a file names was run")


# All of it


def spread(
    tasks: list[Any], work: Callable[[Any, Callable[[str], None]], None], jobs: int, out: Path
) -> None:
    """Share tasks among some processes; what each reports goes to a file of lines [task, words]."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    children = []
    for k in range(jobs):
        child = os.fork()
        if child:
            children.append(child)
            continue
        try:
            with (out / f"{k}.jsonl").open("a") as file:

                def report(words: str, task: Any = None) -> None:
                    file.write(json.dumps([task, words]) + "\n")
                    file.flush()

                for task in tasks[k::jobs]:
                    work(task, lambda words, task=task: report(words, task))
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)
    for child in children:
        os.waitpid(child, 0)


def heard(out: Path) -> list[tuple[Any, str]]:
    """Read what was reported."""
    return [
        tuple(json.loads(line))
        for file in sorted(out.glob("*.jsonl"))
        for line in file.read_text().splitlines()
    ]


def table(title: str, found: dict[str, list[str]], seconds: float) -> bool:
    """Print how many trials of each kind there were, and what was wrong; whether nothing was."""
    trials = sum(map(len, found.values()))
    print(f"\n{title}: {trials:,} in {seconds:.0f} s")
    print(f"  {'':28}{'trials':>8}{'wrong':>8}")
    for name, words in found.items():
        wrong = [one for one in words if one]
        print(f"  {name:28}{len(words):8,}{len(wrong):8,}")
        kinds = Counter(one.partition(": ")[2] if one.startswith("input ") else one for one in wrong)
        for one, count in kinds.most_common(4):
            first = next(w for w in wrong if w.endswith(one))
            print(f"      {count} × {one}" + (f" [{first.partition(':')[0]}]" if first != one else ""))
    sys.stdout.flush()
    return not any(any(words) for words in found.values())


def gathered(out: Path, names: list[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {name: [] for name in names}
    for task, words in heard(out):
        found[task[0]].append(words)
    return found


def soak_commands(asked: argparse.Namespace, home: Path) -> bool:
    """Kill and race every command."""
    soak = Soak(home)
    make_inputs(soak.inputs)
    names = [name for name in COMMANDS if not asked.only or name in asked.only]
    rights = {name: soak.undisturbed(name) for name in names}
    print(", ".join(f"{name} {right.seconds:.2f} s" for name, right in rights.items()), flush=True)
    well = True
    if asked.kills:
        begun = time.monotonic()
        tasks = [(name, number) for number in range(asked.kills) for name in names]

        def kill(task: Any, report: Callable[[str], None]) -> None:
            report(soak.kill(task[0], rights[task[0]], task[1]))

        spread(tasks, kill, asked.jobs, home / "kills")
        well &= table("killed", gathered(home / "kills", names), time.monotonic() - begun)
    if asked.races:
        begun = time.monotonic()
        every = [(name, False) for name in names] + [(name, True) for name in names if name in FRESH]
        races = [
            (f"{name} --fresh" if fresh else name, name, fresh, number)
            for number in range(asked.races)
            for name, fresh in every
        ]

        def race(task: Any, report: Callable[[str], None]) -> None:
            _, name, fresh, number = task
            report(soak.race(name, rights[name], number, fresh=fresh))

        spread(races, race, asked.jobs, home / "races")
        titles = list(dict.fromkeys(title for title, *_ in races))
        well &= table("raced", gathered(home / "races", titles), time.monotonic() - begun)
    return well


def soak_readers(asked: argparse.Namespace, home: Path) -> bool:
    """Feed damaged files to every reader; one that brings its process down is wrong too."""
    names = [name for name in KINDS if not asked.only or name in asked.only]
    if not names or not asked.inputs:
        return True
    each = -(-asked.inputs // len(names))
    begun = time.monotonic()

    def work(task: Any, report: Callable[[str], None]) -> None:
        name, at = task[0], 0
        while at < each:
            folder = home / "fuzz" / f"{list(KINDS).index(name)}-{at}"
            child = os.fork()
            if not child:
                try:
                    fuzz(name, folder, range(at, each), report)
                except BaseException:
                    report(f"cannot be tried: {traceback.format_exc().strip().splitlines()[-1]}")
                finally:
                    os._exit(0)
            _, status = os.waitpid(child, 0)
            if os.waitstatus_to_exitcode(status) == 0:
                shutil.rmtree(folder, ignore_errors=True)
                return
            at = int((folder / "current.txt").read_text())
            report(f"input {at}: the process ended with status {os.waitstatus_to_exitcode(status)}")
            at += 1

    spread([(name,) for name in names], work, asked.jobs, home / "inputs-read")
    return table("damaged", gathered(home / "inputs-read", names), time.monotonic() - begun)


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100, help="kills of each command (default: 100)")
    parser.add_argument("--races", type=int, default=50, help="races of each command (default: 50)")
    parser.add_argument("--inputs", type=int, default=20_000, help="damaged files in all (default: 20,000)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="trials at once")
    parser.add_argument("--only", nargs="+", default=[], help="names of commands, or kinds of files")
    parser.add_argument("--keep", help="folder that failed trials are kept in (default: none are)")
    asked = parser.parse_args()
    if any(name not in os.environ for name in ONE_THREAD):
        # Libraries begin their threads when they are imported, and a fork has none of them.
        os.environ |= dict.fromkeys(ONE_THREAD, "1")
        os.execv(sys.executable, [sys.executable, "-m", "tests.soak", *sys.argv[1:]])
    torch.set_num_threads(1)
    for name in analysis.names():
        analysis.get(name)
    import onnxruntime  # noqa: F401

    from embedlab.commands import pipeline  # noqa: F401
    from embedlab.networks import callables, foreign  # noqa: F401
    from embedlab.report import build, training  # noqa: F401
    from embedlab.training import trainer  # noqa: F401

    synthetic.SCALES["demo"] = synthetic.Scale(3, 3, 2)
    with contextlib.ExitStack() as stack:
        temporary = stack.enter_context(tempfile.TemporaryDirectory(prefix="embedlab_soak_"))
        home = Path(asked.keep or temporary).resolve()
        home.mkdir(parents=True, exist_ok=True)
        well = True
        if asked.kills or asked.races:
            well &= soak_commands(asked, home)
        well &= soak_readers(asked, home)
    print("\nnothing was wrong" if well else "\nsomething was wrong: see above")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
