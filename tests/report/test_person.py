"""One person: where they lie in each space, who is nearest, and the images."""

import re

import numpy as np
import pytest
from PIL import Image

from embedlab import EmbeddingSet, Lab, person
from embedlab.charts import faces_from
from embedlab.errors import UserError
from embedlab.examples import planted
from embedlab.lab import embeddings
from embedlab.wording import speaking
from tests.report.conftest import EVIL

SETS = [planted("a", noise=0.5), planted("b", noise=1.5)]


@pytest.fixture
def lab(tmp_path):
    for one in SETS:
        path = Lab(tmp_path).embeddings_file(one.model, one.probe)
        path.parent.mkdir(parents=True)
        embeddings.write(path, one, {})
    return Lab(tmp_path)


def by_hand(one, who):
    """The same numbers, a pair at a time."""
    rows = [k for k in range(len(one.items)) if one.identities[one.labels[k]] == who]
    others = [k for k in range(len(one.items)) if k not in rows]
    apart, first = [], 0
    for k in rows:
        mean = sum(one.unit[j].astype(float) for j in rows if j != k)
        apart.append(1 - float(one.unit[k] @ mean / np.linalg.norm(mean)))
        first += max(one.unit[k] @ one.unit[j] for j in rows if j != k) > max(
            one.unit[k] @ one.unit[j] for j in others
        )
    best = {}
    for k in rows:
        for j in others:
            them = one.identities[one.labels[j]]
            best[them] = max(best.get(them, (-2.0, 0, 0)), (float(one.unit[k] @ one.unit[j]), k, j))
    return float(np.mean(apart)), first, sorted(best.items(), key=lambda pair: -pair[1][0])


@pytest.mark.parametrize("who", ["person000", "person031"])
def test_numbers_are_those_of_a_plain_count(who):
    found = person(who, SETS, nearest=3)
    for one, space in zip(SETS, found.spaces, strict=True):
        apart, first, nearest = by_hand(one, who)
        assert space.from_centre == pytest.approx(apart, abs=1e-6)
        assert space.first == first
        spread = {them: by_hand(one, them)[0] for them in one.identities[:8]}
        for (them, (score, own, other)), near in zip(nearest, space.nearest, strict=False):
            assert near.person == them
            assert near.similarity == pytest.approx(score, abs=1e-6)
            assert (near.own_item, near.item) == (one.items[own], one.items[other])
        assert len(spread) == 8
    few = planted("a", noise=0.5, people=6)
    share = person(few.identities[0], few).spaces[0].wider_than
    apart = [by_hand(few, them)[0] for them in few.identities]
    assert share == pytest.approx(np.mean([x < apart[0] for x in apart[1:]]))


def test_a_planted_stray_is_wider_than_all_and_an_impostor_is_found_by_name():
    one = planted("a", noise=0.3)
    vectors = one.vectors.copy()
    vectors[12] = vectors[100] * 1.01  # an image of person003 that looks like person025
    odd = EmbeddingSet.of(
        vectors, [one.identities[k] for k in one.labels], one.items, model="a", probe="faces"
    )
    (space,) = person("person003", odd).spaces
    assert space.wider_than == 1.0
    assert space.first == 3
    near = space.nearest[0]
    assert (near.person, near.own_item, near.item) == ("person025", "item0012", "item0100")
    assert near.similarity == pytest.approx(1.0, abs=1e-6)
    table = person("person003", odd).to_pandas()
    assert table["rank 1"].tolist() == [False, True, True, True]


def test_a_lab_s_sets_and_those_in_memory_say_the_same(lab):
    in_memory, stored = person("person003", SETS), person("person003", lab)
    assert stored.spaces == in_memory.spaces
    assert repr(stored) == "<Person 'person003': 4 images in 2 spaces>"
    assert len(stored.impostors()) == 10
    assert len(str(stored).splitlines()) == 3


def test_who_has_one_image_only_has_no_place_among_people():
    one = SETS[0].take([0, *range(4, 240)])
    (space,) = person("person000", one).spaces
    assert (space.images, space.from_centre, space.wider_than, space.first) == (1, None, None, None)
    assert len(space.nearest) == 5
    alone = SETS[0].take(range(4))
    (space,) = person("person000", alone).spaces
    assert space.nearest == ()
    assert space.wider_than is None
    assert "n/a" in person("person000", alone)._repr_html_()


def test_pictures_stand_where_there_are_some_and_survive_a_notebook_that_is_not_trusted():
    pixels = np.full((90, 70, 3), 130, np.uint8)
    with faces_from(lambda probe, item: pixels if item != "item0013" else None):
        page = person("person003", SETS[0])._repr_html_()
    images = re.findall(r"<img ([^>]*)>", page)
    assert len([one for one in images if 'width="64"' in one]) == 3
    assert all('src="data:image/webp;base64,' in one and 'alt="item' in one for one in images)
    # Without styles, cells and words still stand apart.
    bare = re.sub(r"<style>.*?</style>| (?:style|class)=\"[^\"]*\"", "", page, flags=re.DOTALL)
    text = re.sub(r"<[^>]+>", " ", bare)
    assert re.search(r"faces in a\s+4\s+0\.\d{3}\s+\d+ %\s+4 of 4", text)
    assert "<img" not in person("person003", SETS[0])._repr_html_()


def test_the_images_of_a_folder_are_shown(tmp_path):
    for item, who in zip(SETS[0].items, SETS[0].labels, strict=True):
        if who in (3, 4):
            folder = tmp_path / "faces" / f"person{who:03d}"
            folder.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (20, 20), (who * 30, 9, 9)).save(folder / f"{item}.png")
    items = [f"person{who:03d}/{item}.png" for item, who in zip(SETS[0].items, SETS[0].labels, strict=True)]
    one = EmbeddingSet.of(SETS[0].vectors, SETS[0].labels, items, model="a", probe="vectors")
    page = person("3", one, data=tmp_path / "faces")._repr_html_()
    assert len(re.findall(r'<img [^>]*width="64"', page)) == 4
    with pytest.raises(UserError, match="does not exist"):
        person("3", one, data=tmp_path / "none")


def test_hostile_names_are_text():
    people = [
        EVIL if k == 3 else one
        for one, k in zip(np.array(SETS[0].identities)[SETS[0].labels], SETS[0].labels, strict=True)
    ]
    items = [f"{EVIL}{k}" for k in range(240)]
    one = EmbeddingSet.of(SETS[0].vectors, people, items, model="m", probe="p")
    with faces_from(lambda probe, item: np.zeros((9, 9, 3), np.uint8)):
        page = person(one.identities[int(one.labels[12])], one)._repr_html_()
    assert "<script" not in page
    assert "onerror=alert" not in re.sub(r'="[^"]*"', "", page).replace("&lt;img src=x onerror=alert", "")


def test_a_study_s_words_are_used():
    with speaking({"identity": "speaker", "item": "utterance"}):
        page = person("person003", SETS[0])._repr_html_()
    text = re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    assert "utterances" in text
    assert "image" not in re.sub(r"<[^>]+>", "", text)
    assert "person003" in text


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: person("Person003", SETS), "nobody here is called 'Person003': did you mean 'person003'"),
        (lambda: person("Ann", SETS), "nobody here is called 'Ann': there are 'person000', .* …"),
        (lambda: person("x", []), "no embeddings to look into: give sets"),
        (lambda: person("person003", SETS, nearest=0), "0 nearest people cannot be named"),
    ],
)
def test_what_cannot_be_told_is_one_line(call, said):
    with pytest.raises(UserError, match=said):
        call()
