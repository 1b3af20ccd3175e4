import dataclasses
import hashlib
import pickle
import threading
from itertools import count

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from embedlab import progress
from embedlab.maths import reused
from embedlab.maths.pairs import all_pairs as pairs
from embedlab.maths.pairs.all_pairs import all_pairs, template_pairs
from tests.heard import heard
from tests.planted import embedding_set
from tests.processes import together


def two_probes():
    return embedding_set(people=30, images=3), embedding_set(people=30, images=3, seed=5)


def written_out(unit, labels, other=None):
    scores = unit @ (unit if other is None else other).T
    same = labels[:, None] == labels
    diagonal = np.eye(len(labels), dtype=bool)
    counted = np.triu(np.ones_like(same), 1) if other is None else np.ones_like(same)
    return scores[same & counted & ~diagonal], scores[~same & counted], scores[diagonal]


@pytest.mark.parametrize("cross", [False, True])
def test_every_pair_is_counted_once(cross, monkeypatch):
    monkeypatch.setattr(pairs, "BLOCK", 17)  # Several blocks, the last ones cut.
    a = embedding_set(people=30, images=3)
    order = np.random.default_rng(1).permutation(len(a.items))
    unit, labels = a.unit[order], a.labels[order]
    other = embedding_set(people=30, images=3, seed=5).unit[order] if cross else None
    found = all_pairs(unit, labels, other)
    genuine, impostor, same = written_out(unit, labels, other)
    np.testing.assert_allclose(np.sort(found.genuine_scores), np.sort(genuine), atol=1e-6)
    np.testing.assert_allclose(found.tail_scores, np.sort(impostor)[::-1], atol=1e-6)
    assert found.impostor.sum() == len(impostor)
    assert found.genuine.sum() == len(genuine)
    assert len(found.same_item_scores) == (len(labels) if cross else 0)
    np.testing.assert_allclose(np.sort(found.same_item_scores), np.sort(same) if cross else [], atol=1e-6)


def test_histogram_is_that_of_numpy_but_for_scores_on_an_edge():
    a = embedding_set(people=20, images=4)
    found = all_pairs(a.unit, a.labels, bins=64)
    _, impostor, _ = written_out(a.unit.astype(np.float64), a.labels)
    expected, _ = np.histogram(impostor, found.grid.edges(64))
    assert np.abs(found.impostor - expected).sum() <= 2


def test_each_impostor_pair_stands_with_both_its_people():
    a = embedding_set(people=10, images=3)
    found = all_pairs(a.unit, a.labels)
    assert found.impostor_by_person.sum() == 2 * found.impostor.sum()
    assert (found.impostor_by_person.sum(axis=1) == 3 * 27).all()
    assert (found.genuine_by_person.sum(axis=1) == 3).all()


def test_the_tail_keeps_the_highest_scores_with_their_people():
    a = embedding_set(people=40, images=2)
    whole = all_pairs(a.unit, a.labels)
    cut = all_pairs(a.unit, a.labels, tail=50)
    assert 0 < len(cut.tail_scores) <= 50
    np.testing.assert_array_equal(cut.tail_scores, whole.tail_scores[: len(cut.tail_scores)])
    np.testing.assert_array_equal(cut.tail_people, whole.tail_people[: len(cut.tail_scores)])


def test_far_scores_stand_with_their_people_and_in_their_bins_wherever_in_a_row_they_lie():
    """Some of another person's images are one's own, or their opposites: in rows of hundreds, far apart."""
    a = embedding_set(people=60, images=5, dimension=128, noise=1.0)
    unit, labels = a.unit.copy(), a.labels
    for k, (row, of, sign) in enumerate(
        [(3, 290, 1), (11, 150, -1), (70, 255, 1), (100, 199, -1), (5, 80, 1)]
    ):
        unit[row] = sign * unit[of] + 0.01 * (k + 1) * np.eye(128)[k]
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    found = all_pairs(unit, labels, tail=40)
    scores = unit @ unit.T
    assert len(found.tail_scores) > 20
    for score, (one, other) in zip(found.tail_scores, found.tail_people, strict=True):
        assert np.abs(scores[labels == one][:, labels == other] - score).min() < 1e-6
    _, impostor, _ = written_out(unit, labels)
    bins, (first, end) = found.grid.index(impostor, pairs.BINS), found.grid.bulk(pairs.BINS)
    beyond = impostor[(bins < first) | (bins >= end)]
    there = np.flatnonzero(np.isfinite(found.impostor_beyond))
    assert len(beyond) == found.impostor[there].sum() >= 5
    assert (beyond < 0).any()
    assert (beyond > 0).any()
    edges = found.grid.edges(pairs.BINS)
    assert (found.impostor_beyond[there] > edges[there] - 1e-5).all()
    assert (found.impostor_beyond[there] < edges[there + 1] + 1e-5).all()
    np.testing.assert_allclose((found.impostor * found.impostor_beyond)[there].sum(), beyond.sum(), atol=1e-4)


