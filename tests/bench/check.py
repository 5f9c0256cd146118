#!/usr/bin/python3
"""`make bench-check`: has an encoder's forward become more work? By counts, never by time.

    tests/bench/check.py [--engine build/release/bench/engine] [--update]

Valgrind counts a forward of small networks on our own AVX2 kernels, the best that it knows: instructions, and misses of the
caches that it simulates, 32 KB before 512 KB, as a processor without AVX-512 has them. The same program gives the same counts on
every machine, however busy, and only the compiler's version moves them by a few percent. Counted is what runs inside the forward
alone; simulated caches know no prefetch. check.txt has what is expected, per 1,000 multiply-adds of the graph; and the
multiply-adds, exactly. More than TOLERANCE above fails; that much below asks for the new number (--update writes it)."""

import argparse
import json
import pathlib
import re
import subprocess
import sys
import tempfile

import networks
from turns import ROOT, environment

EXPECTED = pathlib.Path(__file__).resolve().parent / "check.txt"
TOLERANCE = {"instructions": 0.05, "misses": 0.15, "far misses": 0.15}  # misses also depend on where memory lies
CACHES = ["--cache-sim=yes", "--I1=32768,8,64", "--D1=32768,8,64", "--LL=524288,8,64"]
VIEWS = 2


def measure(engine, row, folder):
    """(counts per 1,000 multiply-adds, as TOLERANCE; multiply-adds of an image); one forward warms up and counts too."""
    with tempfile.NamedTemporaryFile("r") as log:
        done = subprocess.run(
            ["valgrind", "--tool=callgrind", "--toggle-collect=forward_once", "--callgrind-out-file=/dev/null", *CACHES,
             f"--log-file={log.name}", str(engine), "--kernels", row, "--views", str(VIEWS), str(folder)],
            env=environment(), input="forward 1 1\n", capture_output=True, text=True)
        text = log.read()
    events = re.search(r"Events    : (.+)", text)
    found = re.search(r"Collected : (.+)", text)
    if done.returncode != 0 or not events or not found:
        raise SystemExit(f"{engine} --kernels {row}: {done.stderr.strip() or 'no count'}")
    count = dict(zip(events[1].split(), map(int, found[1].split())))
    multiply_adds = json.loads(done.stdout.splitlines()[0])["multiply_adds"]
    counts = (count["Ir"], count["D1mr"] + count["D1mw"], count["DLmr"] + count["DLmw"])
    return [1000 * n / (2 * VIEWS * multiply_adds) for n in counts], multiply_adds


def verdict(got, expected, tolerance):
    if got > expected * (1 + tolerance):
        return "MORE WORK"
    return "less: write it down" if got < expected * (1 - tolerance) else "ok"


def main():
    parser = argparse.ArgumentParser(description="Compares counts of a forward with check.txt.")
    parser.add_argument("--engine", type=pathlib.Path, default=ROOT / "build/release/bench/engine")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "build/bench", help="folder of the networks")
    parser.add_argument("--update", action="store_true", help="write what is counted to check.txt")
    options = parser.parse_args()
    lines, failed = [], 0
    for line in EXPECTED.read_text().splitlines():
        if not line or line.startswith("#"):
            lines.append(line)
            continue
        name, row, *expected, expected_adds = line.split()
        got, adds = measure(options.engine, row, networks.make(options.out, name))
        if adds != int(expected_adds):
            print(f"{name} {row}: OTHER GRAPH: {adds} multiply-adds, expected {expected_adds}")
            failed += 1
        for (what, tolerance), n, limit in zip(TOLERANCE.items(), got, expected, strict=True):
            word = verdict(n, float(limit), tolerance)
            failed += word.isupper()
            print(f"{name} {row}: {n:.2f} {what} per 1,000 multiply-adds, expected {limit}: {word}", flush=True)
        lines.append(f"{name} {row} {' '.join(f'{n:.2f}' for n in got)} {adds}")
    if options.update:
        EXPECTED.write_text("\n".join(lines) + "\n")
        return 0
    print(f"{failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
