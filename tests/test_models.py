import hashlib

import pytest
import torch
import torchvision
from torch import nn

from dr_lib.errors import InputError
from dr_lib.models.builders import build_model, training_problem
from dr_lib.models.weights import (
    check_hash_in_name,
    fetch_imagenet_weights,
    freeze_backbone,
    head,
    imagenet_weights,
    load_imagenet_weights,
    load_weights_file,
    train_mode,
    unfreeze,
)


@pytest.mark.parametrize(
    ("name", "features"),
    [
        ("resnet18", 512), ("resnet50", 2048), ("vgg11", 4096), ("densenet121", 1024), ("efficientnet_b0", 1280),
        ("mobilenet_v3_small", 1024), ("convnext_tiny", 768), ("swin_t", 768), ("googlenet", 1024),
        ("regnet_y_400mf", 440), ("shufflenet_v2_x0_5", 1024), ("inception_v3", 2048),
    ],
)  # fmt: skip
def test_any_classifier_gets_a_head_for_five_grades(name, features):
    model = build_model(name)
    assert isinstance(head(model), nn.Linear)
    assert (head(model).in_features, head(model).out_features) == (features, 5)
    model.eval()
    with torch.no_grad():
        assert model(torch.zeros(1, 3, 96, 96)).shape == (1, 5)


def test_training_output_is_plain_logits_for_networks_with_auxiliary_heads():
    assert build_model("googlenet").train()(torch.rand(2, 3, 96, 96)).shape == (2, 5)


@pytest.mark.parametrize(
    ("name", "version", "message"),
    [
        ("resnet19", "v1.5", "no classifier 'resnet19'; did you mean"),
        ("squeezenet1_0", "v1.5", "ends in a convolution"),
        ("vgg11", "v1", "v1 is a form of ResNet"),
    ],
)
def test_what_cannot_be_built_is_refused(name, version, message):
    with pytest.raises(InputError, match=message):
        build_model(name, version=version)


def test_resnet18_is_torchvisions_own_but_for_the_head():
    torch.manual_seed(0)
    ours = build_model("resnet18")
    torch.manual_seed(0)
    theirs = torchvision.models.resnet18(weights=None)
    theirs.fc = nn.Linear(theirs.fc.in_features, 5)
    images = torch.rand(2, 3, 64, 64)
    assert torch.equal(ours.eval()(images), theirs.eval()(images))


def test_v1_strides_in_the_first_convolution_of_each_downsampling_bottleneck():
    """Where the stride is, and that shapes and parameters stay the same (He et al. 2016; NVIDIA's note on v1.5)."""
    strides = {version: build_model("resnet50", version=version) for version in ("v1", "v1.5")}
    for stage in ("layer2", "layer3", "layer4"):
        old, new = (getattr(strides[version], stage)[0] for version in ("v1", "v1.5"))
        assert (old.conv1.stride, old.conv2.stride) == ((2, 2), (1, 1))
        assert (new.conv1.stride, new.conv2.stride) == ((1, 1), (2, 2))
    assert strides["v1"](torch.rand(2, 3, 64, 64)).shape == (2, 5)
    assert not torch.equal(*(build(strides, version) for version in ("v1", "v1.5"))), (
        "the same weights must give other logits"
    )


def build(models, version):
    models[version].load_state_dict(models["v1.5"].state_dict())
    return models[version].eval()(torch.ones(1, 3, 64, 64))


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_blocks_may_begin_as_the_identity_as_in_torchvision(name):
    torch.manual_seed(0)
    ours = build_model(name, zero_init_residual=True)
    torch.manual_seed(0)
    theirs = torchvision.models.get_model(name, zero_init_residual=True)
    theirs.fc = nn.Linear(theirs.fc.in_features, 5)
    state = theirs.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in ours.state_dict().items())
    features = torch.rand(2, ours.layer1[-1].conv1.in_channels, 8, 8)
    assert torch.equal(ours.layer1[-1].eval()(features), features)
    assert not torch.equal(build_model(name).layer1[-1].eval()(features), features)


