/* Fuzzes the Forwarded header, and the addresses and networks of trusted proxies.
 *
 * Properties: two header lines give the same as one line with both values; an accepted value,
 * written again from its addresses, reads the same; the word of an untrusted address counts for
 * nothing; a chain of trusted proxies leads to its first element, or ends where an element hides
 * its address. */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/base/peer.h"
#include "server/http/forwarded.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The network of all addresses; IPv4 addresses are kept as IPv6 ones. */
static const struct sm_network everybody[] = {{.bits = 0}};

static void check_address(const char *text)
{
    struct sm_peer peer, again, group;
    struct sm_network network;
    char written[SM_PEER_BYTES];
    if (sm_peer_parse(&peer, text)) {
        sm_peer_text(written, &peer);
        assert(sm_peer_parse(&again, written) && sm_peer_equal(&peer, &again));
        group = sm_peer_group(&peer);
        again = sm_peer_group(&group);
        assert(sm_peer_equal(&group, &again));
        assert(sm_network_parse(&network, text) && sm_network_has(&network, &peer));
    }
    if (sm_network_parse(&network, text)) {
        assert(network.bits >= 0 && network.bits <= 128);
        peer = (struct sm_peer){.known = true};
        memcpy(peer.address, network.address, sizeof peer.address);
        assert(sm_network_has(&network, &peer));
        if (network.bits < 128) {
            peer.address[15] ^= 1; /* not a bit of the network */
            assert(sm_network_has(&network, &peer));
        }
        if (network.bits > 0) {
            peer.address[(network.bits - 1) / 8] ^= (uint8_t)(0x80 >> (network.bits - 1) % 8);
            assert(!sm_network_has(&network, &peer));
        }
        peer.known = false;
        assert(!sm_network_has(&network, &peer));
    }
    if (sm_origin_valid(text))
        assert(strncmp(text, "http", 4) == 0 && !strpbrk(text, " ,\"\\@?#*ABCXYZ") &&
               !strchr(strstr(text, "//") + 2, '/'));
}

static bool same(const struct sm_forwarded *a, const struct sm_forwarded *b)
{
    if (a->hops_count != b->hops_count)
        return false;
    for (int i = 0; i < a->hops_count; i++)
        if (!sm_peer_equal(&a->hops[i].node, &b->hops[i].node) ||
            a->hops[i].https != b->hops[i].https)
            return false;
    return true;
}

static void check_written(const struct sm_forwarded *forwarded)
{
    struct sm_forwarded again = {0};
    char node[SM_PEER_BYTES], *line = NULL;
    size_t line_bytes;
    FILE *out = open_memstream(&line, &line_bytes);
    if (!out)
        abort();
    for (int i = 0; i < forwarded->hops_count; i++) {
        const struct sm_hop *hop = &forwarded->hops[i];
        sm_peer_text(node, &hop->node);
        fprintf(out, "%sFOR=\"%s%s%s\"; proto=%s", i > 0 ? "\t, " : "",
                strchr(node, ':') ? "[" : "", node, strchr(node, ':') ? "]:8080" : "",
                hop->https ? "HTTPS" : "http");
    }
    if (fclose(out) != 0)
        abort();
    assert(sm_forwarded_parse(&again, line, NULL) == SM_OK && same(forwarded, &again));
    free(line);
}

/* Checks which client results if no address, only the peer, or every address is trusted. */
static void check_client(const struct sm_forwarded *forwarded)
{
    const struct sm_peer peer = {.known = true, .address = {[0] = 0x20, [15] = 9}};
    struct sm_network only_peer = {.bits = 128};
    struct sm_peer client, expected = peer;
    bool https;
    sm_forwarded_client(&client, &https, forwarded, &peer, everybody, 0);
    assert(sm_peer_equal(&client, &peer) && !https);

    const struct sm_hop *last = &forwarded->hops[forwarded->hops_count - 1];
    memcpy(only_peer.address, peer.address, sizeof peer.address);
    sm_forwarded_client(&client, &https, forwarded, &peer, &only_peer, 1);
    if (!sm_peer_equal(&last->node, &peer)) {
        assert(sm_peer_equal(&client, last->node.known ? &last->node : &peer));
        assert(https == last->https);
    }

    for (int i = forwarded->hops_count; i-- > 0 && forwarded->hops[i].node.known;)
        expected = forwarded->hops[i].node;
    sm_forwarded_client(&client, &https, forwarded, &peer, everybody, 1);
    assert(sm_peer_equal(&client, &expected));
}

static void check_lines(const char *text)
{
    struct sm_forwarded once = {0}, twice = {0}, joined = {0};
    char *line = NULL;
    enum sm_code code = sm_forwarded_parse(&once, text, NULL);
    assert(once.hops_count >= 0 && once.hops_count <= SM_FORWARDED_HOPS_MAX);
    if (code != SM_OK)
        return;
    assert(once.hops_count > 0);
    check_written(&once);
    check_client(&once);
    if (asprintf(&line, "%s,%s", text, text) < 0)
        abort();
    code = sm_forwarded_parse(&joined, line, NULL);
    assert((code == SM_OK) == (2 * once.hops_count <= SM_FORWARDED_HOPS_MAX));
    assert(sm_forwarded_parse(&twice, text, NULL) == SM_OK &&
           sm_forwarded_parse(&twice, text, NULL) == code && same(&twice, &joined));
    free(line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = strndup((const char *)data, size); /* exact size: see driver.c */
    if (!text)
        return 0;
    check_address(text);
    check_lines(text);
    free(text);
    return 0;
}
