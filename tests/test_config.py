"""Configs: names, sections, number lists, and what is refused."""

import dataclasses
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

from graphattn.config import (
    DataOptions,
    RunConfig,
    StoreOptions,
    known_keys,
)
from graphattn.keys import check_keys, flat_keys, numbers, read_yaml
from graphattn.names import find
from graphattn.short_names import DATASETS, MODELS, SAMPLERS
from graphattn.training.options import FitOptions, TokenOptions


@pytest.mark.parametrize("table", [MODELS, SAMPLERS, DATASETS])
def test_every_short_name_stands_for_something_callable(table):
    for name in table:
        found, options = find(name, table, "name")
        assert callable(found)
        assert set(options) <= set(inspect.signature(found).parameters)


def test_a_config_written_as_yaml_reads_back_as_the_same_run(tmp_path):
    config = RunConfig(
        DataOptions("digits", options={"seed": 3}, features="row"),
        model="gcn",
        model_options={"hidden_channels": 8},
        store=StoreOptions(num_own_hops=4, direction="both"),
        tokens=TokenOptions(num_samples=7, batch_size=9),
        train=FitOptions(lr=1e-5, epochs=3),
        seeds="0-4",
        splits="all",
        out="runs/é b",
    )
    config.write(tmp_path / "config.yaml")
    assert RunConfig.from_mapping(read_yaml(tmp_path / "config.yaml")) == config


def test_yaml_and_python_defaults_are_the_same():
    assert RunConfig.from_mapping({"data": {"name": "x"}}) == RunConfig(DataOptions("x"))


def test_defaults_agree_with_the_functions_that_the_keys_are_arguments_of():
    from graphattn.sampling.loader import TokenLoader
    from graphattn.sampling.store import TokenStore

    mine = dataclasses.asdict(StoreOptions()) | dataclasses.asdict(TokenOptions())
    for function in (TokenStore.in_memory, TokenStore.build, TokenLoader):
        for name, parameter in inspect.signature(function).parameters.items():
            plain = isinstance(parameter.default, str | int | bool)
            if name in mine and plain:
                assert mine[name] == parameter.default, f"{function}: {name}"


@pytest.mark.parametrize(
    ("mapping", "words"),
    [
        ({"data": {"nme": "x"}}, "unknown key data.nme: did you mean data.name"),
        ({"trian": {"lr": 1}}, "unknown key trian.lr: did you mean train.lr"),
        ({"lr": 1}, "unknown key lr: did you mean train.lr"),
        ({"data": {"name": "x"}, "train": {"epochs": 0}}, "epochs must be at least 1"),
        ({}, "data.name must be given"),
        ({"data": {"name": "x"}, "seeds": "a-b"}, "seeds must be numbers"),
        ({"data": {"name": "x"}, "splits": "every"}, "splits must be numbers"),
    ],
)
def test_what_cannot_be_run_is_refused_by_name(mapping, words):
    with pytest.raises(ValueError, match=words):
        RunConfig.from_mapping(mapping)


@pytest.mark.parametrize(
    ("given", "expected"),
    [("0", [0]), (4, [4]), ("0-3", [0, 1, 2, 3]), ("0, 5-6", [0, 5, 6]), ([2, 1], [2, 1])],
)
def test_number_lists(given, expected):
    assert numbers(given, "seeds") == expected


@pytest.mark.parametrize("given", ["", "1-", "-1", "3-1", "0,0", "1.5", []])
def test_wrong_number_lists(given):
    with pytest.raises(ValueError, match="seeds must be"):
        numbers(given, "seeds")


def test_splits_are_checked_against_the_data_set():
    config = RunConfig(DataOptions("x"), splits="0,3")
    assert config.split_list(4) == [0, 3]
    assert dataclasses.replace(config, splits="all").split_list(2) == [0, 1]
    with pytest.raises(ValueError, match=r"splits must lie in 0\.\.2 for x: got 3"):
        config.split_list(3)


def test_run_folder_by_default():
    assert RunConfig(DataOptions("cora")).folder == Path("runs/cora-largegt")
    own = RunConfig(DataOptions("/a/my.npz"), model="pkg.mod.MyModel")
    assert own.folder == Path("runs/my-mymodel")
    assert RunConfig(DataOptions("cora"), out="here").folder == Path("here")


def test_the_fingerprint_holds_what_decides_weights_and_nothing_else():
    config = RunConfig(DataOptions("cora"))
    free = dataclasses.replace(
        config,
        data=DataOptions("cora", root="/elsewhere"),
        store=StoreOptions(store="s"),
        tokens=TokenOptions(num_workers=2, eval_batch_size=7),
        seeds="0-9",
        splits="all",
        out="there",
        device="cpu",
    )
    assert free.fingerprint() == config.fingerprint()
    # Runs from before there were these options go on.
    assert "adjacency" not in config.fingerprint()["tokens"]
    assert "label_inputs" not in config.fingerprint()["train"]
    assert dataclasses.replace(config, tokens=TokenOptions(adjacency=True)).fingerprint()["tokens"][
        "adjacency"
    ]
    for other in (
        dataclasses.replace(config, train=FitOptions(lr=1.0)),
        dataclasses.replace(config, tokens=TokenOptions(batch_size=7)),
        dataclasses.replace(config, store=StoreOptions(norm="row")),
        dataclasses.replace(config, model_options={"heads": 4}),
    ):
        assert other.fingerprint() != config.fingerprint()


def test_wrong_import_paths_say_what_is_missing():
    with pytest.raises(ValueError, match="There is no module 'no_such_package'"):
        find("no_such_package.Model", MODELS, "model.name")
    with pytest.raises(ValueError, match="'math' has no 'Model'"):
        find("math.Model", MODELS, "model.name")
    with pytest.raises(ValueError, match="Did you mean 'largegt'"):
        find("larggt", MODELS, "model.name")


def test_keys_of_a_section_and_free_prefixes_pass():
    check_keys(["train", "train.lr", "model.anything"], known_keys(), free=("model.",))
    assert "data.options" in flat_keys({"data": {"options": {"seed": 1}}})


def test_an_unreadable_config_is_named(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text("- a list")
    with pytest.raises(ValueError, match=r"c\.yaml must hold keys and values: got list"):
        read_yaml(file)
    file.write_text("a: [")
    with pytest.raises(ValueError, match=r"c\.yaml cannot be read"):
        read_yaml(file)
    file.write_text("!!python/object/apply:os.system ['touch hacked']")
    with pytest.raises(ValueError, match=r"c\.yaml cannot be read"):
        read_yaml(file)


def test_the_face_and_the_config_import_nothing_heavy():
    heavy = ["torch_geometric", "pandas", "sklearn", "ogb", "networkx", "matplotlib", "numba"]
    code = (
        "import sys, time; start = time.perf_counter(); import graphattn;"
        "seconds = time.perf_counter() - start;"
        f"print([n for n in {[*heavy, 'torch']} if n in sys.modules], seconds < 0.2);"
        "import graphattn.config, graphattn.cli;"
        f"print([n for n in {[*heavy, 'torch']} if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["[] True", "[]"]


def test_the_face_shows_what_it_promises():
    import graphattn

    source = Path(graphattn.__file__).read_text()
    assert sorted(graphattn._HOMES) == sorted(graphattn.__all__)
    for name in graphattn.__all__:
        assert getattr(graphattn, name).__name__ == name
        assert f"from graphattn.{graphattn._HOMES[name]} import" in source
        assert name in dir(graphattn)
    with pytest.raises(AttributeError, match="no attribute 'LargGT'"):
        graphattn.LargGT  # noqa: B018
