import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
# Parts of the renderer are tested through its pictures; an exception has nothing to test.
WITHIN = {"face_hair", "face_head", "face_parts", "traits", "errors"}


def test_imports_point_down():
    linter = Path(sys.executable).with_name("lint-imports")
    command = str(linter) if linter.exists() else shutil.which("lint-imports")
    assert command, "import-linter is not installed: make test installs it"
    found = subprocess.run([command, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout


def test_no_room_without_a_purpose():
    """No utils, core, common or helpers, and nothing importable but the package."""
    names = {path.stem for path in (ROOT / "embedlab").rglob("*.py")}
    assert not names & {"utils", "util", "core", "common", "helpers", "misc"}
    for folder in ("analyses", "reports"):
        assert not list((ROOT / folder).rglob("*.py")), f"{folder}/ holds no code"


def test_every_module_has_a_test_of_the_same_name():
    missing = []
    for path in sorted((ROOT / "embedlab").rglob("*.py")):
        within = path.relative_to(ROOT / "embedlab")
        if path.name.startswith("_") or path.stem in WITHIN:
            continue
        if not (ROOT / "tests" / within.parent / f"test_{path.stem}.py").exists():
            missing.append(str(within))
    assert not missing
