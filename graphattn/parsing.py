"""Command lines that name a run: parsers built of typed signatures, unknown keys refused."""

import contextlib
import re
from argparse import ArgumentError
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal

from jsonargparse import ArgumentParser

from graphattn.arguments import sentence
from graphattn.building import DEFAULTS, filled_in
from graphattn.config import BATCHING, SECTIONS, DataOptions, RunConfig, StoreOptions
from graphattn.keys import check_keys, flat_keys, read_yaml, section
from graphattn.manual import arrange
from graphattn.names import find
from graphattn.short_names import MODELS
from graphattn.training.options import FitOptions, LabelOptions, TokenOptions

_TOKENS = (("data", DataOptions), ("tokens", TokenOptions), ("tokens", StoreOptions))
_TITLES = {
    "data": "data: which, and what is done to it first",
    "model": "model: which, and its options",
    "tokens": "tokens: what token models draw, and what is kept for it",
    "train": "train: how the model is fitted",
}
_KINDS = {
    "<class 'int'>": "a whole number",
    "<class 'float'>": "a number",
    "<class 'bool'>": "true or false",
    "<class 'str'>": "text",
    "<class 'dict'>": "keys and values",
    "<class 'NoneType'>": "null",
}
_OWN_KEYS = ("config", "print_config", "help")


def train_parser(model: str) -> ArgumentParser:
    """Return the parser of `graphattn train` for a model: its options are those of its signature.

    Args:
        model: A name of `MODELS`, or an import path.

    Raises:
        ValueError: There is no such model.

    Example:
        >>> "model.num_layers" in train_parser("gcn").get_defaults()
        True
    """
    parser = _parser(
        "train",
        "Train a model over splits and seeds; goes on where an earlier run in the folder stopped.",
        "Besides: --resume (there must be a run to go on with), --overwrite (start anew), "
        "--html FILE (write a report), --auto-batch (out of memory: anew with half the batch), "
        "--debug (tracebacks); on several ranks --patience "
        "SECONDS (how long to wait for another, 600); --engine ray --workers N [--address "
        "HOST:PORT] (start N ranks on a Ray cluster, by default one on this machine).",
        "--data.name NAME [--model.name NAME] [--SECTION.OPTION VALUE ...] [--out OUT]",
    )
    _add_data_and_tokens(parser)
    parser.add_class_arguments(FitOptions, "train", skip={"seed"})
    drawn: set[str | int] = {f.name for f in fields(TokenOptions) if f.name not in BATCHING}
    parser.add_class_arguments(TokenOptions, "train", as_group=False, skip=drawn)
    parser.add_class_arguments(LabelOptions, "train", as_group=False)
    names = ", ".join(MODELS)
    parser.add_argument(
        "--model.name", default=model, help=f"{names}, or the import path of your own."
    )
    made, _ = find(model, MODELS, "model.name")
    add = parser.add_class_arguments if isinstance(made, type) else parser.add_function_arguments
    skip: set[str | int] = {*filled_in(model)}
    added = add(made, "model", skip=skip, fail_untyped=False)
    for name, value in DEFAULTS.items():
        if f"model.{name}" in added:
            parser.set_defaults({f"model.{name}": value})
            next(a for a in parser._actions if a.dest == f"model.{name}").required = False
    many = str | int | list[int]
    run = parser.add_argument_group("run: how often, where, and into which folder", name="run")
    run.add_argument("--seeds", type=many, default="0", help="0, 0-9 or 0,3: a run each.")
    run.add_argument("--splits", type=many, default="0", help="all, or as seeds.")
    run.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, ...")
    run.add_argument("--out", type=str | None, help="Run folder [runs/<data>-<model>].")
    fitted = [("train", kind) for kind in (FitOptions, TokenOptions, LabelOptions)]
    arrange(parser, [*_TOKENS, *fitted, ("model", made)], _TITLES)
    return parser


def tokenize_parser() -> ArgumentParser:
    """Return the parser of `graphattn tokenize`.

    Example:
        >>> "tokens.num_own_hops" in tokenize_parser().get_defaults()
        True
    """
    parser = _parser(
        "tokenize",
        "Build the folder that token models draw from; goes on where it was stopped.",
        "A config of graphattn train may be given: its data and tokens are read.",
        "--data.name NAME [--SECTION.OPTION VALUE ...] [--out OUT]",
    )
    _add_data_and_tokens(parser)
    run = parser.add_argument_group("run: into which folder, in how much memory", name="run")
    run.add_argument("--out", type=str | None, help="Folder [stores/<data>].")
    run.add_argument(
        "--memory", type=str | None, help="Most the process may take, such as 8G [no limit]."
    )
    run.add_argument("--plan", action="store_true", help="Say what it will take, and stop.")
    run.add_argument(
        "--repair", action="store_true", help="Rebuild what is damaged in a store that is there."
    )
    engine = Literal["local", "ray"] | None
    run.add_argument(
        "--engine", type=engine, help="Many workers: local (processes) or ray [this process]."
    )
    run.add_argument("--workers", type=int | None, help="How many [one a core].")
    run.add_argument("--address", type=str | None, help="Of a running Ray cluster [one here].")
    arrange(parser, _TOKENS, {key: _TITLES[key] for key in ("data", "tokens")})
    return parser


def parse_run(argv: Sequence[str]) -> RunConfig:
    """Read the command line of `graphattn train` as a config.

    Args:
        argv: What follows `train`.

    Returns:
        The config; whatever was not given has the default of its signature.

    Raises:
        ValueError: A key is unknown (the nearest is named), a value of the wrong kind, or a config
            file unreadable.
        SystemExit: Help or the config was asked for, and printed.

    Example:
        >>> parse_run(["--data.name", "digits", "--train.lr", "0.01"]).train.lr
        0.01
    """
    return RunConfig.from_mapping(parse(train_parser(_model_name(argv)), argv))


