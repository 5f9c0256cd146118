/* The pool with real decoders: the same pixels and errors as without, limits that hold, and killed
 * processes that cost one image each. */
#include "tests/unit/asserts.h"

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/file.h"
#include "server/decode/decode.h"
#include "server/decode/helper.h"
#include "server/decode/sandbox.h"
#include "tests/unit/server/decode/zeros.h"

#define FILES "tests/golden/image/files"

static struct sm_err err;
static struct sm_decoders *decoders;

static void start(struct sm_decoders_params params)
{
    static const char *const command[] = {"test_decode", SM_DECODE_COMMAND, NULL};
    params.command = command;
    assert_ok(sm_decoders_start(&decoders, &params, &err));
}

static struct sm_decoders_counts counts(void)
{
    struct sm_decoders_counts now;
    sm_decoders_counts(&now, decoders);
    return now;
}

/* Processes that this one has started, at most `room`. */
static int children(pid_t *out, int room)
{
    char path[64], text[256];
    int count = 0, parent;
    DIR *proc = opendir("/proc");
    for (const struct dirent *entry; (entry = readdir(proc)) && count < room;) {
        snprintf(path, sizeof path, "/proc/%.20s/stat", entry->d_name);
        FILE *file = fopen(path, "r");
        const char *end = file && fgets(text, sizeof text, file) ? strrchr(text, ')') : NULL;
        if (end && sscanf(end, ") %*c %d", &parent) == 1 && parent == getpid())
            out[count++] = (pid_t)strtol(entry->d_name, NULL, 10);
        if (file)
            fclose(file);
    }
    closedir(proc);
    return count;
}

/* --- the same as without --- */

static void compare(const char *path, bool apply_orientation)
{
    struct sm_file file;
    struct sm_image image, expected;
    struct sm_image_info info, expected_info;
    struct sm_err why = {0}, expected_why = {0};
    assert_ok(sm_file_map(&file, path, 1 << 26, &err));
    enum sm_code code =
        sm_decode(&image, decoders, file.bytes, file.bytes_count, apply_orientation, &info, &why);
    enum sm_code expected_code = sm_image_decode(&expected, file.bytes, file.bytes_count,
                                                 apply_orientation, &expected_info, &expected_why);
    if (code != expected_code || strcmp(why.text, expected_why.text) != 0)
        fail_msg("%s: %s: %s", path, sm_code_name(code), why.text);
    assert_int_equal(image.width_px, expected.width_px);
    assert_int_equal(image.height_px, expected.height_px);
    if (code == SM_OK)
        assert_memory_equal(image.rgb, expected.rgb,
                            (size_t)image.width_px * (size_t)image.height_px * 3);
    assert_ptr_equal(info.media_type, expected_info.media_type);
    assert_int_equal(info.width_px, expected_info.width_px);
    assert_int_equal(info.height_px, expected_info.height_px);
    assert_int_equal(info.orientation, expected_info.orientation);
    assert_int_equal(info.oriented, expected_info.oriented);
    assert_int_equal(info.exif_unreadable, expected_info.exif_unreadable);
    assert_int_equal(info.decoder_warnings, expected_info.decoder_warnings);
    sm_image_release(&image);
    sm_image_release(&expected);
    sm_file_release(&file);
}

static int compare_folder(const char *folder)
{
    char path[512];
    int count = 0;
    DIR *directory = opendir(folder);
    for (const struct dirent *entry; directory && (entry = readdir(directory));) {
        if (!strstr(entry->d_name, ".png") && !strstr(entry->d_name, ".jpg"))
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        compare(path, false);
        compare(path, true);
        count++;
    }
    if (directory)
        closedir(directory);
    return count;
}

static void every_file_as_without(void **state)
{
    (void)state;
    start((struct sm_decoders_params){.count = 1});
    assert_true(compare_folder(FILES) > 140);
    assert_int_equal(compare_folder("tests/golden/image/pngsuite"), 176);
    assert_int_equal(counts().started, 1);
    assert_int_equal(counts().crashed, 0);
    sm_decoders_stop(decoders);
}

static void what_is_no_image_gets_no_decoder(void **state)
{
    (void)state;
    struct sm_image image;
    start((struct sm_decoders_params){.count = 1});
    uint8_t *bytes = calloc(1, SM_IMAGE_BYTES_MAX + 1);
    assert_fails(sm_decode(&image, decoders, bytes, 28, false, NULL, &err), SM_UNSUPPORTED,
                 "no JPEG, PNG or raw image: 28 bytes", "");
    memcpy(bytes, "\xff\xd8\xff", 3);
    assert_fails(sm_decode(&image, decoders, bytes, SM_IMAGE_BYTES_MAX + 1, false, NULL, &err),
                 SM_LIMIT, "image of 16777217 bytes, the limit is 16777216", "");
    assert_int_equal(counts().decoded, 0);
    assert_fails(sm_decode(&image, decoders, bytes, SM_IMAGE_BYTES_MAX, false, NULL, &err),
                 SM_CORRUPT, "JPEG ends at byte 16777216 without an end marker", "");
    assert_int_equal(counts().decoded, 1);
    free(bytes);
    sm_decoders_stop(decoders);
}

