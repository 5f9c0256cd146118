/* Decoders that do not keep to the protocol: each gets the verdict of its kind, costs the image that
 * it had and no other, and leaves the parent as it was.
 *
 * A hostile decoder is this program, started again; it says hello without locking itself in. */
#include "tests/unit/asserts.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "server/decode/decode.h"
#include "server/decode/helper.h"
#include "server/decode/protocol.h"
#include "tests/unit/server/decode/zeros.h"

/* --- the decoder --- */

struct talk {
    struct sm_decode_request request;
    struct sm_decode_answer answer; /* good, until a mode breaks it */
    const uint8_t *file;
    uint8_t *pixels;
};

static void say(const void *packet, size_t bytes_count)
{
    if (write(SM_DECODE_SOCKET_FD, packet, bytes_count) != (ssize_t)bytes_count)
        _exit(5);
}

static void say_answer(struct talk *t)
{
    say(&t->answer, sizeof t->answer);
}

static void be_good(struct talk *t)
{
    memset(t->pixels, 9, 12);
    say_answer(t);
}

static void be_silent(struct talk *t)
{
    (void)t;
    pause();
}

static void be_busy(struct talk *t)
{
    for (volatile uint64_t i = 0; t->request.id; i++)
        ;
}

static void exit_at_once(struct talk *t)
{
    (void)t;
    _exit(7);
}

static void die(struct talk *t)
{
    (void)t;
    raise(SIGKILL);
}

static void hang_up(struct talk *t)
{
    (void)t;
    close(SM_DECODE_SOCKET_FD);
    pause();
}

static void say_nothing_in_a_packet(struct talk *t)
{
    say(t, 0);
    pause();
}

static void say_short(struct talk *t)
{
    say(&t->answer, sizeof t->answer - 1);
}

static void say_long(struct talk *t)
{
    char packet[sizeof t->answer + 8] = {0};
    memcpy(packet, &t->answer, sizeof t->answer);
    say(packet, sizeof packet);
}

static void say_other_id(struct talk *t)
{
    t->answer.id++;
    say_answer(t);
}

static void say_large(struct talk *t)
{
    t->answer.width_px = t->answer.height_px = SM_IMAGE_SIDE_MAX_PX;
    say_answer(t);
}

static void say_negative(struct talk *t)
{
    t->answer.width_px = -2;
    say_answer(t);
}

static void say_other_code(struct talk *t)
{
    t->answer.code = SM_BUSY;
    strcpy(t->answer.text, "later");
    say_answer(t);
}

static void say_text_without_end(struct talk *t)
{
    t->answer.code = SM_CORRUPT;
    memset(t->answer.text, 'x', sizeof t->answer.text);
    say_answer(t);
}

static void say_control_characters(struct talk *t)
{
    t->answer.code = SM_CORRUPT;
    strcpy(t->answer.text, "a\x1b]b\n%n");
    say_answer(t);
}

/* The second answer is for the next image, before it comes. */
static void say_twice(struct talk *t)
{
    say_answer(t);
    t->answer.id++;
    t->answer.width_px = 1;
    say_answer(t);
}

/* A parent that reads what is cut off would end by SIGBUS. */
static void cut_the_memory(struct talk *t)
{
    if (ftruncate(SM_DECODE_MEMORY_FD, 4096) == 0 || errno != EPERM)
        _exit(6);
    be_good(t);
}

/* All that is left of images before this one, on both sides. */
static void look_for_others(struct talk *t)
{
    static bool again;
    size_t found = 0;
    for (size_t i = t->request.bytes_count; i < SM_DECODE_FILE_BYTES; i++)
        found += t->file[i] != 0;
    for (size_t i = 0; i < SM_DECODE_PIXELS_BYTES; i++)
        found += t->pixels[i] != 0;
    if (again || found > 0) {
        t->answer.code = SM_CORRUPT;
        snprintf(t->answer.text, sizeof t->answer.text, "found %zu bytes", found);
        say_answer(t);
        return;
    }
    again = true;
    t->answer.width_px = 4000; /* over what is wiped by hand */
    t->answer.height_px = 1000;
    memset(t->pixels, 9, 12000000);
    say_answer(t);
}

