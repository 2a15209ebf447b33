"""torch-scatter missing, of another torch, empty, good: said by doctor, and results are equal."""

import importlib.util
from pathlib import Path

import pytest

from graphattn.training.checkpoint import load_checkpoint

STATES = {
    "missing": (None, "off     torch-scatter     not installed, not needed", 0),
    "broken": (
        "raise OSError('torch_scatter/_scatter_cpu.so: undefined symbol: _ZN3c106detail')",
        "broken  torch-scatter     built for another torch, not used",
        3,
    ),
    "empty": ("", "off     torch-scatter     an empty package, not used", 0),
    "good": (
        "def scatter(rows, index, dim=-1, out=None, dim_size=None, reduce='sum'):\n"
        "    from torch_geometric.utils import scatter as of_torch\n"
        "    return of_torch(rows, index, dim, dim_size, reduce)\n",
        "ok      torch-scatter     installed, sums as torch does",
        0,
    ),
}
EVERYTHING = """
from graphattn import cli
shown = cli.main(["doctor"])
for model in ("gat", "sage", "largegt"):
    argv = ["train", "--data.name", "karate", "--model.name", model, "--train.epochs", "2"]
    argv += ["--model.hidden_channels", "8", "--out", f"{ARGV[0]}-{model}"]
    if code := cli.main(argv):
        raise SystemExit(code)
raise SystemExit(shown)
"""


@pytest.mark.skipif(
    importlib.util.find_spec("torch_scatter") is not None, reason="a true torch-scatter is there"
)
def test_case_38_torch_scatter_in_four_states(here, bare_nursery):
    jobs = {}
    for state, (source, _, _) in STATES.items():
        folder = here / f"with {state}"
        folder.mkdir()
        if source is not None:
            (folder / "torch_scatter.py").write_text(source)
        jobs[state] = bare_nursery.start(state, code=EVERYTHING, path=(str(folder),))
        assert jobs[state].wait(120) == STATES[state][2], jobs[state].said
    for state, job in jobs.items():
        words = " ".join(STATES[state][1].split())
        assert words in " ".join(job.said.split()), job.said
        assert job.said.count("run folder:") == 3
        for model in ("gat", "sage", "largegt"):
            mine, first = (
                load_checkpoint(Path(f"{name}-{model}/split0-seed0/best")).weights
                for name in (state, "missing")
            )
            assert mine.keys() == first.keys()
            assert all(mine[key].equal(first[key]) for key in mine), (state, model)
