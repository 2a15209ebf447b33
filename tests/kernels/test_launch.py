"""How kernels are launched: one chunk in this thread, more in threads of their own."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from graphattn.kernels.launch import run_chunks


def chunk(number, num_chunks, out, threads):
    out[number::num_chunks] += 1
    threads.append(threading.get_ident())


@pytest.mark.parametrize("num_chunks", [0, 1])
def test_one_chunk_or_none_stays_in_this_thread(num_chunks):
    out, threads = np.zeros(5, np.int64), []
    run_chunks(chunk, num_chunks, out, threads)
    assert out.tolist() == [1] * 5
    assert threads == [threading.get_ident()]


def test_each_chunk_runs_once_some_of_them_elsewhere():
    out, threads = np.zeros(7, np.int64), []
    run_chunks(chunk, 3, out, threads)
    assert out.tolist() == [1] * 7
    assert len(threads) == 3
    assert threading.get_ident() in threads
    assert len(set(threads)) > 1


@pytest.mark.parametrize("failing", [0, 2])
def test_an_error_of_a_chunk_is_raised_when_all_have_ended(failing):
    ended = []

    def fails(number, num_chunks):
        if number == failing:
            raise KeyError(number)
        ended.append(number)

    with pytest.raises(KeyError, match=str(failing)):
        run_chunks(fails, 3)
    assert sorted(ended) == sorted({0, 1, 2} - {failing})


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_process_makes_its_own_threads():
    code = """
import os
import numpy as np
from graphattn.kernels.launch import run_chunks
def chunk(number, num_chunks, out):
    out[number::num_chunks] += 1
run_chunks(chunk, 2, np.zeros(4))
child = os.fork()
if child == 0:
    out = np.zeros(4)
    run_chunks(chunk, 2, out)
    os._exit(0 if out.tolist() == [1] * 4 else 1)
assert os.waitpid(child, 0)[1] == 0
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        check=False,
        timeout=120,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
