#!/usr/bin/python3
"""demo/controls.py BINARY [SEEDS [ROW]]: audits cohorts that are alike, and cohorts with a planted fault, and counts what the controls
say. The figures are in RESULTS.md.

Cohorts are drawn anew for each seed from the Fashion-MNIST pictures that no demo encoder saw: the controls ask whether cohorts are
alike to pixels and to encoders that saw neither, so no candidate has to be in the training of f. 200 pictures a cohort; few views,
because the faults are not subtle. ROW runs the rows with that text in their names;
the variables COUNT and VIEWS change the sizes. Needs python3-pil and dataset-fashion-mnist.
Five minutes of processor time.
"""
import gzip
import io
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
from PIL import Image

HERE = pathlib.Path(__file__).parent
DATA = "/usr/share/datasets/fashion-mnist/train-{}-ubyte.gz"
SEED, USED = 20240116, 3500  # train.py: every cohort is below USED in its permutation
COUNT, VIEWS, COPIES = int(os.environ.get("COUNT", 200)), int(os.environ.get("VIEWS", 4)), 25
OFTEN = (1, 2, 7)  # trousers, pullovers, sneakers: g aligns them better than the rest


def read(name, header):
    with gzip.open(DATA.format(name)) as f:
        return np.frombuffer(f.read()[header:], np.uint8)


PICTURES, LABELS = read("images-idx3", 16).reshape(-1, 28, 28), read("labels-idx1", 8)


def png(pixels):
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return "png", out.getvalue()


def jpeg(pixels, quality):
    out = io.BytesIO()
    Image.fromarray(pixels).convert("RGB").save(out, "JPEG", quality=quality)
    return "jpg", out.getvalue()


def through_jpeg(pixels, quality):
    """The pixels that JPEG leaves, as a grey PNG like every other picture."""
    return png(np.asarray(Image.open(io.BytesIO(jpeg(pixels, quality)[1])).convert("L")))


def write(folder, files):
    folder.mkdir(parents=True)
    for i, (kind, data) in enumerate(files):
        (folder / f"{i:04}.{kind}").write_bytes(data)


def draw(rng):
    """Indexes of three cohorts of one kind, and of externals of which two thirds, or all, are of three classes."""
    unseen = np.random.RandomState(SEED).permutation(60000)[USED:]
    order = rng.permutation(unseen)
    cohorts = {name: order[k * COUNT:(k + 1) * COUNT] for k, name in enumerate(("candidate", "independent", "external"))}
    rest = order[3 * COUNT:]
    often, others = rest[np.isin(LABELS[rest], OFTEN)], rest[~np.isin(LABELS[rest], OFTEN)]
    cohorts["three"] = often[:COUNT]
    cohorts["mixed"] = np.concatenate([often[:2 * COUNT // 3], others[:COUNT - 2 * COUNT // 3]])
    return cohorts


def audit(binary, work, name, views, folders):
    (work / "recipe.json").write_text(json.dumps({"views": views}))
    out = work / name
    command = [binary, "audit", "--pair", HERE / "pairs/fashion-simclr", "--recipe", work / "recipe.json", "--out", out,
               "--resamples", "0", "--quiet"]
    for cohort, folder in folders.items():
        command += [f"--{cohort}", work / folder]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    report = json.loads((out / "report.json").read_text())
    codes = {flag["code"] for flag in report["summary"]["flags"]} & {"cohorts_differ", "blind_separates", "duplicates"}
    return report["summary"]["controls"], codes


def one_seed(binary, work, seed, chosen):
    cohorts = draw(np.random.RandomState(seed))
    of = {name: PICTURES[indexes] for name, indexes in cohorts.items()}
    for name in ("candidate", "independent", "external", "mixed", "three"):
        write(work / name, map(png, of[name]))
    write(work / "jpg", [jpeg(p, 70) for p in of["external"]])
    write(work / "lossy", [through_jpeg(p, 70) for p in of["external"]])
    for quality in (90, 70):
        copies = [jpeg(p[1:-1, 1:-1], quality) for p in of["candidate"][:COPIES]]
        write(work / f"copied{quality}", [*map(png, of["independent"]), *copies])
    clean = {name: name for name in ("candidate", "independent", "external")}
    two = {"candidate": "candidate", "external": "external"}
    rows = {"clean": (VIEWS, clean),
            "two thirds of three classes": (VIEWS, dict(two, external="mixed")),
            "all of three classes": (VIEWS, dict(two, external="three")),
            "JPEG 70 files": (2, dict(two, external="jpg")),
            "PNG of JPEG 70": (2, dict(two, external="lossy")),
            "copies, JPEG 90": (2, dict(clean, independent="copied90")),
            "copies, JPEG 70": (2, dict(clean, independent="copied70"))}
    return {name: audit(binary, work, f"out {name}", views, folders) for name, (views, folders) in rows.items() if chosen in name}


def pairs_found(controls):
    """Planted pairs that are in one group, and other pairs of a group. Shared images are first, then candidates, independents."""
    planted, other = 0, 0
    for group in controls["duplicates"]["listed"]:
        for a in range(len(group)):
            for b in range(a):
                low, high = sorted((group[a], group[b]))
                is_planted = low < COPIES and high == 2 * COUNT + low
                planted += is_planted
                other += not is_planted
    return planted, other


def main(binary, seeds=20, chosen=""):
    seen, planted, other, images = {}, {}, {}, {}
    worst = {}
    for seed in range(int(seeds)):
        with tempfile.TemporaryDirectory() as folder:
            for name, (controls, codes) in one_seed(binary, pathlib.Path(folder), int(seed), chosen).items():
                for code in codes:
                    seen[name, code] = seen.get((name, code), 0) + 1
                p, o = pairs_found(controls)
                planted.setdefault(name, []).append(p)
                other[name] = other.get(name, 0) + o
                images[name] = images.get(name, 0) + (3 * COUNT + COPIES if "copies" in name else 3 * COUNT if name == "clean" else 2 * COUNT)
                auc = [controls["control"]["candidate_external"]["auc"], controls["blind"]["candidate_external"]["auc"]]
                worst.setdefault(name, []).append(auc)
    print(f"{seeds} seeds, {COUNT} pictures a cohort, {VIEWS} views\n")
    print("| cohorts | `cohorts_differ` | `blind_separates` | `duplicates` | control AUC, least to most | blind AUC, least to most | "
          "copies found | other pairs per 1,000 images |\n| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, aucs in worst.items():
        low, high = np.min(aucs, 0), np.max(aucs, 0)
        found = f"{sum(planted[name])} of {COPIES * int(seeds)}" if "copies" in name else ""
        print(f"| {name} | " + " | ".join(str(seen.get((name, code), 0)) for code in ("cohorts_differ", "blind_separates", "duplicates"))
              + f" | {low[0]:.2f} to {high[0]:.2f} | {low[1]:.2f} to {high[1]:.2f} | {found} | {1000 * other[name] / images[name]:.1f} |")
    some = [n for name, counts in planted.items() if "copies" in name for n in counts]
    if some:
        print(f"\nfewest of {COPIES} copies found in a draw: {min(some)}")


if __name__ == "__main__":
    main(*sys.argv[1:4])
