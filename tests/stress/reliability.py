#!/usr/bin/python3
"""Compares the reliability that one audit states with the correlation of m between audits under two recipe seeds.

    deploy/demo/train.py --export-all /tmp/images     # 500 images a cohort, from the package dataset-fashion-mnist
    tests/stress/reliability.py --binary build/release/sslmem --images /tmp/images

Both demo pairs with their own recipes; without --images the 20 images a cohort of the repository. Every cohort is a row: the
reliability under seeds 0 and 1, the first one's interval and views needed for .8, and the correlation. Exits with 1 if, with
500 images a cohort, the mean reliability of a pair's four cohorts is more than .05 from their mean correlation; a single
cohort's correlation has a standard error of .03. Takes a minute, and three with 500 images.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEMO = ROOT / "deploy/demo"
PAIRS = ["fashion-simclr", "fashion-vit"]
COHORTS = ["candidate", "shared", "independent", "external"]
LIMIT = .05


def audit(binary, pair, images, recipe):
    with tempfile.TemporaryDirectory() as folder:
        folders = [text for c in COHORTS for text in (f"--{c}", str(images / c))]
        subprocess.run([binary, "audit", "--pair", DEMO / "pairs" / pair, *folders, "--recipe", json.dumps(recipe), "--out",
                        f"{folder}/out", "--quiet"], check=True, capture_output=True)
        return json.loads(pathlib.Path(f"{folder}/out/report.json").read_text())


def scores(record, cohort):
    return [item["m"] for item in record["items"] if item["cohort"] == cohort]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", default=ROOT / "build/release/sslmem", type=pathlib.Path)
    parser.add_argument("--images", default=DEMO / "images", type=pathlib.Path)
    arguments = parser.parse_args()
    failed = False
    print(f"{'pair':16}{'cohort':12}{'n':>5}{'seed 0':>8}{'95 % interval':>18}{'seed 1':>8}{'correlation':>13}{'views .8':>10}")
    for pair in PAIRS:
        first, second = (audit(arguments.binary, pair, arguments.images, {"seed": seed}) for seed in (0, 1))
        stated, found = [], []
        for cohort in COHORTS:
            a, b = (record["summary"]["reliability"]["cohorts"][cohort] for record in (first, second))
            r = statistics.correlation(scores(first, cohort), scores(second, cohort))
            stated += [a["reliability"], b["reliability"]]
            found.append(r)
            interval = " to ".join("null" if x is None else f"{x:.3f}" for x in a["interval"])
            print(f"{pair:16}{cohort:12}{a['n']:5}{a['reliability']:8.3f}{interval:>18}{b['reliability']:8.3f}{r:13.3f}"
                  f"{a['views_needed'][0]['views']!s:>10}", flush=True)
        off = statistics.fmean(stated) - statistics.fmean(found)
        print(f"{pair:16}{'mean':12}{'':5}{statistics.fmean(stated):8.3f}{'':26}{statistics.fmean(found):13.3f}   off by {off:+.3f}")
        failed |= a["n"] >= 500 and abs(off) > LIMIT
    return failed


if __name__ == "__main__":
    sys.exit(main())
