import inspect
import pickle
import random
import subprocess
import sys
from itertools import product

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms as T
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as F

from dr_lib.config.transform_spec import AUGMENTATIONS, LAB_AUGMENTATIONS, check_augmentations, describe_augmentations
from dr_lib.data.augmentations import VIEWS, Augmentation, build_augmentations, views
from dr_lib.errors import InputError

SIZE, SIDE = 48, 60


def square(side=SIDE, seed=0):
    small = np.random.default_rng(seed).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    return np.array(Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC))


def composed(steps, pixels, seed):
    """Return what torchvision makes of ``pixels`` after seeding both generators."""
    state = random.getstate()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        random.seed(seed)
        image = T.Compose(steps)(Image.fromarray(pixels))
    random.setstate(state)
    return np.array(image)


CROP = T.RandomCrop(SIZE)
CASES = {
    "RandomCrop": (["RandomCrop"], [CROP]),
    "RandomCrop, padded": (
        [{"RandomCrop": {"padding": [4, 8], "fill": [1, 2, 3], "padding_mode": "constant"}}],
        [T.RandomCrop(SIZE, padding=(4, 8), fill=(1, 2, 3))],
    ),
    "RandomCrop, two sizes": (
        [{"RandomCrop": {"size": [70, 50], "pad_if_needed": True, "padding_mode": "reflect"}}, "CenterCrop"],
        [T.RandomCrop((70, 50), pad_if_needed=True, padding_mode="reflect"), T.CenterCrop(SIZE)],
    ),
    "CenterCrop": (["CenterCrop"], [T.CenterCrop(SIZE)]),
    "CenterCrop beyond the edge": (
        [{"CenterCrop": {"size": 75}}, "RandomCrop"],
        [T.CenterCrop(75), CROP],
    ),
    "RandomResizedCrop": (["RandomResizedCrop"], [T.RandomResizedCrop(SIZE)]),
    "RandomResizedCrop, with all": (
        [
            {
                "RandomResizedCrop": {
                    "scale": [0.5, 0.9],
                    "ratio": [1, 1.2],
                    "interpolation": "bicubic",
                    "antialias": True,
                }
            }
        ],
        [T.RandomResizedCrop(SIZE, (0.5, 0.9), (1, 1.2), InterpolationMode.BICUBIC)],
    ),
    "Resize": (["Resize"], [T.Resize(SIZE)]),
    "Resize, other filter": (
        [{"Resize": {"size": [SIZE, SIZE], "interpolation": "lanczos"}}],
        [T.Resize((SIZE, SIZE), InterpolationMode.LANCZOS)],
    ),
    "RandomHorizontalFlip": (["RandomCrop", {"RandomHorizontalFlip": {"p": 0.7}}], [CROP, T.RandomHorizontalFlip(0.7)]),
    "RandomVerticalFlip": (["RandomCrop", "RandomVerticalFlip"], [CROP, T.RandomVerticalFlip()]),
    "RandomRotation": (["RandomCrop", {"RandomRotation": {"degrees": 20}}], [CROP, T.RandomRotation(20)]),
    "RandomRotation, from to": (
        ["RandomCrop", {"RandomRotation": {"degrees": [-170, 30]}}],
        [CROP, T.RandomRotation((-170, 30))],
    ),
    "RandomRotation, by 0": (["RandomCrop", {"RandomRotation": {"degrees": 0}}], [CROP, T.RandomRotation(0)]),
    "RandomRotation, with all": (
        [{"RandomRotation": {"degrees": 90, "interpolation": "bilinear", "expand": True, "fill": 9}}, "CenterCrop"],
        [T.RandomRotation(90, InterpolationMode.BILINEAR, expand=True, fill=9), T.CenterCrop(SIZE)],
    ),
    "RandomRotation, about a corner": (
        ["RandomCrop", {"RandomRotation": {"degrees": 15, "center": [0, 0]}}],
        [CROP, T.RandomRotation(15, center=(0, 0))],
    ),
    "Pad": (
        [{"Pad": {"padding": [1, 2, 3, 4], "padding_mode": "symmetric"}}, "RandomCrop"],
        [T.Pad([1, 2, 3, 4], padding_mode="symmetric"), CROP],
    ),
    "ColorJitter": (
        ["RandomCrop", {"ColorJitter": {"brightness": 0.2, "contrast": [0.8, 1.1], "saturation": 0.3, "hue": 0.05}}],
        [CROP, T.ColorJitter(0.2, (0.8, 1.1), 0.3, 0.05)],
    ),
    "Grayscale": (["RandomCrop", "Grayscale"], [CROP, T.Grayscale(3)]),
    "RandomGrayscale": (["RandomCrop", {"RandomGrayscale": {"p": 0.5}}], [CROP, T.RandomGrayscale(0.5)]),
    "RandomAffine": (
        [
            "RandomCrop",
            {"RandomAffine": {"degrees": 10, "translate": [0.1, 0.2], "scale": [0.9, 1.2], "shear": [-5, 5]}},
        ],
        [CROP, T.RandomAffine(10, (0.1, 0.2), (0.9, 1.2), (-5, 5))],
    ),
    "GaussianBlur": (["RandomCrop", {"GaussianBlur": {"kernel_size": 5}}], [CROP, T.GaussianBlur(5)]),
    "RandomChoice": (
        ["RandomCrop", {"RandomChoice": {"transforms": ["Grayscale", {"ColorJitter": {"hue": 0.4}}], "p": [1, 3]}}],
        [CROP, T.RandomChoice([T.Grayscale(3), T.ColorJitter(hue=0.4)], p=[1, 3])],
    ),
    "RandomApply": (
        [
            "RandomCrop",
            {"RandomApply": {"transforms": ["RandomVerticalFlip", {"ColorJitter": {"hue": 0.4}}], "p": 0.6}},
        ],
        [CROP, T.RandomApply([T.RandomVerticalFlip(), T.ColorJitter(hue=0.4)], p=0.6)],
    ),
    "RandomOrder": (
        [{"RandomOrder": {"transforms": ["RandomCrop", {"RandomRotation": {"degrees": 40}}, "RandomVerticalFlip"]}}],
        [T.RandomOrder([CROP, T.RandomRotation(40), T.RandomVerticalFlip()])],
    ),
    "one in another in another": (
        [
            {
                "RandomOrder": {
                    "transforms": [
                        {
                            "RandomChoice": {
                                "transforms": [{"RandomApply": {"transforms": ["Grayscale"]}}, "RandomCrop"]
                            }
                        },
                        {"ColorJitter": {"brightness": 0.5}},
                    ]
                }
            },
            "RandomCrop",
        ],
        [
            T.RandomOrder([T.RandomChoice([T.RandomApply([T.Grayscale(3)]), CROP]), T.ColorJitter(brightness=0.5)]),
            CROP,
        ],
    ),
    "the lab report's": (
        LAB_AUGMENTATIONS,
        [CROP, T.RandomRotation(20), T.RandomHorizontalFlip(), T.RandomVerticalFlip()],
    ),
    "the lab report's, another order": (
        ["RandomHorizontalFlip", "RandomCrop", {"RandomRotation": {"degrees": 20}}],
        [T.RandomHorizontalFlip(), CROP, T.RandomRotation(20)],
    ),
    "two crops": ([{"RandomCrop": {"size": 55}}, "RandomCrop"], [T.RandomCrop(55), CROP]),
}


