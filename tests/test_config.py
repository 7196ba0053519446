import contextlib
import re
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from data_folders import picture
from torchvision import transforms

from dr_lib.config import (
    CROP_PARAMETERS,
    DATA_PARAMETERS,
    RunConfig,
    combine,
    parse_assignment,
    read_parameters,
)
from dr_lib.data.augmentations import build_augmentations
from dr_lib.data.transforms import EvalTransform
from dr_lib.errors import InputError
from dr_lib.notebook.cells import check_injected
from dr_lib.training.pretrain import PRETRAINING_PARAMETERS
from dr_lib.training.schedules import scaled_learning_rate

PARAMS = Path(__file__).parent.parent / "params"
DATA_FILES = sorted((PARAMS / "data").glob("*.yaml"))
RUN_FILES = sorted((PARAMS / "runs").glob("*.yaml"))


def refusal(**values):
    with pytest.raises(InputError) as caught:
        RunConfig.from_mapping(values)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_names_that_are_no_text_are_unknown():
    with pytest.raises(InputError, match="unknown parameter '1'"):
        RunConfig.from_mapping({1: 2})


def test_defaults_are_the_labs_recipe():
    config = RunConfig()
    assert (config.epochs, config.feature_extraction_epochs, config.batch_size) == (25, 5, 64)
    assert (config.learning_rate, config.momentum, config.weight_decay) == (1e-3, 0.9, 5e-4)
    assert (config.resize, config.image_size) == (256, 224)
    assert config.augmentations == [
        "RandomCrop", {"RandomRotation": {"degrees": 20}}, "RandomHorizontalFlip", "RandomVerticalFlip",
    ]  # fmt: skip
    assert combine([PARAMS / "recipes" / "lab.yaml"]) == config


def test_nvidias_recipe_is_the_one_quoted_in_the_lab_report():
    config = combine([PARAMS / "recipes" / "nvidia.yaml"], ["batch_size=64"])
    assert (config.optimizer, config.momentum, config.weight_decay) == ("sgd", 0.875, 1 / 32768)
    assert (config.schedule, config.label_smoothing, config.decay_batchnorm) == ("cosine", 0.1, False)
    rate = scaled_learning_rate(
        config.learning_rate, config.batch_size, config.reference_batch, config.learning_rate_scaling
    )
    assert rate == 0.064  # 0.256 for 256
    random_crop, flip = build_augmentations(config.augmentations, config.image_size)
    assert (random_crop.size, random_crop.scale, flip.p) == ((224, 224), [0.08, 1.0], 0.5)
    # Testing: Resize(256), CenterCrop(224).
    image = picture(3, (500, 333))
    transform = EvalTransform.of(config)
    lab = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(224)])
    np.testing.assert_array_equal(transform(transform.recipe.make(np.asarray(image)))[0], np.asarray(lab(image)))


def test_unknown_parameter_names_the_nearest_and_the_file(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("epoch: 3\n")
    with pytest.raises(InputError, match=r"mine.yaml: unknown parameter 'epoch'; did you mean 'epochs'\?"):
        combine([file])


def test_numbers_that_yaml_reads_as_text_are_numbers(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("learning_rate: 1e-3\nweight_decay: 5e-4\n")
    config = combine([file])
    assert (config.learning_rate, config.weight_decay) == (0.001, 0.0005)


def test_lr_is_understood_and_later_files_win_under_either_spelling(tmp_path):
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_text("lr: 1e-2\n")
    second.write_text("learning_rate: 1e-4\n")
    assert combine([first]).learning_rate == 0.01
    assert combine([first, second]).learning_rate == 0.0001
    assert combine([second], ["lr=1e-3"]).learning_rate == 0.001


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"batch_size": -1}, ["batch_size", "-1", "at least 1"]),
        ({"batch_size": 2.5}, ["batch_size", "2.5"]),
        ({"batch_size": True}, ["batch_size", "true"]),
        ({"epochs": "many"}, ["epochs", "many"]),
        ({"learning_rate": float("nan")}, ["learning_rate"]),
        ({"learning_rate": 0}, ["learning_rate", "more than 0"]),
        ({"device": "gpu"}, ["device", "gpu"]),
        ({"device": "cuda:x"}, ["device", "needs auto, cpu, cuda, or one device such as cuda:0"]),
        ({"labels": "csv"}, ["labels", "csv", "course"]),
        ({"labels": "kagle"}, ["labels", "did you mean 'kaggle'?"]),
        ({"lr": 0.1}, ["unknown parameter 'lr'; did you mean 'learning_rate'?"]),
        ({"name": "../elsewhere"}, ["name", "../elsewhere"]),
        ({"class_weights": [1, 2]}, ["class_weights", "five positive"]),
        ({"class_weights": [1, 2, 3, 4, 0]}, ["class_weights", "five positive"]),
        ({"class_weights": "heavy"}, ["class_weights", "heavy"]),
        ({"image_size": 300}, ["image_size 300", "resize 256"]),
        ({"select_by": "last", "early_stopping": 3}, ["early_stopping", "last", "0"]),
        ({"pretrained": True, "epochs": 3}, ["feature_extraction_epochs 5", "epochs 3"]),
    ],
)
def test_refusals_name_key_value_and_remedy(values, words):
    message = refusal(**values)
    assert all(word in message for word in words), message


