"""The ranks that Ray starts train what those of torchrun train; wrong arguments start nothing."""

import os
import re
import signal
import socket
import subprocess
import sys
import time

import pytest
from safetensors.torch import load_file

from graphattn import cli
from graphattn.ray_cluster import check_address, import_ray
from graphattn.training.on_ray import _Place, _Watch, rank_environments, train_on_ray

_ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
_RUN = [
    *("train", "--data.name", "karate", "--train.batch_size", "5", "--train.epochs", "2"),
    *("--model.hidden_channels", "8", "--model.codebook_size", "8", "--device", "cpu"),
]


# Where tests run in the background, whatever they start ignores Ctrl-C from birth.
_LISTENING = """\
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.executable, [sys.executable, "-m", "graphattn", *sys.argv[1:]])
"""


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--workers", "2"], "--workers is of --engine ray: got 2 without it."),
        (["--address", "auto"], "--address is of --engine ray: got 'auto' without it."),
        (["--engine", "ray"], "--engine ray needs --workers, .* at least 1: got none."),
        (["--engine", "ray", "--workers", "0"], "at least 1: got 0."),
        (["--engine", "dask", "--workers", "2"], "--engine must be among .*ray"),
        (
            ["--engine", "ray", "--workers", "2", "--address", "ray://a:1"],
            "address must be HOST:PORT of a Ray cluster, or auto: got 'ray://a:1'.",
        ),
    ],
)
def test_wrong_arguments_are_told(argv, said, capsys):
    assert cli.main([*_RUN, *argv]) == 2
    assert re.search(said, capsys.readouterr().err)


def test_under_torchrun_ray_starts_nothing(monkeypatch, capsys):
    monkeypatch.setenv("RANK", "0")
    assert cli.main([*_RUN, "--engine", "ray", "--workers", "2"]) == 2
    assert "--engine ray starts the ranks itself" in capsys.readouterr().err


def test_a_dead_address_is_told_at_once(capsys):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(ConnectionError, match=f"joined or started at {address}"):
        check_address(address)
    assert cli.main([*_RUN, "--engine", "ray", "--workers", "2", "--address", address]) == 3
    assert "no Ray cluster could be joined" in capsys.readouterr().err


def test_without_ray_the_pip_line_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match=r"pip install graphattn\[distributed\]"):
        import_ray()
    with pytest.raises(ImportError, match="engine ray needs Ray"):
        train_on_ray([], workers=1)


def test_a_rank_sees_only_the_gpu_that_ray_gave_it():
    places = [_Place("a", "h", 1, "0"), _Place("a", "h", 2, "3"), _Place("b", "i", 3, "0")]
    made = rank_environments(places)
    assert [one["CUDA_VISIBLE_DEVICES"] for one in made] == ["0", "3", "0"]
    assert {(one["LOCAL_RANK"], one["LOCAL_WORLD_SIZE"]) for one in made} == {("0", "1")}
    assert {(one["MASTER_ADDR"], one["MASTER_PORT"]) for one in made} == {("h", "1")}
    cores = rank_environments([place._replace(gpus="") for place in places])
    assert [(one["LOCAL_RANK"], one["LOCAL_WORLD_SIZE"]) for one in cores] == [
        ("0", "2"),
        ("1", "2"),
        ("0", "1"),
    ]


def test_the_rank_that_failed_decides_the_code_and_is_heard(capsys):
    echo = "rank 0 cannot go on, because another rank ended or did not answer in time (x)."
    said = {0: [f"graphattn: {echo}\n"], 1: ["graphattn (rank 1): data are torn.\n"]}
    assert _Watch(None, [1, 2], codes={0: 3, 1: 4}, said=said)._verdict() == 4
    assert capsys.readouterr().err == "graphattn (rank 1): data are torn.\n"
    alike = {0: ["graphattn: wrong.\n"], 1: ["graphattn (rank 1): wrong.\n"]}
    assert _Watch(None, [1, 2], codes={0: 2, 1: 2}, said=alike)._verdict() == 2
    assert capsys.readouterr().err == ""
    with pytest.raises(ConnectionError, match="rank 1 did not finish: it was ended by SIGKILL"):
        _Watch(None, [1, 2], codes={0: 3, 1: -9})._verdict()


@pytest.mark.distributed
@pytest.mark.slow
def test_ray_trains_what_torchrun_trains_bit_by_bit(tmp_path):
    pytest.importorskip("ray")
    torchrun = ["torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "graphattn"]
    options = {"cwd": tmp_path, "env": _ENVIRONMENT, "text": True, "capture_output": True}
    command = [sys.executable, "-m", *torchrun, *_RUN, "--out", "a"]
    subprocess.run(command, **options, check=True, timeout=120)
    command = [sys.executable, "-m", "graphattn", *_RUN, "--engine", "ray", "--workers", "2"]
    done = subprocess.run([*command, "--out", "b"], **options, check=True, timeout=150)
    assert done.stdout.count("run folder: b") == 1
    files = {
        name: sorted(f.relative_to(tmp_path / name) for f in (tmp_path / name).rglob("*.*"))
        for name in ("a", "b")
    }
    assert files["a"] == files["b"]
    weights = tmp_path / "a" / "split0-seed0" / "last" / "weights.safetensors"
    one, two = load_file(weights), load_file(tmp_path / "b" / weights.relative_to(tmp_path / "a"))
    assert one.keys() == two.keys()
    assert all(one[key].equal(two[key]) for key in one)


@pytest.mark.distributed
@pytest.mark.slow
def test_ctrl_c_lets_the_ranks_save_and_ends_with_130(tmp_path):
    pytest.importorskip("ray")
    run = [*_RUN, "--train.epochs", "100000", "--engine", "ray", "--workers", "2", "--out", "c"]
    process = subprocess.Popen(
        [sys.executable, "-c", _LISTENING, *run],
        cwd=tmp_path,
        env=_ENVIRONMENT,
        text=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        started = tmp_path / "c" / "split0-seed0" / "metrics.jsonl"
        deadline = time.monotonic() + 120
        while not started.is_file() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.2)
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, said
    assert "Stopped by SIGINT" in said and "--resume" in said
    assert (tmp_path / "c" / "split0-seed0" / "last" / "weights.safetensors").is_file()
