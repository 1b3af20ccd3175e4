import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from embedlab.data import datasets
from embedlab.data.datasets import open_dataset, read_image
from embedlab.data.degradations import Probe, prepare
from embedlab.errors import UserError
from embedlab.extraction import extract as extraction
from embedlab.extraction.extract import extract, extract_all
from embedlab.lab import embeddings
from embedlab.lab.store import Lab
from embedlab.networks.embedder import Preprocessing
from tests import processes


class Projection:
    """A network whose vector is its input times a matrix: what it must give is known."""

    device = "cpu, numpy"

    def __init__(self, size=8, name="linear", seed=0):
        self.name = name
        self.preprocessing = Preprocessing(size)
        self.dimension = 6
        self.matrix = np.random.default_rng(seed).standard_normal((3 * size * size, 6)).astype(np.float32)
        self.fingerprint = hashlib.sha256(self.matrix.tobytes()).hexdigest()
        self.calls = []

    def embed(self, images):
        self.calls.append(len(images))
        return self.preprocessing.apply(images).reshape(len(images), -1) @ self.matrix


def make_faces(folder, people=4, each=5, size=20):
    rng = np.random.default_rng(7)
    for p in range(people):
        (folder / f"p{p}").mkdir(parents=True)
        for k in range(each):
            pixels = rng.integers(0, 256, (size, size, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"p{p}" / f"{k}.png")
    return folder


@pytest.fixture
def faces(tmp_path):
    return open_dataset(make_faces(tmp_path / "faces"))


@pytest.fixture
def lab(tmp_path):
    return Lab(tmp_path / "lab")


@pytest.fixture
def said(monkeypatch):
    lines = []
    monkeypatch.setattr(extraction, "say", lines.append)
    return lines


def planted(network, dataset, probe, rows):
    images = [prepare(read_image(dataset.path(i)), probe.pixels, network.preprocessing.size) for i in rows]
    return network.preprocessing.apply(np.stack(images)).reshape(len(rows), -1) @ network.matrix


def same(a, b):
    """Whether two files hold the same, but for when they were made."""
    heads = [embeddings.metadata(path) for path in (a, b)]
    for head in heads:
        del head["created"], head["seconds"]
    return pq.read_table(a).equals(pq.read_table(b)) and heads[0] == heads[1]


@pytest.mark.parametrize("probe", [Probe("faces"), Probe("faces", 12)])
@pytest.mark.parametrize("batch", [None, 3])
def test_every_image_gets_the_networks_vector(lab, faces, probe, batch):
    network = Projection()
    done = extract(lab, network, faces, probe, batch=batch)
    assert done.path == lab.embeddings_file("linear", str(probe))
    assert (done.rows, done.skipped, done.cached) == (20, (), False)
    assert done.images_per_second > 0
    found = lab.embeddings("linear", str(probe))
    assert (found.model, found.probe) == ("linear", str(probe))
    assert tuple(found.items) == faces.items
    assert found.identities == faces.identities
    assert found.labels.tolist() == faces.labels.tolist()
    np.testing.assert_allclose(found.vectors, planted(network, faces, probe, range(20)), rtol=1e-4, atol=1e-3)


def test_the_record_says_what_made_the_vectors(lab, faces):
    network = Projection()
    network.assumed_preprocessing = True
    done = extract(lab, network, faces, Probe("faces", 12))
    head = embeddings.metadata(done.path)
    assert head["schema"] == extraction.SCHEMA
    assert head["model_sha256"] == network.fingerprint
    assert head["preprocessing"] == json.loads(json.dumps(network.preprocessing.to_json()))
    assert head["assumed_preprocessing"] is True
    assert head["dataset"] == {"name": "faces", "fingerprint": faces.fingerprint, "images": 20, "people": 4}
    assert head["skipped"] == []
    assert head["versions"]["numpy"] == np.__version__
    assert head["device"] == "cpu, numpy"
    assert head["created"].endswith("+00:00")
    assert head["seconds"] >= 0


def test_a_network_that_does_not_say_what_it_runs_on_runs_on_the_chosen_device(lab, faces):
    network = Projection()
    network.device = ""
    assert embeddings.metadata(extract(lab, network, faces, Probe("faces")).path)["device"].startswith("cpu")


def test_nothing_but_the_file_is_left_in_the_folder(lab, faces):
    done = extract(lab, Projection(), faces, Probe("faces"))
    assert [path.name for path in done.path.parent.iterdir()] == ["faces.parquet"]


# What cannot be used


def test_unreadable_images_are_skipped_listed_and_counted(lab, faces, said):
    faces.path(0).write_bytes(b"")
    Image.new("RGB", (1, 1)).save(faces.path(7))
    faces.path(19).write_bytes(faces.path(18).read_bytes()[:200])
    done = extract(lab, Projection(), faces, Probe("faces"), batch=4)
    assert done.rows == 17
    assert [item for item, _ in done.skipped] == ["p0/0.png", "p1/2.png", "p3/4.png"]
    assert [list(pair) for pair in done.skipped] == embeddings.metadata(done.path)["skipped"]
    assert said == [
        "  3 of 20 images were skipped: p0/0.png (the file is empty); p1/2.png (1 x 1 pixels is too small to "
        f"hold a face: at least 8); p3/4.png ({done.skipped[2][1]})"
    ]
    found = lab.embeddings("linear", "faces")
    good = [i for i in range(20) if i not in (0, 7, 19)]
    assert found.items.tolist() == [faces.items[i] for i in good]
    np.testing.assert_allclose(
        found.vectors, planted(Projection(), faces, Probe("faces"), good), rtol=1e-4, atol=1e-3
    )
    assert extract(lab, Projection(), faces, Probe("faces")).skipped == done.skipped
    assert said[1:] == said[:1]


def test_only_the_first_skipped_images_are_named_on_the_terminal(lab, faces, said):
    for i in range(5):
        faces.path(i).write_bytes(b"")
    extract(lab, Projection(), faces, Probe("faces"))
    assert said[0].startswith("  5 of 20 images were skipped: p0/0.png")
    assert said[0].endswith("p0/2.png (the file is empty); …")


def test_strict_makes_an_unreadable_image_fatal(lab, faces):
    faces.path(7).write_bytes(b"")
    message = r"image p1/2\.png cannot be used: the file is empty: mend or remove it, or leave out --strict"
    with pytest.raises(UserError, match=message):
        extract(lab, Projection(), faces, Probe("faces"), strict=True)
    assert not lab.embeddings_file("linear", "faces").exists()
    extract(lab, Projection(), faces, Probe("faces"))
    with pytest.raises(UserError, match=message):
        extract(lab, Projection(), faces, Probe("faces"), strict=True)


def test_strict_is_kept_when_the_bad_image_was_met_before_a_kill(lab, faces, monkeypatch):
    monkeypatch.setattr(extraction, "SHARD", 5)
    faces.path(1).write_bytes(b"")
    with pytest.raises(KeyboardInterrupt):
        extract(lab, Interrupted(after=2), faces, Probe("faces"), batch=5)
    with pytest.raises(UserError, match=r"image p0/1\.png cannot be used"):
        extract(lab, Projection(), faces, Probe("faces"), batch=5, strict=True)


def test_no_usable_image_at_all_is_an_error(lab, faces):
    for i in range(len(faces)):
        faces.path(i).write_bytes(b"no image")
    with pytest.raises(
        UserError, match=r"none of the 20 images of faces can be used, such as p0/0\.png: no image"
    ):
        extract(lab, Projection(), faces, Probe("faces"))
    assert not any(lab.embeddings_file("linear", "faces").parent.iterdir())


def test_vectors_that_cannot_be_compared_are_skipped_with_the_reason(lab, faces):
    class Faulty(Projection):
        def embed(self, images):
            vectors = super().embed(images)
            vectors[1, 2], vectors[3] = np.nan, 0
            return vectors

    done = extract(lab, Faulty(), faces, Probe("faces"))
    assert done.skipped == (
        ("p0/1.png", "the network's vector is not finite"),
        ("p0/3.png", "the network's vector is zero"),
    )
    assert lab.embeddings("linear", "faces").items[1] == "p0/2.png"


@pytest.mark.parametrize("batch", [0, -1])
def test_a_batch_of_nothing_is_refused(lab, faces, batch):
    with pytest.raises(UserError, match="is no batch: give at least 1"):
        extract(lab, Projection(), faces, Probe("faces"), batch=batch)


# Stored vectors


def test_stored_vectors_are_taken_as_they_are(lab, faces, said):
    first = extract(lab, Projection(), faces, Probe("faces"))
    before = first.path.stat().st_mtime_ns
    network = Projection()
    again = extract(lab, network, faces, Probe("faces"))
    assert (again.cached, again.rows, again.images_per_second) == (True, 20, 0)
    assert network.calls == []
    assert first.path.stat().st_mtime_ns == before
    assert extract(lab, network, faces, Probe("faces"), fresh=True).cached is False
    assert sum(network.calls) == 20
    assert said == []


def test_a_retrained_model_is_extracted_again(lab, faces, said):
    extract(lab, Projection(), faces, Probe("faces"))
    done = extract(lab, Projection(seed=1), faces, Probe("faces"))
    assert not done.cached
    assert said == [f"  {done.path} was made with another model of that name: it is made again"]


def test_changed_images_are_extracted_again(lab, faces, said):
    extract(lab, Projection(), faces, Probe("faces"))
    Image.new("RGB", (20, 20), (9, 8, 7)).save(faces.path(0))
    assert not extract(lab, Projection(), open_dataset(faces.root), Probe("faces")).cached
    assert "was made with another data set: it is made again" in said[0]


def test_another_preprocessing_is_extracted_again(lab, faces, said):
    extract(lab, Projection(), faces, Probe("faces"))
    network = Projection()
    network.preprocessing = Preprocessing(8, channels="BGR")
    assert not extract(lab, network, faces, Probe("faces")).cached
    assert "was made with another preprocessing" in said[0]


def test_a_file_that_cannot_be_read_is_made_again(lab, faces, said):
    path = extract(lab, Projection(), faces, Probe("faces")).path
    path.write_bytes(path.read_bytes()[:100])
    assert not extract(lab, Projection(), faces, Probe("faces")).cached
    assert said == [f"  {path} cannot be read or is damaged: it is made again"]
    assert len(lab.embeddings("linear", "faces").items) == 20


def test_a_file_with_a_flipped_byte_is_made_again(lab, faces, said):
    path = extract(lab, Projection(), faces, Probe("faces")).path
    whole = lab.embeddings("linear", "faces").fingerprint
    data = bytearray(path.read_bytes())
    data[data.index(b"\x28\xb5\x2f\xfd") + 20] ^= 1  # Within a page of zstd.
    path.write_bytes(data)
    with pytest.raises(UserError, match="cannot read"):
        lab.embeddings("linear", "faces")
    assert not extract(lab, Projection(), faces, Probe("faces")).cached
    assert said == [f"  {path} cannot be read or is damaged: it is made again"]
    assert lab.embeddings("linear", "faces").fingerprint == whole


# Going on


class Interrupted(Projection):
    """Stops in the middle, as a person pressing Ctrl-C would."""

    def __init__(self, after):
        super().__init__()
        self.after = after

    def embed(self, images):
        if len(self.calls) == self.after:
            raise KeyboardInterrupt
        return super().embed(images)


def test_an_extraction_goes_on_where_it_was_stopped(lab, faces, said, monkeypatch, tmp_path):
    monkeypatch.setattr(extraction, "SHARD", 6)
    with pytest.raises(KeyboardInterrupt):
        extract(lab, Interrupted(after=5), faces, Probe("faces"), batch=4)
    network = Projection()
    done = extract(lab, network, faces, Probe("faces"), batch=4)
    assert said == ["  going on with 12 of 20 images done"]
    assert sum(network.calls) == 8
    whole = extract(Lab(tmp_path / "other"), Projection(), faces, Probe("faces"), batch=4)
    assert same(done.path, whole.path)


@pytest.mark.parametrize("change", ["model", "batch", "fresh", "manifest"])
def test_parts_of_another_extraction_are_not_taken(lab, faces, monkeypatch, change):
    monkeypatch.setattr(extraction, "SHARD", 6)
    with pytest.raises(KeyboardInterrupt):
        extract(lab, Interrupted(after=5), faces, Probe("faces"), batch=4)
    network = Projection(seed=1 if change == "model" else 0)
    if change == "manifest":
        (lab.embeddings_file("linear", "faces").parent / ".faces.parts" / "manifest.json").write_text("{")
    extract(lab, network, faces, Probe("faces"), batch=5 if change == "batch" else 4, fresh=change == "fresh")
    assert sum(network.calls) == 20
    np.testing.assert_allclose(
        lab.embeddings("linear", "faces").vectors,
        planted(network, faces, Probe("faces"), range(20)),
        rtol=1e-4,
        atol=1e-3,
    )


def test_two_extractions_of_the_same_at_once_both_succeed(lab, faces, monkeypatch):
    monkeypatch.setattr(extraction, "SHARD", 5)

    class Overtaken(Projection):
        """While it is at its last part, another process finishes the whole."""

        def embed(self, images):
            if len(self.calls) == 3:
                extract(lab, Projection(), faces, Probe("faces"), batch=5)
            return super().embed(images)

    done = extract(lab, Overtaken(), faces, Probe("faces"), batch=5)
    assert done.rows == 20
    assert len(lab.embeddings("linear", "faces").items) == 20


def test_images_are_read_a_bounded_number_ahead(lab, tmp_path, monkeypatch):
    faces = open_dataset(make_faces(tmp_path / "many", people=10, each=20, size=8))
    read, lock, most = [0], threading.Lock(), [0]

    def counted(path):
        with lock:
            read[0] += 1
        return read_image(path)

    class Slow(Projection):
        def embed(self, images):
            time.sleep(0.01)
            done = sum(self.calls)
            most[0] = max(most[0], read[0] - done)
            return super().embed(images)

    monkeypatch.setattr(datasets, "read_image", counted)
    extract(lab, Slow(), faces, Probe("many"), batch=8)
    assert read[0] == 200
    assert most[0] <= 8 + 2 * 8 + (os.cpu_count() or 1) + 1


# Several probes at once

PROBES = [Probe("faces"), Probe("faces", 12), Probe("faces", 4)]


def counting_reads(monkeypatch):
    read = []

    def counted(path):
        read.append(path.name)
        return read_image(path)

    monkeypatch.setattr(datasets, "read_image", counted)
    return read


def test_several_probes_give_the_files_that_each_gives_alone(lab, faces, monkeypatch, tmp_path):
    monkeypatch.setattr(extraction, "SHARD", 7)
    faces.path(3).write_bytes(b"")
    read = counting_reads(monkeypatch)
    done = extract_all(lab, Projection(), faces, PROBES, batch=4)
    assert len(read) == 20
    assert [one.path.stem for one in done] == ["faces", "faces@12", "faces@4"]
    for probe, one in zip(PROBES, done, strict=True):
        alone = extract(Lab(tmp_path / "alone"), Projection(), faces, probe, batch=4)
        assert same(one.path, alone.path)
        assert (one.rows, one.skipped, one.cached) == (19, (("p0/3.png", "the file is empty"),), False)


def test_of_several_probes_only_those_that_lack_are_computed(lab, faces, said):
    extract(lab, Projection(), faces, PROBES[1])
    network = Projection()
    done = extract_all(lab, network, faces, [*PROBES, PROBES[0]])
    assert [one.cached for one in done] == [False, True, False, False]
    assert [one.images_per_second > 0 for one in done] == [True, False, True, True]
    assert sum(network.calls) == 40
    assert all(one.cached for one in extract_all(lab, network, faces, PROBES))
    assert sum(network.calls) == 40
    assert said == []


def test_several_probes_go_on_where_each_was_stopped(lab, faces, said, monkeypatch, tmp_path):
    monkeypatch.setattr(extraction, "SHARD", 5)
    with pytest.raises(KeyboardInterrupt):
        extract(lab, Interrupted(after=3), faces, PROBES[1], batch=5)
    with pytest.raises(KeyboardInterrupt):
        extract_all(lab, Interrupted(after=3), faces, PROBES[:2], batch=5)
    network = Projection()
    read = counting_reads(monkeypatch)
    done = extract_all(lab, network, faces, PROBES[:2], batch=5)
    assert said == [
        "  going on with 15 of 20 images done for faces@12",
        "  going on with 15 of 20 images done for faces",
        "  going on with 15 of 20 images done for faces@12",
    ]
    assert len(read) == 5
    for probe, one in zip(PROBES, done, strict=False):
        assert same(one.path, extract(Lab(tmp_path / "alone"), Projection(), faces, probe, batch=5).path)


def test_no_probes_are_no_work(lab, faces):
    network = Projection()
    assert extract_all(lab, network, faces, []) == []
    assert network.calls == []


# Mirror images


def test_flipped_vectors_are_the_sum_of_those_of_image_and_mirror_image(lab, faces):
    network = Projection()
    done = extract(lab, network, faces, Probe("faces", 12), flip=True)
    images = [prepare(read_image(faces.path(i)), 12, 8) for i in range(20)]
    both = [np.stack(images), np.stack(images)[:, :, ::-1]]
    expected = sum(network.preprocessing.apply(each).reshape(20, -1) @ network.matrix for each in both)
    found = lab.embeddings("linear", "faces@12")
    np.testing.assert_allclose(found.vectors, expected, rtol=1e-4, atol=1e-3)
    assert embeddings.metadata(done.path)["flip"] is True
    norms = pq.read_table(done.path).column("norm").to_numpy()
    np.testing.assert_allclose(norms, np.linalg.norm(found.vectors, axis=1), rtol=1e-6)


@pytest.mark.parametrize("flip", [False, True])
def test_vectors_with_and_without_mirror_images_are_not_mixed_up(lab, faces, said, flip):
    path = extract(lab, Projection(), faces, Probe("faces"), flip=flip).path
    assert extract(lab, Projection(), faces, Probe("faces"), flip=flip).cached
    assert said == []
    assert not extract(lab, Projection(), faces, Probe("faces"), flip=not flip).cached
    assert said == [f"  {path} was made with another choice about mirror images (flip): it is made again"]


def test_a_file_from_before_there_was_a_choice_holds_no_mirror_images(lab, faces, said):
    path = extract(lab, Projection(), faces, Probe("faces")).path
    head = embeddings.metadata(path)
    del head["flip"]
    embeddings.write(path, embeddings.read(path), head)
    assert extract(lab, Projection(), faces, Probe("faces")).cached
    assert not extract(lab, Projection(), faces, Probe("faces"), flip=True).cached
    assert "another choice about mirror images" in said[0]


def test_parts_without_mirror_images_are_not_taken_for_parts_with_them(lab, faces, monkeypatch):
    monkeypatch.setattr(extraction, "SHARD", 5)
    with pytest.raises(KeyboardInterrupt):
        extract(lab, Interrupted(after=2), faces, Probe("faces"), batch=5)
    network = Projection()
    extract(lab, network, faces, Probe("faces"), batch=5, flip=True)
    assert sum(network.calls) == 40


# Kills

CHILD = """
import sys, time
from pathlib import Path
from embedlab.extraction import extract as extraction, parts as extraction_parts
from embedlab.data.datasets import open_dataset
from embedlab.data.degradations import Probe
from embedlab.lab.store import Lab
sys.path.insert(0, sys.argv[1])
from test_extract import Projection

class Slow(Projection):
    def embed(self, images):
        time.sleep(0.05)
        return super().embed(images)

if sys.argv[4] == "half":
    import os, signal
    whole = extraction_parts.merge
    def merge(parts, path, *rest):
        whole(parts, path, *rest)
        path.write_bytes(path.read_bytes()[:-200])
        os.kill(os.getpid(), signal.SIGKILL)
    extraction_parts.merge = merge
extraction.SHARD = 6
dataset = open_dataset(sys.argv[2])
print("begins", flush=True)
extraction.extract(Lab(sys.argv[3]), Slow(), dataset, Probe("faces", 12), batch=4)
"""


def child(faces, lab, how=""):
    here = Path(__file__).resolve().parent
    environment = {**os.environ, "PYTHONPATH": str(here.parents[1])}
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(here), str(faces.root), str(lab.root), how],
        env=environment,
        stdout=subprocess.PIPE,
    )


