/* The kinds of settings: one function for each, in the order of enum sm_setting_kind. */
#include "server/base/settings_value.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "server/base/peer.h"

/* Longest path of a unix socket, without its NUL. */
enum { UNIX_PATH_MAX = sizeof((struct sockaddr_un *)0)->sun_path - 1 };

typedef enum sm_code set_kind(void *field, const struct sm_setting *row, const char *source,
                              const char *text, struct sm_err *err);

static bool parse_int(int64_t *out, const char *text)
{
    char *end;
    if (!isdigit((unsigned char)text[0]) && text[0] != '-')
        return false;
    errno = 0;
    intmax_t value = strtoimax(text, &end, 10);
    if (errno || *end || end == text)
        return false;
    *out = value;
    return true;
}

static enum sm_code set_int(void *field, const struct sm_setting *row, const char *source,
                            const char *text, struct sm_err *err)
{
    int64_t value;
    if (!parse_int(&value, text) || value < row->min || value > row->max)
        return sm_err_set(err, SM_INVALID,
                          "%s is %.40s, must be a whole number from %" PRId64 " to %" PRId64,
                          source, *text ? text : "empty", row->min, row->max);
    *(sm_setting_int *)field = value;
    return SM_OK;
}

static enum sm_code set_text(void *field, const struct sm_setting *row, const char *source,
                             const char *text, struct sm_err *err)
{
    size_t length = strlen(text);
    if (length == 0 && row->fallback[0] != '\0')
        return sm_err_set(err, SM_INVALID, "%s is empty", source);
    if (length >= (size_t)row->max)
        return sm_err_set(err, SM_INVALID, "%s has %zu bytes, at most %" PRId64, source, length,
                          row->max - 1);
    memcpy(field, text, length + 1);
    return SM_OK;
}

static enum sm_code set_path(void *field, const struct sm_setting *row, const char *source,
                             const char *text, struct sm_err *err)
{
    for (size_t i = 0; text[i]; i++)
        if ((unsigned char)text[i] < ' ' || text[i] == 127)
            return sm_err_set(err, SM_INVALID, "%s has the control character %d at byte %zu",
                              source, text[i], i);
    return set_text(field, row, source, text, err);
}

static bool is_choice(const char *choices, const char *text)
{
    size_t length = strlen(text);
    while (choices && length > 0 && *choices) {
        size_t word = strcspn(choices, "|");
        if (word == length && memcmp(choices, text, length) == 0)
            return true;
        choices += word + (choices[word] == '|');
    }
    return false;
}

static enum sm_code set_choice(void *field, const struct sm_setting *row, const char *source,
                               const char *text, struct sm_err *err)
{
    if (*text && !is_choice(row->choices, text))
        return sm_err_set(err, SM_INVALID, "%s is %.40s, must be one of %s", source, text,
                          row->choices);
    return set_text(field, row, source, text, err);
}

/* Returns true for a numeric address and port. Host names are not accepted: the address that a
 * listener binds must not depend on a name server. */
static bool is_address(const char *text)
{
    const char *colon = strrchr(text, ':');
    char host[SM_PEER_BYTES + 2];
    struct sm_peer peer;
    int64_t port;
    if (!colon || !isdigit((unsigned char)colon[1]) || !parse_int(&port, colon + 1) ||
        port > 65535 || (size_t)(colon - text) >= sizeof host)
        return false;
    snprintf(host, sizeof host, "%.*s", (int)(colon - text), text);
    size_t length = strlen(host);
    bool is_v6 = length > 2 && host[0] == '[' && host[length - 1] == ']';
    if (is_v6)
        host[length - 1] = '\0';
    return sm_peer_parse(&peer, host + is_v6) && (strchr(host, ':') != NULL) == is_v6;
}

static enum sm_code set_address(void *field, const struct sm_setting *row, const char *source,
                                const char *text, struct sm_err *err)
{
    if (*text && !is_choice(row->choices, text) && !is_address(text))
        return sm_err_set(err, SM_INVALID,
                          "%s is %.40s, must be a numeric address:port with a port up to 65535",
                          source, text);
    return set_text(field, row, source, text, err);
}

