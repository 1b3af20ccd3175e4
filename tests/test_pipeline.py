import json

import pytest

from embedlab import embeddings, pipeline
from embedlab.errors import UserError
from embedlab.preparation import Request
from embedlab.store import Lab
from embedlab.study import Study
from tests.planted import embedding_set


@pytest.fixture
def asked(tmp_path):
    path = tmp_path / "m.parquet"
    embeddings.write(path, embedding_set(), {})
    return Request(Lab(tmp_path / "lab")), Study((str(path),), analyses=("distances",))


def test_a_second_report_says_the_same(asked, tmp_path):
    pages = []
    for k in range(2):
        page, sound = pipeline.report(*asked, tmp_path / f"out{k}")
        assert sound
        pages.append(json.loads((page.parent / "report.json").read_text())["sections"])
    for section in pages[0], pages[1]:
        del section[0]["runs"]
    assert pages[0] == pages[1]


def test_the_report_tells_how_it_came_about(asked, tmp_path):
    page, _ = pipeline.report(*asked, tmp_path / "r.html")
    provenance = json.loads(page.with_suffix(".json").read_text())["provenance"]
    assert {"command", "date", "device", "time, analysing"} <= {row[0] for row in provenance["This report"]}
    assert ["imported from", f"name m.parquet, sha256 {sha256(tmp_path / 'm.parquet')}"] in provenance[
        "imported in m"
    ]


def sha256(path):
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_numbers_come_as_text_or_json(asked):
    text, _ = pipeline.run(*asked, as_json=False)
    assert "Are two faces of one person closer" in text
    assert "d′, imported" in text
    whole = json.loads(pipeline.run(*asked, as_json=True)[0])
    estimate = whole["sections"][0]["numbers"]["m"]["d′, imported"]
    assert set(estimate) == {"value", "low", "high", "n", "null"}


def test_a_model_named_twice_is_told(asked):
    request, study = asked
    with pytest.raises(UserError, match="is named twice"):
        pipeline.run(request, Study(study.models * 2), as_json=True)


def test_extract_lists_its_files(asked):
    request, study = asked
    assert pipeline.extract(request, study) == [request.lab.embeddings_file("m", "imported")]
