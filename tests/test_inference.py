"""Networks out of the lab: exported files against torch, and the command that grades."""

import io
import json
import os
import re
import sys
from contextlib import nullcontext
from pathlib import Path
from unittest import mock

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
import torch
from command import dr_lab
from data_folders import eyes, jpeg, picture, real_data, write_photographs
from PIL import Image
from torchvision import transforms

from dr_lib import GRADE_NAMES
from dr_lib.config import RunConfig
from dr_lib.data.augmentations import views as views_of_square
from dr_lib.data.normalization import IMAGENET_MEAN, IMAGENET_STD, Normalization
from dr_lib.errors import InputError
from dr_lib.inference import backends as choice
from dr_lib.inference import onnx_export
from dr_lib.inference.backends import OnnxBackend, TorchBackend, select_backend
from dr_lib.inference.end_to_end import answers, views
from dr_lib.inference.exported import FORMAT, KEYS, Description, fingerprint
from dr_lib.inference.inputs import photographs_named
from dr_lib.inference.model import grade_photographs
from dr_lib.inference.onnx_export import export_onnx
from dr_lib.models.trained import load_trained, new_head, new_network
from dr_lib.storage.checksums import ONNX_SEAL, write_sealed
from dr_lib.storage.files import write_bytes
from dr_lib.training.checkpoint import save_network

pytestmark = pytest.mark.usefixtures("one_core")

KINDS = [
    {"head": "softmax", "normalization": "imagenet", "test_time_augmentation": "none"},
    {"head": "corn", "normalization": "samplewise", "test_time_augmentation": "TenCrop"},
    {"head": "coral", "normalization": "zca", "test_time_augmentation": "Flips", "image_size": 16},
    {"head": "regression", "normalization": "featurewise", "test_time_augmentation": "FiveCrop"},
]
"""Every head, every normalization, and every kind of view."""


def write_checkpoint(path, **parameters):
    """Write a network with random weights whose BatchNorm has seen something, as a run keeps it."""
    config = RunConfig(**{"resize": 40, "image_size": 32, "data_dir": str(path.parent / "nowhere")} | parameters)
    torch.manual_seed(0)
    model, rng = new_network(config), np.random.default_rng(0)
    with torch.no_grad():
        model(torch.randn(16, 3, 32, 32))
    crops = [rng.integers(0, 256, (40, 40, 3), dtype=np.uint8) for _ in range(8)]
    normalization = Normalization.fit(config.normalization, crops, config.image_size)
    save_network(path, model, new_head(config), normalization, config)
    return path


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """A checkpoint and the same network exported by the command, its model card beside it."""
    folder = tmp_path_factory.mktemp("deployment")
    checkpoint = write_checkpoint(folder / "net.pt")
    assert dr_lab("export", checkpoint, "--onnx") == 0
    return checkpoint, folder / "net.onnx"


@pytest.fixture
def photographs(tmp_path):
    """A folder of whole and damaged photographs, in two levels."""
    folder = tmp_path / "photographs"
    (folder / "more").mkdir(parents=True)
    for number in range(4):
        (folder / f"{number}_left.jpeg").write_bytes(jpeg(picture(number)))
    (folder / "more" / "deep.PNG").write_bytes(png(picture(4)))
    (folder / "more" / "unended.jpg").write_bytes(jpeg(picture(3))[:-2])
    (folder / "more" / "half.jpg").write_bytes(jpeg(picture(3))[:700])
    (folder / "more" / "notes.txt").write_text("no photograph")
    return folder


def png(image):
    stream = io.BytesIO()
    image.save(stream, "png")
    return stream.getvalue()


def refused(capsys, *arguments):
    """Return the one line that the command refuses with."""
    assert dr_lab(*arguments) == 2
    line = capsys.readouterr().err
    assert line.startswith("dr-lab: ") and line.count("\n") == 1
    return line


def theirs(checkpoint, image):
    """Return outputs of the checkpoint's network on a Pillow image prepared by torchvision alone."""
    trained = load_trained(checkpoint)
    transform = transforms.Compose([
        transforms.Resize(32), transforms.CenterCrop(32), transforms.ToTensor(),
        transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD),
    ])  # fmt: skip
    with torch.inference_mode():
        return trained.model(transform(image)[None])[0].numpy()


