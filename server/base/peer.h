/* Peers of the service: their addresses and networks, and the origins of web pages.
 *
 *     struct sm_network net;
 *     if (sm_network_parse(&net, "10.0.0.0/8") && sm_network_has(&net, &peer)) …
 *
 * IPv4 addresses are stored as IPv6 ("::ffff:a.b.c.d"), so that a client has the same address on
 * every socket.
 *
 * Owner, threads: plain values, no state. */
#ifndef SERVER_BASE_PEER_H
#define SERVER_BASE_PEER_H

#include <stdbool.h>
#include <stdint.h>

struct sockaddr;

#define SM_PEER_BYTES 46 /* bytes of an address as text and its NUL */

struct sm_peer {
    bool known; /* false: a unix socket, or a client that its proxy hides */
    uint8_t address[16];
};

struct sm_network {
    uint8_t address[16];
    int bits; /* number of leading bits that count, 0 to 128 */
};

/* Converts an IPv4 or IPv6 address; any other, or NULL, becomes an unknown peer. */
void sm_peer_of(struct sm_peer *out, const struct sockaddr *address);
/* Parses "192.0.2.7" or "2001:db8::1", without brackets, zone or port. */
bool sm_peer_parse(struct sm_peer *out, const char *text);
/* Writes a text that sm_peer_parse reads, or "unknown". */
void sm_peer_text(char out[SM_PEER_BYTES], const struct sm_peer *peer);
bool sm_peer_equal(const struct sm_peer *a, const struct sm_peer *b);
/* Returns the address under which limits count a client: an IPv4 address itself, or the first
 * address of an IPv6 /64, since every IPv6 customer has at least a /64. */
struct sm_peer sm_peer_group(const struct sm_peer *peer);

/* Parses an address, or "address/bits" where all bits of the address after `bits` are 0. */
bool sm_network_parse(struct sm_network *out, const char *text);
bool sm_network_has(const struct sm_network *network, const struct sm_peer *peer);

/* Returns true for "https://host" or "http://host:8080" in lower case without a path, the form in
 * which browsers send Origin. */
bool sm_origin_valid(const char *text);

#endif
