/* Logistic regression by Newton's method, with the step halved until the objective falls. The
 * objective is strictly convex in w, and in b once there are members and others. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/stats/cholesky.h"
#include "sslmem/controls.h"

#define STEPS_MAX   50
#define HALVINGS    40
#define STEP_ENOUGH 1e-10

struct fit {
    const double *x;
    const bool *is_member;
    size_t count, features, size; /* size: features + 1 */
    double *margin;               /* [count]: x w + b */
    double *w, *trial, *step;     /* [size] */
    double *hessian;              /* [size, size], lower triangle */
};

static double dot(const double *a, const double *b, size_t count)
{
    double sums[4] = {0};
    size_t i = 0;
    for (; i + 4 <= count; i += 4)
        for (size_t k = 0; k < 4; k++)
            sums[k] += a[i + k] * b[i + k];
    for (; i < count; i++)
        sums[0] += a[i] * b[i];
    return sums[0] + sums[1] + (sums[2] + sums[3]);
}

/* log(1 + exp(-t)) without overflow */
static double loss_of(double t)
{
    return t > 0 ? log1p(exp(-t)) : log1p(exp(t)) - t;
}

/* Computes the margins of `w` and returns the objective times count. */
static double objective(struct fit *fit, const double *w)
{
    double sum = dot(w, w, fit->features) / 2;
    for (size_t i = 0; i < fit->count; i++) {
        double margin = dot(fit->x + i * fit->features, w, fit->features) + w[fit->features];
        fit->margin[i] = margin;
        sum += loss_of(fit->is_member[i] ? margin : -margin);
    }
    return sum;
}

/* Adds weight * row row' to the lower triangle, the row ending with a 1 for b. */
static void add_outer(double *hessian, const double *row, double weight, size_t features)
{
    size_t size = features + 1;
    for (size_t j = 0; j < features; j++) {
        double scaled = weight * row[j], *to = hessian + j * size;
        for (size_t k = 0; k <= j; k++)
            to[k] += scaled * row[k];
        hessian[features * size + j] += scaled;
    }
    hessian[features * size + features] += weight;
}

/* Fills hessian, and step with the negative gradient, at the margins. */
static void derive(struct fit *fit)
{
    size_t features = fit->features, size = fit->size;
    memset(fit->hessian, 0, size * size * sizeof *fit->hessian);
    for (size_t j = 0; j < features; j++) {
        fit->step[j] = -fit->w[j];
        fit->hessian[j * size + j] = 1;
    }
    fit->step[features] = 0;
    for (size_t i = 0; i < fit->count; i++) {
        const double *row = fit->x + i * features;
        double p = 1 / (1 + exp(-fit->margin[i])), rest = (fit->is_member[i] ? 1 : 0) - p;
        for (size_t j = 0; j < features; j++)
            fit->step[j] += rest * row[j];
        fit->step[features] += rest;
        add_outer(fit->hessian, row, p * (1 - p), features);
    }
}

/* Takes the step, halved until the objective falls. Returns the largest change of w, 0 where no
 * step makes it fall. */
static double take_step(struct fit *fit, double *value)
{
    for (int i = 0; i < HALVINGS; i++) {
        double largest = 0;
        for (size_t j = 0; j < fit->size; j++) {
            double change = ldexp(fit->step[j], -i);
            fit->trial[j] = fit->w[j] + change;
            largest = fmax(largest, fabs(change));
        }
        double tried = objective(fit, fit->trial);
        if (tried < *value || (tried == *value && largest <= STEP_ENOUGH)) {
            memcpy(fit->w, fit->trial, fit->size * sizeof *fit->w);
            *value = tried;
            return largest;
        }
        if (largest <= STEP_ENOUGH)
            break;
    }
    return 0;
}

static void solve(struct fit *fit)
{
    double value = objective(fit, fit->w);
    for (int i = 0; i < STEPS_MAX; i++) {
        derive(fit);
        if (!sm_cholesky(fit->hessian, fit->size))
            return;
        sm_cholesky_solve(fit->step, fit->hessian, fit->size);
        if (take_step(fit, &value) <= STEP_ENOUGH)
            return;
    }
}

enum sm_code sm_logistic(double *w, const double *x, const bool *is_member, size_t count,
                         size_t features, struct sm_err *err)
{
    size_t size = features + 1, members = 0;
    for (size_t i = 0; i < count; i++)
        members += is_member[i];
    for (size_t j = 0; j < size; j++)
        w[j] = members > 0 && members < count ? 0 : NAN;
    if (members == 0 || members == count)
        return SM_OK;
    double *memory = malloc((count + 2 * size + size * size) * sizeof *memory);
    if (!memory)
        return sm_err_set(err, SM_NOMEM, "out of memory for a regression of %zu rows", count);
    struct fit fit = {x,
                      is_member,
                      count,
                      features,
                      size,
                      memory,
                      w,
                      memory + count,
                      memory + count + size,
                      memory + count + 2 * size};
    w[features] = log((double)members / (double)(count - members));
    solve(&fit);
    free(memory);
    return SM_OK;
}
