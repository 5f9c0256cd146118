/* A key longer than its room is cut, so that such entries may share a sample; they do so only if
 * they follow each other. */
#include "core/data/sample.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/json.h"
#include "core/data/data.h"
#include "core/data/members.h"

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

static enum sm_code read_text(struct sm_sample *sample, const char *text, size_t count,
                              struct sm_err *err)
{
    while (count > 0 && strchr(" \t\r\n", text[count - 1]) && text[count - 1] != '\0')
        count--;
    if (memchr(text, '\0', count))
        return sm_err_set(err, SM_CORRUPT, "has a zero byte, must be the class as text");
    sm_data_copy_label(sample->class_label, text, count);
    return SM_OK;
}

static enum sm_code read_member(char out[SM_DATASET_LABEL_BYTES_MAX + 1], const json_t *node,
                                enum sm_member member, struct sm_err *err)
{
    char *text;
    enum sm_code code = sm_member_read(&text, node, member, err);
    if (text)
        sm_data_copy_label(out, text, strlen(text));
    free(text);
    return code;
}

static enum sm_code read_json(struct sm_sample *sample, const char *bytes, size_t bytes_count,
                              struct sm_err *err)
{
    char class_label[SM_DATASET_LABEL_BYTES_MAX + 1] = "", group[sizeof class_label] = "";
    json_t *node = NULL;
    enum sm_code code =
        sm_json_parse(&node, bytes, bytes_count, SM_DATASET_SIDECAR_BYTES_MAX, DEPTH_MAX, err);
    if (code == SM_OK && !json_is_object(node))
        code = sm_err_set(err, SM_CORRUPT, "not a JSON object");
    if (code == SM_OK)
        code = read_member(class_label, node, SM_MEMBER_CLASS, err);
    if (code == SM_OK)
        code = read_member(group, node, SM_MEMBER_GROUP, err);
    json_decref(node);
    if (code != SM_OK)
        return code;
    if (!sample->has[SM_SAMPLE_CLS])
        memcpy(sample->class_label, class_label, sizeof class_label);
    memcpy(sample->group, group, sizeof group);
    return SM_OK;
}

enum sm_code sm_sample_read(struct sm_sample *sample, enum sm_sample_kind kind, const void *bytes,
                            size_t bytes_count, struct sm_err *err)
{
    if (bytes_count > SM_DATASET_SIDECAR_BYTES_MAX)
        return sm_err_set(err, SM_LIMIT, "has over %d bytes, which is the limit of labels",
                          SM_DATASET_SIDECAR_BYTES_MAX);
    const char *text = bytes_count > 0 ? bytes : "";
    sample->has[kind] = true;
    return kind == SM_SAMPLE_CLS ? read_text(sample, text, bytes_count, err)
                                 : read_json(sample, text, bytes_count, err);
}

bool sm_sample_lost_class(const struct sm_sample *sample)
{
    return sample->class_label[0] != '\0' && !sample->has[SM_SAMPLE_IMAGE] &&
           !sample->has[SM_SAMPLE_OTHER];
}

bool sm_sample_shares_labels(const struct sm_sample *first, const struct sm_sample *second)
{
    return first->has[SM_SAMPLE_IMAGE] && second->has[SM_SAMPLE_IMAGE] &&
           strcmp(first->key, second->key) == 0 &&
           (first->has[SM_SAMPLE_CLS] != second->has[SM_SAMPLE_CLS] ||
            first->has[SM_SAMPLE_JSON] != second->has[SM_SAMPLE_JSON]);
}
