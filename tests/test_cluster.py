"""Runs on a Ray cluster of several nodes, all on this machine: placed, watched, moved, stopped, brought back."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import safetensors.torch
import torch
from data_folders import eyes, write_course, write_photographs

from dr_lib.errors import InputError
from dr_lib.experiment.backend import open_backend
from dr_lib.experiment.job import Job
from dr_lib.experiment.ray.connection import Cluster, while_it_lasts
from dr_lib.experiment.ray.coordinator import Coordinator, Ended, Superseded
from dr_lib.experiment.ray.parcels import PIECE, Parcels, fetch, outgoing, send
from dr_lib.experiment.status import RunStatus
from dr_lib.storage.folders import ExperimentFolder

pytestmark = pytest.mark.cluster


def test_the_newest_attempt_alone_is_listened_to(tmp_path):
    board = Coordinator(tmp_path)
    assert board.start("run#0") == (1, None)
    assert board.tell("run#0", 1, RunStatus("run", "running")) is False
    assert board.start("run#0") == (2, None)
    with pytest.raises(Superseded, match="attempt 1 at run#0"):
        board.tell("run#0", 1, RunStatus("run", "running", epoch=9))
    for late in (lambda: board.end("run#0", 1, Ended("done")), lambda: board.accept("run#0", 1)):
        with pytest.raises(Superseded):
            late()
    assert board.news() == {"run#0": RunStatus("run", "running")} and board.news() == {}
    board.stop()
    assert board.tell("run#0", 2, RunStatus("run", "running")) is True
    board.end("run#0", 2, Ended("done"))
    assert board.start("run#0") == (3, Ended("done"))
    board.forget("run#0")
    assert board.start("run#0") == (1, None)


def a_run_folder(experiment):
    folder = ExperimentFolder(experiment).run("run")
    folder.last_checkpoint.parent.mkdir(parents=True)
    folder.last_checkpoint.write_bytes(os.urandom(PIECE + 5))
    folder.best_checkpoint.write_bytes(b"best")
    for name in ("history.csv", "empty", "lock", ".history.csv.x.part", "checkpoints/last.new"):
        (folder.path / name).write_bytes(b"" if name == "empty" else name.encode())
    return folder


def test_a_run_folder_arrives_whole_or_not_at_all(tmp_path):
    there, here = a_run_folder(tmp_path / "there"), tmp_path / "here"
    parcels = Parcels(here)
    # The checkpoint to go on from is read first, and takes its place last: its best network is never older than it.
    assert next(outgoing(there.path)).name == "last.pt"
    send(tmp_path / "there", there.path, lambda *piece: parcels.receive("run#0-1", *piece))
    assert not (here / "runs").exists()
    parcels.accept("run#0-1")
    arrived = {str(path.relative_to(here)): path.read_bytes() for path in here.rglob("*") if path.is_file()}
    wanted = {"runs/run/history.csv", "runs/run/empty", "runs/run/checkpoints/last.pt", "runs/run/checkpoints/best.pt"}
    assert arrived.keys() == wanted
    assert all(content == (tmp_path / "there" / name).read_bytes() for name, content in arrived.items())
    fetch(tmp_path / "back", parcels.listing("runs/run"), parcels.read)
    assert {str(path.relative_to(tmp_path / "back")) for path in (tmp_path / "back").rglob("*.*")} >= {
        "runs/run/history.csv", "runs/run/checkpoints/last.pt"
    }  # fmt: skip
    assert (tmp_path / "back/runs/run/checkpoints/last.pt").read_bytes() == there.last_checkpoint.read_bytes()
    assert parcels.listing("runs/never") == []


@pytest.mark.parametrize("path", ["../outside", "/etc/passwd", "runs/../../outside"])
def test_parcels_do_not_leave_the_experiment(tmp_path, path):
    with pytest.raises(ValueError, match="is not in"):
        Parcels(tmp_path / "here").receive("run", path, 0, b"x")
    with pytest.raises(ValueError, match="is not in"):
        Parcels(tmp_path / "here").read(path, 0)


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("local", {"address": "10.0.0.1:6379"}, "--address: is for clusters"),
        ("local", {"threads": 4}, "--threads: is for clusters"),
        ("ray", {"address": "ray://head:10001"}, "call dr-lab on one of its machines"),
        ("ray", {"address": "127.0.0.1:9"}, "no Ray cluster of use there.*Connection refused"),
    ],
)
def test_options_that_do_not_fit_are_refused(name, options, told):
    options = {"address": None, "parallel": 1, "threads": None, "timeout": None} | options
    with pytest.raises(InputError, match=told), open_backend(name, **options):
        pass


def test_a_job_asks_for_what_it_needs(monkeypatch):
    from dr_lib.experiment.ray.connection import Machine
    from dr_lib.experiment.ray.ray_backend import demand_of, threads_in

    assert demand_of({"device": "auto", "devices": 4}, 8, gpus=True) == {"num_cpus": 8, "num_gpus": 4}
    assert demand_of({"device": "cpu"}, 8, gpus=True) == {"num_cpus": 8, "num_gpus": 0}
    assert demand_of({}, 8, gpus=False)["num_gpus"] == demand_of({"device": "cuda:1"}, 8, gpus=True)["num_gpus"] == 0

    class Of:
        def __init__(self, *sizes):
            self.sizes = sizes

        def machines(self):
            return [Machine(str(number), "name", cpus, gpus) for number, (cpus, gpus) in enumerate(self.sizes)]

    assert threads_in(Of((64, 0), (32, 0)), 4) == 8
    assert threads_in(Of((4, 0), (64, 8)), 8) == 8  # a head without GPUs takes no part
    assert threads_in(Of((0, 0), (16, 0)), 1) == 16 and threads_in(Of((2, 0)), 5) == threads_in(Of(), 1) == 1


QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_agent_register_timeout_ms": "120000"}


@pytest.fixture(scope="module")
def nodes():
    """A cluster of two nodes with a processor each; Ray's helper leaves sockets and processes to the collector."""
    from ray.cluster_utils import Cluster

    import dr_lib.experiment.ray.connection as connection

    os.environ.update(QUIET)
    with connection._quick_start(True):
        cluster = Cluster()
        for _ in range(2):
            cluster.add_node(num_cpus=1, object_store_memory=100 * 2**20, include_dashboard=False)
    yield cluster
    cluster.shutdown()


