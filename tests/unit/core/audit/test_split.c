/* Splits: exact sizes, classes in proportion, copies together, encoders of an ensemble in balance,
 * the same split of the same images. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/audit/quota.h"
#include "core/base/rng.h"
#include "core/base/sha256.h"
#include "sslmem/split.h"

static struct sm_split_file *make_files(const size_t *classes, size_t classes_count, size_t *count)
{
    size_t n = 0;
    *count = 0;
    for (size_t c = 0; c < classes_count; c++)
        *count += classes[c];
    struct sm_split_file *files = calloc(*count + 1, sizeof *files);
    assert_non_null(files);
    for (size_t c = 0; c < classes_count; c++) {
        for (size_t i = 0; i < classes[c]; i++, n++) {
            sm_sha256(files[n].digest, &n, sizeof n);
            files[n].class_index = (uint32_t)c;
        }
    }
    return files;
}

static struct sm_split split(const struct sm_split_file *files, size_t count,
                             const struct sm_split_params *params)
{
    struct sm_split out;
    struct sm_err err = {0};
    if (sm_split_make(&out, files, count, params, &err) != SM_OK)
        fail_msg("%s", err.text);
    return out;
}

static void assert_refused(const struct sm_split_file *files, size_t count,
                           const struct sm_split_params *params, enum sm_code code,
                           const char *text)
{
    struct sm_split out;
    struct sm_err err = {0};
    assert_int_equal(sm_split_make(&out, files, count, params, &err), code);
    assert_string_equal(err.text, text);
    sm_split_release(&out);
}

/* Counts the files of a class in a cohort. */
static size_t in_class(const struct sm_split *s, const struct sm_split_file *files, size_t count,
                       uint32_t class_index, int cohort)
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++)
        n += files[i].class_index == class_index && s->cohorts[i] == cohort;
    return n;
}

static void sizes_are_exact_and_classes_in_proportion(void **state)
{
    (void)state;
    static const size_t classes[] = {1, 57, 300, 2, 141, 99, 1, 1};
    enum { CLASSES = sizeof classes / sizeof *classes };
    static const size_t sizes[][SM_COHORTS] = {
        {100, 50, 50, 50}, {1, 2, 3, 4}, {602, 0, 0, 0}, {0, 301, 0, 301}, {7, 201, 150, 33}};
    size_t count;
    struct sm_split_file *files = make_files(classes, CLASSES, &count);
    for (size_t t = 0; t < sizeof sizes / sizeof *sizes; t++) {
        struct sm_split_params params = {.seed = t};
        memcpy(params.sizes, sizes[t], sizeof sizes[t]);
        struct sm_split s = split(files, count, &params);
        assert_int_equal(s.images_count, count);
        for (int k = 0; k < SM_COHORTS; k++) {
            size_t sum = 0;
            for (uint32_t c = 0; c < CLASSES; c++) {
                size_t n = in_class(&s, files, count, c, k), exact = sizes[t][k] * classes[c];
                assert_true(n == exact / count || (n == exact / count + 1 && exact % count > 0));
                sum += n;
            }
            assert_int_equal(sum, sizes[t][k]);
            assert_int_equal(s.images[k], sum);
            assert_int_equal(s.files[k], sum);
        }
        sm_split_release(&s);
    }
    free(files);
}

/* Every cell is a neighbour of sizes[k] * classes[c] / n, and every sum is right. */
static void assert_rounded(const size_t *sizes, const size_t *classes, size_t count)
{
    size_t rows[40][SM_QUOTA_PARTS], n = 0, sums[SM_QUOTA_PARTS] = {0};
    for (size_t c = 0; c < count; c++)
        n += classes[c];
    sm_quota(rows, sizes, classes, count);
    for (size_t c = 0; c < count; c++) {
        size_t sum = 0;
        for (int k = 0; k < SM_QUOTA_PARTS; k++) {
            size_t low = sizes[k] * classes[c] / n, rest = sizes[k] * classes[c] % n;
            assert_true(rows[c][k] == low || (rest > 0 && rows[c][k] == low + 1));
            sum += rows[c][k];
            sums[k] += rows[c][k];
        }
        assert_int_equal(sum, classes[c]);
    }
    for (int k = 0; k < SM_QUOTA_PARTS; k++)
        assert_int_equal(sums[k], sizes[k]);
}

