"""What earlier tokens would send, kept beside the keys and values of a generation's cache."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

_NAME = "sparse_gin_z"


class ZCache:
    """Keeps, for each layer of a model, what earlier tokens hold in each round of messages.

    It lives on the Hugging Face cache and follows it: when samples are reordered (beam search),
    repeated or chosen, or when tokens are cut off, the same happens here.

    Args:
        cache: The model's cache.

    Example:
        >>> class Cache: pass
        >>> cache = Cache()
        >>> ZCache.of(cache) is ZCache.of(cache)
        True
    """

    def __init__(self, cache: Any) -> None:
        self.cache = cache
        self.past: dict[int, list[Tensor]] = {}
        for name in (
            "reorder_cache",
            "batch_repeat_interleave",
            "batch_select_indices",
            "crop",
            "reset",
        ):
            if hasattr(cache, name):  # on this cache alone, so that a copy of it follows its own
                setattr(cache, name, getattr(self, name))
        setattr(cache, _NAME, self)

    @staticmethod
    def of(cache: Any) -> "ZCache":
        """Give what belongs to a cache, made at the first call."""
        found: ZCache | None = getattr(cache, _NAME, None)
        return ZCache(cache) if found is None else found

    def rounds(self, index: int, layer_idx: int, queries: int) -> list[Tensor]:
        """Give what earlier tokens hold in a layer, in step with the keys.

        Args:
            index: The layer.
            layer_idx: Its number in the cache.
            queries: How many tokens come now; their keys are in the cache already.

        Returns:
            A tensor a round, to which those of the new tokens are appended; empty at first.

        Raises:
            RuntimeError: The cache holds tokens that the adapter has not seen.
            ValueError: The cache has a fixed size.
        """
        layers = getattr(getattr(self.cache, "self_attention_cache", self.cache), "layers", [])
        if layer_idx < len(layers) and getattr(layers[layer_idx], "is_compileable", False):
            raise ValueError(
                "Sparse-GIN needs a cache that grows with the tokens: got "
                f"{type(layers[layer_idx]).__name__}; right would be DynamicCache, the default."
            )
        past = self.past.setdefault(index, [])
        seen = past[0].size(2) if past else 0
        held = int(self.cache.get_seq_length(layer_idx)) - queries
        if seen != held:
            raise RuntimeError(
                f"Sparse-GIN must have seen all tokens of a cache: got {held} tokens in the cache, "
                f"of which it saw {seen}; begin with an empty cache after attach(), and keep the "
                "adapter enabled."
            )
        return past

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Reorder the samples, as beam search does."""
        type(self.cache).reorder_cache(self.cache, beam_idx)
        self._each(lambda z: z.index_select(0, beam_idx.to(z.device)))

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Repeat each sample."""
        type(self.cache).batch_repeat_interleave(self.cache, repeats)
        self._each(lambda z: z.repeat_interleave(repeats, dim=0))

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep some samples."""
        type(self.cache).batch_select_indices(self.cache, indices)
        self._each(lambda z: z[indices])

    def crop(self, tokens_to_remove: int) -> None:
        """Remove the last tokens; their number is given as a negative one."""
        type(self.cache).crop(self.cache, tokens_to_remove)
        if tokens_to_remove:
            self._each(lambda z: z[:, :, :tokens_to_remove])

    def reset(self) -> None:
        """Forget all tokens."""
        type(self.cache).reset(self.cache)
        self.past.clear()

    def _each(self, change: Callable[[Tensor], Tensor]) -> None:
        for rounds in self.past.values():
            rounds[:] = [change(z) for z in rounds]
