"""The state of a run and the steps that move it: train an epoch, evaluate, keep the best, save."""

import logging
import math
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from graphattn.files import write_json
from graphattn.ops.ranks import ALONE, Ranks
from graphattn.training.checkpoint import Checkpoint, save_checkpoint
from graphattn.training.distributed import gather_random, sum_gradients
from graphattn.training.errors import NonFiniteLoss
from graphattn.training.feed import Feed, autocast, checked_logits, device_of
from graphattn.training.labels import is_labelled
from graphattn.training.metrics import Metric
from graphattn.training.objective import class_weights, clip_gradient, mean_loss
from graphattn.training.options import FitOptions
from graphattn.training.position import Position, on_cpu
from graphattn.training.random_state import RandomState
from graphattn.training.result import append_history, plain
from graphattn.training.schedule import Schedule
from graphattn.training.stopping import Stop, StopWatch

logger = logging.getLogger(__name__)


class Loop:
    """One run in progress, on all ranks of its feed alike; the first alone writes.

    Args:
        model: Trained in place.
        feed: Gives the batches.
        val: Validation nodes.
        metric: Judges them.
        options: How to train.
        out: The run's folder.
        fingerprint: Saved with each checkpoint.

    Example:
        >>> callable(Loop.train)
        True
    """

    def __init__(
        self,
        model: nn.Module,
        feed: Feed,
        val: Tensor,
        metric: Metric,
        options: FitOptions,
        *,
        out: Path | None,
        fingerprint: Mapping[str, Any],
    ) -> None:
        self.model, self.feed, self.metric, self.out = model, feed, metric, out
        self.ranks: Ranks = getattr(feed, "ranks", ALONE)
        self.at = Position()
        self._val, self._options, self.fingerprint = val, options, fingerprint
        self._forward: Any = torch.compile(model) if options.compile else model
        self._device = device_of(model)
        kind = torch.optim.AdamW if options.optimizer == "adamw" else torch.optim.Adam
        self._optimizer = kind(model.parameters(), lr=options.lr, weight_decay=options.weight_decay)
        self._schedule = Schedule(options)
        self._class_weights: Tensor | None = None
        self._best: tuple[dict[str, Tensor], dict[str, Tensor]] | None = None  # weights, feed
        self._best_written = -1
        self._random = RandomState(options.seed, self._device, rank=self.ranks.rank)
        self._saved_at = time.monotonic()
        self._good: Checkpoint | None = None  # the epoch's start, where `last/` is older

    def train(self, watch: StopWatch) -> None:
        """Train to the end; `Stop` is raised where the state is whole."""
        at, options = self.at, self._options
        steps = self.feed.steps_per_epoch
        bar = tqdm(
            total=options.epochs * steps,
            initial=at.epoch * steps + at.step,
            desc=self.out.name if self.out else "fit",
            unit="step",
            disable=None if self.ranks.first else True,
            leave=False,
        )
        with bar, self._random:
            while not at.stopped:
                self._train_epoch(watch, bar)
                entry = self._finish_epoch(watch)
                bar.set_postfix_str(
                    f"epoch {at.epoch}/{options.epochs}, loss {entry['loss']:.4f}, "
                    f"val {entry['val']:.4f}, best {at.best_val:.4f}",
                )
                if not at.stopped and options.save_every and at.epoch % options.save_every == 0:
                    self._save_if_due()
        self.save_last()

    def keep_best(self) -> None:
        """Put the best weights into the model, and into `best/`."""
        if self._best is None:  # There was nothing to choose by: the last epoch's are kept.
            self.at.best_epoch = self.at.epoch - 1
            self._best = self._snapshot()
        self._write_best()
        weights, feed = self._best
        self.model.load_state_dict(weights)
        self.feed.load_state_dict(feed)

    def predict(self, nodes: Tensor) -> Tensor:
        """Return logits of nodes; what evaluation draws at random does not move training."""
        own = nodes[self.ranks.part(len(nodes))]
        devices = [self._device] if self._device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices), autocast(self._device, self._options):
            return self.ranks.gather(self.feed.predict(self.model, own))

    def save_last(self) -> None:
        """Write `last/` (and `best/`, if it is behind), if there is a folder."""
        if self.out is None:
            return
        state = self._state()
        if self.ranks.first:
            self._write_best()
            save_checkpoint(self.out / "last", state)
        self._good, self._saved_at = None, time.monotonic()

    def _state(self) -> Checkpoint:
        random, *others = gather_random(self._random.state_dict(), self.ranks)
        state = {
            "position": self.at.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "schedule": self._schedule.state_dict(),
            "feed": self.feed.state_dict(),
            "best_feed": self._best[1] if self._best else {},
            "random": random,
            **({"random_of_others": others} if others else {}),
        }
        about = self._about(epoch=self.at.epoch, step=self.at.step)
        return Checkpoint(
            self.model.state_dict(), state, self._best[0] if self._best else None, about
        )

    def _hold(self) -> None:
        """Keep a copy of the state, to be written if the epoch ends in no number."""
        finite = all(bool(p.detach().isfinite().all()) for p in self.model.parameters())
        if self.out is not None and finite:
            now = self._state()
            self._good = replace(now, weights=on_cpu(now.weights), state=on_cpu(now.state))

    def restore(self, checkpoint: Checkpoint) -> None:
        """Take up all but the weights of a checkpoint that `save_last` wrote."""
        state = checkpoint.state
        self.at = Position(**state["position"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._schedule.load_state_dict(state["schedule"])
        self.feed.load_state_dict(state["feed"])
        if checkpoint.best is not None:
            self._best = (dict(checkpoint.best), state["best_feed"])
        random = [state["random"], *state.get("random_of_others", ())]
        if len(random) != self.ranks.size and self.ranks.first:
            text = "%d ranks go on with what %d began: the same run but for rounding and dropout"
            logger.info(text, self.ranks.size, len(random))
        if self.ranks.rank < len(random):
            self._random.load_state_dict(random[self.ranks.rank])

    def _train_epoch(self, watch: StopWatch, bar: "tqdm[Any]") -> None:
        at, options = self.at, self._options
        if at.step >= self.feed.steps_per_epoch:  # It was stopped while it was evaluated.
            return
        self._hold()
        lr = self._schedule.lr(at.epoch)
        for group in self._optimizer.param_groups:
            group["lr"] = lr
        self.model.train()
        began = time.perf_counter()
        with closing(self.feed.train_batches(at.epoch)) as batches:
            for batch in islice(batches, at.step, None):
                self._train_step(batch, lr)
                now = time.perf_counter()
                at.seconds, began = at.seconds + now - began, now
                bar.update()
                if signal := self.ranks.largest(watch.requested or 0):
                    raise Stop(signal)
                if options.save_steps and at.step % options.save_steps == 0:
                    self._save_if_due()
                    began = time.perf_counter()

    def _train_step(self, batch: Any, lr: float) -> None:
        at, options = self.at, self._options
        mean, weight = self._loss(batch)
        own = torch.tensor([float(mean.detach()) * weight, weight], dtype=torch.float64)
        loss_sum, weight_sum = self.ranks.sum(own).tolist()
        if not math.isfinite(loss_sum):
            self._refuse("loss", batch, lr)
        self._optimizer.zero_grad(set_to_none=True)
        (mean * (weight / weight_sum)).backward()
        sum_gradients(self.model, self.ranks)
        norm = clip_gradient(self.model, options.clip_norm)
        if not math.isfinite(float(norm)):
            self._refuse("gradient", batch, lr)
        self._optimizer.step()
        at.step, at.loss_sum = at.step + 1, at.loss_sum + loss_sum
        at.weight_sum += weight_sum

    def _loss(self, batch: Any) -> tuple[Tensor, float]:
        own, options = getattr(self.feed, "own_loss", None), self._options
        with autocast(self._device, options):
            if own is not None and (found := own(self._forward, batch)) is not None:
                return found
            logits, y = self.feed.forward(self._forward, batch)
        checked_logits(self.model, logits, rows=len(y), out_channels=self.feed.out_channels)
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        weights = self._weights(logits) if options.class_weights else None
        return mean_loss(logits, y, weights, label_smoothing=options.label_smoothing)

    def _finish_epoch(self, watch: StopWatch) -> dict[str, Any]:
        at, options = self.at, self._options
        val = val_loss = math.nan
        seconds, last = 0.0, at.epoch + 1 == options.epochs
        if len(self._val) and (last or (at.epoch + 1) % options.eval_every == 0):
            began = time.perf_counter()
            with watch.pausable():
                val, val_loss = self._evaluate()
            seconds = time.perf_counter() - began
            self._judge(val)
        entry = {
            "epoch": at.epoch,
            "loss": at.loss_sum / at.weight_sum,
            "lr": self._optimizer.param_groups[0]["lr"],
            "val": val,
            "val_loss": val_loss,
            "seconds": at.seconds,
            "eval_seconds": seconds,
        }
        at.history.append(entry)
        at.epoch, at.step, at.loss_sum, at.weight_sum, at.seconds = at.epoch + 1, 0, 0.0, 0.0, 0.0
        if not at.stopped and at.epoch >= options.epochs:
            at.stopped = "epochs"
        if self.out is not None and self.ranks.first:
            append_history(self.out / "metrics.jsonl", entry)
        return entry

    def _evaluate(self) -> tuple[float, float]:
        logits, y = self.predict(self._val), self.feed.labels(self._val)
        known = is_labelled(y).nonzero().view(-1)
        loss, weight = mean_loss(logits.index_select(0, known), y.index_select(0, known))
        return self.metric(y, logits), float(loss) if weight else math.nan

    def _judge(self, val: float) -> None:
        at = self.at
        self._schedule.observe(val)
        if val > at.best_val or math.isnan(at.best_val):
            at.best_val, at.best_epoch, at.stale = val, at.epoch, 0
            self._best = self._snapshot()
        else:
            at.stale += 1
        if self._options.patience and at.stale >= self._options.patience:
            at.stopped = "patience"

    def _snapshot(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        weights = {k: v.detach().cpu().clone() for k, v in self.model.state_dict().items()}
        return weights, self.feed.state_dict()

    def _write_best(self) -> None:
        written = self._best_written == self.at.best_epoch
        if self.out is None or self._best is None or written or not self.ranks.first:
            return
        about = self._about(epoch=self.at.best_epoch, best_val=self.at.best_val)
        weights, feed = self._best
        save_checkpoint(self.out / "best", Checkpoint(weights, {"feed": feed}, about=about))
        self._best_written = self.at.best_epoch

    def _save_if_due(self) -> None:
        if self.ranks.largest(time.monotonic() - self._saved_at >= self._options.save_seconds):
            self.save_last()

    def _about(self, **facts: Any) -> dict[str, Any]:
        plain_facts = {k: plain(v) for k, v in facts.items()}
        return {**plain_facts, "fingerprint": self.fingerprint, "torch": torch.__version__}

    def _weights(self, logits: Tensor) -> Tensor:
        if self._class_weights is None:
            self._class_weights = class_weights(self.feed.labels(self.feed.train_nodes), logits)
        return self._class_weights

    def _refuse(self, what: str, batch: Any, lr: float) -> NoReturn:
        seeds, at, out = self.ranks.gather(self.feed.seeds(batch)).tolist(), self.at, self.out
        facts: dict[str, Any] = {"epoch": at.epoch, "step": at.step, "lr": lr, "seeds": seeds}
        if out is not None and self.ranks.first:
            # The failed forward has moved buffers and codes: what is saved is from before it.
            self._write_best()
            if self._good is not None:
                save_checkpoint(out / "last", self._good)
            write_json(out / "nonfinite.json", {"what": what, **facts})
        kept = out if out is not None and (out / "last").exists() else None
        raise NonFiniteLoss(what, **facts, out=kept)
