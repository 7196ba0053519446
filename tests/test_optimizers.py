import copy

import pytest
import torch
from torch import nn

from dr_lib.models.builders import build_model
from dr_lib.models.weights import freeze_backbone
from dr_lib.training.optimizers import build_optimizer, set_learning_rate


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.LayerNorm(16), nn.Linear(16, 5))


def build(model, name="sgd", **options):
    defaults = {"learning_rate": 0.1, "momentum": 0.9, "weight_decay": 0.5}
    return build_optimizer(model, name=name, **defaults | options)


def step(model, optimizer, seed=0):
    images = torch.randn(6, 3, 4, 4, generator=torch.Generator().manual_seed(seed))
    images = images.to(next(model.parameters()).dtype)
    loss = model(images).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_is_torchs_on_all_weights_by_default(name):
    # In double precision: a bias before BatchNorm has a slope of nothing but rounding, which Adam makes whole steps of.
    ours, theirs = network().double(), network().double()
    if name == "sgd":
        expected = torch.optim.SGD(theirs.parameters(), lr=0.1, momentum=0.9, weight_decay=0.5)
    else:
        expected = torch.optim.AdamW(theirs.parameters(), lr=0.1, betas=(0.9, 0.999), weight_decay=0.5)
    optimizer = build(ours, name)
    for seed in range(3):
        step(ours, optimizer, seed)
        step(theirs, expected, seed)
    for found, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        # Ours goes over the weights once where torch's default does several times, and rounds otherwise.
        torch.testing.assert_close(found, other)


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_without_a_slope_only_decay_moves_weights_and_spares_gains_and_biases(name):
    model = network()
    before = copy.deepcopy(model.state_dict())
    optimizer = build(model, name, decay_batchnorm=False)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for key, parameter in model.named_parameters():
        if key in ("0.weight", "4.weight"):
            torch.testing.assert_close(parameter, 0.95 * before[key])
        else:
            assert torch.equal(parameter, before[key])
    decaying = build(network(), name)
    for parameter in (weights := [p for group in decaying.param_groups for p in group["params"]]):
        parameter.grad = torch.zeros_like(parameter)
    decaying.step()
    assert (weights[2] < 1).all()  # BatchNorm's gamma


def test_every_weight_of_a_resnet_is_in_one_group_and_batchnorm_in_that_without_decay():
    model = build_model("resnet18")
    matrices, vectors = (group["params"] for group in build(model, decay_batchnorm=False).param_groups)
    spared = {id(p) for module in model.modules() if isinstance(module, nn.BatchNorm2d) for p in module.parameters()}
    assert {id(parameter) for parameter in vectors} == spared | {id(model.fc.bias)}
    together = [id(parameter) for parameter in [*matrices, *vectors]]
    assert sorted(together) == sorted(id(parameter) for parameter in model.parameters())


@pytest.mark.parametrize("decay_batchnorm", [True, False])
def test_a_frozen_backbone_is_left_out_and_bit_equal(decay_batchnorm):
    model = network()
    freeze_backbone(model)
    before = copy.deepcopy(model.state_dict())
    step(model, build(model, decay_batchnorm=decay_batchnorm))
    assert all(torch.equal(model.state_dict()[key], before[key]) for key in ("0.weight", "0.bias", "1.weight"))
    assert not torch.equal(model[4].weight, before["4.weight"])


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_a_checkpoint_resumes_to_the_bit(name):
    model = network()
    optimizer = build(model, name, decay_batchnorm=False)
    step(model, optimizer)
    again = copy.deepcopy(model)
    resumed = build(again, name, decay_batchnorm=False)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    step(model, optimizer, seed=1)
    step(again, resumed, seed=1)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


def test_the_learning_rate_is_set_for_all_groups():
    model = network()
    before = copy.deepcopy(model.state_dict())
    optimizer = build(model, decay_batchnorm=False)
    set_learning_rate(optimizer, 0.0)
    step(model, optimizer)
    assert all(torch.equal(parameter, before[key]) for key, parameter in model.named_parameters())


def test_other_names_are_refused():
    with pytest.raises(ValueError, match="'adam' is none of sgd, adamw"):
        build(network(), "adam")
