import dataclasses

import numpy as np
import pytest
from scipy.stats import ortho_group
from sklearn import manifold
from sklearn.neighbors import NearestNeighbors

from embedlab.analyses import projection
from embedlab.analyses.projection import EXPLAINED, KEPT, RANK, TRUST, ProjectionParams
from embedlab.charts import Curves, Scatter, Table
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


def without_maps(patch):
    for name in ("tsne", "umap"):
        patch.setattr(projection.maps, name, lambda vectors, size, seed, axes=2: vectors[:, :axes])


def planted():
    """Two probes of 30 people, each a cluster."""
    return [embedding_set(30, 4, noise=0.25, probe=p, seed=k) for k, p in enumerate(("p", "p@32"))]


@pytest.fixture(scope="module")
def real():
    """Two models of the same people, the first drawn for real; the second is the first, turned."""
    sets = planted()
    turn = ortho_group.rvs(16, random_state=0)
    turned = [
        dataclasses.replace(s, model="turned", vectors=(s.vectors @ turn).astype(np.float32)) for s in sets
    ]
    first = projection.compute(sets, FEW)
    with pytest.MonkeyPatch.context() as patch:
        without_maps(patch)
        return [first, projection.compute(turned, FEW)]


@pytest.fixture
def quick(monkeypatch):
    """Leave the maps out where they are not what is asked for."""
    without_maps(monkeypatch)
    return lambda *sets, **changes: projection.compute(sets, dataclasses.replace(FEW, **changes))


def test_maps_keep_planted_clusters(real):
    """Better than the same pictures with the points dealt anew; how much better differs between machines."""
    found = real[0]
    sets = planted()
    row = [{name: k for k, name in enumerate(s.items)} for s in sets]
    space = np.array([sets[p].unit[row[p][item]] for p, item in zip(found.probe, found.items, strict=True)])
    rng = np.random.default_rng(0)
    for name, points in (("t-SNE", found.tsne), ("UMAP", found.umap)):
        dealt = [rng.permutation(points) for _ in range(20)]
        by_seed = found.trustworthiness_by_seed[PICTURES.index(name)]
        assert np.median(by_seed) > max(trustworthiness(space, one, 15).mean() for one in dealt)
        together = [same_person_nearest(found.person, one) for one in (points, *dealt)]
        assert together[0] > 2 * max(together[1:])
        trust = found.estimates[TRUST, name]
        assert trust.low > trust.null


def same_person_nearest(person, points):
    """Give the share of points whose nearest is of the same person."""
    _, nearest = NearestNeighbors(n_neighbors=2).fit(points).kneighbors(points)
    return (person[nearest[:, 1]] == person).mean()


def test_every_picture_prints_its_quality_and_its_spread_over_three_seeds(real):
    found = real[0]
    assert found.pictures == PICTURES
    assert found.trustworthiness_by_seed.shape == found.kept_by_seed.shape == (5, 3)
    for row, name in enumerate(PICTURES):
        assert found.estimates[TRUST, name].value == found.trustworthiness_by_seed[row, 0]
        assert found.estimates[KEPT, name].value == found.kept_by_seed[row, 0]
    assert (np.ptp(found.trustworthiness_by_seed[:3], axis=1) > 0).all()
    assert found.estimates[KEPT, "UMAP"].null == 15 / (len(found.items) - 1)
    table = next(chart for chart in projection.charts(real) if isinstance(chart, Table))
    assert len(table.rows) == 10
    low, high = found.kept_by_seed[2].min(), found.kept_by_seed[2].max()
    assert table.cells()[2][6] == f"{low:.3f}–{high:.3f}"


def test_quality_is_that_of_scikit_learn(real, quick):
    """Drawn with every person and image there is, the rows of the result are known."""
    a = embedding_set(people=40, images=4)
    found = quick(a)
    order = {name: k for k, name in enumerate(a.items)}
    space = a.unit[[order[item] for item in found.items]]
    for name, points in (("PCA 2-D", found.pca[:, :2]), ("PCA 3-D", found.pca[:, :3])):
        expected = manifold.trustworthiness(space, points, n_neighbors=15)
        assert found.estimates[TRUST, name].value == pytest.approx(expected, abs=1e-4)
    _, near = NearestNeighbors(n_neighbors=16).fit(space).kneighbors(space)
    np.testing.assert_array_equal(np.sort(found.native, axis=1), np.sort(near[:, 1:], axis=1))


def test_nobody_drawn_was_fitted_on(quick):
    a = embedding_set(people=41)
    found = quick(a)
    assert (found.fitted_people, found.judged_people, found.drawn_people) == (20, 21, 21)
    shuffled = np.random.default_rng(0).permutation(41)
    fitted = {a.identities[k] for k in shuffled[:20]}
    assert not fitted & {*found.identities, *found.named_identities}


