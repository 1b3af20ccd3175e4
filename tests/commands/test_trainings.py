"""Trainings find their data, come in order and run side by side."""

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from embedlab.commands import trainings
from embedlab.commands.request import Request
from embedlab.data.datasets import open_dataset
from embedlab.data.split import draw_pairs
from embedlab.errors import UserError
from embedlab.formats import protocols
from embedlab.lab.store import Lab
from embedlab.training import recipe


@pytest.fixture
def request_(tmp_path):
    return Request(Lab(tmp_path / "lab"))


def test_a_data_set_that_a_recipe_needs_and_is_missing_is_told(request_, tmp_path):
    with pytest.raises(UserError, match="recipe lowres144 needs the data set 'lowres'"):
        trainings.train(Request(request_.lab, data=str(tmp_path)), "lowres144", {})


def test_full_scale_takes_longer_than_the_demo(request_):
    demo = trainings.rough_minutes(request_, recipe.load("lowres144", "demo"))
    paper = trainings.rough_minutes(Request(request_.lab, scale="paper"), recipe.load("lowres144", "paper"))
    assert 1 <= demo <= 15
    assert paper > 1000 * demo


def test_two_trainings_run_side_by_side_and_their_mistakes_are_told(request_, tmp_path, monkeypatch):
    import io

    from embedlab import compute, progress

    monkeypatch.setattr(trainings.os, "cpu_count", lambda: 2)
    monkeypatch.setattr(compute, "device", lambda: "cpu")
    said = io.StringIO()
    # A file in the place of the data folder stops both at once, each in a process of its own.
    request_.lab.root.mkdir()
    request_.lab.data.write_text("in the way")
    with progress.shown(said), pytest.raises(UserError, match="data"):
        trainings.train_all(request_, ["lowres144", "highlow144"])
    assert "embedlab: " in said.getvalue()


class Begun(Exception):
    """A process would have been begun."""


@pytest.mark.parametrize(
    ("device", "scale", "names", "together"),
    [
        ("cpu", "paper", ["lowres144", "highlow144"], True),
        ("cuda", "small", ["lowres144", "highlow144"], True),
        ("cuda", "paper", ["lowres144", "highlow144"], False),
        ("cuda", "small", ["fused_frozen", "fused_output"], True),
        ("cuda", "paper", ["fused_frozen", "fused_output"], False),
        ("cuda", "small", ["lowres144"], False),
        ("mps", "demo", ["lowres144", "highlow144"], False),
    ],
)
def test_on_a_card_narrow_networks_are_trained_side_by_side(
    request_, monkeypatch, device, scale, names, together
):
    from embedlab import compute

    begun, alone = [], []

    def popen(words, **_):
        begun.append(words)
        raise Begun

    monkeypatch.setattr(trainings.os, "cpu_count", lambda: 2)
    monkeypatch.setattr(compute, "device", lambda: device)
    monkeypatch.setattr(trainings.subprocess, "Popen", popen)
    monkeypatch.setattr(trainings, "train", lambda _, name, __: alone.append(name))
    with pytest.raises(Begun) if together else nullcontext():
        trainings._train_group(replace(request_, scale=scale), names)
    assert alone == ([] if together else names)
    if together:
        assert begun[0][begun[0].index("--device") + 1] == device


LAUNCHED = """
import os, signal, sys
from embedlab import compute, progress
from embedlab.commands import trainings
from embedlab.errors import UserError
from embedlab.commands.request import Request
from embedlab.lab.store import Lab
os.environ["PYTHONPATH"] = sys.argv[2]
compute.choose("cpu")
trainings.os.cpu_count = lambda: 2
# Recipes take torch to read.
trainings.needed = lambda request, names: [names]
def obey(*_):
    raise SystemExit(143)
signal.signal(signal.SIGTERM, obey)
# A shell has what it runs in the background ignore SIGINT, and children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
with progress.shown():
    try:
        trainings.train_all(Request(Lab(sys.argv[1])), ["lowres144", "highlow144"])
    except UserError as error:
        print(error)
"""

CHILD = """
import os, pathlib, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
name = sys.argv[2] if len(sys.argv) > 2 else ""
pathlib.Path(os.environ["SEEN"], name).write_text(f"{os.getpid()}\\n")
if name == "lowres144" and os.environ.get("KILL"):
    os.kill(os.getpid(), int(os.environ["KILL"]))
time.sleep(60)
"""


