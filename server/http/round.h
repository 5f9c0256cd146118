/* Figures for who may not see all of them: numbers of a JSON text with fewer decimals.
 *
 * Every number that is not written as a whole one is rounded, whatever its name, so that a new
 * figure is covered by itself; but for what is inside an object named "recipe", which says what was
 * computed and not what came out. The whole of "percentile": 83.0 becomes "percentile": 83.00.
 *
 * Owner: the text is the caller's. Threads: no state. */
#ifndef SERVER_HTTP_ROUND_H
#define SERVER_HTTP_ROUND_H

/* Takes `text`, valid JSON of malloc, and returns another such; NULL when out of memory, or for
 * NULL. Rounding again changes nothing. */
char *sm_round_json(char *text, int decimals);

#endif
