"""Training on several processes: who takes part, what a model shares, what a rank saves for all.

The loop is the same for one process and for many. A batch is one of all ranks, each computes its
part, and what a batch decides (gradient, batch norm, codebook, loss, when to stop) is added up, so
that all ranks hold the same weights, bit by bit, and those of one process but for rounding.

Gradients are added up in one message of our own rather than by PyTorch's
``DistributedDataParallel``: that one hides the model in a wrapper, averages where parts may be of
unequal size, broadcasts buffers, and gains its speed from overlapping messages with the backward,
of which there is nothing to gain for models of a few megabytes.
"""

import io
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import SyncBatchNorm, _BatchNorm
from torch_geometric.nn import BatchNorm

from graphattn.nn.codebook_attention import CodebookAttention
from graphattn.nn.shared_batch_norm import SharedBatchNorm
from graphattn.ops.ranks import ALONE, Ranks
from graphattn.training.checkpoint import Checkpoint

logger = logging.getLogger(__name__)

PATIENCE = 600.0  # seconds after which a rank that does not answer is given up


def launched_ranks() -> Ranks:
    """Tell from the environment that ``torchrun`` sets which process this is, of how many.

    Raises:
        ValueError: The variables contradict each other.

    Example:
        >>> launched_ranks().alone
        True
    """
    given = {name: os.environ.get(name) for name in ("RANK", "WORLD_SIZE")}
    if None in given.values():
        return ALONE
    try:
        rank, size = (int(str(value)) for value in given.values())
    except ValueError:
        rank, size = -1, 0
    if not 0 <= rank < size:
        raise ValueError(
            "RANK must lie in 0..WORLD_SIZE-1, as torchrun sets them: got "
            f"RANK={given['RANK']}, WORLD_SIZE={given['WORLD_SIZE']}."
        )
    return Ranks(rank, size)


@contextmanager
def joined(device: str = "auto", *, patience: float = PATIENCE) -> Iterator[Ranks]:
    """Join the processes that ``torchrun`` started, for a block; one process alone joins nothing.

    The messages of the GPU go by NCCL, all others by gloo. Nothing of either is authenticated:
    private networks only.

    Args:
        device: Where it will be trained: "auto", "cpu" or "cuda"; each local rank takes a GPU.
        patience: Seconds after which a rank that does not answer is given up.

    Raises:
        ValueError: The environment names no group, the device is one for all ranks of a machine,
            or there are more ranks on the machine than GPUs.
        ConnectionError: The other processes cannot be reached.

    Example:
        >>> with joined() as ranks:
        ...     ranks.size
        1
    """
    ranks = launched_ranks()
    if ranks.alone:
        yield ranks
        return
    missing = [name for name in ("MASTER_ADDR", "MASTER_PORT") if not os.environ.get(name)]
    if missing:
        raise ValueError(
            f"several ranks need {' and '.join(missing)} in the environment, which torchrun sets: "
            "got none."
        )
    backend = "gloo"
    if torch.device("cpu" if device == "auto" else device).type == "cuda" or (
        device == "auto" and torch.cuda.is_available()
    ):
        backend = "cpu:gloo,cuda:nccl"
        _take_gpu(device)
    try:
        dist.init_process_group(backend, timeout=timedelta(seconds=patience))
    except RuntimeError as error:
        first = str(error).partition("\n")[0]
        raise ConnectionError(
            f"rank {ranks.rank} cannot join the others at {os.environ['MASTER_ADDR']}:"
            f"{os.environ['MASTER_PORT']}: {first}."
        ) from error
    try:
        yield ranks
        ranks.largest(0)  # nobody leaves while another is still at work
    finally:
        dist.destroy_process_group()


def _take_gpu(device: str) -> None:
    local, count = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if here > 1 and torch.device("cuda" if device == "auto" else device).index is not None:
        raise ValueError(
            f"device must be auto, cuda or cpu where a machine has {here} ranks, so that each "
            f"takes a GPU of its own: got {device!r}."
        )
    if local >= count:
        raise ValueError(
            f"each rank needs a GPU of its own: got {here} ranks on a machine with {count}; "
            "start fewer, or train with --device cpu."
        )
    if here > 1 or device == "auto":
        torch.cuda.set_device(local)