@pytest.mark.slow
def test_an_extraction_killed_at_any_moment_ends_in_the_same_file(lab, tmp_path, monkeypatch):
    faces = open_dataset(make_faces(tmp_path / "faces", people=6, each=10))
    monkeypatch.setattr(extraction, "SHARD", 6)
    whole = extract(Lab(tmp_path / "unbroken"), Projection(), faces, Probe("faces", 12), batch=4)
    target = lab.embeddings_file("linear", "faces@12")
    kills = 0
    for moment in [*np.random.default_rng(3).uniform(0, 0.4, 5), None]:
        process = child(faces, lab)
        assert process.stdout.readline() == b"begins\n"
        if moment is not None:
            time.sleep(moment)
            process.kill()
        process.stdout.close()
        ended = process.wait()
        if ended != -signal.SIGKILL:
            assert ended == 0
            break
        kills += 1
        if target.exists():
            assert same(target, whole.path)
    assert kills >= 2
    assert same(target, whole.path)
    assert not target.with_name(".faces@12.parts").exists()


def test_an_extraction_killed_while_it_writes_leaves_no_half_file(lab, tmp_path, monkeypatch):
    faces = open_dataset(make_faces(tmp_path / "faces"))
    monkeypatch.setattr(extraction, "SHARD", 6)
    process = child(faces, lab, "half")
    assert process.stdout.read() == b"begins\n"
    process.stdout.close()
    assert process.wait() == -signal.SIGKILL
    target = lab.embeddings_file("linear", "faces@12")
    assert not target.exists()
    assert lab.probes("linear") == []
    network = Projection()
    done = extract(lab, network, faces, Probe("faces", 12), batch=4)
    assert network.calls == []
    whole = extract(Lab(tmp_path / "unbroken"), Projection(), faces, Probe("faces", 12), batch=4)
    assert same(done.path, whole.path)


