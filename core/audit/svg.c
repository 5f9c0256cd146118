/* SVG marks, and axes whose ticks are 1, 2 or 5 times a power of ten. Coordinates have one decimal:
 * readers see no finer, and the same chart has the same bytes on every machine. */
#include "core/audit/svg.h"

#include <math.h>
#include <stdarg.h>

#define TICKS 6

void sm_svg_open(struct sm_out *out, double width, double height, const char *label)
{
    sm_put(out,
           "<svg viewBox=\"0 0 %.0f %.0f\" width=\"%.0f\" height=\"%.0f\" role=\"img\" "
           "aria-label=\"%s\">\n",
           width, height, width, height, label);
}

void sm_svg_close(struct sm_out *out)
{
    sm_put(out, "</svg>\n");
}

static double share(const struct sm_axis *axis, double value)
{
    if (axis->logarithmic)
        return value > 0 ? log(value / axis->low) / log(axis->high / axis->low) : 0;
    return (value - axis->low) / (axis->high - axis->low);
}

double sm_axis_at(const struct sm_axis *axis, double value)
{
    double at = share(axis, value);
    at = at < 0 ? 0 : at > 1 ? 1 : at;
    return axis->from + at * (axis->to - axis->from);
}

/* The distance of ticks: the smallest round number above a sixth of the range. */
static double tick_step(const struct sm_axis *axis)
{
    static const double round[] = {1, 2, 5, 10};
    double rough = (axis->high - axis->low) / (axis->ticks ? axis->ticks : TICKS);
    double power = pow(10, floor(log10(rough)));
    for (int i = 0; i < 4; i++)
        if (round[i] * power >= rough * (1 - 1e-9))
            return round[i] * power;
    return 10 * power;
}

void sm_axis_round(struct sm_axis *axis)
{
    double step = tick_step(axis);
    axis->low = floor(axis->low / step + 1e-9) * step;
    axis->high = ceil(axis->high / step - 1e-9) * step;
}

/* Moves to the next tick; returns false behind the last. */
struct ticks {
    double step, value;
    int at;
};

static bool next_tick(struct ticks *t, const struct sm_axis *axis)
{
    if (axis->logarithmic) {
        t->value = axis->low * pow(10, t->at++);
        return t->value <= axis->high * (1 + 1e-9);
    }
    if (t->at == 0)
        t->step = tick_step(axis);
    t->value = (ceil(axis->low / t->step - 1e-9) + t->at++) * t->step;
    if (fabs(t->value) < t->step * 1e-6)
        t->value = 0;
    return t->value <= axis->high + t->step * 1e-6;
}

void sm_svg_line(struct sm_out *out, const char *pen, double x1, double y1, double x2, double y2)
{
    sm_put(out, "<line class=\"%s\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n", pen, x1,
           y1, x2, y2);
}

void sm_svg_text(struct sm_out *out, const char *pen, double x, double y, const char *format, ...)
{
    char text[160];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    sm_put(out, "<text class=\"%s\" x=\"%.1f\" y=\"%.1f\">", pen, x, y);
    sm_put_words(out, text);
    sm_put(out, "</text>\n");
}

void sm_svg_axis_x(struct sm_out *out, const struct sm_axis *axis, double top, double bottom,
                   const char *name)
{
    for (struct ticks t = {0}; next_tick(&t, axis);) {
        double x = sm_axis_at(axis, t.value);
        sm_svg_line(out, "grid", x, top, x, bottom);
        sm_svg_text(out, "tick middle", x, bottom + 16, "%.4g", t.value);
    }
    sm_svg_line(out, "axis", axis->from, bottom, axis->to, bottom);
    sm_svg_text(out, "name middle", (axis->from + axis->to) / 2, bottom + 36, "%s", name);
}

void sm_svg_axis_y(struct sm_out *out, const struct sm_axis *axis, double left, double right,
                   const char *name)
{
    double middle = (axis->from + axis->to) / 2;
    for (struct ticks t = {0}; next_tick(&t, axis);) {
        double y = sm_axis_at(axis, t.value);
        sm_svg_line(out, "grid", left, y, right, y);
        sm_svg_text(out, "tick end", left - 6, y + 4, "%.4g", t.value);
    }
    sm_svg_line(out, "axis", left, axis->from, left, axis->to);
    sm_put(out,
           "<text class=\"name middle\" transform=\"translate(%.1f %.1f) rotate(-90)\">%s</text>\n",
           left - 44, middle, name);
}

void sm_svg_path_open(struct sm_out *out, const char *pen)
{
    sm_put(out, "<path class=\"%s\" d=\"", pen);
}

void sm_svg_path_to(struct sm_out *out, bool first, double x, double y)
{
    sm_put(out, "%s%.1f %.1f", first ? "M" : "L", x, y);
}

void sm_svg_path_close(struct sm_out *out, bool joined)
{
    sm_put(out, "%s\"/>\n", joined ? "Z" : "");
}

void sm_svg_box(struct sm_out *out, const char *pen, double x, double y, double width,
                double height)
{
    sm_put(out, "<rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>\n", pen,
           x, y, width, height);
}

void sm_svg_dot(struct sm_out *out, const char *pen, double x, double y)
{
    sm_put(out, "<circle class=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"4.5\"/>\n", pen, x, y);
}
