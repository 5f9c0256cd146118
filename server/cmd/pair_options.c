/* `sslmem pair create`: the settings of the encoders that its options state. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/edits.h"
#include "core/base/escape.h"
#include "server/cmd/cmd.h"
#include "server/cmd/pair.h"

/* Returns the setting of that name, or NULL and the nearest one, which may be NULL, too. */
static const char *find_setting(const char **nearest, const char *name)
{
    size_t best = 0;
    const char *known;
    *nearest = NULL;
    for (size_t i = 0; (known = sm_encoder_setting(i)); i++) {
        if (strcmp(known, name) == 0)
            return known;
        if (sm_edits_is_nearer(&best, name, known))
            *nearest = known;
    }
    return NULL;
}

/* Reads one value: JSON, else numbers with commas between, else text. */
static json_t *read_value(const char *name, const char *text)
{
    json_t *value = NULL;
    char *list = NULL;
    if (strcmp(name, "key") == 0 || strcmp(name, "preset") == 0)
        return json_string(text);
    value = json_loads(text, JSON_DECODE_ANY, NULL);
    if (!value && strchr(text, ',') && asprintf(&list, "[%s]", text) >= 0) {
        value = json_loads(list, 0, NULL);
        free(list);
    }
    return value ? value : json_string(text);
}

bool sm_pair_set_field(json_t *config, const char *name, const char *text)
{
    json_t *value = read_value(name, text);
    return value && json_object_set_new(config, name, value) == 0;
}

/* Checks the NAME of --set number `which`; prints what is wrong with it. */
static bool check_name(const struct sm_pair_plan *plan, int which, const char *name)
{
    const char *nearest, *set = plan->sets[which];
    size_t length = strlen(name);
    if (!find_setting(&nearest, name)) {
        fprintf(stderr, "sslmem pair create: --set %s: no such setting%s%s; %s\n", sm_shown(set),
                nearest ? ", the nearest is " : "", nearest ? nearest : "",
                "core/names/README.md, Settings, lists all");
        return false;
    }
    if (strcmp(name, "key") == 0 || strcmp(name, "preset") == 0) {
        fprintf(stderr, "sslmem pair create: --set %s: give --%s %s\n", sm_shown(set), name,
                sm_shown(set + length + 1));
        return false;
    }
    for (int i = 0; i < which; i++) {
        if (strncmp(plan->sets[i], set, length + 1) != 0)
            continue;
        fprintf(stderr, "sslmem pair create: --set %s and --set %s: give each setting once\n",
                sm_shown(plan->sets[i]), sm_shown(set));
        return false;
    }
    return true;
}

static bool read_set(struct sm_pair_new *new, int which)
{
    const char *set = new->plan->sets[which];
    char name[64];
    size_t length = strcspn(set, "=");
    if (!set[length] || length == 0 || length >= sizeof name) {
        fprintf(stderr, "sslmem pair create: --set %s: must be NAME=VALUE, as heads=6\n",
                sm_shown(set));
        return false;
    }
    snprintf(name, sizeof name, "%.*s", (int)length, set);
    if (!check_name(new->plan, which, name))
        return false;
    bool whole = true;
    for (int s = 0; s < 2; s++)
        whole = whole && sm_pair_set_field(new->configs[s], name, set + length + 1);
    if (!whole)
        fprintf(stderr, "sslmem pair create: --set %s: not UTF-8 text\n", sm_shown(set));
    return whole;
}

bool sm_pair_read_options(struct sm_pair_new *new)
{
    const struct sm_pair_plan *plan = new->plan;
    bool whole = true;
    for (int s = 0; s < 2; s++) {
        const char *key = plan->keys[s] ? plan->keys[s] : plan->key;
        new->configs[s] = json_object();
        whole = whole && new->configs[s] &&
                (!key || sm_pair_set_field(new->configs[s], "key", key)) &&
                (!plan->preset || sm_pair_set_field(new->configs[s], "preset", plan->preset));
    }
    if (!whole)
        fprintf(stderr, "sslmem pair create: --key or --preset is not UTF-8 text\n");
    for (int i = 0; whole && plan->sets[i]; i++)
        whole = read_set(new, i);
    return whole;
}
