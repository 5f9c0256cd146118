/* The index of tensor names behind names.h, for names.c, find.c, parts.c and core/nn/vit_facts.c
 * only. */
#ifndef CORE_NAMES_NAMES_IMPL_H
#define CORE_NAMES_NAMES_IMPL_H

#include "core/names/names.h"

#define SM_NAME_BYTES 640 /* room for a tensor's name, from the file or looked up, with its NUL */

/* Returns the entry of a key; NULL if no tensor has that key. */
struct sm_name_entry *sm_names_entry(const struct sm_names *names, const char *key);

/* Returns the first entry whose key begins with `bytes`; NULL if no key does. */
struct sm_name_entry *sm_names_below(const struct sm_names *names, const char *bytes);

/* Returns the length of `head` if `name` is `head` or begins with its components, else 0. */
size_t sm_name_leads(const char *name, const char *head);
/* Returns true if `name` is `tail` or ends with its components. */
bool sm_name_ends(const char *name, const char *tail);

/* Writes the key below the encoder's prefix with the least edit distance to `name`, among the
 * entries whose `used` equals the argument. Returns false if no key is near. */
bool sm_names_nearest(char out[SM_NAME_BYTES], const struct sm_names *names, const char *name,
                      bool used);

/* What a file has in place of plain weights (parts.c). Each function returns SM_OK if it finds
 * nothing, else SM_UNSUPPORTED with the tensor and what to do. It looks for: tensors of an adapter
 * below the encoder's prefix; */
enum sm_code sm_names_refuse_adapters(const struct sm_names *names, struct sm_err *err);
/* parts of the missing tensor `weight`, a name of the file; */
enum sm_code sm_names_refuse_parts(const struct sm_names *names, const char *weight,
                                   struct sm_err *err);
/* parts of any weight by which an encoder would be recognised. */
enum sm_code sm_names_refuse_anchor_parts(const struct sm_names *names, struct sm_err *err);

#endif
