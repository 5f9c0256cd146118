/* A decoder maps the shared memory, enters the sandbox, and then decodes one image after another.
 *
 * It decodes a built-in image of each format before it enters the sandbox, so that one-time work
 * (lazy binding of symbols, the allocator's random key, processor detection) is done by then. After
 * that, its only system calls are for memory and its socket.
 *
 * It trusts its parent: only an assert checks the file's length. The parent does not trust it. */
#include "server/decode/helper.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "server/decode/protocol.h"
#include "server/decode/sandbox.h"
#include "server/decode/selftest.h"

enum { EXIT_ENDED = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

struct memory {
    const uint8_t *file;
    uint8_t *pixels;
};

static enum sm_code map_memory(struct memory *out, struct sm_err *err)
{
    void *file = mmap(NULL, SM_DECODE_FILE_BYTES, PROT_READ, MAP_SHARED, SM_DECODE_MEMORY_FD, 0);
    void *pixels = mmap(NULL, SM_DECODE_PIXELS_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
                        SM_DECODE_MEMORY_FD, SM_DECODE_FILE_BYTES);
    if (file == MAP_FAILED || pixels == MAP_FAILED)
        return sm_err_set(err, SM_IO, "decoder: shared memory: %s", strerror(errno));
    *out = (struct memory){file, pixels};
    close(SM_DECODE_MEMORY_FD);
    return SM_OK;
}

static enum sm_code decode_once(const void *bytes, size_t bytes_count, struct sm_err *err)
{
    struct sm_image image;
    enum sm_code code = sm_image_decode(&image, bytes, bytes_count, false, NULL, err);
    sm_image_release(&image);
    return code;
}

/* Decodes a grey image of one pixel in each format. The JPEG has no Huffman tables; libjpeg uses
 * the standard ones. */
static enum sm_code warm_up(struct sm_err *err)
{
    static const uint8_t jpeg_head[] = {0xff, 0xd8, 0xff, 0xdb, 0x00, 0x43, 0x00},
                         jpeg_tail[] = {0xff, 0xc0, 0x00, 0x0b, 0x08, 0x00, 0x01, 0x00, 0x01,
                                        0x01, 0x01, 0x11, 0x00, 0xff, 0xda, 0x00, 0x08, 0x01,
                                        0x01, 0x00, 0x00, 0x3f, 0x00, 0x2b, 0xff, 0xd9};
    static const uint8_t png[] = {
        0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x48,
        0x44, 0x52, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x01, 0x08, 0x00, 0x00, 0x00,
        0x00, 0x3a, 0x7e, 0x9b, 0x55, 0x00, 0x00, 0x00, 0x0a, 0x49, 0x44, 0x41, 0x54, 0x78,
        0x9c, 0x63, 0xa8, 0x07, 0x00, 0x00, 0x81, 0x00, 0x80, 0xd3, 0x94, 0x53, 0x4a, 0x00,
        0x00, 0x00, 0x00, 0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82};
    uint8_t jpeg[sizeof jpeg_head + 64 + sizeof jpeg_tail];
    memset(jpeg, 1, sizeof jpeg); /* the 64 entries of the quantisation table */
    memcpy(jpeg, jpeg_head, sizeof jpeg_head);
    memcpy(jpeg + sizeof jpeg - sizeof jpeg_tail, jpeg_tail, sizeof jpeg_tail);
    enum sm_code code = decode_once(png, sizeof png, err);
    return code == SM_OK ? decode_once(jpeg, sizeof jpeg, err) : code;
}

static void answer_request(struct sm_decode_answer *answer, const struct sm_decode_request *request,
                           const struct memory *memory)
{
    struct sm_image image;
    struct sm_image_info info;
    struct sm_err err = {0};
    assert(request->bytes_count <= SM_DECODE_FILE_BYTES);
    *answer = (struct sm_decode_answer){.id = request->id};
    answer->code = sm_image_decode(&image, memory->file, request->bytes_count,
                                   request->apply_orientation, &info, &err);
    memcpy(answer->text, err.text, sizeof answer->text);
    if (answer->code != SM_OK)
        return;
    answer->width_px = info.width_px;
    answer->height_px = info.height_px;
    answer->orientation = info.orientation;
    answer->exif_unreadable = info.exif_unreadable;
    answer->decoder_warnings = info.decoder_warnings;
    memcpy(memory->pixels, image.rgb, (size_t)image.width_px * (size_t)image.height_px * 3);
    sm_image_release(&image);
}

static int serve(const struct memory *memory)
{
    struct sm_decode_request request;
    struct sm_decode_answer answer;
    for (;;) {
        ssize_t count = read(SM_DECODE_SOCKET_FD, &request, sizeof request);
        if (count == 0)
            return EXIT_ENDED;
        if (count != sizeof request)
            return EXIT_FAILED;
        answer_request(&answer, &request, memory);
        if (write(SM_DECODE_SOCKET_FD, &answer, sizeof answer) != sizeof answer)
            return EXIT_ENDED;
    }
}

static enum sm_code start(struct memory *memory, int *landlock_abi, uint64_t memory_bytes,
                          struct sm_err *err)
{
    if (close_range(SM_DECODE_MEMORY_FD + 1, ~0u, 0) != 0)
        return sm_err_set(err, SM_IO, "decoder: closing descriptors: %s", strerror(errno));
    enum sm_code code = map_memory(memory, err);
    if (code == SM_OK)
        code = warm_up(err);
    return code == SM_OK ? sm_sandbox_enter(landlock_abi, SM_DECODE_SOCKET_FD, memory_bytes, err)
                         : code;
}

static int run(uint64_t memory_bytes)
{
    struct memory memory = {0};
    struct sm_err err = {0};
    struct sm_decode_hello hello = {0};
    int landlock_abi = 0;
    hello.code = start(&memory, &landlock_abi, memory_bytes, &err);
    hello.landlock_abi = landlock_abi;
    memcpy(hello.text, err.text, sizeof hello.text);
    if (write(SM_DECODE_SOCKET_FD, &hello, sizeof hello) != sizeof hello || hello.code != SM_OK)
        return EXIT_FAILED;
    return serve(&memory);
}

int sm_decode_helper(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--try") == 0)
        return sm_decode_selftest(argv[2]);
    char *end = NULL;
    unsigned long long memory_bytes = argc == 2 ? strtoull(argv[1], &end, 10) : 0;
    if (memory_bytes == 0 || *end) {
        fprintf(stderr, "%s is started by sslmem itself\n", argv[0]);
        return EXIT_USAGE;
    }
    _exit(run(memory_bytes)); /* runs no exit handlers: the sandbox may forbid their calls */
}
