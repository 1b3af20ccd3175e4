import numpy as np
import pytest
from scipy.stats import ortho_group

from embedlab.analyses import components
from embedlab.analyses.components import EXPLAINED, RATIO, ComponentsParams
from embedlab.errors import UserError
from tests.planted import embedding_set
from tests.versions import probe

FEW = ComponentsParams(resamples=200)


def found_of(vectors, images=3):
    return components.compute((probe(vectors, images=images),), FEW)


@pytest.mark.parametrize("rank", [3, 8])
def test_data_of_a_rank_have_that_ratio_and_as_many_components(rank):
    """Few people, so that the plain ratio of a sample falls short of it."""
    rng = np.random.default_rng(1)
    basis = ortho_group.rvs(40, random_state=0)[:rank]
    found = found_of(rng.normal(size=(90, rank)) @ basis, images=1)
    ratio = found.estimates[RATIO,]
    assert ratio.value == pytest.approx(rank, rel=0.06)
    assert ratio.low < rank < ratio.high
    np.testing.assert_allclose(found.scree[0, :rank], 1 / rank, atol=0.1)
    np.testing.assert_allclose(found.scree[0, rank:], 0, atol=1e-6)
    assert ratio.null > 2 * rank


def test_noise_explains_no_more_than_its_null_on_held_out_people():
    found = found_of(np.random.default_rng(0).normal(size=(300, 50)))
    explained, ratio = found.estimates[EXPLAINED,], found.estimates[RATIO,]
    assert explained.value == pytest.approx(explained.null, abs=0.015)
    assert found.scree[3, :3].sum() > explained.value + 0.03
    assert ratio.value == pytest.approx(ratio.null, abs=3)
    assert ratio.low > 40


def test_a_planted_plane_is_found_on_people_not_fitted_on():
    rng = np.random.default_rng(0)
    flat = np.zeros((180, 20))
    flat[:, :3] = rng.normal(size=(60, 3))[np.repeat(np.arange(60), 3)]
    flat += 0.01 * rng.normal(size=flat.shape)
    found = found_of(flat)
    assert found.estimates[EXPLAINED,].value > 0.99
    judged, low, high, _, null = found.scree
    assert judged[:3].sum() == pytest.approx(found.estimates[EXPLAINED,].value)
    assert null[:3].sum() == pytest.approx(found.estimates[EXPLAINED,].null)
    assert (low <= judged).all()
    assert (judged <= high).all()
    np.testing.assert_array_equal(components.charts([found])[0].curves[0].y, judged)


def test_the_order_of_rows_does_not_matter():
    sets = embedding_set(40), embedding_set(40, probe="p@32", seed=3)
    shuffled = [s.take(np.random.default_rng(k).permutation(len(s.items))) for k, s in enumerate(sets)]
    found, again = (components.compute(some, FEW) for some in (sets, shuffled))
    for key, one in found.estimates.items():
        assert again.estimates[key].value == pytest.approx(one.value, rel=1e-6)
        assert one.is_paired(again.estimates[key])


def test_of_each_model_it_is_told_how_much_three_components_carry():
    found = components.compute((embedding_set(60, 3, dimension=32, noise=0.3),), FEW)
    (said,) = components.findings([found])
    assert said.text.startswith(f"Three principal components carry {found.estimates[EXPLAINED,]:.0%} of the")


def test_too_few_people_are_refused():
    with pytest.raises(UserError, match="only 3 are in every probe: give images of at least 4"):
        components.compute((embedding_set(people=3),), FEW)


def test_vectors_that_all_point_one_way_are_refused():
    with pytest.raises(UserError, match="m: all vectors of half of the people point one way"):
        found_of(np.outer(np.arange(1.0, 31.0), np.ones(8)))
