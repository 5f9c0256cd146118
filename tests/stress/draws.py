#!/usr/bin/python3
"""Measures what stratified draws buy on the demo pairs: the variance of m over 20 seeds, against independent draws.

    tests/stress/draws.py --binary build/release/sslmem

Each row scores the same demo pictures under 20 seeds with either draws. `ratio` is the mean over pictures of the variance of m
over seeds, stratified by independent, with its standard error (1,000 bootstrap samples of pictures); `views` is the number of
independent views with that variance, as variance falls like 1/K. `se2/var` is the mean m_se squared over that variance, for
independent and stratified draws: above 1, m_se is an upper bound. Exits with 1 if stratified draws cost precision: a ratio
above 1 by two standard errors. About ten minutes of one core.
"""
import argparse
import json
import pathlib
import random
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEMO = ROOT / "deploy/demo"
PAIRS = ["fashion-simclr", "fashion-vit"]
SEEDS = 20
ROWS = [("tokens", mode, views) for mode in ("pairs", "anchor") for views in (5, 10, 20, 40)]
ROWS += [("pooled", mode, views) for mode in ("pairs", "anchor") for views in (10, 20)]


def scores(args, pair, recipe):
    pictures = [p for cohort in ("candidate", "external", "independent", "shared")
                for p in sorted(DEMO.glob(f"images/{cohort}/*.png"))[:args.pictures]]
    done = subprocess.run([args.binary, "score", "--workers", str(args.workers), "--pair", DEMO / "pairs" / pair,
                           "--recipe", json.dumps(recipe), *pictures], check=True, capture_output=True, text=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def measure(args, pair, recipe):
    """Of each picture: variance of m over the seeds, and mean m_se squared."""
    of_seeds = [scores(args, pair, recipe | {"seed": seed}) for seed in range(SEEDS)]
    return [(statistics.variance(s["m"] for s in row), statistics.fmean(s["m_se"] ** 2 for s in row)) for row in zip(*of_seeds)]


def ratio_of(pairs):
    return sum(b for _, b in pairs) / sum(a for a, _ in pairs)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", default=ROOT / "build/release/sslmem", type=pathlib.Path)
    parser.add_argument("--pictures", type=int, default=10, help="of each cohort (10)")
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--only", nargs=4, metavar=("PAIR", "TAP", "MODE", "K"), help="one row")
    args = parser.parse_args()
    wanted = [(pair, *row) for pair in PAIRS for row in ROWS]
    if args.only:
        wanted = [(*args.only[:3], int(args.only[3]))]
    failed = False
    print(f"{'pair':16}{'tap':8}{'mode':8}{'K':>4}{'ratio':>8}{'se':>6}{'views':>7}{'se2/var':>14}")
    for pair, tap, mode, views in wanted:
        recipe = {"representation": tap, "compare": mode, "views": views}
        before, after = (measure(args, pair, recipe | {"draws": draws}) for draws in ("independent", "stratified"))
        both = [(a[0], b[0]) for a, b in zip(before, after)]
        ratio, rng = ratio_of(both), random.Random(0)
        se = statistics.stdev(ratio_of(rng.choices(both, k=len(both))) for _ in range(1000))
        bounds = [sum(b for _, b in rows) / sum(a for a, _ in rows) for rows in (before, after)]
        failed |= ratio - 2 * se > 1
        print(f"{pair:16}{tap:8}{mode:8}{views:4}{ratio:8.2f}{se:6.2f}{views / ratio:7.1f}{bounds[0]:7.2f}{bounds[1]:7.2f}",
              flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
