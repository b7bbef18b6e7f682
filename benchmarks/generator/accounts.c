/* The accounts that were registered before: a line each, "name device seed head", the last two in
 * hexadecimal. Names end in their index, so an account is found by it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gen.h"

static struct account *accounts;
static size_t count, room;

static int digit(char c) { return c >= 'a' ? c - 'a' + 10 : c - '0'; }

static void unhex(unsigned char *to, const char *from)
{
    for (int i = 0; i < 32; i++)
        to[i] = (unsigned char)(digit(from[2 * i]) << 4 | digit(from[2 * i + 1]));
}

void accounts_load(const char *path)
{
    FILE *file = fopen(path, "r");
    if (!file)
        die("%s cannot be read", path);
    char name[NAME_ROOM], device[24], seed[72], head[72];
    while (fscanf(file, "%31s %23s %71s %71s", name, device, seed, head) == 4) {
        if (strlen(seed) != 64 || strlen(head) != 64)
            die("%s: %s: not 64 hexadecimal digits", path, name);
        if (count == room) {
            room = room ? 2 * room : 256;
            accounts = resized(accounts, room * sizeof *accounts);
        }
        struct account *a = &accounts[count++];
        memcpy(a->name, name, sizeof a->name);
        memcpy(a->device, device, sizeof a->device);
        unhex(a->seed, seed);
        unhex(a->head, head);
    }
    fclose(file);
}

/* "l7" has no account of its own: it is whoever stands in that place, over and over. */
const struct account *account_of(const char *name)
{
    if (!count)
        die("no accounts were given");
    if (name[0] == 'l')
        return &accounts[(size_t)strtoul(name + 1, NULL, 10) % count];
    for (size_t i = 0; i < count; i++)
        if (strcmp(accounts[i].name, name) == 0)
            return &accounts[i];
    die("there is no account %s", name);
}
