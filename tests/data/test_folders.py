"""What a folder's reader leaves out or chooses is right, and said."""

import os
import socket

import numpy as np
import pytest
from PIL import Image

from embedlab.data import folders
from embedlab.data.datasets import SUFFIXES, open_dataset
from embedlab.data.folders import listing
from embedlab.errors import UserError


@pytest.fixture
def root(tmp_path):
    return tmp_path / "faces"


def put(root, *items):
    for item in items:
        path = root / item
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (12, 12), (len(item), 9, 99)).save(path, "PNG")
    return root


PEOPLE = ("ann/1.png", "ann/2.png", "bob/1.png", "bob/2.png")


def found(root):
    return listing(root, SUFFIXES)


@pytest.mark.parametrize(
    ("within", "named"),
    [
        ("@eaDir/ann/SYNOFILE_THUMB_M.png", "@eaDir"),
        ("ann/@eaDir/1.png/SYNOPHOTO_THUMB_M.png", "@eaDir"),
        ("__MACOSX/ann/1.png", "__MACOSX"),
        (".thumbnails/ann/1.png", ".thumbnails"),
        ("ann/.ipynb_checkpoints/1-checkpoint.png", ".ipynb_checkpoints"),
        (".cache/a/1.png", ".cache"),
        ("$RECYCLE.BIN/S-1/1.png", "$RECYCLE.BIN"),
        ("#recycle/ann/1.png", "#recycle"),
    ],
)
def test_folders_of_programs_are_nobody_and_named(root, within, named):
    there = found(put(root, *PEOPLE, within))
    assert there.items == PEOPLE
    assert there.people == ("ann", "ann", "bob", "bob")
    assert there.notes == (f"folders that programs made were passed over: {named} (1 in all)",)
    assert there.caution == ""


def test_a_plain_folder_says_nothing(root):
    there = found(put(root, *PEOPLE))
    assert (there.items, there.ignored, there.notes, there.caution) == (PEOPLE, 0, (), "")


def test_files_of_programs_are_counted(root):
    put(root, *PEOPLE)
    for name in ("ann/Thumbs.db", "ann/.DS_Store", "bob/desktop.ini", "bob/._1.png"):
        (root / name).write_bytes(b"x")
    assert (found(root).items, found(root).ignored) == (PEOPLE, 4)


def test_pictures_of_kinds_that_are_not_read_are_named(root):
    put(root, *PEOPLE, "cyd/1.jfif", "cyd/2.JPE")
    for name in ("ann/3.HEIC", "ann/4.heic", "bob/3.gif", "bob/notes.txt"):
        (root / name).write_bytes(b"x")
    there = found(root)
    assert there.items == (*PEOPLE, "cyd/1.jfif", "cyd/2.JPE")
    assert there.notes == ("pictures of kinds that are not read were passed over: .heic (2), .gif (1)",)
    assert there.ignored == 4


# What must not be opened


def pipe(path):
    os.mkfifo(path)


def listening(path):
    # The path of a socket may have some hundred bytes only.
    here = os.open(path.parent, os.O_RDONLY)
    before = os.getcwd()
    os.fchdir(here)
    try:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(path.name)
    finally:
        os.chdir(before)
        os.close(here)


ODD = {
    "a pipe": pipe,
    "a socket": listening,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a link to itself": lambda path: path.symlink_to(path),
    "a link to nothing": lambda path: path.symlink_to(path.parent / "gone"),
    "a link through a file": lambda path: path.symlink_to(path.parent / "1.png" / "x"),
}


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("name", ["ann/x.png", "cyd"])
def test_what_is_no_file_is_left_out_and_named_and_nothing_hangs(root, kind, name):
    put(root, *PEOPLE)
    ODD[kind](root / name)
    dataset = open_dataset(root)
    assert dataset.items == PEOPLE
    assert len(dataset.fingerprint) == 64
    (note,) = dataset.notes
    assert note.startswith(f"{name} (1 in all): no file or folder, but a pipe, a socket, a device")


@pytest.mark.parametrize("kind", ODD)
def test_no_such_thing_is_a_data_set(tmp_path, kind):
    (tmp_path / "1.png").write_bytes(b"")
    ODD[kind](tmp_path / "odd")
    with pytest.raises(UserError, match="does not exist|neither a file nor a folder"):
        open_dataset(tmp_path / "odd")


def test_an_index_names_no_pipes(root):
    put(root, *PEOPLE)
    os.mkfifo(root / "ann" / "x.png")
    (root / "some.txt").write_text("ann/1.png 1\nann/x.png 1\nbob/1.png 2\n")
    with pytest.raises(UserError, match="line 2: there is no file .*ann/x.png"):
        open_dataset(root / "some.txt")


