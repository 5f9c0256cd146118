/* Collects the problems of a pair while it is opened.
 * Owner: the caller owns everything. Threads: no state. */
#ifndef CORE_SCORE_PROBLEMS_H
#define CORE_SCORE_PROBLEMS_H

#include "sslmem/problems.h"

#define PAIR_JSON "pair.json"

/* What a problem was found in; with code and text it decides the advice. */
enum sm_found_in { SM_IN_DOCUMENT, SM_IN_CHECKPOINT, SM_IN_SIDES, SM_IN_REFERENCE };

struct sm_collector {
    struct sm_pair_problems *problems;
    struct sm_err *err; /* receives the first problem; may be NULL */
    enum sm_code first; /* code of the first problem; SM_OK: none */
    bool full;          /* true: memory ran out, or the list is full; the check must end */
};

/* Adds the problem `why`, found in `file`, at `pointer` of the document that the pointers belong
 * to. The first problem also goes to the collector's `err`, with the file's name in front. Returns
 * false if the problem is listed already, or if the check must end. */
bool sm_collect(struct sm_collector *collector, enum sm_found_in in, const char *file,
                const char *pointer, const struct sm_err *why);

/* Removes the innermost object member on the path of `pointer` from `doc`, so that the rest can be
 * read; adds null in place of a member that is missing. Returns false if the path has no object. */
bool sm_mend(json_t *doc, const char *pointer);

/* Puts "file: " before the error's text, unless the text names the file already. Returns `code`. */
enum sm_code sm_err_name_file(struct sm_err *err, enum sm_code code, const char *file);

#endif
