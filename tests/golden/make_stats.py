#!/usr/bin/python3
"""Vectors of tests/unit/core/stats: expected values from SciPy 1.10.1, NumPy 1.24.2 and, where SciPy has too few digits
(the incomplete beta function, far tails), a series summed by mpmath 1.2.1 with 400 digits.

    tests/golden/make_stats.py        # writes tests/golden/stats/*.json

Doubles are written with the digits that give the same double again; null stands for NaN.
"""
import json
import math
import pathlib

import mpmath
import numpy as np
from scipy import stats

OUT = pathlib.Path(__file__).parent / "stats"
RNG = np.random.RandomState(20240116)
mpmath.mp.dps = 400


def number(x):
    x = float(x)
    return x if math.isfinite(x) else None


def exact_beta_inc(a, b, x, y):
    """I_x(a, b), y = 1 - x, by the series x^a y^b / (a B(a, b)) * 2F1(a + b, 1; a + 1; x), whose terms are positive."""
    a, b, x, y = map(mpmath.mpf, (a, b, x, y))
    if x == 0 or y == 0:
        return mpmath.mpf(x > 0)
    if x > .9:
        return 1 - exact_beta_inc(b, a, y, x)
    log_front = a * mpmath.log(x) + b * mpmath.log(y) - mpmath.log(a)
    log_front += mpmath.loggamma(a + b) - mpmath.loggamma(a) - mpmath.loggamma(b)
    total = term = mpmath.mpf(1)
    n = 0
    while term > total * mpmath.eps:
        term *= (a + b + n) / (a + 1 + n) * x
        total += term
        n += 1
    return mpmath.exp(log_front) * total


def beta_inc():
    cases = []
    for a, b in [(.5, .5), (1, 1), (2, 3), (.01, 5), (5, .01), (12.5, .5), (250, .5), (5e3, .5), (5e5, .5),
                 (.5, 5e5), (15.9, 16.1), (30, 70), (1e3, 2e3), (1e5, 1e5), (1e-3, 1e-3)]:
        mid = a / (a + b)
        for x in [0, 1e-300, 1e-12, mid * 1e-3, mid * .5, mid * .99, mid, min(1, mid * 1.01), (1 + mid) / 2, 1 - 1e-9, 1]:
            exact = exact_beta_inc(a, b, x, 1 - mpmath.mpf(x))
            cases.append({"a": float(a), "b": float(b), "x": float(x), "value": number(exact)})
    return cases


def student():
    """Two-sided p-values of t, over the whole range of doubles that p can take."""
    cases = []
    for df in [1, 1.5, 2, 3, 7.25, 30, 998, 1998.5, 1e6]:
        for t in [0, 1e-8, .1, 1, 1.7320508, 2, 5, 7.3, 20, 37.5, 60, -60, 1e3, 1e8, 1e100]:
            q = mpmath.mpf(t) ** 2 / mpmath.mpf(df)
            p = exact_beta_inc(mpmath.mpf(df) / 2, .5, 1 / (1 + q), q / (1 + q))
            if p > mpmath.mpf("1e-300"):
                cases.append({"t": float(t), "df": float(df), "p": number(p)})
    return cases


def ttest(a, b, equal_var):
    if len(a) < 2 or len(b) < 2:
        return None
    va, vb, na, nb = np.var(a, ddof=1), np.var(b, ddof=1), len(a), len(b)
    pooled = ((na - 1) * va + (nb - 1) * vb) / (na + nb - 2)
    if np.ptp(a) == 0 and np.ptp(b) == 0:  # NumPy's variance of equal values is not always 0
        return None
    two = stats.ttest_ind(a, b, equal_var=equal_var)
    df = na + nb - 2 if equal_var else (va / na + vb / nb) ** 2 / ((va / na) ** 2 / (na - 1) + (vb / nb) ** 2 / (nb - 1))
    return {"difference": number(np.mean(a) - np.mean(b)), "t": number(two.statistic), "df": number(df),
            "p_two_sided": number(two.pvalue),
            "p_greater": number(stats.ttest_ind(a, b, equal_var=equal_var, alternative="greater").pvalue),
            "cohen_d": number((np.mean(a) - np.mean(b)) / np.sqrt(pooled))}


def ttests():
    n = RNG.normal
    samples = [(n(.02, .025, 50), n(0, .025, 50)), (n(0, 1, 8), n(.5, 3, 21)), (n(5, .1, 40), n(0, .2, 30)),
               (n(1e6, 1, 10), n(1e6, 1, 12)), ([1, 2], [3, 5]), ([2, 2, 2], [1, 2, 4]), ([.1] * 10, [.1] * 7),
               ([1], [1, 2, 3]), ([1, 2, 3], []), ([1, 1, 2, 2, 3, 3], [1, 1, 2, 2, 3, 3])]
    cases = []
    for a, b in samples:
        a, b = np.asarray(a, float), np.asarray(b, float)
        cases.append({"a": a.tolist(), "b": b.tolist(), "mean": number(np.mean(a)) if len(a) else None,
                      "variance": number(np.var(a, ddof=1)) if len(a) > 1 else None,
                      "student": ttest(a, b, True), "welch": ttest(a, b, False)})
    return cases


def ranks():
    cases = []
    for ref in [RNG.normal(0, .025, 200), np.round(RNG.normal(0, 1, 60), 1), np.full(5, .25), np.array([.3]), np.array([])]:
        ref = np.sort(ref)
        xs = [-1e9, 1e9, 0.0, .25, .3] + ref[::max(1, len(ref) // 10)].tolist()
        cases.append({"ref": ref.tolist(), "x": xs,
                      "percentile": [number(stats.percentileofscore(ref, x, "mean")) if len(ref) else None for x in xs],
                      "p": [(1 + int(np.sum(ref >= x))) / (len(ref) + 1) for x in xs]})
    return cases


def jackknife():
    """Straight from the definition: recompute the mean with every item left out."""
    cases = []
    for k in [1, 2, 3, 4, 10, 64]:
        d = RNG.gamma(4, .1, (k, k)) if k != 4 else np.full((k, k), .3)
        upper = [(i, j) for i in range(k) for j in range(i + 1, k)]

        def mean_without(out):
            kept = [d[i, j] for i, j in upper if out not in (i, j)]
            return np.mean(kept) if kept else math.nan

        def se(parts):
            return math.sqrt((k - 1) / k * np.sum((np.array(parts) - np.mean(parts)) ** 2))
        row = d[0]
        cases.append({"k": k, "d": np.triu(d, 1).ravel().tolist(), "row": row.tolist(),
                      "pairs": [number(mean_without(-1)), number(se([mean_without(i) for i in range(k)])) if k > 2 else None],
                      "mean": [number(np.mean(row)), number(se([np.mean(np.delete(row, i)) for i in range(k)])) if k > 1 else None]})
    return cases


def main():
    OUT.mkdir(exist_ok=True)
    for name, cases in [("beta_inc", beta_inc()), ("student", student()), ("ttest", ttests()), ("rank", ranks()),
                        ("jackknife", jackknife())]:
        with open(OUT / f"{name}.json", "w") as f:
            f.write("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")


if __name__ == "__main__":
    main()