def test_folders_that_lead_round_in_circles_are_listed_once(root):
    put(root, *PEOPLE)
    (root / "ann" / "up").symlink_to(root)
    (root / "ann" / "bob").symlink_to(root / "bob")
    (root / "bob" / "ann").symlink_to(root / "ann")
    there = found(root)
    assert there.items == PEOPLE
    assert there.notes == (
        "links to folders that were listed already were passed over: ann/bob, ann/up, bob/ann (3 in all)",
    )


def test_links_that_double_at_each_step_are_listed_in_no_time(root):
    """Thirty folders, each with two links to the next: a thousand million paths."""
    put(root, *PEOPLE)
    steps = root.parent / "steps"
    for k in range(31):
        (steps / str(k)).mkdir(parents=True)
    for k in range(30):
        for name in "ab":
            (steps / str(k) / name).symlink_to(steps / str(k + 1))
    put(steps, "30/x.png")
    (root / "cyd").symlink_to(steps / "0")
    there = found(root)
    assert len(there.items) == 5
    assert there.people[-1] == "cyd"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list every folder")
def test_a_folder_that_may_not_be_listed_is_named(root):
    put(root, *PEOPLE)
    (root / "ann").chmod(0)
    try:
        with pytest.raises(UserError, match="cannot list .*ann: Permission denied"):
            found(root)
    finally:
        (root / "ann").chmod(0o755)


# Deeper trees


@pytest.mark.parametrize(
    "parts",
    [
        ("train", "test"),
        ("Train", "Val", "TEST"),
        ("training", "validation"),
        ("gallery", "probe"),
        ("gallery", "query"),
        ("enrolment", "probes"),
        ("train_set", "test-images"),
        ("train",),
    ],
)
def test_parts_of_a_data_set_are_not_people(root, parts):
    items = [f"{part}/person{k}/{k}{i}.png" for part in parts for k in range(4) for i in range(2)]
    dataset = open_dataset(put(root, *items))
    assert dataset.identities == ("person0", "person1", "person2", "person3")
    assert np.bincount(dataset.labels).tolist() == [2 * len(parts)] * 4
    assert dataset.items == tuple(sorted(items))
    assert (
        "were taken for parts of one data set, and the folders within them for people (4" in dataset.caution
    )
    assert ("4 of them stand in several, as one person" in dataset.caution) == (len(parts) > 1)


def test_images_of_a_persons_videos_stay_the_persons_within_parts(root):
    items = [f"train/{person}/video{v}/{k}.png" for person in "ab" for v in range(2) for k in range(2)]
    dataset = open_dataset(put(root, *items))
    assert dataset.identities == ("a", "b")
    assert len(dataset) == 8


@pytest.mark.parametrize("further", [(), ("train/ann/1.png",)])
def test_images_right_in_a_part_are_refused(root, further):
    put(root, "train/1.png", "test/1.png", *further)
    with pytest.raises(UserError, match=r"holds the folders test, train, which are names of parts") as caught:
        found(root)
    assert "\n" not in str(caught.value)


def test_a_person_may_be_called_as_a_part_is(root):
    there = found(put(root, "Val/1.png", "ann/1.png"))
    assert there.people == ("Val", "ann")


def test_deeper_trees_are_told_with_what_was_taken(root):
    items = [f"cam{c}/person{k}/{i}.png" for c in range(3) for k in range(4) for i in range(2)]
    there = found(put(root, *items))
    assert set(there.people) == {"cam0", "cam1", "cam2"}
    assert there.caution == (
        "all images lie deeper than <person>/<image>, such as cam0/person0/0.png: the 3 outermost folders "
        "(cam0, cam1, cam2) were taken for people, and not the 12 within them; person0, person1, person2, … "
        "stand in several of them; if the people are those, give an index file of images and people"
    )


def test_some_deeper_images_are_told(root):
    there = found(put(root, *PEOPLE, "bob/old/1.png"))
    assert there.people == ("ann", "ann", "bob", "bob", "bob")
    assert there.notes == (
        "1 of 5 images lie deeper than <person>/<image>, such as bob/old/1.png: taken for images of their "
        "outermost folder's person",
    )


def test_one_folder_round_the_people_is_named(root):
    put(root, *(f"lfw/{item}" for item in PEOPLE))
    with pytest.raises(UserError, match=r"if the 2 folders within are people, name .*faces/lfw"):
        open_dataset(root)


def test_a_folder_of_nothing_but_thumbnails_says_so(root):
    put(root, "@eaDir/ann/1.png")
    with pytest.raises(folders.NoImages, match=r"folders that programs made were passed over: @eaDir"):
        found(root)
