"""What is said of trainings is true of the pairs that were planted."""

import json
import re

import numpy as np
import pytest

from embedlab.lab.store import Lab
from embedlab.report.trained import load
from embedlab.report.training_findings import findings
from tests.planted_learning import judged, pairs_of, plant


@pytest.fixture
def lab(tmp_path):
    return Lab(tmp_path)


def said(lab, *models, embedded=()):
    return findings(load(lab, models)[0], embedded)


def test_a_clear_lead_is_told_apart_with_its_interval(lab):
    pairs = pairs_of()
    for model, wrong in (("good", 0.02), ("bad", 0.4)):
        plant(lab, model, [judged(pairs, wrong)], pairs)
    first = said(lab, "bad", "good")[0]
    assert first.tone == "good"
    assert first.text.startswith(
        "On the same 240 pairs, good has the highest pair accuracy at the last validation, "
        "images as they are: 97.5%, told apart from every other; the nearest, bad is behind by 33.3 points"
    )


def test_a_narrow_lead_may_be_chance(lab):
    pairs = pairs_of()
    plant(lab, "a", [judged(pairs, 0.10, seed=1)], pairs)
    plant(lab, "b", [judged(pairs, 0.12, seed=2)], pairs)
    plant(lab, "c", [judged(pairs, 0.5, seed=3)], pairs)
    first = said(lab, "a", "b", "c")[0]
    assert first.tone == "plain"
    assert re.search(r", told apart from c; the lead over b may be chance \([0-9.]+ points", first.text)
    assert "[-" in first.text


def test_a_narrow_second_place_does_not_cost_the_first(lab):
    pairs = pairs_of()
    for model, wrong, seed in (("a", 0.02, 0), ("b", 0.40, 1), ("c", 0.41, 2)):
        plant(lab, model, [judged(pairs, wrong, seed=seed)], pairs)
    assert "told apart from every other; the nearest, " in said(lab, "a", "b", "c")[0].text


def test_models_without_a_difference_are_rarely_told_apart(lab):
    pairs = pairs_of(40)
    models = [f"m{k}" for k in range(4)]
    told = 0
    for trial in range(12):
        for k, model in enumerate(models):
            plant(lab, model, [judged(pairs, 0.2, seed=100 * trial + k)], pairs, roc=False)
        told += "told apart" in said(lab, *models)[0].text
    assert told <= 3


def test_equal_accuracies_are_called_equal(lab):
    pairs = pairs_of()
    for model in ("a", "b"):
        plant(lab, model, [judged(pairs, 0.25)], pairs)
    accuracy = judged(pairs, 0.25).mean()
    assert said(lab, "a", "b")[0].text == (
        "On the same 240 pairs, a and b have the same pair accuracy at the last validation, "
        f"images as they are: {accuracy:.1%}."
    )


def test_two_best_of_three_share_the_place(lab):
    pairs = pairs_of()
    for model, wrong in (("a", 0.02), ("b", 0.02), ("c", 0.5)):
        plant(lab, model, [judged(pairs, wrong)], pairs)
    assert "pairs, a and b have the highest pair accuracy" in said(lab, "a", "b", "c")[0].text


def test_models_without_judgements_of_the_same_pairs_are_not_compared(lab):
    pairs, others = pairs_of(), pairs_of(fingerprint="others")
    plant(lab, "a", [judged(pairs, 0.02)], pairs)
    plant(lab, "b", [judged(pairs, 0.3)], pairs)
    plant(lab, "elsewhere", [judged(others, 0.0)], others)
    plant(lab, "old", [judged(pairs, 0.0)], pairs, written=False)
    text = said(lab, "a", "b", "elsewhere", "old")[0].text
    assert "240 pairs, a has the highest" in text
    assert text.endswith("Not compared, for want of judgements of these pairs: elsewhere and old.")
    text = said(lab, "a", "elsewhere", "old")[0].text
    assert "elsewhere and old have the highest" in text
    assert text.endswith(
        "whether that is chance cannot be told, for no two models have judgements kept of the same pairs."
    )


