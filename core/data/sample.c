/* A key longer than its room is cut, so that such entries may share a sample; they do so only if
 * they follow each other. */
#include "core/data/sample.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "core/base/json.h"
#include "core/data/data.h"

#define DEPTH_MAX 16

enum sm_sample_kind sm_sample_kind(const char *name)
{
    return sm_data_ends(name, ".cls")    ? SM_SAMPLE_CLS
           : sm_data_ends(name, ".json") ? SM_SAMPLE_JSON
                                         : SM_SAMPLE_OTHER;
}

static size_t key_length(const char *name)
{
    const char *base = strrchr(name, '/');
    base = base ? base + 1 : name;
    size_t n = (size_t)(base - name) + strcspn(base, ".");
    return n < SM_SAMPLE_KEY_BYTES - 1 ? n : SM_SAMPLE_KEY_BYTES - 1;
}

bool sm_sample_holds(const struct sm_sample *sample, const char *name, enum sm_sample_kind kind)
{
    size_t n = key_length(name);
    return strlen(sample->key) == n && memcmp(sample->key, name, n) == 0 &&
           (kind == SM_SAMPLE_OTHER || !sample->has[kind]);
}

void sm_sample_begin(struct sm_sample *sample, const char *name)
{
    size_t n = key_length(name);
    *sample = (struct sm_sample){0};
    memcpy(sample->key, name, n);
}

static bool read_text(char out[SM_DATASET_LABEL_BYTES_MAX + 1], const char *text, size_t count)
{
    while (count > 0 && strchr(" \t\r\n", text[count - 1]) && text[count - 1] != '\0')
        count--;
    sm_data_copy_label(out, text, count);
    return true;
}

static bool read_json(struct sm_sample *sample, const void *bytes, size_t bytes_count)
{
    static const char *const classes[] = {"class", "label", "cls"};
    json_t *node = NULL;
    if (sm_json_parse(&node, bytes, bytes_count, SM_DATASET_SIDECAR_BYTES_MAX, DEPTH_MAX, NULL) !=
            SM_OK ||
        !json_is_object(node)) {
        json_decref(node);
        return false;
    }
    const json_t *value = NULL, *group = json_object_get(node, "group");
    for (int i = 0; !value && i < 3; i++)
        value = json_object_get(node, classes[i]);
    if (json_is_string(value))
        sm_data_copy_label(sample->class_label, json_string_value(value),
                           json_string_length(value));
    else if (json_is_integer(value))
        snprintf(sample->class_label, sizeof sample->class_label, "%lld",
                 (long long)json_integer_value(value));
    if (json_is_string(group))
        sm_data_copy_label(sample->group, json_string_value(group), json_string_length(group));
    json_decref(node);
    return true;
}

bool sm_sample_read(struct sm_sample *sample, enum sm_sample_kind kind, const void *bytes,
                    size_t bytes_count)
{
    if (bytes_count > SM_DATASET_SIDECAR_BYTES_MAX)
        return false;
    return kind == SM_SAMPLE_CLS ? read_text(sample->class_label, bytes, bytes_count)
                                 : read_json(sample, bytes, bytes_count);
}
