/* Lines of ratings (CSV) and of reviews (JSON) that are plainly clean become columns; every other line is left to the
 * exact rules of `formats`, which are Spark's. A line is taken only where nothing about it can be judged in two ways:
 * ids of printable ASCII, numbers that a double holds exactly, strict JSON without a used key twice. What is taken has
 * the values, the hash of the line and the share in the table's digest that the exact rules give it.
 *
 * Nothing is allocated here and nothing outside the block is read: `end` is checked before every byte. */

#include <stdint.h>
#include <string.h>

#include "hashes.h"
#include "json.h"
#include "rows.h"
#include "values.h"

#define EXPORT __attribute__((visibility("default")))

/* ---- Ratings ---------------------------------------------------------------------------------------------------- */

static int read_rating_line(const uint8_t *p, const uint8_t *end, const Layout *layout, Review *review) {
    for (int64_t column = 0; column < layout->num_columns; column++) {
        const uint8_t *start = p;
        int kind = layout->columns[column];
        while (p < end && *p != layout->separator) {
            if (*p >= 0x80 || *p == '"') return 0;
            p++;
        }
        if ((p < end) != (column + 1 < layout->num_columns)) return 0;
        switch (kind) {
            case USER:
                review->user = start;
                review->user_bytes = (int32_t)(p - start);
                if (!is_id(start, p - start)) return 0;
                break;
            case ITEM:
                review->item = start;
                review->item_bytes = (int32_t)(p - start);
                if (!is_id(start, p - start)) return 0;
                break;
            case RATING:
                review->has_rating = 1;
                if (!read_rating(start, p, &review->rating)) return 0;
                break;
            case TIME:
                review->has_time = 1;
                if (!read_whole(start, p, MAX_TIME_DIGITS, &review->time)) return 0;
                break;
        }
        p++;
    }
    return 1;
}

/* ---- Blocks ----------------------------------------------------------------------------------------------------- */

static inline void set_bit(uint8_t *bits, int64_t place) { bits[place >> 3] |= (uint8_t)(1u << (place & 7)); }

static void add_row(Rows *rows, const Review *review, int64_t seconds, uint64_t hash) {
    int64_t row = rows->num_rows++;
    int32_t user_end = rows->user_ends[row], item_end = rows->item_ends[row];
    memcpy(rows->users + user_end, review->user, review->user_bytes);
    memcpy(rows->items + item_end, review->item, review->item_bytes);
    rows->user_ends[row + 1] = user_end + review->user_bytes;
    rows->item_ends[row + 1] = item_end + review->item_bytes;
    rows->ratings[row] = review->has_rating ? (float)review->rating : 0.0f;
    if (review->has_rating) set_bit(rows->has_rating, row);
    rows->times[row] = seconds;
    if (review->verified >= 0) set_bit(rows->has_verified, row);
    if (review->verified > 0) set_bit(rows->verified, row);
    rows->votes[row] = review->has_votes ? (int32_t)review->votes : 0;
    if (review->has_votes) set_bit(rows->has_votes, row);
    rows->hashes[row] = (int64_t)hash;
}

/* The last newline; -1: there is none. */
EXPORT int64_t seqrec_last_newline(const uint8_t *p, int64_t length) {
    while (length > 0)
        if (p[--length] == '\n') return length;
    return -1;
}

/* Adds whole lines, of which the last may lack its newline. The return is how many bytes were read: fewer than there
 * are where the rows or the places for doubtful lines are full. */
EXPORT int64_t seqrec_read_lines(const uint8_t *bytes, int64_t length, const Layout *layout, Rows *rows) {
    const uint8_t *p = bytes, *end = bytes + length;
    while (p < end && rows->num_rows < rows->max_rows && rows->num_doubtful < rows->max_doubtful) {
        const uint8_t *newline = memchr(p, '\n', end - p);
        const uint8_t *line_end = newline ? newline : end, *stripped = line_end;
        if (stripped > p && stripped[-1] == '\r') stripped--;
        Review review = {.verified = -1};
        int64_t seconds;
        if (line_end == p) {
            rows->num_blank++;
        } else if (stripped - p <= layout->max_line_bytes &&
                   (layout->num_keys ? read_json(p, stripped, layout, &review)
                                     : read_rating_line(p, stripped, layout, &review)) &&
                   in_seconds(review.time, layout, &seconds)) {
            add_row(rows, &review, seconds, hash_bytes(p, stripped - p, SEED));
        } else {
            rows->doubtful[2 * rows->num_doubtful] = p - bytes;
            rows->doubtful[2 * rows->num_doubtful + 1] = line_end - bytes;
            rows->num_doubtful++;
        }
        p = newline ? line_end + 1 : end;
    }
    return p - bytes;
}

