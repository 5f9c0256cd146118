#!/usr/bin/python3
"""Vectors of tests/unit/core/stats/test_equivalence.c and tests/unit/core/audit/test_unlearning.c: expected values from SciPy 1.10.1 and
NumPy 1.24.2. Ends of Fieller's interval are the roots of the t-test, found by bisection, not of its quadratic equation.

    tests/golden/make_unlearning.py   # writes tests/golden/stats/{fieller,tost,deviation}.json and tests/golden/audit/unlearning.json

null stands for NaN.
"""
import json
import math
import pathlib

import numpy as np
from scipy import optimize, stats
from sklearn import metrics
from sklearn import metrics

import make_stats

OUT = pathlib.Path(__file__).parent


def number(x):
    return float(x) if x is not None and math.isfinite(x) else None


# --- statistics -------------------------------------------------------------------------------------


def contrast(v, w):
    return np.mean(v) - (np.mean(w) if w is not None else 0)


def welch_t(v, w):
    error = np.var(v, ddof=1) / len(v) + (np.var(w, ddof=1) / len(w) if w is not None else 0)
    return contrast(v, w) / math.sqrt(error)


def fieller(a, b):
    """a, b: (x, y); b may be None."""
    df = min(len(g[0]) for g in (a, b) if g is not None) - 1
    limit = make_stats.t_quantile(.05, df)  # SciPy has nine digits
    part = lambda g, r: None if g is None else g[0] - r * g[1]
    excess = lambda r: abs(welch_t(part(a, r), part(b, r))) - limit
    x, y = (contrast(a[i], b[i] if b is not None else None) for i in (0, 1))
    want = {"x": x, "y": y, "df": df, "value": x / y if y > 0 else None, "low": None, "high": None}
    if y > 0 and welch_t(a[1], b[1] if b is not None else None) > limit:
        step = 1.0
        while excess(x / y - step) < 0 or excess(x / y + step) < 0:
            step *= 2
        want["low"] = optimize.brentq(excess, x / y - step, x / y, xtol=1e-15, rtol=1e-14)
        want["high"] = optimize.brentq(excess, x / y, x / y + step, xtol=1e-15, rtol=1e-14)
    return want


def one_sided(v, w, alternative):
    if w is None:
        return stats.ttest_1samp(v, 0, alternative=alternative).pvalue
    return stats.ttest_ind(v, w, equal_var=False, alternative=alternative).pvalue


def tost(a, b, delta, share):
    part = lambda g, s, d: None if g is None else g[0] + s * g[1] + d
    y = contrast(a[1], b[1] if b is not None else None)
    margin = delta + share * y
    want = {"margin": margin, "p_above": None, "p_below": None, "p": None}
    if margin > 0:
        want["p_above"] = one_sided(part(a, share, delta), part(b, share, 0), "greater")
        want["p_below"] = one_sided(part(a, -share, -delta), part(b, -share, 0), "less")
        want["p"] = max(want["p_above"], want["p_below"])
    return want


def groups(rng):
    """Residuals x and memorization before y: alike within an image, because both have its alignment under g."""
    def group(n, left, before, alike=.6, sd=.03):
        common = rng.normal(0, sd, n)
        y = before + alike * common + math.sqrt(1 - alike ** 2) * rng.normal(0, sd, n)
        x = left * before + alike * common + math.sqrt(1 - alike ** 2) * rng.normal(0, sd, n)
        return np.round(x, 6), np.round(y, 6)
    return [(group(200, 0, .02), group(200, 0, 0)), (group(200, .5, .02), group(150, 0, 0)), (group(60, 1, .03), group(35, 0, 0)),
            (group(40, -1, .03), group(200, 0, 0)), (group(20, 0, .01), group(20, 0, 0)), (group(30, 0, -.02), group(30, 0, 0)),
            (group(25, .2, .05), None), (group(3, .2, .2), group(2, 0, 0)), (group(12, .1, .2, .99), None),
            (group(100, .05, .04, 0, .5), group(100, 0, 0, 0, .01))]


def plain(group):
    return None if group is None else {"x": group[0].tolist(), "y": group[1].tolist()}


def fiellers():
    return [{"a": plain(a), "b": plain(b), **{k: number(v) for k, v in fieller(a, b).items()}} for a, b in groups(np.random.RandomState(18))]


def tosts():
    cases = []
    for a, b in groups(np.random.RandomState(19)):
        for delta, share in ((0, .1), (.002, 0), (.02, 0), (.001, .5), (0, 0)):
            want = tost(a, b, delta, share)
            cases.append({"a": plain(a), "b": plain(b), "delta": delta, "share": share, **{k: number(v) for k, v in want.items()}})
    return cases


def deviations():
    cases = []
    for auc, low, high in ((.5, .4, .6), (.7, .6, .8), (.3, .25, .45), (1, .8, 1), (0, 0, .3), (.55, .45, .65), (.45, .35, .55)):
        ends = [low, high]
        cases.append({"auc": auc, "interval": ends, "value": abs(auc - .5), "high": max(abs(e - .5) for e in ends),
                      "low": 0 if low <= .5 <= high else min(abs(e - .5) for e in ends)})
    return cases


# --- an unlearning ----------------------------------------------------------------------------------


