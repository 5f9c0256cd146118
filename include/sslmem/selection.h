/* Lists of the candidates of an audit: those to train without, and a random control of the same
 * length.
 *
 * Threads: no state. Errors: SM_INVALID, SM_IO. */
#ifndef SSLMEM_SELECTION_H
#define SSLMEM_SELECTION_H

#include "sslmem/audit.h"

/* A random control draws `count` candidates from `seed`. */
enum sm_selection_kind { SM_SELECT_TOP, SM_SELECT_SHARE, SM_SELECT_FDR, SM_SELECT_RANDOM };
/* What ranks the candidates: scores shrunk by their noise, or as measured. Orders an FDR list and
 * does not change its members: q-values are always of the scores as measured. */
enum sm_select_by { SM_BY_SHRUNKEN, SM_BY_RAW };
enum sm_list_format { SM_LIST_TEXT, SM_LIST_CSV, SM_LIST_JSONL };
struct sm_selection {
    enum sm_selection_kind kind;
    int64_t count;        /* SM_SELECT_TOP, SM_SELECT_RANDOM: length of the list */
    double share;         /* SM_SELECT_SHARE: part of the candidates, (0, 1] */
    double q;             /* SM_SELECT_FDR: largest q-value listed, (0, 1) */
    uint64_t seed;        /* SM_SELECT_RANDOM */
    enum sm_select_by by; /* not of SM_SELECT_RANDOM */
};
/* Writes a list. SM_LIST_TEXT has one name per line, byte for byte, or the index without names.
 * SM_INVALID before any byte is written: at "/count", "/share" or "/q", or for a name with a line
 * break in SM_LIST_TEXT. */
enum sm_code sm_audit_write_selection(FILE *out, const struct sm_audit *audit,
                                      const struct sm_audit_result *result,
                                      const struct sm_selection *selection,
                                      enum sm_list_format format, struct sm_err *err);

#endif
