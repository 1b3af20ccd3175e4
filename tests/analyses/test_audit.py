import csv
import dataclasses

import numpy as np
import pytest

from embedlab.analyses import audit
from embedlab.analyses.audit import DOUBTED, EVERYBODY, KINDS, NAMES, PARTS, TWICE, WRONG, AuditParams
from embedlab.charts import Faces, faces_from
from embedlab.errors import UserError
from embedlab.lab.embeddings import EmbeddingSet
from tests.planted import columns, embedding_set, renamed

FEW = AuditParams(resamples=100, deals=100)


def people(count=80, images=4, **more):
    return embedding_set(people=count, images=images, dimension=64, noise=0.5, **more)


def called(a, names):
    """The same vectors under other names."""
    return EmbeddingSet.from_rows(a.model, a.probe, a.vectors, a.items.tolist(), names)


def names_of(a):
    return np.asarray(a.identities)[a.labels].tolist()


def two(change):
    """Two models' sets of the same images, changed alike."""
    return [change(people(model=m, seed=k)) for k, m in enumerate("ab")]


def swap(a):
    names = names_of(a)
    names[9], names[100] = names[100], names[9]
    return called(a, names)


def test_labels_that_were_swapped_are_found_with_whom_they_show():
    found = audit.compute(two(swap), FEW)
    wrong = {(fault.image, fault.person, fault.like_person) for fault in found.of(WRONG)}
    assert wrong == {("item0009", "person025", "person002"), ("item0100", "person002", "person025")}
    assert all(fault.fdr <= 0.05 for fault in found.of(WRONG))
    share = found.estimates[DOUBTED,]
    assert share.value == pytest.approx(2 / 320)
    assert share.null < share.value
    said = [one.text for one in audit.findings([found])]
    assert said[0] == "On p, 0.62% of images look mislabelled to every model, where chance would give 0.00%."
    assert "looks like person002 to every model, and unlike person025: check its label." in " ".join(said)


def test_of_doubted_labels_so_many_are_expected_by_chance_as_the_rate_allows():
    noisy = embedding_set(people=80, images=4, dimension=16, noise=1.2)
    share = audit.compute([noisy], dataclasses.replace(FEW, fdr=0.5)).estimates[DOUBTED,]
    assert 0 < share.null <= 0.5 * share.value


def test_the_table_and_the_file_hold_every_fault(tmp_path):
    found = audit.compute(two(swap), FEW)
    rows = columns(audit.charts([found])[0], "kind", "image", "person", "like person")
    audit.save([found, found], tmp_path / "faults.csv")
    with (tmp_path / "faults.csv").open(encoding="utf-8", newline="") as file:
        written = list(csv.DictReader(file))
    assert [(r["kind"], r["image"], r["person"], r["like_person"]) for r in written] == rows
    assert all(0 <= float(r["fdr"]) <= 0.05 for r in written)
    assert written[0]["what_to_do"] == audit.ADVICE[WRONG]
    assert set(audit.ADVICE) == set(KINDS)


def test_a_person_under_two_names_is_named():
    def parted(a):
        names = names_of(a)
        names[8:10] = ["other"] * 2
        return called(a, names)

    found = audit.compute(two(parted), FEW)
    assert {(fault.person, fault.like_person) for fault in found.of(NAMES)} == {("other", "person002")}
    assert found.of(WRONG) == []


def test_two_people_under_one_name_are_named():
    def joined(a):
        return called(a, ["person001" if name == "person007" else name for name in names_of(a)])

    found = audit.compute(two(joined), FEW)
    (fault,) = found.of(PARTS)
    assert fault.person == "person001"
    assert {fault.image, fault.like_image} == {"item0004", "item0028"}


def test_one_photograph_under_two_names_is_named_where_all_models_see_it():
    both = two(lambda a: renamed(a, 50, a.vectors[7] * 1.5))
    (fault,) = audit.compute(both, FEW).of(TWICE)
    assert (fault.image, fault.like_image, fault.evidence) == ("item0007", "item0050", pytest.approx(1))
    assert audit.compute([both[0], people(model="b", seed=1)], FEW).of(TWICE) == []


def test_where_all_vectors_lie_close_together_alike_is_no_photograph_under_two_names():
    """A constant far from zero brings every similarity above 0.999."""
    one = embedding_set(people=20, noise=0.5)
    far = dataclasses.replace(one, vectors=one.vectors + np.float32(30))
    assert audit.compute([far], FEW).of(TWICE) == []


def test_an_image_that_is_like_everybody_is_named():
    rng, labels = np.random.default_rng(0), np.repeat(np.arange(300), 3)
    middle = 1.3 * 16 * np.eye(256)[0]  # What all faces share, as in many networks.
    vectors = middle + rng.normal(size=(300, 256))[labels] + 0.6 * rng.normal(size=(900, 256))
    vectors[33] = middle
    items = [f"i{k:03d}" for k in range(900)]
    a = EmbeddingSet.from_rows("m", "p", vectors, items, [f"n{k:03d}" for k in labels])
    found = audit.compute([a], FEW)
    assert [fault.image for fault in found.of(EVERYBODY)] == ["i033"]


def test_where_everybody_is_like_many_no_image_stands_out():
    """In few dimensions strangers are often alike: that is the model, and no fault of an image."""
    found = audit.compute([embedding_set(people=300, dimension=6, noise=0.4)], FEW)
    assert found.of(EVERYBODY) == []


def test_people_are_named_as_one_up_to_the_rate_alone():
    crowded = [embedding_set(people=300, dimension=16, noise=0.3)]
    few, many = (audit.compute(crowded, dataclasses.replace(FEW, fdr=fdr)).of(NAMES) for fdr in (0.01, 0.5))
    assert len(few) < len(many)
    for fdr, faults in ((0.01, few), (0.5, many)):
        assert all(fault.fdr <= fdr for fault in faults)


def test_where_nothing_is_wrong_nothing_is_named():
    found = audit.compute(two(lambda a: a), FEW)
    assert found.faults == ()
    (one,) = audit.findings([found])
    assert one.tone == "plain"
    assert one.text == "On p, no image looks mislabelled to every model, where chance would give 0.00%."


def test_many_faults_are_counted():
    def shifted(a):
        vectors = a.vectors.copy()
        vectors[200:205] = 1.01 * vectors[0:5]
        return renamed(a, slice(None), vectors)

    said = [one.text for one in audit.findings([audit.compute([shifted(people())], FEW)])]
    assert "Of the kind “one photograph” p has 2 more." in said


def test_faces_stand_with_what_they_are_like():
    found = audit.compute(two(lambda a: renamed(swap(a), 50, a.vectors[7] * 1.5)), FEW)
    with faces_from(lambda probe, item: np.zeros((4, 4, 3), np.uint8)):
        (chart,) = [one for one in audit.charts([found]) if isinstance(one, Faces)]
    assert [name for name, _ in chart.rows] == [WRONG, TWICE]


def test_the_first_probe_alone_is_looked_at():
    assert audit.first_probe(FEW, ("p", "p@32")) == ("p",)


def test_a_model_that_tells_nobody_apart_cannot_vote():
    blind = renamed(people(model="b"), slice(None), np.ones((320, 64)))
    with pytest.raises(
        UserError, match="p in b tells nearly nobody apart, so it cannot vote: leave that model out"
    ):
        audit.compute([people(), blind], FEW)
    with pytest.raises(UserError, match="one person only"):
        audit.compute([embedding_set(people=1)], FEW)
