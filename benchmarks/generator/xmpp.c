/* XMPP (RFC 6120, 6121): SASL, bind, then <message/>. Nothing is acknowledged. TLS begins with the
 * connection (XEP-0368), as with every other protocol here. Pairs log in anonymously and write to
 * full addresses. Those who come and go have accounts, and show presence: that is what offline
 * messages and rosters are for. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "gen.h"

#define DOMAIN "localhost"
#define MEMBERS                                                                                    \
    "members.localhost" /* where accounts have been made before, all with one password */
#define PASSWORD "bench"
#define NAME_MOST 24 /* of the names of stanzas that are looked at */

enum step { OFFERED, AUTHENTICATING, BINDABLE, BINDING, ACTIVE };

static bool is_member(void) { return options.use != PAIRS; }

static void open_stream(struct conn *c)
{
    conn_print(c,
               "<?xml version='1.0'?><stream:stream to='%s' version='1.0' "
               "xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>",
               is_member() ? MEMBERS : DOMAIN);
}

static void xmpp_begin(struct conn *c) { open_stream(c); }

/* --- logging in --------------------------------------------------------------------------- */

static void authenticate(struct conn *c)
{
    char plain[NAME_ROOM + sizeof PASSWORD + 2];
    unsigned char text[2 * sizeof plain];
    if (!is_member()) {
        conn_print(c, "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='ANONYMOUS'/>");
        return;
    }
    int size = snprintf(plain, sizeof plain, "%c%s%c" PASSWORD, 0, c->user->name, 0);
    EVP_EncodeBlock(text, (unsigned char *)plain, size);
    conn_print(c, "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>%s</auth>",
               text);
}

/* Pairs are written to by the address with its resource, members by that without. */
static void keep_address(struct conn *c, const char *data, size_t size)
{
    const char *at = FIND(data, size, "<jid>");
    const char *end = at ? FIND(at, size - (size_t)(at - data), "</jid>") : NULL;
    if (!end || end - at - 5 >= ADDRESS_ROOM)
        die("%s: no address in %.*s", c->user->name, (int)size, data);
    const char *slash = is_member() ? memchr(at, '/', (size_t)(end - at)) : NULL;
    snprintf(c->user->address, ADDRESS_ROOM, "%.*s", (int)((slash ? slash : end) - at - 5), at + 5);
}

/* As a client does: the roster, by day, for changes of it go only to those who have asked; and
 * presence, upon which those messages come that have waited. */
static void appear(struct conn *c)
{
    if (options.use == DAY)
        conn_print(c, "<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq>");
    if (is_member() && c->user->receives)
        conn_print(c, "<presence/>");
}

/* Each step waits for one text, and answers it; give how many bytes that was. */
static size_t login(struct conn *c, const char *data, size_t size)
{
    static const char *const awaited[] = {"</stream:features>", "<success", "</stream:features>",
                                          "</iq>"};
    const char *found = find(data, size, awaited[c->step], strlen(awaited[c->step]));
    if (FIND(data, size, "<failure") || FIND(data, size, "stream:error") ||
        FIND(data, size, "type='error'"))
        die("%s: %.*s", c->user->name, (int)size, data);
    if (!found)
        return 0;
    const char *end = memchr(found, '>', size - (size_t)(found - data));
    if (!end)
        return 0;
    switch (c->step++) {
    case OFFERED: authenticate(c); break;
    case AUTHENTICATING: open_stream(c); break;
    case BINDABLE:
        conn_print(c,
                   "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
                   "<resource>%s</resource></bind></iq>",
                   c->user->name);
        break;
    case BINDING:
        keep_address(c, data, size);
        appear(c);
        conn_ready(c);
        break;
    }
    return (size_t)(end + 1 - data);
}

/* --- stanzas ------------------------------------------------------------------------------ */

/* The size of the element at `at`, which holds none of its own name; 0 when it is not whole.
 * Between elements there may be white space. */
static size_t stanza_size(const char *at, size_t size)
{
    const char *head = memchr(at, '>', size);
    if (*at != '<')
        return 1;
    if (!head)
        return 0;
    size_t length = strcspn(at + 1, " />");
    if (head[-1] == '/' || at[1] == '/' || length > NAME_MOST)
        return (size_t)(head + 1 - at);
    char end[NAME_MOST + 4];
    int end_size = snprintf(end, sizeof end, "</%.*s>", (int)length, at + 1);
    const char *found = find(head, size - (size_t)(head - at), end, (size_t)end_size);
    return found ? (size_t)(found - at) + (size_t)end_size : 0;
}

/* The value of an attribute of the stanza at `at`; NULL when it has none of that name. */
static const char *attribute(const char *at, size_t size, const char *name, int *length)
{
    char start[NAME_MOST];
    const char *head = memchr(at, '>', size);
    int start_size = snprintf(start, sizeof start, " %s=", name);
    const char *found = find(at, (size_t)(head - at), start, (size_t)start_size);
    if (!found)
        return NULL;
    const char *value = found + start_size + 1; /* behind the quote, of either kind */
    const char *end = memchr(value, value[-1], (size_t)(head - value));
    *length = (int)(end ? end - value : 0);
    return value;
}

