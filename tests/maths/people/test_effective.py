import numpy as np
import pytest

from embedlab.maths.people.effective import effective_number, ruling


def test_people_of_equal_shares_count_in_full_and_those_without_pairs_not_at_all():
    assert effective_number(np.array([3, 3, 3, 3, 0])) == 4
    assert effective_number(np.zeros(4)) == 0


def test_the_effective_number_is_that_of_as_many_equal_people_with_so_uncertain_a_mean():
    """The variance of a weighted mean of independent people is Σm²/(Σm)² of one person's."""
    rng = np.random.default_rng(0)
    masses = rng.pareto(1.5, size=60)
    means = rng.normal(size=(20_000, 60)) @ masses / masses.sum()
    assert effective_number(masses) == pytest.approx(1 / means.var(), rel=0.05)


def test_one_ruling_person_is_named_and_equal_people_are_not():
    images = np.r_[530, np.full(1679, 4)]
    who, shares = ruling(images * (images - 1) / 2)
    assert who.tolist() == [0]
    assert shares[0] == pytest.approx(0.933, abs=1e-3)
    assert len(ruling(np.full(20, 6.0))[0]) == 0
    assert len(ruling(np.zeros(3))[0]) == 0
