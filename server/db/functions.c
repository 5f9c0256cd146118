/* The functions:
 *
 *     bytes_of(text)                  the bytes of a digest or an id
 *     id_ms(id)                       Unix milliseconds at which the id was made
 *     sha256(text)                    32 bytes
 *     score_shape(body, image, key)   the shape of a score document (document.h)
 *     score_own(body, image, key)     its own values */
#include "server/db/functions.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/sha256.h"
#include "server/base/id.h"
#include "server/db/document.h"
#include "server/db/hex.h"

static enum sm_code bytes_value(struct sm_db_value *out, const void *bytes, size_t count,
                                struct sm_err *err)
{
    *out = (struct sm_db_value){.type = SM_DB_BLOB, .bytes = malloc(count), .bytes_count = count};
    if (!out->bytes)
        return sm_err_set(err, SM_NOMEM, "migration: out of memory");
    memcpy(out->bytes, bytes, count);
    return SM_OK;
}

static enum sm_code bytes_of(struct sm_db_value *out, const char *const *arguments,
                             struct sm_err *err)
{
    uint8_t bytes[SM_HEX_MAX];
    if (!arguments[0])
        return SM_OK;
    size_t count = sm_unhex(bytes, arguments[0]);
    if (count == 0)
        return sm_err_set(err, SM_CORRUPT, "'%.80s' is neither a digest nor an id", arguments[0]);
    return bytes_value(out, bytes, count, err);
}

static enum sm_code id_ms(struct sm_db_value *out, const char *const *arguments, struct sm_err *err)
{
    if (!arguments[0] || !sm_id_valid(arguments[0]))
        return sm_err_set(err, SM_CORRUPT, "'%.80s' is no id", arguments[0] ? arguments[0] : "");
    *out = (struct sm_db_value){.type = SM_DB_INT, .number = sm_id_unix_ms(arguments[0])};
    return SM_OK;
}

static enum sm_code sha256(struct sm_db_value *out, const char *const *arguments,
                           struct sm_err *err)
{
    uint8_t digest[SM_SHA256_BYTES];
    const char *text = arguments[0] ? arguments[0] : "";
    sm_sha256(digest, text, strlen(text));
    return bytes_value(out, digest, sizeof digest, err);
}

static enum sm_code split(struct sm_document *out, const char *const *arguments, struct sm_err *err)
{
    json_error_t why;
    if (!arguments[0] || !arguments[1] || !arguments[2])
        return sm_err_set(err, SM_CORRUPT, "a score lacks its document, image or key");
    json_t *score = json_loads(arguments[0], 0, &why);
    if (!score)
        return sm_err_set(err, SM_CORRUPT, "score with key %s: %s", arguments[2], why.text);
    enum sm_code code = sm_document_split_old(out, score, arguments[1], arguments[2], err);
    json_decref(score);
    return code;
}

/* Moves the text into the value. */
static void text_value(struct sm_db_value *out, char **text)
{
    *out = (struct sm_db_value){.type = SM_DB_TEXT, .bytes = *text, .bytes_count = strlen(*text)};
    *text = NULL;
}

static enum sm_code score_shape(struct sm_db_value *out, const char *const *arguments,
                                struct sm_err *err)
{
    struct sm_document document = {0};
    enum sm_code code = split(&document, arguments, err);
    if (code == SM_OK)
        text_value(out, &document.shape);
    sm_document_release(&document);
    return code;
}

static enum sm_code score_own(struct sm_db_value *out, const char *const *arguments,
                              struct sm_err *err)
{
    struct sm_document document = {0};
    enum sm_code code = split(&document, arguments, err);
    if (code == SM_OK)
        text_value(out, &document.own);
    sm_document_release(&document);
    return code;
}

enum sm_code sm_functions_define(struct sm_db *db, struct sm_err *err)
{
    static const struct sm_db_function functions[] = {
        {"bytes_of", 1, bytes_of},       {"id_ms", 1, id_ms},         {"sha256", 1, sha256},
        {"score_shape", 3, score_shape}, {"score_own", 3, score_own},
    };
    enum sm_code code = SM_OK;
    for (size_t i = 0; i < sizeof functions / sizeof *functions && code == SM_OK; i++)
        code = sm_db_define(db, &functions[i], err);
    return code;
}
