import numpy as np
import pytest

from embedlab.maths.people.folds import identity_folds


def test_folds_are_as_large_as_each_other():
    folds = identity_folds(23, 10, seed=0)
    assert sorted(np.bincount(folds)) == [2] * 7 + [3] * 3


def test_equal_seeds_give_equal_folds():
    np.testing.assert_array_equal(identity_folds(50, 5, 1), identity_folds(50, 5, 1))
    assert (identity_folds(50, 5, 1) != identity_folds(50, 5, 2)).any()


@pytest.mark.parametrize(("people", "k"), [(3, 4), (3, 1)])
def test_fewer_people_than_folds_are_refused(people, k):
    with pytest.raises(ValueError, match="cannot be dealt"):
        identity_folds(people, k, 0)
