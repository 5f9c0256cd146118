/* Addresses, networks and origins as texts: what is taken, what is not, what belongs together. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants the four above */
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "server/base/peer.h"

static struct sm_peer peer_of(const char *text)
{
    struct sm_peer peer;
    if (!sm_peer_parse(&peer, text))
        fail_msg("%s is not taken", text);
    return peer;
}

static void addresses_read_back(void **state)
{
    (void)state;
    static const char *const texts[][2] = {
        {"192.0.2.7", "192.0.2.7"},
        {"0.0.0.0", "0.0.0.0"},
        {"::ffff:192.0.2.7", "192.0.2.7"},
        {"2001:DB8::1", "2001:db8::1"},
        {"2001:db8:0:0:0:0:0:1", "2001:db8::1"},
        {"::1", "::1"},
    };
    static const char *const bad[] = {"",           "192.0.2", "192.0.2.256", "192.0.2.7 ",
                                      " ::1",       "[::1]",   "fe80::1%lo",  "localhost",
                                      "1.2.3.4:80", "0x7f.1",  "::1::2",      "010.0.0.1.2"};
    char back[SM_PEER_BYTES];
    struct sm_peer peer;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        peer = peer_of(texts[i][0]);
        sm_peer_text(back, &peer);
        assert_string_equal(back, texts[i][1]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (sm_peer_parse(&peer, bad[i]) || peer.known)
            fail_msg("'%s' is taken", bad[i]);
    sm_peer_text(back, &peer);
    assert_string_equal(back, "unknown");
}

static void sockets_have_peers(void **state)
{
    (void)state;
    struct sockaddr_in four = {.sin_family = AF_INET};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6};
    struct sm_peer of_four, of_six, expected = peer_of("192.0.2.7");
    inet_pton(AF_INET, "192.0.2.7", &four.sin_addr);
    inet_pton(AF_INET6, "::ffff:192.0.2.7", &six.sin6_addr);
    sm_peer_of(&of_four, (const struct sockaddr *)&four);
    sm_peer_of(&of_six, (const struct sockaddr *)&six);
    assert_true(sm_peer_equal(&of_four, &expected));
    assert_true(sm_peer_equal(&of_six, &expected));
    sm_peer_of(&of_four, &(struct sockaddr){.sa_family = AF_UNIX});
    assert_false(of_four.known);
    sm_peer_of(&of_six, NULL);
    assert_false(of_six.known);
}

static void an_ipv6_customer_is_one_client(void **state)
{
    (void)state;
    struct sm_peer a = peer_of("2001:db8:1:2::1"), b = peer_of("2001:db8:1:2:ffff::9"),
                   c = peer_of("2001:db8:1:3::1"), four = peer_of("192.0.2.7");
    struct sm_peer ga = sm_peer_group(&a), gb = sm_peer_group(&b), gc = sm_peer_group(&c),
                   gfour = sm_peer_group(&four);
    assert_true(sm_peer_equal(&ga, &gb));
    assert_false(sm_peer_equal(&ga, &gc));
    assert_true(sm_peer_equal(&gfour, &four));
}

static void networks_hold_their_addresses(void **state)
{
    (void)state;
    static const struct {
        const char *network, *address;
        bool has;
    } cases[] = {
        {"10.0.0.0/8", "10.255.255.255", true},
        {"10.0.0.0/8", "11.0.0.0", false},
        {"192.0.2.7", "192.0.2.7", true},
        {"192.0.2.7", "192.0.2.6", false},
        {"192.0.2.128/25", "192.0.2.127", false},
        {"192.0.2.128/25", "192.0.2.128", true},
        {"192.0.2.6/31", "192.0.2.7", true},
        {"0.0.0.0/0", "255.255.255.255", true},
        {"0.0.0.0/0", "::1", false},
        {"2001:db8::/33", "2001:db8:7fff::1", true},
        {"2001:db8::/33", "2001:db8:8000::1", false},
        {"::1", "::1", true},
        {"::1/128", "::2", false},
        {"::ffff:10.0.0.0/104", "10.9.9.9", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sm_network network;
        struct sm_peer peer = peer_of(cases[i].address);
        assert_true(sm_network_parse(&network, cases[i].network));
        if (sm_network_has(&network, &peer) != cases[i].has)
            fail_msg("%s in %s", cases[i].address, cases[i].network);
    }
    struct sm_network all;
    assert_true(sm_network_parse(&all, "::/0"));
    assert_false(sm_network_has(&all, &(struct sm_peer){0}));
}

static void other_networks_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "10.0.0.0/",
                                      "10.0.0.0/33",
                                      "10.0.0.0/-1",
                                      "10.0.0.0/08",
                                      "10.0.0.0/8 ",
                                      "10.0.0.1/8",
                                      "::/129",
                                      "::1/64",
                                      "/8",
                                      "proxy",
                                      "10.0.0.0/8/8",
                                      "[::1]",
                                      "10.0.0.0/0x8",
                                      "::/1000",
                                      "2001:0db8:0000:0000:0000:0000:0000:0000:0000:0001/64"};
    struct sm_network network;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (sm_network_parse(&network, bad[i]))
            fail_msg("'%s' is taken", bad[i]);
}

static void origins(void **state)
{
    (void)state;
    static const char *const good[] = {"https://a.example", "http://localhost:8080",
                                       "https://[2001:db8::1]:8443", "http://10.0.0.1"};
    static const char *const bad[] = {"",
                                      "*",
                                      "null",
                                      "https://",
                                      "https://a/",
                                      "https://a:",
                                      "https://a:0",
                                      "https://a:65536",
                                      "https://a:8o",
                                      "https://A",
                                      "ftp://a",
                                      "a.example",
                                      "https://*.example",
                                      "https://u@a",
                                      "https://[::1",
                                      "https://[::1]x",
                                      "https://a b"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (!sm_origin_valid(good[i]))
            fail_msg("'%s' is refused", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (sm_origin_valid(bad[i]))
            fail_msg("'%s' is taken", bad[i]);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_read_back),
        cmocka_unit_test(sockets_have_peers),
        cmocka_unit_test(an_ipv6_customer_is_one_client),
        cmocka_unit_test(networks_hold_their_addresses),
        cmocka_unit_test(other_networks_are_refused),
        cmocka_unit_test(origins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
