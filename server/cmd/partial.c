/* A line is written with one call, so a kill cuts at most the last line. The file is locked while
 * it is open. */
#include "server/cmd/partial.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/sha256.h"

#define PARTIAL_FILE   "reference.partial.jsonl"
#define BYTES_MAX      (INT64_C(256) << 20) /* SM_REFERENCE_MAX lines of 150 bytes, and more */
#define LINE_BYTES_MAX 256
#define LINE_DEPTH_MAX 2
#define KEY_BYTES      65

static int by_digest(const void *a, const void *b)
{
    const struct sm_reference_image *x = a, *y = b;
    return strcmp(x->digest, y->digest);
}

static enum sm_code io_error(const struct sm_partial *p, struct sm_err *err)
{
    return sm_err_set(err, SM_IO, "%.200s: %s", p->path, strerror(errno));
}

static enum sm_code write_line(const struct sm_partial *p, json_t *line, struct sm_err *err)
{
    char *text = line ? sm_json_text(line, JSON_COMPACT) : NULL, *whole = NULL;
    int n = text ? asprintf(&whole, "%s\n", text) : -1;
    enum sm_code code = SM_OK;
    errno = ENOSPC; /* a short write sets no error */
    if (n < 0)
        code = sm_err_set(err, SM_NOMEM, "%.200s: out of memory", p->path);
    else if (write(p->fd, whole, (size_t)n) != n)
        code = io_error(p, err);
    if (n >= 0)
        free(whole);
    free(text);
    json_decref(line);
    return code;
}

/* Reads a line; returns false unless it is {"image", "m", "m_se"} of a digest and finite numbers.
 * m_se is left out where it is undefined. */
static bool read_image(struct sm_reference_image *out, const char *line, size_t n)
{
    struct draft {
        char image[SM_SHA256_HEX];
        double m, m_se;
    } draft = {{0}, NAN, NAN};
    static const struct sm_field fields[] = {
        {"image", SM_FIELD_TEXT, offsetof(struct draft, image), .max = SM_SHA256_HEX - 1,
         .required = true},
        {"m", SM_FIELD_DOUBLE, offsetof(struct draft, m), .min = -HUGE_VAL, .max = HUGE_VAL,
         .required = true},
        {"m_se", SM_FIELD_DOUBLE, offsetof(struct draft, m_se), .min = 0, .max = HUGE_VAL},
        {0}};
    json_t *node = NULL;
    bool good = sm_json_parse(&node, line, n, LINE_BYTES_MAX, LINE_DEPTH_MAX, NULL) == SM_OK &&
                sm_fields_read(&draft, node, fields, "", NULL) == SM_OK &&
                strspn(draft.image, "0123456789abcdef") == SM_SHA256_HEX - 1;
    json_decref(node);
    if (good) {
        memcpy(out->digest, draft.image, sizeof out->digest);
        out->m = draft.m;
        out->m_se = draft.m_se;
    }
    return good;
}

static bool has_key(const char *line, size_t n, const char *key)
{
    json_t *node = NULL;
    bool good = sm_json_parse(&node, line, n, LINE_BYTES_MAX, LINE_DEPTH_MAX, NULL) == SM_OK;
    const char *found = json_string_value(json_object_get(node, "key"));
    good = good && found && strcmp(found, key) == 0;
    json_decref(node);
    return good;
}

/* Reads the lines up to the first that is not whole; *kept is the number of bytes before it, 0 if
 * the file is of other scores. */
static enum sm_code read_lines(struct sm_partial *p, size_t *kept, const char *text, size_t count,
                               const char *key, struct sm_err *err)
{
    size_t room = count / 64 + 1; /* a line has more than 64 bytes */
    p->images = calloc(room, sizeof *p->images);
    *kept = 0;
    if (!p->images)
        return sm_err_set(err, SM_NOMEM, "%.200s: out of memory", p->path);
    while (*kept < count) {
        const char *line = text + *kept, *end = memchr(line, '\n', count - *kept);
        size_t n = end ? (size_t)(end - line) : 0;
        if (!end || n > LINE_BYTES_MAX)
            break;
        if (*kept == 0 ? !has_key(line, n, key) : !read_image(&p->images[p->count], line, n))
            break;
        p->count += *kept > 0;
        *kept += n + 1;
    }
    if (p->count > 0)
        qsort(p->images, p->count, sizeof *p->images, by_digest);
    return SM_OK;
}

