/* The number of commits, as the service's own metric counts them. */
#ifndef TESTS_UNIT_SERVER_STORE_COMMITS_H
#define TESTS_UNIT_SERVER_STORE_COMMITS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/base/metrics.h"

static inline void count_commits(void)
{
    static const char *const none[] = {NULL};
    struct sm_err why;
    assert_code(SM_OK, sm_metrics_start(&(struct sm_metrics_sets){none, none}, &why));
}

static inline int commits(void)
{
    static const char name[] = "\nsslmem_db_commit_seconds_count ";
    char *text;
    size_t bytes_count;
    FILE *file = open_memstream(&text, &bytes_count);
    assert_non_null(file);
    sm_metrics_write(file, SM_METRICS_PROMETHEUS, NULL, 0);
    fclose(file);
    const char *at = strstr(text, name);
    assert_non_null(at);
    int count = atoi(at + strlen(name));
    free(text);
    return count;
}

#endif
