/* Cholesky factors of small symmetric positive definite matrices. Threads: no state. */
#ifndef CORE_STATS_CHOLESKY_H
#define CORE_STATS_CHOLESKY_H

#include <stdbool.h>
#include <stddef.h>

/* Replaces the lower triangle of a [size, size] by its factor. Returns false unless a is positive
 * definite. */
bool sm_cholesky(double *a, size_t size);
/* Solves a x = b for the factor of a; x replaces b [size]. */
void sm_cholesky_solve(double *b, const double *factor, size_t size);

#endif
