import io

import numpy as np
import pytest
import torch
from data_folders import real_data
from torchvision import transforms as T

from dr_lib.data.normalization import IMAGENET_MEAN, IMAGENET_STD, KINDS, ZCA_EPSILON, Normalization
from dr_lib.errors import InputError


def crops(count=10, side=9, seed=0):
    """Return noise whose channels differ in mean and spread."""
    noise = np.random.default_rng(seed).normal((150, 90, 40), (40, 25, 10), (count, side, side, 3))
    return noise.clip(0, 255).astype(np.uint8)


def batch(pixels):
    return torch.from_numpy(np.array(pixels))


def all_levels():
    """Return a square in which each channel has all 256 levels."""
    levels = np.arange(256, dtype=np.uint8)
    return np.stack([levels, levels[::-1], np.roll(levels, 100)], axis=1).reshape(16, 16, 3)


def test_imagenet_is_torchvisions_to_the_bit():
    transform = T.Compose([T.ToTensor(), T.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])])
    pixels = np.stack([all_levels(), np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)])
    normalized = Normalization.fit("imagenet", [], 16)(batch(pixels))
    assert torch.equal(normalized, torch.stack([transform(square) for square in pixels]))


@pytest.mark.parametrize("kind", KINDS)
def test_shape_memory_and_input(kind):
    pixels = batch(crops(5, 8))
    before = pixels.clone()
    normalized = Normalization.fit(kind, crops(20, 8), 8)(pixels)
    assert normalized.shape == (5, 3, 8, 8)
    assert normalized.dtype == torch.float32
    assert normalized.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(pixels, before)


@pytest.mark.parametrize("kind", ["imagenet", "featurewise", "samplewise"])
def test_pictures_need_not_be_square_nor_contiguous(kind):
    pixels = batch(crops(3, 12))[:, ::2, 1:]
    assert not pixels.is_contiguous()
    normalization = Normalization.fit(kind, crops(), 12)
    assert torch.equal(normalization(pixels), normalization(pixels.contiguous()))


