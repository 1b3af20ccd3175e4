"""A model that Python code gives is opened, or it is said in one line why not."""

import sys

import numpy as np
import pytest
import torch

from embedlab.errors import UserError
from embedlab.networks import callables
from embedlab.networks.callables import open_callable
from embedlab.networks.embedder import PRESETS, Preprocessing

FACES = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)

NETWORK = """
import torch
from torch import nn

class Net(nn.Module):
    input_size = 8
    def __init__(self, seed=0):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.weight = nn.Parameter(torch.randn(192, 6, generator=generator))
        self.drop = nn.Dropout(0.5)
    def forward(self, x):
        return self.drop(x).flatten(1) @ self.weight

def load():
    return Net()
"""

FUNCTION = """
import numpy as np
def load():
    def embed(images):
        assert images.dtype == np.uint8
        return images.reshape(len(images), -1)[:, :7].astype(float)
    embed.preprocessing = {"size": 8}
    return embed
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write a module into the working folder, which is not on the path yet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    written = []

    def write(text, name="planted_net"):
        (tmp_path / f"{name}.py").write_text(text)
        sys.modules.pop(name, None)
        written.append(name)
        return name

    yield write
    for name in written:
        sys.modules.pop(name, None)


@pytest.fixture
def said(monkeypatch):
    lines = []
    monkeypatch.setattr(callables, "say", lambda line, **_: lines.append(line))
    return lines


def test_a_network_of_the_working_folder_is_run_as_written(module, said):
    module(NETWORK)
    embedder = open_callable("planted_net:load", "adaface")
    weight = torch.randn(192, 6, generator=torch.Generator().manual_seed(0)).numpy()
    x = (FACES[..., ::-1].astype(float) - 127.5) / 127.5
    expected = x.transpose(0, 3, 1, 2).reshape(5, -1) @ weight
    np.testing.assert_allclose(embedder.embed(FACES), expected, rtol=1e-4, atol=1e-4)
    assert (embedder.name, embedder.dimension) == ("planted_net_load", 6)
    assert embedder.preprocessing == PRESETS["adaface"].at(8)
    assert not embedder.assumed_preprocessing
    assert not said


def test_a_preprocessing_that_nobody_stated_is_assumed_and_that_is_said(module, said):
    module(NETWORK)
    embedder = open_callable("planted_net:load")
    assert embedder.preprocessing == PRESETS["insightface"].at(8)
    assert embedder.assumed_preprocessing
    assert ["'insightface' is assumed" in line for line in said] == [True]


def test_a_function_gets_uint8_images_of_the_size_it_states(module, said):
    module(FUNCTION)
    embedder = open_callable("planted_net:load", name="mine")
    assert (embedder.name, embedder.dimension, embedder.preprocessing.size) == ("mine", 7, 8)
    vectors = embedder.embed(FACES)
    assert vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors, FACES.reshape(5, -1)[:, :7])
    assert not said


def test_a_function_may_give_tensors(module):
    module(
        "import torch\ndef load():\n    return lambda x: torch.ones(len(x), 3, requires_grad=True)\n"
        "load.preprocessing = 'raw01'\n"
    )
    embedder = open_callable("planted_net:load")
    assert embedder.preprocessing == PRESETS["raw01"]
    assert embedder.embed(np.zeros((2, 112, 112, 3), np.uint8)).tolist() == [[1.0] * 3] * 2


def test_an_embedder_is_taken_as_it_is(module):
    module(
        """
from embedlab.networks.embedder import Preprocessing
class Own:
    name, preprocessing, dimension, fingerprint = "own", Preprocessing(8, "BGR"), 3, "f"
    def embed(self, images):
        return images[:, 0, 0].astype("float32")
"""
    )
    embedder = open_callable("planted_net:Own")
    assert (embedder.name, embedder.fingerprint) == ("own", "f")
    assert embedder.preprocessing == Preprocessing(8, "BGR")
    with pytest.raises(UserError, match="states its preprocessing: leave out --preprocessing"):
        open_callable("planted_net:Own", "imagenet")


def test_of_several_outputs_the_first_that_is_a_vector_is_taken(module):
    module(
        NETWORK
        + """
class Several(Net):
    def forward(self, x):
        vectors = super().forward(x)
        return {"map": x, "norm": vectors.norm(dim=1, keepdim=True), "unit": vectors[:, :, None, None]}
