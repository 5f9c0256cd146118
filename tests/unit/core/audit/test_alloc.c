/* Every allocation of an evaluation, a comparison, a list and a split may fail. */
#include "fixture.h"
#include "sslmem/selection.h"

#include "sslmem/pixels.h"
#include "sslmem/split.h"
#include "sslmem/unlearning.h"
#include "tests/unit/alloc.h"

/* jansson allocates like the rest here: what is written of the summary is whole or refused. */
static enum sm_code evaluate_one(double *result, void *context, struct sm_err *err)
{
    struct held *h = context;
    struct sm_audit_result *r;
    json_set_alloc_funcs(__wrap_malloc, free);
    enum sm_code code = sm_audit_evaluate(&r, &h->audit, err);
    json_set_alloc_funcs(malloc, free);
    *result = 0;
    if (code == SM_OK)
        *result = json_number_value(
            at(sm_audit_result_json(r), "membership/candidate_external/auc/bootstrap/0"));
    sm_audit_result_free(r);
    return code;
}

static enum sm_code judge_one(double *result, void *context, struct sm_err *err)
{
    const struct sm_audit_result *r = context;
    struct sm_audit_spec gates = {.gates_count = 1, .gates = {{"auc<=0.6"}}};
    json_t *out;
    json_set_alloc_funcs(__wrap_malloc, free);
    enum sm_code code = sm_audit_judge(&out, r, &gates, err);
    json_set_alloc_funcs(malloc, free);
    *result = code == SM_OK ? json_number_value(at(out, "gates/0/value")) : 0;
    json_decref(out);
    return code;
}

static enum sm_code compare_two(double *result, void *context, struct sm_err *err)
{
    struct held *h = context;
    json_t *out;
    const struct sm_audit *audits[] = {&h->audit, &h->audit};
    enum sm_code code = sm_audit_compare(&out, audits, 2, 10, err);
    *result = code == SM_OK ? json_number_value(at(out, "pairs/0/agreement/all/kendall/value")) : 0;
    json_decref(out);
    return code;
}

static enum sm_code unlearn_one(double *result, void *context, struct sm_err *err)
{
    const struct held *h = context;
    const struct sm_unlearning_spec spec = {.delta = .01};
    struct sm_unlearning *u;
    json_set_alloc_funcs(__wrap_malloc, free);
    enum sm_code code = sm_unlearning_make(&u, &h[0].audit, &h[1].audit, &spec, err);
    json_set_alloc_funcs(malloc, free);
    *result = code == SM_OK ? json_number_value(at(sm_unlearning_json(u), "equivalence/p")) : 0;
    sm_unlearning_free(u);
    return code;
}

/* The kinds of list allocate alike; the stream is not ours. */
static enum sm_code list_some(double *result, void *context, struct sm_err *err)
{
    static struct sm_audit_result *r;
    struct held *h = context;
    enum sm_code code = SM_OK;
    long before = countdown;
    countdown = -1;
    r = evaluate(h);
    FILE *file = fopen("/dev/null", "w");
    countdown = before;
    for (int k = SM_SELECT_TOP; code == SM_OK && k <= SM_SELECT_RANDOM; k++) {
        struct sm_selection s = {(enum sm_selection_kind)k, 5, .5, .1, 3};
        code = sm_audit_write_selection(file, &h->audit, r, &s, SM_LIST_TEXT, err);
    }
    long after = countdown;
    countdown = -1;
    *result = 0;
    fclose(file);
    sm_audit_result_free(r);
    countdown = after;
    return code;
}

static enum sm_code split_some(double *result, void *context, struct sm_err *err)
{
    static const struct sm_split_file files[] = {{{1}, 0}, {{2}, 0}, {{3}, 1}, {{2}, 1}};
    const struct sm_split_params params = {.encoders_count = 2, .sizes = {1, SM_SPLIT_REST}};
    struct sm_split s;
    (void)context;
    enum sm_code code = sm_split_make(&s, files, 4, &params, err);
    *result = code == SM_OK ? (double)(s.encoders[0] + 4 * s.encoders[1] + 16 * s.encoders[2]) : 0;
    sm_split_release(&s);
    return code;
}

/* Features of every image, small ones and large ones, so that the controls are measured. */
static void add_pixels(struct held *h)
{
    static uint8_t packed[100][SM_PIXELS_BYTES_MAX];
    assert_in_range(h->audit.items_count, 1, 100);
    for (size_t i = 0; i < h->audit.items_count; i++) {
        struct sm_pixels pixels = {.width_px = i % 2 ? 4 : 40, .height_px = 4, .hash = i / 4};
        memset(pixels.luminance, (int)(i % 7 * 9), sizeof pixels.luminance);
        memset(pixels.rows, (int)(i % 7 * 9), sizeof pixels.rows);
        h->items[i].pixels_bytes = sm_pixels_pack(packed[i], &pixels);
        h->items[i].pixels = packed[i];
    }
}

static void nothing_is_lost_without_memory(void **state)
{
    (void)state;
    struct held h;
    draw_audit(&h, (size_t[]){3, 10, 3, 10}, 1,
               "{\"name\": \"a\", \"inserted_at_random\": true, \"resamples\": 20, "
               "\"gates\": [\"auc<=0.6\"]}");
    for (size_t i = 0; i < h.audit.items_count; i++)
        h.items[i].class_label = i % 2 ? "odd" : "even";
    add_pixels(&h);
    memcpy(h.items[9].image_digest, h.items[10].image_digest, sizeof h.items[9].image_digest);
    assert_true(every_allocation_may_fail(evaluate_one, &h, "evaluate") > 1000);
    struct sm_audit_result *r = evaluate(&h);
    assert_true(every_allocation_may_fail(judge_one, r, "judge") > 30);
    sm_audit_result_free(r);
    assert_true(every_allocation_may_fail(compare_two, &h, "compare") > 10);
    assert_true(every_allocation_may_fail(list_some, &h, "lists") == 4);
    assert_true(every_allocation_may_fail(split_some, NULL, "split") == 8);
    let_go(&h);
}

static void no_unlearning_is_lost_without_memory(void **state)
{
    (void)state;
    struct held h[2]; /* before, after */
    for (int i = 0; i < 2; i++)
        draw_audit(&h[i], (size_t[]){0, 20, 0, 25}, 3, "{\"name\": \"a\"}");
    json_object_set_new(h[1].run, "id", json_string("02"));
    for (size_t i = 0; i < 45; i++) {
        h[0].items[i].g = h[1].items[i].g = 1;
        h[1].items[i].m += .001 * (double)(i % 7);
    }
    assert_true(every_allocation_may_fail(unlearn_one, h, "unlearning") > 500);
    let_go(&h[0]);
    let_go(&h[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_lost_without_memory),
        cmocka_unit_test(no_unlearning_is_lost_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
