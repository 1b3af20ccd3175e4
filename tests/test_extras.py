"""Reports from vectors need neither torch nor onnxruntime; what needs them says so in a line."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from embedlab.errors import lacking
from embedlab.lab import embeddings
from tests.planted import embedding_set

ROOT = Path(__file__).parent.parent
WITHOUT = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "onnxruntime"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
"""
CHECKED = ("verification", "geometry", "separability", "registration", "similarity", "projection", "mapping")


@pytest.fixture
def without(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(WITHOUT)
    paths = os.pathsep.join([str(tmp_path), str(ROOT)])
    environment = {**os.environ, "PYTHONPATH": paths, "EMBEDLAB_LAB": str(tmp_path / "lab")}

    def run(*words):
        command = [sys.executable, "-m", "embedlab", *words]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )

    return run


@pytest.mark.slow
def test_a_report_from_vectors_needs_neither(without, tmp_path):
    for model, noise in (("a", 0.3), ("b", 0.5)):
        one = embedding_set(15, model=model, probe="p")
        vectors = one.vectors + noise * np.random.default_rng(1).normal(size=one.vectors.shape)
        people = [one.identities[k] for k in one.labels]
        planted = embeddings.EmbeddingSet.from_rows(model, "p", vectors, one.items.tolist(), people)
        embeddings.write(tmp_path / f"{model}.parquet", planted, {})
    few = ("registration.deals=1", "registration.nulls=1", "projection.layouts=1")
    words = (
        "report",
        "--models",
        "a.parquet",
        "b.parquet",
        "--only",
        *CHECKED,
        "--set",
        *few,
        "--out",
        "out",
    )
    done = without(*words)
    assert done.returncode == 0, done.stderr
    assert "torch" not in done.stderr
    assert (tmp_path / "out" / "report.json").is_file()


def test_what_needs_them_says_so_in_a_line(without, tmp_path):
    (tmp_path / "faces" / "ann").mkdir(parents=True)
    done = without("train", "lowres144", "--scale", "demo")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        "embedlab: this needs torch, which is not installed: `pip install 'embedlab[train]'`"
    )
    assert without("doctor").returncode == 0


def test_other_modules_that_are_missing_are_bugs():
    assert lacking(ModuleNotFoundError("no", name="embedlab.nothing")) is None
    assert lacking(ValueError("torch")) is None
    assert "embedlab[onnx]" in lacking(ModuleNotFoundError("no", name="onnxruntime.capi"))
