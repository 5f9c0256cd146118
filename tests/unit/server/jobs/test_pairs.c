/* The registry: good pairs and bad folders side by side, in name order; loads and unloads later. */
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

static struct sm_pairs *pairs;

/* The pair as it stands, to be let go; a failed test when there is none. */
static struct sm_pair_state *look(const char *name)
{
    struct sm_pair_state *state;
    int count;
    assert_code(SM_OK, sm_pairs_list(&state, &count, pairs, name, &err));
    if (count != 1)
        fail_msg("there are %d pairs %s", count, name);
    return state;
}

static void check_failed(const char *name)
{
    struct sm_pair_state *state = look(name);
    struct sm_generation *generation;
    assert_null(state->generation);
    assert_true(strlen(state->reason) > 0);
    assert_code(SM_CORRUPT, sm_pairs_take(&generation, pairs, name, &err));
    assert_string_equal(err.text, state->reason);
    assert_null(generation);
    json_t *document = sm_pair_state_json(state);
    assert_string_equal(json_string_value(json_object_get(document, "name")), name);
    assert_string_equal(json_string_value(json_object_get(document, "state")), "failed");
    assert_string_equal(json_string_value(json_object_get(document, "reason")), state->reason);
    json_decref(document);
    sm_pairs_list_free(state, 1);
}

/* A link to a golden pair, in place of what has that name. */
static void link_pair(const char *name, const char *golden)
{
    char path[400], target[1000];
    assert_non_null(getcwd(target, 900));
    snprintf(target + strlen(target), 90, "/" GOLDEN "/%s", golden);
    snprintf(path, sizeof path, "%s/%s", scratch.dir, name);
    remove(path);
    assert_int_equal(symlink(target, path), 0);
}

static void check_ready(const char *name, int64_t number, const char *reload_reason)
{
    struct sm_pair_state *state = look(name);
    assert_non_null(state->generation);
    assert_int_equal(sm_generation_number(state->generation), number);
    assert_string_equal(state->reason, reload_reason);
    json_t *document = sm_pair_state_json(state);
    assert_string_equal(json_string_value(json_object_get(document, "name")), name);
    assert_string_equal(json_string_value(json_object_get(document, "state")), "ready");
    assert_int_equal(json_integer_value(json_object_get(document, "generation")), number);
    assert_non_null(json_object_get(document, "digest"));
    const char *said = json_string_value(json_object_get(document, "reload_reason"));
    assert_string_equal(said ? said : "", reload_reason);
    json_decref(document);
    sm_pairs_list_free(state, 1);
}

static void a_bad_pair_does_not_hide_the_good(void **state)
{
    (void)state;
    struct sm_pair_state *states;
    struct sm_generation *generation;
    int count;
    char longest[65], path[400];
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
    link_pair("c-good", "resnet");

    assert_code(SM_OK, sm_pairs_load(&pairs, scratch.dir, "ref", &err));
    assert_code(SM_OK, sm_pairs_list(&states, &count, pairs, NULL, &err));
    const char *const names[] = {"a-missing-file", "b-broken", "c-good", "d-empty", longest};
    assert_int_equal(count, 5);
    for (int i = 0; i < count; i++) {
        assert_string_equal(states[i].name, names[i]);
        if (i != 2)
            check_failed(names[i]);
    }
    sm_pairs_list_free(states, count);
    check_ready("c-good", 1, "");
    assert_code(SM_NOT_FOUND, sm_pairs_take(&generation, pairs, "c", &err));
    assert_string_equal(err.text, "there is no pair 'c'; GET /v1/pairs lists them");
    sm_pairs_free(pairs);
}

static void an_empty_folder_is_no_error(void **state)
{
    (void)state;
    struct sm_pair_state *states;
    int count;
    char path[400];
    assert_code(SM_OK, sm_pairs_load(&pairs, scratch.dir, "ref", &err));
    assert_code(SM_OK, sm_pairs_list(&states, &count, pairs, NULL, &err));
    assert_int_equal(count, 0);
    sm_pairs_list_free(states, count);
    sm_pairs_free(pairs);
    snprintf(path, sizeof path, "%s/nowhere", scratch.dir);
    assert_code(SM_IO, sm_pairs_load(&pairs, path, "ref", &err));
    assert_null(pairs);
}

