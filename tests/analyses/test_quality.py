import dataclasses

import numpy as np
import pytest

from embedlab.analyses import quality
from embedlab.analyses.quality import BEST, FNMR, LEFT, PAUC, REACHED, QualityParams
from embedlab.errors import UserError
from embedlab.lab.embeddings import EmbeddingSet
from tests.planted import columns, embedding_set

FEW = QualityParams(far=0.01, resamples=200)


def planted(told=1.0, people=150, images=4, seed=0, model="m"):
    """Images of which some are noisy; the length of a vector tells which, by as much as ``told``."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(people), images)
    noisy = rng.random(len(labels)) < 0.15
    vectors = rng.normal(size=(people, 24))[labels]
    vectors += np.where(noisy, 2.0, 0.4)[:, None] * rng.normal(size=vectors.shape)
    vectors /= np.linalg.norm(vectors, axis=1)[:, None]
    length = np.exp(-told * noisy + 0.3 * rng.normal(size=len(labels)))
    found = EmbeddingSet.from_rows(
        model,
        "p",
        vectors * length[:, None],
        [f"i{k:04d}" for k in range(len(labels))],
        [f"person{k:03d}" for k in labels],
    )
    return dataclasses.replace(
        found, attributes={"sharp": -noisy.astype(float) + 0.01 * rng.random(len(labels))}
    )


def texts(found):
    return [one.text for one in quality.findings([found])]


def test_a_length_that_tells_the_noisy_images_rids_of_misses():
    found = quality.compute(planted(), FEW)
    e = found.estimates
    assert e[BEST,].value < e[PAUC,].value < e[FNMR,].value
    assert e[REACHED,].low > 0.3
    assert e[LEFT,].value < e[PAUC,].value
    first = quality.findings([found])[0]
    assert first.claimed
    assert first.tone == "good"
    assert first.text.startswith("On p in m at FAR 0.01, discarding 20% of genuine pairs by norm takes FNMR")
    assert texts(found)[1].startswith(f"On p in m, discarding by norm wins {e[REACHED,].value:.0%} [")


def test_a_length_that_tells_the_wrong_way_is_called_bad():
    first = quality.findings([quality.compute(planted(-1.0), FEW)])[0]
    assert first.claimed
    assert first.tone == "bad"


def test_a_length_that_tells_nothing_is_claimed_no_more_often_than_chance_allows():
    found = [quality.compute(planted(0.0, people=60, seed=k), FEW) for k in range(40)]
    assert np.mean([quality.findings([one])[0].claimed for one in found]) <= 0.15
    assert abs(np.mean([one.estimates[REACHED,].value for one in found])) < 0.05


def test_numbers_are_those_of_pairs_written_out():
    a = planted(people=60)
    found = quality.compute(a, FEW)
    unit = a.vectors.astype(np.float64) / np.linalg.norm(a.vectors.astype(np.float64), axis=1)[:, None]
    length = np.linalg.norm(a.vectors.astype(np.float64), axis=1)
    genuine = [
        (min(length[i], length[j]), unit[i] @ unit[j] < found.threshold)
        for i in range(len(unit))
        for j in range(i + 1, len(unit))
        if a.labels[i] == a.labels[j]
    ]
    same = np.triu(a.labels[:, None] == a.labels, 1)
    rejected = unit @ unit.T < found.threshold
    behind = [len(np.unique(a.labels[(same & which).any(axis=1)])) for which in (rejected, ~rejected)]
    assert min(behind) < max(behind)
    assert [found.estimates[what,].n for what in (FNMR, LEFT, PAUC, REACHED)] == [60, *[min(behind)] * 3]
    worse, wrong = np.array(sorted(genuine), float).T
    # Pairs of one worst image are as good as each other: each counts as often wrong as all of them are.
    missed = np.array([wrong[worse == q].mean() for q in worse])
    g = len(missed)
    assert (found.pairs, found.missed) == (g, wrong.sum())
    steps = np.arange(int(0.2 * g) + 1)
    for what, kept in ((PAUC, missed), (BEST, -np.sort(-wrong))):
        curve = [kept[k:].mean() for k in steps]
        assert found.estimates[what,].value == pytest.approx(np.trapezoid(curve, steps / g) / 0.2, abs=1e-4)
    assert found.estimates[FNMR,].value == pytest.approx(missed.mean())
    assert found.estimates[LEFT,].value == pytest.approx(missed[steps[-1] :].mean())
    row = columns(quality.charts([found])[1], "set", "quality", "missed")
    assert row == [("p in m", "norm", f"{int(wrong.sum())} of {g}")]


def test_people_weigh_the_same_or_pairs_do():
    a = planted(people=40, images=8)
    kept = np.flatnonzero((a.labels < 5) | (np.arange(len(a.items)) % 8 < 3))
    by_people, by_pairs = (
        quality.compute(a.take(kept), dataclasses.replace(FEW, weigh=weigh)) for weigh in ("people", "pairs")
    )
    assert by_people.estimates[FNMR,].value != pytest.approx(by_pairs.estimates[FNMR,].value)
    assert by_pairs.estimates[FNMR,].value == pytest.approx(by_pairs.missed / by_pairs.pairs)


def test_a_column_of_ones_own_may_be_the_quality():
    found = quality.compute(planted(0.0), dataclasses.replace(FEW, column="sharp"))
    assert found.quality == "sharp"
    assert found.estimates[REACHED,].low > 0.4


def test_images_without_a_number_are_left_out_and_counted():
    a = planted()
    text = np.array([repr(v) for v in a.attributes["sharp"].tolist()])
    text[:6] = ""
    params = dataclasses.replace(FEW, column="sharp")
    found = quality.compute(dataclasses.replace(a, attributes={"sharp": text}), params)
    assert found.left_out == 6
    assert texts(found)[-1] == "On p in m, 6 images without a number in sharp are left out."
    whole = quality.compute(a.take(range(6, len(a.items))), params)
    assert found.estimates[PAUC,].value == pytest.approx(whole.estimates[PAUC,].value)


def test_where_the_far_asked_for_is_not_resolved_another_is_taken_and_said():
    found = quality.compute(planted(people=30), dataclasses.replace(FEW, far=1e-6))
    assert (found.far, found.far_asked) == (1e-3, 1e-6)
    assert "On p in m, FAR 1e-06 needs further people; 0.001 is taken." in texts(found)


def test_intervals_hold_what_a_hundred_times_the_people_give():
    truth = quality.compute(planted(people=4000, seed=99), FEW).estimates[PAUC,].value
    held = []
    for seed in range(30):
        one = quality.compute(planted(people=80, seed=seed), FEW).estimates[PAUC,]
        held.append(one.low <= truth <= one.high)
    assert np.mean(held) >= 0.8


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("hair", "p in m has no column 'hair': quality.column may name sharp, words, when, void"),
        ("words", "i0000 of p in m has 'dull' in words, which is no number"),
        ("when", r"i0000 of p in m has datetime.date\(2026, 11, 26\) in when, which is no number"),
        ("void", "void is empty for all images of p in m: give them numbers"),
    ],
)
def test_a_column_that_is_no_quality_is_refused(column, message):
    a = planted(people=20)
    every = {"words": "dull", "when": np.datetime64("2026-11-26"), "void": ""}
    more = {name: np.array([value] * len(a.items)) for name, value in every.items()}
    a = dataclasses.replace(a, attributes={**a.attributes, **more})
    with pytest.raises(UserError, match=message):
        quality.compute(a, dataclasses.replace(FEW, column=column))


def test_vectors_of_one_length_have_no_norm_to_discard_by():
    a = planted(people=20)
    people = np.asarray(a.identities)[a.labels].tolist()
    flat = EmbeddingSet.from_rows("m", "p", a.unit, a.items.tolist(), people)
    with pytest.raises(UserError, match="the vectors of p in m have one length"):
        quality.compute(flat, FEW)


def test_where_nothing_or_everything_is_missed_there_is_nothing_to_foretell():
    with pytest.raises(
        UserError, match=r"at FAR 0.01 no genuine pair of p in m is missed.*a lower quality.far"
    ):
        quality.compute(embedding_set(noise=0.01), FEW)
    with pytest.raises(UserError, match=r"every genuine pair of p in m is missed.*a higher quality.far"):
        quality.compute(
            embedding_set(people=10, images=2, noise=9.0, seed=4), dataclasses.replace(FEW, far=0.006)
        )


def test_too_few_pairs_are_refused():
    with pytest.raises(UserError, match="p in m has 4 impostor pairs, too few for FAR 0.1"):
        quality.compute(embedding_set(people=2, images=2), FEW)
    with pytest.raises(UserError, match="shows one person only"):
        quality.compute(embedding_set(people=1), FEW)