@pytest.mark.parametrize("name", ["pipe.pt", "pipe.onnx"])
def test_a_pipe_is_no_network(name, photographs, tmp_path, capsys):
    os.mkfifo(tmp_path / name)  # which nobody writes into: to open it would wait for ever
    assert name in refused(capsys, "predict", tmp_path / name, photographs)


@pytest.mark.parametrize("name", ["none", "CenterCrop", "FiveCrop", "TenCrop", "Flips"])
def test_views_in_the_graph_are_those_of_the_run(name):
    square = np.random.default_rng(1).integers(0, 256, (41, 41, 3), dtype=np.uint8)
    expected = views_of_square(square, name, 32)
    found = torch.cat(views(torch.from_numpy(square)[None], name, 32)).numpy()
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind["head"])
def test_the_whole_network_answers_as_the_run_does(kind, tmp_path):
    trained = load_trained(write_checkpoint(tmp_path / "net.pt", **kind))
    if kind["head"] == "regression":
        trained.head.fit(torch.linspace(-1, 3, 50)[:, None], torch.arange(50) // 10)
    pictures = [np.asarray(picture(number)) for number in range(3)]
    grader = TorchBackend(trained)
    crops = np.stack([grader.recipe.make(pixels) for pixels in pictures])
    outputs, probabilities, grades = grader.run(crops)
    assert outputs.dtype == np.float32 and probabilities.dtype == np.float64 and grades.dtype == np.int64
    for place, pixels in enumerate(pictures):
        assert np.allclose(outputs[place], trained.outputs(pixels)[0], atol=1e-5)
        assert np.allclose(probabilities[place], trained.probabilities(pixels), atol=1e-5)
        assert grades[place] == trained.predicted(pixels)
    assert not np.allclose(grader.run(crops[..., ::-1].copy())[0], outputs, atol=1e-4)  # the order of channels counts


@pytest.mark.slow
def test_the_file_alone_is_enough_to_grade(exported, tmp_path, monkeypatch):
    """The code on the model card, which has the file and torchvision's transforms, gives what torch gives."""
    checkpoint, file = exported
    code = re.search(r"```python\n(.*?)```", file.with_suffix(".md").read_text(), re.DOTALL)[1]
    picture(5, (120, 90)).save(tmp_path / "photo.jpeg")
    (tmp_path / "net.onnx").symlink_to(file)
    monkeypatch.chdir(tmp_path)
    found = {}
    exec(code, found)
    with Image.open("photo.jpeg") as image:
        expected = theirs(checkpoint, image.convert("RGB"))
    assert np.abs(found["outputs"][0] - expected).max() < 1e-4
    shares = np.exp(expected.astype(float)) / np.exp(expected.astype(float)).sum()
    assert np.allclose(found["probabilities"][0], shares, atol=1e-5)
    assert found["grades"][0] == expected.argmax()


def test_the_file_says_what_it_is(exported):
    checkpoint, file = exported
    model = onnx.load(file)
    onnx.checker.check_model(model, full_check=True)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert set(KEYS) <= set(metadata)
    assert json.loads(metadata["dr_lab.grade_names"]) == list(GRADE_NAMES)
    assert metadata["dr_lab.checkpoint_sha256"] == fingerprint(checkpoint)
    assert [entry.version for entry in model.opset_import if entry.domain == ""] == [int(metadata["dr_lab.opset"])]
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    assert (given.name, given.type, given.shape[1:]) == ("pixels", "tensor(uint8)", [32, 32, 3])
    assert isinstance(given.shape[0], str)
    for count in (1, 5):
        found = session.run(None, {"pixels": np.zeros((count, 32, 32, 3), np.uint8)})
        assert [part.shape for part in found] == [(count, 5), (count, 5), (count,)]
    assert Description.from_metadata(metadata, file).as_metadata() == {key: metadata[key] for key in KEYS}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS[1:], ids=lambda kind: kind["head"])
