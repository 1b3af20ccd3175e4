"""Data sets of synthetic faces: layout, determinism, going on after an interruption."""

import json

import numpy as np
import pytest
from PIL import Image

from embedlab.data.synthetic import faces
from embedlab.data.synthetic import sets as synthetic
from embedlab.errors import UserError
from embedlab.formats import attributes, protocols


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    scales = {"demo": synthetic.Scale(3, 2, 2), "small": synthetic.Scale(2, 2, 2)}
    monkeypatch.setattr(synthetic, "SCALES", scales)
    monkeypatch.setattr(synthetic, "IMAGES", {"highres": 4, "highres_eval": 3, "lowres": 5})


def contents(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def made(tmp_path):
    folder = tmp_path / "faces"
    return folder, synthetic.make(folder)


def test_the_layout_is_that_of_the_original_project(made):
    folder, summary = made
    assert summary.people == {"highres": 3, "highres_eval": 2, "lowres": 2}
    assert summary.images == {"highres": 12, "highres_eval": 6, "lowres": 10}
    assert not summary.cached
    for name, images in summary.images.items():
        lines = (folder / f"{name}_ids.txt").read_text().splitlines()
        assert len(lines) == images
        paths, labels = zip(*(line.split(" ") for line in lines), strict=True)
        there = sorted(p.relative_to(folder).as_posix() for p in (folder / name).glob("*/*.png"))
        assert sorted(paths) == there
        people = sorted({path.split("/")[1] for path in paths})
        assert [people.index(path.split("/")[1]) for path in paths] == [int(label) for label in labels]
        for path in paths:
            with Image.open(folder / path) as picture:
                assert picture.size == (synthetic.PIXELS[name],) * 2
                assert picture.mode == "RGB"
    assert not list(folder.rglob(".*"))
    assert {p.name for p in folder.glob("*.json")} == {"synthetic.json"}


def test_the_record_says_what_was_drawn(made):
    folder, summary = made
    record = json.loads((folder / "synthetic.json").read_text())
    assert record["scale"] == "demo"
    assert record["seed"] == 0
    assert record["images"] == summary.images
    assert "ceilings" not in record
    assert record["people"] == summary.people
    assert len(record["renderer"]) == 64


def test_what_is_known_of_each_picture_is_written_beside_it(made, tmp_path):
    synthetic.make(tmp_path, population="families")
    known = {"skin", "yaw", "light", "expression"}
    for folder, columns in ((made[0], known), (tmp_path, known | {"family", "doubles"})):
        for name in ("highres", "highres_eval", "lowres"):
            found = attributes.read(folder / f"{name}_attributes.csv")
            there = {p.relative_to(folder / name).as_posix() for p in folder.glob(f"{name}/*/*.png")}
            assert (found.by, set(found.columns), found.names) == ("items", columns, there)


def test_the_record_of_families_has_their_ceilings(tmp_path):
    synthetic.make(tmp_path, population="families")
    record = json.loads((tmp_path / "synthetic.json").read_text())
    assert record["population"] == "families"
    assert [one["pixels"] for one in record["ceilings"]["highres"]] == [8, 16, 24, 32, 64, 144]
    found = [one[what] for one in record["ceilings"]["lowres"] for what in ("share", "tar", "rank1")]
    assert all(0 < one <= 1 for one in found)


def test_populations_are_not_mixed_in_one_folder(made, tmp_path):
    folder, _ = made
    assert json.loads((folder / "synthetic.json").read_text())["population"] == "easy"
    first = folder / "highres/h0001/h0001_0001.png"
    who, how = faces.draw_identities(1, 1), faces.draw_nuisances(1, 1)
    with Image.open(first) as picture:
        np.testing.assert_array_equal(np.asarray(picture), faces.render(who, how)[0])
    with pytest.raises(UserError, match="population easy, and scale demo, seed 0, population families was"):
        synthetic.make(folder, population="families")


def test_no_person_and_no_picture_is_drawn_twice(made):
    folder, _ = made
    pictures = [data for path, data in contents(folder).items() if path.endswith(".png")]
    assert len(set(pictures)) == len(pictures)
    names = [p.name for p in folder.glob("*/*") if p.is_dir()]
    assert len(set(names)) == len(names)


def test_pairs_are_right_and_balanced(made):
    folder, _ = made
    for name, matching in (("highres", 3 * 6), ("highres_eval", 2 * 3)):
        pairs = protocols.read(folder / f"{name}_pairs.csv")
        assert pairs.same.sum() == matching
        assert (~pairs.same).sum() == matching
        assert len(set(zip(pairs.a, pairs.b, strict=True))) == len(pairs)
        for a, b, same in zip(pairs.a, pairs.b, pairs.same, strict=True):
            assert (folder / name / a).is_file()
            assert (folder / name / b).is_file()
            assert (a.split("/")[0] == b.split("/")[0]) == same


def test_matching_pairs_are_capped(tmp_path, monkeypatch):
    monkeypatch.setattr(synthetic, "MOST_PAIRS", 5)
    synthetic.make(tmp_path)
    pairs = protocols.read(tmp_path / "highres_pairs.csv")
    assert (pairs.same.sum(), len(pairs)) == (5, 10)


def test_the_same_seed_gives_the_same_files_and_another_seed_others(made, tmp_path):
    folder, _ = made
    synthetic.make(tmp_path / "again")
    assert contents(tmp_path / "again") == contents(folder)
    synthetic.make(tmp_path / "other", seed=1)
    first = "lowres/l0001/l0001_0001.png"
    assert (tmp_path / "other" / first).read_bytes() != (folder / first).read_bytes()


def test_a_second_call_finds_everything_there(made, monkeypatch):
    folder, summary = made
    monkeypatch.setattr(synthetic.faces, "render", lambda *a, **k: pytest.fail("drawn again"))
    written = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    again = synthetic.make(folder)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == written
    assert again.cached
    assert (again.images, again.people) == (summary.images, summary.people)


def test_an_interrupted_make_goes_on_where_it_stopped(made, monkeypatch):
    folder, _ = made
    whole = contents(folder)
    (folder / "synthetic.json").unlink()
    (folder / "lowres/l0002/l0002_0003.png").unlink()
    drawn = []
    render = synthetic.faces.render
    monkeypatch.setattr(
        synthetic.faces, "render", lambda who, *a, **k: drawn.append(len(who)) or render(who, *a, **k)
    )
    assert not synthetic.make(folder).cached
    assert sum(drawn) == 1
    assert contents(folder) == whole


def test_a_failure_leaves_no_half_file_and_no_record(tmp_path, monkeypatch):
    save = Image.Image.save
    count = []

    def failing(self, *args, **keywords):
        count.append(1)
        if len(count) == 8:
            raise OSError("disk full")
        save(self, *args, **keywords)

    monkeypatch.setattr(Image.Image, "save", failing)
    with pytest.raises(OSError, match="disk full"):
        synthetic.make(tmp_path)
    assert not (tmp_path / "synthetic.json").exists()
    for path in tmp_path.rglob("*.png"):
        with Image.open(path) as picture:
            assert np.asarray(picture).shape == (144, 144, 3)
    monkeypatch.setattr(Image.Image, "save", save)
    assert not synthetic.make(tmp_path).cached


def test_an_interrupted_folder_refuses_another_seed(tmp_path, monkeypatch):
    with monkeypatch.context() as broken:
        broken.setattr(synthetic.protocols, "write", lambda *a: 1 / 0)
        with pytest.raises(ZeroDivisionError, match="division by zero"):
            synthetic.make(tmp_path, seed=3)
    with pytest.raises(UserError, match="seed 3, and scale demo, seed 4 was asked for: remove that folder"):
        synthetic.make(tmp_path, seed=4)
    assert not synthetic.make(tmp_path, seed=3).cached
    assert synthetic.make(tmp_path, seed=3).cached


@pytest.mark.parametrize("asked", [{"seed": 1}, {"scale": "small"}])
def test_faces_of_another_seed_or_scale_are_refused(made, asked):
    folder, _ = made
    with pytest.raises(UserError, match="scale demo, seed 0, and scale .* was asked for: remove that folder"):
        synthetic.make(folder, **asked)


def test_faces_of_another_renderer_are_refused(made, monkeypatch):
    monkeypatch.setattr(synthetic.faces, "renderer_version", lambda: "0" * 64)
    with pytest.raises(UserError, match="drawn by another renderer: remove that folder"):
        synthetic.make(made[0])


def test_a_broken_record_is_told(made):
    (made[0] / "synthetic.json").write_text("{")
    with pytest.raises(UserError, match=r"synthetic\.json cannot be read: remove"):
        synthetic.make(made[0])


def test_an_unknown_scale_is_told(tmp_path):
    with pytest.raises(UserError, match="unknown scale 'huge': choose one of demo, small"):
        synthetic.make(tmp_path, scale="huge")


def test_an_unknown_population_is_told(tmp_path):
    with pytest.raises(UserError, match="unknown population 'clones': choose one of easy, families"):
        synthetic.make(tmp_path, population="clones")


def test_pictures_that_a_power_cut_emptied_are_drawn_again(made):
    folder, _ = made
    before = contents(folder)
    (folder / "highres/h0001/h0001_0001.png").write_bytes(b"")
    (folder / "lowres/l0001/.l0001_0001.png.4999999-abcdefgh.tmp").mkdir()
    (folder / "synthetic.json").unlink()
    synthetic.make(folder)
    assert contents(folder) == before
    assert not list(folder.rglob(".*"))
