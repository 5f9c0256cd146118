/* The cell that decoding runs in: after sm_sandbox_enter a process can compute on memory that it
 * has, get more up to a bound, and exchange packets on one socket. Anything else ends it.
 *
 * Threads: for a process of one thread (others, seccomp would hold and landlock not).
 * Errors:  SM_UNSUPPORTED (the kernel has no seccomp filters), SM_IO (a step failed; the text names
 *          it); the process may be half locked in then, and must end. */
#ifndef SERVER_DECODE_SANDBOX_H
#define SERVER_DECODE_SANDBOX_H

#include <stdint.h>

#include "sslmem/err.h"

/* Built with a sanitizer: its runtime needs some calls more, see sandbox.c. */
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

/* `memory_bytes`: address space beyond what is mapped now. *landlock_abi: the kernel's version of
 * landlock, 0 when it has none. */
enum sm_code sm_sandbox_enter(int *landlock_abi, int socket_fd, uint64_t memory_bytes,
                              struct sm_err *err);

#endif
