import dataclasses
import html
import io
import json
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from embedlab import analysis, progress, ranks, runner
from embedlab.analyses import accuracy
from embedlab.charts import Face, Faces, faces_at_hand
from embedlab.commands import pipeline
from embedlab.commands.preparation import Prepared, Stages
from embedlab.commands.request import Request
from embedlab.errors import UserError
from embedlab.formats import interchange, protocols
from embedlab.lab import embeddings, store
from embedlab.lab.store import Lab, write_json
from embedlab.maths.pairs import all_pairs
from embedlab.study import Statement, Study, names
from tests.planted import embedding_set
from tests.processes import together


@pytest.fixture
def asked(tmp_path):
    path = tmp_path / "m.parquet"
    embeddings.write(path, embedding_set(), {})
    return Request(Lab(tmp_path / "lab")), Study((str(path),), analyses=("distances",))


@pytest.mark.parametrize("command", ["run", "report"])
def test_vectors_that_another_run_replaced_meanwhile_are_not_taken_for_ones_own(
    asked, tmp_path, monkeypatch, command
):
    """Two files of one name, from two folders, in one lab at once."""
    request, study = asked
    real = interchange.save

    def and_then_another(lab, embedded, source):
        path = real(lab, embedded, source)
        embeddings.write(path, embedding_set(noise=0.9), {"imported_from": {"name": "m", "sha256": "other"}})
        return path

    monkeypatch.setattr(interchange, "save", and_then_another)
    ask = {
        "run": lambda: pipeline.run(request, study, as_json=False),
        "report": lambda: pipeline.report(request, study, tmp_path / "out"),
    }[command]
    with pytest.raises(
        UserError, match=r"imported.parquet no longer holds .*m.parquet: another run replaced"
    ):
        ask()
    assert not (tmp_path / "out" / "index.html").exists()


def test_a_second_report_says_the_same(asked, tmp_path):
    pages = []
    for k in range(2):
        page, sound = pipeline.report(*asked, tmp_path / f"out{k}")
        assert sound
        pages.append(json.loads((page.parent / "report.json").read_text())["sections"])
    for section in pages[0], pages[1]:
        del section[0]["runs"]
    assert pages[0] == pages[1]


TORCHRUN = """
import sys
from embedlab.commands.cli import main
from embedlab.maths.pairs import all_pairs

all_pairs.BLOCK = 16
model, lab, out = sys.argv[1:]
status = main(["report", "--models", model, "--only", "distances", "--lab", lab, "--out", out])
print("status", status)
"""


def test_two_processes_make_one_report_of_what_one_process_finds(asked, tmp_path, monkeypatch):
    request, study = asked
    other = Lab(tmp_path / "other")
    page = tmp_path / "two" / "index.html"
    said, ended = together(TORCHRUN, study.models[0], str(other.root), str(page.parent))
    assert (said, ended) == ([[f"report: {page}", "status 0"], ["status 0"]], [0, 0])
    assert page.exists()
    monkeypatch.setattr(all_pairs, "BLOCK", 16)
    pipeline.run(request, study, as_json=True)
    found = [sorted((lab.root / "results").rglob("arrays.npz")) for lab in (request.lab, other)]
    assert len(found[0]) == 1
    assert [one.read_bytes() for one in found[0]] == [one.read_bytes() for one in found[1]]


def test_people_are_not_tried_in_several_processes(asked, monkeypatch):
    monkeypatch.setattr(ranks, "from_environment", lambda: ranks.Ranks(0, 2))
    with pytest.raises(UserError, match="--within tries people in one process: leave it out under torchrun"):
        pipeline._prepared(*asked, [], 5.0)


