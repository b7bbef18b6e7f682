/* The load generator: what its files share. One thread, one epoll loop, one method for every
 * protocol; docs/performance.md says what is measured. A file a protocol, which knows only bytes:
 * when to send, what to count and what to time is the same code for all. From the bottom up:
 * tls.c, loop.c (connections), traffic.c (messages), people.c (who is here), and the workloads:
 * steady.c, flow.c, offline.c, day.c. */
#ifndef GEN_H
#define GEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/ssl.h>

#define SECOND 1000000000ull /* every time is in ns of the monotonic clock */

/* Digits in front of every body: the pair, the number within it, and when the message was due. */
#define PAIR_DIGITS 6
#define NUMBER_DIGITS 10
#define DUE_DIGITS 19
#define LEAST_BODY (PAIR_DIGITS + NUMBER_DIGITS + DUE_DIGITS)
#define MOST_BODY 65536

#define NAME_ROOM 32
#define ADDRESS_ROOM 128 /* an XMPP address: user, host and resource */

struct conn;
struct pair;
struct account;

struct buffer {
    char *data;
    size_t at, size, room; /* valid: data[at .. size) */
};

struct delayed {
    struct pair *pair;
    uint64_t due;
};

/* Messages that are due, but the sender's window is full. */
struct backlog {
    struct delayed *items;
    size_t at, size, room; /* valid: items[at .. size) */
};

/* Somebody with a name, who may come and go. */
struct user {
    char name[NAME_ROOM];
    char address[ADDRESS_ROOM]; /* what others write to: the name, or what the server gave */
    unsigned index;             /* within those of its kind */
    bool alone;                 /* it only logs in, or idles: nobody writes to it */
    bool receives;
    bool known;                 /* it was here before in this run */
    struct conn *conn;          /* NULL: away */
    uint64_t since;             /* its login was complete then: what was due before has waited */
    struct pair *pairs;         /* those that it sends in */
    unsigned pair_count, next;
    uint64_t sent, done; /* done: acknowledged, or arrived where nothing is */
    struct backlog backlog;
    uint64_t position; /* JIM: last mailbox position taken */
    const struct account *account; /* JIM: NULL before its first login */
};

struct conn {
    int fd;
    SSL *ssl;
    bool open, ready, leaving, want_write, dirty;
    int step; /* how far the protocol's login is */
    struct user *user;
    uint64_t opened;
    struct buffer rest, out;
    uint64_t n;      /* JIM: last send number; MQTT: last packet id; XMPP: last message asked for */
    bool confirm;    /* something arrived in this turn that the protocol confirms */
    char cursor[48]; /* Redis: the last entry's id */
    unsigned char nonce[32];
    struct conn *next_closed;
};

/* One direction of a conversation. */
struct pair {
    struct user *sender, *receiver;
    uint64_t sent, last;   /* numbers: of the last one sent, the highest that has arrived */
    unsigned char *seen;   /* a bit a number */
    size_t seen_room;
};

/* What a workload asks of a protocol beside logging in and sending. */
enum use {
    PAIRS = 1,   /* everybody is here all the time */
    OFFLINE = 2, /* messages wait for those who are away */
    DAY = 4,     /* people come and go, and see each other come and go */
};

struct protocol {
    const char *name;
    unsigned uses;     /* of enum use: a protocol may have a description for each */
    bool greets_plain; /* the server's first line comes before TLS begins, and is skipped then */
    bool acks;     /* the server answers the sender: that, not the arrival, frees the window */
    bool confirms; /* receivers confirm; so what comes after they have left comes again later */
    bool keeps;    /* messages wait for those who are away */
    unsigned most_unanswered; /* the protocol's own limit of a window; 0: none */
    unsigned most_record;     /* bytes of a TLS record; 0: as TLS has it */
    void (*begin)(struct conn *c);                                 /* the transport is open */
    size_t (*take)(struct conn *c, const char *data, size_t size); /* gives what it used */
    void (*put)(struct conn *c, const struct user *to, const char *body, size_t size);
    void (*turn)(struct conn *c);  /* may be NULL: a turn ends in which it has read or written */
    void (*leave)(struct conn *c); /* log out; the server closes. NULL: closing is all there is */
    /* Ask to see when somebody else comes and goes, for good; NULL: nobody has to be asked. */
    void (*watch)(struct conn *c, const struct user *other);
};

struct options {
    const char *mode, *host, *accounts, *idle;
    const struct protocol *protocol;
    enum use use;
    int port, tls, server_pid;
    int sealed; /* JIM: bodies go as ciphertexts for the receiver's device */
    unsigned pairs, window, rounds, logins_at_once, senders;
    size_t body;
    double rate, comings, warm_s, measure_s, store_s;
    uint64_t waiting;
};

extern struct options options;
extern const struct protocol jim, irc, xmpp, xmpp_offline, xmpp_day, mqtt0, mqtt1, mqtt_persistent,
    redis, redis_kept, nats, jetstream, jetstream_kept;

