"""--auto-batch: batches are halved until they fit, all runs anew; the size found is kept."""

import json

import pytest

from graphattn.cli import main
from graphattn.keys import read_yaml
from graphattn.models.largegt import LargeGT
from graphattn.training.errors import is_out_of_memory

RUN = ["train", "--data.name", "karate", "--model.hidden_channels", "8", "--train.epochs", "2"]
SMALL = ["--train.batch_size", "8", "--train.eval_batch_size", "16", "--seeds", "0-1"]


@pytest.fixture
def narrow(monkeypatch):
    """A LargeGT that takes no more than three seeds at a time."""
    forward, sizes = LargeGT.forward, []

    def limited(self, rows, ids, **options):
        sizes.append(len(ids))
        if len(ids) > 3:
            raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB")
        return forward(self, rows, ids, **options)

    monkeypatch.setattr(LargeGT, "forward", limited)
    monkeypatch.setattr("graphattn.training.feeds.TokenFeed._pays_once_for_all", lambda *_: False)
    return sizes


def test_batches_are_halved_until_they_fit_and_stay_so(tmp_path, narrow, capsys):
    out = tmp_path / "a"
    assert main([*RUN, *SMALL, "--out", str(out)]) == 3
    assert "--auto-batch" in capsys.readouterr().err
    assert main([*RUN, *SMALL, "--out", str(out), "--auto-batch"]) == 0
    said = capsys.readouterr().err
    assert "batches of 8 seeds, 16 in evaluation: anew with 4 and 8" in said
    assert "anew with 1 and 2" in said
    train = read_yaml(out / "config.yaml")["train"]
    assert (train["batch_size"], train["eval_batch_size"]) == (1, 2)
    assert json.loads((out / "result.json").read_text())["test"]["mean"] is not None
    narrow.clear()
    assert main([*RUN, *SMALL, "--out", str(out), "--auto-batch"]) == 0
    assert narrow == []  # both were finished
    assert "kept" in capsys.readouterr().err


def test_what_no_smaller_batch_mends_is_told(tmp_path, monkeypatch, capsys):
    def starved(*_, **__):
        raise MemoryError("no more")

    monkeypatch.setattr(LargeGT, "forward", starved)
    assert main([*RUN, *SMALL, "--out", str(tmp_path / "a"), "--auto-batch"]) == 3
    assert capsys.readouterr().err.count("anew with") == 4  # 16 in evaluation, then 8, 4, 2, 1
    monkeypatch.setattr("graphattn.models.mlp.MLP.forward", starved)
    whole = [*RUN, "--model.name", "mlp", "--out", str(tmp_path / "b"), "--auto-batch"]
    assert main(whole) == 3
    assert "anew" not in capsys.readouterr().err


def test_of_one_process_only(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main([*RUN, "--out", str(tmp_path / "a"), "--auto-batch"]) == 2
    assert "--auto-batch is of one process" in capsys.readouterr().err


def test_other_errors_are_not_taken_for_it():
    assert not is_out_of_memory(RuntimeError("shape mismatch"))
    assert not is_out_of_memory(ValueError("out of memory"))
