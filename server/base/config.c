/* One table of options; everything else reads it: defaults, environment, flags, bounds and the
 * help. */
#include "server/base/config.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAME_MAX_BYTES 32 /* of an option, for buffers; see the table */

enum option_type {
    OPTION_INT,     /* int64_t within [min, max] */
    OPTION_TEXT,    /* char[max], not empty */
    OPTION_CHOICE,  /* char[max], one of the words of `choices` */
    OPTION_ADDRESS, /* char[max], address:port */
};

struct option {
    const char *name;
    enum option_type type;
    size_t offset;
    const char *fallback;
    int64_t min, max;
    const char *choices; /* "a|b" */
    const char *help;
};

#define FIELD(member) offsetof(struct sm_config, member)
#define TEXT(member)  FIELD(member), .max = sizeof((struct sm_config *)0)->member

static const struct option options[] = {
    {"listen", OPTION_ADDRESS, TEXT(listen), .fallback = "127.0.0.1:8080",
     .help = "address:port; port 0 picks a free one and prints it"},
    {"pairs", OPTION_TEXT, TEXT(pairs), .fallback = "pairs", .help = "folder of pair folders"},
    {"db", OPTION_TEXT, TEXT(db), .fallback = "sslmem.db",
     .help = "SQLite file, created when missing"},
    {"kernels", OPTION_CHOICE, TEXT(kernels), .fallback = "auto",
     .choices = "auto|ref|blas|avx2|avx512",
     .help = "which kernels run the encoders; auto: the fastest that the processor has"},
    {"sandbox", OPTION_CHOICE, TEXT(sandbox), .fallback = "required", .choices = "required|off",
     .help = "images are decoded in locked-in processes, or not; required: start only with them"},
    {"workers", OPTION_INT, FIELD(workers), "0", 0, 1024, NULL,
     "threads that compute; 0: one per core"},
    {"http-threads", OPTION_INT, FIELD(http_threads), "2", 1, 64, NULL, "threads that serve HTTP"},
    {"body-bytes-max", OPTION_INT, FIELD(body_bytes_max), "16777216", 1024, INT64_C(1) << 30, NULL,
     "longest request body"},
    {"images-max", OPTION_INT, FIELD(images_max), "64", 1, 1024, NULL, "images per request"},
    {"queue-max", OPTION_INT, FIELD(queue_max), "10000", 1, 10000000, NULL,
     "images queued or running, over which requests are refused"},
    {"wait-default-ms", OPTION_INT, FIELD(wait_default_ms), "10000", 0, 3600000, NULL,
     "wait for the score when the request does not say how long"},
    {"wait-max-ms", OPTION_INT, FIELD(wait_max_ms), "60000", 0, 3600000, NULL,
     "longest wait that a request may ask for"},
    {"connections-max", OPTION_INT, FIELD(connections_max), "1024", 1, 1000000, NULL,
     "connections at once"},
    {"idle-timeout-s", OPTION_INT, FIELD(idle_timeout_s), "30", 1, 86400, NULL,
     "seconds after which a silent connection is closed"},
};
enum { OPTIONS_COUNT = sizeof options / sizeof *options };

/* "body-bytes-max" to "SSLMEM_BODY_BYTES_MAX". */
static void variable_name(char out[NAME_MAX_BYTES + 8], const struct option *option)
{
    int length = snprintf(out, NAME_MAX_BYTES + 8, "SSLMEM_%s", option->name);
    for (int i = 0; i < length; i++)
        out[i] = out[i] == '-' ? '_' : (char)toupper((unsigned char)out[i]);
}

/* --- values --- */

static bool parse_int(int64_t *out, const char *text)
{
    char *end;
    if (!isdigit((unsigned char)text[0]) && text[0] != '-')
        return false;
    errno = 0;
    intmax_t value = strtoimax(text, &end, 10);
    if (errno || *end || end == text)
        return false;
    *out = value;
    return true;
}

static bool is_choice(const char *choices, const char *text)
{
    size_t length = strlen(text);
    while (length > 0 && *choices) {
        size_t word = strcspn(choices, "|");
        if (word == length && memcmp(choices, text, length) == 0)
            return true;
        choices += word + (choices[word] == '|');
    }
    return false;
}

static bool is_address(const char *text)
{
    const char *colon = strrchr(text, ':');
    int64_t port;
    return colon && colon > text && isdigit((unsigned char)colon[1]) &&
           parse_int(&port, colon + 1) && port <= 65535;
}

/* `source` names where the text came from: "--db" or "SSLMEM_DB". */
static enum sm_code set_option(struct sm_config *config, const struct option *option,
                               const char *source, const char *text, struct sm_err *err)
{
    char *field = (char *)config + option->offset;
    if (option->type == OPTION_INT) {
        int64_t value;
        if (!parse_int(&value, text) || value < option->min || value > option->max)
            return sm_err_set(err, SM_INVALID,
                              "%s is %.40s, must be a whole number from %" PRId64 " to %" PRId64,
                              source, *text ? text : "empty", option->min, option->max);
        memcpy(field, &value, sizeof value);
        return SM_OK;
    }
    size_t length = strlen(text);
    if (length == 0)
        return sm_err_set(err, SM_INVALID, "%s is empty", source);
    if (length >= (size_t)option->max)
        return sm_err_set(err, SM_INVALID, "%s has %zu bytes, at most %" PRId64, source, length,
                          option->max - 1);
    if (option->type == OPTION_CHOICE && !is_choice(option->choices, text))
        return sm_err_set(err, SM_INVALID, "%s is %.40s, must be one of %s", source, text,
                          option->choices);
    if (option->type == OPTION_ADDRESS && !is_address(text))
        return sm_err_set(err, SM_INVALID,
                          "%s is %.40s, must be address:port with a port up to 65535", source,
                          text);
    memcpy(field, text, length + 1);
    return SM_OK;
}

