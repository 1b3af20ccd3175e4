import errno
import fcntl
import os
import pickle
import shutil
import subprocess
import sys
import threading
import time
from io import StringIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from safetensors import SafetensorError
from safetensors.numpy import save_file

from embedlab import progress
from embedlab.errors import Unwritable, UserError
from embedlab.lab import embeddings, store
from embedlab.lab.store import (
    LONGEST_NAME,
    Lab,
    atomic_file,
    atomic_folder,
    check_spared,
    check_writable,
    checked_name,
    locked,
    made_name,
    sha256_of,
    steadily,
    sweep,
    write_json,
)
from tests.planted import embedding_set, layer_weights


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "deep" / "a.txt"
    with atomic_file(target) as temporary:
        temporary.write_text("whole")
        assert not target.exists()
    assert target.read_text() == "whole"
    assert os.listdir(target.parent) == ["a.txt"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")

    def fail():
        with atomic_file(target) as temporary:
            temporary.write_text("half")
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        fail()
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with (
        pytest.raises(UserError, match="cannot write .*file/a.txt"),
        atomic_file(tmp_path / "file" / "a.txt"),
    ):
        pass


def test_a_folder_in_the_place_of_a_file_is_told(tmp_path):
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(UserError, match="cannot write .*a.txt"), atomic_file(tmp_path / "a.txt"):
        pass


def test_the_first_of_two_equal_folders_stays(tmp_path):
    target = tmp_path / "key"
    with atomic_folder(target) as late:
        (late / "x").write_text("late")
        with atomic_folder(target) as early:
            (early / "x").write_text("early")
    assert (target / "x").read_text() == "early"
    assert os.listdir(tmp_path) == ["key"]


def test_a_folder_is_replaced_when_asked(tmp_path):
    for text in ("old", "new"):
        with atomic_folder(tmp_path / "key", replace=True) as folder:
            (folder / "x").write_text(text)
    assert (tmp_path / "key" / "x").read_text() == "new"


def test_json_without_nan(tmp_path):
    with pytest.raises(ValueError, match="Out of range float"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert not (tmp_path / "a.json").exists()


@pytest.mark.parametrize("name", ["", ".hidden", "../up", "a/b", "a b", "-x", "<b>"])
def test_names_that_are_no_file_names_are_refused(name):
    with pytest.raises(UserError, match="cannot be the name of a model"):
        checked_name(name, "model")


def test_names_have_a_length_that_every_file_system_bears(tmp_path):
    longest = "x" * LONGEST_NAME
    with pytest.raises(UserError, match="'x+'… cannot be the name of a probe: it has 300 letters, and 120"):
        checked_name("x" * 300, "probe")
    assert made_name("x" * 300, "model") == checked_name(longest, "model")
    path = Lab(tmp_path).embeddings_file(longest, longest)
    with atomic_file(path) as temporary:
        temporary.write_text("")
        assert len(os.fsencode(temporary.name)) < 143
    with locked(path, "writing"):
        pass


@pytest.mark.parametrize("make", [lambda path: path.write_text(""), lambda path: path.symlink_to("nowhere")])
def test_a_lab_that_is_no_folder_is_told(tmp_path, monkeypatch, make):
    make(tmp_path / "lab")
    with pytest.raises(UserError, match=r"the lab .*lab is no folder: name another with --lab"):
        Lab(tmp_path / "lab")
    monkeypatch.setenv("EMBEDLAB_LAB", str(tmp_path / "lab"))
    with pytest.raises(UserError, match="is no folder"):
        Lab()


def test_weights_that_were_lent_are_given():
    lab = Lab("nowhere")
    lab.lent["m"] = layer_weights()
    assert lab.weights("m") is lab.lent["m"]


def test_the_lab_lists_what_it_holds(tmp_path):
    lab = Lab(tmp_path)
    assert lab.models() == []
    path = lab.embeddings_file("m", "faces@32")
    with atomic_file(path) as temporary:
        embeddings.write(temporary, embedding_set(), {})
    (path.parent / ".faces.parquet.x").write_text("a leftover of a killed run")
    assert lab.models() == ["m"]
    assert lab.probes("m") == ["faces@32"]
    assert lab.trained() == []
    np.testing.assert_array_equal(lab.embeddings("m", "faces@32").vectors, embedding_set().vectors)


def test_missing_embeddings_name_what_there_is_and_the_command(tmp_path):
    with pytest.raises(
        UserError, match=r"no embeddings of probe 'p' in model 'm' \(there are: none\).*embedlab extract"
    ):
        Lab(tmp_path).embeddings("m", "p")


def test_a_model_without_weights_says_so(tmp_path):
    with pytest.raises(UserError, match="m has no weights to read in"):
        Lab(tmp_path).weights("m")


def test_the_lab_is_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("EMBEDLAB_LAB", str(tmp_path))
    assert Lab().root == tmp_path
    assert str(Lab("here").root) == "here"
    assert repr(Lab("here")) == "Lab('here')"


@pytest.mark.parametrize(
    ("stem", "name"),
    [("faces", "faces"), ("my file (1)", "my_file_1_"), ("..x", "x"), ("é", "_"), ("@", "other")],
)
def test_a_made_name_is_one_that_is_taken(stem, name):
    assert made_name(stem, "other") == name
    assert checked_name(name, "model") == name


def test_a_hash_is_that_of_the_contents(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_of(tmp_path / "a").startswith("ba7816bf8f01cfea")


def test_two_seeds_of_one_recipe_are_known_as_such(tmp_path):
    lab = Lab(tmp_path)
    recipes = {"one": {"epochs": 4, "seed": 1}, "other": {"epochs": 4, "seed": 2}, "longer": {"epochs": 9}}
    for model, recipe in recipes.items():
        lab.checkpoint(model).mkdir(parents=True)
        record = {"recipe": recipe, "identities_sha256": "people", "weights_sha256": model}
        write_json(lab.checkpoint(model) / "model.json", record)
        path = lab.embeddings_file(model, "p")
        path.parent.mkdir(parents=True)
        embeddings.write(path, embedding_set(model=model), {"model_sha256": model})
        embeddings.write(path.with_stem("retrained"), embedding_set(model=model), {"model_sha256": "before"})
        embeddings.write(path.with_stem("imported"), embedding_set(model=model), {})
    assert lab.recipe("one") == lab.recipe("other") != lab.recipe("longer")
    assert lab.recipe("stranger") == ""
    assert lab.embeddings("one", "p").recipe == lab.recipe("one")
    assert lab.embeddings("one", "p").fingerprint != embedding_set(model="one").fingerprint
    for probe in ("retrained", "imported"):
        assert lab.embeddings("one", probe).recipe == ""
        assert not lab.is_made_here("one", probe)


def checkpoint(lab, model, seed=0):
    """Write a network of one convolution, as the lab keeps it."""
    folder = lab.checkpoint(model)
    folder.mkdir(parents=True)
    kernels = np.random.default_rng(seed).normal(size=(8, 3, 3, 3)).astype(np.float32)
    save_file({"conv.weight": kernels}, folder / "model.safetensors")
    sha256 = sha256_of(folder / "model.safetensors")
    write_json(
        folder / "model.json", {"recipe": {"seed": seed}, "identities_sha256": "x", "weights_sha256": sha256}
    )
    return sha256


def stored(lab, model, probe, head):
    with atomic_file(lab.embeddings_file(model, probe)) as path:
        embeddings.write(path, embedding_set(model=model, probe=probe), head)


def test_a_copied_folder_is_what_it_is_called_now(tmp_path):
    lab = Lab(tmp_path)
    sha256 = checkpoint(lab, "a")
    stored(lab, "a", "p", {"model_sha256": sha256})
    for kind in ("embeddings", "checkpoints"):
        shutil.copytree(tmp_path / kind / "a", tmp_path / kind / "b")
    (tmp_path / "embeddings" / "b" / "p.parquet").rename(tmp_path / "embeddings" / "b" / "q.parquet")
    first, second = lab.embeddings("a", "p"), lab.embeddings("b", "q")
    assert (first.title, second.title) == ("p in a", "q in b")
    assert first.fingerprint != second.fingerprint
    assert first.recipe == second.recipe != ""
    assert (lab.weights("a").title, lab.weights("b").title) == ("a", "b")
    assert lab.weights("a").fingerprint != lab.weights("b").fingerprint


def test_weights_are_not_those_of_vectors_from_elsewhere(tmp_path):
    lab = Lab(tmp_path)
    stored(lab, "a", "p", {"model_sha256": checkpoint(lab, "a")})
    assert list(lab.weights("a").layers) == ["conv"]
    (lab.embeddings_file("a", "damaged")).write_bytes(b"PAR1")
    assert list(lab.weights("a").layers) == ["conv"]
    stored(lab, "a", "imported", {"imported_from": {"name": "a.parquet"}})
    with pytest.raises(
        UserError, match=r"imported.parquet holds vectors from elsewhere, and a network called a"
    ):
        lab.weights("a")
    assert lab.embeddings("a", "imported").recipe == ""


def test_weights_that_changed_since_they_were_written_are_refused(tmp_path):
    lab = Lab(tmp_path)
    checkpoint(lab, "a")
    path = lab.checkpoint("a") / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"model.safetensors is not the file that model.json"):
        lab.weights("a")


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 10_000])
def test_a_record_that_is_none_tells_of_no_recipe(tmp_path, text):
    lab = Lab(tmp_path)
    checkpoint(lab, "a")
    (lab.checkpoint("a") / "model.json").write_text(text)
    assert lab.recipe("a") == ""


