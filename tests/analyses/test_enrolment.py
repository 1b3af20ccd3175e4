import csv
import dataclasses

import numpy as np
import pytest

from embedlab.analyses import enrolment
from embedlab.analyses.enrolment import CHANGE, FMR, EnrolmentParams
from embedlab.charts import Curves, Faces, Table, faces_from
from embedlab.errors import UserError
from embedlab.lab.embeddings import EmbeddingSet
from tests.planted import embedding_set

FEW = EnrolmentParams(far=0.01, resamples=200)


def planted(bad=6, people=150, images=4, seed=0, alone=0, shared=2.0):
    """People round a direction that all share, and images that show little beyond that direction.

    Without a shared direction people lie evenly on the sphere: no image is more like others than any other.
    """
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(people), images)
    vectors = rng.normal(size=(people, 24))[labels] + 0.6 * rng.normal(size=(len(labels), 24))
    vectors[:, 0] += shared
    rows = rng.choice(len(labels), bad, replace=False)
    vectors[rows, 1:] *= 0.15
    vectors[rows, 0] = 3.0
    if alone:
        labels[rows[:alone]] = people + np.arange(alone)
    items = [f"i{k:04d}" for k in range(len(labels))]
    found = EmbeddingSet.from_rows("m", "p", vectors, items, [f"person{k:03d}" for k in labels])
    return found, {f"i{k:04d}" for k in rows}


def texts(found):
    return [one.text for one in enrolment.findings([found])]


def test_images_that_show_nobody_are_listed_first_and_removing_them_wins():
    one, bad = planted()
    found = enrolment.compute(one, FEW)
    assert found.removed == 6
    assert {image for image, *_ in found.worst} == bad
    change = found.estimates[CHANGE,]
    assert change.high < -0.05
    first = enrolment.findings([found])[0]
    assert (first.claimed, first.tone) == (True, "plain")
    assert first.text.startswith(
        "On p in m, removing the 1.0% of enrolled images that others' probes call worst takes FMR from "
    )


def test_where_no_image_is_worse_than_another_nothing_is_won_more_often_than_chance_allows():
    found = [enrolment.compute(planted(0, people=60, seed=k, shared=0)[0], FEW) for k in range(40)]
    won = [enrolment.findings([one])[0] for one in found]
    assert sum(bool(one.claimed) and one.gap.value < 0 for one in won) <= 4


def test_rates_are_those_of_the_written_out_matrix():
    one = planted(people=40)[0]
    found = enrolment.compute(one, dataclasses.replace(FEW, remove=0.05))
    labels, n = one.labels, len(one.labels)
    hit = (one.unit @ one.unit.T >= found.threshold) & (labels[:, None] != labels)
    shares = np.stack([hit[:, labels == q].mean(axis=1) for q in range(40)], axis=1)
    half = np.random.default_rng([0, 27]).permutation(np.arange(40) % 2)
    wrong, whole = np.zeros(40), np.zeros(40)
    for q in range(40):
        chosen = np.argsort(-shares[:, half != half[q]].sum(axis=1), kind="stable")[: found.removed]
        kept = ~np.isin(np.arange(n), chosen)
        wrong[q], whole[q] = shares[kept, q].sum(), (kept & (labels != q)).sum()
    assert found.along[FMR, str(found.removed)].value == pytest.approx(wrong.sum() / whole.sum())
    assert [taken for *_, taken, _, _ in found.worst] == pytest.approx(
        np.sort(shares.sum(axis=1))[::-1][: found.removed]
    )


def test_what_chose_does_not_judge():
    """Chosen and judged by the same probes, images that are alike would seem to be worth removing."""
    one = planted(0, people=60, shared=0)[0]
    found = enrolment.compute(one, FEW)
    hit = (one.unit @ one.unit.T >= found.threshold) & (one.labels[:, None] != one.labels)
    worst = np.sort(hit.sum(axis=1))[::-1][: found.removed].sum() / hit.sum()
    assert -found.estimates[CHANGE,].value < worst


def test_the_file_says_of_each_image_what_to_do(tmp_path):
    one, bad = planted(alone=2)
    found = enrolment.compute(one, FEW)
    assert found.alone == 2
    assert texts(found)[1] == (
        "On p in m, 2 of the 6 images to look at are the only ones of their people: take others first."
    )
    path = tmp_path / "worst.csv"
    enrolment.save([found], path)
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["image"] for row in rows} == bad
    assert all(("another image" in row["what_to_do"]) == (row["images_left"] == "0") for row in rows)


def test_a_rate_that_impostors_do_not_resolve_is_replaced_and_that_is_said():
    found = enrolment.compute(embedding_set(people=12, images=2), dataclasses.replace(FEW, far=1e-5))
    assert found.far == 0.01
    assert texts(found)[-1] == "On p in m, FAR 1e-05 needs further people; 0.01 is taken."
    with pytest.raises(UserError, match="4 impostor pairs, too few for FAR 0.1: add more people"):
        enrolment.compute(embedding_set(people=2, images=2), FEW)


def test_pictures_show_the_curve_the_list_and_faces_where_there_are_some():
    found = enrolment.compute(planted()[0], FEW)
    curve, table = enrolment.charts([found])
    assert isinstance(curve, Curves)
    assert isinstance(table, Table)
    assert curve.curves[0].x[0] == 0
    assert curve.curves[1].role == "null"
    assert [row[0] for row in table.rows] == [image for image, *_ in found.worst]
    with faces_from(lambda *_: None):
        assert isinstance(enrolment.charts([found])[-1], Faces)