@pytest.fixture
def stood_in(tmp_path):
    """Run two trainings, whose processes run a program of the test in place of embedlab."""
    (tmp_path / "embedlab").mkdir()
    (tmp_path / "embedlab" / "__init__.py").touch()
    (tmp_path / "embedlab" / "__main__.py").write_text(CHILD)
    (tmp_path / "seen").mkdir()
    launched = []

    def run(**environment):
        # The launcher has imported embedlab by then; its children find the one that stands in.
        launched.append(
            subprocess.Popen(
                [sys.executable, "-c", LAUNCHED, str(tmp_path / "lab"), str(tmp_path)],
                env={**os.environ, "SEEN": str(tmp_path / "seen"), **environment},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                # `python -m` looks in the working folder first.
                cwd=tmp_path / "seen",
            )
        )
        return launched[0]

    yield run
    for one in launched:
        one.kill()
        one.communicate()


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def pids(folder):
    return [int(text) for path in folder.iterdir() if (text := path.read_text()).endswith("\n")]


def test_a_training_that_dies_of_a_signal_is_one_line_and_the_others_are_stopped(stood_in, tmp_path):
    out, err = stood_in(KILL=str(int(signal.SIGSEGV))).communicate(timeout=60)
    assert re.fullmatch(
        r"training lowres144 died of SIGSEGV.*ONEDNN_MAX_CPU_ISA=AVX2 embedlab train.*\n", out
    )
    assert "Traceback" not in err
    assert not any(map(is_alive, pids(tmp_path / "seen")))


@pytest.mark.parametrize("status", [-1, 128])
@pytest.mark.parametrize(
    ("number", "match"),
    [
        (
            signal.SIGSEGV,
            "died of SIGSEGV.*`ONEDNN_MAX_CPU_ISA=AVX2 embedlab train lowres144 --lab 'my lab'`",
        ),
        (signal.SIGABRT, "died of SIGABRT.*ONEDNN_MAX_CPU_ISA=AVX2"),
        (signal.SIGILL, "died of SIGILL.*ONEDNN_MAX_CPU_ISA=AVX2"),
        (
            signal.SIGKILL,
            "ended by SIGKILL.*memory.*alone with `embedlab train lowres144 --lab 'my lab'`.*smaller",
        ),
        (signal.SIGTERM, "ended by SIGTERM: the same command goes on"),
    ],
)
def test_each_signal_has_its_advice(number, match, status):
    status = -number if status < 0 else 128 + number
    failure = trainings._failure("lowres144", status, "", ["--lab", "my lab", "--fresh"])
    assert type(failure) is UserError
    assert re.match(f"training lowres144 (was )?{match}", str(failure))
    assert "\n" not in str(failure)
    assert "--fresh" not in str(failure)


def test_a_training_that_ends_oddly_without_a_signal_stays_a_bug(request_):
    failure = trainings._failure("lowres144", 1, "ZeroDivisionError: division by zero", [])
    assert type(failure) is RuntimeError
    assert "status 1: ZeroDivisionError" in str(failure)
    mistake = trainings._failure("lowres144", 2, "embedlab: no such thing: do another", [])
    assert (type(mistake), str(mistake)) == (UserError, "no such thing: do another")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_whoever_launched_trainings_and_is_told_to_end_leaves_none_behind(stood_in, tmp_path, number):
    launcher = stood_in()
    deadline = time.monotonic() + 60
    while len(pids(tmp_path / "seen")) < 2:
        assert time.monotonic() < deadline
        assert launcher.poll() is None, launcher.communicate()
        time.sleep(0.02)
    launcher.send_signal(number)
    launcher.communicate(timeout=60)
    assert launcher.returncode in (143, -signal.SIGINT)
    assert not any(map(is_alive, pids(tmp_path / "seen")))


@pytest.fixture
def faces(tmp_path):
    """Make an identity folder; its people are called by its name."""

    def make(name, people=6, each=4):
        draw = np.random.default_rng(len(name))
        for person in range(people):
            for image in range(each):
                path = tmp_path / "mine" / name / f"{name}{person}" / f"{image}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(draw.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(path)
        return tmp_path / "mine" / name

    return make


@pytest.fixture
def caught(monkeypatch):
    """Catch what would be trained."""
    calls = []

    def train(lab, name, recipe, data, validating=None, **options):
        calls.append((name, data, validating))
        return lab.checkpoint(name)

    from embedlab.training import trainer

    monkeypatch.setattr(trainer, "train", train)
    return calls


def test_what_a_recipe_starts_from_or_fuses_comes_before_it(request_):
    assert trainings.needed(request_, ["fused_frozen"]) == [["lowres144", "lowres32"], ["fused_frozen"]]
    assert trainings.needed(request_, ["lowres144_ft_highres", "lowres144"]) == [
        ["lowres144"],
        ["lowres144_ft_highres"],
    ]
    again = "lowres144_ft_highres_seed31"
    assert trainings.needed(request_, [again]) == [["lowres144"], [again]]


def test_what_the_lab_has_is_not_trained_again_for_another(request_):
    path = request_.lab.checkpoint("lowres144") / "model.json"
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    assert trainings.needed(request_, ["fused_frozen"]) == [["lowres32"], ["fused_frozen"]]


