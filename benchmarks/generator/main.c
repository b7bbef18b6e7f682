/* The arguments, the clocks, and which workload runs. Results are JSON lines on standard output. */
#define _GNU_SOURCE
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <sys/prctl.h>
#include <sys/resource.h>

#include "gen.h"

struct options options = {
    .mode = "throughput",
    .host = "127.0.0.1",
    .pairs = 50,
    .window = 64,
    .rounds = 1,
    .logins_at_once = 32, /* keeps a server busy, and is below every listening queue */
    .body = 100,
    .rate = 2000,
    .warm_s = 0.5,
    .measure_s = 4,
};

static const struct protocol *const protocols[] = {&jim,   &irc,   &xmpp, &mqtt0,
                                                   &mqtt1, &redis, &nats, &jetstream};

void die(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("generator: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

static uint64_t read_clock(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t now_ns(void) { return read_clock(CLOCK_MONOTONIC); }

double cpu_s(void) { return (double)read_clock(CLOCK_PROCESS_CPUTIME_ID) / 1e9; }

const char *find(const char *data, size_t size, const char *text, size_t length)
{
    return memmem(data, size, text, length);
}

static const struct protocol *protocol_of(const char *name)
{
    for (size_t i = 0; i < sizeof protocols / sizeof *protocols; i++)
        if (strcmp(protocols[i]->name, name) == 0)
            return protocols[i];
    die("there is no protocol %s", name);
}

static void run_histogram(void)
{
    struct hist *h = hist_new();
    uint64_t value;
    while (scanf("%" SCNu64, &value) == 1)
        hist_add(h, value);
    printf("{\"count\":%" PRIu64 ",\"p50\":%" PRIu64 ",\"p99\":%" PRIu64 ",\"p999\":%" PRIu64
           ",\"max\":%" PRIu64 "}\n",
           hist_count(h), hist_at(h, 50), hist_at(h, 99), hist_at(h, 99.9), hist_max(h));
    free(h);
}

static void set(int which, const char *value)
{
    switch (which) {
    case 'm': options.mode = value; break;
    case 'x': options.protocol = protocol_of(value); break;
    case 'h': options.host = value; break;
    case 'p': options.port = atoi(value); break;
    case 't': options.tls = atoi(value); break;
    case 'n': options.pairs = (unsigned)atoi(value); break;
    case 'w': options.window = (unsigned)atoi(value); break;
    case 'r': options.rate = atof(value); break;
    case 'b': options.body = (size_t)atoi(value); break;
    case 'W': options.warm_s = atof(value); break;
    case 'M': options.measure_s = atof(value); break;
    case 'R': options.rounds = (unsigned)atoi(value); break;
    case 'a': options.accounts = value; break;
    case 'i': options.idle = value; break;
    case 'l': options.logins_at_once = (unsigned)atoi(value); break;
    default: exit(2);
    }
}

static void parse(int count, char **arguments)
{
    static const struct option names[] = {
        {"mode", 1, 0, 'm'},     {"protocol", 1, 0, 'x'}, {"host", 1, 0, 'h'},
        {"port", 1, 0, 'p'},     {"tls", 1, 0, 't'},      {"pairs", 1, 0, 'n'},
        {"window", 1, 0, 'w'},   {"rate", 1, 0, 'r'},     {"body", 1, 0, 'b'},
        {"warm", 1, 0, 'W'},     {"measure", 1, 0, 'M'},  {"rounds", 1, 0, 'R'},
        {"accounts", 1, 0, 'a'}, {"idle", 1, 0, 'i'},     {"logins-at-once", 1, 0, 'l'},
        {0, 0, 0, 0}};
    int which;
    while ((which = getopt_long(count, arguments, "", names, NULL)) != -1)
        set(which, optarg);
    if (!strcmp(options.mode, "histogram"))
        return;
    if (!options.protocol || !options.port || !options.pairs || !options.window ||
        !options.logins_at_once || options.rate <= 0)
        die("--protocol and --port are needed; --pairs, --window and --rate are above 0");
    if (options.body < LEAST_BODY || options.body > MOST_BODY)
        die("--body is %d to %d bytes", LEAST_BODY, MOST_BODY);
}

static void raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int main(int count, char **arguments)
{
    parse(count, arguments);
    if (!strcmp(options.mode, "histogram")) {
        run_histogram();
        return 0;
    }
    raise_descriptors();
    prctl(PR_SET_TIMERSLACK, 1ul, 0, 0, 0); /* the schedule is kept to the microsecond */
    if (options.accounts)
        accounts_load(options.accounts);
    if (options.tls)
        tls_start();
    loop_start();
    if (!strcmp(options.mode, "throughput"))
        run_throughput();
    else if (!strcmp(options.mode, "latency"))
        run_latency();
    else if (!strcmp(options.mode, "idle"))
        run_idle();
    else if (!strcmp(options.mode, "logins"))
        run_logins();
    else
        die("--mode is throughput, latency, idle, logins or histogram");
    return 0;
}
