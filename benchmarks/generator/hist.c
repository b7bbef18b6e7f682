/* A log-linear histogram, laid out as HdrHistogram does it: 2,048 steps of 1 ns, then every further
 * power of two in 1,024. A percentile is given as the end of its step: it is too large by less than
 * a thousandth of itself, never too small. Its size does not depend on the number of values. */
#include <stdio.h>
#include <string.h>

#include "gen.h"

#define HALF_BITS 10
#define HALF (1u << HALF_BITS)
#define POWERS 54 /* of two above the linear part: every 64-bit value has a place */
#define SLOTS ((POWERS + 1) * HALF + HALF)

struct hist {
    uint64_t count, max;
    uint64_t slots[SLOTS];
};

struct hist *hist_new(void) { return zeroed(1, sizeof(struct hist)); }

void hist_clear(struct hist *h) { memset(h, 0, sizeof *h); }

static unsigned slot_of(uint64_t value)
{
    if (value < 2 * HALF)
        return (unsigned)value;
    unsigned shift = 63 - (unsigned)__builtin_clzll(value) - HALF_BITS;
    return shift * HALF + (unsigned)(value >> shift);
}

/* The greatest value that falls into the slot. */
static uint64_t value_of(unsigned slot)
{
    if (slot < 2 * HALF)
        return slot;
    unsigned shift = slot / HALF - 1;
    uint64_t top = HALF + slot % HALF;
    return ((top + 1) << shift) - 1;
}

void hist_add(struct hist *h, uint64_t value)
{
    h->slots[slot_of(value)]++;
    h->count++;
    if (value > h->max)
        h->max = value;
}

/* A value is the end of its step, as in a percentile. */
void hist_print(const struct hist *h)
{
    const char *before = "";
    putchar('[');
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        uint64_t value = value_of(slot) < h->max ? value_of(slot) : h->max;
        if (!h->slots[slot])
            continue;
        printf("%s[%llu,%llu]", before, (unsigned long long)value,
               (unsigned long long)h->slots[slot]);
        before = ",";
    }
    putchar(']');
}

uint64_t hist_count(const struct hist *h) { return h->count; }

uint64_t hist_max(const struct hist *h) { return h->max; }

uint64_t hist_at(const struct hist *h, double percent)
{
    uint64_t wanted = (uint64_t)(percent / 100 * (double)h->count + 0.5), seen = 0;
    if (wanted == 0)
        wanted = 1;
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        seen += h->slots[slot];
        if (seen >= wanted) {
            uint64_t value = value_of(slot);
            return value < h->max ? value : h->max;
        }
    }
    return h->max;
}