def test_every_head_normalization_and_view_is_exported(kind, tmp_path):
    checkpoint = write_checkpoint(tmp_path / "net.pt", **kind)
    grader, trained = OnnxBackend(export_onnx(checkpoint, tmp_path / "net.onnx")), load_trained(checkpoint)
    for number in range(3):
        pixels = np.asarray(picture(number))
        outputs, probabilities, grades = grader.run(grader.recipe.make(pixels)[None])
        assert np.abs(outputs - trained.outputs(pixels).numpy()).max() < 1e-4
        assert np.abs(probabilities[0] - trained.probabilities(pixels)).max() < 1e-4
        assert grades[0] == trained.predicted(pixels)


def test_a_file_that_answers_differently_is_not_kept(exported, tmp_path, monkeypatch):
    checkpoint, file = exported
    model = onnx.load(file)
    layer = next(weights for weights in model.graph.initializer if weights.name.endswith("fc.bias"))
    moved = onnx.numpy_helper.to_array(layer) + np.float32(2e-4)
    layer.CopyFrom(onnx.numpy_helper.from_array(moved, layer.name))
    monkeypatch.setattr(onnx_export, "_traced", lambda *arguments: model)
    with pytest.raises(InputError, match=r"differ from torch's by 0\.0002"):
        export_onnx(checkpoint, tmp_path / "moved.onnx")
    assert list(tmp_path.iterdir()) == []


def test_rounding_of_large_outputs_is_no_difference(exported):
    """As of a network that has seen three tiny epochs: outputs of hundreds, which float32 keeps to 5 digits."""

    class Large(torch.nn.Module):
        def forward(self, crops):
            return torch.full((len(crops), 5), 800.0), torch.full((len(crops), 5), 0.2)

    crops, file = np.zeros((2, 8, 8, 3), np.uint8), Path("large.onnx")

    def answers(outputs):
        return lambda grader, crops: [np.full((len(crops), 5), outputs), np.full((len(crops), 5), 0.2)]

    for outputs, refused in ((800.01, nullcontext()), (800.2, pytest.raises(InputError, match=r"by 0\.00025 of the"))):
        graded = mock.patch.multiple(OnnxBackend, __init__=lambda *_: None, run=answers(outputs))
        with graded, refused:
            onnx_export.check_outputs_agree(file, Large(), crops, exported[0])


def test_a_network_that_cannot_be_exported_is_refused_in_one_line(exported, tmp_path, monkeypatch):
    def fails(*arguments, **options):
        raise RuntimeError("cannot say\nthis")

    monkeypatch.setattr(torch.onnx, "export", fails)
    with pytest.raises(InputError) as refusal:
        export_onnx(exported[0], tmp_path / "never.onnx")
    assert "cannot say" in str(refusal.value) and "\n" not in str(refusal.value)


@pytest.mark.slow
def test_checkpoint_and_exported_file_give_the_same_grades(exported, photographs, tmp_path, capsys):
    checkpoint, file = exported
    answers = {}
    for network in (checkpoint, file):
        assert dr_lab("predict", network, photographs, "--json", "--cache", tmp_path / "cache") == 1
        shown = capsys.readouterr()
        assert "1 of 7 files not graded" in shown.err
        answers[network] = {Path(row["image"]).name: row for row in json.loads(shown.out)}
    assert list(answers[checkpoint]) == [
        *(f"{number}_left.jpeg" for number in range(4)), "deep.PNG", "half.jpg", "unended.jpg",
    ]  # fmt: skip
    half = answers[file]["half.jpg"]
    assert (half["status"], half["grade"], half["probabilities"]) == ("truncated", None, None)
    assert "% of the rows are lost" in half["detail"]
    assert answers[file]["unended.jpg"]["status"] == "end marker missing"
    assert answers[file]["unended.jpg"]["probabilities"] == answers[file]["3_left.jpeg"]["probabilities"]
    for name, row in answers[file].items():
        if name != "half.jpg":
            assert row["grade"] == answers[checkpoint][name]["grade"]
            assert np.allclose(row["probabilities"], answers[checkpoint][name]["probabilities"], atol=1e-5)
    for name in ("0_left.jpeg", "2_left.jpeg"):
        with Image.open(photographs / name) as image:
            assert answers[file][name]["grade"] == theirs(checkpoint, image.convert("RGB")).argmax()


