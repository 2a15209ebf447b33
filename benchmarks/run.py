"""Runs the benchmarks: `make bench`, or `python benchmarks/run.py --size small`.

`--size products` is for a machine with 16 GB and most of an hour.
"""

import argparse

import batches
import dropout
import eccentricity
import fanout
import gin_attention
import influence
import propagation
import threads
import tokens
import training_step

BENCHMARKS = {
    "tokens": tokens,
    "propagation": propagation,
    "fanout": fanout,
    "batches": batches,
    "training_step": training_step,
    "dropout": dropout,
    "threads": threads,
    "eccentricity": eccentricity,
    "influence": influence,
    "gin_attention": gin_attention,
}


def main() -> None:
    """Runs each and leaves its JSON in benchmarks/results/."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=["small", "moderate", "products"], default="moderate")
    parser.add_argument("--only", nargs="*", choices=BENCHMARKS, help="by default all")
    args = parser.parse_args()
    for name in args.only or BENCHMARKS:
        if name == "tokens" and args.size == "products":  # where the peer does not fit
            tokens.products()
        else:
            BENCHMARKS[name].main(args.size)


if __name__ == "__main__":
    main()
