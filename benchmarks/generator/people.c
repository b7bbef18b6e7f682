/* Who is here: logging in, so many at once, watching each other, and leaving again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gen.h"

#define STALLED (30 * SECOND) /* the machine may be slow, but something has to happen */

void (*has_entered)(struct user *u);
unsigned logins_made;

static unsigned logins_open, leaving, asking;

void user_name(struct user *u, const char *prefix, unsigned index)
{
    u->index = index;
    snprintf(u->name, sizeof u->name, "%s%u", prefix, index);
    snprintf(u->address, sizeof u->address, "%s", u->name);
}

struct user *users_make(unsigned count, const char *prefix, bool receive)
{
    struct user *users = zeroed(count, sizeof *users);
    for (unsigned i = 0; i < count; i++) {
        user_name(&users[i], prefix, i);
        users[i].receives = receive;
    }
    return users;
}

bool is_here(const struct user *u) { return u->conn && u->conn->ready && !u->conn->leaving; }

/* Wait until at most so many of what is counted are left. */
static void wait_for(const unsigned *count, unsigned most, const char *what)
{
    unsigned seen = *count;
    uint64_t since = now_ns();
    while (*count > most) {
        loop_turn(now_ns() + SECOND);
        if (seen != *count) {
            seen = *count;
            since = now_ns();
        }
        if (now_ns() - since > STALLED)
            die("%u %s get no answer", *count, what);
    }
}

void wait_logins(unsigned most) { wait_for(&logins_open, most, "logins"); }

bool logins_full(void) { return logins_open >= options.logins_at_once; }

void wait_leavers(void) { wait_for(&leaving, 0, "of those who leave"); }

void user_enter(struct user *u)
{
    wait_logins(options.logins_at_once - 1);
    logins_open++;
    conn_open(u);
}

void conn_ready(struct conn *c)
{
    if (c->ready)
        return;
    c->ready = true;
    c->user->known = true;
    c->user->since = now_ns();
    logins_open--;
    logins_made++;
    if (has_entered)
        has_entered(c->user);
}

void user_leave(struct user *u)
{
    if (!options.protocol->leave) {
        conn_close(u->conn);
        return;
    }
    options.protocol->leave(u->conn);
    u->conn->leaving = true;
    leaving++;
}

void conn_gone(struct conn *c)
{
    leaving--;
    conn_close(c);
}

void user_watch(struct user *u, const struct user *other)
{
    if (!options.protocol->watch)
        return;
    options.protocol->watch(u->conn, other);
    asking++;
}

void watch_granted(void) { asking--; }

void wait_watchers(void) { wait_for(&asking, 0, "of those who want to watch others"); }
