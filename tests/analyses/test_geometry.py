import dataclasses
from functools import cache

import numpy as np
import pytest
from scipy.spatial.distance import pdist

from embedlab.analyses import geometry
from embedlab.analyses.geometry import GeometryParams
from embedlab.charts import Curves, Globe, Table
from embedlab.errors import UserError
from embedlab.lab.embeddings import EmbeddingSet
from embedlab.maths.space import sphere
from tests.planted import embedding_set

FEW = GeometryParams(resamples=200)


def made(vectors, labels=None, model="m", probe="p"):
    labels = np.arange(len(vectors)) if labels is None else labels
    return EmbeddingSet.from_rows(
        model, probe, vectors, [f"i{k:05}" for k in range(len(vectors))], [f"p{k:04}" for k in labels]
    )


def faces(people=120, images=4, d=16, quality=True, model="m", probe="p", seed=0, noise=0.9):
    """Draw people round uniform centres; a poor image is noisier and, with ``quality``, shorter."""
    labels = np.repeat(np.arange(people), images)
    centres = sphere.uniform(people, d, np.random.default_rng(7))
    rng = np.random.default_rng(seed)
    poor = rng.uniform(0.2, 1.8, size=(len(labels), 1))
    x = centres[labels] + noise * poor * rng.normal(size=(len(labels), d)) / np.sqrt(d)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return made(
        x * (20 - 5 * poor if quality else rng.uniform(10, 20, (len(labels), 1))), labels, model, probe
    )


@cache
def usual():
    return geometry.compute((faces(),), FEW)


@cache
def both():
    return geometry.compute((faces(), faces(probe="p@32", seed=1, noise=1.5)), FEW)


def sides(found, probe="p"):
    return {name: geometry._side(found, name, probe) for name in geometry.MEASURES}


def texts(*results):
    return [finding.text for finding in geometry.findings(list(results))]


def test_uniform_vectors_lie_within_the_range_of_uniform_vectors():
    found = geometry.compute((made(sphere.uniform(400, 16, np.random.default_rng(1))),), FEW)
    assert set(sides(found).values()) == {"within"}
    said = texts(found)[1]
    assert said.startswith("On p, m has uniformity -3.5")
    assert "outside theirs" not in said
    assert found.get("uniformity", "p").value == pytest.approx(found.get("uniformity", "p").null, abs=0.01)


def test_few_of_many_uniform_sets_fall_out_of_the_range():
    out = []
    for seed in range(30):
        x = sphere.uniform(60, 5, np.random.default_rng(seed))
        found = geometry.compute((made(x),), dataclasses.replace(FEW, resamples=2, seed=1000 + seed))
        out.append([side != "within" for side in sides(found).values()])
    assert (np.mean(out, axis=0) < 0.2).all()


def test_a_shifted_cloud_is_no_uniform_one_and_its_direction_is_named():
    x = np.random.default_rng(0).normal(size=(300, 16))
    x[:, 0] += 2
    found = geometry.compute((made(x),), FEW)
    assert sides(found)["uniformity"] == sides(found)["mean resultant length"] == "above"
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    assert found.get("mean resultant length", "p").value == pytest.approx(np.linalg.norm(unit.mean(axis=0)))
    assert found.get("uniformity", "p").value == pytest.approx(
        np.log(np.exp(-2 * pdist(unit) ** 2).mean()), abs=1e-5
    )
    assert "less even than uniform ones" in texts(found)[1]
    assert "people share a direction" in texts(found)[1]


def test_vectors_more_even_than_chance_are_called_so():
    """The corners of a cross polytope keep clear of each other."""
    found = geometry.compute((made(np.r_[np.eye(20), -np.eye(20)]),), FEW)
    assert geometry._side(found, "uniformity", "p") == "below"
    assert "more even than uniform ones" in texts(found)[1]


def test_three_used_directions_of_twenty_are_an_effective_rank_of_three():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 3)) @ np.linalg.qr(rng.normal(size=(20, 20)))[0][:3]
    found = geometry.compute((made(x),), FEW)
    rank, dimension = found.get("effective rank", "p"), found.get("two-NN dimension", "p")
    assert rank.value == pytest.approx(3, abs=0.1)
    assert rank.low < rank.value < rank.high
    assert rank.null == pytest.approx(20 * 500 / 520, rel=0.02)
    assert dimension.value == pytest.approx(2, rel=0.2)
    assert "effective rank of 3.0" in texts(found)[0]


