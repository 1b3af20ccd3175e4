import numpy as np

from embedlab.maths.space import subsampling


def test_a_third_of_the_people_is_drawn_three_at_least():
    assert subsampling.thirds(90, 5, 0).sum(axis=1).tolist() == [30] * 5
    assert subsampling.thirds(6, 2, 0).sum(axis=1).tolist() == [3, 3]
    assert subsampling.thirds(2, 1, 0).all()
    np.testing.assert_array_equal(subsampling.thirds(40, 9, 1), subsampling.thirds(40, 9, 1))


def test_replicates_of_a_mean_spread_as_much_as_a_mean_does():
    values = np.random.default_rng(0).normal(size=400)
    found = np.array([values[own].mean() for own in subsampling.thirds(400, 4000, 0)])
    replicates = subsampling.replicates(values.mean(), found, 133 / 400)
    assert abs(replicates.std() / (values.std() / 20) - 1) < 0.05
    assert abs(replicates.mean() - values.mean()) < 1e-12


def test_of_all_people_or_of_no_number_nothing_follows():
    assert np.isnan(subsampling.replicates(1.0, np.ones(4), 1.0)).all()
    assert np.isnan(subsampling.replicates(1.0, np.full(4, np.nan), 0.25)).all()


def test_the_first_neighbours_within_are_marked():
    inside = np.array([True, False, True, True])
    found = subsampling.first_within(np.array([[1, 2, 3], [3, 2, 0]]), inside, 1)
    np.testing.assert_array_equal(found, [[False, True, False], [True, False, False]])
