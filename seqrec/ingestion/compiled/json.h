/* A line as one object of strict JSON, of which some fields are used. */

#pragma once
#include <stdint.h>
#include <string.h>
#include "rows.h"
#include "values.h"

static const uint64_t ONES = 0x0101010101010101u, HIGH = 0x8080808080808080u;

static inline uint64_t zero_bytes(uint64_t x) { return (x - ONES) & ~x & HIGH; }

/* Length of a well-formed UTF-8 character of two to four bytes; 0: it is none. */
static int utf8_length(const uint8_t *p, const uint8_t *end) {
    int length = p[0] >= 0xF0 ? 4 : p[0] >= 0xE0 ? 3 : 2;
    if (p[0] < 0xC2 || p[0] > 0xF4 || end - p < length) return 0;
    for (int i = 1; i < length; i++)
        if ((p[i] & 0xC0) != 0x80) return 0;
    if ((p[0] == 0xE0 && p[1] < 0xA0) || (p[0] == 0xED && p[1] > 0x9F)) return 0;
    if ((p[0] == 0xF0 && p[1] < 0x90) || (p[0] == 0xF4 && p[1] > 0x8F)) return 0;
    return length;
}

static inline int is_hexadecimal(uint8_t c) {
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* From behind a quote to the closing one, or null; `is_plain`: it holds no backslash. */
static const uint8_t *string_end(const uint8_t *p, const uint8_t *end, int *is_plain) {
    *is_plain = 1;
    for (;;) {
        while (end - p >= 8) {
            uint64_t x = word(p);
            uint64_t special = (x & HIGH) | ((x - ONES * ' ') & ~x & HIGH) | zero_bytes(x ^ ONES * '"') |
                               zero_bytes(x ^ ONES * '\\');
            if (special) {
                p += __builtin_ctzll(special) >> 3;
                break;
            }
            p += 8;
        }
        if (p >= end) return 0;
        uint8_t c = *p;
        if (c == '"') return p;
        if (c < ' ') return 0;
        if (c == '\\') {
            *is_plain = 0;
            if (end - p < 2) return 0;
            c = p[1];
            if (c == 'u') {
                if (end - p < 6) return 0;
                for (int i = 2; i < 6; i++)
                    if (!is_hexadecimal(p[i])) return 0;
                p += 6;
            } else if (c == '"' || c == '\\' || c == '/' || c == 'b' || c == 'f' || c == 'n' || c == 'r' || c == 't') {
                p += 2;
            } else {
                return 0;
            }
        } else if (c >= 0x80) {
            int length = utf8_length(p, end);
            if (!length) return 0;
            p += length;
        } else {
            p++;
        }
    }
}

/* The end of a number of JSON's grammar, or null. */
static const uint8_t *number_end(const uint8_t *p, const uint8_t *end) {
    const uint8_t *start = p;
    if (p < end && *p == '-') p++;
    if (p >= end || !is_digit(*p)) return 0;
    if (*p == '0') p++;
    else
        while (p < end && is_digit(*p)) p++;
    if (p < end && *p == '.') {
        if (++p >= end || !is_digit(*p)) return 0;
        while (p < end && is_digit(*p)) p++;
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        if (++p < end && (*p == '+' || *p == '-')) p++;
        if (p >= end || !is_digit(*p)) return 0;
        while (p < end && is_digit(*p)) p++;
    }
    return p - start <= MAX_NUMBER ? p : 0;
}

static inline const uint8_t *blanks_end(const uint8_t *p, const uint8_t *end) {
    while (p < end && (*p == ' ' || *p == '\t')) p++;
    return p;
}

static inline int starts_with(const uint8_t *p, const uint8_t *end, const char *text, int length) {
    return end - p >= length && memcmp(p, text, length) == 0;
}

static const uint8_t *word_end(const uint8_t *p, const uint8_t *end) {
    if (starts_with(p, end, "true", 4) || starts_with(p, end, "null", 4)) return p + 4;
    return starts_with(p, end, "false", 5) ? p + 5 : 0;
}

/* The end of any value, or null where it breaks a rule. */
static const uint8_t *value_end(const uint8_t *p, const uint8_t *end) {
    uint8_t closing[MAX_DEPTH];
    int depth = 0, is_plain;
    for (;;) {
        /* A value starts here. */
        p = blanks_end(p, end);
        if (p >= end) return 0;
        if (*p == '{' || *p == '[') {
            if (depth == MAX_DEPTH) return 0;
            closing[depth++] = *p == '{' ? '}' : ']';
            p = blanks_end(p + 1, end);
            if (p >= end) return 0;
            if (*p == closing[depth - 1]) {
                depth--;
                p++;
            } else if (closing[depth - 1] == ']') {
                continue;
            } else {
                goto key;
            }
        } else if (*p == '"') {
            p = string_end(p + 1, end, &is_plain);
            if (!p++) return 0;
        } else {
            p = *p == '-' || is_digit(*p) ? number_end(p, end) : word_end(p, end);
            if (!p) return 0;
        }
        /* It has ended. */
        for (;;) {
            if (!depth) return p;
            p = blanks_end(p, end);
            if (p >= end) return 0;
            if (*p == closing[depth - 1]) {
                depth--;
                p++;
                continue;
            }
            if (*p++ != ',') return 0;
            break;
        }
        if (closing[depth - 1] == ']') continue;
        p = blanks_end(p, end);
    key:
        if (p >= end || *p != '"') return 0;
        const uint8_t *start = p + 1;
        p = string_end(start, end, &is_plain);
        if (!p || p - start > MAX_KEY) return 0;
        p = blanks_end(p + 1, end);
        if (p >= end || *p++ != ':') return 0;
    }
}

/* `[helpful, all]`: the first number has 1 to 9 digits. */
static int read_helpful(const uint8_t *p, const uint8_t *end, int64_t *votes) {
    int64_t all;
    if (end - p < 2 || *p != '[' || end[-1] != ']') return 0;
    const uint8_t *comma = memchr(p, ',', end - p);
    if (!comma) return 0;
    const uint8_t *first = blanks_end(p + 1, comma), *last = comma, *second = blanks_end(comma + 1, end - 1);
    const uint8_t *second_end = end - 1;
    while (last > first && last[-1] == ' ') last--;
    while (second_end > second && second_end[-1] == ' ') second_end--;
    return read_whole(first, last, 9, votes) && read_whole(second, second_end, MAX_TIME_DIGITS, &all);
}

static int kind_of_key(const Layout *layout, const uint8_t *key, int64_t length) {
    for (int i = 0; i < layout->num_keys; i++) {
        const char *name = layout->keys[i];
        if ((uint8_t)name[0] == key[0] && strlen(name) == (size_t)length && memcmp(name, key, length) == 0)
            return layout->kinds[i];
    }
    return SKIPPED;
}

/* Takes a used field; 0: its value is not plainly what it should be. */
static int take_field(Review *review, int kind, const uint8_t *start, const uint8_t *end, int is_plain) {
    const uint8_t *inner = start + 1;
    int64_t inner_bytes = end - start - 2;
    int is_text = *start == '"';
    switch (kind) {
        case USER:
        case ITEM:
        case SECOND_ITEM:
            if (!is_text || !is_plain || !is_id(inner, inner_bytes)) return 0;
            if (kind == USER) {
                review->user = inner;
                review->user_bytes = (int32_t)inner_bytes;
            } else if (kind == ITEM) {
                review->item = inner;
                review->item_bytes = (int32_t)inner_bytes;
            } else {
                review->second_item = inner;
                review->second_item_bytes = (int32_t)inner_bytes;
            }
            return 1;
        case RATING:
            review->has_rating = 1;
            return read_rating(start, end, &review->rating);
        case TIME:
            review->has_time = 1;
            return read_whole(start, end, MAX_TIME_DIGITS, &review->time);
        case VERIFIED:
            review->verified = *start == 't';
            return *start == 't' || *start == 'f';
        case VOTES:
            review->has_votes = 1;
            if (is_text) return is_plain && read_votes(inner, inner + inner_bytes, &review->votes);
            return read_whole(start, end, 9, &review->votes);
        case HELPFUL:
            review->has_votes = 1;
            return read_helpful(start, end, &review->votes);
    }
    return 0;
}

/* One line as a JSON object whose used fields are plainly clean. */
static int read_json(const uint8_t *p, const uint8_t *end, const Layout *layout, Review *review) {
    uint32_t seen = 0;
    if (end - p < 2 || *p != '{' || end[-1] != '}') return 0;
    p = blanks_end(p + 1, end);
    for (;;) {
        int is_plain;
        if (p >= end || *p++ != '"') return 0;
        const uint8_t *key = p;
        p = string_end(key, end, &is_plain);
        if (!p || !is_plain || p - key > MAX_KEY) return 0;
        int kind = p == key ? SKIPPED : kind_of_key(layout, key, p - key);
        p = blanks_end(p + 1, end);
        if (p >= end || *p++ != ':') return 0;
        p = blanks_end(p, end);
        if (p >= end || kind == REFUSED) return 0;
        const uint8_t *start = p;
        if (*p == '"') {
            p = string_end(p + 1, end, &is_plain);
            if (!p++) return 0;
        } else {
            is_plain = 1;
            p = value_end(p, end);
            if (!p) return 0;
        }
        if (kind != SKIPPED) {
            if (seen >> kind & 1) return 0; /* A key twice. */
            seen |= 1u << kind;
            if (*start != 'n' && !take_field(review, kind, start, p, is_plain)) return 0;
        }
        p = blanks_end(p, end);
        if (p >= end) return 0;
        if (*p == '}') break;
        if (*p++ != ',') return 0;
        p = blanks_end(p, end);
    }
    if (seen >> VOTES & 1 && seen >> HELPFUL & 1) return 0;
    if (!review->item) {
        review->item = review->second_item;
        review->item_bytes = review->second_item_bytes;
    }
    return p + 1 == end && review->user && review->item && review->has_time;
}
