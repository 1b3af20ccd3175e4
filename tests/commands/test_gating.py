"""``embedlab compare`` and ``embedlab check``: exit statuses, messages, and files written whole."""

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from embedlab.commands.cli import main, parser
from embedlab.report import gates
from tests.report.reports import written


@pytest.fixture
def report(tmp_path):
    def write(name, noises, **how):
        return str(written(tmp_path / name / "report.json", noises, **how))

    return write


def told(capsys, *words):
    status = main(list(words))
    out, err = capsys.readouterr()
    return status, out, err.removeprefix("embedlab: ").rstrip()


def test_the_statuses_are_those_the_help_names(report, tmp_path, capsys):
    old, worse, other = report("a", {"n": 0.4}), report("b", {"n": 0.9}), report("c", {"n": 0.4}, shown=1)
    again = report("d", {"n": 0.4}, seed=9)
    assert told(capsys, "compare", old, old)[0] == 0
    assert told(capsys, "compare", old, worse)[0] == 1
    assert told(capsys, "compare", old, "nowhere")[0] == 2
    assert told(capsys, "compare", old, other)[0] == 3
    open_ = ("compare", old, again, "--margin", "0")
    assert told(capsys, *open_)[0] == 0
    assert told(capsys, *open_, "--fail-if", "unproven")[0] == 3
    with pytest.raises(SystemExit):
        main(["compare", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert all(f"{status} " in text.partition("Exit status:")[2] for status in range(4))


def test_a_folder_stands_for_its_report_and_a_model_may_be_called_otherwise(report, tmp_path, capsys):
    report("a", {"n": 0.4})
    report("b", {"m": 0.9})
    folders = [str(tmp_path / name) for name in "ab"]
    status, _, said = told(capsys, "compare", *folders)
    assert status == 3
    assert "--rename OLD=NEW" in said
    status, text, _ = told(capsys, "compare", *folders, "--rename", "n=m")
    assert status == 1
    assert "worse  verification:EER, m on p" in text
    for word, why in (("n", "write OLD=NEW"), ("x=m", "the earlier report has n")):
        status, _, said = told(capsys, "compare", *folders, "--rename", word)
        assert status == 2
        assert why in said
    report("c", {"n": 0.4, "m": 0.4})
    _, _, said = told(capsys, "compare", str(tmp_path / "c"), folders[1], "--rename", "n=m")
    assert "two models of the earlier report would be called m" in said


def test_summaries_are_written_and_a_failing_gate_fails(report, tmp_path, capsys):
    gates = tmp_path / "gates.toml"
    gates.write_text('[[gate]]\nmeasure = "verification:AUC"\nat_least = 0.999999\n')
    markdown, junit = tmp_path / "a.md", tmp_path / "a.xml"
    words = ("--gates", str(gates), "--markdown", str(markdown), "--junit", str(junit))
    status, text, _ = told(capsys, "check", report("a", {"n": 0.9}), *words)
    assert status == 1
    assert text.splitlines()[-1].startswith("failed: 1 fails; ")
    assert "**fails**" in markdown.read_text()
    assert "<failure" in junit.read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "a.md", "a.xml", "gates.toml"]


def test_measures_and_gates_exclude_each_other(report, tmp_path, capsys):
    one = report("a", {"n": 0.4})
    gates = tmp_path / "gates.toml"
    gates.write_text('[[gate]]\nmeasure = "verification:AUC"\nmargin = 0.01\n')
    assert told(capsys, "compare", one, one, "--gates", str(gates))[0] == 0
    for more, why in (
        (("--measure", "verification:EER", "--gates", str(gates)), "either --gates or --measure"),
        (("--margin", "0.1", "--gates", str(gates)), "either --gates or --measure"),
        (("--margin", "-1"), "--margin must be 0 or more"),
        (("--margin", "nan"), "--margin must be 0 or more"),
        (("--measure", "verification:TRA"), "has no estimate 'verification:TRA'"),
    ):
        status, _, said = told(capsys, "compare", one, one, *more)
        assert status == 2
        assert why in said
    gates.write_text("[[gate]]\nno_hazards = true\n")
    assert "none of the gates has a margin" in told(capsys, "compare", one, one, "--gates", str(gates))[2]


ROOT = Path(__file__).parents[2]


def test_the_gates_that_the_readme_shows_are_gates(tmp_path):
    (block,) = re.findall(r"```toml\n(\[\[gate.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    (tmp_path / "gates.toml").write_text(block)
    assert len(gates.read(tmp_path / "gates.toml")) == 4


def step(name):
    text = (ROOT / "docs/ci.md").read_text()
    return textwrap.dedent(
        re.findall(rf"- name: {name}\n        run: \|\n(.*?)\n      - ", text, flags=re.DOTALL)[0]
    )


def test_the_commands_of_the_workflow_are_understood():
    lines = re.findall(r"embedlab (?:report|compare|check) [^`|\n]*", (ROOT / "docs/ci.md").read_text())
    assert len(lines) > 2
    for line in lines:
        parser().parse_args(line.removeprefix("embedlab ").split())


@pytest.mark.parametrize(
    ("baseline", "status", "said"),
    [
        ({"n": 0.9}, 0, "passed: 2 better"),
        ({"n": 0.2}, 1, "failed: 2 worse"),
        (None, 0, "no baseline yet"),
        ({"n": 0.4, "m": 0.4}, 0, "not decided"),
    ],
)
def test_the_step_of_the_workflow_ends_as_it_says(report, tmp_path, baseline, status, said):
    report("reports/ours", {"n": 0.4})
    if baseline:
        report("baseline", baseline)
    command = f'embedlab() {{ {sys.executable} -m embedlab "$@"; }}\n' + step("Compare")
    summary = tmp_path / "summary.txt"
    environment = {**os.environ, "GITHUB_STEP_SUMMARY": str(summary), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["bash", "-e", "-c", command],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stderr
    assert said in summary.read_text()
    assert ("::warning::" in done.stdout) == (said == "not decided")


@pytest.mark.parametrize("option", ["--markdown", "--junit"])
def test_a_summary_is_not_written_over_what_is_judged(report, tmp_path, capsys, option):
    old, new, asked = report("a", {"n": 0.4}), report("b", {"n": 0.4}), tmp_path / "gates.toml"
    asked.write_text('[[gate]]\nmeasure = "verification:EER"\nat_most = 0.9\nmargin = 0.1\n')
    for words in (
        ["compare", old, new, option, old],
        ["compare", str(Path(old).parent), new, option, old],
        ["compare", old, new, "--gates", str(asked), option, str(asked)],
        ["check", new, "--gates", str(asked), option, new],
    ):
        before = Path(words[-1]).read_bytes()
        status, _, err = told(capsys, *words)
        assert (status, "is read: give another name" in err) == (2, True)
        assert Path(words[-1]).read_bytes() == before
