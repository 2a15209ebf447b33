"""The command line: finds the command, runs it, and turns what goes wrong into an exit code.

0 done; 2 wrong input; 3 environment or resource; 4 corrupt or hostile data; 130 or 143 interrupted.
"""

import logging
import os
import pickle
import shlex
import signal
import sys
import tarfile
import threading
import traceback
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

from graphattn.keys import nearest
from graphattn.names import raised_in
from graphattn.training.errors import Interrupted, is_out_of_memory

COMMANDS = {
    "train": "train a model over splits and seeds, print a table, write a run folder",
    "predict": "classes and probabilities of nodes, from a run folder",
    "diagnose": "how far a model sees: the influence of each hop, as a page",
    "compare": "measurements of several models side by side, as a page",
    "tokenize": "build once what token models draw from",
    "data": "list data sets, describe one, make one of your own files, get one of OGB's",
    "doctor": "what is installed, and what to type to mend the rest",
    "warmup": "compile all kernels once, so that no later run waits for it",
}
HELP = f"""usage: graphattn COMMAND ... [--debug]

Attention on graphs too large for all-pairs attention.

commands:
{chr(10).join(f"  {name:<10} {text}" for name, text in COMMANDS.items())}

  graphattn COMMAND --help     its options
  graphattn train --model.name gcn --help     with the options of that model
  graphattn --version

--debug shows the traceback of an error.
Try: graphattn train --data.name digits
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line.

    Args:
        argv: What follows `graphattn`; by default what the process was started with.

    Returns:
        The exit code.

    Example:
        >>> main(["--version"])
        graphattn ...
        0
    """
    args = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in args
    args = [arg for arg in args if arg != "--debug"]
    if not args or args[0] in ("-h", "--help", "help"):
        print(HELP, end="")
        return 0 if args else 2
    if args[0] in ("-V", "--version"):
        print(f"graphattn {import_module('graphattn').__version__}")
        return 0
    with _notes_on_stderr(), _stopped_by_sigterm():
        try:
            return _run(args[0], args[1:])
        except SystemExit as error:
            return error.code if isinstance(error.code, int) else int(error.code is not None)
        except BrokenPipeError:  # the reader, such as `head`, has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        except (Exception, KeyboardInterrupt) as error:
            if debug:
                traceback.print_exc()
            else:
                print(f"{_speaker()}: {_message(error)}", file=sys.stderr)
            return exit_code(error)


def exit_code(error: BaseException) -> int:
    """Return the exit code of an error that ended a command.

    Example:
        >>> exit_code(ValueError("heads")), exit_code(OSError(28, "full")), exit_code(EOFError())
        (2, 3, 4)
    """
    if isinstance(error, Interrupted):
        return error.exit_code
    if isinstance(error, KeyboardInterrupt):
        return 130
    broken = (zipfile.BadZipFile, tarfile.TarError, pickle.UnpicklingError, EOFError)
    ours = any(kind.__name__.startswith("Corrupt") for kind in type(error).__mro__)
    if ours or isinstance(error, broken):
        return 4
    resource = (OSError, MemoryError, ImportError, FloatingPointError)
    if isinstance(error, resource) or is_out_of_memory(error):
        return 3
    return 2 if isinstance(error, ValueError | TypeError) or raised_in(error) else 1


def _run(command: str, argv: list[str]) -> int:
    if command not in COMMANDS:
        hint = nearest(command, COMMANDS)
        raise ValueError(
            f"there is no command {command!r}{f': did you mean {hint}?' if hint else '.'} "
            f"There are {', '.join(COMMANDS)}."
        )
    if "torch" not in sys.modules:
        # Threads that wait for each other spin otherwise: ten times slower where cores are shared.
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
        os.environ.setdefault("GOMP_SPINCOUNT", "0")
    here = str(Path.cwd())
    if here not in sys.path:  # a model of the user's own is imported from where they stand
        sys.path.append(here)
    return int(import_module(f"graphattn.commands.{command}").main(argv))


def _message(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, Interrupted):
        return f"{text}{_go_on(error)}"
    if isinstance(error, KeyboardInterrupt):
        return "interrupted."
    if is_out_of_memory(error):
        first = str(error).partition("\n")[0]
        return (
            f"out of memory: {first or 'no more could be had'}. Try a smaller train.batch_size, "
            "train.eval_batch_size, tokens.num_samples or model.hidden_channels; "
            "`graphattn train --auto-batch` halves batches until they fit."
        )
    if own := raised_in(error):
        return f"{own} raised {type(error).__name__}: {text}; --debug shows the traceback."
    if isinstance(error, OSError) and error.strerror:
        known = error.filename is not None
        text = f"{error.filename} cannot be used: {error.strerror.lower()}" if known else ""
        return f"{(text or error.strerror).rstrip('.')}."
    if exit_code(error) == 1:
        text = f"{type(error).__name__}: {text} (a fault of graphattn: see --debug)"
    return text


def _go_on(error: Interrupted) -> str:
    if error.out is None:
        return ""
    config = shlex.quote(str(error.out.parent / "config.yaml"))
    return f"\nGo on with: graphattn train --config {config} --resume"


def _speaker() -> str:
    """Name who speaks: of several ranks that torchrun started, those after the first say so."""
    rank = os.environ.get("RANK", "0") if "WORLD_SIZE" in os.environ else "0"
    return "graphattn" if rank == "0" else f"graphattn (rank {rank})"


@contextmanager
def _notes_on_stderr() -> Iterator[None]:
    logger = logging.getLogger("graphattn")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(f"{_speaker()}: %(message)s"))
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO if _speaker() == "graphattn" else logging.WARNING)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


@contextmanager
def _stopped_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end the process as Ctrl-C does, with what is half written cleared away."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
