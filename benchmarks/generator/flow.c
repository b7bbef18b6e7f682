/* A load that goes on: pairs that send on one schedule, beside connections that are only held.
 * Intervals (--rounds of --measure) follow each other without a pause and are reported one by one,
 * so that a stall is seen where it was; no due time is ever moved. --warm comes once before them,
 * and --idle says how many connections are held: the first of the accounts are theirs. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "gen.h"

#define PATIENCE (4 * SECOND) /* without any progress: what is missing then is lost */
#define HOLD_STEP 1000        /* connections between two reports: a few seconds of logins */
#define REST (SECOND / 2)     /* what a login left behind is freed before memory is read */

static struct pair *pairs;
static uint64_t lag;    /* by how much a message was sent too late, through us */
static uint64_t waited; /* messages that waited for room in the window, through the server */

/* Log the held connections in; report after each step, when the server has come to rest. */
static void hold(unsigned wanted)
{
    struct user *users = users_make(wanted, "l", true);
    for (unsigned open = 0; open < wanted;) {
        unsigned stop = open + HOLD_STEP < wanted ? open + HOLD_STEP : wanted;
        uint64_t from = now_ns();
        for (; open < stop; open++) {
            users[open].alone = true;
            user_enter(&users[open]);
        }
        wait_logins(0);
        double seconds = (double)(now_ns() - from) / SECOND;
        loop_until(now_ns() + REST);
        printf("{\"event\":\"held\",\"connections\":%u,\"seconds\":%.4f}\n", open, seconds);
        fflush(stdout);
    }
}

static void send_next(struct schedule *s, uint64_t now)
{
    struct pair *p = &pairs[s->number % options.pairs];
    send_due(p, s->due);
    if (p->sender->backlog.at < p->sender->backlog.size)
        waited++;
    else if (now - s->due > lag)
        lag = now - s->due;
    schedule_next(s);
}

static void flow_until(struct schedule *s, uint64_t end)
{
    lag = waited = 0;
    while (s->due < end) {
        for (uint64_t now = now_ns(); s->due <= now && s->due < end;)
            send_next(s, now);
        loop_turn(s->due < end ? s->due : end);
    }
}

/* An arrival counts in the interval in which it comes, and its lateness from when it was due. The
 * last interval also has what comes after its end: nothing is due any more then. */
void run_flow(void)
{
    pairs = pairs_enter();
    if (options.idle)
        hold((unsigned)strtoul(options.idle, NULL, 10));
    has_room = send_backlog;
    struct schedule s = schedule_start(options.rate);
    uint64_t begin = s.start + seconds_ns(options.warm_s), end = begin;
    lateness_from(begin, UINT64_MAX);
    flow_until(&s, begin);
    struct reading from = take_reading();
    for (unsigned interval = 1; interval <= options.rounds; interval++) {
        end += seconds_ns(options.measure_s);
        flow_until(&s, end);
        struct reading to = take_reading();
        if (interval == options.rounds) {
            settle(&count_done, PATIENCE);
            settle(&count_arrived, PATIENCE);
        }
        print_round(interval, &from, &to);
        printf(",\"lag_ms\":%.4f,\"waited\":%llu", (double)lag / 1e6, (unsigned long long)waited);
        print_lateness_counts();
        if (interval == options.rounds)
            end_round();
        else
            printf(",\"lost\":0,\"wrong\":0}\n"); /* known at the end */
        fflush(stdout);
        lateness_from(begin, UINT64_MAX);
        from = to;
    }
    char line[8];
    while (read(STDIN_FILENO, line, sizeof line) > 0)
        ; /* until it is closed the connections can be counted at the server */
}