@pytest.fixture(scope="module")
def connection(nodes):
    """Connected to the cluster, whose workers pretend."""
    from dr_lib.experiment.ray.connection import connected

    hook = {
        "worker_process_setup_hook": "pretended_runs.pretend",
        "env_vars": {"PYTHONPATH": str(Path(__file__).parent)},
    }
    with connected(nodes.address, runtime_env=hook) as cluster:
        yield cluster


def a_job(experiment, title, kind, **more):
    folder = ExperimentFolder(experiment).run(title)
    parameters = {"out_dir": str(experiment), "epochs": 2, "device": "cpu"}
    return Job(title, kind, parameters, folder, **more)


def run(cluster, experiment, jobs, watch=lambda jobs: None, *, shared=True, timeout=None, retries=0):
    from dr_lib.experiment.jobs import run_jobs
    from dr_lib.experiment.ray.ray_backend import RayEngine

    engine = RayEngine(cluster, experiment, threads=1, timeout=timeout)
    if not shared:
        ExperimentFolder(experiment).token.unlink()
    run_jobs(jobs, 1, watch, retries=retries, engine=engine)


def notes(job):
    return (job.files.path / "notes").read_text().split()


@pytest.mark.parametrize("shared", [True, False], ids=["shared disk", "disks of their own"])
def test_jobs_end_as_they_would_here(connection, tmp_path, shared):
    kinds = ("waits", "dies", "works the second time", "hangs")
    (tmp_path / "go").touch()
    jobs = [a_job(tmp_path, kind.replace(" ", "-"), kind) for kind in kinds]
    if not shared:
        jobs[0].notebook = "works"
    run(connection, tmp_path, jobs, shared=shared, timeout=4 / 60, retries=1)
    works, dies, lucky, hangs = jobs
    assert [job.state for job in jobs] == ["done", "failed", "done", "failed"]
    assert [job.files.read_status()["state"] for job in jobs] == ["done", "failed", "done", "failed"]
    assert dies.reason == "its process ended with status 137: Killed" and dies.last_words()[-1] == "Killed"
    assert hangs.reason.startswith("it gave no sign of life for 0.0666667 minutes")
    assert (notes(works), notes(dies)) == (["begun", "done"], ["begun", "begun"])
    # The second try sees what the first has left, wherever that was.
    assert notes(lucky) == ["begun", "begun", "done"] and lucky.starts == 2
    assert works.files.last_checkpoint.stat().st_size == 5_000_000
    assert (works.files.path / "threads").read_text().split()[0] == "1"
    assert not list(tmp_path.glob(".arriving/*"))


