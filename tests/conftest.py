"""What tests of several files share."""

import gc
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

# Two workers of two threads each fight for two cores; who asks for more threads in a test still gets them.
for _threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")

# Extraction is in float32 then, as on processors that are no faster in bfloat16.
os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX512_CORE")

# Tests make many objects and drop them: looking for cycles after every 700 takes a twentieth of their time.
gc.set_threshold(50_000, 10, 10)

# What runs in the background ignores SIGINT, and after nohup SIGHUP; tests are of what they do at a terminal.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session", autouse=True)
def _no_waiting_for_the_disk():
    """What tests write need not outlive a power cut, and waiting for it takes longer than most of them."""
    from embedlab.lab import store

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "_sync", lambda path: None)
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real faces and real models; skips where there is none."""
    told = os.environ.get("EMBEDLAB_TEST_DATA")
    folder = Path(told) if told else Path(__file__).resolve().parents[1] / ".." / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real faces in {folder}: name their folder in EMBEDLAB_TEST_DATA")
    return folder


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 256 kB in memory; skips where none may be mounted."""
    place = tmp_path / "disk"
    place.mkdir()
    mount, umount = shutil.which("mount"), shutil.which("umount")
    command = [mount or "mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)]
    if not mount or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip(
            "no file system may be mounted here: full and read-only disks are tried by planted errors"
        )
    yield place
    subprocess.run([umount or "umount", "-l", str(place)], check=True)
