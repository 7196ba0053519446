"""Learning rates agree with torch's schedulers, step by step."""

import warnings

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, OneCycleLR, SequentialLR

from dr_lib.training.schedules import learning_rate_at, scaled_learning_rate


def rates(total_steps, **options):
    return [learning_rate_at(step, total_steps=total_steps, base=0.3, **options) for step in range(total_steps)]


def torchs(total_steps, build):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.3, momentum=0.9)
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SequentialLR calls its parts in a way that torch deprecates
        scheduler = build(optimizer)
        for _ in range(total_steps):
            found.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            if len(found) < total_steps:  # OneCycleLR refuses a step more
                scheduler.step()
    return found


@pytest.mark.parametrize("total_steps", [1, 2, 7, 400])
def test_cosine_is_torchs(total_steps):
    expected = torchs(total_steps, lambda optimizer: CosineAnnealingLR(optimizer, total_steps))
    assert rates(total_steps, schedule="cosine") == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("total_steps", [1, 2, 3, 4, 5, 10, 37, 400])
def test_one_cycle_is_torchs(total_steps):
    expected = torchs(total_steps, lambda optimizer: OneCycleLR(optimizer, 0.3, total_steps, cycle_momentum=False))
    assert rates(total_steps, schedule="onecycle") == pytest.approx(expected, rel=1e-9)


def test_one_cycle_climbs_and_falls_to_next_to_nothing():
    found = rates(100, schedule="onecycle")
    assert found[0] == pytest.approx(0.3 / 25) and found[-1] == pytest.approx(0.3 / 25 / 1e4)
    assert max(found) == found[29] == pytest.approx(0.3)


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_warm_up_is_torchs_linear_one_before_the_schedule(schedule):
    def build(optimizer):
        climb = LinearLR(optimizer, 1 / 20, total_iters=19)
        rest = CosineAnnealingLR(optimizer, 80) if schedule == "cosine" else LinearLR(optimizer, 1.0)
        return SequentialLR(optimizer, [climb, rest], [20])

    found = rates(100, schedule=schedule, warmup_steps=20)
    assert found == pytest.approx(torchs(100, build), rel=1e-9)
    assert found[19] == found[20] == 0.3
    assert found[0] == pytest.approx(0.3 / 20)


def test_constant_and_a_warm_up_that_is_longer_than_the_run():
    assert rates(5, schedule="constant") == [0.3] * 5
    assert rates(4, schedule="cosine", warmup_steps=8) == pytest.approx([0.0375, 0.075, 0.1125, 0.15])
    assert rates(4, schedule="cosine", warmup_steps=4)[-1] == 0.3


def test_what_cannot_be_is_refused():
    for step in (-1, 10):
        with pytest.raises(ValueError, match="none of the 10"):
            learning_rate_at(step, total_steps=10, base=0.1, schedule="constant")
    with pytest.raises(ValueError, match="warms up by itself"):
        rates(10, schedule="onecycle", warmup_steps=2)
    with pytest.raises(ValueError, match="'step' is none of constant, cosine, onecycle"):
        rates(10, schedule="step")
    with pytest.raises(ValueError, match="'square' is none of none, linear, sqrt"):
        scaled_learning_rate(0.1, 64, 256, "square")


def test_rules_of_scaling():
    # NVIDIA's ResNet v1.5: 0.256 for 256, by the linear rule; Goyal et al. 2017: 0.1 for 256, 3.2 for 8192.
    assert scaled_learning_rate(0.256, 1024, 256, "linear") == pytest.approx(1.024)
    assert scaled_learning_rate(0.1, 8192, 256, "linear") == pytest.approx(3.2)
    assert scaled_learning_rate(0.1, 8192, 256, "sqrt") == pytest.approx(0.1 * 32**0.5)
    assert scaled_learning_rate(0.1, 16, 64, "sqrt") == pytest.approx(0.05)
    assert scaled_learning_rate(0.1, 16, 64, "none") == 0.1
    for rule in ("none", "linear", "sqrt"):
        assert scaled_learning_rate(0.001, 64, 64, rule) == 0.001


def test_linear_scaling_moves_as_far_and_sqrt_scaling_as_noisily():
    gradients = torch.randn(4096, 64, generator=torch.Generator().manual_seed(0)) + 0.1  # of steps, of photographs
    for rule, keeps in (("linear", "mean"), ("sqrt", "std")):
        small = 0.1 * gradients[:, :4].mean(dim=1)
        large = scaled_learning_rate(0.1, 64, 4, rule) * gradients.mean(dim=1)
        per_photograph = {"mean": (small.mean() / 4, large.mean() / 64), "std": (small.std(), large.std())}[keeps]
        torch.testing.assert_close(*per_photograph, rtol=0.05, atol=0)
