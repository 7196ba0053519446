"""The whole path, file to what the network is given, against the lab report's own torchvision transforms."""

import random
from io import BytesIO

import numpy as np
import pytest
import torch
from data_folders import jpeg, picture, real_data
from PIL import Image
from torchvision import transforms

from dr_lib.config import RunConfig
from dr_lib.data.decoding import decode_rgb
from dr_lib.data.normalization import Normalization
from dr_lib.data.transforms import EvalTransform, TrainTransform

IMAGENET = Normalization.fit("imagenet", [], 224)


def lab_train(resize=256, image_size=224, degrees=20):
    return transforms.Compose([
        transforms.Resize(resize),
        transforms.CenterCrop(resize),
        transforms.RandomCrop(image_size),
        transforms.RandomRotation(degrees=degrees),
        transforms.RandomHorizontalFlip(),
        transforms.RandomVerticalFlip(),
        transforms.ToTensor(),
        transforms.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
    ])  # fmt: skip


def lab_test(size=224):
    return transforms.Compose([
        transforms.Resize(size),
        transforms.CenterCrop(size),
        transforms.ToTensor(),
        transforms.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
    ])  # fmt: skip


def normalized(view):
    return IMAGENET(torch.from_numpy(np.array(view))[None])[0]


def assert_as_in_the_lab(data, seeds=range(4), resize=256, image_size=224, degrees=20):
    """Hold our path from the bytes of a file against the lab's ``Image.open(path).convert("RGB")`` and Compose."""
    rotation = {"RandomRotation": {"degrees": degrees}}
    augmentations = ["RandomCrop", rotation, "RandomHorizontalFlip", "RandomVerticalFlip"]
    config = RunConfig(resize=resize, image_size=image_size, augmentations=augmentations)
    train, test = TrainTransform.of(config), EvalTransform.of(config)
    pixels = decode_rgb(data)
    with Image.open(BytesIO(data)) as file:
        image = file.convert("RGB")
    square = train.recipe.make(pixels)
    for seed in seeds:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            expected = lab_train(resize, image_size, degrees)(image)
        assert torch.equal(normalized(train(square, seed)), expected)
    assert torch.equal(normalized(test(test.recipe.make(pixels))), lab_test(image_size)(image))


PICTURES = {
    "landscape": (500, 333),
    "portrait": (301, 455),
    "square": (256, 256),
    "small": (28, 28),
    "narrow": (40, 900),
    "large": (1600, 1201),
}


@pytest.mark.parametrize("name", PICTURES)
def test_draw_for_draw_the_labs_transforms(name):
    assert_as_in_the_lab(jpeg(picture(len(name), PICTURES[name])))


@pytest.mark.parametrize(
    "sizes",
    [
        {"resize": 64, "image_size": 56},
        {"resize": 64, "image_size": 64},
        {"degrees": 0},
        {"degrees": 180},
    ],
)
def test_sizes_and_rotation_are_parameters(sizes):
    assert_as_in_the_lab(jpeg(picture(0, (500, 333))), **sizes)


def exif_rotated() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees to look at; the lab report does not
    return jpeg(picture(5, (300, 200)), exif=exif)


@pytest.mark.parametrize("kind", ["L", "CMYK", "progressive", "exif", "4:4:4", "4:2:2"])
def test_kinds_of_jpeg(kind):
    image = picture(6, (300, 200))
    data = {
        "L": lambda: jpeg(image.convert("L")),
        "CMYK": lambda: jpeg(image.convert("CMYK")),
        "progressive": lambda: jpeg(image, progressive=True),
        "exif": exif_rotated,
        "4:4:4": lambda: jpeg(image, subsampling=0),
        "4:2:2": lambda: jpeg(image, subsampling=1),
    }[kind]()
    assert_as_in_the_lab(data, seeds=[0])


@pytest.mark.parametrize("mode", ["P", "RGBA", "LA", "1", "L", "I;16"])
def test_other_files_become_rgb_as_in_the_lab_report(tmp_path, mode):
    path = tmp_path / "a.png"
    image = picture(6, (300, 200))
    {"LA": image.convert("L"), "I;16": image.convert("L").convert("I")}.get(mode, image).convert(mode).save(path)
    assert_as_in_the_lab(path.read_bytes(), seeds=[0])


def test_the_aspect_is_not_squeezed():
    image = Image.new("RGB", (400, 200))
    image.paste((255, 255, 255), (150, 50, 250, 150))  # a square of half the height
    square = EvalTransform.of(RunConfig(image_size=100)).recipe.make(np.asarray(image))
    white = Image.fromarray(square).point(lambda value: 255 * (value > 127)).getbbox()
    assert white == (25, 25, 75, 75)


def test_test_time_views_are_torchvisions():
    config = RunConfig(resize=64, image_size=48, test_time_augmentation="TenCrop")
    transform = EvalTransform.of(config)
    image = picture(2, (300, 200))
    views = transform(transform.recipe.make(np.asarray(image)))
    lab = transforms.Compose([transforms.Resize(64), transforms.CenterCrop(64), transforms.TenCrop(48)])
    np.testing.assert_array_equal(views, np.stack([np.asarray(view) for view in lab(image)]))


def test_the_global_generators_are_left_alone():
    mixed = {"RandomOrder": {"transforms": ["RandomHorizontalFlip", {"ColorJitter": {"brightness": 0.5}}]}}
    train = TrainTransform.of(RunConfig(augmentations=["RandomCrop", mixed]))
    before, python = torch.random.get_rng_state(), random.getstate()
    train(np.zeros((256, 256, 3), np.uint8), 0)
    assert torch.equal(torch.random.get_rng_state(), before) and random.getstate() == python


@pytest.mark.slow
@pytest.mark.real
def test_real_photographs():
    files = sorted((real_data() / "eyepacs-1024" / "images").iterdir())[:12]
    files += sorted((real_data() / "eyepacs-full" / "images").iterdir())[:4]
    assert len(files) == 16
    for file in files:
        assert_as_in_the_lab(file.read_bytes(), seeds=[0, 1])
