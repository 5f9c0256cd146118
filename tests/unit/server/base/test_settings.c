/* Settings on a table of its own: every kind from every source, precedence, files that are refused
 * with the exact text, what is printed reads back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants the four above */
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/base/settings.h"

struct values {
    sm_setting_int queue_max;
    char title[8];
    char folder[32];
    char mode[8];
    struct sm_texts origins;
    struct sm_secret token_file;
};

#define FIELD(member) offsetof(struct values, member)
static const struct sm_setting rows[] = {
    {"queue-max", SM_SETTING_INT, FIELD(queue_max), "5", 1, 9, .section = "limits", .help = "h",
     .reloads = true},
    {"title", SM_SETTING_TEXT, FIELD(title), "a", .max = 8, .help = "h"},
    {"folder", SM_SETTING_PATH, FIELD(folder), "f", .max = 32, .help = "h"},
    {"mode", SM_SETTING_CHOICE, FIELD(mode), "on", .max = 8, .choices = "on|off", .help = "h"},
    {"origins", SM_SETTING_TEXTS, FIELD(origins), "", .max = 3, .help = "h"},
    {"token-file", SM_SETTING_SECRET, FIELD(token_file), "", .help = "h"},
    {0},
};

static char folder[] = "/tmp/sslmem-settings-XXXXXX";
static char file[64], token[64];
static struct values values;
static struct sm_settings_sources sources;
static enum sm_settings_action action;
static struct sm_err err;

static void write_file(const char *path, const char *text, mode_t mode)
{
    unlink(path);
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    fputs(text, out);
    fclose(out);
    chmod(path, mode);
}

static enum sm_code read_words(const char *a, const char *b)
{
    char *words[] = {strdup(a ? a : ""), strdup(b ? b : ""), NULL};
    char *argv[] = {words[0], words[1], NULL};
    memset(&values, 0, sizeof values);
    err = (struct sm_err){0};
    enum sm_code code =
        sm_settings_read(&values, &sources, &action, rows, (a != NULL) + (b != NULL), argv, &err);
    free(words[0]);
    free(words[1]);
    return code;
}

static enum sm_code read_text(const char *text)
{
    write_file(file, text, 0644);
    return read_words("--config", file);
}

static void sources_in_their_order(void **state)
{
    (void)state;
    char flag[] = "--queue-max=4";
    assert_int_equal(read_words(NULL, NULL), SM_OK);
    assert_int_equal(values.queue_max, 5);
    assert_string_equal(sm_settings_source(&sources, rows, FIELD(queue_max)), "default");
    assert_int_equal(read_text("{\"limits\": {\"queue_max\": 2}, \"title\": \"b\"}"), SM_OK);
    assert_int_equal(values.queue_max, 2);
    assert_string_equal(values.title, "b");
    setenv("SSLMEM_QUEUE_MAX", "3", 1);
    setenv("SSLMEM_CONFIG", file, 1);
    assert_int_equal(read_words(NULL, NULL), SM_OK);
    assert_int_equal(values.queue_max, 3);
    assert_string_equal(values.title, "b");
    assert_string_equal(sm_settings_source(&sources, rows, FIELD(queue_max)), "SSLMEM_QUEUE_MAX");
    assert_int_equal(read_words(flag, NULL), SM_OK);
    assert_int_equal(values.queue_max, 4);
    assert_string_equal(sm_settings_source(&sources, rows, FIELD(queue_max)), "--queue-max");
    setenv("SSLMEM_QUEUE_MAX", "10", 1); /* refused, although the flag would win */
    assert_int_equal(read_words(flag, NULL), SM_INVALID);
    assert_string_equal(err.text, "SSLMEM_QUEUE_MAX is 10, must be a whole number from 1 to 9");
    unsetenv("SSLMEM_QUEUE_MAX");
    unsetenv("SSLMEM_CONFIG");
}

