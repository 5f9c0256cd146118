/* Finds the encoder: indexes the names of a file, collects the places where the anchors of a
 * dialect exist, and chooses one of these places.
 *
 * Components that wrappers insert into names ("_orig_mod", "_fsdp_wrapped_module", …) are removed
 * from the index and from `key`.
 *
 * If a file holds several encoders (student and teacher, encoder and momentum encoder), `key` must
 * choose one; nothing is guessed. `key` may be the whole prefix of an encoder or some consecutive
 * components of it. A match of a whole prefix wins over a match of components. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/edits.h"
#include "core/names/names_impl.h"

#define PLACES_MAX 16
/* most names compared to find the nearest; bounds the time on hostile files */
#define NEAREST_MAX 4096

struct place {
    char prefix[SM_PREFIX_MAX + 1];
    const struct sm_dialect *dialect;
};

static int compare_entries(const void *a, const void *b)
{
    const struct sm_name_entry *x = a, *y = b;
    int order = strcmp(x->key, y->key);
    return order ? order : strcmp(y->tensor->name, x->tensor->name);
}

static int compare_key(const void *key, const void *entry)
{
    return strcmp(key, ((const struct sm_name_entry *)entry)->key);
}

struct sm_name_entry *sm_names_entry(const struct sm_names *names, const char *key)
{
    return bsearch(key, names->entries, names->entries_count, sizeof *names->entries, compare_key);
}

struct sm_name_entry *sm_names_below(const struct sm_names *names, const char *bytes)
{
    size_t low = 0, high = names->entries_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(names->entries[middle].key, bytes) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    bool below =
        low < names->entries_count && !strncmp(names->entries[low].key, bytes, strlen(bytes));
    return below ? &names->entries[low] : NULL;
}

static bool separates(char c)
{
    return c == '.' || c == '/';
}

size_t sm_name_leads(const char *name, const char *head)
{
    size_t length = strlen(head);
    return !strncmp(name, head, length) && (separates(name[length]) || !name[length]) ? length : 0;
}

/* Returns the length of `name` without `tail`, its last components; -1 if it does not end so. */
static ptrdiff_t prefix_length(const char *name, const char *tail)
{
    size_t length = strlen(name), tail_length = strlen(tail);
    if (length < tail_length || strcmp(name + length - tail_length, tail) != 0)
        return -1;
    size_t prefix = length - tail_length;
    return prefix == 0 || separates(name[prefix - 1]) ? (ptrdiff_t)prefix : -1;
}

bool sm_name_ends(const char *name, const char *tail)
{
    return prefix_length(name, tail) >= 0;
}

/* Returns true if one of the alternatives of an anchor exists below the prefix. */
static bool has_anchor(const struct sm_names *names, const char *prefix, const char *anchor)
{
    while (*anchor) {
        char name[SM_NAME_BYTES];
        size_t length = strcspn(anchor, ",");
        snprintf(name, sizeof name, "%s%.*s", prefix, (int)length, anchor);
        if (sm_names_entry(names, name))
            return true;
        anchor += length + (anchor[length] == ',');
    }
    return false;
}

static bool stands_at(const struct sm_names *names, const struct sm_dialect *dialect,
                      const char *prefix)
{
    for (size_t i = 0; i < 3 && dialect->anchors[i]; i++)
        if (!has_anchor(names, prefix, dialect->anchors[i]))
            return false;
    return true;
}

/* Adds a place. A place that is known keeps the earlier of both dialects. Places beyond PLACES_MAX
 * are counted only. */
static void add_place(struct place *places, size_t *count, const char *prefix,
                      const struct sm_dialect *dialect)
{
    size_t known = *count < PLACES_MAX ? *count : PLACES_MAX;
    for (size_t i = 0; i < known; i++) {
        if (strcmp(places[i].prefix, prefix) != 0)
            continue;
        if (dialect < places[i].dialect)
            places[i].dialect = dialect;
        return;
    }
    if (*count < PLACES_MAX) {
        snprintf(places[*count].prefix, sizeof places->prefix, "%s", prefix);
        places[*count].dialect = dialect;
    }
    ++*count;
}

