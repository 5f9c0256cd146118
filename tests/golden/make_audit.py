#!/usr/bin/python3
"""Vectors of tests/unit/core/audit: whole synthetic audits, every number of their summaries computed by SciPy 1.10.1,
NumPy 1.24.2 and scikit-learn 1.2.1, or from its definition.

    tests/golden/make_audit.py        # writes tests/golden/audit/*.json

A vector holds the spec, the items, and `summary` and `images` as the report must have them; null stands for NaN. What a
seed draws (halves, random control) follows from Philox as published, written out here once more. The bootstrap is left
to the vectors of stats.
"""
import json
import math
import pathlib

import numpy as np
from scipy import optimize, special, stats
from sklearn import metrics

OUT = pathlib.Path(__file__).parent / "audit"
COHORTS = ["shared", "candidate", "independent", "external"]
PAIRS = [("candidate", "external"), ("candidate", "independent"), ("candidate", "shared"), ("shared", "external"),
         ("shared", "independent"), ("external", "independent")]
BINS = 40
P_BINS = 20
DELTA = 1e-5
STREAM = 0x61756469
MASK = 0xffffffff


def number(x):
    x = float(x)
    return x if math.isfinite(x) else None


def philox(key, counter):
    c, k = list(counter), list(key)
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(p1 >> 32) ^ c[1] ^ k[0], p1 & MASK, (p0 >> 32) ^ c[3] ^ k[1], p0 & MASK]
        k = [(k[0] + 0x9E3779B9) & MASK, (k[1] + 0xBB67AE85) & MASK]
    return c


def draw_order(count, seed, purpose):
    order = list(range(count))
    for i in range(count):
        r = philox([seed & MASK, seed >> 32], [i, 0, purpose, STREAM])
        j = i + int(((r[0] << 21) | (r[1] >> 11)) * 2.0 ** -53 * (count - i))
        order[i], order[j] = order[j], order[i]
    return order


def t_975(df):
    """SciPy's quantile has nine digits, its distribution function all: one step of Newton."""
    t = stats.t.ppf(.975, df)
    return t + (stats.t.sf(t, df) - .025) / stats.t.pdf(t, df)


def one_sample(x):
    if len(x) < 2 or np.ptp(x) == 0:
        return {k: None for k in ("t", "df", "p_two_sided", "p_greater", "cohen_d", "low", "high", "interval_method")}
    half = t_975(len(x) - 1) * stats.sem(x)
    low, high = x.mean() - half, x.mean() + half
    return {"t": number(stats.ttest_1samp(x, 0).statistic), "df": len(x) - 1,
            "p_two_sided": number(stats.ttest_1samp(x, 0).pvalue),
            "p_greater": number(stats.ttest_1samp(x, 0, alternative="greater").pvalue),
            "cohen_d": number(x.mean() / x.std(ddof=1)), "low": number(low), "high": number(high),
            "interval_method": "student"}


def cohort(x, failed, low, high):
    some, spread = len(x) > 0, len(x) > 1
    qs = [0, .01, .05, .25, .5, .75, .95, .99, 1]
    return {"n": len(x), "failed": failed, "mean": number(x.mean()) if some else None,
            "sd": number(x.std(ddof=1)) if spread else None, "se": number(stats.sem(x)) if spread else None,
            "normalized_mean": number((x / (high - low)).mean()) if some and high > low else None,
            "quantiles": [{"q": q, "value": number(np.quantile(x, q)) if some else None} for q in qs],
            "histogram": np.histogram(x, BINS, (low, high))[0].tolist() if high > low else None,
            "against_zero": one_sample(x)}


