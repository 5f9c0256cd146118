/* The decoder process. child.c starts this program again with the command decode-helper, two
 * descriptors (protocol.h) and the bytes of memory that an image may take.
 *
 *     sslmem decode-helper MEMORY_BYTES          serves until its socket is closed
 *     sslmem decode-helper --try socket          enters the sandbox, then tries a forbidden call
 */
#ifndef SERVER_DECODE_HELPER_H
#define SERVER_DECODE_HELPER_H

#define SM_DECODE_COMMAND "decode-helper"

/* Returns the exit code, or ends the process with it: 0 when the socket is closed; 1 if the sandbox
 * failed or a request was malformed; 2 for wrong usage; for --try see selftest.h. argv[0] is the
 * command. */
int sm_decode_helper(int argc, char **argv);

#endif
