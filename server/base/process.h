/* Resource use of this process; a figure that the system does not give is 0.
 *
 * Threads: any. */
#ifndef SERVER_BASE_PROCESS_H
#define SERVER_BASE_PROCESS_H

#include <stdint.h>

struct sm_process {
    int64_t resident_bytes;
    int64_t fds_count, fds_max;
    double cpu_seconds; /* user and system time */
};

void sm_process_read(struct sm_process *out);
/* Returns the number of processors that this process may run on, at least 1. In a container or
 * under taskset the machine can have more. */
int sm_process_cores(void);

#endif