/* --- limits --- */

static void memory_is_limited(void **state)
{
    (void)state;
    struct sm_image image;
    struct zeros large = zeros_png(4000, 4000, 8, 1, 0), small = zeros_png(64, 64, 8, 1, 0);
    start((struct sm_decoders_params){.count = 1, .memory_max_bytes = 32 << 20});
    char text[80];
    snprintf(text, sizeof text, "image of %zu bytes takes more than 33554432 bytes to decode",
             large.count);
    assert_fails(sm_decode(&image, decoders, large.bytes, large.count, false, NULL, &err), SM_LIMIT,
                 text, "");
    assert_ok(sm_decode(&image, decoders, small.bytes, small.count, false, NULL, &err));
    sm_image_release(&image);
    assert_int_equal(counts().started, 1); /* it was told no and lives */
    sm_decoders_stop(decoders);
    free(large.bytes);
    free(small.bytes);
}

/* The kind of image that takes most memory, as large as an image may be. */
static void the_largest_image_fits(void **state)
{
    (void)state;
    if (SM_SANDBOX_SANITIZER)
        skip(); /* minutes */
    struct sm_image image;
    struct zeros largest = zeros_png(8192, 4882, 16, 4, 1);
    start((struct sm_decoders_params){.count = 1});
    assert_ok(sm_decode(&image, decoders, largest.bytes, largest.count, false, NULL, &err));
    assert_int_equal(image.height_px, 4882);
    sm_image_release(&image);
    sm_decoders_stop(decoders);
    free(largest.bytes);
}

static void recycled_after_its_images(void **state)
{
    (void)state;
    start((struct sm_decoders_params){.count = 1, .images_max = 3});
    for (int i = 0; i < 5; i++)
        compare(FILES "/rgb.png", i % 2);
    compare(FILES "/bad_deflate.png", false); /* counts as well */
    assert_int_equal(counts().started, 2);
    compare(FILES "/rgb.png", false);
    assert_int_equal(counts().started, 3);
    assert_int_equal(counts().recycled, 2);
    assert_int_equal(counts().decoded, 7);
    sm_decoders_stop(decoders);
}

static void a_decoder_has_one_descriptor(void **state)
{
    (void)state;
    pid_t pid;
    char path[64], target[64];
    int open_everywhere = dup2(STDERR_FILENO, 77); /* would be inherited */
    start((struct sm_decoders_params){.count = 1});
    assert_int_equal(children(&pid, 1), 1);
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *directory = opendir(path);
    int count = 0;
    for (const struct dirent *entry; directory && (entry = readdir(directory));) {
        if (entry->d_name[0] == '.')
            continue;
        ssize_t length = readlinkat(dirfd(directory), entry->d_name, target, sizeof target - 1);
        assert_true(length > 0);
        target[length] = '\0';
        count += strcmp(target, "/dev/null") != 0 && strcmp(entry->d_name, "2") != 0;
    }
    if (directory) {
        closedir(directory);
        assert_int_equal(count, 1); /* its socket */
    } else {
        print_message("%s is not to be read: skipped\n", path);
    }
    close(open_everywhere);
    sm_decoders_stop(decoders);
    assert_int_equal(children(&pid, 1), 0);
}

/* --- many at once --- */

static atomic_bool over;
static atomic_int decoded;

static void *decode_until_over(void *arg)
{
    static const char *const names[] = {"rgb.png", "palette.png", "baseline.jpg",
                                        "orientation6.jpg", "bad_deflate.png"};
    char path[128];
    (void)arg;
    for (int i = 0; !over; i++) {
        snprintf(path, sizeof path, FILES "/%s", names[i % 5]);
        compare(path, i % 2);
        decoded++;
    }
    return NULL;
}

static void more_threads_than_decoders(void **state)
{
    (void)state;
    enum { THREADS = 6 };
    pthread_t threads[THREADS];
    start((struct sm_decoders_params){.count = 2, .images_max = 20});
    over = false;
    decoded = 0;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, decode_until_over, NULL), 0);
    for (int i = 0; i < 60000 && decoded < 300; i++)
        usleep(1000);
    over = true;
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_true(decoded >= 300);
    assert_int_equal(counts().decoded, decoded);
    assert_int_equal(counts().crashed, 0);
    assert_true(counts().recycled >= 10);
    sm_decoders_stop(decoders);
}

struct slow {
    struct zeros file;
    atomic_bool done;
    enum sm_code code;
    struct sm_err err;
};

