/* Fuzzes the packets that a decoder sends to its parent, as a decoder taken over by an image might
 * send them. The first byte has flags, the rest is one packet.
 *
 * Properties: an answer that counts as sound is within the limits, and so within the shared memory;
 * it becomes an image of exactly its size with the pixels of that memory, or the error that it
 * names with a text that is safe to show; a hello is accepted, or becomes an error with such a
 * text. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/escape.h"
#include "server/decode/answer.h"
#include "server/decode/child.h"

enum {
    ORIENTED = 1, /* the request asks for upright pixels */
    IS_HELLO = 2,
    PADDED = 4 /* the packet is cut or filled to the right size */
};

#define REQUEST_ID   7
#define PACKET_BYTES (sizeof(struct sm_decode_answer) + 16)
/* Larger images take more time and test nothing else. */
#define TAKEN_PIXELS_MAX (1 << 16)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Returns memory for pixels, as large as the real shared memory but private to this process. */
static const uint8_t *pixels(void)
{
    static uint8_t *memory;
    if (memory)
        return memory;
    memory = mmap(NULL, SM_DECODE_PIXELS_BYTES, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        abort();
    for (size_t i = 0; i < 3 * TAKEN_PIXELS_MAX; i++)
        memory[i] = (uint8_t)(i * 7 + i / 251);
    return memory;
}

static void check_text(const struct sm_err *err)
{
    assert(err->text[0] != '\0' && memchr(err->text, '\0', sizeof err->text));
    uint32_t point;
    size_t length;
    for (const char *c = err->text; *c; c += length) {
        length = sm_utf8_decode(&point, c, strlen(c));
        assert(length && !sm_is_unsafe(point));
    }
}

static void check_taken(const struct sm_decode_answer *answer,
                        const struct sm_decode_request *request)
{
    struct sm_image image;
    struct sm_image_info info = {0};
    struct sm_err err = {0};
    int64_t count = (int64_t)answer->width_px * answer->height_px;
    if (answer->code == SM_OK) {
        assert(answer->width_px > 0 && answer->width_px <= SM_IMAGE_SIDE_MAX_PX);
        assert(answer->height_px > 0 && answer->height_px <= SM_IMAGE_SIDE_MAX_PX);
        assert(count * 3 <= (int64_t)SM_DECODE_PIXELS_BYTES);
        if (count > TAKEN_PIXELS_MAX)
            return;
    }
    enum sm_code code = sm_decode_answer_take(&image, answer, request, pixels(), &info, &err);
    if (answer->code != SM_OK) {
        assert((int32_t)code == answer->code && err.code == code && !image.rgb);
        check_text(&err);
        return;
    }
    assert(code == SM_OK || code == SM_NOMEM);
    if (code == SM_OK) {
        bool turned = info.oriented && info.orientation >= 5;
        assert(info.orientation >= 1 && info.orientation <= 8);
        assert(info.oriented == (request->apply_orientation && info.orientation != 1));
        assert(image.width_px == (turned ? answer->height_px : answer->width_px));
        assert(image.height_px == (turned ? answer->width_px : answer->height_px));
        assert(memcmp(image.rgb, pixels(), (size_t)count * 3) == 0);
    }
    sm_image_release(&image);
}

static void take_answer(const struct sm_child *child, const struct sm_decode_request *request)
{
    struct sm_decode_answer answer;
    long got = sm_child_receive(child, &answer, sizeof answer, 0);
    assert(got >= 0);
    if (got > 0 && sm_decode_answer_is_sound(&answer, (size_t)got, request))
        check_taken(&answer, request);
    assert(sm_child_is_quiet(child));
}

/* Lets the parent read the child's hello; the socket must be closed if it is refused. */
static void take_hello(struct sm_child *child)
{
    struct sm_err err = {0};
    enum sm_code code = sm_child_await(child, &err);
    if (code == SM_OK) {
        assert(sm_child_is_quiet(child));
        return;
    }
    assert(child->socket == 0 && err.code == code);
    assert(code == SM_UNSUPPORTED || code == SM_IO || code == SM_NOMEM);
    check_text(&err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t packet[PACKET_BYTES] = {0};
    int pair[2];
    if (size == 0)
        return 0;
    size_t count = size - 1 < sizeof packet ? size - 1 : sizeof packet;
    memcpy(packet, data + 1, count);
    if (data[0] & PADDED)
        count =
            data[0] & IS_HELLO ? sizeof(struct sm_decode_hello) : sizeof(struct sm_decode_answer);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) != 0 ||
        send(pair[1], packet, count, 0) != (ssize_t)count)
        abort();
    struct sm_child child = {.socket = pair[0]};
    struct sm_decode_request request = {.id = REQUEST_ID, .apply_orientation = data[0] & ORIENTED};
    if (data[0] & IS_HELLO)
        take_hello(&child);
    else
        take_answer(&child, &request);
    if (child.socket)
        close(child.socket);
    close(pair[1]);
    return 0;
}