static void one_pair_by_its_folder(void **state)
{
    (void)state;
    assert_code(SM_OK, sm_pairs_load_one(&pairs, GOLDEN "/resnet/", "ref", &err));
    check_ready("resnet", 1, "");
    sm_pairs_free(pairs);
    assert_code(SM_NOT_FOUND, sm_pairs_load_one(&pairs, GOLDEN "/nowhere", "ref", &err));
    assert_null(pairs);
}

static char *digest_of(struct sm_generation *generation)
{
    return strdup(sm_pair_digest(sm_generation_pair(generation)));
}

static void loads_make_generations_beside_the_old(void **state)
{
    (void)state;
    struct sm_generation *old, *now;
    bool created;
    link_pair("p", "resnet");
    assert_code(SM_OK, sm_pairs_load(&pairs, scratch.dir, "ref", &err));
    assert_code(SM_OK, sm_pairs_take(&old, pairs, "p", &err));
    char *before = digest_of(old);

    link_pair("p", "vit");
    assert_code(SM_OK, sm_pairs_put(pairs, "p", &created, &err));
    assert_false(created);
    check_ready("p", 2, "");
    assert_code(SM_OK, sm_pairs_take(&now, pairs, "p", &err));
    char *after = digest_of(now), *same = digest_of(old);
    assert_string_not_equal(before, after);
    assert_string_equal(before, same); /* whoever has it still has it whole */
    sm_generation_give(now);
    sm_generation_give(old);

    link_pair("p", "no-such-pair");
    assert_code(SM_NOT_FOUND, sm_pairs_put(pairs, "p", &created, &err));
    assert_string_equal(err.text, "the pairs folder has no folder 'p'");
    char path[400];
    snprintf(path, sizeof path, "%s/p", scratch.dir);
    remove(path);
    add_folder("p", "{\"f\": [");
    assert_code(SM_CORRUPT, sm_pairs_put(pairs, "p", &created, &err));
    check_ready("p", 2, err.text); /* it stays, and tells */
    assert_code(SM_OK, sm_pairs_take(&now, pairs, "p", &err));
    char *kept = digest_of(now);
    assert_string_equal(after, kept);
    sm_generation_give(now);

    link_pair("q", "resnet");
    assert_code(SM_OK, sm_pairs_put(pairs, "q", &created, &err));
    assert_true(created);
    check_ready("q", 3, "");
    add_folder("a", "nothing");
    assert_code(SM_CORRUPT, sm_pairs_put(pairs, "a", &created, &err));
    check_failed("a");

    assert_code(SM_OK, sm_pairs_remove(pairs, "q", &err));
    assert_code(SM_NOT_FOUND, sm_pairs_take(&now, pairs, "q", &err));
    assert_code(SM_NOT_FOUND, sm_pairs_remove(pairs, "q", &err));
    assert_string_equal(err.text, "there is no pair 'q'");
    assert_code(SM_OK, sm_pairs_remove(pairs, "a", &err));
    sm_pairs_free(pairs);
    free(before);
    free(after);
    free(same);
    free(kept);
}

static void a_name_is_no_path(void **state)
{
    (void)state;
    static const char *const names[] = {"", ".", "..", "../p", "p/../p", "/", ".hidden", "p/"};
    bool created;
    add_folder(".hidden", NULL);
    link_pair("p", "resnet");
    assert_code(SM_OK, sm_pairs_load(&pairs, scratch.dir, "ref", &err));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char text[100];
        snprintf(text, sizeof text, "the pairs folder has no folder '%s'", names[i]);
        assert_code(SM_NOT_FOUND, sm_pairs_put(pairs, names[i], &created, &err));
        assert_string_equal(err.text, text);
    }
    sm_pairs_free(pairs);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    static const struct CMUnitTest tests[] = {
        TEST(a_bad_pair_does_not_hide_the_good),
        TEST(an_empty_folder_is_no_error),
        TEST(one_pair_by_its_folder),
        TEST(loads_make_generations_beside_the_old),
        TEST(a_name_is_no_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
