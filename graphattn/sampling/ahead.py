"""Work done ahead of whoever waits for it, by threads, in the order it was asked for."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Part = TypeVar("Part")
Prepared = TypeVar("Prepared")


def in_order(
    prepare: Callable[[Part], Prepared], parts: Iterable[Part], num_workers: int
) -> Iterator[Prepared]:
    """Prepares parts, two for each thread ahead, and gives them in order.

    Args:
        prepare: What to do with a part.
        parts: What to go through.
        num_workers: Threads; with 0 each part is prepared when it is asked for.

    Returns:
        The prepared parts. An error in ``prepare`` is raised in the place of its part; whoever
        stops early waits for parts begun, not for the others.

    Example:
        >>> list(in_order(str, [1, 2, 3], num_workers=2))
        ['1', '2', '3']
    """
    if num_workers == 0:
        yield from map(prepare, parts)
        return
    queue: deque[Future[Prepared]] = deque()
    rest = iter(parts)
    with ThreadPoolExecutor(num_workers, "graphattn-loader") as workers:
        try:
            while True:
                for part in islice(rest, 2 * num_workers - len(queue)):
                    queue.append(workers.submit(prepare, part))
                if not queue:
                    return
                yield queue.popleft().result()
        finally:
            for future in queue:
                future.cancel()
