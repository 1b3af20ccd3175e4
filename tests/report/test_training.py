import json

from embedlab.report.training import training_section
from embedlab.store import Lab


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
    loss, accuracy = section.charts
    assert [c.name for c in loss.curves] == ["a", "b"]
    assert loss.curves[0].y.tolist() == [9.0, 5.0]
    assert [c.y.tolist() for c in accuracy.curves if c.model == "a"] == [[0.6, 0.8], [0.55, 0.7]]
    assert section.findings[0].text == (
        "a trained for 2 epochs; its loss went from 9.00 to 5.00 and it calls 80.0% of the validation pairs "
        "right (chance 50%)."
    )
    assert section.findings[1].text == "b trained for 1 epochs; its loss went from 4.00 to 4.00."
    assert section.numbers.rows["pair accuracy, last epoch"][1] is None


def test_models_without_a_checkpoint_have_no_section(tmp_path):
    assert training_section(Lab(tmp_path), ["imported"]) is None


def test_chance_is_that_of_the_pairs_and_left_out_where_unknown(tmp_path):
    lab = Lab(tmp_path)
    checkpoint(lab, "a", [{"epoch": 1, "loss": 1.0, "pair_accuracy": 0.8, "pair_chance": 0.75}])
    checkpoint(lab, "b", [{"epoch": 1, "loss": 1.0, "pair_accuracy": 0.8}])
    section = training_section(lab, ["a", "b"])
    assert section.findings[0].text.endswith("80.0% of the validation pairs right (chance 75%).")
    assert section.findings[1].text.endswith("80.0% of the validation pairs right.")
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
