#!/usr/bin/python3
"""Vectors of tests/unit/core/stats: expected values from SciPy 1.10.1, scikit-learn 1.2.1, NumPy 1.24.2 and, where SciPy
has too few digits (the incomplete beta function, far tails), a series summed by mpmath 1.2.1 with 400 digits. What none of
them has (DeLong, the bootstrap, q-values, exact U of long samples) is written down here from its definition.

    tests/golden/make_stats.py        # writes tests/golden/stats/*.json

Doubles are written with the digits that give the same double again; null stands for NaN. A long sample is an object that
says how to make it, see `sample`.
"""
import json
import math
import pathlib
import warnings

import mpmath
import numpy as np
import scipy
import sklearn
from scipy import optimize, stats
from sklearn import metrics

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
    if np.ptp(a) == 0 or np.ptp(b) == 0:  # NumPy's variance of equal values is not always 0
        return None
    two = stats.ttest_ind(a, b, equal_var=equal_var)
    df = na + nb - 2 if equal_var else (va / na + vb / nb) ** 2 / ((va / na) ** 2 / (na - 1) + (vb / nb) ** 2 / (nb - 1))
    se = np.sqrt(pooled * (1 / na + 1 / nb) if equal_var else va / na + vb / nb)
    return describe(two.statistic, df, two.pvalue,
                    stats.ttest_ind(a, b, equal_var=equal_var, alternative="greater").pvalue,
                    np.mean(a) - np.mean(b), se, np.sqrt(pooled), na + nb - 2)


def hedges_factor(df):
    return float(mpmath.gamma(mpmath.mpf(df) / 2) / mpmath.gamma((mpmath.mpf(df) - 1) / 2) / mpmath.sqrt(mpmath.mpf(df) / 2))


def t_quantile(p, df):
    """SciPy's has nine digits; Newton's steps on the exact tail give the rest."""
    with mpmath.workdps(50):
        t, df = mpmath.mpf(float(stats.t.isf(p / 2, df))), mpmath.mpf(float(df))
        for _ in range(3):
            q = t * t / df
            tail = exact_beta_inc(df / 2, .5, 1 / (1 + q), q / (1 + q))
            density = mpmath.gamma((df + 1) / 2) / mpmath.gamma(df / 2) / mpmath.sqrt(df * mpmath.pi) * (1 + q) ** (-(df + 1) / 2)
            t += (tail - p) / (2 * density)
        return float(t)


def describe(t, df, two_sided, greater, difference, se, sd, sd_df):
    half_width = t_quantile(.05, df) * se
    low, high = difference - half_width, difference + half_width
    d = difference / sd
    return {"difference": number(difference), "t": number(t), "df": number(df), "p_two_sided": number(two_sided),
            "p_greater": number(greater), "cohen_d": number(d),
            "hedges_g": number(d * hedges_factor(sd_df)) if sd_df > 1 else None, "low": number(low), "high": number(high)}


def ttest_one():
    n = RNG.normal
    cases = []
    for x in [n(.02, .025, 50), n(-1, 3, 7), n(-5, .1, 400), n(1e6, 1, 12), [1, 3], [-2, -2, -2, -1], [.1] * 9, [4], []]:
        x = np.asarray(x, float)
        want = None
        if len(x) > 1 and np.ptp(x) > 0:
            two, sd = stats.ttest_1samp(x, 0), np.std(x, ddof=1)
            want = describe(two.statistic, len(x) - 1, two.pvalue, stats.ttest_1samp(x, 0, alternative="greater").pvalue,
                            np.mean(x), sd / np.sqrt(len(x)), sd, len(x) - 1)
        cases.append({"x": x.tolist(), "one": want})
    return cases