def test_no_name_is_left_out():
    assert {name for name in AUGMENTATIONS.arguments if name in CASES} == set(AUGMENTATIONS.arguments)


@pytest.mark.parametrize("case", CASES)
def test_bit_equal_to_torchvision(case):
    value, steps = CASES[case]
    check_augmentations(value)
    augmentation = Augmentation(value, SIZE)
    augmentation.check_output_size(SIDE)
    outcomes = set()
    for seed in (*range(12), 2**63 - 1):
        varied = augmentation.apply(square(), seed)
        assert varied.dtype == np.uint8
        assert varied.shape == (SIZE, SIZE, 3)
        assert varied.flags.writeable
        np.testing.assert_array_equal(varied, composed(steps, square(), seed))
        outcomes.add(varied.tobytes())
    assert (len(outcomes) == 1) == (case in ("CenterCrop", "Resize", "Resize, other filter"))


@pytest.mark.parametrize("crop", ["RandomCrop", "CenterCrop", None])
def test_every_part_of_the_labs_list(crop):
    parts = [
        (crop, crop and getattr(T, crop)(SIZE)),
        ({"RandomRotation": {"degrees": 33}}, T.RandomRotation(33)),
        ("RandomHorizontalFlip", T.RandomHorizontalFlip()),
        ("RandomVerticalFlip", T.RandomVerticalFlip()),
    ]
    for side, *wanted in product((SIZE, SIZE + 1, SIZE + 3, SIZE + 12), *3 * [(False, True)]):
        chosen = [part for part, there in zip(parts, [crop is not None, *wanted], strict=True) if there]
        augmentation = Augmentation([name for name, _ in chosen], SIZE)
        if crop is None and side != SIZE:
            with pytest.raises(InputError, match=f"comes out at {side} x {side} px"):
                augmentation.apply(square(side), 0)
            continue
        for seed in range(5):
            expected = composed([step for _, step in chosen], square(side, seed), seed)
            np.testing.assert_array_equal(augmentation.apply(square(side, seed), seed), expected)