def test_a_report_of_drawn_people_says_so_and_keeps_its_results_apart(tmp_path, capsys):
    sets = [embedding_set(40, probe=probe, seed=k) for k, probe in enumerate(("p", "p@32"))]
    lab = Lab(tmp_path / "lab")
    for one in sets:
        file = lab.embeddings_file("m", one.probe)
        file.parent.mkdir(parents=True, exist_ok=True)
        embeddings.write(file, one, {})
    asked = Study(("m",), analyses=("distances",), people=15)
    with progress.shown():
        page, sound = pipeline.report(Request(lab), asked, tmp_path / "some.html")
    whole = json.loads(page.with_suffix(".json").read_text())
    images = len(sets[0].draw(15).items)
    said = f"15 of the 40 people of p and p@32 were drawn, with all their {images} images."
    assert sound
    assert said.rstrip(".") in capsys.readouterr().err
    assert said in html.unescape(page.read_text())
    assert said in json.dumps(whole["methods"])
    assert {(one["people"], one["of_people"], one["images"]) for one in whole["sets"]} == {(15, 40, images)}
    spoken = dataclasses.replace(asked, words={"identity": "speaker", "item": "utterance"})
    page, _ = pipeline.report(Request(lab), spoken, tmp_path / "spoken.html")
    shown = html.unescape(page.read_text())
    assert said.replace("people", "speakers").replace("images", "utterances") in shown
    assert said not in shown
    with progress.shown():
        told, _ = pipeline.run(Request(lab), asked, as_json=True)
    assert said.rstrip(".") in capsys.readouterr().err
    everybody = dataclasses.replace(asked, people=0)
    others, _ = pipeline.run(Request(lab), everybody, as_json=True)
    fetched = [json.loads(one)["sections"][0]["runs"][0]["record"]["key"] for one in (told, others)]
    assert fetched[0] != fetched[1]
    assert "of_people" not in json.loads(others)["sets"][0]


def test_page_numbers_and_terminal_judge_by_what_matters_to_whoever_asks(tmp_path, capsys):
    lab = Lab(tmp_path / "lab")
    path = tmp_path / "m.parquet"
    embeddings.write(path, embedding_set(40), {})
    said = (
        Statement("It recognises all.", "recognition", "yes"),
        Statement("The sphere is used.", "sphere", "yes", ("m",)),
    )
    decided = ((0.0001, "yes", "enough", "supported"), (0.9999, "no", "too few", "not supported"))
    for wanted, verdict, shown, borne in decided:
        matters = {"recognition": {"wanted": wanted}}
        asked = Study((str(path),), analyses=("verification",), overrides=matters, statements=said)
        with progress.shown():
            page, _ = pipeline.report(Request(lab), asked, tmp_path / "r.html")
        whole = json.loads(page.with_suffix(".json").read_text())
        assert [one["verdict"] for one in whole["answers"]] == [verdict]
        assert [one["borne"] for one in whole["statements"]] == [borne, "undecided here"]
        text = capsys.readouterr().err
        assert f"{shown}  " in text
        assert f"{borne}  It recognises all." in text
        assert "It recognises all." in page.read_text()
        assert whole["answers"][0]["text"] in html.unescape(page.read_text())


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


def test_a_file_to_work_with_is_written_where_an_analysis_has_one(asked, tmp_path):
    from embedlab.formats import calibrations

    request, study = asked
    study = dataclasses.replace(study, analyses=("calibration",))
    pipeline.run(request, study, as_json=False, save=tmp_path / "cal.json")
    assert calibrations.read(tmp_path / "cal.json").model == "m"
    with pytest.raises(UserError, match="give the name of a file in a folder that is there"):
        pipeline.run(request, study, as_json=False, save=tmp_path / "no" / "cal.json")


def test_an_analysis_without_a_file_to_save_says_which_have_one(asked, tmp_path):
    with pytest.raises(
        UserError, match="distances has no file to save: leave out --save, which is for .*calib"
    ):
        pipeline.run(*asked, as_json=False, save=tmp_path / "x.json")


def test_numbers_come_as_text_or_json(asked):
    text, _ = pipeline.run(*asked, as_json=False)
    assert "Are two faces of one person closer" in text
    assert "d′, imported" in text
    whole = json.loads(pipeline.run(*asked, as_json=True)[0])
    estimate = whole["sections"][0]["numbers"]["m"]["d′, imported"]
    assert set(estimate) == {"value", "low", "high", "n", "null"}


def tiny(tmp_path, images=3):
    path = tmp_path / "tiny.parquet"
    embeddings.write(path, embedding_set(2, images, 8), {})
    return Request(Lab(tmp_path / "lab")), Study((str(path),))