def uneven():
    """People of one to nine images, so that pairs weigh unlike."""
    a = embedding_set(people=60, images=9)
    rows = np.flatnonzero(np.arange(len(a.items)) % 9 <= a.labels % 9)
    return a.unit[rows], a.labels[rows]


def test_what_is_kept_does_not_depend_on_the_threads(monkeypatch):
    monkeypatch.setattr(pairs, "BLOCK", 16)
    # A floor guessed far too low rises while blocks are under way.
    monkeypatch.setattr(pairs, "_floor", lambda *_, **__: -1.0)
    found = []
    for threads in (1, 2, 5):
        monkeypatch.setattr("numba.get_num_threads", lambda n=threads: n)
        found.append(dataclasses.asdict(all_pairs(*uneven(), weigh="people", tail=100)))
    for other in found[1:]:
        np.testing.assert_equal(other, found[0])


def test_a_long_sweep_tells_its_time_beforehand(monkeypatch):
    monkeypatch.setattr(pairs, "BLOCK", 16)
    monkeypatch.setattr(progress.time, "monotonic", count(step=3).__next__)
    a = embedding_set(people=40, images=4)
    with heard() as lines:
        all_pairs(a.unit, a.labels)
    assert lines == ["  all pairs, in blocks: 12,720 pairs of 160 images, about 3 min"]


TWO = """
from embedlab import ranks
from embedlab.maths.pairs import all_pairs as pairs
from tests.maths.pairs.test_all_pairs import counted

pairs.BLOCK = 16
with ranks.joined() as here:
    for line in ranks.led(here, counted) or ():
        print(line)
"""


def counted():
    """Count pairs in several ways, and give the name of each field with a hash of its bits."""
    unit, labels = uneven()
    found = [
        all_pairs(unit, labels, weigh="people", tail=100),
        all_pairs(unit, labels, unit[::-1], weigh="people", tail=100),
        all_pairs(unit, labels, metric="euclidean", tail=0),
        template_pairs(unit, labels),
    ]
    return [
        f"{name} {hashlib.sha256(pickle.dumps(value)).hexdigest()}"
        for one in found
        for name, value in dataclasses.asdict(one).items()
    ]


def test_two_processes_that_share_the_pairs_give_the_bits_of_one(monkeypatch):
    monkeypatch.setattr(pairs, "BLOCK", 16)
    assert together(TWO) == ([counted(), []], [0, 0])


def test_a_sweep_that_fails_in_a_thread_fails_and_ends_the_others(monkeypatch):
    monkeypatch.setattr(pairs, "BLOCK", 16)
    monkeypatch.setattr("numba.get_num_threads", lambda: 3)
    block, calls = pairs._Scorer.block, []

    def failing(self, rows, columns):
        if threading.current_thread() is not threading.main_thread():
            calls.append(rows)
            if len(calls) == 5:
                raise MemoryError("no more")
        return block(self, rows, columns)

    monkeypatch.setattr(pairs._Scorer, "block", failing)
    with pytest.raises(MemoryError, match="no more"):
        all_pairs(*uneven())
    assert len(calls) < 20


def test_scores_beyond_one_by_rounding_stay_in_the_last_bin():
    unit = np.array([[1.0000001, 0], [1.0000001, 0], [-1.0000001, 0]], np.float32)
    found = all_pairs(unit, np.array([0, 1, 2]), bins=8)
    assert found.impostor.tolist() == [2, 0, 0, 0, 0, 0, 0, 1]
    np.testing.assert_array_equal(found.grid.edges(8), np.linspace(-1, 1, 9))


def test_row_order_changes_nothing():
    a = embedding_set()
    order = np.random.default_rng(3).permutation(len(a.items))
    one, two = all_pairs(a.unit, a.labels), all_pairs(a.unit[order], a.labels[order])
    np.testing.assert_allclose(one.tail_scores, two.tail_scores, atol=1e-6)
    assert np.abs(one.impostor - two.impostor).sum() <= 4  # Rounding may move a score over an edge.