def quantiles_of_t():
    """Two-sided quantiles of t, and the factor of Hedges."""
    return [{"df": float(df), "p": p, "t": t_quantile(p, df), "hedges": hedges_factor(df) if df > 1 else None}
            for df in [1, 1.5, 2, 3, 7.25, 30, 31, 32, 33, 998, 1998.5, 1e6] for p in [.9, .5, .05, 1e-3, 1e-9]]


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
                      "p": [(1 + int(np.sum(ref >= x))) / (len(ref) + 1) for x in xs], **without(ref, xs)})
    return cases


def without(ref, xs):
    """Every x as if measured on the first, then on the last of the reference: among the others."""
    out = {"percentile_without": [], "p_without": []}
    for own in [0, len(ref) - 1] if len(ref) else []:
        others = np.delete(ref, own)
        out["percentile_without"].append([number(stats.percentileofscore(others, x, "mean")) if len(others) else None for x in xs])
        out["p_without"].append([(1 + int(np.sum(others >= x))) / (len(others) + 1) for x in xs])
    return out


def residual_variance(values, upper, k):
    """Of the least-squares fit by one effect an item, over its degrees of freedom."""
    effects = np.array([[out in pair for out in range(k)] for pair in upper], float)
    fit = effects @ np.linalg.lstsq(effects, values, rcond=None)[0]
    return np.sum((values - fit) ** 2) / (len(upper) - k)


def pair_errors(values, upper, k, jackknife):
    """The jackknife's standard error and the one without its bias, not below what independent values would have."""
    b = residual_variance(values, upper, k)
    unbiased = jackknife ** 2 - 2 * b / ((k - 1) * (k - 2))
    return {"pairs_wide_se": number(jackknife), "pairs_se": number(math.sqrt(max(unbiased, b / len(upper)))),
            "at_floor": bool(unbiased < b / len(upper))}


def jackknife():
    """Straight from the definition: recompute the mean with every item left out."""
    cases = []
    more = np.random.RandomState(4)  # apart, so that what is drawn after stays as it was
    squares = [RNG.gamma(4, .1, (k, k)) if k != 4 else np.full((k, k), .3) for k in [1, 2, 3, 4, 10, 64]]
    for k in [4, 4, 5, 5, 20]:
        own = more.gamma(4, .1, k)  # a common part of an item's distances
        squares += [more.gamma(4, .1, (k, k)), more.gamma(4, .02, (k, k)) + own[:, None] + own]
    for d in squares:
        k = len(d)
        upper = [(i, j) for i in range(k) for j in range(i + 1, k)]

        def mean_without(out):
            kept = [d[i, j] for i, j in upper if out not in (i, j)]
            return np.mean(kept) if kept else math.nan

        def se(parts):
            return math.sqrt((k - 1) / k * np.sum((np.array(parts) - np.mean(parts)) ** 2))
        row = d[0]
        errors = {"pairs_wide_se": None, "pairs_se": None}
        if k > 3:
            values = np.array([d[i, j] for i, j in upper])
            errors = pair_errors(values, upper, k, se([mean_without(i) for i in range(k)]))
        cases.append({"k": k, "d": np.triu(d, 1).ravel().tolist(), "row": row.tolist(),
                      "pairs": number(mean_without(-1)), **errors,
                      "mean": [number(np.mean(row)), number(se([np.mean(np.delete(row, i)) for i in range(k)])) if k > 1 else None]})
    assert {case.get("at_floor") for case in cases} == {None, True, False}
    return cases


def sample(x):
    """The values of a sample: a list, or of an object {count, multiplier, scale, shift, drift, levels} the values
    shift + scale * ((i + 1) * multiplier mod 2^32) / 2^32 + drift * (i / count), rounded down to multiples of 1/levels unless
    levels is 0."""
    if not isinstance(x, dict):
        return np.asarray(x, float)
    i = np.arange(x["count"], dtype=np.uint64)
    unit = ((i + np.uint64(1)) * np.uint64(x["multiplier"]) % np.uint64(2 ** 32)).astype(float) * 2.0 ** -32
    v = x["shift"] + x["scale"] * unit + x["drift"] * (i.astype(float) / x["count"])
    return np.floor(v * x["levels"]) / x["levels"] if x["levels"] else v


