from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import f_oneway, ortho_group

from embedlab.analyses import separability
from embedlab.analyses.separability import ACCURACY, ENERGY, ETA, PARTS, RESOLUTION, SeparabilityParams
from embedlab.charts import Heatmap
from embedlab.errors import UserError
from embedlab.lab.embeddings import EmbeddingSet
from tests.planted import embedding_set

FEW = SeparabilityParams(resamples=200, permutations=199, refits=19, folds=3)
QUICK = replace(FEW, refits=1, folds=2)


def probe(vectors, name="p", model="m", images=2, attributes=None):
    """A set of people with a few images each, from vectors."""
    n = len(vectors)
    return EmbeddingSet.from_rows(
        model,
        name,
        vectors,
        [f"item{k:04d}" for k in range(n)],
        [f"person{k // images:03d}" for k in range(n)],
        attributes,
    )


def sphere(n=160, dimension=5, seed=0):
    drawn = np.random.default_rng(seed).normal(size=(n, dimension))
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def noisy(seed, people=40, images=2, dimension=6, centres=0, spread=0.5):
    """Versions of the same people's images that differ by noise alone."""
    middle = np.random.default_rng([99, centres]).normal(size=(people, dimension))
    drawn = np.repeat(middle, images, axis=0)
    return drawn + spread * np.random.default_rng(seed).normal(size=drawn.shape)


def shares(found, name="p@8"):
    return [found.of(part, name).value for part in PARTS]


def test_a_pure_shift_is_told_as_one():
    """Points of one circle of latitude and their mirror images: one vector lies between all of them."""
    flat = np.hypot(1, 0.3)
    low, high = (np.hstack([sphere(dimension=4), np.full((160, 1), h)]) / flat for h in (-0.3, 0.3))
    found = separability.compute((probe(low), probe(high, "p@8")), FEW)
    assert shares(found) == pytest.approx([1, 0, 0], abs=1e-6)
    assert found.p(PARTS[0], "p@8") == pytest.approx(1 / 200)
    assert found.of(ACCURACY, "p@8").value == 1.0
    assert found.of(ACCURACY, "p@8").low == pytest.approx(1 - 3 / 80)
    assert found.p(ACCURACY, "p@8") == pytest.approx(1 / 20)
    assert found.p(ENERGY, "p@8") == pytest.approx(1 / 200)


def test_a_pure_rotation_is_told_as_one():
    a = sphere(400)
    found = separability.compute((probe(a), probe(a @ ortho_group.rvs(5, random_state=2), "p@8")), FEW)
    assert shares(found) == pytest.approx([0, 1, 0], abs=0.03)
    turn = found.of(PARTS[1], "p@8")
    assert turn.null < 0.6 < 0.95 < turn.low
    assert found.p(PARTS[1], "p@8") == pytest.approx(1 / 20)
    assert found.of(separability.SCALE, "p@8").value == pytest.approx(1, abs=0.01)


def test_a_cloud_that_shrinks_has_a_scale_below_one():
    far = 9 * np.eye(6)[0]
    a = noisy(1) + far
    found = separability.compute((probe(a), probe(a + far, "p@8")), QUICK)
    assert found.of(separability.SCALE, "p@8").value == pytest.approx(0.5, abs=0.05)
    assert found.of(PARTS[1], "p@8").value > 0.9


def test_a_map_that_explains_less_than_nothing_is_said_to_explain_no_more():
    a = noisy(1, dimension=40)
    b = a + 0.05 * np.random.default_rng(3).normal(size=a.shape)
    found = separability.compute((probe(a), probe(b, "p@8")), FEW)
    assert found.of(PARTS[1], "p@8").value < 0
    said = [f.text for f in separability.findings([found]) if "squared displacement" in f.text]
    assert "explains no more of it (its held-out share is -" in said[0]
    assert "its own" not in said[0]


def test_shares_sum_to_one_in_the_set_and_in_every_resample():
    found = separability.compute((probe(noisy(1)), probe(noisy(2) + 0.2, "p@8")), FEW)
    assert sum(shares(found)) == pytest.approx(1)
    np.testing.assert_allclose(sum(found.estimates[part, "p@8"].draws for part in PARTS), 1, atol=1e-6)


