/* Names of ops, shared by augment.c (views) and augment_json.c (op lists, presets). */
#ifndef CORE_IMAGE_AUGMENT_H
#define CORE_IMAGE_AUGMENT_H

#include "sslmem/views.h"

#define SM_OP_KINDS (SM_OP_PAD + 1)

/* Names of ops ("random_resized_crop", …), indexed by enum sm_op_kind, NULL-terminated. */
extern const char *const sm_op_names[SM_OP_KINDS + 1];

#endif
