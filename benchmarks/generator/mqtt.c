/* MQTT 3.1.1: a topic a receiver. With QoS 0 nothing is acknowledged; with QoS 1 the server answers
 * every PUBLISH of a sender (PUBACK), and the receiver confirms every one it gets. Those who come
 * and go have a persistent session: the server keeps their subscription and what arrives for it. */
#include <string.h>

#include "gen.h"

enum packet {
    CONNECT = 1,
    CONNACK,
    PUBLISH,
    PUBACK,
    SUBSCRIBE = 8,
    SUBACK,
    PINGRESP = 13,
    DISCONNECT
};

#define CLEAN_SESSION 2   /* of CONNECT's flags (3.1.2.4) */
#define SESSION_PRESENT 1 /* of CONNACK's flags (3.2.2.2) */

#define PACKET_IDS 65535 /* 16 bits, and 0 is none (2.3.1) */
#define KEEP_ALIVE_S 0   /* none: a run is short */

static size_t put_length(unsigned char *to, size_t length)
{
    size_t used = 0;
    do {
        unsigned char byte = length & 127;
        length >>= 7;
        to[used++] = byte | (length ? 128 : 0);
    } while (length);
    return used;
}

static size_t put_text(unsigned char *to, const char *text, size_t size)
{
    to[0] = (unsigned char)(size >> 8);
    to[1] = (unsigned char)size;
    memcpy(to + 2, text, size);
    return size + 2;
}

static void mqtt_begin(struct conn *c)
{
    bool kept = options.protocol->keeps && c->user->receives;
    unsigned char packet[128] = {
        CONNECT << 4, 0, 0, 4, 'M', 'Q', 'T', 'T', 4, kept ? 0 : CLEAN_SESSION, 0, KEEP_ALIVE_S};
    size_t size = 12 + put_text(packet + 12, c->user->name, strlen(c->user->name));
    packet[1] = (unsigned char)(size - 2);
    conn_write(c, packet, size);
}

static void subscribe(struct conn *c)
{
    unsigned char packet[128] = {SUBSCRIBE << 4 | 2, 0, 0, 1};
    size_t size = 4 + put_text(packet + 4, c->user->name, strlen(c->user->name));
    packet[size++] = options.protocol->acks ? 1 : 0;
    packet[1] = (unsigned char)(size - 2);
    conn_write(c, packet, size);
}

static void arrived(struct conn *c, unsigned char first, const unsigned char *data, size_t size)
{
    size_t topic = (size_t)data[0] << 8 | data[1], at = 2 + topic;
    if (first & 6) {
        unsigned char ack[4] = {PUBACK << 4, 2, data[at], data[at + 1]};
        conn_write(c, ack, sizeof ack);
        at += 2;
    }
    if (at > size)
        die("%s: a malformed PUBLISH", c->user->name);
    message_arrived(c, (const char *)data + at, size - at);
}

static void packet(struct conn *c, unsigned char first, const unsigned char *data, size_t size,
                   uint64_t *stored)
{
    switch (first >> 4) {
    case CONNACK:
        if (size != 2 || data[1])
            die("%s: the server refuses the connection: %d", c->user->name, data[1]);
        if (c->user->receives && !(data[0] & SESSION_PRESENT))
            subscribe(c);
        else
            conn_ready(c);
        break;
    case SUBACK:
        if (size != 3 || data[2] > 1)
            die("%s: the server refuses the subscription", c->user->name);
        conn_ready(c);
        break;
    case PUBACK: ++*stored; break;
    case PUBLISH: arrived(c, first, data, size); break;
    case PINGRESP: break;
    default: die("%s: an unexpected packet of type %d", c->user->name, first >> 4);
    }
}

/* The length behind a packet's first byte; 0 when it is not whole, else its own size. */
static size_t get_length(const unsigned char *at, size_t room, size_t *length)
{
    *length = 0;
    for (size_t used = 0; used < 4 && used < room; used++) {
        *length |= (size_t)(at[used] & 127) << (7 * used);
        if (!(at[used] & 128))
            return used + 1;
    }
    return 0;
}

static size_t mqtt_take(struct conn *c, const char *data, size_t size)
{
    const unsigned char *start = (const unsigned char *)data;
    size_t at = 0, length;
    uint64_t stored = 0;
    while (c->fd >= 0 && at + 2 <= size) {
        size_t head = get_length(start + at + 1, size - at - 1, &length);
        if (!head || size - at - 1 - head < length)
            break;
        packet(c, start[at], start + at + 1 + head, length, &stored);
        at += 1 + head + length;
    }
    if (stored)
        message_done(c, stored);
    return at;
}

static void mqtt_put(struct conn *c, const struct user *to, const char *body, size_t size)
{
    const char *topic = to->name;
    bool acks = options.protocol->acks;
    size_t topic_size = strlen(topic);
    unsigned char *place = (unsigned char *)conn_room(c, size + topic_size + 16);
    size_t at = 1;
    place[0] = PUBLISH << 4 | (acks ? 2 : 0);
    at += put_length(place + 1, 2 + topic_size + (acks ? 2 : 0) + size);
    at += put_text(place + at, topic, topic_size);
    if (acks) {
        c->n = c->n % PACKET_IDS + 1;
        place[at++] = (unsigned char)(c->n >> 8);
        place[at++] = (unsigned char)c->n;
    }
    memcpy(place + at, body, size);
    conn_used(c, at + size);
}

static void mqtt_leave(struct conn *c)
{
    static const unsigned char packet[2] = {DISCONNECT << 4, 0};
    conn_write(c, packet, sizeof packet);
}

const struct protocol mqtt0 = {
    .name = "mqtt0", .uses = PAIRS, .begin = mqtt_begin, .take = mqtt_take, .put = mqtt_put};
const struct protocol mqtt1 = {.name = "mqtt1",
                               .uses = PAIRS,
                               .acks = true,
                               .confirms = true,
                               .most_unanswered = PACKET_IDS,
                               .begin = mqtt_begin,
                               .take = mqtt_take,
                               .put = mqtt_put};
const struct protocol mqtt_persistent = {.name = "mqtt1",
                                         .uses = OFFLINE | DAY,
                                         .acks = true,
                                         .confirms = true,
                                         .keeps = true,
                                         .most_unanswered = PACKET_IDS,
                                         .begin = mqtt_begin,
                                         .take = mqtt_take,
                                         .put = mqtt_put,
                                         .leave = mqtt_leave};
