"""Train small networks on shared-out heads, in one process or as one of several (see ``test_sampled``)."""

import sys
from pathlib import Path

import torch
from torch.nn.parallel import DistributedDataParallel

from embedlab import ranks
from embedlab.networks import collectives
from embedlab.networks.octuplet import octuplet_loss
from embedlab.networks.sampled import Sampled

# Head, classes, rate, rows of the whole batch.
CASES = {
    "arcface, all": ("arcface", 21, 1.0, 8),
    "arcface, sampled": ("arcface", 21, 0.5, 8),
    "cosface, sampled": ("cosface", 30, 0.3, 8),
    "softmax, sampled": ("softmax", 21, 0.5, 8),
    "adaface, all": ("adaface", 21, 1.0, 8),
    "magface, sampled": ("magface", 21, 0.5, 8),
    "sharpness, sampled": ("adaface_sharpness", 21, 0.5, 8),
    "a process without classes in its sample": ("arcface", 4, 0.25, 2),
}
MARGINS = {"softmax": 0.0, "cosface": 0.35, "adaface": 0.4}
STEPS = 6
DIMENSION = 6


def slice_of(rows: int) -> slice:
    """The rows of a batch that this process sees."""
    here, count = collectives.rank(), collectives.world()
    return slice(rows * here // count, rows * (here + 1) // count)


def train(case: str) -> dict[str, torch.Tensor]:
    """Take some steps; give losses, the network's weights, gradients, and the head's whole state."""
    name, classes, rate, rows = CASES[case]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network: torch.nn.Module = torch.nn.Linear(5, DIMENSION).double()
        head = Sampled(name, DIMENSION, classes, rate, seed=3, margin=MARGINS.get(name, 0.5)).double()
    if collectives.world() > 1:
        network = DistributedDataParallel(network)
    parameters = [*network.parameters(), *head.parameters()]
    optimiser = torch.optim.SGD(parameters, 0.1, 0.9, weight_decay=0.01, fused=True)
    head.attach(optimiser)
    draw = torch.Generator().manual_seed(1)
    found = {}
    for step in range(STEPS):
        x = 10 * torch.randn(rows, 5, generator=draw, dtype=torch.float64)
        labels = torch.randint(classes if rows > 2 else 1, (rows,), generator=draw)
        sharpness = 500 * torch.rand(rows, generator=draw, dtype=torch.float64)
        own = slice_of(rows)
        loss = head(network(x[own]), labels[own], sharpness[own] if head.needs_sharpness else None, step=step)
        optimiser.zero_grad()
        loss.backward()
        found[f"loss {step}"] = loss.detach()
        found[f"norm {step}"] = head.gradient_norm()
        found[f"classes {step}"] = head.sample(labels, step)
        optimiser.step()
    found |= {f"network {name}": value for name, value in enumerate(p.detach() for p in network.parameters())}
    return found | {f"head {name}": value for name, value in head.full_state().items()}


def octuplet() -> dict[str, torch.Tensor]:
    """The octuplet loss and the gradient that a network under DistributedDataParallel gets."""
    draw = torch.Generator().manual_seed(2)
    x, labels = torch.randn(8, 5, generator=draw), torch.tensor([0, 0, 1, 1, 2, 2, 0, 1])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network: torch.nn.Module = torch.nn.Linear(5, DIMENSION)
    layer = network
    if collectives.world() > 1:
        network = DistributedDataParallel(network)
    own = slice_of(8)
    both = network(torch.cat([x[own], x.flip(1)[own]]))
    loss = octuplet_loss(*both.chunk(2), labels[own])
    loss.backward()
    return {"loss": loss.detach(), "gradient": layer.weight.grad}


def resumed(state: dict[str, torch.Tensor], rate: float) -> dict[str, torch.Tensor]:
    """Load a head's whole state and give it again."""
    head = Sampled("arcface", DIMENSION, 21, rate).double()
    head.attach(torch.optim.SGD(head.parameters(), 0.1, 0.9))
    head.load_full_state(state)
    return head.full_state()


def _found() -> dict[str, dict[str, torch.Tensor]]:
    results = {case: train(case) for case in CASES} | {"octuplet": octuplet()}
    state = {
        name.removeprefix("head "): value
        for name, value in results["arcface, sampled"].items()
        if name.startswith("head ")
    }
    return results | {f"resumed at {rate}": resumed(state, rate) for rate in (0.5, 1.0)}


def main(rank: int, world: int, folder: Path) -> None:
    """Be one of several processes; the results go to the folder."""
    torch.set_num_threads(1)
    with ranks.group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=world):
        torch.save(_found(), folder / f"{rank}.pt")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
