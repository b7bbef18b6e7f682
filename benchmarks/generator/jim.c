/* JIM, docs/protocol.md: hello, challenge, auth of a known device, sync; then msg, stored, ack.
 * Every read of a receiver is confirmed by one `ack` up to its last position. By day it also
 * watches presence. Bodies can go as ciphertexts: the server must not look into them anyway. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/rand.h>

#include "gen.h"

#define NONCE 32
#define SIGNATURE 64
#define TEXT(size) (((size) + 2) / 3 * 4 + 1) /* base64 with its final zero */
#define PUSHED "{\"action\":\"msg\",\"position\":"

enum step { GREETED, PROVING, SYNCING, ACTIVE };

static void jim_begin(struct conn *c)
{
    unsigned char text[TEXT(NONCE)];
    if (RAND_bytes(c->nonce, NONCE) != 1)
        die("no randomness");
    EVP_EncodeBlock(text, c->nonce, NONCE);
    conn_print(c,
               "{\"action\":\"hello\",\"id\":1,\"v\":1,\"cnonce\":\"%s\","
               "\"client\":\"bench\"}\n",
               text);
}

/* Read a base64 value of `size` bytes from a frame. */
static void value(struct conn *c, const char *line, size_t size, const char *key, size_t key_size,
                  unsigned char *to, int wanted)
{
    unsigned char raw[96];
    const char *at = find(line, size, key, key_size);
    const char *end = at ? memchr(at + key_size, '"', size - (size_t)(at + key_size - line)) : NULL;
    if (!end || end - at - (long)key_size != TEXT(wanted) - 1)
        die("%s: not the challenge expected: %.*s", c->user->name, (int)size, line);
    at += key_size;
    EVP_DecodeBlock(raw, (const unsigned char *)at, (int)(end - at));
    memcpy(to, raw, (size_t)wanted);
}
#define VALUE(c, line, size, key, to)                                                              \
    value(c, line, size, "\"" key "\":\"", sizeof("\"" key "\":\"") - 1, to, 32)

static void field(EVP_MD_CTX *digest, const void *data, size_t size)
{
    unsigned char length[4] = {(unsigned char)(size >> 24), (unsigned char)(size >> 16),
                               (unsigned char)(size >> 8), (unsigned char)size};
    EVP_DigestUpdate(digest, length, sizeof length);
    EVP_DigestUpdate(digest, data, size);
}

static void sign(const unsigned char *seed, const unsigned char *message, size_t size,
                 unsigned char *signature)
{
    size_t length = SIGNATURE;
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, 32);
    EVP_MD_CTX *signer = EVP_MD_CTX_new();
    if (!key || !signer || EVP_DigestSignInit(signer, NULL, NULL, NULL, key) != 1 ||
        EVP_DigestSign(signer, signature, &length, message, size) != 1)
        die("OpenSSL does not sign with Ed25519");
    EVP_MD_CTX_free(signer);
    EVP_PKEY_free(key);
}

/* T("jim-auth-1", server_id, spki, cnonce, snonce, name, device, head, counter) */
static void prove(struct conn *c, const char *line, size_t size, const struct account *account,
                  unsigned char *signature)
{
    static const char label[] = "jim-auth-1"; /* with the zero that ends it */
    unsigned char server[32], spki[32], snonce[32], message[sizeof label + 64];
    VALUE(c, line, size, "server_id", server);
    VALUE(c, line, size, "spki", spki);
    VALUE(c, line, size, "snonce", snonce);
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    if (!digest || EVP_DigestInit_ex(digest, EVP_sha512(), NULL) != 1)
        die("OpenSSL gives no SHA-512");
    EVP_DigestUpdate(digest, label, sizeof label);
    field(digest, server, 32);
    field(digest, spki, 32);
    field(digest, c->nonce, 32);
    field(digest, snonce, 32);
    field(digest, account->name, strlen(account->name));
    field(digest, account->device, strlen(account->device));
    field(digest, account->head, 32);
    field(digest, "0", 1);
    memcpy(message, label, sizeof label);
    EVP_DigestFinal_ex(digest, message + sizeof label, NULL);
    EVP_MD_CTX_free(digest);
    sign(account->seed, message, sizeof message, signature);
}

static void authenticate(struct conn *c, const char *line, size_t size)
{
    const struct account *account = c->user->account = account_of(c->user->name);
    unsigned char signature[SIGNATURE], sig[TEXT(SIGNATURE)], head[TEXT(32)];
    prove(c, line, size, account, signature);
    EVP_EncodeBlock(sig, signature, SIGNATURE);
    EVP_EncodeBlock(head, account->head, 32);
    conn_print(c,
               "{\"action\":\"auth\",\"id\":2,\"name\":\"%s\",\"device\":\"%s\",\"head\":\"%s\","
               "\"counter\":0,\"sig\":\"%s\"}\n",
               account->name, account->device, head, sig);
}

static uint64_t whole(struct conn *c, const char *line, size_t size, const char *key)
{
    const char *at = find(line, size, key, strlen(key));
    if (!at)
        die("%s: no %s in %.*s", c->user->name, key, (int)size, line);
    return strtoull(at + strlen(key), NULL, 10);
}

