/* The workspaces of one thread, for the files of core/score only. */
#ifndef CORE_SCORE_SCORER_H
#define CORE_SCORE_SCORER_H

#include "core/score/pair.h"

/* The tap whose norms a pair without g gives. */
#define SM_POOLED "pooled"

/* Returns in *out the workspace of encoder k of side s, for `images` images and one tap; of a pair
 * without g, for SM_POOLED too. A workspace is made on first use. The scorer owns it, and keeps it
 * until another tap or another number of images is requested. */
enum sm_code sm_scorer_workspace(struct sm_workspace **out, struct sm_scorer *scorer, int s, int k,
                                 const char *tap, int images, struct sm_err *err);

#endif
