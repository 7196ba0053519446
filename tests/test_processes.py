"""One run on two processes, over gloo on this machine's CPU, against the same run on one."""

import json
import os
import socket
import subprocess
import sys
import time
from datetime import timedelta
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from data_folders import eyes, write_course, write_photographs

from dr_lib.config import RunConfig, combine
from dr_lib.errors import InputError
from dr_lib.storage.folders import ExperimentFolder
from dr_lib.training import device
from dr_lib.training import run as run_module
from dr_lib.training.device import start_accelerator
from dr_lib.training.loaders import check_trainable
from dr_lib.training.run import train_run
from dr_lib.training.sampler import EpochPlan


@pytest.fixture(scope="module")
def params(tmp_path_factory):
    folder = tmp_path_factory.mktemp("processes")
    # 37 photographs to train on: the last batch is short and does not part evenly; 15 to test: nor do they.
    training = dict(list(eyes(range(1, 24)).items())[:-1])
    testing = dict(list(eyes(range(31, 39)).items())[:-1])
    write_course(folder / "course", training, testing)
    write_photographs(folder / "course", [*training, *testing])
    file = folder / "params.yaml"
    file.write_text(
        f"data_dir: {folder / 'course'}\ncache_dir: {folder / 'cache'}\nmodel: resnet18\nname: run\ndevice: cpu\n"
        "resize: 72\nimage_size: 64\nbatch_size: 8\nepochs: 2\nvalidation_share: 0.2\nlearning_rate: 0.0002\n"
        "class_weights: majority_ratio\nschedule: cosine\n"
    )
    return file


@pytest.fixture(scope="module")
def one(params, tmp_path_factory):
    """The run of one process, this one."""
    return train_run(combine([params], [f"out_dir={tmp_path_factory.mktemp('one')}"]))


