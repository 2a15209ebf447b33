"""Mistakes in the arguments of a command, each told in one sentence."""

import pytest

from graphattn.arguments import Arguments


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ([], "run must be given: got none."),
        (["a", "--seed", "one"], "--seed must be a whole number: got 'one'."),
        (["a", "--seed"], "--seed must have a value: got none."),
        (["a", "--share", "1"], "--share must have 2 values: got fewer."),
        (["a", "--share", "x", "y"], "--share must be a number: got 'x'."),
        (["a", "--sede", "3"], "there is no argument --sede: did you mean --seed?"),
        (["a", "b"], "there is no argument b."),
        (["a", "--kind", "c"], "--kind must be among a, b: got 'c'."),
    ],
)
def test_one_sentence_each(argv, words):
    parser = Arguments("graphattn show")
    parser.add_argument("run")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--share", type=float, nargs=2)
    parser.add_argument("--kind", choices=["a", "b"])
    with pytest.raises(ValueError, match=r".") as caught:
        parser.parse_args(argv)
    assert str(caught.value).replace("'a', 'b'", "a, b") == words


def test_subcommands_too():
    parser = Arguments("graphattn data")
    commands = parser.add_subparsers(required=True, metavar="list | info")
    commands.add_parser("list").add_argument("--root", type=int)
    with pytest.raises(ValueError, match=r"^list \| info must be given: got none\.$"):
        parser.parse_args([])
    with pytest.raises(ValueError, match=r"^list \| info must be given: got 'frob'\.$"):
        parser.parse_args(["frob"])
    with pytest.raises(ValueError, match=r"^--root must be a whole number: got 'x'\.$"):
        parser.parse_args(["list", "--root", "x"])
