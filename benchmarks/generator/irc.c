/* IRC (RFC 2812): NICK, USER, welcome; then PRIVMSG to the other's nickname. Nothing is
 * acknowledged. */
#include <stdio.h>
#include <string.h>

#include "gen.h"

static void irc_begin(struct conn *c)
{
    conn_print(c, "NICK %s\r\nUSER bench 0 * :bench\r\n", c->name);
}

static void fatal(struct conn *c, const char *line, size_t size)
{
    die("%s: %.*s", c->name, (int)size, line);
}

/* ":server 376 s1 :End of MOTD": the three digits behind the first word. */
static void login(struct conn *c, const char *line, size_t size)
{
    const char *space = memchr(line, ' ', size);
    if (STARTS(line, size, "PING "))
        conn_print(c, "PONG %.*s\r\n", (int)(size - 5), line + 5);
    else if (STARTS(line, size, "ERROR"))
        fatal(c, line, size);
    else if (space && (size_t)(space - line) + 4 < size) {
        const char *code = space + 1;
        if (!memcmp(code, "376", 3) || !memcmp(code, "422", 3))
            conn_ready(c);
        else if (code[0] == '4' && code[3] == ' ')
            fatal(c, line, size);
    }
}

static void active(struct conn *c, const char *line, size_t size)
{
    const char *command = memchr(line, ' ', size);
    if (command && STARTS(command, size - (size_t)(command - line), " PRIVMSG ")) {
        command += sizeof " PRIVMSG " - 1;
        const char *text = memchr(command, ':', size - (size_t)(command - line));
        if (!text || !c->pair)
            fatal(c, line, size);
        message_arrived(c, text + 1, size - (size_t)(text + 1 - line));
    } else if (STARTS(line, size, "PING ")) {
        conn_print(c, "PONG %.*s\r\n", (int)(size - 5), line + 5);
    } else if (!command || !STARTS(command, size - (size_t)(command - line), " MODE ")) {
        fatal(c, line, size);
    }
}

static size_t irc_take(struct conn *c, const char *data, size_t size)
{
    const char *at = data, *end;
    while (c->fd >= 0 && (end = memchr(at, '\n', size - (size_t)(at - data)))) {
        size_t length = (size_t)(end - at);
        if (length && at[length - 1] == '\r')
            length--;
        if (c->ready)
            active(c, at, length);
        else
            login(c, at, length);
        at = end + 1;
    }
    return (size_t)(at - data);
}

static void irc_put(struct conn *c, const char *body, size_t size)
{
    char *place = conn_room(c, size + 64);
    int head = sprintf(place, "PRIVMSG %s :", c->pair->receiver->address);
    memcpy(place + head, body, size);
    memcpy(place + head + size, "\r\n", 2);
    conn_used(c, (size_t)head + size + 2);
}

const struct protocol irc = {.name = "irc", .begin = irc_begin, .take = irc_take, .put = irc_put};
