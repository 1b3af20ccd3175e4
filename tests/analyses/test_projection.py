import dataclasses

import numpy as np
import pytest
from sklearn import manifold
from sklearn.neighbors import NearestNeighbors

from embedlab.analyses import projection
from embedlab.analyses.projection import KEPT, TRUST, ProjectionParams
from embedlab.errors import UserError
from embedlab.lab.embeddings import EmbeddingSet
from embedlab.maths.space.neighbours import trustworthiness
from tests.planted import embedding_set

FEW = ProjectionParams(resamples=200)
PICTURES = ("PCA 2-D", "PCA 3-D", "t-SNE", "UMAP", "t-SNE, named people")


def rows(vectors, images=3, model="m", probe="p"):
    """One set: every few rows are images of one person."""
    n = len(vectors)
    return EmbeddingSet.from_rows(
        model,
        probe,
        vectors,
        [f"item{k:04}" for k in range(n)],
        [f"person{k // images:03}" for k in range(n)],
    )


def drawn(found, name):
    """The points of one picture and whose they are."""
    place = found.pictures.index(name)
    mine = found.picture == place
    return found.points[mine, : found.axes[place]], found.person[mine], found.probe[mine], found.items[mine]


@pytest.fixture
def quick(monkeypatch):
    """Leave the maps out where they are not what is asked for."""
    for name in ("tsne", "umap"):
        monkeypatch.setattr(
            projection.maps,
            name,
            lambda around, size, seed, axes=2: seed + around.vectors[:, seed : seed + axes],
        )
    return lambda *sets, **changes: projection.compute(sets, dataclasses.replace(FEW, **changes))


def test_maps_keep_planted_clusters():
    """Better than the same pictures with the points dealt anew; how much better differs between machines."""
    sets = [embedding_set(30, 4, noise=0.25, probe=p, seed=k) for k, p in enumerate(("p", "p@32"))]
    found = projection.compute(sets, FEW)
    assert found.pictures == PICTURES
    row = [{name: k for k, name in enumerate(s.items)} for s in sets]
    rng = np.random.default_rng(0)
    for name in ("t-SNE", "UMAP"):
        points, person, probe, items = drawn(found, name)
        space = np.array([sets[p].unit[row[p][item]] for p, item in zip(probe, items, strict=True)])
        dealt = [rng.permutation(points) for _ in range(20)]
        trust = found.estimates[TRUST, name]
        assert trust.value == pytest.approx(trustworthiness(space, points, 15).mean())
        assert trust.value > max(trustworthiness(space, one, 15).mean() for one in dealt)
        together = [same_person_nearest(person, one) for one in (points, *dealt)]
        assert together[0] > 2 * max(together[1:])
        assert trust.low > trust.null
    assert found.estimates[KEPT, "UMAP"].null == 15 / (len(drawn(found, "UMAP")[0]) - 1)
    (said,) = projection.findings([found])
    assert "keeps the most of each point's 15 nearest neighbours, " in said.text


def same_person_nearest(person, points):
    """Give the share of points whose nearest is of the same person."""
    _, nearest = NearestNeighbors(n_neighbors=2).fit(points).kneighbors(points)
    return (person[nearest[:, 1]] == person).mean()


def test_quality_is_that_of_scikit_learn(quick):
    """Drawn with every person and image there is, the rows of the result are known."""
    a = embedding_set(people=40, images=4)
    found = quick(a)
    order = {name: k for k, name in enumerate(a.items)}
    for name in ("PCA 2-D", "PCA 3-D"):
        points, _, _, items = drawn(found, name)
        space = a.unit[[order[item] for item in items]]
        expected = manifold.trustworthiness(space, points, n_neighbors=15)
        assert found.estimates[TRUST, name].value == pytest.approx(expected, abs=1e-4)
        near, seen = (
            NearestNeighbors(n_neighbors=15).fit(x).kneighbors(return_distance=False) for x in (space, points)
        )
        kept = np.mean([len(set(one) & set(other)) / 15 for one, other in zip(near, seen, strict=True)])
        assert found.estimates[KEPT, name].value == pytest.approx(kept)


def test_several_layouts_show_how_far_they_agree_and_one_costs_one(quick):
    a = embedding_set(people=40, images=4)
    one, three = quick(a), quick(a, layouts=3)
    assert one.kept_by_layout.shape == (5, 1)
    assert three.kept_by_layout.shape == (5, 3)
    assert np.ptp(three.kept_by_layout[PICTURES.index("t-SNE")]) > 0
    notes = [[c.note for c in projection.charts([r])] for r in (one, three)]
    assert not any("layouts" in note for note in notes[0])
    assert ["over 3 layouts" in note for note in notes[1]] == [False, True, True, True]


def test_nobody_drawn_was_fitted_on(quick):
    a = embedding_set(people=41)
    found = quick(a)
    assert (found.fitted_people, found.judged_people, found.drawn_people) == (20, 21, 21)
    shuffled = np.random.default_rng(0).permutation(41)
    fitted = {a.identities[k] for k in shuffled[:20]}
    assert not fitted & {*found.identities}