"""
    )
    embedder = open_callable("planted_net:Several", "imagenet")
    np.testing.assert_array_equal(
        embedder.embed(FACES), open_callable("planted_net:load", "imagenet").embed(FACES)
    )


def test_the_fingerprint_changes_with_weights_and_source_and_with_nothing_else(module):
    module(NETWORK)
    first = open_callable("planted_net:load", "imagenet").fingerprint
    assert open_callable("planted_net:load", "raw01").fingerprint == first
    module(NETWORK.replace("return Net()", "return Net(1)"), "other_net")
    assert open_callable("other_net:load", "imagenet").fingerprint != first
    module(NETWORK.replace("self.drop(x)", "self.drop(-x)"))
    assert open_callable("planted_net:load", "imagenet").fingerprint != first
    module(FUNCTION)
    second = open_callable("planted_net:load").fingerprint
    module(FUNCTION.replace("[:, :7]", "[:, 1:8]"))
    assert open_callable("planted_net:load").fingerprint != second
    module(FUNCTION + "load.fingerprint = 'weights of May'\n")
    assert open_callable("planted_net:load").fingerprint == "weights of May"


@pytest.mark.parametrize(
    "source",
    [
        "import helper\ndef load():\n    return lambda images: helper.embed(images)",
        "import functools, helper\ndef load():\n    return functools.partial(helper.embed)",
        "import helper\nfrom torch import nn\ndef load():\n"
        "    return nn.Sequential(nn.Flatten(), helper.Scale())",
    ],
)
def test_a_change_of_what_the_module_imports_is_another_fingerprint(module, source):
    helper = (
        "from torch import nn\nclass Scale(nn.Module):\n    def forward(self, x):\n        return {k} * x\n"
        "def embed(images):\n    return {k} * images.reshape(len(images), -1)[:, :7].astype(float)\n"
    )
    found = []
    for k in (2, 3, 2):
        module(helper.format(k=k), "helper")
        module(f"{source}\nload.input_size = 8")
        found.append(open_callable("planted_net:load", "imagenet").fingerprint)
    assert found[0] == found[2] != found[1]


def test_equal_source_with_other_weights_has_another_fingerprint(module, tmp_path):
    source = "from pathlib import Path\n" + NETWORK.replace(
        "return Net()", "return Net(int(Path('seed').read_text()))"
    )
    found = set()
    for seed in ("0", "1"):
        (tmp_path / "seed").write_text(seed)
        module(source)
        found.add(open_callable("planted_net:load", "imagenet").fingerprint)
    assert len(found) == 2


@pytest.mark.parametrize("spec", ["net", "net:", ":load", "a/b:load", "net:load()"])
def test_other_words_are_no_module_and_callable(spec):
    with pytest.raises(UserError, match="is no module:callable: write it as in mypkg.net:load"):
        open_callable(spec)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import no_such_thing_\n", r"planted_net cannot be imported: ModuleNotFoundError: .*line 1"),
        ("x = 1 / 0\n", r"ZeroDivisionError: division by zero \(planted_net.py, line 1\)"),
        ("def lod(): pass\n", "planted_net has no 'load': it has lod"),
        ("load = 3\n", "planted_net:load is int, and must be something to call"),
        (
            "def load():\n    return 1 / 0\n",
            r"raises when called without arguments: ZeroDivisionError.*planted_net.py, line 2",
        ),
        ("raise SystemExit(3)\n", r"planted_net cannot be imported: SystemExit: 3"),
        ("def load():\n    raise SystemExit(3)\n", "raises when called without arguments: SystemExit: 3"),
        ("def load(path):\n    return path\n", "raises when called without arguments: TypeError"),
        ("def load():\n    return 3\n", "returns int: it must return a torch.nn.Module, a function"),
        ("def load():\n    return lambda x: x\n", r"an array \(2, 112, 112, 3\) of uint8 for 2"),
        ("def load():\n    return lambda x: None\n", "gives NoneType for 2 images"),
        ("def load():\n    return lambda x: ['a', 'b']\n", "must return numbers of shape"),
        ("def load():\n    return lambda x: [[1]] * 3\n", r"gives an array \(3, 1\) of int64 for 2 images"),
        ("def load():\n    return lambda x: x.missing\n", "fails on 2 images of 112 px: AttributeError"),
        ("def load():\n    return lambda x: exit(0)\n", "fails on 2 images of 112 px: SystemExit: 0"),
        (
            "from torch import nn\nclass load(nn.Module):\n    def forward(self, x):\n        exit(0)\n",
            "fails on a batch of shape .*: SystemExit: 0",
        ),
        ("from torch import nn\nload = nn.Identity\n", r"gives \(2, 3, 112, 112\) for 2 images"),
        ("from torch.nn import Linear\ndef load():\n    return Linear(2, 2)\n", "on a batch of shape .*: R"),
        (FUNCTION.replace('{"size": 8}', '"imgnet"'), "planted_net:load: unknown preprocessing 'imgnet'"),
        (FUNCTION.replace('{"size": 8}', "7"), "unknown preprocessing 7"),
        (FUNCTION.replace('{"size": 8}', '{"sise": 8}'), "planted_net:load: preprocessing has unknown keys"),
        (
            NETWORK + "load.preprocessing = {'size': 9}\n",
            "states images of 9 px, and its network's input_size is 8",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_one_line(module, said, text, message):
    module(text)
    with pytest.raises(UserError, match=message):
        open_callable("planted_net:load")


def test_a_module_that_is_not_there_is_named(module):
    with pytest.raises(UserError, match="there is no module 'nowhere_' for nowhere_.net:load"):
        open_callable("nowhere_.net:load")


def test_an_embedder_without_a_contract_is_refused(module):
    module(
        "class Own:\n    name, preprocessing, dimension, fingerprint = 'own', 'imagenet', 3, 'f'\n"
        "    def embed(self, images):\n        return images\n"
    )
    with pytest.raises(UserError, match="returns an embedder whose preprocessing is str"):
        open_callable("planted_net:Own")


def test_vectors_that_change_their_length_are_refused(module):
    module("import numpy as np\ndef load():\n    return lambda x: np.ones((len(x), len(x)))\n")
    embedder = open_callable("planted_net:load", "raw01")
    with pytest.raises(UserError, match="vectors of 3 numbers, and before of 2"):
        embedder.embed(np.zeros((3, 112, 112, 3), np.uint8))


def test_a_function_may_work_in_the_place_of_its_argument(module):
    module(
        "import numpy as np\ndef load():\n    def embed(x):\n        x //= 2\n"
        "        return x.reshape(len(x), -1)[:, :4].astype(float) * 1e300\n    return embed\n"
    )
    images = np.full((2, 112, 112, 3), 7, np.uint8)
    # Numbers beyond 32 bits become infinite, without a warning; the extractor tells them.
    assert np.isinf(open_callable("planted_net:load", "raw01").embed(images)).all()
    assert (images == 7).all()


CONVOLUTIONS = """
import torch
from torch import nn