static void files_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *error; /* after the file's name */
    } cases[] = {
        {"[]", " must hold a JSON object"},
        {"{\"limits\": {\"queue_max\": 0}}",
         ": limits/queue_max is 0, must be a whole number from 1 to 9"},
        {"{\"limits\": {\"queue_max\": 10}}",
         ": limits/queue_max is 10, must be a whole number from 1 to 9"},
        {"{\"limits\": {\"queue_max\": \"5\"}}", ": limits/queue_max must be a whole number"},
        {"{\"limits\": {\"queue_max\": 5.0}}", ": limits/queue_max must be a whole number"},
        {"{\"limits\": 5}", ": limits must be a section"},
        {"{\"title\": 5}", ": title must be a text"},
        {"{\"title\": \"\"}", ": title is empty"},
        {"{\"title\": \"12345678\"}", ": title has 8 bytes, at most 7"},
        {"{\"folder\": \"a\\nb\"}", ": folder has the control character 10 at byte 1"},
        {"{\"mode\": \"of\"}", ": mode is of, must be one of on|off"},
        {"{\"origins\": \"a\"}", ": origins must be a list of texts"},
        {"{\"origins\": [\"a\", \"\"]}",
         ": origins must be a list of texts, none empty or with a comma"},
        {"{\"origins\": [\"a,b\"]}",
         ": origins must be a list of texts, none empty or with a comma"},
        {"{\"origins\": [\"a\", \"b\", \"c\", \"d\"]}", ": origins has more than 3 items"},
        {"{\"queue_max\": 5}", ": key queue_max is unknown there; it belongs into limits"},
        {"{\"limits\": {\"title\": \"a\"}}",
         ": key limits/title is unknown there; it belongs at the top"},
        {"{\"limits\": {\"queue-max\": 5}}",
         ": key limits/queue-max is unknown; the nearest is limits/queue_max"},
        {"{\"titel\": \"a\"}", ": key titel is unknown; the nearest is title"},
        {"{\"colour\": 1}", ": key colour is unknown; --help lists all"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char expected[200];
        snprintf(expected, sizeof expected, "%s%s", file, cases[i].error);
        if (read_text(cases[i].text) != SM_INVALID || strcmp(err.text, expected) != 0)
            fail_msg("%s gave '%s', expected '%s'", cases[i].text, err.text, expected);
    }
    assert_int_not_equal(read_text("{\"title\": \"a\", \"title\": \"b\"}"), SM_OK);
    assert_int_not_equal(read_text("{\"title\": "), SM_OK);
    assert_non_null(strstr(err.text, file));
    assert_int_equal(read_words("--config", "/nonexistent/file"), SM_NOT_FOUND);
    assert_non_null(strstr(err.text, "/nonexistent/file"));
}

static void lists(void **state)
{
    (void)state;
    assert_int_equal(read_words("--origins", "a,bc"), SM_OK);
    assert_int_equal(values.origins.count, 2);
    assert_string_equal(values.origins.items[1], "bc");
    assert_int_equal(read_text("{\"origins\": [\"x\", \"y\", \"z\"]}"), SM_OK);
    assert_int_equal(values.origins.count, 3);
    assert_string_equal(values.origins.items[2], "z");
    assert_int_equal(read_words("--origins=", NULL), SM_OK);
    assert_int_equal(values.origins.count, 0);
    assert_int_equal(read_words("--origins", "a,,b"), SM_INVALID);
    assert_string_equal(err.text, "--origins: item 1 has 0 bytes, must have 1 to 127");
    assert_int_equal(read_words("--origins", "a,"), SM_INVALID);
    assert_string_equal(err.text, "--origins ends with a comma");
    char longest[200] = "--origins=";
    memset(longest + 10, 'x', 127);
    assert_int_equal(read_words(longest, NULL), SM_OK);
    longest[10 + 127] = 'x';
    assert_int_equal(read_words(longest, NULL), SM_INVALID);
    assert_string_equal(err.text, "--origins: item 0 has 128 bytes, must have 1 to 127");
}

