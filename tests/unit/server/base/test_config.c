/* The option table: defaults, bounds at the limit and one past it, precedence, help. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants the four above */
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/base/config.h"

static struct sm_config config;
static struct sm_err err;
static enum sm_settings_action action;

/* Reads up to two words. */
static enum sm_code read_words(const char *a, const char *b)
{
    char first[1200], second[1200];
    char *words[] = {first, second, NULL};
    snprintf(first, sizeof first, "%s", a ? a : "");
    snprintf(second, sizeof second, "%s", b ? b : "");
    err = (struct sm_err){0};
    return sm_config_read(&config, &action, (a != NULL) + (b != NULL), words, &err);
}

static void defaults_are_as_documented(void **state)
{
    (void)state;
    assert_int_equal(read_words(NULL, NULL), SM_OK);
    assert_int_equal(action, SM_SETTINGS_RUN);
    assert_string_equal(config.listen, "127.0.0.1:8080");
    assert_string_equal(config.pairs, "pairs");
    assert_string_equal(config.db, "sslmem.db");
    assert_string_equal(config.kernels, "auto");
    assert_int_equal(config.workers, 0);
    assert_true(sm_config_workers(&config) >= 1);
    assert_string_equal(config.admin_listen, "off");
    assert_string_equal(config.metrics, "off");
    assert_string_equal(config.sandbox, "required");
    assert_int_equal(config.http_threads, 2);
    assert_int_equal(config.body_bytes_max, 16777216);
    assert_int_equal(config.images_max, 64);
    assert_int_equal(config.queue_max, 10000);
    assert_int_equal(config.wait_default_ms, 10000);
    assert_int_equal(config.wait_max_ms, 60000);
    assert_int_equal(config.connections_max, 1024);
    assert_int_equal(config.idle_timeout_s, 30);
    assert_int_equal(config.connections_per_client_max, 64);
    assert_int_equal(config.streams_max, 64);
    assert_int_equal(config.streams_per_client_max, 16);
    assert_int_equal(config.head_deadline_ms, 10000);
    assert_int_equal(config.body_deadline_ms, 120000);
    assert_int_equal(config.body_rate_min_bytes_per_s, 1048576);
    assert_string_equal(config.tls_cert, "");
    assert_int_equal(config.trusted_proxies.count, 0);
    assert_int_equal(config.cors_origins.count, 0);
}

static void flag_beats_environment_beats_default(void **state)
{
    (void)state;
    setenv("SSLMEM_BODY_BYTES_MAX", "2048", 1);
    setenv("SSLMEM_DB", "from-environment.db", 1);
    assert_int_equal(read_words("--db", "from-flag.db"), SM_OK);
    assert_int_equal(config.body_bytes_max, 2048);
    assert_string_equal(config.db, "from-flag.db");
    assert_int_equal(read_words("--body-bytes-max=4096", NULL), SM_OK);
    assert_int_equal(config.body_bytes_max, 4096);
    assert_string_equal(config.db, "from-environment.db");
    setenv("SSLMEM_BODY_BYTES_MAX", "10", 1);
    assert_int_equal(read_words(NULL, NULL), SM_INVALID);
    assert_string_equal(err.text,
                        "SSLMEM_BODY_BYTES_MAX is 10, must be a whole number from 1024 to "
                        "1073741824");
    unsetenv("SSLMEM_BODY_BYTES_MAX");
    unsetenv("SSLMEM_DB");
}

static void numbers_have_bounds(void **state)
{
    (void)state;
    static const struct {
        const char *word;
        enum sm_code code;
    } cases[] = {
        {"--body-bytes-max=1024", SM_OK},
        {"--body-bytes-max=1023", SM_INVALID},
        {"--body-bytes-max=1073741824", SM_OK},
        {"--body-bytes-max=1073741825", SM_INVALID},
        {"--workers=0", SM_OK},
        {"--workers=-1", SM_INVALID},
        {"--http-threads=64", SM_OK},
        {"--http-threads=65", SM_INVALID},
        {"--http-threads=0", SM_INVALID},
        {"--images-max=12x", SM_INVALID},
        {"--images-max= 12", SM_INVALID},
        {"--images-max=+12", SM_INVALID},
        {"--images-max=", SM_INVALID},
        {"--queue-max=99999999999999999999", SM_INVALID},
        {"--wait-default-ms=60000", SM_OK},
        {"--wait-default-ms=60001", SM_INVALID}, /* over wait-max-ms */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        enum sm_code code = read_words(cases[i].word, NULL);
        if (code != cases[i].code)
            fail_msg("%s gave %s: %s", cases[i].word, sm_code_name(code), err.text);
    }
}

