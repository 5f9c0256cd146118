/* One decoder as its parent sees it: a process, a socket, shared memory. Private to this floor.
 *
 * Threads: one at a time. Errors: SM_IO (a call failed; the text names it), SM_UNSUPPORTED (it
 * cannot be locked in), SM_NOMEM. */
#ifndef SERVER_DECODE_CHILD_H
#define SERVER_DECODE_CHILD_H

#include <sys/types.h>

#include "server/decode/decode.h"

struct sm_child {
    pid_t pid;       /* 0: there is none */
    int socket;      /* above the standard ones; 0: there is none */
    uint8_t *memory; /* [SM_DECODE_MEMORY_BYTES] of protocol.h */
    int landlock_abi;
    int images; /* given to it */
};

/* Starts the process; it is of use after sm_child_await. So several can start at once. */
enum sm_code sm_child_start(struct sm_child *out, const struct sm_decoders_params *params,
                            struct sm_err *err);
/* Waits for its hello; on failure it has been ended. */
enum sm_code sm_child_await(struct sm_child *child, struct sm_err *err);
/* Kills it and waits for its end; accepts a zeroed one, and zeroes. Returns the status of waitpid.
 */
int sm_child_end(struct sm_child *child);

/* Processor time from now on, rounded up to a second, after which the kernel ends it (SIGXCPU).
 * False when that cannot be set: it has ended. */
bool sm_child_limit_cpu(const struct sm_child *child, int cpu_max_s);

/* Alive and with nothing to say, as between two images. */
bool sm_child_is_quiet(const struct sm_child *child);

/* A packet of at most `room_bytes`; its size, 0 when the decoder has ended, -1 when the time is
 * over. */
long sm_child_receive(const struct sm_child *child, void *packet, size_t room_bytes, int wait_ms);
bool sm_child_send(const struct sm_child *child, const void *packet, size_t packet_bytes);

#endif
