/* Checks every header line once.
 *
 * libmicrohttpd 0.9.75 uses the first of two Content-Length lines, and reads "Content-Length :" as
 * another header's name. A proxy that reads these differently would see other requests on the
 * connection than the service does (RFC 9112 section 11.2). libmicrohttpd also appends a folded
 * line to the name of the header, not to its value. If that gives an invalid name, or if the header
 * was Content-Length or Transfer-Encoding, the request is refused. A value ends at its first NUL,
 * so bytes after a NUL cannot be checked here. */
#include "server/http/head.h"

#include <microhttpd.h>
#include <string.h>
#include <strings.h>

#include "server/http/reply.h"

/* Headers that must not occur twice, because readers may disagree about which one counts. */
static const char once[] = "authorization content-length content-type host transfer-encoding";

struct head_check {
    struct sm_request *request;
    unsigned seen; /* bit set: the names in `once` that have occurred */
};

/* Returns the bit of a name in `once`; 0 for other names. */
static unsigned once_bit(const char *name)
{
    const char *word = once;
    for (unsigned bit = 1; *word != '\0'; bit <<= 1) {
        size_t n = strcspn(word, " ");
        if (strncasecmp(word, name, n) == 0 && name[n] == '\0')
            return bit;
        word += n + strspn(word + n, " ");
    }
    return 0;
}

/* Returns true if the name begins with that of a length header and goes on: libmicrohttpd makes
 * such a name of a length header with a folded line. */
static bool hides_length(const char *name)
{
    static const char *const lengths[] = {"content-length", "transfer-encoding"};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        size_t n = strlen(lengths[i]);
        if (strncasecmp(lengths[i], name, n) == 0 && name[n] != '\0')
            return true;
    }
    return false;
}

static enum MHD_Result check_header(void *arg, enum MHD_ValueKind kind, const char *name,
                                    const char *value)
{
    struct head_check *check = arg;
    unsigned bit = once_bit(name);
    (void)kind;
    if (!sm_header_name(name) || hides_length(name))
        sm_reply_problem(check->request, SM_PROBLEM_HEADER_INVALID,
                         "'%.64s' cannot be a header name", name);
    else if (value && !sm_header_value(value))
        sm_reply_problem(check->request, SM_PROBLEM_HEADER_INVALID,
                         "header %.64s has a control character", name);
    else if ((check->seen & bit) != 0)
        sm_reply_problem(check->request, SM_PROBLEM_HEADER_INVALID, "header %.64s is given twice",
                         name);
    check->seen |= bit;
    return check->request->status == 0 ? MHD_YES : MHD_NO;
}

bool sm_head_check(struct sm_request *r)
{
    struct head_check check = {.request = r};
    const unsigned ends = once_bit("content-length") | once_bit("transfer-encoding");
    MHD_get_connection_values(r->connection, MHD_HEADER_KIND, check_header, &check);
    if (r->status == 0 && (check.seen & ends) == ends)
        sm_reply_problem(r, SM_PROBLEM_HEADER_INVALID,
                         "Content-Length and Transfer-Encoding exclude each other");
    return r->status == 0;
}