def auc_of(v, w):
    labels = np.r_[np.ones(len(v)), np.zeros(len(w))]
    auc = metrics.roc_auc_score(labels, np.r_[v, w])
    v10, v01 = make_stats.placements(v, w)
    se = math.sqrt(np.var(v10, ddof=1) / len(v) + np.var(v01, ddof=1) / len(w))
    wald, score = [auc - stats.norm.ppf(.975) * se, auc + stats.norm.ppf(.975) * se], make_stats.newcombe(auc, len(v), len(w))
    ends = [min(max(0, wald[0]), score[0]), max(min(1, wald[1]), score[1])]
    return {"value": auc, "se": se, "interval": ends, "interval_method": "delong_or_newcombe", "enough": min(len(v), len(w)) >= 10,
            "p_two_sided": 2 * stats.norm.sf(abs(auc - .5) / se)}


def welch(v, w):
    error = [np.var(g, ddof=1) / len(g) for g in (v, w)]
    df = sum(error) ** 2 / sum(e ** 2 / (len(g) - 1) for e, g in zip(error, (v, w)))
    mean, width = np.mean(v) - np.mean(w), make_stats.t_quantile(.05, df) * math.sqrt(sum(error))
    return {"mean": mean, "low": mean - width, "high": mean + width, "interval_method": "welch",
            "p_two_sided": stats.ttest_ind(v, w, equal_var=False).pvalue, "auc": auc_of(v, w)}


def fdr(p):
    order = np.argsort(p)
    q = np.empty(len(p))
    q[order] = np.minimum.accumulate((p[order] * len(p) / np.arange(1, len(p) + 1))[::-1])[::-1]
    return np.minimum(q, 1)


def unlearning(forget, external, delta):
    """forget, external: (m after, m before). What the audits of (u, g) and (f, g) come to together."""
    p = np.array([(1 + np.sum(external[0] >= v)) / (len(external[0]) + 1) for v in forget[0]])
    q = fdr(p)
    was, left, ratio = welch(forget[1], external[1]), welch(forget[0], external[0]), fieller(forget, external)
    test = tost(forget, external, delta or 0, 0 if delta else .1)
    ends = left["auc"]["interval"]
    share = delta / was["mean"] if delta else .1
    named = [i for i in np.argsort(-forget[0], kind="stable") if q[i] <= .05]
    center = [np.mean(external[0]), np.mean(external[1])]
    return {"before": was, "residual": left,
            "auc_deviation": {"value": abs(left["auc"]["value"] - .5), "high": max(abs(e - .5) for e in ends),
                              "low": max(0, ends[0] - .5, .5 - ends[1]), "zone": share * (was["auc"]["value"] - .5)},
            "forgotten_share": {"value": 1 - ratio["value"], "low": 1 - ratio["high"], "high": 1 - ratio["low"], "interval_method": "fieller"},
            "equivalence": {"delta": test["margin"], "declared": bool(delta), "p_above": test["p_above"], "p_below": test["p_below"],
                            "p": test["p"], "shown": bool(test["p"] <= .05)},
            "named": {"q": .05, "count": len(named), "enough": True, "expected_false": .05 * len(named),
                      "at_least": math.ceil(len(p) / (len(external[0]) + 1) / .05 - 1e-9), "p_smallest": 1 / (len(external[0]) + 1),
                      "images": [{"before": forget[1][i] - center[1], "residual": forget[0][i] - center[0], "p_value": p[i],
                                  "q_value": q[i]} for i in named]}}


def reasons(want):
    """The findings, in the order of the table in include/sslmem/unlearning.h, where all was measured."""
    left, shown, zone = want["residual"], want["equivalence"]["shown"], want["auc_deviation"]["zone"]
    rows = [("records_named", want["named"]["count"] > 0), ("residual_above", left["low"] > 0 and not shown),
            ("auc_above", left["auc"]["interval"][0] > .5 + zone), ("residual_below", left["high"] < 0 and not shown),
            ("auc_below", left["auc"]["interval"][1] < .5 - zone)]
    found = [code for code, holds in rows if holds]
    return found + (["equivalent"] if shown else [] if found else ["not_equivalent"])


def unlearnings():
    """Nothing left; all left; half left, with a declared delta; a sixth of the images memorized, though the mean is within the
    margin; overshot; too few images for a tenth of the mean before."""
    rng = np.random.RandomState(20)
    draw = lambda left, n=120, k=150: [tuple(np.round(v + 3 - 2 * i, 5) for i, v in enumerate(group)) for group in (
        (lambda c, b: ((left * b if np.isscalar(left) else left) + .6 * c + .8 * rng.normal(0, 1, n), b + .6 * c + .8 * rng.normal(0, 1, n)))(
            rng.normal(0, 1, n), 1.2), (lambda c: (.6 * c + .8 * rng.normal(0, 1, k), .6 * c + .8 * rng.normal(0, 1, k)))(rng.normal(0, 1, k)))]
    few = np.r_[np.full(20, 5.0), np.zeros(100)]
    cases = []
    for name, left, delta in (("forgotten", 0, .6), ("still_memorized", 1, None), ("still_memorized", .5, .3), ("still_memorized", few, 1.3),
                              ("overshot", -1, None), ("not_shown", 0, None)):
        forget, external = draw(left)
        cases.append({"verdict": name, "delta": delta, "forget": [v.tolist() for v in forget], "external": [v.tolist() for v in external],
                      "want": unlearning(forget, external, delta)})
        cases[-1]["reasons"] = reasons(cases[-1]["want"])
    return cases


def main():
    for name, cases in (("fieller", fiellers()), ("tost", tosts()), ("deviation", deviations())):
        with open(OUT / f"stats/{name}.json", "w") as f:
            f.write("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")
    with open(OUT / "audit/unlearning.json", "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(c) for c in unlearnings()) + "\n]\n")


if __name__ == "__main__":
    main()