def test_bins_that_do_not_nest_are_refused():
    with pytest.raises(ValueError, match="bins must be coarse times a power of two, not 100 with coarse 64"):
        all_pairs(np.eye(3, dtype=np.float32), np.arange(3), bins=100, coarse=64)


@pytest.mark.parametrize("cross", [False, True])
def test_euclidean_distances_are_those_of_scipy(cross, monkeypatch):
    monkeypatch.setattr(pairs, "BLOCK", 17)
    a = embedding_set(people=30, images=3)
    order = np.random.default_rng(1).permutation(len(a.items))
    # Far from the origin, where squares are large and their differences small.
    vectors, labels = 5 * a.vectors[order] + 100, a.labels[order]
    other = 7 * embedding_set(people=30, images=3, seed=5).vectors[order] + 100 if cross else None
    found = all_pairs(vectors, labels, other, metric="euclidean")
    apart = cdist(vectors.astype(float), (vectors if other is None else other).astype(float))
    same, diagonal = labels[:, None] == labels, np.eye(len(labels), dtype=bool)
    counted = np.ones_like(same) if cross else np.triu(np.ones_like(same), 1)
    expected = {
        "genuine_scores": apart[same & counted & ~diagonal],
        "tail_scores": apart[~same & counted],
        "same_item_scores": apart[diagonal] if cross else np.empty(0),
    }
    for name, distances in expected.items():
        np.testing.assert_allclose(
            np.sort(found.distance(getattr(found, name))), np.sort(distances), rtol=1e-4, atol=1e-3
        )
    assert found.reach >= apart.max()
    bins = np.histogram(expected["tail_scores"], found.distance(found.grid.edges(256))[::-1])[0]
    coarse = found.impostor.reshape(256, -1).sum(axis=1)[::-1]
    assert np.abs(coarse - bins).sum() <= 4  # Rounding may move a distance over an edge.
    assert found.impostor_by_person.sum() == 2 * len(expected["tail_scores"])


def test_a_euclidean_score_grows_with_likeness_from_minus_one_to_one():
    rows = np.array([[0.0, 0.0], [0.0, 0.0], [3.0, 4.0]], np.float32)
    found = all_pairs(rows, np.array([0, 1, 2]), metric="euclidean")
    assert found.tail_scores[0] == 1
    assert found.tail_scores[-1] >= -1
    np.testing.assert_allclose(found.distance(found.tail_scores), [0, 5, 5], atol=1e-5)


def test_cosine_scores_become_cosine_distances():
    found = all_pairs(np.eye(2, dtype=np.float32), np.array([0, 1]))
    assert found.reach == 2
    assert found.distance(np.array([1.0, 0.0, -1.0])).tolist() == [0, 1, 2]


def test_vectors_at_one_place_are_at_no_distance():
    found = all_pairs(np.ones((3, 2), np.float32), np.array([0, 0, 1]), metric="euclidean")
    assert found.distance(found.tail_scores).tolist() == [0, 0]
    assert found.distance(found.genuine_scores).tolist() == [0]


