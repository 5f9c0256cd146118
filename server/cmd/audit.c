/* `sslmem audit`: reads the options into a plan and runs it in this process or on a server. Its
 * subcommands work on finished audits. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/escape.h"
#include "server/cmd/audit_shard.h"

/* Texts of the options; NULL: not given. */
struct given {
    const char *name, *signed_by, *reference, *workers, *thumbnails, *names, *quiet, *inserted;
    const char *seed, *resamples, *shard, *controls;
    const char *gates[SM_AUDIT_GATES_MAX];
};

static int wrong(const char *text)
{
    fprintf(stderr, "sslmem audit: %s; see sslmem audit --help\n", sm_shown(text));
    return SM_EXIT_USAGE;
}

/* Writes the last part of the pair's path: "demo" for "pairs/demo/". */
static void default_name(char *out, size_t out_size, const char *pair)
{
    size_t length = strlen(pair);
    while (length > 1 && pair[length - 1] == '/')
        length--;
    size_t begin = length;
    while (begin > 0 && pair[begin - 1] != '/')
        begin--;
    snprintf(out, out_size, "%.*s", (int)(length - begin), pair + begin);
}

/* Returns the JSON value that a client of the API would send: digits become an integer. Any other
 * text, or a number too large for JSON, stays a string, which the parser accepts or refuses. NULL
 * for NULL. */
static json_t *number_json(const char *text)
{
    char *end;
    if (!text)
        return NULL;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    bool number = *text >= '0' && *text <= '9' && *end == '\0' && errno == 0;
    json_t *node = number ? json_integer(value) : json_string(text);
    return node ? node : json_null(); /* not UTF-8, so not a number: refused as null */
}

/* Reads the specification through the API's JSON document, so that the command line and the API
 * accept the same values. */
static enum sm_code read_spec(struct sm_audit_spec *spec, const struct given *given,
                              const char *pair, struct sm_err *err)
{
    char name[SM_AUDIT_NAME_MAX + 1];
    json_t *gates = json_array();
    default_name(name, sizeof name, pair);
    for (int i = 0; i < SM_AUDIT_GATES_MAX && given->gates[i]; i++)
        json_array_append_new(gates, json_string(given->gates[i]));
    json_t *node =
        json_pack("{s:s, s:o, s:b, s:b, s:b, s:s*, s:s*, s:o*, s:o*}", "name",
                  given->name ? given->name : name, "gates", gates, "keep_thumbnails",
                  given->thumbnails != NULL, "inserted_at_random", given->inserted != NULL,
                  "controls", !given->controls || strcmp(given->controls, "on") == 0, "reference",
                  given->reference, "signed_by", given->signed_by, "seed", number_json(given->seed),
                  "resamples", number_json(given->resamples));
    enum sm_code code =
        node ? sm_audit_spec_parse(spec, node, err)
             : sm_err_set(err, SM_INVALID, "a name, a gate or --signed-by is not UTF-8");
    json_decref(node);
    return code;
}

/* Checks that the options fit together. Returns -1 if they do, else the exit code. */
static int check_plan(const struct sm_cmd_audit_plan *plan)
{
    bool here = !plan->server;
    if (!plan->manifest &&
        (!plan->folders[SM_COHORT_CANDIDATE] || !plan->folders[plan->spec.reference]))
        return wrong("say where the images are: --candidate and the dataset of the reference "
                     "cohort, or --manifest");
    if (here && !plan->manifest != !plan->root)
        return wrong("--manifest and --root go together");
    if (here && plan->key_file)
        return wrong("--key-file is for --server");
    if (here && plan->ca_file)
        return wrong("--ca-file is for --server");
    if (!here && plan->shard.count > 0)
        return wrong("--shard is for audits without --server: a server shares its own work");
    if (!here && plan->root)
        return wrong("--root is for audits without --server: a server has a data root of its own");
    if (!here && (plan->kernels || plan->digest_key_path))
        return wrong("--kernels and --digest-key are the server's own with --server");
    return -1;
}

static int run(const struct sm_cmd_audit_plan *plan)
{
    struct sm_err err = {0};
    json_t *summary = NULL, *audit = NULL;
    int result;
    sm_stop_watch();
    enum sm_code code = plan->server ? sm_cmd_audit_remote(&summary, &audit, plan, &err)
                                     : sm_cmd_audit_local(&summary, &audit, plan, &err);
    if (code == SM_OK && plan->shard.count > 0) {
        result = sm_cmd_audit_shard_say(plan, audit);
    } else if (code == SM_OK) {
        result = sm_cmd_audit_say_result(plan, summary, audit);
    } else if (code == SM_CANCELLED && sm_stop_signal() != 0) {
        if (audit)
            sm_cmd_audit_say_incomplete(stderr,
                                        "sslmem audit: ", json_object_get(audit, "completeness"));
        fprintf(stderr, "sslmem audit: stopped; the same command goes on from here%s\n",
                plan->server ? ", and the server does meanwhile" : "");
        result = 128 + sm_stop_signal();
    } else {
        result = sm_fail("audit", &err);
    }
    json_decref(summary);
    json_decref(audit);
    return result;
}