def long(count, multiplier, scale=1.0, shift=0.0, drift=0.0, levels=0):
    return {"count": count, "multiplier": multiplier, "scale": scale, "shift": shift, "drift": drift, "levels": levels}


GOLDEN, OTHER = 2654435761, 2246822519


def pairs_of_samples():
    """Members and others: overlapping, with ties, apart, constant, of one value, empty, uneven, long."""
    n, ties = RNG.normal, lambda *a: np.round(RNG.normal(*a), 1)
    return [(n(.5, 1, 60), n(0, 1, 45)), (n(-3, 1, 9), n(-3.5, 2, 200)), (n(0, 1, 8), n(0, 1, 9)), (n(0, 1, 8), n(.3, 1, 8)),
            (n(1, 1, 3), n(0, 1, 150)), (n(0, 1, 120), n(0, 1, 7)), (ties(0, 1, 80), ties(.3, 1, 70)), (ties(0, 1, 6), ties(0, .2, 7)),
            (n(9, 1, 40), n(-9, 1, 30)), (n(-9, 1, 40), n(9, 1, 30)), (n(9, 1, 5), n(-9, 1, 4)), ([.25] * 20, [.25] * 15),
            ([1, 2, 2, 3], [2]), ([2], [1]), ([2], [2]), ([1], [1, 2, 3]), ([-1, -2], [-3, -2]), ([1, 2, 3], [1, 2, 3]),
            ([], [1, 2]), ([1, 2], []), ([], []),
            ([-0.0, 0.0, 1], [0.0, -1.0]), (np.repeat([0, 1, 2, 3], 5), np.repeat([0, 1, 2, 3], 5)),
            (long(30000, GOLDEN), long(20000, OTHER, shift=-.2)), (long(25000, GOLDEN, shift=1.5), long(25000, OTHER, scale=2.0)),
            (long(25000, GOLDEN, levels=100), long(700, OTHER, shift=-.01, levels=100))]


def plain(x):
    return x if isinstance(x, dict) else np.asarray(x, float).tolist()


def exact_u_tail(m, n, last):
    """#{U <= last} and #{U = last} among C(m + n, m), in whole numbers."""
    ways = [1] + [0] * last
    for i in range(1, m + 1):
        for k in range(last, n + i - 1, -1):
            ways[k] -= ways[k - n - i]
        for k in range(i, last + 1):
            ways[k] += ways[k - i]
    return sum(ways), ways[last]


def mann_whitney(samples):
    cases = []
    for a, b in samples:
        x, y = sample(a), sample(b)
        want = [None] * 3
        if len(x) and len(y):
            two, greater = stats.mannwhitneyu(x, y), stats.mannwhitneyu(x, y, alternative="greater")
            want = [number(two.statistic), number(two.pvalue), number(greater.pvalue)]
        cases.append({"a": plain(a), "b": plain(b), "u": want[0], "p_two_sided": want[1], "p_greater": want[2]})
    # Exact beyond what SciPy's recursion reaches.
    for a, b in [(long(8, GOLDEN, shift=.3), long(3000, OTHER)), (long(2500, GOLDEN), long(7, OTHER, shift=-.2)),
                 (long(1, OTHER), long(20000, GOLDEN))]:
        x, y = sample(a), sample(b)
        u = int(sum(np.sum(v > y) for v in x))
        m, n = sorted((len(x), len(y)))
        below, at = exact_u_tail(m, n, min(u, m * n - u))
        every = math.comb(m + n, m)
        cases.append({"a": a, "b": b, "u": u, "p_two_sided": min(1, 2 * below / every),
                      "p_greater": (below if 2 * u > m * n else every - below + at) / every})
    return cases