def test_pairs_say_how_many_rows_stand_on_either_side():
    a = embedding_set(people=4, images=3)
    rows = np.r_[0:5, 6, 9]
    within, across = (
        all_pairs(a.unit[rows], a.labels[rows]),
        all_pairs(a.unit[rows], a.labels[rows], a.unit[rows]),
    )
    for found, ordered, impostors in (
        (within, False, 7 * 6 // 2 - 3 - 1),
        (across, True, 7 * 7 - 9 - 4 - 1 - 1),
    ):
        assert found.images.tolist() == found.others.tolist() == [3, 2, 1, 1]
        assert found.ordered is ordered
        assert found.impostor.sum() == impostors


def test_templates_are_mean_vectors_and_leave_the_image_itself_out(monkeypatch):
    monkeypatch.setattr(pairs, "BLOCK", 17)
    a = embedding_set(people=12, images=4)
    order = np.random.default_rng(2).permutation(len(a.items))
    rows = order[order % 4 <= a.labels[order] % 4]  # One to four images a person.
    unit, labels = a.unit[rows].astype(float), a.labels[rows]
    genuine, impostor, owners = [], [], []
    for row, person in enumerate(labels):
        for other in range(12):
            own = np.flatnonzero((labels == other) & (np.arange(len(labels)) != row))
            if len(own):
                template = unit[own].mean(axis=0)
                score = unit[row] @ template / np.linalg.norm(template)
                (genuine if other == person else impostor).append(score)
                if other == person:
                    owners.append(person)
    found = template_pairs(unit, labels)
    np.testing.assert_allclose(np.sort(found.genuine_scores), np.sort(genuine), atol=1e-6)
    np.testing.assert_allclose(found.tail_scores, np.sort(impostor)[::-1], atol=1e-6)
    assert sorted(found.genuine_people.tolist()) == sorted(owners)
    assert found.impostor.sum() == len(impostor) == len(labels) * 11
    assert found.impostor_by_person.sum() == 2 * len(impostor)
    # Each person's images meet eleven templates, and each template meets everybody else's images.
    images = np.bincount(labels)
    assert found.impostor_by_person.sum(axis=1).tolist() == (images * 11 + len(labels) - images).tolist()
    assert found.images.tolist() == images.tolist()
    assert found.others.tolist() == [1] * 12
    assert found.ordered
    assert len(found.same_item_scores) == 0


def test_a_template_without_direction_is_like_nobody():
    unit = np.array([[1, 0], [-1, 0], [0, 1]], np.float32)
    found = template_pairs(unit, np.array([0, 0, 1]))
    assert sorted(found.tail_scores.tolist()) == [0, 0, 0]
    assert found.genuine_scores.tolist() == [-1, -1]


def test_many_people_are_counted_by_fewer_threads(monkeypatch):
    import numba

    monkeypatch.setattr(numba, "get_num_threads", lambda: 16)
    assert pairs._threads(1_000, 256) == 16
    # Ten times the people take ten times the room a thread, and never more than two gigabytes together.
    assert pairs._threads(1_000_000, 256) * 1_000_000 * 256 * 4 <= pairs.ROOM
    assert pairs._threads(100_000_000, 256) == 1


@pytest.mark.parametrize("cross", [False, True])
@pytest.mark.parametrize("order", [(50, 0), (0, pairs.TAIL), (pairs.TAIL, 0)])
def test_kept_pairs_are_what_counting_again_gives(cross, order, monkeypatch):
    a, b = two_probes()
    other = b.unit if cross else None
    fresh = {tail: all_pairs(a.unit, a.labels, other, tail=tail) for tail in order}
    assert len(fresh[max(order)].tail_scores) > 0
    with reused.Kept().in_use():
        counted = {order[0]: all_pairs(a.unit, a.labels, other, tail=order[0])}
        monkeypatch.setattr(pairs, "_sweep_all", None)  # Nothing is swept again.
        again = {tail: all_pairs(a.unit.copy(), a.labels, other, tail=tail) for tail in order}
        assert again[max(order)] is all_pairs(a.unit, a.labels, other, tail=max(order))
    for found in (counted, again):
        for tail in found:
            np.testing.assert_equal(dataclasses.asdict(found[tail]), dataclasses.asdict(fresh[tail]))


@pytest.mark.parametrize(
    "differs",
    [
        {"a": 1},
        {"labels": 1},
        {"b": 1},
        {"b": 2},
        {"weigh": "people"},
        {"bins": 1024},
        {"coarse": 64},
        {"tail": 70},
        {"metric": "euclidean"},
    ],
)
def test_pairs_are_counted_anew_where_anything_differs(differs):
    a, b = two_probes()
    moved, swapped = a.unit.copy(), a.labels.copy()
    moved[0] = moved[-1]
    swapped[[0, -1]] = swapped[[-1, 0]]
    whole = {"a": a.unit, "labels": a.labels, "b": b.unit, "tail": 50}
    anew = {"a": {1: moved}, "labels": {1: swapped}, "b": {1: None, 2: a.unit}}
    other = {name: anew[name][value] if name in anew else value for name, value in differs.items()}
    with reused.Kept().in_use():
        first = all_pairs(**whole)
        assert all_pairs(**whole) is first
        assert all_pairs(**whole | other) is not first
    assert all_pairs(**whole) is not first


def test_what_is_kept_is_bounded_and_the_longest_unused_goes_first():
    a, b = two_probes()
    kept = reused.Kept()
    with kept.in_use():
        one = all_pairs(a.unit, a.labels)
        kept.most = int(2.5 * reused.size(one))
        two = all_pairs(b.unit, b.labels)
        assert all_pairs(a.unit, a.labels) is one
        all_pairs(a.unit[::-1], a.labels[::-1])
        assert len(kept.found) == 2
        assert all_pairs(a.unit, a.labels) is one
        assert all_pairs(b.unit, b.labels) is not two
        kept.most = 10
        all_pairs(a.unit[::2], a.labels[::2])
        assert not kept.found
