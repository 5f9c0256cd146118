/* The other side: the process that decodes. It is this program again, started by child.c with the
 * command decode-helper, two descriptors (protocol.h) and the bytes of memory that an image may
 * take.
 *
 *     sslmem decode-helper MEMORY_BYTES          serves until its socket ends
 *     sslmem decode-helper --try socket          locks itself in, then does what is forbidden
 */
#ifndef SERVER_DECODE_HELPER_H
#define SERVER_DECODE_HELPER_H

#define SM_DECODE_COMMAND "decode-helper"

/* Returns the exit code, or ends the process with it: 0 when the socket ended; 1 when it could not
 * be locked in or was spoken to wrongly; 2 for wrong usage; of a try, see tries.h. argv[0] is the
 * command. */
int sm_decode_helper(int argc, char **argv);

#endif
