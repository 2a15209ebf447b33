"""The raw files of a public data set from the web: on request only, checked, each all at once."""

from pathlib import Path

from graphattn.datasets.download import fetch
from graphattn.datasets.npz import CorruptDataset
from graphattn.datasets.public import how_to_get
from graphattn.datasets.public_table import PublicSpec
from graphattn.files import read_json

_PAGE = (b"<!doctype", b"<html")


def fetch_public(
    spec: PublicSpec,
    root: Path,
    *,
    sha256: str | None = None,
    yes: bool = False,
    progress: bool = True,
) -> dict[Path, str]:
    """Fetch the raw files of a data set, or go on with what was cut off; see `fetch`.

    Args:
        spec: Which data set.
        root: They will stand in `<folder>/raw` under it.
        sha256: What the hash of the one file must be; by default what comes is noted.
        yes: Fetch more than 1 GB although nobody sits at a terminal.
        progress: Show bars, if there is a terminal.

    Returns:
        The sha256 of each file, by its path.

    Raises:
        ValueError: It has no address that programs can fetch, or a hash is given for several
            files.
        CorruptDataset: The hash is another, or a page of text came instead of the file (it is set
            aside as `<name>.rejected`).
        OSError: There is no network, no such file, or too little room; what has come is kept.

    Example:
        >>> from graphattn.datasets.public_table import PUBLIC
        >>> fetch_public(PUBLIC["pokec"], Path("data"))
        Traceback (most recent call last):
        ...
        ValueError: pokec cannot be downloaded here: fetch pokec.mat by hand from where ...
    """
    folder = root / spec.folder / "raw"
    if not spec.urls:
        raise ValueError(f"{spec.name} cannot be downloaded here: {how_to_get(spec, folder)}.")
    if sha256 is not None and len(spec.urls) > 1:
        raise ValueError(
            f"sha256 must be left out for {spec.name}: got one for {len(spec.urls)} files."
        )
    found = {}
    for name, url in spec.urls.items():
        path = folder / name
        found[path] = fetch(url, path, sha256=sha256, yes=yes, progress=progress)
        with path.open("rb") as file:
            head = file.read(64).lstrip().lower()
        if head.startswith(_PAGE):
            record = path.with_name(f"{name}.json")
            came = read_json(record).get("url", url) if record.is_file() else url
            aside = path.replace(path.with_name(f"{name}.rejected"))
            record.unlink(missing_ok=True)
            raise CorruptDataset(f"{came} must be {name}: got a web page, set aside as {aside}.")
    return found
