"""Processes of our own code, and several that the variables of ``torchrun`` make one group.

They are forked from a server that has imported torch, which takes a process longer than most of these tests.
"""

import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path
from types import ModuleType

SERVER = get_context("forkserver")
SERVER.set_forkserver_preload(["torch", "embedlab.training.trainer"])


def _run(code, words, environment, out, err):
    """Be a fresh ``python -c``, as far as code can tell."""
    os.environ.clear()
    os.environ.update(environment)
    for path, number in ((out, 1), (err, 2)):
        file = os.open(path, os.O_WRONLY | os.O_APPEND)
        os.dup2(file, number)
        os.close(file)
    sys.stdout, sys.stderr = (os.fdopen(n, "w", buffering=1, encoding="utf-8", closefd=False) for n in (1, 2))
    sys.argv = ["-c", *words]
    warnings.simplefilter("ignore")
    try:
        # What it defines can be pickled only as part of the module of this name.
        sys.modules["__main__"] = ModuleType("__main__")
        exec(compile(code, "<string>", "exec"), vars(sys.modules["__main__"]))
    except Exception:
        traceback.print_exc()
        sys.exit(1)


class Started:
    """A process that runs code: the part of ``subprocess.Popen`` that tests use, in its words."""

    def __init__(self, code, *words, **environment):
        self._folder = Path(tempfile.mkdtemp())
        self._said = [self._folder / name for name in ("out", "err")]
        for path in self._said:
            path.touch()
        given = (code, [str(word) for word in words], {**os.environ, **environment}, *map(str, self._said))
        self._process = SERVER.Process(target=_run, args=given)
        self._process.start()
        self.pid = self._process.pid

    @property
    def returncode(self):
        return self._process.exitcode

    def poll(self):
        return self._process.exitcode

    def wait(self, timeout=None):
        self._process.join(timeout)
        assert self.returncode is not None, f"it runs for more than {timeout} s"
        return self.returncode

    def kill(self):
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def said(self):
        """Give what it has written so far to its output, and to where errors go."""
        return tuple(path.read_text("utf-8") for path in self._said)

    def until(self, said):
        """Wait until its output has these words."""
        while said not in self.said()[0]:
            assert self.poll() is None, self.said()[1]
            time.sleep(0.002)

    def communicate(self, timeout=None):
        self.wait(timeout)
        self.stdout, self.stderr = self.said()
        shutil.rmtree(self._folder)
        return self.stdout, self.stderr


def threads():
    """Name the threads of this process that torch's groups of processes started; Linux only."""
    found = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    return sorted(name for name in found if "gloo" in name or "nccl" in name)


def grouped(code, *words, processes=2):
    """Run code in some processes that are one group, and wait for their ends."""
    from torch.distributed import TCPStore

    # As torchrun does: a port found here, and bound later by the first process, can be taken meanwhile.
    meeting = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    environment = {
        "MASTER_ADDR": meeting.host,
        "MASTER_PORT": str(meeting.port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "WORLD_SIZE": str(processes),
    }
    started = [
        Started(code, *words, **environment, RANK=str(rank), LOCAL_RANK=str(rank))
        for rank in range(processes)
    ]
    try:
        for process in started:
            process.communicate(timeout=120)
    finally:
        for process in started:
            process.kill()
    return started


def together(code, *words, processes=2):
    """Run code in some processes; give the lines that each printed, and how each ended."""
    ended = grouped(code, *words, processes=processes)
    return [one.stdout.splitlines() for one in ended], [one.returncode for one in ended]
