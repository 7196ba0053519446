"""Whatever the head, outputs become probabilities and grades that agree with each other and with its paper."""

import io

import numpy as np
import pytest
import torch
from sklearn.metrics import cohen_kappa_score
from torch import nn

from dr_lib.models.heads import HALF_WAY, CoralLinear, build_head, final_layer, matching_cut_points
from dr_lib.models.losses import grade_shares
from dr_lib.models.weights import freeze_backbone, head

KINDS = ["softmax", "coral", "corn", "regression"]
GRADES = torch.arange(5)


def perfect_outputs(kind):
    """Return what a network that is sure and right answers to a photograph of each grade."""
    if kind == "softmax":
        return 20 * torch.eye(5)
    if kind == "regression":
        return GRADES[:, None].float()
    return torch.where(GRADES[:, None] > torch.arange(4), 20.0, -20.0)


def some_outputs(kind, n=200, seed=0):
    return 3 * torch.randn(n, build_head(kind).outputs, generator=torch.Generator().manual_seed(seed))


def graded_features(n, seed, noise=0.5):
    """Return features (n, 3) that tell a hidden severity, and grades at the uneven shares of screening."""
    rng = np.random.default_rng(seed)
    grades = rng.choice(5, n, p=[0.6, 0.1, 0.18, 0.07, 0.05])
    severity = np.sqrt(grades) + noise * rng.normal(size=n)
    features = np.stack([severity, severity**2, rng.normal(size=n)], axis=1)
    return torch.from_numpy(features).float(), torch.from_numpy(grades)


def trained(kind, features, grades, steps=400):
    torch.manual_seed(0)
    layer, meaning = final_layer(kind, features.shape[1]), build_head(kind)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.05)
    for _ in range(steps):
        loss = meaning.loss(layer(features), grades)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        meaning.fit(layer(features), grades)
    return layer, meaning


@pytest.mark.parametrize("kind", KINDS)
def test_perfect_outputs_give_perfect_grades_at_no_loss(kind):
    meaning, outputs = build_head(kind), perfect_outputs(kind)
    assert torch.equal(meaning.predicted(outputs), GRADES)
    assert torch.equal(meaning.probabilities(outputs).argmax(dim=1), GRADES)
    assert meaning.loss(outputs, GRADES) < 1e-6
    assert meaning.loss(outputs.flip(0), GRADES) > 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [1, 200])
def test_probabilities_are_probabilities(kind, n):
    meaning, outputs = build_head(kind), some_outputs(kind, n)
    for given in (outputs, outputs.bfloat16()):
        probabilities = meaning.probabilities(given)
        assert probabilities.dtype == torch.float64 and probabilities.shape == (n, 5)
        assert (probabilities >= 0).all()
        torch.testing.assert_close(probabilities.sum(dim=1), torch.ones(n, dtype=torch.float64), rtol=0, atol=1e-14)
        assert meaning.predicted(given).shape == (n,) and meaning.predicted(given).dtype == torch.int64


@pytest.mark.parametrize("kind", KINDS)
def test_the_answer_is_the_likeliest_or_the_median_grade(kind):
    meaning, outputs = build_head(kind), some_outputs(kind)
    probabilities, predicted = meaning.probabilities(outputs).numpy(), meaning.predicted(outputs).numpy()
    median = (probabilities.cumsum(axis=1) < 0.5).sum(axis=1)
    expected = probabilities.argmax(axis=1) if kind == "softmax" else median
    assert np.array_equal(predicted, expected)
    assert len(set(predicted)) == 5


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_learns_an_order_and_not_from_noise(kind):
    (features, grades), (unseen, truth) = graded_features(1500, 0), graded_features(1500, 1)
    for told, tested, least, most in ((grades, truth, 0.65, 1.0), (grades.roll(1), truth.roll(1), -0.1, 0.1)):
        layer, meaning = trained(kind, features, told)
        kappa = cohen_kappa_score(tested, meaning.predicted(layer(unseen).detach()), weights="quadratic")
        assert least < kappa < most


