"""Arguments of a command, whose mistakes are told in one sentence as all others are."""

import argparse
import re
from collections.abc import Iterable
from typing import NoReturn

from graphattn.keys import nearest

_KINDS = {"int": "a whole number", "float": "a number"}
_WORDS = {
    r"argument (\S+): invalid (\w+) value: (.*)": "{0} must be {1}: got {2}.",
    r"argument (\S+): expected one argument": "{0} must have a value: got none.",
    r"argument (\S+): expected (\d+) arguments": "{0} must have {1} values: got fewer.",
    r"argument (.+ \| .+): invalid choice: (\S+) .*": "{0} must be given: got {1}.",
    r"argument (.+): invalid choice: (\S+) \(choose from (.*)\)": "{0} must be among {2}: got {1}.",
    r"(?:the following arguments are|.*is) required: (.*)": "{0} must be given: got none.",
}


class Arguments(argparse.ArgumentParser):
    """argparse's parser, raising `ValueError` where it would print its usage and exit.

    Example:
        >>> parser = Arguments("graphattn show")
        >>> _ = parser.add_argument("--seed", type=int)
        >>> parser.parse_args(["--seed", "one"])
        Traceback (most recent call last):
        ...
        ValueError: --seed must be a whole number: got 'one'.
    """

    def error(self, message: str) -> NoReturn:
        """Raise what is wrong, as one sentence."""
        options = [flag for action in self._actions for flag in action.option_strings]
        raise ValueError(sentence(message, options))


def sentence(message: str, options: Iterable[str] = ()) -> str:
    """Return a message of argparse as a sentence in our words.

    Args:
        message: As argparse or jsonargparse words it.
        options: The options there are, of which the nearest to an unknown one is named.

    Example:
        >>> sentence("unrecognized arguments: --sed 3", ["--seed"])
        'there is no argument --sed: did you mean --seed?'
        >>> sentence("argument --seed: expected one argument")
        '--seed must have a value: got none.'
    """
    text = " ".join(message.split())
    if match := re.fullmatch(r"[Uu]nrecognized arguments: (\S+).*", text):
        near = nearest(match[1].lstrip("-"), [flag.lstrip("-") for flag in options])
        hint = f": did you mean --{near}?" if near and match[1].startswith("-") else "."
        return f"there is no argument {match[1]}{hint}"
    for pattern, words in _WORDS.items():
        if match := re.fullmatch(pattern, text):
            parts = [_KINDS.get(part, part) for part in match.groups()]
            return words.format(*parts)
    return text if text.endswith((".", "?")) else f"{text}."
