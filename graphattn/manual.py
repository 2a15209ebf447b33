"""How the help of a command reads: what docstrings say, without markup, in the order of a run."""

import argparse
import inspect
import re
from collections.abc import Mapping, Sequence
from typing import Any

from jsonargparse import ArgumentParser

_ARGUMENT = re.compile(r"(\w+)(?: \([^)]*\))?: (.*)")


def arrange(
    parser: ArgumentParser, sources: Sequence[tuple[str, object]], titles: Mapping[str, str]
) -> None:
    """Give each option of a parser its text, and put the options into sections in order.

    Args:
        parser: With dotted options.
        sources: Prefixes of options, each with the class or function whose docstring tells of them.
        titles: What stands above each section, in order; options without one stay where they are.

    Example:
        >>> from graphattn.config import DataOptions
        >>> parser = ArgumentParser()
        >>> _ = parser.add_class_arguments(DataOptions, "data")
        >>> arrange(parser, [("data", DataOptions)], {"data": "the data"})
        >>> "Add the reverse of every edge." in parser.format_help()
        True
    """
    texts: dict[str, str] = {}
    for prefix, source in sources:
        for name, text in argument_texts(source).items():
            texts.setdefault(f"{prefix}.{name}", text.replace("%", "%%"))
    sections: dict[str, list[Any]] = {prefix: [] for prefix in titles}
    for action in parser._actions:
        prefix = action.dest.partition(".")[0]
        if prefix in sections:
            sections[prefix].append(action)
            shown = action.help if action.help in (None, argparse.SUPPRESS) else plain(action.help)
            action.help = texts.get(action.dest, shown)
        if action.dest in sections:  # a file for the whole section, which --config does too
            action.help = argparse.SUPPRESS
    named: dict[str, Any] = parser.groups or {}
    groups = [named[prefix] for prefix in titles]
    others = [group for group in parser._action_groups if group not in groups]
    for group in others:
        group._group_actions[:] = [
            action
            for action in group._group_actions
            if action.dest.partition(".")[0] not in sections
        ]
    for group, (prefix, title) in zip(groups, titles.items(), strict=True):
        group.title, group.description = title, None
        group._group_actions[:] = sorted(
            sections[prefix], key=lambda action: action.dest.partition(".")[2] != "name"
        )
    first = [group for group in others if group not in named.values()]
    last = [group for group in others if group in named.values()]
    parser._action_groups = [*first, *groups, *last]


def argument_texts(source: object) -> dict[str, str]:
    """Return what the docstring of a class or function says of each argument, without markup.

    Example:
        >>> argument_texts(plain)
        {'text': 'Words with markup.'}
    """
    lines = (inspect.getdoc(source) or "").splitlines()
    if "Args:" not in lines:
        return {}
    texts: dict[str, str] = {}
    name = ""
    for line in lines[lines.index("Args:") + 1 :]:
        if line and not line.startswith(" "):
            break
        match = _ARGUMENT.fullmatch(line.strip()) if re.match(r" {4}\S", line) else None
        if match:
            name = match[1]
            texts[name] = match[2]
        elif name:
            texts[name] = f"{texts[name]} {line.strip()}".rstrip()
    return {name: plain(text) for name, text in texts.items()}


def plain(text: str) -> str:
    """Return text as a terminal shows it best: no backticks, no roles, and a name for its path.

    Args:
        text: Words with markup.

    Example:
        >>> plain("As :class:`~graphattn.nn.HopTokens` or ``x``: see `root`.")
        'As HopTokens or x: see root.'
    """
    text = re.sub(r":\w+:`~?(?:[\w.]+\.)?(\w+)`", r"\1", text)
    return re.sub(r"(?::\w+:)?`+([^`]*)`+", r"\1", text)