static size_t find_places(struct place *places, const struct sm_names *names)
{
    size_t count = 0;
    for (size_t i = 0; i < names->entries_count; i++) {
        const char *name = names->entries[i].key;
        for (const struct sm_dialect *d = sm_dialects; d->name; d++) {
            char prefix[SM_PREFIX_MAX + 1];
            ptrdiff_t length = prefix_length(name, d->anchors[0]);
            if (length < 0 || length > SM_PREFIX_MAX)
                continue;
            memcpy(prefix, name, (size_t)length);
            prefix[length] = 0;
            if (stands_at(names, d, prefix))
                add_place(places, &count, prefix, d);
        }
    }
    return count;
}

/* Returns true if `key` is the whole prefix, with or without the last separator. */
static bool is_prefix(const char *prefix, const char *key)
{
    size_t length = strlen(key);
    length -= length && separates(key[length - 1]);
    return !strncmp(prefix, key, length) &&
           (!prefix[length] || (separates(prefix[length]) && !prefix[length + 1]));
}

/* Returns true if `key` is some consecutive components of the prefix. */
static bool is_within(const char *prefix, const char *key)
{
    size_t length = strlen(key);
    length -= length && separates(key[length - 1]);
    for (const char *at = prefix; length && *at; at++)
        if ((at == prefix || separates(at[-1])) && !strncmp(at, key, length) &&
            (separates(at[length]) || !at[length]))
            return true;
    return false;
}

/* Returns the only place whose prefix passes `test` with `key`; NULL if none or several pass. */
static const struct place *only(const struct place *places, size_t count, const char *key,
                                bool (*test)(const char *, const char *))
{
    const struct place *found = NULL;
    for (size_t i = 0; i < count; i++) {
        if (!test(places[i].prefix, key))
            continue;
        if (found)
            return NULL;
        found = &places[i];
    }
    return found;
}

static void list_places(char *out, size_t out_bytes, const struct place *places, size_t count)
{
    size_t at = 0;
    out[0] = 0;
    for (size_t i = 0; i < count && at < out_bytes; i++)
        at += (size_t)snprintf(out + at, out_bytes - at, "%s\"%s\"%s", at ? ", " : "",
                               places[i].prefix, places[i].prefix[0] ? "" : " (top level)");
}

/* Writes the key that a mistyped one stands for, as ` (nearest: "teacher")`, or "". It is a
 * component of a prefix, and chooses one encoder. */
static void name_nearest(char out[80], const struct place *places, size_t count, const char *key)
{
    size_t best = 0;
    out[0] = 0;
    for (size_t i = 0; i < count; i++) {
        for (const char *at = places[i].prefix; *at;) {
            char part[48];
            size_t length = 0;
            while (at[length] && !separates(at[length]))
                length++;
            snprintf(part, sizeof part, "%.*s", (int)length, at);
            if (length < sizeof part && only(places, count, part, is_within) &&
                sm_edits_is_nearer(&best, key, part))
                snprintf(out, 80, " (nearest: \"%s\")", part);
            at += length + (at[length] != 0);
        }
    }
}

static enum sm_code fail_unknown(const struct sm_names *names, struct sm_err *err)
{
    enum sm_code code = sm_names_refuse_adapters(names, err);
    if (code == SM_OK)
        code = sm_names_refuse_anchor_parts(names, err);
    if (code != SM_OK)
        return code;
    for (size_t i = 0; i < names->entries_count; i++)
        if (strstr(names->entries[i].key, "_flat_param"))
            return sm_err_set(err, SM_UNSUPPORTED,
                              "tensor %.100s is a flat shard of FSDP, which has no layers to read: "
                              "gather the full state_dict in the training code and save that",
                              names->entries[i].tensor->name);
    return sm_err_set(err, SM_UNSUPPORTED,
                      "no ResNet, ViT or ConvNeXt of a known dialect among %zu tensors, the first "
                      "is %.60s",
                      names->entries_count,
                      names->entries_count ? names->entries[0].key : "missing");
}

