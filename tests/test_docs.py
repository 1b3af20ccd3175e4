"""README commands, the command line and the generated catalogue agree with the code."""

import argparse
import ast
import os
import re
import shlex
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

import embedlab
from embedlab import __version__, question, study
from embedlab import analysis as contract
from embedlab.commands import catalogue, cli
from embedlab.errors import EXTRAS
from embedlab.lab import embeddings
from embedlab.lab.store import Lab
from embedlab.training import recipe
from tests.planted import embedding_set

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@cache
def parser():
    return cli.parser()


def commands():
    (subparsers,) = (a for a in parser()._actions if isinstance(a, argparse._SubParsersAction))
    return subparsers.choices


def shown(page=ROOT / "README.md"):
    """Every line of a page's code blocks that runs embedlab or make."""
    blocks = re.findall(r"```(?:console|sh|bash)\n(.*?)```", page.read_text("utf-8"), flags=re.DOTALL)
    lines = [line.removeprefix("$ ").strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith(("embedlab ", "make "))]


def test_the_readme_shows_the_main_commands():
    lines = shown()
    assert "make report" in lines
    assert "make test" in lines
    assert any(line.startswith("embedlab report --models lowres144 highlow144") for line in lines)


COMMANDS = {line for page in PAGES for line in shown(page) if line.startswith("embedlab ")}


def guided(page=ROOT / "docs" / "questions.md"):
    """Every command that stands in a page's sentences and tables."""
    return re.findall(r"`embedlab ((?:report|run|compare|check|export) [^`]*)`", page.read_text("utf-8"))


@pytest.mark.parametrize(
    "line",
    sorted({line.split(" #")[0].removeprefix("embedlab ") for line in COMMANDS} | {
        line for page in PAGES for line in guided(page)
    }),
)  # fmt: skip
def test_every_command_of_the_docs_is_understood_and_names_what_there_is(line):
    options = parser().parse_args(shlex.split(line))
    if options.command in ("report", "run") and options.models:
        only = [options.analysis] if options.command == "run" else options.only or ()
        overrides = study.parse_set(options.set or (), only[0] if options.command == "run" else "")
        study.plan(study.Study(tuple(options.models), analyses=tuple(only), overrides=overrides))
    if options.command == "train" and options.recipe in recipe.names():
        changes = study.parse_set(options.set or (), options.recipe).get(options.recipe, {})
        recipe.load(options.recipe, options.scale or "paper", changes)


def test_the_guide_leads_to_every_question():
    asked = {name for line in guided() for name in getattr(parser().parse_args(line.split()), "only", [])}
    for name in question.names():
        assert set(question.get(name).needs) & asked, name


@pytest.mark.parametrize("line", [line for line in shown() if line.startswith("make ")])
def test_every_make_target_exists(line):
    target = line.split()[1]
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)


@pytest.mark.parametrize("page", [one for one in PAGES[1:] if "```python" in one.read_text("utf-8")])
@pytest.mark.filterwarnings("ignore:Glyph")
def test_the_python_of_a_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), flags=re.DOTALL):
        exec(block, names)
    assert names


def test_the_notebook_lines_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for model in ("lowres144", "highlow144"):
        path = Lab("lab").embeddings_file(model, "highres_eval")
        path.parent.mkdir(parents=True)
        embeddings.write(path, embedding_set(model=model, probe="highres_eval"), {})
    for block in re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL):
        exec(block, {})
        assert "n highres_eval" in capsys.readouterr().out


def test_the_readme_lists_every_analysis_by_chapter_with_its_question():
    rows = re.findall(r"^\| ([^|]*)\| `(\w+)` \| (.*) \|$", README, flags=re.MULTILINE)
    places = {name: chapter for chapter, names in study.CHAPTERS.items() for name in names}
    chapter, listed = "", []
    for opens, name, asked in rows:
        chapter = opens.strip() or chapter
        listed.append((chapter, name, asked))
    there = sorted(contract.builtin(), key=study.READING_ORDER.index)
    assert listed == [(places[name], name, contract.get(name).question) for name in there]


def test_the_rooms_told_are_those_of_the_code_and_the_files_named_are_there():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rooms = text.split("```\nembedlab/\n")[1].split("```")[0]
    lines = re.findall(r"^  (\w+/|(?:\w+\.py +)+)", rooms, flags=re.MULTILINE)
    heads = {word for line in lines for word in line.split()}
    there = {one.name + "/" * one.is_dir() for one in (ROOT / "embedlab").iterdir() if one.name[0] != "_"}
    assert heads == there
    modules = {path.name for path in (ROOT / "embedlab").rglob("*.py")}
    assert set(re.findall(r"\w+\.py", rooms)) <= modules


def test_the_answers_shown_are_to_questions_that_are_asked():
    shown = re.findall(r"^ ?(\d+) (.*\?)$", README, flags=re.MULTILINE)
    assert shown
    for number, text in shown:
        assert question.get(question.names()[int(number) - 1]).text == text


