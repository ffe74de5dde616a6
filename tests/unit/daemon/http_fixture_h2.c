/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/daemon/http_fixture.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TURNS_MAX 20000

struct h2_client_stream *h2_client_stream(struct h2_client *client, int32_t id)
{
    assert_true(id / 2 < H2_CLIENT_STREAMS_MAX);
    return &client->streams[id / 2];
}

static int on_header(nghttp2_session *frames, const nghttp2_frame *frame, nghttp2_rcbuf *name,
                     nghttp2_rcbuf *value, uint8_t flags, void *argument)
{
    (void)frames;
    (void)flags;
    if (strcmp((const char *)nghttp2_rcbuf_get_buf(name).base, ":status") == 0)
        h2_client_stream(argument, frame->hd.stream_id)->status =
            (uint32_t)strtoul((const char *)nghttp2_rcbuf_get_buf(value).base, NULL, 10);
    return 0;
}

static int on_data(nghttp2_session *frames, uint8_t flags, int32_t id, const uint8_t *bytes,
                   size_t count, void *argument)
{
    (void)frames;
    (void)flags;
    struct h2_client_stream *stream = h2_client_stream(argument, id);
    for (size_t i = 0; i < count && stream->body_bytes + i + 1 < sizeof stream->body; i++)
        stream->body[stream->body_bytes + i] = (char)bytes[i];
    stream->body_bytes += count;
    return 0;
}

static int on_close(nghttp2_session *frames, int32_t id, uint32_t code, void *argument)
{
    (void)frames;
    struct h2_client_stream *stream = h2_client_stream(argument, id);
    stream->closed = true;
    stream->error_code = code;
    return 0;
}

static int on_frame(nghttp2_session *frames, const nghttp2_frame *frame, void *argument)
{
    (void)frames;
    struct h2_client *client = argument;
    if (frame->hd.type != NGHTTP2_GOAWAY)
        return 0;
    client->goaways++;
    client->goaway_error = frame->goaway.error_code;
    client->goaway_last = frame->goaway.last_stream_id;
    return 0;
}

