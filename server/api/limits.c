/* GET /v1/limits: every named limit of the service in one flat document, from the configuration and
 * from the code. A limit of the code is a row here and a #define where it is enforced. */
#include "server/api/handlers.h"
#include "server/api/ready.h"
#include "server/api/upload.h"
#include "server/http/forwarded.h"
#include "server/http/http.h"
#include "server/http/multipart.h"
#include "server/ingest/ingest.h"
#include "server/store/access.h"
#include "server/store/claim.h"
#include "server/store/idempotency.h"
#include "sslmem/ckpt.h"
#include "sslmem/recipe.h"
#include "sslmem/unlearning.h"

static const struct {
    const char *name; /* says the unit, as in "lease_ms" */
    int64_t value;
} limits[] = {
    {"image_bytes_max", SM_IMAGE_BYTES_MAX},
    {"image_side_px_max", SM_IMAGE_SIDE_MAX_PX},
    {"image_pixels_max", SM_IMAGE_PIXELS_MAX},
    {"views_max", SM_VIEWS_MAX},
    {"recipe_bytes_max", SM_RECIPE_BYTES_MAX},
    {"recipe_depth_max", SM_RECIPE_DEPTH_MAX},
    {"augment_ops_max", SM_OPS_MAX},
    {"part_header_bytes_max", SM_PART_HEADERS_MAX},
    {"head_bytes_max", SM_HTTP_HEAD_BYTES},
    {"query_parameters_max", SM_HTTP_PARAMETERS_MAX},
    {"request_id_bytes_max", SM_REQUEST_ID_BYTES - 1},
    {"idempotency_key_bytes_max", SM_IDEMPOTENCY_KEY_BYTES - 1},
    {"idempotency_answer_bytes_max", SM_IDEMPOTENCY_ANSWER_BYTES_MAX},
    {"bodies_max", SM_HTTP_BODIES_MAX},
    {"drain_ms", SM_HTTP_DRAIN_MS},
    {"page_scores_max", SM_SCORES_LIMIT_MAX},
    {"attempts_max", SM_ATTEMPTS_MAX},
    {"attempts_alone_count", SM_ATTEMPTS_ALONE},
    {"lease_ms", SM_LEASE_MS},
    {"encoders_max", SM_ENCODERS_MAX},
    {"reference_scores_max", SM_REFERENCE_MAX},
    {"checkpoint_bytes_max", SM_CKPT_BYTES_MAX},
    {"checkpoint_tensors_max", SM_CKPT_TENSORS_MAX},
    {"spools_max", SM_HTTP_SPOOLS_MAX},
    {"archive_unpacked_bytes_max", SM_INGEST_UNPACKED_BYTES_MAX},
    {"folder_depth_max", SM_INGEST_DEPTH_MAX},
    {"compared_audits_max", SM_AUDIT_COMPARED_MAX},
    {"unlearning_named_max", SM_UNLEARNING_NAMED_MAX},
    {"decode_memory_bytes_max", SM_DECODE_MEMORY_MAX_BYTES},
    {"decode_cpu_max_s", SM_DECODE_CPU_MAX_S},
    {"decode_wait_max_ms", SM_DECODE_WAIT_MAX_MS},
    {"page_items_max", SM_API_ITEMS_MAX},
    {"url_bytes_max", SM_HTTP_URL_BYTES},
    {"forwarded_elements_max", SM_FORWARDED_HOPS_MAX},
    {"json_bytes_max", SM_API_JSON_BYTES_MAX},
    {"json_depth_max", SM_API_JSON_DEPTH_MAX},
    {"ready_queue_percent", SM_READY_QUEUE_PERCENT},
    {"archive_entries_max", SM_INGEST_ENTRIES_MAX},
    {"archive_ratio_max", SM_INGEST_RATIO_MAX},
    {"manifest_line_bytes_max", SM_INGEST_LINE_BYTES_MAX},
    {"label_bytes_max", SM_INGEST_LABEL_BYTES_MAX},
    {"audit_name_bytes_max", SM_AUDIT_NAME_MAX},
    {"signed_by_bytes_max", SM_AUDIT_SIGNED_MAX},
    {"gates_max", SM_AUDIT_GATES_MAX},
    {"access_waiting_max", SM_ACCESS_WAITING_MAX},
    {"resamples_max", SM_AUDIT_RESAMPLES_MAX},
};

void sm_api_limits(struct sm_request *request)
{
    json_t *settings = sm_config_json(sm_api_of(request)->config);
    json_t *document = json_incref(json_object_get(settings, "limits"));
    bool whole = document != NULL;
    for (size_t i = 0; whole && i < sizeof limits / sizeof *limits; i++)
        whole = json_object_set_new(document, limits[i].name, json_integer(limits[i].value)) == 0;
    int64_t connections_max = sm_api_of(request)->config->connections_max;
    whole = whole && json_object_set_new(document, "requests_waiting_max",
                                         json_integer(SM_HTTP_WAITING_MAX(connections_max))) == 0;
    json_decref(settings);
    if (!whole) {
        json_decref(document);
        document = NULL;
    }
    sm_reply_json(request, 200, document);
}
