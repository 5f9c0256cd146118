/* Views: for each op of the list, draws the parameters, records them and applies the op.
 *
 * Random numbers come from Philox. The stream key is the first 8 bytes, little-endian, of
 * SHA-256(seed as 8 bytes little-endian, image digest). The counter is (view, position of the op in
 * the list, draw, 0). Draw 0 decides whether the op is applied; the enums below number the other
 * draws of each kind. Therefore no draw depends on whether another draw was made.
 *
 * Stratified draws are a Latin hypercube over K views (McKay, Beckman, Conover, 1979): draw u of
 * view v becomes (pi(v) + u) / K, with a permutation pi of its own for each draw. pi(v) is the rank
 * of the 64 random bits of view v, counter (view, op, draw, 1), among those of all K views. So a
 * view is still a function of its own index, at K more numbers a draw. Every parameter is a
 * monotone function of its uniform number, or its integer part, so its values spread over the
 * views like the strata.
 *
 * Parameters have the distributions of torchvision 0.14's get_params, but not its random numbers.
 * They are drawn in double precision. torchvision rounds to float; no distribution differs by more
 * than 1e-7. Crops use exp, log and sqrt of libm, whose last bit may differ between libraries;
 * rounding to whole pixels follows. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/rng.h"
#include "core/base/sha256.h"
#include "core/image/augment.h"
#include "core/image/ops.h"
#include "core/image/resize.h"

#define CROP_ATTEMPTS 10

/* The stream key and the fixed part of the counter for the draws of one op. */
struct lane {
    uint32_t stream_key[2];
    uint32_t view, op;
    uint32_t strata; /* number of views that share the strata; 0: independent draws */
};

enum { FOR_UNIT, FOR_RANK }; /* last word of the counter */
enum { DRAW_APPLY = 0 };
/* Attempt n of a crop uses the draws CROP_FIRST + CROP_DRAWS * n + CROP_AREA … CROP_LEFT. */
enum { CROP_FIRST = 1, CROP_AREA = 0, CROP_RATIO, CROP_TOP, CROP_LEFT, CROP_DRAWS };
enum { JITTER_ORDER = 1, JITTER_FACTORS = JITTER_ORDER + 3 };
enum { BLUR_SIGMA = 1 };

static uint64_t rank_bits(const struct lane *lane, uint32_t view, uint32_t index)
{
    uint32_t r[4], counter[4] = {view, lane->op, index, FOR_RANK};
    sm_philox(r, lane->stream_key, counter);
    return (uint64_t)r[0] << 32 | r[1];
}

/* Returns pi(view) of draw `index`; of equal bits the lower view comes first. */
static uint32_t stratum_of(const struct lane *lane, uint32_t index)
{
    uint64_t own = rank_bits(lane, lane->view, index);
    uint32_t rank = 0;
    for (uint32_t view = 0; view < lane->strata; view++) {
        uint64_t bits = rank_bits(lane, view, index);
        rank += bits < own || (bits == own && view < lane->view);
    }
    return rank;
}

/* Returns draw `index`, uniform in [0, 1). */
static double draw(const struct lane *lane, uint32_t index)
{
    uint32_t r[4], counter[4] = {lane->view, lane->op, index, FOR_UNIT};
    sm_philox(r, lane->stream_key, counter);
    double unit = sm_unit(r[0], r[1]);
    return lane->strata ? sm_stratum(stratum_of(lane, index), unit, lane->strata) : unit;
}

static double draw_between(const struct lane *lane, uint32_t index, double low, double high)
{
    return low + (high - low) * draw(lane, index);
}

/* Returns draw `index`, uniform among the integers 0 … count - 1. */
static int32_t draw_below(const struct lane *lane, uint32_t index, int32_t count)
{
    return (int32_t)(draw(lane, index) * count);
}

static void lane_key(uint32_t key[2], const struct sm_stream_key *stream)
{
    uint8_t message[8 + SM_SHA256_BYTES], hash[SM_SHA256_BYTES];
    for (int i = 0; i < 8; i++)
        message[i] = (uint8_t)(stream->seed >> (8 * i));
    memcpy(message + 8, stream->image_digest, SM_SHA256_BYTES);
    sm_sha256(hash, message, sizeof message);
    for (int i = 0; i < 2; i++)
        key[i] = (uint32_t)hash[4 * i] | (uint32_t)hash[4 * i + 1] << 8 |
                 (uint32_t)hash[4 * i + 2] << 16 | (uint32_t)hash[4 * i + 3] << 24;
}

/* An op in progress; `drawn` (may be NULL) is the JSON object that records its drawn parameters. */
struct step {
    const struct sm_op *op;
    struct lane lane;
    json_t *drawn;
    const struct sm_watch *watch;
    struct sm_err *err;
};

static void note(const struct step *s, const char *name, json_t *value)
{
    if (s->drawn)
        json_object_set_new(s->drawn, name, value);
    else
        json_decref(value);
}

