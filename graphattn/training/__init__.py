"""Training: an own small loop, its feeds, checkpoints that survive a kill, metrics, a report."""

from importlib import import_module

_HOMES = {
    "FitOptions": "options",
    "TokenOptions": "options",
    "FullBatchFeed": "whole_graph",
    "TokenFeed": "feeds",
    "LabelInputs": "label_inputs",
    "LabelOptions": "options",
    "fit": "fitting",
    "FitResult": "fitting",
    "load_weights": "checkpoint",
    "metric_by_name": "metrics",
    "write_report": "report",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> object:
    """Import a name's file when the name is first asked for: the options stay torch-free."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
