/* A log line is one JSON object on standard error, whatever it is given. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants the four above */
#include <cmocka.h>

#include <jansson.h>
#include <string.h>
#include <unistd.h>

#include "server/base/clock.h"
#include "server/base/log.h"

static int saved, ends[2];

static void capture(void)
{
    assert_int_equal(pipe(ends), 0);
    saved = dup(STDERR_FILENO);
    dup2(ends[1], STDERR_FILENO);
}

/* The one line that was written since capture. */
static json_t *captured(void)
{
    char text[2000];
    json_error_t why;
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(ends[1]);
    ssize_t length = read(ends[0], text, sizeof text - 1);
    close(ends[0]);
    assert_true(length > 0);
    text[length] = 0;
    assert_ptr_equal(strchr(text, '\n'), text + length - 1);
    json_t *line = json_loads(text, 0, &why);
    assert_non_null(line);
    return line;
}

static void lines_are_json(void **state)
{
    (void)state;
    const char *time, *level, *event, *address;
    int port;
    int64_t ms;
    capture();
    sm_log("info", "listening", "{s:s, s:i}", "address", "a\"b\n", "port", 8080);
    json_t *line = captured();
    assert_int_equal(json_unpack(line, "{s:s, s:s, s:s, s:s, s:i !}", "time", &time, "level",
                                 &level, "event", &event, "address", &address, "port", &port),
                     0);
    assert_true(sm_time_parse(&ms, time));
    assert_string_equal(level, "info");
    assert_string_equal(event, "listening");
    assert_string_equal(address, "a\"b\n");
    assert_int_equal(port, 8080);
    json_decref(line);

    static const char *const bare[] = {NULL, "{s:s*}"};
    for (int i = 0; i < 2; i++) {
        capture();
        sm_log("error", "bare", bare[i], "absent", NULL);
        line = captured();
        assert_int_equal(json_object_size(line), 3);
        json_decref(line);
    }

    capture();
    sm_log_json("info", "ready_made", "\"status\":200,\"whole\":true");
    line = captured();
    assert_int_equal(json_object_size(line), 5);
    assert_int_equal(json_integer_value(json_object_get(line, "status")), 200);
    json_decref(line);
}

static void bad_fields_do_not_lose_the_line(void **state)
{
    (void)state;
    capture();
    sm_log("info", "event", "{s:s, s:s}", "event", "not replaced", "path", "\xff\xfe");
    json_t *line = captured();
    assert_string_equal(json_string_value(json_object_get(line, "event")), "event");
    assert_non_null(json_object_get(line, "fields_lost"));
    json_decref(line);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_json),
        cmocka_unit_test(bad_fields_do_not_lose_the_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