def parse(parser: ArgumentParser, argv: Sequence[str]) -> dict[str, Any]:
    """Parse a command line, with nested values and without the parser's own keys.

    Raises:
        ValueError: A key is unknown (the nearest is named), or a value of the wrong kind.
        SystemExit: Help or the config was asked for, and printed.

    Example:
        >>> parse(tokenize_parser(), ["--data.name", "digits"])["tokens"]["norm"]
        'sym'
    """
    defaults = parser.get_defaults()
    known = [key for key in defaults.keys() if key != "config"]  # noqa: SIM118
    model = str(defaults.get("model.name") or "model")
    free = tuple(f"{key}." for key in known)
    for file in _values(argv, "config"):
        content = read_yaml(Path(file))
        try:
            for name in SECTIONS:
                section(content, name)
            check_keys(flat_keys(content), known, free=free, model=model)
        except ValueError as error:
            raise ValueError(f"{file}: {error}") from error
    keys = [arg[2:].partition("=")[0] for arg in argv if arg.startswith("--") and len(arg) > 2]
    check_keys(keys, [*known, *_OWN_KEYS], free=free, model=model)
    for name, value in _pairs(argv):
        if name in SECTIONS and not (value.startswith("{") or Path(value).is_file()):
            _refuse_section(name, value, known)
    try:
        parsed = parser.parse_args(list(argv)).clone(with_meta=False).as_dict()
    except ArgumentError as error:
        raise ValueError(_told(str(error))) from error
    parsed.pop("config", None)
    return parsed


def _refuse_section(name: str, value: str, known: Sequence[str]) -> None:
    if f"{name}.name" in known and not value.startswith("--"):
        hint = f"did you mean --{name}.name {value}?"
    else:
        hint = f"its options are {', '.join(k for k in known if k.startswith(f'{name}.'))}."
    raise ValueError(f"--{name} takes no value of its own: got {value!r}; {hint}")


def _told(message: str) -> str:
    """Return what the parser has against a value as one sentence in our words."""
    text = " ".join(message.split())
    if "required: data.name" in text or 'Key "data.name" is required' in text:
        return (
            "data.name must be given: got none; for instance --data.name digits "
            "(`graphattn data list` lists more)."
        )
    match = re.match(r'Parser key "([^"]+)": (.*)', text)
    if not match:
        return sentence(text)
    expected = re.match(r"Expected an? (.+?)\. Got value: (.*)", match[2])
    union = re.search(r"Subtypes: \[(.+?)\] Errors:.* Given value: (.*)", match[2])
    if expected:
        kind, value = _kind(expected[1]), expected[2]
    elif union:
        subtypes = re.findall(r"typing\.Literal\[.*?\]|<class '\w+'>", union[1])
        kind, value = " or ".join(_kind(subtype) for subtype in subtypes), union[2]
    else:
        return f"{match[1]} cannot be read: {match[2]}"
    return f"{match[1]} must be {kind}: got {value!r}."


def _kind(expected: str) -> str:
    """Return a type, as the parser names it, in our words."""
    if choices := re.search(r"Literal\[(.*)\]", expected):
        return f"one of {choices[1]}".replace("'", "")
    return _KINDS.get(expected, expected)


def without_sections(argv: Sequence[str], kept: Sequence[str]) -> list[str]:
    """Return the command line with each config file reduced to some of its sections.

    Args:
        argv: A command line.
        kept: Top-level keys to keep.

    Raises:
        ValueError: A config file is unreadable.

    Example:
        >>> without_sections(["--out", "a"], ["data"])
        ['--out', 'a']
    """
    reduced, rest = [], list(argv)
    while rest:
        arg = rest.pop(0)
        flag, equals, value = arg.partition("=")
        if flag != "--config" or not (equals or rest):
            reduced.append(arg)
            continue
        content = read_yaml(Path(value if equals else rest.pop(0)))
        for part in kept:
            for key in flat_keys({part: section(content, part)}):
                inner: Any = content
                with contextlib.suppress(KeyError):
                    for name in key.split("."):
                        inner = inner[name]
                    if inner is not None and inner != {}:
                        reduced.append(f"--{key}={inner}")
    return reduced


def _parser(command: str, description: str, epilog: str, usage: str) -> ArgumentParser:
    parser = ArgumentParser(
        prog=f"graphattn {command}",
        usage=f"graphattn {command} {usage}",
        description=description,
        epilog=epilog,
        exit_on_error=False,
        allow_abbrev=False,
    )
    parser.add_argument("--config", action="config", help="YAML file with any of the keys below.")
    return parser


def _add_data_and_tokens(parser: ArgumentParser) -> None:
    parser.add_class_arguments(DataOptions, "data")
    parser.add_class_arguments(TokenOptions, "tokens", skip=set(BATCHING))
    parser.add_class_arguments(StoreOptions, "tokens", as_group=False)


def _model_name(argv: Sequence[str]) -> str:
    """Find the model before the parser is made, which depends on it; the last mention counts."""
    name = "largegt"
    for key, value in _pairs(argv):
        if key == "config":
            name = str(section(read_yaml(Path(value)), "model").get("name", name))
        elif key == "model.name":
            name = value
    return name


def _values(argv: Sequence[str], key: str) -> list[str]:
    return [value for name, value in _pairs(argv) if name == key]


def _pairs(argv: Sequence[str]) -> list[tuple[str, str]]:
    pairs = []
    for i, arg in enumerate(argv):
        name, equals, value = arg.partition("=")
        if name.startswith("--") and (equals or i + 1 < len(argv)):
            pairs.append((name[2:], value if equals else argv[i + 1]))
    return pairs
