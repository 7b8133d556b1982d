/* What a file holds, and the rows that its lines become. */

#pragma once
#include <stdint.h>
#include <string.h>

#define MAX_ID 128            /* Characters of an id. */
#define MAX_DIGITS 15         /* Digits of a rating: below 2^53, so its quotient by a power of ten is rounded once. */
#define MAX_TIME_DIGITS 18    /* Digits of a time: below 2^63. */
#define MAX_NUMBER 64         /* Characters of a number that is skipped. */
#define MAX_KEY 1000          /* Bytes of a key; Jackson's own limit is 50,000. */
#define MAX_DEPTH 64          /* Lists and objects in one another; Jackson's own limit is 1,000. */
#define MAX_COLUMNS 64        /* Columns of a ratings file. */

enum { USER, ITEM, RATING, TIME, VERIFIED, VOTES, HELPFUL, SECOND_ITEM, SKIPPED, REFUSED };

/* What a file holds; `Layout` in kernel.py is the same. */
typedef struct {
    int64_t first_second, last_second; /* Times that a review may have. */
    int64_t units_per_second;
    int64_t max_line_bytes;
    int64_t num_columns;
    int32_t columns[MAX_COLUMNS]; /* USER, ITEM, RATING, TIME or SKIPPED for each column of a ratings file. */
    int32_t separator;
    int32_t num_keys;
    const char *const *keys; /* Names of JSON fields ... */
    const int32_t *kinds;    /* ... and what each is. */
} Layout;

/* Rows that wait to be written, and what became of the lines; `Rows` in kernel.py is the same. Arrays are the caller's:
 * with `max_rows` places (one more for Arrow's offsets), MAX_ID bytes a place for texts, bitmaps of zeros. */
typedef struct {
    int64_t max_rows, max_doubtful;
    int64_t num_rows, num_blank, num_doubtful;
    int32_t *user_ends, *item_ends; /* Arrow's offsets. */
    uint8_t *users, *items;
    float *ratings;
    uint8_t *has_rating;
    int64_t *times;
    uint8_t *verified, *has_verified;
    int32_t *votes;
    uint8_t *has_votes;
    int64_t *hashes;
    int64_t *doubtful; /* Start and end of each line that is left to the exact rules, without its newline. */
} Rows;

typedef struct {
    const uint8_t *user, *item, *second_item; /* Null: not there. */
    int32_t user_bytes, item_bytes, second_item_bytes;
    int32_t has_rating, has_time, verified, has_votes; /* verified: -1 for none. */
    int64_t time, votes;
    double rating;
} Review;