# Several processes

SHARING = """
import sys, time
from embedlab.extraction import extract as extraction
from embedlab import progress
from embedlab.data.datasets import open_dataset
from embedlab.data.degradations import Probe
from embedlab.errors import UserError
from embedlab.lab.store import Lab
sys.path.insert(0, sys.argv[1])
from test_extract import Projection

class Noted(Projection):
    def embed(self, images):
        time.sleep(0.02)
        return super().embed(images)

extraction.SHARD = 3
network = Noted()
with progress.shown(sys.stdout):
    try:
        done = extraction.extract_all(
            Lab(sys.argv[3]), network, open_dataset(sys.argv[2]), [Probe("faces"), Probe("faces", 12)],
            batch=2, strict=sys.argv[4] == "strict", flip=True,
        )
    except UserError as error:
        print("error:", error)
        sys.exit(2)
print(sum(network.calls), [(one.path.name, one.rows, one.skipped, one.cached) for one in done])
"""


def together(faces, lab, how=""):
    return processes.together(SHARING, Path(__file__).resolve().parent, faces.root, lab.root, how)


def test_two_processes_share_the_images_and_give_the_file_of_one(lab, faces, tmp_path, monkeypatch):
    faces.path(4).write_bytes(b"")
    said, ended = together(faces, lab)
    assert ended == [0, 0]
    # Seven parts of three images: four and three, of two probes, each with its mirror image.
    calls = [int(lines[-1].partition(" ")[0]) for lines in said]
    assert calls == [4 * (3 + 3 + 3 + 2), 4 * (2 + 3 + 3)]
    assert len(said[1]) == 1
    assert said[0][-1].partition(" ")[2] == said[1][-1].partition(" ")[2]
    monkeypatch.setattr(extraction, "SHARD", 3)
    alone = Lab(tmp_path / "alone")
    for one in extract_all(alone, Projection(), faces, PROBES[:2], batch=2, flip=True):
        assert same(lab.embeddings_file("linear", one.path.stem), one.path)
    assert sorted(path.name for path in one.path.parent.iterdir()) == ["faces.parquet", "faces@12.parquet"]


