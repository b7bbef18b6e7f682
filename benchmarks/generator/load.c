/* The workloads, the same for every protocol: full windows, a schedule, idle connections,
 * logins. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gen.h"

#define SECOND 1000000000ull
#define STALLED_NS (4 * SECOND)  /* without any progress: what is missing then is lost */
#define LOGIN_STALLED_NS (30 * SECOND)

static struct pair *pairs;
static char body[MOST_BODY + 1];
static bool running;            /* a message that is done makes room for the next one */
static uint64_t count_done, count_arrived, count_sent;
static struct hist *lateness;   /* NULL: bodies carry no due time */
static uint64_t due_from, due_to; /* what was due outside is warm-up */
static unsigned logins_open, logins_made;
static bool logins_again;

/* --- bodies ------------------------------------------------------------------------------- */

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

static void send_one(struct pair *p, uint64_t due)
{
    p->sent++;
    count_sent++;
    digits(body, NUMBER_DIGITS, p->sent);
    digits(body + NUMBER_DIGITS, DUE_DIGITS, due);
    options.protocol->put(p->sender, body, options.body);
}

static void fill_window(struct pair *p)
{
    while (p->sent - p->done < options.window)
        send_one(p, 0);
}

void message_done(struct pair *p, uint64_t count)
{
    p->done += count;
    count_done += count;
    if (running)
        fill_window(p);
}

void message_arrived(struct conn *c, const char *text, size_t size)
{
    struct pair *p = c->pair;
    p->arrived++;
    count_arrived++;
    c->confirm = true;
    if (size != options.body || number(text, NUMBER_DIGITS) != p->arrived)
        p->wrong++;
    if (lateness && size >= LEAST_BODY) {
        uint64_t due = number(text + NUMBER_DIGITS, DUE_DIGITS);
        if (due >= due_from && due < due_to)
            hist_add(lateness, now_ns() - due);
    }
    if (!options.protocol->acks)
        message_done(p, 1);
}

/* --- connecting --------------------------------------------------------------------------- */

/* Wait until no login is under way; the machine is allowed to be slow, not to stand still. */
static void wait_logins(unsigned most)
{
    unsigned seen = logins_made;
    uint64_t since = now_ns();
    while (logins_open > most) {
        loop_turn(now_ns() + SECOND);
        if (seen != logins_made) {
            seen = logins_made;
            since = now_ns();
        }
        if (now_ns() - since > LOGIN_STALLED_NS)
            die("%u logins get no answer", logins_open);
    }
}

static struct conn *enter(const char *prefix, unsigned index, bool receiver, struct pair *pair)
{
    wait_logins(options.logins_at_once - 1);
    logins_open++;
    return conn_open(prefix, index, receiver, pair);
}

static void login_again(void)
{
    static unsigned next;
    logins_open++;
    conn_open("l", next++, false, NULL);
}

void login_done(struct conn *c)
{
    logins_open--;
    logins_made++;
    if (!logins_again)
        return;
    conn_close(c);
    login_again();
}

void pairs_open(void)
{
    pairs = calloc(options.pairs, sizeof *pairs);
    if (!pairs)
        die("out of memory");
    memset(body, 'x', sizeof body - 1);
    for (unsigned i = 0; i < options.pairs; i++) {
        pairs[i].receiver = enter("r", i, true, &pairs[i]);
        if (i == 0)
            wait_logins(0); /* it may have something to prepare for all */
    }
    wait_logins(0);
    for (unsigned i = 0; i < options.pairs; i++)
        pairs[i].sender = enter("s", i, false, &pairs[i]);
    wait_logins(0);
    fprintf(stderr, "%u pairs %s\n", options.pairs, tls_name(pairs[0].sender));
}

/* --- measuring ---------------------------------------------------------------------------- */

struct reading {
    uint64_t time, sent, done, arrived;
    double cpu;
};

static struct reading take_reading(void)
{
    return (struct reading){now_ns(), count_sent, count_done, count_arrived, cpu_s()};
}

static void turn_until(uint64_t end)
{
    while (now_ns() < end)
        loop_turn(end);
}

/* Wait until everything sent is done and has arrived; give how many never did. */
static uint64_t settle(void)
{
    uint64_t seen = 0, since = now_ns();
    while (count_done < count_sent || count_arrived < count_sent) {
        loop_turn(now_ns() + SECOND / 10);
        if (count_done + count_arrived != seen) {
            seen = count_done + count_arrived;
            since = now_ns();
        }
        if (now_ns() - since > STALLED_NS)
            break;
    }
    return count_arrived < count_sent ? count_sent - count_arrived : 0;
}

static uint64_t wrong_ones(void)
{
    uint64_t wrong = 0;
    for (unsigned i = 0; i < options.pairs; i++)
        wrong += pairs[i].wrong;
    return wrong;
}