def test_versions_that_differ_by_noise_alone_are_not_told_apart():
    inside, ps = 0, []
    for seed in range(6):
        sets = (probe(noisy(2 * seed)), probe(noisy(2 * seed + 1), "p@8"))
        found = separability.compute(sets, replace(FEW, folds=2))
        accuracy = found.of(ACCURACY, "p@8")
        inside += accuracy.low <= 0.5 <= accuracy.high
        ps += [[found.p(what, "p@8") for what in (ACCURACY, ENERGY, *PARTS[:2])] + [found.p(ETA, RESOLUTION)]]
    assert inside >= 4
    assert (np.mean(ps, axis=0) > 0.25).all()
    assert (np.array(ps) > 0.05).mean() > 0.85
    said = [f.text for f in separability.findings([found]) if "linear classifier" in f.text]
    assert ("which may be chance" in said[0]) == (
        found.p(ACCURACY, "p@8") > 0.05 or found.p(ENERGY, "p@8") > 0.05
    )


def on_axes(seed=0, people=120, images=2):
    """Small deviations from one direction: 5 along axis 1, 3 by attribute along axis 2, then noise."""
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(people), images)
    group = rng.integers(0, 2, people)[who]
    vectors = np.zeros((len(who), 8))
    vectors[:, 1] = 5 * rng.normal(size=people)[who]
    vectors[:, 2] = 3 * (2 * group - 1) + 0.5 * rng.normal(size=len(who))
    vectors[:, 3:] = 0.7 * rng.normal(size=(len(who), 5))
    vectors[:, 0] = 200
    return vectors, np.where(group == 1, "yes", "no")


def test_a_planted_attribute_is_found_on_its_component_and_nowhere_else():
    vectors, group = on_axes()
    blurred = vectors + 0.3 * np.random.default_rng(9).normal(size=vectors.shape) * (np.arange(8) > 0)
    attributes = {"glasses": group}
    found = separability.compute(
        (probe(vectors, attributes=attributes), probe(blurred, "p@8", attributes=attributes)), QUICK
    )
    row = found.attributes.index("glasses")
    assert found.eta[row].argmax() == 1
    assert found.eta[row, 1] > 0.9
    assert found.eta_p[row, 1] == pytest.approx(1 / 200)
    assert (np.delete(found.eta_p[row], 1) > 0.05).all()
    assert found.eta_low[row, 1] <= found.eta[row, 1] <= found.eta_high[row, 1]
    said = " ".join(f.text for f in separability.findings([found]))
    assert "The attribute glasses explains at most" in said
    assert "of the variance of PC 2, in m" in said
    assert found.p(ETA, RESOLUTION) > 0.05
    (drawn,) = [c for c in separability.charts([found]) if isinstance(c, Heatmap)]
    assert "*" in drawn.text[1, row]
    assert "*" not in drawn.text[0, row]


def test_resolution_is_found_on_the_component_it_was_planted_on():
    vectors, _ = on_axes()
    blurred = vectors.copy()
    blurred[:, 3] += 4
    found = separability.compute((probe(vectors), probe(blurred, "p@8")), QUICK)
    assert found.eta[0].argmax() == np.flatnonzero(found.eta_p[0] <= 0.05)[0]
    assert np.count_nonzero(found.eta_p[0] <= 0.05) == 1
    assert found.of(ETA, RESOLUTION).value > 0.85
    assert found.of(ETA, RESOLUTION).null < 0.05


def test_eta_squared_is_that_of_an_analysis_of_variance_on_people_not_fitted_on():
    """With one image each and one component the whole of it can be written out."""
    a, b = (probe(noisy(seed, images=1, people=60), name, images=1) for seed, name in ((1, "p"), (2, "p@8")))
    found = separability.compute((a, b), replace(QUICK, components=1))
    from embedlab.maths.people.folds import identity_folds

    judged = identity_folds(60, 2, 0) == 1
    fitted = np.concatenate([s.unit[~judged] for s in (a, b)]).astype(float)
    axis = np.linalg.svd(fitted - fitted.mean(axis=0))[2][0]
    f = f_oneway(a.unit[judged] @ axis, b.unit[judged] @ axis).statistic
    assert found.eta[0, 0] == pytest.approx(f / (f + 2 * judged.sum() - 2), rel=1e-4)
    assert found.judged_people == judged.sum()


def test_attributes_that_cannot_be_taken_are_named_with_the_reason():
    n = 80
    columns = {
        "age": np.arange(n),
        "all": np.repeat("x", n),
        "size": np.repeat("large", n),
        "some": np.array(["", "a", "b", None] * 20, dtype=object),
    }
    a, b = (probe(noisy(k), name, attributes=columns) for k, name in enumerate(("p", "p@8")))
    b = replace(b, attributes=columns | {"size": np.repeat("small", n)})
    found = separability.compute((a, b), QUICK)
    assert found.attributes == (RESOLUTION, "some")
    assert "size (not the same in every probe)" in found.left_out
    assert "all (1 values among the people judged, not 2 to 20)" in found.left_out
    assert "age (40 values" in found.left_out