def test_no_words_of_pydantic_reach_the_user():
    odd = ("many", 1.5, -1, 2**40, float("nan"), None, True, [], [1, "a"], {}, {"a": "b"}, "", "\0", "a/b", object())
    for name in RunConfig.model_fields:
        for value in odd:
            with contextlib.suppress(InputError):
                RunConfig(**{name: value})
                continue
            said = refusal(**{name: value})
            assert not re.search("should|match pattern|a valid", said), said


def test_scratch_runs_may_be_shorter_than_the_first_phase():
    assert RunConfig(epochs=3).epochs == 3


@pytest.mark.parametrize("text", ["epochs", "=3", "x=[1"])
def test_malformed_assignment_is_refused(text):
    with pytest.raises(InputError, match="--set"):
        parse_assignment(text)


def test_assignments_win_over_files(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("epochs: 3\n")
    assert combine([file], ["epochs=4", "class_weights=[1, 2, 3, 4, 5]"]).epochs == 4
    with pytest.raises(InputError, match="--set epochs=0: epochs: 0"):
        combine([file], ["epochs=0"])


@pytest.mark.parametrize("content", ["- a\n- b\n", "epochs: [1\n", "\x00"])
def test_file_that_is_no_mapping_is_refused(tmp_path, content):
    file = tmp_path / "mine.yaml"
    file.write_text(content)
    with pytest.raises(InputError, match=r"mine\.yaml"):
        combine([file])
    with pytest.raises(InputError, match=r"none\.yaml: no such params file"):
        combine([tmp_path / "none.yaml"])


def test_yaml_cannot_run_code(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("name: !!python/object/apply:os.system ['touch gone']\n")
    with pytest.raises(InputError, match="not YAML"):
        combine([file])


def test_the_eight_run_files_hold_only_what_differs():
    assert len(RUN_FILES) == 8
    configs = {path.stem: combine([path]) for path in RUN_FILES}
    assert {(c.model, c.pretrained, c.class_weights) for c in configs.values()} == {
        (model, pretrained, weights)
        for model in ("resnet18", "resnet50")
        for pretrained in (True, False)
        for weights in ("none", "majority_ratio")
    }
    assert all(config.run_name == name for name, config in configs.items())
    assert {c.batch_size for c in configs.values() if c.model == "resnet50"} == {16}


NOTEBOOKS = PARAMS.parent / "notebooks"


def cells_of(notebook):
    """Return the source of the cell of parameters, and that of the folded cell before it, if there is one."""
    cells = [cell for cell in nbformat.read(NOTEBOOKS / notebook, 4).cells if cell.cell_type == "code"]
    (at,) = [at for at, cell in enumerate(cells) if "parameters" in cell.metadata.get("tags", [])]
    folded = cells[at - 1].metadata.get("jupyter", {}).get("source_hidden")
    return cells[at].source, cells[at - 1].source if folded else ""


def parameters_of(notebook):
    """Return what the notebook sets, in the order in which it does."""
    shown, folded = cells_of(notebook)
    names = {}
    exec(folded + "\n" + shown, {}, names)
    return names


def test_the_cell_of_parameters_shows_the_dozen_that_people_change():
    shown, _ = cells_of("train.ipynb")
    assert 10 <= len(shown.splitlines()) <= 15
    for name in ("data_dir", "labels", "out_dir", "model", "pretrained", "epochs", "learning_rate", "seed"):
        assert f"\n{name} = " in "\n" + shown


def test_train_ipynb_names_every_parameter_once_with_its_default_and_meaning():
    shown, folded = cells_of("train.ipynb")
    named = []
    for line in [*shown.splitlines(), *folded.splitlines()]:
        (name,) = re.findall(r"^(?:# )?(\w+) = ", line)
        named.append(name)
        assert line.endswith(f"  # {RunConfig.model_fields[name].description}"), line
        if line.startswith("# "):
            assert eval(line[2:].partition(" = ")[2]) == RunConfig.model_fields[name].default, line
    assert sorted(named) == sorted(RunConfig.model_fields)


@pytest.mark.parametrize("notebook", ["audit.ipynb", "pretrain.ipynb"])
def test_the_other_notebooks_show_parameters_that_their_work_uses(notebook):
    used = {"audit.ipynb": {*DATA_PARAMETERS, *CROP_PARAMETERS, "out_dir"}, "pretrain.ipynb": {*PRETRAINING_PARAMETERS}}
    assert set(parameters_of(notebook)) <= used[notebook]
    assert {*DATA_PARAMETERS, *PRETRAINING_PARAMETERS} <= set(RunConfig.model_fields)


def test_notebook_runs_on_the_demo_by_default():
    defaults = RunConfig.from_notebook(parameters_of("train.ipynb"))
    assert defaults == combine([PARAMS / "data" / "demo.yaml", PARAMS / "recipes" / "demo.yaml"])


@pytest.mark.parametrize("data", DATA_FILES, ids=lambda path: path.stem)
@pytest.mark.parametrize("run", RUN_FILES, ids=lambda path: path.stem)
def test_plain_papermill_and_the_command_line_mean_the_same(data, run):
    """papermill lays the files over the notebook's values, dr-lab over the defaults: the result must agree."""
    notebook = parameters_of("train.ipynb")
    recipe = PARAMS / "recipes" / ("demo.yaml" if data.stem == "demo" else "lab.yaml")
    files = [recipe, data, run]
    over_defaults = combine(files)
    given = {name: getattr(over_defaults, name) for name in combine_keys(files)}
    assert RunConfig.from_notebook(notebook | given) == over_defaults


def combine_keys(files):
    return [key for file in files for key in read_parameters(file)]


INJECTED = '# Parameters\nepoch = 3\nmodel = "resnet50"\n'


def test_an_injected_parameter_that_is_none_is_refused():
    """papermill only warns, and the run would be another than the one that was asked for."""
    with pytest.raises(InputError, match="unknown parameter 'epoch'; did you mean 'epochs'"):
        RunConfig.from_notebook({"epochs": 2, "epoch": 3, "In": ["", "import dr_lib", INJECTED]})
    with pytest.raises(InputError, match=r"unknown parameter 'xyzzy'; see docs/parameters\.md"):
        RunConfig.from_notebook({"In": ["# Parameters\nxyzzy = [1, 2]\n"]})


def test_a_notebook_of_few_parameters_names_them():
    check_injected({"In": ["# Parameters\nrun = 'a'\n"], "image": 3}, ["run", "image"])
    with pytest.raises(InputError, match="unknown parameter 'seed'; this notebook has run, image"):
        check_injected({"In": ["# Parameters\nseed = 1\n"]}, ["run", "image"])


def test_variables_of_the_user_are_no_parameters(recwarn):
    own = {"threshold": 0.5, "rows": ["a"], "table": pd.DataFrame(), "In": ["threshold = 0.5"], "_i1": "x", "f": print}
    assert RunConfig.from_notebook({"epochs": 2, **own}) == RunConfig(epochs=2)
    assert not recwarn


def test_a_slip_in_the_cell_of_parameters_is_named():
    with pytest.warns(UserWarning, match="epoch is no parameter; did you mean 'epochs'"):
        assert RunConfig.from_notebook({"epochs": 2, "epoch": 3, "In": ["epoch = 3"]}).epochs == 2


def test_a_parameter_of_another_kind_is_refused_rather_than_left_out():
    with pytest.raises(InputError, match=r"model: .* is refused"):
        RunConfig.from_notebook({"model": print})