static enum sm_code set_loopback(void *field, const struct sm_setting *row, const char *source,
                                 const char *text, struct sm_err *err)
{
    if (strncmp(text, "unix:", 5) == 0) {
        size_t length = strlen(text + 5);
        if (text[5] != '/' || length > UNIX_PATH_MAX)
            return sm_err_set(
                err, SM_INVALID,
                "%s is %.120s, must be unix: and an absolute path of at most %d bytes", source,
                text, UNIX_PATH_MAX);
        return set_path(field, row, source, text, err);
    }
    if (*text && !is_choice(row->choices, text) && strncmp(text, "127.", 4) != 0 &&
        strncmp(text, "[::1]:", 6) != 0)
        return sm_err_set(err, SM_INVALID,
                          "%s is %.40s, must be on 127.0.0.0/8 or [::1], or unix:/path", source,
                          text);
    return set_address(field, row, source, text, err);
}

static enum sm_code set_texts(void *field, const struct sm_setting *row, const char *source,
                              const char *text, struct sm_err *err)
{
    struct sm_texts *texts = field;
    *texts = (struct sm_texts){0};
    while (*text) {
        size_t length = strcspn(text, ",");
        if (length == 0 || length >= SM_TEXTS_ITEM_BYTES)
            return sm_err_set(err, SM_INVALID, "%s: item %d has %zu bytes, must have 1 to %d",
                              source, texts->count, length, SM_TEXTS_ITEM_BYTES - 1);
        if (texts->count == row->max)
            return sm_err_set(err, SM_INVALID, "%s has more than %" PRId64 " items", source,
                              row->max);
        memcpy(texts->items[texts->count++], text, length);
        text += length;
        if (*text && !*++text)
            return sm_err_set(err, SM_INVALID, "%s ends with a comma", source);
    }
    return SM_OK;
}

/* Reads the secret, the one line of an open file. */
static enum sm_code read_secret(struct sm_secret *secret, int fd, const char *source,
                                struct sm_err *err)
{
    struct stat about;
    if (fstat(fd, &about) != 0)
        return sm_err_set(err, SM_IO, "%s: %.100s: %s", source, secret->path, strerror(errno));
    if (!S_ISREG(about.st_mode) || (about.st_mode & 077) != 0)
        return sm_err_set(err, SM_INVALID,
                          "%s: %.100s has mode %o, must be a file that only its owner may read",
                          source, secret->path, (unsigned)about.st_mode & 0777);
    ssize_t length = read(fd, secret->value, sizeof secret->value);
    if (length < 0)
        return sm_err_set(err, SM_IO, "%s: %.100s: %s", source, secret->path, strerror(errno));
    if (length > 0 && secret->value[length - 1] == '\n')
        length--;
    if (length == 0 || (size_t)length >= sizeof secret->value ||
        memchr(secret->value, '\n', (size_t)length) || memchr(secret->value, 0, (size_t)length))
        return sm_err_set(err, SM_INVALID, "%s: %.100s must be one line of 1 to %d bytes", source,
                          secret->path, SM_SECRET_BYTES - 1);
    secret->value[length] = '\0';
    return SM_OK;
}

static enum sm_code set_secret(void *field, const struct sm_setting *row, const char *source,
                               const char *text, struct sm_err *err)
{
    struct sm_secret *secret = field;
    const struct sm_setting path = {.name = row->name, .max = sizeof secret->path};
    *secret = (struct sm_secret){0};
    if (!*text)
        return SM_OK;
    enum sm_code code = set_path(secret->path, &path, source, text, err);
    if (code != SM_OK)
        return code;
    int fd = open(secret->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return sm_err_set(err, SM_INVALID, "%s: %.100s: %s", source, secret->path, strerror(errno));
    code = read_secret(secret, fd, source, err);
    if (code != SM_OK)
        explicit_bzero(secret->value, sizeof secret->value);
    close(fd);
    return code;
}

enum sm_code sm_secret_read(struct sm_secret *out, const char *source, const char *path,
                            struct sm_err *err)
{
    return set_secret(out, &(struct sm_setting){.name = source, .fallback = ""}, source, path, err);
}

enum sm_code sm_setting_set(void *field, const struct sm_setting *row, const char *source,
                            const char *text, struct sm_err *err)
{
    static set_kind *const kinds[] = {set_int,     set_text,     set_path,  set_choice,
                                      set_address, set_loopback, set_texts, set_secret};
    return kinds[row->kind](field, row, source, text, err);
}
