"""Grad-CAM says where the evidence is, as computed by hand, and leaves the network as it was."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from data_folders import picture, real_data
from PIL import Image
from torch import nn

from dr_lib.config import RunConfig
from dr_lib.data.normalization import Normalization
from dr_lib.data.transforms import EvalTransform
from dr_lib.errors import InputError
from dr_lib.evaluation.grad_cam import STRONGEST, Explanation, evidence, explain, explain_many, last_map, overlay
from dr_lib.models.heads import build_head
from dr_lib.models.trained import TrainedNetwork, new_head, new_network

PHOTOGRAPH = np.asarray(picture(3, (120, 96)))


def sized(model, side):
    return {"model": model, "image_size": side, "resize": side}


def network(own=None, **parameters):
    """Return a network in eval mode, that of ``parameters`` with random weights where ``own`` is not given."""
    config = RunConfig(**{"data_dir": "nowhere", "image_size": 64, "resize": 72} | parameters)
    torch.manual_seed(5)
    model = new_network(config) if own is None else own
    normalization = Normalization.fit("imagenet", [], config.image_size)
    return TrainedNetwork(model.eval(), new_head(config), normalization, config)


def by_hand(trained, seen, layer, score):
    """Return Grad-CAM of one square with hooks of torch's own; ``score`` makes a number of the outputs."""
    kept = {}
    module = trained.model.get_submodule(layer)
    hook = module.register_forward_hook(lambda module, given, output: kept.update(map=output))
    outputs = trained.model(trained.normalization(torch.from_numpy(seen)[None]))
    hook.remove()
    (gradient,) = torch.autograd.grad(score(outputs), kept["map"])
    weights = gradient[0].mean(dim=(1, 2))
    cam = torch.relu((weights[:, None, None] * kept["map"][0]).sum(dim=0)).detach()
    heat = F.interpolate(cam[None, None], seen.shape[:2], mode="bilinear", align_corners=False)[0, 0]
    return (heat / heat.max().clamp(min=1e-30)).numpy(), tuple(cam.shape)


class Corners(nn.Module):
    """Redness speaks for grade 3, blueness for grade 1, wherever it is; nothing ever speaks for grade 4."""

    def __init__(self):
        super().__init__()
        self.features = nn.Conv2d(3, 2, 1)
        self.rest = nn.Sequential(nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 5))
        with torch.no_grad():
            self.features.weight.copy_(torch.tensor([[1.0, -1, -1], [-1, -1, 1]])[..., None, None])
            self.features.bias.fill_(-4)
            self.rest[3].weight.zero_()
            self.rest[3].weight[3, 0] = self.rest[3].weight[1, 1] = 1

    def forward(self, images):
        return self.rest(self.features(images))


@pytest.mark.parametrize("kind", ["softmax", "coral", "corn", "regression"])
@pytest.mark.parametrize("grade", [0, 2, 4])
def test_it_is_what_gradients_and_activations_give_by_hand(kind, grade):
    trained = network(head=kind)

    def score(outputs):
        if kind == "softmax":
            return outputs[0, grade]
        worse = trained.head.worse_than(outputs)[0]
        at_least = worse[grade - 1] if grade else 1 - worse[0]
        return (at_least / (1 - at_least)).log()

    found = explain(trained, PHOTOGRAPH, grade)
    heat, places = by_hand(trained, found.seen, found.layer, score)
    assert (found.grade, found.layer, found.places, found.last_places) == (grade, "layer2", places, (2, 2))
    assert found.heat.dtype == np.float32 and found.heat.shape == (64, 64)
    # With these random weights nothing speaks for the best grade of a head that counts thresholds.
    assert found.heat.max() == (kind == "softmax" or grade > 0)
    np.testing.assert_allclose(found.heat, heat, atol=1e-4)
    if kind == "softmax":
        other, _ = by_hand(trained, found.seen, found.layer, lambda outputs: outputs[0, (grade + 1) % 5])
        assert np.abs(found.heat - other).max() > 0.1


def test_heat_is_where_the_evidence_is():
    seen = np.full((64, 64, 3), 40, np.uint8)
    seen[4:20, 6:22] = (255, 0, 0)
    seen[40:60, 44:60] = (0, 0, 255)
    trained = network(Corners(), resize=64)
    red, blue, nothing = (explain(trained, seen, grade).heat for grade in (3, 1, 4))
    assert red[4:20, 6:22].min() > 0.9 and blue[40:60, 44:60].min() > 0.9
    red[4:20, 6:22], blue[40:60, 44:60] = 0, 0
    assert red.max() < 0.1 and blue.max() < 0.1
    assert not nothing.any()


def test_many_at_once_are_what_each_is_alone():
    trained, photographs = network(), [np.asarray(picture(seed, (96, 80 + seed))) for seed in range(3)]
    for found, pixels in zip(explain_many(trained, photographs, [None, 4, 0]), photographs, strict=True):
        alone = explain(trained, pixels, found.grade)
        assert np.array_equal(found.seen, alone.seen)
        np.testing.assert_allclose(found.heat, alone.heat, atol=1e-4)
    assert explain(trained, photographs[0]).grade == trained.predicted(photographs[0])
    assert explain_many(trained, [], []) == []