def run(params, out_dir, *launcher):
    done = subprocess.run(
        [sys.executable, *launcher, "-m", "dr_lib.training", params, "--set", f"out_dir={out_dir}"],
        capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return ExperimentFolder(out_dir).run("run")


TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def assert_as_one(two, one):
    ours, theirs = two.read_history(), one.read_history()
    figures = ["train_loss", "val_loss", "test_loss"]
    # Sums in another order differ in the last bit, and training multiplies such differences from step to step.
    np.testing.assert_allclose(ours[figures], theirs[figures], rtol=3e-3)
    ours, theirs = two.read_predictions(), one.read_predictions()
    assert ours["image"].tolist() == theirs["image"].tolist() and len(ours) == 15  # each once, in order
    probabilities = [f"p{grade}" for grade in range(5)]
    np.testing.assert_allclose(ours[probabilities], theirs[probabilities], atol=1e-2)
    assert (ours["predicted"] == theirs["predicted"]).mean() > 0.9


@pytest.mark.slow
def test_two_processes_give_the_figures_of_one(params, one, tmp_path):
    two = run(params, tmp_path, *TORCHRUN)
    assert_as_one(two, one)
    assert '"processes": 2' in two.config.read_text()


@pytest.mark.slow
def test_devices_launches_as_many_processes_from_one(params, one, tmp_path):
    """As a notebook does: one process, which is this one, asks for two."""
    two = train_run(combine([params], [f"out_dir={tmp_path}", "devices=2"]))
    assert_as_one(two, one)
    assert '"processes": 2' in two.config.read_text()


@pytest.mark.parametrize("count", [37, 33, 40, 5])
@pytest.mark.parametrize("kind", ["none", "balanced"])
def test_the_shares_of_two_processes_are_the_whole_batch(count, kind):
    grades = np.arange(count) % 5
    common = {"batch_size": 8, "kind": kind, "decay": 0.9, "seed": 3}
    whole, *parts = (EpochPlan(grades, **common, process=p, processes=n) for p, n in ((0, 1), (0, 2), (1, 2)))
    for epoch in (1, 2):
        for plan in (whole, *parts):
            plan.begin(epoch)
        together = [sorted(one + other) for one, other in zip(*parts, strict=True)]
        flat = [index for batch in whole for index in batch]
        assert sorted(flat) == sorted(index for batch in together for index in batch)
        assert all(len(one) >= 1 and len(other) >= 1 for one, other in zip(*parts, strict=True))
        if kind == "none":
            assert sorted(flat) == list(range(count))
        assert len(set(flat)) == count  # what comes again has an index of its own
        whole.begin(epoch, first_step=2)
        assert [index for batch in whole for index in batch] == flat[16:]


@pytest.mark.slow
def test_batchnorm_over_processes_is_torchs_over_the_whole_batch(tmp_path):
    code = """
import torch, torch.distributed as dist
from torch import nn
from dr_lib.training.distributed import over_all_processes
dist.init_process_group("gloo")
rank = dist.get_rank()
torch.manual_seed(0)
images = torch.randn(6, 3, 5, 5).double() * 3 + 1
ours, torchs = nn.BatchNorm2d(3).double(), nn.BatchNorm2d(3).double()
over_all_processes(nn.Sequential(ours), torch.device("cpu"))
whole = images.clone().requires_grad_()
(torchs(whole) ** 3).sum().backward()
own = images[rank::2].clone().requires_grad_()
out = ours(own)
(out ** 3).sum().backward()
dist.all_reduce(ours.weight.grad)
torch.testing.assert_close(own.grad, whole.grad[rank::2])
torch.testing.assert_close(ours.weight.grad, torchs.weight.grad)
for name, value in torchs.state_dict().items():
    torch.testing.assert_close(ours.state_dict()[name], value)
torch.testing.assert_close(ours.eval()(images), torchs.eval()(images))
dist.destroy_process_group()
"""
    (tmp_path / "check.py").write_text(code)
    done = subprocess.run(
        [sys.executable, *TORCHRUN, tmp_path / "check.py"], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr


OPTIONS = [
    {"head": "softmax", "label_smoothing": 0.1},
    {"head": "softmax", "focal_gamma": 2.0, "gradient_clip": 0.5},
    {"head": "coral", "mixup_alpha": 1.0},
    {"head": "corn"},
    {"head": "corn", "mixup_alpha": 1.0},
    {"head": "regression"},
    {"head": "softmax", "mixup_alpha": 1.0, "precision": "bf16"},
]

STEP = """
import json, sys, torch
from accelerate.state import AcceleratorState
from dr_lib.config import RunConfig
from dr_lib.models.trained import new_head, new_network
from dr_lib.system.environment import is_one_of_several
from dr_lib.training import device
from dr_lib.training.distributed import over_all_processes
from dr_lib.training.learner import Learner
from dr_lib.training.sampler import EpochPlan
device.cpu_multiplies_bf16 = lambda: True  # slowly, where it has no instructions for it
torch.set_num_threads(1)
generator = torch.Generator().manual_seed(1)
grades, images = torch.arange(37) % 5, torch.randn(37, 3, 32, 32, generator=generator)
found = []
for options in json.loads(sys.argv[1]):
    config = RunConfig(model="resnet18", device="cpu", batch_size=9, learning_rate=1e-3, **options)
    AcceleratorState._reset_state()  # of several processes it is kept, with its precision
    accelerator = device.start_accelerator(config)
    rank, processes = accelerator.process_index, accelerator.num_processes
    torch.manual_seed(0)
    model = new_network(config)
    if processes > 1:
        model = over_all_processes(model, accelerator.device)
    head = new_head(config, [1.0, 10.565, 4.906, 29.59, 35.55])
    learner = Learner(config, model, head, accelerator, steps_an_epoch=5)
    learner.start_phase("fine-tuning")
    learner.train_mode()
    plan = EpochPlan(grades, batch_size=9, kind="none", decay=1.0, seed=0, process=rank, processes=processes,
                     neighbor=config.mixup_alpha > 0)
    batch = next(iter(plan))
    sums = accelerator.reduce(learner.step(images[batch], grades[batch], 0), "sum")
    found.append((sums, [parameter.grad.float() for parameter in model.parameters()]))
if rank == 0:
    torch.save(found, sys.argv[2])
if is_one_of_several():
    torch.distributed.destroy_process_group()
"""


@pytest.mark.slow
def test_two_processes_take_the_step_of_one_whatever_the_head_and_the_options(tmp_path):
    (tmp_path / "step.py").write_text(STEP)
    for name, launcher in (("one", ()), ("two", TORCHRUN)):
        command = [sys.executable, *launcher, tmp_path / "step.py", json.dumps(OPTIONS), tmp_path / name]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
    for options, one, two in zip(OPTIONS, torch.load(tmp_path / "one"), torch.load(tmp_path / "two"), strict=True):
        halved = options.get("precision") == "bf16"
        torch.testing.assert_close(two[0][:2], one[0][:2], rtol=0.02 if halved else 1e-5, atol=0)
        ours, theirs = (torch.cat([gradient.flatten() for gradient in side[1]]) for side in (two, one))
        # In bf16 the gradient of a network that has learned nothing is a third noise, on one process, too.
        assert (ours - theirs).norm() < (0.5 if halved else 1e-4) * theirs.norm(), options


def test_a_network_that_drops_outputs_at_random_is_for_one_process():
    data = SimpleNamespace(split=lambda name: range(20))
    small = {"batch_size": 4, "resize": 64, "image_size": 64}
    check_trainable(RunConfig(model="mobilenet_v3_small", **small), data)
    check_trainable(RunConfig(model="resnet18", devices=2, **small), data)
    with pytest.raises(InputError, match=r"devices: mobilenet_v3_small drops outputs at random, .*devices=1"):
        check_trainable(RunConfig(model="mobilenet_v3_small", devices=2, **small), data)


@pytest.fixture
def unused_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return str(taken.getsockname()[1])


@pytest.mark.parametrize("rank", ["0", "1"])
def test_a_process_whose_others_do_not_come_says_so(monkeypatch, unused_port, rank):
    monkeypatch.setattr(device, "_WAIT_FOR_THE_OTHERS", timedelta(seconds=1))
    address = {"RANK": rank, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": unused_port}
    for name, value in address.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=rf"process {rank} of 2: the others have not come to 127.0.0.1:{unused_port}"):
        start_accelerator(RunConfig(device="cpu"))


def test_a_stray_world_size_is_named(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(InputError, match=r"MASTER_ADDR, MASTER_PORT not; .*unset WORLD_SIZE"):
        start_accelerator(RunConfig(device="cpu"))


@pytest.mark.slow
def test_two_processes_that_are_stopped_within_an_epoch_go_on_to_the_figures_of_two_that_are_not(params, tmp_path):
    code = """
import os, signal, sys
from pathlib import Path
from dr_lib.config import combine
from dr_lib.system.signals import Interrupted
from dr_lib.training.learner import Learner
from dr_lib.training.run import train_run
config = combine([Path(sys.argv[1])], ["model=shufflenet_v2_x0_5", "epochs=1", "image_size=36", "resize=40"])
out = lambda name: config.model_copy(update={"out_dir": str(Path(sys.argv[2], name))})
train_run(out("whole"))
real_step = Learner.step
def stopped(learner, images, grades, number):
    if number == 2 and os.environ["RANK"] == "1":
        os.kill(os.getpid(), signal.SIGTERM)
    return real_step(learner, images, grades, number)
Learner.step = stopped
try:
    train_run(out("broken"))
except Interrupted:
    Learner.step = real_step
    train_run(out("broken"))
    print("went on")
"""
    (tmp_path / "check.py").write_text(code)
    done = subprocess.run(
        [sys.executable, *TORCHRUN, tmp_path / "check.py", params, tmp_path],
        capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "going on after epoch 0, step 3" in done.stdout and done.stdout.count("went on") == 2
    broken, whole = (ExperimentFolder(tmp_path / name).run("run").read_history() for name in ("broken", "whole"))
    figures = [column for column in whole if column not in ("phase", "seconds", "images_per_second")]
    assert broken[figures].equals(whole[figures])


WAITS = """
import signal, sys, time
def told(*_):
    open(sys.argv[-1], "w").close()
    sys.exit()
signal.signal(signal.SIGTERM, told)
"""
SAYS_SO = "print('ready', flush=True); time.sleep(60)"


@pytest.mark.parametrize("what", ["any", "one of several", pytest.param("torchrun", marks=pytest.mark.slow)])
def test_a_process_ends_with_the_one_that_started_it(tmp_path, what):
    child = {
        "any": f"{WAITS}from dr_lib.system.process_pool import stop_with_parent; stop_with_parent(); {SAYS_SO}",
        "one of several": f"{WAITS}import dr_lib.training.__main__ as m\nm.app = lambda: exec({SAYS_SO!r})\nm.main()",
        "torchrun": f"{WAITS}{SAYS_SO}",
    }[what]
    script, told = tmp_path / "child.py", tmp_path / "told"
    script.write_text(child)
    launcher = (
        ["-m", "dr_lib.training.distributed", "--standalone", "--nproc-per-node", "1"] if what == "torchrun" else []
    )
    command = [sys.executable, *launcher, str(script), str(told)]
    parent = f"import subprocess, time; subprocess.Popen({command!r}); time.sleep(60)"
    environment = os.environ | {"WORLD_SIZE": "2", "PYTHONPATH": os.pathsep.join(sys.path)}
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True, "env": environment}
    with subprocess.Popen([sys.executable, "-c", parent], **options) as process:
        assert process.stdout.readline() == "ready\n"
        began = time.monotonic()
        process.kill()
        assert process.stdout.read() == ""  # until the child, too, has closed it
    assert told.exists() and time.monotonic() - began < 50


def test_a_worker_whose_parent_has_ended_before_it_began_ends_at_once():
    code = "from dr_lib.system.process_pool import end_with_parent; end_with_parent(1234567); print('lives')"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True)
    assert (ended.returncode, ended.stdout) == (1, b"")


def test_the_loss_of_another_process_is_said_in_plain_words(params, tmp_path, monkeypatch):
    def lost(config):
        raise torch.distributed.DistNetworkError("[..gloo/transport/tcp/pair.cc:547] Connection closed by peer")

    accelerator = SimpleNamespace(is_main_process=True, num_processes=2)
    monkeypatch.setattr(run_module, "start_accelerator", lambda config: accelerator)
    monkeypatch.setattr(run_module, "prepare_data", lost)
    with pytest.raises(RuntimeError, match="another of the 2 processes of this run has ended"):
        train_run(combine([params], [f"out_dir={tmp_path}"]))
    assert "another of the 2" in ExperimentFolder(tmp_path).run("run").read_status()["reason"]


@pytest.mark.slow
def test_what_ended_one_of_several_processes_is_the_reason_of_all(params, tmp_path):
    """The process that asks for two learns it from the run's record, not from torchrun's table."""
    config = combine([params], [f"out_dir={tmp_path}", "devices=2", "learning_rate=1e30", "epochs=1"])
    with pytest.raises(RuntimeError, match=r"not finite in epoch 1, step \d, at learning rate"):
        train_run(config)
    assert "not finite" in ExperimentFolder(tmp_path).run("run").read_status()["reason"]
