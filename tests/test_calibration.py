"""The benchmark of intervals and claims draws the worlds it speaks of, and counts what is false."""

import numpy as np
import pytest

from benchmarks import calibration
from embedlab.estimates import claim


@pytest.mark.parametrize(
    ("part", "columns"),
    [
        ("coverage", "| quantity | equal |"),
        ("few", "| people | each alone | Benjamini–Hochberg | Benjamini–Yekutieli |"),
        ("equal", "| second probe | images | decided | false claims a sentence | reports with one |"),
        ("dependence", "| correlation | true |"),
        ("power", "| sentence | reports | claimed alone | claimed in a report |"),
    ],
)
def test_each_part_prints_its_table(part, columns, capsys):
    calibration.main([part, "--tiny", "--only", "confusions"])
    rows = capsys.readouterr().out.splitlines()
    assert rows[0].startswith(columns)
    assert len(rows) > 2
    assert len({row.count("|") for row in rows}) == 1


def test_the_worlds_have_the_images_that_their_names_say():
    sizes = {name: np.bincount(world.sets(400, 0)[0][0].labels) for name, world in calibration.WORLDS.items()}
    assert set(sizes["equal"]) == {4}
    assert sizes["one of 60"].max() == 60
    assert 0.55 < np.mean(sizes["LFW-like"] == 1) < 0.75
    pairs = sizes["LFW-like"] * (sizes["LFW-like"] - 1) / 2
    assert pairs.sum() ** 2 / (pairs**2).sum() < 60, "few people hold most pairs"
    assert len(set(sizes["2 % wrong"])) > 1


def test_few_reports_of_nothing_but_chance_claim_anything_however_their_sentences_depend():
    """Of forty sentences at 5 % each, most reports have a false one; decided together one in twenty."""
    for (_, true), row in calibration.dependent(30, 60, 200).items():
        alone, together, *_ = row
        if not true:
            assert together <= 0.05 + 3 * np.sqrt(0.05 / 60)
            assert alone > 4 * together
        false = row[7]
        assert not true or false <= 0.05


def test_only_claims_between_the_equal_models_are_false():
    def said(text, p):
        return claim(f"{text}.", f"{text}: chance.", p)

    found = [("distances", said("aster and birch differ", 0.03))]
    found += [("distances", said("aster changes from p to p@32", 1e-9))]
    found += [("similarity", said("aster and birch are alike", 1e-9))]
    found += [("distances", said(f"aster and birch differ in {k}", 0.5)) for k in range(8)]
    assert calibration.false_claims(found) == {
        "each alone": (1, 9),
        "Benjamini–Hochberg": (0, 9),
        "Benjamini–Yekutieli": (0, 9),
    }
