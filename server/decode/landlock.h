/* Landlock: takes from this process the right to open files, use ports and send signals, as far as
 * the kernel's landlock version supports it. */
#ifndef SERVER_DECODE_LANDLOCK_H
#define SERVER_DECODE_LANDLOCK_H

#include "sslmem/err.h"

/* Restricts this process, which must have one thread and no_new_privs. Sets *abi to the kernel's
 * landlock version. A kernel without landlock is no error: *abi is 0. Errors: SM_IO. */
enum sm_code sm_landlock_enter(int *abi, struct sm_err *err);

#endif
