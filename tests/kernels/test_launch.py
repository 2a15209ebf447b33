"""How kernels are launched: one chunk in this thread, more under the lock."""

import numpy as np

from graphattn.kernels.launch import LAUNCH, run_chunks


def chunk(number, num_chunks, out):
    out[number::num_chunks] += 1


def test_one_chunk_or_none_needs_no_lock():
    for num_chunks in (0, 1):
        out = np.zeros(5, np.int64)
        with LAUNCH:  # which cannot be taken twice
            run_chunks(chunk, None, num_chunks, out)
        assert out.tolist() == [1] * 5


def test_chunks_run_under_the_lock_and_leave_it_free():
    locked = []

    def chunks(num_chunks, out):
        locked.append(LAUNCH.locked())
        for number in range(num_chunks):
            chunk(number, num_chunks, out)

    out = np.zeros(5, np.int64)
    run_chunks(chunk, chunks, 3, out)
    assert out.tolist() == [1] * 5
    assert locked == [True]
    assert not LAUNCH.locked()
