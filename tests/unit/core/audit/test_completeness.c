/* How much of an audit there is: in words, in JSON, in a header, and in every document of a part. */
#include "fixture.h"
#include "sslmem/selection.h"

static const struct {
    struct sm_completeness completeness;
    const char *words, *field;
} cases[] = {
    {{SM_COMPLETION_PARTIAL, 100, 2000}, "partial: 100 of 2,000", "partial;scored=100;total=2000"},
    {{SM_COMPLETION_PARTIAL, 0, 0}, "partial: 0 of 0", "partial;scored=0;total=0"},
    {{SM_COMPLETION_CANCELLED, 999, 1000},
     "cancelled: 999 of 1,000",
     "cancelled;scored=999;total=1000"},
    {{SM_COMPLETION_COMPLETE, 1234567, 12345678},
     "complete: 1,234,567 of 12,345,678",
     "complete;scored=1234567;total=12345678"},
};
#define CASES_COUNT (sizeof cases / sizeof *cases)

static void assert_same(const struct sm_completeness *a, const struct sm_completeness *b)
{
    assert_int_equal(a->state, b->state);
    assert_int_equal(a->scored, b->scored);
    assert_int_equal(a->total, b->total);
}

static void every_form_is_read_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < CASES_COUNT; i++) {
        char text[SM_COMPLETENESS_BYTES];
        struct sm_completeness read;
        const struct sm_completeness *c = &cases[i].completeness;
        assert_string_equal(sm_completeness_words(text, c), cases[i].words);
        assert_string_equal(sm_completeness_field(text, c), cases[i].field);
        sm_completeness_parse(&read, text);
        assert_same(&read, c);
        json_t *node = sm_completeness_json(c);
        sm_completeness_read(&read, node);
        assert_same(&read, c);
        json_decref(node);
    }
}

/* What cannot be read is no complete audit. */
static void what_is_unclear_is_partial(void **state)
{
    (void)state;
    static const char *const fields[] = {"", "complete", "complete;scored=1",
                                         "whole;scored=1;total=1", "complete;total=1;scored=1"};
    static const char *const nodes[] = {"{}", "{\"state\": \"done\", \"scored\": 1, \"total\": 1}",
                                        "{\"state\": 1}", "[]"};
    const struct sm_completeness none = {SM_COMPLETION_PARTIAL, 0, 0};
    struct sm_completeness read;
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        sm_completeness_parse(&read, fields[i]);
        assert_same(&read, &none);
    }
    for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++) {
        json_t *node = parse_json(nodes[i]);
        sm_completeness_read(&read, node);
        assert_same(&read, &none);
        json_decref(node);
    }
    sm_completeness_read(&read, NULL);
    assert_same(&read, &none);
}

static enum sm_code write_json(FILE *file, const struct held *h, const struct sm_audit_result *r,
                               struct sm_err *err)
{
    return sm_audit_write_json(file, &h->audit, r, err);
}

static enum sm_code write_csv(FILE *file, const struct held *h, const struct sm_audit_result *r,
                              struct sm_err *err)
{
    return sm_audit_write_csv(file, &h->audit, r, err);
}

static enum sm_code write_html(FILE *file, const struct held *h, const struct sm_audit_result *r,
                               struct sm_err *err)
{
    return sm_audit_write_html(file, &h->audit, r, NULL, NULL, err);
}

static enum sm_code write_list(FILE *file, const struct held *h, const struct sm_audit_result *r,
                               enum sm_list_format format, struct sm_err *err)
{
    const struct sm_selection top = {.kind = SM_SELECT_TOP, .count = 3};
    return sm_audit_write_selection(file, &h->audit, r, &top, format, err);
}

static enum sm_code write_rows(FILE *file, const struct held *h, const struct sm_audit_result *r,
                               struct sm_err *err)
{
    return write_list(file, h, r, SM_LIST_CSV, err);
}

static enum sm_code write_lines(FILE *file, const struct held *h, const struct sm_audit_result *r,
                                struct sm_err *err)
{
    return write_list(file, h, r, SM_LIST_JSONL, err);
}

static int count_of(const char *text, const char *what)
{
    int n = 0;
    for (const char *p = text; (p = strstr(p, what)); p += strlen(what))
        n++;
    return n;
}

/* 30 candidates and 70 externals of 2,000 images, and a gate that would hold. */
static void draw_part(struct held *h, enum sm_completion state)
{
    draw_audit(h, (size_t[]){0, 30, 0, 70}, 0, "{\"name\": \"a\", \"gates\": [\"auc<=1\"]}");
    h->audit.completeness = (struct sm_completeness){state, 100, 2000};
}

