/* A private folder for one test of the store or of jobs. */
#ifndef TESTS_UNIT_SERVER_STORE_SCRATCH_H
#define TESTS_UNIT_SERVER_STORE_SCRATCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four headers above */
#include <cmocka.h>

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "sslmem/err.h"

#define assert_code(expected, call)                                                                \
    do {                                                                                           \
        enum sm_code code_ = (call);                                                               \
        if (code_ != (expected))                                                                   \
            fail_msg("%s gave %s: %s", #call, sm_code_name(code_), err.text);                      \
    } while (0)

struct scratch {
    char dir[256];
    char db[300];
};

static inline void scratch_make(struct scratch *s)
{
    const char *base = getenv("TMPDIR");
    snprintf(s->dir, sizeof s->dir, "%s/sslmem-unit-XXXXXX", base ? base : "/tmp");
    assert_non_null(mkdtemp(s->dir));
    snprintf(s->db, sizeof s->db, "%s/test.db", s->dir);
}

static inline int scratch_unlink(const char *path, const struct stat *status, int type,
                                 struct FTW *where)
{
    (void)status, (void)type, (void)where;
    return remove(path);
}

static inline void scratch_remove(struct scratch *s)
{
    nftw(s->dir, scratch_unlink, 8, FTW_DEPTH | FTW_PHYS);
}

#endif
