#!/usr/bin/python3
"""Measures how often the intervals of scores cover the truth, with the demo pairs, 50 pictures and 20 seeds.

    tests/stress/coverage.py --binary build/release/sslmem

A picture's true m is the mean of its scores with 64 views under 20 seeds that are used for nothing else. Each row scores
every picture with 20 other seeds. It prints the share of intervals m_low to m_high that contain the truth, the share that
m -+ 1.96 m_se would, and the mean m_se divided by the standard deviation of m over the seeds. Exits with 1 if the
intervals of 5, 10 or 20 views, over both pairs, cover less than 93 % or more than 97 %. Takes about three minutes.
"""
import argparse
import json
import math
import pathlib
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEMO = ROOT / "deploy/demo"
PICTURES = [*sorted(DEMO.glob("images/candidate/*.png")), *sorted(DEMO.glob("images/external/*.png")),
            *sorted(DEMO.glob("images/shared/*.png"))[:10]]
PAIRS = ["fashion-simclr", "fashion-vit"]
SEEDS = 20
FLOOR, CEILING = .93, .97


def scores(binary, pair, recipe):
    """Returns the scores of all pictures, in order."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(recipe, file)
        file.flush()
        done = subprocess.run([binary, "score", "--pair", DEMO / "pairs" / pair, "--recipe", file.name, *PICTURES],
                              check=True, capture_output=True, text=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def by_picture(binary, pair, recipe, first_seed):
    return list(zip(*[scores(binary, pair, {**recipe, "seed": first_seed + i}) for i in range(SEEDS)]))


def measure(binary, pair, recipe, truths):
    """Returns the shares covered by intervals and by 1.96 m_se, and the mean m_se over the deviation of m."""
    inside = wald = 0
    ratios = []
    for truth, of_seeds in zip(truths, by_picture(binary, pair, recipe, 0)):
        inside += sum(s["m_low"] <= truth <= s["m_high"] for s in of_seeds)
        wald += sum(abs(s["m"] - truth) <= 1.96 * s["m_se"] for s in of_seeds)
        ratios.append(statistics.fmean(s["m_se"] for s in of_seeds) / statistics.stdev(s["m"] for s in of_seeds))
    count = len(truths) * SEEDS
    return inside / count, wald / count, statistics.fmean(ratios)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", default=ROOT / "build/release/sslmem", type=pathlib.Path)
    binary = parser.parse_args().binary
    failed = False
    assert len(PICTURES) == 50
    print(f"{'':8}{'':16}" + "".join(f"{pair:>30}" for pair in PAIRS) + f"{'both':>10}")
    print(f"{'mode':8}{'views':16}" + f"{'interval':>12}{'1.96 se':>9}{'se/sd':>9}" * len(PAIRS) + f"{'interval':>10}")
    for mode in ("pairs", "anchor"):
        recipe = {"compare": mode, "representation": "pooled"}
        truths = {pair: [statistics.fmean(s["m"] for s in of_seeds)
                         for of_seeds in by_picture(binary, pair, {**recipe, "views": 64}, 1000)] for pair in PAIRS}
        rows = [({"views": views}, str(views), views > 4) for views in (4, 5, 10, 20)]
        rows.append(({"views": 64, "target_se": .015}, "to m_se .015", False))
        for change, name, judged in rows:
            cells = [measure(binary, pair, {**recipe, **change}, truths[pair]) for pair in PAIRS]
            both = statistics.fmean(cell[0] for cell in cells)
            failed |= judged and not FLOOR <= both <= CEILING
            print(f"{mode:8}{name:16}" + "".join(f"{a:12.3f}{b:9.3f}{c:9.2f}" for a, b, c in cells) + f"{both:10.3f}", flush=True)
    print(f"standard error of a share over both: {math.sqrt(.05 * .95 / (2 * SEEDS * len(PICTURES))):.3f}")
    return failed


if __name__ == "__main__":
    sys.exit(main())
