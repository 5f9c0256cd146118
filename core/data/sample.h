/* Samples of WebDataset: consecutive entries of an archive whose names agree up to the first dot of
 * the last part of the path. KEY.cls holds a class as text, KEY.json {"class", "group"} with the
 * names of core/data/members.c. KEY.cls tells the class if both are there. A sample ends where the
 * key changes or a kind of entry comes again.
 *
 * Owner: the caller; no memory of its own. Threads: no state. */
#ifndef CORE_DATA_SAMPLE_H
#define CORE_DATA_SAMPLE_H

#include "sslmem/dataset.h"

#define SM_SAMPLE_KEY_BYTES 1024

enum sm_sample_kind { SM_SAMPLE_OTHER, SM_SAMPLE_IMAGE, SM_SAMPLE_CLS, SM_SAMPLE_JSON };

struct sm_sample {
    char key[SM_SAMPLE_KEY_BYTES];
    bool has[4]; /* by kind */
    char class_label[SM_DATASET_LABEL_BYTES_MAX + 1], group[SM_DATASET_LABEL_BYTES_MAX + 1];
};

/* Returns the kind of an entry by its name: CLS, JSON or OTHER. */
enum sm_sample_kind sm_sample_kind(const char *name);
/* Returns true if an entry belongs to the sample. */
bool sm_sample_holds(const struct sm_sample *sample, const char *name, enum sm_sample_kind kind);
/* Begins a new, empty sample with the key of an entry. */
void sm_sample_begin(struct sm_sample *sample, const char *name);
/* Adds a CLS or JSON entry to the sample and reads its labels. An entry that is not valid changes
 * no label: SM_CORRUPT or SM_LIMIT, with a text that needs the entry's name before it; SM_NOMEM. */
enum sm_code sm_sample_read(struct sm_sample *sample, enum sm_sample_kind kind, const void *bytes,
                            size_t bytes_count, struct sm_err *err);

/* Returns true if the sample, which is complete, has a class and no image. An archive in another
 * order has such samples: its images must not become images without a class. A file of another kind
 * may be what the class belongs to. */
bool sm_sample_lost_class(const struct sm_sample *sample);
#define SM_SAMPLE_LOST                                                                             \
    "no image stands next to this class; write the entries of a sample one after another "         \
    "(tar --sort=name)"

/* Returns true if two samples, which are complete and follow each other, are two images of one key
 * of which only one would get the labels. */
bool sm_sample_shares_labels(const struct sm_sample *first, const struct sm_sample *second);
#define SM_SAMPLE_SHARED "which tell the class of one; keep one image a sample"

#endif
