/* The folder OUT: its lock, its state, and files that are written whole.
 *
 * audit.json is {"id", "inputs", "again"} of OUT's audit. The inputs are one flat object, so that
 * an error can name the one that differs. The file is written once the audit has all its images;
 * before that, beginning again loses nothing. upload.json has the same form and names an audit
 * whose images are still being sent to a server; the next command deletes that audit there. "again"
 * keeps the places (audit.h) for reports that are written later. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/sha256.h"
#include "server/base/id.h"
#include "server/base/log.h"
#include "server/cmd/audit_data.h"
#include "server/cmd/audit_shard.h"

#define REPORT_DEPTH_MAX 32
#define CHOICE_SUFFIX    "_file_digest"

enum sm_code sm_cmd_audit_claim_out(const char *out, struct sm_err *err)
{
    if (mkdir(out, 0777) != 0 && errno != EEXIST)
        return sm_err_set(err, SM_IO, "out folder %.160s: %s", out, strerror(errno));
    int fd = open(out, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return sm_err_set(err, SM_IO, "out folder %.160s: %s", out, strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        return SM_OK; /* fd stays open: the lock holds until the process ends */
    int failed = errno;
    close(fd);
    return failed == EWOULDBLOCK
               ? sm_err_set(err, SM_CONFLICT, "out folder %.160s: another audit is at work in it",
                            out)
               : sm_err_set(err, SM_IO, "out folder %.160s: %s", out, strerror(failed));
}

char *sm_cmd_audit_path(const char *out, const char *name)
{
    size_t bytes = strlen(out) + strlen(name) + 2;
    char *path = malloc(bytes);
    if (path)
        snprintf(path, bytes, "%s/%s", out, name);
    return path;
}

enum sm_code sm_cmd_audit_log_to(const char *out, struct sm_err *err)
{
    char *path = sm_cmd_audit_path(out, "audit.log");
    int fd = path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666) : -1;
    enum sm_code code = SM_OK;
    if (fd < 0)
        code = sm_err_set(err, SM_IO, "%.160s/audit.log: %s", out, strerror(errno));
    else
        sm_log_to(fd);
    free(path);
    return code;
}

/* --- inputs --- */

/* Adds the path with its links resolved, so that a folder has only one name; "" for no path. */
static enum sm_code add_path(json_t *inputs, const char *key, const char *path, bool folder,
                             struct sm_err *err)
{
    char full[PATH_MAX] = "";
    struct stat status;
    if (path && (!realpath(path, full) || stat(full, &status) != 0))
        return sm_err_set(err, SM_INVALID, "--%s %.160s: %s", key, path, strerror(errno));
    if (path && folder && !S_ISDIR(status.st_mode))
        return sm_err_set(err, SM_INVALID, "--%s %.160s: not a folder", key, path);
    if (json_object_set_new(inputs, key, json_string(full)) != 0)
        return sm_err_set(err, SM_INVALID, "--%s %.160s: the path is not UTF-8", key, path);
    return SM_OK;
}

static char *resolve(const char *path)
{
    return realpath(path, NULL);
}

/* Adds the digest of a file that chooses images, so that another choice under the same name is
 * another input; no member for no file. */
static enum sm_code add_choice(json_t *inputs, const char *key, const char *path,
                               struct sm_err *err)
{
    struct sm_err why = {0};
    struct sm_file file = {0};
    char member[64], digest[SM_SHA256_HEX];
    if (!path || path[0] == '\0')
        return SM_OK;
    enum sm_code code = sm_file_map(&file, path, INT64_MAX, &why);
    if (code != SM_OK)
        return sm_err_set(err, SM_INVALID, "--%s: %.200s", key, why.text);
    sm_sha256_hex(digest, file.bytes, file.bytes_count);
    sm_file_release(&file);
    snprintf(member, sizeof member, "%s%s", key, CHOICE_SUFFIX);
    return json_object_set_new(inputs, member, json_string(digest)) == 0
               ? SM_OK
               : sm_err_set(err, SM_NOMEM, "inputs of an audit");
}