def test_a_model_that_nothing_makes_is_told(request_, monkeypatch):
    from dataclasses import replace

    load = recipe.load
    monkeypatch.setattr(recipe, "load", lambda *a, **k: replace(load(*a, **k), initial="nobody"))
    with pytest.raises(
        UserError, match="recipe lowres144 needs the model 'nobody'.*train or import it first"
    ):
        trainings.needed(request_, ["lowres144"])


def test_data_sets_are_found_by_the_names_of_the_recipe(request_, faces, caught, tmp_path):
    faces("lowres"), faces("highres")
    trainings.train(Request(request_.lab, data=str(tmp_path / "mine")), "highlow144", {})
    ((name, data, validating),) = caught
    assert (name, [one.name for one in data], validating) == ("highlow144", ["lowres", "highres"], None)


def test_with_data_of_ones_own_the_full_scale_is_the_default_and_the_log_says_what_begins(
    tmp_path, faces, monkeypatch
):
    from embedlab.commands import cli
    from embedlab.training import trainer

    begun = []

    def train(lab, name, recipe, data, validating=None, *, told, **options):
        begun.append((recipe, told))
        return lab.checkpoint(name)

    monkeypatch.setattr(trainer, "train", train)
    words = ["train", "lowres144", "--lab", str(tmp_path / "lab"), "--data", str(faces("friends"))]
    for more in ([], ["--scale", "demo"]):
        assert cli.main([*words, *more]) == 0
    assert [one for one, _ in begun] == [recipe.load("lowres144", scale) for scale in ("paper", "demo")]
    for scale, (one, told) in zip(("paper", "demo"), begun, strict=True):
        minutes = trainings.minutes_of(one, 24)
        assert told == f"{scale} scale, roughly {minutes:.0f} min here from the beginning"


def test_without_data_the_demo_is_the_default(tmp_path):
    from embedlab.commands import cli

    for words in (["train", "lowres144"], ["report", "--data", "mine"]):
        assert cli._request(cli.parser().parse_args([*words, "--lab", str(tmp_path)])).scale == "demo"


def test_how_long_a_training_takes_depends_on_the_images_that_there_are():
    chosen = recipe.load("lowres144")
    one, ten = (trainings.minutes_of(chosen, images) for images in (10_000, 100_000))
    assert ten == pytest.approx(10 * one)
    assert [trainings._duration(minutes) for minutes in (1, 89, 300, 60 * 24 * 2000)] == [
        "1 min", "89 min", "5 h", "2,000 days",
    ]  # fmt: skip


def test_one_data_set_stands_for_those_of_the_recipe(request_, faces, caught):
    trainings.train(Request(request_.lab, data=str(faces("friends"))), "highlow144", {}, name="mine")
    ((name, data, _),) = caught
    assert (name, [one.name for one in data]) == ("mine", ["friends"])


def test_validation_on_others_draws_its_pairs_or_reads_them(request_, faces, caught, tmp_path):
    data, others = Request(request_.lab, data=str(faces("friends"))), faces("strangers")
    trainings.train(data, "lowres144", {}, validation=str(others))
    pairs = draw_pairs(open_dataset(others), 5, seed=3)
    protocols.write(tmp_path / "pairs.csv", pairs)
    trainings.train(data, "lowres144", {}, validation=str(others), pairs=str(tmp_path / "pairs.csv"))
    drawn, read = (validating for _, _, validating in caught)
    assert drawn[0].name == read[0].name == "strangers"
    assert (drawn[1].same.sum(), read[1].a) == (6 * 6, pairs.a)


def test_validating_on_people_who_are_trained_on_is_refused(request_, faces, caught):
    friends = str(faces("friends"))
    with pytest.raises(UserError, match="6 people of friends are trained on.*--hold-out"):
        trainings.train(Request(request_.lab, data=friends), "lowres144", {}, validation=friends)


def test_what_cannot_be_trained_is_told_before_faces_are_drawn(request_, faces, monkeypatch, tmp_path):
    monkeypatch.setattr(trainings, "embedded_data", lambda _: pytest.fail("it began"))
    for words, match in (
        ({"pairs": "p.csv"}, "p.csv holds pairs of images that were not given"),
        ({"pairs": str(tmp_path / "no.csv"), "validation": str(faces("friends"))}, "cannot read .*no.csv"),
        ({"name": "a/b"}, "cannot be the name of a model"),
    ):
        with pytest.raises(UserError, match=match):
            trainings.train(request_, "lowres144", {}, **words)


def test_pairs_without_images_are_refused(request_, faces, caught):
    with pytest.raises(UserError, match="p.csv holds pairs of images that were not given.*--validation"):
        trainings.train(Request(request_.lab, data=str(faces("friends"))), "lowres144", {}, pairs="p.csv")
