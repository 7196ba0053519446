"""Losses agree with torch, torchvision, and the formulas of the papers written out plainly."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.ops import sigmoid_focal_loss

from dr_lib.models.heads import build_head
from dr_lib.models.losses import coral_loss, corn_loss, cross_entropy, distance_loss, grade_shares, weighted_mean

WEIGHTS = torch.tensor([1.0, 10.5, 4.9, 29.6, 35.6])
ONES = torch.ones(5)


def batch(outputs, n=40, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(n, outputs, generator=generator), torch.randint(0, 5, (n,), generator=generator)


def squared_error(outputs, targets, weights):
    return distance_loss(outputs, targets, weights, "squared_error")


def smooth_l1(outputs, targets, weights):
    return distance_loss(outputs, targets, weights, "smooth_l1")


def focal(outputs, targets, weights):
    return cross_entropy(outputs, targets, weights, focal_gamma=2.0)


def smoothed(outputs, targets, weights):
    return cross_entropy(outputs, targets, weights, label_smoothing=0.1)


ALL = [
    (cross_entropy, 5),
    (smoothed, 5),
    (focal, 5),
    (coral_loss, 4),
    (corn_loss, 4),
    (squared_error, 1),
    (smooth_l1, 1),
]
every_loss = pytest.mark.parametrize(("loss", "outputs"), ALL, ids=lambda value: getattr(value, "__name__", ""))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_is_torchs_to_the_bit(smoothing):
    logits, grades = batch(5)
    expected = nn.CrossEntropyLoss(WEIGHTS, label_smoothing=smoothing)(logits, grades)
    assert torch.equal(cross_entropy(logits, grades, WEIGHTS, label_smoothing=smoothing), expected)


@every_loss
@pytest.mark.parametrize("weights", [ONES, WEIGHTS], ids=["alike", "weighted"])
def test_shares_that_are_one_grades_are_that_grade(loss, outputs, weights):
    logits, grades = batch(outputs)
    torch.testing.assert_close(loss(logits, F.one_hot(grades, 5), weights), loss(logits, grades, weights))


@every_loss
def test_a_photograph_of_weight_three_counts_as_three(loss, outputs):
    logits, grades = batch(outputs)
    weights = torch.tensor([1, 3, 2, 5, 4])
    repeated = torch.repeat_interleave(torch.arange(len(grades)), weights[grades])
    expected = loss(logits[repeated], grades[repeated], ONES)
    if loss is smoothed:  # torch weighs the evenly spread part by every grade's weight, whatever the true one
        expected = nn.CrossEntropyLoss(weights.float(), label_smoothing=0.1)(logits, grades)
    torch.testing.assert_close(loss(logits, grades, weights.float()), expected)
    assert not torch.isclose(loss(logits, grades, ONES), expected)


@every_loss
def test_a_mixed_photograph_costs_the_mix(loss, outputs):
    logits, _ = batch(outputs, n=1)
    one, other = (loss(logits, torch.tensor([grade]), ONES) for grade in (1, 4))
    mixed = loss(logits, torch.tensor([[0, 0.3, 0, 0, 0.7]]), ONES)
    # CORN's is a mean over the questions asked: two of grade 1, four of grade 4.
    few, many = (0.3 * 2, 0.7 * 4) if loss is corn_loss else (0.3, 0.7)
    torch.testing.assert_close(mixed, (few * one + many * other) / (few + many))


@every_loss
@pytest.mark.parametrize("n", [1, 7])
def test_under_autocast_all_is_float32(loss, outputs, n):
    logits, grades = batch(outputs, n)
    halved = logits.bfloat16().requires_grad_()
    shares = torch.softmax(torch.randn(n, 5, generator=torch.Generator().manual_seed(1)), dim=1)
    for targets in (grades, shares):
        expected = loss(logits.bfloat16().float(), targets, WEIGHTS)
        with torch.autocast("cpu", torch.bfloat16):
            found = loss(halved, targets, WEIGHTS)
        assert found.dtype == torch.float32 and found.ndim == 0
        assert torch.equal(found, expected)
        found.backward()
    assert halved.grad.isfinite().all()


@pytest.mark.parametrize(("loss", "outputs"), [case for case in ALL if case[0] is not smoothed])
def test_what_is_far_off_costs_much_and_nothing_overflows(loss, outputs):
    right = torch.full((1, outputs), -200.0) if outputs > 1 else torch.zeros(1, 1)
    right[0, 0] = 200 if outputs == 5 else right[0, 0]
    wrong = -right if outputs > 1 else torch.full((1, 1), 200.0)
    costs = []
    for logits in (right, wrong):
        logits.requires_grad_()
        cost = loss(logits, torch.tensor([0]), WEIGHTS)
        cost.backward()
        assert logits.grad.isfinite().all()
        costs.append(cost.item())
    assert costs[0] < 1e-6 and costs[1] > 100


def test_targets_of_other_sizes_are_refused():
    logits, grades = batch(5)
    with pytest.raises(ValueError, match="batch_size"):
        cross_entropy(logits, grades[:-1], ONES)
    with pytest.raises(RuntimeError, match="must match"):
        coral_loss(logits[:, :4], grades[:-1], ONES)


# Focal loss


def test_focal_loss_of_two_classes_is_torchvisions():
    logit, truth = batch(1)[0][:, 0], (batch(1)[1] > 2).long()
    alpha, gamma = 0.25, 2.0
    weights = torch.tensor([1 - alpha, alpha])
    ours = cross_entropy(torch.stack([torch.zeros_like(logit), logit], dim=1), truth, weights, focal_gamma=gamma)
    theirs = sigmoid_focal_loss(logit, truth.float(), alpha=alpha, gamma=gamma, reduction="sum")
    torch.testing.assert_close(ours, theirs / weights[truth].sum())  # ours is the mean that weighs as alpha does


def test_focal_loss_by_its_formula():
    logits, grades = batch(5)
    probability = torch.softmax(logits.double(), dim=1)[torch.arange(len(grades)), grades].numpy()
    weight = WEIGHTS[grades].numpy()
    expected = (-weight * (1 - probability) ** 1.5 * np.log(probability)).sum() / weight.sum()
    assert cross_entropy(logits, grades, WEIGHTS, focal_gamma=1.5).item() == pytest.approx(expected, rel=1e-5)


def test_without_focus_the_focal_loss_is_cross_entropy():
    logits, grades = batch(5)
    nearly = cross_entropy(logits, grades, WEIGHTS, label_smoothing=0.1, focal_gamma=1e-9)
    torch.testing.assert_close(nearly, cross_entropy(logits, grades, WEIGHTS, label_smoothing=0.1))


def test_focusing_plays_down_what_is_easy():
    easy, hard = torch.tensor([[4.0, 0, 0, 0, 0]]), torch.tensor([[0.0, 4, 0, 0, 0]])
    grade = torch.tensor([0])
    ratio = lambda gamma: (  # noqa: E731
        cross_entropy(hard, grade, ONES, focal_gamma=gamma) / cross_entropy(easy, grade, ONES, focal_gamma=gamma)
    )
    assert ratio(2.0) > 100 * ratio(0.0)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_focal_loss_has_a_slope_where_a_grade_is_certain(gamma):
    logits = torch.tensor([[60.0, 0, 0, 0, 0]], requires_grad=True)
    cross_entropy(logits, torch.tensor([0]), ONES, focal_gamma=gamma).backward()
    assert logits.grad.isfinite().all()


# Grades that have an order


def test_the_example_in_coral_pytorchs_documentation():
    logits = torch.tensor([[2.1, 1.8, -2.1, -1.8], [1.9, -1.0, -1.5, -1.3], [1.9, 1.8, 1.7, 1.6]])
    assert coral_loss(logits, torch.tensor([2, 1, 4]), ONES).item() == pytest.approx(0.6920, abs=5e-5)


def test_the_example_in_coral_pytorchs_documentation_of_corn():
    torch.manual_seed(123)
    photographs, layer = torch.rand(8, 99), nn.Linear(99, 4)
    grades = torch.tensor([0, 1, 2, 2, 2, 3, 4, 4])
    assert corn_loss(layer(photographs), grades, ONES).item() == pytest.approx(0.7127, abs=5e-5)


def test_coral_loss_by_its_formula():
    logits, grades = batch(4)
    logits.requires_grad_()
    levels = torch.tensor([[1.0] * grade + [0.0] * (4 - grade) for grade in grades.tolist()])
    each = -(F.logsigmoid(logits) * levels + (F.logsigmoid(logits) - logits) * (1 - levels)).sum(dim=1)
    expected = (WEIGHTS[grades] * each).sum() / WEIGHTS[grades].sum()
    found = coral_loss(logits, grades, WEIGHTS)
    torch.testing.assert_close(found, expected)
    slopes = (torch.autograd.grad(loss, logits)[0] for loss in (found, expected))
    torch.testing.assert_close(*slopes)


def test_corn_loss_by_its_subsets():
    logits, grades = batch(4)
    logits.requires_grad_()
    total, asked = 0.0, 0.0
    for k in range(4):
        subset = grades > k - 1
        weight = WEIGHTS[grades[subset]]
        answers, truth = torch.sigmoid(logits[subset, k].double()), (grades[subset] > k).double()
        total = total - (weight * (truth * answers.log() + (1 - truth) * (1 - answers).log())).sum()
        asked += weight.sum()
    found = corn_loss(logits, grades, WEIGHTS)
    torch.testing.assert_close(found, (total / asked).float())
    slopes = (torch.autograd.grad(loss, logits)[0] for loss in (found, total / asked))
    torch.testing.assert_close(*slopes)


def test_corn_asks_a_photograph_of_grade_0_one_question():
    logits = torch.zeros(1, 4, requires_grad=True)
    corn_loss(logits, torch.tensor([0]), ONES).backward()
    assert logits.grad[0].tolist() == [0.5, 0, 0, 0]


@pytest.mark.parametrize(("loss", "reference"), [(squared_error, F.mse_loss), (smooth_l1, F.smooth_l1_loss)])
def test_distances_are_torchs(loss, reference):
    outputs, grades = batch(1)
    torch.testing.assert_close(loss(outputs, grades, ONES), reference(outputs[:, 0], grades.float()))


def test_a_squared_distance_pulls_towards_the_mixed_grade():
    outputs = torch.tensor([[1.0]], requires_grad=True)
    squared_error(outputs, torch.tensor([[0.5, 0, 0, 0, 0.5]]), ONES).backward()
    assert outputs.grad.item() == pytest.approx(2 * (1.0 - 2.0))


def test_shares_and_weighted_mean():
    assert grade_shares(torch.tensor([2, 0])).tolist() == [[0, 0, 1, 0, 0], [1, 0, 0, 0, 0]]
    given = torch.tensor([[0.5, 0.5, 0, 0, 0]], dtype=torch.float64)
    assert torch.equal(grade_shares(given), given.float())
    costs, grades = torch.rand(30, 5), batch(1, 30)[1]
    expected = np.average(costs[torch.arange(30), grades].numpy(), weights=WEIGHTS[grades].numpy())
    assert weighted_mean(costs, grades, WEIGHTS).item() == pytest.approx(expected, rel=1e-6)


def batch_of(kind, mixed, size=23):
    generator = torch.Generator().manual_seed(size)
    head = build_head(kind, class_weights=[1.0, 10.565, 4.906, 29.59, 35.55])
    outputs = torch.randn(size, head.outputs, generator=generator, requires_grad=True)
    grades = torch.multinomial(torch.tensor([0.74, 0.07, 0.15, 0.02, 0.02]), size, True, generator=generator)
    return head, outputs, torch.lerp(grade_shares(grades), grade_shares(grades.roll(1)), 0.3) if mixed else grades


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("kind", ["softmax", "coral", "corn", "regression"])
def test_parts_of_a_batch_make_its_loss_and_gradient_by_their_weights(kind, mixed):
    """Several processes share a batch so, and an epoch's loss is that of its steps whatever their size."""
    head, outputs, targets = batch_of(kind, mixed)
    whole = head.loss(outputs, targets)
    (expected,) = torch.autograd.grad(whole, outputs)
    parts = [(head.loss(*part), head.weight(part[1])) for part in zip(outputs.split(7), targets.split(7), strict=True)]
    total = sum(weight for _, weight in parts)
    torch.testing.assert_close(total, head.weight(targets))
    together = sum(loss * (weight / total) for loss, weight in parts)
    torch.testing.assert_close(together, whole)
    torch.testing.assert_close(torch.autograd.grad(together, outputs)[0], expected)
