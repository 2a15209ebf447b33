"""Names of a package that are imported when they are first asked for, so that the rest is quick."""

from collections.abc import Callable, Mapping
from importlib import import_module


def lazy(
    package: str, homes: Mapping[str, str]
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Makes ``__getattr__`` and ``__dir__`` of a package, as PEP 562 has them.

    PyG takes two seconds to import, and whoever draws tokens needs none of it.

    Args:
        package: Its name.
        homes: For each name of it, the module within the package where it lives.

    Returns:
        The two functions, to be assigned to these names in the package's ``__init__``.

    Example:
        >>> get, _ = lazy("xml", {"escape": "sax.saxutils"})
        >>> get("escape")("<")
        '&lt;'
    """

    def get(name: str) -> object:
        """Import a name from its home."""
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{homes[name]}"), name)

    def names() -> list[str]:
        """List the names that can be asked for."""
        return sorted([*vars(import_module(package)), *homes])

    return get, names
