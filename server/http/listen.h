/* Opens a listening socket from text: "address:port" for TCP, or "unix:/path".
 *
 *     struct sm_listener listener;
 *     sm_listen(&listener, "127.0.0.1:0", &err);
 *     …                                        // pass listener.fd to the daemon, which closes it
 *     sm_listener_end(&listener);
 *
 * Only the owner may use a unix socket (mode 0600). An existing file at its path is removed only if
 * it is a socket on which nobody listens, as a killed process leaves one. Two processes that start
 * on the same path at the same moment are not protected from each other. */
#ifndef SERVER_HTTP_LISTEN_H
#define SERVER_HTTP_LISTEN_H

#include <stdbool.h>
#include <sys/types.h>

#include "sslmem/err.h"

#define SM_ADDRESS_BYTES 128

struct sm_listener {
    int fd;
    char address[SM_ADDRESS_BYTES]; /* the address given, with the port that was bound */
    bool is_unix;
    dev_t device; /* device and inode identify the file of a unix socket */
    ino_t inode;
};

/* Listens on `text`: "127.0.0.1:8080", "[::1]:8080", "0.0.0.0:0", "unix:/run/sslmem/admin". Errors:
 * SM_INVALID (the text is no address), SM_CONFLICT (the path is in use), SM_IO (a system call
 * failed). */
enum sm_code sm_listen(struct sm_listener *listener, const char *text, struct sm_err *err);
/* Removes the file of a unix socket, if it is still the file that sm_listen made. */
void sm_listener_end(const struct sm_listener *listener);

/* Checks that sm_listen would succeed now, and stops listening. Errors: those of sm_listen. */
enum sm_code sm_listen_try(const char *text, struct sm_err *err);

/* Sets *out if only this machine can reach the address: 127.0.0.0/8 or ::1. Errors: SM_INVALID (the
 * text is no address). */
enum sm_code sm_listen_is_local(bool *out, const char *text, struct sm_err *err);

#endif
