/* A listening TCP socket from "address:port" text. */
#ifndef SERVER_HTTP_LISTEN_H
#define SERVER_HTTP_LISTEN_H

#include <stdbool.h>

#include "sslmem/err.h"

#define SM_ADDRESS_BYTES 64

/* "127.0.0.1:8080", "[::1]:8080", "0.0.0.0:0". `address` receives the same with the port that was
 * bound. SM_INVALID for a text that is no address, SM_IO with the system's own words. */
enum sm_code sm_listen(int *fd, char address[SM_ADDRESS_BYTES], const char *text,
                       struct sm_err *err);

/* Whether only this machine can reach it: 127.0.0.0/8 or ::1. SM_INVALID as above. */
enum sm_code sm_listen_is_local(bool *out, const char *text, struct sm_err *err);

#endif
