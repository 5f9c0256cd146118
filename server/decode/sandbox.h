/* The sandbox of a decoder. After sm_sandbox_enter, the process can compute on its memory, allocate
 * more up to a bound, and exchange packets on one socket. Any other system call ends it.
 *
 * Threads: only for a process of one thread; landlock would not restrict further threads.
 * Errors:  SM_UNSUPPORTED (the kernel has no seccomp filters), SM_IO (a step failed; the text names
 *          it). After an error the process may be partly restricted, and must end. */
#ifndef SERVER_DECODE_SANDBOX_H
#define SERVER_DECODE_SANDBOX_H

#include <stdint.h>

#include "sslmem/err.h"

/* 1 in a build with a sanitizer, whose runtime needs more system calls (sandbox.c). */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SM_SANDBOX_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SM_SANDBOX_SANITIZER 1
#endif
#endif
#ifndef SM_SANDBOX_SANITIZER
#define SM_SANDBOX_SANITIZER 0
#endif

/* Restricts this process. `memory_bytes`: address space that it may map in addition to its present
 * mappings. Sets *landlock_abi to the kernel's landlock version; 0: no landlock. */
enum sm_code sm_sandbox_enter(int *landlock_abi, int socket_fd, uint64_t memory_bytes,
                              struct sm_err *err);

#endif
