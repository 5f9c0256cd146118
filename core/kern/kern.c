/* The table of kernel rows. A new row is one more line here; tests/kern compares every row. */
#include "core/kern/kern.h"

#include <string.h>

#include "core/kern/kern_rows.h"

#ifdef __x86_64__
bool sm_has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

bool sm_has_avx512(void)
{
    return sm_has_avx2() && __builtin_cpu_supports("avx512f") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl");
}
#endif

static const struct sm_kern *const rows[] = {
    &sm_kern_ref,
    &sm_kern_blas,
#ifdef __x86_64__
    &sm_kern_avx2,
    &sm_kern_avx512,
#endif
};

const struct sm_kern *sm_kern_at(size_t index)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if ((!rows[i]->supported || rows[i]->supported()) && index-- == 0)
            return rows[i];
    return NULL;
}

const struct sm_kern *sm_kern_find(const char *name)
{
    const struct sm_kern *row, *last = NULL;
    for (size_t i = 0; (row = sm_kern_at(i)); i++) {
        if (!strcmp(row->name, name))
            return row;
        last = row;
    }
    return strcmp(name, "auto") == 0 ? last : NULL;
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