static const struct mode {
    const char *name;
    void (*answer)(struct talk *);
    enum sm_code code;
    const char *text;
} modes[] = {
    {"good", be_good, SM_OK, ""},
    {"silent", be_silent, SM_LIMIT, "image of 71 bytes takes more than 1500 ms to decode"},
    {"busy", be_busy, SM_LIMIT,
     "image of 71 bytes takes more than 1 s of processor time to decode"},
    {"exit", exit_at_once, SM_CORRUPT, "the decoder ended on this image, with exit code 7"},
    {"die", die, SM_CORRUPT, "the decoder ended on this image, by signal 9"},
    {"hang-up", hang_up, SM_CORRUPT, "the decoder ended on this image, by signal 9"},
    {"nothing", say_nothing_in_a_packet, SM_CORRUPT,
     "the decoder ended on this image, by signal 9"},
    {"short", say_short, SM_CORRUPT, "the decoder gave no sound answer on this image"},
    {"long", say_long, SM_CORRUPT, "the decoder gave no sound answer on this image"},
    {"id", say_other_id, SM_CORRUPT, "the decoder gave no sound answer on this image"},
    {"large", say_large, SM_CORRUPT, "the decoder gave no sound answer on this image"},
    {"negative", say_negative, SM_CORRUPT, "the decoder gave no sound answer on this image"},
    {"code", say_other_code, SM_CORRUPT, "the decoder gave no sound answer on this image"},
    {"endless", say_text_without_end, SM_CORRUPT, "the decoder gave no sound answer on this image"},
    {"control", say_control_characters, SM_CORRUPT, "a\\x1b]b\\x0a%n"},
    {"twice", say_twice, SM_OK, ""},
    {"cut", cut_the_memory, SM_OK, ""},
    {"look", look_for_others, SM_OK, ""},
};
enum { MODES = sizeof modes / sizeof *modes };

static void serve(const struct mode *mode)
{
    struct talk t = {0};
    uint8_t *memory = mmap(NULL, SM_DECODE_MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
                           SM_DECODE_MEMORY_FD, 0);
    if (memory == MAP_FAILED)
        _exit(6);
    t.file = memory;
    t.pixels = memory + SM_DECODE_FILE_BYTES;
    say(&(struct sm_decode_hello){.code = SM_OK}, sizeof(struct sm_decode_hello));
    while (read(SM_DECODE_SOCKET_FD, &t.request, sizeof t.request) == sizeof t.request) {
        t.answer = (struct sm_decode_answer){
            .id = t.request.id, .width_px = 2, .height_px = 2, .orientation = 1};
        mode->answer(&t);
    }
    _exit(0);
}

/* --- hellos --- */

static void hello_failed(void)
{
    struct sm_decode_hello hello = {.code = SM_UNSUPPORTED, .text = "sandbox: none here"};
    say(&hello, sizeof hello);
}

static void hello_short(void)
{
    say("hello", 5);
}

static void hello_odd(void)
{
    struct sm_decode_hello hello = {.code = SM_INTERNAL + 1, .text = "a code that there is not"};
    say(&hello, sizeof hello);
}

static void hello_silent(void)
{
    struct sm_decode_hello hello = {.code = SM_IO};
    say(&hello, sizeof hello);
}

static void hello_exit(void)
{
    _exit(8);
}

static const struct greeting {
    const char *name;
    void (*say)(void);
    enum sm_code code;
    const char *text;
} greetings[] = {
    {"hello-failed", hello_failed, SM_UNSUPPORTED, "sandbox: none here"},
    {"hello-short", hello_short, SM_IO, "decoder: it gave no sound hello"},
    {"hello-odd", hello_odd, SM_IO, "decoder: it gave no sound hello"},
    {"hello-silent", hello_silent, SM_IO, "decoder: it gave no sound hello"},
    {"hello-exit", hello_exit, SM_IO, "decoder: it ended before it was ready, with exit code 8"},
};
enum { GREETINGS = sizeof greetings / sizeof *greetings };

static void be(const char *name)
{
    for (int i = 0; i < MODES; i++)
        if (strcmp(name, modes[i].name) == 0)
            serve(&modes[i]);
    for (int i = 0; i < GREETINGS; i++)
        if (strcmp(name, greetings[i].name) == 0)
            greetings[i].say();
    pause();
}

/* --- the tests --- */

static struct sm_err err;
static struct zeros picture;
static struct sm_decoders *decoders;

