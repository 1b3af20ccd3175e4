import numpy as np

from embedlab.maths.pairs import levels


def test_a_rate_is_resolved_by_as_many_trials_as_one_error_takes():
    assert levels.resolved(1e-3, 1000).tolist() == [0.1, 0.01, 0.001]
    assert levels.resolved(1e-3, 999).tolist() == [0.1, 0.01]
    assert levels.resolved(0.02, 60).tolist() == [0.1, 0.02]
    assert levels.resolved(1e-3, 9).tolist() == []
    assert levels.resolved(0.3, 5, usual=(0.1,)).tolist() == [0.3]


def test_a_curve_begins_where_one_error_is_and_ends_below_all():
    rates = levels.along(1000)
    assert (rates[0], len(rates)) == (1e-3, levels.POINTS - 1)
    assert (np.diff(rates) > 0).all()
    assert rates[-1] < 1
    assert levels.along(10**9)[0] == 1e-6
    assert levels.along(0).shape == (0,)


def test_fewer_than_ten_errors_are_cautioned():
    assert levels.unstable(10) == ""
    assert levels.unstable(9) == " (unstable)"


def test_a_rate_is_found_where_it_is_resolved():
    found = levels.resolved(1e-3, 2_000)
    assert found[levels.index_of(found, 1e-3)] == 1e-3
    assert levels.index_of(found, 1e-3 * (1 + 1e-9)) is not None
    assert levels.index_of(found, 1e-4) is None
