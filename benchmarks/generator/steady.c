/* The workloads in which everybody stays: full windows, a schedule, idle connections; and logins
 * one after another. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "gen.h"

#define PATIENCE (4 * SECOND) /* without any progress: what is missing then is lost */

static struct pair *pairs;

struct pair *pairs_enter(void)
{
    struct user *senders = users_make(options.pairs, "s", false);
    struct user *receivers = users_make(options.pairs, "r", true);
    pairs = pairs_make(options.pairs);
    for (unsigned i = 0; i < options.pairs; i++) {
        pair_join(&pairs[i], &senders[i], &receivers[i]);
        user_enter(&receivers[i]);
        if (i == 0)
            wait_logins(0); /* it may have something to prepare for all */
    }
    wait_logins(0);
    for (unsigned i = 0; i < options.pairs; i++)
        user_enter(&senders[i]);
    wait_logins(0);
    fprintf(stderr, "%u pairs %s\n", options.pairs, tls_name(senders[0].conn));
    return pairs;
}

static void fill_window(struct user *sender)
{
    while (sender->sent - sender->done < options.window)
        send_now(sender->pairs, 0);
}

void run_throughput(void)
{
    pairs_enter();
    for (unsigned round = 1; round <= options.rounds; round++) {
        has_room = fill_window;
        for (unsigned i = 0; i < options.pairs; i++)
            fill_window(pairs[i].sender);
        loop_until(now_ns() + seconds_ns(options.warm_s));
        struct reading from = take_reading();
        loop_until(from.time + seconds_ns(options.measure_s));
        struct reading to = take_reading();
        has_room = NULL;
        settle(&count_done, PATIENCE);
        settle(&count_arrived, PATIENCE);
        double seconds = print_round(round, &from, &to);
        /* A server that answers faster than it delivers would only fill its queues. */
        uint64_t done = to.done - from.done, arrived = to.arrived - from.arrived;
        printf(",\"rate\":%.1f", (double)(done < arrived ? done : arrived) / seconds);
        end_round();
    }
}

void run_latency(void)
{
    pairs_enter();
    has_room = send_backlog;
    for (unsigned round = 1; round <= options.rounds; round++) {
        struct schedule s = schedule_start(options.rate);
        uint64_t begin = s.start + seconds_ns(options.warm_s);
        uint64_t end = begin + seconds_ns(options.measure_s);
        lateness_from(begin, end);
        struct reading from = take_reading();
        while (s.due < end) {
            for (uint64_t now = now_ns(); s.due <= now && s.due < end; schedule_next(&s))
                send_due(&pairs[s.number % options.pairs], s.due);
            loop_turn(s.due);
        }
        struct reading to = take_reading();
        settle(&count_done, PATIENCE);
        settle(&count_arrived, PATIENCE);
        print_round(round, &from, &to);
        print_lateness();
        printf(",\"offered\":%.1f", options.rate);
        end_round();
    }
}

/* Open connections in steps, and wait after each for a line: meanwhile memory is read. */
void run_idle(void)
{
    unsigned open = 0;
    for (const char *at = options.idle; at && *at;) {
        char *end;
        unsigned wanted = (unsigned)strtoul(at, &end, 10);
        if (end == at)
            die("--idle wants numbers with commas");
        at = *end == ',' ? end + 1 : end;
        struct user *more = wanted > open ? users_make(wanted - open, "l", true) : NULL;
        for (struct user *u = more; open < wanted; u++) {
            user_name(u, "l", open++);
            u->alone = true;
            user_enter(u);
        }
        wait_logins(0);
        printf("{\"event\":\"idle\",\"connections\":%u}\n", open);
        fflush(stdout);
        char line[8];
        if (read(STDIN_FILENO, line, sizeof line) <= 0)
            return;
    }
}

/* Log in under a new name: the server may not have seen yet that the last one has gone. */
static void enter_anew(struct user *u)
{
    static unsigned next;
    if (u->conn)
        conn_close(u->conn);
    user_name(u, "l", next++);
    user_enter(u);
}

void run_logins(void)
{
    struct user *users = users_make(options.logins_at_once, "l", false);
    has_entered = enter_anew;
    for (unsigned i = 0; i < options.logins_at_once; i++) {
        users[i].alone = true;
        enter_anew(&users[i]);
    }
    for (unsigned round = 1; round <= options.rounds; round++) {
        loop_until(now_ns() + seconds_ns(options.warm_s));
        struct reading from = take_reading();
        unsigned made = logins_made;
        loop_until(from.time + seconds_ns(options.measure_s));
        struct reading to = take_reading();
        double seconds = print_round(round, &from, &to);
        printf(",\"rate\":%.1f", (double)(logins_made - made) / seconds);
        end_round();
    }
}