def test_a_planted_plane_is_found_on_people_not_fitted_on(quick):
    rng = np.random.default_rng(0)
    flat = np.zeros((180, 20))
    flat[:, :3] = rng.normal(size=(60, 3))[np.repeat(np.arange(60), 3)]
    flat += 0.01 * rng.normal(size=flat.shape)
    found = quick(rows(flat))
    assert found.component_shares.sum() > 0.99
    assert found.estimates[TRUST, "PCA 3-D"].value > 0.95
    assert found.estimates[TRUST, "PCA 2-D"].value < 0.95


def test_both_probes_show_the_same_images_chosen_by_name_not_by_row(quick):
    sets = (embedding_set(images=7), embedding_set(images=7, probe="p@32", seed=4))
    order = np.random.default_rng(1).permutation(len(sets[1].items))
    for second in (sets[1], sets[1].take(order)):
        found = quick(sets[0], second)
        _, _, probe, items = drawn(found, "UMAP")
        names = [items[probe == k].tolist() for k in (0, 1)]
        assert names[0] == names[1]
        assert len(names[0]) == 4 * found.drawn_people


def test_many_probes_mean_fewer_images_of_each_person(quick):
    a = embedding_set(images=4)
    assert quick(a, points=45).images == 3
    assert quick(a, embedding_set(images=4, probe="p@32"), points=60).images == 2
    found = quick(a, points=1)
    assert (found.images, found.named_images) == (1, 1)
    assert len(drawn(found, "UMAP")[0]) == found.drawn_people


def test_the_named_people_are_those_with_the_most_images(quick):
    people = np.repeat([f"{k:02}" for k in range(40)], np.arange(1, 41))
    vectors = np.random.default_rng(0).normal(size=(len(people), 8))
    a = EmbeddingSet.from_rows("m", "p", vectors, [str(k) for k in range(len(people))], people)
    found = quick(a, named=4)
    fitted = {f"{k:02}" for k in np.random.default_rng(0).permutation(40)[:20]}
    chart = next(c for c in projection.charts([found]) if c.named)
    assert chart.group_names == tuple(sorted({f"{k:02}" for k in range(40)} - fitted)[-4:])
    assert np.bincount(chart.groups).tolist() == [20] * 4
    assert "The people with the most images among the 20 not fitted on" in chart.note


def test_each_picture_names_its_sample_and_its_quality(quick):
    found = quick(embedding_set(people=40), drawn=7)
    clouds = projection.charts([found])
    assert [len(np.unique(c.groups)) for c in clouds] == [7, 7, 7, 10]
    for chart in clouds:
        assert "Trustworthiness 0." in chart.note
        assert "neighbours kept" in chart.note
    assert all("7 of 40 people, seed 0" in chart.note for chart in clouds[:3])
    assert "None of them is among those that the axes were fitted on" in clouds[0].note
    assert all("distances between clusters" in chart.note for chart in clouds[1:])


def test_maps_are_laid_out_in_three_dimensions_where_asked_for(quick):
    found = quick(embedding_set(), map_dimensions=3)
    solid, tsne, umap, named = projection.charts([found])
    assert umap.points.shape[1] == tsne.points.shape[1] == solid.points.shape[1] == 3
    assert umap.axes == ("UMAP 1", "UMAP 2", "UMAP 3")
    assert named.points.shape[1] == 2


def test_components_of_several_models_have_axes_of_one_span(quick):
    a = embedding_set(40, 3, model="a")
    results = [quick(a), quick(dataclasses.replace(a, model="b", vectors=a.vectors + 0.5))]
    first, second = (c for c in projection.charts(results) if c.title.startswith("PCA"))
    assert first.ranges == second.ranges
    assert first.ranges[0][1] >= max(np.abs(c.points).max() for c in (first, second))


@pytest.mark.parametrize("dimensions", [2, 3])
def test_components_are_drawn_in_as_many_dimensions_as_asked_for(dimensions, quick):
    chart = projection.charts([quick(embedding_set(), dimensions=dimensions)])[0]
    assert chart.points.shape[1] == dimensions
    assert f"PCA {dimensions}-D" in chart.title


def test_too_few_people_are_refused():
    with pytest.raises(UserError, match="there are only 3: give images of at least 4"):
        projection.compute((embedding_set(people=3),), FEW)


def test_too_few_images_are_refused(quick):
    with pytest.raises(UserError, match="m: 2 images of 2 people make no picture: give or draw at least 5"):
        quick(embedding_set(people=4, images=1))
    with pytest.raises(UserError, match="m: 3 images of 1 people make no picture"):
        quick(embedding_set(people=30, images=3), named=1)


def test_vectors_of_two_numbers_are_refused():
    with pytest.raises(UserError, match="vectors of 2 numbers; three axes need at least 3"):
        projection.compute((embedding_set(dimension=2),), FEW)


def test_vectors_that_all_point_one_way_are_refused(quick):
    alike = np.outer(np.arange(1.0, 31.0), np.ones(8))
    with pytest.raises(UserError, match="m: all vectors of half of the people point one way"):
        quick(rows(alike))