static enum sm_code choose(struct sm_names *names, const char *key, struct sm_err *err)
{
    struct place places[PLACES_MAX];
    char list[140];
    size_t found = find_places(places, names);
    size_t count = found < PLACES_MAX ? found : PLACES_MAX;
    const struct place *chosen = found == 1 && !key ? places : NULL;
    if (found == 0)
        return fail_unknown(names, err);
    if (key)
        chosen = only(places, count, key, is_prefix);
    if (key && !chosen)
        chosen = only(places, count, key, is_within);
    list_places(list, sizeof list, places, count);
    if (!chosen && !key)
        return sm_err_field(err, "/key", "%zu encoders in one file, \"key\" must choose: %s", found,
                            list);
    if (!chosen) {
        char nearest[80];
        name_nearest(nearest, places, count, key);
        sm_err_field(err, "/key", "\"key\" is \"%.40s\"%.60s, which chooses none of: %s", key,
                     nearest, list);
        if (err)
            err->code = SM_NOT_FOUND;
        return SM_NOT_FOUND;
    }
    names->dialect = chosen->dialect;
    memcpy(names->prefix, chosen->prefix, sizeof names->prefix);
    return SM_OK;
}

/* Returns true for a component that a PyTorch wrapper (compile, activation checkpoints, FSDP,
 * Lightning) inserts between a module and its tensors. */
static bool is_wrapper(const char *at, size_t length)
{
    static const char *const wrappers[] = {"_orig_mod", "_checkpoint_wrapped_module",
                                           "_fsdp_wrapped_module", "_fpw_module",
                                           "_forward_module"};
    for (size_t i = 0; i < sizeof wrappers / sizeof *wrappers; i++)
        if (strlen(wrappers[i]) == length && !memcmp(wrappers[i], at, length))
            return true;
    return false;
}

/* Returns true if "module", the wrapper of DataParallel, is inside an encoder: the component
 * `before` it is a number or the name of an encoder's own part. Otherwise "module" belongs to the
 * encoder's prefix, as it does after "encoder", which names a whole encoder more often than a
 * part. */
static bool is_inside(const char *before, size_t length)
{
    if (length && strspn(before, "0123456789") >= length)
        return true;
    if (length == strlen("encoder") && !memcmp(before, "encoder", length))
        return false;
    for (const struct sm_dialect *d = sm_dialects; length && d->name; d++)
        for (const char *const *own = d->own; *own; own++)
            if (strlen(*own) == length && !memcmp(*own, before, length))
                return true;
    return false;
}

/* Removes wrappers from a name: "blocks.0._orig_mod.attn" becomes "blocks.0.attn". */
static void strip_wrappers(char *name)
{
    char *out = name, *last = name;
    size_t last_length = 0;
    bool left_out = false;
    for (const char *at = name; *at;) {
        size_t length = strcspn(at, "./"), whole = length + (at[length] != 0);
        bool module = length == strlen("module") && !memcmp(at, "module", length);
        left_out = is_wrapper(at, length) || (module && is_inside(last, last_length));
        if (!left_out) {
            last = out;
            last_length = length;
            memmove(out, at, whole);
            out += whole;
        }
        at += whole;
    }
    *out = 0;
    if (left_out && out > name)
        out[-1] = 0;
}

/* Removes the number of the chunk: "blocks.1.3.attn" becomes "blocks.3.attn". Checkpoints of
 * chunked DINOv2 runs count blocks over the whole network. */
