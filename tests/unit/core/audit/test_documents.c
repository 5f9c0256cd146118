/* The documents of an audit: the record against its schema, bytes that do not depend on the run, the
 * table of images, lists, the report; names that attack each of them. */
#include "fixture.h"
#include "sslmem/selection.h"

#include <unistd.h>

#include "core/audit/out.h"
#include "core/base/json.h"

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

static void *no_picture(void *arg, const struct sm_audit_item *item, size_t *bytes_count)
{
    (void)arg;
    *bytes_count = 5;
    return item->index % 2 ? strdup("a png") : NULL;
}

static enum sm_code write_html(FILE *file, const struct held *h, const struct sm_audit_result *r,
                               struct sm_err *err)
{
    return sm_audit_write_html(file, &h->audit, r, no_picture, NULL, err);
}

static int count_of(const char *text, const char *what)
{
    int n = 0;
    for (const char *p = text; (p = strstr(p, what)); p += strlen(what))
        n++;
    return n;
}

static const char *const hostile[] = {
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "'; DROP TABLE scores; --",
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-2+3",
    "@SUM(A1:A9)",
    "\t=1",
    "a,b\"c\r\nd",
    "]]>&lt;&#60;",
    "\xff\xfe\x80 no utf-8 \xc3",
    "\xed\xa0\x80 surrogate",
    "\xf4\x90\x80\x80 too far",
    "\xc0\xaf long",
    "\xe2\x80\xaegnp.exe",
    "\x01\x1b[31m\x7f",
    "../../etc/passwd",
    "\xc3\xbc\xf0\x9f\x94\x92",
    "%s%n\\u0022%d",
    "</title></style><svg onload=x>",
};
#define HOSTILE_COUNT (sizeof hostile / sizeof *hostile)

static void arm(struct held *h)
{
    h->audit.with_names = true;
    for (size_t i = 0; i < h->audit.items_count; i++) {
        h->items[i].name = hostile[i % HOSTILE_COUNT];
        h->items[i].class_label = hostile[(i + 1) % HOSTILE_COUNT];
        h->items[i].group = hostile[(i + 2) % HOSTILE_COUNT];
    }
    snprintf(h->spec.name, sizeof h->spec.name, "%s", hostile[19]);
    snprintf(h->spec.signed_by, sizeof h->spec.signed_by, "%s", hostile[1]);
    h->items[2].error_code = "image_corrupt";
    h->items[2].error_detail = hostile[0];
    json_object_set_new(h->pair, "name", json_string(hostile[1]));
    json_object_set_new(h->pair, "description", json_string(hostile[0]));
    json_object_set_new(h->provenance, hostile[0], json_string(hostile[1]));
}

/* --- the record --- */

static void check_schema(const struct held *h)
{
    struct sm_audit_result *r = evaluate(h);
    char path[] = "/tmp/sslmem-record-XXXXXX", command[200];
    struct sm_err err = {0};
    FILE *file = fdopen(mkstemp(path), "w");
    assert_int_equal(sm_audit_write_json(file, &h->audit, r, &err), SM_OK);
    fclose(file);
    snprintf(command, sizeof command,
             "/usr/bin/python3 tests/unit/core/audit/validate.py deploy/report.schema.json %s",
             path);
    int status = system(command);
    unlink(path);
    assert_int_equal(status, 0);
    sm_audit_result_free(r);
}

static void records_obey_their_schema(void **state)
{
    (void)state;
    static const size_t sizes[][SM_COHORTS] = {
        {0, 0, 0, 0}, {1, 1, 1, 1}, {0, 1, 0, 0}, {5, 5, 5, 5}, {40, 60, 40, 60}};
    struct held h;
    load_audit(&h, "effect");
    check_schema(&h);
    let_go(&h);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        draw_audit(&h, sizes[i], 1,
                   "{\"name\": \"a\", \"gates\": [\"auc<=0.5\"], \"inserted_at_random\": true, "
                   "\"seed\": \"18446744073709551615\"}");
        if (i >= 3)
            arm(&h);
        check_schema(&h);
        let_go(&h);
    }
}

