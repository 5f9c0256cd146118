/* Landlock: this process gives up files, ports and signals, as far as the kernel knows how. */
#ifndef SERVER_DECODE_LANDLOCK_H
#define SERVER_DECODE_LANDLOCK_H

#include "sslmem/err.h"

/* For a process of one thread with no_new_privs. *abi: the kernel's version, 0 when it has none,
 * which is no error. Errors: SM_IO. */
enum sm_code sm_landlock_enter(int *abi, struct sm_err *err);

#endif
