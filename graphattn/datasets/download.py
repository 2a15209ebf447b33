"""One file from the web: resumed where it was cut, checked, and in its place all at once."""

import hashlib
import http.client
import logging
import os
import ssl
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tqdm import tqdm

from graphattn.datasets.npz import CorruptDataset
from graphattn.files import check_space, read_json, sync_folder, write_json
from graphattn.outputs import lock, output_folder

_LOG = logging.getLogger(__name__)
_LARGE = 10**9  # bytes from which on somebody must have agreed
_PIECE = 1 << 20
_TIMEOUT = 30.0  # seconds without an answer
_WAITS = (1.0, 2.0, 4.0, 8.0, 16.0)  # seconds before each new attempt that follows a vain one
_BUSY = (408, 425, 429, 500, 502, 503, 504)  # answers that may be others in a while
_HERE = ("localhost", "127.0.0.1", "::1")


def fetch(
    url: str,
    path: Path,
    *,
    sha256: str | None = None,
    size: int | None = None,
    yes: bool = False,
    progress: bool = True,
) -> str:
    """Fetch a file, or go on with one that was cut off.

    What arrives is kept in ``<name>.part``, beside a note of where it came from; an attempt goes on
    from there if the server says that the file is still the same. The finished file gets its name
    at once, and ``<name>.json`` keeps its address, size and sha256. A file that is there already
    is compared with that note, and not fetched again.

    Args:
        url: Begins with ``https://``; the certificate is verified. ``http://`` only on this
            machine.
        path: Where the file will stand.
        sha256: What its hash must be; by default what comes is noted and trusted ever after.
        size: Bytes there should be, for the question below where the server does not tell.
        yes: Fetch more than 1 GB although nobody sits at a terminal.
        progress: Show a bar, if there is a terminal.

    Returns:
        The sha256 of the file.

    Raises:
        ValueError: The address is of another kind, the path holds something else, or more than
            1 GB would be fetched and nobody agreed.
        CorruptDataset: The hash is not the one given (what came is set aside as
            ``<name>.rejected``), or the file was changed since it was fetched.
        OSError: There is no network, no such file, or too little room; what has come is kept.

    Example:
        >>> fetch("ftp://example.org/a.zip", Path("a.zip"))
        Traceback (most recent call last):
        ...
        ValueError: url must begin with https://: got 'ftp://example.org/a.zip'.
    """
    _check_url(url)
    fresh = [folder for folder in (path.parent, *path.parent.parents) if not folder.exists()]
    output_folder(path.parent, "the folder of the download")
    locked = lock(path.with_name(f".{path.name}.lock"))
    try:
        with locked:
            if path.exists():
                return _known(url, path, sha256)
            return _Download(url, path, size, yes, progress).run(sha256)
    finally:
        if fresh and [entry.name for entry in path.parent.iterdir()] == [f".{path.name}.lock"]:
            Path(locked.lock_file).unlink()  # nothing has come: no folder of ours is left behind
            for folder in fresh:
                folder.rmdir()


