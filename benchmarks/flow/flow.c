/* A load that goes on for as long as wanted: pairs that send on one schedule, beside connections
 * that are only held. Intervals follow each other without a pause and are reported one by one, so
 * that a stall is seen where it was; no due time is ever moved. A sender keeps to its window, as
 * every client has to: what is due meanwhile waits, and that counts as lateness like any other.
 *
 * Connecting, numbering, timing, the arguments and the histogram are the code of the generator
 * (../generator), included as it is: only the order of things is different here. Of the arguments
 * --rounds and --measure are the intervals, --warm comes once before them, --window is that of every
 * sender, and --idle says how many connections are held. The first of the accounts are those of the held ones. */
#define main generator_main
#include "main.c"
#undef main
#include "hist.c"
#include "load.c"

#define HOLD_STEP 1000          /* connections between two reports: a few seconds of logins */
#define REST_NS (SECOND / 2)    /* what a login left behind is freed before memory is read */

/* Where a pair is on its schedule. */
struct course {
    uint64_t due;  /* of its next message */
    bool held_up;  /* its window was full when that was due */
};

static struct course *courses;
static uint64_t stride;         /* between two messages of a pair */
static uint64_t lag;            /* by how much a message was sent too late, through us */
static uint64_t waited;         /* messages that waited for room in the window, through the server */

/* Log the held connections in; report after each step, when the server has come to rest. */
static void hold(void)
{
    unsigned long wanted = options.idle ? strtoul(options.idle, NULL, 10) : 0;
    for (unsigned open = 0; open < wanted;) {
        unsigned long stop = open + HOLD_STEP < wanted ? open + HOLD_STEP : wanted;
        uint64_t from = now_ns();
        while (open < stop)
            enter("l", open++, true, NULL);
        wait_logins(0);
        double seconds = (double)(now_ns() - from) / SECOND;
        turn_until(now_ns() + REST_NS);
        printf("{\"event\":\"held\",\"connections\":%u,\"seconds\":%.4f}\n", open, seconds);
        fflush(stdout);
    }
}

/* Send what is due, as far as the windows allow; give when something is due next, or the end. What
 * the window holds up is sent as soon as there is room, and keeps its due time. */
static uint64_t send_what_is_due(uint64_t end)
{
    uint64_t now = now_ns(), soonest = end;
    for (unsigned i = 0; i < options.pairs; i++) {
        struct course *c = &courses[i];
        while (c->due <= now && c->due < end) {
            if (pairs[i].sent - pairs[i].done >= options.window) {
                c->held_up = true;
                break;
            }
            if (c->held_up)
                waited++;
            else if (now - c->due > lag)
                lag = now - c->due;
            send_one(&pairs[i], c->due);
            c->due += stride;
        }
        if (c->due > now) {
            c->held_up = false;
            if (c->due < soonest)
                soonest = c->due;
        }
    }
    return soonest;
}

static void flow_until(uint64_t end)
{
    lag = waited = 0;
    while (now_ns() < end)
        loop_turn(send_what_is_due(end));
}

static bool behind(uint64_t end)
{
    for (unsigned i = 0; i < options.pairs; i++)
        if (courses[i].due < end)
            return true;
    return false;
}

/* Send what was due before the end and is held up still. */
static void flow_out(uint64_t end)
{
    uint64_t seen = count_done, since = now_ns();
    for (send_what_is_due(end); behind(end); send_what_is_due(end)) {
        loop_turn(now_ns() + SECOND / 10);
        if (count_done != seen) {
            seen = count_done;
            since = now_ns();
        }
        if (now_ns() - since > STALLED_NS)
            die("windows are full, and the server answers nothing");
    }
}

/* The pairs take turns, so that all of them together are even. */
static uint64_t plan_courses(void)
{
    uint64_t step = (uint64_t)(SECOND / options.rate), start = now_ns() + step;
    courses = calloc(options.pairs, sizeof *courses);
    if (!courses)
        die("out of memory");
    for (unsigned i = 0; i < options.pairs; i++)
        courses[i].due = start + i * step;
    stride = options.pairs * step;
    return start;
}

/* Each value with how often it was there; a value is the greatest of its slot. */
static void print_lateness(void)
{
    const char *comma = "";
    printf(",\"lateness_ns\":[");
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        if (!lateness->slots[slot])
            continue;
        uint64_t value = value_of(slot) < lateness->max ? value_of(slot) : lateness->max;
        printf("%s[%llu,%llu]", comma, (unsigned long long)value,
               (unsigned long long)lateness->slots[slot]);
        comma = ",";
    }
    putchar(']');
}

/* An arrival counts in the interval in which it comes, and its lateness from when it was due. The
 * last interval also has what comes after its end: nothing is sent any more then. */
static void run_flow(void)
{
    lateness = hist_new();
    due_from = plan_courses() + (uint64_t)(options.warm_s * SECOND);
    due_to = UINT64_MAX;
    flow_until(due_from);
    uint64_t end = due_from;
    struct reading from = take_reading();
    for (unsigned interval = 1; interval <= options.rounds; interval++) {
        end += (uint64_t)(options.measure_s * SECOND);
        flow_until(end);
        struct reading to = take_reading();
        uint64_t lost = 0;
        if (interval == options.rounds) {
            flow_out(end);
            lost = settle();
        }
        print_round(interval, &from, &to);
        printf(",\"lag_ms\":%.4f,\"waited\":%llu", (double)lag / 1e6, (unsigned long long)waited);
        print_lateness();
        end_round(lost);
        memset(lateness, 0, sizeof *lateness);
        from = to;
    }
    char line[8];
    while (read(STDIN_FILENO, line, sizeof line) > 0)
        ; /* until it is closed the connections can be counted at the server */
}

int main(int count, char **arguments)
{
    parse(count, arguments);
    raise_descriptors();
    prctl(PR_SET_TIMERSLACK, 1ul, 0, 0, 0); /* the schedule is kept to the microsecond */
    if (options.accounts)
        accounts_load(options.accounts);
    if (options.tls)
        tls_start();
    loop_start();
    pairs_open();
    hold();
    run_flow();
    return 0;
}
