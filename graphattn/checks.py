"""Checks of options that many signatures share, with one wording."""

from collections.abc import Iterable


def check_choice(known: Iterable[str], **options: str) -> None:
    """Refuses an option that is none of those known.

    Args:
        known: What there is.
        options: Values by the names of the options.

    Raises:
        ValueError: A value is unknown.

    Example:
        >>> check_choice(("in", "out"), direction="up")
        Traceback (most recent call last):
        ...
        ValueError: direction must be one of in, out: got 'up'.
    """
    known = tuple(known)
    for name, value in options.items():
        if value not in known:
            raise ValueError(f"{name} must be one of {', '.join(known)}: got {value!r}.")


def check_least(least: int, **sizes: int) -> None:
    """Refuses a size below the least.

    Args:
        least: The smallest that works.
        sizes: Values by the names of the options.

    Raises:
        ValueError: A value is too small.

    Example:
        >>> check_least(1, heads=0)
        Traceback (most recent call last):
        ...
        ValueError: heads must be at least 1: got heads=0.
    """
    for name, size in sizes.items():
        if size < least:
            raise ValueError(f"{name} must be at least {least}: got {name}={size}.")
