/* Erasure of images: everything that the database has of them, down to the bytes in the file.
 *
 *     struct sm_erasure images[] = {{.digest = "9f86d081…"}};
 *     struct sm_erased erased;
 *     sm_store_erase(&erased, store, images, 1, &err);
 *     // images[0].scores_count … count the erased rows
 *     sm_erased_release(&erased);
 *
 * Scores, waiting images, thumbnails and paths are deleted; items lose name, digest, labels and
 * error details. Queued and running items fail with SM_ERASED; finished items keep their state, so
 * that the counts of jobs and audits stay correct. Then the database is checkpointed and its file
 * rewritten, because SQLite leaves copies of rows in unused space. The rewrite needs room for a
 * second file, and other writes wait for it; so erase many images in one call.
 *
 * Erasing an unknown image, or one that is erased already, counts nothing and is no error.
 *
 * Threads: any; waits for commits, and up to 5 seconds for readers of the log.
 * Errors:  SM_INVALID (malformed digest); SM_BUSY (a reader held the log: the rows are erased, call
 *          again to erase the bytes); SM_FULL (no room for a second file: the same applies); those
 *          of store.h. */
#ifndef SERVER_STORE_ERASE_H
#define SERVER_STORE_ERASE_H

#include "server/store/store.h"

#define SM_ERASED "erased" /* error code of an item */

/* One image, and the number of rows that had it. */
struct sm_erasure {
    const char *digest; /* SHA-256 of the image file, 64 lower-case hex digits */
    int64_t scores_count, items_count, images_count, thumbnails_count;
};
struct sm_erased {
    bool rewritten;                /* the database file was rewritten */
    char (*finished)[SM_ID_BYTES]; /* plain jobs that the erasure finished */
    size_t finished_count;
};

/* Erases the images. The caller sets `digest` of each; the counts are set here. */
enum sm_code sm_store_erase(struct sm_erased *out, struct sm_store *store,
                            struct sm_erasure *images, size_t images_count, struct sm_err *err);
void sm_erased_release(struct sm_erased *erased);

#endif
