/* A listening socket from text: TCP from "address:port", or "unix:/path".
 *
 *     struct sm_listener listener;
 *     sm_listen(&listener, "127.0.0.1:0", &err);
 *     …                                        // listener.fd goes to the daemon, which closes it
 *     sm_listener_end(&listener);
 *
 * A unix socket is its owner's alone (mode 0600). What stands at its path is removed only when it
 * is a socket on which nobody listens, as a killed process leaves one; two that start at the same
 * path at the same moment are not kept apart. */
#ifndef SERVER_HTTP_LISTEN_H
#define SERVER_HTTP_LISTEN_H

#include <stdbool.h>
#include <sys/types.h>

#include "sslmem/err.h"

#define SM_ADDRESS_BYTES 128

struct sm_listener {
    int fd;
    char address[SM_ADDRESS_BYTES]; /* as the text, with the port that was bound */
    bool is_unix;
    dev_t device; /* of a unix socket's file */
    ino_t inode;
};

/* "127.0.0.1:8080", "[::1]:8080", "0.0.0.0:0", "unix:/run/sslmem/admin". SM_INVALID for a text that
 * is no address, SM_CONFLICT for a path that is taken, SM_IO with the system's own words. */
enum sm_code sm_listen(struct sm_listener *listener, const char *text, struct sm_err *err);
/* Removes a unix socket's file, if it still is the one that was made. */
void sm_listener_end(const struct sm_listener *listener);

/* Whether only this machine can reach it: 127.0.0.0/8 or ::1. SM_INVALID as above. */
enum sm_code sm_listen_is_local(bool *out, const char *text, struct sm_err *err);

#endif
