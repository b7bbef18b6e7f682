/* The load generator: what its files share. One thread, one epoll loop, one method for every
 * protocol; docs/performance.md says what is measured. A file a protocol, which knows only bytes:
 * when to send, what to count and what to time is the same code for all (main.c, load.c). */
#ifndef GEN_H
#define GEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/ssl.h>

/* Digits in front of every body: the number within the pair, and when the message was due (ns). */
#define NUMBER_DIGITS 10
#define DUE_DIGITS 19
#define LEAST_BODY (NUMBER_DIGITS + DUE_DIGITS)
#define MOST_BODY 65536

#define NAME_ROOM 32
#define ADDRESS_ROOM 128 /* an XMPP address: user, host and resource */

struct pair;

struct buffer {
    char *data;
    size_t at, size, room; /* valid: data[at .. size) */
};

struct conn {
    int fd;
    SSL *ssl;
    bool receiver, open, ready, want_write, dirty;
    int step;          /* how far the protocol's login is */
    struct pair *pair; /* NULL: it only logs in, or idles */
    unsigned index;    /* which account or name */
    char name[NAME_ROOM];
    char address[ADDRESS_ROOM]; /* what others write to it by: the name, or what the server gave */
    struct buffer rest, out;
    uint64_t n;        /* JIM: last send number; MQTT: last packet id */
    uint64_t position; /* JIM: last mailbox position taken */
    bool confirm;      /* something arrived in this turn that the protocol confirms */
    char cursor[48];   /* Redis: the last entry's id */
    unsigned char nonce[32];
};

struct pair {
    struct conn *sender, *receiver;
    uint64_t sent, done, arrived; /* done: acknowledged, or arrived where nothing is */
    uint64_t wrong;               /* arrivals out of order, doubled or damaged */
};

struct protocol {
    const char *name;
    bool greets_plain; /* the server's first line comes before TLS begins, and is skipped then */
    bool acks; /* the server answers the sender: that, not the arrival, frees the window */
    void (*begin)(struct conn *c);                                     /* the transport is open */
    size_t (*take)(struct conn *c, const char *data, size_t size);     /* gives what it used */
    void (*put)(struct conn *c, const char *body, size_t size);        /* append one message */
    void (*turn)(struct conn *c);                                      /* may be NULL: confirm */
};

struct options {
    const char *mode, *host, *accounts, *idle;
    const struct protocol *protocol;
    int port, tls;
    unsigned pairs, window, rounds, logins_at_once;
    size_t body;
    double rate, warm_s, measure_s;
};

extern struct options options;
extern const struct protocol jim, irc, xmpp, mqtt0, mqtt1, redis, nats, jetstream;

/* main.c */
void die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
uint64_t now_ns(void);
double cpu_s(void);

/* loop.c */
void loop_start(void);
struct conn *conn_open(const char *prefix, unsigned index, bool receiver, struct pair *pair);
void conn_close(struct conn *c);
void conn_write(struct conn *c, const void *data, size_t size);
void conn_print(struct conn *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
char *conn_room(struct conn *c, size_t size); /* reserve; conn_used() then says how much */
void conn_used(struct conn *c, size_t size);
void conn_ready(struct conn *c); /* the protocol's login is complete */
void loop_turn(uint64_t until_ns); /* handle what there is; wait for it until then at most */

/* tls.c */
void tls_start(void);
void tls_begin(struct conn *c);
int tls_handshake(struct conn *c); /* 1 done, 0 wait to read, -1 wait to write */
long tls_read(struct conn *c, char *data, size_t size);        /* as read(): 0 end, -1 EAGAIN */
long tls_write(struct conn *c, const char *data, size_t size); /* as write() */
const char *tls_name(struct conn *c);

/* load.c */
void pairs_open(void);
void message_done(struct pair *p, uint64_t count);
void message_arrived(struct conn *c, const char *body, size_t size);
void run_throughput(void);
void run_latency(void);
void run_idle(void);
void run_logins(void);
void login_done(struct conn *c);

/* hist.c: log-linear as HdrHistogram with three digits; values in ns */
struct hist *hist_new(void);
void hist_add(struct hist *h, uint64_t value);
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