def two_sample(a, b, equal_var):
    names = ("t", "df", "p_two_sided", "p_greater", "low", "high")
    if min(len(a), len(b)) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return dict.fromkeys(names)
    va, vb, na, nb = a.var(ddof=1) / len(a), b.var(ddof=1) / len(b), len(a), len(b)
    t = stats.ttest_ind(a, b, equal_var=equal_var)
    df = na + nb - 2 if equal_var else (va + vb) ** 2 / (va ** 2 / (na - 1) + vb ** 2 / (nb - 1))
    se = (a.mean() - b.mean()) / t.statistic
    half = t_975(df) * abs(se)
    d = a.mean() - b.mean()
    greater = stats.ttest_ind(a, b, equal_var=equal_var, alternative="greater").pvalue
    return {"t": number(t.statistic), "df": number(df), "p_two_sided": number(t.pvalue), "p_greater": number(greater),
            "low": number(d - half), "high": number(d + half)}


def comparison(a_name, b_name, m):
    a, b = m[a_name], m[b_name]
    na, nb = len(a), len(b)
    out = {"a": a_name, "b": b_name, "n_a": na, "n_b": nb, "student": two_sample(a, b, True),
           "welch": two_sample(a, b, False),
           "difference": number(a.mean() - b.mean()) if min(na, nb) else None}
    out["low"], out["high"] = out["welch"]["low"], out["welch"]["high"]
    out["interval_method"] = None if out["low"] is None else "welch"
    out["cohen_d"] = out["hedges_g"] = None
    out["mann_whitney"] = dict.fromkeys(("u", "p_two_sided", "p_greater"))
    if min(na, nb) >= 2:
        df = na + nb - 2
        d = (a.mean() - b.mean()) / math.sqrt(((na - 1) * a.var(ddof=1) + (nb - 1) * b.var(ddof=1)) / df)
        out["cohen_d"] = d
        out["hedges_g"] = d * math.exp(special.gammaln(df / 2) - special.gammaln((df - 1) / 2)) / math.sqrt(df / 2)
    if min(na, nb) >= 1:
        u = stats.mannwhitneyu(a, b)
        out["mann_whitney"] = {"u": number(u.statistic), "p_two_sided": number(u.pvalue),
                               "p_greater": number(stats.mannwhitneyu(a, b, alternative="greater").pvalue)}
    return out


def delong(a, b):
    """Placement values, as DeLong et al. define them: O(n m)."""
    wins = (a[:, None] > b).astype(float) + .5 * (a[:, None] == b)
    auc, v10, v01 = wins.mean(), wins.mean(1), wins.mean(0)
    return auc, math.sqrt(v10.var(ddof=1) / len(a) + v01.var(ddof=1) / len(b))


def newcombe(auc, m, n):
    """Method 5: the A with |auc - A| <= z sqrt(V(A)); auc is not 0 or 1 here."""
    mean = (m + n) / 2 - 1

    def excess(a):
        v = a * (1 - a) / (m * n) * (1 + mean * (1 - a) / (2 - a) + mean * a / (1 + a))
        return (auc - a) ** 2 - 1.959963984540054 ** 2 * v
    return [optimize.brentq(excess, *ends, xtol=1e-16, rtol=1e-14) for ends in [(1e-12, auc), (auc, 1 - 1e-12)]]


def clopper_pearson(k, n, confidence=.95):
    tail = (1 - confidence) / 2
    return [0. if k == 0 else stats.beta.ppf(tail, k, n - k + 1), 1. if k == n else stats.beta.isf(tail, k + 1, n - k)]


def epsilon_lower(tp, n, fp, k):
    def between(low, high):
        return math.log((low - DELTA) / high) if low - DELTA > high else 0.
    tpr, fpr = clopper_pearson(tp, n), clopper_pearson(fp, k)
    fnr, tnr = clopper_pearson(n - tp, n), clopper_pearson(k - fp, k)
    return max(0, between(tpr[0], fpr[1]), between(tnr[0], fnr[1]))


