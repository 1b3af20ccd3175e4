import pytest

import embedlab


def test_public_names_come_when_first_used():
    from embedlab.lab.embeddings import EmbeddingSet

    assert embedlab.EmbeddingSet is EmbeddingSet
    assert set(embedlab.__all__) <= set(dir(embedlab))
    for name in embedlab.__all__:
        assert getattr(embedlab, name)


def test_a_public_name_never_hides_a_module():
    """A function named like its module would turn into the module after the first import."""
    from importlib.util import find_spec

    for name in embedlab.__all__:
        if not name.startswith("_"):
            assert find_spec(f"embedlab.{name}") is None, name


def test_an_unknown_name_is_told():
    with pytest.raises(AttributeError, match="has no attribute 'nope'"):
        _ = embedlab.nope
