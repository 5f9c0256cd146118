/* `sslmem audit compare`: compares finished audits of the same images. The server compares its own
 * audits, because only it knows their images; local audits are compared from their databases. */
#include <stdlib.h>
#include <string.h>

#include "server/cmd/audit.h"
#include "server/cmd/audit_client.h"

enum sm_code sm_cmd_audit_open(struct sm_cmd_audit_opened **out, const char *folder,
                               struct sm_err *err)
{
    struct sm_cmd_audit_opened *o = calloc(1, sizeof *o);
    struct sm_audit_head head = {0};
    char *path = sm_cmd_audit_path(folder, "audit.db");
    enum sm_code code =
        o && path ? SM_OK : sm_err_set(err, SM_NOMEM, "%.160s: out of memory", folder);
    if (code == SM_OK)
        code = sm_cmd_audit_state_read(o->id.id, NULL, folder, SM_AUDIT_STATE, NULL, err);
    if (code == SM_OK && o->id.id[0] == '\0')
        code = sm_err_set(err, SM_NOT_FOUND, "%.160s: no audit.json: no audit was started there",
                          folder);
    if (code == SM_OK)
        code = sm_cmd_audit_log_to(folder, err);
    if (code == SM_OK)
        code = sm_store_open(&o->store, path, err);
    if (code == SM_OK)
        code = sm_store_audit(&o->document, &head, o->store, &o->id, err);
    if (code == SM_OK && !head.finished)
        code = sm_err_set(err, SM_CONFLICT, "%.160s: its audit is %s, it must have ended", folder,
                          sm_state_name(head.state));
    if (code == SM_OK)
        code = sm_store_audit_record(&o->record, o->store, &o->id, err);
    free(path);
    if (code == SM_OK)
        *out = o;
    else
        sm_cmd_audit_close(o);
    return code;
}

struct sm_audit *sm_cmd_audit_of(struct sm_cmd_audit_opened *opened)
{
    return &opened->record.audit;
}

void sm_cmd_audit_close(struct sm_cmd_audit_opened *opened)
{
    if (!opened)
        return;
    sm_store_audit_record_release(&opened->record);
    json_decref(opened->document);
    if (opened->store)
        sm_store_close(opened->store);
    free(opened);
}

enum sm_code sm_cmd_audit_read_server(char **server, char id[SM_ID_BYTES], const char *folder,
                                      struct sm_err *err)
{
    json_t *state = NULL;
    enum sm_code code = sm_cmd_audit_state_read(id, &state, folder, SM_AUDIT_STATE, NULL, err);
    *server = NULL;
    if (code == SM_OK && id[0] == '\0')
        code = sm_err_set(err, SM_NOT_FOUND, "%.160s: no audit.json: no audit was started there",
                          folder);
    const char *text =
        json_string_value(json_object_get(json_object_get(state, "inputs"), "server"));
    if (code == SM_OK && !(*server = strdup(text ? text : "")))
        code = sm_err_set(err, SM_NOMEM, "%.160s: out of memory", folder);
    json_decref(state);
    return code;
}

static enum sm_code compare_here(json_t **out, char **folders, size_t count, struct sm_err *err)
{
    struct sm_cmd_audit_opened *opened[SM_AUDIT_COMPARED_MAX] = {0};
    const struct sm_audit *audits[SM_AUDIT_COMPARED_MAX];
    enum sm_code code = SM_OK;
    for (size_t i = 0; i < count && code == SM_OK; i++) {
        code = sm_cmd_audit_open(&opened[i], folders[i], err);
        if (code == SM_OK)
            audits[i] = sm_cmd_audit_of(opened[i]);
    }
    if (code == SM_OK)
        code = sm_audit_compare(out, audits, count, SM_AUDIT_POINTS_MAX, err);
    for (size_t i = 0; i < count; i++)
        sm_cmd_audit_close(opened[i]);
    return code;
}