def test_a_planted_plane_is_found_on_people_not_fitted_on(quick):
    rng = np.random.default_rng(0)
    flat = np.zeros((180, 20))
    flat[:, :3] = rng.normal(size=(60, 3))[np.repeat(np.arange(60), 3)]
    flat += 0.01 * rng.normal(size=flat.shape)
    found = quick(rows(flat))
    assert found.estimates[EXPLAINED,].value > 0.99
    assert found.estimates[TRUST, "PCA 3-D"].value > 0.95
    assert found.estimates[TRUST, "PCA 2-D"].value < 0.95


@pytest.mark.parametrize("rank", [3, 8])
def test_data_of_a_rank_have_that_effective_rank_and_as_many_components(rank, quick):
    """Few people, so that the plain ratio of a sample falls short of it."""
    rng = np.random.default_rng(1)
    basis = ortho_group.rvs(40, random_state=0)[:rank]
    found = quick(rows(rng.normal(size=(90, rank)) @ basis, images=1))
    assert found.estimates[RANK,].value == pytest.approx(rank, rel=0.04)
    assert found.estimates[RANK,].low < rank < found.estimates[RANK,].high
    assert found.rank_in_sample < found.estimates[RANK,].value
    np.testing.assert_allclose(found.scree[0, :rank], 1 / rank, atol=0.1)
    np.testing.assert_allclose(found.scree[0, rank:], 0, atol=1e-6)
    assert found.estimates[RANK,].null > 2 * rank


def test_noise_explains_no_more_than_its_null_on_held_out_people(quick):
    found = quick(rows(np.random.default_rng(0).normal(size=(300, 50))))
    assert found.estimates[EXPLAINED,].value == pytest.approx(found.estimates[EXPLAINED,].null, abs=0.015)
    assert found.explained_in_sample > found.estimates[EXPLAINED,].value + 0.03
    assert found.estimates[RANK,].value == pytest.approx(found.estimates[RANK,].null, abs=3)
    assert found.rank_in_sample < 40 < found.estimates[RANK,].low


def test_the_scree_adds_up_to_what_three_axes_explain(quick):
    found = quick(embedding_set(people=40))
    judged, low, high, fitted, null = found.scree
    assert judged[:3].sum() == pytest.approx(found.estimates[EXPLAINED,].value)
    assert fitted[:3].sum() == pytest.approx(found.explained_in_sample)
    assert null[:3].sum() == pytest.approx(found.estimates[EXPLAINED,].null)
    assert (low <= judged).all()
    assert (judged <= high).all()
    chart = next(c for c in projection.charts([found]) if isinstance(c, Curves))
    np.testing.assert_array_equal(chart.curves[0].y, judged)


def test_both_probes_show_the_same_images_chosen_by_name_not_by_row(quick):
    sets = (embedding_set(images=7), embedding_set(images=7, probe="p@32", seed=4))
    order = np.random.default_rng(1).permutation(len(sets[1].items))
    for second in (sets[1], sets[1].take(order)):
        found = quick(sets[0], second)
        names = [found.items[found.probe == k].tolist() for k in (0, 1)]
        assert names[0] == names[1]
        assert len(names[0]) == 4 * found.drawn_people


def test_many_probes_mean_fewer_images_of_each_person(quick):
    a = embedding_set(images=4)
    assert quick(a, points=45).images == 3
    assert quick(a, embedding_set(images=4, probe="p@32"), points=60).images == 2
    found = quick(a, points=1)
    assert (found.images, found.named_images) == (1, 1)
    assert len(found.items) == found.drawn_people


def test_the_named_people_are_those_with_the_most_images(quick):
    people = np.repeat([f"{k:02}" for k in range(40)], np.arange(1, 41))
    vectors = np.random.default_rng(0).normal(size=(len(people), 8))
    a = EmbeddingSet.from_rows("m", "p", vectors, [str(k) for k in range(len(people))], people)
    found = quick(a, named=4)
    fitted = {f"{k:02}" for k in np.random.default_rng(0).permutation(40)[:20]}
    assert found.named_identities == tuple(sorted({f"{k:02}" for k in range(40)} - fitted)[-4:])
    assert np.bincount(found.named_person).tolist() == [20] * 4
    chart = next(c for c in projection.charts([found]) if isinstance(c, Scatter) and c.named)
    assert chart.group_names == found.named_identities
    assert "The 4 people with the most images among the 20 not fitted on" in chart.note


def test_each_picture_names_its_sample_and_its_quality(quick):
    found = quick(embedding_set(people=40), drawn=7)
    clouds = [c for c in projection.charts([found]) if isinstance(c, Scatter)]
    assert [len(np.unique(c.groups)) for c in clouds] == [7, 7, 7, 10]
    for chart in clouds:
        assert "over 3 seeds" in chart.note
        assert "neighbours kept" in chart.note
    assert all("7 of 40 people, seed 0" in chart.note for chart in clouds[:3])
    assert "None of them is among the 20" in clouds[0].note
    assert all("distances between clusters" in chart.note for chart in clouds[1:])


