/* `sslmem erase`: erases images from a database that no service has open. DELETE
 * /v1/images/{digest} does the same in a running service. */
#include <limits.h>
#include <stdlib.h>

#include "server/cmd/cmd.h"
#include "server/store/erase.h"

static void print_counts(const struct sm_erasure *image)
{
    sm_print_line(json_pack("{s:s, s:I, s:I, s:I, s:I}", "image", image->digest, "scores_count",
                            (json_int_t)image->scores_count, "items_count",
                            (json_int_t)image->items_count, "images_count",
                            (json_int_t)image->images_count, "thumbnails_count",
                            (json_int_t)image->thumbnails_count));
}

static enum sm_code erase(const char *db, struct sm_erasure *images, size_t count,
                          struct sm_err *err)
{
    struct sm_store *store = NULL;
    struct sm_erased erased = {0};
    enum sm_code code = sm_check_database(db, err);
    if (code == SM_OK)
        code = sm_store_open(&store, db, err);
    if (code == SM_OK)
        code = sm_store_erase(&erased, store, images, count, err);
    sm_erased_release(&erased);
    sm_store_close(store);
    return code;
}

int sm_cmd_erase(int argc, char **argv)
{
    const char *db = NULL;
    const struct sm_option options[] = {
        {"db", "FILE", "SQLite file of a service that does not run", &db, .required = true},
        {0},
    };
    const struct sm_usage usage = {
        "erase",
        "DIGEST...",
        "Erases images, named by the SHA-256 of their files, from a database: scores, bytes,\n"
        "thumbnails, names. One line of JSON for each tells what there was.",
        options,
        1,
        INT_MAX};
    char **operands;
    int result = sm_usage_read(&operands, &usage, argc, argv);
    if (result >= 0)
        return result;

    struct sm_err err = {0};
    size_t count = 0;
    while (operands[count])
        count++;
    struct sm_erasure *images = calloc(count, sizeof *images);
    enum sm_code code = images ? SM_OK : sm_err_set(&err, SM_NOMEM, "erasure: out of memory");
    for (size_t i = 0; i < count && code == SM_OK; i++)
        images[i].digest = operands[i];
    if (code == SM_OK)
        code = erase(db, images, count, &err);
    for (size_t i = 0; i < count && code == SM_OK; i++)
        print_counts(&images[i]);
    free(images);
    return code == SM_OK ? SM_EXIT_OK : sm_fail("erase", &err);
}
