import json

from embedlab.report.training import training_section
from embedlab.store import Lab


def checkpoint(lab, model, history, **more):
    folder = lab.checkpoint(model)
    folder.mkdir(parents=True)
    (folder / "model.json").write_text(json.dumps({"history": history, "seconds": 3.0, **more}))


HISTORY = [
    {"epoch": 1, "loss": 9.0, "pair_accuracy": 0.6, "pair_accuracy@32": 0.55},
    {"epoch": 2, "loss": 5.0, "pair_accuracy": 0.8, "pair_accuracy@32": 0.7},
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
