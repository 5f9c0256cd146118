/* Kinds of files that are given in place of another: names a file by its first bytes, or else by
 * its name, and says what to do with it.
 *
 *     struct sm_kind kind;
 *     if (sm_kind_find(&kind, bytes, count, path, SM_WANTED_CHECKPOINT))
 *         sm_err_set(err, SM_UNSUPPORTED, "this is %s: %s", kind.name, kind.advice);
 *
 * The table has what users have at hand by mistake: pages and pointers that a download left,
 * weights of other frameworks, packed files, image formats that are not decoded. Ask after the
 * readers of the wanted kind have refused the bytes: the table tells strangers apart from each
 * other, not from files that are taken.
 *
 * Threads: no state.
 * Limits:  looks at SM_KIND_HEAD_BYTES at the beginning and at the last 8 bytes. */
#ifndef CORE_BASE_KIND_H
#define CORE_BASE_KIND_H

#include <stdbool.h>
#include <stddef.h>

#define SM_KIND_HEAD_BYTES 4096

/* What the caller would take; decides the advice. */
enum sm_wanted { SM_WANTED_CHECKPOINT, SM_WANTED_IMAGE, SM_WANTED_ARCHIVE, SM_WANTED };

/* Static strings of at most 50 and 110 bytes. */
struct sm_kind {
    const char *name;   /* with its article: "a git-lfs pointer" */
    const char *advice; /* an imperative: "run `git lfs pull`" */
};

/* Finds the kind by the bytes, else by the end of `path` (NULL: not known). Returns false for bytes
 * and a name that the table does not have; *out is then unchanged. */
bool sm_kind_find(struct sm_kind *out, const void *bytes, size_t bytes_count, const char *path,
                  enum sm_wanted wanted);

#endif
