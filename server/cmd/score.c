/* `sslmem score`: computes what POST /v1/scores computes, without a server and with the same bits.
 * The format is a table of functions that write the head, one image and the end. */
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/escape.h"
#include "core/base/json.h"
#include "server/cmd/batch.h"
#include "server/cmd/cmd.h"

struct output {
    const struct format *format;
    const struct sm_pair *pair;
    int64_t passed;              /* files passed over */
    size_t count, failed, empty; /* images, those without a score; operands without images */
    double mean, squares;        /* of value_of: sum of squares about the mean */
    bool said_note;              /* a table has said why it has no reference */
};

struct format {
    void (*head)(const struct output *out); /* NULL: none */
    void (*image)(struct output *out, const struct sm_batch_image *image);
    void (*end)(const struct output *out); /* NULL: none */
};

/* Returns m, or 1 - A_f of a pair without g. */
static double value_of(const struct output *out, const struct sm_score *score)
{
    return sm_pair_has_g(out->pair) ? score->m : 1 - score->f.mean;
}

/* --- JSON lines --- */

static void print_json(struct output *out, const struct sm_batch_image *image)
{
    json_t *line = json_pack("{s:o}", "file", sm_path_json(image->name)), *rest;
    bool whole = true;
    if (image->class_label[0])
        whole = json_object_set_new(line, "class", sm_path_json(image->class_label)) == 0;
    if (image->score)
        rest = sm_score_json(image->score, out->pair);
    else
        rest = json_pack("{s:{s:s, s:o}}", "error", "code", sm_code_name(image->error.code),
                         "detail", sm_path_json(image->error.text));
    if (!whole || json_object_update_new(line, rest) != 0) {
        json_decref(line);
        line = NULL;
    }
    sm_print_line(line);
}

/* --- CSV, RFC 4180 --- */

static const char csv_head[] =
    "file,class,m,m_se,m_low,m_high,ratio,f_alignment,f_se,g_alignment,g_se,views_used,centered,"
    "percentile,p_value,reliability_of_reference,image,key,error_code,error_detail";
static const char csv_head_alone[] = ",norm_1,norm_2,norm_max"; /* of a pair without g */

static void print_csv_head(const struct output *out)
{
    printf("%s%s\r\n", csv_head, sm_pair_has_g(out->pair) ? "" : csv_head_alone);
}

static void put_cell(const char *text, const char *end)
{
    char *cell = sm_escape_csv(text);
    printf("%s%s", cell ? cell : "", end);
    free(cell);
}

/* An undefined number is an empty cell. */
static void put_number(double value)
{
    char text[SM_NUMBER_BYTES];
    printf("%s,", isfinite(value) ? sm_number_text(text, value) : "");
}

/* Ends the line; of a pair without g, with the norms, which a failed image does not have. */
static void end_csv(const struct output *out, const struct sm_score *score)
{
    char text[SM_NUMBER_BYTES];
    for (int n = 0; n < SM_NORMS && !sm_pair_has_g(out->pair); n++)
        printf(",%s", score ? sm_number_text(text, score->norms[n]) : "");
    fputs("\r\n", stdout);
    fflush(stdout);
}

static void print_csv(struct output *out, const struct sm_batch_image *image)
{
    const struct sm_score *s = image->score;
    put_cell(image->name, ",");
    put_cell(image->class_label, ",");
    if (s) {
        bool placed = s->has_reference;
        const double numbers[] = {s->m,
                                  s->m_se,
                                  s->m_low,
                                  s->m_high,
                                  s->ratio,
                                  s->f.mean,
                                  s->f.se,
                                  s->g.mean,
                                  s->g.se,
                                  s->views_used,
                                  placed ? s->centered : NAN,
                                  placed ? s->percentile : NAN,
                                  placed ? s->p_value : NAN,
                                  s->reliability_of_reference};
        for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
            put_number(numbers[i]);
        printf("%s,%s,,", s->image_digest, s->score_key);
    } else {
        printf(",,,,,,,,,,,,,,%s,,%s,", image->digest, sm_code_name(image->error.code));
        put_cell(image->error.text, "");
    }
    end_csv(out, s);
}

/* --- a table for people; the names are last, so that numbers align whatever their lengths --- */

static void print_table_head(const struct output *out)
{
    puts(sm_pair_has_g(out->pair) ? "        m     se(m)  centered  percentile        p  image"
                                  : "  1 - A_f   se(A_f)    norm_1    norm_2    norm_max  image");
}

static void put_column(int width, int decimals, bool sign, double value)
{
    char text[64] = "-";
    if (isfinite(value))
        snprintf(text, sizeof text, sign ? "%+.*f" : "%.*f", decimals, value);
    printf("%*s", width, text);
}

static void say_note(struct output *out, const struct sm_score *s)
{
    json_t *json = sm_score_json(s, out->pair);
    const char *note = json_string_value(json_object_get(json, "reference_note"));
    fprintf(stderr, "sslmem score: no reference to compare with: %s\n",
            sm_shown(note ? note : "?"));
    json_decref(json);
    out->said_note = true;
}

static void put_columns(struct output *out, const struct sm_score *s)
{
    bool placed = s && s->has_reference;
    if (s && !placed && !out->said_note)
        say_note(out, s);
    put_column(9, 5, true, s ? s->m : NAN);
    put_column(10, 5, false, s ? s->m_se : NAN);
    put_column(10, 5, true, placed ? s->centered : NAN);
    put_column(12, 1, false, placed ? s->percentile : NAN);
    put_column(9, 4, false, placed ? s->p_value : NAN);
}

