/* Forwarded (RFC 7239): the client that a trusted proxy names.
 *
 *     struct sm_forwarded forwarded = {0};
 *     sm_forwarded_parse(&forwarded, "for=192.0.2.7;proto=https", &err); // once a header line
 *     sm_forwarded_client(&client, &https, &forwarded, &peer, networks, networks_count);
 *
 * Anybody can send the header. It is evaluated from its end, which the last proxy wrote, backwards,
 * and only as long as the writer of an element is a trusted proxy.
 *
 * Owner, threads: plain values, no state.
 * Errors:  SM_INVALID with the byte where the value breaks the grammar, SM_LIMIT. A hidden `for`
 *          ("unknown", "_name") is no error.
 * Limits:  SM_FORWARDED_HOPS_MAX elements in all lines; SM_FORWARDED_VALUE_BYTES - 1 bytes in a
 *          value. */
#ifndef SERVER_HTTP_FORWARDED_H
#define SERVER_HTTP_FORWARDED_H

#include "server/base/peer.h"
#include "sslmem/err.h"

#define SM_FORWARDED_HOPS_MAX    16
#define SM_FORWARDED_VALUE_BYTES 256

struct sm_hop {
    struct sm_peer node; /* from `for`; an unknown peer if it is absent or hidden */
    bool https;
};

struct sm_forwarded {
    struct sm_hop hops[SM_FORWARDED_HOPS_MAX]; /* in order: the client first */
    int hops_count;
};

/* Appends the elements of one header line. */
enum sm_code sm_forwarded_parse(struct sm_forwarded *forwarded, const char *value,
                                struct sm_err *err);

/* Finds the client of a connection from `peer`: the last hop whose address is not a trusted proxy.
 * A hidden client gets the address of the proxy that hides it. Sets *https if that client's own
 * connection used HTTPS. */
void sm_forwarded_client(struct sm_peer *client, bool *https, const struct sm_forwarded *forwarded,
                         const struct sm_peer *peer, const struct sm_network *trusted,
                         int trusted_count);

#endif