def test_the_network_is_left_as_it_was():
    trained = network()
    trained.model.train()
    trained.model.layer1.requires_grad_(False)
    before = {name: value.clone() for name, value in trained.model.state_dict().items()}
    explain(trained, PHOTOGRAPH, 3)
    after = trained.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(module.training for module in trained.model.modules())
    assert all(parameter.grad is None for parameter in trained.model.parameters())
    frozen = {name.split(".")[0] for name, one in trained.model.named_parameters() if not one.requires_grad}
    assert frozen == {"layer1"}
    assert not any(module._forward_hooks or module._backward_hooks for module in trained.model.modules())
    with torch.no_grad():  # also where a caller has switched gradients off
        assert explain(trained, PHOTOGRAPH, 3).heat.max() == 1


@pytest.mark.parametrize("views", ["CenterCrop", "Flips", "TenCrop"])
def test_of_several_views_the_central_one_is_shown_and_the_answer_is_that_of_all(views):
    trained = network(test_time_augmentation=views)
    found = explain(trained, PHOTOGRAPH)
    transform = EvalTransform.of(trained.config)
    square = transform.recipe.make(PHOTOGRAPH)
    room = (len(square) - 64) // 2
    assert np.array_equal(found.seen, square[room : room + 64, room : room + 64])
    assert found.grade == trained.predicted(PHOTOGRAPH)


@pytest.mark.parametrize(
    ("model", "side", "layer", "places", "last"),
    [
        ("resnet18", 224, "layer4", (7, 7), (7, 7)),
        ("resnet18", 64, "layer2", (8, 8), (2, 2)),
        ("resnet18", 16, "relu", (8, 8), (2, 2)),
        ("resnet50", 64, "layer2", (8, 8), (2, 2)),
        ("vgg11", 64, "features.14", (8, 8), (2, 2)),
        ("densenet121", 64, "features.transition2.conv", (8, 8), (2, 2)),
        ("mobilenet_v3_small", 112, "features.8", (7, 7), (4, 4)),
        ("shufflenet_v2_x0_5", 224, "conv5", (7, 7), (7, 7)),
    ],
)
def test_it_takes_the_last_map_that_has_places_enough(model, side, layer, places, last):
    trained = network(**sized(model, side))
    found, last_places = last_map(trained.model, torch.zeros(1, 3, side, side))
    explained = explain(trained, PHOTOGRAPH, 1)
    assert (found, last_places) == (explained.layer, explained.last_places) == (layer, last)
    assert explained.places == places


def test_networks_without_a_map_are_refused_in_one_line():
    trained = network(**sized("resnet18", 64))
    transformer = TrainedNetwork(
        trained.model, trained.head, trained.normalization, trained.config.model_copy(update={"model": "vit_b_16"})
    )
    flat = network(nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 64, 5)))
    for refused, named in ((transformer, "vit_b_16"), (flat, "Sequential")):
        with pytest.raises(InputError, match=named) as raised:
            explain(refused, PHOTOGRAPH)
        assert "\n" not in str(raised.value)
    with pytest.raises(InputError, match="grade 5"):
        explain(trained, PHOTOGRAPH, 5)
    assert not any(module._forward_hooks for module in flat.model.modules())


def test_evidence_of_extreme_outputs_still_has_a_gradient():
    for kind in ("coral", "corn", "regression"):
        head = build_head(kind)
        outputs = torch.full((5, head.outputs), 60.0, requires_grad=True)
        speaks = evidence(head, outputs, torch.arange(5))
        speaks.sum().backward()
        assert speaks.isfinite().all() and outputs.grad.isfinite().all() and (outputs.grad.abs().sum(dim=1) > 0).all()


def test_the_overlay_leaves_cold_places_alone_and_the_retina_visible():
    heat = np.zeros((4, 4), np.float32)
    heat[0, 0], heat[0, 1] = 1, 0.5
    seen = np.random.default_rng(0).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    laid = overlay(Explanation(seen, heat, 2))
    assert laid.dtype == np.uint8 and np.array_equal(laid[1:], seen[1:])
    yellow = np.array([253.3, 231.1, 36.7])  # the last color of viridis as published
    np.testing.assert_allclose(laid[0, 0], (1 - STRONGEST) * seen[0, 0] + STRONGEST * yellow, atol=1)
    assert not np.array_equal(laid[0, 1], seen[0, 1])


@pytest.mark.real
def test_a_real_photograph_is_explained():
    file = sorted((real_data() / "eyepacs-1024" / "images").glob("*.jp*g"))[0]
    pixels = np.asarray(Image.open(file).convert("RGB"))
    found = explain(network(**sized("resnet18", 224)), pixels)
    assert found.seen.shape == (224, 224, 3) and found.places == (7, 7)
    assert found.heat.min() >= 0 and found.heat.max() in (0, 1)
    assert overlay(found).shape == found.seen.shape


def test_a_network_that_has_diverged_explains_nothing():
    trained = network(Corners())
    with torch.no_grad():
        trained.model.rest[3].weight.fill_(torch.inf)
    for ask in (
        trained.outputs,
        trained.predicted,
        trained.probabilities,
        lambda pixels: explain(trained, pixels, 3),  # of a grade that need not be answered first
    ):
        with pytest.raises(InputError, match="not all are finite numbers"):
            ask(PHOTOGRAPH)