static void bounds_between_settings_name_their_sources(void **state)
{
    (void)state;
    assert_int_equal(read_words("--wait-max-ms", "9999"), SM_INVALID);
    assert_string_equal(err.text, "wait-default-ms (default) is 10000, more than wait-max-ms "
                                  "(--wait-max-ms), 9999");
}

static void admin_is_for_this_machine(void **state)
{
    (void)state;
    assert_int_equal(read_words("--admin-listen", "[::1]:0"), SM_OK);
    assert_int_equal(read_words("--admin-listen", "127.0.0.1:9000"), SM_OK);
    assert_int_equal(read_words("--admin-listen", "0.0.0.0:9000"), SM_INVALID);
    assert_string_equal(
        err.text, "--admin-listen is 0.0.0.0:9000, must be on 127.0.0.0/8 or [::1], or unix:/path");
    assert_int_equal(read_words("--admin-listen", "127.0.0.1"), SM_INVALID);
    char path[130] = "unix:/";
    memset(path + 6, 'x', 106);
    assert_int_equal(read_words("--admin-listen", path), SM_OK);
    path[6 + 106] = 'x';
    assert_int_equal(read_words("--admin-listen", path), SM_INVALID);
    assert_int_equal(read_words("--admin-listen", "unix:admin"), SM_INVALID);
    assert_string_equal(err.text,
                        "--admin-listen is unix:admin, must be unix: and an absolute path "
                        "of at most 107 bytes");
}

static void lists_are_checked(void **state)
{
    (void)state;
    assert_int_equal(read_words("--trusted-proxies", "10.0.0.0/8,::1"), SM_OK);
    assert_int_equal(config.trusted_proxies.count, 2);
    assert_int_equal(read_words("--trusted-proxies", "10.0.0.0/8,proxy"), SM_INVALID);
    assert_string_equal(err.text, "trusted-proxies (--trusted-proxies): proxy is no address or "
                                  "network such as 10.0.0.0/8");
    assert_int_equal(read_words("--cors-origins", "https://a.example,http://b:8080"), SM_OK);
    assert_int_equal(read_words("--cors-origins", "*"), SM_INVALID);
    assert_string_equal(err.text, "cors-origins (--cors-origins): * is no origin such as "
                                  "https://host or http://host:8080, in lower case");
    assert_int_equal(read_words("--tls-cert", "a.pem"), SM_INVALID);
    assert_string_equal(err.text, "tls-cert is given without tls-key");
    assert_int_equal(read_words("--tls-key", "a.pem"), SM_INVALID);
    assert_string_equal(err.text, "tls-key is given without tls-cert");
}

