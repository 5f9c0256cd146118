/* The table of kernel rows. A new row is one more line here; tests/kern walks the same table. */
#include "core/nn/kern.h"

#include <string.h>

#include "core/nn/kern_rows.h"

const struct sm_kern *const sm_kern_rows[] = {&sm_kern_ref, &sm_kern_blas, NULL};

const struct sm_kern *sm_kern_find(const char *name)
{
    for (const struct sm_kern *const *row = sm_kern_rows; *row; row++)
        if (!strcmp((*row)->name, name))
            return *row;
    return NULL;
}

const char *sm_kernel_name(enum sm_kernel kernel)
{
    static const char *const names[SM_KERNELS] = {
        [SM_KERNEL_LAYOUT] = "layout",       [SM_KERNEL_CONV2D] = "conv2d",
        [SM_KERNEL_MAXPOOL] = "maxpool",     [SM_KERNEL_LINEAR] = "linear",
        [SM_KERNEL_LAYERNORM] = "layernorm", [SM_KERNEL_ATTENTION] = "attention",
        [SM_KERNEL_AVGPOOL] = "avgpool",     [SM_KERNEL_ROPE] = "rope",
        [SM_KERNEL_GATE] = "gate",           [SM_KERNEL_PREPEND] = "prepend",
        [SM_KERNEL_MEAN] = "mean",           [SM_KERNEL_PICK] = "pick",
    };
    return names[kernel];
}