def test_maps_are_laid_out_in_three_dimensions_where_asked_for(quick):
    found = quick(embedding_set(), map_dimensions=3)
    by_title = {c.title.split(" of ")[0]: c for c in projection.charts([found]) if " of " in c.title}
    assert by_title["UMAP"].points.shape[1] == 3
    assert by_title["UMAP"].axes == ("UMAP 1", "UMAP 2", "UMAP 3")
    assert found.tsne.shape[1] == 3
    assert found.named_tsne.shape[1] == 2


@pytest.mark.parametrize("dimensions", [2, 3])
def test_components_are_drawn_in_as_many_dimensions_as_asked_for(dimensions, quick):
    chart = projection.charts([quick(embedding_set(), dimensions=dimensions)])[0]
    assert chart.points.shape[1] == dimensions
    assert f"PCA {dimensions}-D" in chart.title


def test_a_turned_copy_has_changed_no_neighbourhood_and_lies_where_the_first_lies(real):
    first, second = projection.charts(real)[-2:]
    assert "in turned" in first.title
    assert second.title == "turned turned onto m"
    np.testing.assert_array_equal(first.values, 0.0)
    np.testing.assert_array_equal(second.values, 0.0)
    np.testing.assert_allclose(first.points, second.points, atol=1e-4)
    assert first.ranges == second.ranges
    assert "0% of their spread there stays unmatched" in second.note
    shared, rank = (f.text for f in projection.findings(real)[-2:])
    assert "share 100% [100%, 100%]" in shared
    assert rank.endswith("have one effective rank, to a tenth.")


@pytest.mark.parametrize("compared", ["t-SNE", "UMAP"])
def test_models_can_be_compared_in_a_map(real, compared):
    results = [dataclasses.replace(r, compared=compared) for r in real]
    first, second = projection.charts(results)[-2:]
    assert first.axes == (f"{compared} 1 of m", f"{compared} 2 of m")
    np.testing.assert_allclose(first.points.mean(axis=0), second.points.mean(axis=0), atol=1e-3)
    sizes = [((c.points - c.points.mean(axis=0)) ** 2).sum() for c in (first, second)]
    assert sizes[0] == pytest.approx(sizes[1], rel=1e-3)


def test_vectors_dealt_to_other_items_share_no_more_than_chance(quick):
    a = embedding_set(60, 4, noise=0.3)
    dealt = np.random.default_rng(5).permutation(len(a.vectors))
    b = dataclasses.replace(a, model="dealt", vectors=a.vectors[dealt])
    results = [quick(a), quick(b)]
    first, second = projection.charts(results)[-2:]
    null = 1 - 15 / 119
    assert first.values.mean() == pytest.approx(null, abs=0.02)
    assert f"{null:.0%} between unrelated spaces" in first.note
    assert int(second.note.split("best; ")[1].split("%")[0]) > 60
    shared = projection.findings(results)[-2].text
    assert shared.startswith("Of an image's 15 nearest")
    assert shared.endswith("which may be chance.")


def test_models_of_other_dimensions_are_compared_and_the_wider_one_is_named(quick):
    a = embedding_set(60, 3, dimension=32, noise=0.3, model="wide")
    narrow = dataclasses.replace(a, model="narrow", vectors=a.vectors[:, :6].copy())
    shared, rank = (f.text for f in projection.findings([quick(narrow), quick(a)])[-2:])
    assert "narrow and wide share" in shared
    assert "may be chance" not in shared
    assert "The effective rank of wide is above that of narrow: a difference of" in rank
    assert len(projection.charts([quick(narrow), quick(a)])) == 4 + 4 + 2 + 2


def test_a_difference_of_rank_that_is_chance_is_called_so(quick):
    a, b = (embedding_set(60, 3, noise=0.3, model=m, seed=k) for k, m in enumerate("ab"))
    rank = projection.findings([quick(a), quick(b)])[-1].text
    assert rank.startswith("The effective rank of")
    assert rank.endswith("] may be chance.")


def test_a_difference_of_rank_without_an_interval_is_neither_chance_nor_none(quick):
    a, b = (quick(dataclasses.replace(embedding_set(60, 3, noise=0.3), model=m)) for m in "ab")
    assert projection.findings([a, b])[-1].text == "a and b have one effective rank, to a tenth."
    rank = dataclasses.replace(b.estimates[RANK,], draws=np.full(200, np.nan, np.float32))
    b = dataclasses.replace(b, estimates=type(b.estimates)({**b.estimates, (RANK,): rank}))
    said = projection.findings([a, b])[-1].text
    assert said.endswith("; too few people to say how sure the difference is.")


def test_models_that_drew_other_images_are_not_compared(quick):
    a = embedding_set(30)
    renamed = dataclasses.replace(a, model="other", items=np.char.add(a.items, "b"))
    reprobed = dataclasses.replace(a, model="other", probe="q")
    for other in (embedding_set(29, model="other"), renamed, reprobed):
        results = [quick(a), quick(other)]
        assert len(projection.charts(results)) == 4 + 4 + 2
        last = projection.findings(results)[-1].text
        assert last == "m and other did not draw the same images, so their spaces are not compared."


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