static enum sm_code load(struct sm_partial *p, const char *key, struct sm_err *err)
{
    struct sm_file file = {0};
    size_t kept = 0, count;
    enum sm_code code = sm_file_map(&file, p->path, BYTES_MAX, err);
    if (code == SM_OK)
        code = read_lines(p, &kept, (const char *)file.bytes, file.bytes_count, key, err);
    count = file.bytes_count;
    sm_file_release(&file);
    if (code == SM_OK && kept < count && ftruncate(p->fd, (off_t)kept) != 0)
        code = io_error(p, err);
    p->replaced = kept == 0 && count > 0;
    if (code == SM_OK && kept == 0)
        code = write_line(p, json_pack("{s:s}", "key", key), err);
    return code;
}

/* Opens and locks the file. The process that held the lock may have deleted the file meanwhile:
 * then its name leads to another file, or to none, and is opened again. */
static enum sm_code open_locked(struct sm_partial *p, struct sm_err *err)
{
    for (;;) {
        struct stat locked, named;
        p->fd = open(p->path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0666);
        if (p->fd < 0)
            return io_error(p, err);
        if (flock(p->fd, LOCK_EX | LOCK_NB) != 0) {
            close(p->fd);
            p->fd = -1;
            return sm_err_set(err, SM_CONFLICT,
                              "%.200s: another sslmem reference measures this pair: wait for it",
                              p->path);
        }
        if (fstat(p->fd, &locked) == 0 && lstat(p->path, &named) == 0 &&
            locked.st_dev == named.st_dev && locked.st_ino == named.st_ino)
            return SM_OK;
        close(p->fd);
    }
}

enum sm_code sm_partial_open(struct sm_partial *out, const struct sm_pair *pair,
                             const char *pair_folder, const char *recipe_digest, struct sm_err *err)
{
    char key[KEY_BYTES];
    *out = (struct sm_partial){.fd = -1};
    enum sm_code code = sm_score_key(key, pair, recipe_digest, "", "", err);
    if (code != SM_OK)
        return code;
    if (asprintf(&out->path, "%s/%s", pair_folder, PARTIAL_FILE) < 0) {
        out->path = NULL;
        return sm_err_set(err, SM_NOMEM, "%.200s: out of memory", pair_folder);
    }
    code = open_locked(out, err);
    return code == SM_OK ? load(out, key, err) : code;
}

const struct sm_reference_image *sm_partial_find(const struct sm_partial *partial,
                                                 const char *digest)
{
    struct sm_reference_image key;
    if (partial->count == 0)
        return NULL;
    snprintf(key.digest, sizeof key.digest, "%s", digest);
    return bsearch(&key, partial->images, partial->count, sizeof key, by_digest);
}

enum sm_code sm_partial_add(struct sm_partial *partial, const struct sm_reference_image *image,
                            struct sm_err *err)
{
    json_t *line = json_pack("{s:s, s:f}", "image", image->digest, "m", image->m);
    if (line && isfinite(image->m_se) &&
        json_object_set_new(line, "m_se", json_real(image->m_se)) != 0) {
        json_decref(line);
        line = NULL;
    }
    return write_line(partial, line, err);
}

void sm_partial_close(struct sm_partial *partial, bool finished)
{
    if (finished && partial->fd >= 0)
        unlink(partial->path);
    if (partial->path && partial->fd >= 0)
        close(partial->fd);
    free(partial->path);
    free(partial->images);
    *partial = (struct sm_partial){.fd = -1};
}
