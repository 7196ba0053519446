"""Features before the head, and the nearest of them, against torch's own layers and scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors

from dr_lib.errors import InputError
from dr_lib.evaluation.predict import features
from dr_lib.explore.neighbor_index import nearest_rows as nearest
from dr_lib.models.builders import build_model, outputs_of
from dr_lib.models.weights import head


def batches(count=5, side=64, views=0, size=2):
    torch.manual_seed(1)
    shape = (count, views, 3, side, side) if views else (count, 3, side, side)
    images = torch.randn(shape)
    return [(part, torch.zeros(len(part))) for part in images.split(size)]


# One of each family: their heads stand alone, at the end of a sequence, after dropout, or inside a module of heads.
@pytest.mark.parametrize(
    ("name", "side"),
    [
        ("resnet18", 64), ("plain", 64), ("alexnet", 64), ("vgg11", 64), ("densenet121", 64), ("googlenet", 64),
        ("inception_v3", 96), ("mobilenet_v3_small", 64), ("efficientnet_b0", 64), ("convnext_tiny", 64),
        ("vit_b_32", 224), ("swin_t", 64), ("regnet_y_400mf", 64), ("shufflenet_v2_x0_5", 64), ("mnasnet0_5", 64),
    ],
)  # fmt: skip
def test_the_head_makes_the_outputs_of_the_features(name, side):
    torch.manual_seed(0)
    model = build_model("resnet18", residual=False) if name == "plain" else build_model(name)
    given = batches(3, side)
    found = features(model, given)
    assert found.dtype == np.float32 and found.shape == (3, head(model).in_features)
    with torch.inference_mode():
        expected = torch.cat([outputs_of(model.eval(), images) for images, _ in given])
        torch.testing.assert_close(head(model)(torch.from_numpy(found)), expected, rtol=1e-4, atol=1e-5)


def test_what_is_not_finite_is_near_to_nothing():
    model = build_model("shufflenet_v2_x0_5")
    with torch.no_grad():
        model.conv5[1].bias[0] = torch.nan
    with pytest.raises(InputError, match="features of photographs: not all are finite"):
        features(model, batches())


def test_of_several_views_it_is_the_mean():
    torch.manual_seed(0)
    model = build_model("resnet18")
    given = batches(views=3)
    found = features(model, given)
    one = [features(model, [(images[:, view], grades) for images, grades in given]) for view in range(3)]
    np.testing.assert_allclose(found, np.mean(one, axis=0), rtol=1e-4, atol=1e-6)


def test_progress_is_told_and_no_hook_stays_behind():
    model, told = build_model("resnet18"), []
    features(model, batches(), told.append)
    assert told == [2, 4, 5]

    def breaks():
        yield batches()[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        features(model, breaks())
    assert not head(model)._forward_pre_hooks
    assert not model.training


def test_a_network_that_was_training_is_asked_as_in_testing():
    model = build_model("resnet18").train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    first = features(model, batches())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    np.testing.assert_array_equal(first, features(model.eval(), batches()))


@pytest.mark.parametrize("k", [1, 7, 200])
def test_nearest_is_scikit_learns(k):
    rng = np.random.default_rng(0)
    # As after a ReLU: nothing below zero, so that no two are far apart.
    rows = np.abs(rng.normal(size=(200, 32))).astype(np.float32)
    queries = np.abs(rng.normal(size=(9, 32))).astype(np.float32)
    truth = NearestNeighbors(n_neighbors=k, metric="cosine", algorithm="brute").fit(rows.astype(np.float64))
    distances, indices = truth.kneighbors(queries.astype(np.float64))
    found, apart = nearest(rows, queries, k)
    np.testing.assert_array_equal(found, indices)
    np.testing.assert_allclose(apart, distances, atol=1e-6)
    one, its = nearest(rows, queries[4], k)
    assert one.shape == its.shape == (k,)
    np.testing.assert_array_equal(one, indices[4])
    # The length of a vector is no matter, and euclidean neighbors are others.
    np.testing.assert_array_equal(nearest(rows * rng.uniform(1, 9, (200, 1)), queries, k)[0], indices)


def test_equals_keep_their_order_and_a_photograph_is_nearest_to_itself():
    rows = np.array([[1, 1], [1, 0], [2, 0], [0, 1], [3, 0], [0, 0], [-1, 0]], np.float32)
    found, apart = nearest(rows, np.array([5, 0], np.float32), 3)
    assert found.tolist() == [1, 2, 4] and apart.tolist() == [0, 0, 0]
    found, apart = nearest(rows, np.array([5, 0], np.float32), 2)
    assert set(found) < {1, 2, 4} and found[0] < found[1]
    found, apart = nearest(rows, np.array([5, 0], np.float32), 99)
    assert found.tolist() == [1, 2, 4, 0, 3, 5, 6]
    np.testing.assert_allclose(apart, [0, 0, 0, 1 - np.sqrt(0.5), 1, 1, 2], atol=1e-7)