def test_no_more_run_at_the_same_time_than_have_processors(connection, tmp_path):
    """Ray lends the processors of a task that waits for an answer to another one; ours ask the board all the time."""
    jobs = [a_job(tmp_path, f"run{number}", "lasts") for number in range(6)]
    run(connection, tmp_path, jobs)
    times = [tuple(map(float, (job.files.path / "times").read_text().split())) for job in jobs]
    assert max(sum(began <= moment < ended for began, ended in times) for moment, _ in times) == 2


def test_a_job_whose_worker_is_killed_is_begun_again_and_ends_once(connection, tmp_path):
    victim = a_job(tmp_path, "victim", "waits")
    killed = []

    def kill(jobs):
        if not killed and victim.told and victim.told.state == "running" and (victim.files.path / "notes").exists():
            process = next(
                p for p in psutil.process_iter(["cmdline"]) if str(victim.files.path) in (p.info["cmdline"] or [])
            )
            killed.append(process)
            process.parent().kill()
            assert gone(process)  # its guard does not let it go on where Ray knows of it no more

    said, began = [], time.monotonic()

    def watch(jobs):
        kill(jobs)
        said.append(victim.standing().reason)
        # It ends only once it has been seen to go on, or is never seen to.
        if "begun again on" in said[-1] or time.monotonic() - began > 100:
            (tmp_path / "go").touch()

    run(connection, tmp_path, [victim], watch)
    assert victim.state == "done" and victim.starts == 1
    assert notes(victim) == ["begun", "begun", "done"]
    assert any("begun again on" in reason for reason in said)


def gone(process, seconds=20):
    try:
        process.wait(seconds)
    except psutil.TimeoutExpired:
        return False
    return True


def test_an_interrupt_stops_what_runs_and_what_waits(connection, tmp_path):
    jobs = [a_job(tmp_path, f"run{number}", "waits") for number in range(4)]

    def interrupt(jobs):
        if sum(bool(job.told) and job.told.state == "running" and job.told.epoch > 0 for job in jobs) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(connection, tmp_path, jobs, interrupt)
    assert {job.state for job in jobs} == {"interrupted"}
    assert all("the same command goes on" in job.reason for job in jobs)
    begun = [job for job in jobs if (job.files.path / "notes").exists()]
    assert len(begun) == 2 and {job.files.read_status()["state"] for job in begun} == {"interrupted"}
    assert not [p for p in psutil.process_iter(["cmdline"]) if str(tmp_path) in " ".join(p.info["cmdline"] or [])]


