"""With one process, what several do together is the plain thing (``test_sampled`` has several)."""

import torch
from torch.nn import functional

from embedlab.networks import collectives


def test_one_process_gathers_its_own_rows_and_shares_its_own_loss():
    x = torch.arange(6.0).reshape(3, 2).requires_grad_()
    assert collectives.gathered(x) is x
    loss = x.sum()
    assert collectives.shared(loss) is loss
    assert (collectives.world(), collectives.rank()) == (1, 0)


def test_one_process_has_the_plain_cross_entropy():
    logits, labels = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 2, 1, 1])
    assert torch.equal(collectives.cross_entropy(logits, labels), functional.cross_entropy(logits, labels))
