/* Figures for a key that may not see all of them.
 *
 * A client chooses the recipe, and with it the scale of a score: so figures are not cut after some
 * decimal, but to a step that belongs to the pair. With D digits the step is the power of ten at or
 * above 10^-D times the sd of the reference scores (same pair, same recipe). Percentiles, p-values
 * and ratios, whose scale is fixed, are cut to D digits of it: steps of 10^(2-D) percent and 10^-D.
 *
 * What can be computed from other figures is computed from the rounded ones (the side f, the ratio,
 * the distance to the mean, the ends of an interval), or two roundings of one number would tell
 * more than one does; single encoders of several have a digit less. A score without a reference has
 * no step: its figures are null. So is every number that no table of round.c knows.
 *
 * Owner: the text is the caller's. Threads: no state. */
#ifndef SERVER_HTTP_ROUNDING_H
#define SERVER_HTTP_ROUNDING_H

/* Takes `text`, valid JSON of malloc, and returns another such; NULL when out of memory, for no
 * JSON, or for NULL. `sd` is the spread for figures that have no reference beside them; 0: none. */
char *sm_round_json(char *text, int digits, double sd);

#endif
