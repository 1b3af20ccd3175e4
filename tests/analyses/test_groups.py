import dataclasses

import numpy as np
import pytest

from embedlab.analyses import groups
from embedlab.analyses.groups import FMR, FNMR, INEQUITY, MATCHED, MISSED, GroupsParams, people_needed
from embedlab.charts import Heatmap
from embedlab.errors import UserError
from embedlab.lab.embeddings import EmbeddingSet
from tests.planted import columns, embedding_set, grouped, renamed

FEW = GroupsParams(far=0.01, resamples=200, shuffles=99)


def planted(people=120, images=3, close=0.0, noisy=0.0, seed=0, model="m", probe="p"):
    """People of two groups in turn; of the second the faces lie together, or their images apart."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(people), images)
    second = labels % 2 == 1
    centres = rng.normal(size=(people, 24))
    centres[1::2] += close * 4 * np.eye(24)[0]
    noise = np.where(second, 0.6 + noisy, 0.6)[:, None] * rng.normal(size=(len(labels), 24))
    names = [f"person{k:03d}" for k in labels]
    items = [f"i{k:04d}" for k in range(len(labels))]
    a = EmbeddingSet.from_rows(model, probe, centres[labels] + noise, items, names)
    return grouped(a, ("a", "b"))


def test_a_group_whose_faces_lie_together_is_falsely_matched_more_often():
    found = groups.compute(planted(close=0.8), FEW)
    rates = found.within(FMR, "sex")
    assert (rates["b"] - rates["a"]).sign == 1
    assert rates["b"].value > 3 * rates["a"].value
    assert found.p["sex", MATCHED] == pytest.approx(0.01)
    said = [one.text for one in groups.findings([found])]
    assert said[0].startswith(f"On p in m at FAR 0.01, FMR is {rates['b'].value:.2g} within sex “b”, ")
    assert "more than among people dealt at random (largest over geometric mean" in said[2]
    (chart,) = [one for one in groups.charts([found]) if isinstance(one, Heatmap)]
    across = found.estimates[FMR, "sex", "a", "b"].value
    assert chart.values[0, 1] == chart.values[1, 0] == pytest.approx(np.log10(across / 0.01))


def test_a_group_whose_images_vary_is_missed_more_often():
    found = groups.compute(planted(noisy=0.5), FEW)
    rates = found.within(FNMR, "sex")
    assert (rates["b"] - rates["a"]).sign == 1
    assert found.p["sex", MISSED] == pytest.approx(0.01)
    assert rates["a"].n == rates["b"].n == 60
    # Groups are as large as each other, and the null of either is the FNMR of both.
    both = (rates["a"].value + rates["b"].value) / 2
    assert [one.null for one in rates.values()] == pytest.approx([both, both])


def test_groups_of_one_kind_are_called_unlike_no_more_often_than_chance_allows():
    p = [groups.compute(planted(seed=k), FEW).p["sex", MATCHED] for k in range(40)]
    assert np.mean(np.array(p) <= 0.05) <= 0.15
    assert 0.3 < np.mean(p) < 0.7


def test_the_null_of_a_sum_is_what_it_is_by_chance():
    found = [groups.compute(planted(seed=k), FEW).estimates[MATCHED, "sex"] for k in range(10)]
    assert all(one.null > 1 for one in found)
    assert np.mean([one.null for one in found]) == pytest.approx(
        np.mean([one.value for one in found]), rel=0.1
    )


def test_of_several_groups_the_two_that_differ_most_are_picked_and_p_allows_for_it():
    found = groups.compute(grouped(planted(people=200), ("a", "b", "c", "d")), FEW)
    for finding in groups.findings([found])[:2]:
        assert finding.p == pytest.approx(min(1.0, 6 * finding.gap.p))


@pytest.mark.parametrize(("names", "family"), [(("a", "b"), "difference"), (("a", "b", "c"), "null")])
def test_of_two_groups_the_two_sentences_on_a_rate_are_decided_together(names, family):
    """Where other claims against chance are few, a report said a difference and that it is not shown."""
    found = groups.findings([groups.compute(grouped(planted(people=200), names), FEW)])
    assert [one.family for one in found] == ["difference"] * 2 + [family] * 2


def test_rates_are_those_of_scores_written_out():
    a = planted(people=40, close=0.3)
    found = groups.compute(a, dataclasses.replace(FEW, far=0.05))
    unit = a.vectors.astype(np.float64) / np.linalg.norm(a.vectors.astype(np.float64), axis=1)[:, None]
    scores, group = unit @ unit.T, a.attributes["sex"]
    apart = a.labels[:, None] != a.labels
    for g, h in (("a", "a"), ("a", "b"), ("b", "b")):
        block = apart & (group[:, None] == g) & (group == h)
        assert found.estimates[FMR, "sex", g, h].value == pytest.approx(
            (scores[block] >= found.threshold).mean(), abs=1e-3
        )
    table = next(one for one in groups.charts([found]) if one.title == "Error rates of groups")
    sizes = columns(table, "group", "people", "with two images", "images")
    assert sizes == [("a", 20, 20, 60), ("b", 20, 20, 60)]
    worst = max(e.value for e in found.within(FMR, "sex").values())
    assert found.estimates[MATCHED, "sex"].value == pytest.approx(
        worst / np.sqrt(np.prod([e.value for e in found.within(FMR, "sex").values()]))
    )
    assert found.estimates[INEQUITY, "sex"].value >= 1


def test_groups_that_are_too_small_are_named_with_what_they_need():
    a = planted()
    sex = np.where(a.labels < 6, "c", a.attributes["sex"])
    found = groups.compute(dataclasses.replace(a, attributes={"sex": sex}), FEW)
    assert list(found.within(FMR, "sex")) == ["a", "b"]
    assert found.left_out == ("sex c (6), for about 16 people are needed",)
    # What people of no group have says nothing of how many a group needs.
    fewer = dataclasses.replace(a, attributes={"sex": np.where(a.labels > 99, "", sex)})
    fewer = fewer.take(np.flatnonzero((a.labels < 100) | (np.arange(len(a.items)) % 3 == 0)))
    assert groups.compute(fewer, FEW).left_out == found.left_out
    assert [one.text for one in groups.findings([found])][-1] == (
        "On p, groups leave out sex c (6), for about 16 people are needed."
    )


def test_so_many_people_as_a_group_needs_have_ten_false_accepts_to_expect():
    for far, images in ((1e-3, 1), (1e-3, 4), (1e-4, 2.5), (0.1, 10)):
        n = people_needed(far, images)
        assert far * n * (n - 1) / 2 * images**2 >= 10 or n == 10
        assert n == 10 or far * (n - 1) * (n - 2) / 2 * images**2 < 10
    assert people_needed(1e-3, 1) == 142


def test_people_without_a_group_are_judged_by_the_threshold_of_all_and_stand_in_no_group():
    a = planted()
    some = np.where(a.labels < 40, "", a.attributes["sex"])
    found = groups.compute(dataclasses.replace(a, attributes={"sex": some}), FEW)
    whole = groups.compute(a, FEW)
    assert found.threshold == whole.threshold
    assert [one[2] for one in found.groups] == [40, 40]


def test_a_column_that_differs_within_people_groups_none_and_is_named():
    a = planted()
    pose = np.arange(len(a.items)) % 3
    found = groups.compute(dataclasses.replace(a, attributes={**a.attributes, "pose": pose}), FEW)
    assert found.columns == ("sex",)
    assert found.left_out == ("pose: not the same for all images of a person",)
    said = [one.text for one in groups.findings([found])]
    assert "On p, groups leave out pose: not the same for all images of a person." in said


def test_where_the_far_asked_for_is_too_low_the_next_usual_one_is_taken_and_said():
    found = groups.compute(planted(people=40), dataclasses.replace(FEW, far=1e-4))
    assert (found.far, found.far_asked) == (1e-2, 1e-4)
    text = "On p in m, groups are judged at FAR 0.01, for at 0.0001 they are too small."
    assert text in [one.text for one in groups.findings([found])]


def test_columns_can_be_chosen():
    a = grouped(planted(), ("x", "x", "y"), "eyes")
    assert groups.compute(a, FEW).columns == ("sex", "eyes")
    assert groups.compute(a, dataclasses.replace(FEW, columns="eyes")).columns == ("eyes",)
    with pytest.raises(UserError, match="p in m has no column 'hair': groups.columns may name sex, eyes"):
        groups.compute(a, dataclasses.replace(FEW, columns="hair"))


def test_without_columns_of_people_there_is_one_reason():
    a = embedding_set()
    with pytest.raises(
        UserError, match="p in m has no column that groups people: give one with --attributes"
    ):
        groups.compute(a, FEW)
    pose = dataclasses.replace(a, attributes={"pose": np.arange(len(a.items)) % 3})
    with pytest.raises(UserError, match=r"groups people \(pose differs among images of one person\): give"):
        groups.compute(pose, FEW)


def test_too_few_people_are_refused():
    with pytest.raises(UserError, match="fewer than two groups of sex have 10 people with two images"):
        groups.compute(grouped(embedding_set(people=18)), FEW)


def test_a_far_that_accepts_more_than_is_kept_is_refused(monkeypatch):
    monkeypatch.setattr(groups, "MOST_TAIL", 100)
    with pytest.raises(UserError, match=r"FAR 0.01 accepts over 1?\d\d pairs of p in m, too many to keep"):
        groups.compute(planted(), FEW)


def test_one_person_or_nobody_twice_is_refused():
    a = grouped(embedding_set())
    with pytest.raises(UserError, match="shows one person only"):
        groups.compute(a.take(range(3)), FEW)
    with pytest.raises(UserError, match="no person with two images"):
        groups.compute(a.take(range(0, 90, 3)), FEW)


def test_equal_vectors_make_no_group_unlike_another():
    a = grouped(renamed(embedding_set(), slice(None), np.ones((90, 16))))
    found = groups.compute(a, FEW)
    assert found.estimates[MATCHED, "sex"].value == pytest.approx(1)
    assert found.p["sex", MATCHED] == 1
    assert not [one for one in groups.findings([found]) if one.claimed]
