"""Runs on a Ray cluster of several nodes, all on this machine: placed, watched, moved, stopped, brought back."""

import os
import platform
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import safetensors.torch
import torch
from command import ForkedTraining
from data_folders import eyes, write_course, write_photographs

from dr_lib.errors import Failure, InputError
from dr_lib.experiment.job import Job
from dr_lib.experiment.jobs import open_backend
from dr_lib.notebook.process import kill_with_children
from dr_lib.storage.files import scratch_folder
from dr_lib.storage.folders import ExperimentFolder

pytestmark = pytest.mark.cluster


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("local", {"address": "10.0.0.1:6379"}, "--address: is for clusters"),
        ("local", {"threads": 4}, "--threads: is for clusters"),
        ("ray", {"address": "ray://head:10001"}, "call dr-lab on one of its machines"),
        ("ray", {"address": "127.0.0.1:9"}, "no Ray cluster answers there.*Connection refused"),
    ],
)
def test_options_that_do_not_fit_are_refused(tmp_path, name, options, told):
    options = {"address": None, "parallel": 1, "threads": None, "timeout": None} | options
    with pytest.raises(InputError, match=told), open_backend(name, tmp_path / "out", **options):
        pass
    assert not (tmp_path / "out").exists()


def test_a_port_of_another_program_is_named_at_once(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            client, _ = server.accept()
            with client:
                client.recv(100)
                client.sendall(b"HTTP/1.0 400 Bad request\r\n\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        options = {"parallel": 1, "threads": None, "timeout": None}
        options |= {"address": f"127.0.0.1:{server.getsockname()[1]}"}
        with (
            pytest.raises(InputError, match="another program listens there"),
            open_backend("ray", tmp_path, **options),
        ):
            pass
        thread.join()


def test_a_run_asks_for_what_it_needs():
    from dr_lib.experiment.ray_backend import resources, threads_per_run
    from dr_lib.experiment.ray_cluster import Node

    assert resources({"device": "auto", "devices": 4}, 8, gpus=True) == {"num_cpus": 8, "num_gpus": 4}
    assert resources({"device": "cpu"}, 8, gpus=True) == {"num_cpus": 8, "num_gpus": 0}
    assert resources({}, 8, gpus=False)["num_gpus"] == resources({"device": "cuda:1"}, 8, gpus=True)["num_gpus"] == 0

    def nodes(*sizes):
        return [Node(str(number), "name", cpus, gpus) for number, (cpus, gpus) in enumerate(sizes)]

    assert threads_per_run(nodes((64, 0), (32, 0)), 4) == 8
    assert threads_per_run(nodes((4, 0), (64, 8)), 8) == 8  # a head without GPUs takes no part
    assert threads_per_run(nodes((0, 0), (16, 0)), 1) == 16
    assert threads_per_run(nodes((2, 0)), 5) == threads_per_run(nodes(), 1) == 1


NODE = {
    "object_store_memory": 100 * 2**20,
    "include_dashboard": False,
    "env_vars": {"RAY_agent_register_timeout_ms": "120000"},  # several nodes start at once on a busy machine
}


@pytest.fixture(scope="module")
def nodes():
    """A cluster of two nodes with a processor each."""
    from ray.cluster_utils import Cluster

    cluster = Cluster()
    for _ in range(2):
        cluster.add_node(num_cpus=1, **NODE)
    yield cluster
    cluster.shutdown()


@pytest.fixture(scope="module")
def connection(nodes):
    """Connected to the cluster, whose workers pretend."""
    from dr_lib.experiment.ray_cluster import connect

    hook = {
        "worker_process_setup_hook": "pretended_runs.pretend",
        "env_vars": {"PYTHONPATH": str(Path(__file__).parent)},
    }
    with connect(nodes.address, runtime_env=hook):
        yield


def a_job(experiment, title, kind, **more):
    folder = ExperimentFolder(experiment).run(title)
    parameters = {"out_dir": str(experiment), "epochs": 2, "device": "cpu"}
    return Job(title, kind, parameters, folder, **more)


def run(experiment, jobs, watch=lambda jobs: None, *, timeout=None, retries=0):
    from dr_lib.experiment.jobs import run_jobs
    from dr_lib.experiment.ray_backend import RayBackend

    with scratch_folder(experiment) as marker:
        run_jobs(jobs, RayBackend(marker, 1, timeout=timeout), watch, retries=retries)


def notes(job):
    return (job.files.path / "notes").read_text().split()


@pytest.mark.slow
def test_jobs_end_as_they_would_here(connection, tmp_path):
    kinds = ("waits", "dies", "works the second time", "hangs")
    (tmp_path / "go").touch()
    jobs = [a_job(tmp_path, kind.replace(" ", "-"), kind) for kind in kinds]
    run(tmp_path, jobs, timeout=4 / 60, retries=1)
    works, dies, lucky, hangs = jobs
    assert [job.state for job in jobs] == ["done", "failed", "done", "failed"]
    assert [job.files.read_status()["state"] for job in jobs] == ["done", "failed", "done", "failed"]
    assert dies.reason == "its process ended with status 137: Killed" and dies.last_words()[-1] == "Killed"
    assert hangs.reason.startswith("it gave no sign of life for 0.0666667 min")
    assert (notes(works), notes(dies)) == (["begun", "done"], ["begun", "begun"])
    assert notes(lucky) == ["begun", "begun", "done"] and lucky.starts == 2
    assert works.files.last_checkpoint.stat().st_size == 5_000_000
    assert (works.files.path / "threads").read_text().split()[0] == "1"


@pytest.mark.slow
def test_a_run_whose_worker_is_killed_or_that_is_told_to_stop_there_is_begun_again_and_ends_once(connection, tmp_path):
    victim = a_job(tmp_path, "victim", "waits")
    met = []

    def watch(jobs):
        begun = notes(victim).count("begun") if (victim.files.path / "notes").exists() else 0
        if begun == 3:
            (tmp_path / "go").touch()
        elif begun == len(met) + 1:
            commands = ((p, p.info["cmdline"] or []) for p in psutil.process_iter(["cmdline"]))
            met.append(next(p for p, command in commands if str(victim.files.notebook) in command))
            if begun == 1:
                met[0].parent().kill()
                assert gone(met[0])  # its watchdog does not let it go on where Ray knows of it no more
            else:
                time.sleep(0.5)  # it takes signals by then
                met[1].terminate()  # as a batch system does that takes the machine away

    run(tmp_path, [victim], watch)
    assert victim.state == "done" and victim.starts == 1
    assert notes(victim) == ["begun", "begun", "begun", "done"]


def gone(process, seconds=20):
    try:
        process.wait(seconds)
    except psutil.TimeoutExpired:
        return False
    return True


@pytest.mark.slow
def test_an_interrupt_stops_what_runs_and_what_waits(connection, tmp_path):
    jobs = [a_job(tmp_path, f"run{number}", "waits") for number in range(4)]

    def interrupt(jobs):
        if sum(job.standing().state == "running" and job.standing().epoch > 0 for job in jobs) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, jobs, interrupt)
    assert {job.state for job in jobs} == {"interrupted"}
    assert all("the same command goes on" in job.reason for job in jobs)
    begun = [job for job in jobs if (job.files.path / "notes").exists()]
    assert len(begun) == 2 and {job.files.read_status()["state"] for job in begun} == {"interrupted"}
    assert not [p for p in psutil.process_iter(["cmdline"]) if str(tmp_path) in " ".join(p.info["cmdline"] or [])]


@pytest.fixture(scope="module")
def params(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cluster")
    training, testing = eyes(range(1, 31)), eyes(range(31, 41))
    write_course(folder / "course", training, testing)
    write_photographs(folder / "course", [*training, *testing])
    (folder / "run.yaml").write_text("")
    (folder / "data.yaml").write_text(
        f"data_dir: {folder / 'course'}\ncache_dir: {folder / 'cache'}\nmodel: shufflenet_v2_x0_5\ndevice: cpu\n"
        "resize: 40\nimage_size: 32\nbatch_size: 8\nepochs: 12\nvalidation_share: 0.2\nlearning_rate: 0.01\n"
    )
    return folder


@pytest.fixture(scope="module")
def here(params, tmp_path_factory):
    """The same runs, trained by a process of this machine with the one thread that they have on the cluster."""
    out_dir = tmp_path_factory.mktemp("here")
    for seed, name in enumerate(("run", "run-seed1", "run-seed2")):
        changes = [f"out_dir={out_dir}", f"name={name}", f"seed={seed}"]
        options = [part for change in changes for part in ("--set", change)]
        status, errors = ForkedTraining(params / "errors", params / "data.yaml", *options).wait()
        assert status == 0, errors
    return ExperimentFolder(out_dir)


@pytest.fixture
def driver():
    """A function that starts ``dr-lab run --engine ray``, the leader of a group as a shell's job is.

    A test that fails leaves no driver at work beside those that follow.
    """
    started = []

    def start(params, out_dir, seeds, *more):
        command = [
            sys.executable, "-m", "dr_lib.cli", "run", "--data", params / "data.yaml", params / "run.yaml",
            "--engine", "ray", "--out", out_dir, "--seeds", seeds, *more,
        ]  # fmt: skip
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
            # For so long the agents of a raylet that is killed ask the dead coordinator before they end; else a minute.
            env=os.environ | {"RAY_gcs_server_request_timeout_seconds": "15"},
        )  # fmt: skip
        started.append(process)
        return process

    yield start
    for process in started:
        with process:  # its pipes are closed, even where a test failed before it had read them
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def assert_same_results(folder, whole):
    ours, theirs = (f.read_history().drop(columns=["seconds", "images_per_second"]) for f in (folder, whole))
    pd.testing.assert_frame_equal(ours, theirs, check_exact=True)
    assert folder.predictions.read_bytes() == whole.predictions.read_bytes()
    kept = [safetensors.torch.load_file(f.best_checkpoint.with_suffix(".safetensors")) for f in (folder, whole)]
    assert kept[0].keys() == kept[1].keys() and all(torch.equal(kept[0][key], kept[1][key]) for key in kept[0])


def until(true, process, seconds=600):
    """Wait for ``true()`` while ``process`` is at work, and return what it says."""
    deadline = time.monotonic() + seconds
    while not (answer := true()):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return answer


@pytest.mark.slow
@pytest.mark.notebooks
def test_three_runs_on_three_nodes_one_of_which_dies_end_as_they_would_here(params, here, nodes, tmp_path, driver):
    seeds = "0,1,2"
    doomed = nodes.add_node(num_cpus=1, **NODE)
    raylet = doomed.all_processes["raylet"][0].process.pid

    def at_work():
        """The runs that are being trained on the node that is to die."""
        commands = [command_of(process) for process in psutil.Process(raylet).children(recursive=True)]
        folders = [folder for folder in ExperimentFolder(tmp_path / "ray").runs() if folder.last_checkpoint.exists()]
        return [f for f in folders if not f.done and any(str(f.notebook) in command for command in commands)]

    process = driver(params, tmp_path / "ray", seeds, "--address", nodes.address)
    (victim,) = until(at_work, process)
    os.kill(raylet, signal.SIGKILL)
    nodes.remove_node(doomed, allow_graceful=False)
    said, errors = process.communicate()
    assert process.returncode == 0, said + errors
    assert f"{victim.name}: running" in said and "started again on" in said, said
    runs = list(ExperimentFolder(tmp_path / "ray").runs())
    assert len(runs) == 3
    for folder in runs:
        assert_same_results(folder, here.run(folder.name))
        # The notebook of a run that is moved is executed anew; the training in it ends once.
        assert folder.log.read_text().count("chosen by val_kappa") == 1
        assert folder.page.exists() and folder.read_status()["state"] == "done"
    assert "going on after epoch" in victim.log.read_text()
    assert ExperimentFolder(tmp_path / "ray").report.exists()


@pytest.mark.slow
@pytest.mark.notebooks
def test_a_cluster_that_is_started_here_is_told_to_stop_and_goes_on_and_leaves_nothing_behind(
    params, here, tmp_path, driver
):
    """Ctrl-C, then ``kill -9``, then the same command to the end."""
    folder = ExperimentFolder(tmp_path / "ray").run("run")

    def nothing_left(process):
        """Whether all that the driver had started has gone; the group tells, and the run's folder."""
        deadline = time.monotonic() + 100
        while time.monotonic() < deadline:
            left = [p for p in psutil.process_iter(["cmdline"]) if _belongs(p, process.pid, tmp_path)]
            if not left:
                return True
            time.sleep(0.5)
        return False

    process = driver(params, tmp_path / "ray", "0,1", "--jobs", "2")
    until(lambda: folder.last_checkpoint.exists(), process)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does, to Ray's processes too
    said, errors = process.communicate(timeout=300)
    assert process.returncode == 130, said + errors
    assert "the same command goes on from the last checkpoints" in errors and "interrupted" in said
    assert folder.read_status()["state"] == "interrupted" and nothing_left(process)

    process = driver(params, tmp_path / "ray", "0,1", "--jobs", "2")
    until(lambda: folder.read_status()["state"] == "running", process)
    process.kill()
    process.communicate()
    assert nothing_left(process)

    process = driver(params, tmp_path / "ray", "0,1", "--jobs", "2")
    said, errors = process.communicate()
    assert process.returncode == 0, said + errors
    assert nothing_left(process)
    for folder in ExperimentFolder(tmp_path / "ray").runs():
        assert_same_results(folder, here.run(folder.name))


def _belongs(process, group, folder):
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return os.getpgid(process.pid) == group or str(folder) in command_of(process)
    except (psutil.NoSuchProcess, ProcessLookupError):
        return False


def command_of(process):
    """Return the command line of a process; one that has ended since it was listed has none."""
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:  # a zombie is one too
        return ""


@pytest.mark.slow
def test_a_machine_without_the_folder_or_the_versions_is_named(connection, tmp_path):
    from dr_lib.experiment.ray_backend import DriverSettings, RayBackend, machine_problem

    missing = tmp_path / "elsewhere" / "marker"
    with pytest.raises(InputError, match=f"^{platform.node()}: {missing.parent} is not there.*; put --out on a disk"):
        RayBackend(missing, 1)
    with scratch_folder(tmp_path) as marker:
        settings = DriverSettings(marker, 1, None)
        assert machine_problem(settings) == ""
        other = replace(settings, versions=settings.versions | {"numpy": "1.0"})
        assert machine_problem(other).startswith(
            f"{platform.node()} has numpy {np.__version__} instead of 1.0; give it"
        )
    assert machine_problem(settings).startswith(f"{platform.node()}: {tmp_path} is not there")


def test_a_coordinator_that_does_not_answer_is_named(monkeypatch, tmp_path):
    import ray

    from dr_lib.experiment import ray_cluster as connection
    from dr_lib.experiment.ray_backend import RayBackend

    class Context:
        gcs_address = "127.0.0.1:9"

    now = time.monotonic()
    monkeypatch.setattr(ray, "get_runtime_context", Context)
    monkeypatch.setattr(connection.time, "monotonic", lambda: now)
    backend, job = RayBackend.__new__(RayBackend), a_job(tmp_path, "run", "works", state="running")
    backend._coordinator, backend._jobs = connection.CoordinatorCheck(), {}
    for _ in range(5):  # for a while: it may be one that is started again
        now += 5
        backend.poll([job])
    now += 5
    with pytest.raises(Failure, match=r"its coordinator at 127.0.0.1:9 does not answer: .*Connection refused"):
        backend.poll([job])
    backend._jobs = {"a task that nobody can cancel": job}
    backend.stop([job])
    assert job.state == "interrupted"


CONNECT = """
import sys
from dr_lib.experiment.ray_cluster import connect, live_nodes
with connect(sys.argv[1]):
    print(len(live_nodes()), "node")
"""


@pytest.mark.slow
def test_a_cluster_with_a_token_asks_for_it(params, tmp_path):
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text(64 * "a")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
    address = f"127.0.0.1:{port}"
    without = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
    without |= {"HOME": str(tmp_path / "elsewhere"), **NODE["env_vars"]}
    token = without | {"HOME": str(tmp_path), "RAY_AUTH_MODE": "token"}
    start = [
        sys.executable, "-c", "from ray.scripts.scripts import main; main()", "start", "--head", "--block",
        "--port", port, "--num-cpus", "1", "--include-dashboard", "false", "--disable-usage-stats",
        "--object-store-memory", str(NODE["object_store_memory"]),
    ]  # fmt: skip
    with subprocess.Popen(start, env=token, stdout=subprocess.PIPE, text=True, start_new_session=True) as head:
        try:
            assert any("Ray runtime started" in line for line in head.stdout)
            for environment, said in ((token, "1 node\n"), (token | {"RAY_AUTH_TOKEN": 64 * "b"}, "")):
                done = subprocess.run(
                    [sys.executable, "-c", CONNECT, address], env=environment, capture_output=True, text=True
                )
                assert done.stdout == said, done.stderr
            command = [
                sys.executable,
                "-m",
                "dr_lib.cli",
                "run",
                "--data",
                params / "data.yaml",
                params / "run.yaml",
            ]
            command += ["--engine", "ray", "--address", address, "--out", tmp_path / "out"]
            done = subprocess.run(command, env=without, capture_output=True, text=True)
            assert done.returncode == 2
            assert done.stderr == (
                f"dr-lab: --address {address}: the cluster asks for a token; put its token into ~/.ray/auth_token and "
                "set RAY_AUTH_MODE=token\n"
            )
        finally:
            kill_with_children(head.pid)  # SIGTERM would wait for half a minute