def test_a_second_process_waits_for_the_first_and_says_so(tmp_path):
    """Held in a child process, so that the lock is one between processes."""
    script = (
        "import sys; from pathlib import Path; from embedlab.lab.store import locked\n"
        "with locked(Path(sys.argv[1]), 'drawing'):\n"
        "    print('held', flush=True); sys.stdin.readline()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "data")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert child.stdout.readline() == "held\n"
    heard = StringIO()

    def release():
        while "waiting" not in heard.getvalue():
            time.sleep(0.01)
        child.communicate("go on\n", timeout=30)

    ending = threading.Thread(target=release, daemon=True)
    ending.start()
    with progress.shown(heard), locked(tmp_path / "data", "drawing"):
        ending.join(30)
        assert child.returncode == 0
    assert "another process is drawing: waiting for it" in heard.getvalue()


def system(number, path=None):
    return OSError(number, os.strerror(number), path)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (system(errno.ENOSPC), "No space left on device: make room there"),
        (system(errno.EDQUOT), "quota exceeded: make room there"),
        (system(errno.EFBIG), "File too large: raise the limit of a file's size"),
        (system(errno.EROFS), "Read-only file system: choose another place"),
        (system(errno.EACCES), "Permission denied: make it writable"),
        (system(errno.EPERM), "Operation not permitted: make it writable"),
        (OSError("4096 requested and 512 written"), "No space left on device"),
        (pa.ArrowException("IOError: [Errno 28] No space left on device. Detail: x"), "No space left"),
        (
            SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
            "No sp",
        ),
        (SafetensorError("I/O error: Read-only file system (os error 30)"), "Read-only file system"),
    ],
    ids=str,
)
@pytest.mark.parametrize("atomic", [atomic_file, atomic_folder])
def test_whoever_finds_out_that_a_place_cannot_be_written_it_is_one_line(tmp_path, atomic, error, words):
    target = tmp_path / "result"
    with pytest.raises(Unwritable) as caught, atomic(target):
        raise error
    said = str(caught.value)
    assert said.startswith(f"cannot write {target}: ")
    assert words in said
    assert len(said.splitlines()) == 1
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("number", [errno.EROFS, errno.ENOSPC, errno.EACCES, errno.EDQUOT])
@pytest.mark.parametrize(("atomic", "step"), [(atomic_file, "replace"), (atomic_folder, "rename")])
def test_a_last_step_that_fails_is_one_line_too(tmp_path, monkeypatch, atomic, step, number):
    def fail(path, *_):
        raise system(number, str(path))

    monkeypatch.setattr(Path, step, fail)
    with pytest.raises(Unwritable, match="cannot write .*result: "), atomic(tmp_path / "result"):
        pass
    assert os.listdir(tmp_path) == []


