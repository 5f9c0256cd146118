/* stb_image, compiled for PNG only, with its own allocator. The allocator has four tasks:
 *
 * (1) It zeroes memory. For broken streams (deflate distance codes 30 and 31) stb_image leaves
 * bytes unwritten, but the same file must give the same pixels. (2) It limits growth. stb_image
 * doubles its inflate buffer while the stream continues, so that 16 MB of PNG could take gigabytes;
 * the caller knows a limit from the header. The limit is thread-local, because stb_image passes no
 * context to its allocator; sm_stb_decode sets and clears it. (3) It records failed allocations,
 * because stb_image does not report all of them. (4) It frees the blocks that stb_image leaks after
 * some failures.
 *
 * Asserts are off, because a failed one would let a hostile file end the process. */
#include "core/image/stb.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/image/container.h"

/* The header before each block; the headers of a thread form a doubly linked list. */
union head {
    struct {
        union head *next, *previous;
    } of;
    max_align_t alignment;
};

static _Thread_local union head *blocks;
static _Thread_local size_t grow_max;
static _Thread_local bool grow_refused;
static _Thread_local bool out_of_memory;

static void link_block(union head *block)
{
    block->of.next = blocks;
    block->of.previous = NULL;
    if (blocks)
        blocks->of.previous = block;
    blocks = block;
}

static void unlink_block(const union head *block)
{
    if (block->of.next)
        block->of.next->of.previous = block->of.previous;
    if (block->of.previous)
        block->of.previous->of.next = block->of.next;
    else
        blocks = block->of.next;
}

static void *zeroed(size_t bytes)
{
    union head *block = bytes < SIZE_MAX - sizeof *block ? calloc(1, sizeof *block + bytes) : NULL;
    if (!block) {
        out_of_memory = true;
        return NULL;
    }
    link_block(block);
    return block + 1;
}

static void *zeroed_grow(void *old, size_t old_bytes, size_t new_bytes)
{
    if (new_bytes > grow_max) {
        grow_refused = true;
        return NULL;
    }
    if (!old)
        return zeroed(new_bytes);
    union head *block = (union head *)old - 1;
    unlink_block(block);
    union head *grown = realloc(block, sizeof *grown + new_bytes);
    link_block(grown ? grown : block);
    if (!grown) {
        out_of_memory = true;
        return NULL;
    }
    if (new_bytes > old_bytes)
        memset((uint8_t *)(grown + 1) + old_bytes, 0, new_bytes - old_bytes);
    return grown + 1;
}

static void release(void *bytes)
{
    if (!bytes)
        return;
    union head *block = (union head *)bytes - 1;
    unlink_block(block);
    free(block);
}

/* Not within the push: gcc reports unused functions at the end of the file, after the pop. */
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wunused-but-set-variable"
#pragma GCC diagnostic ignored "-Wsign-compare"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wundef"
#pragma GCC diagnostic ignored "-Wpedantic"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_PNG
#define STBI_NO_STDIO
#define STBI_NO_LINEAR
#define STBI_NO_HDR
#define STBI_MAX_DIMENSIONS           SM_IMAGE_SIDE_MAX_PX
#define STBI_ASSERT(x)                ((void)0)
#define STBI_MALLOC(n)                zeroed(n)
#define STBI_REALLOC_SIZED(p, old, n) zeroed_grow(p, old, n)
#define STBI_REALLOC(p, n)            zeroed_grow(p, n, n)
#define STBI_FREE(p)                  release(p)
#include <stb/stb_image.h>
#pragma GCC diagnostic pop

enum sm_code sm_stb_decode(struct sm_stb_pixels *out, const uint8_t *bytes, size_t bytes_count,
                           size_t grow_max_bytes, struct sm_err *err)
{
    int channels;
    grow_max = grow_max_bytes;
    grow_refused = false;
    out_of_memory = false;
    stbi__g_failure_reason = NULL; /* some failures set no reason and would show an older one */
    out->rgba = stbi_load_from_memory(bytes, (int)bytes_count, &out->width_px, &out->height_px,
                                      &channels, 4);
    grow_max = 0;
    if (out->rgba)
        unlink_block((union head *)(void *)out->rgba - 1); /* the caller owns the pixels now */
    while (blocks)
        release(blocks + 1);
    if (out->rgba)
        return SM_OK;
    if (grow_refused)
        return sm_err_set(err, SM_CORRUPT, "PNG data inflates past %zu bytes", grow_max_bytes);
    if (out_of_memory)
        return sm_err_set(err, SM_NOMEM, "out of memory for the pixels of an image of %zu bytes",
                          bytes_count);
    const char *reason = stbi_failure_reason();
    return sm_err_set(err, SM_CORRUPT, "image data is broken: %s",
                      reason ? reason : "bad block type");
}

void sm_stb_free(struct sm_stb_pixels *pixels)
{
    if (pixels->rgba)
        free((union head *)(void *)pixels->rgba - 1);
    *pixels = (struct sm_stb_pixels){0};
}

const char *sm_png_decoder(void)
{
    return "stb_image-2.27";
}
