import dataclasses
import io
import json
import pickle

import numpy as np
import pytest
from PIL import Image

from embedlab import analysis, embeddings, pipeline, progress
from embedlab.charts import Face, Faces, faces_at_hand
from embedlab.errors import UserError
from embedlab.request import Request
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


def test_extract_says_what_a_model_of_embeddings_lacks(asked):
    request, study = asked
    pipeline.extract(request, study)
    path = request.lab.embeddings_file("n", "faces")
    path.parent.mkdir()
    embeddings.write(path, embedding_set(model="n", probe="faces"), {})
    said = io.StringIO()
    with progress.shown(said):
        assert pipeline.extract(request, Study(("m", "n"), ("faces",))) == [path]
    assert "there is no faces in m, which is only its embeddings" in said.getvalue()


# With images at hand


@pytest.fixture
def network(tmp_path):
    import torch

    from embedlab.networks.backbones import build

    torch.manual_seed(0)
    torch.save(build("ir_se_18", input_size=32, width=2, dimension=8).state_dict(), tmp_path / "net.pth")
    return str(tmp_path / "net.pth")


def pictures():
    """Five people with four pictures each: a pattern a person, noise a picture."""
    rng = np.random.default_rng(0)
    for person in range(5):
        base = np.kron(rng.integers(40, 215, size=(6, 6, 3)), np.ones((8, 8, 1)))
        for k in range(4):
            picture = np.clip(base + rng.normal(0, 12, base.shape), 0, 255).astype(np.uint8)
            yield f"p{person}/{k}.png", Image.fromarray(picture)


@pytest.fixture
def faces(tmp_path):
    for name, picture in pictures():
        (tmp_path / "faces" / name).parent.mkdir(parents=True, exist_ok=True)
        picture.save(tmp_path / "faces" / name)
    return str(tmp_path / "faces")


@pytest.fixture
def packed(tmp_path):
    """The same pictures as a .bin: pairs of one person in a chain, and each with the next person."""
    encoded = []
    for _, picture in pictures():
        file = io.BytesIO()
        picture.save(file, "PNG")
        encoded.append(file.getvalue())
    same = [(4 * p + k, 4 * p + k + 1) for p in range(5) for k in range(3)]
    other = [(4 * p + k, (4 * p + 4 + k) % 20) for p in range(5) for k in range(3)]
    images = [encoded[i] for pair in (*same, *other) for i in pair]
    path = tmp_path / "lfw.bin"
    path.write_bytes(pickle.dumps((images, [True] * 15 + [False] * 15)))
    return str(path)


@pytest.fixture
def changed(monkeypatch):
    """Give a function that changes the analysis of distances."""
    real = analysis.get

    def change(**changes):
        monkeypatch.setattr(analysis, "get", lambda name: dataclasses.replace(real(name), **changes))

    return change


def test_probes_that_an_analysis_wants_are_made_and_listed(tmp_path, network, faces, changed):
    changed(probes=lambda params, probes: (*probes, "faces@8"))
    request = Request(Lab(tmp_path / "lab"), data=faces)
    asked = Study((network,), ("faces",), ("distances",))
    assert [path.stem for path in pipeline.extract(request, asked)] == ["faces"]
    assert request.lab.probes("net") == ["faces"]
    page, sound = pipeline.report(request, asked, tmp_path / "r.html")
    assert sound
    assert request.lab.probes("net") == ["faces", "faces@8"]
    whole = json.loads(page.with_suffix(".json").read_text())
    assert whole["probes"] == ["faces", "faces@8"]
    assert "faces@8 in net" in whole["provenance"]
    assert "d′, faces@8" in whole["sections"][0]["numbers"]["net"]


def test_nothing_further_is_made_for_an_analysis_that_is_not_run(tmp_path, network, faces, monkeypatch):
    real = analysis.get
    wanting = dataclasses.replace(real("distances"), probes=lambda params, probes: (*probes, "faces@8"))
    monkeypatch.setattr(analysis, "get", lambda name: wanting if name == "distances" else real(name))
    request = Request(Lab(tmp_path / "lab"), data=faces)
    pipeline.run(request, Study((network,), ("faces",), ("verification",)), as_json=True)
    assert request.lab.probes("net") == ["faces"]