static void texts_are_checked(void **state)
{
    (void)state;
    char longest[1100] = "--db=";
    memset(longest + 5, 'x', 1023);
    assert_int_equal(read_words(longest, NULL), SM_OK);
    assert_int_equal(strlen(config.db), 1023);
    longest[5 + 1023] = 'x';
    assert_int_equal(read_words(longest, NULL), SM_INVALID);
    assert_string_equal(err.text, "--db has 1024 bytes, at most 1023");
    assert_int_equal(read_words("--db=", NULL), SM_INVALID);
    assert_int_equal(read_words("--kernels=ref", NULL), SM_OK);
    assert_int_equal(read_words("--kernels=re", NULL), SM_INVALID);
    assert_string_equal(err.text, "--kernels is re, must be one of auto|ref|blas|avx2|avx512");
    assert_int_equal(read_words("--kernels=ref|blas", NULL), SM_INVALID);
    assert_int_equal(read_words("--sandbox=off", NULL), SM_OK);
    assert_int_equal(read_words("--sandbox=on", NULL), SM_INVALID);
    assert_string_equal(err.text, "--sandbox is on, must be one of required|off");
    assert_int_equal(read_words("--listen=[::1]:0", NULL), SM_OK);
    assert_int_equal(read_words("--listen=0.0.0.0:65535", NULL), SM_OK);
    assert_int_equal(read_words("--listen=0.0.0.0:65536", NULL), SM_INVALID);
    assert_int_equal(read_words("--listen=localhost", NULL), SM_INVALID);
    assert_int_equal(read_words("--listen=:80", NULL), SM_INVALID);
    assert_int_equal(read_words("--listen=host:", NULL), SM_INVALID);
}

static void unknown_words_are_named(void **state)
{
    (void)state;
    assert_int_equal(read_words("--worker", "2"), SM_INVALID);
    assert_string_equal(err.text, "unknown option --worker; the nearest is --workers");
    assert_int_equal(read_words("--body-byte-max=1", NULL), SM_INVALID);
    assert_string_equal(err.text,
                        "unknown option --body-byte-max; the nearest is --body-bytes-max");
    assert_int_equal(read_words("--colour", "red"), SM_INVALID);
    assert_string_equal(err.text, "unknown option --colour; --help lists all");
    assert_int_equal(read_words("pairs", NULL), SM_INVALID);
    assert_string_equal(err.text, "pairs is not an option; options begin with --");
    assert_int_equal(read_words("--", NULL), SM_INVALID);
    assert_int_equal(read_words("--config", NULL), SM_INVALID);
    assert_string_equal(err.text, "--config needs a value");
    assert_int_equal(read_words("--db", NULL), SM_INVALID);
    assert_string_equal(err.text, "--db needs a value");
    assert_string_equal(config.db, "");
}

static void help_names_everything(void **state)
{
    (void)state;
    char *text = NULL;
    size_t length = 0;
    assert_int_equal(read_words("--nonsense", "--help"), SM_OK);
    assert_int_equal(action, SM_SETTINGS_HELP);
    FILE *out = open_memstream(&text, &length);
    assert_non_null(out);
    sm_config_help(out);
    fclose(out);
    static const char *const expected[] = {
        "--listen VALUE",
        "default 127.0.0.1:8080\n      environment SSLMEM_LISTEN; in the file listen\n",
        "--config FILE",
        "--check-config",
        "--print-config",
        "SSLMEM_CONFIG",
        "SSLMEM_ADMIN_LISTEN",
        "SSLMEM_METRICS",
        "in the file limits/queue_max\n",
        "one of auto|ref|blas|avx2|avx512",
        "default 16777216; 1024 to 1073741824",
        "SSLMEM_BODY_BYTES_MAX",
        "SSLMEM_PAIRS",
        "SSLMEM_DB",
        "SSLMEM_KERNELS",
        "SSLMEM_WORKERS",
        "SSLMEM_HTTP_THREADS",
        "SSLMEM_IMAGES_MAX",
        "SSLMEM_QUEUE_MAX",
        "SSLMEM_WAIT_DEFAULT_MS",
        "SSLMEM_WAIT_MAX_MS",
        "SSLMEM_CONNECTIONS_MAX",
        "SSLMEM_IDLE_TIMEOUT_S",
    };
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        if (!strstr(text, expected[i]))
            fail_msg("help lacks %s:\n%s", expected[i], text);
    free(text);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_as_documented),
        cmocka_unit_test(flag_beats_environment_beats_default),
        cmocka_unit_test(numbers_have_bounds),
        cmocka_unit_test(bounds_between_settings_name_their_sources),
        cmocka_unit_test(admin_is_for_this_machine),
        cmocka_unit_test(lists_are_checked),
        cmocka_unit_test(texts_are_checked),
        cmocka_unit_test(unknown_words_are_named),
        cmocka_unit_test(help_names_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
