/* Problems of a pair: everything that is wrong with a pair's folder, found in one pass.
 *
 *     struct sm_pair_problems problems;
 *     if (sm_pair_open_all(&pair, &problems, "pairs/mine", "auto", &err) != SM_OK)
 *         for (int i = 0; i < problems.count; i++)
 *             printf("%s %s: %s\n", problems.list[i].file, problems.list[i].pointer,
 *                    problems.list[i].text);
 *
 * A check goes on after a problem as far as the rest of the pair can still be checked. A problem
 * that only follows from an earlier one is not listed.
 *
 * Owner: plain values. Threads: no state. Limit: SM_PAIR_PROBLEMS_MAX. */
#ifndef SSLMEM_PROBLEMS_H
#define SSLMEM_PROBLEMS_H

#include "sslmem/score.h"

#define SM_PAIR_PROBLEMS_MAX 32 /* a check ends after so many */

struct sm_pair_problem {
    enum sm_code code;
    char file[128];    /* file at fault in the pair's folder: "pair.json", "f.pt" */
    char pointer[120]; /* JSON pointer into pair.json, of the reference into the reference; "": the
                          whole file */
    char text[320];    /* what is wrong, without the file's name */
    char action[240];  /* what to do about it */
};

struct sm_pair_problems {
    struct sm_pair_problem list[SM_PAIR_PROBLEMS_MAX];
    int count;
};

/* As sm_pair_open, and lists every problem; `problems` may be NULL. `err` receives the first one.
 * The list is empty if the pair opens or memory runs out. */
enum sm_code sm_pair_open_all(struct sm_pair **out, struct sm_pair_problems *problems,
                              const char *dir, const char *kernels, struct sm_err *err);

/* Returns [{"file", "pointer", "detail", "action"} …]. New reference, NULL when out of memory. */
json_t *sm_pair_problems_json(const struct sm_pair_problems *problems);

#define SM_HELD_BYTES 160
/* Writes what a folder holds, to end an error's text: "; the folder holds f.pt, g.pt". Names pairs
 * before files. */
void sm_folder_held(char out[SM_HELD_BYTES], const char *dir);

#endif
