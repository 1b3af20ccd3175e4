"""People with other nearest people: planted ones are found, and nobody where noise alone differs."""

import dataclasses

import numpy as np
import pytest

from embedlab.analyses import movers
from embedlab.analyses.movers import MoversParams
from embedlab.charts import Face, Faces, Table, faces_from
from embedlab.maths.space.losses import places as places_from
from tests.analyses.test_neighbours import PEOPLE, at_random, planted
from tests.planted import embedding_set

FEW = MoversParams(splits=4, resamples=200)


@pytest.fixture(scope="module", autouse=True)
def few_twins():
    """Be content with three pairs of twins, so that tests are quick."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(movers, "NULL_VALUES", 0)
        yield


MOVED = ("person0003", "person0077", "person0150", "person0201", "person0239")


@pytest.fixture(scope="module")
def moved(few_twins):
    """Five people live elsewhere in the second model; its images scatter on their own."""
    places = at_random()
    other = places.copy()
    other[[int(name[-4:]) for name in MOVED]] = at_random(5)[:5]
    return movers.compute(planted(places, model="a"), planted(other, seed=1, model="b", turned=True), FEW)


def told(*results):
    return [f.text for f in movers.findings(results)]


@pytest.mark.parametrize("noise", [0.0, 0.35, 0.7])
def test_nobody_is_found_where_two_spaces_differ_in_noise_alone(noise):
    """The second is the first, as noisy as the first, or twice as noisy."""
    places = at_random()
    a = planted(places, seed=10, model="a")
    b = planted(places, noise, seed=20, model="b") if noise else dataclasses.replace(a, model="b")
    found = movers.compute(a, b, FEW)
    assert found.found.sum() <= 1
    assert found.changed.null < 0.01
    if not found.found.any():
        assert told(found) == [
            "Nobody is found whose nearest people change from a to b on p by more than other images would; "
            "that is no proof that nobody's do."
        ]


def test_those_who_moved_are_found_and_come_first(moved):
    """At a false discovery rate of 5 % one more may be found."""
    assert set(MOVED) <= set(moved.names[moved.found])
    assert moved.found.sum() <= 6
    assert moved.changed.value == moved.found.mean() > moved.changed.high / 4
    assert moved.changed.null < 0.01
    first = moved.most[:5]
    assert set(moved.names[first]) == set(MOVED)
    assert moved.kept[first].max() < 0.2 < moved.expected_of[first].min()
    (who,) = told(moved)
    start = f"From a to b on p, {moved.found.sum()} of 240 people have other nearest people, beyond"
    assert who.startswith(start)
    assert sum(name in who for name in MOVED) == 3
    assert len(who.split()) <= 30


def test_whoever_loses_less_than_one_neighbour_is_not_found():
    """The second space is the first but for two people: those whom they left or joined lose one at most."""
    places = at_random()
    other = places.copy()
    other[[4, 9]] = at_random(5)[:2]
    found = movers.compute(planted(places), planted(other, probe="p@32"), FEW)
    assert set(found.names[found.found]) == {"person0004", "person0009"}
    assert (found.q <= found.fdr).sum() > 2


def test_who_came_and_went_stand_with_their_places(moved):
    both = [at_random(), at_random()]
    both[1][[int(name[-4:]) for name in MOVED]] = at_random(5)[:5]
    a, b = planted(both[0]), planted(both[1], seed=1)
    for j, person in enumerate(moved.most[:5]):
        places = []
        for one in (a, b):
            centres = np.stack([one.unit[one.labels == p].mean(axis=0) for p in range(PEOPLE)])
            centres /= np.linalg.norm(centres, axis=1, keepdims=True)
            order = np.argsort(-(centres @ centres[person]))
            places.append([p for p in order if p != person])
        assert list(moved.near_a[j]) == places[0][:10]
        assert list(moved.near_b[j]) == places[1][:10]
        assert list(moved.place_b[j]) == [places[1].index(p) + 1 for p in places[0][:10]]
        assert list(moved.place_a[j]) == [places[0].index(p) + 1 for p in places[1][:10]]
    [table] = [c for c in movers.charts([moved]) if isinstance(c, Table)]
    row = table.rows[0]
    for cell, near, places in (
        (row[5], moved.near_b[0], moved.place_a[0]),
        (row[6], moved.near_a[0], moved.place_b[0]),
    ):
        new = [f"{moved.names[p]} ({at})" for p, at in zip(near, places, strict=True) if at > 10]
        assert cell == ", ".join(new[:4]) + f" and {len(new) - 4} more"
        assert 4 < len(new) < 11
    assert row[4] == "changed"
    assert table.rows[-1][4] == "not told from noise"


def test_a_space_that_tells_nobody_apart_is_said_to_show_no_change():
    places = at_random(people=60)
    found = movers.compute(planted(places), planted(np.zeros_like(places), seed=1, probe="p@8"), FEW)
    assert not found.steady
    assert told(found)[0].startswith("Whose nearest people changed cannot be told from p to p@8 in m")


def test_the_faces_shown_are_the_person_and_those_near_in_either_space(moved):
    with faces_from(lambda probe, item: np.zeros((8, 8, 3), np.uint8)):
        [faces] = [c for c in movers.charts([moved]) if isinstance(c, Faces)]
    assert len(faces.rows) == 8
    heading, row = faces.rows[1]
    person = moved.most[0]
    assert heading == f"{moved.names[person]}, b"
    assert row[0] == Face("p", moved.faces[person], moved.names[person], moved.names[person])
    near = moved.near_b[0][0]
    assert row[1] == Face(
        "p", moved.faces[near], f"{moved.names[near]} ({moved.place_a[0][0]})", moved.names[near]
    )
    assert len(row) == 8
    assert not any(isinstance(c, Faces) for c in movers.charts([moved]))


def test_the_face_of_a_person_is_the_image_nearest_to_their_mean(moved):
    a = planted(at_random(), model="a")
    for person, item in enumerate(moved.faces[:20]):
        rows = np.flatnonzero(a.labels == person)
        near = a.unit[rows] @ a.unit[rows].mean(axis=0)
        assert item == a.items[rows[near.argmax()]]


def test_many_results_are_few_pictures_and_one_sentence(moved):
    names = [dataclasses.replace(moved, title=f"t{k}") for k in range(6)]
    assert len(movers.charts(names)) == 3
    (said,) = told(*names)
    start = f"In at least one of 6 comparisons {moved.found.sum()} of 240 people have other nearest"
    assert said.startswith(start)
    assert "(in 6)" in said


def test_one_pair_of_twins_has_no_null_for_the_share_found():
    a, b = (embedding_set(seed=seed, model=m) for seed, m in enumerate("ab"))
    assert movers.compute(a, b, dataclasses.replace(FEW, twins=1)).changed.null is None


def test_places_are_those_of_a_plain_sort():
    means = np.random.default_rng(0).normal(size=(9, 4))
    found = places_from(means, np.array([2, 5]))
    for row, person in zip(found, (2, 5), strict=True):
        order = [p for p in np.argsort(-(means @ means[person])) if p != person]
        assert [order.index(p) if p != person else 8 for p in range(9)] == row.tolist()
