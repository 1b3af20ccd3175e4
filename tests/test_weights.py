import numpy as np
import pytest
from safetensors.numpy import save_file

from embedlab import weights
from embedlab.errors import UserError
from tests.planted import layer_weights


def test_kernels_come_in_network_order_and_norms_apart(tmp_path):
    tensors = {
        "z.weight": np.ones((2, 3, 3, 3), np.float32),
        "a.weight": np.full((4, 2, 1, 1), 2, np.float32),
        "bn.weight": np.ones(4, np.float32),
        "bn.running_mean": np.zeros(4, np.float32),
        "bn.running_var": np.ones(4, np.float32),
        "fc.weight": np.ones((5, 4), np.float32),
    }
    save_file(tensors, tmp_path / "m.safetensors", metadata={"order": "\n".join(tensors)})
    found = weights.read(tmp_path / "m.safetensors", "m")
    assert list(found.layers) == ["z", "a"]
    assert set(found.norms["bn"]) == {"weight", "running_mean", "running_var"}
    assert found.title == "m"


def test_a_broken_file_is_told(tmp_path):
    (tmp_path / "m.safetensors").write_bytes(b"\x00" * 20)
    with pytest.raises(UserError, match="cannot read .* as safetensors"):
        weights.read(tmp_path / "m.safetensors", "m")


def test_fingerprint_tells_a_changed_weight():
    assert layer_weights().fingerprint == layer_weights().fingerprint
    assert layer_weights().fingerprint != layer_weights(seed=1).fingerprint