def test_two_processes_go_on_where_one_was_stopped(lab, faces, tmp_path, monkeypatch):
    monkeypatch.setattr(extraction, "SHARD", 3)
    with pytest.raises(KeyboardInterrupt):
        extract_all(lab, Interrupted(after=17), faces, PROBES[:2], batch=2, flip=True)
    said, ended = together(faces, lab)
    assert ended == [0, 0]
    calls = [int(lines[-1].partition(" ")[0]) for lines in said]
    assert sum(calls) == 4 * (20 - 6)
    for one in extract_all(Lab(tmp_path / "alone"), Projection(), faces, PROBES[:2], batch=2, flip=True):
        assert same(lab.embeddings_file("linear", one.path.stem), one.path)


def test_an_error_in_one_process_ends_both_and_is_said_once(lab, faces):
    # In the second part, which is the second process's.
    faces.path(4).write_bytes(b"")
    said, ended = together(faces, lab, "strict")
    assert ended == [2, 2]
    assert [line for lines in said for line in lines if "error" in line] == [
        "error: image p0/4.png cannot be used: the file is empty: mend or remove it, or leave out --strict"
    ]
    assert said[1] == []


# Real faces


def test_a_real_network_separates_real_people(shared_data, tmp_path):
    from embedlab.networks.foreign import open_onnx

    lfw = open_dataset(shared_data / "lfw144")
    counts = np.bincount(lfw.labels)
    chosen = np.flatnonzero((counts >= 4) & (counts <= 8))[:40]
    for label in chosen:
        folder = tmp_path / "lfw" / lfw.identities[label]
        folder.mkdir(parents=True)
        for i in np.flatnonzero(lfw.labels == label)[:4]:
            (folder / lfw.path(i).name).symlink_to(lfw.path(i))
    subset = open_dataset(tmp_path / "lfw")
    network = open_onnx(shared_data / "models" / "mobilefacenet_ms1m.onnx", "imagenet")
    lab = Lab(tmp_path / "lab")
    auc = {}
    for probe in (Probe("lfw"), Probe("lfw", 16)):
        assert extract(lab, network, subset, probe).rows == 160
        found = lab.embeddings(network.name, str(probe))
        scores = (found.unit @ found.unit.T)[np.triu_indices(160, 1)]
        genuine = (found.labels[:, None] == found.labels)[np.triu_indices(160, 1)]
        ranks = np.argsort(np.argsort(scores))[genuine]
        n, m = genuine.sum(), (~genuine).sum()
        auc[probe.pixels] = (ranks.sum() - n * (n - 1) / 2) / (n * m)
    assert auc[None] > 0.99
    assert 0.7 < auc[16] < auc[None]


