/* Socket.IO: a client joins the namespace `/` and sends `register` or `register_vue`, which is acked with `ok`. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dialect.h"

/* An ack or an event may be long; what it says about refusals stands at its beginning. */
#define LOOKED_AT 400

static void on_open(struct client *client)
{
    client->state = OPENING; /* the server speaks first */
}

static void send_register(struct client *client)
{
    char text[64] = "420[\"register_vue\",{\"batch\":true}]";
    if (client->kind == DEVICE)
        snprintf(text, sizeof text, "420[\"register\",{\"device_id\":\"device-%05d\"}]", client->number);
    client_send(client, text, strlen(text));
}

/* A list of many sessions comes in pages, and changes after the last one: asks for the next page, if there is one. */
static bool asks_for_next_page(struct client *dashboard, const char *text, size_t size)
{
    static const char mark[] = "\"next\":\"", ask[] = "420[\"register_vue\",{\"page\":\"";
    const char *token = memmem(text, size, mark, sizeof mark - 1);
    if (!token)
        return false;
    token += sizeof mark - 1;
    const char *end = memchr(token, '"', text + size - token);
    char question[4096];
    int length = end ? snprintf(question, sizeof question, "%s%.*s\"}]", ask, (int)(end - token), token) : 0;
    if (!length || length >= (int)sizeof question) {
        client_fail(dashboard, "has a next page that cannot be asked for", token, text + size - token);
        return true;
    }
    client_send(dashboard, question, length);
    return true;
}

static bool is_refusal(const char *text, size_t size)
{
    return has(text, size, "\"ok\":false") || has(text, size, "\"ok\": false") || has(text, size, "service_error");
}

static void on_message(struct client *client, const char *text, size_t size)
{
    size_t looked_at = size < LOOKED_AT ? size : LOOKED_AT;
    if (*text == '3')
        net.on_answer(client, atol(text + 1), is_refusal(text, looked_at), text, looked_at);
    else
        net.on_event(client, text, size);
}

/* Engine.IO's packet types: 0 open, 1 close, 2 ping, 4 message. */
static void on_text(struct client *client, const char *text, size_t size)
{
    if (size == 1 && *text == '2') {
        client_send(client, "3", 1);
    } else if (client->state == OPENING && *text == '0') {
        client->state = JOINING;
        client_send(client, "40", 2);
    } else if (client->state == JOINING && begins(text, size, "40")) {
        client->state = REGISTERING;
        send_register(client);
    } else if (client->state == REGISTERING && begins(text, size, "430[")) {
        if (!has(text, size, "\"ok\":true") && !has(text, size, "\"ok\": true")) {
            client_fail(client, "refused", text, size);
            return;
        }
        if (!asks_for_next_page(client, text, size))
            client_is_ready(client);
    } else if (begins(text, size, "1") || begins(text, size, "41") || begins(text, size, "44")) {
        client_fail(client, "closed with", text, size);
        return;
    } else if (client->state == READY && *text == '4') {
        on_message(client, text + 1, size - 1);
        return; /* who answers flushes */
    }
    client_flush(client);
}

static int begin_update(char *text, const struct client *device, bool wants_ack)
{
    int size = wants_ack ? sprintf(text, "42%ld", device->sent) : sprintf(text, "42");
    return size + sprintf(text + size, "[\"update_data\",");
}

const struct dialect socketio = {.name = "socketio",
                                 .path = "/socket.io/?EIO=4&transport=websocket",
                                 .on_open = on_open,
                                 .on_text = on_text,
                                 .begin_update = begin_update,
                                 .end_update = "]"};
