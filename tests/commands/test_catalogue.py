import pytest

from embedlab.commands import catalogue
from embedlab.lab import embeddings
from embedlab.lab.store import Lab
from tests.planted import embedding_set


@pytest.fixture
def lab(tmp_path):
    lab = Lab(tmp_path / "lab")
    path = lab.embeddings_file("theirs", "faces@32")
    path.parent.mkdir(parents=True)
    embeddings.write(path, embedding_set(), {})
    lab.data.mkdir()
    (lab.data / "highres_ids.txt").write_text("")
    return lab


def test_models_and_probes_have_their_state(lab):
    assert "theirs  embeddings only  probes: faces@32" in catalogue.listing(lab, "models")
    text = catalogue.listing(lab, "probes")
    assert "faces@32  in theirs" in text
    assert "highres   not extracted" in text


def test_analyses_count_what_is_stored(lab):
    (lab.root / "results" / "distances" / "abc").mkdir(parents=True)
    lines = catalogue.listing(lab, "analyses").splitlines()
    assert any(line.split()[:1] == ["distances"] and "1 stored" in line for line in lines)
    assert any(line.split()[:1] == ["kernels"] and "0 stored" in line for line in lines)


def test_recipes_say_what_they_stand_for(lab):
    text = catalogue.listing(lab, "recipes")
    for name in ("lowres32", "lowres144", "highres32", "highres144", "highlow144"):
        assert name in text


def test_an_empty_lab_is_told(tmp_path):
    assert catalogue.listing(Lab(tmp_path), "models") == "models\n  none yet"
    assert "not there yet" in catalogue.checkup(Lab(tmp_path / "none"))


def test_everything_is_listed_by_default(lab):
    headings = [line for line in catalogue.listing(lab).splitlines() if line and not line.startswith(" ")]
    assert headings == ["models", "probes", "analyses", "recipes"]