def epsilon(a, b, seed):
    a, b = a[draw_order(len(a), seed, 0)], b[draw_order(len(b), seed, 1)]
    a1, a2, b1, b2 = a[:len(a) // 2], a[len(a) // 2:], b[:len(b) // 2], b[len(b) // 2:]
    threshold, best = math.inf, 0
    for t in sorted(set(a1) | set(b1), reverse=True):
        e = epsilon_lower((a1 >= t).sum(), len(a1), (b1 >= t).sum(), len(b1))
        if e > best:
            threshold, best = t, e
    tp, fp = int((a2 >= threshold).sum()), int((b2 >= threshold).sum())
    return {"lower": number(epsilon_lower(tp, len(a2), fp, len(b2))), "delta": DELTA, "confidence": .95,
            "threshold": number(threshold), "true_positives": tp, "members_counted": len(a2), "false_positives": fp,
            "others_counted": len(b2)}


def membership(m, other, spec):
    a, b = m["candidate"], m[other]
    out = {"members": "candidate", "others": other, "is_reference": other == spec["reference"], "n_members": len(a),
           "n_others": len(b)}
    if not len(a) or not len(b):
        return dict(out, advantage=None, epsilon=None, roc=None)
    auc, se = delong(a, b)
    z = (auc - .5) / se
    wald = [max(0, auc - 1.959963984540054 * se), min(1, auc + 1.959963984540054 * se)]
    score = newcombe(auc, len(a), len(b))
    out["auc"] = {"value": auc, "se": se, "delong": wald, "newcombe": score, "interval_method": "delong_or_newcombe",
                  "interval": [min(wald[0], score[0]), max(wald[1], score[1])],
                  "enough": min(len(a), len(b)) >= 10,
                  "resamples": spec["resamples"], "p_two_sided": number(2 * stats.norm.sf(abs(z)))}
    y, s = np.r_[np.ones(len(a)), np.zeros(len(b))], np.r_[a, b]
    assert abs(auc - metrics.roc_auc_score(y, s)) < 1e-12
    fpr, tpr, threshold = metrics.roc_curve(y, s, drop_intermediate=False)
    out["tpr_at_fpr"] = []
    for rate in [.1, .01, .001, 0]:
        i = np.flatnonzero(fpr <= rate)
        i = i[np.argmax(tpr[i])]
        k = int(round(tpr[i] * len(a)))
        out["tpr_at_fpr"].append({"fpr": rate, "tpr": number(tpr[i]), "threshold": number(threshold[i]) if i else None,
                                  "interval": list(map(number, clopper_pearson(k, len(a)))), "interval_method": "clopper_pearson",
                                  "enough": rate == 0 or 1 / len(b) <= rate})
    out["advantage"] = number((tpr - fpr).max())
    fpr, tpr, threshold = metrics.roc_curve(y, s)
    points = [[number(f), number(t), number(h)] for f, t, h in zip(fpr, tpr, threshold)]
    points[0][2] = None
    assert len(points) <= 512
    out["roc"] = {"points_total": len(points), "points": points}
    out["epsilon"] = epsilon(a, b, spec["seed"]) if spec["inserted_at_random"] and other == "external" else None
    return out


def outsider(items, spec):
    """1 - A_f against externals; without any, against independents. No bootstrap, no epsilon."""
    signal = {c: np.array([1 - i["f"] for i in items if i["cohort"] == c and "error" not in i]) for c in COHORTS}
    others = "external" if len(signal["external"]) or not len(signal["independent"]) else "independent"
    test = membership(signal, others, dict(spec, resamples=0, inserted_at_random=False))
    return {"alone": False, "others": others, "signals": {"alignment": test}, "missing": None,
            "used_share": used_share(signal["candidate"], signal["shared"], signal[others], spec["seed"])}


def used_share(suspects, members, others, seed):
    if not len(suspects) or min(len(members), len(others)) < 2:
        return {"suspects": 0, "threshold": None, "share": None}
    members, others = members[draw_order(len(members), seed, 3)], others[draw_order(len(others), seed, 4)]
    half, other_half = len(members) // 2, len(others) // 2
    y, x = np.r_[np.ones(half), np.zeros(other_half)], np.r_[members[:half], others[:other_half]]
    fpr, tpr, threshold = metrics.roc_curve(y, x, drop_intermediate=False)
    best = threshold[np.argmax(tpr - fpr)] if (tpr - fpr).max() > 0 else math.inf
    p, tpr, fpr = ((x >= best).mean() for x in (suspects, members[half:], others[other_half:]))
    return {"suspects": len(suspects), "members": len(members) - half, "others": len(others) - other_half,
            "threshold": number(best), "positive_share": number(p), "tpr": number(tpr), "fpr": number(fpr),
            "share": number((p - fpr) / (tpr - fpr)) if tpr - fpr >= .05 else None}


def benjamini_hochberg(p):
    n, order = len(p), np.argsort(p)
    q = np.minimum.accumulate((p[order] * n / np.arange(1, n + 1))[::-1])[::-1]
    out = np.empty(n)
    out[order] = np.minimum(q, 1)
    return out


def per_image(items, m, spec, divisor):
    reference = spec["reference"]
    images = []
    for item in items:
        if "error" in item:
            images.append(None)
            continue
        ref = list(m[reference])
        mean = np.mean(ref) if ref else math.nan
        if item["cohort"] == reference:
            ref.remove(item["m"])
        ref = np.array(ref)
        images.append({"centered": number(item["m"] - mean), "normalized": number(item["m"] / divisor),
                       "percentile": number(stats.percentileofscore(ref, item["m"], kind="mean")) if len(ref) else None,
                       "p": (1 + int((ref >= item["m"]).sum())) / (len(ref) + 1) if len(m[reference]) else None,
                       "q": None})
    mine = [i for i, item in enumerate(items) if images[i] and item["cohort"] == "candidate"]
    if len(m[reference]):
        for i, q in zip(mine, benjamini_hochberg(np.array([images[i]["p"] for i in mine]))):
            images[i]["q"] = number(q)
    return images, [images[i] for i in mine]


def fdr(candidates, n_ref, reference):
    n = len(candidates)
    smallest = 1 / (n_ref + 1)
    p, q = np.array([c["p"] for c in candidates]), np.array([c["q"] for c in candidates])
    out = {"reference": reference, "candidates": n, "reference_n": n_ref, "p_smallest": smallest, "levels": [],
           "p_levels": []}
    for level in [.01, .05, .1]:
        found = int((q <= level).sum())
        out["levels"].append({"q": level, "count": found, "share": found / n, "expected_false": found * level,
                              "enough": smallest <= level, "at_least": math.ceil(n * smallest / level - 1e-9)})
        steps = sum(1 for k in range(1, n_ref + 2) if k / (n_ref + 1) <= level)
        out["p_levels"].append({"p": level, "count": int((p <= level).sum()), "expected": n * steps / (n_ref + 1)})
    out["p_histogram"] = [int(((p > i / P_BINS + 1e-12) & (p <= (i + 1) / P_BINS + 1e-12)).sum()) for i in range(P_BINS)]
    return out


def labels(items, images, spec, key):
    """Classes against the reference of the same class, groups against all of it."""
    reference = [i for i in items if "error" not in i and i["cohort"] == spec["reference"]]
    rows = []
    for label in sorted({i[key] for i in items if i["cohort"] == "candidate" and "error" not in i} - {""}):
        mine = [i for i in items if i["cohort"] == "candidate" and "error" not in i and i[key] == label]
        theirs = [i for i in reference if key == "group" or i[key] == label]
        a, b = (np.array([i["m"] for i in those]) for those in (mine, theirs))
        welch = two_sample(a, b, False)
        rows.append({"label": label, "n": len(a), "reference_n": len(b), "mean": number(a.mean()),
                     "reference_mean": number(b.mean()) if len(b) else None,
                     "difference": number(a.mean() - b.mean()) if len(b) else None,
                     "low": welch["low"], "high": welch["high"],
                     "interval_method": None if welch["low"] is None else "welch", "p_two_sided": welch["p_two_sided"], "q_value": None,
                     "listed": sum((images[i["index"]]["q"] or 1) <= .05 for i in mine)})
    tested = [row for row in rows if row["p_two_sided"] is not None]
    if tested:
        for row, q in zip(tested, benjamini_hochberg(np.array([row["p_two_sided"] for row in tested]))):
            row["q_value"] = number(q)
    return {"count": len(rows), "rows": sorted(rows, key=lambda row: (-row["n"], row["label"]))}


def errors(items, cohorts):
    scored = [i for i in items if "error" not in i and i["cohort"] in cohorts]
    return np.array([i["m"] for i in scored]), np.array([i["m_se"] for i in scored])


def reliability(items, images, spec):
    """Per cohort; a score is shrunk with the moments of its cohort and the reference together."""
    out = {"views": 10, "resamples": spec["resamples"], "note": None, "cohorts": {}}
    for c in COHORTS:
        m, se = errors(items, [c])
        pool, pool_se = errors(items, {c, spec["reference"]})
        row = {"n": len(m), "noise": number((se ** 2).mean()) if len(m) else None, "variance": None, "reliability": None,
               "shrinkage": {"n": len(pool), "mean": None, "tau2": None}}
        needed = [None, None]
        if len(m) > 1:
            row["variance"] = m.var(ddof=1)
            row["reliability"] = r = min(1, max(0, 1 - row["noise"] / row["variance"]))
            needed = [max(2, math.ceil(10 * (1 / r - 1) / (1 / w - 1))) for w in (.8, .9)]
        row["views_needed"] = [{"reliability": w, "views": v} for w, v in zip((.8, .9), needed)]
        if len(pool) > 1:
            mean, tau2 = pool.mean(), max(0, pool.var(ddof=1) - (pool_se ** 2).mean())
            row["shrinkage"].update(mean=mean, tau2=tau2)
            for image, item in zip(images, items):
                if image and item["cohort"] == c:
                    image["shrunken"] = mean + tau2 / (tau2 + item["m_se"] ** 2) * (item["m"] - mean)
        out["cohorts"][c] = row
    return out


def control(items, seed, count):
    mine = [item["index"] for item in items if item["cohort"] == "candidate" and "error" not in item]
    return [mine[i] for i in draw_order(len(mine), seed, 2)[:count]]


def audit(name, spec, sizes, means, failed, decimals, seed):
    rng = np.random.RandomState(seed)
    items = []
    for c in COHORTS:
        for k in range(sizes[c]):
            g = abs(rng.normal(.6, .05))
            m = round(float(rng.normal(means[c], .08)), decimals)
            items.append({"index": 0, "cohort": c, "m": m, "m_se": round(abs(rng.normal(.02, .004)), 6), "g": g, "f": g - m,
                          "ratio": m / (2 * g - m)})
        items += [{"index": 0, "cohort": c, "error": "image_corrupt"} for _ in range(failed[c])]
    items = [items[i] for i in rng.permutation(len(items))]
    first = next(i for i, item in enumerate(items) if i % 9 and item["cohort"] == "candidate" and "error" not in item)
    for i, item in enumerate(items):
        item["index"] = i
        # A class that only candidates have, one of a single candidate, and images without.
        item["class"] = "" if i % 9 == 0 else "one" if i == first else "z" if i % 17 == 0 and item["cohort"] == "candidate" \
            else "abc"[i % 3]
        item["group"] = "" if i % 5 < 2 else f"person {i % 12}"
    m = {c: np.array([i["m"] for i in items if i["cohort"] == c and "error" not in i]) for c in COHORTS}
    scored = np.concatenate(list(m.values()))
    low, high = scored.min(), scored.max()
    images, candidates = per_image(items, m, spec, high - low)
    bad = sum(failed.values())
    summary = {
        "images": {"total": len(items), "scored": len(scored), "failed": bad, "failed_share": bad / len(items)},
        "reference": spec["reference"],
        "normalization": {"n": len(scored), "min": low, "max": high, "divisor": high - low},
        "histogram": {"low": low, "high": high, "bins": BINS},
        "cohorts": {c: cohort(m[c], failed[c], low, high) for c in COHORTS},
        "comparisons": {f"{a}_{b}": comparison(a, b, m) for a, b in PAIRS},
        "membership": {f"candidate_{c}": membership(m, c, spec) for c in ("external", "independent")},
        "outsider": outsider(items, spec),
        "fdr": fdr(candidates, len(m[spec["reference"]]), spec["reference"]),
        "classes": labels(items, images, spec, "class"),
        "groups": labels(items, images, spec, "group"),
        "reliability": reliability(items, images, spec),
    }
    by = {"raw": lambda i: (-items[i]["m"], i), "shrunken": lambda i: (-images[i]["shrunken"], -items[i]["m"], i)}
    mine = [i for i, item in enumerate(items) if images[i] and item["cohort"] == "candidate"]
    doc = {"spec": spec, "items": items, "images": images, "summary": summary,
           "top": {name: sorted(mine, key=key)[:25] for name, key in by.items()},
           "control": {"seed": 77, "count": 10, "indexes": control(items, 77, 10)}}
    (OUT / f"{name}.json").write_text(json.dumps(doc, indent=1) + "\n")


def compare():
    """Two audits whose joint images agree by half: agreement of all and of candidates."""
    rng = np.random.RandomState(5)
    n = 160
    cohorts = [COHORTS[i % 4] for i in range(n)]
    x = np.round(rng.normal(0, 1, n), 2)
    y = np.round(.6 * x + rng.normal(.1, 1, n), 2)
    out = {"cohorts": cohorts, "x": x.tolist(), "y": y.tolist(), "agreement": {}}
    for name in ["all"] + COHORTS:
        take = np.array([name in ("all", c) for c in cohorts])
        a, b = x[take], y[take]
        top = lambda v, k: set(sorted(range(len(v)), key=lambda i: (-v[i], i))[:k])
        block = {"n": len(a), "overlap": [{"k": k, "common": len(top(a, k) & top(b, k)), "by_chance": k / len(a)}
                                          for k in [10, 20, 50, 100] if k < len(a)]}
        for key, test in [("kendall", stats.kendalltau(a, b, method="asymptotic")), ("spearman", stats.spearmanr(a, b)),
                          ("pearson", stats.pearsonr(a, b))]:
            block[key] = {"value": number(test[0]), "p_two_sided": number(test[1])}
        block["paired"] = dict(one_sample(b - a), difference=number((b - a).mean()))
        del block["paired"]["p_greater"]
        out["agreement"][name] = block
    (OUT / "compare.json").write_text(json.dumps(out, indent=1) + "\n")


def main():
    OUT.mkdir(exist_ok=True)
    base = {"name": "golden", "gates": [], "resamples": 200, "seed": 12345678901, "keep_thumbnails": False}
    audit("effect", dict(base, reference="external", inserted_at_random=True),
          {"shared": 90, "candidate": 150, "independent": 80, "external": 120},
          {"shared": 0, "candidate": .1, "independent": -.06, "external": .01},
          {"shared": 1, "candidate": 2, "independent": 0, "external": 1}, 17, 1)
    audit("random", dict(base, reference="external", inserted_at_random=True),
          {"shared": 0, "candidate": 60, "independent": 0, "external": 70},
          {"shared": 0, "candidate": .1, "independent": 0, "external": 0},
          {"shared": 0, "candidate": 0, "independent": 0, "external": 0}, 1, 3)
    audit("ties", dict(base, reference="independent", inserted_at_random=False),
          {"shared": 1, "candidate": 60, "independent": 40, "external": 0},
          {"shared": 0, "candidate": .02, "independent": 0, "external": 0},
          {"shared": 0, "candidate": 0, "independent": 0, "external": 3}, 2, 2)
    compare()


if __name__ == "__main__":
    main()