@pytest.mark.parametrize(
    ("name", "form", "message"),
    [
        ("vgg11", {}, "zero_init_residual: vgg11 is no ResNet"),
        ("resnet18", {"residual": False}, "zero_init_residual: without shortcuts"),
    ],
)
def test_zeros_without_shortcuts_are_refused(name, form, message):
    with pytest.raises(InputError, match=message):
        build_model(name, zero_init_residual=True, **form)


def one_epoch(model):
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1, momentum=0.9)
    for _ in range(3):
        train_mode(model)
        loss = nn.functional.cross_entropy(model(torch.rand(4, 3, 64, 64)), torch.tensor([0, 1, 2, 3]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def test_frozen_means_bit_equal_buffers_included():
    model = build_model("resnet18")
    freeze_backbone(model)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    one_epoch(model)
    changed = {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
    assert changed == {"fc.weight", "fc.bias"}
    unfreeze(model)
    one_epoch(model)
    changed = {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
    assert {"conv1.weight", "bn1.running_mean", "layer4.1.bn2.running_var"} <= changed


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty hub cache, and no network."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))

    def no_network(*args, **kwargs):
        raise OSError("no network in tests")

    monkeypatch.setattr("urllib.request.urlopen", no_network)
    monkeypatch.setattr("torch.hub.urlopen", no_network)
    (tmp_path / "checkpoints").mkdir()
    return tmp_path / "checkpoints"


@pytest.mark.parametrize(
    ("name", "weights", "file"),
    [
        ("resnet18", "DEFAULT", "resnet18-f37072fd.pth"),
        ("resnet50", "IMAGENET1K_V1", "resnet50-0676ba61.pth"),
        ("resnet50", "IMAGENET1K_V2", "resnet50-11ad3fa6.pth"),
        ("resnet50", "DEFAULT", "resnet50-11ad3fa6.pth"),
    ],
)
def test_multi_weight_names_find_torchvisions_files_in_the_cache(hub, monkeypatch, name, weights, file):
    torch.manual_seed(1)
    published = torchvision.models.get_model(name, weights=None)
    torch.save(published.state_dict(), hub / file)
    monkeypatch.setattr(
        "dr_lib.models.weights.check_hash_in_name", lambda path: None
    )  # nobody can make a file for a hash
    model = build_model(name)
    fresh_head = head(model).weight.clone()
    origin = load_imagenet_weights(model, name, weights)
    assert origin.kind == "ImageNet" and origin.name in ("IMAGENET1K_V1", "IMAGENET1K_V2")
    assert torch.equal(model.layer4[1].conv2.weight, published.layer4[1].conv2.weight)
    assert torch.equal(head(model).weight, fresh_head)


def test_weights_that_cannot_be_had_name_file_place_and_alternatives(hub):
    with pytest.raises(InputError) as caught:
        fetch_imagenet_weights("resnet18", "DEFAULT")
    message = str(caught.value)
    assert str(hub / "resnet18-f37072fd.pth") in message and "generated" in message and "\n" not in message


def test_unknown_weights_name_those_that_exist():
    with pytest.raises(InputError, match="IMAGENET1K_V1"):
        imagenet_weights("resnet18", "IMAGENET1K_V2")


def test_damaged_file_in_the_cache_says_to_delete_it(hub):
    (hub / "resnet18-f37072fd.pth").write_bytes(b"not a checkpoint")
    with pytest.raises(InputError, match="delete it"):
        load_imagenet_weights(build_model("resnet18"), "resnet18", "DEFAULT")


def test_weights_of_another_network_are_refused(tmp_path):
    file = tmp_path / "other.pt"
    torch.save(build_model("resnet18").state_dict(), file)
    load_weights_file(build_model("resnet18"), file)
    with pytest.raises(InputError, match="does not fit"):
        load_weights_file(build_model("resnet50"), file)


def test_a_cached_file_is_what_its_name_says(hub, tmp_path):
    file = tmp_path / "net-00000000.pth"
    torch.save(build_model("resnet18").state_dict(), file)
    with pytest.raises(InputError, match=r"not what its name says .*delete it"):
        check_hash_in_name(file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    check_hash_in_name(file.rename(tmp_path / f"net-{digest[:8]}.pth"))
    torch.save(build_model("resnet18").state_dict(), hub / "resnet18-f37072fd.pth")
    with pytest.raises(InputError, match="not what its name says"):
        fetch_imagenet_weights("resnet18", "DEFAULT")


def test_a_file_in_the_cache_is_data_never_code(hub, monkeypatch, tmp_path):
    monkeypatch.setattr("dr_lib.models.weights.check_hash_in_name", lambda path: None)
    torch.save({"fc.weight": Touches(tmp_path / "touched")}, hub / "resnet18-f37072fd.pth", pickle_protocol=2)
    with pytest.raises(InputError, match="safely"):
        load_imagenet_weights(build_model("resnet18"), "resnet18", "DEFAULT")
    assert not (tmp_path / "touched").exists()


class Touches:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        from pathlib import Path

        return Path.touch, (self.path,)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            {"model": slice(1)},
            "not a checkpoint that torch can read safely (damaged, cut off, or not of weights alone)",
        ),
        (b"nothing", "not a checkpoint that torch can read safely (damaged, cut off, or not of weights alone)"),
        (b"", "is empty; restore it from a copy"),
        (None, "is damaged, its checksum differs from that of what was written; restore it from a copy"),
    ],
)
def test_torchs_advice_to_load_unsafely_is_not_passed_on(tmp_path, content, said):
    file = tmp_path / "net.pt"
    if isinstance(content, dict):
        torch.save(content, file)
    else:
        torch.save(build_model("shufflenet_v2_x0_5").state_dict(), file)
        file.write_bytes(file.read_bytes()[:9000] if content is None else content)
    with pytest.raises(InputError) as refusal:
        load_weights_file(build_model("shufflenet_v2_x0_5"), file)
    assert str(refusal.value) == f"{file}: {said}"


def test_weights_that_are_not_finite_are_no_start(tmp_path):
    state = build_model("resnet18").state_dict()
    state["layer3.0.bn1.running_var"][7] = torch.nan
    torch.save(state, tmp_path / "nan.pt")
    with pytest.raises(InputError, match=r"nan\.pt: layer3\.0\.bn1\.running_var is not finite"):
        load_weights_file(build_model("resnet18"), tmp_path / "nan.pt")


@pytest.mark.parametrize(
    ("name", "side", "photographs", "reason"),
    [
        ("resnet18", 32, 1, "more than 1 value per channel"),
        ("resnet18", 33, 1, ""),
        ("resnet18", 32, 2, ""),
        ("densenet121", 60, 1, "more than 1 value per channel"),
        ("densenet121", 64, 1, ""),
        ("alexnet", 32, 8, "too small"),
        ("vit_b_16", 64, 8, "Wrong image height"),
        ("regnet_y_400mf", 32, 1, "more than 1 value per channel"),
    ],
)
def test_a_network_is_asked_what_it_can_train_on(name, side, photographs, reason):
    found = training_problem(name, "v1.5", True, side, photographs)
    assert reason in found and bool(reason) == bool(found)
    model = build_model(name)
    if reason:
        with pytest.raises((ValueError, RuntimeError, AssertionError), match=reason):
            model(torch.rand(photographs, 3, side, side))
    else:
        model(torch.rand(photographs, 3, side, side))
    if reason.startswith("more"):  # a frozen backbone needs no statistics
        assert not training_problem(name, "v1.5", True, side, photographs, frozen=True)


class Payload:
    def __reduce__(self):
        import os

        return os.system, ("touch /tmp/should-not-exist",)


def test_a_checkpoint_is_data_never_code(tmp_path):
    file = tmp_path / "evil.pt"
    torch.save({"model": Payload()}, file)
    with pytest.raises(InputError, match="safely"):
        load_weights_file(build_model("resnet18"), file)
