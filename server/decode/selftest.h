/* What a decoder that an image has taken over would try first, to see that it cannot. */
#ifndef SERVER_DECODE_SELFTEST_H
#define SERVER_DECODE_SELFTEST_H

/* Locks this process in and does the forbidden thing called `name`. Returns only when the name is
 * unknown (2); else ends the process: 1 it could not be locked in, 3 it could do the thing, 4 it
 * was told no. Every good end is a death by a signal, or 4 in a build with a sanitizer. */
int sm_decode_selftest(const char *name);

#endif
