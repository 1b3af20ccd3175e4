import sys

import pytest
import torch

from embedlab import compute
from embedlab.errors import UserError


@pytest.fixture(autouse=True)
def _automatic():
    compute._for_cpus_alone.cache_clear()
    yield
    compute._for_cpus_alone.cache_clear()
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


def pretend(monkeypatch, platform, version):
    """Have torch be such a build, on a machine whose card it would find."""
    monkeypatch.setattr(compute.sys, "platform", platform)
    monkeypatch.setattr(compute, "version", {"torch": version}.__getitem__)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)


def test_a_build_of_torch_for_cpus_alone_is_not_loaded_to_say_so(monkeypatch):
    pretend(monkeypatch, "linux", "2.13.0+cpu")
    monkeypatch.setitem(sys.modules, "torch", None)
    assert compute.available() == ("cpu",)
    monkeypatch.delitem(sys.modules, "torch")
    assert compute.describe().startswith("cpu, ")
    assert "torch" not in sys.modules


@pytest.mark.parametrize(
    ("platform", "version"), [("linux", "2.13.0"), ("linux", "2.13.0+cu130"), ("darwin", "2.13.0+cpu")]
)
def test_any_other_build_is_asked_for_its_devices(monkeypatch, platform, version):
    pretend(monkeypatch, platform, version)
    assert compute.available()[0] == "cuda"