/* What every result has; the line is left open. */
static double print_round(unsigned round, const struct reading *from, const struct reading *to)
{
    double seconds = (double)(to->time - from->time) / SECOND;
    printf("{\"event\":\"round\",\"round\":%u,\"seconds\":%.4f,\"sent\":%llu,\"done\":%llu,"
           "\"arrived\":%llu,\"share\":%.4f",
           round, seconds, (unsigned long long)(to->sent - from->sent),
           (unsigned long long)(to->done - from->done),
           (unsigned long long)(to->arrived - from->arrived), (to->cpu - from->cpu) / seconds);
    return seconds;
}

static void end_round(uint64_t lost)
{
    printf(",\"lost\":%llu,\"wrong\":%llu}\n", (unsigned long long)lost,
           (unsigned long long)wrong_ones());
    fflush(stdout);
    if (lost)
        exit(3);
}

void run_throughput(void)
{
    pairs_open();
    for (unsigned round = 1; round <= options.rounds; round++) {
        running = true;
        for (unsigned i = 0; i < options.pairs; i++)
            fill_window(&pairs[i]);
        turn_until(now_ns() + (uint64_t)(options.warm_s * SECOND));
        struct reading from = take_reading();
        turn_until(from.time + (uint64_t)(options.measure_s * SECOND));
        struct reading to = take_reading();
        running = false;
        uint64_t lost = settle();
        double seconds = print_round(round, &from, &to);
        /* A server that answers faster than it delivers would only fill its queues. */
        uint64_t done = to.done - from.done, arrived = to.arrived - from.arrived;
        printf(",\"rate\":%.1f", (double)(done < arrived ? done : arrived) / seconds);
        end_round(lost);
    }
}

static void send_due(uint64_t *due, uint64_t step, uint64_t end, unsigned *next)
{
    for (uint64_t now = now_ns(); *due <= now && *due < end; *due += step) {
        send_one(&pairs[*next], *due);
        *next = (*next + 1) % options.pairs;
    }
}

void run_latency(void)
{
    pairs_open();
    unsigned next = 0;
    uint64_t step = (uint64_t)(SECOND / options.rate);
    for (unsigned round = 1; round <= options.rounds; round++) {
        lateness = hist_new();
        uint64_t due = now_ns() + step;
        due_from = due + (uint64_t)(options.warm_s * SECOND);
        due_to = due_from + (uint64_t)(options.measure_s * SECOND);
        struct reading from = take_reading();
        while (due < due_to) {
            send_due(&due, step, due_to, &next);
            loop_turn(due < due_to ? due : due_to);
        }
        struct reading to = take_reading();
        uint64_t lost = settle();
        print_round(round, &from, &to);
        printf(",\"samples\":%llu,\"p50_ms\":%.4f,\"p90_ms\":%.4f,\"p99_ms\":%.4f,"
               "\"p999_ms\":%.4f,\"max_ms\":%.4f",
               (unsigned long long)hist_count(lateness), (double)hist_at(lateness, 50) / 1e6,
               (double)hist_at(lateness, 90) / 1e6, (double)hist_at(lateness, 99) / 1e6,
               (double)hist_at(lateness, 99.9) / 1e6, (double)hist_max(lateness) / 1e6);
        end_round(lost);
        free(lateness);
    }
    lateness = NULL;
}

/* Open connections in steps, and wait after each for a line: meanwhile memory is read. */
void run_idle(void)
{
    unsigned open = 0;
    for (const char *at = options.idle; at && *at;) {
        char *end;
        unsigned long wanted = strtoul(at, &end, 10);
        if (end == at)
            die("--idle wants numbers with commas");
        at = *end == ',' ? end + 1 : end;
        while (open < wanted)
            enter("l", open++, true, NULL);
        wait_logins(0);
        printf("{\"event\":\"idle\",\"connections\":%u}\n", open);
        fflush(stdout);
        char line[8];
        if (read(STDIN_FILENO, line, sizeof line) <= 0)
            return;
    }
}

void run_logins(void)
{
    logins_again = true;
    for (unsigned i = 0; i < options.logins_at_once; i++)
        login_again();
    for (unsigned round = 1; round <= options.rounds; round++) {
        turn_until(now_ns() + (uint64_t)(options.warm_s * SECOND));
        uint64_t from = now_ns();
        double cpu = cpu_s();
        unsigned made = logins_made;
        turn_until(from + (uint64_t)(options.measure_s * SECOND));
        double seconds = (double)(now_ns() - from) / SECOND;
        printf("{\"event\":\"round\",\"round\":%u,\"seconds\":%.4f,\"rate\":%.1f,\"share\":%.4f,"
               "\"lost\":0,\"wrong\":0}\n",
               round, seconds, (double)(logins_made - made) / seconds, (cpu_s() - cpu) / seconds);
        fflush(stdout);
    }
}