def test_too_little_memory_names_the_option_that_helps(lab, faces):
    class Large(Projection):
        def embed(self, images):
            raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB.")

    with pytest.raises(
        UserError,
        match=r"not enough memory for batches of 7 images in linear \(CUDA .*: pass a smaller --batch",
    ):
        extract(lab, Large(), faces, Probe("faces"), batch=7)


def test_a_second_extraction_waits_and_takes_what_the_first_made(lab, faces, said):
    """The first is another thread here; the lock is one between processes, and so between these."""
    path = lab.embeddings_file("linear", "faces")
    begun, go_on = threading.Event(), threading.Event()

    class Slow(Projection):
        def embed(self, images):
            begun.set()
            assert go_on.wait(30)
            return super().embed(images)

    first = threading.Thread(target=extract, args=(lab, Slow(), faces, Probe("faces")))
    first.start()
    assert begun.wait(30)
    threading.Timer(0.3, go_on.set).start()
    second = Projection()
    done = extract(lab, second, faces, Probe("faces"))
    first.join()
    assert done.cached
    assert second.calls == []
    assert [name.name for name in path.parent.iterdir()] == ["faces.parquet"]


def test_parts_that_a_kill_left_beside_the_whole_go(lab, faces):
    done = extract(lab, Projection(), faces, Probe("faces"))
    parts = done.path.with_name(".faces.parts")
    parts.mkdir()
    (parts / "000000000.npz").write_bytes(b"whole")
    assert extract(lab, Projection(), faces, Probe("faces")).cached
    assert not parts.exists()