static void put_columns_alone(const struct sm_score *s)
{
    put_column(9, 5, false, s ? 1 - s->f.mean : NAN);
    put_column(10, 5, false, s ? s->f.se : NAN);
    put_column(10, 3, false, s ? s->norms[SM_NORM_1] : NAN);
    put_column(10, 4, false, s ? s->norms[SM_NORM_2] : NAN);
    put_column(12, 5, false, s ? s->norms[SM_NORM_MAX] : NAN);
}

static void print_table(struct output *out, const struct sm_batch_image *image)
{
    const struct sm_score *s = image->score;
    if (sm_pair_has_g(out->pair))
        put_columns(out, s);
    else
        put_columns_alone(s);
    printf("  %s", sm_shown(image->name));
    if (image->class_label[0])
        printf("  [%s]", sm_shown(image->class_label));
    if (!s)
        printf("  error: %s: %s", sm_code_name(image->error.code), sm_shown(image->error.text));
    puts("");
    fflush(stdout);
}

static void print_table_end(const struct output *out)
{
    size_t n = out->count - out->failed;
    bool has_g = sm_pair_has_g(out->pair);
    printf("%zu image%s", n, n == 1 ? "" : "s");
    if (n > 0)
        printf(has_g ? ", mean m %+.5f" : ", mean 1 - A_f %.5f", out->mean);
    if (n > 1)
        printf(" (sd %.5f)", sqrt(out->squares / (double)(n - 1)));
    puts("");
}

static const char *const format_names[] = {"jsonl", "csv", "table", NULL};
static const struct format formats[] = {
    {NULL, print_json, NULL},
    {print_csv_head, print_csv, NULL},
    {print_table_head, print_table, print_table_end},
};

/* --- the command --- */

static enum sm_code tell(void *arg, const struct sm_batch_image *image, struct sm_err *err)
{
    struct output *out = arg;
    out->count += !image->is_operand;
    out->passed = image->passed;
    if (image->is_operand) {
        out->empty++;
    } else if (image->score) {
        double value = value_of(out, image->score), from_mean = value - out->mean;
        out->mean += from_mean / (double)(out->count - out->failed);
        out->squares += from_mean * (value - out->mean);
    } else {
        out->failed++;
    }
    out->format->image(out, image);
    return ferror(stdout) ? sm_err_set(err, SM_IO, "standard output cannot be written") : SM_OK;
}

static int score_all(struct sm_generation *generation, const struct sm_recipe *recipe,
                     char **operands, size_t workers, const struct format *format)
{
    struct sm_err err = {0};
    struct output out = {.format = format, .pair = sm_generation_pair(generation)};
    struct sm_batch_params params = {.generation = generation,
                                     .recipe = recipe,
                                     .operands = operands,
                                     .workers = workers,
                                     .command = "score",
                                     .tell = tell,
                                     .arg = &out};
    if (format->image != print_json && recipe->draws == SM_DRAWS_STRATIFIED)
        fprintf(stderr, "sslmem score: the views are stratified: standard errors and intervals are "
                        "upper bounds\n");
    if (format->head)
        format->head(&out);
    if (sm_batch_run(&params, &err) != SM_OK)
        return sm_fail("score", &err);
    if (format->end)
        format->end(&out);
    sm_batch_say_passed("score", out.passed);
    if (out.empty > 0)
        fprintf(stderr, "sslmem score: %zu of IMAGES held no image; \"error\" in %s says why\n",
                out.empty, out.empty == 1 ? "its line" : "their lines");
    if (out.failed > 0) /* said again, because the lines may have gone into a file */
        fprintf(stderr,
                "sslmem score: %zu of %zu image%s could not be scored; \"error\" in their "
                "lines says why\n",
                out.failed, out.count, out.count == 1 ? "" : "s");
    return out.failed + out.empty > 0 ? SM_EXIT_FAILED : SM_EXIT_OK;
}

int sm_cmd_score(int argc, char **argv)
{
    const char *dir = NULL, *recipe_path = NULL, *kernels = NULL, *workers_text = NULL;
    const char *format_text = NULL;
    const struct sm_option options[] = {
        {"pair", "DIR", "folder of the pair", &dir, .required = true},
        {"recipe", "FILE", "JSON or its file, read over the pair's own recipe", &recipe_path},
        {"format", "NAME", "jsonl (default), csv (with a header), table (for people)",
         &format_text},
        {"workers", "N", "threads that compute; 0 (default): one per core that it may use",
         &workers_text},
        {"kernels", "NAME", "auto (default), ref, blas, avx2, avx512", &kernels},
        {0},
    };
    const struct sm_usage usage = {
        "score",
        "IMAGES...",
        "Scores images, one line each, in their order. IMAGES is an image, a folder, or another\n"
        "dataset: an archive, a manifest, CIFAR, MNIST or NumPy files (core/data/README.md).",
        options,
        1,
        INT_MAX};
    char **operands;
    int result = sm_usage_read(&operands, &usage, argc, argv);
    if (result >= 0)
        return result;

    struct sm_err err = {0};
    struct sm_pair *pair = NULL;
    struct sm_generation *generation = NULL;
    struct sm_recipe recipe;
    size_t workers = 1;
    int format;
    if (sm_read_workers(&workers, workers_text, &err) != SM_OK ||
        sm_read_choice(&format, "format", format_text, format_names, &err) != SM_OK) {
        sm_fail("score", &err);
        return SM_EXIT_USAGE;
    }
    if (sm_open_pair(&pair, &recipe, dir, recipe_path, kernels, &err) != SM_OK ||
        sm_generation_new(&generation, pair, 1, &err) != SM_OK)
        result = sm_fail("score", &err);
    else
        result = score_all(generation, &recipe, operands, workers, &formats[format]);
    sm_generation_give(generation);
    return result;
}
