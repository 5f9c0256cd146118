#!/usr/bin/python3
"""Vectors of the controls: expected values from scikit-learn 1.2.1 (logistic regression, out-of-fold scores, AUC), SciPy 1.10.1
(DCT), Pillow 9.4 (resizing, luminance) and NumPy 1.24.2. The permutation test, which none of them has, is written down here
from its definition, with another order of steps than the program's.

    tests/golden/make_controls.py        # writes tests/golden/stats/{logistic,blind,hamming}.json and
                                         # tests/golden/image/features.json
"""
import json
import math
import pathlib
import warnings

import numpy as np
from PIL import Image
from scipy.fft import dctn
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

HERE = pathlib.Path(__file__).parent
RNG = np.random.RandomState(20240116)
FOLDS, PERMUTATIONS, MASK = 5, 199, 0xFFFFFFFF


def philox(key, counter):
    c, k = list(counter), list(key)
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(p1 >> 32) ^ c[1] ^ k[0], p1 & MASK, (p0 >> 32) ^ c[3] ^ k[1], p0 & MASK]
        k = [(k[0] + 0x9E3779B9) & MASK, (k[1] + 0xBB67AE85) & MASK]
    return c


def rows(count, features, shift, kind="normal"):
    y = np.arange(count) % 2 == 0
    x = RNG.normal(0, 1, (count, features)) @ RNG.normal(0, 1, (features, features)) * 3 + 40
    x[y, 0] += shift
    if kind == "collinear":  # grey images: three channels are one; and a feature that never changes
        x[:, 1] = x[:, 2] = x[:, 0]
        x[:, 3] = 7.1
    if kind == "separable":
        x[y, 0] += 1000
    if kind == "uneven":
        y = np.arange(count) % 5 == 0
    return np.round(x, 3), y


def cases_of_rows():
    return [rows(60, 4, 0), rows(60, 4, 4), rows(100, 7, 2, "collinear"), rows(40, 3, 0, "separable"), rows(90, 5, 1, "uneven"),
            rows(60, 20, 3)]


def fit(z, y):
    model = LogisticRegression(C=1, solver="newton-cg", tol=1e-14, max_iter=10000).fit(z, y)
    return model.coef_[0], model.intercept_[0]


def logistic():
    cases = []
    for x, y in cases_of_rows():
        z = np.round((x - x.mean(0)) / np.maximum(x.std(0), 1), 6)
        w, b = fit(z, y)
        cases.append({"features": z.shape[1], "x": z.ravel().tolist(), "y": y.astype(int).tolist(), "w": w.tolist() + [b]})
    return cases


def standardize(x, inside):
    mean, sd = x[inside].mean(0), x[inside].std(0)
    constant = sd <= 1e-10 * np.abs(mean)
    return np.where(constant, 0, (x - mean) / np.where(constant, 1, sd))


def ridge_scores(x, y, fold):
    """Scores of the first Newton step from w = 0."""
    out = np.zeros(len(y))
    for k in range(FOLDS):
        inside = fold != k
        z, share = standardize(x, inside), y[inside].mean()
        h = share * (1 - share) * z[inside].T @ z[inside] + np.eye(x.shape[1])
        w = np.linalg.solve(h, z[inside].T @ (y[inside] - share))
        out[~inside] = (z @ w + math.log(share / (1 - share)))[~inside]
    return out


def permuted(y, fold, seed, number):
    y = y.copy()
    for k in range(FOLDS):
        at = np.flatnonzero(fold == k)
        for i in range(len(at), 1, -1):
            word = philox([seed & MASK, seed >> 32], [i, number, k, 0])[0]
            j = word * i >> 32
            y[at[i - 1]], y[at[j]] = y[at[j]], y[at[i - 1]]
    return y


