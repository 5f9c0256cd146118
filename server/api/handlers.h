/* The handlers of the route table and what more than one of their files uses. */
#ifndef SERVER_API_HANDLERS_H
#define SERVER_API_HANDLERS_H

#include "server/api/api.h"
#include "server/http/reply.h"
#include "server/store/audits.h"

sm_handler sm_api_post_scores_admit, sm_api_post_scores; /* scores_post.c */
sm_handler sm_api_list_scores, sm_api_get_score;         /* scores.c */
sm_handler sm_api_get_job;                               /* jobs.c */
sm_handler sm_api_list_pairs, sm_api_get_pair, sm_api_put_pair, sm_api_delete_pair; /* pairs.c */
sm_handler sm_api_post_audit, sm_api_list_audits, sm_api_get_audit, sm_api_delete_audit,
    sm_api_start_audit, sm_api_pause_audit, sm_api_resume_audit, sm_api_cancel_audit,
    sm_api_audit_exists;        /* audits.c */
sm_handler sm_api_delete_image; /* image_erase.c */
sm_handler sm_api_list_items;   /* audits_items.c */
sm_handler sm_api_post_images_admit, sm_api_post_images, sm_api_post_manifest_admit,
    sm_api_post_manifest;       /* audits_upload.c */
sm_handler sm_api_audit_events; /* audits_events.c */
sm_handler sm_api_get_report_json, sm_api_get_report_csv, sm_api_get_report_html,
    sm_api_get_selection;                                /* audits_reports.c */
sm_handler sm_api_get_comparison;                        /* comparisons.c */
sm_handler sm_api_post_gates;                            /* audits_gates.c */
sm_handler sm_api_post_unlearning;                       /* unlearnings.c */
sm_handler sm_api_metrics, sm_api_public_metrics;        /* metrics.c */
sm_handler sm_api_limits;                                /* limits.c */
sm_handler sm_api_readyz;                                /* ready.c */
sm_handler sm_api_livez, sm_api_version, sm_api_openapi; /* health.c */

/* Notes that the caller is told of these records; those of a placeholder are noted by themselves
 * (access.c). */
void sm_api_log_reads(struct sm_request *request, char (*ids)[SM_ID_BYTES], size_t count);
void sm_api_log_read(struct sm_request *request, const char *id);

/* Looks whether the caller's budget has a score left; false after a reply. What takes it checks
 * again, in the transaction that lets it out. */
bool sm_api_has_budget(struct sm_request *request);
/* Replies when the store refused a write because of who asks for it, and returns true: SM_LIMIT of
 * a budget, SM_CANCELLED of a key that has ended. */
bool sm_api_reply_refusal(struct sm_request *request, const struct sm_err *err);
/* Whether the store takes what is admitted now; false after a reply that says why not. */
bool sm_api_store_takes(struct sm_request *request);
/* 507 with the store's words about its room. */
void sm_api_reply_full(struct sm_request *request, const struct sm_err *err);
/* Whether the key of a reply that goes on is still good. */
bool sm_api_still_authorized(struct sm_request *request);

static inline struct sm_api *sm_api_of(const struct sm_request *request)
{
    return request->context;
}

/* Who asks: kept with what is made. */
struct sm_origin sm_api_origin(const struct sm_request *request);

/* For the log; NULL: there is none. */
static inline const char *sm_api_trace(const struct sm_request *request)
{
    return request->trace[0] == '\0' ? NULL : request->trace;
}

/* As POST /v1/scores would, for a job that it made before. */
void sm_api_reply_submitted(struct sm_request *request, const char *job_id);

/* A pair that is ready, to be given back; NULL after a reply. */
struct sm_generation *sm_api_pair(struct sm_request *request, const char *name);

/* Whether the caller may have figures of the pair under a recipe (NULL: not known yet): a key whose
 * figures are rounded has them under the pair's own one, to the spread of its reference. False
 * after a reply. */
bool sm_api_may_score(struct sm_request *request, const struct sm_pair *pair,
                      const char *recipe_digest);

/* Returns the audit at the placeholder, as one of the caller's tenant. A placeholder that is no id
 * gives one that matches no audit. */
struct sm_audit_id sm_api_audit_id(const struct sm_request *request);
/* Reads the head of the audit at the placeholder; false after a reply. */
bool sm_api_audit_head(struct sm_audit_head *out, struct sm_request *request);
/* Replies with an audit's document and its ETag. Takes the reference. */
void sm_api_reply_audit(struct sm_request *request, unsigned status, json_t *audit,
                        int64_t revision);
/* Replies 409: "audit ID is STATE, `needed`". */
void sm_api_reply_audit_state(struct sm_request *request, const struct sm_audit_head *head,
                              const char *needed);
/* Replies with a failure of the store about the audit at the placeholder. */
void sm_api_reply_audit_failure(struct sm_request *request, const struct sm_err *err);
/* Reads the cohort of the query, an enum sm_cohort; -1 when absent. False after a reply. */
bool sm_api_query_cohort(int *out, struct sm_request *request);

/* The body as a JSON object of a few levels; NULL after a reply. */
json_t *sm_api_read_object(struct sm_request *request);
/* Reads a body that has the single member `name`, by `parse`, which borrows the member. A failure
 * is answered as `problem`; false after a reply. */
typedef enum sm_code sm_api_parse(void *out, const json_t *member, struct sm_err *err);
bool sm_api_read_member(void *out, struct sm_request *request, const char *name,
                        enum sm_problem problem, sm_api_parse *parse);

/* Query parameters: absent ones leave *out alone; false after a reply. */
bool sm_api_query_bool(bool *out, struct sm_request *request, const char *name);
bool sm_api_query_int(int64_t *out, struct sm_request *request, const char *name, int64_t min,
                      int64_t max);

#endif