/* Tables of random sizes: also such that the classes' remainders do not add up by themselves. */
static void quotas_round_every_cell_to_a_neighbour(void **state)
{
    (void)state;
    for (uint32_t t = 0; t < 3000; t++) {
        size_t classes[40], n = 0, sizes[SM_QUOTA_PARTS] = {0};
        uint32_t r[4];
        sm_philox(r, (uint32_t[2]){1, 2}, (uint32_t[4]){t, 0, 0, 0});
        size_t count = 1 + r[0] % 40, left;
        for (size_t c = 0; c < count; c++) {
            uint32_t q[4];
            sm_philox(q, (uint32_t[2]){1, 2}, (uint32_t[4]){t, 1, (uint32_t)c, 0});
            classes[c] = 1 + q[0] % (r[1] % 2 ? 3 : 50);
            n += classes[c];
        }
        left = n;
        for (int k = 0; k < SM_QUOTA_PARTS; k++) {
            uint32_t q[4];
            sm_philox(q, (uint32_t[2]){1, 2}, (uint32_t[4]){t, 2, (uint32_t)k, 0});
            sizes[k] = k + 1 < SM_QUOTA_PARTS ? q[0] % (left + 1) : left;
            left -= sizes[k];
        }
        assert_rounded(sizes, classes, count);
    }
}

/* Tables whose columns are still an image off after the last class: about one in 300,000. */
static void quotas_are_settled_at_the_end(void **state)
{
    (void)state;
    assert_rounded((size_t[]){12, 1, 14, 1, 36}, (size_t[]){2, 27, 3, 32}, 4);
    assert_rounded((size_t[]){2, 2, 2, 3, 3}, (size_t[]){2, 6, 4}, 3);
    assert_rounded((size_t[]){51, 2, 62, 2, 2}, (size_t[]){3, 5, 18, 2, 29, 8, 32, 1, 21}, 9);
}

static void copies_stay_together(void **state)
{
    (void)state;
    size_t count;
    struct sm_split_file *files = make_files((size_t[]){90, 90}, 2, &count);
    /* Image 3 is there five times, once with the other class; 40 more are there twice. */
    for (size_t i = 0; i < 4; i++)
        memcpy(files[60 + 30 * i].digest, files[3].digest, sizeof files[3].digest);
    for (size_t i = 10; i < 50; i++)
        memcpy(files[90 + i].digest, files[i].digest, sizeof files[i].digest);
    memcpy(files[120].digest, files[3].digest, sizeof files[3].digest);
    size_t distinct = 180 - 4 - 40 + 1; /* file 120 was both */
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct sm_split_params params = {.seed = seed, .sizes = {30, 30, 30, 30}};
        struct sm_split s = split(files, count, &params);
        assert_int_equal(s.images_count, distinct);
        size_t sum = 0;
        for (int k = 0; k <= SM_COHORTS; k++) {
            assert_int_equal(s.images[k], k < SM_COHORTS ? 30 : distinct - 120);
            sum += s.files[k];
        }
        assert_int_equal(sum, count);
        for (size_t i = 0; i < count; i++)
            for (size_t j = 0; j < i; j++)
                if (memcmp(files[i].digest, files[j].digest, sizeof files[i].digest) == 0)
                    assert_int_equal(s.cohorts[i], s.cohorts[j]);
        sm_split_release(&s);
    }
    free(files);
}

static void a_seed_decides(void **state)
{
    (void)state;
    size_t count, moved = 0;
    struct sm_split_file *files = make_files((size_t[]){120, 80}, 2, &count), *turned;
    struct sm_split_params params = {.seed = UINT64_C(1) << 40, .sizes = {50, 50, 50, 50}}, other;
    struct sm_split a = split(files, count, &params), b = split(files, count, &params);
    assert_memory_equal(a.cohorts, b.cohorts, count);
    sm_split_release(&b);

    other = params;
    other.seed++;
    b = split(files, count, &other);
    for (size_t i = 0; i < count; i++)
        moved += a.cohorts[i] != b.cohorts[i];
    assert_true(moved > count / 2);
    sm_split_release(&b);
    other.seed = 0; /* differs in the upper half only */
    b = split(files, count, &other);
    assert_true(memcmp(a.cohorts, b.cohorts, count) != 0);
    sm_split_release(&b);

    /* Files in another order: every image keeps its cohort. */
    turned = calloc(count, sizeof *turned);
    assert_non_null(turned);
    for (size_t i = 0; i < count; i++)
        turned[i] = files[count - 1 - i];
    b = split(turned, count, &params);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(a.cohorts[i], b.cohorts[count - 1 - i]);
    sm_split_release(&b);
    sm_split_release(&a);
    free(turned);
    free(files);
}

