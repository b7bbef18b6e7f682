/* NATS: PUB and MSG (core, nothing acknowledged), and JetStream: the same PUB with a reply subject,
 * answered when the stream has the message; receivers have a push consumer each. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gen.h"

#define STREAM "BENCH"

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

static void api(struct conn *c, const char *what, const char *request)
{
    size_t size = strlen(request);
    conn_print(c, "PUB $JS.API.%s _INBOX.%s %zu\r\n%s\r\n", what, c->name, size, request);
}

static void ask_consumer(struct conn *c)
{
    char request[512];
    snprintf(request, sizeof request,
             "{\"stream_name\":\"" STREAM "\",\"config\":{\"deliver_subject\":\"d.%s\","
             "\"filter_subject\":\"j.%s\",\"ack_policy\":\"none\",\"deliver_policy\":\"new\"}}",
             c->name, c->name);
    api(c, "CONSUMER.CREATE." STREAM, request);
    c->step = CONSUMER_ASKED;
}

static void connected(struct conn *c)
{
    bool durable = options.protocol->acks;
    c->step = ACTIVE;
    if (!durable || !c->pair) {
        if (c->receiver)
            conn_print(c, "SUB b.%s 1\r\n", c->name);
        conn_ready(c);
        return;
    }
    conn_print(c, "SUB _INBOX.%s 1\r\n", c->name);
    if (!c->receiver) {
        conn_ready(c);
        return;
    }
    conn_print(c, "SUB d.%s 2\r\n", c->name);
    if (c->index) {
        ask_consumer(c);
        return;
    }
    /* The first receiver is alone: with the stream of the last run its consumers go, too. */
    api(c, "STREAM.DELETE." STREAM, "");
    c->step = DELETE_ASKED;
}

static void answered(struct conn *c, const char *text, size_t size)
{
    bool failed = FIND(text, size, "\"error\"") != NULL;
    if (failed && c->step != DELETE_ASKED)
        die("%s: %.*s", c->name, (int)size, text);
    if (c->step == DELETE_ASKED) {
        api(c, "STREAM.CREATE." STREAM,
            "{\"name\":\"" STREAM "\",\"subjects\":[\"j.>\"],\"storage\":\"file\"}");
        c->step = STREAM_ASKED;
    } else if (c->step == STREAM_ASKED) {
        ask_consumer(c);
    } else if (c->step == CONSUMER_ASKED) {
        c->step = ACTIVE;
        conn_ready(c);
    } else {
        message_done(c->pair, 1);
    }
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
        die("%s: %.*s", c->name, (int)size, line);
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

static void nats_put(struct conn *c, const char *body, size_t size)
{
    char *place = conn_room(c, size + 64);
    int head = sprintf(place, "PUB b.%s %zu\r\n", c->pair->receiver->name, size);
    memcpy(place + head, body, size);
    memcpy(place + head + size, "\r\n", 2);
    conn_used(c, (size_t)head + size + 2);
}

static void jetstream_put(struct conn *c, const char *body, size_t size)
{
    char *place = conn_room(c, size + 128);
    int head = sprintf(place, "PUB j.%s _INBOX.%s %zu\r\n", c->pair->receiver->name, c->name, size);
    memcpy(place + head, body, size);
    memcpy(place + head + size, "\r\n", 2);
    conn_used(c, (size_t)head + size + 2);
}

const struct protocol nats = {
    .name = "nats", .greets_plain = true, .begin = nats_begin, .take = nats_take, .put = nats_put};
const struct protocol jetstream = {
    .name = "jetstream",
    .greets_plain = true,
    .acks = true,
    .begin = nats_begin,
    .take = nats_take,
    .put = jetstream_put};
