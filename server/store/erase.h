/* Erasure of images: all that the database has of them, and the bytes themselves.
 *
 *     struct sm_erasure images[] = {{.digest = "9f86d081…"}};
 *     struct sm_erased erased;
 *     sm_store_erase(&erased, store, images, 1, &err);
 *     // images[0].scores_count … tell what there was
 *     sm_erased_release(&erased);
 *
 * Scores, waiting bytes, thumbnails and paths are deleted; items lose name, digest, labels and the
 * details of errors. Items that wait or run fail with SM_ERASED, all others keep their state, so
 * that the counts of jobs and audits stay. Then the log is folded into the file and emptied, and
 * the file is written anew, for SQLite leaves copies between the rows of its pages. That takes room
 * for a second file, and other writes wait meanwhile; erase many images by one call.
 *
 * Again, or for an image that was never there, nothing is counted and nothing is wrong.
 *
 * Threads: any; waits for commits, and up to some seconds for readers of the log.
 * Errors:  SM_INVALID (no digest), SM_BUSY (a reader holds the log; the rows are gone, ask again
 *          for the bytes), SM_FULL (the same, no room for a second copy of the file), those of
 *          store.h. */
#ifndef SERVER_STORE_ERASE_H
#define SERVER_STORE_ERASE_H

#include "server/store/store.h"

#define SM_ERASED "erased" /* error code of an item */

/* One image, and how many rows of which table had it. */
struct sm_erasure {
    const char *digest; /* SHA-256 of the file in hex */
    int64_t scores_count, items_count, images_count, thumbnails_count;
};
struct sm_erased {
    bool rewritten;                /* the file was written anew */
    char (*finished)[SM_ID_BYTES]; /* plain jobs that came to their end by it */
    size_t finished_count;
};

enum sm_code sm_store_erase(struct sm_erased *out, struct sm_store *store,
                            struct sm_erasure *images, size_t images_count, struct sm_err *err);
void sm_erased_release(struct sm_erased *erased);

#endif
