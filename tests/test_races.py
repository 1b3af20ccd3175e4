"""Two processes at one thing: the second waits, and has what the first made; nothing is mixed."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from embedlab.data.datasets import open_dataset
from embedlab.data.synthetic import sets as synthetic
from embedlab.lab.store import Lab
from embedlab.training.curves import read
from embedlab.training.recipe import Recipe
from tests.processes import Started

# Both are there before either begins; the first to begin is slow enough for the other to meet it.
BEGIN = """
import os, pathlib, sys, time
runners = int(sys.argv.pop())
from embedlab import progress
import torch
torch.set_num_threads(1)
here = pathlib.Path(sys.argv[1])
(here / f"ready{os.getpid()}").touch()
while len(list(here.glob("ready*"))) < runners:
    time.sleep(0.005)
"""

TRAIN = """
import json
from embedlab import compute
from embedlab.data.datasets import open_dataset
from embedlab.lab.store import Lab
from embedlab.training import trainer
from embedlab.training.recipe import Recipe
compute.choose("cpu")
recipe = Recipe(**json.loads(sys.argv[2]))
with progress.shown():
    data = [open_dataset(here / "faces")]
    print(trainer.train(Lab(here / "lab"), "m", recipe, data, fresh=sys.argv[3] == "fresh"))
# Loading the compiler takes longer than this whole training.
assert "torch._dynamo" not in sys.modules
"""

DRAW = """
from embedlab.data.synthetic import sets as synthetic
synthetic.SCALES["tiny"] = synthetic.Scale(3, 3, 3)
draw_set = synthetic._draw_set
def counted(folder, name, *rest):
    (here / f"drawn-{name}-{os.getpid()}").touch()
    draw_set(folder, name, *rest)
synthetic._draw_set = counted
with progress.shown():
    print(synthetic.make(here / "lab" / "data", "tiny").cached)
"""

ALIGN = """
from embedlab.data.alignment import align
from embedlab.data.datasets import open_dataset
with progress.shown():
    made = align(open_dataset(here / "faces"), here / "out", size=16, crop=True)
print(made.images, made.people)
"""


def race(program, here, *words, runners=2):
    """Run a program twice at once, or as often as told, and give the outcomes."""
    begun = [Started(BEGIN + program, here, *words, runners, OMP_NUM_THREADS="1") for _ in range(runners)]
    try:
        said = [process.communicate(timeout=120) for process in begun]
    finally:
        for process in begun:
            process.kill()
    for process, (_, err) in zip(begun, said, strict=True):
        assert process.returncode == 0, err
    return said


@pytest.fixture
def faces(tmp_path) -> Path:
    draw = np.random.default_rng(0)
    for person in range(6):
        for image in range(5):
            path = tmp_path / "faces" / f"p{person}" / f"{image}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(draw.integers(0, 256, (24, 24, 3), dtype=np.uint8)).save(path)
    return tmp_path / "faces"


@pytest.mark.parametrize("fresh", ["", "fresh"])
def test_two_trainings_of_one_model_leave_what_one_leaves(tmp_path, faces, fresh):
    recipe = Recipe(data="faces", input_size=16, width=4, dimension=8, epochs=4, batch=6, state_every=1)
    said = race(TRAIN, tmp_path, json.dumps(asdict(recipe)), fresh)
    assert sum("another process is training m: waiting for it" in err for _, err in said) == 1
    assert sum("m: 30 images of 6 people" in err for _, err in said) == (2 if fresh else 1)
    alone = tmp_path / "alone"
    shutil.copytree(faces, alone / "faces")
    race(TRAIN, alone, json.dumps(asdict(recipe)), fresh, runners=1)
    folders = [Lab(here / "lab").checkpoint("m") for here in (tmp_path, alone)]
    steps = [read(folder).step.tolist() for folder in folders]
    assert steps[0] == steps[1] == list(range(1, 21))
    names = [sorted(path.name for path in folder.iterdir()) for folder in folders]
    assert names[0] == names[1]
    weights = [(folder / "model.safetensors").read_bytes() for folder in folders]
    assert weights[0] == weights[1]


def test_two_first_commands_draw_the_faces_once(tmp_path):
    said = race(DRAW, tmp_path)
    assert sorted(out for out, _ in said) == ["False\n", "True\n"]
    assert sum("another process is drawing faces" in err for _, err in said) == 1
    assert len(list(tmp_path.glob("drawn-*"))) == len(synthetic.PIXELS)
    folder = tmp_path / "lab" / "data"
    assert (folder / synthetic.RECORD).is_file()
    assert not (folder / synthetic.STARTED).exists()
    assert len(open_dataset(folder / "lowres_ids.txt")) == 3 * synthetic.IMAGES["lowres"]


def test_two_alignments_into_one_folder_make_it_once(tmp_path, faces):
    said = race(ALIGN, tmp_path)
    assert [out for out, _ in said] == ["30 6\n", "30 6\n"]
    assert sum("was made so before, and stays" in err for _, err in said) == 1
    made = open_dataset(tmp_path / "out")
    assert (len(made), made.ignored) == (30, 0)
    assert not list(tmp_path.glob(".out.part*"))
