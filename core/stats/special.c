/* The regularised incomplete beta function, its inverse, and functions that follow from them.
 *
 * I_x(a, b) = x^a y^b / (B(a, b) f) with y = 1 - x. f is the continued fraction of DiDonato and
 * Morris (ACM TOMS 708, 1992, eq. 9), computed by the modified Lentz method. It converges in
 * O(sqrt(max(a, b))) steps for x below the mean of the distribution; I_x(a, b) = 1 - I_y(b, a)
 * covers the rest.
 *
 * The factor x^a y^b / B(a, b) is where digits can be lost: a log x + b log y - log B(a, b) cancels
 * terms of size a. Loader's saddle-point form (C. Loader, "Fast and accurate computation of
 * binomial probabilities", 2000) writes it with Stirling remainders and deviances. All of these are
 * small unless the factor is, so it stays good to about 1e-13 for any a, b and far into the tails.
 * x and y are separate arguments: a tail probability depends on the smaller one, which 1 - x would
 * round away. */
#include "core/stats/special.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>

#include "sslmem/stats.h"

#define LENTZ_FLOOR    1e-300
#define ROOT_TOLERANCE 1e-14 /* relative size of the last step; Newton's error is then far below */
#define ROOT_ROUNDS    2000  /* halving alone reaches the least double in fewer rounds */

static const double pi = 3.14159265358979323846;
static const double half_log_2pi = 0.91893853320467274178;
static const double sqrt_half = 0.70710678118654752440;

/* Returns lgamma(z + 1) - (z + 1/2) log z + z - log(2 pi)/2, for z > 0. */
static double stirling_remainder(double z)
{
    if (z < 16) {
        int sign;
        return lgamma_r(z + 1, &sign) - (z + 0.5) * log(z) + z - half_log_2pi;
    }
    double w = 1 / (z * z); /* the next term of the series is below 1e-17 */
    double s = 1.0 / 1188 - w * (691.0 / 360360);
    s = 1.0 / 1680 - w * s;
    s = 1.0 / 1260 - w * s;
    s = 1.0 / 360 - w * s;
    return (1.0 / 12 - w * s) / z;
}

/* Returns u log(u/v) + v - u, the deviance of u from v, without cancellation if they are close. */
static double deviance(double u, double v)
{
    if (!(fabs(u - v) < 0.1 * (u + v))) /* NAN too, whose series would not end */
        return u * log(u / v) + v - u;
    double r = (u - v) / (u + v);
    double sum = (u - v) * r;
    double term = 2 * u * r;
    for (int j = 3;; j += 2) { /* at most eight rounds, because |r| < 0.1 */
        term *= r * r;
        double next = sum + term / j;
        if (next == sum)
            return sum;
        sum = next;
    }
}

/* Returns x^a y^b / B(a, b), for x + y = 1. */
static double beta_power(double a, double b, double x, double y)
{
    double n = a + b;
    double exponent = stirling_remainder(n) - stirling_remainder(a) - stirling_remainder(b) -
                      deviance(a, n * x) - deviance(b, n * y);
    return sqrt(a * b / (2 * pi * n)) * exp(exponent);
}

static double away_from_zero(double v)
{
    return fabs(v) < LENTZ_FLOOR ? LENTZ_FLOOR : v;
}

/* Returns the fraction f in I_x(a, b) = x^a y^b / (B(a, b) f). */
static double beta_fraction(double a, double b, double x, double y)
{
    double lambda =
        /* lambda is small if x is near the mean, so it is computed from y, not from 1 - x */
        a * y - b * x + 1;
    double f = away_from_zero(a * lambda / (a + 1));
    double c = f, d = 0;
    int rounds = 1000 + (int)fmin(20 * sqrt(a + b), 1e7);
    for (int m = 1; m <= rounds; m++) {
        double e = a + 2.0 * m - 1;
        double numerator = (a + m - 1) / e * ((a + b + m - 1) / e) * m * (b - m) * x * x;
        double term = m + m * (b - m) * x / e + (a + m) * (lambda + m * (1 + y)) / (e + 2);
        d = 1 / away_from_zero(term + numerator * d);
        c = away_from_zero(term + numerator / c);
        f *= c * d;
        if (fabs(c * d - 1) <= DBL_EPSILON)
            break;
    }
    return f;
}

