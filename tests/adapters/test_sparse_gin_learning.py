"""Copying over a distance: messages learn it, self loops alone do not; LoRA is told beside them.

The first of twelve words is to be named at the last, where a frozen random model attends to all
words alike. ``pytest -s`` shows the losses.
"""

import pytest
import torch
from tiny_transformers import transformers
from torch import nn
from torch.nn import functional as F

from graphattn.adapters import SparseGINAdapter, SparseGINConfig

SEEDS, STEPS, BATCH, LENGTH, KEYS = 5, 120, 16, 12, 8


def make_model(seed):
    torch.manual_seed(seed)
    config = transformers.LlamaConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=1,
        num_attention_heads=4,
        vocab_size=40,
    )
    return transformers.LlamaModel(config).eval()


def adapt(arm, model):
    """Trainable parameters: 2,356 of Sparse-GIN, 2,304 of LoRA."""
    if arm != "lora":
        config = SparseGINConfig(hidden_dim=21, dropout=0.0, adjacency=arm)
        return SparseGINAdapter.attach(model, config).trainable_parameters()
    peft = pytest.importorskip("peft", reason="needs peft: pip install 'graphattn[hf]'")
    targets = ["q_proj", "k_proj", "v_proj", "o_proj"]
    lora = peft.LoraConfig(r=9, lora_alpha=18, target_modules=targets)
    return [p for p in peft.get_peft_model(model, lora).parameters() if p.requires_grad]


def last_loss(arm, seed):
    """Mean cross-entropy of the last 20 steps."""
    model = make_model(seed)
    parameters, head = adapt(arm, model), nn.Linear(32, KEYS)
    optimizer = torch.optim.Adam([*parameters, *head.parameters()], lr=1e-2)
    losses = []
    for _ in range(STEPS):
        words = torch.randint(KEYS, 40, (BATCH, LENGTH))
        words[:, 0] = key = torch.randint(0, KEYS, (BATCH,))
        hidden = model(words, use_cache=False).last_hidden_state[:, -1]
        loss = F.cross_entropy(head(hidden), key)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return sum(losses[-20:]) / 20


@pytest.mark.slow
def test_messages_copy_what_self_loops_cannot():
    found = {
        arm: [last_loss(arm, seed) for seed in range(SEEDS)]
        for arm in ("attention", "diagonal", "lora")
    }
    for arm, losses in found.items():
        print(f"\n{arm:10} {sum(losses) / SEEDS:.3f} ({' '.join(f'{x:.3f}' for x in losses)})")
    for with_messages, without in zip(found["attention"], found["diagonal"], strict=True):
        assert with_messages < 0.7 * without