@pytest.mark.slow
def test_predictions_come_as_table_csv_and_file(exported, photographs, tmp_path, capsys):
    _, file = exported
    assert dr_lab("predict", file, photographs / "0_left.jpeg", photographs / "more" / "half.jpg") == 1
    heading, first, second = capsys.readouterr().out.splitlines()
    assert heading.split() == ["image", "grade", "p0", "p1", "p2", "p3", "p4"]
    assert "0_left.jpeg" in first and "not graded: truncated" in second
    out = tmp_path / "made" / "grades.csv"
    assert dr_lab("predict", file, photographs, "--out", out) == 1
    assert capsys.readouterr().out == f"{out}\n"
    table = pd.read_csv(out)
    assert list(table) == ["image", "status", "detail", "grade", "p0", "p1", "p2", "p3", "p4"]
    whole = table.dropna(subset="grade")
    assert len(table) == 7 and len(whole) == 6
    assert np.allclose(whole.filter(regex=r"^p\d").sum(axis=1), 1)
    assert dr_lab("predict", file, photographs / "0_left.jpeg", "--csv") == 0
    assert capsys.readouterr().out.startswith("image,status")
    assert "choose one" in refused(capsys, "predict", file, photographs, "--csv", "--json")
    assert "needs one of" in refused(capsys, "predict", file, photographs, "--format", "xml")


def test_a_list_on_standard_input_is_graded(exported, photographs, monkeypatch, capsys):
    _, file = exported
    names = [photographs / "2_left.jpeg", photographs / "1_left.jpeg", photographs / "2_left.jpeg"]
    text = "".join(f"{name}\n" for name in names).encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
    assert dr_lab("predict", file, "-", "--json") == 0
    assert [row["image"] for row in json.loads(capsys.readouterr().out)] == list(map(str, names[:2]))
    lists = (
        b"\xef\xbb\xbf" + text.replace(b"\n", b"\r\n"),
        text.replace(b"\n", b"\0"),
        b"".join(b'"%s"  \n' % os.fsencode(name) for name in names),
        text.decode().encode("utf-16"),
    )
    for listed in lists:
        assert photographs_named([Path("-")], io.BytesIO(listed)) == names[:2]
    odd = photographs / " 'new\nline' .jpeg "
    odd.write_bytes(jpeg(picture(0)))
    assert photographs_named([Path("-")], io.BytesIO(os.fsencode(odd) + b"\0")) == [odd]
    odd = odd.rename(photographs / "'blank' ")
    assert photographs_named([Path("-")], io.BytesIO(os.fsencode(odd) + b"\n")) == [odd]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"gone.jpeg\nalso-gone.jpeg\n")))
    line = refused(capsys, "predict", file, "-")
    assert "gone.jpeg: no such file" in line and "1 more" in line


def test_what_cannot_be_graded_is_refused(exported, photographs, tmp_path, capsys):
    checkpoint, file = exported
    (tmp_path / "empty").mkdir()
    assert "no photographs there" in refused(capsys, "predict", file, tmp_path / "empty")
    assert "gone.jpeg" in refused(capsys, "predict", file, photographs, "gone.jpeg")
    assert "gone.pt" in refused(capsys, "predict", "gone.pt", photographs)
    assert "gone.onnx" in refused(capsys, "predict", "gone.onnx", photographs)
    (tmp_path / "broken.onnx").write_bytes(file.read_bytes()[:1000])
    assert "broken.onnx" in refused(capsys, "predict", tmp_path / "broken.onnx", photographs)
    other = onnx.load(file)
    del other.metadata_props[:]
    onnx.save(other, tmp_path / "other.onnx")
    assert "dr-lab export" in refused(capsys, "predict", tmp_path / "other.onnx", photographs)
    assert "--onnx" in refused(capsys, "export", checkpoint)
    assert "ends in .onnx" in refused(capsys, "export", checkpoint, "--onnx", "--out", tmp_path / "net.bin")
    assert "exported already" in refused(capsys, "export", file, "--onnx")
    assert "best.pt" in refused(capsys, "evaluate", file, "--data", "data.yaml")


