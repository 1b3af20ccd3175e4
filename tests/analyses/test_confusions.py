import dataclasses

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from embedlab.analyses import confusions
from embedlab.analyses.confusions import ConfusionParams
from embedlab.charts import Faces, Table, faces_from
from embedlab.errors import UserError
from embedlab.lab.embeddings import EmbeddingSet
from tests.planted import columns, embedding_set, renamed

FEW = ConfusionParams(resamples=200)
NEARER, NEGATIVE = "images nearer to somebody else", "people with a negative margin"


def changed(**values):
    return FEW.with_overrides(values)


def titled(found, start):
    (chart,) = [c for c in confusions.charts([found]) if c.title.startswith(start)]
    return chart


def test_a_person_with_a_strange_image_is_the_worst_in_every_list():
    a = embedding_set(people=40, noise=0.2)
    odd = renamed(a, 31, a.vectors[90] + 0.1)  # An image of person010 that looks like person030.
    found = confusions.compute((odd,), FEW)
    ((who, impostor, margin),) = columns(titled(found, "Smallest margins"), "person", "who is", "margin")[:1]
    assert {who, impostor} == {"person010", "person030"}
    assert margin < -0.3
    least = [row for row in found.worst_pairs if row[1] == "one person"]
    assert "item0031" in least[0][3:5]
    assert [row[5] for row in least].count("person010") == 1


def test_two_people_stand_once_among_the_worst_pairs():
    """A person under two names fills the list with pairs of images, but not with pairs of people."""
    a = embedding_set(people=40, images=6, noise=0.3)
    twin = renamed(a, slice(6, 12), a.vectors[:6] + 0.01)
    found = confusions.compute((twin,), FEW)
    two = [tuple(sorted(row[5:7])) for row in found.worst_pairs if row[1] == "two people"]
    assert two[0] == ("person000", "person001")
    assert len(set(two)) == len(two) == 20


@pytest.mark.parametrize("across", [False, True])
def test_margins_are_those_of_the_written_out_distances(across):
    a, b = (embedding_set(people=20, images=3, noise=0.9, probe=p, seed=k) for k, p in enumerate(("p", "q")))
    a = a.take(range(58))  # The last person has one image.
    found = confusions.compute((a, b), FEW)
    other = b.take(range(58)) if across else a
    apart = cdist(a.vectors.astype(float), other.vectors.astype(float), "cosine")
    same = a.labels[:, None] == a.labels
    own = same & ~np.eye(len(apart), dtype=bool)
    intra = [apart[own & (a.labels == p)].mean() for p in range(19)]
    nearest = [apart[(a.labels == p)][:, a.labels != p].min() for p in range(20)]
    mine = found.person_place == (2 if across else 0)
    np.testing.assert_allclose(found.person_intra[mine], [*intra, np.nan], atol=1e-6)
    np.testing.assert_allclose(found.person_nearest[mine], nearest, atol=1e-6)
    place = found.places[2 if across else 0]
    closer = [apart[i, a.labels != a.labels[i]].min() < apart[i, own[i]].mean() for i in range(57)]
    assert found.estimates[NEARER, *place].value == pytest.approx(np.mean(closer))
    share = found.estimates[NEGATIVE, *place]
    assert share.value == pytest.approx(np.mean(np.array(nearest[:19]) < intra))
    assert 0 < share.low < share.value < share.high < 1
    assert share.n == 19
    rows = [row for row in found.worst_people if row[0] == (2 if across else 0)]
    assert [row[5] for row in rows] == sorted(row[5] for row in rows)
    assert "person019" not in [row[1] for row in rows]


def test_labels_that_mean_nothing_give_nearly_everybody_a_negative_margin():
    a = embedding_set(people=60, images=4, noise=1.0)
    names = np.random.default_rng(0).permutation(a.labels).astype(str).tolist()
    shuffled = EmbeddingSet.from_rows("m", "p", a.vectors, a.items.tolist(), names)
    share = confusions.compute((shuffled,), FEW).estimates[NEGATIVE, "p"]
    assert share.value == pytest.approx(share.null, abs=0.05)


def test_people_without_confusion_get_the_rule_of_three():
    share = confusions.compute((embedding_set(people=50, noise=0.1),), FEW).estimates
    for one in share.values():
        assert (one.value, one.low) == (0, 0)
        assert one.high == pytest.approx(3 / 50)


def test_models_are_held_against_each_other_by_their_margins():
    good = confusions.compute((embedding_set(people=60, noise=0.9, model="good"),), FEW)
    worse = confusions.compute((embedding_set(people=60, noise=1.4, model="worse"),), FEW)
    twin = confusions.compute((embedding_set(people=60, noise=0.9, model="twin"),), FEW)
    texts = [f.text for f in confusions.findings([worse, good, twin]) if "nearer another's" in f.text]
    least, worst = (r.estimates[NEARER, "p"] for r in (good, worse))
    nearer = "of images lie nearer another's than, on average, their own person's in"
    assert (
        texts[0]
        == f"On p, {least.value:.1%} {nearer} twin, {least.value:.1%} in good: there is no difference."
    )
    gap = worst - least
    assert gap.sign == 1
    assert texts[1].startswith(
        f"On p, {worst.value:.1%} {nearer} worse, {least.value:.1%} in good: a difference"
    )
    assert texts[1].endswith(f"of {gap.points()}.")
    (alone,) = confusions.findings([good])
    assert alone.text.startswith(f"On p in good, {least:.1%} of images lie nearer another's")


def test_faces_of_the_worst_stand_in_pairs_where_pictures_are_at_hand():
    found = confusions.compute((embedding_set(),), FEW)
    asked = []

    def lookup(probe, item):
        asked.append((probe, item))
        return np.zeros((4, 4, 3), np.uint8)

    with faces_from(lookup):
        (faces,) = [c for c in confusions.charts([found]) if isinstance(c, Faces)]
        faces.plotly()
    (_, alike), (_, unlike), (_, people) = faces.rows
    assert [face.item for face in alike[:2]] == list(found.worst_pairs[0][3:5])
    assert unlike[0].caption.startswith(unlike[1].caption.split(",")[0])
    assert people[0].caption == found.worst_people[0][1]
    assert ("p", people[1].item) in asked


def test_the_report_lists_the_first_probe_at_length_and_the_others_in_brief():
    sets = [embedding_set(probe=p, seed=k, noise=1.0) for k, p in enumerate(("p", "p@32"))]
    found = confusions.compute(sets, changed(worst=5))
    drawn = confusions.charts([found])
    sizes = {c.title: len(c.rows) for c in drawn if isinstance(c, Table)}
    assert sizes == {
        "Smallest margins on p in m": 5,
        "Worst pairs on p in m": 10,
        "Smallest margins on other probes and across probes in m": 6,
        "Worst pairs on other probes and across probes in m": 12,
    }
    assert not any(isinstance(c, Faces) for c in drawn)
    assert drawn[3].rows[-1][0] == "p × p@32"


@pytest.mark.parametrize(
    ("people", "images", "message"),
    [(1, 5, "shows one person only \\('person000'\\)"), (5, 1, "no person with two images")],
)
def test_sets_without_both_kinds_of_pairs_are_refused(people, images, message):
    with pytest.raises(UserError, match=message):
        confusions.compute((embedding_set(people, images),), FEW)


def test_of_equal_vectors_none_is_nearer_to_its_own_person():
    one = embedding_set(people=20, noise=0.5)
    found = confusions.compute((dataclasses.replace(one, vectors=np.ones_like(one.vectors)),), FEW)
    assert found.estimates[NEARER, "p"].value == found.estimates[NEARER, "p"].null == 1
