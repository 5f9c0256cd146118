/* Forwarded: the grammar, its limits, and whom to believe. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants the four above */
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "server/http/forwarded.h"

static struct sm_forwarded forwarded;
static struct sm_err err;

static enum sm_code parse(const char *value)
{
    forwarded = (struct sm_forwarded){0};
    err = (struct sm_err){0};
    return sm_forwarded_parse(&forwarded, value, &err);
}

/* "192.0.2.7 https, unknown" */
static const char *print(void)
{
    static char text[1024];
    char node[SM_PEER_BYTES];
    int used = 0;
    text[0] = '\0';
    for (int i = 0; i < forwarded.hops_count; i++) {
        sm_peer_text(node, &forwarded.hops[i].node);
        used += snprintf(text + used, sizeof text - (size_t)used, "%s%s%s", i > 0 ? ", " : "", node,
                         forwarded.hops[i].https ? " https" : "");
    }
    return text;
}

static void values_that_are_taken(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"for=192.0.2.7", "192.0.2.7"},
        {"For=\"192.0.2.7:4711\";PROTO=HTTPS", "192.0.2.7 https"},
        {"for=\"[2001:db8::1]\"", "2001:db8::1"},
        {"for=\"[2001:db8::1]:80\";by=203.0.113.43;host=example.com", "2001:db8::1"},
        {"for=\"[2001:db8::1]:_p0rt\"", "2001:db8::1"},
        {"for=192.0.2.7; proto=http; by=203.0.113.43", "192.0.2.7"},
        {"for=192.0.2.7 ,\tfor=198.51.100.1;proto=https", "192.0.2.7, 198.51.100.1 https"},
        {"for=unknown", "unknown"},
        {"for=\"unknown:80\"", "unknown"},
        {"for=_hidden-1.x", "unknown"},
        {"by=_me;proto=https", "unknown https"},
        {"for=\"\\192.0.2.7\"", "192.0.2.7"},
        {"secret=\"a, b; c=\\\"d\\\"\";for=192.0.2.7", "192.0.2.7"},
        {"proto=gopher;for=192.0.2.7", "192.0.2.7"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (parse(cases[i][0]) != SM_OK || strcmp(print(), cases[i][1]) != 0)
            fail_msg("%s gave '%s' %s, expected '%s'", cases[i][0], print(), err.text, cases[i][1]);
}

static void values_that_are_refused(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"", "a name is missing at byte 0"},
        {",for=192.0.2.7", "a name is missing at byte 0"},
        {"for=192.0.2.7,", "a name is missing at byte 14"},
        {"for=192.0.2.7;", "a name is missing at byte 14"},
        {"for", "'=' is missing at byte 3"},
        {"for = 192.0.2.7", "'=' is missing at byte 3"},
        {"for=", "a value is missing at byte 4"},
        {"for= 192.0.2.7", "a value is missing at byte 4"},
        {"for=192.0.2.7 for=192.0.2.8", "',' or ';' is missing at byte 14"},
        {"for=192.0.2.7:80", "',' or ';' is missing at byte 13"},
        {"for=[2001:db8::1]", "a value is missing at byte 4"},
        {"for=\"192.0.2.7", "a quote is not closed at byte 14"},
        {"for=\"192.0.2.7\\", "a quote is not closed at byte 15"},
        {"for=\"1\n\"", "a byte that no address has at byte 6"},
        {"for=\"\xc3\xa9\"", "a byte that no address has at byte 5"},
        {"for=\"\"", "what is no address ends at byte 6"},
        {"for=\"2001:db8::1\"", "what is no address ends at byte 17"},
        {"for=\"[192.0.2.7]\"", "what is no address ends at byte 17"},
        {"for=\"[::1\"", "what is no address ends at byte 10"},
        {"for=\"[::1]80\"", "what is no address ends at byte 13"},
        {"for=\"[::1]:\"", "what is no address ends at byte 12"},
        {"for=\"192.0.2.7:123456\"", "what is no address ends at byte 22"},
        {"for=\"192.0.2.7:_\"", "what is no address ends at byte 17"},
        {"for=256.0.0.1", "what is no address ends at byte 13"},
        {"for=example.com", "what is no address ends at byte 15"},
        {"for=_", "what is no address ends at byte 5"},
        {"for=192.0.2.7;For=192.0.2.8", "'For' stands twice in an element"},
        {"proto=https;proto=http", "'proto' stands twice in an element"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char expected[120];
        snprintf(expected, sizeof expected, "Forwarded: %s", cases[i][1]);
        if (parse(cases[i][0]) != SM_INVALID || strcmp(err.text, expected) != 0)
            fail_msg("%s gave '%s', expected '%s'", cases[i][0], err.text, expected);
    }
}

