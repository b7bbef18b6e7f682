/* TLS 1.3 over a connection's descriptor. Certificates are not verified: every server here has one
 * that was made for this run, and what is measured is the work, not the trust. */
#include <errno.h>
#include <openssl/err.h>

#include "gen.h"

/* Several records a system call; a record is 16 KiB at most (RFC 8446, 5.1). */
#define READ_AHEAD 65536

static SSL_CTX *context;

void tls_start(void)
{
    context = SSL_CTX_new(TLS_client_method());
    if (!context || !SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION))
        die("OpenSSL gives no TLS 1.3");
    SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_default_read_buffer_len(context, READ_AHEAD);
    SSL_CTX_set_read_ahead(context, 1);
}

void tls_begin(struct conn *c)
{
    c->ssl = SSL_new(context);
    if (!c->ssl || !SSL_set_fd(c->ssl, c->fd))
        die("OpenSSL gives no connection");
    if (options.protocol->most_record)
        SSL_set_max_send_fragment(c->ssl, options.protocol->most_record);
    SSL_set_connect_state(c->ssl);
}

static void failed(struct conn *c, const char *what)
{
    unsigned long code = ERR_get_error();
    die("%s: TLS %s: %s", c->user->name, what,
        code ? ERR_reason_error_string(code) : "connection lost");
}

int tls_handshake(struct conn *c)
{
    ERR_clear_error();
    int result = SSL_do_handshake(c->ssl);
    if (result == 1)
        return 1;
    switch (SSL_get_error(c->ssl, result)) {
    case SSL_ERROR_WANT_READ: return 0;
    case SSL_ERROR_WANT_WRITE: return -1;
    default: failed(c, "handshake");
    }
    return 0;
}

long tls_read(struct conn *c, char *data, size_t size)
{
    size_t got = 0;
    ERR_clear_error();
    int result = SSL_read_ex(c->ssl, data, size, &got);
    if (result == 1)
        return (long)got;
    int error = SSL_get_error(c->ssl, result);
    if (error == SSL_ERROR_ZERO_RETURN)
        return 0;
    if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) {
        if (c->leaving)
            return 0; /* not every server says goodbye in TLS */
        failed(c, "read");
    }
    errno = EAGAIN;
    return -1;
}

long tls_write(struct conn *c, const char *data, size_t size)
{
    size_t put = 0;
    ERR_clear_error();
    int result = SSL_write_ex(c->ssl, data, size, &put);
    if (result == 1)
        return (long)put;
    int error = SSL_get_error(c->ssl, result);
    errno = EAGAIN;
    if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) {
        if (!c->leaving)
            failed(c, "write");
        errno = EPIPE;
    }
    return -1;
}

const char *tls_name(struct conn *c) { return c->ssl ? SSL_get_cipher_name(c->ssl) : ""; }
