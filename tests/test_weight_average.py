import copy
import io

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from dr_lib.models.weights import freeze_backbone, train_mode
from dr_lib.training.optimizers import ExponentialMovingAverage, decay_after


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 5))


def walk(model, average, steps, start=0, rate=0.1):
    """Take training steps on noise; yield the state after each."""
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=rate)
    for step in range(start, start + steps):
        images = torch.randn(8, 3, 4, 4, generator=torch.Generator().manual_seed(step))
        train_mode(model)
        model(images).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        average.update_parameters(model)
        yield copy.deepcopy(model.state_dict())


def test_is_the_average_of_its_definition():
    model = network()
    average = ExponentialMovingAverage(model, 0.8)
    expected = None
    for updates, state in enumerate(walk(model, average, 60)):
        decay = min(0.8, (1 + updates) / (10 + updates))
        values = {key: value.double() for key, value in state.items()}
        expected = values if expected is None else {k: decay * expected[k] + (1 - decay) * values[k] for k in values}
    found = average.module.state_dict()
    for key, value in expected.items():
        if key == "1.num_batches_tracked":
            assert found[key] == 60 and found[key].dtype == torch.int64
        else:
            torch.testing.assert_close(found[key], value.float(), rtol=1e-5, atol=1e-7)


def test_batchnorms_statistics_and_weights_are_not_those_of_the_last_step():
    model = network()
    average = ExponentialMovingAverage(model, 0.99)
    *_, last = walk(model, average, 60)
    found = average.module.state_dict()
    for key in ("0.weight", "1.weight", "1.running_mean", "1.running_var", "4.bias"):
        assert not torch.allclose(found[key], last[key])


def test_after_its_warm_up_it_is_torchs():
    model = network()
    average, theirs = ExponentialMovingAverage(model, 0.1), AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.1))
    for _ in walk(model, average, 10):  # a decay of 0.1 is reached at once
        theirs.update_parameters(model)
    for found, expected in zip(average.module.parameters(), theirs.module.parameters(), strict=True):
        assert torch.equal(found, expected)


def test_a_short_run_is_not_held_at_its_beginning():
    assert decay_after(0, 0.9999) == 0.1
    assert decay_after(90, 0.9999) == 0.91
    assert decay_after(10**6, 0.9999) == 0.9999
    assert decay_after(10**6, 0.5) == decay_after(8, 0.5) == 0.5
    model = network()
    start = [parameter.detach().clone() for parameter in model.parameters()]
    average, stuck = (
        ExponentialMovingAverage(model, 0.9999),
        AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9999)),
    )
    for _ in walk(model, average, 100):
        stuck.update_parameters(model)
    distance = lambda network, others: sum(  # noqa: E731
        (one - other).square().sum() for one, other in zip(network.parameters(), others, strict=True)
    )
    assert distance(average.module, model.parameters()) < 0.3 * distance(stuck.module, model.parameters())
    assert distance(average.module, start) > 0.3 * distance(model, start)


def test_a_frozen_backbone_stays_bit_equal():
    model = network()
    before = copy.deepcopy(model.state_dict())
    freeze_backbone(model)
    average = ExponentialMovingAverage(model, 0.9)
    list(walk(model, average, 30))
    for key, value in average.module.state_dict().items():
        assert torch.equal(value, before[key]) != key.startswith("4.")


def test_a_checkpoint_resumes_to_the_bit():
    model = network()
    average = ExponentialMovingAverage(model, 0.99)
    list(walk(model, average, 7))
    stream = io.BytesIO()
    torch.save({"model": model.state_dict(), "average": average.state_dict()}, stream)
    list(walk(model, average, 5, start=7))

    stream.seek(0)
    saved = torch.load(stream, weights_only=True)
    again = network(seed=1)
    resumed = ExponentialMovingAverage(again, 0.99)
    again.load_state_dict(saved["model"])
    resumed.load_state_dict(saved["average"])
    list(walk(again, resumed, 5, start=7))
    for key, value in average.state_dict().items():
        assert torch.equal(resumed.state_dict()[key], value)
    fresh = ExponentialMovingAverage(again, 0.99)
    fresh.update_parameters(again)
    assert not torch.equal(fresh.module[4].weight, average.module[4].weight)


def test_the_model_goes_on_as_without_it():
    followed, alone = network(), network()
    average = ExponentialMovingAverage(followed, 0.9)
    list(walk(followed, average, 5))
    list(walk(alone, ExponentialMovingAverage(network(), 0.5), 5))
    assert all(torch.equal(a, b) for a, b in zip(followed.parameters(), alone.parameters(), strict=True))


def test_memory_format_and_number_stay():
    model = network().to(memory_format=torch.channels_last)
    average = ExponentialMovingAverage(model, 0.9)
    list(walk(model, average, 3))
    assert average.module[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert int(average.n_averaged) == 3


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu_the_number_stays_on_the_cpu():
    model = network().cuda()
    average = ExponentialMovingAverage(model, 0.9)
    for _ in range(3):
        average.update_parameters(model)
    assert average.n_averaged.device.type == "cpu" and average.module[0].weight.is_cuda