@pytest.mark.parametrize("images", [2, 3])
def test_two_people_have_a_report_of_every_analysis(tmp_path, images):
    page, sound = pipeline.report(*tiny(tmp_path, images), tmp_path / "r.html")
    assert sound
    whole = json.loads(page.with_suffix(".json").read_text())
    assert [one["name"] for one in whole["sections"]] == list(names(Study(("x",))))
    assert not whole["unfinished"]
    assert whole["sections"][0]["state"] == "ok"
    assert "unfinished" not in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("what", ["charts", "findings"])
def test_a_bug_in_showing_is_in_the_report_and_in_the_status(asked, tmp_path, monkeypatch, what):
    real = analysis.get
    spoilt = dataclasses.replace(real("distances"), **{what: lambda results: 1 / 0})
    monkeypatch.setattr(analysis, "get", lambda name: spoilt if name == "distances" else real(name))
    request, study = asked
    study = dataclasses.replace(study, analyses=("distances", "verification"))
    page, sound = pipeline.report(request, study, tmp_path / "r.html")
    assert not sound
    text = page.read_text(encoding="utf-8")
    assert "ZeroDivisionError" in text
    assert "How many genuine pairs are accepted" in text
    for as_json in (True, False):
        told, sound = pipeline.run(request, study, as_json=as_json)
        assert not sound
        assert as_json or "ZeroDivisionError" in told


def test_learning_curves_that_cannot_be_drawn_cost_themselves(asked, tmp_path, monkeypatch):
    monkeypatch.setattr("embedlab.report.training.training_section", lambda *_: 1 / 0)
    page, sound = pipeline.report(*asked, tmp_path / "r.html")
    assert not sound
    states = [one["state"] for one in json.loads(page.with_suffix(".json").read_text())["sections"]]
    assert states == ["ok", "broken"]


def test_a_stopped_report_has_what_was_done_and_the_same_command_goes_on(asked, tmp_path):
    request, study = asked
    study = dataclasses.replace(study, analyses=("verification", "distances"))

    def stopped(sets, params):
        raise KeyboardInterrupt

    stopped.__module__ = analysis.get("distances").compute.__module__
    changed_only = dataclasses.replace(analysis.get("distances"), compute=stopped)
    real = analysis.get
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(analysis, "get", lambda name: changed_only if name == "distances" else real(name))
        with pytest.raises(KeyboardInterrupt):
            pipeline.report(request, study, tmp_path / "r.html")
    whole = json.loads((tmp_path / "r.json").read_text())
    assert whole["unfinished"]
    assert [one["name"] for one in whole["sections"]] == ["verification"]
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert (
        "unfinished: 1 of 2 analyses done; run the same command to go on. Still to come: distances." in text
    )
    page, sound = pipeline.report(request, study, tmp_path / "r.html")
    assert sound
    assert "unfinished: " not in page.read_text(encoding="utf-8")
    assert not json.loads(page.with_suffix(".json").read_text())["unfinished"]


def test_a_page_of_somebody_else_is_told_before_the_work(asked, tmp_path):
    (tmp_path / "index.html").write_text("<h1>Mine</h1>")
    with pytest.raises(UserError, match="embedlab did not write it"):
        pipeline.report(*asked, tmp_path)
    assert not asked[0].lab.root.exists()
    assert (tmp_path / "index.html").read_text() == "<h1>Mine</h1>"


def test_images_left_out_are_told_in_text_and_json(tmp_path):
    for model, rows in (("a", range(90)), ("b", range(85))):
        made = dataclasses.replace(embedding_set(), model=model).take(rows)
        embeddings.write(tmp_path / f"{model}.parquet", made, {})
    request = Request(Lab(tmp_path / "lab"))
    study = Study(tuple(str(tmp_path / f"{m}.parquet") for m in "ab"), analyses=("neighbours",))
    said = "5 images stood in one set only and were left out where the sets are compared"
    assert f"- imported in a and imported in b: {said}" in pipeline.run(request, study, as_json=False)[0]
    (section,) = json.loads(pipeline.run(request, study, as_json=True)[0])["sections"]
    assert section["cautions"] == [f"imported in a and imported in b: {said}"]
    page, _ = pipeline.report(request, study, tmp_path / "out.HTML")
    assert said in page.read_text(encoding="utf-8")


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
    assert "data:image/webp;base64," in text
    assert "Of other images" not in text
    assert not faces_at_hand()


