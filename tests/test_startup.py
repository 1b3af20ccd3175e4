import subprocess
import sys

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
