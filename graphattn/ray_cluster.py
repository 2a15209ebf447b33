"""Ray, imported only when it is asked for: how it is started here, or a running cluster joined."""

import contextlib
import logging
import os
import re
import socket
import warnings
from typing import Any

_OBJECTS = 100 << 20  # bytes of Ray's own store: what we send it are paths, hashes and lines
_CONNECT_SECONDS = 10.0  # Ray itself would try a dead address for minutes
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DISABLE_IMPORT_WARNING": "1",
    "RAY_worker_niceness": "0",  # as high as any process: its default starves on a busy machine
}


def import_ray() -> Any:
    """Return the module ``ray``, which then reports nothing to its makers.

    Raises:
        ImportError: It is not installed.

    Example:
        >>> import_ray().__name__  # doctest: +SKIP
        'ray'
    """
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise ImportError(
            f"engine ray needs Ray: got {error}; pip install graphattn[distributed]."
        ) from error
    return ray


def check_address(address: str | None) -> None:
    """Check that an address names a cluster, and that somebody listens there.

    Args:
        address: ``"HOST:PORT"``, ``"auto"``, or None for a cluster on this machine.

    Raises:
        ValueError: It is of no such form.
        ConnectionError: Nobody listens there.

    Example:
        >>> check_address("ray")
        Traceback (most recent call last):
        ...
        ValueError: address must be HOST:PORT of a Ray cluster, or auto: got 'ray'.
    """
    if address is None or address == "auto":
        return
    match = re.fullmatch(r"(?!ray:)([^/\s]+):(\d{1,5})", address)
    if match is None or not 0 < int(match[2]) < 1 << 16:
        raise ValueError(f"address must be HOST:PORT of a Ray cluster, or auto: got {address!r}.")
    try:
        where = match[1].strip("[]"), int(match[2])
        socket.create_connection(where, timeout=_CONNECT_SECONDS).close()
    except OSError as error:
        raise _unreachable(address, error.strerror or str(error)) from error


def start_ray(ray: Any, workers: int | None, address: str | None) -> None:
    """Join a running cluster, or start one on this machine: loopback, no dashboard, no telemetry.

    Ray authenticates nobody: use private networks only.

    Args:
        ray: The module.
        workers: Cores of the cluster that is started; by default those of the machine.
        address: Of a running cluster, ``"auto"`` for the one of this machine, None to start one.

    Raises:
        ValueError: The address is none.
        ConnectionError: The cluster could not be joined or started.

    Example:
        >>> start_ray(None, 2, "127.0.0.1:0")
        Traceback (most recent call last):
        ...
        ValueError: address must be HOST:PORT of a Ray cluster, or auto: got '127.0.0.1:0'.
    """
    check_address(address)
    options: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if address is None:
        options |= {"address": "local", "num_cpus": workers, "include_dashboard": False}
        options |= {"object_store_memory": _OBJECTS, "_node_ip_address": "127.0.0.1"}
    else:
        options |= {"address": address}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Ray, on itself
        try:
            ray.init(**options)
        except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
            with contextlib.suppress(RuntimeError):
                ray.shutdown()
            raise _unreachable(address, str(error)) from error


def _unreachable(address: str | None, why: str) -> ConnectionError:
    reason = why.strip().partition("\n")[0].partition(". ")[0].rstrip(".")
    where = "here" if address is None else f"at {address}"
    return ConnectionError(
        f"no Ray cluster could be joined or started {where} ({reason}): start one with "
        "`ray start --head`, or leave --address out for one on this machine."
    )
