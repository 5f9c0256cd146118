/* Rounding of JSON text: every figure, nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/http/round.h"

static void check(const char *text, int decimals, const char *expected)
{
    for (int again = 0; again < 2; again++) { /* a second time changes nothing */
        char *rounded = sm_round_json(strdup(again ? expected : text), decimals);
        assert_non_null(rounded);
        assert_string_equal(rounded, expected);
        free(rounded);
    }
}

static void figures_lose_decimals(void **state)
{
    (void)state;
    check("{\"m\":0.042637140608876134,\"n\":500,\"se\":1.5e-300}\n", 2,
          "{\"m\":0.04,\"n\":500,\"se\":0.00}\n");
    check("[-0.0041, -0.5, 83.0, 1E2, -12]", 2, "[0.00, -0.50, 83.00, 100.00, -12]");
    check("[0.25,0.75,-0.4]", 0, "[0,1,0]");
    check("[1.7976931348623157e308]", 1,
          "[17976931348623157081452742373170435679807056752584499659891747680315726078002853"
          "87605895586327668781715404589535143824642343213268894641827684675467035375169860"
          "49910576551282076245490090389328944075868508455133942304583236903222948165808559"
          "332123348274797826204144723168738177180919299881250404026184124858368.0]");
    check("0.125", 15, "0.125000000000000");
}

static void texts_and_recipes_stay(void **state)
{
    (void)state;
    check("{\"a 1.25\":\"0.125 \\\"0.125\\\\\",\"x\":0.125}", 1,
          "{\"a 1.25\":\"0.125 \\\"0.125\\\\\",\"x\":0.1}");
    check("{\"recipe\":{\"scale\":[0.125,1.0],\"o\":{\"}\":0.25}},\"m\":0.125}", 1,
          "{\"recipe\":{\"scale\":[0.125,1.0],\"o\":{\"}\":0.25}},\"m\":0.1}");
    check("{\"recipe\": \"ab0.25\", \"m\": 0.25}", 0, "{\"recipe\": \"ab0.25\", \"m\": 0}");
    check("{\"recipe\":[0.25],\"recipes\":{\"a\":0.75}}", 0,
          "{\"recipe\":[0],\"recipes\":{\"a\":1}}");
}

static void odd_texts_do_no_harm(void **state)
{
    (void)state;
    check("", 2, "");
    check("\"", 2, "\"");
    check("\"a\\", 2, "\"a\\");
    check("{\"recipe\":{\"a", 2, "{\"recipe\":{\"a");
    check("-", 2, "-");
    assert_null(sm_round_json(NULL, 2));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(figures_lose_decimals),
        cmocka_unit_test(texts_and_recipes_stay),
        cmocka_unit_test(odd_texts_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
