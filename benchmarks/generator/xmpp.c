/* XMPP (RFC 6120): SASL ANONYMOUS, bind, then <message/> to the other's full address. Nothing is
 * acknowledged. TLS begins with the connection (XEP-0368), as with every other protocol here. */
#include <stdio.h>
#include <string.h>

#include "gen.h"

#define DOMAIN "localhost"
#define END "</message>"

enum step { OFFERED, AUTHENTICATING, BINDABLE, BINDING, ACTIVE };

static void open_stream(struct conn *c)
{
    conn_print(c, "<?xml version='1.0'?><stream:stream to='" DOMAIN "' version='1.0' "
                  "xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>");
}

static void xmpp_begin(struct conn *c) { open_stream(c); }

static void keep_address(struct conn *c, const char *data, size_t size)
{
    const char *at = FIND(data, size, "<jid>");
    const char *end = at ? FIND(at, size - (size_t)(at - data), "</jid>") : NULL;
    if (!end || end - at - 5 >= ADDRESS_ROOM)
        die("%s: no address in %.*s", c->name, (int)size, data);
    snprintf(c->address, sizeof c->address, "%.*s", (int)(end - at - 5), at + 5);
}

/* Each step waits for one text, and answers it; give how many bytes that was. */
static size_t login(struct conn *c, const char *data, size_t size)
{
    static const char *const awaited[] = {"</stream:features>", "<success", "</stream:features>",
                                          "</iq>"};
    const char *found = find(data, size, awaited[c->step], strlen(awaited[c->step]));
    if (FIND(data, size, "<failure") || FIND(data, size, "stream:error") ||
        FIND(data, size, "type='error'"))
        die("%s: %.*s", c->name, (int)size, data);
    if (!found)
        return 0;
    const char *end = memchr(found, '>', size - (size_t)(found - data));
    if (!end)
        return 0;
    switch (c->step++) {
    case OFFERED:
        conn_print(c, "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='ANONYMOUS'/>");
        break;
    case AUTHENTICATING:
        open_stream(c);
        break;
    case BINDABLE:
        conn_print(c, "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
                      "<resource>%s</resource></bind></iq>",
                   c->name);
        break;
    case BINDING:
        keep_address(c, data, size);
        conn_ready(c);
        break;
    }
    return (size_t)(end + 1 - data);
}

static void message(struct conn *c, const char *at, size_t size)
{
    const char *text = FIND(at, size, "<body>");
    const char *stop = text ? FIND(text, size - (size_t)(text - at), "</body>") : NULL;
    if (!stop || !c->pair || FIND(at, size, "type='error'") || FIND(at, size, "type=\"error\""))
        die("%s: %.*s", c->name, (int)size, at);
    message_arrived(c, text + 6, (size_t)(stop - text - 6));
}

static size_t xmpp_take(struct conn *c, const char *data, size_t size)
{
    size_t at = 0;
    while (c->fd >= 0 && at < size) {
        const char *rest = data + at;
        size_t left = size - at, used;
        if (c->step != ACTIVE) {
            used = login(c, rest, left);
        } else {
            const char *end = FIND(rest, left, END);
            used = end ? (size_t)(end - rest) + sizeof END - 1 : 0;
            if (used)
                message(c, rest, used);
        }
        if (!used)
            break;
        at += used;
    }
    return at;
}

static void xmpp_put(struct conn *c, const char *body, size_t size)
{
    char *place = conn_room(c, size + ADDRESS_ROOM + 128);
    int head = sprintf(place, "<message to='%s' type='chat' id='%llu'><body>",
                       c->pair->receiver->address, (unsigned long long)c->pair->sent);
    memcpy(place + head, body, size);
    memcpy(place + head + size, "</body></message>", 17);
    conn_used(c, (size_t)head + size + 17);
}

const struct protocol xmpp = {
    .name = "xmpp", .begin = xmpp_begin, .take = xmpp_take, .put = xmpp_put};
