"""An analysis of cheese to report on, and a headless Chromium to look at the report with.

The browser is driven by the DevTools protocol over a pipe: no library, no port.

How to read it
--------------
More is better.

- The first thing is ``share``.
- The second is *tiny*.

Limits
------
Cheese ends [1]_.

References
----------
.. [1] Brie and Gouda, On holes, 1999.
   In two lines.
"""

import dataclasses
import importlib.util
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from embedlab.analysis import Analysis, Estimate, Finding, Params, Result
from embedlab.charts import (
    Bars,
    BarSeries,
    Chart,
    Curve,
    Curves,
    Dendrogram,
    Heatmap,
    Histogram,
    Scatter,
    Table,
    Tile,
    Tiles,
)
from embedlab.runner import Outcome, Run

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    *("--headless=new", "--no-sandbox", "--no-first-run", "--disable-gpu", "--enable-unsafe-swiftshader"),
    *("--use-gl=angle", "--use-angle=swiftshader", "--disable-background-networking", "--disable-sync"),
    *(
        "--disable-component-update",
        "--disable-dev-shm-usage",
        "--remote-debugging-pipe",
        "--hide-scrollbars",
    ),
)

# Chromium reads commands from descriptor 3 and writes to 4, each message ended by a zero.
START = (
    "import fcntl, os, sys; "
    "pipes = [fcntl.fcntl(int(n), fcntl.F_DUPFD, 20) for n in sys.argv[1:3]]; "
    "[os.dup2(pipe, n) for n, pipe in zip((3, 4), pipes)]; "
    "os.execvp(sys.argv[3], sys.argv[3:])"
)


# Checks of contrast on the demo take 40 s on two idle cores.
PATIENCE_S = 300


class Browser:
    """One page in a headless Chromium, and everything it said.

    ``messages`` holds all events so far: console calls, exceptions, log entries, network requests.
    """

    def __init__(self, program: str, profile: Path) -> None:
        to_read, self._write = os.pipe()
        self._read, to_write = os.pipe()
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                START,
                str(to_read),
                str(to_write),
                program,
                *FLAGS,
                f"--user-data-dir={profile}",
                "about:blank",
            ],
            pass_fds=(to_read, to_write),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(to_read)
        os.close(to_write)
        self.messages: list[dict[str, Any]] = []
        self._buffer = b""
        self._number = 0
        self._session = ""
        targets = self.call("Target.getTargets")["targetInfos"]
        page = next(target for target in targets if target["type"] == "page")
        attached = self.call("Target.attachToTarget", targetId=page["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send one command and wait for its answer."""
        self._number += 1
        command: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if self._session:
            command["sessionId"] = self._session
        os.write(self._write, json.dumps(command).encode() + b"\0")
        while True:
            message = self._next()
            if message.get("id") == self._number:
                assert "error" not in message, message
                return dict(message["result"])
            self.messages.append(message)

    def _next(self) -> dict[str, Any]:
        end = time.monotonic() + PATIENCE_S
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], max(0.0, end - time.monotonic()))
            assert ready, f"the browser did not answer for {PATIENCE_S} s"
            part = os.read(self._read, 1 << 20)
            assert part, "the browser ended"
            self._buffer += part
        line, _, self._buffer = self._buffer.partition(b"\0")
        return dict(json.loads(line))

    def afresh(self) -> None:
        """Put back the window, the pointer and all that is emulated, whatever a test before has left."""
        self.call("Page.navigate", url="about:blank")
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=0, y=0)
        self.call("Emulation.setScriptExecutionDisabled", value=False)
        self.call("Emulation.setTouchEmulationEnabled", enabled=False)
        self.call("Emulation.setEmulatedMedia", media="", features=[])
        self.call("Emulation.setCPUThrottlingRate", rate=1)
        window = {"width": 1400, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **window)

    def open(self, address: str) -> None:
        """Go to a page and wait until it has loaded."""
        self.messages.clear()
        self.call("Page.navigate", url=address)
        while not any(message.get("method") == "Page.loadEventFired" for message in self.messages):
            self.messages.append(self._next())

    def run(self, script: str) -> Any:
        """Evaluate an expression in the page, waiting for its promise, and give its value."""
        answer = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def until(self, script: str, wanted: Any) -> Any:
        """Give the value of an expression once it is as wanted; after 30 s, as it then is.

        What an event brings about comes in a later turn of the page, on a busy machine much later.
        """
        end = time.monotonic() + 30
        while (found := self.run(script)) != wanted and time.monotonic() < end:
            time.sleep(0.02)
        return found

    def said(self, *methods: str) -> list[dict[str, Any]]:
        """Give what the events of these kinds held."""
        return [message["params"] for message in self.messages if message.get("method") in methods]

    def close(self) -> None:
        """End the browser."""
        os.write(self._write, json.dumps({"id": 0, "method": "Browser.close"}).encode() + b"\0")
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self._write)
        os.close(self._read)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """Start a headless Chromium; where there is none, the test is skipped and says so."""
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(f"no browser to open the report in: none of {', '.join(BROWSERS)} is installed")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        opened = Browser(program, Path(profile))
        yield opened
        opened.close()


@pytest.fixture
def browser(chromium: Browser) -> Browser:
    """Give the browser as it was when it started."""
    chromium.afresh()
    return chromium


