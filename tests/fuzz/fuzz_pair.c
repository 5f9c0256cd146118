/* Fuzzes pair.json: the input is the document in a folder with two small checkpoints, f and g.
 *
 * Properties: a pair opens, or there is a problem; no problem is listed twice; each has a text and
 * what to do; the first is the error; the problems can be written as JSON. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/file.h"
#include "sslmem/problems.h"

#define F "tests/golden/score/vit/f0.safetensors"
#define G "tests/golden/score/vit/g0.safetensors"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char folder[] = "/tmp/sslmem-fuzz-pair-XXXXXX";

static void clean(void)
{
    static const char *const names[] = {"pair.json", "f", "g"};
    char path[80];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        unlink(path);
    }
    rmdir(folder);
}

static void link_file(const char *golden, const char *name)
{
    char path[80], *real = realpath(golden, NULL);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (!real || symlink(real, path) != 0)
        abort();
    free(real);
}

static void set_up(void)
{
    static bool ready;
    if (ready)
        return;
    ready = true;
    sm_blas_single_thread();
    if (!mkdtemp(folder))
        abort();
    link_file(F, "f");
    link_file(G, "g");
    atexit(clean);
}

static void check(const struct sm_pair_problems *problems, const struct sm_err *err)
{
    if (problems->count < 1 || problems->count > SM_PAIR_PROBLEMS_MAX || !err->text[0] ||
        !strstr(err->text, problems->list[0].text))
        abort();
    for (int i = 0; i < problems->count; i++) {
        const struct sm_pair_problem *p = &problems->list[i];
        if (!p->text[0] || !p->action[0] || !p->file[0])
            abort();
        for (int k = 0; k < i; k++)
            if (strcmp(p->file, problems->list[k].file) == 0 &&
                strcmp(p->text, problems->list[k].text) == 0)
                abort();
    }
    json_t *list = sm_pair_problems_json(problems);
    if (!list)
        abort();
    json_decref(list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct sm_pair_problems problems;
    struct sm_err err = {0};
    struct sm_pair *pair = NULL;
    char path[80];
    set_up();
    snprintf(path, sizeof path, "%s/pair.json", folder);
    if (sm_file_write(path, data, size, &err) != SM_OK)
        abort();
    enum sm_code code = sm_pair_open_all(&pair, &problems, folder, "ref", &err);
    if ((code == SM_OK) != (pair != NULL) || (code == SM_OK && problems.count > 0))
        abort();
    if (code != SM_OK && code != SM_NOMEM)
        check(&problems, &err);
    sm_pair_close(pair);
    return 0;
}
