import platform
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
from torch import nn

from embedlab.networks import backbones, folding, inference
from embedlab.networks.embedder import Preprocessing
from embedlab.networks.inference import embedder

SIZE = 48


def network(name="ir_se_18", size=SIZE, width=8):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return backbones.build(name, input_size=size, width=width, dimension=12).eval()


def faces(n, size=SIZE, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, size, size, 3), dtype=np.uint8)


def ready(made=None, contract=None):
    return embedder("tiny", made or network(), contract or Preprocessing(SIZE), "0" * 64, "cpu")


def plain(made, contract, images):
    with torch.inference_mode():
        return made(torch.from_numpy(contract.apply(images))).numpy()


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", ["ir_se_18", "mobilefacenet", "sphereface_20_bn"])
@pytest.mark.parametrize("channels", ["RGB", "BGR"])
def test_vectors_are_those_of_the_plain_network(name, channels):
    contract = Preprocessing(SIZE, channels=channels, mean=(100, 120, 140), std=(50, 60, 70))
    found = ready(network(name), contract).embed(faces(5))
    expected = plain(network(name), contract, faces(5))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("name", ["ir_se_18", "mobilefacenet", "se_resnet_50"])
def test_vectors_are_the_same_bits_whatever_the_batch(name, monkeypatch, two_threads):
    monkeypatch.setattr(inference, "CHUNK_PIXELS", 4 * SIZE * SIZE)
    one = ready(network(name))
    images = faces(11)
    whole = one.embed(images)
    for batch in (1, 3, 4, 10):
        parts = np.concatenate([one.embed(images[k : k + batch]) for k in range(0, 11, batch)])
        assert np.array_equal(parts, whole)
    order = np.random.default_rng(1).permutation(11)
    assert np.array_equal(one.embed(images[order]), whole[order])


def test_calls_go_to_as_many_threads_as_torch_would_use(monkeypatch, two_threads):
    monkeypatch.setattr(inference, "CHUNK_PIXELS", SIZE * SIZE)
    one = ready()
    seen, both = set(), threading.Barrier(2, timeout=30)
    whole = one._folded

    def watched(batch):
        assert len(batch) == 1
        assert torch.get_num_threads() == 1
        seen.add(threading.get_ident())
        both.wait()
        return whole(batch)

    one._folded = watched
    one.embed(faces(4))
    assert len(seen) == 2
    assert torch.get_num_threads() == 2


def test_threads_started_later_still_use_all_cores(two_threads):
    one = ready()
    one.embed(faces(60))
    found = []
    later = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    later.start()
    later.join()
    assert found == [2]


def test_a_network_of_another_maker_gets_the_images_as_they_come():
    class Mean(nn.Module):
        dimension = 3

        def __init__(self):
            super().__init__()
            self.lots = []

        def forward(self, x):
            self.lots.append(len(x))
            return x.mean((2, 3))

    other = Mean()
    one = embedder("mean", other, Preprocessing(SIZE), "0" * 64, "cpu")
    images = faces(300)
    np.testing.assert_allclose(one.embed(images), plain(Mean(), Preprocessing(SIZE), images), atol=1e-5)
    assert other.lots[:2] == [256, 44]


