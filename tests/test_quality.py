"""The quality score on generated photographs, spoiled on purpose, and on EyeQ's labels where real ones are there."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from data_folders import jpeg, real_data
from PIL import Image, ImageEnhance, ImageFilter
from scipy import ndimage

from dr_lib.config import RunConfig
from dr_lib.data.appearance import UNGRADABLE
from dr_lib.data.quality import MEASURES, RADII, fit_quality, measures
from dr_lib.data.retina import Blur, Circle, reduced, retina_disc
from dr_lib.data.scan_image import ImageInfo, scan_image

BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "quality.py"


@pytest.fixture(scope="module")
def photograph(tmp_path_factory):
    from dr_lib.synthetic import make_data

    folder = tmp_path_factory.mktemp("drawn") / "data"
    make_data(folder, train=5, test=0, size=512, seed=3)
    return Image.open(sorted((folder).rglob("*.jpeg"))[0]).convert("RGB")


def score(image):
    return scan_image(jpeg(image, quality=95))[0].quality


def test_blurred_dark_and_washed_out_photographs_score_less(photograph):
    sound = score(photograph)
    assert sound > 0.9
    for spoiled in (
        photograph.filter(ImageFilter.GaussianBlur(photograph.width / 40)),
        ImageEnhance.Brightness(photograph).enhance(0.1),
        ImageEnhance.Brightness(photograph).enhance(4),
        Image.new("RGB", photograph.size, (120, 60, 30)),
        Image.new("RGB", photograph.size),
    ):
        assert score(spoiled) < min(UNGRADABLE, sound - 0.3)


def test_the_score_is_of_the_retina_whatever_its_size_and_place(photograph):
    larger = photograph.resize((photograph.width * 3, photograph.height * 3), Image.Resampling.BICUBIC)
    framed = Image.new("RGB", (photograph.width * 5 // 4, photograph.height * 5 // 4))
    framed.paste(photograph, (photograph.width // 8, photograph.height // 8))
    values = [score(image) for image in (photograph, larger, framed, photograph.transpose(Image.Transpose.ROTATE_180))]
    np.testing.assert_allclose(values, values[0], atol=0.15)
    assert 0 <= score(Image.new("RGB", (1, 1))) <= 1 and 0 <= score(Image.new("RGB", (3, 700))) <= 1


def test_a_disc_averages_areas_and_masks_what_is_outside_the_frame():
    ramp = np.repeat(np.arange(200, dtype=np.uint8)[None, :, None], 100, axis=0).repeat(3, axis=2)
    disc, mask = retina_disc(ramp, Circle(100, 50, 80), 20)  # 4 px of the photograph for one of the disc
    np.testing.assert_allclose(disc[1, 20] * 255, 21.5 + 4 * np.arange(40), atol=1e-3)
    assert not mask[:7].any() and not mask[33:].any() and mask[20, 5:35].all() and disc.dtype == np.float32
    halved, less = reduced(disc, mask, 2)
    np.testing.assert_allclose(halved[1, 10] * 255, 23.5 + 8 * np.arange(20), atol=1e-3)
    assert less.shape == (20, 20) and not less[3].any() and less[10, 3:17].all()
    assert measures(disc, np.zeros_like(mask)) is None


@pytest.mark.parametrize("sigma", [0.5, 1.0, 7.0, 11.2])
def test_blurs_are_scipys_to_the_bit(sigma):
    random = np.random.default_rng(0)
    values, mask = random.random((56, 56), dtype=np.float32), np.zeros((56, 56), bool)
    mask[3:40, 8:50] = random.random((37, 42)) > 0.1

    def blur(plane):
        return ndimage.gaussian_filter(plane.astype(np.float32), sigma, truncate=3, mode="constant")

    expected = blur(values * mask) / np.maximum(blur(mask), 1e-3)
    blurred = Blur(mask)
    for _ in range(2):  # the second time the mask's area is known
        np.testing.assert_array_equal(blurred(values, sigma)[mask], expected[mask])
    assert not Blur(np.zeros((56, 56), bool))(values, sigma).any()


def test_a_smaller_disc_is_the_means_of_areas_all_of_which_count():
    random = np.random.default_rng(1)
    disc, mask = random.random((3, 112, 112), dtype=np.float32), random.random((112, 112)) > 0.1
    for factor in (2, 4):
        means, smaller = reduced(disc, mask, factor)
        side = 112 // factor
        np.testing.assert_array_equal(means, disc.reshape(3, side, factor, side, factor).mean(axis=(2, 4)))
        np.testing.assert_array_equal(smaller, mask.reshape(side, factor, side, factor).all(axis=(1, 3)))


def test_the_model_fits_labels_of_ones_own():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(200, len(MEASURES)))
    ungradable = values[:, 2] < -0.5
    scores = fit_quality(values, ungradable).score(values)
    assert scores[~ungradable].mean() > 0.8 > 0.3 > scores[ungradable].mean()


def test_what_is_below_min_quality_is_left_out_and_said(caplog):
    from dr_lib.data.prepare import _without_low_quality

    table = pd.DataFrame({"image": ["a", "b", "c"], "split": ["train", "train", "test"]})
    status = ImageInfo.unreadable("").status
    infos = {name: ImageInfo(status, quality=value) for name, value in {"a": 0.2, "b": 0.8, "c": 0.1}.items()}
    assert list(_without_low_quality(table, infos, 0.5)["image"]) == ["b"]
    assert "min_quality 0.5: 2 of 3 photographs are left out (1 train, 1 test): a, c" in caplog.text
    caplog.clear()
    assert len(_without_low_quality(table, infos, RunConfig().min_quality)) == 3 and not caplog.text


@pytest.mark.slow
@pytest.mark.real
def test_ungradable_photographs_are_told_by_patient_folds():
    specification = importlib.util.spec_from_file_location("quality_benchmark", BENCHMARK)
    benchmark = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(benchmark)
    from sklearn.metrics import roc_auc_score

    labels = pd.read_csv(real_data() / "eyeq.csv").dropna()
    rejected = (labels["quality"] == 2).to_numpy()
    files = {path.stem: path for path in (real_data() / "eyepacs-1024" / "images").iterdir()}
    scores = [score(Image.open(files[image]).convert("RGB")) for image in labels["image"]]
    assert roc_auc_score(~rejected, scores) > 0.98  # on the photographs it was fitted to; the benchmark has the folds
    low, high = benchmark.interval(np.array(scores), rejected, labels["image"].str.partition("_")[0].to_numpy())
    assert 0.96 < low < high


def test_the_kept_models_are_of_these_measures():
    kept = json.loads((Path(__file__).parents[1] / "dr_lib" / "data" / "quality.json").read_text())
    assert tuple(kept["measures"]) == MEASURES and set(kept["models"]) == {str(radius) for radius in RADII}
    assert all(len(model["weights"]) == len(MEASURES) for model in kept["models"].values())


def test_rows_that_the_camera_cut_off_within_the_frame_are_not_retina():
    pixels = np.full((300, 440, 3), 120, np.uint8)
    circle = Circle(220, 150, 210)
    _, whole = retina_disc(pixels, circle)
    pixels[:25] = pixels[-30:] = 3
    disc, mask = retina_disc(pixels, circle)
    assert disc[0][mask].min() > 0.4 and 0.6 * whole.sum() < mask.sum() < whole.sum()
    pixels[:100] = 10  # a shadow down to the middle is no cut: it counts as unlit
    disc, mask = retina_disc(pixels, circle)
    assert np.quantile(disc[0][mask], 0.1) < 0.1
    _, none = retina_disc(np.zeros_like(pixels), circle)
    assert none.shape == mask.shape