class Net(nn.Module):
    input_size = 8
    def __init__(self, wrapped=lambda layer: layer):
        super().__init__()
        torch.manual_seed(3)
        self.first = wrapped(nn.Conv2d(3, 4, 3))
        self.norm = nn.BatchNorm2d(4)
        self.slope = nn.PReLU(4)
        self.last = nn.Linear(4, 6)
    def forward(self, x):
        return self.last(self.slope(self.norm(self.first(x))).mean(dim=(2, 3)))

def load():
    return Net()

def half():
    return Net().bfloat16()

def parallel():
    return nn.DataParallel(Net())

def compiled():
    return torch.compile(Net(), backend="eager")

def normed():
    return Net(torch.nn.utils.parametrizations.weight_norm)

def embedder():
    from embedlab.networks.callables import open_callable
    return open_callable("planted_net:load", "raw01")

def function():
    net = Net().eval()
    return lambda images: net(torch.tensor(images).permute(0, 3, 1, 2).float())
function.preprocessing = {"size": 8}
"""


@pytest.mark.parametrize("call", ["load", "half", "parallel", "compiled", "normed", "embedder"])
def test_the_weights_of_a_live_network_are_those_that_it_computes_with(module, said, call):
    module(CONVOLUTIONS)
    found = callables.layer_weights(
        open_callable(f"planted_net:{call}", None if call == "embedder" else "raw01")
    )
    own = sys.modules["planted_net"].Net()
    tolerance = 1e-2 if call == "half" else 1e-6
    assert list(found.layers) == ["first"]
    np.testing.assert_allclose(found.layers["first"], own.first.weight.detach(), atol=tolerance)
    assert found.layers["first"].dtype == np.float32
    assert set(found.norms["norm"]) == {"weight", "bias", "running_mean", "running_var"}
    np.testing.assert_allclose(found.slopes["slope"], own.slope.weight.detach(), atol=tolerance)


def test_a_function_has_no_weights_to_read(module):
    module(CONVOLUTIONS)
    assert callables.layer_weights(open_callable("planted_net:function")) is None