static void *decode_slow(void *arg)
{
    struct slow *slow = arg;
    struct sm_image image;
    slow->code =
        sm_decode(&image, decoders, slow->file.bytes, slow->file.count, false, NULL, &slow->err);
    sm_image_release(&image);
    slow->done = true;
    return NULL;
}

/* Not before exec, when it still shows the memory of this process. */
static bool is_decoder(pid_t pid)
{
    char path[64], text[256] = "";
    snprintf(path, sizeof path, "/proc/%d/cmdline", (int)pid);
    FILE *file = fopen(path, "r");
    size_t count = file ? fread(text, 1, sizeof text - 1, file) : 0;
    if (file)
        fclose(file);
    return memmem(text, count, SM_DECODE_COMMAND, strlen(SM_DECODE_COMMAND)) != NULL;
}

/* Memory of its own that a process has touched. */
static size_t private_bytes(pid_t pid)
{
    char path[64];
    size_t resident = 0, shared = 0;
    snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
    FILE *file = fopen(path, "r");
    if (file && fscanf(file, "%*u %zu %zu", &resident, &shared) != 2)
        resident = shared;
    if (file)
        fclose(file);
    return (resident - shared) * (size_t)sysconf(_SC_PAGESIZE);
}

/* Kills the decoder that has the large image, in the middle of it: none has that much memory before
 * or after. */
static void kill_the_one_at_work(const struct slow *slow)
{
    pid_t pids[4];
    while (!slow->done) {
        int count = children(pids, 4);
        for (int i = 0; i < count; i++)
            if (is_decoder(pids[i]) && private_bytes(pids[i]) > (size_t)100 << 20 &&
                kill(pids[i], SIGKILL) == 0)
                return;
    }
}

/* With a neighbour that decodes all the time and notices nothing. */
static void killed_in_the_middle_100_times(void **state)
{
    (void)state;
    enum { TIMES = 100 };
    struct slow slow = {.file = zeros_png(6000, 6000, 8, 1, 0)};
    pthread_t worker, neighbour;
    start((struct sm_decoders_params){.count = 2});
    over = false;
    decoded = 0;
    assert_int_equal(pthread_create(&neighbour, NULL, decode_until_over, NULL), 0);
    for (int i = 0; i < TIMES; i++) {
        slow.done = false;
        slow.err = (struct sm_err){0};
        assert_int_equal(pthread_create(&worker, NULL, decode_slow, &slow), 0);
        kill_the_one_at_work(&slow);
        pthread_join(worker, NULL);
        assert_int_equal(slow.code, SM_CORRUPT);
        assert_string_equal(slow.err.text, "the decoder ended on this image, by signal 9");
    }
    over = true;
    pthread_join(neighbour, NULL);
    assert_true(decoded > TIMES);
    assert_int_equal(counts().crashed, TIMES);
    assert_int_equal(counts().decoded, decoded);
    sm_decoders_stop(decoders);
    free(slow.file.bytes);
}

/* Then no image pays. */
static void killed_between_images(void **state)
{
    (void)state;
    pid_t pid;
    start((struct sm_decoders_params){.count = 1});
    for (int i = 0; i < 20; i++) {
        assert_int_equal(children(&pid, 1), 1);
        kill(pid, i % 2 ? SIGKILL : SIGSEGV);
        siginfo_t end; /* its end, which is left for the pool to see */
        assert_int_equal(waitid(P_PID, (id_t)pid, &end, WEXITED | WNOWAIT), 0);
        compare(FILES "/rgb.png", false);
    }
    assert_int_equal(counts().crashed, 20);
    assert_int_equal(counts().decoded, 20);
    sm_decoders_stop(decoders);
}

/* An interrupt at a terminal, or a service manager's goodbye, is for the parent. */
static void polite_signals_do_not_end_it(void **state)
{
    (void)state;
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    pid_t pid;
    start((struct sm_decoders_params){.count = 1});
    assert_int_equal(children(&pid, 1), 1);
    assert_int_equal(getpgid(pid), pid);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        kill(pid, signals[i]);
    compare(FILES "/rgb.png", false);
    assert_int_equal(counts().started, 1);
    sm_decoders_stop(decoders);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_file_as_without),
        cmocka_unit_test(what_is_no_image_gets_no_decoder),
        cmocka_unit_test(memory_is_limited),
        cmocka_unit_test(the_largest_image_fits),
        cmocka_unit_test(recycled_after_its_images),
        cmocka_unit_test(a_decoder_has_one_descriptor),
        cmocka_unit_test(more_threads_than_decoders),
        cmocka_unit_test(killed_in_the_middle_100_times),
        cmocka_unit_test(killed_between_images),
        cmocka_unit_test(polite_signals_do_not_end_it),
    };
    if (argc == 3 && strcmp(argv[1], SM_DECODE_COMMAND) == 0)
        return sm_decode_helper(argc - 1, argv + 1);
    return cmocka_run_group_tests_name("decode", tests, NULL, NULL);
}
