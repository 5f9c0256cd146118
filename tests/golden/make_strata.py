#!/usr/bin/python3
"""Golden vectors of stratified draws: every parameter that sm_view_render draws for K views, by a second implementation.

Made with numpy 1.24.2 (Debian 12):

    /usr/bin/python3 tests/golden/make_strata.py

writes tests/golden/image/strata.json. Philox4x32-10 (Salmon et al., SC 2011) runs over arrays of counters. The permutation
of a draw is the argsort of the argsort of the random bits of all K views, where core/image/augment.c counts smaller ones.
"""
import hashlib
import json
import pathlib
import struct

import numpy as np

OUT = pathlib.Path(__file__).resolve().parent / "image/strata.json"
LOW = np.uint64(0xFFFFFFFF)
BITS = np.uint64(32)


def philox(key, *counter):
    """Words 0 and 1 of every counter, each an array of uint64 below 2^32."""
    c = np.array(np.broadcast_arrays(*counter), np.uint64)
    k = np.array(key, np.uint64)
    for _ in range(10):
        p0, p1 = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
        c = np.stack([(p1 >> BITS) ^ c[1] ^ k[0], p1 & LOW, (p0 >> BITS) ^ c[3] ^ k[1], p0 & LOW])
        k = k + np.array([0x9E3779B9, 0xBB67AE85], np.uint64) & LOW
    return c[0], c[1]


class Draws:
    """u[view] of any (op, draw)."""

    def __init__(self, seed, digest, views):
        self.key = struct.unpack("<II", hashlib.sha256(struct.pack("<Q", seed) + digest).digest()[:8])
        self.views = np.arange(views)

    def __call__(self, op, draw):
        high, low = philox(self.key, self.views, op, draw, 0)
        unit = ((high << np.uint64(21)) | (low >> np.uint64(11))).astype(float) * 2.0 ** -53
        high, low = philox(self.key, self.views, op, draw, 1)
        rank = np.argsort(np.argsort(high << BITS | low, kind="stable"), kind="stable")
        return np.minimum((rank + unit) / len(self.views), np.nextafter(1, 0))

    def between(self, op, draw, low, high):
        return low + (high - low) * self(op, draw)


def crop(draws, at, op, width, height):
    found = {}
    ratio_low, ratio_high = np.log(op["ratio"])
    for first in range(1, 41, 4):
        area = width * height * draws.between(at, first, *op["scale"])
        ratio = np.exp(draws.between(at, first + 1, ratio_low, ratio_high))
        w, h = np.rint(np.sqrt(area * ratio)), np.rint(np.sqrt(area / ratio))
        fits = (w > 0) & (w <= width) & (h > 0) & (h <= height)
        top, left = np.floor(draws(at, first + 2) * (height - h + 1)), np.floor(draws(at, first + 3) * (width - w + 1))
        for v in np.flatnonzero(fits):
            found.setdefault(v, {"top": int(top[v]), "left": int(left[v]), "height": int(h[v]), "width": int(w[v])})
    assert len(found) == len(draws.views), "a view without a crop that fits"
    return [found[v] for v in draws.views]


def jitter(draws, at, op):
    names = ["brightness", "contrast", "saturation", "hue"]
    steps = [np.floor(draws(at, 1 + i) * (4 - i)).astype(int) for i in range(3)]
    factors = {name: draws.between(at, 4 + i, *((-op[name], op[name]) if name == "hue" else (max(0, 1 - op[name]), 1 + op[name])))
               for i, name in enumerate(names) if op[name] > 0}
    rows = []
    for v in draws.views:
        order = names.copy()
        for i, step in enumerate(steps):
            j = i + step[v]
            order[i], order[j] = order[j], order[i]
        order = [name for name in order if name in factors]
        rows.append({name: float(factors[name][v]) for name in order} | {"order": order})
    return rows


def drawn(case):
    draws = Draws(case["seed"], bytes.fromhex(case["digest"]), case["views"])
    rows = [[] for _ in draws.views]
    for at, op in enumerate(case["augment"]):
        kind = op["op"]
        parameters = {"random_resized_crop": lambda: crop(draws, at, op, case["width"], case["height"]),
                      "color_jitter": lambda: jitter(draws, at, op),
                      "gaussian_blur": lambda: [{"sigma": s} for s in draws.between(at, 1, *op["sigma"]).tolist()],
                      }.get(kind, lambda: [{} for _ in draws.views])()
        applied = draws(at, 0) < op["p"] if "p" in op else np.ones(len(draws.views), bool)
        for v, row in enumerate(rows):
            row.append({"op": kind} | ({"applied": bool(applied[v])} if "p" in op else {}) | (parameters[v] if applied[v] else {}))
    return rows


def rrc(low, interpolation="bilinear", **other):
    return {"op": "random_resized_crop", "size": 8, "scale": [low, 1.0], "ratio": [3 / 4, 4 / 3],
            "interpolation": interpolation} | other


def color(b, c, s, h, p):
    return {"op": "color_jitter", "brightness": b, "contrast": c, "saturation": s, "hue": h, "p": p}


def main():
    flip, gray = {"op": "flip", "p": 0.5}, {"op": "grayscale", "p": 0.2}
    blur = {"op": "gaussian_blur", "sigma": [0.1, 2.0], "p": 0.5}
    cifar = [rrc(0.08), flip, color(0.4, 0.4, 0.4, 0.1, 0.8), gray]
    digests = [hashlib.sha256(bytes([i])).hexdigest() for i in range(5)]
    cases = [  # augment, views, seed, width, height
        (cifar, 10, 0, 28, 28), (cifar, 2, 2**64 - 1, 33, 21),
        ([rrc(0.08), flip, color(0.8, 0.8, 0.8, 0.2, 0.8), gray, blur], 64, 0x0123456789ABCDEF, 128, 96),
        ([rrc(0.6, "bicubic", ratio=[0.5, 2.0]), flip], 37, 7, 40, 30),  # crops of many attempts
        ([flip, rrc(0.4), color(0, 0.4, 0, 0.1, 1.0), {"op": "solarize", "threshold": 128, "p": 0.2}], 20, 2**63, 28, 28)]
    rows = []
    for digest, (augment, views, seed, width, height) in zip(digests, cases):
        case = {"views": views, "seed": seed, "digest": digest, "width": width, "height": height, "augment": augment}
        rows.append(case | {"seed": str(seed), "drawn": drawn(case)})
    body = ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows)
    OUT.write_text(json.dumps({"versions": {"numpy": np.__version__}})[:-1] + f', "cases": [\n{body}\n]}}\n')


if __name__ == "__main__":
    main()