void h2_client_open(struct h2_client *client, struct http_fixture *fixture, uint32_t window,
                    bool manual)
{
    memset(client, 0, sizeof *client);
    http_client_open(&client->wire, fixture);
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *option;
    assert_int_equal(nghttp2_session_callbacks_new(&callbacks), 0);
    assert_int_equal(nghttp2_option_new(&option), 0);
    nghttp2_session_callbacks_set_on_header_callback2(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_option_set_no_auto_window_update(option, manual);
    assert_int_equal(nghttp2_session_client_new2(&client->frames, callbacks, client, option), 0);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_option_del(option);
    const nghttp2_settings_entry entry = {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window};
    assert_int_equal(
        nghttp2_submit_settings(client->frames, NGHTTP2_FLAG_NONE, &entry, window == 0 ? 0 : 1), 0);
    /* Streams are to be held by their own windows alone. */
    assert_int_equal(nghttp2_session_set_local_window_size(client->frames, NGHTTP2_FLAG_NONE, 0,
                                                           64 * 1024 * 1024),
                     0);
}

void h2_client_close(struct h2_client *client)
{
    nghttp2_session_del(client->frames);
    http_client_close(&client->wire);
}

static ssize_t on_read_upload(nghttp2_session *frames, int32_t id, uint8_t *to, size_t count,
                              uint32_t *ret_flags, nghttp2_data_source *source, void *argument)
{
    (void)frames;
    (void)id;
    (void)argument;
    struct h2_client_stream *stream = source->ptr;
    if (count > stream->upload_bytes)
        count = stream->upload_bytes;
    if (count > 0)
        memcpy(to, stream->upload, count);
    stream->upload += count;
    stream->upload_bytes -= count;
    if (stream->upload_bytes == 0 && !stream->upload_held)
        *ret_flags |= NGHTTP2_DATA_FLAG_EOF;
    else if (count == 0)
        return NGHTTP2_ERR_DEFERRED;
    return (ssize_t)count;
}

static nghttp2_nv pair(const char *name, const char *value)
{
    return (nghttp2_nv){(uint8_t *)name, (uint8_t *)value, strlen(name), strlen(value), 0};
}

int32_t h2_client_request(struct h2_client *client, const char *path, const char *body,
                          size_t body_bytes, bool hold)
{
    const nghttp2_nv headers[] = {
        pair(":method", body != NULL || hold ? "POST" : "GET"),
        pair(":scheme", "http"),
        pair(":authority", "localhost"),
        pair(":path", path),
    };
    int32_t id = (int32_t)nghttp2_session_get_next_stream_id(client->frames);
    struct h2_client_stream *stream = h2_client_stream(client, id);
    stream->upload = body;
    stream->upload_bytes = body_bytes;
    stream->upload_held = hold;
    nghttp2_data_provider upload = {.source.ptr = stream, .read_callback = on_read_upload};
    assert_int_equal(nghttp2_submit_request(client->frames, NULL, headers, 4,
                                            body != NULL || hold ? &upload : NULL, NULL),
                     id);
    return id;
}

void h2_client_pump(struct h2_client *client)
{
    for (;;) {
        const uint8_t *bytes;
        ssize_t count = nghttp2_session_mem_send(client->frames, &bytes);
        assert_true(count >= 0);
        if (count == 0)
            break;
        http_client_send(&client->wire, bytes, (size_t)count);
    }
    http_client_pump(&client->wire);
    struct text *in = &client->wire.in;
    ssize_t used =
        nghttp2_session_mem_recv(client->frames, (const uint8_t *)text_string(in), in->count);
    assert_int_equal(used, in->count);
    text_reset(in);
}

void h2_client_await_closed(struct h2_client *client, int32_t id)
{
    const struct h2_client_stream *stream = h2_client_stream(client, id);
    for (unsigned turns = 0; !stream->closed && !client->wire.closed && turns < TURNS_MAX; turns++)
        h2_client_pump(client);
    assert_true(stream->closed);
}

void h2_client_await_seen(struct h2_client *client, unsigned count)
{
    struct http_fixture *fixture = client->wire.fixture;
    for (unsigned turns = 0; fixture->seen_count < count && turns < TURNS_MAX; turns++)
        h2_client_pump(client);
    assert_int_equal(fixture->seen_count, count);
}

/* -- TLS -- */

static void write_pem(char path[], EVP_PKEY *key, X509 *certificate)
{
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    FILE *file = fdopen(fd, "w");
    assert_non_null(file);
    if (certificate != NULL)
        assert_int_equal(PEM_write_X509(file, certificate), 1);
    else
        assert_int_equal(PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL), 1);
    assert_int_equal(fclose(file), 0);
}

void http_fixture_tls(struct tls_set **ret_server, SSL_CTX **ret_client)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    assert_non_null(key);
    assert_non_null(certificate);
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_set_pubkey(certificate, key);
    X509_NAME *name = X509_get_subject_name(certificate);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"localhost", -1, -1,
                               0);
    X509_set_issuer_name(certificate, name);
    assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);

    char certificate_file[] = "/tmp/http_fixture_XXXXXX", key_file[] = "/tmp/http_fixture_XXXXXX";
    write_pem(certificate_file, key, certificate);
    write_pem(key_file, key, NULL);
    struct error err = {0};
    const struct tls_pair pair = {.certificate = certificate_file, .key = key_file};
    const struct tls_pair swapped = {.certificate = key_file, .key = certificate_file};
    struct tls_settings settings = {.pairs = &pair, .pair_count = 1};
    *ret_server = tls_set_new(&settings, &err);
    assert_non_null(*ret_server);
    /* Key and certificate changed over: an error that names the file, and no context. */
    settings.pairs = &swapped;
    assert_null(tls_set_new(&settings, &err));
    assert_non_null(strstr(err.text, key_file));
    (void)unlink(certificate_file);
    (void)unlink(key_file);

    *ret_client = SSL_CTX_new(TLS_client_method());
    assert_non_null(*ret_client);
    assert_int_equal(X509_STORE_add_cert(SSL_CTX_get_cert_store(*ret_client), certificate), 1);
    SSL_CTX_set_verify(*ret_client, SSL_VERIFY_PEER, NULL);
    X509_free(certificate);
    EVP_PKEY_free(key);
}
