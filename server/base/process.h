/* What the system says about this process. What it does not say is 0.
 * Threads: any. */
#ifndef SERVER_BASE_PROCESS_H
#define SERVER_BASE_PROCESS_H

#include <stdint.h>

struct sm_process {
    int64_t resident_bytes;
    int64_t fds_count, fds_max;
    double cpu_seconds; /* user and system */
};

void sm_process_read(struct sm_process *out);
/* Processors that this process may run on, at least 1: in a container or under taskset they can be
 * fewer than the machine has. */
int sm_process_cores(void);

#endif
