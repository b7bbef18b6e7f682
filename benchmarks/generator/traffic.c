/* Messages: what stands in them, who sends them to whom, which have arrived, and how late. Every
 * body begins with its pair, its number within the pair and when it was due, so that a message
 * which is lost, doubled, misdirected or out of order shows. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gen.h"

#define FIRST_ROOM 64 /* of what grows by doubling */

uint64_t count_sent, count_done, count_arrived;
void (*has_room)(struct user *sender);

static struct pair *pairs;
static unsigned pair_count;
static char body[MOST_BODY + 1];
static uint64_t count_doubled, count_disordered, count_wrong; /* wrong: damaged, or misdirected */
static struct hist *lateness;     /* of arrivals; NULL: nothing is timed */
static struct hist *own_lateness; /* of sending: no server has a part in it */
static uint64_t due_from, due_to;

/* --- pairs -------------------------------------------------------------------------------- */

struct pair *pairs_make(unsigned count)
{
    memset(body, 'x', sizeof body - 1);
    pair_count = count;
    return pairs = zeroed(count, sizeof *pairs);
}

/* A sender's pairs are joined one after another: they lie side by side. */
void pair_join(struct pair *p, struct user *sender, struct user *receiver)
{
    p->sender = sender;
    p->receiver = receiver;
    if (!sender->pair_count++)
        sender->pairs = p;
}

static void digits(char *place, unsigned count, uint64_t value)
{
    while (count--) {
        place[count] = (char)('0' + value % 10);
        value /= 10;
    }
}

static uint64_t number(const char *place, unsigned count)
{
    uint64_t value = 0;
    while (count--)
        value = value * 10 + (uint64_t)(*place++ - '0');
    return value;
}

/* --- sending ------------------------------------------------------------------------------ */

void send_now(struct pair *p, uint64_t due)
{
    p->sent++;
    p->sender->sent++;
    count_sent++;
    digits(body, PAIR_DIGITS, (uint64_t)(p - pairs));
    digits(body + PAIR_DIGITS, NUMBER_DIGITS, p->sent);
    digits(body + PAIR_DIGITS + NUMBER_DIGITS, DUE_DIGITS, due);
    options.protocol->put(p->sender->conn, p->receiver, body, options.body);
}

static bool is_timed(uint64_t due) { return lateness && due >= due_from && due < due_to; }

static bool may_send(const struct user *sender)
{
    unsigned most = options.protocol->most_unanswered;
    return !most || sender->sent - sender->done < most;
}

void send_due(struct pair *p, uint64_t due)
{
    struct backlog *b = &p->sender->backlog;
    if (is_timed(due))
        hist_add(own_lateness, now_ns() - due);
    if (b->at == b->size && may_send(p->sender)) {
        send_now(p, due);
        return;
    }
    if (b->at == b->size)
        b->at = b->size = 0;
    if (b->size == b->room) {
        b->room = b->room ? 2 * b->room : FIRST_ROOM;
        b->items = resized(b->items, b->room * sizeof *b->items);
    }
    b->items[b->size++] = (struct delayed){p, due};
}

void send_backlog(struct user *sender)
{
    struct backlog *b = &sender->backlog;
    while (b->at < b->size && may_send(sender)) {
        struct delayed next = b->items[b->at++];
        send_now(next.pair, next.due);
    }
}

bool is_idle(const struct user *sender)
{
    bool answered = !options.protocol->acks || sender->done == sender->sent;
    return answered && sender->backlog.at == sender->backlog.size;
}

static void user_done(struct user *sender, uint64_t count)
{
    sender->done += count;
    count_done += count;
    if (has_room)
        has_room(sender);
}

void message_done(struct conn *sender, uint64_t count) { user_done(sender->user, count); }

/* --- arriving ----------------------------------------------------------------------------- */

void message_disordered(void) { count_disordered++; }

/* The pair whose message this is; NULL when it is not for this receiver, or was never sent. */
static struct pair *pair_of(const struct user *receiver, const char *text, size_t size)
{
    if (size != options.body)
        return NULL;
    uint64_t index = number(text, PAIR_DIGITS);
    struct pair *p = index < pair_count ? &pairs[index] : NULL;
    uint64_t n = number(text + PAIR_DIGITS, NUMBER_DIGITS);
    return p && p->receiver == receiver && n && n <= p->sent ? p : NULL;
}