@contextmanager
def sharing(model: nn.Module, ranks: Ranks) -> Iterator[None]:
    """Let a model's codebooks and batch norms follow the batches of all ranks, for a block.

    Its parameters and buffers stay the ones they are. With one rank nothing is changed.

    Args:
        model: Changed in place, and back afterwards.
        ranks: Who trains it together.

    Example:
        >>> model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
        >>> with sharing(model, Ranks(0, 2)):
        ...     print(type(model[1]).__name__)
        SharedBatchNorm
        >>> type(model[1]).__name__
        'BatchNorm1d'
    """
    if ranks.alone:
        yield
        return
    codebooks = [part for part in model.modules() if isinstance(part, CodebookAttention)]
    replaced = [
        (parent, name, child)
        for parent in model.modules()
        for name, child in parent.named_children()
        if isinstance(child, _BatchNorm) and not isinstance(child, SyncBatchNorm)
    ]
    wrappers = [part for part in model.modules() if isinstance(part, BatchNorm)]
    lenient = [part for part in wrappers if part.allow_single_element]
    for parent, name, child in replaced:
        single = isinstance(parent, BatchNorm) and bool(parent.allow_single_element)
        setattr(parent, name, SharedBatchNorm(child, ranks, allow_single_element=single))
    for part in lenient:  # It would look at this rank's rows alone.
        part.allow_single_element = False
    for codebook in codebooks:
        codebook.ranks = ranks
    try:
        yield
    finally:
        for codebook in codebooks:
            codebook.ranks = ALONE
        for part in lenient:
            part.allow_single_element = True
        for parent, name, child in replaced:
            child.training = getattr(parent, name).training
            setattr(parent, name, child)


def sum_gradients(model: nn.Module, ranks: Ranks) -> None:
    """Add up the gradients of all ranks, in one message for each type of numbers.

    A parameter that has a gradient on some rank has one on all afterwards; the others have none.

    Example:
        >>> model = nn.Linear(1, 1)
        >>> sum_gradients(model, ALONE)
        >>> model.weight.grad is None
        True
    """
    if ranks.alone:
        return
    parameters = [p for p in model.parameters() if p.requires_grad]
    has = torch.tensor([p.grad is not None for p in parameters], device=parameters[0].device)
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    *summed, count = ranks.pack_sum(*gradients, has.to(torch.int32))
    for parameter, gradient, some in zip(parameters, summed, count.tolist(), strict=True):
        parameter.grad = gradient if some else None


def same_start(model: nn.Module, ranks: Ranks) -> None:
    """Give every rank the first rank's weights and buffers.

    Example:
        >>> same_start(nn.Linear(1, 1), ALONE)
    """
    if ranks.alone:
        return
    buffer = io.BytesIO()
    torch.save({k: v.detach().cpu() for k, v in model.state_dict().items()}, buffer)
    content = ranks.of_first(buffer.getvalue())
    if not ranks.first:
        model.load_state_dict(torch.load(io.BytesIO(content), weights_only=True))


def same_checkpoint(checkpoint: Checkpoint | None, ranks: Ranks) -> Checkpoint | None:
    """Give every rank the checkpoint that the first one read, if it found any.

    So only the first rank needs the folder. It is read without pickle, as from a file.

    Example:
        >>> same_checkpoint(None, ALONE) is None
        True
    """
    if ranks.alone:
        return checkpoint
    buffer = io.BytesIO()
    if checkpoint is not None:
        torch.save({name: _plain(part) for name, part in vars(checkpoint).items()}, buffer)
    content = ranks.of_first(buffer.getvalue())
    if ranks.first or not content:
        return checkpoint
    return Checkpoint(**torch.load(io.BytesIO(content), map_location="cpu", weights_only=True))


def check_alike(fingerprint: str, ranks: Ranks) -> None:
    """Refuse to train together what is not the same run on the same data.

    Args:
        fingerprint: Text that decides the run.
        ranks: Who trains together.

    Raises:
        ValueError: It differs between ranks; they are named.

    Example:
        >>> check_alike("karate", ALONE)
    """
    if ranks.alone:
        return
    mine = fingerprint.encode()
    theirs = ranks.of_first(mine)
    others = ranks.gather(torch.tensor([int(mine != theirs)])).nonzero().view(-1).tolist()
    if others:
        raise ValueError(
            "all ranks must train the same run on the same data: rank "
            f"{', '.join(map(str, others))} had another config or other data than rank 0."
        )


def gather_random(states: Mapping[str, Tensor], ranks: Ranks) -> list[dict[str, Tensor]]:
    """Return the random states of all ranks, in their order.

    Example:
        >>> gather_random({"cpu": torch.zeros(1, dtype=torch.uint8)}, ALONE)
        [{'cpu': tensor([0], dtype=torch.uint8)}]
    """
    all_of = {name: ranks.gather(state.view(1, -1)) for name, state in states.items()}
    return [{name: of[i].clone() for name, of in all_of.items()} for i in range(ranks.size)]


def _plain(part: Any) -> Any:
    """Turn mappings into dictionaries, which is what can be read without pickle."""
    if isinstance(part, Mapping):
        return {key: _plain(value) for key, value in part.items()}
    return part
