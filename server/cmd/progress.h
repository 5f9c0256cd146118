/* Progress of a long command on standard error: a bar on a terminal, a line now and then elsewhere.
 *
 * Threads: one at a time. */
#ifndef SERVER_CMD_PROGRESS_H
#define SERVER_CMD_PROGRESS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct sm_progress {
    bool quiet, terminal, begun, drawn;
    int64_t others_count; /* images of other shards, which are not counted */
    int64_t begun_ms, said_ms, begun_count, begun_cost_ms;
};
void sm_progress_init(struct sm_progress *progress, bool quiet);
/* Shows the progress, if the last time is long enough ago. `audit` has the counts
 * and costs of the document of sm_store_audit, which the API returns too. */
void sm_progress_show(struct sm_progress *progress, const json_t *audit);
/* The same of a command without an audit, whose images cost the same. */
void sm_progress_count(struct sm_progress *progress, int64_t succeeded, int64_t failed,
                       int64_t total);
void sm_progress_end(struct sm_progress *progress); /* ends the line of the progress bar */

#endif
