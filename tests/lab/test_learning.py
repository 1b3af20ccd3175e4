"""What a training wrote is read back as it was, or refused with a reason."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from embedlab.errors import UserError
from embedlab.lab import learning
from embedlab.lab.learning import Roc, ValidationPairs


def write(folder, name, rows, metadata=None):
    folder.mkdir(exist_ok=True)
    schema = learning.schemas()[name]
    pq.write_table(
        pa.Table.from_pylist(rows, schema=schema.with_metadata(metadata) if metadata else schema),
        folder / name,
    )


def steps(*numbers):
    return [
        {"step": n, "epoch": 1, "loss": 1 / n, "learning_rate": 0.1, "images_per_second": 9.0}
        for n in numbers
    ]


def validation(step, condition="", right=b"\xa0", count=3):
    return {
        "step": step,
        "epoch": 1,
        "condition": condition,
        "pair_accuracy": 2 / 3,
        "chance": 0.5,
        "pairs": "f",
        "count": count,
        "right": right,
    }


def test_every_column_comes_back(tmp_path):
    write(tmp_path, "curves.parquet", steps(1, 2, 3))
    found = learning.read(tmp_path)
    assert found.step.tolist() == [1, 2, 3]
    assert found.loss.tolist() == [1.0, 1 / 2, 1 / 3]
    assert np.isnan(found.gradient_norm).all()
    assert found.epoch.dtype == np.int64
    assert (found.validations, found.pairs) == ((), None)


def test_the_newest_rows_of_a_running_training_are_read_as_well(tmp_path):
    write(tmp_path, "curves.parquet", steps(1, 2))
    newest = tmp_path / "curves.parts"
    write(newest, "curves.parquet", steps(3))
    (newest / "curves.parquet").rename(newest / "000000000003.parquet")
    assert learning.read(tmp_path).step.tolist() == [1, 2, 3]


def test_parts_that_were_merged_already_are_not_read_twice(tmp_path):
    write(tmp_path, "curves.parquet", steps(1, 2, 3))
    left = tmp_path / "curves.parts"
    write(left, "curves.parquet", steps(2, 3))
    (left / "curves.parquet").rename(left / "000000000002.parquet")
    assert learning.read(tmp_path).step.tolist() == [1, 2, 3]


def test_a_validation_has_its_judgements_and_its_curve(tmp_path):
    write(tmp_path, "curves.parquet", steps(1, 2))
    write(tmp_path, "validation.parquet", [validation(2), validation(2, "@32", b"\x00")])
    roc = {"step": 2, "epoch": 1, "condition": "@32", "far": [0.0, 1.0], "tar": [0.5, 1.0]}
    write(tmp_path, "roc.parquet", [{**roc, "auc": 0.75, "genuine": 4, "impostors": 5}])
    as_is, shrunk = learning.read(tmp_path).validations
    assert (as_is.roc, as_is.right.tolist()) == (None, [True, False, True])
    assert (shrunk.roc.auc, shrunk.roc.tar.tolist(), shrunk.right.tolist()) == (0.75, [0.5, 1.0], [False] * 3)
    assert learning.read(tmp_path).validated("@32")[0].condition == "@32"


def test_the_pairs_come_back_with_their_chance_and_people(tmp_path):
    write(tmp_path, "curves.parquet", steps(1))
    rows = [
        {"first": 0, "second": 0, "same": True},
        *[{"first": 0, "second": k, "same": False} for k in (1, 2, 3)],
    ]
    write(tmp_path, "validation_pairs.parquet", rows, {"embedlab": json.dumps({"fingerprint": "f"})})
    pairs = learning.read(tmp_path).pairs
    assert (pairs.fingerprint, pairs.people, pairs.chance) == ("f", 4, 0.75)


def test_a_folder_without_curves_is_refused(tmp_path):
    assert not learning.is_recorded(tmp_path)
    with pytest.raises(UserError, match=r"holds no curves.parquet: give the checkpoint's folder"):
        learning.read(tmp_path)


@pytest.mark.parametrize("damage", [b"", b"PAR1", b"PAR1" + 100 * b"x" + b"PAR1", "cut"])
def test_a_damaged_file_is_refused_by_name(tmp_path, damage):
    write(tmp_path, "curves.parquet", steps(1, 2, 3))
    path = tmp_path / "curves.parquet"
    path.write_bytes(path.read_bytes()[:-20] if damage == "cut" else damage)
    with pytest.raises(UserError, match=r"cannot read .*curves.parquet \(.*\), it is damaged: delete it"):
        learning.read(tmp_path)


def test_flipped_bytes_of_the_data_are_refused_or_read(tmp_path):
    write(tmp_path, "curves.parquet", steps(*range(1, 200)))
    path = tmp_path / "curves.parquet"
    whole = path.read_bytes()
    refused = 0
    for place in range(0, len(whole), 37):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            learning.read(tmp_path)
        except UserError:
            refused += 1
    assert refused > 5


def test_other_columns_are_refused(tmp_path):
    pq.write_table(pa.table({"step": [1], "cheese": [2.0]}), tmp_path / "curves.parquet")
    with pytest.raises(
        UserError, match="has the columns step, cheese, not those of training curves: delete it"
    ):
        learning.read(tmp_path)


def test_judgements_that_do_not_fit_their_pairs_are_refused(tmp_path):
    write(tmp_path, "curves.parquet", steps(1))
    write(tmp_path, "validation.parquet", [validation(1, count=99)])
    with pytest.raises(UserError, match="holds 8 judgements for 99 pairs: delete it"):
        learning.read(tmp_path)


def test_pairs_without_their_fingerprint_are_refused(tmp_path):
    write(tmp_path, "curves.parquet", steps(1))
    write(tmp_path, "validation_pairs.parquet", [{"first": 0, "second": 0, "same": True}])
    with pytest.raises(UserError, match="does not say which pairs it holds: delete it"):
        learning.read(tmp_path)


ROC = Roc(np.array([0.0, 0.01, 0.1, 1.0]), np.array([0.2, 0.4, 0.8, 1.0]), 0.9, 50, 100)


@pytest.mark.parametrize(("far", "tar"), [(1.0, 1.0), (0.1, 0.8), (0.05, 0.4), (0.01, 0.4), (0.0099, None)])
def test_a_tar_is_given_where_the_impostor_pairs_support_the_far(far, tar):
    assert ROC.tar_at(far) == tar


def test_an_operating_point_can_ask_for_more_false_accepts():
    assert ROC.supports(0.1, 10)
    assert not ROC.supports(0.01, 10)


def test_chance_is_the_share_of_the_more_frequent_kind():
    pairs = ValidationPairs("f", np.arange(4), np.arange(4), np.array([True, False, False, False]))
    assert pairs.chance == 0.75
