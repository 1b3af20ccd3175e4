"""Some people alone: only their images are embedded, and their set is never taken for everybody's."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from embedlab.commands import cli, within
from embedlab.data.datasets import open_dataset
from embedlab.data.degradations import Probe
from embedlab.errors import UserError
from embedlab.extraction.extract import extract_all
from embedlab.lab import embeddings, upkeep
from embedlab.lab.store import Lab
from embedlab.runner import run_study, sets_used
from embedlab.study import Study
from tests.extraction.test_extract import Projection as Product
from tests.extraction.test_extract import make_faces


class Projection(Product):
    """The same bits whatever the batch."""

    def embed(self, images):
        self.calls.append(len(images))
        return np.stack([self.preprocessing.apply(one[None]).ravel() @ self.matrix for one in images])


PROBES = [Probe("faces"), Probe("faces", 12)]
PEOPLE, EACH = 10, 3


@pytest.fixture
def faces(tmp_path):
    return open_dataset(make_faces(tmp_path / "faces", PEOPLE, EACH))


@pytest.fixture
def lab(tmp_path):
    return Lab(tmp_path / "lab")


@pytest.fixture
def whole(tmp_path, faces):
    lab = Lab(tmp_path / "whole")
    extract_all(lab, Projection(), faces, PROBES)
    return lab


def equal(a, b):
    return (
        np.array_equal(a.vectors, b.vectors)
        and a.identities == b.identities
        and np.array_equal(a.items, b.items)
        and np.array_equal(a.labels, b.labels)
    )


@pytest.mark.parametrize("people", [2, 4, 9])
def test_only_those_who_are_drawn_are_embedded_and_they_are_those_drawn_of_everybody(
    lab, faces, whole, people
):
    network = Projection()
    done = extract_all(lab, network, faces, PROBES, people=people)
    assert sum(network.calls) == people * EACH * len(PROBES)
    assert [one.rows for one in done] == 2 * [people * EACH]
    told = {"people": people, "images": people * EACH}
    assert [embeddings.metadata(one.path)["drawn"] for one in done] == [told, told]
    for probe in map(str, PROBES):
        assert equal(lab.embeddings("linear", probe, people), whole.embeddings("linear", probe, people))
        assert equal(lab.embeddings("linear", probe, 2), whole.embeddings("linear", probe).draw(2))
    again = extract_all(lab, network, faces, PROBES, people=2)
    assert all(one.cached for one in again)
    assert sum(network.calls) == people * EACH * len(PROBES)


def test_a_set_of_some_people_is_never_taken_for_everybodys(lab, faces):
    extract_all(lab, Projection(), faces, PROBES, people=4)
    assert lab.models() == []
    assert lab.probes("linear") == []
    assert lab.probes("linear", 4) == ["faces", "faces@12"]
    assert lab.probes("linear", 5) == []
    for people in (0, 5):
        with pytest.raises(UserError, match="no embeddings of probe 'faces' in model 'linear'"):
            lab.embeddings("linear", "faces", people)


@pytest.mark.parametrize("people", [0, PEOPLE, PEOPLE + 5])
def test_everybodys_set_takes_the_place_of_those_of_some(lab, faces, whole, people):
    network = Projection()
    extract_all(lab, network, faces, PROBES, people=3)
    extract_all(lab, network, faces, PROBES, people=6)
    # Three of six are in the larger set.
    assert [path.name for path in lab.embeddings_file("linear", "faces").parent.iterdir()] == [".drawn-6"]
    extract_all(lab, network, faces, PROBES, people=people)
    folder = lab.embeddings_file("linear", "faces").parent
    assert sorted(path.name for path in folder.iterdir()) == ["faces.parquet", "faces@12.parquet"]
    assert equal(lab.embeddings("linear", "faces"), whole.embeddings("linear", "faces"))
    done = extract_all(lab, network, faces, PROBES, people=3)
    assert all(one.cached for one in done)
    assert [one.path.name for one in done] == ["faces.parquet", "faces@12.parquet"]


def test_probes_of_which_there_is_everybody_stay_so_beside_one_that_is_new(lab, faces, whole):
    network = Projection()
    extract_all(lab, network, faces, PROBES[:1])
    before = len(network.calls)
    done = extract_all(lab, network, faces, PROBES, people=4)
    assert [one.cached for one in done] == [True, False]
    assert sum(network.calls[before:]) == 4 * EACH
    assert equal(lab.embeddings("linear", "faces@12", 4), whole.embeddings("linear", "faces@12", 4))


def test_another_network_or_other_images_make_the_set_anew(lab, faces, tmp_path):
    extract_all(lab, Projection(), faces, PROBES, people=4)
    assert not extract_all(lab, Projection(seed=1), faces, PROBES, people=4)[0].cached
    next((tmp_path / "faces").rglob("*.png")).unlink()
    fewer = open_dataset(tmp_path / "faces")
    assert not extract_all(lab, Projection(seed=1), fewer, PROBES, people=4)[0].cached
    assert extract_all(lab, Projection(seed=1), fewer, PROBES, people=4)[0].cached
    assert not extract_all(lab, Projection(seed=1), fewer, PROBES, people=4, fresh=True)[0].cached


def test_of_how_many_they_are_is_told_as_of_a_draw_from_everybody(lab, faces, whole):
    extract_all(lab, Projection(), faces, PROBES, people=6)
    for people in (4, 6):
        study = Study(("linear",), ("faces", "faces@12"), ("norms",), people=people)
        assert sets_used(lab, study) == sets_used(whole, study)
        assert sets_used(lab, study)[0]["of_people"] == PEOPLE
    beyond = Study(("linear",), ("faces",), ("resolution",), {"resolution": {"pixels": "12"}}, people=6)
    assert [one["probe"] for one in sets_used(lab, beyond)] == ["faces", "faces@12"]


def test_results_are_those_of_a_draw_from_everybody_and_not_stale(lab, faces, whole):
    extract_all(lab, Projection(), faces, PROBES, people=8)
    study = Study(
        ("linear",), ("faces", "faces@12"), ("distances",), {"distances": {"resamples": 20}}, people=8
    )
    for one, other in zip(run_study(lab, study), run_study(whole, study), strict=True):
        assert [run.record["key"] for run in one.runs] == [run.record["key"] for run in other.runs]
        assert [run.result.numbers() for run in one.runs] == [run.result.numbers() for run in other.runs]
    code = run_study(lab, study)[0].analysis.code
    assert {one.why for one in upkeep.results(lab, lambda _: code)} == {""}


def test_a_set_of_some_people_is_listed_with_its_room_and_can_be_removed(lab, faces, capsys):
    extract_all(lab, Projection(), faces, PROBES[:1])
    extract_all(lab, Projection(), faces, PROBES, people=4)
    extract_all(lab, Projection(name="other"), faces, PROBES, people=4)
    run_study(lab, Study(("other",), ("faces",), ("norms",), {"norms": {"resamples": 20}}, people=4))
    assert cli.main(["lab", "--lab", str(lab.root)]) == 0
    told = capsys.readouterr().out
    assert re.search(r"linear +\d.*probes faces, faces@12 \(some people\); 0 results rest on it", told)
    assert re.search(
        r"other +\d.*probes faces \(some people\), faces@12 \(some people\); 1 result rests on it", told
    )
    upkeep.remove(lab, upkeep.of_model(lab, "other", upkeep.results(lab, lambda _: None)))
    assert lab.models(1) == ["linear"]
    assert not list(upkeep.results(lab, lambda _: None))


FEW = ("--only", "norms", "--set", "norms.resamples=20")

MEANS = """
import numpy as np

