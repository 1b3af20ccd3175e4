import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from embedlab import ranks
from embedlab.errors import UserError
from embedlab.ranks import ALONE, Ranks, from_environment

CHILD = """
import sys, time
from embedlab import ranks
from embedlab.errors import UserError
from embedlab.progress import say, shown

with shown(sys.stdout), ranks.joined() as here:
    say(f"process {here.rank} speaks")
    print(here.rank, ranks.from_first("of " + str(here.rank), here))
    with ranks.agreed(here):
        pass
    waited = 0
    try:
        with ranks.agreed(here) as stopped:
            if here.rank == 1:
                raise UserError("one is wrong: mend it")
            while not stopped() and waited < 60:
                time.sleep(0.05)
                waited += 0.05
    except UserError as error:
        print("error", error, waited < 60)
"""


def together(code, processes=2):
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
            [sys.executable, "-W", "ignore", "-c", code],
            env={**environment, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(processes)
    ]
    said = [process.communicate(timeout=120)[0].splitlines() for process in started]
    return said, [process.returncode for process in started]


def test_without_torchrun_there_is_one_process():
    assert from_environment({}) == ALONE
    assert ALONE.leads
    with ranks.joined() as here:
        assert here == ALONE
        assert ranks.from_first(3, here) == 3
        with ranks.agreed(here) as stopped:
            assert not stopped()


def test_what_torchrun_says_is_read():
    said = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1"}
    assert from_environment(said) == Ranks(3, 4, 1)
    assert not from_environment(said).leads


@pytest.mark.parametrize("rank", ["4", "-1", "two"])
def test_an_environment_that_contradicts_itself_is_refused(rank):
    with pytest.raises(UserError, match=f"the environment says RANK={rank}, .*: start the processes with"):
        from_environment({"RANK": rank, "WORLD_SIZE": "4"})


def test_processes_that_cannot_reach_each_other_are_told_of_torchrun(monkeypatch):
    for name, value in {"RANK": "0", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    for name in ("MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    with (
        pytest.raises(
            UserError, match=r"the 2 processes cannot reach each other .*: start them with torchrun"
        ),
        ranks.joined(),
    ):
        pass


def test_more_processes_than_cards_are_refused(monkeypatch):
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(ranks.compute, "device", lambda: "cuda")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    with pytest.raises(UserError, match="has no card, there are 0: start one process a card"), ranks.joined():
        pass


def test_an_error_in_one_process_stops_all_and_only_the_first_speaks():
    said, ended = together(CHILD)
    assert said == [["process 0 speaks", "0 of 0", "error one is wrong: mend it True"], ["1 of 0"]]
    assert ended == [0, 2]