def test_photographs_are_decoded_by_all_nodes_into_the_same_store(connection, tmp_path, monkeypatch):
    from dr_lib.config import RunConfig
    from dr_lib.data.prepare import prepare_data
    from dr_lib.experiment.ray import decoding

    monkeypatch.setattr(decoding, "_SMALLEST_SHARE", 15)
    training, testing = eyes(range(1, 21)), eyes(range(21, 31))
    write_course(tmp_path / "course", training, testing)
    write_photographs(tmp_path / "course", [*training, *testing])
    (tmp_path / "course/3_left.jpeg").write_bytes((tmp_path / "course/3_left.jpeg").read_bytes()[:700])
    values = {"data_dir": str(tmp_path / "course"), "resize": 40, "image_size": 32, "max_lost_share": 0.9}
    spread = decoding.SpreadDecoding(connection)
    by_all = prepare_data(RunConfig(**values, cache_dir=str(tmp_path / "all")), progress=False, decode=spread)
    by_one = prepare_data(RunConfig(**values, cache_dir=str(tmp_path / "one")), progress=False)
    assert spread.decoded.total() == 60 and len(spread.decoded) == 2 and min(spread.decoded.values()) >= 15
    assert by_all.fingerprint == by_one.fingerprint and by_all.decisions == by_one.decisions
    stores = [sorted((tmp_path / cache).rglob("pixels.npy")) for cache in ("all", "one")]
    assert len(stores[0]) == len(stores[1]) >= 1
    assert all(ours.read_bytes() == theirs.read_bytes() for ours, theirs in zip(*stores, strict=True))
    assert np.load(stores[0][0]).any()
    # What one node does not see, the driver decodes.
    monkeypatch.setattr(decoding.SpreadDecoding, "_able", lambda self, *rest: connection.machines())
    monkeypatch.setattr(decoding, "_begin", missing(decoding._begin))
    again = decoding.SpreadDecoding(connection)
    prepare_data(RunConfig(**values, cache_dir=str(tmp_path / "again")), progress=False, decode=again)
    assert again.decoded.total() == 60
    (store,) = (
        path for path in (tmp_path / "again").rglob("pixels.npy") if path.parent.name == stores[1][0].parent.name
    )
    assert store.read_bytes() == stores[1][0].read_bytes()


def missing(begin):
    """Have shares decoded as if the first photograph of each were another file on that machine."""

    def begun(share, photographs, kept, folder):
        class Other:
            def stamp(self, image):
                return [0, 0] if image == next(iter(share.open.values()))[0] else photographs.stamp(image)

        return begin(share, Other(), kept, folder)

    return begun


@pytest.fixture(scope="module")
def params(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cluster")
    training, testing = eyes(range(1, 31)), eyes(range(31, 41))
    write_course(folder / "course", training, testing)
    write_photographs(folder / "course", [*training, *testing])
    (folder / "resnet18.yaml").write_text("")
    (folder / "data.yaml").write_text(
        f"data_dir: {folder / 'course'}\ncache_dir: {folder / 'cache'}\nmodel: resnet18\ndevice: cpu\n"
        "resize: 40\nimage_size: 32\nbatch_size: 8\nepochs: 3\nvalidation_share: 0.2\nlearning_rate: 0.01\n"
    )
    return folder


TRAIN_HERE = """
import sys
from pathlib import Path
from dr_lib.config import combine
from dr_lib.experiment.seeds import with_seeds
from dr_lib.training.run import train_run
config = combine([Path(sys.argv[1])], fixed={"out_dir": sys.argv[2], "name": "resnet18"})
for one in with_seeds([config], [int(seed) for seed in sys.argv[3].split(",")]):
    train_run(one)
"""


def train_here(params, out_dir, seeds):
    """Train the same runs in a process of this machine, with the one thread that they have on the cluster."""
    command = [sys.executable, "-c", TRAIN_HERE, params / "data.yaml", out_dir, seeds]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr


@pytest.fixture
def driver():
    """A function that starts ``dr-lab run --engine ray``, the leader of a group as a shell's job is.

    A test that fails leaves no driver at work beside those that follow.
    """
    started = []

    def start(params, out_dir, seeds, *more):
        command = [
            sys.executable, "-m", "dr_lib.cli", "run", "--data", params / "data.yaml", params / "resnet18.yaml",
            "--engine", "ray", "--out", out_dir, "--seeds", seeds, *more,
        ]  # fmt: skip
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
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
def test_eight_runs_on_three_nodes_one_of_which_dies_end_as_they_would_here(params, nodes, tmp_path, driver):
    seeds = ",".join(map(str, range(8)))
    doomed = nodes.add_node(num_cpus=1, object_store_memory=100 * 2**20)
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
    assert f"{victim.name}: running" in said and "begun again on" in said, said
    train_here(params, tmp_path / "here", seeds)
    runs = list(ExperimentFolder(tmp_path / "ray").runs())
    assert len(runs) == 8
    for folder in runs:
        assert_same_results(folder, ExperimentFolder(tmp_path / "here").run(folder.name))
        # The notebook of a run that is moved is executed anew; the training in it ends once.
        assert folder.log.read_text().count("chosen by val_kappa") == 1
        assert folder.page.exists() and folder.read_status()["state"] == "done"
    assert "going on after epoch" in victim.log.read_text()
    assert ExperimentFolder(tmp_path / "ray").report.exists()


@pytest.mark.slow
@pytest.mark.notebooks
def test_a_cluster_that_is_started_here_is_told_to_stop_and_goes_on_and_leaves_nothing_behind(params, tmp_path, driver):
    """Ctrl-C, then ``kill -9``, then the same command to the end."""
    folder = ExperimentFolder(tmp_path / "ray").run("resnet18")

    def nothing_left(process):
        """Whether all that the driver had started has gone; the group tells, and the run's folder."""
        deadline = time.monotonic() + 100  # the agents of a raylet that is killed look for it once a minute
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
    train_here(params, tmp_path / "here", "0,1")
    for folder in ExperimentFolder(tmp_path / "ray").runs():
        assert_same_results(folder, ExperimentFolder(tmp_path / "here").run(folder.name))


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


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.0 400 Bad request\r\n\r\n", "another program listens there"),
        (b"\0\0\0\x04\0\0\0\0\0", "no coordinator"),  # gRPC too, as that of a raylet
    ],
    ids=["HTTP", "gRPC"],
)
def test_a_port_of_another_program_is_named_at_once(monkeypatch, answer, said):
    import ray

    def refuse(address):
        raise ray.exceptions.RpcError("no coordinator")  # after 30 s

    monkeypatch.setattr(ray._raylet, "GcsClient", refuse)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"

        def serve():
            there, _ = server.accept()
            with there:
                there.recv(100)
                there.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        options = {"address": address, "parallel": 1, "threads": None, "timeout": None}
        with pytest.raises(InputError, match=said), open_backend("ray", **options):
            pass
        thread.join()