@pytest.mark.parametrize("case", ["the lab report's", "RandomChoice", "RandomOrder", "ColorJitter"])
def test_the_seed_alone_decides(case):
    augmentation = Augmentation(CASES[case][0], SIZE)
    again = pickle.loads(pickle.dumps(augmentation))
    first = [augmentation.apply(square(), seed) for seed in range(8)]
    torch.manual_seed(99)
    random.seed(99)
    for seed in reversed(range(8)):
        assert np.array_equal(again.apply(square(), seed), first[seed])
        torch.rand(3)
        random.random()
    assert len({varied.tobytes() for varied in first}) > 1


@pytest.mark.parametrize("case", ["the lab report's", "RandomChoice", "ColorJitter"])
def test_the_callers_random_states_are_left_alone(case):
    augmentation = Augmentation(CASES[case][0], SIZE)
    before = torch.random.get_rng_state(), random.getstate(), np.random.get_state()[1].tobytes()
    augmentation.apply(square(), 5)
    with pytest.raises(ValueError, match="larger than"):
        augmentation.apply(square(SIZE - 1), 5)
    after = torch.random.get_rng_state(), random.getstate(), np.random.get_state()[1].tobytes()
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]


@pytest.mark.parametrize("case", ["the lab report's", "ColorJitter"])
def test_what_is_given_is_filled_and_returned(case):
    augmentation = Augmentation(CASES[case][0], SIZE)
    batch = np.full((3, SIZE, SIZE, 3), 7, np.uint8)
    out = batch[1]
    assert augmentation.apply(square(), 5, out) is out
    np.testing.assert_array_equal(batch[1], augmentation.apply(square(), 5))
    assert (batch[[0, 2]] == 7).all()
    with pytest.raises(ValueError, match=r"shape|fit"):
        augmentation.apply(square(), 5, batch[1, :-1])


def test_the_square_is_not_written_to():
    pixels = square()
    pixels.setflags(write=False)
    for case in ("the lab report's", "ColorJitter", "CenterCrop"):
        Augmentation(CASES[case][0], SIZE).apply(pixels, 1)
    np.testing.assert_array_equal(pixels, square())


def test_arguments_are_those_of_torchvision():
    for name, arguments in AUGMENTATIONS.arguments.items():
        parameters = inspect.signature(getattr(T, name)).parameters
        assert list(parameters) == list(arguments), name
        needed = {key for key, parameter in parameters.items() if parameter.default is parameter.empty} - {"size"}
        assert needed == ({arguments[0]} if name in AUGMENTATIONS.needs_first else set()), name
        for argument in arguments:
            assert argument == "transforms" or argument in AUGMENTATIONS.values, argument
    for argument, kind in AUGMENTATIONS.values.items():  # what is accepted can be built
        if argument == "interpolation" or "interpolation" in argument:
            assert all(InterpolationMode(word) for word in kind.words)


REFUSED = {
    "unknown name 'RandomCorp'; did you mean 'RandomCrop'?": ["RandomCorp"],
    "unknown name 'Zoom'; known are RandomCrop, CenterCrop,": ["Zoom"],
    "unknown name 'Normalize'": ["Normalize"],
    "RandomRotation has no argument 'degree'; did you mean 'degrees'?": [{"RandomRotation": {"degree": 20}}],
    "RandomHorizontalFlip has no argument 'x'; known are p": [{"RandomHorizontalFlip": {"x": 20}}],
    "RandomRotation needs degrees": ["RandomRotation"],
    "GaussianBlur needs kernel_size": [{"GaussianBlur": {"sigma": 1}}],
    "degrees is '20', needs degrees": [{"RandomRotation": {"degrees": "20"}}],
    "degrees is -20, needs": [{"RandomRotation": {"degrees": -20}}],
    "degrees is [20, -20], needs": [{"RandomRotation": {"degrees": [20, -20]}}],
    "degrees is nan, needs": [{"RandomRotation": {"degrees": float("nan")}}],
    "p is 1.5, needs a probability": ["RandomCrop", {"RandomVerticalFlip": {"p": 1.5}}],
    "p is True, needs": [{"RandomVerticalFlip": {"p": True}}],
    "size is 20.5, needs px": [{"RandomCrop": {"size": 20.5}}],
    "size is [20], needs px": [{"RandomCrop": {"size": [20]}}],
    "size is None, needs px": [{"RandomCrop": {"size": None}}],
    "expand is 1, needs true or false": [{"RandomRotation": {"degrees": 1, "expand": 1}}],
    "interpolation is 'lanczos', needs nearest": [{"RandomRotation": {"degrees": 1, "interpolation": "lanczos"}}],
    "hue is 0.7, needs": [{"ColorJitter": {"hue": 0.7}}],
    "num_output_channels is 1, needs 3": [{"Grayscale": {"num_output_channels": 1}}],
    "None is no list": None,
    "'RandomCrop' is no list": "RandomCrop",
    "{'RandomCrop': 20} is neither a name nor a mapping": [{"RandomCrop": 20}],
    "{'RandomCrop': {}, 'Pad': {}} is neither": [{"RandomCrop": {}, "Pad": {}}],
    "['RandomCrop'] is neither": [["RandomCrop"]],
    "7 is neither": [7],
    "unknown name 'Gray'": [{"RandomApply": {"transforms": [{"RandomChoice": {"transforms": ["Gray"]}}]}}],
    "RandomOrder: transforms is empty": [{"RandomOrder": {"transforms": []}}],
    "'Pad' is no list": [{"RandomOrder": {"transforms": "Pad"}}],
}


