/* Hostile image files: decoding, EXIF, and views of what decodes. The corpus holds files of
 * tests/golden/image/files; libFuzzer: clang -fsanitize=fuzzer,address,undefined with core/base and
 * core/image. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "core/image/exif.h"
#include "sslmem/views.h"

#define VIEWED_PIXELS_MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t bytes_count);

static void view(const struct sm_image *image, size_t choice)
{
    static const uint8_t digest[32];
    const char *const *names = sm_augment_presets();
    size_t count = 0;
    while (names[count] != NULL)
        count++;
    json_t *name = json_string(names[choice % count]);
    struct sm_augment augment;
    if (sm_augment_parse(&augment, name, 8, "", NULL) != SM_OK)
        abort();
    struct sm_view_key key = {choice, digest, 0};
    struct sm_image out;
    if (sm_view_render(&out, image, &augment, &key, NULL, NULL) == SM_OK) {
        float *tensor = malloc((size_t)out.width_px * (size_t)out.height_px * 3 * sizeof *tensor);
        sm_view_tensor(tensor, &out, (float[3]){0.5f, 0.5f, 0.5f}, (float[3]){0.5f, 0.5f, 0.5f});
        free(tensor);
    }
    sm_image_release(&out);
    json_decref(name);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t bytes_count)
{
    struct sm_image image;
    struct sm_image_info info;
    int orientation = sm_exif_orientation(bytes, bytes_count);
    if (orientation < 1 || orientation > 8)
        abort();
    if (sm_image_decode(&image, bytes, bytes_count, true, &info, NULL) == SM_OK &&
        image.width_px * image.height_px <= VIEWED_PIXELS_MAX)
        view(&image, bytes_count);
    sm_image_release(&image);
    return 0;
}
