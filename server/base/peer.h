/* Who is at the other end: addresses, networks, and the origins of web pages.
 *
 *     struct sm_network net;
 *     if (sm_network_parse(&net, "10.0.0.0/8") && sm_network_has(&net, &peer)) …
 *
 * IPv4 is kept as IPv6 ("::ffff:a.b.c.d"), so that a client has one address on every socket.
 *
 * Owner, threads: values, no state. */
#ifndef SERVER_BASE_PEER_H
#define SERVER_BASE_PEER_H

#include <stdbool.h>
#include <stdint.h>

struct sockaddr;

#define SM_PEER_BYTES 46 /* of its text, NUL included */

struct sm_peer {
    bool known; /* false: a unix socket, or a proxy that does not tell */
    uint8_t address[16];
};

struct sm_network {
    uint8_t address[16];
    int bits; /* 0 to 128 */
};

/* What is no internet address becomes unknown. */
void sm_peer_of(struct sm_peer *out, const struct sockaddr *address);
/* "192.0.2.7", "2001:db8::1" without brackets and zone. */
bool sm_peer_parse(struct sm_peer *out, const char *text);
/* As it is parsed; "unknown". */
void sm_peer_text(char out[SM_PEER_BYTES], const struct sm_peer *peer);
bool sm_peer_equal(const struct sm_peer *a, const struct sm_peer *b);
/* Who is counted as one: an IPv4 address, or the /64 that one IPv6 customer has at least. */
struct sm_peer sm_peer_group(const struct sm_peer *peer);

/* An address, or "address/bits" with no bit set after the first `bits`. */
bool sm_network_parse(struct sm_network *out, const char *text);
bool sm_network_has(const struct sm_network *network, const struct sm_peer *peer);

/* "https://host" or "http://host:8080", lower case, no path: what browsers send as Origin. */
bool sm_origin_valid(const char *text);

#endif
