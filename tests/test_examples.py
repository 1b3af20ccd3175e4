import numpy as np

from embedlab.examples import planted, planted_weights


def test_planted_models_share_their_people_and_differ_by_a_turn_and_noise():
    a, b = planted("a", noise=0.01), planted("b", noise=0.01)
    assert a.identities == b.identities
    assert a.items.tolist() == b.items.tolist()
    u, _, v = np.linalg.svd(a.vectors.T @ b.vectors)
    assert np.abs(a.vectors @ (u @ v) - b.vectors).mean() < 0.05
    assert np.abs(a.vectors - b.vectors).mean() > 0.5


def test_the_same_name_gives_the_same_set_and_another_probe_other_noise():
    assert np.array_equal(planted("a").vectors, planted("a").vectors)
    sharp, blurred = planted("a", "p"), planted("a", "p@8")
    assert not np.array_equal(sharp.vectors, blurred.vectors)
    assert (sharp.unit * blurred.unit).sum(1).mean() > 0.5


def test_planted_weights_are_two_layers_of_their_model():
    one = planted_weights("a", kernels=4)
    assert {name: kernels.shape for name, kernels in one.layers.items()} == {
        "conv1": (4, 3, 3, 3),
        "conv2": (4, 4, 3, 3),
    }
    assert not np.array_equal(one.layers["conv1"], planted_weights("b", kernels=4).layers["conv1"])
