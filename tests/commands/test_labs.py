"""``embedlab lab``: nothing is removed unasked, and what goes is shown."""

import pytest

from embedlab.commands.cli import main
from embedlab.commands.labs import in_words
from embedlab.lab import embeddings
from embedlab.lab.store import Lab
from tests.planted import embedding_set


@pytest.fixture
def lab(tmp_path):
    made = Lab(tmp_path / "lab")
    for model in ("a", "b"):
        path = made.embeddings_file(model, "p")
        path.parent.mkdir(parents=True)
        embeddings.write(path, embedding_set(5, model=model, probe="p"), {})
    folder = made.result("distances", "0" * 16)
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(
        '{"inputs": [{"input": "p in a"}], "code": "of another time", "created": ""}'
    )
    return made


def told(capsys, *words):
    assert main(["lab", *map(str, words)]) == 0
    return capsys.readouterr().out


def test_the_lab_is_shown(lab, capsys):
    text = told(capsys, "--lab", lab.root)
    assert "probes p; 1 result rests on it" in text
    assert "probes p; 0 results rest on it" in text
    assert "1 stale" in text
    assert "the analysis is other than it was" in text


def test_nothing_is_removed_unasked(lab, capsys):
    for words in (("rm", "a"), ("clean",)):
        assert "say --yes" in told(capsys, *words, "--lab", lab.root)
    assert lab.models() == ["a", "b"]
    assert list(lab.root.glob("results/*/*"))


def test_what_is_asked_for_is_removed(lab, capsys):
    assert "removed" in told(capsys, "clean", "--yes", "--lab", lab.root)
    assert not list(lab.root.glob("results/*"))
    # The folder may be named before the part as well.
    assert str(lab.root) in told(capsys, "--lab", lab.root, "rm", "a", "--yes")
    assert lab.models() == ["b"]


def test_a_lab_is_moved(lab, tmp_path, capsys):
    told(capsys, "pack", tmp_path / "lab.tar", "--lab", lab.root)
    told(capsys, "unpack", tmp_path / "lab.tar", "--lab", tmp_path / "new")
    assert Lab(tmp_path / "new").models() == ["a", "b"]
    # What is stale stays behind.
    assert not list(tmp_path.glob("new/results/*"))


@pytest.mark.parametrize(("size", "text"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (2.5e9, "2.5 GB")])
def test_sizes_are_written_as_people_do(size, text):
    assert in_words(size) == text