/* Returns I_x(a, b); y = 1 - x is given to full relative precision. */
static double beta_inc_xy(double a, double b, double x, double y)
{
    if (x <= 0)
        return 0;
    if (y <= 0)
        return 1;
    if (x <= (a + 1) / (a + b + 2))
        return beta_power(a, b, x, y) / beta_fraction(a, b, x, y);
    return 1 - beta_power(b, a, y, x) / beta_fraction(b, a, y, x);
}

/* Returns true if a and b are the parameters of a Beta distribution that doubles can compute. */
static bool is_beta(double a, double b)
{
    return a > 0 && b > 0 && isfinite(a) && isfinite(b);
}

double sm_beta_inc(double a, double b, double x)
{
    if (!is_beta(a, b) || !(x >= 0 && x <= 1))
        return NAN;
    return beta_inc_xy(a, b, x, 1 - x);
}

double sm_student_two_sided(double t, double df)
{
    if (isnan(t) || !(df > 0))
        return NAN;
    double q = t * t / df;
    if (isinf(q))
        return 0;
    return beta_inc_xy(df / 2, 0.5, 1 / (1 + q), q / (1 + q));
}

/* Returns the x at which the lower or the upper tail of Beta(a, b) is p. Newton's steps stay inside
 * a bracket that shrinks around the root; a step that leaves it or gains too little becomes a
 * bisection. */
static double beta_root(double a, double b, double p, bool upper)
{
    if (!is_beta(a, b) || !(p >= 0 && p <= 1))
        return NAN;
    double low = 0, high = 1, x = a / (a + b), last = 1;
    for (int round = 0; round < ROOT_ROUNDS; round++) {
        double tail = upper ? beta_inc_xy(b, a, 1 - x, x) : beta_inc_xy(a, b, x, 1 - x);
        double excess = upper ? p - tail : tail - p; /* increases with x, 0 at the root */
        *(excess < 0 ? &low : &high) = x;
        double density = beta_power(a, b, x, 1 - x) / (x * (1 - x));
        double step = excess / density;
        bool inside = x - step > low && x - step < high;
        if (!inside || fabs(step) > last / 2)
            step = x - (low + high) / 2;
        last = fabs(step);
        x -= step;
        if (last <= ROOT_TOLERANCE * x)
            break;
    }
    return x;
}

double sm_beta_quantile(double a, double b, double p)
{
    return beta_root(a, b, p, false);
}

double sm_beta_upper_quantile(double a, double b, double p)
{
    return beta_root(a, b, p, true);
}

/* P(|T| >= t) = I_x(df/2, 1/2) at x = df/(df + t^2). The smaller of x and 1 - x is computed. */
double sm_student_quantile(double p_two_sided, double df)
{
    double x = beta_root(df / 2, 0.5, p_two_sided, false);
    if (x < 0.5)
        return sqrt(df * ((1 - x) / x));
    double y = beta_root(0.5, df / 2, p_two_sided, true);
    return sqrt(df * (y / (1 - y)));
}

double sm_correlation_two_sided(double r, double df)
{
    if (isnan(r) || !(df > 0))
        return NAN;
    return beta_inc_xy(df / 2, 0.5, (1 - fabs(r)) * (1 + fabs(r)), r * r);
}

double sm_normal_upper(double z)
{
    return erfc(z * sqrt_half) / 2;
}

/* The factor is Gamma(z) / (sqrt(z) Gamma(z - 1/2)) with z = df/2. With Stirling's formula for both
 * Gammas, no large numbers are subtracted. */
double sm_hedges_factor(double df)
{
    if (!(df > 1))
        return NAN;
    double z = df / 2;
    return exp(stirling_remainder(z) - stirling_remainder(z - 0.5) - (z - 1) * log1p(-0.5 / z) -
               0.5);
}
