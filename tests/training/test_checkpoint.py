"""A checkpoint is whole or absent, verified, and never runs code."""

import builtins
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

from graphattn.training import checkpoint as module
from graphattn.training.checkpoint import (
    Checkpoint,
    load_checkpoint,
    load_weights,
    read_manifest,
    save_checkpoint,
)
from graphattn.training.errors import CorruptCheckpoint


def _write(folder: Path, value: float = 1.0) -> None:
    weights = {"w": torch.full((4,), value)}
    save_checkpoint(folder, Checkpoint(weights, {"epoch": int(value)}, about={"epoch": value}))


def test_there_and_back(tmp_path):
    state = {"lists": [1, 2.5, None, "a"], "nested": {"t": torch.arange(3)}, "nan": float("inf")}
    weights = {"a": torch.randn(2, 3).t(), "n": torch.tensor(7)}
    save_checkpoint(tmp_path / "last", Checkpoint(weights, state, {"a": torch.ones(1)}, {"k": 1}))
    back = load_checkpoint(tmp_path / "last")
    assert torch.equal(back.weights["a"], weights["a"])
    assert back.weights["n"].dtype == torch.int64
    assert back.state["lists"] == state["lists"]
    assert torch.equal(back.state["nested"]["t"], torch.arange(3))
    assert back.best is not None
    assert back.about == {"k": 1}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["last"]


def test_tied_weights_are_kept(tmp_path):
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[1].weight = model[0].weight
    save_checkpoint(tmp_path / "best", Checkpoint(model.state_dict()))
    load_weights(tmp_path / "best", model)


@pytest.mark.parametrize("name", ["weights.safetensors", "state.pt"])
@pytest.mark.parametrize("where", [0, 60, -1])
def test_one_flipped_bit_is_found(tmp_path, name, where):
    _write(tmp_path / "last")
    path = tmp_path / "last" / name
    content = bytearray(path.read_bytes())
    content[where] ^= 1
    path.write_bytes(content)
    with pytest.raises(CorruptCheckpoint, match=f"{name} was altered after it was written"):
        load_checkpoint(tmp_path / "last")


def test_missing_file_and_missing_folder(tmp_path):
    _write(tmp_path / "last")
    (tmp_path / "last" / "state.pt").unlink()
    with pytest.raises(CorruptCheckpoint, match=r"state\.pt is missing"):
        load_checkpoint(tmp_path / "last")
    with pytest.raises(FileNotFoundError, match="no checkpoint in"):
        load_checkpoint(tmp_path / "other")


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "{", "null", "[" * 9000, '{"format": 1}'),
        '{"format": 2, "sha256": {}, "about": {}}',
        '{"format": 1, "sha256": {"../../etc/passwd": "0"}, "about": {}}',
        '{"format": 1, "sha256": 3, "about": {}}',
        '{"format": 1, "sha256": [[]], "about": 1}',
        '{"format": 1, "sha256": ["weights.safetensors", "state.pt"], "about": {}}',
    ],
)
def test_any_other_manifest_is_refused(tmp_path, text):
    _write(tmp_path / "last")
    (tmp_path / "last" / "manifest.json").write_text(text)
    with pytest.raises(CorruptCheckpoint, match="manifest"):
        read_manifest(tmp_path / "last")


class _Hostile:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return builtins.eval, (f"open({str(self.marker)!r}, 'w').close()",)


def test_a_hostile_state_is_refused_and_not_run(tmp_path):
    _write(tmp_path / "last")
    torch.save({"epoch": _Hostile(tmp_path / "marker")}, tmp_path / "last" / "state.pt")
    _sign(tmp_path / "last")
    with pytest.raises(CorruptCheckpoint, match=r"state.pt is refused"):
        load_checkpoint(tmp_path / "last")
    assert not (tmp_path / "marker").exists()


def test_signed_rubbish_is_refused(tmp_path):
    for name, words in (("weights.safetensors", "no tensors"), ("state.pt", "refused")):
        _write(tmp_path / "last")
        (tmp_path / "last" / name).write_bytes(b"\x00" * 40)
        _sign(tmp_path / "last")
        with pytest.raises(CorruptCheckpoint, match=words):
            load_checkpoint(tmp_path / "last")
    torch.save([1], tmp_path / "last" / "state.pt")
    (tmp_path / "last" / "weights.safetensors").write_bytes(safetensors.torch.save({}))
    _sign(tmp_path / "last")
    with pytest.raises(CorruptCheckpoint, match="must hold a dictionary: got list"):
        load_checkpoint(tmp_path / "last")


def test_another_model_is_named(tmp_path):
    save_checkpoint(tmp_path / "best", Checkpoint(nn.Linear(3, 2).state_dict()))
    with pytest.raises(ValueError, match=r"weight is \[2, 4\] in the model and \[2, 3\]"):
        load_weights(tmp_path / "best", nn.Linear(4, 2))


def test_a_failed_write_leaves_the_old_one(tmp_path, monkeypatch):
    _write(tmp_path / "last", 1.0)

    def full(path: Path, content: bytes) -> None:
        if path.name == "state.pt":
            raise OSError(28, "No space left on device")
        path.write_bytes(content)

    monkeypatch.setattr(module, "_write_synced", full)
    with pytest.raises(OSError, match="No space left"):
        _write(tmp_path / "last", 2.0)
    assert load_checkpoint(tmp_path / "last").state["epoch"] == 1
    assert [p.name for p in tmp_path.iterdir()] == ["last"]


def test_every_moment_between_two_renames_is_survived(tmp_path):
    _write(tmp_path / "last", 1.0)
    (tmp_path / "last").rename(tmp_path / "last.aside")  # killed after the first rename
    shutil.copytree(tmp_path / "last.aside", tmp_path / "last.tmp-1")
    assert load_checkpoint(tmp_path / "last").state["epoch"] == 1
    _write(tmp_path / "last", 2.0)
    assert load_checkpoint(tmp_path / "last").state["epoch"] == 2
    shutil.copytree(tmp_path / "last", tmp_path / "last.aside")  # killed before the clearing
    (tmp_path / "last.aside" / "state.pt").unlink()
    assert load_checkpoint(tmp_path / "last").state["epoch"] == 2
    _write(tmp_path / "last", 3.0)
    assert [p.name for p in tmp_path.iterdir()] == ["last"]


def test_read_while_written_and_killed_while_saving(tmp_path):
    code = (
        "import sys, torch; from pathlib import Path\n"
        "from graphattn.training.checkpoint import Checkpoint, save_checkpoint\n"
        "n = 0\n"
        "while True:\n"
        "    n += 1\n"
        "    weights = {'w': torch.full((20_000,), float(n))}\n"
        "    save_checkpoint(Path(sys.argv[1]), Checkpoint(weights, {'n': n}))\n"
        "    print(n, flush=True)\n"
    )
    folder = tmp_path / "last"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for _ in range(3):
            process.stdout.readline()
        for number in range(100):  # Looked at while it is written, as `predict` would.
            found = load_checkpoint(folder)
            assert float(found.weights["w"][0]) == found.state["n"], number
        time.sleep(0.037)
        process.send_signal(signal.SIGKILL)
    found = load_checkpoint(folder)
    assert float(found.weights["w"][0]) == found.state["n"] >= 3
    save_checkpoint(folder, Checkpoint({"w": torch.zeros(1)}))
    assert os.listdir(tmp_path) == ["last"]  # noqa: PTH208


def _sign(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    for name in manifest["sha256"]:
        manifest["sha256"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))