@cache
def parsers():
    """Every command and the parts of those that have parts."""
    found = dict(commands())
    for name, command in commands().items():
        for action in command._actions:
            if isinstance(action, argparse._SubParsersAction):
                del found[name]
                found |= {f"{name} {part}": parser for part, parser in action.choices.items()}
    return found


def test_every_command_is_in_the_readme():
    for name in parsers():
        assert f"embedlab {name}" in README, name


def test_every_option_has_a_help_text():
    for name, command in parsers().items():
        for action in command._actions:
            assert action.help, f"{name} {action.option_strings or action.dest}"


def test_options_are_few_and_known():
    """A new option is a decision: add it here with its reason in the change log."""
    options = {
        o for c in parsers().values() for a in c._actions for o in a.option_strings if o.startswith("--")
    }
    assert options == {
        "--help", "--lab", "--device", "--data", "--scale", "--fresh", "--models", "--probes",
        "--preprocessing", "--batch", "--strict", "--train", "--set", "--only", "--out", "--json", "--name",
        "--pairs", "--attributes", "--pseudonyms", "--no-pictures", "--save", "--paper",
        "--population", "--people", "--within", "--jobs",
        "--model", "--probe", "--items", "--item-column", "--identity-column", "--vector-column",
        "--map", "--method", "--folds", "--seed", "--force",
        "--flip", "--validation", "--recipe", "--input", "--images",
        "--measure", "--margin", "--rename", "--gates", "--fail-if", "--notes", "--markdown", "--junit",
        "--yes", "--to", "--size", "--fit", "--hold-out", "--landmarks", "--detector", "--crop",
    }  # fmt: skip


def test_device_and_scale_choices_are_those_of_the_code():
    from embedlab import compute
    from embedlab.data.synthetic import populations
    from embedlab.training import recipe

    assert cli.DEVICES == compute.CHOICES
    assert cli.SCALES == recipe.SCALES
    assert cli.POPULATIONS == populations.POPULATIONS


def test_the_ways_of_fitting_are_those_of_the_code():
    from embedlab.data.degradations import FITS

    (fit,) = (a for a in parsers()["data pack"]._actions if "--fit" in a.option_strings)
    assert fit.choices == FITS


def test_the_catalogue_of_analyses_is_up_to_date():
    written = (ROOT / "analyses" / "README.md").read_text(encoding="utf-8")
    assert written == catalogue.markdown(), "run `make docs`"


@pytest.mark.parametrize("path", sorted((ROOT / "analyses").glob("*.toml")), ids=lambda p: p.stem)
def test_every_study_can_be_planned_and_has_its_prose(path):
    asked = study.read(path)
    assert study.plan(asked)
    assert asked.prose
    for said in asked.statements:
        assert set(said.models) <= set(asked.models)
        assert len(said.text.split()) <= 30
        needed = question.get(said.question).needs
        assert set(needed) & set(study.names(asked)), f"{said.question} needs {', '.join(needed)}"


def test_the_change_log_speaks_of_this_version():
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_torch_is_pinned_where_installs_go_through():
    assert "torch==2.13.0" in (ROOT / "constraints.txt").read_text()
    assert "-c constraints.txt" in (ROOT / "Makefile").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for extra in ("train", "dev"):
        assert any(one.startswith("torch>") for one in project["optional-dependencies"][extra])


def test_every_package_that_only_some_work_needs_has_its_extra():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = {"cv2": "opencv-python-headless"}
    for package, extra in EXTRAS.items():
        assert any(one.startswith(named.get(package, package)) for one in extras[extra]), package


def test_relative_links_lead_somewhere():
    names = ["CONTRIBUTING.md", "analyses/README.md", "reports/README.md"]
    for path in (*PAGES, *(ROOT / name for name in names)):
        for target in re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8")):
            if not target.startswith("http"):
                assert (path.parent / target).exists(), f"{path.name}: {target}"


def test_every_page_can_be_reached_from_the_first():
    found, ahead = set(), [ROOT / "docs" / "index.md"]
    while ahead:
        page = ahead.pop()
        if page in found:
            continue
        found.add(page)
        text = page.read_text("utf-8")
        trees = re.findall(r"```\{toctree\}\n(.*?)```", text, flags=re.DOTALL)
        named = [f"{line}.md" for tree in trees for line in tree.split() if line[0] != ":"]
        named += re.findall(r"\]\(([^)#]+\.md)", text)
        ahead += [path for name in named if (path := (page.parent / name).resolve()).is_file()]
    assert set(PAGES[1:]) <= found


