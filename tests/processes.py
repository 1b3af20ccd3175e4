"""Several processes that the variables of ``torchrun`` make one group."""

import os
import socket
import subprocess
import sys
from pathlib import Path


def together(code, *words, processes=2):
    """Run code in some processes; give the lines that each printed, and how each ended."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).resolve().parents[1]),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(processes),
    }
    started = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", code, *words],
            env={**environment, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(processes)
    ]
    said = [process.communicate(timeout=120)[0].splitlines() for process in started]
    return said, [process.returncode for process in started]
