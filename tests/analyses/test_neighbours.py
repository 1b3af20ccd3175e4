"""Neighbours of people in two spaces: what noise takes is told from what a change takes."""

import dataclasses

import numpy as np
import pytest

from embedlab.analyses import neighbours
from embedlab.analyses.neighbours import NeighboursParams
from embedlab.charts import Curves, Heatmap, Histogram, Table
from embedlab.errors import UserError
from embedlab.lab.embeddings import EmbeddingSet
from embedlab.maths.space.twins import Twins
from tests.planted import embedding_set

FEW = NeighboursParams(splits=4, resamples=200)
PEOPLE, IMAGES, DIMENSION = 240, 4, 24


@pytest.fixture(scope="module", autouse=True)
def few_twins():
    """Be content with three pairs of twins, so that tests are quick."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbours, "VALUES", 0)
        yield


def planted(places, noise=0.35, seed=0, model="m", probe="p", images=IMAGES, turned=False, names="person"):
    """People at places, with images that scatter round them."""
    owners = np.repeat(np.arange(len(places)), images)
    vectors = places[owners] + noise * np.random.default_rng(seed).normal(size=(len(owners), places.shape[1]))
    if turned:
        vectors = vectors @ np.linalg.qr(np.random.default_rng(7).normal(size=(places.shape[1],) * 2))[0]
    return EmbeddingSet.from_rows(
        model,
        probe,
        vectors,
        [f"item{k:05d}" for k in range(len(owners))],
        [f"{names}{k:04d}" for k in owners],
    )


def at_random(seed=1, people=PEOPLE, dimension=DIMENSION):
    return np.random.default_rng(seed).normal(size=(people, dimension))


@pytest.fixture(scope="module")
def moved(few_twins):
    """Five people live elsewhere in the second model; its images scatter on their own."""
    places = at_random()
    other = places.copy()
    other[[3, 77, 150, 201, 239]] = at_random(5)[:5]
    return neighbours.compute(planted(places, model="a"), planted(other, seed=1, model="b", turned=True), FEW)


def test_identical_spaces_keep_what_noise_leaves():
    a = planted(at_random())
    found = neighbours.compute(a, dataclasses.replace(a, probe="p@32"), FEW)
    assert found.same_images.value == 1.0
    assert found.across.value == pytest.approx(found.within_a.value)
    assert found.lost.value == pytest.approx(0, abs=0.002)
    assert 0.2 < found.across.value < 0.9


def test_a_turned_copy_is_the_same_space():
    places = at_random()
    found = neighbours.compute(planted(places, model="a"), planted(places, model="b", turned=True), FEW)
    assert found.same_images.value > 0.999
    assert found.lost.value == pytest.approx(0, abs=0.002)


@pytest.mark.parametrize("noise", [0.35, 0.7])
def test_nothing_is_lost_where_two_spaces_differ_in_noise_alone(noise):
    """The second is as noisy as the first, or twice as noisy."""
    for seed in range(2):
        places = at_random(seed)
        a = planted(places, seed=10 + seed, model="a")
        found = neighbours.compute(a, planted(places, noise, seed=20 + seed, model="b"), FEW)
        assert found.lost.value == pytest.approx(0, abs=0.015)
        assert found.lost.low < found.lost.value < found.lost.high
        assert (found.within_b.value < 0.7 * found.within_a.value) == (noise > 0.35)


def told(*results):
    return neighbours.findings(results)


@pytest.mark.parametrize(("values", "pairs"), [(0, 3), (150, 5), (10**6, 20)])
def test_few_people_have_more_twins(values, pairs, monkeypatch):
    drawn = []
    draw = Twins.agreement
    monkeypatch.setattr(Twins, "agreement", lambda *a: drawn.append(1) or draw(*a))
    monkeypatch.setattr(neighbours, "VALUES", values)
    a, b = (embedding_set(seed=seed, model=m) for seed, m in enumerate("ab"))
    neighbours.compute(a, b, FEW)
    assert len(drawn) == pairs


def test_unrelated_spaces_keep_no_more_than_lists_of_strangers():
    a, b = planted(at_random(1), model="a"), planted(at_random(2, dimension=40), model="b")
    found = neighbours.compute(a, b, FEW)
    assert found.across.low <= found.across.null <= found.across.high
    assert found.across.null == pytest.approx(10 / 239, rel=0.3)
    assert found.lost.high < -0.2
    assert told(found)[0].tone == "plain"


def test_a_space_that_tells_nobody_apart_is_said_to_show_no_change():
    places = at_random()
    a, b = planted(places), planted(np.zeros_like(places), seed=1, probe="p@8")
    found = neighbours.compute(a, b, FEW)
    [said] = told(found)
    assert said.text.startswith("No change of neighbours can be told from p to p@8 in m: within p@8, halves")
    assert not found.steady


def test_rows_may_lie_as_they_like_and_items_of_one_set_alone_are_left_out():
    places = at_random(people=60)
    a, b = planted(places, model="a"), planted(places, seed=1, model="b")
    plain = neighbours.compute(a, b, FEW)
    order = np.random.default_rng(0).permutation(len(a.items))
    more = EmbeddingSet.from_rows(
        "a",
        "p",
        np.concatenate([a.vectors[order], np.ones((2, DIMENSION))]),
        [*a.items[order], "x1", "x2"],
        [*np.asarray(a.identities)[a.labels[order]], "another", "another"],
    )
    other = neighbours.compute(more, b.take(order[::-1]), FEW)
    for field in dataclasses.fields(plain):
        one, two = getattr(plain, field.name), getattr(other, field.name)
        if isinstance(one, np.ndarray) and one.dtype.kind == "f":
            assert one == pytest.approx(two), field.name
        else:
            np.testing.assert_equal(one, two, field.name)


def test_people_and_images_are_drawn_by_seed_and_told_so():
    places = at_random(people=80)
    a, b = planted(places, model="a", images=5), planted(places, seed=1, model="b", images=5)
    some = dataclasses.replace(FEW, people=30, images=3)
    found = neighbours.compute(a, b, some)
    assert (found.people, found.people_of, found.images) == (30, 80, 90)
    assert any(
        "30 of 80 people with two images or more, seed 0" in c.note for c in neighbours.charts([found])
    )
    other = neighbours.compute(a, b, dataclasses.replace(some, seed=1))
    assert found.across != other.across


def test_people_with_one_image_take_no_part():
    a, b = (embedding_set(40, 3, seed=seed, model=m) for seed, m in enumerate("ab"))
    rows = np.flatnonzero((np.arange(120) >= 30) | (np.arange(120) % 3 == 0))
    found = neighbours.compute(a.take(rows), b, FEW)
    assert found.people == 30


def many():
    """Two models, each native and degraded to four sizes, and compared with each other."""
    places = at_random(people=60)
    sets = {
        (m, p): planted(places, 0.3 + 0.15 * j + 0.2 * i, seed=10 * i + j, model=m, probe=p)
        for i, m in enumerate(("sharp", "dull"))
        for j, p in enumerate(("p", "p@64", "p@32", "p@16"))
    }
    pairs = [((m, "p"), (m, p)) for m in ("sharp", "dull") for p in ("p@64", "p@32", "p@16")]
    pairs += [(("sharp", p), ("dull", p)) for p in ("p", "p@32")]
    few = dataclasses.replace(FEW, splits=2, twins=1)
    return [neighbours.compute(sets[a], sets[b], few) for a, b in pairs]


def test_many_results_stay_few_pictures_and_few_sentences():
    results = many()
    charts = neighbours.charts(results)
    assert [type(c) for c in charts] == [Heatmap, Table, *[Histogram, Curves] * 2]
    assert charts[0].ylabels == ("sharp, from p", "dull, from p", "sharp and dull")
    assert charts[0].values[0, charts[0].xlabels.index("p@32")] == results[1].across.value
    assert np.isnan(charts[0].values[0, charts[0].xlabels.index("p")])
    assert len(charts[1].rows) == len(results)
    said = told(*results)
    assert len(said) <= 3 + 3
    worst = min(results[:3], key=lambda r: r.lost.value)
    assert said[0].text.startswith(
        f"From p to {worst.probe_b} in sharp, {worst.across.value:.1%} of a person's"
    )
    compared = [f for f in said if "and " in f.text and f.text.startswith("From p to p@")]
    assert len(compared) == 3
    assert any(f.tone == "good" and "in sharp and" in f.text for f in compared)
    assert max(len(f.text.split()) for f in said) <= 30


def test_models_on_other_people_are_compared_without_an_interval():
    places = at_random(people=60)
    results = [
        neighbours.compute(
            planted(places, seed=k, model=m, names=name),
            planted(places, seed=9, model=m, probe="p@8", names=name),
            FEW,
        )
        for k, (m, name) in enumerate((("a", "person"), ("b", "other")))
    ]
    assert told(*results)[-1].text.endswith(
        "measured on different people or images, so the difference has no interval."
    )


def test_a_difference_is_judged_by_its_interval(moved):
    lost = dataclasses.replace(moved.lost, draws=np.empty(0, np.float32))
    for value, low, high, end, tone in (
        (-0.1, -0.2, -0.05, ": a difference of -10.0 points [-20.0, -5.0].", "bad"),
        (-0.1, -0.2, 0.05, "the difference of -10.0 points [-20.0, +5.0] may be chance.", "plain"),
        (0.1, 0.05, 0.2, ": a difference of +10.0 points [+5.0, +20.0].", "plain"),
        (-0.003, -0.0045, -0.001, ", which is the same within 0.5 points.", "plain"),
        (-0.007, -0.010, -0.003, "-0.7 points [-1.0, -0.3] may be the measure's own error.", "plain"),
        (-0.1, None, None, "too few people to say how sure the difference is.", "plain"),
    ):
        one = dataclasses.replace(
            moved, kind="degraded", lost=dataclasses.replace(lost, value=value, low=low, high=high)
        )
        said = told(one)[0]
        assert said.text.endswith(end)
        assert said.tone == tone


def test_too_few_people_with_two_images_are_a_user_error():
    a = embedding_set(2)
    with pytest.raises(UserError, match="share 2 people with two images, too few"):
        neighbours.compute(a, a, FEW)


@pytest.mark.parametrize("people", [3, 4, 6])
def test_a_handful_of_people_have_small_neighbourhoods(people):
    a, b = (embedding_set(people, seed=seed, model=m) for seed, m in enumerate("ab"))
    found = neighbours.compute(a, b, FEW)
    assert found.k == (people - 1) // 2
    assert told(found)
