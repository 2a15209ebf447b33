"""The error of a file that is torn, altered or hostile; the command line ends with 4 on it."""


class CorruptFile(ValueError):  # noqa: N818 - reads as what it is
    """A file that something here wrote is missing, torn or altered; nothing of it was used.

    Example:
        >>> raise CorruptFile("store/pe-00000.npy is damaged.")
        Traceback (most recent call last):
        ...
        graphattn.corrupt.CorruptFile: store/pe-00000.npy is damaged.
    """
