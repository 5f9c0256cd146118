/* An ingestion into an open audit, and checks of its report. */
#ifndef TESTS_UNIT_SERVER_INGEST_INGEST_FIXTURE_H
#define TESTS_UNIT_SERVER_INGEST_INGEST_FIXTURE_H

#include <sys/mman.h>
#include <unistd.h>

#include "server/ingest/ingest.h"
#include "tests/unit/server/store/audit_fixture.h"

#define PNG  "\x89PNG\r\n\x1a\n"
#define JPEG "\xff\xd8\xff\xe0"

static char audit[SM_ID_BYTES];
static struct sm_ingest *ingest;
static json_t *report;

static inline void begin(int64_t items_max, int64_t unpacked_bytes_max)
{
    const struct sm_audit_id own = *OWN(audit);
    struct sm_ingest_params params = {.store = store,
                                      .audit = &own,
                                      .items_max = items_max,
                                      .unpacked_bytes_max = unpacked_bytes_max};
    assert_code(SM_OK, sm_ingest_new(&ingest, &params, &err));
}

static inline int setup_ingest(void **state)
{
    setup(state);
    create_audit(audit, false);
    begin(MANY, 0);
    return 0;
}

/* Ends the ingestion and keeps its report in `report`. */
static inline enum sm_code finish_ingest(void)
{
    json_decref(report);
    report = NULL;
    enum sm_code code = sm_ingest_finish(&report, ingest, &err);
    sm_ingest_free(ingest);
    ingest = NULL;
    return code;
}

static inline int teardown_ingest(void **state)
{
    sm_ingest_free(ingest);
    ingest = NULL;
    json_decref(report);
    report = NULL;
    return teardown(state);
}

static inline int64_t counted(const char *name)
{
    return json_integer_value(json_object_get(report, name));
}

static inline int64_t skipped(const char *reason)
{
    return json_integer_value(
        json_object_get(json_object_get(report, "skipped_by_reason"), reason));
}

/* Asserts the reason and the detail of the first skipped entry of that name. */
static inline void assert_skipped(const char *name, const char *reason, const char *detail)
{
    const json_t *list = json_object_get(report, "skipped");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *row = json_array_get(list, i);
        if (strcmp(text_at(row, "name"), name) != 0)
            continue;
        assert_string_equal(text_at(row, "reason"), reason);
        assert_string_equal(text_at(row, "detail"), detail);
        return;
    }
    fail_msg("%s was not skipped: %s", name, json_dumps(report, 0));
}

/* Returns item `index` of the audit (new reference). */
static inline json_t *item_at(int64_t index)
{
    struct sm_store_audit_items_page page;
    struct sm_store_audit_items_filter filter = {.cohort = -1, .after = index - 1, .limit = 1};
    assert_code(SM_OK, sm_store_audit_items(&page, store, OWN(audit), &filter, &err));
    json_t *item = json_incref(json_array_get(page.items, 0));
    sm_store_audit_items_page_release(&page);
    assert_non_null(item);
    return item;
}

static inline void assert_item(int64_t index, const char *cohort, const char *name,
                               const char *state)
{
    json_t *item = item_at(index);
    assert_string_equal(text_at(item, "cohort"), cohort);
    assert_string_equal(text_at(item, "name"), name);
    assert_string_equal(text_at(item, "state"), state);
    json_decref(item);
}

static inline int memory_file(const void *bytes, size_t bytes_count)
{
    int fd = memfd_create("test", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, bytes_count), (ssize_t)bytes_count);
    return fd;
}

#endif