static const char summary[] =
    "Scores cohorts of images and writes report.json, report.csv and report.html into --out.\n"
    "Ctrl-C stops it; the same command takes it up again.\n"
    "\n"
    "DATA is PATH[:PART][@LIST]. PATH: a folder of images (class folders), a tar or zip\n"
    "(WebDataset), JSON Lines, .csv, .npy, .npz, IDX, a batch or folder of CIFAR. PART: an array "
    "of\n"
    "an .npz; train or test of CIFAR. LIST: a text file of indices from 0.\n"
    "\n"
    "    sslmem audit compare OUT OUT...   finished audits of the same images\n"
    "    sslmem audit unlearn OUT OUT      whether an encoder has forgotten the candidates\n"
    "    sslmem audit select OUT           lists of images to train without\n"
    "    sslmem audit judge OUT            other gates on the same scores\n"
    "    sslmem audit merge OUT PART...    shards that --shard computed, joined";

static int audit(int argc, char **argv)
{
    struct sm_cmd_audit_plan plan = {0};
    struct given given = {0};
    const struct sm_option options[] = {
        {"pair", "DIR", "folder of the pair; its name with --server", &plan.pair, .required = true},
        {"out", "DIR", "folder of what is made; the same again resumes", &plan.out,
         .required = true},
        {"candidate", "DATA", "images that f alone was trained with",
         &plan.folders[SM_COHORT_CANDIDATE]},
        {"external", "DATA", "images that neither saw", &plan.folders[SM_COHORT_EXTERNAL]},
        {"independent", "DATA", "images that g alone was trained with",
         &plan.folders[SM_COHORT_INDEPENDENT]},
        {"shared", "DATA", "images that both were trained with", &plan.folders[SM_COHORT_SHARED]},
        {"manifest", "FILE", "JSON Lines {\"cohort\",\"path\",\"class\",\"group\"}",
         &plan.manifest},
        {"root", "DIR", "folder of the manifest's paths", &plan.root},
        {"name", "TEXT", "of the audit; default: the pair's", &given.name},
        {"signed-by", "TEXT", "\"NAME, ORGANISATION\": the auditor, for the report to carry",
         &given.signed_by},
        {"recipe", "FILE", "JSON or its file, read over the pair's own recipe", &plan.recipe_path},
        {"reference", "COHORT", "external (default) or independent", &given.reference},
        {"gate", "'auc<=0.6'", "a number of the result and its limit; may be repeated", given.gates,
         .times_max = SM_AUDIT_GATES_MAX},
        {"seed", "N", "of bootstrap and random control (default 0)", &given.seed},
        {"resamples", "N", "of the bootstrap (default 2000)", &given.resamples},
        {"inserted-at-random", NULL, "candidates were drawn: bounds epsilon", &given.inserted},
        {"controls", "on|off", "are the cohorts alike but for membership? (default on)",
         &given.controls},
        {"thumbnails", NULL, "keep small pictures", &given.thumbnails},
        {"names", NULL, "file names, and kept pictures, in the reports", &given.names},
        {"digest-key", "FILE", "64 hex digits (mode 0600), for reports to agree on images",
         &plan.digest_key_path},
        {"workers", "N", "threads that compute; 0 (default): one per core that it may use",
         &given.workers},
        {"kernels", "NAME", "auto (default), ref, blas, avx2, avx512", &plan.kernels},
        {"shard", "I/N", "compute part I of N; sslmem audit merge joins the parts", &given.shard},
        {"server", "URL", "let that server do it", &plan.server},
        {"key-file", "FILE", "its key; default: the variable SSLMEM_KEY, or none", &plan.key_file},
        SM_CA_OPTION(plan.ca_file),
        {"quiet", NULL, "no progress, of the result only flags and gates that fail", &given.quiet},
        {0},
    };
    const struct sm_usage usage = {
        "audit",
        "",
        summary,
        options,
        0,
        0,
        ", 3 a gate fails,\n            4 partial or cancelled: gates are not judged, 130 or 143 "
        "stopped by a signal"};
    char **operands;
    struct sm_err err = {0};
    int result = sm_usage_read(&operands, &usage, argc, argv);
    if (result >= 0)
        return result;
    if (given.controls && strcmp(given.controls, "on") != 0 && strcmp(given.controls, "off") != 0)
        return wrong("--controls is on or off");
    if (sm_read_workers(&plan.workers, given.workers, &err) != SM_OK ||
        sm_cmd_audit_shard_read(&plan.shard, given.shard, &err) != SM_OK ||
        read_spec(&plan.spec, &given, plan.pair, &err) != SM_OK) {
        sm_fail("audit", &err);
        return SM_EXIT_USAGE;
    }
    plan.names = given.names != NULL;
    plan.quiet = given.quiet != NULL;
    result = check_plan(&plan);
    return result >= 0 ? result : run(&plan);
}

int sm_cmd_audit(int argc, char **argv)
{
    /* Listed in the summary above, with their operands. */
    static const struct sm_verb verbs[] = {
        {"compare", sm_cmd_audit_compare, ""}, {"unlearn", sm_cmd_audit_unlearn, ""},
        {"select", sm_cmd_audit_select, ""},   {"judge", sm_cmd_audit_judge, ""},
        {"merge", sm_cmd_audit_merge, ""},     {0}};
    const char *name = argc > 1 ? argv[1] : "";
    const struct sm_verb *verb = sm_verb_find(verbs, name);
    const char *nearest = sm_verb_nearest(verbs, name);
    if (verb)
        return verb->run(argc - 1, argv + 1);
    if (!nearest)
        return audit(argc, argv);
    fprintf(stderr,
            "sslmem audit: unknown subcommand %s; the nearest is %s; see sslmem audit --help\n",
            sm_shown(name), nearest);
    return SM_EXIT_USAGE;
}
