#!/usr/bin/python3
"""`make bench-check`: has an encoder's forward become more work? By instructions counted, never by time.

    tests/bench/check.py [--engine build/release/bench/engine] [--update]

Valgrind counts the instructions of a forward of two small networks on our own AVX2 kernels, the best that it knows: the same
program gives the same count on every machine, however busy, and only the compiler's version moves it by a few percent.
Counted is what runs inside the forward alone. check.txt has what is expected, as instructions per 1,000 multiply-adds of
the graph; and the multiply-adds, exactly. More than TOLERANCE above fails; that much below asks for the new number (--update writes it)."""

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
TOLERANCE = 0.05
VIEWS = 2


def measure(engine, row, folder):
    """(instructions per 1,000 multiply-adds, multiply-adds of an image); one forward warms up and counts too."""
    with tempfile.NamedTemporaryFile("r") as log:
        done = subprocess.run(
            ["valgrind", "--tool=callgrind", "--toggle-collect=forward_once", "--callgrind-out-file=/dev/null",
             f"--log-file={log.name}", str(engine), "--kernels", row, "--views", str(VIEWS), str(folder)],
            env=environment(), input="forward 1 1\n", capture_output=True, text=True)
        found = re.search(r"Collected : (\d+)", log.read())
    if done.returncode != 0 or not found:
        raise SystemExit(f"{engine} --kernels {row}: {done.stderr.strip() or 'no count'}")
    multiply_adds = json.loads(done.stdout.splitlines()[0])["multiply_adds"]
    return 1000 * int(found[1]) / (2 * VIEWS * multiply_adds), multiply_adds


def verdict(got, expected):
    if got > expected * (1 + TOLERANCE):
        return "MORE WORK"
    return "less: write it down" if got < expected * (1 - TOLERANCE) else "ok"


def main():
    parser = argparse.ArgumentParser(description="Compares instructions of a forward with check.txt.")
    parser.add_argument("--engine", type=pathlib.Path, default=ROOT / "build/release/bench/engine")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "build/bench", help="folder of the networks")
    parser.add_argument("--update", action="store_true", help="write what is counted to check.txt")
    options = parser.parse_args()
    lines, failed = [], 0
    for line in EXPECTED.read_text().splitlines():
        if not line or line.startswith("#"):
            lines.append(line)
            continue
        name, row, expected, expected_adds = line.split()
        got, adds = measure(options.engine, row, networks.make(options.out, name))
        word = verdict(got, float(expected))
        if adds != int(expected_adds):
            word = f"OTHER GRAPH: {adds} multiply-adds, expected {expected_adds}"
        failed += word.isupper() or word.startswith("OTHER")
        print(f"{name} {row}: {got:.1f} instructions per 1,000 multiply-adds, expected {expected}: {word}", flush=True)
        lines.append(f"{name} {row} {got:.1f} {adds}")
    if options.update:
        EXPECTED.write_text("\n".join(lines) + "\n")
        return 0
    print(f"{len([l for l in lines if l and l[0] != '#']) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