def test_charts_find_the_faces_of_the_data(tmp_path, network, faces, changed):
    seen = []

    def charts(results):
        seen.append(faces_at_hand())
        item = Face("faces@8", "p0/0.png", "p0 <0>")
        return [
            Faces(title="Worst pairs", rows=(("r", (item, Face("faces", "gone.png"))),)),
            Faces(title="Of other images", rows=(("r", (Face("faces", "gone.png"),)),)),
        ]

    changed(charts=charts)
    request = Request(Lab(tmp_path / "lab"), data=faces)
    page, _ = pipeline.report(request, Study((network,), ("faces",), ("distances",)), tmp_path / "r.html")
    text = page.read_text(encoding="utf-8")
    assert seen == [True]
    assert 'class="chart faces"' in text
    assert "data:image/png;base64," in text
    assert "Of other images" not in text
    assert not faces_at_hand()


def test_a_bin_is_data_and_pairs_and_says_what_it_does_not_know(tmp_path, network, packed):
    request = Request(Lab(tmp_path / "lab"), data=packed)
    said = io.StringIO()
    with progress.shown(said):
        page, sound = pipeline.report(
            request, Study((network,), analyses=("distances", "verification")), tmp_path / "r.html"
        )
    assert sound
    assert "caution: people are known only as far as the file's pairs say" in said.getvalue()
    whole = json.loads(page.with_suffix(".json").read_text())
    assert whole["probes"] == ["lfw", "lfw@32"]
    rows = dict(map(tuple, whole["provenance"]["lfw in net"]))
    assert rows["images"] == "20 of 5 people"
    assert rows["caution on people"].startswith("people are known only")
    text = page.read_text(encoding="utf-8")
    assert "<em>Caution</em> for lfw: people are known only" in text
    assert any(
        row[0] == "pairs" and row[1].startswith("lfw.bin, sha256")
        for row in whole["provenance"]["This report"]
    )
    assert whole["sections"][1]["params"]["pairs"] == packed


def test_a_bin_without_verification_brings_no_pairs(tmp_path, network, packed):
    request = Request(Lab(tmp_path / "lab"), data=packed)
    text, sound = pipeline.run(request, Study((network,), ("lfw",), ("distances",)), as_json=False)
    assert sound
    assert "d′, lfw" in text


def test_the_data_of_models_that_are_only_embeddings_serve_to_show_faces(tmp_path, faces, changed):
    items = [name for name, _ in pictures()]
    made = embeddings.EmbeddingSet.from_rows(
        "m", "p", np.random.default_rng(0).normal(size=(20, 4)), items, [name[:2] for name in items]
    )
    embeddings.write(tmp_path / "m.parquet", made, {})
    changed(charts=lambda results: [Faces(title="Faces", rows=(("r", (Face("imported", items[0]),)),))])
    request = Request(Lab(tmp_path / "lab"), data=faces)
    asked = Study((str(tmp_path / "m.parquet"),), analyses=("distances",))
    page, _ = pipeline.report(request, asked, tmp_path / "r.html")
    assert 'class="chart faces"' in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"attributes": "gone.csv"}, "cannot read gone.csv as a table of attributes"),
        ({"pairs": "gone.csv"}, "the pairs of gone.csv are for verification, which is not run"),
    ],
)
def test_a_wrong_file_is_told_before_the_work(asked, changes, message):
    request, study = asked
    with pytest.raises(UserError, match=message):
        pipeline.run(request, dataclasses.replace(study, **changes), as_json=True)
    assert not request.lab.root.exists()


def test_attributes_stand_in_the_provenance(asked, tmp_path):
    request, study = asked
    (tmp_path / "a.csv").write_text("identity,g\nperson000,x\n")
    study = dataclasses.replace(study, attributes=str(tmp_path / "a.csv"))
    page, _ = pipeline.report(request, study, tmp_path / "r.html")
    rows = json.loads(page.with_suffix(".json").read_text())["provenance"]["This report"]
    assert ["attributes", f"a.csv, sha256 {sha256(tmp_path / 'a.csv')}"] in rows