static void secrets(void **state)
{
    (void)state;
    char expected[160], longest[300] = "";
    write_file(token, "hunter2\n", 0600);
    assert_int_equal(read_words("--token-file", token), SM_OK);
    assert_string_equal(values.token_file.value, "hunter2");
    json_t *document = sm_settings_json(&values, rows);
    char *text = json_dumps(document, 0);
    assert_non_null(strstr(text, token));
    assert_null(strstr(text, "hunter2"));
    free(text);
    json_decref(document);

    chmod(token, 0640);
    assert_int_equal(read_words("--token-file", token), SM_INVALID);
    snprintf(expected, sizeof expected,
             "--token-file: %s has mode 640, must be a file that only its owner may read", token);
    assert_string_equal(err.text, expected);
    assert_string_equal(values.token_file.value, "");
    snprintf(expected, sizeof expected, "--token-file: %s must be one line of 1 to 256 bytes",
             token);
    write_file(token, "two\nlines\n", 0600);
    assert_int_equal(read_words("--token-file", token), SM_INVALID);
    assert_string_equal(err.text, expected);
    assert_string_equal(values.token_file.value, "");
    write_file(token, "\n", 0600);
    assert_int_equal(read_words("--token-file", token), SM_INVALID);
    memset(longest, 'x', 256);
    write_file(token, longest, 0600);
    assert_int_equal(read_words("--token-file", token), SM_OK);
    longest[256] = 'x';
    write_file(token, longest, 0600);
    assert_int_equal(read_words("--token-file", token), SM_INVALID);
    assert_string_equal(err.text, expected);
    assert_int_equal(read_words("--token-file", "/nonexistent"), SM_INVALID);
    assert_string_equal(err.text, "--token-file: /nonexistent: No such file or directory");
}

static void what_is_printed_reads_back(void **state)
{
    (void)state;
    struct values before;
    write_file(token, "hunter2\n", 0600);
    setenv("SSLMEM_TOKEN_FILE", token, 1);
    setenv("SSLMEM_ORIGINS", "a,b", 1);
    assert_int_equal(read_words("--queue-max=9", "--mode=off"), SM_OK);
    unsetenv("SSLMEM_TOKEN_FILE");
    unsetenv("SSLMEM_ORIGINS");
    before = values;
    json_t *document = sm_settings_json(&values, rows);
    char *text = json_dumps(document, 0);
    assert_int_equal(read_text(text), SM_OK);
    assert_memory_equal(&before, &values, sizeof values);
    free(text);
    json_decref(document);
}

static void actions_are_taken(void **state)
{
    (void)state;
    assert_int_equal(read_words("--check-config", NULL), SM_OK);
    assert_int_equal(action, SM_SETTINGS_CHECK);
    assert_int_equal(read_words("--print-config", "--title=b"), SM_OK);
    assert_int_equal(action, SM_SETTINGS_PRINT);
    assert_string_equal(values.title, "b");
    assert_int_equal(read_words("--print-config", "--help"), SM_OK);
    assert_int_equal(action, SM_SETTINGS_HELP);
    assert_int_equal(read_words("--check-config", "--mode=x"), SM_INVALID);
}

static void what_reloads_is_taken_over(void **state)
{
    (void)state;
    struct values next;
    json_t *changed = json_array(), *restart = json_array();
    assert_int_equal(read_words(NULL, NULL), SM_OK);
    next = values;
    assert_int_equal(sm_settings_apply(&values, &next, rows, changed, restart, &err), SM_OK);
    assert_int_equal(json_array_size(changed) + json_array_size(restart), 0);
    next.queue_max = 7;
    snprintf(next.title, sizeof next.title, "other");
    next.origins.count = 1;
    snprintf(next.origins.items[0], sizeof next.origins.items[0], "a");
    assert_int_equal(sm_settings_apply(&values, &next, rows, changed, restart, &err), SM_OK);
    assert_int_equal(values.queue_max, 7);
    assert_string_equal(values.title, "a");
    assert_int_equal(values.origins.count, 0);
    char *text = json_dumps(changed, JSON_COMPACT);
    assert_string_equal(text, "[{\"setting\":\"queue-max\",\"from\":5,\"to\":7}]");
    free(text);
    text = json_dumps(restart, JSON_COMPACT);
    assert_string_equal(text, "[\"title\",\"origins\"]");
    free(text);
    json_decref(changed);
    json_decref(restart);
}

static int make_folder(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    snprintf(file, sizeof file, "%s/file.json", folder);
    snprintf(token, sizeof token, "%s/token", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(file);
    unlink(token);
    return rmdir(folder);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(sources_in_their_order),
        cmocka_unit_test(files_are_refused),
        cmocka_unit_test(lists),
        cmocka_unit_test(secrets),
        cmocka_unit_test(what_is_printed_reads_back),
        cmocka_unit_test(actions_are_taken),
        cmocka_unit_test(what_reloads_is_taken_over),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
