"""A small network beside ridge: where spaces are bent it adds much, and where they are not it is left out."""

import numpy as np
import pytest

from embedlab.maths.linear import residual_mlp
from embedlab.maths.linear.linear_maps import RidgePath

D, IMAGES = 16, 3


def spaces(bent, people=200, seed=0, noise=0.05):
    """Rows of people in two spaces, the second turned, and bent along further directions."""
    rng, fixed = np.random.default_rng(seed), np.random.default_rng(99)
    x = rng.normal(size=(people, D)).repeat(IMAGES, axis=0) + 0.4 * rng.normal(size=(people * IMAGES, D))
    turned = np.linalg.qr(fixed.normal(size=(D, D)))[0]
    y = x @ turned + bent * np.abs(x @ fixed.normal(size=(D, D)) / np.sqrt(D))
    y += noise * rng.normal(size=y.shape)
    return x / np.sqrt(D), y / np.sqrt(D), np.arange(people).repeat(IMAGES)


def fitted(x, y, owners, seed=0):
    path = RidgePath.of(x, y, owners % 10)
    return path, *residual_mlp.fit(x, y, owners % 10, path, seed=seed)


def explained(one, x, y):
    return 1 - ((y - one.apply(x)) ** 2).sum() / ((y - y.mean(axis=0)) ** 2).sum()


@pytest.fixture(scope="module")
def bent():
    return fitted(*spaces(0.7))


def test_what_ridge_cannot_bend_the_network_does(bent):
    path, one, _ = bent
    x, y, _ = spaces(0.7, seed=1)
    assert np.isfinite(one.decay)
    assert explained(one, x, y) > explained(path.ridge(), x, y) + 0.05


def test_it_does_no_worse_than_that_of_scikit_learn(bent):
    from sklearn.neural_network import MLPRegressor

    path, one, _ = bent
    x, y, _ = spaces(0.7)
    left = y - path.ridge().apply(x)
    unit, size = x.std(), left.std()
    peer = MLPRegressor(
        hidden_layer_sizes=(residual_mlp.HIDDEN,), alpha=0.01, max_iter=60, n_iter_no_change=60,
        random_state=0, learning_rate_init=3e-3,
    )  # fmt: skip
    with pytest.warns(match="Maximum iterations"):
        peer.fit(x / unit, left / size)
    x, y, _ = spaces(0.7, seed=1)
    other = path.ridge().apply(x) + size * peer.predict(x / unit)
    assert explained(one, x, y) > 1 - ((y - other) ** 2).sum() / ((y - y.mean(axis=0)) ** 2).sum() - 0.01


def test_where_the_spaces_are_turned_it_is_left_out_and_the_map_is_ridge():
    x, y, owners = spaces(0.0)
    path, one, without = fitted(x, y, owners)
    assert one.decay == np.inf
    np.testing.assert_array_equal(one.apply(x), path.ridge().apply(x))
    for found, ridge in zip(without, path.without_each(), strict=True):
        np.testing.assert_array_equal(found.apply(x), ridge.apply(x))


def test_gradients_are_those_of_torch():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=shape) for shape in ((D, 5), (5,), (5, 3), (3,))]
    x, y = rng.normal(size=(7, D)), rng.normal(size=(7, 3))
    enter, bias, leave, shift = each = [torch.tensor(one, requires_grad=True) for one in weights]
    out = torch.relu(torch.tensor(x) @ enter + bias) @ leave + shift
    (((out - torch.tensor(y)) ** 2).sum() / 2 / len(x)).backward()
    # The rows are halved in single precision only.
    for found, one in zip(residual_mlp.gradients(x, y, weights), each, strict=True):
        np.testing.assert_allclose(found, one.grad.numpy(), rtol=1e-5)


def test_equal_seeds_give_equal_maps_and_others_do_not(bent):
    x, y, owners = spaces(0.7)
    same, other = (fitted(x, y, owners, seed)[1].apply(x) for seed in (0, 1))
    np.testing.assert_array_equal(same, bent[1].apply(x))
    assert not np.array_equal(same, other)


def test_four_rows_and_rows_that_do_not_differ_are_mapped():
    rng = np.random.default_rng(0)
    for x, y in ((rng.normal(size=(4, 3)), rng.normal(size=(4, 2))), (np.ones((6, 3)), np.ones((6, 2)))):
        owners = np.arange(len(x))
        path = RidgePath.of(x, y, owners)
        one, without = residual_mlp.fit(x, y, owners, path, seed=0)
        assert np.isfinite(one.apply(x)).all()
        assert len(without) == len(x)
