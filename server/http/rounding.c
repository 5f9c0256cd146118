/* Parses the document, changes it in place and writes it again. Two tables classify numbers by
 * name: figures, which are rounded, and numbers that reveal nothing about a score (counts, sizes,
 * values from the client), which stay. Any other number is removed or becomes null. */
#include "server/http/rounding.h"

#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/json.h"

#define STEP_MIN 1e-100 /* a smaller standard deviation counts as unknown */

enum kind {
    GRID,    /* figures in the unit of the score m */
    MEMBERS, /* figures in the unit of m for the encoders of a side */
    SHARE,   /* figures from 0 to 1, or from -1 to 1 */
    PERCENT, /* figures from 0 to 100 */
    HIDDEN   /* figures without a step, whose name has a unit */
};

static const struct {
    const char *name;
    enum kind kind;
} figures[] = {
    {"m", GRID},
    {"m_se", GRID},
    {"m_low", GRID},
    {"m_high", GRID},
    {"alignment", GRID},
    {"se", GRID},
    {"sd_encoders", GRID},
    {"encoders", MEMBERS},
    {"mean", GRID},
    {"sd", GRID},
    {"centered", GRID},
    {"percentile", PERCENT},
    {"p_value", SHARE},
    {"q_value", SHARE},
    {"ratio", SHARE},
    {"reliability", SHARE},
    {"reliability_of_reference", SHARE},
    {"norm_max", HIDDEN},
};

/* Numbers that stay as they are: names, and units at the end of names. */
static const char *const plain_names[] = {"n",      "count",      "decoder_warnings", "index",
                                          "line",   "generation", "revision",         "orientation",
                                          "scored", "total"};
static const char *const units[] = {"_count", "_bytes", "_px", "_ms", "_s", "_max", "_percent"};

/* Values that stay as they are with all their members: the client or the operator has set them. */
static const struct {
    const char *name;
    json_type type;
} settings[] = {
    {"recipe", JSON_OBJECT}, {"spec", JSON_OBJECT}, {"encoders", JSON_OBJECT},
    {"mean", JSON_ARRAY},    {"std", JSON_ARRAY},
};

struct scale {
    int digits;
    bool known;   /* false: no step, because there is no reference */
    int exponent; /* the step is 10 to this power */
};

#define COUNT(rows) (sizeof(rows) / sizeof *(rows))

static struct scale scale_of(int digits, double sd)
{
    struct scale scale = {.digits = digits, .known = isfinite(sd) && sd > STEP_MIN};
    if (scale.known)
        scale.exponent = (int)ceil(log10(sd)) - digits;
    return scale;
}

/* Rounds to a multiple of 10^exponent. For fractions it rounds the decimal text, which is exact, so
 * equal values give equal results. */
static double round_to(double x, int exponent)
{
    char text[800];
    double unit = pow(10, exponent);
    if (exponent > 0)
        return rint(x / unit) * unit + 0.0;
    snprintf(text, sizeof text, "%.*f", -exponent, x);
    return strtod(text, NULL) + 0.0; /* turns -0 into 0 */
}

static bool has_unit(const char *name)
{
    size_t length = strlen(name);
    for (size_t i = 0; i < COUNT(units); i++) {
        size_t unit = strlen(units[i]);
        if (length > unit && strcmp(name + length - unit, units[i]) == 0)
            return true;
    }
    return false;
}

static bool is_plain(const char *name)
{
    for (size_t i = 0; i < COUNT(plain_names); i++)
        if (strcmp(name, plain_names[i]) == 0)
            return true;
    return has_unit(name);
}

static bool is_setting(const char *name, const json_t *value)
{
    for (size_t i = 0; i < COUNT(settings); i++)
        if (strcmp(name, settings[i].name) == 0 && json_typeof(value) == settings[i].type)
            return true;
    return false;
}

/* Returns the number as the reply shows it, a new reference. `count`: the numbers in its array. */
static json_t *show(const char *name, const json_t *value, size_t count, const struct scale *s)
{
    double x = json_number_value(value);
    for (size_t i = 0; i < COUNT(figures); i++) {
        if (strcmp(name, figures[i].name) != 0)
            continue;
        const int exponents[] = {[GRID] = s->exponent,
                                 [MEMBERS] = s->exponent + (count > 1),
                                 [SHARE] = -s->digits,
                                 [PERCENT] = 2 - s->digits};
        bool shown = s->known && figures[i].kind != HIDDEN;
        return shown ? json_real(round_to(x, exponents[figures[i].kind])) : json_null();
    }
    return is_plain(name) ? json_incref((json_t *)(uintptr_t)value) : json_null();
}

