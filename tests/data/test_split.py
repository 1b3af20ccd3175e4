"""People are kept apart, and pairs are drawn fairly."""

import numpy as np
import pytest
from PIL import Image

from embedlab.data.datasets import open_dataset
from embedlab.data.split import draw_pairs, split
from embedlab.errors import UserError


@pytest.fixture
def dataset(tmp_path):
    """Ten people; the first has twelve images, the last has one, the others have three."""
    for person in range(10):
        for image in range(12 if person == 0 else 1 if person == 9 else 3):
            path = tmp_path / "faces" / f"p{person}" / f"{image:02d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (16, 16), (person * 20, image * 20, 0)).save(path)
    return open_dataset(tmp_path / "faces")


def test_nobody_is_in_both_parts_and_nobody_is_lost(dataset):
    train, held = split(dataset, 0.3)
    assert (train.name, held.name) == ("faces_train", "faces_held")
    assert (len(train.identities), len(held.identities)) == (7, 3)
    assert sorted(train.identities + held.identities) == list(dataset.identities)
    assert sorted(train.items + held.items) == list(dataset.items)
    for part in (train, held):
        for i, item in enumerate(part.items):
            assert item.startswith(part.identities[part.labels[i]])
            whole = dataset.items.index(item)
            assert np.array_equal(part.image(i), dataset.image(whole))
            assert part.path(i) == dataset.path(whole)


def test_a_seed_says_who_is_held_out(dataset):
    first, again, other = (split(dataset, 0.3, seed)[1] for seed in (0, 0, 1))
    assert first.items == again.items != other.items
    assert first.fingerprint == again.fingerprint != other.fingerprint
    assert first.fingerprint != split(dataset, 0.3)[0].fingerprint


@pytest.mark.parametrize("share", [0.0, 0.1, 0.9, 1.0])
def test_a_part_of_fewer_than_two_people_is_refused(dataset, share):
    with pytest.raises(UserError, match=r"holding out .* of the 10 people .*each part needs at least two"):
        split(dataset, share)


def test_pairs_are_what_they_say_and_none_comes_twice(dataset):
    pairs = draw_pairs(dataset, 60)
    person = {item: item.partition("/")[0] for item in dataset.items}
    assert [person[a] == person[b] for a, b in zip(pairs.a, pairs.b, strict=True)] == pairs.same.tolist()
    assert len({frozenset(pair) for pair in zip(pairs.a, pairs.b, strict=True)}) == len(pairs) == 120


def test_a_person_with_many_images_does_not_rule_the_pairs(dataset):
    pairs = draw_pairs(dataset, 18)
    first = [a.partition("/")[0] for a, same in zip(pairs.a, pairs.same, strict=True) if same]
    assert first.count("p0") <= 4


def test_all_matching_pairs_are_taken_where_there_are_few(dataset):
    assert draw_pairs(dataset).same.sum() == 12 * 11 // 2 + 8 * 3


def test_people_of_one_image_each_give_no_pairs(dataset):
    from embedlab.data.split import subset

    with pytest.raises(UserError, match="nobody in alone has two images"):
        draw_pairs(subset(dataset, np.array([9]), "alone"))
