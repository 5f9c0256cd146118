/* Self-test of the sandbox: tries what a compromised decoder would try first, so that tests can see
 * the kernel stop it. */
#ifndef SERVER_DECODE_SELFTEST_H
#define SERVER_DECODE_SELFTEST_H

/* Enters the sandbox and tries the forbidden action called `name`. Returns 2 if the name is unknown
 * and 1 if the sandbox failed. Otherwise ends the process: with exit code 3 if the action
 * succeeded, 4 if it was refused. The sandbox works if a signal kills the process; in a build with
 * a sanitizer, exit code 4 is good too. */
int sm_decode_selftest(const char *name);

#endif
