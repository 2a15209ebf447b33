"""Short names from hand-written tables, and import paths: what either stands for."""

from collections.abc import Mapping
from difflib import get_close_matches
from importlib import import_module
from typing import Any, NamedTuple


class Named(NamedTuple):
    """What a short name stands for: an import path, and the options that belong to the name.

    Example:
        >>> Named("graphattn.models.gnn.GNN", {"conv": "gcn"}).options["conv"]
        'gcn'
    """

    path: str
    options: Mapping[str, Any] = {}


def find(name: str, table: Mapping[str, Named], what: str) -> tuple[Any, Mapping[str, Any]]:
    """Import what a short name or an import path stands for.

    Args:
        name: A key of the table, or `package.module.thing`.
        table: The short names.
        what: The key that holds the name, for the message.

    Returns:
        The class or function, and the options that belong to the short name.

    Raises:
        ValueError: Neither; the nearest short name is given.

    Example:
        >>> find("root", {"sqrt": Named("math.sqrt")}, "function")
        Traceback (most recent call last):
        ...
        ValueError: function must be one of sqrt or an import path: got 'root'.
    """
    named = table.get(name) or Named(name)
    module, _, attribute = named.path.rpartition(".")
    wrong = f"{what} must be one of {', '.join(table)} or an import path: got {name!r}."
    if not module or not all(part.isidentifier() for part in named.path.split(".")):
        near = get_close_matches(name, table, n=1)
        raise ValueError(wrong + (f" Did you mean {near[0]!r}?" if near else ""))
    try:
        return getattr(import_module(module), attribute), named.options
    except ModuleNotFoundError as error:
        if error.name is None or not module.startswith(error.name):
            raise  # a package that this module itself needs
        raise ValueError(f"{wrong} There is no module {error.name!r} to import.") from error
    except AttributeError as error:
        raise ValueError(f"{wrong} The module {module!r} has no {attribute!r}.") from error