@pytest.mark.parametrize("kind", KINDS)
def test_class_weights_and_mixed_grades_reach_the_loss(kind):
    outputs, grades = some_outputs(kind, 20), torch.arange(20) % 5
    weights = torch.tensor([1, 4, 2, 3, 5])
    repeated = torch.repeat_interleave(torch.arange(20), weights[grades])
    plain, weighted = build_head(kind), build_head(kind, class_weights=weights.numpy())
    expected = plain.loss(outputs[repeated], grades[repeated])
    torch.testing.assert_close(weighted.loss(outputs, grades), expected)
    torch.testing.assert_close(weighted.loss(outputs, grade_shares(grades)), expected)
    assert torch.equal(weighted.probabilities(outputs), plain.probabilities(outputs))


def test_options_reach_the_loss():
    outputs, grades = some_outputs("softmax"), torch.arange(200) % 5
    plain = build_head("softmax").loss(outputs, grades)
    assert torch.equal(plain, nn.functional.cross_entropy(outputs, grades))
    smoothed = nn.functional.cross_entropy(outputs, grades, label_smoothing=0.1)
    assert torch.equal(build_head("softmax", label_smoothing=0.1).loss(outputs, grades), smoothed)
    assert build_head("softmax", focal_gamma=2.0).loss(outputs, grades) < plain
    one = some_outputs("regression")
    robust = build_head("regression", regression_loss="smooth_l1").loss(one, grades)
    torch.testing.assert_close(robust, nn.functional.smooth_l1_loss(one[:, 0], grades.float()))


