import pandas as pd
import pytest
import torch
from data_folders import eyes, write_photographs
from torch.utils.data import DataLoader

from dr_lib.config import RunConfig
from dr_lib.data.crop_dataset import CropDataset, draw_seed, identity_collate
from dr_lib.data.labels import Labels
from dr_lib.data.matching import open_photographs
from dr_lib.data.patients import patient_of
from dr_lib.data.prepare import DataSplits
from dr_lib.data.scan import Scanner
from dr_lib.data.transforms import EvalTransform, TrainTransform


@pytest.fixture(scope="module", params=["stored", "decoded each time"])
def data(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    grades = eyes(range(6))
    write_photographs(folder, list(grades))
    rows = [
        (name, grade, patient_of(name), "train" if i < 8 else "test") for i, (name, grade) in enumerate(grades.items())
    ]
    table = pd.DataFrame(rows, columns=["image", "grade", "patient", "split"])
    photographs = open_photographs(folder, Labels(table))
    scanner = Scanner(photographs, folder, tmp_path_factory.mktemp("cache"), progress=False)
    return DataSplits(Labels(table), photographs, [], "", scanner, stored=request.param == "stored")


CONFIG = RunConfig(resize=40, image_size=32)
TRAIN, TEST = TrainTransform.of(CONFIG), EvalTransform.of(CONFIG)


def by_name(data, *, epoch=0, seed=0, order=None, **loader):
    dataset = CropDataset(data, "train", TRAIN, seed=seed)
    dataset.set_epoch(epoch)
    order = list(order or range(len(dataset)))
    batches = list(DataLoader(dataset, batch_size=3, sampler=order, collate_fn=identity_collate, **loader))
    images, grades = torch.cat([images for images, _ in batches]), torch.cat([grades for _, grades in batches])
    assert grades.tolist() == dataset.table["grade"].iloc[order].tolist()
    return {dataset.table["image"][index]: image for index, image in zip(order, images, strict=True)}


def same(one, other):
    return all(torch.equal(image, other[name]) for name, image in one.items())


@pytest.mark.slow
def test_item_is_image_and_grade(data):
    dataset = CropDataset(data, "test", TEST)
    image, grade = dataset[0]
    assert len(dataset) == 4 and dataset.table["split"].unique().tolist() == ["test"]
    assert image.shape == (32, 32, 3) and image.dtype == torch.uint8
    assert isinstance(grade, int) and grade == dataset.table["grade"][0]
    expected = TEST.recipe.make(data.photographs.pixels(dataset.table["image"][0]))
    assert torch.equal(image, torch.from_numpy(expected))


@pytest.mark.slow
def test_stored_and_decoded_give_the_same(data):
    other = DataSplits(data.labels, data.photographs, [], "", data.scanner, stored=not data.stored)
    assert same(by_name(data), by_name(other))


# torch advises against more workers than cores; here they are there to disagree, not to be quick.
@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
def test_draws_do_not_depend_on_workers_or_order(data):
    alone = by_name(data)
    assert same(by_name(data, num_workers=1), alone)
    assert same(by_name(data, num_workers=4), alone)
    assert same(by_name(data, order=[5, 2, 7, 0, 1, 6, 3, 4]), alone)
    assert same(by_name(data, order=[5, 2, 7, 0, 1, 6, 3, 4], num_workers=2), alone)


def test_draws_depend_on_epoch_seed_and_photograph(data):
    first = by_name(data)
    for other in (by_name(data, epoch=1), by_name(data, seed=1)):
        assert not any(torch.equal(image, other[name]) for name, image in first.items())
    seeds = {draw_seed(seed, epoch, name) for name in first for seed in (0, 1, 11) for epoch in (0, 1, 10)}
    assert len(seeds) == len(first) * 9 and max(seeds) < 2**63
    assert draw_seed(0, 1, "a") != draw_seed(0, 11, "a") and draw_seed(1, 1, "a") != draw_seed(11, 1, "a")


def test_workers_that_outlive_an_epoch_see_the_next_one(data):
    dataset = CropDataset(data, "train", TRAIN)
    loader = DataLoader(dataset, batch_size=8, collate_fn=identity_collate, num_workers=2, persistent_workers=True)
    for epoch in (0, 1, 0):
        dataset.set_epoch(epoch)
        ((images, _),) = loader
        expected = by_name(data, epoch=epoch)
        assert torch.equal(images, torch.stack(list(expected.values())))


def test_unknown_split(data):
    with pytest.raises(ValueError, match="train, validation, test"):
        CropDataset(data, "val", TRAIN)
