"""Data that say little, through every analysis: a result that can be shown, or a reason in words."""

import dataclasses
import json

import numpy as np
import pytest

from embedlab import analysis
from embedlab.analyses import audit, confusions, identification, restoration, watchlist
from embedlab.charts import faces_from
from embedlab.errors import UserError
from embedlab.lab.embeddings import EmbeddingSet
from embedlab.lab.weights import FIXED, LayerWeights, Wire
from embedlab.maths.linear import residual_mlp
from embedlab.report import sections
from embedlab.report.build import fragment, part_of
from embedlab.report.items import Items
from embedlab.report.show import told
from embedlab.runner import Outcome, Run
from tests.planted import embedding_set
from tests.planted_live import Planted

NAMES = sorted(analysis.names())
# What is drawn again and again, so often at most.
FEW = {
    **dict.fromkeys(("resamples", "permutations", "shuffles", "slices"), 20),
    **dict.fromkeys(("refits", "nulls", "restarts", "penalties", "splits"), 3),
    **{"signs": 19, "deals": 2},
}


@pytest.fixture(scope="module", autouse=True)
def _few_steps():
    """How well a small network learns shows in nothing here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(residual_mlp, "STEPS", 20)
        yield


def made(people, dimension=8, probe="p", model="a", seed=0, noise=0.3, offset=0.0, equal=False, outlier=1.0):
    """Draw people of so many images each, and their centres the same for every seed."""
    labels = np.repeat(np.arange(len(people)), people)
    centres = np.random.default_rng(3).normal(size=(len(people), dimension))
    vectors = centres[labels] + noise * np.random.default_rng(seed).normal(size=(len(labels), dimension))
    vectors = (np.ones_like(vectors) if equal else vectors) + offset
    vectors[0] *= outlier
    items = [f"i{k:03d}" for k in range(len(labels))]
    return EmbeddingSet.from_rows(model, probe, vectors, items, [f"person{k:03d}" for k in labels])


SETS = {
    "two people of two images": {"people": [2, 2]},
    "two people of three images": {"people": [3, 3]},
    "one person": {"people": [5]},
    "one image": {"people": [1]},
    "nobody twice": {"people": [1] * 12},
    "one of three with forty images": {"people": [40, 2, 2]},
    "one of many with forty images": {"people": [40, *[1] * 9, 2, 2]},
    "nine people": {"people": [2] * 9},
    "one number a vector": {"people": [2] * 12, "dimension": 1},
    "two numbers a vector": {"people": [2] * 12, "dimension": 2},
    "more numbers than images": {"people": [2] * 12, "dimension": 48},
    "all vectors equal": {"people": [2] * 12, "equal": True},
    "all images of a person equal": {"people": [2] * 12, "noise": 0.0},
    "all scores alike": {"people": [2] * 12, "offset": 1e4},
    "one vector far too long": {"people": [2] * 12, "outlier": 1e9},
}


def weights(model="a", layers=2, channels=4, value=None, size=3):
    rng = np.random.default_rng(len(model))
    shape = (channels, channels, size, size)
    some = {f"conv{k}": rng.normal(size=shape).astype(np.float32) for k in range(layers)}
    norm = {"running_mean": rng.normal(size=channels), "running_var": rng.uniform(1, 2, channels)}
    wires = {f"conv{k}": Wire(f"conv{k - 1}" if k else FIXED, f"conv{k}") for k in range(layers)}
    return LayerWeights(
        model,
        {k: w if value is None else np.full_like(w, value) for k, w in some.items()},
        {f"norm of {k}": {kind: v if value is None else 0 * v for kind, v in norm.items()} for k in some},
        family="chain",
        wires=wires | {f"norm of {k}": Wire(k, k) for k in some},
    )


def networks(over, **case):
    return tuple(weights(model, **case) for model in (("a",) if over == "weights" else ("a", "bb")))


WEIGHTS = {
    "no layer": {"layers": 0},
    "one layer": {"layers": 1},
    "one channel": {"channels": 1},
    "one number a kernel": {"size": 1},
    "one number in all": {"layers": 1, "channels": 1, "size": 1},
    "all zero": {"value": 0.0},
    "all equal": {"value": 1.0},
}


def inputs(over, case):
    a, shrunk, b = made(**case), made(**case, probe="p@32", seed=1), made(**case, model="bb", seed=2)
    match over:
        case "set":
            return (a,)
        case "model" | "probe pair" | "degraded pair":
            return (a, shrunk)
        case "models":
            return (a, b, made(**case, model="c", seed=3))
        case "network pair":
            return (Planted(a), Planted(b, 1))
        case _:
            return (a, b)


def cases():
    for name in NAMES:
        for over in (one.word for one in analysis.get(name).overs):
            known = WEIGHTS if over in ("weights", "weight pair") else SETS
            yield from (pytest.param(name, over, case, id=f"{name}-{over}-{case}") for case in known)


def run(name, given):
    found = analysis.get(name)
    few = {k: min(v, getattr(found.params, k)) for k, v in FEW.items() if hasattr(found.params, k)}
    params = dataclasses.replace(found.params, **few)
    if name == "membership":
        # It asks who was trained on, and for more images than most of these people have.
        params = dataclasses.replace(params, images=2)
        given = tuple(
            dataclasses.replace(
                one, attributes={**one.attributes, "trained": np.where(one.labels % 2, "yes", "no")}
            )
            for one in given
        )
    try:
        return Run("it", found.run(given, params))
    except UserError as error:
        return Run("it", reason=str(error))


@pytest.fixture(scope="module")
def usual():
    """Give a result of plain data, to be shown beside one of odd data."""
    kept = {}

    def get(name, over):
        if (name, over) not in kept:
            plain = networks(over) if "weight" in over else inputs(over, {"people": [3] * 12})
            kept[name, over] = run(name, plain)
            assert kept[name, over].result is not None, kept[name, over].reason
        return kept[name, over]

    return get


@pytest.mark.parametrize(("name", "over", "case"), list(cases()))
def test_little_data_are_a_result_that_can_be_shown_or_a_reason(name, over, case, usual, tmp_path):
    if "weight" in over:
        done = run(name, networks(over, **WEIGHTS[case]))
    else:
        done = run(name, inputs(over, SETS[case]))
    if done.result is None:
        assert "\n" not in done.reason
        return
    found = analysis.get(name)
    done.result.save(tmp_path)
    np.testing.assert_equal(
        vars(found.result.load(tmp_path)).keys() - vars(done.result).keys(), set(), "all that was saved"
    )
    for runs in ((done,), (done, usual(name, over)), (usual(name, over), done)):
        outcome = Outcome(found, found.params, runs)
        section = sections.of_outcome(outcome)
        assert [note.detail for note in section.notes if note.kind == "error"] == []
        for finding in section.findings:
            words = {word.strip(".,;:()[]%+-") for word in finding.text.split()}
            assert not words & {"nan", "NaN", "inf", "None"}, finding.text
        assert told(section)[1]
        fragment(section)
    part = part_of(section, 0, Items(), outcome)
    assert part.sound, part.body
    json.dumps(part.numbers, allow_nan=False)


EVIL = (
    "<script>alert(1)</script>\"><img src=x> it's {{ 7 * 7 }} %{x} & $\\frac$\nnext \x1b[31m\u202egnisrever _"
    + 200 * "n"
)


def hostile(one):
    """Give every name of an input, and a name more of each kind, the power to do harm."""
    if isinstance(one, LayerWeights):
        layers, norms, wires = (
            {f"{name}{EVIL}": values for name, values in named.items()}
            for named in (one.layers, one.norms, one.wires)
        )
        return dataclasses.replace(one, model=f"{one.model}{EVIL}", layers=layers, norms=norms, wires=wires)
    if isinstance(one, Planted):
        return dataclasses.replace(one, images=hostile(one.images))
    return dataclasses.replace(
        one,
        model=f"{one.model}{EVIL}",
        probe="@".join([f"p{EVIL}", *one.probe.split("@")[1:]]),
        items=np.array([f"{name}{EVIL}" for name in one.items]),
        identities=tuple(f"{name}{EVIL}" for name in one.identities),
        attributes={
            f"gender{EVIL}": np.array([f"{k % 2}{EVIL}" for k in one.labels]),
            f"pose{EVIL}": np.array([f"{k % 2}{EVIL}" for k in range(len(one.items))]),
        },
    )


@pytest.mark.parametrize(
    ("name", "over"), [(name, over.word) for name in NAMES for over in analysis.get(name).overs]
)
def test_names_from_data_are_shown_and_not_obeyed_in_every_section(name, over):
    plain = networks(over) if "weight" in over else inputs(over, {"people": [3] * 24})
    done = run(name, tuple(map(hostile, plain)))
    assert done.result is not None, done.reason
    found = analysis.get(name)
    run_of = dataclasses.replace(
        done, title=EVIL, caution=EVIL, record={"inputs": [{"input": EVIL, "fingerprint": EVIL}]}
    )
    outcome = Outcome(found, found.params, (run_of, Run(EVIL, reason=EVIL), Run(EVIL, error=EVIL)))
    with faces_from(lambda probe, item: np.zeros((4, 4, 3), np.uint8)):
        section = sections.of_outcome(outcome)
        part = part_of(section, 0, Items(), outcome)
    assert [note.detail for note in section.notes if note.kind == "error"] == [EVIL]
    text = part.body
    assert [word for word in ("<script>alert", "<img", "\x1b", "\u202e") if word in text] == []
    assert "{{ 7 * 7 }}" in text
    printed, _ = told(section)
    assert not set("\x1b\u202e") & set(printed)


@pytest.mark.parametrize(
    ("measure", "what"),
    [
        (identification, ("rank-1",)),
        (watchlist, ("TPIR@FPIR=0.1",)),
        (confusions, ("images nearer to somebody else", "p")),
        (restoration, ("rank-1", "unmapped")),
    ],
    ids=lambda one: getattr(one, "__name__", "").rpartition(".")[2],
)
def test_vectors_that_point_one_way_are_searched_like_others(measure, what):
    """About (100, 100, …) single precision tells cosines apart, and about (5000, 5000, …) no more."""
    found = []
    for far in (100, 5000):
        sets = [embedding_set(people=40, images=4, probe=p, seed=k) for k, p in enumerate(("p", "p@8"))]
        sets = [dataclasses.replace(one, vectors=one.vectors + np.float32(far)) for one in sets]
        params = dataclasses.replace(measure.ANALYSIS.params, resamples=20)
        many = {identification: (sets[0],), watchlist: (sets[0],), confusions: (sets[:1],)}
        found.append(measure.compute(*many.get(measure, sets), params).estimates[what].value)
    assert found[0] == pytest.approx(found[1], abs=0.02)
    assert found[0] > 0.02


def test_vectors_that_point_one_way_are_audited_like_others():
    near = embedding_set(people=40, images=4)
    far = dataclasses.replace(near, vectors=near.vectors + np.float32(5000))
    params = dataclasses.replace(audit.ANALYSIS.params, resamples=20, deals=20)
    said = [[f.text for f in audit.findings([audit.compute([one], params)])] for one in (near, far)]
    assert said[0] == said[1]
