"""All models share the axes of each picture."""

import numpy as np
import pytest

from embedlab.lab.store import Lab
from embedlab.report.trained import load
from embedlab.report.training_charts import blocks, charts
from tests.planted_learning import judged, pairs_of, plant


@pytest.fixture
def drawn(tmp_path):
    def draw(*models, epochs=3, **how):
        lab, pairs = Lab(tmp_path), pairs_of()
        right = judged(pairs, 0.2)
        for model in models:
            plant(lab, model, [right] * epochs, pairs, written=not model.startswith("old"), **how)
        return {chart.title: chart for chart in charts(load(lab, models)[0])}

    return draw


def test_one_model_has_six_pictures(drawn):
    found = drawn("a")
    assert list(found) == [
        "Training loss by images seen",
        "Training loss by epoch",
        "Learning rate",
        "Pair accuracy on the validation pairs",
        "ROC of the last validation",
        "ROC of a as it learned",
    ]
    loss = found["Training loss by images seen"].curves[0]
    assert loss.x.tolist() == [8.0 * n for n in range(1, 16)]
    np.testing.assert_allclose(loss.y, 10 / np.arange(1, 16))
    accuracy = found["Pair accuracy on the validation pairs"].curves
    assert [(c.name, c.dash, c.x.tolist()) for c in accuracy] == [
        ("a", "solid", [1.0, 2.0, 3.0]),
        ("a @32", "dash", [1.0, 2.0, 3.0]),
    ]


def test_a_roc_has_a_logarithmic_axis_and_no_point_at_zero(drawn):
    roc = drawn("a")["ROC of the last validation"]
    assert roc.xscale == "log"
    assert roc.curves[0].x.tolist() == [1 / 120, 0.1, 1.0]
    assert roc.curves[0].y.tolist() == [0.2, 0.53, 1.0]
    assert "left of a false accept rate of 0.083 fewer than ten" in roc.note


def test_the_movement_shows_the_first_a_middle_and_the_last_validation(drawn):
    moved = drawn("a", epochs=6)["ROC of a as it learned"]
    assert [c.name for c in moved.curves] == ["after epoch 1", "after epoch 3", "after epoch 6"]
    assert [c.y[1] for c in moved.curves] == [0.51, 0.53, 0.56]
    two = drawn("a", epochs=2)["ROC of a as it learned"]
    assert [c.name for c in two.curves] == ["after epoch 1", "after epoch 2"]
    assert "ROC of a as it learned" not in drawn("a", epochs=1)


def test_many_models_have_a_picture_a_condition_and_some_movements(drawn):
    names = [f"m{k}" for k in range(8)]
    found = drawn(*names)
    for title in (
        "Pair accuracy on the validation pairs",
        "Pair accuracy on the validation pairs, images shrunk to 32 px first",
        "ROC of the last validation",
        "ROC of the last validation, images shrunk to 32 px first",
    ):
        assert [c.name for c in found[title].curves] == names
    moved = [title for title in found if "as it learned" in title]
    assert moved == [f"ROC of m{k} as it learned" for k in range(3)]
    assert found[moved[0]].note.endswith("The first 3 of 8 models are shown.")


def test_an_older_checkpoint_stands_beside_with_its_epochs(drawn):
    found = drawn("a", "old")
    loss = found["Training loss by images seen"]
    assert [(c.name, c.markers, c.x.tolist()[-1]) for c in loss.curves] == [
        ("a", False, 120.0),
        ("old", True, 120.0),
    ]
    assert loss.note == "Marked points are means of epochs."
    assert found["ROC of the last validation"].note.endswith("No curve was kept of old.")
    assert [c.name for c in found["Learning rate"].curves] == ["a", "old"]


def test_older_checkpoints_alone_have_no_roc_and_the_loss_once(drawn):
    assert list(drawn("old1", "old2")) == [
        "Training loss by epoch",
        "Learning rate",
        "Pair accuracy on the validation pairs",
    ]


def test_a_validation_without_a_curve_draws_none(drawn):
    assert not [title for title in drawn("a", roc=False) if "ROC" in title]


def test_many_steps_become_the_means_of_blocks():
    values = np.arange(1000.0)
    assert blocks(values, 200).tolist() == [2.0 + 5 * k for k in range(200)]
    uneven = blocks(np.arange(7.0), 3)
    assert uneven.tolist() == [1.0, 4.0, 6.0]
    assert blocks(np.zeros(0)).tolist() == []
    assert len(blocks(np.zeros(1_000_003))) <= 200


def test_every_picture_draws_in_both_libraries(drawn):
    from matplotlib.figure import Figure

    for chart in drawn("a", "b", "old").values():
        chart.plotly()
        chart.matplotlib(Figure().subplots())
