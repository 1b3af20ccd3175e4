"""Whatever a TOML file holds, it is read or refused in one line."""

import os
import tomllib

import pytest

from embedlab.errors import UserError
from embedlab.files import documents

DEEP = 20_000
WRONG = {
    "a syntax error": (b"a = ", "is not valid TOML"),
    "two of one key": (b"a = 1\na = 2", "is not valid TOML"),
    "another encoding": ("title = 'é'".encode("latin-1"), r"it is no UTF-8 \(byte 9\)"),
    "UTF-16": ("a = 1".encode("utf-16"), "is no UTF-8"),
    "more digits than Python reads": (b"a = 1" + b"0" * 5000, "is not valid TOML"),
    "more digits than are printed": (b"a = 0x" + b"f" * 5000, "a is a whole number beyond 64 bits"),
    "a whole number of 65 bits": (b"[s.t]\na = [1, 18446744073709551616]", "a is a whole number beyond"),
    "a negative one": (b"a = -9223372036854775809", "beyond 64 bits"),
    "deep lists": (b"a = " + b"[" * DEEP + b"]" * DEEP, "is not valid TOML"),
    "deep tables": (b"a = " + b"{a=" * DEEP + b"1" + b"}" * DEEP, "is not valid TOML"),
    "a date that is none": (b"a = 2026-02-31", "is not valid TOML"),
    "bytes": (bytes(range(1, 256)), "cannot read"),
    "zeros": (bytes(64), "is not valid TOML"),
    "a pointer": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
        "it is a Git LFS pointer, not",
    ),
    "a web page": (b"<!DOCTYPE html>\n<html>", "it is a web page, not a file: download the file itself"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_no_toml_is_told_in_a_line(tmp_path, kind):
    content, message = WRONG[kind]
    (tmp_path / "s.toml").write_bytes(content)
    with pytest.raises(UserError, match=message) as told:
        documents.toml(tmp_path / "s.toml", "the study")
    assert str(told.value).startswith(f"cannot read the study {tmp_path}")
    assert "\n" not in str(told.value)
    assert len(str(told.value)) < 400


@pytest.mark.parametrize("name", ["gone.toml", "x" * 300 + ".toml", ""])
def test_a_file_that_cannot_be_opened_is_told(tmp_path, name):
    with pytest.raises(UserError, match="cannot read the study .*: correct its path"):
        documents.toml(tmp_path / name, "the study")


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "s.toml")
    with pytest.raises(UserError, match=r"s\.toml: it is no regular file: give the path of one$"):
        documents.toml(tmp_path / "s.toml", "the study")


def test_a_mark_before_the_text_is_no_part_of_it(tmp_path):
    (tmp_path / "s.toml").write_text("a = 9223372036854775807\nb = [[1.5, true]]", encoding="utf-8-sig")
    assert documents.toml(tmp_path / "s.toml", "it") == {"a": 2**63 - 1, "b": [[1.5, True]]}


def test_what_toml_itself_gives_as_examples_is_read(tmp_path):
    text = '[a.b]\nc = {d = [1, "e", 2026-11-26]}\n[[f]]\ng = 0xdead_beef\n[[f]]\nh = inf\n'
    (tmp_path / "s.toml").write_text(text)
    assert documents.toml(tmp_path / "s.toml", "it") == tomllib.loads(text)
