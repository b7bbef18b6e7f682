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
    .senders = 50,
    .body = 100,
    .rate = 2000,
    .comings = 20,
    .warm_s = 0.5,
    .measure_s = 4,
    .store_s = 60,
    .waiting = 1000000,
};

static const struct protocol *const protocols[] = {
    &jim,   &irc,        &xmpp, &xmpp_offline, &xmpp_day,      &mqtt0, &mqtt1, &mqtt_persistent,
    &redis, &redis_kept, &nats, &jetstream,    &jetstream_kept};

static const struct mode {
    const char *name;
    enum use use;
    void (*run)(void);
} modes[] = {{"throughput", PAIRS, run_throughput},
             {"latency", PAIRS, run_latency},
             {"flow", PAIRS, run_flow},
             {"idle", PAIRS, run_idle},
             {"logins", PAIRS, run_logins},
             {"offline", OFFLINE, run_offline},
             {"day", DAY, run_day}};

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

void *zeroed(size_t count, size_t size)
{
    void *memory = calloc(count, size);
    if (!memory)
        die("out of memory");
    return memory;
}

void *resized(void *old, size_t size)
{
    void *memory = realloc(old, size);
    if (!memory)
        die("out of memory");
    return memory;
}

static uint64_t read_clock(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t now_ns(void) { return read_clock(CLOCK_MONOTONIC); }

uint64_t seconds_ns(double seconds) { return (uint64_t)(seconds * SECOND); }

double cpu_s(void) { return (double)read_clock(CLOCK_PROCESS_CPUTIME_ID) / 1e9; }

double server_cpu_s(void)
{
    clockid_t id;
    if (!options.server_pid)
        return 0;
    if (clock_getcpuclockid((pid_t)options.server_pid, &id))
        die("there is no process %d", options.server_pid);
    return (double)read_clock(id) / 1e9;
}

const char *find(const char *data, size_t size, const char *text, size_t length)
{
    return memmem(data, size, text, length);
}

static const struct mode *mode_of(const char *name)
{
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
        if (strcmp(modes[i].name, name) == 0)
            return &modes[i];
    die("there is no mode %s", name);
}

/* Find the protocol's description for what it is used for. */
static const struct protocol *protocol_of(const char *name, enum use use)
{
    for (size_t i = 0; i < sizeof protocols / sizeof *protocols; i++)
        if (strcmp(protocols[i]->name, name) == 0 && (protocols[i]->uses & use))
            return protocols[i];
    die("there is no protocol %s for this mode", name);
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

static const char *protocol_name;

static void set(int which, const char *value)
{
    switch (which) {
    case 'm': options.mode = value; break;
    case 'x': protocol_name = value; break;
    case 'h': options.host = value; break;
    case 'p': options.port = atoi(value); break;
    case 't': options.tls = atoi(value); break;
    case 's': options.server_pid = atoi(value); break;
    case 'e': options.sealed = atoi(value); break;
    case 'n': options.pairs = (unsigned)atoi(value); break;
    case 'w': options.window = (unsigned)atoi(value); break;
    case 'S': options.senders = (unsigned)atoi(value); break;
    case 'r': options.rate = atof(value); break;
    case 'c': options.comings = atof(value); break;
    case 'b': options.body = (size_t)atoi(value); break;
    case 'W': options.warm_s = atof(value); break;
    case 'M': options.measure_s = atof(value); break;
    case 'R': options.rounds = (unsigned)atoi(value); break;
    case 'N': options.waiting = strtoull(value, NULL, 10); break;
    case 'T': options.store_s = atof(value); break;
    case 'a': options.accounts = value; break;
    case 'i': options.idle = value; break;
    case 'l': options.logins_at_once = (unsigned)atoi(value); break;
    default: exit(2);
    }
}

static void parse(int count, char **arguments)
{
    static const struct option names[] = {{"mode", 1, 0, 'm'},
                                          {"protocol", 1, 0, 'x'},
                                          {"host", 1, 0, 'h'},
                                          {"port", 1, 0, 'p'},
                                          {"tls", 1, 0, 't'},
                                          {"server-pid", 1, 0, 's'},
                                          {"sealed", 1, 0, 'e'},
                                          {"pairs", 1, 0, 'n'},
                                          {"window", 1, 0, 'w'},
                                          {"senders", 1, 0, 'S'},
                                          {"rate", 1, 0, 'r'},
                                          {"comings", 1, 0, 'c'},
                                          {"body", 1, 0, 'b'},
                                          {"warm", 1, 0, 'W'},
                                          {"measure", 1, 0, 'M'},
                                          {"rounds", 1, 0, 'R'},
                                          {"waiting", 1, 0, 'N'},
                                          {"store", 1, 0, 'T'},
                                          {"accounts", 1, 0, 'a'},
                                          {"idle", 1, 0, 'i'},
                                          {"logins-at-once", 1, 0, 'l'},
                                          {0, 0, 0, 0}};
    int which;
    while ((which = getopt_long(count, arguments, "", names, NULL)) != -1)
        set(which, optarg);
}

static void check(void)
{
    if (!options.protocol || !options.port || !options.pairs || !options.window ||
        !options.logins_at_once || !options.senders || !options.waiting || options.rate <= 0)
        die("--protocol and --port are needed; numbers are above 0");
    if (options.sealed && (options.protocol != &jim || options.use != PAIRS))
        die("--sealed is for JIM, where everybody stays");
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
    const struct mode *mode = mode_of(options.mode);
    options.use = mode->use;
    if (protocol_name)
        options.protocol = protocol_of(protocol_name, options.use);
    check();
    raise_descriptors();
    prctl(PR_SET_TIMERSLACK, 1ul, 0, 0, 0); /* the schedule is kept to the microsecond */
    if (options.accounts)
        accounts_load(options.accounts);
    if (options.tls)
        tls_start();
    loop_start();
    mode->run();
    return 0;
}