static void limits_at_and_past(void **state)
{
    (void)state;
    char text[4096] = "for=192.0.2.1";
    for (int i = 1; i < SM_FORWARDED_HOPS_MAX; i++)
        strcat(text, ",for=192.0.2.1");
    assert_int_equal(parse(text), SM_OK);
    assert_int_equal(forwarded.hops_count, SM_FORWARDED_HOPS_MAX);
    assert_int_equal(sm_forwarded_parse(&forwarded, "for=192.0.2.1", &err), SM_LIMIT);
    assert_string_equal(err.text, "Forwarded: over 16 elements");
    memset(text, 'x', sizeof text);
    memcpy(text, "by=", 3);
    text[3 + SM_FORWARDED_VALUE_BYTES - 1] = '\0';
    assert_int_equal(parse(text), SM_OK);
    text[3 + SM_FORWARDED_VALUE_BYTES - 1] = 'x';
    text[3 + SM_FORWARDED_VALUE_BYTES] = '\0';
    assert_int_equal(parse(text), SM_LIMIT);
    assert_string_equal(err.text, "Forwarded: 256 bytes at byte 3, at most 255");
    text[3] = '"';
    text[3 + SM_FORWARDED_VALUE_BYTES] = '"';
    text[3 + SM_FORWARDED_VALUE_BYTES + 1] = '\0';
    assert_int_equal(parse(text), SM_OK);
    text[3 + SM_FORWARDED_VALUE_BYTES] = 'x';
    assert_int_equal(parse(text), SM_LIMIT);
    assert_string_equal(err.text, "Forwarded: a value has over 255 bytes");
    assert_int_equal(parse("a=1;b=1;c=1;d=1;e=1;f=1;g=1;h=1;i=1;j=1;k=1;l=1;m=1;n=1;o=1;p=1"),
                     SM_OK);
    assert_int_equal(parse("a=1;b=1;c=1;d=1;e=1;f=1;g=1;h=1;i=1;j=1;k=1;l=1;m=1;n=1;o=1;p=1;q=1"),
                     SM_LIMIT);
    assert_string_equal(err.text, "Forwarded: an element has over 16 pairs");
}

static void only_trusted_proxies_are_believed(void **state)
{
    (void)state;
    static const struct {
        const char *peer, *value, *client;
        bool https;
    } cases[] = {
        {"198.51.100.9", "for=192.0.2.7;proto=https", "198.51.100.9", false},
        {"10.0.0.1", "for=192.0.2.7;proto=https", "192.0.2.7", true},
        {"10.0.0.1", "for=192.0.2.7", "192.0.2.7", false},
        /* what the client made up stands before what the proxy wrote */
        {"10.0.0.1", "for=10.0.0.9;proto=https,for=192.0.2.7", "192.0.2.7", false},
        {"10.0.0.1", "for=1.2.3.4, for=192.0.2.7;proto=https, for=10.0.0.2;proto=http", "192.0.2.7",
         true},
        {"10.0.0.1", "for=192.0.2.7, for=_hidden;proto=https", "10.0.0.1", true},
        {"10.0.0.1", "for=192.0.2.7, for=10.0.0.3, for=unknown", "10.0.0.1", false},
        {"10.0.0.1", "for=10.0.0.3, for=10.0.0.2", "10.0.0.3", false},
        {"10.0.0.1", "by=10.0.0.1", "10.0.0.1", false},
    };
    struct sm_network trusted[2];
    assert_true(sm_network_parse(&trusted[0], "127.0.0.1"));
    assert_true(sm_network_parse(&trusted[1], "10.0.0.0/24"));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sm_peer peer, client;
        char text[SM_PEER_BYTES];
        bool https;
        assert_true(sm_peer_parse(&peer, cases[i].peer));
        assert_int_equal(parse(cases[i].value), SM_OK);
        sm_forwarded_client(&client, &https, &forwarded, &peer, trusted, 2);
        sm_peer_text(text, &client);
        if (strcmp(text, cases[i].client) != 0 || https != cases[i].https)
            fail_msg("%s from %s is %s %d", cases[i].value, cases[i].peer, text, https);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_that_are_taken),
        cmocka_unit_test(values_that_are_refused),
        cmocka_unit_test(limits_at_and_past),
        cmocka_unit_test(only_trusted_proxies_are_believed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
