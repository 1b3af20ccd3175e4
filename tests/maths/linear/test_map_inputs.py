"""What a map is fitted on and judged on: people apart, rows matched, spaces on common axes."""

from dataclasses import replace

import numpy as np
import pytest

from embedlab.analyses.mapping import MappingParams
from embedlab.errors import UserError
from embedlab.maths.linear.map_inputs import MapInputs
from tests.maps import faces, turn, vectors

PARAMS = MappingParams(people=1000, images=4, held=0.25)


def made(x=None, y=None, each=4, order=None, **changes):
    x = vectors() if x is None else x
    y = x @ turn(x.shape[1]) if y is None else y
    return MapInputs.of(
        faces(x, images=each, order=order), faces(y, "b", images=each), replace(PARAMS, **changes)
    )


def test_rows_are_of_one_length_and_matched_by_image_whatever_their_order():
    x = 3 * vectors()
    found = made(x, order=np.random.default_rng(0).permutation(len(x)))
    np.testing.assert_allclose(np.linalg.norm(found.a, axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(found.a @ turn(), found.b, atol=1e-6)
    np.testing.assert_array_equal(found.a, made(x).a)
    np.testing.assert_array_equal(found.held, made(x).held)


def test_a_share_of_people_is_held_out_and_no_row_serves_both():
    found = made()
    assert (found.held.sum(), len(found.held), found.all_people) == (20, 80, 80)
    fitted = set(found.labels[found.rows])
    assert not fitted & set(found.labels[found.judged])
    assert sorted([*found.rows, *found.judged]) == list(range(320))
    np.testing.assert_array_equal(found.people, np.arange(60).repeat(4))
    np.testing.assert_array_equal(found.owners, np.arange(20).repeat(4))
    np.testing.assert_array_equal(found.partners, found.rows)


def test_no_more_people_and_images_than_asked_for_are_drawn():
    found = made(people=30, images=2)
    assert np.bincount(found.labels).tolist() == [2] * 30
    assert found.all_people == 80
    assert set(found.names) != set(made(people=30, images=2, seed=1).names)


def test_rows_of_one_person_are_matched_with_another_image():
    found = made(pairs="same person")
    assert (found.rows != found.partners).all()
    np.testing.assert_array_equal(found.labels[found.rows], found.labels[found.partners])
    assert sorted(found.partners) == sorted(made().rows)


def test_spaces_of_few_rows_get_common_axes_and_keep_all_products():
    x = vectors(people=6, images=2, d=100)
    y = x @ turn(100)
    found = made(x, y, each=2)
    assert found.a.shape == (12, 24)
    assert found.units == (0.24, 0.24)
    units = [z / np.linalg.norm(z, axis=1, keepdims=True) for z in (x, y)]
    np.testing.assert_allclose(found.a @ found.b.T, units[0] @ units[1].T, atol=1e-6)
    narrower = made(x, y[:, :50], each=2)
    assert (narrower.a.shape[1], narrower.b.shape[1], narrower.units) == (100, 50, (1.0, 1.0))


def test_turned_it_goes_from_the_second_space_to_the_first():
    found = made(x := vectors(), x @ turn()[:, :7], pairs="same person")
    back = found.turned()
    assert (back.a.shape[1], back.b.shape[1]) == (7, 12)
    assert back.units == found.units[::-1]
    np.testing.assert_array_equal(back.rows, found.rows)
    np.testing.assert_array_equal(back.partners, found.partners)
    again = back.turned()
    np.testing.assert_array_equal(again.a, found.a)


@pytest.mark.parametrize("dull", [0, 1])
def test_people_fitted_on_who_have_one_vector_are_refused_and_the_set_is_named(dull):
    spaces = [vectors(), vectors() @ turn()]
    spaces[dull] = np.where(made().held[np.arange(320) // 4, None], spaces[dull], spaces[dull][0])
    with pytest.raises(UserError, match=f"all drawn images of p in {'ab'[dull]} have one vector"):
        made(*spaces)


def test_four_people_are_needed_two_of_them_with_two_images_for_pairs_of_one_person():
    with pytest.raises(UserError, match="share 3 people: four are needed"):
        made(vectors(people=3))
    assert made(vectors(people=4)).held.sum() == 2
    with pytest.raises(UserError, match="set pairs to 'same image'"):
        made(vectors(images=1), each=1, pairs="same person")