def test_each_condition_has_its_own_best(lab):
    pairs = pairs_of()
    good, bad = judged(pairs, 0.02), judged(pairs, 0.4)
    plant(lab, "a", [{"": good, "@32": bad}], pairs)
    plant(lab, "b", [{"": bad, "@32": good}], pairs)
    native, shrunk = [finding.text for finding in said(lab, "a", "b")[:2]]
    assert "a has the highest pair accuracy at the last validation, images as they are" in native
    assert "b has the highest pair accuracy at the last validation, images shrunk to 32 px first" in shrunk


def test_the_end_of_a_training_rose_fell_or_stood_still(lab):
    pairs = pairs_of()
    course = {"up": (0.6, 0.6, 0.5, 0.1), "down": (0.5, 0.1, 0.1, 0.5), "level": (0.5, 0.2, 0.2, 0.2)}
    for model, wrong in course.items():
        plant(lab, model, [judged(pairs, w) for w in wrong], pairs)
    (ends,) = [f.text for f in said(lab, *course) if f.text.startswith("Over about the last quarter")]
    assert "pair accuracy still rose in up (+34.2 points [" in ends
    assert "fell in down (-34.2 points [" in ends
    assert "did not change by more than chance may in level (+0.00 points)" in ends


def test_one_validation_says_nothing_of_the_end(lab):
    pairs = pairs_of()
    plant(lab, "a", [judged(pairs, 0.6), judged(pairs, 0.1)], pairs)
    assert not [f for f in said(lab, "a") if f.text.startswith("Over")]


def test_losses_of_different_recipes_are_called_incomparable_and_why(lab):
    pairs = pairs_of()
    right = [judged(pairs, 0.2)]
    plant(lab, "a", right, pairs)
    plant(lab, "b", right, pairs)
    assert not [f for f in said(lab, "a", "b") if "losses" in f.text]
    plant(
        lab,
        "c",
        right,
        pairs,
        recipe={"head": "cosface", "scale": 16.0, "margin": 0.1},
        identities_sha256="y",
    )
    (text,) = [f.text for f in said(lab, "a", "c") if "losses" in f.text]
    assert text.endswith(
        "not comparable between all of these models: they differ in head and people trained on."
    )


def test_the_course_of_a_loss_is_told_in_numbers(lab):
    pairs = pairs_of()
    plant(lab, "a", [judged(pairs, 0.2)] * 4, pairs)
    record = json.loads((lab.checkpoint("a") / "model.json").read_text())
    losses = [entry["loss"] for entry in record["history"]]
    text = said(lab, "a")[-1].text
    assert text.startswith(f"a trained for 4 epochs; its loss went from {losses[0]:.2f} to {losses[3]:.2f} (")
    assert f"({losses[3] / losses[2] - 1:+.0%} since epoch 3)" in text
    assert np.isclose(losses[0], np.mean(10 / np.arange(1, 6)))
    assert "of the validation pairs right (chance 50%)." in text


def test_figures_on_the_images_trained_on_come_first(lab):
    pairs = pairs_of()
    plant(lab, "a", [judged(pairs, 0.2)], pairs, data={"lowres": "f1"})
    found = said(lab, "a", embedded=[{"model": "a", "probe": "lowres@32", "dataset": {"fingerprint": "f1"}}])
    assert found[0].tone == "bad"
    assert found[0].text.startswith(
        "a was trained on the images of lowres@32: all its figures there are in-sample"
    )


@pytest.mark.parametrize("form", ["fingerprint", "source"])
def test_data_that_the_model_began_from_and_packs_of_it_are_in_sample_too(lab, form):
    pairs = pairs_of()
    plant(lab, "a", [judged(pairs, 0.2)], pairs, data={"highres": "f2"}, seen=["f1", "f2"])
    dataset = {"fingerprint": "other", form: "f1"}
    found = said(lab, "a", embedded=[{"model": "a", "probe": "lowres", "dataset": dataset}])
    assert found[0].text.startswith("a was trained on the images of lowres: all its figures there are in-")
    others = [{"model": "a", "probe": "lowres", "dataset": {"fingerprint": "f3"}}]
    assert not any("in-sample" in one.text for one in said(lab, "a", embedded=others))
