from pathlib import Path

import pytest

from embedlab import ranks
from embedlab.errors import UserError
from embedlab.ranks import ALONE, Ranks, from_environment
from tests.processes import together

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

LEFT = """
import torch
from torch.nn.parallel import DistributedDataParallel
from embedlab import ranks
from tests.processes import threads

def train():
    network = DistributedDataParallel(torch.nn.Linear(2, 2))
    network(torch.ones(1, 2)).sum().backward()
    print(*threads())

with ranks.joined() as here:
    train()
print("left:", *threads())
"""

SHARED = """
import sys
from embedlab import ranks, shares
from embedlab.errors import UserError

class Doubled:
    def __init__(self, fails):
        self.fails = fails
    def __call__(self, mine):
        mine[0]  # Whoever has no piece is not asked.
        for k in mine:
            if k == self.fails:
                raise UserError(f"piece {k} is wrong: mend it")
            yield 2 * k, here.rank

def work():
    print(list(shares.shared(Doubled(None), 5)), shares.beside())
    try:
        list(shares.shared(Doubled(2), 7))
    except UserError as error:
        print(error)
    print(list(shares.shared(Doubled(None), 2)), list(shares.shared(Doubled(None), 1)))
    return list(shares.shared(Doubled(int(sys.argv[1])), 4))

with ranks.joined() as here:
    try:
        print("gave", ranks.led(here, work))
    except UserError as error:
        print("error", error)
        sys.exit(2)
"""

SAME = """
import sys
from embedlab import ranks
from embedlab.errors import UserError

try:
    with ranks.joined() as here:
        raise UserError("this is wrong" + " here" * here.rank * int(sys.argv[1]))
except UserError as error:
    print(error)
"""


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


def test_processes_do_their_pieces_and_the_first_one_goes_on():
    said, ended = together(SHARED, "-1")
    assert said[0] == [
        "[(0, 0), (2, 1), (4, 0), (6, 1), (8, 0)] 1",
        # What the others found of a task that failed in the first process is not taken for the next one's.
        "piece 2 is wrong: mend it",
        "[(0, 0), (2, 1)] [(0, 0)]",
        "gave [(0, 0), (2, 1), (4, 0), (6, 1)]",
    ]
    assert said[1] == ["gave None"]
    assert ended == [0, 0]


def test_a_process_that_fails_in_its_share_ends_all_and_says_why():
    said, ended = together(SHARED, "3")
    assert said[0][-1] == "[(0, 0), (2, 1)] [(0, 0)]"
    assert said[1] == ["error piece 3 is wrong: mend it"]
    assert ended == [1, 2]


def test_the_same_mistake_in_all_processes_is_told_once():
    assert together(SAME, "0") == ([["this is wrong"], []], [0, 2])
    assert together(SAME, "1") == ([["this is wrong"], ["this is wrong here"]], [0, 0])


def test_a_lost_companion_ends_this_process_and_a_mistake_stays_one():
    with pytest.raises(SystemExit), ranks.companions(Ranks(0, 2)):
        raise RuntimeError("[gloo/transport/tcp/pair.cc:547] Connection closed by peer")
    with pytest.raises(RuntimeError, match="shapes"), ranks.companions(Ranks(0, 2)):
        raise RuntimeError("shapes differ")
    with pytest.raises(RuntimeError, match="gloo"), ranks.companions(ALONE):
        raise RuntimeError("gloo")


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are named in /proc, on Linux")
def test_the_threads_of_a_group_end_with_it():
    """One that was at work while the interpreter ended aborted the process."""
    said, codes = together(LEFT)
    assert codes == [0, 0]
    for within, left in said:
        assert "pt_gloo_runloop" in within
        assert left == "left:"