static void flatten_chunks(char *key)
{
    for (char *at = strstr(key, "blocks."); at; at = strstr(at + 1, "blocks.")) {
        char *chunk = at + strlen("blocks.");
        size_t first = strspn(chunk, "0123456789");
        size_t second = first && chunk[first] == '.' ? strspn(chunk + first + 1, "0123456789") : 0;
        if ((at == key || separates(at[-1])) && second && chunk[first + 1 + second] == '.')
            memmove(chunk, chunk + first + 1, strlen(chunk + first + 1) + 1);
    }
}

static enum sm_code make_index(struct sm_names *names, struct sm_err *err)
{
    for (size_t i = 0; i < names->entries_count; i++) {
        struct sm_name_entry *entry = &names->entries[i];
        entry->tensor = sm_ckpt_at(names->ckpt, i);
        entry->key = strdup(entry->tensor->name);
        if (!entry->key)
            return sm_err_set(err, SM_NOMEM, "no memory for the name of tensor %.96s",
                              entry->tensor->name);
        strip_wrappers(entry->key);
        flatten_chunks(entry->key);
    }
    qsort(names->entries, names->entries_count, sizeof *names->entries, compare_entries);
    return SM_OK;
}

/* Refuses two tensors of the encoder whose names are equal once wrappers are removed. Tensors
 * outside the encoder's prefix are not compared. */
static enum sm_code check_twins(const struct sm_names *names, struct sm_err *err)
{
    size_t prefix = strlen(names->prefix);
    for (size_t i = 1; i < names->entries_count; i++)
        if (!strcmp(names->entries[i - 1].key, names->entries[i].key) &&
            !strncmp(names->entries[i].key, names->prefix, prefix))
            return sm_err_set(err, SM_INVALID, "tensors %.90s and %.90s stand at the same place",
                              names->entries[i - 1].tensor->name, names->entries[i].tensor->name);
    return SM_OK;
}

enum sm_code sm_names_init(struct sm_names *out, struct sm_ckpt *ckpt, const char *key,
                           struct sm_err *err)
{
    size_t count = sm_ckpt_count(ckpt);
    *out = (struct sm_names){.ckpt = ckpt, .entries_count = count};
    out->entries = calloc(count + 1, sizeof *out->entries);
    if (!out->entries)
        return sm_err_set(err, SM_NOMEM, "no memory for the names of %zu tensors", count);
    char *wanted = key ? strdup(key) : NULL;
    enum sm_code code =
        key && !wanted ? sm_err_set(err, SM_NOMEM, "no memory for \"key\"") : make_index(out, err);
    if (wanted)
        strip_wrappers(wanted);
    if (code == SM_OK)
        code = choose(out, wanted, err);
    if (code == SM_OK)
        code = check_twins(out, err);
    if (code == SM_OK)
        code = sm_names_refuse_adapters(out, err);
    free(wanted);
    if (code != SM_OK)
        sm_names_release(out);
    return code;
}

void sm_names_release(struct sm_names *names)
{
    for (size_t i = 0; names->entries && i < names->entries_count; i++)
        free(names->entries[i].key);
    free(names->entries);
    *names = (struct sm_names){0};
}

bool sm_names_nearest(char out[SM_NAME_BYTES], const struct sm_names *names, const char *name,
                      bool used)
{
    size_t prefix = strlen(names->prefix), length = strlen(name);
    size_t best = length > prefix ? (length - prefix) / 3 + 1 : 0;
    bool found = false;
    if (!best)
        return false;
    for (size_t i = 0, tried = 0; i < names->entries_count && tried < NEAREST_MAX; i++) {
        const struct sm_name_entry *entry = &names->entries[i];
        if (entry->used != used || strncmp(entry->key, names->prefix, prefix) != 0 ||
            !strcmp(entry->key, name))
            continue;
        tried++;
        size_t distance = sm_edits(name + prefix, entry->key + prefix);
        if (distance >= best)
            continue;
        best = distance;
        found = true;
        snprintf(out, SM_NAME_BYTES, "%s", entry->key);
    }
    return found;
}