def test_images_of_one_person_do_not_fake_a_low_dimension():
    a = faces(people=150, images=2, noise=0.1)
    once = geometry.compute((a,), FEW).get("two-NN dimension", "p")
    every = geometry.compute((a,), dataclasses.replace(FEW, every_image=True)).get("two-NN dimension", "p")
    assert once.value == pytest.approx(once.null, rel=0.25)
    assert once.n == every.n == 150
    assert every.value < 0.3 * once.value


def test_alignment_has_pairs_of_two_people_for_null():
    a = faces()
    found = geometry.compute((a,), FEW).get("alignment", "p")
    squared = ((a.unit[:, None] - a.unit) ** 2).sum(axis=2)
    same = a.labels[:, None] == a.labels
    assert found.value == pytest.approx(squared[same & ~np.eye(len(a.items), dtype=bool)].mean(), abs=1e-5)
    assert found.null == pytest.approx(squared[~same].mean(), abs=1e-5)
    assert found.high < found.null


def test_a_planted_hub_is_named():
    rng = np.random.default_rng(0)
    x = np.eye(200)[0] + rng.normal(size=(300, 200)) / np.sqrt(200)
    x[123] = np.eye(200)[0]
    found = geometry.compute((made(x),), FEW)
    assert sides(found)["hubness"] == "above"
    (chart,) = (c for c in geometry.charts([found]) if "nearest of others" in c.title)
    assert "i00123 (p0123) 299 times on p in m" in chart.note
    assert chart.curves[0].x[-1] == 299
    assert chart.curves[0].y[-1] == pytest.approx(1 / 300)


def test_norms_that_grow_with_quality_foretell_recognition():
    found = usual()
    auc = found.get("AUC of norm for recognised", "p")
    assert auc.low > 0.6
    assert auc.null == 0.5
    assert "longer vectors are recognised more often" in texts(found)[-1]
    assert found.by_norm[0, 0, -1] > found.by_norm[0, 0, 0] + 0.2
    assert found.by_norm[0, 0].mean() == pytest.approx(found.get("images recognised", "p").value, abs=1e-6)


def test_norms_that_shrink_with_quality_are_told_as_they_are():
    a = faces()
    turned = dataclasses.replace(a, vectors=a.unit * (30 - a.norms[:, None]))
    assert "longer vectors are recognised less often" in texts(geometry.compute((turned,), FEW))[-1]


def test_norms_without_meaning_are_not_called_quality():
    found = geometry.compute((faces(quality=False),), FEW)
    auc = found.get("AUC of norm for recognised", "p")
    assert auc.low < 0.5 < auc.high
    assert "may be chance" in texts(found)[-1]


def test_an_auc_that_rests_on_few_people_is_not_spoken_of():
    a = faces(noise=0.4)
    found = geometry.compute((a,), FEW)
    auc = found.get("AUC of norm for recognised", "p")
    assert 0 < auc.n < geometry.STABLE
    assert "too few people have a recognised image, or an unrecognised one" in texts(found)[-1]
    assert f"({auc.n} on p)" in texts(found)[-1]


def test_perfect_recognition_leaves_nothing_to_foretell():
    found = geometry.compute((faces(noise=0.05),), FEW)
    assert found.get("images recognised", "p").value == 1.0
    assert found.get("images recognised", "p").low == pytest.approx(1 - 3 / 120)
    assert found.get("AUC of norm for recognised", "p") is None
    assert "the norm has nothing to foretell" in texts(found)[-1]