/* --- names --- */

/* Edit distance (Levenshtein), in one row. */
static size_t distance(const char *a, size_t a_length, const char *b)
{
    size_t row[NAME_MAX_BYTES + 1];
    size_t b_length = strlen(b);
    for (size_t j = 0; j <= b_length; j++)
        row[j] = j;
    for (size_t i = 0; i < a_length; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < b_length; j++) {
            size_t best = diagonal + (a[i] != b[j]);
            diagonal = row[j + 1];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (diagonal + 1 < best)
                best = diagonal + 1;
            row[j + 1] = best;
        }
    }
    return row[b_length];
}

static enum sm_code unknown_option(const char *name, size_t length, struct sm_err *err)
{
    size_t best = 4; /* farther is no help */
    const char *nearest = NULL;
    for (int i = 0; i < OPTIONS_COUNT && length <= NAME_MAX_BYTES; i++) {
        size_t d = distance(name, length, options[i].name);
        if (d < best && d < length) {
            best = d;
            nearest = options[i].name;
        }
    }
    if (nearest)
        return sm_err_set(err, SM_INVALID, "unknown option --%.*s; the nearest is --%s",
                          (int)length, name, nearest);
    return sm_err_set(err, SM_INVALID, "unknown option --%.*s; --help lists all",
                      (int)(length < 60 ? length : 60), name);
}

static const struct option *find_option(const char *name, size_t length)
{
    for (int i = 0; i < OPTIONS_COUNT; i++)
        if (strlen(options[i].name) == length && memcmp(options[i].name, name, length) == 0)
            return &options[i];
    return NULL;
}

/* Reads argv[*at], and the value after it when it is apart; steps over both. */
static enum sm_code read_flag(struct sm_config *config, int argc, char **argv, int *at,
                              struct sm_err *err)
{
    const char *word = argv[(*at)++];
    if (strncmp(word, "--", 2) != 0 || !word[2])
        return sm_err_set(err, SM_INVALID, "%.60s is not an option; options begin with --", word);
    const char *name = word + 2, *value = strchr(name, '=');
    size_t length = value ? (size_t)(value - name) : strlen(name);
    const struct option *option = find_option(name, length);
    if (!option)
        return unknown_option(name, length, err);
    char source[NAME_MAX_BYTES + 3];
    snprintf(source, sizeof source, "--%s", option->name);
    if (value)
        value++;
    else if (*at < argc)
        value = argv[(*at)++];
    else
        return sm_err_set(err, SM_INVALID, "%s needs a value", source);
    return set_option(config, option, source, value, err);
}

/* --- the whole --- */

enum sm_code sm_config_read(struct sm_config *out, int argc, char **argv, bool *help,
                            struct sm_err *err)
{
    struct sm_config config = {0};
    enum sm_code code = SM_OK;
    *out = config;
    *help = false;
    for (int i = 0; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            *help = true;
            return SM_OK;
        }
    for (int i = 0; i < OPTIONS_COUNT && code == SM_OK; i++) {
        char variable[NAME_MAX_BYTES + 8];
        variable_name(variable, &options[i]);
        const char *value = getenv(variable);
        code = set_option(&config, &options[i], variable, value ? value : options[i].fallback, err);
    }
    for (int i = 0; i < argc && code == SM_OK;)
        code = read_flag(&config, argc, argv, &i, err);
    if (code == SM_OK && config.wait_default_ms > config.wait_max_ms)
        code = sm_err_set(err, SM_INVALID,
                          "wait-default-ms is %" PRId64 ", more than wait-max-ms, %" PRId64,
                          config.wait_default_ms, config.wait_max_ms);
    if (code != SM_OK)
        return code;
    if (config.workers == 0) {
        long cores = sysconf(_SC_NPROCESSORS_ONLN);
        config.workers = cores > 0 ? cores : 1;
    }
    *out = config;
    return SM_OK;
}

void sm_config_help(FILE *out)
{
    for (int i = 0; i < OPTIONS_COUNT; i++) {
        const struct option *option = &options[i];
        char variable[NAME_MAX_BYTES + 8];
        variable_name(variable, option);
        fprintf(out, "  --%s VALUE\n      %s\n      default %s", option->name, option->help,
                option->fallback);
        if (option->type == OPTION_INT)
            fprintf(out, "; %" PRId64 " to %" PRId64, option->min, option->max);
        if (option->choices)
            fprintf(out, "; one of %s", option->choices);
        fprintf(out, "; environment %s\n", variable);
    }
}
