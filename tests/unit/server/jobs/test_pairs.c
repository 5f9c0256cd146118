/* The registry: good pairs and bad folders side by side, in name order. */
#include "tests/unit/server/store/scratch.h"

#include <string.h>
#include <sys/stat.h>

#include "server/jobs/pairs.h"

#define GOLDEN "tests/golden/score"

static struct scratch scratch;
static struct sm_err err;

static int setup(void **state)
{
    (void)state;
    err = (struct sm_err){0};
    scratch_make(&scratch);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    scratch_remove(&scratch);
    return 0;
}

static void add_folder(const char *name, const char *pair_json)
{
    char path[700];
    snprintf(path, sizeof path, "%s/%s", scratch.dir, name);
    assert_int_equal(mkdir(path, 0700), 0);
    if (!pair_json)
        return;
    snprintf(path, sizeof path, "%s/%s/pair.json", scratch.dir, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(pair_json, file);
    fclose(file);
}

static void check_failed(const struct sm_pairs *pairs, int index, const char *name)
{
    const char *reason = NULL;
    assert_string_equal(sm_pairs_name(pairs, index), name);
    assert_null(sm_pairs_at(pairs, index, &reason));
    assert_non_null(reason);
    assert_true(strlen(reason) > 0);
    json_t *document = sm_pairs_json(pairs, index);
    assert_string_equal(json_string_value(json_object_get(document, "name")), name);
    assert_string_equal(json_string_value(json_object_get(document, "state")), "failed");
    assert_string_equal(json_string_value(json_object_get(document, "reason")), reason);
    json_decref(document);
}

static void a_bad_pair_does_not_hide_the_good(void **state)
{
    (void)state;
    struct sm_pairs *pairs;
    char longest[65], path[400], golden[1000];
    memset(longest, 'x', 64);
    longest[64] = 0;
    add_folder("b-broken", "{\"f\": [");
    add_folder("a-missing-file", "{\"f\": [\"f.pt\"], \"g\": [\"g.pt\"], \"recipe\": {\"augment\": "
                                 "\"identity\"}}");
    add_folder("d-empty", NULL);
    add_folder(longest, NULL);
    add_folder(".hidden", NULL);
    snprintf(path, sizeof path, "%s/README", scratch.dir);
    fclose(fopen(path, "w"));
    assert_non_null(getcwd(golden, 900));
    strncat(golden, "/" GOLDEN "/resnet", 50);
    snprintf(path, sizeof path, "%s/c-good", scratch.dir);
    assert_int_equal(symlink(golden, path), 0);

    assert_code(SM_OK, sm_pairs_load(&pairs, scratch.dir, "ref", &err));
    assert_int_equal(sm_pairs_count(pairs), 5);
    check_failed(pairs, 0, "a-missing-file");
    check_failed(pairs, 1, "b-broken");
    check_failed(pairs, 3, "d-empty");
    check_failed(pairs, 4, longest);
    const char *reason = "unset";
    assert_string_equal(sm_pairs_name(pairs, 2), "c-good");
    assert_non_null(sm_pairs_at(pairs, 2, &reason));
    assert_null(reason);
    json_t *document = sm_pairs_json(pairs, 2);
    assert_string_equal(json_string_value(json_object_get(document, "name")), "c-good");
    assert_string_equal(json_string_value(json_object_get(document, "state")), "ready");
    assert_non_null(json_object_get(document, "digest"));
    json_decref(document);
    assert_int_equal(sm_pairs_find(pairs, "c-good"), 2);
    assert_int_equal(sm_pairs_find(pairs, "d-empty"), 3);
    assert_int_equal(sm_pairs_find(pairs, "c"), -1);
    sm_pairs_free(pairs);
}

static void an_empty_folder_is_no_error(void **state)
{
    (void)state;
    struct sm_pairs *pairs;
    char path[400];
    assert_code(SM_OK, sm_pairs_load(&pairs, scratch.dir, "ref", &err));
    assert_int_equal(sm_pairs_count(pairs), 0);
    assert_int_equal(sm_pairs_find(pairs, "any"), -1);
    sm_pairs_free(pairs);
    snprintf(path, sizeof path, "%s/nowhere", scratch.dir);
    assert_code(SM_IO, sm_pairs_load(&pairs, path, "ref", &err));
    assert_null(pairs);
}

static void one_pair_by_its_folder(void **state)
{
    (void)state;
    struct sm_pairs *pairs;
    assert_code(SM_OK, sm_pairs_load_one(&pairs, GOLDEN "/resnet/", "ref", &err));
    assert_int_equal(sm_pairs_count(pairs), 1);
    assert_int_equal(sm_pairs_find(pairs, "resnet"), 0);
    assert_non_null(sm_pairs_at(pairs, 0, NULL));
    sm_pairs_free(pairs);
    assert_code(SM_NOT_FOUND, sm_pairs_load_one(&pairs, GOLDEN "/nowhere", "ref", &err));
    assert_null(pairs);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    static const struct CMUnitTest tests[] = {
        TEST(a_bad_pair_does_not_hide_the_good),
        TEST(an_empty_folder_is_no_error),
        TEST(one_pair_by_its_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