def test_chance_of_recognition_is_that_of_a_random_neighbour():
    found = geometry.compute(
        (made(sphere.uniform(300, 16, np.random.default_rng(3)), np.arange(300) // 3),), FEW
    )
    recognised = found.get("images recognised", "p")
    assert recognised.null == pytest.approx(2 / 299)
    assert recognised.low <= recognised.null <= recognised.high


def test_vectors_of_one_length_say_nothing_of_quality():
    a = faces()
    found = geometry.compute((dataclasses.replace(a, vectors=a.unit),), FEW)
    assert found.get("AUC of norm for recognised", "p") is None
    assert (
        "The vectors of m all come at one length, so their norm says nothing of resolution or quality."
        in (texts(found))
    )
    assert not any("recognised" in chart.title for chart in geometry.charts([found]))


def test_a_shorter_vector_of_the_same_image_is_found_and_the_order_of_rows_is_none_of_it():
    a = faces()
    less = np.random.default_rng(2).uniform(0.7, 0.9, size=(len(a.items), 1))
    b = dataclasses.replace(a, probe="p@32", vectors=(a.vectors * less).astype(np.float32))
    b = b.take(np.random.default_rng(3).permutation(len(b.items))[:400])
    found = geometry.compute((a, b), FEW)
    kept = np.isin(a.items, b.items)
    ratio = (a.norms * less[:, 0])[kept].mean() / a.norms[kept].mean()
    change = found.estimates["norm, second over first", "p", "p@32"]
    assert change.value == pytest.approx(ratio, abs=1e-6)
    assert change.low < ratio < change.high < 1
    gap = found.estimates["norm, second less first", "p", "p@32"]
    assert gap.value == pytest.approx((ratio - 1) * a.norms[kept].mean(), abs=1e-5)
    assert (gap.null, change.null) == (0.0, 1.0)
    assert any(
        "against p, the mean length of the same images' vectors changes by -20" in t for t in texts(found)
    )
    (bars,) = (c for c in geometry.charts([found]) if c.title.startswith("Length"))
    assert bars.series[0].values[0] == pytest.approx(100 * (ratio - 1))


def test_a_norm_that_only_wavers_may_have_changed_by_chance():
    a = faces()
    wavered = a.vectors * np.random.default_rng(2).uniform(0.9, 1.1, size=(len(a.items), 1))
    b = dataclasses.replace(a, probe="p@32", vectors=wavered.astype(np.float32))
    assert any("(may be chance) on p@32" in t for t in texts(geometry.compute((a, b), FEW)))


def test_probes_without_a_common_image_have_no_change_of_norm():
    a = faces()
    b = dataclasses.replace(faces(seed=1, probe="q"), items=np.char.add("other", a.items))
    assert not geometry.compute((a, b), FEW).estimates.places("norm, second over first")


def test_a_large_set_is_sampled_by_name_and_says_so():
    params = dataclasses.replace(FEW, images=150)
    a = faces()
    shuffled = a.take(np.random.default_rng(0).permutation(len(a.items)))
    found, again = (geometry.compute((one,), params) for one in (a, shuffled))
    assert (found.images, found.sampled) == ((480,), (150,))
    assert found.estimates["effective rank", "p"].is_paired(again.estimates["effective rank", "p"])
    for name in ("uniformity", "two-NN dimension", "effective rank", "hubness"):
        assert found.get(name, "p").value == pytest.approx(again.get(name, "p").value, rel=1e-4)
    assert "(150 of 480 images;" in texts(found)[0]
    assert "150 of 480 images, seed 0" in geometry.charts([found])[0].note


def test_two_models_of_the_same_images_get_the_interval_of_the_difference():
    rng = np.random.default_rng(0)
    narrow = np.where(np.arange(16) < 4, 1.0, 0.1)
    a, b = faces(), faces(model="n")
    b = dataclasses.replace(b, vectors=(b.vectors * narrow).astype(np.float32))
    first, second = geometry.compute((a,), FEW), geometry.compute((b,), FEW)
    said = texts(second, first)[0]
    assert said.startswith("On p, m has an effective rank of ")
    assert ": a difference of " in said
    same = dataclasses.replace(
        a, model="n", vectors=(a.vectors + 0.01 * rng.normal(size=a.vectors.shape)).astype("f4")
    )
    assert texts(first, geometry.compute((same,), FEW))[0].endswith("may be chance.")
    other = geometry.compute((b.take(np.arange(300)),), FEW)
    assert "they were measured on different people or images" in texts(first, other)[0]


def test_the_table_stands_beside_the_range_of_uniform_samples():
    found = both()
    table = geometry.charts([found])[-1]
    assert isinstance(table, Table)
    assert [row[0] for row in table.rows] == ["p in m"] * 6 + ["p@32 in m"] * 6
    low, high = found.span("effective rank", "p")
    assert low < found.get("effective rank", "p").null < high


def test_uniform_is_one_in_the_overview():
    found = geometry.compute((made(sphere.uniform(500, 8, np.random.default_rng(1))),), FEW)
    bars = geometry.charts([found])[0]
    np.testing.assert_allclose(bars.series[0].values, 1, atol=0.15)
    assert bars.note.endswith("All images were looked at.")
    assert (bars.series[0].low <= bars.series[0].high).all()


def test_alignment_and_uniformity_share_a_plane_with_their_nulls():
    found = both()
    plane = geometry.charts([found])[1]
    assert isinstance(plane, Curves)
    model, null = plane.curves
    assert model.x.tolist() == [found.get("uniformity", p).value for p in found.probes]
    assert model.y.tolist() == [found.get("alignment", p).value for p in found.probes]
    assert (null.y > model.y).all()
    assert (null.x < model.x).all()


def test_three_dimensions_are_drawn_as_a_globe_of_a_few_people():
    found = geometry.compute((faces(d=3), faces(d=3, probe="p@32", seed=1)), FEW)
    (globe,) = (c for c in geometry.charts([found]) if isinstance(c, Globe))
    assert globe.points.shape == (2 * 20 * 4, 3)
    assert len(globe.group_names) == len(set(globe.groups)) == 20
    assert "20 of 120 people, seed 0" in globe.note
    a = faces(d=3)
    who = np.asarray(a.identities)[a.labels][a.items.tolist().index(found.globe_items[5])]
    assert found.globe_people[found.globe_person[5]] == who


def test_sixteen_dimensions_are_not_drawn_as_a_globe():
    found = usual()
    assert not any(isinstance(c, Globe) for c in geometry.charts([found]))
    assert len(found.globe) == 0


def test_without_a_second_image_of_anybody_the_rest_is_measured():
    found = geometry.compute((embedding_set(people=80, images=1),), FEW)
    assert found.get("alignment", "p") is None
    assert found.get("effective rank", "p") is not None
    assert any("nobody has two images of one probe" in t for t in texts(found))
    assert geometry.charts([found])


def test_equal_vectors_have_no_dimension_and_no_missing_number_is_drawn():
    found = geometry.compute((made(np.ones((40, 6)), np.arange(40) // 2),), FEW)
    assert found.get("two-NN dimension", "p") is None
    assert found.get("effective rank", "p") is None
    assert found.get("mean resultant length", "p").value == pytest.approx(1)
    assert np.isnan(geometry.charts([found])[0].series[0].values[2:]).all()
    assert not any("nan" in t for t in texts(found))


def test_one_person_is_refused():
    with pytest.raises(UserError, match="p in m shows one person only"):
        geometry.compute((made(np.eye(4), np.zeros(4, int)),), FEW)


def test_vectors_of_one_number_are_refused():
    with pytest.raises(UserError, match="vectors of one number; a sphere needs at least 2"):
        geometry.compute((made(np.ones((4, 1))),), FEW)


def test_resultants_rest_on_all_people_and_the_rest_on_those_of_the_sample():
    found = geometry.compute((faces(),), dataclasses.replace(FEW, images=100))
    assert found.get("mean resultant length", "p").n == 120
    assert found.get("uniformity", "p").n == found.get("hubness", "p").n < 90


def test_among_a_handful_k_is_cut_and_named():
    found = geometry.compute((faces(people=4, images=2),), FEW)
    assert found.neighbours == 3
    assert any("among the 3 nearest" in chart.title for chart in geometry.charts([found]))


def test_other_images_of_the_same_people_are_another_population():
    a = faces()
    halves = [geometry.compute((a.take(np.arange(k, 480, 2)),), FEW) for k in (0, 1)]
    assert halves[0].people == halves[1].people == 120
    one, other = (half.estimates["effective rank", "p"] for half in halves)
    assert not one.is_paired(other)