def changed(checkpoint, name, change):
    """Write a copy of a checkpoint beside it with one tensor changed in place."""
    content = torch.load(checkpoint, weights_only=True)
    change(content["model"][name])
    path = checkpoint.with_name(f"{name}.pt")
    torch.save(content, path)
    return path


def external(folder, grades, split):
    """Write a data set to test on and return its params file; ``split``: that of all rows, none where empty."""
    write_photographs(folder / "images", list(grades))
    heading, more = ("image,grade,split", f",{split}") if split else ("image,grade", "")
    (folder / "labels.csv").write_text("\n".join([heading, *(f"{name},{g}{more}" for name, g in grades.items()), ""]))
    data = folder / "external.yaml"
    data.write_text(f"data_dir: {folder}\nlabels: table\n")
    return data


@pytest.mark.slow
def test_a_network_that_has_diverged_grades_nothing(tmp_path, photographs, capsys):
    network = write_checkpoint(tmp_path / "net.pt", cache_dir=str(tmp_path / "cache"))
    nan = changed(network, "layer2.0.conv1.weight", lambda tensor: tensor[0, 0, 0].fill_(np.nan))
    huge = changed(network, "fc.weight", lambda tensor: tensor.mul_(1e38).mul_(1e38))
    deep = changed(network, "layer4.1.conv2.weight", lambda tensor: tensor.fill_(1e38))
    data = external(tmp_path / "external", eyes(range(5)), "test")
    for checkpoint, reason in ((nan, "layer2.0.conv1.weight is not finite"), (huge, "fc.weight is not finite"),
                               (deep, "outputs of the network: not all are finite")):  # fmt: skip
        assert reason in refused(capsys, "predict", checkpoint, photographs / "0_left.jpeg", "--json")
        assert reason in refused(capsys, "evaluate", checkpoint, "--data", data)
        assert reason in refused(capsys, "export", checkpoint, "--onnx")
        assert not checkpoint.with_suffix(".onnx").exists()


def test_an_exported_network_that_gives_nan_grades_nothing(exported, photographs, tmp_path, capsys):
    model = onnx.load(exported[1])
    layer = next(weights for weights in model.graph.initializer if weights.name.endswith("fc.bias"))
    broken = onnx.numpy_helper.to_array(layer) * np.float32(np.nan)
    layer.CopyFrom(onnx.numpy_helper.from_array(broken, layer.name))
    del model.metadata_props[-1]  # its checksum
    write_sealed(tmp_path / "nan.onnx", lambda stream: stream.write(model.SerializeToString()), ONNX_SEAL)
    line = refused(capsys, "predict", tmp_path / "nan.onnx", photographs / "0_left.jpeg")
    assert "0_left.jpeg: outputs of the network: not all are finite" in line


def test_no_network_is_saved_that_is_not_finite(tmp_path):
    trained = load_trained(write_checkpoint(tmp_path / "net.pt"))
    with torch.no_grad():
        trained.model.fc.bias[0] = torch.inf
    with pytest.raises(FloatingPointError, match=r"fc\.bias is not finite"):
        save_network(tmp_path / "never.pt", trained.model, trained.head, trained.normalization, trained.config)
    assert not list(tmp_path.glob("never*"))


def test_a_network_that_does_not_fit_its_file_is_one_line(tmp_path, photographs, capsys):
    network = write_checkpoint(tmp_path / "net.pt")
    content = torch.load(network, weights_only=True)
    content["parameters"]["model"] = "resnet50"
    torch.save(content, network)
    for arguments in (("predict", network, photographs), ("export", network, "--onnx")):
        line = refused(capsys, *arguments)
        assert "net.pt does not fit the network" in line and len(line) < 200