static void records_hold_what_they_should(void **state)
{
    (void)state;
    struct held h;
    load_audit(&h, "effect");
    struct sm_audit_result *r = evaluate(&h);
    char *text = written(write_json, &h, r);
    json_t *record = parse_json(text), *item;
    size_t i, scored = 0;
    assert_true(json_equal(at(record, "summary"), sm_audit_result_json(r)));
    assert_string_equal(json_string_value(at(record, "schema")), "sslmem-audit/1");
    assert_int_equal(json_array_size(at(record, "items")), h.audit.items_count);
    json_array_foreach(at(record, "items"), i, item)
    {
        json_t *want = json_array_get(at(h.vector, "images"), i);
        assert_int_equal(json_integer_value(at(item, "index")), i);
        assert_null(json_object_get(item, "name"));
        if (json_is_null(want)) {
            assert_string_equal(json_string_value(at(item, "error/code")), "image_corrupt");
            continue;
        }
        scored++;
        assert_true(json_number_value(at(item, "m")) == h.items[i].m);
        assert_true(json_number_value(at(item, "g/alignment")) == h.items[i].g);
        assert_within(at(item, "p_value"), at(want, "p"), "p");
        assert_within(at(item, "q_value"), at(want, "q"), "q");
    }
    assert_true(scored > 400);
    json_decref(record);
    free(text);
    sm_audit_result_free(r);
    let_go(&h);
}