static void gates_of_a_part_are_not_judged(void **state)
{
    (void)state;
    for (int s = SM_COMPLETION_PARTIAL; s <= SM_COMPLETION_COMPLETE; s++) {
        struct held h;
        draw_part(&h, (enum sm_completion)s);
        struct sm_audit_result *r = evaluate(&h);
        const json_t *summary = sm_audit_result_json(r);
        bool complete = s == SM_COMPLETION_COMPLETE;
        assert_int_equal(sm_audit_result_passed(r), complete);
        assert_int_equal(json_typeof(at(summary, "passed")), complete ? JSON_TRUE : JSON_NULL);
        assert_int_equal(json_typeof(at(summary, "gates/0/passed")),
                         complete ? JSON_TRUE : JSON_NULL);
        assert_true(json_is_number(at(summary, "gates/0/value")));
        assert_int_equal(json_is_null(at(summary, "gates/0/note")), complete);
        assert_string_equal(json_string_value(at(summary, "completeness/state")),
                            sm_completion_name((enum sm_completion)s));
        assert_int_equal(json_integer_value(at(summary, "completeness/scored")), 100);
        assert_int_equal(json_integer_value(at(summary, "completeness/total")), 2000);
        sm_audit_result_free(r);
        let_go(&h);
    }
}

/* Without a gate there is nothing to pass either. */
static void a_part_without_gates_has_not_passed(void **state)
{
    (void)state;
    struct held h;
    draw_audit(&h, (size_t[]){0, 30, 0, 70}, 0, "{\"name\": \"a\"}");
    h.audit.completeness = (struct sm_completeness){0};
    struct sm_audit_result *r = evaluate(&h);
    assert_false(sm_audit_result_passed(r));
    assert_true(json_is_null(at(sm_audit_result_json(r), "passed")));
    sm_audit_result_free(r);
    let_go(&h);
}

static void every_document_of_a_part_says_so(void **state)
{
    (void)state;
    static const struct {
        enum sm_completion state;
        const char *words, *heading;
    } parts[] = {{SM_COMPLETION_PARTIAL, "partial: 100 of 2,000", "Partial: 100 of 2,000"},
                 {SM_COMPLETION_CANCELLED, "cancelled: 100 of 2,000", "Cancelled: 100 of 2,000"}};
    for (size_t i = 0; i < 2; i++) {
        struct held h;
        char text[80];
        draw_part(&h, parts[i].state);
        struct sm_audit_result *r = evaluate(&h);
        char *json = written(write_json, &h, r), *csv = written(write_csv, &h, r);
        char *html = written(write_html, &h, r), *rows = written(write_rows, &h, r);
        char *lines = written(write_lines, &h, r);
        snprintf(text, sizeof text, "\"state\":\"%s\",\"scored\":100,\"total\":2000",
                 sm_completion_name(parts[i].state));
        assert_int_equal(count_of(json, text), 1);
        snprintf(text, sizeof text, ",\"%s\"\r\n", parts[i].words);
        assert_int_equal(count_of(csv, text), 100);
        assert_int_equal(count_of(rows, text), 3);
        snprintf(text, sizeof text, "\"completeness\":\"%s\"}\n", parts[i].words);
        assert_int_equal(count_of(lines, text), 3);
        snprintf(text, sizeof text, "<title>%s ", parts[i].heading);
        assert_int_equal(count_of(html, text), 1);
        snprintf(text, sizeof text, "<strong>%s", parts[i].heading);
        assert_int_equal(count_of(html, text), 1);
        assert_true(count_of(html, "not judged") > 0);
        assert_int_equal(count_of(html, "assed<"), 0); /* Passed, Not passed */
        free(json);
        free(csv);
        free(html);
        free(rows);
        free(lines);
        sm_audit_result_free(r);
        let_go(&h);
    }
}

static void a_whole_audit_calls_itself_no_part(void **state)
{
    (void)state;
    struct held h;
    draw_part(&h, SM_COMPLETION_COMPLETE);
    struct sm_audit_result *r = evaluate(&h);
    char *html = written(write_html, &h, r);
    assert_int_equal(count_of(html, "artial:") + count_of(html, "ancelled:"), 0);
    assert_int_equal(count_of(html, ">Passed<"), 1);
    assert_int_equal(count_of(html, "ot judged"), 0);
    free(html);
    sm_audit_result_free(r);
    let_go(&h);
}

static void comparisons_say_which_audit_is_a_part(void **state)
{
    (void)state;
    struct held a, b;
    json_t *document;
    struct sm_err err = {0};
    draw_part(&a, SM_COMPLETION_COMPLETE);
    draw_part(&b, SM_COMPLETION_CANCELLED);
    assert_int_equal(
        sm_audit_compare(&document, (const struct sm_audit *[]){&a.audit, &b.audit}, 2, 10, &err),
        SM_OK);
    assert_string_equal(json_string_value(at(document, "audits/0/completeness/state")), "complete");
    assert_string_equal(json_string_value(at(document, "audits/1/completeness/state")),
                        "cancelled");
    json_decref(document);
    let_go(&a);
    let_go(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_form_is_read_back),
        cmocka_unit_test(what_is_unclear_is_partial),
        cmocka_unit_test(gates_of_a_part_are_not_judged),
        cmocka_unit_test(a_part_without_gates_has_not_passed),
        cmocka_unit_test(every_document_of_a_part_says_so),
        cmocka_unit_test(a_whole_audit_calls_itself_no_part),
        cmocka_unit_test(comparisons_say_which_audit_is_a_part),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