/* --- figures that follow from others --- */

static double number_at(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static bool put(json_t *object, const char *name, double value)
{
    return !json_is_number(json_object_get(object, name)) ||
           json_object_set_new(object, name, json_real(value)) == 0;
}

/* Sets an end of the interval: its distance from the exact m, rounded up, is applied to the rounded
 * m. */
static bool put_end(json_t *score, const char *name, double m, double shown, int exponent)
{
    double end = number_at(score, name), unit = pow(10, exponent);
    double width = ceil(fabs(end - m) / unit) * unit;
    return isnan(end) ||
           put(score, name, round_to(end < m ? shown - width : shown + width, exponent));
}

/* Sets the alignment of a side. If the side has one encoder, that encoder has the same figure. */
static bool put_side(json_t *side, double alignment)
{
    json_t *members = json_object_get(side, "encoders");
    return put(side, "alignment", alignment) &&
           (json_array_size(members) != 1 ||
            json_array_set_new(members, 0, json_real(alignment)) == 0);
}

static bool derive(json_t *score, const struct scale *s)
{
    json_t *f = json_object_get(score, "f"), *g = json_object_get(score, "g");
    json_t *reference = json_object_get(score, "reference");
    double m = number_at(score, "m"), of_g = number_at(g, "alignment");
    if (!s->known || isnan(m))
        return true;
    double shown = round_to(m, s->exponent);
    bool done =
        put(score, "m", shown) && put_end(score, "m_low", m, shown, s->exponent) &&
        put_end(score, "m_high", m, shown, s->exponent) &&
        put(reference, "centered", shown - round_to(number_at(reference, "mean"), s->exponent));
    if (!done || isnan(of_g))
        return done;
    double shown_g = round_to(of_g, s->exponent);
    double shown_f = round_to(shown_g - shown, s->exponent), sum = shown_g + shown_f;
    double ratio = sum > 0 ? fmax(-1, fmin(1, shown / sum)) : 0;
    return put(score, "ratio", ratio) && put_side(f, shown_f) && put_side(g, shown_g);
}

/* --- the walk --- */

static bool walk(json_t *node, const char *name, struct scale s);

static bool walk_object(json_t *object, struct scale s)
{
    const char *name;
    void *next;
    json_t *value;
    const json_t *reference = json_object_get(object, "reference");
    if (reference)
        s = scale_of(s.digits, number_at(reference, "sd"));
    if (!derive(object, &s))
        return false;
    json_object_foreach_safe(object, next, name, value)
    {
        if (is_setting(name, value))
            continue;
        if (!json_is_number(value)) {
            if (!walk(value, name, s))
                return false;
            continue;
        }
        json_t *shown = show(name, value, 1, &s);
        bool kept = !json_is_null(shown) || json_is_real(value);
        if (kept ? json_object_set_new(object, name, shown) != 0
                 : json_object_del(object, name) != 0) /* an integer is removed, never null */
            return false;
    }
    return true;
}

static bool walk_array(json_t *array, const char *name, struct scale s)
{
    size_t i, count = json_array_size(array);
    json_t *value;
    json_array_foreach(array, i, value)
    {
        if (json_is_number(value) ? json_array_set_new(array, i, show(name, value, count, &s)) != 0
                                  : !walk(value, name, s))
            return false;
    }
    return true;
}

static bool walk(json_t *node, const char *name, struct scale s)
{
    if (json_is_object(node))
        return walk_object(node, s);
    return !json_is_array(node) || walk_array(node, name, s);
}

/* Returns the document as one line with its end; NULL when out of memory. */
static char *write_line(const json_t *document)
{
    char *text = sm_json_text(document, JSON_COMPACT), *line = NULL;
    if (text && asprintf(&line, "%s\n", text) < 0)
        line = NULL;
    free(text);
    return line;
}

char *sm_round_json(char *text, int digits, double sd)
{
    json_t *document = text ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;
    char *rounded = NULL;
    if (document && walk(document, "", scale_of(digits, sd)))
        rounded = write_line(document);
    json_decref(document);
    free(text);
    return rounded;
}