static bool is_of_type(const char *at, size_t size, const char *type)
{
    int length;
    const char *value = attribute(at, size, "type", &length);
    return value && (size_t)length == strlen(type) && !memcmp(value, type, (size_t)length);
}

/* XEP-0184: tell the sender that it has arrived. */
static void confirm(struct conn *c, const char *at, size_t size)
{
    int from_size, id_size;
    const char *from = attribute(at, size, "from", &from_size);
    const char *id = attribute(at, size, "id", &id_size);
    if (from && id)
        conn_print(c,
                   "<message to='%.*s' type='chat'>"
                   "<received xmlns='urn:xmpp:receipts' id='%.*s'/></message>",
                   from_size, from, id_size, id);
}

static void message(struct conn *c, const char *at, size_t size)
{
    const char *text = FIND(at, size, "<body>");
    const char *stop = text ? FIND(text, size - (size_t)(text - at), "</body>") : NULL;
    bool failed = is_of_type(at, size, "error");
    if (options.use == DAY && (!stop || failed))
        return; /* a receipt; or the other has just left: if that was a message, it is missed */
    if (!stop || failed)
        die("%s: %.*s", c->user->name, (int)size, at);
    message_arrived(c, text + 6, (size_t)(stop - text - 6));
    if (options.use == DAY && !c->leaving)
        confirm(c, at, size);
}

static void presence(struct conn *c, const char *at, size_t size)
{
    int length;
    const char *from = attribute(at, size, "from", &length);
    if (from && is_of_type(at, size, "subscribed"))
        watch_granted();
    else if (from && is_of_type(at, size, "subscribe"))
        conn_print(c, "<presence to='%.*s' type='subscribed'/>", length, from);
}

/* The answer to a ping: everything up to the number in its id has been taken before it. */
static void answer(struct conn *c, const char *at, size_t size)
{
    int length;
    const char *id = attribute(at, size, "id", &length);
    if (id && options.use == OFFLINE && is_of_type(at, size, "result"))
        message_done(c, strtoull(id, NULL, 10) - c->user->done);
}

static void stanza(struct conn *c, const char *at, size_t size)
{
    if (STARTS(at, size, "<message"))
        message(c, at, size);
    else if (STARTS(at, size, "<presence"))
        presence(c, at, size);
    else if (STARTS(at, size, "<iq"))
        answer(c, at, size);
    else if (*at == '<' && !c->leaving)
        die("%s: %.*s", c->user->name, (int)size, at);
}

static size_t xmpp_take(struct conn *c, const char *data, size_t size)
{
    size_t at = 0;
    while (c->fd >= 0 && at < size) {
        const char *rest = data + at;
        size_t used = c->step == ACTIVE ? stanza_size(rest, size - at) : login(c, rest, size - at);
        if (!used)
            break;
        if (c->step == ACTIVE && c->ready)
            stanza(c, rest, used);
        at += used;
    }
    return at;
}

/* --- sending ------------------------------------------------------------------------------ */

static void xmpp_put(struct conn *c, const struct user *to, const char *body, size_t size)
{
    static const char wanted[] = "<request xmlns='urn:xmpp:receipts'/>";
    char *place = conn_room(c, size + ADDRESS_ROOM + 160);
    int head = sprintf(place, "<message to='%s' type='chat' id='%llu'><body>", to->address,
                       (unsigned long long)c->user->sent);
    memcpy(place + head, body, size);
    int tail =
        sprintf(place + head + size, "</body>%s</message>", options.use == DAY ? wanted : "");
    conn_used(c, (size_t)head + size + (size_t)tail);
}

/* A ping behind the messages of a turn (XEP-0199): a server takes a stream's stanzas in order. */
static void ask(struct conn *c)
{
    if (c->n == c->user->sent)
        return;
    c->n = c->user->sent;
    conn_print(c, "<iq type='get' id='%llu' to='" MEMBERS "'><ping xmlns='urn:xmpp:ping'/></iq>",
               (unsigned long long)c->n);
}

static void xmpp_watch(struct conn *c, const struct user *other)
{
    conn_print(c, "<presence to='%s' type='subscribe'/>", other->address);
}

static void xmpp_leave(struct conn *c) { conn_print(c, "</stream:stream>"); }

const struct protocol xmpp = {
    .name = "xmpp", .uses = PAIRS, .begin = xmpp_begin, .take = xmpp_take, .put = xmpp_put};
const struct protocol xmpp_offline = {.name = "xmpp",
                                      .uses = OFFLINE,
                                      .acks = true,
                                      .keeps = true,
                                      .begin = xmpp_begin,
                                      .take = xmpp_take,
                                      .put = xmpp_put,
                                      .turn = ask,
                                      .leave = xmpp_leave};
const struct protocol xmpp_day = {.name = "xmpp",
                                  .uses = DAY,
                                  .keeps = true,
                                  .begin = xmpp_begin,
                                  .take = xmpp_take,
                                  .put = xmpp_put,
                                  .leave = xmpp_leave,
                                  .watch = xmpp_watch};
