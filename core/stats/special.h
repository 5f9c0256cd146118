/* Special functions for p-values.
 * Threads: no shared state (the C library's lgamma writes signgam, so only lgamma_r is used). */
#ifndef CORE_STATS_SPECIAL_H
#define CORE_STATS_SPECIAL_H

/* Returns P(|T| >= |t|) for Student's t with df > 0 degrees of freedom. The relative error is below
 * 1e-11 for results down to 1e-300. */
double sm_student_two_sided(double t, double df);
/* Returns the t >= 0 with P(|T| >= t) = p_two_sided, for p_two_sided in (0, 1). */
double sm_student_quantile(double p_two_sided, double df);

/* Returns P(|R| >= |r|) for the correlation of independent normal values, with df = pairs - 2; NaN
 * unless df is above 0. */
double sm_correlation_two_sided(double r, double df);

/* Returns P(Z >= z) for a standard normal Z. */
double sm_normal_upper(double z);

/* Return the x below which, or above which, Beta(a, b) has probability p, for p in (0, 1). */
double sm_beta_quantile(double a, double b, double p);
double sm_beta_upper_quantile(double a, double b, double p);

/* Returns the factor that removes the bias of a standardised difference (Hedges 1981); NaN if df <=
 * 1. */
double sm_hedges_factor(double df);

#endif