@pytest.mark.slow
def test_the_site_is_built_without_a_warning_and_asks_nothing_of_a_network(tmp_path):
    for package in ("sphinx", "furo", "myst_parser", "numpydoc"):
        pytest.importorskip(package, reason="the extra docs is not installed: make test installs it")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "docs", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) > len(PAGES)
    fetched = r"<(?:script|img|link|iframe|source)\b[^>]*(?:src|href)=[\"']?(?:https?:)?//"
    for page in pages:
        assert not re.search(fetched, page.read_text("utf-8")), page.name
    for sheet in tmp_path.rglob("*.css"):
        assert not re.search(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//", sheet.read_text("utf-8")), (
            sheet.name
        )
    reference = (tmp_path / "reference.html").read_text("utf-8")
    for name in embedlab.__all__:
        assert name.startswith("_") or f'id="embedlab.{name}"' in reference, name
    assert "mailto:" not in reference
    told = (tmp_path / "commands.html").read_text("utf-8")
    for name in parsers():
        assert f"usage: embedlab {name} " in told, name


RUNNING = ("report", "run", "extract")
PARSERS = ("commands/cli.py", "commands/files.py", "commands/gating.py", "commands/upkeep.py")
RAISED_BY = {
    "commands/within.py": ("report", "run"),
    "runner.py": ("report", "run"),
    "networks/foreign.py": (*RUNNING, "doctor"),
    "networks/callables.py": (*RUNNING, "doctor"),
    "networks/imports.py": ("import",),
    "networks/contracts.py": (*RUNNING, "doctor", "import"),
    "training/state.py": ("train",),
    "training/steps.py": ("train",),
    "commands/trainings.py": ("train",),
    "formats/conversion.py": ("map apply",),
    "formats/exports.py": ("export",),
    "report/paper.py": ("report",),
    "commands/preparation.py": RUNNING,
    "commands/words.py": RUNNING,
    "commands/request.py": (*RUNNING, "map fit", "map apply", "export"),
    "commands/request.py --data": (*RUNNING, "doctor"),
    "data/packed.py --fit": ("data pack",),
    "formats/interchange.py --model": ("import",),
    "commands/pipeline.py --only": ("report",),
    "lab/store.py --fresh": ("train", "import"),
    "commands/pipeline.py": ("report", "run"),
    "commands/pipeline.py --save": ("run",),
    "analyses/groups.py": ("report", "run"),
    "compute.py": (*RUNNING, "train", "doctor"),
    "study.py": ("report", "run"),
    "report/gates.py": ("compare",),
    "data/synthetic/sets.py": (*RUNNING, "train", "doctor"),
    "extraction/extract.py": RUNNING,
    "ranks.py": (*RUNNING, "train"),
    "formats/interchange.py": (*RUNNING, "import", "map fit", "map apply", "export"),
    "lab/store.py": (*RUNNING, "train", "import", "list", "doctor"),
    "commands/labs.py": ("lab rm", "lab clean"),
    "lab/upkeep.py": ("lab rm", "lab clean", "lab pack", "lab unpack"),
    "commands/catalogue.py": ("list", "doctor"),
    # The other way round: what it says is how a checkpoint is made again.
    "lab/weights.py": ("train", "import"),
}
"""Which commands can say what a module says, where the words do not name a command themselves."""
NOT_SAID = {
    ("commands/catalogue.py", "--set"),  # Of the page of analyses, which is no message.
    # An option that only the Python function has: no command can come there without it.
    ("training/images.py", "--strict"),
    # What one process tells another.
    *(("commands/trainings.py", option) for option in ("--lab", "--scale", "--device", "--fresh")),
}


def texts(source):
    """The words in a module's code that are no docstring, each f-string as one."""
    tree = ast.parse(source)
    skipped = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            skipped.add(node.value)
        if isinstance(node, ast.JoinedStr):
            skipped |= {part for part in node.values if isinstance(part, ast.Constant)}
            yield "".join(part.value if isinstance(part, ast.Constant) else "X" for part in node.values)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in skipped:
            yield node.value


def advised():
    """Every option in a message: module, option, and the commands that must have it."""
    root = ROOT / "embedlab"
    named = r"`embedlab ((?:[a-z]+ ?)+)([^`]*)`"
    for path in sorted(root.rglob("*.py")):
        module = path.relative_to(root).as_posix()
        # Whether it names an option at all is seen sooner than its words are found.
        source = path.read_text(encoding="utf-8")
        for text in texts(source) if module not in PARSERS and re.search(r"--[a-z]", source) else ():
            for words, rest in re.findall(named, text):
                command = next((c for c in parsers() if f"{words} ".startswith(f"{c} ")), words)
                yield from ((module, option, (command,)) for option in re.findall(r"--[a-z][a-z-]+", rest))
            for option in re.findall(r"--[a-z][a-z-]+", re.sub(named, "", text)):
                if (module, option) not in NOT_SAID and "report, run and extract" not in text:
                    yield module, option, RAISED_BY.get(f"{module} {option}", RAISED_BY.get(module, ()))


@pytest.mark.parametrize(("module", "option", "commands"), sorted(set(advised())))
def test_an_option_that_is_advised_is_one_of_the_command(module, option, commands):
    assert commands, f"say in RAISED_BY which commands can say what {module} says of {option}"
    for command in commands:
        known = {word for action in parsers()[command]._actions for word in action.option_strings}
        assert option in known, f"{module} advises {option}, which `embedlab {command}` does not have"