/* HMAC-SHA-256 as Python's hmac computes it of the first image of this test. */
static void digests_leave_keyed(void **state)
{
    (void)state;
    char key[65];
    uint8_t rfc_key[32] = {0};
    memcpy(rfc_key, "Jefe", 4); /* RFC 4231, case 2: a shorter key is filled with zeros */
    sm_hmac_sha256_hex(key, rfc_key, "what do ya want for nothing?", 28);
    assert_string_equal(key, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");

    struct held h;
    draw_audit(&h, (size_t[]){0, 20, 0, 20}, 0, "{\"name\": \"a\"}");
    h.items[3].image_digest[0] = '\0';
    h.items[3].error_code = "image_missing";
    struct sm_audit_result *r = evaluate(&h);
    char *texts[] = {written(write_json, &h, r), written(write_csv, &h, r),
                     written(write_html, &h, r)};
    for (size_t i = 0; i < h.audit.items_count; i++) {
        sm_hmac_sha256_hex(key, digest_key, h.items[i].image_digest, 64);
        for (int k = 0; k < 3; k++)
            if (h.items[i].image_digest[0])
                assert_null(strstr(texts[k], h.items[i].image_digest));
        if (h.items[i].image_digest[0]) {
            assert_int_equal(count_of(texts[0], key), 1);
            assert_int_equal(count_of(texts[1], key), 1);
        }
    }
    assert_int_equal(count_of(texts[0], "\"image\":null"), 1);
    for (int k = 0; k < 3; k++)
        free(texts[k]);
    sm_audit_result_free(r);
    let_go(&h);
}

static void names_leave_when_asked_for_only(void **state)
{
    (void)state;
    struct held h;
    struct sm_err err = {0};
    draw_audit(&h, (size_t[]){0, 20, 0, 20}, 0, "{\"name\": \"a\"}");
    for (size_t i = 0; i < h.audit.items_count; i++)
        h.items[i].name = "secret.png";
    h.items[4].error_code = "image_corrupt";
    h.items[4].error_detail = "secret.png ends early";
    struct sm_audit_result *r = evaluate(&h);
    for (int with_names = 0; with_names < 2; with_names++) {
        h.audit.with_names = with_names;
        char *texts[] = {written(write_json, &h, r),
                         written(write_csv, &h, r),
                         written(write_html, &h, r),
                         NULL,
                         NULL,
                         NULL};
        for (int f = SM_LIST_TEXT; f <= SM_LIST_JSONL; f++) {
            size_t size;
            struct sm_selection top = {.kind = SM_SELECT_TOP, .count = 5};
            FILE *file = open_memstream(&texts[3 + f], &size);
            assert_int_equal(
                sm_audit_write_selection(file, &h.audit, r, &top, (enum sm_list_format)f, &err),
                SM_OK);
            fclose(file);
        }
        for (int k = 0; k < 6; k++) {
            assert_int_equal(strstr(texts[k], "secret") != NULL, with_names);
            free(texts[k]);
        }
    }
    sm_audit_result_free(r);
    let_go(&h);
}

/* From the line of "run" to its end, out of a record. */
static void blank_run(char *text)
{
    char *run = strstr(text, "\"run\":"), *end = strchr(run, '\n');
    assert_non_null(end);
    memset(run, ' ', (size_t)(end - run));
}

static void two_runs_differ_in_their_run_alone(void **state)
{
    (void)state;
    struct held h, again;
    load_audit(&h, "effect");
    load_audit(&again, "effect");
    json_object_set_new(again.run, "id", json_string("02")); /* as long as the other */
    struct sm_audit_result *r = evaluate(&h), *s = evaluate(&again);
    char *a = written(write_json, &h, r), *b = written(write_json, &again, s);
    char *c = written(write_csv, &h, r), *d = written(write_csv, &again, s);
    assert_true(strcmp(a, b) != 0);
    blank_run(a);
    blank_run(b);
    assert_string_equal(a, b);
    assert_string_equal(c, d);
    free(a);
    free(b);
    free(c);
    free(d);
    sm_audit_result_free(r);
    sm_audit_result_free(s);
    let_go(&h);
    let_go(&again);
}

/* --- hostile names --- */

static void records_survive_hostile_names(void **state)
{
    (void)state;
    struct held h;
    draw_audit(&h, (size_t[]){0, 30, 0, 30}, 0, "{\"name\": \"a\"}");
    arm(&h);
    struct sm_audit_result *r = evaluate(&h);
    char *text = written(write_json, &h, r);
    json_t *record = parse_json(text);
    for (size_t i = 0; i < HOSTILE_COUNT; i++) {
        const json_t *item = json_array_get(at(record, "items"), i);
        const char *name = json_string_value(at(item, "name"));
        if (i < 10 || i > 13)
            assert_string_equal(name, hostile[i]);
        else
            assert_non_null(strstr(name, "\xef\xbf\xbd")); /* U+FFFD */
    }
    assert_string_equal(json_string_value(at(record, "items/2/error/detail")), hostile[0]);
    json_decref(record);
    free(text);
    sm_audit_result_free(r);
    let_go(&h);
}

static void tables_defuse_formulas(void **state)
{
    (void)state;
    static const struct {
        const char *text, *field;
    } cases[] = {
        {"plain.png", "plain.png"},
        {"", ""},
        {"=1+1", "'=1+1"},
        {"+a", "'+a"},
        {"-a", "'-a"},
        {"@a", "'@a"},
        {"\ta", "'\ta"},
        {"\ra", "\"'\ra\""},
        {"a=b", "a=b"},
        {"a,b", "\"a,b\""},
        {"say \"hi\"", "\"say \"\"hi\"\"\""},
        {"=\"a\"", "\"'=\"\"a\"\"\""},
        {"two\nlines", "\"two\nlines\""},
        {"\xff", "\xef\xbf\xbd"},
        {"\xe0\x80\xaf", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}, /* "/", three bytes long */
        {"\xe2\x82\xac", "\xe2\x82\xac"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text = NULL;
        size_t size;
        struct sm_err err = {0};
        struct sm_out out = {open_memstream(&text, &size)};
        sm_put_csv(&out, cases[i].text);
        assert_int_equal(sm_out_finish(&out, &err), SM_OK);
        fclose(out.file);
        assert_string_equal(text, cases[i].field);
        free(text);
    }
}

static void tables_have_a_line_an_image(void **state)
{
    (void)state;
    struct held h;
    draw_audit(&h, (size_t[]){1, 2, 1, 2}, 0, "{\"name\": \"a\"}");
    h.items[1].m = -.5;
    h.items[1].class_label = "shoe";
    h.items[2].error_code = "image_corrupt";
    struct sm_audit_result *r = evaluate(&h);
    char *text = written(write_csv, &h, r);
    assert_int_equal(count_of(text, "\r\n"), 7);
    assert_int_equal(strncmp(text,
                             "index,image,name,cohort,class,group,m,m_se,shrunken,centered,"
                             "percentile,p_value,q_value,normalized,ratio,f_alignment,f_se,"
                             "g_alignment,g_se,error_code,error_detail,near_duplicate,"
                             "completeness\r\n",
                             187),
                     0);
    assert_non_null(strstr(strstr(text, "\r\n1,"), ",,candidate,shoe,,-0.5,"));
    assert_non_null(strstr(text, ",,candidate,,,,,,,,,,,,,,,,image_corrupt,,,complete\r\n"));
    free(text);
    sm_audit_result_free(r);
    let_go(&h);
}

static void reports_escape_what_comes_from_outside(void **state)
{
    (void)state;
    struct held h;
    draw_audit(&h, (size_t[]){5, 24, 5, 40}, 0, "{\"name\": \"a\", \"gates\": [\"auc<=0.6\"]}");
    arm(&h);
    struct sm_audit_result *r = evaluate(&h);
    char *text = written(write_html, &h, r);
    assert_null(strstr(text, "<script"));
    assert_null(strstr(text, "<img src=x"));
    assert_null(strstr(text, "<svg onload"));
    assert_null(strstr(text, "'; DROP"));
    assert_non_null(strstr(text, "&#39;; DROP"));
    assert_null(strstr(text, "\xff"));
    assert_null(strstr(text, "\xe2\x80\xae"));
    assert_null(strchr(text, '\x01'));
    assert_null(strchr(text, '\x1b'));
    assert_int_equal(count_of(text, "</title>"), 1);
    assert_int_equal(count_of(text, "</style>"), 1);
    assert_int_equal(count_of(text, "<svg "), 5);
    assert_true(count_of(text, "&#60;script&#62;") > 0);
    /* Nothing outside the file, and no script in it. */
    assert_int_equal(count_of(text, "http://") + count_of(text, "https://"), 0);
    assert_non_null(strstr(text, "default-src 'none'; style-src 'unsafe-inline'; img-src data:"));
    assert_true(count_of(text, "src=\"data:image/png;base64,YSBwbmc=\"") > 5);
    free(text);
    sm_audit_result_free(r);
    let_go(&h);
}

/* In the style sheet the name is a string of CSS, and no more. */
static void printed_heads_hold_hostile_names(void **state)
{
    (void)state;
    static const char *const names[] = {"</style><script>", "\"} body{display:none} @page{\"",
                                        "a\\", "one\ntwo"};
    static const char *const strings[] = {
        "content:\"\\3c \\2f style\\3e \\3c script\\3e \"}",
        "content:\"\\22 \\7d  body\\7b display\\3a none\\7d  \\40 page\\7b \\22 \"}",
        "content:\"a\\5c \"}", "content:\"one\\fffd two\"}"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct held h;
        draw_audit(&h, (size_t[]){0, 2, 0, 2}, 0, "{\"name\": \"a\"}");
        snprintf(h.spec.name, sizeof h.spec.name, "%s", names[i]);
        struct sm_audit_result *r = evaluate(&h);
        char *text = written(write_html, &h, r);
        assert_int_equal(count_of(text, strings[i]), 1);
        assert_int_equal(count_of(text, "</style>"), 1);
        free(text);
        sm_audit_result_free(r);
        let_go(&h);
    }
}

static char *put(void (*write)(struct sm_out *out, const char *text), const char *text)
{
    static char *out_text;
    static size_t size;
    struct sm_err err = {0};
    struct sm_out out = {open_memstream(&out_text, &size)};
    write(&out, text);
    assert_int_equal(sm_out_finish(&out, &err), SM_OK);
    fclose(out.file);
    return out_text;
}

/* One rule for every measured number, so that a figure has the same digits wherever it stands. */
static void figures_have_their_digits(void **state)
{
    (void)state;
    static const struct {
        double value;
        int digits;
        const char *text;
    } cases[] = {{.59, 3, "0.590"},        {.6049, 3, "0.605"},      {1, 3, "1.00"},
                 {.9996, 3, "1.00"},       {-.00287, 3, "-0.00287"}, {0, 3, "0"},
                 {15.44, 3, "15.4"},       {99.96, 3, "100"},        {1234.5, 3, "1234"},
                 {.000175, 3, "0.000175"}, {.00001, 3, "1.00e-05"},  {3.6e-9, 2, "3.6e-09"},
                 {.5, 2, "0.50"},          {1e7, 3, "1.00e+07"},     {.0021, 2, "0.0021"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[SM_FIGURE_BYTES];
        assert_string_equal(sm_figure(text, cases[i].value, cases[i].digits), cases[i].text);
    }
    assert_string_equal(SM_THREE(NAN), "undefined");
    assert_string_equal(SM_COUNT(2000), "2,000");
    assert_string_equal(SM_COUNT(999), "999");
    assert_string_equal(SM_COUNT(-1234567), "-1,234,567");
}

static void words_show_signs_and_powers(void **state)
{
    (void)state;
    static const struct {
        const char *text, *shown;
    } cases[] = {{"p = 3.6e-09.", "p = 3.6\u00a0·\u00a010\u207b\u2079."},
                 {"1.0e-120", "1.0\u00a0·\u00a010\u207b\u00b9\u00b2\u2070"},
                 {"1.00e+07", "1.00\u00a0·\u00a010\u2077"},
                 {"-0.5 to -e", "−0.5 to -e"},
                 {"the e-mail of 2 e-shops", "the e-mail of 2 e-shops"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text = put(sm_put_words, cases[i].text);
        assert_string_equal(text, cases[i].shown);
        free(text);
    }
}

static void shell_words_are_quoted(void **state)
{
    (void)state;
    static const struct {
        const char *word, *shown;
    } cases[] = {{"plain/path-1.json", "plain/path-1.json"},
                 {"", "&#39;&#39;"},
                 {"auc<=0.6", "&#39;auc&#60;=0.6&#39;"},
                 {"it's $(x) `y`", "&#39;it&#39;\\&#39;&#39;s $(x) `y`&#39;"},
                 {"\xc3\xbc", "&#39;\xc3\xbc&#39;"},
                 {"a\nb'\\", "$&#39;a\\012b\\047\\134&#39;"},
                 {"\xff"
                  "1",
                  "$&#39;\\3771&#39;"},
                 {"\xe2\x80\xae", "$&#39;\\342\\200\\256&#39;"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text = put(sm_put_shell, cases[i].word);
        assert_string_equal(text, cases[i].shown);
        free(text);
    }
}

/* Every cell names its column, for screens too narrow for a table. */
static void cells_carry_their_titles(void **state)
{
    (void)state;
    struct held h;
    load_audit(&h, "effect");
    struct sm_audit_result *r = evaluate(&h);
    char *text = written(write_html, &h, r);
    const char *rows = strstr(text, "<table class=\"rows\">");
    int cells = 0;
    for (; rows; rows = strstr(rows + 1, "<table class=\"rows\">")) {
        const char *end = strstr(rows, "</table>");
        for (const char *cell = rows; (cell = strstr(cell, "<td")) && cell < end; cell++) {
            const char *close = strchr(cell, '>'), *title = strstr(cell, " data-title=\"");
            assert_true(title && title < close && title[13] != '"');
            cells++;
        }
    }
    assert_true(cells > 100);
    free(text);
    sm_audit_result_free(r);
    let_go(&h);
}

/* The two lists of images share none. */
static void few_candidates_are_shown_once(void **state)
{
    (void)state;
    for (size_t n = 1; n <= 30; n++) {
        struct held h;
        draw_audit(&h, (size_t[]){0, n, 0, 5}, 0, "{\"name\": \"a\"}");
        struct sm_audit_result *r = evaluate(&h);
        char *text = written(write_html, &h, r);
        assert_int_equal(count_of(text, "<figure class=\"image\">"), n < 24 ? n : 24);
        assert_int_equal(count_of(text, ">Least memorized<"), n > 1);
        free(text);
        sm_audit_result_free(r);
        let_go(&h);
    }
}

static void labels_have_their_tables(void **state)
{
    (void)state;
    struct held h;
    draw_audit(&h, (size_t[]){0, 120, 0, 20}, 1, "{\"name\": \"a\"}");
    for (int labelled = 0; labelled <= 1; labelled++) {
        char groups[120][16];
        for (int i = 0; i < 120 && labelled; i++) {
            snprintf(groups[i], sizeof groups[i], "p%d", i);
            h.items[i].group = groups[i];
            h.items[i].class_label = "bag & boot";
        }
        struct sm_audit_result *r = evaluate(&h);
        char *text = written(write_html, &h, r);
        assert_int_equal(count_of(text, ">By class</h2>"), labelled);
        assert_int_equal(count_of(text, ">By group</h2>"), labelled);
        assert_int_equal(count_of(text, ">bag &#38; boot</td><td class=\"n\" "
                                        "data-title=\"Candidates\">120</td>"),
                         labelled);
        assert_int_equal(count_of(text, "The 100 labels with most candidates, of 120;"), labelled);
        free(text);
        sm_audit_result_free(r);
    }
    let_go(&h);
}

/* NaN must not reach a reader either. */
static void reports_of_nothing_have_words(void **state)
{
    (void)state;
    static const size_t sizes[][SM_COHORTS] = {
        {0, 0, 0, 0}, {1, 1, 1, 1}, {0, 3, 0, 0}, {0, 0, 0, 3}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct held h;
        draw_audit(&h, sizes[i], 0, "{\"name\": \"a\", \"gates\": [\"auc<1\"]}");
        struct sm_audit_result *r = evaluate(&h);
        char *text = written(write_html, &h, r);
        static const char *const wrong[] = {">nan", " nan", "\"nan", ">inf", " inf", "\"inf"};
        for (size_t k = 0; k < sizeof wrong / sizeof *wrong; k++)
            assert_null(strstr(text, wrong[k]));
        assert_non_null(strstr(text, "Not passed"));
        free(text);
        sm_audit_result_free(r);
        let_go(&h);
    }
}

/* --- lists --- */

static char *list(const struct held *h, const struct sm_audit_result *r,
                  const struct sm_selection *selection, enum sm_list_format format)
{
    char *text = NULL;
    size_t size;
    struct sm_err err = {0};
    FILE *file = open_memstream(&text, &size);
    if (sm_audit_write_selection(file, &h->audit, r, selection, format, &err) != SM_OK)
        fail_msg("list: %s", err.text);
    fclose(file);
    return text;
}

static void lists_follow_the_scores(void **state)
{
    (void)state;
    struct held h;
    draw_audit(&h, (size_t[]){2, 6, 0, 60}, 0, "{\"name\": \"a\"}");
    static const double m[] = {.5, 9, .7, 9, -1, 8}; /* of items 2 to 7 */
    for (size_t i = 0; i < 6; i++)
        h.items[2 + i].m = m[i];
    h.items[6].error_code = "image_corrupt";
    struct sm_audit_result *r = evaluate(&h);
    char *top = list(&h, r, &(struct sm_selection){SM_SELECT_TOP, .count = 4}, SM_LIST_TEXT);
    char *share = list(&h, r, &(struct sm_selection){SM_SELECT_SHARE, .share = .4}, SM_LIST_TEXT);
    char *every = list(&h, r, &(struct sm_selection){SM_SELECT_SHARE, .share = 1}, SM_LIST_TEXT);
    char *fdr = list(&h, r, &(struct sm_selection){SM_SELECT_FDR, .q = .0165}, SM_LIST_TEXT);
    char *none = list(&h, r, &(struct sm_selection){SM_SELECT_FDR, .q = .0163}, SM_LIST_TEXT);
    assert_string_equal(top, "3\n5\n7\n4\n"); /* equal scores in the order of the images */
    assert_string_equal(share, "3\n5\n");
    assert_string_equal(every, "3\n5\n7\n4\n2\n");
    assert_string_equal(fdr, "3\n5\n7\n4\n2\n"); /* all at 1/61 */
    assert_string_equal(none, "");
    free(top);
    free(share);
    free(every);
    free(fdr);
    free(none);
    sm_audit_result_free(r);
    let_go(&h);
}

static void controls_are_those_of_the_seed(void **state)
{
    (void)state;
    struct held h;
    load_audit(&h, "effect");
    struct sm_audit_result *r = evaluate(&h);
    struct sm_selection control = {.kind = SM_SELECT_RANDOM, .count = 10, .seed = 77};
    char *text = list(&h, r, &control, SM_LIST_TEXT), want[120] = "";
    json_t *index;
    size_t i;
    json_array_foreach(at(h.vector, "control/indexes"), i, index)
    {
        size_t used = strlen(want);
        snprintf(want + used, sizeof want - used, "%lld\n", (long long)json_integer_value(index));
    }
    assert_string_equal(text, want);
    control.seed = 78;
    char *other = list(&h, r, &control, SM_LIST_TEXT);
    assert_true(strcmp(text, other) != 0);
    free(text);
    free(other);
    sm_audit_result_free(r);
    let_go(&h);
}

static void lists_have_three_formats(void **state)
{
    (void)state;
    struct held h;
    draw_audit(&h, (size_t[]){0, 2, 0, 1}, 0, "{\"name\": \"a\"}");
    h.audit.with_names = true;
    h.items[0].name = "a \"b\".png";
    h.items[0].m = .25;
    h.items[1].name = "";
    h.items[1].m = .5;
    h.items[2].m = 0;
    struct sm_audit_result *r = evaluate(&h);
    struct sm_selection both = {.kind = SM_SELECT_TOP, .count = 2};
    char *text = list(&h, r, &both, SM_LIST_TEXT);
    assert_string_equal(text, "1\na \"b\".png\n"); /* an image without a name has its index */
    char *csv = list(&h, r, &both, SM_LIST_CSV);
    assert_non_null(strstr(csv, "rank,index,image,name,class,group,m,shrunken,centered,p_value,"
                                "q_value,completeness\r\n"
                                "1,1,"));
    assert_non_null(strstr(csv, ",\"a \"\"b\"\".png\",,,0.25,0.25,0.25,0.5,0.5,complete\r\n"));
    char *jsonl = list(&h, r, &both, SM_LIST_JSONL), *second = strchr(jsonl, '\n') + 1;
    json_t *node = parse_json(second);
    assert_int_equal(json_integer_value(at(node, "rank")), 2);
    assert_string_equal(json_string_value(at(node, "name")), "a \"b\".png");
    assert_true(json_number_value(at(node, "m")) == .25);
    assert_true(json_number_value(at(node, "shrunken")) == .25); /* at the mean of all three */
    json_decref(node);
    free(text);
    free(csv);
    free(jsonl);
    sm_audit_result_free(r);
    let_go(&h);
}

static void assert_list_refused(const struct held *h, const struct sm_audit_result *r,
                                const struct sm_selection *selection, const char *message)
{
    char *text = NULL;
    size_t size;
    struct sm_err err = {0};
    FILE *file = open_memstream(&text, &size);
    assert_int_equal(sm_audit_write_selection(file, &h->audit, r, selection, SM_LIST_TEXT, &err),
                     SM_INVALID);
    assert_string_equal(err.text, message);
    fclose(file);
    assert_int_equal(size, 0);
    free(text);
}

static void wrong_lists_are_refused(void **state)
{
    (void)state;
    struct held h;
    draw_audit(&h, (size_t[]){0, 3, 0, 3}, 0, "{\"name\": \"a\"}");
    h.items[1].name = "two\nlines";
    h.items[1].m = 100;
    struct sm_audit_result *r = evaluate(&h);
    assert_list_refused(&h, r, &(struct sm_selection){SM_SELECT_TOP, .count = 4},
                        "count is 4, must be from 0 to 3, the scored candidates");
    assert_list_refused(&h, r, &(struct sm_selection){SM_SELECT_RANDOM, .count = -1},
                        "count is -1, must be from 0 to 3, the scored candidates");
    assert_list_refused(&h, r, &(struct sm_selection){SM_SELECT_SHARE, .share = 1.5},
                        "share is 1.5, must be above 0 and at most 1");
    assert_list_refused(&h, r, &(struct sm_selection){SM_SELECT_SHARE, .share = NAN},
                        "share is nan, must be above 0 and at most 1");
    assert_list_refused(&h, r, &(struct sm_selection){SM_SELECT_FDR, .q = 1},
                        "q is 1, must be between 0 and 1");
    h.audit.with_names = true;
    assert_list_refused(
        &h, r, &(struct sm_selection){SM_SELECT_TOP, .count = 1},
        "the name of image 1 holds a line break: take the list as CSV or JSON Lines");
    sm_audit_result_free(r);
    let_go(&h);
}

/* --- failing streams --- */

static void full_disks_are_told(void **state)
{
    (void)state;
    static writes *const writers[] = {write_json, write_csv, write_html};
    struct held h;
    load_audit(&h, "effect");
    struct sm_audit_result *r = evaluate(&h);
    for (int k = 0; k < 3; k++) {
        struct sm_err err = {0};
        FILE *file = fopen("/dev/full", "w");
        assert_int_equal(writers[k](file, &h, r, &err), SM_IO);
        assert_non_null(strstr(err.text, "document cannot be written: "));
        fclose(file);
    }
    sm_audit_result_free(r);
    let_go(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_obey_their_schema),
        cmocka_unit_test(records_hold_what_they_should),
        cmocka_unit_test(digests_leave_keyed),
        cmocka_unit_test(names_leave_when_asked_for_only),
        cmocka_unit_test(two_runs_differ_in_their_run_alone),
        cmocka_unit_test(records_survive_hostile_names),
        cmocka_unit_test(tables_defuse_formulas),
        cmocka_unit_test(tables_have_a_line_an_image),
        cmocka_unit_test(reports_escape_what_comes_from_outside),
        cmocka_unit_test(printed_heads_hold_hostile_names),
        cmocka_unit_test(figures_have_their_digits),
        cmocka_unit_test(words_show_signs_and_powers),
        cmocka_unit_test(shell_words_are_quoted),
        cmocka_unit_test(cells_carry_their_titles),
        cmocka_unit_test(few_candidates_are_shown_once),
        cmocka_unit_test(labels_have_their_tables),
        cmocka_unit_test(reports_of_nothing_have_words),
        cmocka_unit_test(lists_follow_the_scores),
        cmocka_unit_test(controls_are_those_of_the_seed),
        cmocka_unit_test(lists_have_three_formats),
        cmocka_unit_test(wrong_lists_are_refused),
        cmocka_unit_test(full_disks_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
