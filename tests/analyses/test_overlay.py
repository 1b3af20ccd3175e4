import dataclasses

import numpy as np
import pytest
from scipy.stats import ortho_group

from embedlab.analyses import overlay
from embedlab.analyses.overlay import SHARED, OverlayParams
from embedlab.errors import UserError
from embedlab.estimates import Estimate, Estimates
from tests.planted import embedding_set

FEW = OverlayParams(resamples=200)


def other(a, vectors, model="other"):
    return dataclasses.replace(a, model=model, vectors=vectors.astype(np.float32))


def test_a_turned_copy_has_changed_no_neighbourhood_and_lies_where_the_first_lies():
    a = embedding_set(40, 3, noise=0.3)
    found = overlay.compute(a, other(a, a.vectors @ ortho_group.rvs(16, random_state=0)), FEW)
    assert found.estimates[SHARED,].value == 1.0
    np.testing.assert_array_equal(found.changed, 0.0)
    np.testing.assert_allclose(found.places[0], found.places[1], atol=1e-4)
    assert found.unmatched == pytest.approx(0, abs=1e-6)


def test_vectors_dealt_to_other_items_share_no_more_than_chance():
    a = embedding_set(60, 3, noise=0.3)
    dealt = np.random.default_rng(5).permutation(len(a.vectors))
    found = overlay.compute(a, other(a, a.vectors[dealt]), FEW)
    shared = found.estimates[SHARED,]
    assert shared.null == pytest.approx(15 / 179)
    assert shared.value == pytest.approx(shared.null, abs=0.02)
    assert found.unmatched > 0.5
    (chart,) = overlay.charts([found])
    assert "of 60 people" in chart.note
    assert chart.links.shape == (180, 2)
    assert chart.values.mean() == pytest.approx(1 - shared.value)


def test_models_of_other_dimensions_are_laid_over_each_other():
    a = embedding_set(40, 3, dimension=32, noise=0.3)
    found = overlay.compute(a, other(a, a.vectors[:, :6]), FEW)
    assert found.places.shape == (2, 120, 2)
    assert 0.2 < found.estimates[SHARED,].value < 1


def test_a_sample_is_drawn_by_name_and_said_to_be_one():
    a = embedding_set(40, 4)
    b = other(a, a.vectors[:, ::-1])
    params = dataclasses.replace(FEW, people=7, images=2)
    found = overlay.compute(a, b, params)
    shuffled = a.take(np.random.default_rng(1).permutation(len(a.items)))
    again = overlay.compute(shuffled, b, params)
    np.testing.assert_array_equal(found.items, again.items)
    assert (found.people, found.all_people, len(found.items)) == (7, 40, 14)
    assert "A sample: 7 of 40 people, seed 0" in overlay.charts([found])[0].note
    assert "nearest among the 14 shown" in overlay.findings([found])[0].text


def test_pictures_of_several_models_have_one_span():
    a = embedding_set(40, 3, noise=0.3)
    results = [overlay.compute(a, other(a, a.vectors + k), FEW) for k in (0.1, 0.5)]
    first, second = overlay.charts(results)
    assert first.ranges == second.ranges


def test_too_few_images_are_refused():
    a = embedding_set(4, 1)
    with pytest.raises(UserError, match="4 images make no picture: give or draw at least 5"):
        overlay.compute(a, other(a, a.vectors), FEW)


def test_a_model_with_one_vector_is_refused():
    a = embedding_set(20, 2)
    with pytest.raises(UserError, match="one of them has one vector for all images shown"):
        overlay.compute(a, other(a, np.ones_like(a.vectors)), FEW)


def test_of_many_pairs_the_most_and_the_least_alike_are_told():
    a = embedding_set(20, 3)
    one = overlay.compute(a, other(a, a.vectors), FEW)
    every = [
        dataclasses.replace(one, b=f"b{k}", estimates=Estimates({(SHARED,): Estimate(k / 10, n=30)}))
        for k in (3, 1, 5, 2)
    ]
    most, least = overlay.findings(every)
    assert "50% are the same in p in m and b5" in most.text
    assert "10% are the same in p in m and b1" in least.text
    assert len(overlay.findings(every[:2])) == 2