/* Adds the dataset of a cohort with its paths resolved; "" for none. */
static enum sm_code add_data(json_t *inputs, const char *key, const char *argument,
                             struct sm_err *err)
{
    struct sm_err why = {0};
    struct sm_dataset_place *place = argument ? malloc(sizeof *place) : NULL;
    char *full = argument ? NULL : strdup("");
    enum sm_code code = SM_OK;
    if (place && (code = sm_dataset_place(place, argument, &why)) != SM_OK)
        sm_err_set(err, SM_INVALID, "--%s %.200s", key, why.text);
    else if (place && !(full = sm_cmd_audit_data_path(argument, resolve)))
        code = sm_err_set(err, SM_INVALID, "--%s: the list %.160s: %s", key, place->list,
                          strerror(errno));
    else if (json_object_set_new(inputs, key, json_string(full)) != 0)
        code = sm_err_set(err, SM_INVALID, "--%s %.160s: the path is not UTF-8", key, argument);
    if (place && code == SM_OK)
        code = add_choice(inputs, key, place->list, err);
    free(full);
    free(place);
    return code == SM_OK ? SM_OK : SM_INVALID;
}

/* True for an input that an OUT of an earlier version does not have. */
static bool is_choice(const char *key)
{
    size_t n = strlen(key), m = strlen(CHOICE_SUFFIX);
    return n > m && strcmp(key + n - m, CHOICE_SUFFIX) == 0;
}

enum sm_code sm_cmd_audit_inputs(json_t **out, const struct sm_cmd_audit_plan *plan,
                                 struct sm_err *err)
{
    json_t *inputs = sm_audit_spec_json(&plan->spec);
    const char *server = plan->server ? plan->server : "";
    size_t length = strlen(server);
    char shard[SM_AUDIT_SHARD_BYTES];
    enum sm_code code = inputs ? SM_OK : sm_err_set(err, SM_NOMEM, "inputs of an audit");
    for (int i = 0; i < SM_COHORTS && code == SM_OK; i++)
        code = add_data(inputs, sm_cohort_name((enum sm_cohort)i), plan->folders[i], err);
    if (code == SM_OK)
        code = add_path(inputs, "manifest", plan->manifest, false, err);
    if (code == SM_OK)
        code = add_choice(inputs, "manifest", plan->manifest, err);
    if (code == SM_OK)
        code = add_path(inputs, "root", plan->root, true, err);
    while (length > 0 && server[length - 1] == '/')
        length--; /* a slash at the end does not make it another server */
    if (code == SM_OK && json_object_set_new(inputs, "server", json_stringn(server, length)) != 0)
        code = sm_err_set(err, SM_INVALID, "--server %.160s: not UTF-8", server);
    sm_cmd_audit_shard_text(shard, &plan->shard);
    if (code == SM_OK && json_object_set_new(inputs, "shard", json_string(shard)) != 0)
        code = sm_err_set(err, SM_NOMEM, "inputs of an audit");
    if (code == SM_OK)
        *out = inputs;
    else
        json_decref(inputs);
    return code;
}

static enum sm_code compare_inputs(const char *out, const json_t *stored, const json_t *given,
                                   struct sm_err *err)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)given, key, value)
    {
        const json_t *other = json_object_get(stored, key);
        const char *text = json_string_value(value);
        /* A field newer than OUT, at its default or not given now. */
        bool later = !other && ((text && (*text == '\0' || is_choice(key))) || json_is_true(value));
        if (json_equal(value, other) || later)
            continue;
        char *was = sm_json_text(other, JSON_COMPACT);
        char *is = sm_json_text(value, JSON_COMPACT);
        sm_err_set(err, SM_CONFLICT,
                   "%.80s holds an audit with %s %.40s, not %.40s: give another --out", out, key,
                   was ? was : "?", is ? is : "?");
        free(was);
        free(is);
        return err->code;
    }
    return SM_OK;
}

