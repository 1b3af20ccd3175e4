"""The words of ``embedlab lab``: every part has its work."""

import pytest

from embedlab.commands import cli, labs


@pytest.mark.parametrize(
    "words", [(), ("rm", "a"), ("clean",), ("pack", "x.tar"), ("unpack", "x.tar")], ids=lambda w: " ".join(w)
)
def test_the_folder_may_be_named_before_the_part_and_after_it(words, monkeypatch):
    seen = []
    for name in ("show", "rm", "clean", "pack", "unpack"):
        monkeypatch.setattr(labs, name, lambda options, name=name: seen.append((name, options.lab)) or 0)
    part = words[0] if words else "show"
    assert cli.main(["lab", "--lab", "here", *words]) == 0
    if words:
        cli.main(["lab", *words, "--lab", "here"])
        cli.main(["lab", "--lab", "there", *words, "--lab", "here"])
    assert set(seen) == {(part, "here")}
