"""A request opens the images it is about."""

import pytest

from embedlab import request
from embedlab.errors import UserError
from embedlab.request import Request
from embedlab.store import Lab


def test_no_data_named_is_none(tmp_path):
    assert request.given_data(Request(Lab(tmp_path))) is None


def test_a_data_set_that_is_not_drawn_is_named_with_those_that_are(tmp_path, monkeypatch):
    lab = Lab(tmp_path / "lab")
    lab.data.mkdir(parents=True)
    (lab.data / "highres_ids.txt").write_text("")
    monkeypatch.setattr(request, "embedded_data", lambda asked: asked.lab.data)
    with pytest.raises(UserError, match=r"unknown probe 'lfw': the data sets in .* are highres"):
        request.embedded_dataset(Request(lab), "lfw")