/* --- audit.json --- */

enum sm_code sm_cmd_audit_state_read(char id[SM_ID_BYTES], json_t **state, const char *out,
                                     const char *name, const json_t *inputs, struct sm_err *err)
{
    char *path = sm_cmd_audit_path(out, name);
    json_t *node = NULL;
    struct sm_err why = {0};
    enum sm_code code = path ? sm_json_read_file(&node, path, &why)
                             : sm_err_set(&why, SM_NOMEM, "%.160s: out of memory", out);
    const char *text = json_string_value(json_object_get(node, "id"));
    id[0] = '\0';
    free(path);
    if (code == SM_NOT_FOUND)
        return SM_OK;
    if (code == SM_OK && (!text || !sm_id_valid(text)))
        code = sm_err_set(&why, SM_CORRUPT, "it has no \"id\"");
    if (code != SM_OK)
        sm_err_set(err, code, "%.100s/%s: %.120s", out, name, why.text);
    else if (inputs)
        code = compare_inputs(out, json_object_get(node, "inputs"), inputs, err);
    if (code == SM_OK)
        snprintf(id, SM_ID_BYTES, "%s", text);
    if (code == SM_OK && state)
        *state = json_incref(node);
    json_decref(node);
    return code;
}

enum sm_code sm_cmd_audit_state_write(const char *out, const char *name, const char *id,
                                      const json_t *inputs, const json_t *again, struct sm_err *err)
{
    json_t *node = json_pack("{s:s, s:O, s:O*}", "id", id, "inputs", inputs, "again", again);
    char *path = sm_cmd_audit_path(out, name);
    char *text = sm_json_text(node, JSON_INDENT(2));
    enum sm_code code = path && text
                            ? sm_file_write(path, text, strlen(text), err)
                            : sm_err_set(err, SM_NOMEM, "state of an audit: out of memory");
    free(text);
    free(path);
    json_decref(node);
    return code;
}

/* --- files --- */

enum sm_code sm_cmd_audit_read_report(json_t **report, const char *out, struct sm_err *err)
{
    char *path = sm_cmd_audit_path(out, "report.json");
    struct sm_file file = {0};
    enum sm_code code = path ? sm_file_map(&file, path, INT64_MAX, err)
                             : sm_err_set(err, SM_NOMEM, "report.json: out of memory");
    *report = NULL;
    if (code == SM_OK)
        code = sm_json_parse(report, file.bytes, file.bytes_count, file.bytes_count,
                             REPORT_DEPTH_MAX, err);
    sm_file_release(&file);
    free(path);
    return code;
}

enum sm_code sm_cmd_audit_write(const char *out, const char *name, sm_cmd_audit_writer *writer,
                                void *arg, struct sm_err *err)
{
    char temporary_name[64];
    snprintf(temporary_name, sizeof temporary_name, "%s.part", name);
    char *path = sm_cmd_audit_path(out, name), *temporary = sm_cmd_audit_path(out, temporary_name);
    FILE *file = path && temporary ? fopen(temporary, "we") : NULL;
    enum sm_code code = SM_OK;

    if (!file) {
        code = sm_err_set(err, SM_IO, "%.160s/%s: %s", out, name, strerror(errno));
    } else {
        code = writer(file, arg, err);
        bool written = fflush(file) == 0 && fsync(fileno(file)) == 0;
        int failed = errno;
        written = fclose(file) == 0 && written;
        if (code == SM_OK && (!written || rename(temporary, path) != 0))
            code = sm_err_set(err, SM_IO, "%.160s/%s: %s", out, name,
                              strerror(written ? errno : failed));
        if (code != SM_OK)
            unlink(temporary);
    }
    free(temporary);
    free(path);
    return code;
}
