#!/usr/bin/python3
"""Prints how far the demo pairs show the paper's pattern: m of candidates > external > independent, shared near external.

Wang et al. (ICLR 2024, section 4) find S_C > S_E > S_I, and S_S near 0, for normalised scores. This program prints the
result for 500 pictures of Fashion-MNIST in each cohort. It only fails if a picture could not be scored."""

import json
import pathlib
import subprocess

import daemon

COHORTS = ("candidate", "external", "independent", "shared")
PAIRS = ("candidate_external", "external_independent", "candidate_independent", "shared_external")


def write_cohorts(folder, count):
    arguments = []
    for cohort in COHORTS:
        (folder / cohort).mkdir()
        for name, data in daemon.dataset_images(daemon.cohort_indexes(cohort)[:count]):
            (folder / cohort / name).write_bytes(data)
        arguments += ["--" + cohort, folder / cohort]
    return arguments


def row(cells):
    print("| " + " | ".join(cells) + " |")


def main():
    options = daemon.options(__doc__, images=500, pairs="fashion-simclr,fashion-vit", representations="tokens,pooled")
    verdicts, cohort_rows, test_rows = daemon.Verdicts(), [], []
    with daemon.folder(options, "pattern") as name:
        folder = pathlib.Path(name)
        arguments = write_cohorts(folder, options.images)
        for pair in options.pairs.split(","):
            for representation in options.representations.split(","):
                out = folder / f"{pair}-{representation}"
                recipe = folder / "recipe.json"
                recipe.write_text(json.dumps({"representation": representation}))
                subprocess.run([options.binary, "audit", "--quiet", "--pair", daemon.DEMO / "pairs" / pair, "--recipe", recipe,
                                "--out", out, *arguments], check=True)
                summary = json.loads((out / "report.json").read_text())["summary"]
                verdicts.check(summary["images"]["scored"] == 4 * options.images, f"{pair}, {representation}: all scored")
                head = f"{pair}, {representation}"
                cohort_rows.append([head] + ["{mean:+.5f} ({sd:.4f}); {normalized_mean:+.3f}".format(**summary["cohorts"][c])
                                             for c in COHORTS])
                tests = summary["comparisons"]
                test_rows.append([head] + [describe(tests, key) for key in PAIRS])
    print("\nmean m (sd); normalised mean")
    row(["pair, representation", *COHORTS])
    for cells in cohort_rows:
        row(cells)
    print("\nWelch t, two-sided p; Cohen's d")
    row(["pair, representation", *(key.replace("_", " - ") for key in PAIRS)])
    for cells in test_rows:
        row(cells)
    verdicts.end()


def describe(tests, key):
    """Describes the comparison of two cohorts, in whichever order the report has them."""
    other = "_".join(reversed(key.split("_")))
    test, sign = (tests[key], 1) if key in tests else (tests[other], -1)
    return f"t = {sign * test['welch']['t']:.2f}, p = {test['welch']['p_two_sided']:.2g}; d = {sign * test['cohen_d']:.2f}"


if __name__ == "__main__":
    main()
