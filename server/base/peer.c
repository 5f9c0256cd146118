/* inet_pton parses addresses: it accepts no spaces, zones or abbreviated IPv4 forms. */
#include "server/base/peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

static bool is_v4(const uint8_t address[16])
{
    return memcmp(address, mapped, sizeof mapped) == 0;
}

static void set_v4(struct sm_peer *out, const void *four)
{
    out->known = true;
    memcpy(out->address, mapped, sizeof mapped);
    memcpy(out->address + sizeof mapped, four, 4);
}

void sm_peer_of(struct sm_peer *out, const struct sockaddr *address)
{
    *out = (struct sm_peer){0};
    if (address && address->sa_family == AF_INET) {
        set_v4(out, &((const struct sockaddr_in *)(const void *)address)->sin_addr);
    } else if (address && address->sa_family == AF_INET6) {
        out->known = true;
        memcpy(out->address, &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr, 16);
    }
}

bool sm_peer_parse(struct sm_peer *out, const char *text)
{
    struct in_addr four;
    *out = (struct sm_peer){0};
    if (inet_pton(AF_INET, text, &four) == 1)
        set_v4(out, &four);
    else if (inet_pton(AF_INET6, text, out->address) == 1)
        out->known = true;
    return out->known;
}

void sm_peer_text(char out[SM_PEER_BYTES], const struct sm_peer *peer)
{
    bool v4 = is_v4(peer->address);
    if (!peer->known ||
        !inet_ntop(v4 ? AF_INET : AF_INET6, peer->address + (v4 ? 12 : 0), out, SM_PEER_BYTES))
        memcpy(out, "unknown", sizeof "unknown");
}

bool sm_peer_equal(const struct sm_peer *a, const struct sm_peer *b)
{
    return a->known == b->known && memcmp(a->address, b->address, sizeof a->address) == 0;
}

struct sm_peer sm_peer_group(const struct sm_peer *peer)
{
    struct sm_peer group = *peer;
    if (!is_v4(peer->address))
        memset(group.address + 8, 0, 8);
    return group;
}

/* Returns true if the first `bits` bits of `a` and `b` are equal. */
static bool same_bits(const uint8_t a[16], const uint8_t b[16], int bits)
{
    int whole = bits / 8, rest = bits % 8;
    if (memcmp(a, b, (size_t)whole) != 0)
        return false;
    return rest == 0 || ((a[whole] ^ b[whole]) >> (8 - rest)) == 0;
}

bool sm_network_parse(struct sm_network *out, const char *text)
{
    char address[SM_PEER_BYTES];
    struct sm_peer peer;
    size_t length = strcspn(text, "/");
    if (length >= sizeof address)
        return false;
    memcpy(address, text, length);
    address[length] = '\0';
    if (!sm_peer_parse(&peer, address))
        return false;
    bool v4 = !strchr(address, ':');
    int max = v4 ? 32 : 128, bits = max;
    if (text[length] == '/') {
        const char *digits = text + length + 1;
        size_t count = strspn(digits, "0123456789");
        if (count == 0 || count > 3 || digits[count] || (count > 1 && digits[0] == '0'))
            return false;
        bits = (int)strtol(digits, NULL, 10);
        if (bits > max)
            return false;
    }
    *out = (struct sm_network){.bits = bits + (v4 ? 96 : 0)};
    memcpy(out->address, peer.address, sizeof out->address);
    struct sm_network first = *out; /* the network's lowest address */
    for (int i = out->bits; i < 128; i++)
        first.address[i / 8] &= (uint8_t) ~(0x80 >> i % 8);
    return memcmp(first.address, out->address, sizeof first.address) == 0;
}

bool sm_network_has(const struct sm_network *network, const struct sm_peer *peer)
{
    return peer->known && same_bits(network->address, peer->address, network->bits);
}

bool sm_origin_valid(const char *text)
{
    static const char host[] = "abcdefghijklmnopqrstuvwxyz0123456789-.";
    size_t scheme = strncmp(text, "https://", 8) == 0  ? 8
                    : strncmp(text, "http://", 7) == 0 ? 7
                                                       : 0;
    if (scheme == 0)
        return false;
    text += scheme;
    size_t length = *text == '[' ? strspn(text + 1, "0123456789abcdef:.") + 1 : strspn(text, host);
    if (*text == '[' && text[length++] != ']')
        return false;
    if (length == 0 || (text[length] && text[length] != ':'))
        return false;
    if (!text[length])
        return true;
    const char *port = text + length + 1;
    size_t digits = strspn(port, "0123456789");
    return digits > 0 && digits <= 5 && !port[digits] && port[0] != '0' &&
           strtol(port, NULL, 10) <= 65535;
}
