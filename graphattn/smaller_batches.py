"""A run that begins anew with half the batch where memory was short: what `--auto-batch` does."""

import logging
from dataclasses import replace

from graphattn.building import takes_tokens
from graphattn.config import RunConfig
from graphattn.experiment import run_experiment
from graphattn.keys import read_yaml
from graphattn.results import ExperimentResult
from graphattn.training.errors import is_out_of_memory

logger = logging.getLogger(__name__)


def run_with_smaller_batches(config: RunConfig, *, overwrite: bool = False) -> ExperimentResult:
    """Run an experiment; where memory is short, all of it anew with half the seeds a batch.

    A smaller batch is another training: more steps, other statistics of batch norm and codebook. So
    nothing learned with larger batches is kept, and all runs of the folder have the same size, as
    its config.yaml says. The same command goes on with the size that was found.

    Args:
        config: What to run.
        overwrite: Remove the runs in the folder first.

    Returns:
        The result.

    Raises:
        MemoryError: Or what PyTorch raises in its place: there is no smaller batch, or the model
            takes the whole graph. For the others see `run_experiment`.

    Example:
        >>> import tempfile
        >>> from graphattn.config import DataOptions
        >>> config = RunConfig(DataOptions("karate"), model="mlp", out=tempfile.mkdtemp())
        >>> len(run_with_smaller_batches(config).fits)
        1
    """
    config = config if overwrite else _as_left(config)
    while True:
        try:
            return run_experiment(config, overwrite=overwrite)
        except Exception as error:
            smaller = halved(config)
            if not is_out_of_memory(error) or smaller is None:
                raise
            before, after = config.tokens, smaller.tokens
            logger.warning(
                "out of memory with batches of %d seeds, %d in evaluation: anew with %d and %d",
                *(before.batch_size, before.eval_batch_size),
                *(after.batch_size, after.eval_batch_size),
            )
        config, overwrite = smaller, True


def halved(config: RunConfig) -> RunConfig | None:
    """Return the config with half the seeds a batch, at least one; None if that changes nothing.

    Args:
        config: Of a run.

    Example:
        >>> from graphattn.config import DataOptions
        >>> halved(RunConfig(DataOptions("karate"))).tokens.batch_size
        256
    """
    o = config.tokens
    sizes = {key: max(1, getattr(o, key) // 2) for key in ("batch_size", "eval_batch_size")}
    smaller = replace(o, **sizes)
    if smaller == o or not (takes_tokens(config.model) or o.hyperedges):
        return None
    return replace(config, tokens=smaller)


def _as_left(config: RunConfig) -> RunConfig:
    """The config with the batches that an earlier run in the folder found to fit."""
    path = config.folder / "config.yaml"
    if not path.is_file():
        return config
    found = RunConfig.from_mapping(read_yaml(path)).tokens
    smaller: RunConfig | None = config
    while smaller is not None:
        sizes = smaller.tokens.batch_size, smaller.tokens.eval_batch_size
        if sizes == (found.batch_size, found.eval_batch_size):
            return smaller
        smaller = halved(smaller)
    return config
