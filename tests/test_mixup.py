import numpy as np
import pytest
import torch
from scipy.stats import beta, kstest
from torchvision.transforms.v2 import MixUp

from dr_lib.models.losses import cross_entropy, grade_shares
from dr_lib.training.learner import mix


def batch(n=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(n, 3, 8, 8, generator=generator).contiguous(memory_format=torch.channels_last)
    return images, torch.randint(0, 5, (n,), generator=generator)


def share_of(seed, alpha):
    """Return the share that was drawn, read off two photographs of two levels."""
    images = torch.stack([torch.zeros(3, 1, 1), torch.ones(3, 1, 1)])
    return mix(images, torch.eye(5)[:2], alpha=alpha, seed=seed)[0][1, 0, 0, 0].item()


@pytest.mark.parametrize("n", [1, 2, 6])
def test_is_torchvisions(n, monkeypatch):
    images, grades = batch(n)
    transform = MixUp(alpha=0.2, num_classes=5)
    monkeypatch.setattr(transform, "make_params", lambda inputs: {"lam": share_of(3, 0.2)})
    expected_images, expected_shares = transform(images, grades)
    found_images, found_shares = mix(images, grade_shares(grades), alpha=0.2, seed=3)
    torch.testing.assert_close(found_images, expected_images)
    torch.testing.assert_close(found_shares, expected_shares)
    assert found_images.is_contiguous(memory_format=torch.channels_last)


def test_each_is_mixed_with_its_neighbor_in_the_same_share():
    images, grades = batch()
    before = images.clone()
    own = share_of(4, 1.0)
    mixed, shares = mix(images, grade_shares(grades), alpha=1.0, seed=4)
    assert 0.05 < own < 0.95
    for place in range(6):
        other = place - 1  # the first one's is the last
        torch.testing.assert_close(mixed[place], own * images[place] + (1 - own) * images[other])
        expected = np.zeros(5)
        expected[grades[place]] += own
        expected[grades[other]] += 1 - own
        np.testing.assert_allclose(shares[place], expected, atol=1e-6)
    assert torch.equal(images, before)


def test_what_is_drawn_is_a_function_of_the_seed():
    images, grades = batch()
    torch.manual_seed(1)
    first = mix(images, grade_shares(grades), alpha=0.2, seed=9)[0]
    torch.manual_seed(2)
    np.random.default_rng(0)
    assert torch.equal(mix(images, grade_shares(grades), alpha=0.2, seed=9)[0], first)
    assert not torch.equal(mix(images, grade_shares(grades), alpha=0.2, seed=10)[0], first)


@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_shares_are_beta_distributed(alpha):
    drawn = [share_of(seed, alpha) for seed in range(1500)]
    assert kstest(drawn, beta(alpha, alpha).cdf).pvalue > 0.001
    assert kstest(drawn, beta(0.5, 0.5).cdf).pvalue < 0.001


def test_the_loss_of_a_mixed_batch_is_the_mix_of_losses():
    images, grades = batch()
    own = share_of(5, 1.0)
    _, shares = mix(images, grade_shares(grades), alpha=1.0, seed=5)
    logits, even = torch.randn(6, 5, generator=torch.Generator().manual_seed(0)), torch.ones(5)
    # As in the authors' code: lambda times the loss against the one labels, the rest against the other's.
    expected = own * cross_entropy(logits, grades, even) + (1 - own) * cross_entropy(logits, grades.roll(1), even)
    torch.testing.assert_close(cross_entropy(logits, shares, even), expected)


def test_a_batch_of_one_stays_what_it_is():
    images, grades = batch(1)
    mixed, shares = mix(images, grade_shares(grades), alpha=0.2, seed=0)
    torch.testing.assert_close(mixed, images)
    torch.testing.assert_close(shares, grade_shares(grades))


def test_an_alpha_that_is_not_above_0_is_refused():
    images, grades = batch(2)
    with pytest.raises(ValueError):
        mix(images, grade_shares(grades), alpha=0.0, seed=0)
