/* The index is sorted once, so a lookup is a binary search however many tensors a file claims to
 * have. A canonical name becomes the file's by one rule of the dialect (dialect.c): the first whose
 * leading components it has. What the rule names may be several tensors, which are read one behind
 * the other; shapes are checked on what would come out, before anything is read.
 *
 * Wrappers ("model.", "state_dict.", "module.backbone.", a pickled module's attributes) need no
 * table: they are what stands before an anchor.
 *
 * Why unused tensors are errors: a checkpoint with one more LayerScale or register token loads
 * without complaint into code that ignores it, and every number after that is wrong. Heads,
 * projectors, decoders and optimizer states stand outside of the encoder's own names and are left
 * alone. */
#include "core/nn/names.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FULL_NAME 320
#define PARTS_MAX 3

/* What a canonical name stands for in the file. */
struct source {
    struct sm_name_entry *parts[PARTS_MAX]; /* NULL: not there */
    int parts_count;
    int present;
    char first[FULL_NAME]; /* the name that is reported when there is nothing */
};

static int compare_entries(const void *a, const void *b)
{
    const struct sm_name_entry *x = a, *y = b;
    return strcmp(x->key, y->key);
}

static struct sm_name_entry *find_entry(const struct sm_names *names, const char *key)
{
    char text[FULL_NAME];
    snprintf(text, sizeof text, "%s", key);
    const struct sm_name_entry entry = {.key = text};
    return bsearch(&entry, names->entries, names->entries_count, sizeof entry, compare_entries);
}

/* Length of `head` when it is `name` or its leading components, else 0. */
static size_t leads(const char *name, const char *head)
{
    size_t length = strlen(head);
    bool ends = !name[length > strlen(name) ? strlen(name) : length];
    return !strncmp(name, head, length) && (ends || name[length] == '.' || name[length] == '/')
               ? length
               : 0;
}
