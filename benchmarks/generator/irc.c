/* IRC (RFC 2812): NICK, USER, welcome; then PRIVMSG to the other's nickname. Nothing is
 * acknowledged, and nothing waits for those who are away. By day it asks for presence by ISON. */
#include <stdio.h>
#include <string.h>

#include "gen.h"

static void irc_begin(struct conn *c)
{
    conn_print(c, "NICK %s\r\nUSER bench 0 * :bench\r\n", c->user->name);
}

static void fatal(struct conn *c, const char *line, size_t size)
{
    die("%s: %.*s", c->user->name, (int)size, line);
}

/* Ask once, at the login, which of those that it writes to are here: nothing tells it of changes.
 */
static void ask_presence(struct conn *c)
{
    conn_print(c, "ISON");
    for (unsigned i = 0; i < c->user->pair_count; i++)
        conn_print(c, " %s", c->user->pairs[i].receiver->name);
    conn_print(c, "\r\n");
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
        if (!memcmp(code, "376", 3) || !memcmp(code, "422", 3)) {
            if (c->user->pair_count && options.use == DAY)
                ask_presence(c);
            conn_ready(c);
        } else if (code[0] == '4' && code[3] == ' ')
            fatal(c, line, size);
    }
}

/* What may come beside messages: by day who is here (303), and that somebody has left (401). */
static bool is_news(const char *command, size_t size)
{
    return STARTS(command, size, " MODE ") ||
           (options.use == DAY &&
            (STARTS(command, size, " 303 ") || STARTS(command, size, " 401 ")));
}

static void active(struct conn *c, const char *line, size_t size)
{
    const char *command = memchr(line, ' ', size);
    if (command && STARTS(command, size - (size_t)(command - line), " PRIVMSG ")) {
        command += sizeof " PRIVMSG " - 1;
        const char *text = memchr(command, ':', size - (size_t)(command - line));
        if (!text)
            fatal(c, line, size);
        message_arrived(c, text + 1, size - (size_t)(text + 1 - line));
    } else if (STARTS(line, size, "PING ")) {
        conn_print(c, "PONG %.*s\r\n", (int)(size - 5), line + 5);
    } else if (!c->leaving && (!command || !is_news(command, size - (size_t)(command - line)))) {
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

static void irc_put(struct conn *c, const struct user *to, const char *body, size_t size)
{
    char *place = conn_room(c, size + 64);
    int head = sprintf(place, "PRIVMSG %s :", to->address);
    memcpy(place + head, body, size);
    memcpy(place + head + size, "\r\n", 2);
    conn_used(c, (size_t)head + size + 2);
}

static void irc_leave(struct conn *c) { conn_print(c, "QUIT\r\n"); }

/* Real clients write a line a record. ngIRCd reads 2,048 bytes at a time and never looks at what
 * GnuTLS has decrypted beyond: the rest of a longer record waits for the client's next one. */
const struct protocol irc = {.name = "irc",
                             .uses = PAIRS | DAY,
                             .most_record = 2048,
                             .begin = irc_begin,
                             .take = irc_take,
                             .put = irc_put,
                             .leave = irc_leave};
