/* Rates of a dataset: images read and hashed, and images added to an audit of a new database.
 *
 *     make build/release/bench/dataset
 *     taskset -c 0 build/release/bench/dataset cifar-10-batches-py/data_batch_1 /dev/shm/db */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "core/base/sha256.h"
#include "server/base/id.h"
#include "server/ingest/ingest.h"

static double now_s(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static enum sm_code read_all(int64_t *count, struct sm_dataset *dataset, struct sm_err *err)
{
    struct sm_dataset_item item;
    char digest[SM_SHA256_HEX];
    bool found = true;
    enum sm_code code = SM_OK;
    for (*count = -1; code == SM_OK && found; ++*count) {
        code = sm_dataset_next(&item, &found, dataset, err);
        if (code == SM_OK && found && item.bytes)
            sm_sha256_hex(digest, item.bytes, item.bytes_count);
    }
    return code;
}

static enum sm_code add_all(int64_t *count, struct sm_dataset *dataset, struct sm_store *store,
                            struct sm_err *err)
{
    struct sm_store_audit_in in = {.pair = "p"};
    struct sm_ingest *ingest;
    json_t *report = NULL;
    in.recipe = in.pair_document = in.spec = json_pack("{s:s}", "name", "n");
    memset(in.recipe_digest, 'a', 64);
    sm_id_new(in.id);
    struct sm_ingest_params params = {.store = store, .audit = in.id, .items_max = 10000000};
    enum sm_code code = sm_store_audit_create(store, &in, err);
    if (code == SM_OK)
        code = sm_ingest_new(&ingest, &params, err);
    if (code == SM_OK)
        code = sm_ingest_dataset(ingest, dataset, SM_COHORT_CANDIDATE, err);
    if (code == SM_OK)
        code = sm_ingest_finish(&report, ingest, err);
    *count = json_integer_value(json_object_get(report, "added_count"));
    return code;
}

static void say(const char *what, int64_t count, double wall_s, double cpu_s)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("%-6s %lld images, %.3f s (%.0f/s), %.3f s of processor (%.0f/s), peak %ld KiB\n", what,
           (long long)count, wall_s, (double)count / wall_s, cpu_s, (double)count / cpu_s,
           usage.ru_maxrss);
}

int main(int argc, char **argv)
{
    struct sm_dataset *dataset;
    struct sm_store *store = NULL;
    struct sm_err err = {0};
    enum sm_code code = SM_OK;
    if (argc != 3)
        return fprintf(stderr, "usage: %s DATASET NEW-DATABASE\n", argv[0]), 2;
    for (int adds = 0; adds < 2 && code == SM_OK; adds++) {
        int64_t count = 0;
        if (adds && (code = sm_store_open(&store, argv[2], &err)) != SM_OK)
            break;
        double wall = now_s(CLOCK_MONOTONIC), cpu = now_s(CLOCK_PROCESS_CPUTIME_ID);
        code = sm_dataset_open(&dataset, argv[1], &err);
        if (code == SM_OK)
            code = adds ? add_all(&count, dataset, store, &err) : read_all(&count, dataset, &err);
        say(adds ? "add" : "read", count, now_s(CLOCK_MONOTONIC) - wall,
            now_s(CLOCK_PROCESS_CPUTIME_ID) - cpu);
        sm_dataset_close(dataset);
    }
    if (store)
        sm_store_close(store);
    if (code != SM_OK)
        fprintf(stderr, "%s\n", err.text);
    return code != SM_OK;
}