def test_featurewise_is_the_training_sets_mean_and_deviation():
    pixels = crops(30)
    normalization = Normalization.fit("featurewise", iter(pixels), 9)
    np.testing.assert_allclose(normalization.mean, (pixels / 255).mean((0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(normalization.std, (pixels / 255).std((0, 1, 2)), rtol=1e-6)
    normalized = normalization(batch(pixels))
    np.testing.assert_allclose(normalized.mean((0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(normalized.std((0, 2, 3), correction=0), 1, atol=1e-5)
    another = Normalization.fit("featurewise", pixels[::-1], 9)
    assert torch.equal(another.mean, normalization.mean)
    assert torch.equal(another.std, normalization.std)


def test_samplewise_is_each_photographs_own():
    pixels = crops(6)
    normalized = Normalization.fit("samplewise", [], 9)(batch(pixels))
    values = pixels.astype(np.float64)  # Keras: mean and std of the whole sample, all axes
    expected = (values - values.mean((1, 2, 3), keepdims=True)) / values.std((1, 2, 3), keepdims=True)
    np.testing.assert_allclose(normalized, expected.transpose(0, 3, 1, 2), atol=2e-6)


def test_samplewise_does_not_depend_on_the_batch():
    pixels = batch(np.random.default_rng(1).integers(0, 256, (17, 50, 50, 3), np.uint8))
    normalization = Normalization.fit("samplewise", [], 50)
    together = normalization(pixels)
    for number in range(len(pixels)):
        assert torch.equal(normalization(pixels[number : number + 1])[0], together[number])


def test_a_photograph_of_one_level_becomes_zero():
    pixels = np.full((2, 9, 9, 3), 77, np.uint8)
    pixels[1, 0, 0, 0] = 78  # a deviation below 1/sqrt(n), which is what divides
    normalized = Normalization.fit("samplewise", [], 9)(batch(pixels))
    assert torch.equal(normalized[0], torch.zeros(3, 9, 9))
    deviation = 1 - 1 / 243
    np.testing.assert_allclose(normalized[1, 0, 0, 0], deviation * np.sqrt(243), rtol=1e-5)


def correlated(count, side):
    """Return squares in which neighbors are alike and channels follow each other."""
    rng = np.random.default_rng(3)
    values = rng.normal(0, 1, (count, side, side, 3))
    values = values + 0.3 * np.roll(values, 1, axis=1) + 0.15 * np.roll(values, 1, axis=2) + 0.15 * values[..., ::-1]
    return (120 + 40 * values).clip(0, 255).astype(np.uint8)


def test_zca_whitens():
    pixels = correlated(2000, 4)
    normalization = Normalization.fit("zca", pixels, 4)
    covariance = lambda images: np.cov(images.flatten(1).numpy(), rowvar=False, bias=True)  # noqa: E731
    raw = batch(pixels).permute(0, 3, 1, 2) / 255
    variances = np.linalg.eigvalsh(covariance(raw))
    assert variances[0] > 30 * ZCA_EPSILON  # so that epsilon hardly matters
    white = covariance(normalization(batch(pixels)))
    np.testing.assert_allclose(np.diag(white), 1, atol=0.05)
    np.testing.assert_allclose(white - np.diag(np.diag(white)), 0, atol=0.05)
    assert np.abs(covariance(raw / raw.std()) - np.eye(48)).max() > 0.25  # as it was not before
    # Of all whitenings ZCA's matrix alone is symmetric, so pictures stay pictures.
    matrix = normalization.transformation_matrix
    torch.testing.assert_close(matrix, matrix.T)
    unseen = covariance(normalization(batch(correlated(4000, 4)[2000:])))
    np.testing.assert_allclose(unseen, np.eye(48), atol=0.25)


def test_zca_is_torchvisions_linear_transformation():
    pixels = correlated(200, 4)
    normalization = Normalization.fit("zca", pixels, 4)
    linear = T.LinearTransformation(normalization.transformation_matrix, normalization.mean_vector)
    expected = torch.stack([linear(T.ToTensor()(square)) for square in pixels])
    torch.testing.assert_close(normalization(batch(pixels)), expected, atol=1e-4, rtol=1e-4)
    np.testing.assert_allclose(normalization.mean_vector, (pixels / 255).mean(0).transpose(2, 0, 1).ravel(), rtol=1e-6)


def test_zca_is_fitted_to_the_center_that_the_network_sees():
    pixels = correlated(100, 9)
    fitted = Normalization.fit("zca", pixels, 4)
    expected = Normalization.fit("zca", [np.asarray(T.CenterCrop(4)(T.ToPILImage()(square))) for square in pixels], 4)
    assert torch.equal(fitted.transformation_matrix, expected.transformation_matrix)


def test_fewer_photographs_than_pixels_can_be_whitened():
    normalized = Normalization.fit("zca", correlated(10, 6), 6)(batch(correlated(40, 6)))
    assert normalized.isfinite().all()


@pytest.mark.parametrize("size", [33, 224])
def test_zca_is_refused_beyond_what_a_matrix_can_hold(size):
    with pytest.raises(InputError, match=f"zca at image_size {size} would need .* set image_size to 32 or less"):
        Normalization.fit("zca", [], size)


def test_an_unknown_kind():
    with pytest.raises(InputError, match="'layerwise' is none of imagenet, featurewise"):
        Normalization.fit("layerwise", crops(), 9)


@pytest.mark.parametrize("kind", ["featurewise", "zca"])
def test_nothing_to_fit_to(kind):
    with pytest.raises(InputError, match="there are none"):
        Normalization.fit(kind, [], 8)


def test_a_channel_without_variation_has_no_featurewise():
    pixels = crops()
    pixels[..., 2] = 5
    with pytest.raises(InputError, match="all the same"):
        Normalization.fit("featurewise", pixels, 9)


@pytest.mark.parametrize("kind", KINDS)
def test_a_checkpoint_brings_it_back(kind):
    normalization = Normalization.fit(kind, crops(20, 8), 8)
    stream = io.BytesIO()
    torch.save(normalization.state(), stream)
    stream.seek(0)
    restored = Normalization.from_state(torch.load(stream, weights_only=True))
    pixels = batch(crops(4, 8, seed=1))
    assert torch.equal(restored(pixels), normalization(pixels))
    assert restored.describe() == normalization.describe()
    if kind != "imagenet":
        assert not torch.equal(restored(pixels), Normalization.fit("imagenet", [], 8)(pixels))


@pytest.mark.parametrize("kind", KINDS)
def test_figures_are_no_parameters(kind):
    normalization = Normalization.fit(kind, crops(20, 8), 8)
    assert not list(normalization.parameters())
    assert not normalization(batch(crops(2, 8))).requires_grad


def test_descriptions_hold_the_figures():
    imagenet = Normalization.fit("imagenet", [], 224).describe()
    assert all(f"{value:.3f}" in imagenet for value in (*IMAGENET_MEAN, *IMAGENET_STD))
    pixels = crops(12)
    featurewise = Normalization.fit("featurewise", pixels, 9).describe()
    assert all(f"{value:.3f}" in featurewise for value in (pixels / 255).mean((0, 1, 2)))
    assert "12 training photographs" in featurewise
    zca = Normalization.fit("zca", pixels, 4).describe()
    assert "4 x 4 px" in zca
    assert "12 training photographs" in zca
    assert f"{ZCA_EPSILON:g}" in zca


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_on_a_gpu(kind):
    normalization = Normalization.fit(kind, crops(20, 8), 8)
    pixels = batch(crops(4, 8, seed=1))
    expected = normalization(pixels)
    found = normalization.to("cuda")(pixels.to("cuda")).cpu()
    if kind == "zca":
        torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)
    else:
        assert torch.equal(found, expected)


@pytest.mark.real
def test_whitening_spreads_unseen_photographs_little_wider():
    data = np.load(real_data() / "retinamnist.npz")
    small = lambda name: np.ascontiguousarray(data[name][:, 6:22, 6:22])  # noqa: E731
    normalization = Normalization.fit("zca", small("train_images"), 16)
    seen, unseen = (normalization(batch(small(name))).std() for name in ("train_images", "test_images"))
    assert seen < unseen < 1.5 * seen
