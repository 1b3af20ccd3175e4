"""What is lent to analyses is what they ask for."""

import pytest

from embedlab.errors import UserError
from embedlab.extraction.live import LiveNetwork
from embedlab.lab.live import Live
from embedlab.lab.store import Lab
from tests.planted import embedding_set
from tests.planted_live import Planted


def asked():
    return {name for name in vars(Live) if not name.startswith("_")}


def test_networks_and_their_doubles_have_all_that_analyses_ask_for():
    own = {"model", "probe"}  # Set when it is made.
    assert asked() - own <= set(dir(LiveNetwork))
    assert asked() <= set(dir(Planted))


def test_a_lab_gives_what_was_lent_or_says_why_there_is_none(tmp_path):
    lab, planted = Lab(tmp_path / "lab"), Planted(embedding_set())
    lab.live["m", "p"] = planted
    lab.live["m", "q"] = UserError("it is no backbone: train one")
    assert lab.network("m", "p") is planted
    for probe, why in (("q", "no backbone"), ("r", "there is no network m to be run on images of r")):
        with pytest.raises(UserError, match=why):
            lab.network("m", probe)
