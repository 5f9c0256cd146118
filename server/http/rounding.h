/* Rounds the figures in replies for API keys that must not see them exactly.
 *
 * A client chooses the recipe, and so the scale of a score. Figures are therefore not rounded to a
 * fixed decimal, but to a step that depends on the pair. With D digits, the step is the smallest
 * power of ten that is at least 10^-D times the standard deviation of the reference scores (same
 * pair, same recipe). Percentiles, p-values and ratios have a fixed scale: their steps are 10^(2-D)
 * percent and 10^-D.
 *
 * Figures that follow from others (the side f, the ratio, the distance to the mean, the ends of an
 * interval) are computed from the rounded ones, because two roundings of one number would reveal
 * more than one. If a side has several encoders, their figures have one digit less. Without a
 * reference there is no step, and all figures become null. So does every number that no table of
 * rounding.c names.
 *
 * Owner: the caller frees the returned text. Threads: no state. */
#ifndef SERVER_HTTP_ROUNDING_H
#define SERVER_HTTP_ROUNDING_H

/* Rounds the figures in a JSON text to `digits` digits. Frees `text`, allocated with malloc, and
 * returns the new text; NULL when out of memory, if `text` is not JSON, or if it is NULL. `sd`: the
 * standard deviation for figures whose object has no reference; 0: unknown. */
char *sm_round_json(char *text, int digits, double sd);

#endif