static enum sm_code compare_there(json_t **out, const char *server, const char *key_file,
                                  const char *ca_file, char (*ids)[SM_ID_BYTES], size_t count,
                                  struct sm_err *err)
{
    char path[64 + SM_AUDIT_COMPARED_MAX * SM_ID_BYTES] = "/v1/comparisons?audits=";
    struct sm_client *client = NULL;
    for (size_t i = 0; i < count; i++)
        snprintf(path + strlen(path), sizeof path - strlen(path), "%s%s", i ? "," : "", ids[i]);
    enum sm_code code = sm_client_open(&client, server, key_file, ca_file, err);
    if (code == SM_OK)
        code = sm_client_json(out, client, &(struct sm_client_call){.path = path}, err);
    sm_client_close(client);
    return code;
}

/* Checks that audit `last` is none of the earlier ones. Ids are compared, because a link, another
 * spelling of the path and a copy of the folder lead to the same id. */
static enum sm_code check_different(char **folders, char (*ids)[SM_ID_BYTES], size_t last,
                                    struct sm_err *err)
{
    for (size_t i = 0; i < last; i++)
        if (strcmp(ids[i], ids[last]) == 0)
            return sm_err_set(err, SM_INVALID,
                              "%.70s and %.70s are the same audit (%s): give two that differ",
                              folders[i], folders[last], ids[last]);
    return SM_OK;
}

static void say_incomplete(char **folders, const json_t *document)
{
    const json_t *audits = json_object_get(document, "audits"), *audit;
    size_t i;
    json_array_foreach(audits, i, audit)
    {
        char whose[256];
        snprintf(whose, sizeof whose, "sslmem audit compare: %.200s: ", folders[i]);
        sm_cmd_audit_say_incomplete(stderr, whose, json_object_get(audit, "completeness"));
    }
}

int sm_cmd_audit_compare(int argc, char **argv)
{
    const char *key_file = NULL, *ca_file = NULL;
    const struct sm_option options[] = {
        {"key-file", "FILE", "key for their server; default: the variable SSLMEM_KEY, or none",
         &key_file},
        SM_CA_OPTION(ca_file),
        {0},
    };
    const struct sm_usage usage = {"audit compare",
                                   "OUT OUT...",
                                   "Compares finished audits of the same images: rank "
                                   "correlations, overlap of the top, paired\n"
                                   "tests. Prints one JSON line.",
                                   options,
                                   2,
                                   SM_AUDIT_COMPARED_MAX,
                                   NULL};
    char **folders, ids[SM_AUDIT_COMPARED_MAX][SM_ID_BYTES], *servers[SM_AUDIT_COMPARED_MAX] = {0};
    struct sm_err err = {0};
    json_t *document = NULL;
    size_t count = 0;
    enum sm_code code = SM_OK;
    int result = sm_usage_read(&folders, &usage, argc, argv);
    if (result >= 0)
        return result;

    for (; folders[count] && code == SM_OK; count++) {
        code = sm_cmd_audit_read_server(&servers[count], ids[count], folders[count], &err);
        if (code == SM_OK && strcmp(servers[count], servers[0]) != 0)
            code = sm_err_set(&err, SM_INVALID,
                              "%.40s and %.40s were not made in the same place: run one again "
                              "where the other was; image digests in reports agree only if both "
                              "databases have the same --digest-key",
                              folders[0], folders[count]);
        if (code == SM_OK)
            code = check_different(folders, ids, count, &err);
    }
    sm_stop_watch();
    if (code == SM_OK)
        code = servers[0][0]
                   ? compare_there(&document, servers[0], key_file, ca_file, ids, count, &err)
                   : compare_here(&document, folders, count, &err);
    for (size_t i = 0; i < count; i++)
        free(servers[i]);
    if (code != SM_OK)
        return sm_fail("audit compare", &err);
    say_incomplete(folders, document);
    sm_print_line(document);
    return SM_EXIT_OK;
}
