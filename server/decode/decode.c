/* The pool: a fixed number of slots with one decoder each. A thread with an image takes a free slot
 * or waits for one. The mutex guards the slots' `taken` flags and the counts; a slot's decoder
 * belongs to the thread that took the slot.
 *
 * After a crash the slot is empty, and its next image starts a new decoder, which costs that image
 * some milliseconds. Before a decoder gets an image, it must be alive and silent. One that was
 * killed since, or sent a packet without a request, is replaced, and the image does not fail.
 *
 * Files that are too large or whose first bytes are of no known format are refused in this process,
 * by sm_image_decode itself, which parses nothing before these checks.
 *
 * Cost: two copies of the pixels and of the file, a few system calls and two process switches. The
 * copies in shared memory are wiped after each image, because the next image may be of another
 * client. A decoder's heap is wiped only when the decoder is recycled. */
#include "server/decode/decode.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "server/base/log.h"
#include "server/decode/answer.h"
#include "server/decode/child.h"

/* Up to this size, memory is wiped with zeros, because fresh pages would cost more. Above it, the
 * pages go back to the kernel, so an idle decoder keeps at most twice this much shared memory. */
#define WIPE_BY_HAND_BYTES ((size_t)8 << 20)

struct slot {
    bool taken;
    struct sm_child child;
};

struct sm_decoders {
    struct sm_decoders_params params;
    int landlock_abi;
    pthread_mutex_t mutex;
    pthread_cond_t freed;
    struct sm_decoders_counts counts;
    uint64_t last_id;
    struct slot slots[];
};

/* One image that a decoder works on. */
struct errand {
    struct sm_decoders *decoders;
    struct sm_child *child;
    const void *bytes;
    struct sm_decode_request request;
};

static void count(struct sm_decoders *decoders, uint64_t *counter)
{
    pthread_mutex_lock(&decoders->mutex);
    ++*counter;
    pthread_mutex_unlock(&decoders->mutex);
}

/* --- start and stop --- */

static enum sm_code start_all(struct sm_decoders *decoders, struct sm_err *err)
{
    int total = decoders->params.count;
    enum sm_code code = SM_OK;
    for (int i = 0; i < total && code == SM_OK; i++)
        code = sm_child_start(&decoders->slots[i].child, &decoders->params, err);
    for (int i = 0; i < total && code == SM_OK; i++) {
        code = sm_child_await(&decoders->slots[i].child, err);
        decoders->counts.started += code == SM_OK;
        decoders->landlock_abi = decoders->slots[i].child.landlock_abi;
    }
    return code;
}

enum sm_code sm_decoders_start(struct sm_decoders **out, const struct sm_decoders_params *params,
                               struct sm_err *err)
{
    assert(params->count >= 1);
    size_t total = (size_t)params->count;
    struct sm_decoders *decoders = calloc(1, sizeof *decoders + total * sizeof *decoders->slots);
    *out = NULL;
    if (!decoders)
        return sm_err_set(err, SM_NOMEM, "%zu decoders: out of memory", total);
    struct sm_decoders_params *p = &decoders->params;
    *p = *params;
    p->memory_max_bytes = p->memory_max_bytes ? p->memory_max_bytes : SM_DECODE_MEMORY_MAX_BYTES;
    p->cpu_max_s = p->cpu_max_s ? p->cpu_max_s : SM_DECODE_CPU_MAX_S;
    p->wait_max_ms = p->wait_max_ms ? p->wait_max_ms : SM_DECODE_WAIT_MAX_MS;
    p->images_max = p->images_max ? p->images_max : SM_DECODE_IMAGES_MAX;
    pthread_mutex_init(&decoders->mutex, NULL);
    pthread_cond_init(&decoders->freed, NULL);
    /* If our parent process has set SIGCHLD to be ignored, waitpid could not tell how a decoder
     * ended. */
    signal(SIGCHLD, SIG_DFL);
    enum sm_code code = start_all(decoders, err);
    if (code == SM_OK)
        *out = decoders;
    else
        sm_decoders_stop(decoders);
    return code;
}

void sm_decoders_stop(struct sm_decoders *decoders)
{
    if (!decoders)
        return;
    for (int i = 0; i < decoders->params.count; i++) {
        assert(!decoders->slots[i].taken);
        sm_child_end(&decoders->slots[i].child);
    }
    pthread_cond_destroy(&decoders->freed);
    pthread_mutex_destroy(&decoders->mutex);
    free(decoders);
}

/* --- slots --- */

static struct slot *find_free(struct sm_decoders *decoders)
{
    for (int i = 0; i < decoders->params.count; i++)
        if (!decoders->slots[i].taken)
            return &decoders->slots[i];
    return NULL;
}

static struct slot *take_slot(uint64_t *id, struct sm_decoders *decoders)
{
    struct slot *slot;
    pthread_mutex_lock(&decoders->mutex);
    while (!(slot = find_free(decoders)))
        pthread_cond_wait(&decoders->freed, &decoders->mutex);
    slot->taken = true;
    *id = ++decoders->last_id;
    pthread_mutex_unlock(&decoders->mutex);
    return slot;
}

static void give_back(struct sm_decoders *decoders, struct slot *slot)
{
    pthread_mutex_lock(&decoders->mutex);
    slot->taken = false;
    pthread_cond_signal(&decoders->freed);
    pthread_mutex_unlock(&decoders->mutex);
}

