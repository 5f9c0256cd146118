/* Special functions behind p-values.
 * Owner, threads: no state (the C library's lgamma writes signgam, so only lgamma_r is used). */
#ifndef CORE_STATS_SPECIAL_H
#define CORE_STATS_SPECIAL_H

/* P(|T| >= |t|) for Student's t with df > 0 degrees of freedom; relative error below 1e-11 down to
 * 1e-300. */
double sm_student_two_sided(double t, double df);

#endif
