import subprocess
import sys

import numpy as np

from embedlab import EmbeddingSet
from embedlab.commands import cli
from embedlab.lab import embeddings

HEAVY = {
    "torch", "numpy", "scipy", "sklearn", "umap", "numba", "matplotlib", "plotly", "pyarrow", "PIL", "jinja2",
    "onnxruntime", "rich", "pandas", "IPython", "safetensors", "jaxtyping",
}  # fmt: skip


def loaded_by(code):
    shown = f"{code}\nimport sys; print('\\n' + ' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", shown], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


def test_help_loads_nothing_heavy():
    code = "from embedlab.commands import cli\ntry: cli.main(['--help'])\nexcept SystemExit: pass"
    assert not HEAVY & loaded_by(code)


def test_a_command_that_reads_the_lab_does_not_load_torch(tmp_path):
    code = f"from embedlab.commands import cli\ncli.main(['list', 'models', '--lab', {str(tmp_path)!r}])"
    assert not {"torch", "numba", "matplotlib", "plotly", "sklearn"} & loaded_by(code)


def test_importing_the_package_loads_nothing_heavy():
    assert not HEAVY & loaded_by("import embedlab")


def test_a_report_from_stored_results_loads_only_what_reads_and_draws(tmp_path):
    draws = np.random.default_rng(0)
    people = np.repeat([f"p{k}" for k in range(40)], 5)
    vectors = (draws.normal(size=(40, 16))[np.arange(200) // 5] + draws.normal(size=(200, 16))).astype("f4")
    made = EmbeddingSet.of(vectors, people, attributes={"age": np.arange(200), "weight": vectors[:, 0]})
    source = tmp_path / "vectors.parquet"
    embeddings.write(source, made, {})
    asked = f"--only distances geometry --lab {tmp_path / 'lab'} --out {tmp_path / 'out'}".split()
    assert cli.main(["report", "--models", str(source), *asked]) == 0
    again = ["report", "--models", "vectors", *asked]
    loaded = loaded_by(f"from embedlab.commands import cli\nassert cli.main({again}) == 0")
    assert {"plotly", "pyarrow"} <= loaded
    assert {"torch", "pandas", "numba", "sklearn", "umap", "onnxruntime"} & loaded == set()
