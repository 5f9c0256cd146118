/* One decoder as its parent sees it: a process, a socket, shared memory. Private to server/decode.
 *
 * Threads: one at a time per decoder.
 * Errors:  SM_IO (a call failed; the text names it), SM_UNSUPPORTED (the sandbox is not available),
 *          SM_NOMEM. */
#ifndef SERVER_DECODE_CHILD_H
#define SERVER_DECODE_CHILD_H

#include <sys/types.h>

#include "server/decode/decode.h"

struct sm_child {
    pid_t pid;       /* the decoder's process; 0: no process */
    int socket;      /* the parent's end of the socket pair; 0: no socket */
    uint8_t *memory; /* [SM_DECODE_MEMORY_BYTES], laid out as protocol.h says */
    int landlock_abi;
    int images; /* images sent to this decoder so far */
};

/* Starts the process and returns at once, so that several can start in parallel. The caller must
 * call sm_child_await before it uses the decoder. */
enum sm_code sm_child_start(struct sm_child *out, const struct sm_decoders_params *params,
                            struct sm_err *err);
/* Waits for the decoder's hello; on failure, ends the decoder. */
enum sm_code sm_child_await(struct sm_child *child, struct sm_err *err);
/* Kills the process, waits for its end, releases the rest and zeroes *child, which may be zeroed
 * already. Returns the status of waitpid. */
int sm_child_end(struct sm_child *child);

/* Limits the processor time that the decoder may use from now on to `cpu_max_s`, rounded up to the
 * next full second of its total; the kernel then ends it with SIGXCPU. Returns false if the limit
 * cannot be set because the decoder has ended. */
bool sm_child_limit_cpu(const struct sm_child *child, int cpu_max_s);

/* Returns true if the decoder is alive and has sent nothing, as it must be between two images. */
bool sm_child_is_quiet(const struct sm_child *child);

/* Receives one packet and returns its size, which is above `room_bytes` if it was cut. Returns 0 if
 * the decoder has ended, -1 if `wait_ms` passed without a packet. */
long sm_child_receive(const struct sm_child *child, void *packet, size_t room_bytes, int wait_ms);
bool sm_child_send(const struct sm_child *child, const void *packet, size_t packet_bytes);

#endif
