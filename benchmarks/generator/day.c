/* A mixed day: people come and go, and write to each other on a schedule, to some far more than to
 * others. Whatever the server keeps for those who are away has to have arrived when all are back in
 * the evening. */
#include <stdio.h>
#include <stdlib.h>

#include "gen.h"

#define PATIENCE (4 * SECOND)
#define QUIET (SECOND / 2) /* without news of presence for so long, everybody has all of it */
#define CONTACTS 4         /* whom everybody writes to */
#define AWAY_OF 5          /* every fifth is away at any time */
#define SEED 20261128      /* the same day for every system, and in every run */
#define TRIES 10000        /* to find somebody who is fit for it; then it is left out */

static struct user *people;
static struct pair *pairs;
static double *sums; /* of the pairs' weights, each with those of all pairs before it */
static unsigned pair_count;
static struct hist *login_times;
static uint64_t count_to_absent;

/* --- chance ------------------------------------------------------------------------------- */

/* xorshift64*: Vigna, An experimental exploration of Marsaglia's xorshift generators, 2016. */
static double chance(void)
{
    static uint64_t state = SEED;
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (double)(state * 2685821657736338717ull >> 11) / (double)(1ull << 53);
}

static unsigned below(unsigned count) { return (unsigned)(chance() * count); }

/* --- who writes to whom ------------------------------------------------------------------- */

/* Weigh the pairs by Zipf's law, in an order of chance: the n-th has an n-th of the first one's. */
static void weigh(void)
{
    unsigned *ranks = zeroed(pair_count, sizeof *ranks);
    for (unsigned i = 0; i < pair_count; i++) { /* a shuffle from the inside out */
        unsigned j = below(i + 1);
        ranks[i] = ranks[j];
        ranks[j] = i;
    }
    double sum = 0;
    sums = zeroed(pair_count, sizeof *sums);
    for (unsigned i = 0; i < pair_count; i++)
        sums[i] = sum += 1.0 / (ranks[i] + 1);
    free(ranks);
}

/* Somebody else, to whom the sender has no pair yet. */
static struct user *new_contact(const struct user *sender)
{
    for (;;) {
        struct user *other = &people[below(options.pairs)];
        bool known = other == sender;
        for (unsigned i = 0; i < sender->pair_count; i++)
            known |= sender->pairs[i].receiver == other;
        if (!known)
            return other;
    }
}

static void pairs_choose(void)
{
    pair_count = options.pairs * CONTACTS;
    pairs = pairs_make(pair_count);
    for (unsigned i = 0; i < pair_count; i++) {
        struct user *sender = &people[i / CONTACTS];
        pair_join(&pairs[i], sender, new_contact(sender));
    }
    weigh();
}

static struct pair *any_pair(void)
{
    double wanted = chance() * sums[pair_count - 1];
    unsigned low = 0, high = pair_count - 1;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        if (sums[middle] > wanted)
            high = middle;
        else
            low = middle + 1;
    }
    return &pairs[low];
}

/* --- what happens ------------------------------------------------------------------------- */

/* Nobody writes to somebody who is away where the message would only be refused. */
static void write_one(uint64_t due)
{
    for (unsigned i = 0; i < TRIES; i++) {
        struct pair *p = any_pair();
        bool absent = !is_here(p->receiver);
        if (!is_here(p->sender) || (absent && !options.protocol->keeps))
            continue;
        count_to_absent += absent;
        send_due(p, due);
        return;
    }
}

static bool is_away(const struct user *u) { return !u->conn; }

/* Who waits for an answer stays until it comes. */
static bool may_go(const struct user *u) { return is_here(u) && is_idle(u); }

static struct user *somebody(bool (*fit)(const struct user *))
{
    for (unsigned i = 0; i < TRIES; i++) {
        struct user *u = &people[below(options.pairs)];
        if (fit(u))
            return u;
    }
    return NULL;
}

/* One comes and one goes, so that as many are here as before. */
static void change_one(void)
{
    struct user *comes = somebody(is_away), *goes = somebody(may_go);
    if (!comes || !goes || logins_full())
        return;
    user_enter(comes);
    user_leave(goes);
}

static void time_login(struct user *u) { hist_add(login_times, u->since - u->conn->opened); }

/* --- the day ------------------------------------------------------------------------------ */

static void enter_absent(void)
{
    for (unsigned i = 0; i < options.pairs; i++)
        if (is_away(&people[i]))
            user_enter(&people[i]);
    wait_logins(0);
}

/* Everybody gets to know their contacts; then some leave. */
static void morning(void)
{
    people = users_make(options.pairs, "r", true);
    pairs_choose();
    enter_absent();
    fprintf(stderr, "%u people %s\n", options.pairs, tls_name(people[0].conn));
    for (unsigned i = 0; i < pair_count; i++)
        user_watch(pairs[i].sender, pairs[i].receiver);
    wait_watchers();
    loop_rest(QUIET);
    for (unsigned i = 0; i < options.pairs; i += AWAY_OF)
        user_leave(&people[i]);
    wait_leavers();
    loop_rest(QUIET);
}

static void live_until(uint64_t end)
{
    struct schedule messages = schedule_start(options.rate);
    struct schedule changes = schedule_start(options.comings);
    while (messages.due < end) {
        uint64_t now = now_ns();
        for (; changes.due <= now; schedule_next(&changes))
            change_one();
        for (; messages.due <= now && messages.due < end; schedule_next(&messages))
            write_one(messages.due);
        loop_turn(messages.due < changes.due ? messages.due : changes.due);
    }
}

/* Everybody logs in again; give how many messages came only by that. */
static uint64_t count_stranded(void)
{
    uint64_t before = count_arrived;
    for (unsigned i = 0; i < options.pairs; i++)
        user_leave(&people[i]);
    wait_leavers();
    enter_absent();
    settle(&count_arrived, PATIENCE);
    return count_arrived - before;
}

/* All that was sent arrives, also what waited. Give how many messages lay at the server, though
 * their receivers were here, until those logged in once more. */
static uint64_t evening(void)
{
    wait_leavers();
    wait_logins(0);
    enter_absent();
    settle(&count_done, PATIENCE);
    settle(&count_arrived, PATIENCE);
    bool complete = count_arrived == count_sent;
    return complete || !options.protocol->keeps ? 0 : count_stranded();
}

void run_day(void)
{
    if (options.pairs <= CONTACTS)
        die("--mode day needs more than %d people (--pairs)", CONTACTS);
    morning();
    has_room = send_backlog;
    has_entered = time_login;
    login_times = hist_new();
    uint64_t begin = now_ns() + seconds_ns(options.warm_s);
    uint64_t end = begin + seconds_ns(options.measure_s);
    lateness_from(begin, end);
    struct reading from = take_reading();
    live_until(end);
    struct reading to = take_reading();
    has_entered = NULL;
    uint64_t stranded = evening();
    print_round(1, &from, &to);
    print_lateness();
    printf(",\"offered\":%.1f,\"to_absent\":%llu,\"logins\":%llu,\"login_p50_ms\":%.4f,"
           "\"login_p99_ms\":%.4f,\"stranded\":%llu",
           options.rate, (unsigned long long)count_to_absent,
           (unsigned long long)hist_count(login_times), (double)hist_at(login_times, 50) / 1e6,
           (double)hist_at(login_times, 99) / 1e6, (unsigned long long)stranded);
    end_round();
}
