"""What learns is made as the recipe says, from the models it names, and comes back bit by bit."""

import pytest
import torch
from torch import nn

from embedlab.errors import UserError
from embedlab.lab.store import Lab
from embedlab.networks import backbones, checkpoints
from embedlab.networks.blocks import Subsample
from embedlab.networks.checkpoints import Record
from embedlab.networks.embedder import Preprocessing
from embedlab.networks.inference import embedder
from embedlab.networks.sampled import Sampled
from embedlab.ranks import Ranks
from embedlab.training import learner
from embedlab.training.distributed import Slice
from embedlab.training.recipe import Recipe


def tiny(**changes) -> Recipe:
    values = {"data": "lowres", "input_size": 16, "width": 8, "dimension": 4, "scale": 8.0, "margin": 0.1}
    return Recipe(**(values | changes))


@pytest.fixture
def lab(tmp_path) -> Lab:
    return Lab(tmp_path / "lab")


@pytest.fixture(autouse=True)
def generator():
    with torch.random.fork_rng(devices=[]):
        yield


def model(lab, name, channels="RGB", **changes) -> None:
    values = {"input_size": 16, "width": 8, "dimension": 4} | changes
    network = backbones.build("ir_se_18", **values)
    record = Record(
        name,
        {},
        Preprocessing(values["input_size"], channels),
        {},
        0,
        "",
        0,
        [],
        [],
        {},
        0,
        "cpu",
        0.0,
        0.0,
        {},
    )
    checkpoints.save(lab, network, record)


def stepped(lab, recipe, steps=3):
    made = learner.make(lab, recipe, 6, "cpu")
    draw = torch.Generator().manual_seed(1)
    for step in range(steps):
        x, labels = torch.randn(4, 3, 16, 16, generator=draw), torch.tensor([0, 1, 2, 5])
        vectors = made.embed(x)
        loss = made.score(vectors, labels, step=step)
        if made.read is not None:
            loss = loss + made.read(vectors, torch.tensor([8, 16, 16, 12]), recipe.adversarial)
        made.optimiser.zero_grad()
        loss.backward()
        made.optimiser.step()
    return made


def test_norm_layers_slopes_and_biases_do_not_decay(lab):
    made = learner.make(lab, tiny(weight_decay=0.5), 3, "cpu")
    decayed = {id(p) for g in made.optimiser.param_groups if g["weight_decay"] == 0.5 for p in g["params"]}
    for name, parameter in made.network.named_parameters():
        assert (id(parameter) in decayed) == (parameter.ndim > 1), name
    assert id(made.head.weight) in decayed
    count = sum(len(group["params"]) for group in made.optimiser.param_groups)
    assert count == len([*made.network.parameters(), *made.head.parameters()])


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"head": "adaface"},
        {"head": "derivenet"},
        {"sample_rate": 0.7, "head": "softmax"},
        {"adversarial": 0.5},
        {"adversarial": 0.5, "sample_rate": 0.7},
    ],
)
def test_weights_momentum_and_statistics_come_back_bit_by_bit(lab, changes):
    saved, restored = stepped(lab, tiny(**changes)), learner.make(lab, tiny(seed=1, **changes), 6, "cpu")
    before = saved.tensors()
    restored.restore(before)
    after = restored.tensors()
    assert before.keys() == after.keys()
    assert any(name.startswith("momentum.network.body") for name in before)
    assert any("momentum" in name and "head" in name for name in before)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_momentum_lies_in_memory_as_its_parameter_does(lab):
    restored = learner.make(lab, tiny(), 6, "cpu")
    restored.restore(stepped(lab, tiny()).tensors())
    for parameter in restored.network.parameters():
        assert restored.optimiser.state[parameter]["momentum_buffer"].stride() == parameter.stride()


def test_a_sampled_head_is_made_below_a_rate_of_one(lab):
    assert isinstance(learner.make(lab, tiny(sample_rate=0.5), 6, "cpu").head, Sampled)
    assert not isinstance(learner.make(lab, tiny(), 6, "cpu").head, Sampled)


