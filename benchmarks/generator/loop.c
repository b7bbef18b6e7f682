/* Connections on one epoll loop. What was queued in a turn is written once at its end, one write a
 * connection. Bytes are read into one shared place; a connection keeps only its unfinished rest. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

#include "gen.h"

#define EVENTS 256           /* a turn's most: the rest comes in the next turn */
#define SCRATCH (512u << 10) /* read at once; far above the largest frame (MOST_BODY, escaped) */
#define FIRST_ROOM 4096      /* of a connection's buffer; it doubles when needed */

static int poller, timer;
static char scratch[SCRATCH];
static struct conn **dirty;
static size_t dirty_count, dirty_room;
static uint64_t reads;
static struct conn *closed; /* freed when no event of the turn can name them any more */

void loop_start(void)
{
    poller = epoll_create1(EPOLL_CLOEXEC);
    timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (poller < 0 || timer < 0 || epoll_ctl(poller, EPOLL_CTL_ADD, timer, &event))
        die("epoll: %s", strerror(errno));
}

static void watch(struct conn *c, int how, bool writing)
{
    struct epoll_event event = {.events = EPOLLIN | (writing ? EPOLLOUT : 0), .data.ptr = c};
    if (epoll_ctl(poller, how, c->fd, &event))
        die("epoll: %s", strerror(errno));
    c->want_write = writing;
}

void conn_open(struct user *user)
{
    struct conn *c = zeroed(1, sizeof *c);
    c->user = user;
    user->conn = c;
    c->opened = now_ns();
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)options.port)};
    int one = 1;
    if (c->fd < 0 || inet_pton(AF_INET, options.host, &to.sin_addr) != 1)
        die("socket to %s: %s", options.host, strerror(errno));
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(c->fd, (struct sockaddr *)&to, sizeof to) && errno != EINPROGRESS)
        die("connect to %s:%d: %s", options.host, options.port, strerror(errno));
    watch(c, EPOLL_CTL_ADD, true);
}

void conn_close(struct conn *c)
{
    if (c->ssl) {
        SSL_set_quiet_shutdown(c->ssl, 1);
        SSL_free(c->ssl);
    }
    close(c->fd);
    c->fd = -1;
    c->user->conn = NULL;
    free(c->rest.data);
    free(c->out.data);
    memset(&c->rest, 0, sizeof c->rest);
    memset(&c->out, 0, sizeof c->out);
    c->next_closed = closed;
    closed = c;
}

static void free_closed(void)
{
    while (closed) {
        struct conn *c = closed;
        closed = c->next_closed;
        free(c);
    }
}

/* Whoever leaves waits for this; nobody else does. */
static void ended(struct conn *c, const char *doing, const char *reason)
{
    if (!c->leaving)
        die("%s: %s: %s", c->user->name, doing, reason);
    conn_gone(c);
}

static void reserve(struct buffer *b, size_t size)
{
    if (b->at == b->size)
        b->at = b->size = 0;
    if (b->room - b->size >= size)
        return;
    if (b->at) {
        memmove(b->data, b->data + b->at, b->size - b->at);
        b->size -= b->at;
        b->at = 0;
    }
    size_t room = b->room ? b->room : FIRST_ROOM;
    while (room - b->size < size)
        room *= 2;
    if (room == b->room)
        return;
    b->data = resized(b->data, room);
    b->room = room;
}

char *conn_room(struct conn *c, size_t size)
{
    reserve(&c->out, size);
    return c->out.data + c->out.size;
}

/* The turn will end with it: what the protocol adds to a turn, and one write. */
static void touch(struct conn *c)
{
    if (c->dirty)
        return;
    c->dirty = true;
    if (dirty_count == dirty_room) {
        dirty_room = dirty_room ? 2 * dirty_room : EVENTS;
        dirty = resized(dirty, dirty_room * sizeof *dirty);
    }
    dirty[dirty_count++] = c;
}

void conn_used(struct conn *c, size_t size)
{
    c->out.size += size;
    touch(c);
}

void conn_write(struct conn *c, const void *data, size_t size)
{
    memcpy(conn_room(c, size), data, size);
    conn_used(c, size);
}

void conn_print(struct conn *c, const char *format, ...)
{
    char text[4096];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (size < 0 || (size_t)size >= sizeof text)
        die("%s: a request is too long", c->user->name);
    conn_write(c, text, (size_t)size);
}

static void drain_out(struct conn *c)
{
    if (!c->open)
        return; /* it is written once the transport is open */
    while (c->out.at < c->out.size) {
        const char *data = c->out.data + c->out.at;
        size_t size = c->out.size - c->out.at;
        long put = c->ssl ? tls_write(c, data, size) : send(c->fd, data, size, MSG_NOSIGNAL);
        if (put < 0 && errno != EAGAIN) {
            ended(c, "write", strerror(errno));
            return;
        }
        if (put < 0)
            break;
        c->out.at += (size_t)put;
    }
    bool waiting = c->out.at < c->out.size;
    if (waiting != c->want_write)
        watch(c, EPOLL_CTL_MOD, waiting);
}