def test_a_bin_is_data_and_pairs_and_says_what_it_does_not_know(tmp_path, network, packed):
    request = Request(Lab(tmp_path / "lab"), data=packed)
    said = io.StringIO()
    with progress.shown(said):
        page, sound = pipeline.report(
            request, Study((network,), analyses=("distances", "accuracy")), tmp_path / "r.html"
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


def test_a_bin_without_accuracy_brings_no_pairs(tmp_path, network, packed):
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
        ({"pairs": "gone.csv"}, "the pairs of gone.csv are for accuracy, which is not run"),
    ],
)
def test_a_wrong_file_is_told_before_the_work(asked, changes, message):
    request, study = asked
    with pytest.raises(UserError, match=message):
        pipeline.run(request, dataclasses.replace(study, **changes), as_json=True)
    assert not request.lab.root.exists()


@pytest.mark.parametrize("command", ["report", "run"])
@pytest.mark.parametrize("way", ["--pairs", "--set"])
def test_a_list_of_pairs_is_planned_hashed_and_read_once(asked, tmp_path, monkeypatch, command, way):
    file = tmp_path / "pairs.csv"
    file.write_text("image_a,image_b,same\nitem0000,item0001,1\nitem0000,item0003,0\n")
    done = []

    def counted(module, name, what, about=lambda *_: True):
        real = getattr(module, name)

        def wrapped(*args, **more):
            if about(*args):
                done.append(what)
            return real(*args, **more)

        monkeypatch.setattr(module, name, wrapped)

    ours = lambda path, *_: Path(path) == file  # noqa: E731
    counted(accuracy.AccuracyParams, "with_overrides", "planned")
    counted(protocols, "read", "read", ours)
    for module in [one for name, one in list(sys.modules.items()) if name.startswith("embedlab")]:
        if getattr(module, "sha256_of", None) is store.sha256_of and module is not store:
            counted(module, "sha256_of", "hashed", ours)
    counted(store, "sha256_of", "hashed", ours)
    request, study = asked
    request = dataclasses.replace(request, fresh=True)
    given = {"pairs": str(file)} if way == "--pairs" else {"overrides": {"accuracy": {"pairs": str(file)}}}
    embeddings.write(tmp_path / "other.parquet", embedding_set(noise=1.0), {})
    models = (*study.models, str(tmp_path / "other.parquet"))
    study = dataclasses.replace(study, models=models, analyses=("distances", "accuracy"), **given)
    if command == "report":
        page, _ = pipeline.report(request, study, tmp_path / "r.html")
        whole = json.loads(page.with_suffix(".json").read_text())
    else:
        whole = json.loads(pipeline.run(request, study, as_json=True)[0])
    assert whole["sections"][1]["params"]["pairs"] == str(file)
    assert ["pairs", f"pairs.csv, sha256 {sha256(file)}"] in whole["provenance"]["This report"]
    assert sorted(done) == ["hashed", "planned", "read"]


def test_attributes_stand_in_the_provenance(asked, tmp_path):
    request, study = asked
    (tmp_path / "a.csv").write_text("identity,g\nperson000,x\n")
    study = dataclasses.replace(study, attributes=str(tmp_path / "a.csv"))
    page, _ = pipeline.report(request, study, tmp_path / "r.html")
    rows = json.loads(page.with_suffix(".json").read_text())["provenance"]["This report"]
    assert ["attributes", f"a.csv, sha256 {sha256(tmp_path / 'a.csv')}"] in rows


