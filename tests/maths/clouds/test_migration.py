import numpy as np
import pytest

from embedlab.maths.clouds.migration import RIDGE, SELF, Attempts, Certificate, knee, knees, sizes_of


def test_a_knee_is_read_off_a_line_over_the_logarithm():
    curve = np.array([[0.1], [0.5], [0.9], [1.0]])
    sizes = [10, 100, 1000, 10_000]
    assert knee(sizes, curve, np.array([0.7])) == pytest.approx(10**2.5)
    assert knee(sizes, curve, np.array([0.5])) == pytest.approx(100)
    assert knee(sizes, curve, np.array([0.05])) == 10
    assert np.isnan(knee(sizes, curve, np.array([1.1])))[0]


def test_a_curve_that_falls_back_counts_from_where_it_stays():
    curve = np.array([[0.9], [0.2], [0.8], [0.8]])
    assert knee([1, 10, 100, 1000], curve, np.array([0.5])) == pytest.approx(10**1.5)


def test_every_resample_has_a_knee_of_its_own():
    curve = np.array([[0.0, 0.6, 0.0], [0.5, 0.6, 0.0], [1.0, 1.0, 0.2]])
    found = knee([1, 10, 100], curve, np.array([0.5, 0.5, 0.5]))
    np.testing.assert_allclose(found, [10, 1, np.nan])


def tried(curves, agreement=0.9, wrong=(0.1, 0.2, 0.3)):
    spread = np.array([0.0, 0.01, -0.01])
    return {
        size: Attempts(
            {name: np.full((3, 5), curve[k]) for name, curve in curves.items()},
            np.full(3, agreement) + spread,
            np.array(wrong) + 0.01 * k,
        )
        for k, size in enumerate((5, 10, 20, 40, 80, 160, 320))
    }


def test_knees_are_held_against_ridge_on_all():
    curves = {
        RIDGE: np.linspace(0.3, 0.9, 7),
        SELF: np.array([0.2, 0.89, 0.9, 0.9, 0.9, 0.9, 0.9]),
        "rotation": np.linspace(0.1, 0.8, 7),
    }
    found = knees(tried(curves), 0.02, 0)
    assert set(found) == {RIDGE, SELF}
    assert found[SELF].value < 10 < 200 < found[RIDGE].value < 320


def test_a_certificate_holds_as_long_as_every_larger_number_does():
    curves = dict.fromkeys((RIDGE, SELF, "rotation"), np.ones(7))
    made = tried(curves)
    assert Certificate.of(made).holds_from == 5
    made[20].agreement[1] = 0.2
    found = Certificate.of(made)
    assert found.holds_from == 40
    assert found.p_value < 0.05
    made[320].agreement[:] = 0.2
    found = Certificate.of(made)
    assert (found.holds_from, found.p_value) == (0, 1.0)


def test_all_people_are_the_last_number():
    assert sizes_of(840) == [5, 10, 20, 40, 80, 160, 320, 640, 840]
    assert sizes_of(6) == [5, 6]
    assert sizes_of(4) == [4]
