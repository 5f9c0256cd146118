/* Names the BLAS that is linked, and limits its threads. This is the only process-wide state of
 * core, because OpenBLAS has it: every call rebuilds its configuration text in a static buffer, so
 * the text is copied once, under pthread_once. */
#include <cblas.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "sslmem/encoder.h"

static char version[192];
static pthread_once_t version_once = PTHREAD_ONCE_INIT;

static void read_version(void)
{
    const char *core = openblas_get_corename();
    size_t length = (size_t)snprintf(version, sizeof version, "%s", openblas_get_config());
    if (length < sizeof version && !strstr(version, core))
        snprintf(version + length, sizeof version - length, " %s", core);
}

const char *sm_blas_version(void)
{
    pthread_once(&version_once, read_version);
    return version;
}

void sm_blas_single_thread(void)
{
    openblas_set_num_threads(1);
}
