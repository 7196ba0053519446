"""What is said of a network before it is trained, against torchvision's own tables."""

import pytest
from torchvision import models

from dr_lib.models.builders import blocks, multiplications, published_accuracies


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "wide_resnet50_2", "vgg11"])
def test_multiplications_are_torchvisions(name):
    weights = next(iter(models.get_model_weights(name)))
    # torchvision counts the thousand classes of ImageNet, and rounds to a million.
    head = {"resnet18": 512, "vgg11": 4096}.get(name, 2048) * (1000 - 5)
    assert multiplications(name, 224) + head == pytest.approx(1e9 * weights.meta["_ops"], abs=1e6)


def test_less_is_multiplied_on_less_and_in_the_first_version():
    assert multiplications("resnet18", 64) < 0.1 * multiplications("resnet18", 224)
    assert multiplications("resnet50", 224, "v1") < multiplications("resnet50", 224, "v1.5")
    assert multiplications("resnet18", 224, residual=False) < multiplications("resnet18", 224)


def test_blocks():
    assert blocks("resnet18") == "8 basic blocks (2, 2, 2, 2)"
    assert blocks("resnet50") == "16 bottlenecks (3, 4, 6, 3)"
    assert blocks("vgg11") == ""


def test_accuracies_are_those_of_the_lab_report():
    assert published_accuracies("resnet50") == pytest.approx({"IMAGENET1K_V1": 0.76130, "IMAGENET1K_V2": 0.80858})
