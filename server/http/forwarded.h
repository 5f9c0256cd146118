/* Forwarded (RFC 7239): who a trusted proxy says that it speaks for.
 *
 *     struct sm_forwarded forwarded = {0};
 *     sm_forwarded_parse(&forwarded, "for=192.0.2.7;proto=https", &err); // once a header line
 *     sm_forwarded_client(&client, &https, &forwarded, &peer, networks, networks_count);
 *
 * Anybody can send the header. It is read from its end, where the last proxy wrote, and only as far
 * as whoever wrote is trusted.
 *
 * Owner, threads: values, no state.
 * Errors:  SM_INVALID with the byte where the value breaks the grammar, SM_LIMIT. A `for` that is
 *          hidden ("unknown", "_name") is no error.
 * Limits:  SM_FORWARDED_HOPS_MAX elements of all lines; a value of SM_FORWARDED_VALUE_BYTES - 1. */
#ifndef SERVER_HTTP_FORWARDED_H
#define SERVER_HTTP_FORWARDED_H

#include "server/base/peer.h"
#include "sslmem/err.h"

#define SM_FORWARDED_HOPS_MAX    16
#define SM_FORWARDED_VALUE_BYTES 256

struct sm_hop {
    struct sm_peer node; /* unknown: absent or hidden */
    bool https;
};

struct sm_forwarded {
    struct sm_hop hops[SM_FORWARDED_HOPS_MAX]; /* the client first, the last proxy's last */
    int hops_count;
};

/* Appends the elements of one header line. */
enum sm_code sm_forwarded_parse(struct sm_forwarded *forwarded, const char *value,
                                struct sm_err *err);

/* The client of a connection from `peer`: the nearest that is not trusted. One that hides keeps the
 * address of the proxy that hides it. `https`: the client's own connection is known to be. */
void sm_forwarded_client(struct sm_peer *client, bool *https, const struct sm_forwarded *forwarded,
                         const struct sm_peer *peer, const struct sm_network *trusted,
                         int trusted_count);

#endif
