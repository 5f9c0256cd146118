/* Decoders: processes that turn hostile files into pixels, so that what a file does to a decoder
 * happens to that process only (sandbox.h says what it can do there: nothing).
 *
 *     sm_decoders_start(&decoders, &(struct sm_decoders_params){.count = workers}, &err);
 *     if (sm_decode(&image, decoders, bytes, n, false, &info, &err) == SM_OK)
 *         ... the pixels and errors of sm_image_decode ...
 *     sm_decoders_stop(decoders);
 *
 * A decoder that ends, is silent for too long, takes too much or answers nonsense costs the image
 * that it had, which fails; the next image gets a new one. So does every SM_DECODE_IMAGES_MAX-th.
 *
 * Owner:   the caller; nobody may be in sm_decode at the stop. A decoder also ends with its parent.
 * Threads: sm_decode from any, as many at once as there are decoders; more wait.
 * Errors:  of sm_image_decode, with its texts. Besides SM_CORRUPT when the decoder ended on the
 *          image or answered nonsense, SM_LIMIT when it took too long or too much memory, SM_NOMEM
 *          when it is the parent that has no memory. SM_IO says that no decoder can be started,
 *          whatever the cause, and nothing else: the image is not to blame, and may have one later.
 * Limits:  the constants below, and those of sslmem/image.h. */
#ifndef SERVER_DECODE_DECODE_H
#define SERVER_DECODE_DECODE_H

#include <stdbool.h>

#include "sslmem/image.h"

/* The largest PNG of 16 bits with alpha, interlaced, takes 1.1 GiB (and 2 to 3 s). */
#define SM_DECODE_MEMORY_MAX_BYTES (UINT64_C(1536) << 20)
#define SM_DECODE_CPU_MAX_S        20    /* per image */
#define SM_DECODE_WAIT_MAX_MS      60000 /* per image; the machine may be busy */
#define SM_DECODE_START_MAX_MS     30000
#define SM_DECODE_IMAGES_MAX       1000 /* per decoder */

struct sm_decoders;

struct sm_decoders_params {
    int count; /* 1.. */
    /* 0: the constants above. */
    uint64_t memory_max_bytes;
    int cpu_max_s;
    int wait_max_ms;
    int images_max;
    /* What to run as decoder, argv[0] and on, for as long as there are decoders; NULL: this
     * executable's decode-helper. For tests. */
    const char *const *command;
};

/* Starts all and waits until each is locked in. SM_UNSUPPORTED, SM_IO: the sandbox cannot be had;
 * then there is no decoder, and no way around it. */
enum sm_code sm_decoders_start(struct sm_decoders **out, const struct sm_decoders_params *params,
                               struct sm_err *err);
void sm_decoders_stop(struct sm_decoders *decoders);

/* sm_image_decode in a decoder, or in this process when `decoders` is NULL: for files of one's own.
 */
enum sm_code sm_decode(struct sm_image *out, struct sm_decoders *decoders, const void *bytes,
                       size_t bytes_count, bool apply_orientation, struct sm_image_info *info,
                       struct sm_err *err);

struct sm_decoders_counts {
    uint64_t started;   /* processes */
    uint64_t decoded;   /* images with an answer, good or bad */
    uint64_t crashed;   /* ended, or answered nonsense */
    uint64_t timed_out; /* killed for their time, of the clock or the processor */
    uint64_t recycled;  /* replaced after their last image */
    uint64_t refused;   /* starts that failed */
    bool unavailable;   /* the last start failed */
};
/* All zero when `decoders` is NULL. */
void sm_decoders_counts(struct sm_decoders_counts *out, struct sm_decoders *decoders);

/* The kernel's version of landlock that decoders are locked in with; 0: it has none. */
int sm_decoders_landlock(const struct sm_decoders *decoders);

#endif
