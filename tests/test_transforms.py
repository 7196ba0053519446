import pytest
import torch
from data_folders import jpeg, picture, real_data
from PIL import Image
from torchvision import transforms

from dr_lib.data.photographs import decode
from dr_lib.data.transforms import IMAGENET_MEAN, IMAGENET_STD, EvalTransform, TrainTransform, denormalise, normalise


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


def assert_same_draws(image, seeds=range(4), **sizes):
    resize, size, degrees = sizes.get("resize", 256), sizes.get("image_size", 224), sizes.get("rotation_degrees", 20)
    ours, lab = TrainTransform(resize, size, degrees), lab_train(resize, size, degrees)
    for seed in seeds:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            expected = lab(image)
            state = torch.random.get_rng_state()
        generator = torch.Generator().manual_seed(seed)
        assert torch.equal(ours(image, generator), expected)
        assert torch.equal(generator.get_state(), state)  # not one draw more, nor one less
    assert torch.equal(EvalTransform(size)(image), lab_test(size)(image))


PICTURES = {
    "landscape": picture(0, (500, 333)),
    "portrait": picture(1, (301, 455)),
    "square": picture(2, (256, 256)),
    "small": picture(3, (28, 28)),
    "narrow": picture(4, (40, 900)),
}


@pytest.mark.parametrize("name", PICTURES)
def test_draw_for_draw_the_labs_transforms(name):
    assert_same_draws(PICTURES[name])


@pytest.mark.parametrize(
    "sizes",
    [
        {"resize": 64, "image_size": 56},
        {"resize": 64, "image_size": 64},
        {"rotation_degrees": 0},
        {"rotation_degrees": 180},
    ],
)
def test_sizes_and_rotation_are_parameters(sizes):
    assert_same_draws(PICTURES["landscape"], **sizes)


def exif_rotated() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees to look at; the lab report does not
    return jpeg(picture(5, (300, 200)), exif=exif)


@pytest.mark.parametrize("mode", ["L", "CMYK", "P", "RGBA", "LA", "1", "exif"])
def test_other_kinds_of_files_become_rgb_as_in_the_lab_report(tmp_path, mode):
    path = tmp_path / ("a.jpg" if mode in ("L", "CMYK", "exif") else "a.png")
    if mode == "exif":
        path.write_bytes(exif_rotated())
    else:
        picture(6, (300, 200)).convert("RGB").convert(mode if mode != "LA" else "L").convert(mode).save(path)
    with Image.open(path) as image:
        lab = image.convert("RGB")
    assert_same_draws(decode(path.read_bytes()), seeds=[0])
    assert lab.size == (300, 200)
    assert torch.equal(EvalTransform()(decode(path.read_bytes())), lab_test()(lab))


def test_the_aspect_is_not_squeezed():
    image = Image.new("RGB", (400, 200))
    image.paste((255, 255, 255), (150, 50, 250, 150))  # a square of half the height
    white = EvalTransform(100).square(image).point(lambda value: 255 * (value > 127)).getbbox()
    assert white == (25, 25, 75, 75)


def test_square_and_variation_add_up_to_the_whole():
    transform, image = TrainTransform(64, 48), PICTURES["portrait"]
    square = transform.square(image)
    assert square.size == (64, 64) and square.mode == "RGB"
    in_parts = normalise(transform.vary(square, torch.Generator().manual_seed(3)))
    assert torch.equal(in_parts, transform(image, torch.Generator().manual_seed(3)))


def test_values_are_normalised_and_come_back():
    image = Image.new("RGB", (10, 10), (255, 128, 0))
    tensor = normalise(image)
    assert tensor.shape == (3, 10, 10) and tensor.dtype == torch.float32
    for channel, value in enumerate((1, 128 / 255, 0)):
        expected = (value - IMAGENET_MEAN[channel]) / IMAGENET_STD[channel]
        torch.testing.assert_close(tensor[channel, 0, 0], torch.tensor(expected))
    torch.testing.assert_close(denormalise(tensor)[:, 0, 0], torch.tensor([1, 128 / 255, 0]))
    assert denormalise(torch.stack([tensor, tensor])).shape == (2, 3, 10, 10)


def test_the_global_generator_is_left_alone():
    before = torch.random.get_rng_state()
    TrainTransform()(PICTURES["square"], torch.Generator().manual_seed(0))
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.real
def test_real_photographs():
    files = sorted((real_data() / "eyepacs-1024" / "images").iterdir())[:12]
    files += sorted((real_data() / "eyepacs-full" / "images").iterdir())[:2]
    assert len(files) == 14
    for file in files:
        assert_same_draws(decode(file.read_bytes()), seeds=[0, 1])
