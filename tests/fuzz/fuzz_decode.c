/* What a decoder that an image has taken over may tell its parent, over the socket that both have.
 * The input is packets: a line end of their own, one byte, says how many bytes follow; byte 0 of
 * the input is the request (bit 0: apply the orientation; bit 1: the packets are hellos).
 *
 *     request, {count, bytes [count modulo (the packet's size + 2)]}
 *
 * Properties: what is taken for sound lies within the limits and the memory, and becomes an image
 * of exactly that size out of the memory's pixels, or the error that the answer has; a hello that
 * does not say SM_OK is a failure with a text of printable characters. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/decode/answer.h"
#include "server/decode/child.h"

#define REQUEST_ID       7
#define TAKEN_PIXELS_MAX (1 << 16) /* the rest is only larger */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