def test_what_cannot_be_read_elsewhere_is_not_called_unwritable(tmp_path):
    with pytest.raises(PermissionError), atomic_file(tmp_path / "a"):
        raise system(errno.EACCES, "/elsewhere/input.parquet")
    with pytest.raises(UserError, match="^cannot read x: Permission denied"), atomic_file(tmp_path / "a"):
        raise UserError("cannot read x: Permission denied: correct it")


def test_another_process_hears_of_it():
    error = pickle.loads(pickle.dumps(Unwritable(Path("a.png"), errno.ENOSPC)))  # noqa: S301
    assert str(error) == str(Unwritable(Path("a.png"), errno.ENOSPC))
    assert (error.path, error.number) == (Path("a.png"), errno.ENOSPC)


def test_a_file_within_a_folder_is_told_by_the_folders_name(tmp_path):
    with (
        pytest.raises(UserError, match=f"^cannot write {tmp_path}/key: No space left on device"),
        atomic_folder(tmp_path / "key") as folder,
        atomic_file(folder / "result.json"),
    ):
        raise system(errno.ENOSPC)


WRITERS = """
import json, resource, sys
from pathlib import Path
import numpy as np, pyarrow as pa, pyarrow.parquet as pq
from safetensors.numpy import save_file
from embedlab.errors import UserError
from embedlab.lab.store import atomic_file, atomic_folder, write_json

numbers = np.random.default_rng(0).random(100_000)
folder = Path(sys.argv[1])
def parquet(path): pq.write_table(pa.table({"x": numbers}), path)
def tensors(path): save_file({"x": numbers}, path)
def arrays(path):
    with path.open("wb") as file: np.savez(file, x=numbers)
def array(path):
    with path.open("wb") as file: np.save(file, numbers)
def text(path): path.write_text("x" * 800_000)
def within(path):
    path.mkdir(); write_json(path / "a.json", {"x": numbers.tolist()})
def tried(name, kind, write):
    try:
        with kind(folder / name) as temporary:
            if kind is atomic_folder: write_json(temporary / "a.json", {"x": numbers.tolist()})
            else: write(temporary)
        print(name, "was written")
    except UserError as error:
        print(error)
if len(sys.argv) > 2:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
for write in (parquet, tensors, arrays, array, text): tried(write.__name__, atomic_file, write)
tried("folder", atomic_folder, None)
"""