def quantiles():
    cases = []
    for x in [RNG.normal(0, 1, 101), RNG.normal(-1e6, 1, 10), [3], [1, 2], [-1e17, 1], [.1] * 7, np.repeat([1, 2, 5], 4), []]:
        x = np.sort(np.asarray(x, float))
        qs = [0, .025, .1, .25, 1 / 3, .5, .7, .975, .999, 1]
        cases.append({"x": x.tolist(), "q": qs, "value": [number(np.quantile(x, q)) if len(x) else None for q in qs]})
    return cases


def histograms():
    cases = []
    for x, bins, low, high in [(RNG.normal(0, 1, 300), 20, -2, 2), (np.arange(0, 101) / 100, 10, 0, 1),
                               (np.arange(-30, 31) / 10, 6, -3, 3), (np.arange(0, 400) * .1, 37, .1, 3.8), ([.5] * 8, 3, .5, 1),
                               ([1, 2], 1, 1, 2), ([5, -5], 4, 0, 1), ([], 4, 0, 1), (np.arange(0, 1000) / 3e3, 30, 0, 1 / 3),
                               (.7 + np.arange(0, 4) * ((1.7 - .7) / 3), 3, .7, 1.7)]:
        x = np.asarray(x, float)
        cases.append({"x": x.tolist(), "low": float(low), "high": float(high),
                      "bins": np.histogram(x, bins, (low, high))[0].tolist()})
    return cases


def curve_of(members, others, thin):
    y = np.r_[np.ones(len(members)), np.zeros(len(others))]
    fpr, tpr, threshold = metrics.roc_curve(y, np.r_[members, others], drop_intermediate=thin)
    return [[None] + threshold[1:].tolist(), [number(v) for v in fpr], [number(v) for v in tpr]]


def exact_clopper_pearson(k, n, tail):
    low = number(stats.beta.ppf(tail, k, n - k + 1)) if k > 0 else 0.0
    high = number(stats.beta.isf(tail, k + 1, n - k)) if k < n else 1.0
    return [low, high]


def tprs(members, others):
    out = []
    for limit in [0, .001, .01, .1, .3, 1]:
        best = [None, None, None, None]
        if len(members) and len(others):
            thresholds, fpr, tpr = curve_of(members, others, False)
            at = max((t, -f, i) for i, (f, t) in enumerate(zip(fpr, tpr)) if f <= limit)[2]
            best = [tpr[at], thresholds[at]] + exact_clopper_pearson(round(tpr[at] * len(members)), len(members), .025)
        enough = limit == 0 or (len(others) > 0 and 1 / len(others) <= limit)
        out.append({"fpr": limit, "tpr": best[0], "threshold": best[1], "low": best[2], "high": best[3], "enough": enough})
    return out


def rocs(samples):
    cases = []
    for members, others in samples:
        x, y = sample(members), sample(others)
        if len(x) + len(y) == 0 or len(x) + len(y) > 1000:
            continue
        full, thin = curve_of(x, y, False), curve_of(x, y, True)
        advantage = max(t - f for f, t in zip(full[1], full[2])) if len(x) and len(y) else None
        cases.append({"a": plain(members), "b": plain(others), "full": full, "thin": thin, "advantage": advantage,
                      "tpr": tprs(x, y)})
    return cases


def placements(x, y):
    """Of every x among all y and of every y among all x, from the definition."""
    ys, xs = np.sort(y), np.sort(x)
    v10 = (np.searchsorted(ys, x, "left") + np.searchsorted(ys, x, "right")) / 2 / len(y)
    v01 = 1 - (np.searchsorted(xs, y, "left") + np.searchsorted(xs, y, "right")) / 2 / len(x)
    return v10, v01


