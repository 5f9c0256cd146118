/* Decoders: processes that decode hostile image files, so that a file that exploits the decoder
 * only reaches a sandboxed process (sandbox.h), which cannot open, connect or start anything.
 *
 *     sm_decoders_start(&decoders, &(struct sm_decoders_params){.count = workers}, &err);
 *     if (sm_decode(&image, decoders, bytes, n, false, &info, &err) == SM_OK)
 *         ... the pixels and errors of sm_image_decode ...
 *     sm_decoders_stop(decoders);
 *
 * If a decoder ends, takes too long or sends an invalid answer, its image fails and the next image
 * gets a new decoder. A decoder is also replaced after SM_DECODE_IMAGES_MAX images.
 *
 * Owner:   the caller stops the decoders; no thread may be in sm_decode then. A decoder also ends
 *          when its parent does.
 * Threads: sm_decode from any. As many calls run at once as there are decoders; others wait.
 * Errors:  those of sm_image_decode, with its texts. Also SM_CORRUPT when the decoder ended on the
 *          image or sent an invalid answer, SM_LIMIT when the image took too much time or memory,
 *          SM_NOMEM when the parent has no memory. SM_IO means only that no decoder could be
 *          started, for any reason: the image is not at fault and may be tried again.
 * Limits:  the constants below, and those of sslmem/image.h. */
#ifndef SERVER_DECODE_DECODE_H
#define SERVER_DECODE_DECODE_H

#include <stdbool.h>

#include "sslmem/image.h"

/* The costliest PNG (largest size, 16 bits, alpha, interlaced) takes 1.1 GiB and 2 to 3 s. */
#define SM_DECODE_MEMORY_MAX_BYTES (UINT64_C(1536) << 20)
#define SM_DECODE_CPU_MAX_S        20    /* seconds of processor time per image */
#define SM_DECODE_WAIT_MAX_MS      60000 /* wall-clock time per image; the machine may be busy */
#define SM_DECODE_START_MAX_MS     30000
#define SM_DECODE_IMAGES_MAX       1000 /* images until a decoder is replaced */

struct sm_decoders;

struct sm_decoders_params {
    int count; /* number of decoders, at least 1 */
    /* limits; 0: the constants above */
    uint64_t memory_max_bytes;
    int cpu_max_s;
    int wait_max_ms;
    int images_max;
    /* For tests: the decoder's arguments from argv[0], NULL-terminated; they must outlive the
     * decoders. NULL: the decode-helper command. */
    const char *const *command;
};

/* Starts all decoders and waits until each is in its sandbox. If one cannot enter it, fails with
 * SM_UNSUPPORTED or SM_IO and leaves no decoder running. */
enum sm_code sm_decoders_start(struct sm_decoders **out, const struct sm_decoders_params *params,
                               struct sm_err *err);
void sm_decoders_stop(struct sm_decoders *decoders);

/* Runs sm_image_decode in a decoder. `decoders` NULL: in this process, for trusted files. */
enum sm_code sm_decode(struct sm_image *out, struct sm_decoders *decoders, const void *bytes,
                       size_t bytes_count, bool apply_orientation, struct sm_image_info *info,
                       struct sm_err *err);

struct sm_decoders_counts {
    uint64_t started;   /* processes that started */
    uint64_t decoded;   /* images with an answer, pixels or an error */
    uint64_t crashed;   /* processes that ended by themselves or sent an invalid packet */
    uint64_t timed_out; /* processes ended for wall-clock or processor time */
    uint64_t recycled;  /* processes replaced after images_max images */
    uint64_t refused;   /* starts that failed */
    bool unavailable;   /* the last start of a process failed */
};
/* All zero when `decoders` is NULL. */
void sm_decoders_counts(struct sm_decoders_counts *out, struct sm_decoders *decoders);

/* Returns the kernel's landlock version, which the decoders' sandbox uses; 0: no landlock. */
int sm_decoders_landlock(const struct sm_decoders *decoders);

#endif
