/* Digests of recipes, pairs and scores: equal canonical JSON has equal digests. */
#include "core/score/digest.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/json.h"

enum sm_code sm_json_digest(char hex[SM_SHA256_HEX], json_t *doc, struct sm_err *err)
{
    char *text = doc ? sm_json_canonical(doc) : NULL;
    json_decref(doc);
    hex[0] = '\0';
    if (!text)
        return sm_err_set(err, SM_NOMEM, "out of memory for a digest");
    sm_sha256_hex(hex, text, strlen(text));
    free(text);
    return SM_OK;
}