@pytest.mark.slow
def test_a_whole_external_set_is_evaluated(exported, tmp_path, capsys):
    """It need not do for training: all in one split, or of one grade, or in no split at all."""
    for name, grades, split, asked in (
        ("tested", eyes(range(5)), "test", "test"),
        ("one grade", eyes(range(5), lambda patient: 2), "test", "test"),
        ("no split", eyes(range(5)), "", "all"),
        ("validated", eyes(range(5)), "val", "all"),
    ):
        data = external(tmp_path / name, grades, split)
        options = ("--split", asked, "--set", f"cache_dir={tmp_path / 'cache'}")
        assert dr_lab("evaluate", exported[0], "--data", data, *options, "--json") == 0
        figures = json.loads(capsys.readouterr().out)
        assert (figures["photographs"], figures["patients"]) == (10, 5)
        assert figures["majority_accuracy"] == pd.Series(grades).value_counts(normalize=True).max()
    assert "no train photographs" in refused(capsys, "evaluate", exported[0], "--data", data, "--split", "train")


def test_names_of_files_are_text_in_the_table(exported, photographs, capsys):
    names = ["[red]x.jpeg", "\x1b[31mred\n.jpeg"]
    for name in names:
        (photographs / name).write_bytes(jpeg(picture(0)))
    assert dr_lab("predict", exported[1], *(photographs / name for name in names)) == 0
    shown = capsys.readouterr().out
    assert "[red]x.jpeg" in shown and "\x1b" not in shown
    assert r"\x1b[31mred\n.jpeg" in shown and len(shown.splitlines()) == 3


@pytest.mark.slow
def test_photographs_are_decoded_in_processes_and_keep_their_order(exported, photographs, monkeypatch):
    monkeypatch.setattr("dr_lib.inference.model.inspect", lambda *_: pytest.fail("decoded without limits"))
    grader = OnnxBackend(exported[1], parallel=2)
    for number in range(8):
        (photographs / f"n{number:02}.jpeg").write_bytes(jpeg(picture(number)))
    (photographs / "n03.jpeg").write_bytes(b"nothing")
    (photographs / "n05.jpeg").unlink()
    (photographs / "n05.jpeg").mkdir()  # a file that cannot be read, also where root may read all
    paths = sorted(photographs.glob("*.jpeg"), reverse=True)
    steps = []
    together = grade_photographs(grader, paths, steps.append)
    assert [found.path for found in together] == paths
    assert steps == list(range(1, len(paths) + 1))
    alone = [grade_photographs(grader, [path])[0] for path in paths[:3]]
    assert together[:3] == alone  # to the bit: neighbors do not matter
    damaged = {found.path.name: found.status for found in together if found.grade is None}
    assert set(damaged) == {"n03.jpeg", "n05.jpeg"} and "cannot be read" in damaged["n05.jpeg"].detail


def test_for_few_photographs_torch_grades_and_for_many_an_export_is_kept(exported, tmp_path, monkeypatch):
    checkpoint, file = exported
    made = []

    def copies(checkpoint, out, trained):
        made.append(out)
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_bytes(file.read_bytes())

    monkeypatch.setattr(onnx_export, "export_onnx", copies)
    monkeypatch.setattr(choice, "KEPT", 1)
    assert isinstance(select_backend(checkpoint, 5, tmp_path), TorchBackend) and not made
    assert isinstance(select_backend(checkpoint, choice.WORTH_AN_EXPORT, tmp_path), OnnxBackend)
    monkeypatch.setattr("dr_lib.models.trained.load_trained", lambda path: pytest.fail("torch is not needed"))
    assert isinstance(select_backend(checkpoint, 1, tmp_path), OnnxBackend) and len(made) == 1
    monkeypatch.undo()
    made[0].write_bytes(b"damaged")
    assert isinstance(select_backend(checkpoint, 1, tmp_path), TorchBackend)


