import dataclasses
from functools import cache

import numpy as np
import pytest
from scipy.spatial.distance import pdist

from embedlab.analyses import geometry
from embedlab.analyses.geometry import GeometryParams
from embedlab.charts import Globe, Table
from embedlab.errors import UserError
from embedlab.maths.space import sphere
from tests.planted import embedding_set
from tests.qualities import faces, made

FEW = GeometryParams(resamples=100)


@cache
def usual():
    return geometry.compute((faces(),), FEW)


@cache
def both():
    return geometry.compute((faces(), faces(probe="p@32", seed=1, noise=1.5)), FEW)


def sides(found, probe="p"):
    return {name: found.side(name, probe) for name in geometry.MEASURES}


def texts(*results):
    return [finding.text for finding in geometry.findings(list(results))]


def test_uniform_vectors_lie_within_the_range_of_uniform_vectors():
    found = geometry.compute((made(sphere.uniform(400, 16, np.random.default_rng(1))),), FEW)
    assert set(sides(found).values()) == {"within"}
    assert texts(found)[1].startswith(
        "On p, vectors of m are not shown to be spread otherwise than uniform ones: uniformity -3.5"
    )
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
    assert sides(found)["uniformity"] == sides(found)[geometry.RESULTANT] == "above"
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    assert found.get(geometry.RESULTANT, "p").value == pytest.approx(np.linalg.norm(unit.mean(axis=0)))
    assert found.get("uniformity", "p").value == pytest.approx(
        np.log(np.exp(-2 * pdist(unit) ** 2).mean()), abs=1e-5
    )
    assert "less evenly spread than uniform ones" in texts(found)[1]
    assert "people in m share a direction" in texts(found)[2]


def test_vectors_more_even_than_chance_are_called_so():
    """The corners of a cross polytope keep clear of each other."""
    found = geometry.compute((made(np.r_[np.eye(20), -np.eye(20)]),), FEW)
    assert found.side("uniformity", "p") == "below"
    assert "more evenly spread than uniform ones" in texts(found)[1]


def test_three_used_directions_of_twenty_are_a_participation_ratio_of_three():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 3)) @ np.linalg.qr(rng.normal(size=(20, 20)))[0][:3]
    found = geometry.compute((made(x),), FEW)
    rank, dimension = found.get("participation ratio", "p"), found.get("two-NN dimension", "p")
    assert rank.value == pytest.approx(3, abs=0.1)
    assert rank.low < rank.value < rank.high
    assert rank.null == 20
    assert dimension.value == pytest.approx(2, rel=0.2)
    assert texts(found)[0].startswith("On p, vectors of m vary about their mean as if along 3.0 [")


def test_images_of_one_person_do_not_fake_a_low_dimension():
    a = faces(people=150, images=2, noise=0.1)
    once = geometry.compute((a,), FEW).get("two-NN dimension", "p")
    every = sphere.two_nn(a.unit, np.empty((0, 300), bool))[0]
    assert once.value == pytest.approx(once.null, rel=0.25)
    assert once.n == 150
    assert every < 0.3 * once.value


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
    assert found.hubs == (("i00123", "p0123", 299),)
    said = geometry.findings([found])[-1]
    assert said.text.startswith(
        "On p in m, image i00123 (p0123) is among the 10 nearest of 299 of 299 others"
    )
    assert said.tone == "bad"
    assert not any("crowd" in text for text in texts(usual()))


def test_a_large_set_is_sampled_by_name_and_says_so():
    params = dataclasses.replace(FEW, images=150)
    a = faces()
    shuffled = a.take(np.random.default_rng(0).permutation(len(a.items)))
    found, again = (geometry.compute((one,), params) for one in (a, shuffled))
    assert (found.images, found.sampled) == ((480,), (150,))
    assert found.estimates["participation ratio", "p"].is_paired(again.estimates["participation ratio", "p"])
    for name in ("uniformity", "two-NN dimension", "participation ratio", "hubness"):
        assert found.get(name, "p").value == pytest.approx(again.get(name, "p").value, rel=1e-4)
    assert "150 of 480 images, seed 0" in geometry.charts([found])[0].note


def test_two_models_of_the_same_images_get_the_interval_of_the_difference():
    rng = np.random.default_rng(0)
    narrow = np.where(np.arange(16) < 4, 1.0, 0.1)
    a, b = faces(), faces(model="n")
    b = dataclasses.replace(b, vectors=(b.vectors * narrow).astype(np.float32))
    first, second = geometry.compute((a,), FEW), geometry.compute((b,), FEW)
    said = texts(second, first)[0]
    assert said.startswith("On p, vectors of m vary about their mean as if along ")
    said = texts(second, first)[1]
    assert said.startswith("On p, the participation ratio is ")
    assert ": a difference of " in said
    same = dataclasses.replace(
        a, model="n", vectors=(a.vectors + 0.01 * rng.normal(size=a.vectors.shape)).astype("f4")
    )
    assert texts(first, geometry.compute((same,), FEW))[1].endswith("may be chance.")
    other = geometry.compute((b.take(np.arange(300)),), FEW)
    assert "measured on different people or images" in texts(first, other)[1]


