"""The configs of OGB's graphs and snap-patents run as they are written, on small twins."""

import json
from pathlib import Path

import pytest

from graphattn import cli
from graphattn.config import RunConfig
from graphattn.datasets.twin import write_twin
from graphattn.keys import read_yaml
from tests import raw_layouts

CONFIGS = Path(__file__).parents[1] / "examples" / "configs"
TWINS = {
    "ogbn_arxiv_largegt.yaml": 0.003,
    "ogbn_products_largegt.yaml": 0.0001,
    "ogbn_papers100m_largegt.yaml": 0.000005,
}


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("GRAPHATTN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("GRAPHATTN_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


def train(name, root):
    short = ["--train.epochs", "1", "--train.num_workers", "0", "--seeds", "0", "--out", "run"]
    argv = ["train", "--config", str(CONFIGS / name), "--data.root", str(root), *short]
    assert cli.main(argv) == 0
    return json.loads((root.parent / "run/result.json").read_text())


@pytest.mark.parametrize("name", TWINS)
def test_a_config_of_ogb_runs_on_its_twin(name, root):
    config = RunConfig.from_mapping(read_yaml(CONFIGS / name))
    write_twin(config.data.name, root, scale=TWINS[name], progress=False)
    result = train(name, root)
    assert result["metric"] == config.data.name
    assert ("smoothed" in result) == config.labels.correct_and_smooth
    assert (root.parent / "run/leaderboard.md").is_file()


def test_the_config_of_snap_patents_runs_on_a_file_of_its_layout(root):
    raw_layouts.patents(root)
    assert 0 <= train("snap_patents_largegt.yaml", root)["test"]["mean"] <= 1


@pytest.mark.parametrize("name", [*TWINS, "snap_patents_largegt.yaml"])
def test_each_config_says_what_was_published_and_what_to_expect(name):
    text = (CONFIGS / name).read_text()
    assert f"graphattn train --config examples/configs/{name} --data.root FOLDER" in text
    assert "# Published: " in text
    assert "# Expect: " in text
    assert "arXiv 2" in text
