/* Fuzzes the sidecars of checkpoints. The first byte chooses the sidecar ('0': the first), the rest
 * is its content.
 *
 * Properties: accepted values are within the limits; the configuration can be written, and reads
 * back the same; a refusal changes nothing in the configuration and says why. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/names/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_and_read(const struct sm_encoder_config *config)
{
    struct sm_encoder_config again;
    json_t *document = sm_encoder_config_json(config);
    if (!document || sm_encoder_config_parse(&again, document, "", NULL) != SM_OK)
        abort();
    json_t *rewritten = sm_encoder_config_json(&again);
    if (!json_equal(document, rewritten))
        abort();
    json_decref(document);
    json_decref(rewritten);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sm_encoder_config config = {0};
    const struct sm_encoder_config zero = {0};
    struct sm_err err = {0};
    size_t files = 0;
    while (sm_sidecar(files))
        files++;
    if (size == 0)
        return 0;
    size_t index = (size_t)(uint8_t)(data[0] - '0') % files;
    enum sm_code code = sm_sidecar_read(&config, index, data + 1, size - 1, &err);
    if (code != SM_OK) {
        if (err.code != code || strstr(err.text, sm_sidecar(index)) != err.text ||
            memcmp(&config, &zero, sizeof zero) != 0)
            abort();
        return 0;
    }
    if (sm_encoder_config_check(&config, &err) != SM_OK)
        abort();
    write_and_read(&config);
    code = sm_encoder_config_complete(&config, NULL, &err); /* from its preset, if it names one */
    if (code != SM_OK && code != SM_NOT_FOUND)
        abort();
    return 0;
}
