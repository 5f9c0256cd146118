/* Plain charts as inline SVG: axes with ticks at round numbers, lines, bars, whiskers.
 *
 *     struct sm_axis x = {.low = 0, .high = 1, .from = 60, .to = 340};
 *     sm_svg_open(&out, 360, 360, "ROC curve");
 *     sm_svg_axis_x(&out, &x, 10, 320, "false positive rate");
 *     ...
 *     sm_svg_close(&out);
 *
 * Lengths are pixels of the view box; colours and pens are classes of the document's style sheet,
 * so a chart follows light, dark and print. Texts must be trusted: they are not escaped.
 * Owner, threads: no state. */
#ifndef CORE_AUDIT_SVG_H
#define CORE_AUDIT_SVG_H

#include <stdbool.h>

#include "core/audit/out.h"

struct sm_axis {
    double low, high; /* values at the ends; logarithmic: low > 0 */
    double from, to;  /* their positions, px; `to` may be less */
    bool logarithmic;
    int ticks; /* approximate number of ticks; 0: six */
};

void sm_svg_open(struct sm_out *out, double width, double height, const char *label);
void sm_svg_close(struct sm_out *out);

/* Position of a value, px; values beyond an end get the position of that end. */
double sm_axis_at(const struct sm_axis *axis, double value);
/* Widens the ends to round numbers. */
void sm_axis_round(struct sm_axis *axis);

/* Draws ticks with their numbers, a grid across the chart, and the name of the axis. */
void sm_svg_axis_x(struct sm_out *out, const struct sm_axis *axis, double top, double bottom,
                   const char *name);
void sm_svg_axis_y(struct sm_out *out, const struct sm_axis *axis, double left, double right,
                   const char *name);

void sm_svg_line(struct sm_out *out, const char *pen, double x1, double y1, double x2, double y2);
void sm_svg_text(struct sm_out *out, const char *pen, double x, double y, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
void sm_svg_path_open(struct sm_out *out, const char *pen);
void sm_svg_path_to(struct sm_out *out, bool first, double x, double y);
void sm_svg_path_close(struct sm_out *out, bool joined); /* joined: closes the outline */
void sm_svg_box(struct sm_out *out, const char *pen, double x, double y, double width,
                double height);
void sm_svg_dot(struct sm_out *out, const char *pen, double x, double y);

#endif
