#include "core/stats/cholesky.h"

#include <math.h>

bool sm_cholesky(double *a, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        double *row = a + i * size;
        for (size_t j = 0; j <= i; j++) {
            const double *other = a + j * size;
            double sum = row[j];
            for (size_t k = 0; k < j; k++)
                sum -= row[k] * other[k];
            if (j < i)
                row[j] = sum / other[j];
            else if (sum > 0)
                row[i] = sqrt(sum);
            else
                return false;
        }
    }
    return true;
}

void sm_cholesky_solve(double *b, const double *factor, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        for (size_t k = 0; k < i; k++)
            b[i] -= factor[i * size + k] * b[k];
        b[i] /= factor[i * size + i];
    }
    for (size_t i = size; i-- > 0;) {
        for (size_t k = i + 1; k < size; k++)
            b[i] -= factor[k * size + i] * b[k];
        b[i] /= factor[i * size + i];
    }
}