static enum sm_code start_one(struct sm_decoders *decoders, struct sm_child *child,
                              struct sm_err *err)
{
    struct sm_err why = {0};
    enum sm_code code = sm_child_start(child, &decoders->params, &why);
    if (code == SM_OK)
        code = sm_child_await(child, &why);
    count(decoders, code == SM_OK ? &decoders->counts.started : &decoders->counts.refused);
    pthread_mutex_lock(&decoders->mutex);
    decoders->counts.unavailable = code != SM_OK;
    pthread_mutex_unlock(&decoders->mutex);
    return code == SM_OK ? SM_OK : sm_err_set(err, SM_IO, "%s", why.text);
}

/* Ensures that the slot has a decoder that is ready for an image. */
static enum sm_code make_ready(struct sm_decoders *decoders, struct sm_child *child,
                               struct sm_err *err)
{
    if (child->pid && !sm_child_is_quiet(child)) {
        sm_log("warning", "decoder_lost", "{}");
        sm_child_end(child);
        count(decoders, &decoders->counts.crashed);
    } else if (child->pid && child->images >= decoders->params.images_max) {
        sm_child_end(child);
        count(decoders, &decoders->counts.recycled);
    }
    return child->pid ? SM_OK : start_one(decoders, child, err);
}

/* --- images --- */

static enum sm_code fail_late(const struct errand *e, struct sm_err *err)
{
    sm_child_end(e->child);
    count(e->decoders, &e->decoders->counts.timed_out);
    return sm_err_set(err, SM_LIMIT, "image of %u bytes takes more than %d ms to decode",
                      e->request.bytes_count, e->decoders->params.wait_max_ms);
}

static enum sm_code fail_ended(const struct errand *e, struct sm_err *err)
{
    int status = sm_child_end(e->child);
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU) {
        count(e->decoders, &e->decoders->counts.timed_out);
        return sm_err_set(err, SM_LIMIT,
                          "image of %u bytes takes more than %d s of processor time to decode",
                          e->request.bytes_count, e->decoders->params.cpu_max_s);
    }
    count(e->decoders, &e->decoders->counts.crashed);
    return sm_err_set(err, SM_CORRUPT, "the decoder ended on this image, %s %d",
                      WIFSIGNALED(status) ? "by signal" : "with exit code",
                      WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

static enum sm_code fail_nonsense(const struct errand *e, struct sm_err *err)
{
    sm_child_end(e->child);
    count(e->decoders, &e->decoders->counts.crashed);
    return sm_err_set(err, SM_CORRUPT, "the decoder gave no sound answer on this image");
}

static void wipe(uint8_t *at, size_t bytes_count)
{
    if (bytes_count <= WIPE_BY_HAND_BYTES || madvise(at, bytes_count, MADV_REMOVE) != 0)
        memset(at, 0, bytes_count);
}

static enum sm_code run(struct sm_image *out, const struct errand *e, struct sm_image_info *info,
                        struct sm_err *err)
{
    struct sm_decode_answer answer;
    uint8_t *file = e->child->memory, *pixels = file + SM_DECODE_FILE_BYTES;
    const struct sm_decoders_params *params = &e->decoders->params;
    memcpy(file, e->bytes, e->request.bytes_count);
    e->child->images++;
    long got = sm_child_limit_cpu(e->child, params->cpu_max_s) &&
                       sm_child_send(e->child, &e->request, sizeof e->request)
                   ? sm_child_receive(e->child, &answer, sizeof answer, params->wait_max_ms)
                   : 0;
    if (got < 0)
        return fail_late(e, err);
    if (got == 0)
        return fail_ended(e, err);
    if (!sm_decode_answer_is_sound(&answer, (size_t)got, &e->request))
        return fail_nonsense(e, err);
    count(e->decoders, &e->decoders->counts.decoded);
    enum sm_code code = sm_decode_answer_take(out, &answer, &e->request, pixels, info, err);
    wipe(file, e->request.bytes_count);
    if (code == SM_OK)
        wipe(pixels, (size_t)out->width_px * (size_t)out->height_px * 3);
    if (answer.code == SM_NOMEM)
        code = sm_err_set(err, SM_LIMIT, "image of %u bytes takes more than %llu bytes to decode",
                          e->request.bytes_count, (unsigned long long)params->memory_max_bytes);
    return code;
}

enum sm_code sm_decode(struct sm_image *out, struct sm_decoders *decoders, const void *bytes,
                       size_t bytes_count, bool apply_orientation, struct sm_image_info *info,
                       struct sm_err *err)
{
    const char *media_type = sm_image_sniff(bytes, bytes_count);
    if (!decoders || !media_type || bytes_count > SM_IMAGE_BYTES_MAX)
        return sm_image_decode(out, bytes, bytes_count, apply_orientation, info, err);
    struct errand e = {.decoders = decoders, .bytes = bytes};
    e.request.bytes_count = (uint32_t)bytes_count;
    e.request.apply_orientation = apply_orientation;
    *out = (struct sm_image){0};
    if (info)
        *info = (struct sm_image_info){0};
    struct slot *slot = take_slot(&e.request.id, decoders);
    e.child = &slot->child;
    enum sm_code code = make_ready(decoders, e.child, err);
    if (code == SM_OK)
        code = run(out, &e, info, err);
    give_back(decoders, slot);
    if (code == SM_OK && info)
        info->media_type = media_type;
    return code;
}

/* --- facts --- */

void sm_decoders_counts(struct sm_decoders_counts *out, struct sm_decoders *decoders)
{
    *out = (struct sm_decoders_counts){0};
    if (!decoders)
        return;
    pthread_mutex_lock(&decoders->mutex);
    *out = decoders->counts;
    pthread_mutex_unlock(&decoders->mutex);
}

int sm_decoders_landlock(const struct sm_decoders *decoders)
{
    return decoders->landlock_abi;
}