@pytest.mark.parametrize("spoil", ["page", "end"])
def test_one_damaged_file_costs_a_report_only_what_needs_it(asked, tmp_path, spoil):
    request, _ = asked
    for name in ("a", "b"):
        path = request.lab.embeddings_file(name, "faces")
        path.parent.mkdir(parents=True)
        embeddings.write(path, embedding_set(model=name), {})
    path = request.lab.embeddings_file("a", "faces")
    data = bytearray(path.read_bytes())
    if spoil == "page":
        data[data.index(b"\x28\xb5\x2f\xfd") + 20] ^= 1
    path.write_bytes(data if spoil == "page" else data[:-9])
    page, sound = pipeline.report(request, Study(("a", "b"), ("faces",), ("distances",)), tmp_path / "r.html")
    assert sound
    told = json.loads(page.with_suffix(".json").read_text())
    (section,) = told["sections"]
    assert "faces in b" in json.dumps(section["runs"])
    assert f"cannot read {path.name}" in page.read_text()
    if spoil == "end":
        ((kind, why),) = told["provenance"]["faces in a"]
        assert kind == "caution"
        assert why.startswith(f"cannot read {path}")


def test_a_report_says_where_a_network_did_not_make_the_vectors_of_its_name(asked):
    request, _ = asked
    record = {"recipe": {}, "identities_sha256": "x", "weights_sha256": "new"}
    write_json(request.lab.checkpoint("a") / "model.json", record)
    path = request.lab.embeddings_file("a", "faces")
    path.parent.mkdir(parents=True)
    embeddings.write(path, embedding_set(), {"model_sha256": "old"})
    records = runner.embedding_records(request.lab, Study(("a",), ("faces",), ("distances",)))
    told = pipeline._provenance(request, Prepared(Study(("a",)), Stages()), records)
    assert ("caution", "the network a that the lab holds now did not make these vectors") in told[
        "faces in a"
    ]


def test_a_paper_has_neither_names_nor_pictures_where_the_report_has_none(tmp_path, network, faces):
    asked = Study((network,), ("faces",), ("confusions", "distances"))
    found = {}
    for hidden in (True, False):
        folder = tmp_path / f"paper{hidden}"
        request = Request(Lab(tmp_path / "lab"), data=faces, pictures=not hidden, pseudonyms=hidden)
        pipeline.report(request, asked, tmp_path / "r.html", folder)
        texts = [path.read_text(encoding="utf-8") for path in folder.rglob("*.*") if path.suffix != ".pdf"]
        found[hidden] = "".join(texts), {path.name for path in folder.rglob("*.pdf")}
    (secret, few), (told, all_of_them) = found[True], found[False]
    assert "person-001" in secret
    assert "p0/" not in secret
    assert "p0/" in told
    assert few < all_of_them, "the rows of faces are left out"
    assert str(tmp_path) not in secret + told


def test_a_paper_does_not_stand_where_the_report_does(tmp_path, network, faces):
    asked = Study((network,), ("faces",), ("distances",))
    with pytest.raises(UserError, match="holds the report itself: give a folder of its own"):
        pipeline.report(Request(Lab(tmp_path / "lab"), data=faces), asked, tmp_path / "out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_pseudonyms_leave_no_name_and_no_picture_in_page_and_json(tmp_path, network, faces, monkeypatch):
    for person, name in (("p0", "<b>Evangeline &"), ("p1", "Zebulon")):
        (tmp_path / "faces" / person).rename(tmp_path / "faces" / name)
    monkeypatch.setattr("sys.argv", ["embedlab", "report", "--data", faces, "--models", network])
    request = Request(Lab(tmp_path / "lab"), data=faces, pictures=False, pseudonyms=True)
    asked = Study((network,), ("faces",), ("confusions", "distances"))
    page, sound = pipeline.report(request, asked, tmp_path / "r.html")
    assert sound
    whole = page.with_suffix(".json").read_text(encoding="utf-8")
    text = page.read_text(encoding="utf-8").partition('id="plotly"')[0] + whole
    assert "person-001" in text
    for name in ("Evangeline", "Zebulon", "1.png", str(tmp_path), "data:image"):
        assert name not in text, name
    shown = Request(Lab(tmp_path / "lab"), data=faces)
    page, _ = pipeline.report(shown, asked, tmp_path / "r.html")
    text = page.read_text(encoding="utf-8")
    assert "data:image" in text
    assert "&lt;b&gt;Evangeline &amp;" in text
    assert "<b>Evangeline" not in text
    assert str(tmp_path) not in text
