"""Arguments of a command, whose mistakes are told in one sentence as all others are."""

import argparse
import re
from collections.abc import Iterable
from typing import NoReturn

from graphattn.keys import nearest

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_KINDS = {"int": "a whole number", "float": "a number"}
_WORDS = {
    r"argument (\S+): invalid (\w+) value: (.*)": "{0} must be {1}: got {2}.",
    r"argument (\S+): expected one argument": "{0} must have a value: got none.",
    r"argument (\S+): expected (\d+) arguments": "{0} must have {1} values: got fewer.",
    r"argument (.+ \| .+): invalid choice: (\S+) .*": "{0} must be given: got {1}.",
    r"argument (.+): invalid choice: (\S+) \(choose from (.*)\)": "{0} must be among {2}: got {1}.",
    r"(?:the following arguments are|.*is) required: (.*)": "{0} must be given: got none.",
}


def number_of_bytes(text: str, option: str) -> int:
    """Read a size such as 8G, 500M or 1.5e9: units are powers of ten, with B or without.

    Args:
        text: As given.
        option: What it was given for.

    Raises:
        ValueError: It is no size.

    Example:
        >>> number_of_bytes("8G", "--memory"), number_of_bytes("1.5 GB", "--memory")
        (8000000000, 1500000000)
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?(?:e\d+)?)\s*([kmgt]?)i?b?\s*", text.lower())
    count = int(float(match[1]) * _UNITS[match[2]]) if match else 0
    if count < 1:
        raise ValueError(f"{option} must be a size such as 8G or 500M: got {text!r}.")
    return count


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