def test_the_table_stands_beside_the_range_of_uniform_samples():
    found = both()
    table = geometry.charts([found])[-1]
    assert isinstance(table, Table)
    assert [row[0] for row in table.rows] == ["p in m"] * 5 + ["p@32 in m"] * 5
    low, high = found.span("uniformity", "p")
    assert low < found.get("uniformity", "p").null < high


def test_uniform_is_one_in_the_overview():
    found = geometry.compute((made(sphere.uniform(500, 8, np.random.default_rng(1))),), FEW)
    bars = geometry.charts([found])[0]
    np.testing.assert_allclose(bars.series[0].values, 1, atol=0.15)
    assert bars.note.endswith("All images were looked at.")
    assert (bars.series[0].low <= bars.series[0].high).all()


def test_three_dimensions_are_drawn_as_a_globe_of_a_few_people():
    found = geometry.compute((faces(d=3), faces(d=3, probe="p@32", seed=1)), FEW)
    (globe,) = (c for c in geometry.charts([found]) if isinstance(c, Globe))
    assert globe.points.shape == (2 * 20 * 4, 3)
    assert len(globe.group_names) == len(set(globe.groups)) == 20
    assert "20 of 120 people, seed 0" in globe.note
    a = faces(d=3)
    who, item = globe.people[5], globe.items[5]
    assert globe.hover[5] == f"{who}: {item}, p"
    assert globe.hover[-1].endswith(", p@32")
    assert globe.group_names[globe.groups[5]] == who
    assert np.asarray(a.identities)[a.labels][a.items.tolist().index(item)] == who
    assert globe.rolled() is None
    assert len(globe._lines()) == 0


def test_sixteen_dimensions_are_not_drawn_as_a_globe():
    found = usual()
    assert not any(isinstance(c, Globe) for c in geometry.charts([found]))
    assert len(found.globe) == 0


def test_without_a_second_image_of_anybody_the_rest_is_measured():
    found = geometry.compute((embedding_set(people=80, images=1),), FEW)
    assert found.get("alignment", "p") is None
    assert found.get("participation ratio", "p") is not None
    assert geometry.charts([found])


def test_equal_vectors_have_no_dimension_and_no_missing_number_is_drawn():
    found = geometry.compute((made(np.ones((40, 6)), np.arange(40) // 2),), FEW)
    assert found.get("two-NN dimension", "p") is None
    assert found.get("participation ratio", "p") is None
    assert found.get(geometry.RESULTANT, "p").value == pytest.approx(1)
    assert np.isnan(geometry.charts([found])[0].series[0].values[[0, 2]]).all()
    assert not any("nan" in t for t in texts(found))


def test_one_person_is_refused():
    with pytest.raises(UserError, match="p in m shows one person only"):
        geometry.compute((made(np.eye(4), np.zeros(4, int)),), FEW)


def test_vectors_of_one_number_are_refused():
    with pytest.raises(UserError, match="vectors of one number; a sphere needs at least 2"):
        geometry.compute((made(np.ones((4, 1))),), FEW)


def test_resultants_rest_on_all_people_and_the_rest_on_those_of_the_sample():
    found = geometry.compute((faces(),), dataclasses.replace(FEW, images=100))
    assert found.get(geometry.RESULTANT, "p").n == found.get("participation ratio", "p").n == 120
    assert found.get("uniformity", "p").n == found.get("hubness", "p").n < 90


def test_among_a_handful_k_is_cut_and_named():
    found = geometry.compute((faces(people=4, images=2),), FEW)
    assert found.neighbours == 3


def test_other_images_of_the_same_people_are_another_population():
    a = faces()
    halves = [geometry.compute((a.take(np.arange(k, 480, 2)),), FEW) for k in (0, 1)]
    assert halves[0].people == halves[1].people == 120
    one, other = (half.estimates["participation ratio", "p"] for half in halves)
    assert not one.is_paired(other)


def test_the_participation_ratio_is_that_of_the_space_whatever_the_number_of_people():
    """Sixteen equal directions, looked at through sixty people and through two hundred."""
    ranks = [
        geometry.compute((faces(people, noise=0.3),), FEW).get("participation ratio", "p").value
        for people in (60, 200)
    ]
    assert ranks == pytest.approx([16, 16], abs=1)


@cache
def equal_models(pairs=12):
    """Two models that are one but for noise, on new people each time."""
    params = GeometryParams(resamples=100, images=60)
    return [
        [geometry.compute((faces(60, 3, model=m, seed=2 * k + i),), params) for i, m in enumerate("mn")]
        for k in range(pairs)
    ]


def test_equal_models_are_seldom_told_apart():
    said = [f for pair in equal_models() for f in geometry.findings(pair) if f.gap is not None]
    assert len(said) == 12
    assert sum(f.text.endswith("may be chance.") for f in said) >= 10