/* Mark a number as arrived; give whether it was not marked before. */
static bool first_time(struct pair *p, uint64_t n)
{
    size_t at = (size_t)(n / 8);
    if (at >= p->seen_room) {
        size_t room = p->seen_room ? p->seen_room : FIRST_ROOM;
        while (at >= room)
            room *= 2;
        p->seen = resized(p->seen, room);
        memset(p->seen + p->seen_room, 0, room - p->seen_room);
        p->seen_room = room;
    }
    unsigned char bit = (unsigned char)(1u << n % 8);
    bool first = !(p->seen[at] & bit);
    p->seen[at] |= bit;
    return first;
}

/* What waited for its receiver's return is late by its receiver, not by the server. */
static void note_lateness(const struct user *receiver, uint64_t due)
{
    if (is_timed(due) && due >= receiver->since)
        hist_add(lateness, now_ns() - due);
}

void message_arrived(struct conn *c, const char *text, size_t size)
{
    c->confirm = true;
    struct pair *p = pair_of(c->user, text, size);
    uint64_t n = p ? number(text + PAIR_DIGITS, NUMBER_DIGITS) : 0;
    if (!p || !first_time(p, n)) {
        *(p ? &count_doubled : &count_wrong) += 1;
        return;
    }
    if (n < p->last)
        message_disordered();
    else
        p->last = n;
    count_arrived++;
    note_lateness(c->user, number(text + PAIR_DIGITS + NUMBER_DIGITS, DUE_DIGITS));
    if (!options.protocol->acks)
        user_done(p->sender, 1);
}

void lateness_from(uint64_t from, uint64_t to)
{
    if (!lateness) {
        lateness = hist_new();
        own_lateness = hist_new();
    }
    hist_clear(lateness);
    hist_clear(own_lateness);
    due_from = from;
    due_to = to;
}

uint64_t settle(const uint64_t *count, uint64_t patience)
{
    uint64_t seen = *count, since = now_ns();
    while (*count < count_sent && now_ns() - since < patience) {
        loop_turn(now_ns() + SECOND / 10);
        if (*count != seen) {
            seen = *count;
            since = now_ns();
        }
    }
    return since;
}

/* --- schedules ---------------------------------------------------------------------------- */

struct schedule schedule_start(double rate)
{
    uint64_t now = now_ns();
    return (struct schedule){now, now, 0, rate};
}

void schedule_next(struct schedule *s)
{
    s->number++;
    s->due = s->start + (uint64_t)((double)s->number * SECOND / s->rate);
}

/* --- results ------------------------------------------------------------------------------ */

struct reading take_reading(void)
{
    return (struct reading){now_ns(),      count_sent, count_done,
                            count_arrived, cpu_s(),    server_cpu_s()};
}

double print_round(unsigned round, const struct reading *from, const struct reading *to)
{
    double seconds = (double)(to->time - from->time) / SECOND;
    printf("{\"event\":\"round\",\"round\":%u,\"seconds\":%.4f,\"sent\":%llu,\"done\":%llu,"
           "\"arrived\":%llu,\"share\":%.4f,\"server_share\":%.4f",
           round, seconds, (unsigned long long)(to->sent - from->sent),
           (unsigned long long)(to->done - from->done),
           (unsigned long long)(to->arrived - from->arrived), (to->cpu - from->cpu) / seconds,
           (to->server_cpu - from->server_cpu) / seconds);
    return seconds;
}

void print_lateness(void)
{
    static const struct {
        const char *name;
        double percent;
    } points[] = {{"p50_ms", 50}, {"p90_ms", 90}, {"p99_ms", 99}, {"p999_ms", 99.9}};
    printf(",\"samples\":%llu", (unsigned long long)hist_count(lateness));
    for (size_t i = 0; i < sizeof points / sizeof *points; i++)
        printf(",\"%s\":%.4f", points[i].name, (double)hist_at(lateness, points[i].percent) / 1e6);
    printf(",\"max_ms\":%.4f,\"sent_p99_ms\":%.4f", (double)hist_max(lateness) / 1e6,
           (double)hist_at(own_lateness, 99) / 1e6);
}

void print_lateness_counts(void)
{
    printf(",\"lateness_ns\":");
    hist_print(lateness);
}

void end_round(void)
{
    uint64_t lost = count_sent - count_arrived;
    printf(",\"lost\":%llu,\"doubled\":%llu,\"disordered\":%llu,\"wrong\":%llu}\n",
           (unsigned long long)lost, (unsigned long long)count_doubled,
           (unsigned long long)count_disordered, (unsigned long long)count_wrong);
    fflush(stdout);
    if (lost)
        exit(3);
}