/* Every image is in a cohort of 50 of 200 in about a quarter of 400 seeds: 100 +- 8.7. */
static void every_image_has_the_same_chance(void **state)
{
    (void)state;
    size_t count, times[200] = {0};
    struct sm_split_file *files = make_files((size_t[]){120, 80}, 2, &count);
    for (uint64_t seed = 0; seed < 400; seed++) {
        struct sm_split_params params = {.seed = seed, .sizes = {[SM_COHORT_CANDIDATE] = 50}};
        struct sm_split s = split(files, count, &params);
        for (size_t i = 0; i < count; i++)
            times[i] += s.cohorts[i] == SM_COHORT_CANDIDATE;
        sm_split_release(&s);
    }
    for (size_t i = 0; i < count; i++)
        assert_in_range(times[i], 60, 140);
    free(files);
}

static void what_does_not_fit_is_refused(void **state)
{
    (void)state;
    size_t count;
    struct sm_split_file *files = make_files((size_t[]){60, 41}, 2, &count);
    memcpy(files[100].digest, files[0].digest, sizeof files[0].digest);
    struct sm_split_params all = {.sizes = {25, 25, 25, 25}}, more = {.sizes = {25, 25, 25, 26}},
                           huge = {.sizes = {SIZE_MAX - 1, 7, 1, 1}},
                           two = {.sizes = {SM_SPLIT_REST, 1, SM_SPLIT_REST, 1}};
    struct sm_split s = split(files, count, &all);
    assert_int_equal(s.images[SM_SPLIT_NONE], 0);
    sm_split_release(&s);
    assert_refused(files, count, &more, SM_INVALID,
                   "the cohorts have 101 images together, the dataset has 100 (101 files); choose "
                   "smaller cohorts");
    assert_refused(
        files, count, &huge, SM_INVALID,
        "the cohorts have 18446744073709551615 images together, the dataset has 100 (101 "
        "files); choose smaller cohorts");
    assert_refused(files, count, &two, SM_INVALID,
                   "the rest of the images can go to one cohort, not to both shared and "
                   "independent");
    struct sm_split_params rest = {.sizes = {SM_SPLIT_REST, 30, 0, 1}};
    s = split(files, count, &rest);
    assert_int_equal(s.images[SM_COHORT_SHARED], 69);
    sm_split_release(&s);
    struct sm_split_params none = {.sizes = {0, 1}}, nothing = {.seed = 1};
    assert_refused(
        files, 0, &none, SM_INVALID,
        "the cohorts have 1 images together, the dataset has 0 (0 files); choose smaller "
        "cohorts");
    s = split(files, 0, &nothing);
    assert_int_equal(s.images_count, 0);
    sm_split_release(&s);
    free(files);
}

static size_t bits(uint64_t mask)
{
    size_t n = 0;
    for (; mask; mask &= mask - 1)
        n++;
    return n;
}

static void assert_balanced(const struct sm_split *s, const struct sm_split_file *files,
                            size_t count, uint32_t classes_count, int encoders)
{
    for (int e = 0; e < encoders; e++) {
        size_t all = 0;
        for (uint32_t c = 0; c < classes_count; c++) {
            size_t n = 0, of = 0;
            for (size_t i = 0; i < count; i++) {
                bool is = files[i].class_index == c && s->cohorts[i] == SM_COHORT_CANDIDATE;
                n += is && (s->encoders[i] >> e & 1);
                of += is;
            }
            assert_in_range(n, of / 2, (of + 1) / 2);
            all += n;
        }
        size_t of = s->images[SM_COHORT_CANDIDATE];
        assert_in_range(all, of / 2, (of + 1) / 2);
    }
}

