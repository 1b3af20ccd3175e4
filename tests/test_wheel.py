"""The package works outside the checkout: build the wheel, install it, make a report."""

import html
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from embedlab import analysis
from embedlab.lab import embeddings
from tests.planted import embedding_set

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = folder.glob("*.whl")
    return found


def test_templates_recipes_and_static_files_are_packaged(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for path in (ROOT / "embedlab").rglob("*"):
        inside = path.relative_to(ROOT).as_posix()
        if path.is_file() and "__pycache__" not in path.parts:
            assert inside in names, inside
    assert not [name for name in names if name.startswith(("tests/", "analyses/", "lab/"))]


@pytest.mark.slow
def test_an_installed_wheel_makes_a_report_from_a_parquet_file(wheel, tmp_path):
    venv.create(tmp_path / "env", with_pip=False)
    python = tmp_path / "env" / "bin" / "python"
    site = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    # The dependencies are those of this environment; the package itself comes from the wheel alone.
    Path(site, "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(python),
        "install",
        "--no-deps",
        "--quiet",
        str(wheel),
    ]
    subprocess.run(pip, check=True, capture_output=True)
    embeddings.write(tmp_path / "faces.parquet", embedding_set(people=12), {})
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "EMBEDLAB_LAB")}
    where = [python, "-c", "import embedlab; print(embedlab.__file__)"]
    shown = subprocess.run(where, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert shown.stdout.startswith(str(tmp_path / "env"))
    # By an analysis without compiled loops, which in a new folder would be compiled anew.
    program = [python, "-m", "embedlab", "report", "--models", "faces.parquet", "--only", "components"]
    done = subprocess.run(program, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "reports" / "faces" / "index.html").read_text(encoding="utf-8")
    assert html.escape(analysis.get("components").question, quote=False) in page
    listed = subprocess.run(
        [python, "-m", "embedlab", "list"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert {"highlow144", *analysis.names()} <= set(listed.stdout.split())