@dataclass
class _Download:
    """One file on its way."""

    url: str
    path: Path
    size: int | None
    yes: bool
    progress: bool

    def __post_init__(self) -> None:
        self.part = self.path.with_name(f"{self.path.name}.part")
        self.note = self.path.with_name(f"{self.path.name}.part.json")

    def run(self, sha256: str | None) -> str:
        vain = 0
        while True:
            before = self._have()
            try:
                self._attempt()
                break
            except _Transient as error:
                vain = 0 if self._have() > before else vain + 1
                if vain > len(_WAITS):
                    raise OSError(
                        f"{self.url} cannot be fetched: {error}. What has come "
                        f"({self._have():,} bytes) is kept: the same command goes on with it."
                    ) from error
                wait = _WAITS[max(vain - 1, 0)]
                _LOG.warning("%s: %s; once more in %g s", self.url, error, wait)
                time.sleep(wait)
        return self._accept(sha256)

    def _attempt(self) -> None:
        """Fetches what is missing; returns only when all of it has come."""
        headers = {"User-Agent": "graphattn", "Accept-Encoding": "identity"}
        have, note = self._have(), self._note()
        mark = note.get("etag") or note.get("modified")
        if have and mark:
            headers |= {"Range": f"bytes={have}-", "If-Range": mark}
        try:
            answer = _OPENER.open(
                urllib.request.Request(self.url, headers=headers), timeout=_TIMEOUT
            )
        except urllib.error.HTTPError as error:
            self._refused(error)
            return
        except (urllib.error.URLError, OSError, http.client.HTTPException) as error:
            raise _fault(self.url, error) from error
        with answer:
            self._receive(answer, have)

    def _refused(self, error: urllib.error.HTTPError) -> None:
        error.close()
        if error.code == 416:  # nothing behind what we have: all of it, or of another file
            if self._have() == self._note().get("size"):
                return
            self._forget()
            raise _Transient("the file has changed, it is fetched from its beginning")
        said = f"the server answers {error.code} {error.reason}"
        if error.code in _BUSY:
            raise _Transient(said)
        raise OSError(f"{self.url} cannot be fetched: {said}; look whether the address is right.")

    def _receive(self, answer: http.client.HTTPResponse, have: int) -> None:
        length = answer.headers.get("Content-Length", "")
        coming = int(length) if length.isdecimal() else None
        if answer.status == 206:
            span = answer.headers.get("Content-Range", "")
            if not span.startswith(f"bytes {have}-"):
                self._forget()
                raise _Transient(f"the server sends {span!r} instead of what follows byte {have}")
        else:
            have = 0  # the file has changed, or the server cannot resume
        total = None if coming is None else have + coming
        self._agree(total)
        if coming is not None:
            check_space(self.path.parent, coming)
        about = {"etag": answer.headers.get("ETag"), "modified": answer.headers["Last-Modified"]}
        if str(about["etag"]).startswith("W/"):  # which promises less than the same bytes
            about["etag"] = None
        if not have:
            self.part.unlink(missing_ok=True)  # before the note says that it is of this file
        write_json(self.note, {"url": self.url, "size": total, **about})
        disable = None if self.progress else True
        bar = tqdm(total=total, initial=have, unit="B", unit_scale=True, disable=disable)
        bar.set_description(self.path.name)
        with bar, self.part.open("ab" if have else "wb") as file:
            while True:
                try:
                    piece = answer.read1(_PIECE)  # what has come, rather than a full piece
                except (OSError, http.client.HTTPException) as error:
                    raise _fault(self.url, error) from error
                if not piece:
                    break
                file.write(piece)
                bar.update(len(piece))
            file.flush()
            os.fsync(file.fileno())
        if total is not None and self._have() != total:
            raise _Transient(f"the connection ended after {self._have():,} of {total:,} bytes")

    def _agree(self, total: int | None) -> None:
        """Refuses what is large, where nobody has seen how large."""
        size = total or self.size
        _LOG.info("%s: %s", self.url, f"{size / 1e9:.3g} GB" if size else "of unknown size")
        if (size or 0) > _LARGE and not self.yes and not sys.stdin.isatty():
            raise ValueError(
                f"{self.url} has {(size or 0) / 1e9:.3g} GB, and nobody is at a terminal: "
                "pass --yes to fetch it."
            )

    def _accept(self, wanted: str | None) -> str:
        found = _sha256(self.part)
        if wanted is not None and found != wanted.lower():
            aside = self.path.with_name(f"{self.path.name}.rejected")
            self.part.replace(aside)
            self.note.unlink(missing_ok=True)
            raise CorruptDataset(
                f"{self.url} must have the sha256 {wanted}: got {found}; what came is set aside as "
                f"{aside}."
            )
        size = self._have()
        record = self.path.with_name(f"{self.path.name}.json")
        write_json(record, {"url": self.url, "sha256": found, "size": size})
        self.part.replace(self.path)
        sync_folder(self.path.parent)
        self.note.unlink(missing_ok=True)
        return found

    def _have(self) -> int:
        """Bytes that have come, of the same address."""
        if not self.part.is_file() or self._note().get("url") != self.url:
            return 0
        return self.part.stat().st_size

    def _note(self) -> dict[str, Any]:
        try:
            return read_json(self.note)
        except ValueError:
            return {}

    def _forget(self) -> None:
        self.part.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)


class _Transient(Exception):  # noqa: N818 - never leaves this file
    """What may pass: another attempt is worth it."""


class _SameSafety(urllib.request.HTTPRedirectHandler):
    """Follows the server elsewhere, but never from https to http."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, *where: Any) -> Any:
        _check_url(where[-1])
        if req.type == "https" and urlsplit(where[-1]).scheme != "https":
            raise ValueError(f"{req.full_url} must lead to https:// only: got {where[-1]!r}.")
        return super().redirect_request(req, fp, code, msg, *where)


_OPENER = urllib.request.build_opener(
    urllib.request.HTTPSHandler(context=ssl.create_default_context()), _SameSafety()
)


def _fault(url: str, error: Exception) -> Exception:
    """Sorts faults of the network: those that may pass, and those that will not."""
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    said = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
    if isinstance(reason, ssl.SSLCertVerificationError):
        return OSError(f"{url} cannot be fetched: its certificate is not to be trusted ({said}).")
    return _Transient(str(said))


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    local = parts.scheme == "http" and parts.hostname in _HERE
    if parts.scheme != "https" and not local:
        raise ValueError(f"url must begin with https://: got {url!r}.")


def _known(url: str, path: Path, wanted: str | None) -> str:
    """Compares a file that is there with the note of its download."""
    record = path.with_name(f"{path.name}.json")
    found = _sha256(path)
    if wanted is not None and found == wanted.lower():
        return found
    if not record.is_file():
        raise ValueError(
            f"{path} exists, and no download left it: move it away to fetch {url}, or use it."
        )
    noted = read_json(record).get("sha256") if wanted is None else wanted
    if found != noted:
        raise CorruptDataset(
            f"{path} must have the sha256 {noted}: got {found}; move it away to fetch it again."
        )
    return found


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
