/* One pass over the text, with one function per rule of the grammar:
 *
 *     line = element *( OWS "," OWS element )      element = pair *( OWS ";" OWS pair )
 *     pair = token "=" ( token | quoted-string )
 *
 * The RFC lets a reader skip empty elements and pairs, but they are refused here: the header comes
 * from the operator's own proxy, and its mistakes should be seen. A name may occur once in an
 * element. Names other than `for` and `proto` are parsed and ignored. */
#include "server/http/forwarded.h"

#include <string.h>
#include <strings.h>

#define NAME_BYTES      32
#define PAIRS_MAX       16 /* pairs per element */
#define IPV6_BYTES_MAX  45
#define PORT_DIGITS_MAX 5

struct reader {
    const char *text, *at;
    struct sm_err *err;
};

/* The pairs of one element so far. */
struct element {
    char names[PAIRS_MAX][NAME_BYTES];
    int count;
    struct sm_hop hop;
};

static enum sm_code fail(const struct reader *r, const char *what)
{
    return sm_err_set(r->err, SM_INVALID, "Forwarded: %s at byte %zu", what,
                      (size_t)(r->at - r->text));
}

static size_t token_length(const char *text)
{
    return strspn(text, "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
                        "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
}

static void skip_spaces(struct reader *r)
{
    r->at += strspn(r->at, " \t");
}

static enum sm_code read_token(struct reader *r, char *out, size_t out_bytes, const char *what)
{
    size_t length = token_length(r->at);
    if (length == 0)
        return fail(r, what);
    if (length >= out_bytes)
        return sm_err_set(r->err, SM_LIMIT, "Forwarded: %zu bytes at byte %zu, at most %zu", length,
                          (size_t)(r->at - r->text), out_bytes - 1);
    memcpy(out, r->at, length);
    out[length] = '\0';
    r->at += length;
    return SM_OK;
}

static enum sm_code read_quoted(struct reader *r, char *out, size_t out_bytes)
{
    size_t length = 0;
    for (r->at++; *r->at != '"'; r->at++) {
        r->at += *r->at == '\\';
        unsigned char c = (unsigned char)*r->at;
        if (c < ' ' || c > 126)
            return fail(r, c ? "a byte that no address has" : "a quote is not closed");
        if (length + 1 >= out_bytes)
            return sm_err_set(r->err, SM_LIMIT, "Forwarded: a value has over %zu bytes",
                              out_bytes - 1);
        out[length++] = (char)c;
    }
    r->at++;
    out[length] = '\0';
    return SM_OK;
}

static bool is_port(const char *text)
{
    size_t digits = strspn(text, "0123456789");
    if (text[0] == '_')
        return text[1] && token_length(text) == strlen(text);
    return digits > 0 && digits <= PORT_DIGITS_MAX && !text[digits];
}

/* Reads a node, "name" or "name:port", and changes `text`. A hidden name gives an unknown peer.
 * Returns false if the text is no node. */
static bool read_node(struct sm_peer *out, char *text)
{
    *out = (struct sm_peer){0};
    char *rest = text;
    if (text[0] == '[') {
        if (!(rest = strchr(text, ']')) || rest - text > IPV6_BYTES_MAX ||
            !memchr(text, ':', (size_t)(rest - text)))
            return false;
        *rest++ = '\0';
        text++;
    } else {
        rest += strcspn(rest, ":");
    }
    if (*rest && (*rest != ':' || !is_port(rest + 1)))
        return false;
    *rest = '\0';
    if (strcasecmp(text, "unknown") == 0 ||
        (text[0] == '_' && text[1] && token_length(text) == strlen(text)))
        return true;
    return sm_peer_parse(out, text);
}

static enum sm_code take_pair(struct reader *r, struct element *e, char *value)
{
    const char *name = e->names[e->count];
    for (int i = 0; i < e->count; i++)
        if (strcasecmp(e->names[i], name) == 0)
            return sm_err_set(r->err, SM_INVALID, "Forwarded: '%s' stands twice in an element",
                              name);
    e->count++;
    if (strcasecmp(name, "proto") == 0)
        e->hop.https = strcasecmp(value, "https") == 0;
    if (strcasecmp(name, "for") == 0 && !read_node(&e->hop.node, value))
        return fail(r, "what is no address ends");
    return SM_OK;
}

static enum sm_code read_pair(struct reader *r, struct element *e)
{
    char value[SM_FORWARDED_VALUE_BYTES];
    if (e->count == PAIRS_MAX)
        return sm_err_set(r->err, SM_LIMIT, "Forwarded: an element has over %d pairs", PAIRS_MAX);
    enum sm_code code = read_token(r, e->names[e->count], NAME_BYTES, "a name is missing");
    if (code != SM_OK)
        return code;
    if (*r->at != '=')
        return fail(r, "'=' is missing");
    r->at++;
    code = *r->at == '"' ? read_quoted(r, value, sizeof value)
                         : read_token(r, value, sizeof value, "a value is missing");
    return code == SM_OK ? take_pair(r, e, value) : code;
}

static enum sm_code read_element(struct reader *r, struct sm_hop *out)
{
    struct element e = {0};
    enum sm_code code = read_pair(r, &e);
    for (skip_spaces(r); code == SM_OK && *r->at == ';'; skip_spaces(r)) {
        r->at++;
        skip_spaces(r);
        code = read_pair(r, &e);
    }
    *out = e.hop;
    return code;
}

enum sm_code sm_forwarded_parse(struct sm_forwarded *forwarded, const char *value,
                                struct sm_err *err)
{
    struct reader r = {value, value, err};
    for (;; r.at++) {
        skip_spaces(&r);
        if (forwarded->hops_count == SM_FORWARDED_HOPS_MAX)
            return sm_err_set(err, SM_LIMIT, "Forwarded: over %d elements", SM_FORWARDED_HOPS_MAX);
        enum sm_code code = read_element(&r, &forwarded->hops[forwarded->hops_count]);
        if (code != SM_OK)
            return code;
        forwarded->hops_count++;
        if (*r.at == '\0')
            return SM_OK;
        if (*r.at != ',')
            return fail(&r, "',' or ';' is missing");
    }
}

static bool is_trusted(const struct sm_peer *peer, const struct sm_network *trusted,
                       int trusted_count)
{
    for (int i = 0; i < trusted_count; i++)
        if (sm_network_has(&trusted[i], peer))
            return true;
    return false;
}

void sm_forwarded_client(struct sm_peer *client, bool *https, const struct sm_forwarded *forwarded,
                         const struct sm_peer *peer, const struct sm_network *trusted,
                         int trusted_count)
{
    *client = *peer;
    *https = false;
    for (int i = forwarded->hops_count; i-- > 0 && is_trusted(client, trusted, trusted_count);) {
        *https = forwarded->hops[i].https;
        if (!forwarded->hops[i].node.known)
            return;
        *client = forwarded->hops[i].node;
    }
}
