/* What is given in place of a checkpoint file. Private to core/ckpt.
 *
 * Threads: no state. Every function returns an error code and fills `err`, unless it says SM_OK. */
#ifndef CORE_CKPT_REFUSE_H
#define CORE_CKPT_REFUSE_H

#include "core/ckpt/format.h"

#define SM_FOLDER_ENTRIES_MAX 4096 /* entries of a folder that are looked at, "." and ".." too */

/* Ends the text of an error that a cut download or copy gives. */
#define SM_CKPT_CUT "; it is cut off: download or copy it again"

/* Refuses a file that its name shows to be a part of a checkpoint, although it is well formed: one
 * of several shards, one part of a distributed checkpoint. SM_OK for every other name. */
enum sm_code sm_refuse_part(const char *path, struct sm_err *err);

/* Names bytes that no format recognises. */
enum sm_code sm_refuse_bytes(const struct sm_ckpt *ckpt, struct sm_err *err);

/* Says what the folder at `path` holds and which file in it to give. Returns `code`, with `err` as
 * it is, if no folder is there. */
enum sm_code sm_refuse_folder(const char *path, enum sm_code code, struct sm_err *err);

#endif
