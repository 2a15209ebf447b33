"""Short names from hand-written tables, and import paths: what either stands for."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from importlib import import_module
from typing import Any, NamedTuple

RAISED_IN = "raised in "  # how the note begins that `foreign` leaves on an exception


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
        near = get_close_matches(name.lower(), table, n=1)
        raise ValueError(wrong + (f" Did you mean {near[0]!r}?" if near else ""))
    try:
        with foreign(named.path, what):
            imported = import_module(module)
        return getattr(imported, attribute), named.options
    except ModuleNotFoundError as error:
        if error.name is None or not module.startswith(error.name):
            raise  # a package that this module itself needs
        raise ValueError(f"{wrong} There is no module {error.name!r} to import.") from error
    except AttributeError as error:
        raise ValueError(f"{wrong} The module {module!r} has no {attribute!r}.") from error


@contextmanager
def foreign(thing: object, what: str) -> Iterator[None]:
    """Note on an exception that code of the user's own raised it, where it did; see `raised_in`.

    Args:
        thing: The import path, class, function or module whose code runs in the block.
        what: What it is here: a key of the config, or a word such as "the model".

    Example:
        >>> try:
        ...     with foreign("mine.Model", "model.name"):
        ...         {}["lin"]
        ... except KeyError as error:
        ...     print(raised_in(error))
        model.name mine.Model
    """
    try:
        yield
    except Exception as error:
        path = thing if isinstance(thing, str) else import_path(thing)
        if path.partition(".")[0] != "graphattn" and not raised_in(error):
            error.add_note(f"{RAISED_IN}{what} {path}")
        raise


def raised_in(error: BaseException) -> str:
    """Return what code of the user's own an exception was raised in, as `foreign` noted it, or "".

    Example:
        >>> raised_in(KeyError("lin"))
        ''
    """
    notes = [note for note in getattr(error, "__notes__", ()) if note.startswith(RAISED_IN)]
    return notes[0].removeprefix(RAISED_IN) if notes else ""


def import_path(thing: object) -> str:
    """Return where a class or function comes from, or the class of anything else.

    Example:
        >>> import_path(Named), import_path(Named("math.sqrt"))
        ('graphattn.names.Named', 'graphattn.names.Named')
    """
    named = thing if hasattr(thing, "__qualname__") else type(thing)
    return f"{named.__module__}.{named.__qualname__}"
