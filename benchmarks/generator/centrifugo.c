/* Centrifugo's JSON protocol: a device publishes to a channel of its own, a dashboard subscribes to those of all
 * devices, with recovery. Commands have ids, and every one of them is answered; a frame has one message a line. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dialect.h"
#include "options.h"

#define PUSH "{\"push\":"

static void send_line(struct client *client, const char *text)
{
    client_send(client, text, strlen(text));
}

static void on_open(struct client *client)
{
    client->state = JOINING;
    send_line(client, "{\"id\":1,\"connect\":{}}");
}

static void subscribe(struct client *dashboard)
{
    char text[100];
    dashboard->state = REGISTERING;
    dashboard->awaited = options.devices;
    for (int i = 0; i < options.devices; i++) {
        snprintf(text, sizeof text, "{\"id\":%d,\"subscribe\":{\"channel\":\"device-%05d\",\"recoverable\":true}}", i + 2, i);
        send_line(dashboard, text);
    }
}

static void on_answer(struct client *client, const char *line, size_t size)
{
    bool is_refused = has(line, size < 40 ? size : 40, "\"error\":");
    if (client->state == READY)
        net.on_answer(client, atol(line + strlen("{\"id\":")), is_refused, line, size);
    else if (is_refused)
        client_fail(client, "refused", line, size);
    else if (client->state == JOINING && client->kind == DASHBOARD)
        subscribe(client);
    else if (client->state == JOINING || --client->awaited == 0)
        client_is_ready(client);
}

static void on_line(struct client *client, const char *line, size_t size)
{
    if (size == 2)
        send_line(client, "{}"); /* a ping */
    else if (begins(line, size, "{\"id\":"))
        on_answer(client, line, size);
    else if (begins(line, size, PUSH "{\"disconnect\""))
        client_fail(client, "closed with", line, size);
    else if (client->state == READY)
        net.on_event(client, line, size);
}

static void on_text(struct client *client, const char *text, size_t size)
{
    const char *end = text + size;
    while (text < end && client->state != CLOSED) {
        const char *next = memchr(text, '\n', end - text);
        if (!next)
            next = end;
        if (next > text)
            on_line(client, text, next - text);
        text = next + 1;
    }
    if (client->out.size)
        client_flush(client);
}

static int begin_update(char *text, const struct client *device, bool wants_ack)
{
    (void)wants_ack;
    return sprintf(text, "{\"id\":%ld,\"publish\":{\"channel\":\"device-%05d\",\"data\":", device->sent, device->number);
}

const struct dialect centrifugo = {.name = "centrifugo",
                                   .path = "/connection/websocket",
                                   .answers_all = true,
                                   .on_open = on_open,
                                   .on_text = on_text,
                                   .begin_update = begin_update,
                                   .end_update = "}}"};
