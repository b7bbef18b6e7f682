/* NATS: PUB and MSG (core, nothing acknowledged), and JetStream: the same PUB with a reply subject,
 * answered when the stream has the message; receivers have a push consumer each, all on one stream.
 * Where messages wait, each has a stream of its own, too, and its consumer reads it from the start
 * when it returns: thousands of filters on a stream of a million messages take minutes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gen.h"

#define SHARED "BENCH" /* the one stream of all */

enum step { WAITING, CONNECTED, DELETE_ASKED, STREAM_ASKED, CONSUMER_ASKED, ACTIVE };

static void greet(struct conn *c)
{
    conn_print(c,
               "CONNECT {\"verbose\":false,\"pedantic\":false,\"tls_required\":%s,"
               "\"lang\":\"c\",\"version\":\"1\",\"protocol\":1}\r\nPING\r\n",
               options.tls ? "true" : "false");
    c->step = CONNECTED;
}

static void nats_begin(struct conn *c)
{
    if (options.tls)
        greet(c); /* INFO came before TLS */
}

static const char *stream_of(const struct conn *c)
{
    return options.protocol->keeps ? c->user->name : SHARED;
}

/* Call "$JS.API.what.stream"; `answered` gets what comes back. */
static void api(struct conn *c, const char *what, const char *request, enum step then)
{
    size_t size = strlen(request);
    conn_print(c, "PUB $JS.API.%s.%s _INBOX.%s %zu\r\n%s\r\n", what, stream_of(c), c->user->name,
               size, request);
    c->step = then;
}

static void ask_stream(struct conn *c)
{
    char request[256];
    snprintf(request, sizeof request,
             "{\"name\":\"%s\",\"subjects\":[\"j.%s\"],\"storage\":\"file\"}", stream_of(c),
             options.protocol->keeps ? c->user->name : ">");
    api(c, "STREAM.CREATE", request, STREAM_ASKED);
}

static void ask_consumer(struct conn *c)
{
    char request[512];
    snprintf(request, sizeof request,
             "{\"stream_name\":\"%s\",\"config\":{\"deliver_subject\":\"d.%s\","
             "\"filter_subject\":\"j.%s\",\"ack_policy\":\"none\",\"deliver_policy\":\"%s\"}}",
             stream_of(c), c->user->name, c->user->name, options.protocol->keeps ? "all" : "new");
    conn_print(c, "SUB d.%s 2\r\n", c->user->name);
    api(c, "CONSUMER.CREATE", request, CONSUMER_ASKED);
}

static void complete(struct conn *c)
{
    c->step = ACTIVE;
    conn_ready(c);
}

static void connected(struct conn *c)
{
    const struct user *u = c->user;
    bool makes_stream = !u->known && (options.protocol->keeps || u->index == 0);
    if (!options.protocol->acks || u->alone) {
        if (u->receives)
            conn_print(c, "SUB b.%s 1\r\n", u->name);
        complete(c);
        return;
    }
    conn_print(c, "SUB _INBOX.%s 1\r\n", u->name);
    if (!u->receives)
        complete(c);
    else if (makes_stream) /* with that of the last run its consumers go, too */
        api(c, "STREAM.DELETE", "", DELETE_ASKED);
    else
        ask_consumer(c);
}

static void answered(struct conn *c, const char *text, size_t size)
{
    if (c->step != DELETE_ASKED && FIND(text, size, "\"error\""))
        die("%s: %.*s", c->user->name, (int)size, text);
    if (c->step == DELETE_ASKED)
        ask_stream(c);
    else if (c->step == STREAM_ASKED && !options.protocol->keeps)
        ask_consumer(c);
    else if (c->step == STREAM_ASKED || c->step == CONSUMER_ASKED)
        complete(c); /* with a stream of its own it comes back for what will have waited there */
    else
        message_done(c, 1);
}

static void control(struct conn *c, const char *line, size_t size)
{
    if (STARTS(line, size, "INFO ") && c->step == WAITING) {
        greet(c);
    } else if (STARTS(line, size, "PONG")) {
        if (c->step == CONNECTED)
            connected(c);
    } else if (STARTS(line, size, "PING")) {
        conn_print(c, "PONG\r\n");
    } else if (STARTS(line, size, "-ERR")) {
        die("%s: %.*s", c->user->name, (int)size, line);
    }
}

/* "MSG subject sid [reply] bytes": give the bytes, the last word. */
static size_t announced(const char *line, size_t size)
{
    const char *at = line + size;
    while (at > line && at[-1] != ' ')
        at--;
    return strtoul(at, NULL, 10);
}

static size_t nats_take(struct conn *c, const char *data, size_t size)
{
    const char *at = data, *end;
    while (c->fd >= 0 && (end = memchr(at, '\n', size - (size_t)(at - data)))) {
        size_t length = (size_t)(end - at) - (end > at);
        if (!STARTS(at, length, "MSG ")) {
            control(c, at, length);
            at = end + 1;
            continue;
        }
        size_t bytes = announced(at, length);
        if ((size_t)(data + size - end - 1) < bytes + 2)
            break;
        if (at[4] == '_')
            answered(c, end + 1, bytes);
        else
            message_arrived(c, end + 1, bytes);
        at = end + 1 + bytes + 2;
    }
    return (size_t)(at - data);
}

static void nats_put(struct conn *c, const struct user *to, const char *body, size_t size)
{
    char *place = conn_room(c, size + 64);
    int head = sprintf(place, "PUB b.%s %zu\r\n", to->name, size);
    memcpy(place + head, body, size);
    memcpy(place + head + size, "\r\n", 2);
    conn_used(c, (size_t)head + size + 2);
}

static void jetstream_put(struct conn *c, const struct user *to, const char *body, size_t size)
{
    char *place = conn_room(c, size + 128);
    int head = sprintf(place, "PUB j.%s _INBOX.%s %zu\r\n", to->name, c->user->name, size);
    memcpy(place + head, body, size);
    memcpy(place + head + size, "\r\n", 2);
    conn_used(c, (size_t)head + size + 2);
}

const struct protocol nats = {.name = "nats",
                              .uses = PAIRS,
                              .greets_plain = true,
                              .begin = nats_begin,
                              .take = nats_take,
                              .put = nats_put};
const struct protocol jetstream = {.name = "jetstream",
                                   .uses = PAIRS,
                                   .greets_plain = true,
                                   .acks = true,
                                   .begin = nats_begin,
                                   .take = nats_take,
                                   .put = jetstream_put};
const struct protocol jetstream_kept = {.name = "jetstream",
                                        .uses = OFFLINE,
                                        .greets_plain = true,
                                        .acks = true,
                                        .keeps = true,
                                        .begin = nats_begin,
                                        .take = nats_take,
                                        .put = jetstream_put};
