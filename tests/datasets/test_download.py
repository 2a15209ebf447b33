"""Downloads against a server of our own: resumed, checked, refused, and never half in place."""

import functools
import hashlib
import http.server
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import pytest

from graphattn.datasets import download
from graphattn.datasets.download import fetch
from graphattn.datasets.npz import CorruptDataset
from graphattn.files import read_json

BODY = bytes(range(256)) * 4000
SHA = hashlib.sha256(BODY).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves one body, with the faults that the test asks for."""

    protocol_version = "HTTP/1.1"

    def __init__(self, state, *args):
        self.state = state
        super().__init__(*args)

    def log_message(self, *_):
        """Keeps quiet."""

    def do_GET(self):
        state = self.state
        state["seen"].append(dict(self.headers))
        status = state["status"].pop(0) if state["status"] else 200
        if status != 200:
            self.send_response(status)
            if status in (301, 302):
                self.send_header("Location", state["location"])
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body, tag, start = state["body"], state["etag"], 0
        asked = self.headers.get("Range")
        if asked and state["ranges"] and self.headers.get("If-Range") in (tag, None):
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(body):
                self.send_response(416)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(200)
        if tag:
            self.send_header("ETag", tag)
        self.send_header("Content-Length", str(state["length"] or len(body) - start))
        self.end_headers()
        cut = state["cuts"].pop(0) if state["cuts"] else len(body)
        for place in range(start, min(start + cut, len(body)), 50_000):
            self.wfile.write(body[place : min(place + 50_000, start + cut)])
            time.sleep(state["pause"])
        self.close_connection = True


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(download, "_WAITS", (0.0, 0.0))
    state = {"body": BODY, "etag": '"one"', "ranges": True, "cuts": [], "status": [], "seen": []}
    state |= {"pause": 0.0, "length": None, "location": ""}
    made = functools.partial(Handler, state)
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), made)
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    state["url"] = f"http://127.0.0.1:{running.server_port}/a.zip"
    yield state
    running.shutdown()
    running.server_close()
    thread.join()


def names(folder):
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


def test_fetches_once_and_notes_what_came(server, tmp_path):
    path = tmp_path / "deep" / "a.zip"
    assert fetch(server["url"], path) == SHA
    assert path.read_bytes() == BODY
    assert read_json(path.with_name("a.zip.json")) == {
        "url": server["url"],
        "sha256": SHA,
        "size": len(BODY),
    }
    assert names(path.parent) == ["a.zip", "a.zip.json"]
    assert fetch(server["url"], path, sha256=SHA.upper()) == SHA
    assert len(server["seen"]) == 1


def test_goes_on_where_it_was_cut(server, tmp_path):
    server["cuts"] = [300_000, 200_000]
    fetch(server["url"], tmp_path / "a.zip", sha256=SHA)
    assert [seen.get("Range") for seen in server["seen"]] == [
        None,
        "bytes=300000-",
        "bytes=500000-",
    ]
    assert {seen.get("If-Range") for seen in server["seen"][1:]} == {'"one"'}
    assert (tmp_path / "a.zip").read_bytes() == BODY


def test_keeps_what_came_for_the_next_command(server, tmp_path):
    server["cuts"] = [100_000, 0, 0, 0, 0]
    with pytest.raises(OSError, match=r"ended after 100,000 of 1,024,000 bytes.*is kept"):
        fetch(server["url"], tmp_path / "a.zip")
    assert names(tmp_path) == ["a.zip.part", "a.zip.part.json"]
    server["cuts"] = []
    fetch(server["url"], tmp_path / "a.zip", sha256=SHA)
    assert server["seen"][-1]["Range"] == "bytes=100000-"
    assert names(tmp_path) == ["a.zip", "a.zip.json"]


def test_starts_again_where_the_file_has_changed(server, tmp_path):
    server["cuts"] = [100_000, 0, 0, 0, 0]
    with pytest.raises(OSError, match="is kept"):
        fetch(server["url"], tmp_path / "a.zip")
    server |= {"body": BODY[::-1], "etag": '"two"', "cuts": []}
    fetch(server["url"], tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == BODY[::-1]


@pytest.mark.parametrize("change", [{"ranges": False}, {"etag": None}, {"etag": 'W/"one"'}])
def test_starts_again_where_nothing_vouches_for_the_rest(server, tmp_path, change):
    server.update(change)
    server["cuts"] = [300_000]
    fetch(server["url"], tmp_path / "a.zip", sha256=SHA)
    assert (tmp_path / "a.zip").read_bytes() == BODY


def test_a_part_that_is_whole_already_is_taken(server, tmp_path):
    server["cuts"] = [100_000, 0, 0, 0, 0]
    with pytest.raises(OSError, match="is kept"):
        fetch(server["url"], tmp_path / "a.zip")
    (tmp_path / "a.zip.part").write_bytes(BODY)
    server["cuts"] = []
    assert fetch(server["url"], tmp_path / "a.zip") == SHA


def test_a_wrong_hash_is_set_aside(server, tmp_path):
    with pytest.raises(CorruptDataset, match=r"must have the sha256 00: got .* set aside as"):
        fetch(server["url"], tmp_path / "a.zip", sha256="00")
    assert names(tmp_path) == ["a.zip.rejected"]


def test_an_altered_file_is_noticed_and_a_strange_one_left_alone(server, tmp_path):
    path = tmp_path / "a.zip"
    fetch(server["url"], path)
    path.write_bytes(b"altered")
    with pytest.raises(CorruptDataset, match="move it away to fetch it again"):
        fetch(server["url"], path)
    path.with_name("a.zip.json").unlink()
    with pytest.raises(ValueError, match="exists, and no download left it"):
        fetch(server["url"], path)
    assert path.read_bytes() == b"altered"


@pytest.mark.parametrize(("status", "words"), [(404, "404 Not Found"), (403, "403 Forbidden")])
def test_what_is_not_there_is_said_at_once(server, tmp_path, status, words):
    server["status"] = [status]
    with pytest.raises(OSError, match=f"the server answers {words}; look whether"):
        fetch(server["url"], tmp_path / "a.zip")
    assert names(tmp_path) == []
    assert len(server["seen"]) == 1


def test_a_busy_server_is_asked_again_but_not_for_ever(server, tmp_path):
    server["status"] = [503, 429]
    fetch(server["url"], tmp_path / "a.zip")
    server["status"] = [500] * 9
    with pytest.raises(OSError, match=r"500 Internal Server Error\. What has come \(0 bytes\)"):
        fetch(server["url"], tmp_path / "b.zip")
    assert len(server["seen"]) == 6


def test_no_network_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(download, "_WAITS", (0.0,))
    with pytest.raises(OSError, match=r"127.0.0.1:9/a cannot be fetched: Connection refused"):
        fetch("http://127.0.0.1:9/a", tmp_path / "a.zip")
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "url", ["http://example.org/a", "file:///etc/passwd", "ftp://example.org/a", "a.zip", "//x/a"]
)
def test_only_what_is_encrypted_is_fetched(tmp_path, url):
    with pytest.raises(ValueError, match="must begin with https://"):
        fetch(url, tmp_path / "a.zip")


def test_nobody_leads_elsewhere_unencrypted(server, tmp_path):
    server |= {"status": [302], "location": "http://example.org/a.zip"}
    with pytest.raises(ValueError, match=r"must begin with https://: got 'http://example.org"):
        fetch(server["url"], tmp_path / "a.zip")


def test_nobody_leads_from_encrypted_to_this_machine():
    request = urllib.request.Request("https://example.org/a.zip")
    with pytest.raises(ValueError, match=r"must lead to https:// only: got 'http://localhost/a'"):
        download._SameSafety().redirect_request(request, None, 302, "", {}, "http://localhost/a")


def test_certificates_are_verified():
    context = next(
        handler._context
        for handler in download._OPENER.handlers
        if type(handler).__name__ == "HTTPSHandler"
    )
    assert context.check_hostname
    assert context.verify_mode.name == "CERT_REQUIRED"


def test_large_files_need_a_word_where_nobody_sits(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "_LARGE", 1000)
    monkeypatch.setattr(sys, "stdin", open(os.devnull))  # noqa: SIM115, PTH123
    with pytest.raises(
        ValueError, match=r"has 0.00102 GB, and nobody is at a terminal: pass --yes"
    ):
        fetch(server["url"], tmp_path / "a.zip")
    assert names(tmp_path) == []
    fetch(server["url"], tmp_path / "a.zip", yes=True)
    sys.stdin.close()


def test_too_small_a_disk_is_said_before(server, tmp_path):
    server["length"] = 10**17
    with pytest.raises(OSError, match=r"needs 1e\+08 GB"):
        fetch(server["url"], tmp_path / "a.zip", yes=True)


def test_a_killed_download_goes_on(server, tmp_path):
    server["pause"] = 0.05
    path = tmp_path / "a.zip"
    code = f"""
from pathlib import Path
from graphattn.datasets.download import fetch
fetch({server["url"]!r}, Path({str(path)!r}))
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen([sys.executable, "-c", code], env=environment)
    part = Path(f"{path}.part")
    while process.poll() is None and not (part.exists() and part.stat().st_size > 100_000):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not path.exists()
    have = part.stat().st_size
    assert have > 0
    server["pause"] = 0.0
    assert fetch(server["url"], path) == SHA
    assert server["seen"][-1]["Range"] == f"bytes={have}-"