@pytest.mark.parametrize("message", REFUSED)
def test_mistakes_are_answered_in_one_line(message):
    with pytest.raises(ValueError, match=r"^augmentations: ") as refused:
        check_augmentations(REFUSED[message])
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_checking_and_describing_load_nothing_heavy():
    code = (
        "import sys; from dr_lib.config.transform_spec import *;"
        "check_augmentations(LAB_AUGMENTATIONS); describe_augmentations(LAB_AUGMENTATIONS, 224);"
        "check_preprocessing(['CropToRetina']); describe_preprocessing(['CropToRetina']);"
        "print({'torch', 'torchvision', 'numpy', 'scipy', 'numba', 'PIL'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_what_torchvision_refuses_is_an_input_error():
    with pytest.raises(InputError, match="augmentations: GaussianBlur: Kernel size"):
        build_augmentations([{"GaussianBlur": {"kernel_size": 4}}], SIZE)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (["RandomHorizontalFlip"], "a square of 60 px comes out at 60 x 60 px, and the network takes 48 px"),
        ([{"CenterCrop": {"size": [48, 40]}}], "comes out at 40 x 48 px"),
        (["RandomCrop", {"Pad": {"padding": 1}}], "comes out at 50 x 50 px"),
        (["RandomCrop", {"RandomRotation": {"degrees": [40, 50], "expand": True}}], "comes out at"),
        ([{"RandomCrop": {"size": 61}}], "larger than input image size"),
        ([{"RandomChoice": {"transforms": ["RandomCrop", "Grayscale"]}}], "comes out at 60 x 60 px"),
        (["RandomCrop", {"RandomChoice": {"transforms": ["Grayscale"], "p": [1, 2]}}], "weights"),
    ],
)
def test_sizes_are_tried_before_training(value, message):
    with pytest.raises(InputError, match=message):
        Augmentation(value, SIZE).check_output_size(SIDE)


@pytest.mark.parametrize("side", [SIZE, SIZE + 1, SIZE + 2, SIZE + 3, SIDE])
def test_views_are_torchvisions(side):
    pixels = square(side)
    image = Image.fromarray(pixels)
    center = F.center_crop(image, [SIZE, SIZE])
    expected = {
        "none": [center],
        "CenterCrop": [center],
        "FiveCrop": T.FiveCrop(SIZE)(image),
        "TenCrop": T.TenCrop(SIZE)(image),
        "Flips": [center, F.hflip(center), F.vflip(center), F.vflip(F.hflip(center))],
    }
    assert set(expected) == set(VIEWS)
    for name, images in expected.items():
        seen = views(pixels, name, SIZE)
        np.testing.assert_array_equal(seen, np.stack([np.asarray(view) for view in images]))
        assert seen.flags.c_contiguous
        assert seen.flags.writeable


def test_no_view_is_larger_than_the_square():
    with pytest.raises(InputError, match="47 px has no view of 48 px"):
        views(square(SIZE - 1), "FiveCrop", SIZE)


def test_steps_in_words():
    assert describe_augmentations(LAB_AUGMENTATIONS, 224) == [
        "random crop to 224 px",
        "random rotation by -20 to 20 degrees",
        "left-right flip with probability 0.5",
        "upside-down flip with probability 0.5",
    ]
    assert describe_augmentations(
        [{"RandomApply": {"p": 0.3, "transforms": [{"ColorJitter": {"brightness": 0.2}}]}}], 224
    ) == ["all or none of (color jitter, brightness times 0.8 to 1.2) with probability 0.3"]
    assert describe_augmentations([{"RandomRotation": {"degrees": [0, 90], "expand": True}}, "Resize"], 64) == [
        "random rotation by 0 to 90 degrees, expand True",
        "resizing to 64 px",
    ]
    for value, _ in CASES.values():
        assert len(describe_augmentations(value, SIZE)) == len(value)
    assert all(
        f"with probability {T.RandomGrayscale().p}" in words for words in describe_augmentations(["RandomGrayscale"], 9)
    )
    assert all("0.1 to 2 px" in words for words in describe_augmentations([{"GaussianBlur": {"kernel_size": 3}}], 9))
