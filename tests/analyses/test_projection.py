import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.manifold import trustworthiness

from embedlab.analyses import projection
from embedlab.analyses.projection import ProjectionParams
from embedlab.embeddings import EmbeddingSet
from embedlab.errors import UserError
from tests.planted import embedding_set

FEW = ProjectionParams(resamples=200)


def test_axes_are_those_of_scikit_learn():
    a = embedding_set(people=40, images=4)
    vectors = a.unit.astype(float)
    mean, axes = projection._axes(vectors)
    np.testing.assert_allclose(mean, vectors.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(np.abs(axes.T), np.abs(PCA(3).fit(vectors).components_), atol=1e-8)


def test_trustworthiness_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    space = rng.normal(size=(120, 10))
    trust, kept = projection._neighbourhoods(space, space[:, :3], 15)
    assert trust.mean() == pytest.approx(trustworthiness(space, space[:, :3], n_neighbors=15), abs=1e-9)
    assert projection._neighbourhoods(space, space, 15)[1].mean() == 1.0
    assert 0 < kept.mean() < 1


def test_nobody_drawn_was_fitted_on():
    a = embedding_set(people=41)
    found = projection.compute((a,), FEW)
    assert (found.fitted_people, found.shown_people) == (20, 21)
    shuffled = np.random.default_rng(0).permutation(41)
    fitted = {a.identities[k] for k in shuffled[:20]}
    assert not fitted & set(found.identities)


def test_a_planted_plane_is_found_on_people_not_fitted_on():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(60), 3)
    flat = np.zeros((180, 20))
    flat[:, :3] = rng.normal(size=(60, 3))[labels]
    flat += 0.01 * rng.normal(size=flat.shape)
    a = EmbeddingSet.from_rows("m", "p", flat, [f"{k:03}" for k in range(180)], [f"{k:02}" for k in labels])
    found = projection.compute((a,), FEW)
    assert found.explained.value > 0.99
    assert found.trustworthiness.value > 0.95
    assert found.axis_shares.sum() == pytest.approx(found.explained.value, abs=1e-9)


def test_noise_explains_no_more_than_its_null_on_held_out_people():
    rng = np.random.default_rng(0)
    a = EmbeddingSet.from_rows(
        "m", "p", rng.normal(size=(300, 50)), [str(k) for k in range(300)], [str(k // 3) for k in range(300)]
    )
    found = projection.compute((a,), FEW)
    assert found.explained.value == pytest.approx(found.explained.null, abs=0.015)
    assert found.explained_in_sample > found.explained.value + 0.03


def test_both_probes_show_the_same_images():
    sets = (embedding_set(images=7), embedding_set(images=7, probe="p@32", seed=4))
    found = projection.compute(sets, FEW)
    names = [set(found.items[found.probe == k]) for k in (0, 1)]
    assert names[0] == names[1]
    assert len(names[0]) == 4 * found.shown_people


def test_the_picture_names_its_sample_and_its_quality():
    found = projection.compute((embedding_set(people=40),), ProjectionParams(drawn=7, resamples=50))
    (chart,) = projection.charts([found])
    assert "7 of 40 people, seed 0" in chart.note
    assert "Trustworthiness" in chart.note
    assert len(np.unique(chart.groups)) == 7


def test_too_few_people_are_refused():
    with pytest.raises(UserError, match="there are only 3: give images of at least 4"):
        projection.compute((embedding_set(people=3),), FEW)


def test_vectors_of_two_numbers_are_refused():
    with pytest.raises(UserError, match="vectors of 2 numbers; three axes need at least 3"):
        projection.compute((embedding_set(dimension=2),), FEW)


def test_images_are_chosen_by_name_not_by_row():
    sets = (embedding_set(images=7), embedding_set(images=7, probe="p@32", seed=4))
    order = np.random.default_rng(1).permutation(len(sets[1].items))
    found = projection.compute((sets[0], sets[1].take(order)), FEW)
    names = [set(found.items[found.probe == k]) for k in (0, 1)]
    assert names[0] == names[1]
    assert len(names[0]) == 4 * found.shown_people