/* ---- The digest of `reviews`: see tables/digest.py ---------------------------------------------------------------- */

#define LANES 64

static inline int bit(const uint8_t *bits, int64_t place) { return bits[place >> 3] >> (place & 7) & 1; }

static inline uint64_t named(const char *name) { return hash_bytes((const uint8_t *)name, strlen(name), SEED); }

/* The sum of the hashes of all rows. Columns count in the order of their names, nulls for themselves after them. */
EXPORT uint64_t seqrec_digest(const Rows *rows, const uint8_t *group, int64_t group_bytes) {
    const uint64_t group_name = named("group"), item = named("item_id"), line = named("line_hash"),
                   rating = named("rating"), time = named("timestamp"), user = named("user_id"),
                   verified = named("verified"), votes = named("votes");
    const uint64_t group_part = group ? hash_bytes(group, group_bytes, group_name) : group_name;
    const uint64_t start = hash_long(group_part, SEED);
    uint64_t sum = 0, h[LANES];
    for (int64_t first = 0; first < rows->num_rows; first += LANES) {
        /* Rows side by side: one row's hashes wait for one another. */
        int64_t n = rows->num_rows - first < LANES ? rows->num_rows - first : LANES;
        for (int64_t i = 0; i < n; i++) {
            int64_t row = first + i;
            int32_t at = rows->item_ends[row];
            h[i] = hash_long(hash_bytes(rows->items + at, rows->item_ends[row + 1] - at, item), start);
        }
        for (int64_t i = 0; i < n; i++) h[i] = hash_long(hash_long((uint64_t)rows->hashes[first + i], line), h[i]);
        for (int64_t i = 0; i < n; i++) {
            uint32_t bits;
            memcpy(&bits, rows->ratings + first + i, 4);
            h[i] = hash_long(bit(rows->has_rating, first + i) ? hash_int(bits, rating) : rating, h[i]);
        }
        for (int64_t i = 0; i < n; i++) h[i] = hash_long(hash_long((uint64_t)rows->times[first + i], time), h[i]);
        for (int64_t i = 0; i < n; i++) {
            int64_t row = first + i;
            int32_t at = rows->user_ends[row];
            h[i] = hash_long(hash_bytes(rows->users + at, rows->user_ends[row + 1] - at, user), h[i]);
        }
        for (int64_t i = 0; i < n; i++) {
            int64_t row = first + i;
            uint64_t part = verified;
            if (bit(rows->has_verified, row)) part = hash_int(bit(rows->verified, row), verified);
            h[i] = hash_long(part, h[i]);
        }
        for (int64_t i = 0; i < n; i++) {
            int64_t row = first + i;
            uint64_t part = bit(rows->has_votes, row) ? hash_int((uint32_t)rows->votes[row], votes) : votes;
            h[i] = hash_long(part, h[i]);
        }
        for (int64_t i = 0; i < n; i++) h[i] = hash_int(group == 0, h[i]);
        for (int64_t i = 0; i < n; i++) h[i] = hash_int(0, hash_int(0, h[i]));
        for (int64_t i = 0; i < n; i++) h[i] = hash_int(!bit(rows->has_rating, first + i), h[i]);
        for (int64_t i = 0; i < n; i++) h[i] = hash_int(0, hash_int(0, h[i]));
        for (int64_t i = 0; i < n; i++) h[i] = hash_int(!bit(rows->has_verified, first + i), h[i]);
        for (int64_t i = 0; i < n; i++) sum += hash_int(!bit(rows->has_votes, first + i), h[i]);
    }
    return sum;
}