def test_a_cluster_that_is_lost_is_one_line_and_its_runs_are_interrupted(tmp_path):
    import ray

    from dr_lib.errors import Failure
    from dr_lib.experiment.ray.ray_backend import RayEngine

    class Lost:
        """The handle of an actor whose machine has gone."""

        def __getattr__(self, name):
            raise ray.exceptions.ActorDiedError()

    engine, one = RayEngine.__new__(RayEngine), a_job(tmp_path, "run", "works", state="running")
    engine._board, engine._keys, engine._jobs, engine._cluster = Lost(), {}, {}, Cluster()
    with pytest.raises(Failure, match=r"^the Ray cluster is lost \(.*\); the same command goes on"):
        engine.poll([one])
    with pytest.raises(Failure):
        engine.stop([one])
    assert one.state == "interrupted"
    with pytest.raises(ray.exceptions.RayTaskError), while_it_lasts():
        raise ray.exceptions.RayTaskError("decode", "a bug's own trace", ValueError())


def test_a_token_that_is_there_is_used(tmp_path):
    (tmp_path / ".ray").mkdir()
    code = "import os, dr_lib.experiment.ray.connection; print(os.environ.get('RAY_AUTH_MODE'))"

    def mode(**more):
        plain = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
        environment = plain | {"HOME": str(tmp_path)} | more
        return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True).stdout

    assert mode() == "None\n"
    (tmp_path / ".ray" / "auth_token").write_text("a token")
    assert mode() == "token\n"
    assert mode(RAY_AUTH_MODE="disabled") == "disabled\n"


def test_a_coordinator_that_does_not_answer_is_named(monkeypatch):
    import ray

    from dr_lib.errors import Failure
    from dr_lib.experiment.ray import connection

    class Context:
        gcs_address = "127.0.0.1:9"

    now = time.monotonic()
    monkeypatch.setattr(ray, "get_runtime_context", Context)
    monkeypatch.setattr(connection.time, "monotonic", lambda: now)
    cluster = connection.Cluster()
    for _ in range(5):  # for a while: it may be one that is begun again
        now += 5
        cluster.require_coordinator()
    now += 5
    with pytest.raises(Failure, match=r"its coordinator at 127.0.0.1:9 does not answer: .*Connection refused"):
        cluster.require_coordinator()
