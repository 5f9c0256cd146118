/* The pigeonhole search: for each band, codes are sorted by it, and codes of a run are compared. A
 * pair belongs to the first band in which it agrees. */
#include <stdlib.h>

#include "sslmem/controls.h"

struct band {
    int shift, width; /* of its bits in a code */
};

static struct band band_of(int number, int bands)
{
    int first = 64 * number / bands, end = 64 * (number + 1) / bands;
    return (struct band){first, end - first};
}

static uint64_t read_band(uint64_t code, struct band band)
{
    return code >> band.shift & ((UINT64_C(1) << band.width) - 1);
}

static int bits_of(uint64_t x)
{
    x -= x >> 1 & UINT64_C(0x5555555555555555);
    x = (x & UINT64_C(0x3333333333333333)) + (x >> 2 & UINT64_C(0x3333333333333333));
    x = (x + (x >> 4)) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    return (int)(x * UINT64_C(0x0101010101010101) >> 56);
}

static bool agrees_before(uint64_t difference, int number, int bands)
{
    for (int i = 0; i < number; i++)
        if (read_band(difference, band_of(i, bands)) == 0)
            return true;
    return false;
}

static int ascending(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

struct search {
    const uint64_t *codes;
    uint64_t *keyed; /* [count]: a band in the upper half, the index in the lower */
    size_t count;
    int bits;
    uint64_t budget;
    sm_hamming_pair *on_pair;
    void *arg;
};

static size_t index_of(uint64_t keyed)
{
    return (size_t)(uint32_t)keyed;
}

/* Compares the codes of a run, keyed[first] to keyed[end - 1]. */
static bool compare_run(struct search *s, size_t first, size_t end, int number)
{
    for (size_t a = first; a < end; a++)
        for (size_t b = a + 1; b < end; b++) {
            size_t i = index_of(s->keyed[a]), j = index_of(s->keyed[b]);
            uint64_t difference = s->codes[i] ^ s->codes[j];
            if (s->budget-- == 0)
                return false;
            if (bits_of(difference) <= s->bits && !agrees_before(difference, number, s->bits + 1))
                s->on_pair(s->arg, i, j); /* i < j: the sort orders a run by index */
        }
    return true;
}

static bool search_band(struct search *s, int number)
{
    struct band band = band_of(number, s->bits + 1);
    for (size_t i = 0; i < s->count; i++)
        s->keyed[i] = read_band(s->codes[i], band) << 32 | i;
    qsort(s->keyed, s->count, sizeof *s->keyed, ascending);
    for (size_t first = 0, end; first < s->count; first = end) {
        for (end = first + 1; end < s->count && s->keyed[end] >> 32 == s->keyed[first] >> 32;)
            end++;
        if (!compare_run(s, first, end, number))
            return false;
    }
    return true;
}

enum sm_code sm_hamming_search(bool *complete, const uint64_t *codes, size_t count, int bits,
                               uint64_t budget, sm_hamming_pair *on_pair, void *arg,
                               struct sm_err *err)
{
    struct search s = {codes, NULL, count, bits, budget, on_pair, arg};
    *complete = false;
    s.keyed = malloc((count + 1) * sizeof *s.keyed);
    if (!s.keyed)
        return sm_err_set(err, SM_NOMEM, "out of memory for %zu codes", count);
    *complete = true;
    for (int i = 0; i <= bits && *complete; i++)
        *complete = search_band(&s, i);
    free(s.keyed);
    return SM_OK;
}