static enum sm_code start(const char *mode)
{
    static const char *command[] = {"test_hostile", NULL, NULL};
    /* A busy machine is not silence. */
    struct sm_decoders_params params = {.count = 1,
                                        .cpu_max_s = strcmp(mode, "busy") == 0 ? 1 : 0,
                                        .wait_max_ms = strcmp(mode, "silent") == 0 ? 1500 : 60000,
                                        .command = command};
    command[1] = mode;
    return sm_decoders_start(&decoders, &params, &err);
}

static enum sm_code decode(struct sm_image *image)
{
    struct sm_image_info info;
    err = (struct sm_err){0};
    enum sm_code code =
        sm_decode(image, decoders, picture.bytes, picture.count, false, &info, &err);
    assert_int_equal(code == SM_OK, image->rgb != NULL);
    assert_int_equal(code == SM_OK, info.media_type != NULL);
    return code;
}

static void each_kind_has_its_verdict(void **state)
{
    (void)state;
    for (int i = 0; i < MODES; i++) {
        const struct mode *m = &modes[i];
        struct sm_image image;
        struct sm_decoders_counts counts;
        assert_ok(start(m->name));
        enum sm_code code = decode(&image);
        if (code != m->code || strcmp(err.text, m->text) != 0)
            fail_msg("%s: %s: %s", m->name, sm_code_name(code), err.text);
        sm_image_release(&image);
        sm_decoders_counts(&counts, decoders);
        bool answered = m->code == SM_OK || m->answer == say_control_characters;
        bool late = m->code == SM_LIMIT;
        assert_int_equal(counts.decoded, answered);
        assert_int_equal(counts.timed_out, late);
        assert_int_equal(counts.crashed, !answered && !late);
        sm_decoders_stop(decoders);
    }
}

/* The second image goes to another process: the same verdict again, and no more. */
static void a_broken_decoder_is_replaced(void **state)
{
    (void)state;
    struct sm_image image;
    struct sm_decoders_counts counts;
    assert_ok(start("exit"));
    for (int i = 0; i < 3; i++)
        assert_int_equal(decode(&image), SM_CORRUPT);
    sm_decoders_counts(&counts, decoders);
    assert_int_equal(counts.started, 3);
    assert_int_equal(counts.crashed, 3);
    sm_decoders_stop(decoders);
}

static void an_answer_before_the_question_is_not_heard(void **state)
{
    (void)state;
    struct sm_image image;
    struct sm_decoders_counts counts;
    assert_ok(start("twice"));
    for (int i = 0; i < 3; i++) {
        assert_ok(decode(&image));
        assert_int_equal(image.width_px, 2);
        sm_image_release(&image);
        usleep(50000); /* for the one too many to arrive */
    }
    sm_decoders_counts(&counts, decoders);
    assert_int_equal(counts.decoded, 3);
    assert_int_equal(counts.started, 3);
    sm_decoders_stop(decoders);
}

static void nothing_is_left_of_an_image(void **state)
{
    (void)state;
    struct sm_image image;
    assert_ok(start("look"));
    picture.bytes[picture.count++] = 'x'; /* the first file is the longer one */
    assert_ok(decode(&image));
    assert_int_equal(image.rgb[11999999], 9);
    sm_image_release(&image);
    picture.count--;
    assert_int_equal(decode(&image), SM_CORRUPT);
    assert_string_equal(err.text, "found 0 bytes");
    sm_decoders_stop(decoders);
}

static void without_a_decoder_there_is_no_start(void **state)
{
    (void)state;
    for (int i = 0; i < GREETINGS; i++) {
        decoders = (void *)1;
        assert_fails(start(greetings[i].name), greetings[i].code, greetings[i].text, "");
        assert_null(decoders);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_has_its_verdict),
        cmocka_unit_test(a_broken_decoder_is_replaced),
        cmocka_unit_test(an_answer_before_the_question_is_not_heard),
        cmocka_unit_test(nothing_is_left_of_an_image),
        cmocka_unit_test(without_a_decoder_there_is_no_start),
    };
    if (argc == 3)
        be(argv[1]);
    picture = zeros_png(2, 2, 8, 1, 0);
    int failures = cmocka_run_group_tests_name("hostile", tests, NULL, NULL);
    free(picture.bytes);
    return failures;
}