def blind():
    cases = []
    for number, (x, y) in enumerate(cases_of_rows()):
        fold = (np.cumsum(y) % FOLDS) * y + (np.cumsum(~y) % FOLDS) * ~y
        scores = np.zeros(len(y))
        for k in range(FOLDS):
            z = standardize(x, fold != k)
            w, b = fit(z[fold != k], y[fold != k])
            scores[fold == k] = (z @ w + b)[fold == k]
        seed = 12345678901234567 * number
        own = roc_auc_score(y, ridge_scores(x, y, fold))
        others = [roc_auc_score(p, ridge_scores(x, p, fold)) for p in (permuted(y, fold, seed, i) for i in range(PERMUTATIONS))]
        cases.append({"features": x.shape[1], "x": x.ravel().tolist(), "y": y.astype(int).tolist(), "fold": fold.tolist(),
                      "seed": str(seed), "scores": scores.tolist(), "auc": roc_auc_score(y, scores),
                      "p": (1 + sum(o >= own - 1e-12 for o in others)) / (PERMUTATIONS + 1)})
    return cases


def hamming():
    cases = []
    for count, bits, spread in [(0, 6, 0), (1, 6, 0), (300, 6, 9), (300, 1, 2), (200, 31, 40), (100, 10, 12), (60, 6, 0)]:
        base = [int.from_bytes(RNG.bytes(8), "big") for _ in range(max(1, count // 6))]
        codes = []
        for i in range(count):
            code = base[i % len(base)]
            for bit in RNG.permutation(64)[:RNG.randint(0, spread + 1)]:
                code ^= 1 << int(bit)
            codes.append(code)
        pairs = [[i, j] for i in range(count) for j in range(i + 1, count) if bin(codes[i] ^ codes[j]).count("1") <= bits]
        cases.append({"bits": bits, "codes": ["%016x" % c for c in codes], "pairs": pairs})
    return cases


def features():
    """Pictures are made by a rule that the test repeats."""
    cases = []
    for width, height, grey, kind in [(28, 28, True, 0), (32, 32, False, 0), (1, 1, False, 0), (5, 3, False, 0), (33, 20, False, 0),
                                      (224, 160, False, 0), (40, 40, False, 1), (7, 200, True, 0), (32, 31, False, 2)]:
        y, x, c = np.mgrid[0:height, 0:width, 0:3]
        c = c * (not grey)
        v = (x * x * 7 + y * 13 + x * y * 3 + c * 50 + (x // 3) * (y // 5) * 17) % 256
        v = {0: v, 1: v * 0 + 200, 2: 120 + v % 3}[kind]
        image = Image.fromarray(v.astype(np.uint8))
        small = np.asarray(image.resize((32, 32), Image.BILINEAR).convert("L")).astype(float)
        low = np.round(dctn(small, norm="ortho")[:8, :8].ravel() * 1024) / 1024
        bits = low > np.median(low[1:])
        bits[0] = False
        level = np.asarray(image.convert("L")).astype(float)
        rounded = lambda values: np.floor(values + .5).astype(int).tolist()
        p = np.asarray(image).astype(float)
        has = width <= 32 and height <= 32
        cases.append({"width": width, "height": height, "grey": grey, "kind": kind,
                      "hash": "%016x" % int("".join("01"[int(b)] for b in bits), 2),
                      "luminance": rounded(small.reshape(8, 4, 8, 4).mean((1, 3)).ravel()),
                      "mean": p.mean((0, 1)).tolist(), "sd": p.std((0, 1)).tolist(),
                      "rows": rounded(level.mean(1)) if has else [], "columns": rounded(level.mean(0)) if has else []})
    return cases


def main():
    warnings.simplefilter("ignore")  # the last digits stop the line search
    for name, cases in [("stats/logistic", logistic()), ("stats/blind", blind()), ("stats/hamming", hamming()),
                        ("image/features", features())]:
        with open(HERE / f"{name}.json", "w") as f:
            f.write("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")


if __name__ == "__main__":
    main()
