import pytest

from embedlab import compute
from embedlab.errors import UserError


@pytest.fixture(autouse=True)
def _automatic():
    yield
    compute.choose("auto")


def test_the_cpu_is_always_there():
    assert compute.available()[-1] == "cpu"
    compute.choose("cpu")
    assert compute.device() == "cpu"
    assert compute.describe().startswith("cpu, ")


def test_auto_takes_the_best():
    compute.choose("auto")
    assert compute.device() == compute.available()[0]


def test_an_unknown_device_is_told():
    with pytest.raises(UserError, match="unknown device 'tpu': choose one of auto, cpu"):
        compute.choose("tpu")


def test_a_missing_device_is_told(monkeypatch):
    monkeypatch.setattr(compute, "available", lambda: ("cpu",))
    with pytest.raises(UserError, match="'cuda' is not available here: use --device auto"):
        compute.choose("cuda")
