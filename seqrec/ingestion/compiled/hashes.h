/* xxHash64, as Spark's xxhash64 computes it. */

#pragma once
#include <stdint.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "The hashes are written for little-endian machines."
#endif

static const uint64_t P1 = 0x9E3779B185EBCA87u, P2 = 0xC2B2AE3D27D4EB4Fu, P3 = 0x165667B19E3779F9u,
                      P4 = 0x85EBCA77C2B2AE63u, P5 = 0x27D4EB2F165667C5u;
static const uint64_t SEED = 42;

static inline uint64_t rotate(uint64_t x, int n) { return (x << n) | (x >> (64 - n)); }

static inline uint64_t word(const uint8_t *p) {
    uint64_t x;
    memcpy(&x, p, 8);
    return x;
}

static inline uint64_t mix(uint64_t h) {
    h = (h ^ (h >> 33)) * P2;
    h = (h ^ (h >> 29)) * P3;
    return h ^ (h >> 32);
}

static inline uint64_t lane(uint64_t sum, uint64_t x) { return rotate(sum + x * P2, 31) * P1; }

static uint64_t hash_bytes(const uint8_t *p, int64_t length, uint64_t seed) {
    const uint8_t *end = p + length;
    uint64_t h = seed + P5;
    if (length >= 32) {
        uint64_t a = seed + P1 + P2, b = seed + P2, c = seed, d = seed - P1;
        for (; end - p >= 32; p += 32) {
            a = lane(a, word(p));
            b = lane(b, word(p + 8));
            c = lane(c, word(p + 16));
            d = lane(d, word(p + 24));
        }
        h = rotate(a, 1) + rotate(b, 7) + rotate(c, 12) + rotate(d, 18);
        h = (h ^ lane(0, a)) * P1 + P4;
        h = (h ^ lane(0, b)) * P1 + P4;
        h = (h ^ lane(0, c)) * P1 + P4;
        h = (h ^ lane(0, d)) * P1 + P4;
    }
    h += (uint64_t)length;
    for (; end - p >= 8; p += 8) h = rotate(h ^ lane(0, word(p)), 27) * P1 + P4;
    if (end - p >= 4) {
        uint32_t x;
        memcpy(&x, p, 4);
        h = rotate(h ^ x * P1, 23) * P2 + P3;
        p += 4;
    }
    for (; p < end; p++) h = rotate(h ^ *p * P5, 11) * P1;
    return mix(h);
}

static inline uint64_t hash_long(uint64_t x, uint64_t seed) {
    return mix(rotate((seed + P5 + 8) ^ lane(0, x), 27) * P1 + P4);
}

static inline uint64_t hash_int(uint32_t x, uint64_t seed) {
    return mix(rotate((seed + P5 + 4) ^ x * P1, 23) * P2 + P3);
}