static void an_ensemble_is_balanced(void **state)
{
    (void)state;
    static const size_t classes[] = {51, 30, 1, 7, 201, 3, 40};
    enum { CLASSES = sizeof classes / sizeof *classes };
    static const int encoders[] = {2, 4, 10, SM_SPLIT_ENCODERS_MAX};
    size_t count;
    struct sm_split_file *files = make_files(classes, CLASSES, &count);
    for (size_t t = 0; t < sizeof encoders / sizeof *encoders; t++) {
        int n = encoders[t];
        struct sm_split_params params = {
            .seed = 5, .encoders_count = n, .sizes = {20, SM_SPLIT_REST, 0, 40}};
        struct sm_split s = split(files, count, &params), again = split(files, count, &params);
        assert_memory_equal(s.encoders, again.encoders, count * sizeof *s.encoders);
        for (size_t i = 0; i < count; i++) {
            size_t expected = s.cohorts[i] == SM_COHORT_CANDIDATE ? (size_t)n / 2
                              : s.cohorts[i] == SM_COHORT_SHARED  ? (size_t)n
                                                                  : 0;
            assert_int_equal(bits(s.encoders[i]), expected);
            assert_true(n == 64 || s.encoders[i] >> n == 0);
        }
        assert_balanced(&s, files, count, CLASSES, n);
        sm_split_release(&again);
        sm_split_release(&s);
    }
    free(files);
}

/* Two images share 2.5 of 10 encoders on average; images that are bound to each other would
 * share none. */
static void images_of_an_ensemble_are_not_bound(void **state)
{
    (void)state;
    size_t count, opposite = 0, pairs = 0;
    struct sm_split_file *files = make_files((size_t[]){100}, 1, &count);
    struct sm_split_params params = {.encoders_count = 10,
                                     .sizes = {[SM_COHORT_CANDIDATE] = SM_SPLIT_REST}};
    struct sm_split s = split(files, count, &params);
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < i; j++, pairs++)
            opposite += (s.encoders[i] & s.encoders[j]) == 0;
    /* One in 252 by chance, 19.6 of 4950; images bound in twos would add 50. */
    assert_in_range(opposite, 5, 40);
    sm_split_release(&s);
    free(files);
}

static void an_ensemble_that_cannot_be_is_refused(void **state)
{
    (void)state;
    size_t count;
    struct sm_split_file *files = make_files((size_t[]){20}, 1, &count);
    static const struct {
        int encoders;
        const char *text;
    } rows[] = {{3, "an ensemble of 3 encoders: must be an even number from 2 to 64"},
                {-2, "an ensemble of -2 encoders: must be an even number from 2 to 64"},
                {66, "an ensemble of 66 encoders: must be an even number from 2 to 64"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sm_split_params params = {.encoders_count = rows[i].encoders};
        assert_refused(files, count, &params, SM_INVALID, rows[i].text);
    }
    struct sm_split_params params = {.encoders_count = 4, .sizes = {1, 1, 1, 1}};
    assert_refused(files, count, &params, SM_INVALID,
                   "an ensemble has no independent images: half of its encoders train without each "
                   "candidate");
    free(files);
}

static void files_to_the_limit(void **state)
{
    (void)state;
    size_t count = SM_SPLIT_FILES_MAX;
    struct sm_split_file *files = calloc(count + 1, sizeof *files);
    assert_non_null(files);
    for (size_t i = 0; i <= count; i++) {
        memcpy(files[i].digest, &i, sizeof i);
        files[i].class_index = (uint32_t)(i % 1000);
    }
    struct sm_split_params params = {.sizes = {1000000, 500000, 499999, 1}};
    struct sm_split s = split(files, count, &params);
    assert_int_equal(s.images[SM_COHORT_INDEPENDENT], 499999);
    assert_int_equal(s.images[SM_SPLIT_NONE], 0);
    sm_split_release(&s);
    assert_refused(files, count + 1, &params, SM_LIMIT,
                   "the dataset has 2000001 files, the limit is 2000000");
    free(files);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_are_exact_and_classes_in_proportion),
        cmocka_unit_test(quotas_round_every_cell_to_a_neighbour),
        cmocka_unit_test(quotas_are_settled_at_the_end),
        cmocka_unit_test(copies_stay_together),
        cmocka_unit_test(a_seed_decides),
        cmocka_unit_test(every_image_has_the_same_chance),
        cmocka_unit_test(what_does_not_fit_is_refused),
        cmocka_unit_test(an_ensemble_is_balanced),
        cmocka_unit_test(images_of_an_ensemble_are_not_bound),
        cmocka_unit_test(an_ensemble_that_cannot_be_is_refused),
        cmocka_unit_test(files_to_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
