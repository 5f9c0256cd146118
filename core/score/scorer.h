/* The workspaces of one thread, for the files of core/score only. */
#ifndef CORE_SCORE_SCORER_H
#define CORE_SCORE_SCORER_H

#include "core/score/pair.h"

/* The workspace of encoder k of side s for `images` images and one tap, made when it is first asked
 * for and kept until another recipe wants others. */
enum sm_code sm_scorer_workspace(struct sm_workspace **out, struct sm_scorer *scorer, int s, int k,
                                 const char *tap, int images, struct sm_err *err);

#endif