def philox(counter, key):
    """Philox4x32-10 on arrays of counters [4][n]; the words [n, 4]."""
    c, k, low = [np.asarray(v, np.uint64) for v in counter], list(key), np.uint64(0xFFFFFFFF)
    for _ in range(10):
        p0, p1 = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
        c = [(p1 >> np.uint64(32)) ^ c[1] ^ np.uint64(k[0]), p1 & low, (p0 >> np.uint64(32)) ^ c[3] ^ np.uint64(k[1]), p0 & low]
        k = [(k[0] + 0x9E3779B9) % 2 ** 32, (k[1] + 0xBB67AE85) % 2 ** 32]
    return np.stack(c, 1)


def drawn(sorted_x, seed, number_of, side):
    n = len(sorted_x)
    blocks = np.arange((n + 3) // 4)
    words = philox([blocks, np.full_like(blocks, number_of), np.zeros_like(blocks), np.full_like(blocks, side)],
                   [seed % 2 ** 32, seed >> 32]).ravel()[:n]
    return sorted_x[((words * np.uint64(n)) >> np.uint64(32)).astype(int)]


def bootstrap(x, y, resamples, seed):
    x, y = np.sort(x), np.sort(y)
    aucs = [np.mean(placements(drawn(x, seed, i, 0), drawn(y, seed, i, 1))[0]) for i in range(resamples)]
    low, high = np.quantile(aucs, [.025, .975])
    return [low, high] if low < high else [None, None]


def newcombe(auc, m, n):
    """Method 5 of Newcombe (2006), as published: |auc - a| = z sqrt(V(a)), V by Hanley and McNeil with m* = n* = (m + n)/2 - 1."""
    z, mean = stats.norm.ppf(.975), (m + n) / 2 - 1

    def excess(a):
        q1, q2 = a / (2 - a), 2 * a * a / (1 + a)
        return abs(auc - a) - z * math.sqrt(max(0, a * (1 - a) + mean * (q1 - a * a) + mean * (q2 - a * a)) / (m * n))

    def end(edge):
        # V is 0 at 0 and 1: an auc of either is a root besides the end of its interval.
        if auc == edge:
            return float(edge)
        inside = auc - 1e-9 if auc == 1 else auc + 1e-9 if auc == 0 else auc
        return optimize.brentq(excess, abs(edge - 1e-15), inside, xtol=1e-16, rtol=1e-14)
    return [end(0), end(1)]


def aucs(samples):
    cases = []
    for i, (members, others) in enumerate(samples):
        x, y = sample(members), sample(others)
        none = [None, None]
        want = {"auc": None, "se": None, "delong": none, "newcombe": none, "interval": none, "p_two_sided": None,
                "bootstrap": none, "enough": False}
        seed, resamples = [20240116, 2 ** 40 + 5, 0][i % 3], [200, 101, 1][i % 3] if len(x) < 1000 else 20
        if len(x) and len(y):
            auc = metrics.roc_auc_score(np.r_[np.ones(len(x)), np.zeros(len(y))], np.r_[x, y])
            want["auc"] = number(auc)
            want["newcombe"] = want["interval"] = newcombe(auc, len(x), len(y))
            want["enough"] = min(len(x), len(y)) >= 10
        if len(x) > 1 and len(y) > 1 and 0 < auc < 1 and np.ptp(np.r_[x, y]) > 0:
            v10, v01 = placements(x, y)
            se = math.sqrt(np.var(v10, ddof=1) / len(x) + np.var(v01, ddof=1) / len(y))
            width = stats.norm.ppf(.975) * se
            low, high = max(0, auc - width), min(1, auc + width)
            want.update(se=se, delong=[low, high], p_two_sided=number(2 * stats.norm.sf(abs(auc - .5) / se)),
                        interval=[min(low, want["newcombe"][0]), max(high, want["newcombe"][1])],
                        bootstrap=bootstrap(x, y, resamples, seed))
        cases.append({"a": plain(members), "b": plain(others), "seed": seed, "resamples": resamples, **want})
    return cases


def clopper_pearson():
    cases = []
    for k, n in [(0, 0), (0, 1), (1, 1), (0, 10), (10, 10), (3, 10), (1, 1000), (999, 1000), (500, 1000), (0, 25000),
                 (25000, 25000), (250, 25000), (1, 10 ** 6), (500000, 10 ** 6), (10 ** 6 - 1, 10 ** 6), (0, 10 ** 6)]:
        for confidence in [.5, .95, .99, 1 - 2.0 ** -30]:
            low, high = exact_clopper_pearson(k, n, (1 - confidence) / 2)
            cases.append({"k": k, "n": n, "confidence": confidence, "low": low, "high": high})
    return cases


def epsilon():
    cases = []
    for tp, m, fp, n in [(60, 100, 10, 100), (25000, 25000, 0, 25000), (0, 100, 0, 100), (5, 100, 50, 100), (100, 100, 99, 100),
                         (1, 1, 0, 1), (0, 0, 0, 0), (10, 10, 0, 0), (900, 1000, 300, 1000), (999, 1000, 500, 1000),
                         (1000, 10 ** 6, 3, 10 ** 6)]:
        for delta in [0, 1e-5, .1, .9]:
            for confidence in [.95, .9]:
                tail = (1 - confidence) / 2
                bounds = [exact_clopper_pearson(k, c, tail) for k, c in [(tp, m), (fp, n), (n - fp, n), (m - tp, m)]]
                ratios = [(bounds[0][0] - delta) / bounds[1][1], (bounds[2][0] - delta) / bounds[3][1]]
                cases.append({"counts": [tp, m, fp, n], "delta": delta, "confidence": confidence,
                              "epsilon": max([0.0] + [math.log(r) for r in ratios if r > 1])})
    return cases


def used_share():
    """(p - FPR)/(TPR - FPR) of counts; bootstrap samples of the three rates are binomial."""
    cases = []
    for suspects, members, others in [((60, 200), (45, 100), (8, 100)), ((0, 50), (30, 60), (5, 70)), ((50, 50), (9, 9), (0, 12)),
                                      ((5, 9), (20, 40), (18, 40)), ((400, 1000), (130, 1000), (80, 1000)), ((3, 7), (5, 5), (0, 5)),
                                      ((1, 1), (1, 2), (0, 1)), ((0, 0), (3, 4), (0, 4)), ((3, 4), (0, 0), (0, 4)),
                                      ((12000, 25000), (9000, 25000), (250, 25000)), ((7, 20), (4, 20), (9, 20)), ((20, 50), (30, 100), (15, 100)), ((20, 50), (33, 100), (14, 100))]:
        sets = [suspects, members, others]
        p, tpr, fpr = [k / n if n else math.nan for k, n in sets]
        share, interval, seed, resamples = math.nan, [math.nan, math.nan], 2 ** 40 + 5, 500
        if tpr - fpr >= .05 and suspects[1]:
            share = (p - fpr) / (tpr - fpr)
            number_of = np.arange(resamples)
            rates = []
            for s, (k, n) in enumerate(sets):
                words = philox([number_of, np.zeros_like(number_of), np.full_like(number_of, s),
                                np.full_like(number_of, 0x73686172)], [seed % 2 ** 32, seed >> 32]).astype(np.uint64)
                unit = ((words[:, 0] << np.uint64(21)) | (words[:, 1] >> np.uint64(11))).astype(float) * 2.0 ** -53
                # SciPy 1.10's quantile of a sure event is wrong.
                rates.append(np.full(resamples, k / n) if k in (0, n) else stats.binom.ppf(unit, n, k / n) / n)
            contrast = rates[1] - rates[2]
            known = contrast >= .05
            if np.sum(~known) * 40 <= resamples:
                interval = np.quantile((rates[0] - rates[2])[known] / contrast[known], [.025, .975]).tolist()
                if interval[0] == interval[1]:
                    interval = [math.nan, math.nan]
        cases.append({"sets": sets, "seed": seed, "resamples": resamples, "positive_share": number(p), "tpr": number(tpr),
                      "fpr": number(fpr), "share": number(share), "interval": [number(x) for x in interval]})
    assert any(c["interval"][0] is None and c["share"] is not None for c in cases)
    return cases


def correlations():
    n = RNG.normal
    base, grid = n(0, 1, 200), np.round(n(0, 1, 90), 1)
    pairs = [(base, base + n(0, .5, 200)), (base, -base + n(0, .1, 200)), (base, n(0, 1, 200)),
             (grid, np.round(grid + n(0, 1, 90), 1)), (n(1e6, 1, 30), n(-1e6, 1, 30)), ([1, 2], [3, 5]), ([1, 2], [5, 3]), ([1, 2, 3], [1, 3, 2]),
             ([1, 2, 2], [1, 1, 2]), ([1], [2]), ([], []), ([1, 1, 1, 1], [1, 2, 3, 4]), ([1, 2, 3, 4], [.1] * 4), ([.1] * 5, [.7] * 5),
             ([1, 2, 3, 4, 5], [10, 20, 30, 41, 50]),
             ([0, 0, 1, 1, 1, 0], [1, 0, 1, 0, 1, 0]), (np.arange(40), np.arange(40) ** 3 % 17),
             (long(20000, GOLDEN, drift=1.0), long(20000, OTHER, drift=1.0)),
             (long(20000, GOLDEN, drift=.7), long(20000, OTHER, drift=-.2)),
             (long(20000, GOLDEN, drift=.8), long(20000, OTHER, drift=.5)),
             (long(100000, GOLDEN, drift=.2, levels=20), long(100000, OTHER, drift=.05, levels=7)),
             (long(50000, GOLDEN), long(50000, GOLDEN, levels=3))]
    cases = []
    for a, b in pairs:
        x, y = sample(a), sample(b)
        case = {"x": plain(a), "y": plain(b)}
        for name, of in [("pearson", stats.pearsonr), ("spearman", stats.spearmanr),
                         ("kendall", lambda x, y: stats.kendalltau(x, y, method="asymptotic"))]:
            want = of(x, y) if len(x) > 1 and np.ptp(x) > 0 and np.ptp(y) > 0 else (None, None)
            # Ranks in the same order: SciPy may round rho to 1 - 1e-16, and has a p of that.
            want = (round(want[0]), 0.0) if name == "spearman" and want[0] and abs(want[0]) > 1 - 1e-14 else want
            # Two pairs always agree or disagree: SciPy has p = 1 for Pearson and NaN for the others, we have NaN for all.
            case[name] = [None if v is None else number(v) for v in (want[0], want[1] if len(x) > 2 else None)]
        cases.append(case)
    return cases


def orders():
    return [{"x": plain(x), "order": np.argsort(-sample(x), kind="stable").tolist()}
            for x in [RNG.normal(0, 1, 57), np.round(RNG.normal(0, 1, 64), 1), [1, 1, 1], [-2], [], [-0.0, 0.0, -1, 0.0]]]


def q_values():
    """q_i = least over p_j >= p_i of count * p_j / #{p <= p_j}."""
    cases = []
    for p in [RNG.uniform(0, 1, 80), RNG.uniform(0, 1, 60) ** 4, np.round(RNG.uniform(0, 1, 50), 1), [.03], [], [0, 0, 1, 1],
              [1e-300, .04, 1e-20, .04, .9], [.5] * 6, [.05, .04, .03, .02, .01]]:
        p = np.asarray(p, float)
        all_q = [len(p) * v / np.sum(p <= v) for v in p]
        cases.append({"p": p.tolist(), "q": [number(min([1] + [q for q, v in zip(all_q, p) if v >= u])) for u in p]})
    return cases


def reliability():
    """Method of moments on scores with known standard errors, percentiles of the same over images that Philox draws, views by
    Spearman and Brown, scores shrunk towards their mean. NumPy, on the scores that have a standard error."""
    own = np.random.RandomState(5)  # apart, so that what is drawn before stays as it was
    n = own.normal

    def noisy(count, tau, se):
        return n(.01, tau, count), np.abs(n(se, se / 4, count))
    holes = noisy(40, .02, .015)
    holes[1][::7] = np.nan
    samples = [noisy(80, .02, .016), noisy(500, .03, .01), noisy(25, .001, .02), noisy(7, .02, .02), holes,
               (n(1e6, 1, 30), np.full(30, .7)), (n(0, 1, 20), np.zeros(20)), ([.25] * 9, [.1] * 9), ([1, 2], [.1, .5]),
               ([1], [.1]), ([], []), ([1, 2, 3], [np.nan] * 3), ([0, 1, 2, 3], [0, .5, 0, .5]), ([1e200, -1e200], [1, 1])]
    cases = []
    for i, (m, se) in enumerate(samples):
        m, se = np.asarray(m, float), np.asarray(se, float)
        seed, resamples = [20240116, 2 ** 40 + 5, 7][i % 3], [200, 101, 1][i % 3]
        some = np.isfinite(se)
        x, noise = m[some], se[some] ** 2

        def value(x, noise):
            return min(1, max(0, 1 - noise.mean() / x.var(ddof=1))) if len(x) > 1 and np.ptp(x) > 0 else 0
        want = {"count": len(x), "noise": None, "variance": None, "value": None, "interval": [None, None], "views": [None, None],
                "mean": None, "tau2": None, "shrunken": [None] * len(m)}
        if len(x):
            want["noise"] = noise.mean()
        if len(x) > 1 and math.isfinite(x.var(ddof=1)):
            want["variance"], want["mean"] = x.var(ddof=1), x.mean()
            tau2 = want["tau2"] = max(0, want["variance"] - want["noise"])
            want["shrunken"] = [number(v if s == 0 else x.mean() + tau2 / (tau2 + s * s) * (v - x.mean())) for v, s in zip(m, se)]
            if np.ptp(x) > 0:
                want["value"] = r = value(x, noise)
                at = [drawn(np.arange(len(x)), seed, k, 2) for k in range(resamples)]
                low, high = np.quantile([value(x[k], noise[k]) for k in at], [.025, .975])
                want["interval"] = [low, high] if low < high else [None, None]
                want["views"] = [math.ceil(10 * (1 / r - 1) / (1 / w - 1) - 1e-9) if r > 0 else None for w in (.8, .9)]
        cases.append({"m": m.tolist(), "se": [number(v) for v in se], "seed": seed, "resamples": resamples, **want})
    assert any(c["value"] == 0 for c in cases) and any(c["value"] == 1 for c in cases)
    return cases


def main():
    OUT.mkdir(exist_ok=True)
    warnings.simplefilter("ignore")  # undefined numbers are among the cases
    made = [("beta_inc", beta_inc()), ("student", student()), ("ttest", ttests()), ("rank", ranks()), ("jackknife", jackknife()),
            ("ttest_one", ttest_one()), ("student_quantile", quantiles_of_t())]
    samples = pairs_of_samples()
    made += [("mann_whitney", mann_whitney(samples)), ("quantile", quantiles()), ("histogram", histograms()), ("roc", rocs(samples)),
             ("auc", aucs(samples)), ("clopper_pearson", clopper_pearson()),
             ("epsilon", epsilon()), ("used_share", used_share()), ("correlation", correlations()),
             ("order", orders()), ("q_value", q_values()), ("reliability", reliability())]
    for name, cases in made:
        with open(OUT / f"{name}.json", "w") as f:
            f.write("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")
    with open(OUT / "versions.json", "w") as f:
        json.dump({"scipy": scipy.__version__, "scikit-learn": sklearn.__version__, "numpy": np.__version__,
                   "mpmath": mpmath.__version__}, f)
        f.write("\n")


if __name__ == "__main__":
    main()
