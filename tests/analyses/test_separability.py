from dataclasses import replace

import numpy as np
import pytest

from embedlab.analyses import separability
from embedlab.analyses.separability import P, SeparabilityParams
from embedlab.errors import UserError
from tests.planted import embedding_set
from tests.versions import noisy, probe, sphere

QUICK = SeparabilityParams(resamples=200, permutations=99, folds=3)


def test_a_shift_is_read_by_everybody():
    low, high = (np.hstack([sphere(dimension=4), np.full((160, 1), h)]) for h in (-0.3, 0.3))
    found = separability.compute((probe(low), probe(high, "p@8")), QUICK)
    assert found.of("p@8").value == 1.0
    assert found.of("p@8").low == pytest.approx(1 - 3 / 80)
    assert found.of("p@8").null == pytest.approx(0.5, abs=0.05)
    assert found.p_values[P, "p@8"] == pytest.approx(1 / 100)


def test_versions_that_differ_by_noise_alone_are_not_told_apart():
    inside, ps = 0, []
    for seed in range(10):
        sets = (probe(noisy(2 * seed)), probe(noisy(2 * seed + 1), "p@8"))
        found = separability.compute(sets, QUICK)
        inside += found.of("p@8").low <= 0.5 <= found.of("p@8").high
        ps.append(found.p_values[P, "p@8"])
    assert inside >= 8
    assert np.mean(ps) > 0.25
    assert (np.array(ps) > 0.05).sum() >= 8
    said = separability.findings([found])[0].text
    assert ("no linear classifier is found" in said) == (ps[-1] > 0.05)


def test_all_images_are_looked_at_and_the_learning_curve_tells_what_fewer_people_would_show():
    rng = np.random.default_rng(0)
    a = rng.normal(size=(300, 60))
    found = separability.compute((probe(a), probe(a + 0.2 + 0.5 * rng.normal(size=a.shape), "p@8")), QUICK)
    assert (found.people, found.images) == (150, 300)
    np.testing.assert_array_equal(found.fitted, [25, 50, 100])
    assert (np.diff(found.learning[0]) > 0).all()
    assert found.learning[0, -1] == pytest.approx(found.of("p@8").value)
    assert len(separability.findings([replace(found, learning=np.array([[0.7, 0.8, 0.8]]))])) == 1
    said = separability.findings([replace(found, learning=np.array([[0.6, 0.7, 0.8]]))])[1].text
    assert "in 70.0% when learned from 50 people, in 80.0% from 100" in said


def world(seed, images, model, dimension=8):
    """Two versions of unequally many images, of models that are all alike."""
    shift = np.random.default_rng(5).normal(size=dimension) / np.sqrt(dimension)
    people, rng = len(images), np.random.default_rng([seed, model])
    owners = np.repeat(np.arange(people), images)
    centres = np.random.default_rng([1, seed]).normal(size=(people, dimension))[owners]

    def own(size):
        return size * rng.normal(size=(people, dimension))[owners] + 0.6 * rng.normal(size=centres.shape)

    a = centres + own(0.5)
    return probe(a, "p", owners=owners), probe(0.8 * a + shift + own(0.4), "p@8", owners=owners)


def test_an_interval_holds_the_mean_accuracy_and_equal_models_are_seldom_told_apart():
    """40 samples of 80 people, one of 60 images: the table in benchmarks/separability.py has more."""
    images = np.r_[60, np.full(79, 2)]
    values, ends, false = [], [], 0
    params = SeparabilityParams(permutations=1, resamples=500)
    for seed in range(40):
        results = [separability.compute(world(seed, images, k), params) for k in range(2)]
        values += [r.of("p@8").value for r in results]
        ends += [(r.of("p@8").low, r.of("p@8").high) for r in results]
        gaps = [f.gap for f in separability.findings(results) if f.gap is not None]
        false += any(gap.sign in (-1, 1) for gap in gaps)
    low, high = np.array(ends).T
    held = ((low <= np.mean(values)) & (np.mean(values) <= high)).mean()
    assert 0.91 <= held <= 0.995
    assert false <= 5


def test_items_are_joined_by_name_and_their_order_does_not_matter():
    a, b, c = (probe(noisy(k), name) for k, name in enumerate(("p", "p@8", "p@4")))
    found = separability.compute((a, b, c), QUICK)
    shuffled = [s.take(np.random.default_rng(k).permutation(80)) for k, s in enumerate((a, b, c))]
    again = separability.compute(shuffled, QUICK)
    assert again.estimates == found.estimates
    assert all(one.is_paired(again.estimates[key]) for key, one in found.estimates.items())
    assert separability.compute((a, b.take(range(70)), c), QUICK).dropped == 10


def test_equal_versions_are_named_at_random():
    a = probe(noisy(0))
    found = separability.compute((a, replace(a, probe="p@8")), QUICK)
    assert found.of("p@8").value == pytest.approx(0.5)
    assert found.p_values[P, "p@8"] == 1.0


def test_two_models_are_compared_on_the_same_resamples_by_one_sentence():
    results = [
        separability.compute((probe(noisy(1), model=model), probe(noisy(2) + gap, "p@8", model=model)), QUICK)
        for model, gap in (("weak", 0.1), ("strong", 1.0))
    ]
    said = [f.text for f in separability.findings(results) if f.gap is not None]
    (readable,) = said
    assert readable.startswith("A linear classifier tells p@8 from p in")
    assert readable.index("strong") < readable.index("weak")
    assert "a difference of" in readable


def test_models_of_other_images_get_no_interval_of_the_difference():
    results = [
        separability.compute(
            (embedding_set(people, model=m), embedding_set(people, model=m, probe="q", seed=1)), QUICK
        )
        for people, m in ((20, "a"), (30, "b"))
    ]
    assert "measured on different people or images" in separability.findings(results)[-1].text


def test_of_several_probes_the_hardest_is_named():
    sets = [
        probe(noisy(k) + gap, name) for k, (name, gap) in enumerate({"p": 0, "p@8": 2.0, "p@64": 0.1}.items())
    ]
    found = separability.compute(sets, QUICK)
    assert "p@64 from p, the hardest of 2 probes" in separability.findings([found])[0].text
    cut = separability.charts([found])[-1]
    assert cut.title == "The cut between p and p@64 in m"
    assert [counts.sum() for counts in cut.series.values()] == [80, 80]


def test_one_probe_is_refused():
    with pytest.raises(UserError, match="p in m is the model's only probe"):
        separability.compute((embedding_set(),), QUICK)


def test_too_few_people_are_refused():
    with pytest.raises(UserError, match="only 3 are in every probe: give images of at least 4"):
        separability.compute((embedding_set(3), embedding_set(3, probe="q")), QUICK)
