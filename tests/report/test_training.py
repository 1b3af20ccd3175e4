import json

import pytest

from embedlab.lab.store import Lab
from embedlab.report import build
from embedlab.report.training import training_section
from tests.planted_learning import judged, pairs_of, plant


def checkpoint(lab, model, history, **more):
    folder = lab.checkpoint(model)
    folder.mkdir(parents=True)
    (folder / "model.json").write_text(json.dumps({"history": history, "seconds": 3.0, **more}))


HISTORY = [
    {"epoch": 1, "loss": 9.0, "pair_accuracy": 0.6, "pair_accuracy@32": 0.55, "pair_chance": 0.5},
    {"epoch": 2, "loss": 5.0, "pair_accuracy": 0.8, "pair_accuracy@32": 0.7, "pair_chance": 0.5},
]


def test_every_trained_model_has_its_curves(tmp_path):
    lab = Lab(tmp_path)
    checkpoint(lab, "a", HISTORY)
    checkpoint(lab, "b", [{"epoch": 1, "loss": 4.0}])
    section = training_section(lab, ["a", "b", "imported"])
    loss, accuracy = section.charts  # nothing is known of images or learning rates
    assert [c.name for c in loss.curves] == ["a", "b"]
    assert loss.curves[0].y.tolist() == [9.0, 5.0]
    assert [c.y.tolist() for c in accuracy.curves if c.model == "a"] == [[0.6, 0.8], [0.55, 0.7]]
    a, b = section.findings
    assert a.text == (
        "a trained for 2 epochs; its loss went from 9.00 to 5.00 and it calls 80.0% of the validation pairs "
        "right (chance 50%)."
    )
    assert b.text == "b trained for 1 epoch; its loss went from 4.00 to 4.00."
    assert section.numbers.rows["pair accuracy, last epoch"][1] is None


def test_models_without_a_checkpoint_have_no_section(tmp_path):
    assert training_section(Lab(tmp_path), ["imported"]) is None


def test_chance_is_that_of_the_pairs_and_left_out_where_unknown(tmp_path):
    lab = Lab(tmp_path)
    checkpoint(lab, "a", [{"epoch": 1, "loss": 1.0, "pair_accuracy": 0.8, "pair_chance": 0.75}])
    checkpoint(lab, "b", [{"epoch": 1, "loss": 1.0, "pair_accuracy": 0.8}])
    section = training_section(lab, ["a", "b"])
    assert section.findings[1].text.endswith("80.0% of the validation pairs right (chance 75%).")
    assert section.findings[2].text.endswith("80.0% of the validation pairs right.")
    assert [e.null for e in section.numbers.rows["pair accuracy, last epoch"]] == [0.75, None]


def test_figures_on_the_images_trained_on_are_called_in_sample(tmp_path):
    lab = Lab(tmp_path)
    checkpoint(lab, "a", HISTORY, data={"lowres": "f1"})
    checkpoint(lab, "b", HISTORY, data={"other": "f2"})
    embedded = [
        {"model": m, "probe": p, "dataset": {"fingerprint": f}}
        for m in "ab"
        for p, f in (("lowres@32", "f1"), ("eval", "f3"))
    ]
    bad = [f.text for f in training_section(lab, ["a", "b"], embedded).findings if f.tone == "bad"]
    assert bad == [
        "a was trained on the images of lowres@32: all its figures there are in-sample and say nothing of "
        "other people."
    ]


def test_the_numbers_have_intervals_over_people_and_the_operating_points_the_pairs_support(tmp_path):
    lab, pairs = Lab(tmp_path), pairs_of()
    plant(lab, "a", [judged(pairs, 0.2)], pairs)
    plant(lab, "old", [judged(pairs, 0.2)], pairs, written=False)
    rows = training_section(lab, ["a", "old"]).numbers.rows
    a, old = rows["pair accuracy@32, last epoch"]
    assert (a.n, old.n, a.value) == (60, 0, old.value)
    assert rows["AUC"] == (0.9, None)
    assert rows["TAR at FAR 0.1"] == (0.51, None)
    assert rows["TAR at FAR 0.01 (unstable)"] == (0.2, None)
    assert "TAR at FAR 0.001 (unstable)" not in rows
    assert rows["images seen"] == (40, 40)


def test_damaged_curves_make_the_section_partial_and_are_named(tmp_path):
    lab, pairs = Lab(tmp_path), pairs_of()
    plant(lab, "a", [judged(pairs, 0.2)], pairs)
    assert training_section(lab, ["a"]).state == "ok"
    (lab.checkpoint("a") / "roc.parquet").write_bytes(b"")
    section = training_section(lab, ["a"])
    assert section.state == "partial"
    assert "roc.parquet" in section.notes[0].text


@pytest.mark.parametrize("count", [1, 8])
def test_a_report_holds_the_section_of_one_model_or_of_eight(tmp_path, count):
    lab, pairs = Lab(tmp_path), pairs_of()
    models = [f"m{k}" for k in range(count)]
    for k, model in enumerate(models):
        plant(lab, model, [judged(pairs, 0.3, seed=k), judged(pairs, 0.2, seed=k)], pairs)
    section = training_section(lab, models)
    page = build(
        tmp_path / "index.html", title="t", outcomes=[], models=models, provenance={}, extra=[section]
    ).read_text(encoding="utf-8")
    assert page.count('role="img"') == len(section.charts) == (6 if count == 1 else 10)
    assert "How did the models learn?" in page
