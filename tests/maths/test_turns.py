"""Rows of each person in turn, and draws of a few of them."""

import numpy as np

from embedlab.maths.turns import shuffled, some_by_name, some_of_each, turns

OWNERS = np.array([2, 0, 2, 2, 0, 3, 2])


def rng():
    return np.random.default_rng(5)


def test_a_turn_counts_the_rows_of_its_person_that_come_before():
    assert turns(OWNERS).tolist() == [0, 0, 1, 2, 1, 0, 3]
    assert turns(np.sort(OWNERS)).tolist() == [0, 1, 0, 1, 2, 3, 0]
    assert len(turns(np.array([], np.int64))) == 0


def test_shuffled_rows_are_all_there_person_by_person():
    order, turn = shuffled(OWNERS, rng())
    assert sorted(order) == list(range(7))
    assert OWNERS[order].tolist() == sorted(OWNERS)
    assert turn.tolist() == [0, 1, 0, 1, 2, 3, 0]
    firsts = {int(shuffled(OWNERS, np.random.default_rng(k))[0][2]) for k in range(50)}
    assert firsts == {0, 2, 3, 6}


def test_some_of_each_person_are_drawn_each_alike_often():
    drawn = [some_of_each(OWNERS, 2, np.random.default_rng(k)) for k in range(400)]
    for rows in drawn:
        assert np.bincount(OWNERS[rows]).tolist() == [2, 0, 2, 1]
        assert (np.diff(rows) > 0).all()
    often = np.bincount(np.concatenate(drawn), minlength=7) / 400
    np.testing.assert_allclose(often[OWNERS == 2], 0.5, atol=0.1)


def test_who_is_drawn_by_name_does_not_depend_on_how_rows_lie():
    names = np.array([f"i{k}" for k in (4, 1, 6, 0, 5, 3, 2)])
    rows = some_by_name(names, OWNERS, 2, rng())
    assert np.bincount(OWNERS[rows]).tolist() == [2, 0, 2, 1]
    assert OWNERS[rows].tolist() == sorted(OWNERS[rows])
    for seed in range(20):
        order = np.random.default_rng(seed).permutation(7)
        again = some_by_name(names[order], OWNERS[order], 2, rng())
        assert names[order][again].tolist() == names[rows].tolist()