struct rectangle {
    int32_t top, left, height, width;
};

/* Draws a rectangle as torchvision's RandomResizedCrop.get_params does. */
static struct rectangle draw_crop(const struct step *s, int32_t width, int32_t height)
{
    const struct sm_op *op = s->op;
    double area = (double)width * height;
    double log_low = log(op->ratio[0]), log_high = log(op->ratio[1]);
    for (uint32_t attempt = 0; attempt < CROP_ATTEMPTS; attempt++) {
        uint32_t first = CROP_FIRST + CROP_DRAWS * attempt;
        double target =
            area * draw_between(&s->lane, first + CROP_AREA, op->scale[0], op->scale[1]);
        double ratio = exp(draw_between(&s->lane, first + CROP_RATIO, log_low, log_high));
        double w = nearbyint(sqrt(target * ratio)), h = nearbyint(sqrt(target / ratio));
        if (w > 0 && w <= width && h > 0 && h <= height)
            return (struct rectangle){
                .top = draw_below(&s->lane, first + CROP_TOP, height - (int32_t)h + 1),
                .left = draw_below(&s->lane, first + CROP_LEFT, width - (int32_t)w + 1),
                .height = (int32_t)h,
                .width = (int32_t)w};
    }
    /* No attempt fitted into the image: takes the largest central crop of an allowed ratio. */
    struct rectangle r = {.height = height, .width = width};
    double ratio = (double)width / height;
    if (ratio < op->ratio[0])
        r.height = (int32_t)nearbyint(width / op->ratio[0]);
    else if (ratio > op->ratio[1])
        r.width = (int32_t)nearbyint(height * op->ratio[1]);
    /* With an extreme ratio a side can round to 0. */
    r.height = r.height < 1 ? 1 : r.height;
    r.width = r.width < 1 ? 1 : r.width;
    r.top = (height - r.height) / 2;
    r.left = (width - r.width) / 2;
    return r;
}

static enum sm_code random_resized_crop(struct sm_image *out, const struct sm_image *in,
                                        const struct step *s)
{
    struct sm_image cropped;
    struct rectangle r = draw_crop(s, in->width_px, in->height_px);
    note(s, "top", json_integer(r.top));
    note(s, "left", json_integer(r.left));
    note(s, "height", json_integer(r.height));
    note(s, "width", json_integer(r.width));
    enum sm_code code = sm_ops_crop(&cropped, in, r.top, r.left, r.height, r.width, s->err);
    if (code != SM_OK)
        return code;
    struct sm_resize_to to = {s->op->size_px, s->op->size_px, s->op->interpolation, s->watch};
    code = sm_resize(out, &cropped, &to, s->err);
    sm_image_release(&cropped);
    return code;
}

static enum sm_code flip(struct sm_image *out, const struct sm_image *in, const struct step *s)
{
    enum sm_code code = sm_ops_copy(out, in, s->err);
    if (code == SM_OK)
        sm_ops_flip(out);
    return code;
}

/* The four parts of ColorJitter in torchvision's numbering. `center` is the factor that changes
 * nothing. A part with range 0 is skipped. */
static const struct {
    const char *name;
    size_t offset;
    void (*apply)(struct sm_image *, double factor);
    double center;
} jitters[4] = {
    {"brightness", offsetof(struct sm_op, brightness), sm_ops_brightness, 1},
    {"contrast", offsetof(struct sm_op, contrast), sm_ops_contrast, 1},
    {"saturation", offsetof(struct sm_op, saturation), sm_ops_saturation, 1},
    {"hue", offsetof(struct sm_op, hue), sm_ops_hue, 0},
};

static void draw_order(int order[4], const struct lane *lane)
{
    for (int i = 0; i < 4; i++)
        order[i] = i;
    for (int i = 0; i < 3; i++) {
        int j = i + draw_below(lane, JITTER_ORDER + (uint32_t)i, 4 - i), kept = order[i];
        order[i] = order[j];
        order[j] = kept;
    }
}

static enum sm_code color_jitter(struct sm_image *out, const struct sm_image *in,
                                 const struct step *s)
{
    int order[4];
    json_t *names = s->drawn ? json_array() : NULL;
    enum sm_code code = sm_ops_copy(out, in, s->err);
    if (code != SM_OK) {
        json_decref(names);
        return code;
    }
    draw_order(order, &s->lane);
    for (int i = 0; i < 4 && code == SM_OK; i++) {
        int part = order[i];
        double center = jitters[part].center, width;
        memcpy(&width, (const char *)s->op + jitters[part].offset, sizeof width);
        if (width == 0)
            continue;
        if ((code = sm_watch_ask(s->watch, s->err)) != SM_OK)
            break;
        double low = center == 0 ? -width : fmax(0, center - width);
        double factor =
            draw_between(&s->lane, JITTER_FACTORS + (uint32_t)part, low, center + width);
        jitters[part].apply(out, factor);
        note(s, jitters[part].name, json_real(factor));
        json_array_append_new(names, json_string(jitters[part].name));
    }
    note(s, "order", names);
    if (code != SM_OK)
        sm_image_release(out);
    return code;
}