@pytest.mark.parametrize("rate", [1.0, 0.7])
def test_clipping_shortens_the_gradient_over_network_and_head(lab, rate):
    made = stepped(lab, tiny(sample_rate=rate), steps=1)
    loss = made.score(made.embed(torch.randn(4, 3, 16, 16)), torch.tensor([0, 1, 2, 5]), step=1)
    made.optimiser.zero_grad()
    loss.backward()

    def length():
        return torch.linalg.vector_norm(torch.cat([p.grad.flatten() for p in made.parameters()]))

    before = length()
    torch.testing.assert_close(made.clip(0.01), before)
    assert length() <= 0.0101


def test_frozen_layers_are_out_of_the_optimiser_and_keep_their_statistics(lab):
    model(lab, "first")
    made = learner.make(lab, tiny(initial="first", trained="output", dropout=0.25), 6, "cpu")
    held = {id(p) for group in made.optimiser.param_groups for p in group["params"]}
    for name, parameter in made.network.named_parameters():
        assert (id(parameter) in held) == name.startswith("output_layer"), name
    for name, module in made.network.named_modules():
        assert module.training == name.startswith("output_layer"), name
    assert [m.p for m in made.network.modules() if isinstance(m, nn.Dropout)] == [0.25]
    nothing = learner.make(lab, tiny(initial="first", trained="none"), 6, "cpu")
    assert nothing.parameters() == list(nothing.head.parameters())
    assert not any(module.training for module in nothing.network.modules())


def test_a_network_without_output_layers_cannot_train_them():
    with pytest.raises(UserError, match='trained = "output", and the network has no layers'):
        learner.freeze(backbones.build("se_resnet_50", input_size=16, width=8, dimension=256), "output")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"width": 16}, "model first has width 8, not 16"),
        ({"input_size": 32, "dimension": 8}, "input_size 16, not 32; dimension 4, not 8"),
        ({"backbone": "ir_18"}, "backbone 'ir_se_18', not 'ir_18'"),
    ],
)
def test_a_model_that_does_not_fit_the_recipe_is_told_apart(lab, changes, said):
    model(lab, "first")
    with pytest.raises(UserError, match=said):
        learner.make(lab, tiny(initial="first", **changes), 6, "cpu")


def test_a_missing_model_is_named(lab):
    with pytest.raises(UserError, match="no checkpoint of model 'first'"):
        learner.origin(lab, tiny(initial="first"))


def test_parts_make_a_fused_network_of_the_largest_input(lab):
    model(lab, "a")
    model(lab, "b", input_size=32)
    recipe = tiny(parts="a+b", input_size=32, shrink="0+8")
    network = learner.make_network(lab, recipe)
    assert (network.input_size, network.dimension, network.shrink) == (32, 4, (0, 8))
    with pytest.raises(UserError, match=r"parts a\+b take images of up to 32 px, and input_size is 16"):
        learner.make_network(lab, tiny(parts="a+b"))


def test_images_are_prepared_as_for_the_model_that_training_begins_from(lab):
    model(lab, "a", channels="BGR", input_size=32)
    model(lab, "b")
    assert learner.contract(lab, tiny(initial="a", input_size=32)) == Preprocessing(32, "BGR")
    assert learner.contract(lab, tiny()) == Preprocessing(16)
    with pytest.raises(UserError, match="the models a and b take images prepared in different ways"):
        learner.contract(lab, tiny(parts="a+b"))


@pytest.mark.parametrize("world", [1, 2])
def test_networks_are_placed_where_they_run_and_graphs_are_for_one_process(lab, monkeypatch, world):
    placed, compiled = [], []
    monkeypatch.setattr(Subsample, "place", lambda _, device: placed.append(device))
    monkeypatch.setattr(
        learner.compiling, "compiled", lambda network, _, *, alone: compiled.append(alone) or network
    )
    for kind in ("averaging", "synchronised"):
        monkeypatch.setattr(learner.distributed, kind, lambda network, *_: network)
    recipe = tiny(compiled=True)
    made = learner.make(lab, recipe, 3, "cpu")
    assert set(placed) == {"cpu"}
    learner.readied(made, recipe, "cpu", Ranks(0, world), Slice(world))
    assert compiled == [world == 1]
    placed.clear()
    embedder("m", made.network, Preprocessing(16), "0" * 64, "cpu")
    assert set(placed) == {"cpu"}
