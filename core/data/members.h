/* What tables of images and KEY.json tell about an image, by the names that are in use: file_name
 * is Hugging Face's, cls WebDataset's, image and label are common. Private to core/data.
 *
 * Owner: the caller frees the texts. Threads: no state. */
#ifndef CORE_DATA_MEMBERS_H
#define CORE_DATA_MEMBERS_H

#include <jansson.h>
#include <stddef.h>

#include "sslmem/err.h"

enum sm_member { SM_MEMBER_PATH, SM_MEMBER_CLASS, SM_MEMBER_GROUP, SM_MEMBER_COHORT, SM_MEMBERS };

/* Finds the member that a name of `count` bytes stands for, letters of any case. Returns the rank
 * of the name: of several names of one member, the one of the lowest rank counts. Returns -1 for
 * other names. */
int sm_member_rank(enum sm_member *out, const char *name, size_t count);

/* Reads a member of a JSON object: a string, or a whole number, also written as 7.0. *out: the text
 * of its first name that is there and not null; NULL: there is none. SM_CORRUPT for another value
 * and for two names that differ only in case: the error has the name and the type, and needs the
 * line or entry before it. */
enum sm_code sm_member_read(char **out, const json_t *object, enum sm_member member,
                            struct sm_err *err);

/* Copies `count` bytes and a NUL. SM_NOMEM. */
enum sm_code sm_member_copy(char **out, const char *text, size_t count, struct sm_err *err);

#endif
