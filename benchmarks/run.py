"""Runs the benchmarks: `make bench`, or `python benchmarks/run.py --size small`."""

import argparse

import fanout
import propagation
import tokens
import training_step


def main() -> None:
    """Runs each and leaves its JSON in benchmarks/results/."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=sorted(tokens.SIZES), default="moderate")
    size = parser.parse_args().size
    for benchmark in (tokens, propagation, fanout, training_step):
        benchmark.main(size)


if __name__ == "__main__":
    main()
