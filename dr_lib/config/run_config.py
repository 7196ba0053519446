"""Every parameter of a run: its meaning, type, range and default, written once."""

import re
import warnings
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from dr_lib.config.transform_spec import LAB_AUGMENTATIONS, check_augmentations, check_preprocessing
from dr_lib.errors import InputError, closest
from dr_lib.notebook.cells import check_injected
from dr_lib.storage.files import with_home

DEMO_DIR = "data/demo"
"""The one data folder that is drawn where it is missing; a mistyped name of any other is an error."""

RUN_NAME = r"\.*[\w+=-][\w.+=-]*"
"""What a run may be called, a regular expression: the name of one folder, and neither ``.`` nor ``..``."""

MOST_RUNS = 10_000
"""Runs of one experiment; more are a slip of the keyboard, which would take minutes to list."""

CACHE_DIR = "~/.cache/dr-lab"

_SLIP = 0.8
"""Likeness, 0..1, from which on a name is taken for a mistyped parameter: of six letters one may be wrong."""

ABBREVIATIONS = {"lr": "learning_rate"}
"""Spellings that everybody in the field understands, accepted for the names they stand for."""


def _no_bool(value: Any) -> Any:
    """Refuse ``true`` where a number is meant; pydantic would read it as 1."""
    if isinstance(value, bool):
        raise ValueError(f"is {str(value).lower()}, a number is needed")
    return value


def _as_folder(name: str) -> str:
    """Refuse a name that no file system takes for a folder: 255 bytes, some of which are for what is put behind it."""
    if (size := len(name.encode())) > 200:
        raise ValueError(f"is {size} bytes long, a folder's name may be 200")
    return name


# Torch and numpy count in numbers of so many bits, and a larger one is a slip of the keyboard.
Int = Annotated[int, BeforeValidator(_no_bool), Field(lt=2**31)]
Float = Annotated[float, BeforeValidator(_no_bool)]


def _with_text_keys(value: Any) -> Any:
    """Let a mapping have words and numbers for keys; YAML reads a bare ``no`` as false."""
    words = {False: "no", True: "yes"}
    if not isinstance(value, dict):
        return value
    return {words[key] if isinstance(key, bool) else str(key): entry for key, entry in value.items()}


ColumnRole = Literal["image", "path", "grade", "patient", "eye", "split", "quality", "left_grade", "right_grade"]
PathText = Annotated[str, Field(pattern=r"^[^\x00]*$")]
Place = Annotated[PathText, AfterValidator(with_home)]
Share = Annotated[Float, Field(ge=0, lt=1)]


_NEEDS = {
    "int": "needs a whole number",
    "float": "needs a number",
    "finite": "needs a finite number",
    "bool": "needs true or false",
    "string": "needs a text",
    "list": "needs a list",
    "dict": "needs a mapping, name: value",
    "greater_than": "must be more than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than": "must be less than {lt:g}",
    "less_than_equal": "must be at most {le:g}",
    "string_too_short": "must not be empty",
    "too_short": "needs {min_length} values",
    "too_long": "needs {max_length} values",
    "literal_error": "needs {expected}",
    "string_pattern_mismatch": "must not hold a zero character",
}
"""What pydantic's kinds of errors mean, or all of those that begin with the same word."""

_FORMS = {
    "device": "needs auto, cpu, cuda, or one device such as cuda:0",
    "name": "names a folder; use letters, digits and .+=-_, not dots alone",
}
"""The same for parameters whose text has a form of its own."""


def _reason(error: Mapping[str, Any], name: str) -> str:
    """Return what pydantic found wrong with the parameter ``name``, in our words."""
    kind = error["type"]
    if kind == "string_pattern_mismatch" and name in _FORMS:
        return _FORMS[name]
    needs = _NEEDS.get(kind) or _NEEDS.get(kind.partition("_")[0])
    if needs is None:
        return error["msg"].removeprefix("Value error, ")
    slip = closest(str(error["input"]), re.findall("'(.*?)'", error["ctx"]["expected"])) if "literal" in kind else ""
    return needs.format_map(error.get("ctx", {})) + slip


