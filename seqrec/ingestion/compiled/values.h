/* Ids and numbers that can be read in one way only. */

#pragma once
#include <stdint.h>
#include <string.h>
#include "rows.h"

static inline int is_digit(uint8_t c) { return c >= '0' && c <= '9'; }

/* Printable ASCII that an id may hold: no space, comma, quote, bracket or backslash. */
static const uint8_t IS_ID[256] = {
    ['!' ... '~'] = 1, [','] = 0, ['"'] = 0, ['\''] = 0, ['['] = 0, [']'] = 0,
    ['{'] = 0,         ['}'] = 0, ['<'] = 0, ['>'] = 0,  ['\\'] = 0,
};

static int is_id(const uint8_t *p, int64_t length) {
    if (length < 1 || length > MAX_ID) return 0;
    for (int64_t i = 0; i < length; i++)
        if (!IS_ID[p[i]]) return 0;
    return 1;
}

static const double POWERS[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};

/* `5`, `5.0`, `4.25`, from 0 to 5, in at most 15 digits: one of JSON's numbers, and of Java's. */
static int read_rating(const uint8_t *p, const uint8_t *end, double *rating) {
    int64_t value = 0;
    int digits = 0, decimals = 0;
    if (p >= end || !is_digit(*p)) return 0;
    if (*p == '0' && end - p > 1 && p[1] != '.') return 0;
    for (; p < end && is_digit(*p); p++) {
        if (++digits > MAX_DIGITS) return 0;
        value = value * 10 + (*p - '0');
    }
    if (p < end) {
        if (*p++ != '.' || p >= end) return 0;
        for (; p < end && is_digit(*p); p++) {
            if (++digits > MAX_DIGITS) return 0;
            value = value * 10 + (*p - '0');
            decimals++;
        }
        if (p < end) return 0;
    }
    *rating = (double)value / POWERS[decimals];
    return *rating <= 5.0;
}

/* A whole number without a sign and without zeros before it. */
static int read_whole(const uint8_t *p, const uint8_t *end, int max_digits, int64_t *number) {
    if (p >= end || end - p > max_digits || (*p == '0' && end - p > 1)) return 0;
    int64_t value = 0;
    for (; p < end; p++) {
        if (!is_digit(*p)) return 0;
        value = value * 10 + (*p - '0');
    }
    *number = value;
    return 1;
}

/* `12` or `1,234`: 1 to 9 digits in all. */
static int read_votes(const uint8_t *p, const uint8_t *end, int64_t *votes) {
    int64_t value = 0;
    int digits = 0, since_comma = 0, commas = 0;
    for (; p < end; p++) {
        if (*p == ',') {
            if (commas ? since_comma != 3 : since_comma < 1 || since_comma > 3) return 0;
            commas++;
            since_comma = 0;
        } else if (is_digit(*p)) {
            if (++digits > 9) return 0;
            since_comma++;
            value = value * 10 + (*p - '0');
        } else {
            return 0;
        }
    }
    *votes = value;
    return digits > 0 && (!commas || since_comma == 3);
}

static inline int in_seconds(int64_t time, const Layout *layout, int64_t *seconds) {
    if (layout->units_per_second == 1) {
        *seconds = time;
    } else { /* Spark divides doubles. */
        double quotient = (double)time / (double)layout->units_per_second;
        *seconds = (int64_t)quotient;
    }
    return *seconds >= layout->first_second && *seconds <= layout->last_second;
}
