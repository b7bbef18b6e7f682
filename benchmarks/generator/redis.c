/* Redis streams (RESP2): a sender XADDs to the receiver's stream and waits for the entry's id; the
 * receiver blocks in XREAD and asks on after its last entry. The sender keeps streams short, except
 * where messages wait: then a receiver who returns reads its stream from the start. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gen.h"

#define KEPT "1000" /* entries of a stream: far more than a window, and memory stays bounded */

#define AT_ONCE                                                                                    \
    "256" /* entries of an answer: far more than a window, and an answer stays small               \
           */

enum step { PINGED, ACTIVE };

static bool awaits(const struct conn *c) { return c->user->receives && !c->user->alone; }

static void redis_begin(struct conn *c)
{
    snprintf(c->cursor, sizeof c->cursor, "0-0");
    if (awaits(c) && !c->user->known)
        conn_print(c, "*2\r\n$3\r\nDEL\r\n$%zu\r\n%s\r\n", strlen(c->user->name), c->user->name);
    else
        conn_print(c, "*1\r\n$4\r\nPING\r\n");
}

static void ask(struct conn *c)
{
    conn_print(c,
               "*8\r\n$5\r\nXREAD\r\n$5\r\nCOUNT\r\n$3\r\n" AT_ONCE
               "\r\n$5\r\nBLOCK\r\n$1\r\n0\r\n$7\r\nSTREAMS\r\n"
               "$%zu\r\n%s\r\n$%zu\r\n%s\r\n",
               strlen(c->user->name), c->user->name, strlen(c->cursor), c->cursor);
}

/* A bulk string at `at`: gives its content and moves behind it; NULL when it is not whole. */
static const char *bulk(const char **at, const char *stop, size_t *size)
{
    const char *end = memchr(*at, '\n', (size_t)(stop - *at));
    if (!end)
        return NULL;
    if (**at != '$')
        die("redis: expected a bulk string, not %.20s", *at);
    *size = strtoul(*at + 1, NULL, 10);
    if ((size_t)(stop - end - 1) < *size + 2)
        return NULL;
    *at = end + 1 + *size + 2;
    return end + 1;
}

/* An array head at `at`: gives its length and moves behind it; -1 when it is not whole. */
static long array(const char **at, const char *stop)
{
    const char *end = memchr(*at, '\n', (size_t)(stop - *at));
    if (!end)
        return -1;
    if (**at != '*')
        die("redis: expected an array, not %.20s", *at);
    long count = strtol(*at + 1, NULL, 10);
    *at = end + 1;
    return count;
}

/* One entry, [id, [field, body]]; with `count` false it is only looked at. */
static bool entry(struct conn *c, const char **at, const char *stop, bool count)
{
    size_t id_size, size;
    const char *id, *text;
    if (array(at, stop) < 0 || !(id = bulk(at, stop, &id_size)) || array(at, stop) < 0 ||
        !bulk(at, stop, &size) || !(text = bulk(at, stop, &size)))
        return false;
    if (count) {
        snprintf(c->cursor, sizeof c->cursor, "%.*s", (int)id_size, id);
        message_arrived(c, text, size);
    }
    return true;
}

/* XREAD's answer, [[stream, entries]]: give where it ends, or NULL when it is not whole. */
static const char *entries(struct conn *c, const char *at, const char *stop, bool count)
{
    size_t size;
    if (array(&at, stop) < 0 || array(&at, stop) < 0 || !bulk(&at, stop, &size))
        return NULL;
    long left = array(&at, stop);
    if (left < 0)
        return NULL;
    while (left-- > 0)
        if (!entry(c, &at, stop, count))
            return NULL;
    return at;
}

static size_t take_entries(struct conn *c, const char *data, size_t size)
{
    const char *stop = data + size, *end = entries(c, data, stop, false);
    if (!end)
        return 0;
    entries(c, data, stop, true);
    ask(c);
    return (size_t)(end - data);
}

static void answer(struct conn *c, const char *line, size_t size)
{
    if (*line == '-')
        die("%s: %.*s", c->user->name, (int)size, line);
    if (c->step == ACTIVE)
        return;
    c->step = ACTIVE;
    if (awaits(c))
        ask(c);
    conn_ready(c);
}

static size_t redis_take(struct conn *c, const char *data, size_t size)
{
    if (c->user->receives && c->step == ACTIVE)
        return take_entries(c, data, size);
    const char *at = data, *stop = data + size, *end;
    uint64_t stored = 0;
    while (c->fd >= 0 && at < stop && (end = memchr(at, '\n', (size_t)(stop - at)))) {
        if (*at == '$') {
            size_t length;
            if (!bulk(&at, stop, &length))
                break;
            stored++;
        } else {
            answer(c, at, (size_t)(end - at));
            at = end + 1;
        }
    }
    if (stored)
        message_done(c, stored);
    return (size_t)(at - data);
}

static void redis_put(struct conn *c, const struct user *to, const char *body, size_t size)
{
    bool kept = options.protocol->keeps;
    const char *shortened = kept ? "" : "$6\r\nMAXLEN\r\n$1\r\n~\r\n$4\r\n" KEPT "\r\n";
    char *place = conn_room(c, size + 192);
    int head = sprintf(place, "*%d\r\n$4\r\nXADD\r\n$%zu\r\n%s\r\n%s$1\r\n*\r\n$1\r\nb\r\n$%zu\r\n",
                       kept ? 5 : 8, strlen(to->name), to->name, shortened, size);
    memcpy(place + head, body, size);
    memcpy(place + head + size, "\r\n", 2);
    conn_used(c, (size_t)head + size + 2);
}

const struct protocol redis = {.name = "redis",
                               .uses = PAIRS,
                               .acks = true,
                               .begin = redis_begin,
                               .take = redis_take,
                               .put = redis_put};
const struct protocol redis_kept = {.name = "redis",
                                    .uses = OFFLINE,
                                    .acks = true,
                                    .keeps = true,
                                    .begin = redis_begin,
                                    .take = redis_take,
                                    .put = redis_put};