/* main.c */
void die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
void *zeroed(size_t count, size_t size); /* as calloc, but never NULL */
void *resized(void *old, size_t size);   /* as realloc, but never NULL */
uint64_t now_ns(void);
uint64_t seconds_ns(double seconds);
double cpu_s(void);        /* of this process */
double server_cpu_s(void); /* of the measured one; 0 where its id was not given */

/* loop.c */
void loop_start(void);
void conn_open(struct user *user);
void conn_close(struct conn *c); /* it stays readable, with fd < 0, to the end of the turn */
void conn_write(struct conn *c, const void *data, size_t size);
void conn_print(struct conn *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
char *conn_room(struct conn *c, size_t size); /* reserve; conn_used() then says how much */
void conn_used(struct conn *c, size_t size);
void loop_turn(uint64_t until); /* handle what there is; wait for it until then at most */
void loop_until(uint64_t end);
void loop_rest(uint64_t quiet); /* until nothing at all has come for so long */

/* tls.c */
void tls_start(void);
void tls_begin(struct conn *c);
int tls_handshake(struct conn *c); /* 1 done, 0 wait to read, -1 wait to write */
long tls_read(struct conn *c, char *data, size_t size);        /* as read(): 0 end, -1 EAGAIN */
long tls_write(struct conn *c, const char *data, size_t size); /* as write() */
const char *tls_name(struct conn *c);

/* traffic.c */
extern uint64_t count_sent, count_done, count_arrived;
extern void (*has_room)(struct user *sender); /* of the workload: some of its messages are done */
struct pair *pairs_make(unsigned count);
void pair_join(struct pair *p, struct user *sender, struct user *receiver);
void send_now(struct pair *p, uint64_t due);
void send_due(struct pair *p, uint64_t due); /* wait for room where the protocol has a limit */
void send_backlog(struct user *sender);      /* has_room of those who use send_due() */
bool is_idle(const struct user *sender);     /* nothing unanswered, nothing due */
void message_done(struct conn *sender, uint64_t count);
void message_arrived(struct conn *c, const char *body, size_t size);
void message_disordered(void);
void lateness_from(uint64_t from, uint64_t to); /* time those of send_due() that are due within */
/* Wait until a count has reached that of what was sent, or stands still for too long; give when it
 * moved last. */
uint64_t settle(const uint64_t *count, uint64_t patience);

/* What is due when, at a steady rate a second: no error adds up, and whoever is late stays late. */
struct schedule {
    uint64_t start, due, number;
    double rate;
};
struct schedule schedule_start(double rate); /* the first one is due now */
void schedule_next(struct schedule *s);

struct reading {
    uint64_t time, sent, done, arrived;
    double cpu, server_cpu;
};
struct reading take_reading(void);
/* A round's result: an open line that begins with what all have, its lateness, and its end. */
double print_round(unsigned round, const struct reading *from, const struct reading *to);
void print_lateness(void);
void print_lateness_counts(void); /* each value with how often it was there, for adding up */
void end_round(void);

/* people.c */
struct user *users_make(unsigned count, const char *prefix, bool receive);
void user_name(struct user *u, const char *prefix, unsigned index);
void user_enter(struct user *u); /* waits while too many logins are under way */
void user_leave(struct user *u);
bool is_here(const struct user *u);
void user_watch(struct user *u, const struct user *other);
void wait_watchers(void);
void watch_granted(void);
void conn_ready(struct conn *c); /* the protocol's login is complete */
void conn_gone(struct conn *c);  /* the server has closed what was leaving */
void wait_logins(unsigned most); /* until at most so many are under way */
void wait_leavers(void);
bool logins_full(void); /* user_enter() would have to wait */
extern void (*has_entered)(struct user *u); /* of the workload; may be NULL */
extern unsigned logins_made;

/* The workloads. */
struct pair *pairs_enter(void); /* all of them, logged in */
void run_throughput(void);
void run_latency(void);
void run_idle(void);
void run_logins(void);
void run_flow(void);
void run_offline(void);
void run_day(void);

/* hist.c: log-linear as HdrHistogram with three digits; values in ns */
struct hist *hist_new(void);
void hist_clear(struct hist *h);
void hist_add(struct hist *h, uint64_t value);
void hist_print(const struct hist *h); /* each value with how often it was there, as JSON */
uint64_t hist_at(const struct hist *h, double percent);
uint64_t hist_count(const struct hist *h);
uint64_t hist_max(const struct hist *h);

/* accounts.c: what JIM's login proves */
struct account {
    char name[NAME_ROOM], device[24];
    unsigned char seed[32], head[32];
};
void accounts_load(const char *path);
const struct account *account_of(const char *name);

/* Find a text within bytes, or NULL. */
const char *find(const char *data, size_t size, const char *text, size_t length);
#define FIND(data, size, text) find(data, size, text, sizeof(text) - 1)
#define STARTS(data, size, text) \
    ((size) >= sizeof(text) - 1 && memcmp(data, text, sizeof(text) - 1) == 0)

#endif
