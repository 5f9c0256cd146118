/* --shard: its text, and the end of a shard in words. */
#include "server/cmd/audit_shard.h"

#include <stdlib.h>
#include <string.h>

/* Reads a number of at most 9 digits and moves *text behind it; -1: there is none. */
static int64_t read_number(const char **text)
{
    size_t digits = strspn(*text, "0123456789");
    int64_t value = digits > 0 && digits < 10 ? strtoll(*text, NULL, 10) : -1;
    *text += digits;
    return value;
}

enum sm_code sm_cmd_audit_shard_read(struct sm_shard *out, const char *text, struct sm_err *err)
{
    const char *at = text;
    *out = (struct sm_shard){0};
    if (!text || *text == '\0')
        return SM_OK;
    int64_t number = read_number(&at);
    bool whole = *at == '/';
    at += whole;
    int64_t count = whole ? read_number(&at) : -1;
    if (number < 0 || count < 0 || *at != '\0')
        return sm_err_set(err, SM_INVALID,
                          "--shard is %.40s, must be I/N such as 3/7: part 3 of 7 parts", text);
    if (count > SM_AUDIT_SHARDS_MAX)
        return sm_err_set(err, SM_LIMIT, "--shard %.40s: %lld shards, the limit is %d", text,
                          (long long)count, SM_AUDIT_SHARDS_MAX);
    if (number < 1 || number > count)
        return sm_err_set(err, SM_INVALID,
                          "--shard is %.40s: shards are numbered from 1, here to %lld; add 1 to an "
                          "index that begins at 0",
                          text, (long long)count);
    *out = (struct sm_shard){.part = number - 1, .count = count};
    return SM_OK;
}

void sm_cmd_audit_shard_text(char out[SM_AUDIT_SHARD_BYTES], const struct sm_shard *shard)
{
    out[0] = '\0';
    if (shard->count > 0)
        snprintf(out, SM_AUDIT_SHARD_BYTES, "%lld/%lld", (long long)shard->part + 1,
                 (long long)shard->count);
}

static int64_t count_of(const json_t *audit, const char *key)
{
    return json_integer_value(json_object_get(audit, key));
}

int64_t sm_cmd_audit_others_count(const json_t *audit)
{
    return count_of(audit, "items_count") - count_of(audit, "waiting_count") -
           count_of(audit, "succeeded_count") - count_of(audit, "failed_count");
}

int sm_cmd_audit_shard_say(const struct sm_cmd_audit_plan *plan, const json_t *audit)
{
    int64_t succeeded = count_of(audit, "succeeded_count"),
            failed = count_of(audit, "failed_count");
    char shard[SM_AUDIT_SHARD_BYTES];
    sm_cmd_audit_shard_text(shard, &plan->shard);
    if (!plan->quiet) {
        printf("shard %s: %lld of the audit's %lld images scored", shard, (long long)succeeded,
               (long long)count_of(audit, "items_count"));
        if (failed > 0)
            printf(", %lld failed", (long long)failed);
        printf("\nno report yet: sslmem audit merge OUT PART... joins the %lld shards\n",
               (long long)plan->shard.count);
    }
    if (succeeded > 0 || failed == 0)
        return SM_EXIT_OK;
    fprintf(stderr, "sslmem audit: no image of shard %s could be scored\n", shard);
    return SM_EXIT_FAILED;
}