def embed(images):
    with open("calls", "a") as file:
        file.write(f"{len(images)}\\n")
    return images[:, ::28, ::28].reshape(len(images), -1).astype(np.float32) + 1

def network():
    return embed
"""


@pytest.fixture
def embedded(tmp_path, monkeypatch):
    """Images, and a network that counts those it is given."""
    make_faces(tmp_path / "faces", 30, EACH)
    (tmp_path / "means.py").write_text(MEANS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    # It is looked at on an image or two when it is opened.
    return lambda: sum(count for count in map(int, (tmp_path / "calls").read_text().split()) if count > 2)


def report(*more):
    of = ("--models", "means:network", "--data", "faces", "--probes", "faces")
    assert cli.main(["report", *of, *FEW, "--out", "out", *more]) == 0
    (told,) = json.loads(Path("out/report.json").read_text("utf-8"))["sets"]
    return told["people"], told.get("of_people"), Path("out/index.html").read_text("utf-8")


def test_the_report_embeds_the_people_it_asks_about_and_says_of_how_many(embedded):
    for _ in range(2):
        people, every, page = report("--people", "7")
        assert (people, every, embedded()) == (7, 30, 7 * EACH)
        assert "7 of the 30 people" in page
    assert report()[:2] == (30, None)
    assert embedded() == (7 + 30) * EACH


@pytest.mark.parametrize(("seconds", "people"), [(5.0, 10), (1.0, 5), (1e6, 30)])
def test_within_a_time_only_those_who_are_tried_are_embedded(embedded, monkeypatch, capsys, seconds, people):
    monkeypatch.setattr(within, "FIRST", 5)
    # The first try takes a second: of five four are left, for twice as many, who take them all.
    clock = iter([0.0, 1.0, 1.0, 5.0])
    monkeypatch.setattr(within, "perf_counter", clock.__next__)
    found, every, _ = report("--within", f"{seconds:.0f}")
    assert capsys.readouterr().err.count("is assumed") == 1
    assert (found, every) == (people, 30 if people < 30 else None)
    assert embedded() == (5 + people * (people > 5)) * EACH