class _RefusedParameter(InputError):
    """What is wrong with a parameter; ``name``: which, empty where several do not fit together."""

    def __init__(self, error: ValidationError, values: Mapping[str, Any]):
        errors = error.errors()
        first = next((refusal for refusal in errors if refusal["type"] == "extra_forbidden"), errors[0])
        self.name = str(first["loc"][0]) if first["loc"] else ""
        message = _reason(first, self.name)
        if first["type"] == "extra_forbidden":
            message = f"unknown parameter {self.name!r}{nearest(self.name, RunConfig.model_fields)}"
        elif self.name:
            meaning = RunConfig.model_fields[self.name].description
            message = f"{self.name}: {values.get(self.name)!r} is refused: {message} ({meaning})"
        super().__init__(message)


class RunConfig(BaseModel):
    """All parameters of one run, validated and immutable.

    The fields are flat so that papermill can inject them one by one; ``train.ipynb`` names the same fields.

    >>> RunConfig(model="resnet50", epochs=20).learning_rate
    0.001
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)

    # Where the photographs are
    data_dir: Place = Field(DEMO_DIR, min_length=1, description="folder of labels and photographs")
    labels: Literal[
        "course",
        "kaggle",
        "aptos",
        "ddr",
        "gdrbench",
        "messidor2",
        "idrid",
        "deepdrid",
        "eyeq",
        "medmnist",
        "table",
        "folders",
        "auto",
    ] = Field("auto", description="form of the labels; auto recognizes it by the files that are there")
    labels_file: PathText = Field("", description="label file inside data_dir, where it has not its usual name")
    labels_files: dict[Literal["train", "validation", "test"], PathText] = Field(
        {}, description="label files inside data_dir, one a split: {train: a.csv, test: b.csv}"
    )
    columns: dict[ColumnRole, str] = Field(
        {}, description="which column of the label file is what, where its name does not tell: {image: photo}"
    )
    grade_map: Annotated[dict[str, Annotated[Int, Field(ge=0, le=4)]], BeforeValidator(_with_text_keys)] = Field(
        {}, description="grades 0-4 of what the labels have instead: {mild: 1, R3: 4}"
    )
    ungradable: list[str | int | float | None] = Field(
        [], description="what labels have where there is no grade: [5, -1, '']; such photographs are left out, listed"
    )
    patient_pattern: PathText = Field(
        "", description="regular expression for names, with the group patient, and eye where they tell it"
    )
    images_dir: PathText = Field("", description="folder of the photographs inside data_dir; empty: looked for")
    limit: Int = Field(0, ge=0, description="at most this many photographs of each split, stratified; 0: all")
    validation_share: Share = Field(0.1, description="share of the training patients held out to choose the epoch")
    given_validation: bool = Field(
        True, description="use the validation split that the labels bring; false: draw one from it and training anew"
    )
    test_share: Share = Field(0.2, description="share of the patients tested on, where the labels bring no split")
    split_seed: Int = Field(0, ge=0, description="seed of the splits made here; the same for all seeds of a sweep")
    on_damage: Literal["repair", "drop", "fail"] = Field(
        "repair", description="truncated photographs: repaired up to max_lost_share, all dropped, or refused"
    )
    max_lost_share: Share = Field(0.1, description="largest share of rows lost that is still repaired")
    min_quality: Share = Field(
        0.0, description="photographs whose quality is less are left out; see the audit's; 0: none"
    )
    generated_train: Int = Field(520, ge=40, description="data/demo, where missing: training photographs to draw")
    generated_test: Int = Field(360, ge=10, description="data/demo: testing photographs to draw")
    generated_size: Int = Field(192, ge=96, description="data/demo: nominal width of the photographs, px")
    generated_shares: Annotated[list[Annotated[Float, Field(ge=0)]], Field(min_length=5, max_length=5)] = Field(
        [50, 12, 18, 10, 10], description="data/demo: weights of grades 0-4; the lab's: 20655, 1955, 4210, 698, 581"
    )

    # The network
    model: str = Field("resnet18", pattern=r"^\w+$", description="a torchvision classifier by name")
    resnet_version: Literal["v1.5", "v1"] = Field(
        "v1.5", description="stride of a bottleneck in its 3x3 convolution (v1.5) or its first 1x1 (v1)"
    )
    residual: bool = Field(True, description="false: a ResNet without its shortcuts, to show the degradation problem")
    zero_init_residual: bool = Field(False, description="each residual block begins as the identity, which eases depth")
    head: Literal["softmax", "coral", "corn", "regression"] = Field(
        "softmax", description="what the outputs mean: five classes, ordered thresholds, or a number with cut-points"
    )
    pretrained: bool = Field(False, description="start from pretrained_weights instead of random values")
    pretrained_weights: Place = Field(
        "DEFAULT", min_length=1, description="DEFAULT, IMAGENET1K_V1, IMAGENET1K_V2, generated, or a file"
    )
    pretraining_photographs: Int = Field(800, ge=40, description="generated weights: photographs drawn")
    pretraining_epochs: Int = Field(4, ge=1, description="generated weights: passes over them")

    # What a sample is
    resize: Int = Field(256, ge=16, description="training: shorter side after Resize and side of the center crop, px")
    image_size: Int = Field(224, ge=16, description="side of what the network sees, px")
    augmentations: list[str | dict[str, Any]] = Field(
        list(LAB_AUGMENTATIONS), description="training: what each epoch draws anew, by torchvision's names, in order"
    )
    test_time_augmentation: Literal["none", "CenterCrop", "Flips", "FiveCrop", "TenCrop"] = Field(
        "none",
        description="testing: as they are, or the mean over views, of which epochs see one; crops are of resize px",
    )
    preprocessing: list[str | dict[str, Any]] = Field(
        [], description="steps on every photograph, in order: CropToRetina, SubtractLocalMean"
    )
    normalization: Literal["imagenet", "featurewise", "samplewise", "zca"] = Field(
        "imagenet", description="by ImageNet's figures, the training set's, each photograph's own, or ZCA whitening"
    )
    fast_decode: bool = Field(
        False, description="decode JPEGs at a fraction of their size: faster, off by a few levels"
    )

    # How it learns
    batch_size: Int = Field(64, ge=1, description="photographs per step")
    epochs: Int = Field(25, ge=1, description="passes over the training photographs, both phases together")
    feature_extraction_epochs: Int = Field(
        5, ge=0, description="pretrained runs: epochs at the start that train the head alone"
    )
    optimizer: Literal["sgd", "adamw"] = Field("sgd", description="SGD with momentum, or AdamW")
    learning_rate: Float = Field(1e-3, gt=0, description="highest step size, for batches of reference_batch if scaled")
    learning_rate_scaling: Literal["none", "linear", "sqrt"] = Field(
        "none", description="how learning_rate grows with batch_size / reference_batch"
    )
    reference_batch: Int = Field(
        256, ge=1, description="batch size that learning_rate is meant for, where it is scaled"
    )
    schedule: Literal["constant", "cosine", "onecycle"] = Field("constant", description="course of the learning rate")
    warmup_epochs: Float = Field(0, ge=0, description="epochs in which the learning rate climbs to its height")
    momentum: Float = Field(0.9, ge=0, lt=1, description="momentum of SGD, beta 1 of AdamW")
    weight_decay: Float = Field(5e-4, ge=0, description="L2 penalty of SGD, decoupled decay of AdamW")
    decay_batchnorm: bool = Field(True, description="weight decay on BatchNorm's parameters and biases too")
    gradient_clip: Float = Field(0, ge=0, description="largest norm of the gradient; 0: any")
    label_smoothing: Share = Field(0, description="share of a target spread over all grades (softmax)")
    focal_gamma: Float = Field(
        0, ge=0, le=5, description="focal loss: how much less what is easy counts (softmax); 0: off"
    )
    regression_loss: Literal["squared_error", "smooth_l1"] = Field(
        "squared_error", description="distance from the grade (regression)"
    )
    mixup_alpha: Float = Field(
        0, ge=0, description="MixUp: photographs laid over each other, Beta(alpha, alpha); 0: off"
    )
    ema_decay: Share = Field(0, description="exponential moving average of the weights: its decay a step; 0: off")
    sampling: Literal["none", "balanced", "sqrt", "decay"] = Field(
        "none", description="rare grades shown more often: equally, by square roots, or equally at first"
    )
    sampling_decay: Float = Field(0.975, gt=0, le=1, description="sampling decay: balance left after each epoch")
    early_stopping: Int = Field(0, ge=0, description="epochs without a better select_by after which to stop; 0: none")
    class_weights: Literal["none", "majority_ratio", "balanced"] | list[Float] = Field(
        "none", description="weights in the loss: none, n_0/n_c, n/(5 n_c), or five numbers"
    )
    select_by: Literal["val_kappa", "val_accuracy", "val_auc", "last", "test_accuracy"] = Field(
        "val_kappa",
        description="figure that chooses the epoch, or the last one; test_accuracy is the lab report's, and optimistic",
    )
    record_gradients: bool = Field(False, description="gradient norm of each layer, a row an epoch, in gradients.csv")
    seed: Int = Field(0, ge=0, lt=2**31, description="seed of weights, order and augmentation")

    # The machine, and where results go
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="auto: CUDA where there is one")
    devices: Int = Field(1, ge=1, description="processes, one a device, that train one run together")
    precision: Literal["float32", "bf16", "fp16"] = Field(
        "float32", description="of training: bf16 on CUDA and CPUs that have it, fp16 on CUDA; tests are float32"
    )
    tf32: bool = Field(False, description="CUDA may round the factors of float32 products to TF32")
    checkpoint_minutes: Float = Field(10, gt=0, description="a checkpoint at least this often, within long epochs")
    num_workers: Int = Field(-1, ge=-1, description="loader processes; -1: chosen for the machine")
    pixel_cache: bool = Field(True, description="keep decoded crops in cache_dir; else decode in every epoch")
    # Its home is that of the machine that uses it: those of a cluster have one each. See cache_folder.
    cache_dir: PathText = Field(CACHE_DIR, min_length=1, description="what may be made again: scan results and crops")
    out_dir: Place = Field("reports/manual", min_length=1, description="experiment folder")
    name: Annotated[str, AfterValidator(_as_folder)] = Field(
        "", pattern=rf"^({RUN_NAME})?$", description="run folder inside out_dir/runs; empty: from the parameters"
    )

    @model_validator(mode="after")
    def _fields_fit_together(self) -> "RunConfig":
        if self.image_size > self.resize:
            raise ValueError(f"image_size {self.image_size} is larger than resize {self.resize}; lower one of them")
        if self.pretrained and self.feature_extraction_epochs > self.epochs:
            raise ValueError(
                f"feature_extraction_epochs {self.feature_extraction_epochs} is more than epochs {self.epochs}; "
                "it counts those of the epochs that train the head alone"
            )
        if isinstance(self.class_weights, list) and (len(self.class_weights) != 5 or min(self.class_weights) <= 0):
            raise ValueError(f"class_weights needs five positive numbers, has {self.class_weights}")
        if self.head != "softmax" and (self.label_smoothing or self.focal_gamma):
            raise ValueError(f"label_smoothing and focal_gamma are softmax's, head is {self.head}; leave them at 0")
        if self.head != "regression" and self.regression_loss != "squared_error":
            raise ValueError(f"regression_loss is the regression head's, head is {self.head}; leave it out")
        if self.select_by == "last" and self.early_stopping:
            raise ValueError("early_stopping: select_by is last, so no figure says when to stop; leave it at 0")
        if self.schedule == "onecycle" and self.warmup_epochs:
            raise ValueError("warmup_epochs: onecycle climbs by itself; leave it at 0")
        if self.batch_size % self.devices:
            raise ValueError(f"batch_size {self.batch_size} does not part evenly among {self.devices} devices")
        if self.normalization == "zca" and self.image_size > 32:
            raise ValueError(f"normalization zca is for image_size up to 32, not {self.image_size}; lower one")
        check_augmentations(self.augmentations)
        check_preprocessing(self.preprocessing)
        return self

    def __init__(self, /, **parameters: Any) -> None:
        """Raises :class:`InputError` for an unknown name, a wrong type or a value out of range, in one line."""
        try:
            super().__init__(**parameters)
        except ValidationError as error:
            raise _RefusedParameter(error, parameters) from None

    @classmethod
    def from_mapping(cls, values: dict[str, Any], sources: dict[str, str] | None = None) -> "RunConfig":
        """Return the configuration with ``values`` over the defaults.

        ``sources`` says for each key where it was written (a file, ``--set``), for the message of an
        :class:`InputError` on an unknown key, a wrong type or a value out of range.
        """
        try:
            return cls(**{str(name): value for name, value in values.items()})
        except _RefusedParameter as error:
            where = (sources or {}).get(error.name)
            raise InputError(f"{where}: {error}" if where else str(error)) from None

    @classmethod
    def from_notebook(cls, names: dict[str, Any]) -> "RunConfig":
        """Return the configuration that a notebook's variables (its ``globals()``) spell out.

        Variables that are no parameters are the user's own; a warning names one that looks like a slip. What papermill
        injects has to be a parameter: papermill itself only warns.
        """
        known = {name: name for name in cls.model_fields} | ABBREVIATIONS
        check_injected(names, known)
        own = [name for name, value in names.items() if isinstance(value, str | int | float | list) and name[0] != "_"]
        for name in own:
            if name not in known and (slip := closest(name, known, likeness=_SLIP)):
                warnings.warn(f"{name} is no parameter{slip}", stacklevel=2)
        return cls.from_mapping({known[name]: value for name, value in names.items() if name in known})

    @property
    def run_name(self) -> str:
        """Name of the run's folder: the given one, or what distinguishes the lab's eight configurations."""
        weighted = self.class_weights != "none"
        return self.name or self.model + "-pretrained" * self.pretrained + "-weighted" * weighted

    def idle(self) -> set[str]:
        """Return the parameters that nothing looks at, the others being what they are."""
        generated = self.pretrained and self.pretrained_weights == "generated"
        conditions: dict[tuple[str, ...], bool] = {
            ("pretrained_weights", "feature_extraction_epochs"): not self.pretrained,
            ("pretraining_photographs", "pretraining_epochs"): not generated,
            ("sampling_decay",): self.sampling != "decay",
            ("max_lost_share",): self.on_damage != "repair",
            ("reference_batch",): self.learning_rate_scaling == "none",
            **{(name,): not getattr(self, name) for name in LABEL_PARAMETERS},
        }
        return {name for names, is_idle in conditions.items() if is_idle for name in names}

    def identity(self) -> dict[str, Any]:
        """Return the parameters that decide the numbers: all but places, names, the number of workers and idle ones."""
        places = {"cache_dir", "pixel_cache", "checkpoint_minutes", "out_dir", "name", "num_workers"}
        return self.model_dump(exclude=places | self.idle())


LABEL_PARAMETERS = ("labels_files", "columns", "grade_map", "ungradable", "patient_pattern")
"""The parameters that say how labels are written where neither their names nor their form tell."""

DATA_PARAMETERS = (
    "data_dir", "labels", "labels_file", *LABEL_PARAMETERS, "images_dir", "limit", "validation_share",
    "given_validation", "test_share", "split_seed", "on_damage", "max_lost_share", "min_quality", "generated_train",
    "generated_test", "generated_size", "generated_shares", "cache_dir",
)  # fmt: skip
"""The parameters that decide which photographs there are."""

TEXT_PARAMETERS = frozenset(
    name
    for name, field in RunConfig.model_fields.items()
    if all(kind is str or isinstance(kind, str) for kind in get_args(field.annotation) or [field.annotation])
)
"""The parameters that are a text, or one of several words."""

CROP_PARAMETERS = ("resize", "image_size", "test_time_augmentation", "preprocessing", "fast_decode", "pixel_cache")
"""The parameters that decide what is made of them once; with those above all that preparing the data uses."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the known name most like ``name``, or where the names are."""
    if name in ABBREVIATIONS:
        return f"; did you mean {ABBREVIATIONS[name]!r}?"
    return closest(name, known) or "; see dr_lib/config/run_config.py for the names"