def test_a_column_called_resolution_is_kept_apart_from_the_probe():
    columns = {"resolution": np.tile(["a", "b"], 40)}
    sets = [probe(noisy(k), name, attributes=columns) for k, name in enumerate(("p", "p@8"))]
    assert separability.compute(sets, QUICK).attributes == (RESOLUTION, "resolution (column)")


def test_items_are_joined_by_name_and_their_order_does_not_matter():
    a, b, c = (probe(noisy(k), name) for k, name in enumerate(("p", "p@8", "p@4")))
    small = replace(QUICK, people=20, images=1)
    found = separability.compute((a, b, c), small)
    shuffled = [s.take(np.random.default_rng(k).permutation(80)) for k, s in enumerate((a, b, c))]
    again = separability.compute(shuffled, small)
    assert again.estimates == found.estimates
    assert all(one.is_paired(again.estimates[key]) for key, one in found.estimates.items() if one.drawn_from)
    assert (found.people, found.all_people, found.images, found.dropped) == (20, 40, 20, 0)
    assert "20 of 40 people, seed 0; 20 images" in separability.charts([found])[0].note
    assert separability.compute((a, b.take(range(70)), c), QUICK).dropped == 10


def test_equal_versions_are_said_to_be_equal():
    a = probe(noisy(0))
    found = separability.compute((a, replace(a, probe="p@8")), QUICK)
    assert found.of(ACCURACY, "p@8").value == 0.5
    assert found.of(ENERGY, "p@8").value == 0.0
    assert {found.p(ACCURACY, "p@8"), found.p(ENERGY, "p@8"), found.p(ETA, RESOLUTION)} == {1.0}
    said = [f.text for f in separability.findings([found])]
    assert "In m no image has another vector under p@8 than under p." in said
    assert not any("displacement" in chart.title for chart in separability.charts([found]))


def test_two_models_are_compared_on_the_same_resamples():
    results = [
        separability.compute((probe(noisy(1), model=model), probe(noisy(2) + gap, "p@8", model=model)), FEW)
        for model, gap in (("weak", 0.1), ("strong", 1.0))
    ]
    said = [f.text for f in separability.findings(results)]
    (readable,) = [t for t in said if t.startswith("A linear classifier tells p@8 from p in")]
    assert readable.index("strong") < readable.index("weak")
    assert "a difference of" in readable
    (shift,) = [t for t in said if t.startswith("A shift common to all is")]
    assert "from p to p@8 in strong" in shift
    same = [
        separability.compute((probe(noisy(1), model=m), probe(noisy(2), "p@8", model=m)), QUICK) for m in "ab"
    ]
    said = [f.text for f in separability.findings(same)]
    assert sum("there is no difference" in t for t in said) == 2


def test_models_of_other_images_get_no_interval_of_the_difference():
    results = [
        separability.compute(
            (embedding_set(people, model=m), embedding_set(people, model=m, probe="q", seed=1)), QUICK
        )
        for people, m in ((20, "a"), (30, "b"))
    ]
    assert (
        sum("measured on different people or images" in f.text for f in separability.findings(results)) == 2
    )


def test_of_several_probes_the_hardest_and_the_furthest_are_named():
    sets = [
        probe(noisy(k) + gap, name) for k, (name, gap) in enumerate({"p": 0, "p@8": 2.0, "p@64": 0.1}.items())
    ]
    found = separability.compute(sets, QUICK)
    said = [f.text for f in separability.findings([found])]
    assert "from p@64, the hardest of 2 probes," in said[0]
    assert "from p to p@8, the furthest of 2 probes," in said[1]
    cut = separability.charts([found])[-1]
    assert cut.title == "The cut between p and p@64 in m"
    assert [counts.sum() for counts in cut.series.values()] == [80, 80]


def test_one_probe_is_refused():
    with pytest.raises(UserError, match="p in m is the model's only probe"):
        separability.compute((embedding_set(),), QUICK)


def test_too_few_people_are_refused():
    with pytest.raises(UserError, match="only 3 are in every probe: give images of at least 4"):
        separability.compute((embedding_set(3), embedding_set(3, probe="q")), QUICK)


def test_equal_vectors_everywhere_are_refused():
    with pytest.raises(UserError, match="all drawn images have one vector under every probe"):
        separability.compute((probe(np.ones((20, 3))), probe(np.ones((20, 3)), "q")), QUICK)
