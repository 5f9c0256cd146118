/* 50,000 images: every number and all three documents in bounded time and memory. */
#include "fixture.h"

#include <sys/resource.h>
#include <time.h>

#define IMAGES 50000
/* Processor time, so that other work on the machine does not count; and none under a sanitizer. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SECONDS_MAX 100.0
#define KB_MAX      (400L << 10)
#else
#define SECONDS_MAX 5.0
#define KB_MAX      (32L << 10)
#endif

static long peak_kb(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}

static void fifty_thousand_images(void **state)
{
    (void)state;
    struct held h;
    struct sm_err err = {0};
    draw_audit(&h, (size_t[]){10000, 15000, 10000, 15000}, .3, "{\"name\": \"large\"}");
    assert_int_equal(h.audit.items_count, IMAGES);
    long before_kb = peak_kb();
    clock_t start = clock();
    struct sm_audit_result *r = evaluate(&h);
    FILE *file = fopen("/dev/null", "w");
    assert_int_equal(sm_audit_write_json(file, &h.audit, r, &err), SM_OK);
    assert_int_equal(sm_audit_write_csv(file, &h.audit, r, &err), SM_OK);
    assert_int_equal(sm_audit_write_html(file, &h.audit, r, NULL, NULL, &err), SM_OK);
    double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
    long grown_kb = peak_kb() - before_kb;
    fclose(file);
    print_message("%d images: %.2f s of processor time, %ld KB\n", IMAGES, seconds, grown_kb);
    assert_true(seconds < SECONDS_MAX);
    assert_true(grown_kb < KB_MAX);
    sm_audit_result_free(r);
    let_go(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fifty_thousand_images),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
