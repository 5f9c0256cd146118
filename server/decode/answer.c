/* The shared memory holds the largest image that the limits allow, so an image size within the
 * limits cannot exceed the memory. An answer has no other lengths. The values of pixels are not
 * checked: any value is valid. */
#include "server/decode/answer.h"

#include <string.h>

/* Returns true if the code is in `codes`, the text has a NUL, and a failure's text is not empty. */
static bool is_verdict(int32_t code, const char *text, size_t text_bytes, const enum sm_code *codes,
                       size_t codes_count)
{
    size_t i = 0;
    while (i < codes_count && code != (int32_t)codes[i])
        i++;
    return i < codes_count && memchr(text, '\0', text_bytes) && (code == SM_OK || text[0] != '\0');
}

bool sm_hello_is_sound(const struct sm_decode_hello *hello, size_t bytes_count)
{
    static const enum sm_code codes[] = {SM_OK, SM_UNSUPPORTED, SM_IO, SM_NOMEM};
    return bytes_count == sizeof *hello && is_verdict(hello->code, hello->text, sizeof hello->text,
                                                      codes, sizeof codes / sizeof *codes);
}

bool sm_decode_answer_is_sound(const struct sm_decode_answer *answer, size_t bytes_count,
                               const struct sm_decode_request *request)
{
    static const enum sm_code codes[] = {SM_OK, SM_UNSUPPORTED, SM_CORRUPT, SM_LIMIT, SM_NOMEM};
    if (bytes_count != sizeof *answer || answer->id != request->id ||
        !is_verdict(answer->code, answer->text, sizeof answer->text, codes,
                    sizeof codes / sizeof *codes))
        return false;
    if (answer->code != SM_OK)
        return true;
    int64_t width = answer->width_px, height = answer->height_px;
    return width >= 1 && width <= SM_IMAGE_SIDE_MAX_PX && height >= 1 &&
           height <= SM_IMAGE_SIDE_MAX_PX && width * height <= SM_IMAGE_PIXELS_MAX &&
           answer->orientation >= 1 && answer->orientation <= 8 && answer->exif_unreadable <= 1 &&
           answer->decoder_warnings >= 0;
}

enum sm_code sm_decode_answer_take(struct sm_image *out, const struct sm_decode_answer *answer,
                                   const struct sm_decode_request *request, const uint8_t *pixels,
                                   struct sm_image_info *info, struct sm_err *err)
{
    *out = (struct sm_image){0};
    if (answer->code != SM_OK)
        return sm_err_set(err, (enum sm_code)answer->code, "%s", answer->text);
    bool oriented = request->apply_orientation && answer->orientation != 1;
    bool turned = oriented && answer->orientation >= 5; /* width and height are swapped */
    int32_t width = turned ? answer->height_px : answer->width_px;
    int32_t height = turned ? answer->width_px : answer->height_px;
    enum sm_code code = sm_image_alloc(out, width, height, err);
    if (code != SM_OK)
        return code;
    memcpy(out->rgb, pixels, (size_t)width * (size_t)height * 3);
    if (info)
        *info = (struct sm_image_info){.width_px = answer->width_px,
                                       .height_px = answer->height_px,
                                       .orientation = answer->orientation,
                                       .oriented = oriented,
                                       .exif_unreadable = answer->exif_unreadable,
                                       .decoder_warnings = answer->decoder_warnings};
    return SM_OK;
}
