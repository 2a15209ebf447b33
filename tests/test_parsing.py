"""The options of a run: their help, and values that are none."""

import re

import pytest

from graphattn.parsing import parse_run, tokenize_parser, train_parser
from graphattn.short_names import MODELS

KARATE = ["--data.name", "karate"]


@pytest.mark.parametrize("model", [*MODELS, "torch_geometric.nn.GCN"])
def test_help_is_plain_and_in_the_order_of_a_run(model):
    shown = train_parser(model).format_help()
    places = [shown.index(f"--{key}") for key in ("data.name", "model.name", "tokens.num_samples")]
    places += [shown.index(f"\n  --{key}") for key in ("train.lr", "seeds", "splits", "device")]
    places = places[1:] if "--data.name" in shown.splitlines()[0] else places
    heads = [shown.index(f"\n{key}: ") for key in ("data", "model", "tokens", "train", "run")]
    assert heads == sorted(heads)
    assert places[2:] == sorted(places[2:])
    assert "`" not in shown
    assert not re.search(r":\w+:|<class|\.\. math", shown)
    assert "Channels" in shown or model != "largegt"
    assert "required, type: int, default" not in shown


def test_every_option_of_ours_says_what_it_does():
    for parser in (tokenize_parser(), *(train_parser(model) for model in MODELS)):
        silent = [action.dest for action in parser._actions if not action.help]
        assert not silent


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--train.lr", "fast"], "train.lr must be a number: got 'fast'."),
        (["--train.epochs", "1.5"], "train.epochs must be a whole number: got '1.5'."),
        (["--data.undirected", "maybe"], "data.undirected must be true or false: got 'maybe'."),
        (["--data.options", "3"], "data.options must be keys and values: got '3'."),
        (["--tokens.pool", "bag"], "tokens.pool must be one of list, set or null: got 'bag'."),
        (["--tokens.share", "few"], "tokens.share must be a whole number or null: got 'few'."),
        (["--model", "gcn"], "did you mean --model.name gcn?"),
        (["--data", "digits"], "did you mean --data.name digits?"),
        (["--tokens", "3"], "--tokens takes no value of its own: got '3'; its options are tokens."),
        (["--train=3"], "--train takes no value of its own: got '3'; its options are train."),
        (["--train.lr"], "--train.lr must have a value: got none."),
        (["more"], "there is no argument more."),
    ],
)
def test_wrong_values_are_one_sentence_with_key_value_and_kind(argv, words):
    with pytest.raises(ValueError, match=r".") as caught:
        parse_run([*KARATE, *argv])
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_section_in_a_file_of_its_own_or_in_braces_is_still_read(tmp_path):
    (tmp_path / "train.yaml").write_text("lr: 0.5\n")
    config = parse_run(["--data", "{name: karate}", "--train", str(tmp_path / "train.yaml")])
    assert (config.data.name, config.train.lr) == ("karate", 0.5)


def test_a_section_of_a_config_that_is_no_section_is_named_with_the_file(tmp_path):
    file = tmp_path / "c.yaml"
    for content, words in (
        ("model: gcn", r"model must hold keys and values: got 'gcn'; did you mean model\.name\?"),
        ("train: 3", r"c\.yaml: train must hold keys and values: got 3\."),
    ):
        file.write_text(content)
        with pytest.raises(ValueError, match=words):
            parse_run([*KARATE, "--config", str(file)])