@pytest.mark.slow
def test_a_damaged_export_is_refused_and_one_in_the_cache_is_named_and_made_again(
    exported, photographs, tmp_path, monkeypatch, capsys, caplog
):
    checkpoint, file = exported
    sound, rng = file.read_bytes(), np.random.default_rng(0)
    copy = tmp_path / "copy.onnx"
    bits = [*rng.integers(0, 8 * len(sound), 20), 8 * len(sound) - 1]
    for bit in bits:
        damaged = bytearray(sound)
        damaged[bit // 8] ^= 1 << int(bit) % 8
        copy.write_bytes(damaged)
        with pytest.raises(InputError, match=r"copy\.onnx: is damaged, .*; export the checkpoint again"):
            OnnxBackend(copy)
    assert "copy.onnx: is damaged" in refused(capsys, "predict", copy, photographs)
    copy.write_bytes(sound[: len(sound) // 2] + bytes(4096) + sound[len(sound) // 2 + 4096 :])
    with pytest.raises(InputError, match="is damaged"):
        OnnxBackend(copy)

    kept = tmp_path / "networks" / f"{fingerprint(checkpoint)[:32]}-{FORMAT}.onnx"
    kept.parent.mkdir()
    kept.write_bytes(copy.read_bytes())
    monkeypatch.setattr(onnx_export, "export_onnx", lambda checkpoint, out, trained: out.write_bytes(sound))
    assert isinstance(select_backend(checkpoint, choice.WORTH_AN_EXPORT, tmp_path), OnnxBackend)
    assert f"{kept}: is damaged" in caplog.text and kept.read_bytes() == sound


def test_where_no_export_can_be_made_torch_grades(exported, tmp_path, monkeypatch):
    def refuses(*arguments):
        raise InputError("cannot be exported")

    monkeypatch.setattr(onnx_export, "export_onnx", refuses)
    assert isinstance(select_backend(exported[0], choice.WORTH_AN_EXPORT, tmp_path), TorchBackend)


def test_corn_in_the_graph_multiplies_as_the_head_does(tmp_path):
    trained = load_trained(write_checkpoint(tmp_path / "net.pt", head="corn"))
    outputs = torch.randn(50, 4)
    probabilities, grades = answers(trained.head, outputs)
    assert torch.allclose(probabilities, trained.head.probabilities(outputs), atol=1e-15)
    assert torch.equal(grades, trained.head.predicted(outputs))


@pytest.mark.slow
@pytest.mark.real
def test_real_photographs_get_torchs_outputs(exported):
    checkpoint, file = exported
    folder = real_data() / "eyepacs-1024" / "images"
    paths = sorted(folder.iterdir())[:40]
    assert len(paths) == 40
    for found in grade_photographs(OnnxBackend(file, parallel=2), paths):
        with Image.open(found.path) as image:
            assert np.abs(np.array(found.outputs) - theirs(checkpoint, image.convert("RGB"))).max() < 1e-4


@pytest.mark.real
def test_odd_files_get_a_status_each(exported):
    paths = sorted(path for path in (real_data() / "odd-jpegs").rglob("*") if path.suffix in (".jpg", ".jpeg"))
    assert len(paths) > 300
    graded = grade_photographs(OnnxBackend(exported[1], parallel=2), paths)
    for found in graded:
        assert (found.grade is not None) == (found.status.kind in ("intact", "end marker missing"))
    assert {found.status.kind for found in graded} >= {"intact", "truncated", "unreadable"}


def test_the_exports_used_last_stay_in_the_cache_whatever_the_times_of_their_files(tmp_path, monkeypatch):
    monkeypatch.setattr(choice, "KEPT", 2)
    monkeypatch.setattr(choice, "OnnxBackend", lambda path, parallel: path)
    monkeypatch.setattr(choice, "check_memory_for_torch", lambda: None)
    monkeypatch.setattr("dr_lib.models.trained.load_trained", lambda path: None)
    monkeypatch.setattr(onnx_export, "export_onnx", lambda checkpoint, out, trained: write_bytes(out, b"an export"))
    networks = [tmp_path / f"{name}.pt" for name in "abc"]
    for network in networks:
        network.write_bytes(network.name.encode())
    cache = tmp_path / "cache"
    first, second = (choice.select_backend(network, choice.WORTH_AN_EXPORT, cache) for network in networks[:2])
    assert choice.select_backend(networks[0], 1, cache) == first
    os.utime(first, (0, 0))  # as a copy of the cache has it
    third = choice.select_backend(networks[2], choice.WORTH_AN_EXPORT, cache)
    assert set(first.parent.glob("*.onnx")) == {first, third} and not second.exists()
