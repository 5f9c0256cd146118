/* GET /livez, /version and /openapi.yaml. */
#include <jansson.h>
#include <string.h>

#include "server/api/handlers.h"
#include "server/base/embed.h"
#include "server/base/pulse.h"
#include "server/db/db.h"
#include "server/http/http.h"
#include "sslmem/version.h"

/* The answer itself proves that the HTTP threads run; the other threads have pulses. */
void sm_api_livez(struct sm_request *request)
{
    struct sm_pulse_late late;
    int late_count, count = sm_pulses_check(&late_count, &late);
    if (late_count > 0)
        sm_reply_problem(request, SM_PROBLEM_NOT_LIVE,
                         "%d of %d loops stand still: %s has been at '%s' for %lld ms, its bound "
                         "is %lld ms",
                         late_count, count, late.name, late.step, (long long)late.age_ms,
                         (long long)late.bound_ms);
    else
        sm_reply_json(request, 200, json_pack("{s:s, s:i}", "status", "live", "loops", count));
    sm_reply_header(request, "Cache-Control", "no-store");
}

void sm_api_version(struct sm_request *request)
{
    sm_reply_json(request, 200,
                  json_pack("{s:s, s:s, s:{s:s, s:s}, s:s, s:s, s:s, s:s, s:s}", "sslmem",
                            SM_VERSION, "method", SM_METHOD, "decoders", "image/jpeg",
                            sm_image_decoder("image/jpeg"), "image/png",
                            sm_image_decoder("image/png"), "kernels",
                            sm_kernels_find(sm_api_of(request)->config->kernels), "blas",
                            sm_blas_version(), "microhttpd", sm_http_version(), "sqlite",
                            sm_db_version(), "jansson", jansson_version_str()));
}

void sm_api_openapi(struct sm_request *request)
{
    for (const struct sm_embedded *file = sm_embedded; file->name; file++)
        if (strcmp(file->name, "openapi.yaml") == 0) {
            sm_reply_static(request, 200, "application/yaml", file->bytes, file->bytes_count);
            return;
        }
    sm_reply_problem(request, SM_PROBLEM_INTERNAL, "openapi.yaml is not in this binary");
}