/* What may come at any time behind the welcome; a probe is answered. */
static bool is_news(struct conn *c, const char *line, size_t size)
{
    bool probe = STARTS(line, size, "{\"action\":\"probe\"");
    if (probe)
        conn_print(c, "{\"action\":\"pong\",\"id\":\"probe\"}\n");
    return probe || STARTS(line, size, "{\"action\":\"delivered\"") ||
           STARTS(line, size, "{\"action\":\"presence\"") ||
           STARTS(line, size, "{\"action\":\"contacts\"");
}

static void login(struct conn *c, const char *line, size_t size)
{
    switch (c->step) {
    case GREETED:
        if (!STARTS(line, size, "{\"action\":\"challenge\""))
            die("%s: %.*s", c->user->name, (int)size, line);
        authenticate(c, line, size);
        c->step = PROVING;
        break;
    case PROVING:
        if (!STARTS(line, size, "{\"action\":\"welcome\""))
            die("%s: %.*s", c->user->name, (int)size, line);
        c->n = whole(c, line, size, "\"last_n\":");
        if (!c->user->known)
            c->user->position = whole(c, line, size, "\"position\":");
        if (c->user->receives) {
            conn_print(c, "{\"action\":\"sync\",\"id\":3,\"after\":%llu}\n",
                       (unsigned long long)c->user->position);
            c->step = SYNCING;
        } else {
            c->step = ACTIVE;
            conn_ready(c);
        }
        break;
    case SYNCING:
        if (is_news(c, line, size))
            break; /* what it sent before it left has been delivered meanwhile */
        if (!STARTS(line, size, "{\"action\":\"ok\""))
            die("%s: %.*s", c->user->name, (int)size, line);
        if (options.use == DAY)
            conn_print(c, "{\"action\":\"presence\",\"id\":4,\"watch\":true}\n");
        c->step = ACTIVE;
        conn_ready(c);
        break;
    }
}

static void pushed(struct conn *c, const char *line, size_t size)
{
    char *end;
    uint64_t position = strtoull(line + sizeof PUSHED - 1, &end, 10);
    const char *key = options.sealed ? "\"ciphertext\":\"" : "\"message\":\"";
    const char *text = find(end, size - (size_t)(end - line), key, strlen(key));
    if (!text)
        die("%s: no message in %.*s", c->user->name, (int)size, line);
    text += strlen(key);
    const char *stop = line + size - 2; /* the quote and brace that end it, with no mark behind */
    if (position != c->user->position + 1)
        message_disordered();
    c->user->position = position;
    message_arrived(c, text, (size_t)(stop - text));
}

static void active(struct conn *c, const char *line, size_t size, uint64_t *stored)
{
    if (STARTS(line, size, "{\"action\":\"stored\""))
        ++*stored;
    else if (STARTS(line, size, PUSHED))
        pushed(c, line, size);
    else if (!is_news(c, line, size))
        die("%s: %.*s", c->user->name, (int)size, line);
}

static size_t jim_take(struct conn *c, const char *data, size_t size)
{
    const char *at = data, *end;
    uint64_t stored = 0;
    while (c->fd >= 0 && (end = memchr(at, '\n', size - (size_t)(at - data)))) {
        size_t length = (size_t)(end - at);
        if (c->step == ACTIVE)
            active(c, at, length, &stored);
        else
            login(c, at, length);
        at = end + 1;
    }
    if (stored)
        message_done(c, stored);
    return (size_t)(at - data);
}

static void jim_turn(struct conn *c)
{
    if (!c->confirm)
        return;
    c->confirm = false;
    conn_print(c, "{\"action\":\"ack\",\"position\":%llu}\n",
               (unsigned long long)c->user->position);
}

static void jim_put(struct conn *c, const struct user *to, const char *body, size_t size)
{
    char *place = conn_room(c, size + 160);
    unsigned long long n = ++c->n;
    int head = sprintf(place, "{\"action\":\"msg\",\"id\":%llu,\"n\":%llu,\"to\":\"%s\",", n, n,
                       to->address);
    if (options.sealed)
        head += sprintf(place + head, "\"ciphertexts\":{\"%s\":\"", to->account->device);
    else
        head += sprintf(place + head, "\"message\":\"");
    const char *end = options.sealed ? "\"}}\n" : "\"}\n";
    memcpy(place + head, body, size);
    memcpy(place + head + size, end, strlen(end));
    conn_used(c, (size_t)head + size + strlen(end));
}

static void jim_leave(struct conn *c) { conn_print(c, "{\"action\":\"quit\",\"id\":5}\n"); }

const struct protocol jim = {.name = "jim",
                             .uses = PAIRS | OFFLINE | DAY,
                             .acks = true,
                             .confirms = true,
                             .keeps = true,
                             .most_unanswered = 64, /* docs/protocol.md, "window" */
                             .begin = jim_begin,
                             .take = jim_take,
                             .put = jim_put,
                             .turn = jim_turn,
                             .leave = jim_leave};
