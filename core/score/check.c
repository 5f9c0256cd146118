/* Checks whether a recipe fits a pair. All that can be known without an image is checked here,
 * before anything is queued.
 *
 * The short side of the views is followed through the ops: a crop or a resize sets it, padding adds
 * to it. What depends on the image (the size without such an op, the long side after a resize
 * without a crop) is checked when the image is scored. */
#include "core/score/pair.h"

/* Returns the short side after one more op; 0 while it depends on the image. */
static int64_t follow(int64_t short_px, const struct sm_op *op)
{
    switch (op->kind) {
    case SM_OP_RANDOM_RESIZED_CROP:
    case SM_OP_RESIZE:
    case SM_OP_CENTER_CROP:
        return op->size_px;
    case SM_OP_PAD:
        return short_px ? short_px + 2 * (int64_t)op->padding_px : 0;
    case SM_OP_FLIP:
    case SM_OP_COLOR_JITTER:
    case SM_OP_GRAYSCALE:
    case SM_OP_GAUSSIAN_BLUR:
    case SM_OP_SOLARIZE:
        break;
    }
    return short_px;
}

static enum sm_code check_extent(const struct sm_augment *augment, int32_t input_px,
                                 struct sm_err *err)
{
    int64_t short_px = 0;
    for (int i = 0; i < augment->count; i++)
        short_px = follow(short_px, &augment->ops[i]);
    if (short_px != 0 && short_px != input_px)
        return sm_err_field(err, "/augment", "views end at %lld px, the encoders take %d px",
                            (long long)short_px, (int)input_px);
    return SM_OK;
}

/* rows, dim and the counts are below 2^32 each, and a double has room for their product. */
enum sm_code sm_check_reps(size_t images, size_t encoders, size_t rows, size_t dim,
                           struct sm_err *err)
{
    double gib = 1 << 30;
    double bytes = (double)images * (double)encoders * (double)rows * (double)dim * sizeof(float);
    if (bytes <= (double)SM_REPS_BYTES_MAX)
        return SM_OK;
    return sm_err_field(err, "/views",
                        "representations of %zu views by %zu encoders take %.3f GiB, limit is "
                        "%.0f GiB: take fewer views or a smaller representation",
                        images, encoders, bytes / gib, (double)SM_REPS_BYTES_MAX / gib);
}

/* Checks that every encoder has the tap in the same shape, so that distances are comparable. */
static enum sm_code check_representation(const struct sm_pair *pair, const struct sm_recipe *recipe,
                                         struct sm_err *err)
{
    const char *tap = recipe->representation;
    size_t encoders = 0, images = (size_t)recipe->views + (recipe->compare == SM_COMPARE_ANCHOR);
    struct sm_tap first = {0};
    const struct sm_member *member = &pair->sides[SM_SIDE_F].members[0];
    for (int s = 0; s < SM_SIDES; s++) {
        for (int k = 0; k < pair->sides[s].count; k++, encoders++) {
            const struct sm_member *other = &pair->sides[s].members[k];
            struct sm_tap shape;
            if (sm_encoder_tap_shape(&shape, other->encoder, tap, NULL) != SM_OK)
                return sm_err_field(err, "/representation",
                                    "representation \"%s\" does not exist on %.60s (%s, %d blocks)",
                                    tap, other->file, sm_encoder_info(other->encoder)->family,
                                    (int)sm_encoder_info(other->encoder)->blocks);
            if (first.rows == 0)
                first = shape;
            if (shape.rows != first.rows || shape.dim != first.dim)
                return sm_err_field(err, "/representation", "%s is %dx%d on %.60s, %dx%d on %.60s",
                                    tap, (int)first.rows, (int)first.dim, member->file,
                                    (int)shape.rows, (int)shape.dim, other->file);
        }
    }
    return sm_check_reps(images, encoders, (size_t)first.rows, (size_t)first.dim, err);
}

enum sm_code sm_pair_check_recipe(const struct sm_pair *pair, const struct sm_recipe *recipe,
                                  struct sm_err *err)
{
    if (recipe->target_se > 0 && !sm_pair_has_g(pair))
        return sm_err_field(err, "/target_se",
                            "target_se is the standard error of m, and the pair has no g");
    enum sm_code code = check_representation(pair, recipe, err);
    if (code == SM_OK)
        code = check_extent(&recipe->augment, sm_pair_input_px(pair), err);
    return code;
}