static void end_turn(void)
{
    for (size_t i = 0; i < dirty_count; i++) {
        struct conn *c = dirty[i];
        if (c->fd >= 0 && c->ready && !c->leaving && options.protocol->turn)
            options.protocol->turn(c);
        c->dirty = false;
        if (c->fd >= 0)
            drain_out(c);
    }
    dirty_count = 0;
    free_closed();
}

static void take(struct conn *c, size_t size)
{
    bool dropped = c->leaving && options.protocol->confirms;
    size_t used = dropped ? size : options.protocol->take(c, scratch, size);
    c->rest.at = c->rest.size = 0;
    if (c->fd < 0 || used == size)
        return;
    if (used == 0 && size == SCRATCH)
        die("%s: a frame of more than %u bytes", c->user->name, SCRATCH);
    reserve(&c->rest, size - used);
    memcpy(c->rest.data, scratch + used, size - used);
    c->rest.size = size - used;
}

/* Read until there is no more; give whether the shared place was filled, so that more may wait. */
static bool fill(struct conn *c)
{
    size_t size = c->rest.size, fresh = size;
    long got = 1;
    if (size)
        memcpy(scratch, c->rest.data, size);
    while (size < SCRATCH) {
        size_t room = SCRATCH - size;
        got = c->ssl ? tls_read(c, scratch + size, room) : read(c->fd, scratch + size, room);
        if (got <= 0)
            break;
        size += (size_t)got;
        if (!c->ssl && (size_t)got < room)
            break;
    }
    int error = errno;
    if (size > fresh) {
        reads++;
        take(c, size);
    }
    if (c->fd >= 0 && (got == 0 || (got < 0 && error != EAGAIN)))
        ended(c, "the server closed the connection", got ? strerror(error) : "end");
    return size == SCRATCH;
}

static void read_all(struct conn *c)
{
    while (fill(c) && c->fd >= 0)
        ;
    if (c->fd >= 0)
        touch(c);
}

/* Skip the line that comes before TLS; give whether it was there, whole. */
static bool skip_greeting(struct conn *c)
{
    long got = recv(c->fd, scratch, SCRATCH, MSG_PEEK);
    char *end = got > 0 ? memchr(scratch, '\n', (size_t)got) : NULL;
    if (got == 0 || (got < 0 && errno != EAGAIN))
        die("%s: the server closed the connection", c->user->name);
    if (!end && c->want_write)
        watch(c, EPOLL_CTL_MOD, false);
    return end && recv(c->fd, scratch, (size_t)(end + 1 - scratch), 0) > 0;
}

static void open_step(struct conn *c)
{
    int error = 0;
    socklen_t size = sizeof error;
    if (!c->ssl) {
        getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
        if (error)
            die("%s: connect: %s", c->user->name, strerror(error));
        if (options.tls && options.protocol->greets_plain && !skip_greeting(c))
            return;
        if (options.tls)
            tls_begin(c);
    }
    int done = c->ssl ? tls_handshake(c) : 1;
    if (done == 1) {
        c->open = true;
        watch(c, EPOLL_CTL_MOD, false);
        options.protocol->begin(c);
        if (c->ssl)
            read_all(c); /* what came with the handshake's last flight is no event any more */
    } else if ((done == -1) != c->want_write) {
        watch(c, EPOLL_CTL_MOD, done == -1);
    }
}

static void wait_until(uint64_t until_ns)
{
    struct itimerspec when = {.it_value = {.tv_sec = (time_t)(until_ns / 1000000000u),
                                           .tv_nsec = (long)(until_ns % 1000000000u)}};
    if (timerfd_settime(timer, TFD_TIMER_ABSTIME, &when, NULL))
        die("timer: %s", strerror(errno));
}

void loop_turn(uint64_t until_ns)
{
    static uint64_t armed;
    struct epoll_event events[EVENTS];
    end_turn();
    bool due = until_ns <= now_ns();
    if (!due && armed != until_ns)
        wait_until(armed = until_ns);
    int count = epoll_wait(poller, events, EVENTS, due ? 0 : -1);
    if (count < 0 && errno != EINTR)
        die("epoll: %s", strerror(errno));
    for (int i = 0; i < count; i++) {
        struct conn *c = events[i].data.ptr;
        if (!c) {
            uint64_t ticks;
            if (read(timer, &ticks, sizeof ticks) < 0 && errno != EAGAIN)
                die("timer: %s", strerror(errno));
            armed = 0;
        } else if (c->fd < 0) {
            continue;
        } else if (!c->open) {
            open_step(c);
        } else {
            if (events[i].events & EPOLLOUT)
                drain_out(c);
            if (c->fd >= 0 && (events[i].events & ~(uint32_t)EPOLLOUT))
                read_all(c);
        }
    }
    end_turn();
}

void loop_until(uint64_t end)
{
    while (now_ns() < end)
        loop_turn(end);
}

void loop_rest(uint64_t quiet)
{
    uint64_t seen = reads, since = now_ns();
    while (now_ns() - since < quiet) {
        loop_turn(since + quiet);
        if (seen != reads) {
            seen = reads;
            since = now_ns();
        }
    }
}
