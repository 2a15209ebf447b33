"""Makes .venv once, with torch first and the tested versions; says in one sentence what is missing.

Called by every target of the Makefile: `python3 .ci/make_venv.py [EXTRA ...]`. Standard library
only. A stamp in .venv remembers what was installed, so a second call needs no network.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts" if os.name == "nt" else "bin") / "python"
FREE_BYTES = 3 * 10**9


class SetupError(Exception):
    """Something a person can mend; the message says how."""


def main(extras: list[str]) -> int:
    """Installs the package with the given extras, unless that was done before."""
    wanted = fingerprint()
    missing = [extra for extra in extras if stamp(extra) != wanted]
    if not missing and works(PYTHON):
        return 0
    try:
        check_machine()
        make_venv()
        install(missing or extras, wanted)
    except SetupError as error:
        print(f"setup: {error}", file=sys.stderr)
        return 3
    return 0


def fingerprint() -> str:
    """A hash of everything the environment follows from."""
    digest = hashlib.sha256(f"{sys.version} {ROOT}".encode())
    for name in ("setup.cfg", "pyproject.toml", "constraints.txt"):
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def stamp(extra: str) -> str:
    """What was installed for an extra, or nothing."""
    path = VENV / f"installed-{extra}"
    return path.read_text() if path.is_file() else ""


def works(python: Path) -> bool:
    """Whether this interpreter starts (a moved or copied .venv does not)."""
    if not python.exists():
        return False
    started = subprocess.run([python, "-c", "import pip"], capture_output=True, check=False)
    return started.returncode == 0


def check_machine() -> None:
    """Refuses early what would fail late."""
    if sys.version_info < (3, 11):  # noqa: UP036 - read by whatever python3 the user has
        raise SetupError(
            "graphattn needs Python 3.11 or newer: got "
            f"{sys.version.split()[0]} at {sys.executable}; run make PYTHON=/path/to/python3.11."
        )
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        raise SetupError(
            "Python's venv module is missing; on Debian or Ubuntu: apt install python3-venv."
        ) from None
    free = shutil.disk_usage(ROOT).free
    if free < FREE_BYTES:
        raise SetupError(
            f"installing needs {FREE_BYTES / 1e9:.0f} GB free in {ROOT}: "
            f"{free / 1e9:.1f} GB are free; remove something or clone elsewhere."
        )


def make_venv() -> None:
    """Creates .venv, anew if the one there does not start."""
    if works(PYTHON):
        return
    shutil.rmtree(VENV, ignore_errors=True)
    command = [sys.executable, "-m", "venv", VENV]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode:
        shutil.rmtree(VENV, ignore_errors=True)
        last = (made.stderr or made.stdout).strip().splitlines()
        raise SetupError(f"could not make {VENV}: {last[-1] if last else 'no message'}")


def install(extras: list[str], wanted: str) -> None:
    """Installs torch first, since whatever needs it must find the tested version."""
    print(f"setup: installing into {VENV} (once, a few minutes)", flush=True)
    pip("torch")
    pip("-e", f".[{','.join(extras)}]")
    for extra in extras:
        (VENV / f"installed-{extra}").write_text(wanted)


def pip(*what: str) -> None:
    """Runs pip with the constraints; its output goes to .venv/install.log."""
    command = [PYTHON, "-m", "pip", "install", "--disable-pip-version-check", "--progress-bar=off"]
    environment = {**os.environ, "PYTHONNOUSERSITE": "1", "PIP_USER": "0", "PIP_NO_INPUT": "1"}
    log = VENV / "install.log"
    with log.open("a") as out:
        result = subprocess.run(
            [*command, "-c", "constraints.txt", *what],
            cwd=ROOT, env=environment, stdout=out, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
    if result.returncode:
        raise SetupError(reason(log.read_text(), what[-1], log))


def reason(log: str, what: str, path: Path) -> str:
    """Says in one sentence why pip failed."""
    if "No space left on device" in log:
        return f"the disk filled up while installing {what}; free 3 GB and run the same command."
    for sign in ("Failed to establish a new connection", "Name or service not known",
                 "Temporary failure in name resolution", "NewConnectionError",
                 "Could not fetch URL", "Read timed out", "Network is unreachable"):  # fmt: skip
        if sign in log:
            return f"no network to fetch {what}; connect and run the same command (log: {path})."
    errors = [line for line in log.splitlines() if line.startswith("ERROR")]
    return f"pip could not install {what}: {errors[-1] if errors else 'see'} (log: {path})."


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or ["test"]))