static enum sm_code grayscale(struct sm_image *out, const struct sm_image *in, const struct step *s)
{
    enum sm_code code = sm_ops_copy(out, in, s->err);
    if (code == SM_OK)
        sm_ops_grayscale(out);
    return code;
}

static enum sm_code gaussian_blur(struct sm_image *out, const struct sm_image *in,
                                  const struct step *s)
{
    double sigma = draw_between(&s->lane, BLUR_SIGMA, s->op->sigma[0], s->op->sigma[1]);
    note(s, "sigma", json_real(sigma));
    enum sm_code code = sm_ops_copy(out, in, s->err);
    if (code == SM_OK && (code = sm_ops_gaussian_blur(out, sigma, s->watch, s->err)) != SM_OK)
        sm_image_release(out);
    return code;
}

static enum sm_code solarize(struct sm_image *out, const struct sm_image *in, const struct step *s)
{
    enum sm_code code = sm_ops_copy(out, in, s->err);
    if (code == SM_OK)
        sm_ops_solarize(out, s->op->threshold);
    return code;
}

static enum sm_code resize(struct sm_image *out, const struct sm_image *in, const struct step *s)
{
    struct sm_resize_to to = {.interpolation = s->op->interpolation, .watch = s->watch};
    sm_ops_short_side(&to.width_px, &to.height_px, in, s->op->size_px);
    return sm_resize(out, in, &to, s->err);
}

static enum sm_code center_crop(struct sm_image *out, const struct sm_image *in,
                                const struct step *s)
{
    return sm_ops_center_crop(out, in, s->op->size_px, s->err);
}

static enum sm_code pad(struct sm_image *out, const struct sm_image *in, const struct step *s)
{
    int32_t n = s->op->padding_px;
    return sm_ops_pad(out, in, (struct sm_margins){n, n, n, n}, (uint8_t)s->op->fill, s->err);
}

/* For each kind of op: the function that applies it, and whether it has a probability. */
static const struct {
    enum sm_code (*apply)(struct sm_image *, const struct sm_image *, const struct step *);
    bool has_p;
} kinds[SM_OP_KINDS] = {
    [SM_OP_RANDOM_RESIZED_CROP] = {random_resized_crop, false},
    [SM_OP_FLIP] = {flip, true},
    [SM_OP_COLOR_JITTER] = {color_jitter, true},
    [SM_OP_GRAYSCALE] = {grayscale, true},
    [SM_OP_GAUSSIAN_BLUR] = {gaussian_blur, true},
    [SM_OP_SOLARIZE] = {solarize, true},
    [SM_OP_RESIZE] = {resize, false},
    [SM_OP_CENTER_CROP] = {center_crop, false},
    [SM_OP_PAD] = {pad, false},
};

enum sm_code sm_view_render(struct sm_image *out, const struct sm_image *image,
                            const struct sm_augment *augment, const struct sm_stream_key *key,
                            json_t *drawn, struct sm_err *err)
{
    struct lane lane = {.view = key->view, .strata = key->strata};
    const struct sm_image *in = image;
    enum sm_code code = SM_OK;
    *out = (struct sm_image){0};
    lane_key(lane.stream_key, key);
    for (int i = 0; code == SM_OK && i < augment->count; i++) {
        const struct sm_op *op = &augment->ops[i];
        struct step step = {.op = op, .lane = lane, .watch = key->watch, .err = err};
        struct sm_image next = {0};
        step.lane.op = (uint32_t)i;
        bool applied = !kinds[op->kind].has_p || draw(&step.lane, DRAW_APPLY) < op->p;
        if (drawn) {
            step.drawn = json_pack("{s:s}", "op", sm_op_names[op->kind]);
            if (json_array_append_new(drawn, step.drawn) != 0)
                code = sm_err_set(err, SM_NOMEM, "out of memory for the record of op %d", i);
            else if (kinds[op->kind].has_p)
                note(&step, "applied", json_boolean(applied));
        }
        if (code != SM_OK || !applied)
            continue;
        if ((code = sm_watch_ask(key->watch, err)) != SM_OK)
            break;
        code = kinds[op->kind].apply(&next, in, &step);
        sm_image_release(out);
        *out = next;
        in = out;
    }
    if (code == SM_OK && in == image)
        code = sm_ops_copy(out, image, err);
    if (code != SM_OK)
        sm_image_release(out);
    return code;
}

void sm_view_tensor(float *out, const struct sm_image *view, const float mean[3],
                    const float std[3])
{
    size_t count = (size_t)view->width_px * (size_t)view->height_px;
    for (int c = 0; c < 3; c++) {
        for (size_t i = 0; i < count; i++)
            out[(size_t)c * count + i] = ((float)view->rgb[3 * i + c] / 255.0f - mean[c]) / std[c];
    }
}
