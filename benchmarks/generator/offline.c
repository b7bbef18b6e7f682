/* Messages wait for those who are away: a few senders write to many recipients, then all of them
 * come back and fetch everything. Storing is bounded in time: with a slow server less waits. */
#include <stdio.h>

#include "gen.h"

#define PATIENCE (30 * SECOND)  /* a server may have to find a lot before it gives the first */
#define AFTERWARDS (SECOND / 2) /* for what comes twice */

static uint64_t quota, store_until; /* messages of a sender, and until when they are sent at most */

/* Keep the window full with messages to all of the sender's recipients in turn. */
static void store_more(struct user *sender)
{
    bool in_time = now_ns() < store_until;
    while (in_time && sender->sent < quota && sender->sent - sender->done < options.window)
        send_now(&sender->pairs[sender->next++ % sender->pair_count], 0);
}

/* Log in once and leave: whatever a server has to know of somebody to keep messages, it knows. */
static struct user *introduced(void)
{
    struct user *recipients = users_make(options.pairs, "r", true);
    for (unsigned i = 0; i < options.pairs; i++) {
        user_enter(&recipients[i]);
        if (i == 0)
            wait_logins(0); /* it may have something to prepare for all */
    }
    wait_logins(0);
    for (unsigned i = 0; i < options.pairs; i++)
        user_leave(&recipients[i]);
    wait_leavers();
    return recipients;
}

/* Every sender has its share of the recipients. */
static struct user *entered_senders(struct user *recipients)
{
    struct user *senders = users_make(options.senders, "s", false);
    struct pair *pairs = pairs_make(options.pairs);
    for (unsigned i = 0; i < options.pairs; i++) {
        uint64_t whose = (uint64_t)i * options.senders / options.pairs;
        pair_join(&pairs[i], &senders[whose], &recipients[i]);
    }
    for (unsigned i = 0; i < options.senders; i++)
        user_enter(&senders[i]);
    wait_logins(0);
    fprintf(stderr, "%u senders %s\n", options.senders, tls_name(senders[0].conn));
    return senders;
}

/* Give when the last one was acknowledged. */
static uint64_t store(struct user *senders)
{
    quota = options.waiting / options.senders;
    store_until = now_ns() + seconds_ns(options.store_s);
    has_room = store_more;
    for (unsigned i = 0; i < options.senders; i++)
        store_more(&senders[i]);
    uint64_t end = settle(&count_done, PATIENCE);
    if (count_done < count_sent)
        die("%llu of %llu messages are never acknowledged",
            (unsigned long long)(count_sent - count_done), (unsigned long long)count_sent);
    has_room = NULL;
    return end;
}

/* Give when the last one arrived. */
static uint64_t fetch(struct user *recipients)
{
    for (unsigned i = 0; i < options.pairs; i++)
        user_enter(&recipients[i]);
    wait_logins(0);
    return settle(&count_arrived, PATIENCE);
}

void run_offline(void)
{
    struct user *recipients = introduced(), *senders = entered_senders(recipients);
    struct reading begun = take_reading();
    double store_s = (double)(store(senders) - begun.time) / SECOND;
    struct reading stored = take_reading();
    double fetch_s = (double)(fetch(recipients) - stored.time) / SECOND;
    struct reading fetched = take_reading();
    loop_until(now_ns() + AFTERWARDS);
    print_round(1, &stored, &fetched);
    printf(",\"waiting\":%llu,\"store_s\":%.4f,\"store_rate\":%.1f,\"store_share\":%.4f,"
           "\"fetch_s\":%.4f,\"rate\":%.1f",
           (unsigned long long)count_sent, store_s, (double)count_sent / store_s,
           (stored.cpu - begun.cpu) / store_s, fetch_s, (double)count_arrived / fetch_s);
    end_round();
}