@pytest.fixture(scope="session")
def axe() -> str:
    """Give axe-core, which finds what keeps people out: the file AXE_CORE names, or the package's."""
    spec = importlib.util.find_spec("axe_core_python")
    places = [os.environ.get("AXE_CORE", ""), *(spec.submodule_search_locations if spec else ())]
    files = [path if path.is_file() else path / "axe.min.js" for path in map(Path, filter(None, places))]
    found = next((path for path in files if path.is_file()), None)
    if found is None:
        pytest.skip("no axe-core: pip install axe-core-python, or name its axe.min.js in AXE_CORE")
    return found.read_text(encoding="utf-8")


EVIL = '<script>alert(1)</script>"><img src=x onerror=alert(2)> $\\frac</script>'


@dataclass(frozen=True)
class CheeseParams(Params):
    """Knobs."""

    holes: int = 3
    """How many holes a cheese has."""

    seed: int = 0
    """Seed of the draw."""


@dataclass(frozen=True)
class Cheese(Result):
    """A result with every kind of number."""

    share: Estimate
    tiny: Estimate
    count: int
    by_name: Mapping[str, Estimate] = dataclasses.field(default_factory=dict)


def compute(a: Any, params: CheeseParams) -> Cheese:
    """Give a result that depends on its input's name only."""
    share = Estimate(len(a) / 100, 0.01, 0.5, n=60, null=0.005)
    return Cheese(f"as is in {a}", share, Estimate(0.0001, 0.00005, 0.0002), params.holes, {f"of {a}": share})


def charts(results: Sequence[Cheese]) -> list[Chart]:
    """Draw one chart of every kind, with hostile names wherever a name goes."""
    rng = np.random.default_rng(0)
    index = np.arange(12)
    x = np.linspace(0.01, 0.99, 20)
    names = tuple(result.title for result in results)
    marks = {
        "marks": index % 2,
        "mark_names": ("as is", EVIL),
        "groups": index // 2,
        "group_names": (EVIL,) * 6,
    }
    curve = Curve(EVIL, x, 1 - x, low=0.9 * (1 - x), high=1 - x, model="brie")
    return [
        Scatter(title=f"In space {EVIL}", points=rng.normal(size=(12, 3)), axes=(EVIL, "y", "z"), **marks),
        Scatter(
            title="On paper",
            points=rng.normal(size=(12, 2)),
            axes=("x", EVIL),
            links=index.reshape(6, 2),
            **marks,
        ),
        Histogram(
            title="Spread",
            xlabel=EVIL,
            edges=np.arange(5.0),
            series={EVIL: np.array([1, 2, 0, 4])},
            lines={EVIL: 2},
        ),
        Curves(
            title="DET",
            xlabel="FAR",
            ylabel="FRR",
            curves=(curve,),
            xscale="probit",
            yscale="probit",
            note=EVIL,
        ),
        Curves(title="ROC", xlabel="FAR", ylabel="TAR", curves=(curve,), xscale="log", diagonal=True),
        Heatmap(
            title="Matrix",
            xlabels=(EVIL, "b"),
            ylabels=("c",),
            values=np.array([[1.0, np.nan]]),
            text=np.array([[EVIL, ""]]),
        ),
        Dendrogram(
            title="Tree",
            labels=("a", EVIL, "c"),
            merges=np.array([[0.0, 1.0, 0.2, 2.0], [2.0, 3.0, 0.7, 3.0]]),
            xlabel=EVIL,
        ),
        Bars(
            title="Bars",
            ylabel="share",
            categories=(EVIL,),
            series=(BarSeries(EVIL, np.array([0.3])),),
            nulls=[0.1],
        ),
        Tiles(
            title="Kernels",
            tiles=tuple(Tile(rng.normal(size=(3, 3)), EVIL) for _ in range(8)),
            columns=4,
            signed=True,
        ),
        Tiles(
            title="Faces",
            tiles=tuple(Tile(rng.random((9, 9, 3)), str(i)) for i in range(8)),
            columns=4,
            rows=(EVIL, "2"),
        ),
        Table(
            title="Rows",
            columns=("name", EVIL),
            rows=((EVIL, results[0].share), *((name, 2500) for name in names)),
        ),
    ]


def findings(results: Sequence[Cheese]) -> list[Finding]:
    """Say one thing of each tone."""
    best = max(results, key=lambda result: result.share.value)
    return [
        Finding(f"Cheese {best.title} has the largest share, {best.share}.", "good"),
        Finding(f"It has {best.count} holes.", "bad"),
        Finding(f"Nothing else about {EVIL}."),
    ]


CHEESE = Analysis(
    question="Which cheese has the largest share?",
    over="set",
    params=CheeseParams(),
    result=Cheese,
    compute=compute,
    charts=charts,
    findings=findings,
)


@pytest.fixture(scope="session")
def cheese() -> Analysis[CheeseParams, Cheese]:
    """Give an analysis of cheese: one chart of every kind, hostile names everywhere."""
    return CHEESE


@pytest.fixture(scope="session")
def evil() -> str:
    """Give a name that would run if it were not escaped."""
    return EVIL


@pytest.fixture(scope="session")
def outcome() -> Outcome:
    """Give four runs: two with results, one that does not apply, one that failed."""
    made = []
    for name in ("brie", "gouda"):
        record = {
            "inputs": [{"input": f"as is in {name}", "fingerprint": "0123456789abcdef"}],
            "seconds": 1.25,
            "created": "2024-05-01T10:00:00+00:00",
        }
        made.append(
            Run(f"as is in {name}", CHEESE.run([name], CheeseParams()), record=record, cached=name == "gouda")
        )
    made.append(Run("as is in feta", reason="feta has one person only"))
    made.append(
        Run("as is in edam", error="Traceback (most recent call last):\n  File …\nZeroDivisionError: by zero")
    )
    return Outcome(CHEESE, CheeseParams(holes=7), tuple(made))