def written(*words):
    done = subprocess.run(
        [sys.executable, "-c", WRITERS, *map(str, words)],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    return done.stdout.splitlines()


def test_a_limit_of_the_files_size_is_told_by_every_writer(tmp_path):
    lines = written(tmp_path, 100_000)
    assert len(lines) == 6
    for name, line in zip(("parquet", "tensors", "arrays", "array", "text", "folder"), lines, strict=True):
        assert line.startswith(f"cannot write {tmp_path}/{name}: "), line
        assert "File too large: raise the limit" in line or name == "array"
    assert os.listdir(tmp_path) == []


def test_a_disk_that_is_full_is_told_by_every_writer(small_disk):
    lines = written(small_disk)
    for name, line in zip(("parquet", "tensors", "arrays", "array", "text", "folder"), lines, strict=True):
        assert line.startswith(f"cannot write {small_disk}/{name}: No space left on device: make room"), line
    assert os.listdir(small_disk) == []


def test_a_lab_that_is_read_only_is_read_and_told(small_disk, tmp_path):
    lab = Lab(small_disk)
    path = lab.embeddings_file("m", "p")
    with atomic_file(path) as temporary:
        embeddings.write(temporary, embedding_set(), {})
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with locked(path, "extracting"):
        assert len(lab.embeddings("m", "p").items)
    sweep(path.parent)
    for make in (
        lambda: write_json(path.with_name("a.json"), {}),
        lambda: write_json(small_disk / "new" / "a.json", {}),
        lambda: check_writable(small_disk / "report.html"),
    ):
        with pytest.raises(UserError, match="^cannot write .*: Read-only file system: choose another place$"):
            make()


@pytest.mark.parametrize("atomic", [atomic_file, atomic_folder])
def test_the_disk_has_the_new_one_before_it_gets_its_name(tmp_path, monkeypatch, atomic):
    target, there = tmp_path / "a", []
    monkeypatch.setattr(store, "_sync", lambda path: there.append((path.name, target.exists())))
    with atomic(target) as temporary:
        if atomic is atomic_folder:
            write_json(temporary / "a.json", {})
    within = [("a.json", False)] if atomic is atomic_folder else []
    assert there == [*within, ("a", False), (tmp_path.name, True)]
    there.clear()
    with atomic_file(tmp_path / "b", durable=False):
        pass
    assert not there


def test_a_place_is_judged_before_the_work(tmp_path):
    check_writable(tmp_path / "new" / "b" / "a.html")
    check_writable(tmp_path / "new", folder=True)
    assert os.listdir(tmp_path) == []
    (tmp_path / "new").mkdir()
    check_writable(tmp_path / "new" / "b" / "a.html")
    assert os.listdir(tmp_path / "new") == []
    for path, words in (
        (tmp_path / "new", "it is a folder"),
        (tmp_path / ("x" * 256), "File name too long: give it a shorter name"),
        (tmp_path / ("x" * 300) / "a", "File name too long"),
    ):
        with pytest.raises(UserError, match=words):
            check_writable(path)
    with atomic_file(tmp_path / ("é" * 127)) as temporary:
        temporary.write_text("a name of 254 bytes")
    assert (tmp_path / ("é" * 127)).read_text().startswith("a name")


def test_what_is_read_is_not_written_over(tmp_path):
    table, parts, faces = tmp_path / "a.parquet", tmp_path / "parts.parquet", tmp_path / "faces"
    table.touch()
    (tmp_path / "link.parquet").symlink_to(table)
    parts.mkdir()
    faces.mkdir()
    read = [None, "", "a model's name", str(table), parts, faces]
    for path in (table, tmp_path / "link.parquet", faces / ".." / "a.parquet", parts, faces):
        with pytest.raises(UserError, match="would be written over, and is read: give another name"):
            check_spared(path, read)
    for path in (parts / "b.parquet", faces / "aligned"):
        with pytest.raises(UserError, match="would be written into .*, which is read"):
            check_spared(path, read)
    for path in (tmp_path / "b.parquet", faces / "pairs.csv", tmp_path / "a model's name"):
        check_spared(path, read)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pairs.csv")
    with pytest.raises(UserError, match=r"pairs\.csv: it is no regular file: give the path of one$"):
        sha256_of(tmp_path / "pairs.csv")


KILLED = """
import os, signal, sys
from pathlib import Path
from embedlab.lab.store import atomic_file, atomic_folder
with atomic_file(Path(sys.argv[1]) / "a") as one, atomic_folder(Path(sys.argv[1]) / "b") as other:
    one.write_bytes(bytes(1000)); (other / "c").write_bytes(bytes(1000))
    one.with_name(".tmpXyZ").write_text("of a library")
    print("writing", flush=True)
    sys.stdin.readline()
"""


def writing(folder):
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdout.readline() == b"writing\n"
    return child


def test_the_next_who_writes_removes_what_a_killed_process_left(tmp_path):
    with writing(tmp_path) as killed, writing(tmp_path) as living:
        killed.kill()
        killed.wait(30)
        write_json(tmp_path / "mine.json", {})
        left = [name for name in os.listdir(tmp_path) if name.endswith(".tmp")]
        assert len(left) == 2
        assert all(f".{living.pid}-" in name for name in left)
        living.communicate(b"go on\n", timeout=30)
    assert sorted(os.listdir(tmp_path)) == ["a", "b", "mine.json"]


def test_a_temporary_of_another_machine_stays_while_it_is_locked(tmp_path, monkeypatch):
    """Its process has a number that nobody has here."""
    folder = tmp_path / ".a.4999999-abcdefgh.tmp"
    folder.mkdir()
    handle = os.open(folder, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    sweep(tmp_path)
    assert folder.is_dir()
    os.close(handle)

    def none(*_):
        raise system(errno.ENOLCK)

    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", none)
        sweep(tmp_path)
        assert folder.is_dir(), "without locks, only what is old is nobody's"
        os.utime(folder, (0, 0))
        sweep(tmp_path)
    assert not folder.exists()


@pytest.mark.parametrize("exchange", [True, False])
def test_a_folder_that_is_replaced_is_always_whole(tmp_path, monkeypatch, exchange):
    """Two writers and a reader: what is read is of one state, and never missing where the system can."""
    if not exchange:
        monkeypatch.setattr(store, "_exchanged", lambda new, old: False)
    target, stop, wrong = tmp_path / "key", threading.Event(), []

    def write(k):
        with atomic_folder(target, replace=True) as folder:
            for name in "ab":
                (folder / name).write_text(str(k))

    def again(k):
        while not stop.is_set():
            write(k)

    write(0)
    writers = [threading.Thread(target=again, args=(k,)) for k in (1, 2)]
    for writer in writers:
        writer.start()
    try:
        for _ in range(200):
            a, b = steadily(target, lambda folder: [(folder / name).read_text() for name in "ab"])
            if a != b:
                wrong.append((a, b))
            if exchange and not target.is_dir():
                wrong.append("missing")
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    assert not wrong
    assert os.listdir(tmp_path) == ["key"]


def test_what_cannot_be_read_of_a_folder_at_rest_is_raised_at_once(tmp_path):
    with pytest.raises(ZeroDivisionError):
        steadily(tmp_path, lambda folder: 1 // 0)
    with pytest.raises(FileNotFoundError):
        steadily(tmp_path / "nowhere", lambda folder: (folder / "a").read_text())


def test_a_lock_can_be_taken_again_by_its_holder_and_leaves_nothing(tmp_path):
    with locked(tmp_path / "a", "writing"), locked(tmp_path / "a", "writing"):
        assert os.listdir(tmp_path) == [".a.embedlab-lock"]
        sweep(tmp_path)
        assert os.listdir(tmp_path) == [".a.embedlab-lock"]
    assert os.listdir(tmp_path) == []
    (tmp_path / ".a.embedlab-lock").write_text("of a process that was killed")
    (tmp_path / "a.lock").write_text("of another program")
    sweep(tmp_path)
    assert os.listdir(tmp_path) == ["a.lock"]


def test_only_one_at_a_time_holds_a_lock(tmp_path):
    """However often the name of the lock goes and comes."""
    inside, most = [], []

    def work():
        for _ in range(50):
            with locked(tmp_path / "a", "writing"):
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1
    assert len(most) == 200


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_where_there_are_no_locks_the_work_goes_on_with_a_word(tmp_path, monkeypatch, number):
    def none(*_):
        raise system(number)

    monkeypatch.setattr(fcntl, "flock", none)
    heard = StringIO()
    with progress.shown(heard), locked(tmp_path / "a", "writing"):
        pass
    assert "has no locks" in heard.getvalue()
    assert "one command there at a time" in heard.getvalue()