@pytest.mark.parametrize("kind", KINDS)
def test_a_checkpoint_brings_it_back(kind):
    meaning = build_head(kind, class_weights=[1, 2, 3, 4, 5])
    outputs = some_outputs(kind)
    meaning.fit(outputs, torch.arange(200) % 5)
    stream = io.BytesIO()
    torch.save(meaning.state_dict(), stream)
    stream.seek(0)
    restored = build_head(kind)
    restored.load_state_dict(torch.load(stream, weights_only=True))
    assert torch.equal(restored.probabilities(outputs), meaning.probabilities(outputs))
    assert torch.equal(restored.predicted(outputs), meaning.predicted(outputs))
    assert not list(meaning.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_the_last_layer_fits_the_head_and_is_found(kind):
    network = nn.Sequential(nn.Linear(7, 6), nn.ReLU(), final_layer(kind, 6))
    outputs = network(torch.randn(1, 7))
    assert outputs.shape == (1, build_head(kind).outputs)
    assert head(network) is network[2]
    freeze_backbone(network)
    build_head(kind).loss(network(torch.randn(3, 7)), torch.tensor([0, 2, 4])).backward()
    assert network[0].weight.grad is None
    assert all(parameter.grad is not None for parameter in network[2].parameters())


# CORAL and CORN


def test_corals_layer_is_one_weight_vector_and_four_biases():
    layer = CoralLinear(6)
    assert sum(parameter.numel() for parameter in layer.parameters()) == 6 + 4
    assert layer.bias.tolist() == [1.0, 0.75, 0.5, 0.25]
    features = torch.randn(9, 6)
    expected = features @ layer.weight[0]
    torch.testing.assert_close(layer(features), expected[:, None] + layer.bias)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(features).shape == (9, 4)


def test_corals_biases_come_out_in_order():
    features, grades = graded_features(1500, 0)
    layer = CoralLinear(3)
    with torch.no_grad():
        layer.bias.copy_(torch.tensor([-0.5, 1.0, 0.0, 0.3]))
    optimizer, meaning = torch.optim.Adam(layer.parameters(), lr=0.05), build_head("coral")
    for _ in range(400):
        optimizer.zero_grad()
        meaning.loss(layer(features), grades).backward()
        optimizer.step()
    assert (layer.bias.diff() < 0).all()


def test_corals_grade_is_the_number_of_thresholds_passed():
    outputs = some_outputs("coral")  # of no order at all, as from biases out of order
    assert torch.equal(build_head("coral").predicted(outputs), (torch.sigmoid(outputs) > 0.5).sum(dim=1))
    ordered = torch.tensor([[3.0, 1.0, -0.5, -2.0]])
    worse = torch.sigmoid(ordered.double())[0].tolist()
    expected = [1 - worse[0], worse[0] - worse[1], worse[1] - worse[2], worse[2] - worse[3], worse[3]]
    assert build_head("coral").probabilities(ordered)[0].tolist() == pytest.approx(expected, abs=1e-15)


def test_corns_probabilities_follow_the_chain_rule():
    outputs = some_outputs("corn")
    conditional = 1 / (1 + np.exp(-outputs.double().numpy()))
    expected = np.ones((200, 5))
    for grade in range(5):
        for k in range(grade):
            expected[:, grade] *= conditional[:, k]
        if grade < 4:
            expected[:, grade] *= 1 - conditional[:, grade]
    np.testing.assert_allclose(build_head("corn").probabilities(outputs).numpy(), expected, atol=1e-15)


# Regression


def test_a_regression_rounds_until_it_is_fitted():
    outputs = torch.tensor([[-3.0], [0.49], [0.51], [1.6], [3.4], [3.6], [9.0]])
    assert build_head("regression").predicted(outputs).tolist() == [0, 0, 1, 2, 3, 4, 4]


def test_fitted_cut_points_answer_each_grade_as_often_as_it_occurs():
    features, grades = graded_features(1500, 0)
    outputs = features[:, :1] ** 3 / 7  # of any scale: only the order counts
    meaning = build_head("regression")
    before = cohen_kappa_score(grades, meaning.predicted(outputs), weights="quadratic")
    meaning.fit(outputs, grades)
    predicted = meaning.predicted(outputs)
    assert torch.equal(predicted.bincount(), grades.bincount())
    assert cohen_kappa_score(grades, predicted, weights="quadratic") > before + 0.05


def test_cut_points_stand_in_the_middle_of_gaps():
    assert matching_cut_points([7, 1, 2, 3, 5], [4, 0, 1, 2, 3]).tolist() == [1.5, 2.5, 4, 6]
    # Grades 1 and 2 that nobody has share the gap between 0 and 3; equal outputs are not told apart.
    assert matching_cut_points([0.0, 0.3, 1.3, 2.3], [0, 0, 3, 4]).tolist() == pytest.approx([0.55, 0.8, 1.05, 1.8])
    assert matching_cut_points([1, 1, 1, 1], [0, 0, 1, 2]).tolist() == [1, 1, 2.5, 3.5]


def test_grades_that_nobody_has_keep_their_cut_points():
    assert matching_cut_points([-0.5, 0.0], [0, 0]).tolist() == list(HALF_WAY)
    assert matching_cut_points([2.9, 3.4], [2, 2]).tolist() == [0.5, 1.5, 3.9, 3.9]
    assert matching_cut_points([0.2, 0.8], [2, 2]).tolist() == [-0.3, -0.3, 2.5, 3.5]
    meaning = build_head("regression")
    meaning.fit(torch.tensor([[0.4]]), torch.tensor([4]))
    assert meaning.predicted(torch.tensor([[0.4]])).item() == 4


def test_the_scale_is_that_of_the_errors():
    rng = np.random.default_rng(0)
    values = rng.uniform(-1, 5, 20_000)
    for scale in (0.15, 0.6):
        grades = ((values + rng.logistic(0, scale, len(values)))[:, None] > HALF_WAY).sum(axis=1)
        meaning = build_head("regression")
        meaning.fit(torch.from_numpy(values)[:, None], torch.from_numpy(grades))
        assert meaning.scale.item() == pytest.approx(scale, rel=0.1)
        said = meaning.probabilities(torch.from_numpy(values)[:, None]).mean(dim=0).numpy()
        np.testing.assert_allclose(said, np.bincount(grades) / len(grades), atol=0.01)


def test_fitting_survives_outputs_that_are_all_the_same():
    meaning = build_head("regression")
    meaning.fit(torch.full((10, 1), 0.7), torch.arange(10) % 5)
    probabilities = meaning.probabilities(torch.full((10, 1), 0.7))
    assert probabilities.isfinite().all() and (probabilities >= 0).all()


def test_only_a_regression_is_fitted():
    for kind in ("softmax", "coral", "corn"):
        meaning = build_head(kind)
        meaning.fit(some_outputs(kind), torch.arange(200) % 5)
        assert not meaning.state_dict()