@pytest.mark.parametrize("channels", ["RGB", "BGR"])
def test_the_way_of_a_card_gives_the_plain_networks_vectors(channels, monkeypatch):
    monkeypatch.setattr(inference, "TRANSFER", 4)
    contract = Preprocessing(SIZE, channels=channels, mean=(100, 120, 140), std=(50, 60, 70))
    one = ready(contract=contract)
    images = faces(11)
    expected = np.concatenate([plain(one.network, contract, images[k : k + 4]) for k in range(0, 11, 4)])
    np.testing.assert_allclose(one._sent(images), expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA card")
def test_a_card_gives_the_vectors_in_bfloat16():
    images = faces(600)
    found = embedder("tiny", network(), Preprocessing(SIZE), "0" * 64, "cuda").embed(images)
    expected = plain(network(), Preprocessing(SIZE), images)
    cosine = (found * expected).sum(1) / np.linalg.norm(found, axis=1) / np.linalg.norm(expected, axis=1)
    assert cosine.min() > 0.99


@pytest.fixture
def quicker(monkeypatch):
    """A processor that is faster in bfloat16, and small networks worth it: numbers are those of any."""
    monkeypatch.setattr(inference.compute, "multiplies_bfloat16", lambda: True)
    monkeypatch.setattr(folding, "WIDE", 0)


def cosines(found, expected):
    return (found * expected).sum(1) / np.linalg.norm(found, axis=1) / np.linalg.norm(expected, axis=1)


def smooth(n):
    from PIL import Image

    return np.stack([np.asarray(Image.fromarray(one).resize((SIZE, SIZE), 3)) for one in faces(n, 8)])


def test_where_the_processor_is_faster_in_it_vectors_are_computed_in_bfloat16(quicker, two_threads):
    one, images = ready(), smooth(40)
    found, expected = one.embed(images), plain(network(), Preprocessing(SIZE), images)
    assert found.dtype == np.float32
    assert one.precision == "bfloat16"
    assert not np.allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    assert cosines(found, expected).min() > 0.999
    parts = np.concatenate([one.embed(images[k : k + 3]) for k in range(0, 40, 3)])
    assert np.array_equal(parts, found)
    assert next(one.network.parameters()).dtype == torch.float32


@pytest.mark.parametrize(
    ("most", "used"),
    [
        *[(most, True) for most in ("", "DEFAULT", "AVX512_CORE_AMX", "avx512_core_bf16")],
        *[(most, False) for most in ("AVX512_CORE", "avx512_core_vnni", "avx2")],
    ],
)
@pytest.mark.parametrize("word", ["ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"])
@pytest.mark.parametrize("there", [{"avx512_bf16"}, {"avx512_bf16", "amx_tile"}, set()])
def test_bfloat16_is_used_where_it_is_faster_and_onednn_may(monkeypatch, word, most, used, there):
    for known in ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"):
        monkeypatch.delenv(known, raising=False)
    monkeypatch.setenv(word, most)
    for name in ("avx512_bf16", "amx_tile"):
        monkeypatch.setattr(torch.cpu, f"_is_{name}_supported", lambda name=name: name in there)
    assert inference.compute.multiplies_bfloat16() == (used and bool(there))


def test_a_narrow_network_stays_in_float32(quicker, monkeypatch):
    widest = max(layer.out_channels for layer in network().modules() if isinstance(layer, torch.nn.Conv2d))
    for wide, expected in ((widest, "bfloat16"), (widest + 1, "float32")):
        monkeypatch.setattr(folding, "WIDE", wide)
        assert ready().precision == expected


def test_a_network_whose_vectors_bfloat16_would_change_stays_in_float32(quicker, monkeypatch):
    monkeypatch.setattr(folding, "CLOSE", 0.99999999)
    one = ready()
    assert one.precision == "float32"
    images = faces(5)
    np.testing.assert_allclose(one.embed(images), plain(network(), Preprocessing(SIZE), images), atol=1e-5)


def test_vectors_that_are_not_numbers_are_not_taken_for_close(quicker):
    made = network()
    next(made.parameters()).data[0] = float("nan")
    assert ready(made).precision == "float32"


def test_the_network_stays_as_it_was():
    made = network()
    one = ready(made)
    one.embed(faces(2))
    assert one.network is made
    assert any(isinstance(module, nn.BatchNorm2d) for module in made.modules())
    assert one.dimension == 12


def test_importing_the_module_loads_no_torch():
    code = "import sys, embedlab.networks.inference; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("size", [16, 32, 48, 112, 144, 320])
def test_batches_are_whole_numbers_of_calls(size):
    one = ready(network(size=size, width=1), Preprocessing(size))
    calls = []
    called = one._folded
    one._folded = lambda x: calls.append(len(x)) or called(x[:1]).expand(len(x), -1)
    one.embed(np.zeros((one.usual_batch, size, size, 3), np.uint8))
    assert sum(calls) == one.usual_batch
    assert len(set(calls)) == 1
    assert len(calls) >= 8


FAULTS = """
import resource, sys
import numpy as np
from embedlab import compute
from embedlab.networks import backbones
from embedlab.networks.embedder import Preprocessing
from embedlab.networks.inference import embedder

if sys.argv[1] == "given back":
    compute.keep_memory = lambda: None
network = backbones.build("ir_se_18", input_size=32, width=16)
one = embedder("x", network, Preprocessing(32), "0" * 64, "cpu")
images = np.zeros((512, 32, 32, 3), np.uint8)
one.embed(images)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3):
    one.embed(images)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def test_feature_maps_are_written_to_memory_that_was_there():
    if platform.libc_ver()[0] != "glibc":
        pytest.skip("the C library is not glibc")
    kept, given_back = (
        int(subprocess.run([sys.executable, "-c", FAULTS, way], capture_output=True, check=True).stdout)
        for way in ("kept", "given back")
    )
    assert kept < 3_000
    assert given_back > 10_000
