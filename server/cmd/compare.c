/* `sslmem compare`: runs two-sample t-tests between the scores in two files that `sslmem score`
 * wrote. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/cmd/cmd.h"
#include "sslmem/stats.h"

struct sample {
    double *m;
    json_t *images; /* set of digests: {digest: true, …} */
    size_t count, room;
};

/* A field of the provenance in which scores must agree to be comparable; lines may lack it. */
struct origin {
    const char *key, *what;
    char first[65]; /* first value found in a line; "": none yet */
    bool differs;
};

static enum sm_code append(struct sample *s, double m, struct sm_err *err)
{
    if (s->count == s->room) {
        size_t room = s->room ? 2 * s->room : 256;
        double *grown = realloc(s->m, room * sizeof *grown);
        if (!grown)
            return sm_err_set(err, SM_NOMEM, "%zu scores", room);
        s->m = grown;
        s->room = room;
    }
    s->m[s->count++] = m;
    return SM_OK;
}

static void note_origin(struct origin *origins, struct sample *s, const json_t *line)
{
    const json_t *provenance = json_object_get(line, "provenance");
    const char *image =
        json_string_value(json_object_get(json_object_get(line, "image"), "digest"));
    for (; origins->key; origins++) {
        const char *value = json_string_value(json_object_get(provenance, origins->key));
        if (value && !origins->first[0])
            snprintf(origins->first, sizeof origins->first, "%s", value);
        origins->differs = origins->differs || (value && strcmp(value, origins->first) != 0);
    }
    if (image)
        json_object_set_new(s->images, image, json_true());
}

/* Warns if the tests' assumptions fail: one pair, one recipe, and no image in both files. */
static void warn(const struct origin *origins, const struct sample *a, const struct sample *b)
{
    const char *image;
    json_t *value;
    size_t shared = 0;
    for (; origins->key; origins++)
        if (origins->differs)
            fprintf(stderr,
                    "sslmem compare: the scores are of more than one %s: raw scores of two cannot "
                    "be compared\n",
                    origins->what);
    json_object_foreach(a->images, image, value) shared +=
        json_object_get(b->images, image) != NULL;
    if (shared > 0)
        fprintf(stderr,
                "sslmem compare: %zu image%s in both files: the tests take the images as "
                "independent\n",
                shared, shared == 1 ? " is" : "s are");
}

/* Reads the scores of a file. The line of a failed image has no "m" and is an error, because a test
 * on the remaining images would not be a test on the cohort. */
static enum sm_code read_sample(struct sample *out, struct origin *origins, const char *path,
                                struct sm_err *err)
{
    FILE *file = fopen(path, "r");
    if (!file)
        return sm_err_set(err, SM_NOT_FOUND, "%s: cannot be opened", path);
    enum sm_code code = SM_OK;
    char *line = NULL;
    size_t room = 0;
    ssize_t length;
    while (code == SM_OK && (length = getline(&line, &room, file)) > 0) {
        json_t *node = json_loadb(line, (size_t)length, JSON_REJECT_DUPLICATES, NULL);
        const json_t *m = json_object_get(node, "m");
        note_origin(origins, out, node);
        if (json_is_number(m))
            code = append(out, json_number_value(m), err);
        else
            code = sm_err_set(err, SM_CORRUPT, "%s: line %zu has no number \"m\"%s", path,
                              out->count + 1,
                              json_object_get(node, "outsider") ? ": its pair has no g" : "");
        json_decref(node);
    }
    free(line);
    fclose(file);
    return code;
}

static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *describe(const char *path, const struct sample *s)
{
    return json_pack("{s:o, s:I, s:o, s:o}", "file", sm_path_json(path), "n", (json_int_t)s->count,
                     "mean", number(sm_mean(s->m, s->count)), "sd",
                     number(sqrt(sm_variance(s->m, s->count))));
}

static json_t *describe_test(const struct sm_ttest *t)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "difference", number(t->difference), "t",
                     number(t->t), "df", number(t->df), "p_two_sided", number(t->p_two_sided),
                     "p_greater", number(t->p_greater), "cohen_d", number(t->cohen_d));
}

int sm_cmd_compare(int argc, char **argv)
{
    const struct sm_option options[] = {{0}};
    const struct sm_usage usage = {
        "compare",
        "A.jsonl B.jsonl",
        "Two-sample t-tests (Student and Welch) of the raw scores m in two files written by\n"
        "`sslmem score`; p_greater is for \"A scores higher than B\". Prints one JSON line.",
        options,
        2,
        2};
    char **paths;
    int result = sm_usage_read(&paths, &usage, argc, argv);
    if (result >= 0)
        return result;

    struct sm_err err = {0};
    struct sample a = {.images = json_object()}, b = {.images = json_object()};
    struct origin origins[] = {
        {.key = "pair_digest", .what = "pair"}, {.key = "recipe_digest", .what = "recipe"}, {0}};
    struct sm_ttest student, welch;
    if (read_sample(&a, origins, paths[0], &err) != SM_OK ||
        read_sample(&b, origins, paths[1], &err) != SM_OK) {
        result = sm_fail("compare", &err);
    } else {
        sm_ttest_student(&student, a.m, a.count, b.m, b.count);
        sm_ttest_welch(&welch, a.m, a.count, b.m, b.count);
        sm_print_line(json_pack("{s:o, s:o, s:o, s:o}", "a", describe(paths[0], &a), "b",
                                describe(paths[1], &b), "student", describe_test(&student), "welch",
                                describe_test(&welch)));
        warn(origins, &a, &b);
        result = SM_EXIT_OK;
    }
    json_decref(a.images);
    json_decref(b.images);
    free(a.m);
    free(b.m);
    return result;
}
