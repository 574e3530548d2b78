#define _GNU_SOURCE
#include "client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dialect.h"
#include "measure.h"

#define READ_SIZE (1 << 20)
#define PER_ADDRESS 20000
enum opcode { TEXT = 1, CLOSE = 8, PING = 9, PONG = 10 };

struct net net;

/* All clients read into this one, so that an idle one costs no buffer. */
static char incoming[READ_SIZE + 1];

static void append(struct buffer *buffer, const void *data, size_t size)
{
    if (buffer->size + size > buffer->room) {
        buffer->room = (buffer->size + size) * 2;
        buffer->data = realloc(buffer->data, buffer->room);
        if (!buffer->data)
            exit(70);
    }
    memcpy(buffer->data + buffer->size, data, size);
    buffer->size += size;
}

static void take(struct buffer *buffer, size_t size)
{
    buffer->size -= size;
    if (buffer->size)
        memmove(buffer->data, buffer->data + size, buffer->size);
}

void net_open(void)
{
    net.epoll = epoll_create1(EPOLL_CLOEXEC);
}

void client_fail(struct client *client, const char *what, const char *text, size_t size)
{
    if (!net.failed)
        snprintf(net.failure, sizeof net.failure, "%s %d in state %d: %s %.*s",
                 client->kind == DEVICE ? "device" : "dashboard", client->number, client->state, what,
                 (int)(size < 200 ? size : 200), text);
    net.failed++;
    client_drop(client);
}

void client_is_ready(struct client *client)
{
    client->state = READY;
    net.ready++;
    if (net.on_ready)
        net.on_ready(client);
}

void client_drop(struct client *client)
{
    if (client->state == CLOSED)
        return;
    if (client->state == READY)
        net.ready--;
    client->state = CLOSED;
    close(client->fd); /* epoll forgets it */
    free(client->in.data);
    free(client->out.data);
    memset(&client->in, 0, sizeof client->in);
    memset(&client->out, 0, sizeof client->out);
    client->is_writing = false;
}

void client_connect(struct client *client)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(client->port)};
    char request[300];
    int one = 1;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    client->began_us = now_us();
    client->state = UPGRADING;
    client->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (client->fd < 0) {
        perror("socket");
        exit(71);
    }
    setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (client->number >= PER_ADDRESS) { /* an address has some 28,000 ports only */
        struct sockaddr_in from = {.sin_family = AF_INET};
        from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + client->number / PER_ADDRESS);
        setsockopt(client->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
        if (bind(client->fd, (void *)&from, sizeof from)) {
            perror("bind");
            exit(71);
        }
    }
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = client};
    epoll_ctl(net.epoll, EPOLL_CTL_ADD, client->fd, &event);
    client->is_writing = true;
    int size = snprintf(request, sizeof request,
                        "GET %s HTTP/1.1\r\n"
                        "Host: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
                        dialect->path, client->port);
    append(&client->out, request, size);
    if (connect(client->fd, (void *)&address, sizeof address) && errno != EINPROGRESS)
        client_fail(client, strerror(errno), "", 0);
}

void client_flush(struct client *client)
{
    while (client->state != CLOSED && client->out.size) {
        ssize_t done = send(client->fd, client->out.data, client->out.size, MSG_NOSIGNAL);
        if (done > 0)
            take(&client->out, done);
        else if (errno == EAGAIN || errno == ENOTCONN)
            break;
        else if (errno != EINTR)
            client_fail(client, strerror(errno), "", 0);
    }
    bool is_writing = client->out.size > 0;
    if (client->state != CLOSED && is_writing != client->is_writing) {
        struct epoll_event event = {.events = EPOLLIN | (is_writing ? EPOLLOUT : 0), .data.ptr = client};
        epoll_ctl(net.epoll, EPOLL_CTL_MOD, client->fd, &event);
        client->is_writing = is_writing;
    }
}

/* A frame of a client: whole, and masked as it must be, with a key that is none of zeros. */
static void send_frame(struct client *client, enum opcode opcode, const char *data, size_t size)
{
    static const unsigned char key[4] = {0x37, 0xfa, 0x21, 0x3d};
    unsigned char head[14] = {0x80 | opcode};
    size_t length = 2;
    if (size < 126) {
        head[1] = 0x80 | size;
    } else if (size < 65536) {
        head[1] = 0x80 | 126;
        head[2] = size >> 8;
        head[3] = size;
        length = 4;
    } else {
        head[1] = 0x80 | 127;
        for (int i = 0; i < 8; i++)
            head[2 + i] = (uint64_t)size >> (56 - 8 * i);
        length = 10;
    }
    memcpy(head + length, key, 4);
    append(&client->out, head, length + 4);
    append(&client->out, data, size);
    char *payload = client->out.data + client->out.size - size;
    for (size_t i = 0; i < size; i++)
        payload[i] ^= key[i & 3];
}

void client_send(struct client *client, const char *text, size_t size)
{
    send_frame(client, TEXT, text, size);
}

static void on_frame(struct client *client, enum opcode opcode, char *data, size_t size)
{
    if (opcode == TEXT)
        dialect->on_text(client, data, size);
    else if (opcode == PING)
        send_frame(client, PONG, data, size);
    else if (opcode != PONG)
        client_fail(client, opcode == CLOSE ? "closed by the server" : "sent a frame of another kind", "", 0);
}

/* Takes whole frames (or the answer to the upgrade) from `data`; how many bytes that were. */
static size_t parse(struct client *client, char *data, size_t size)
{
    size_t at = 0;
    if (client->state == UPGRADING) {
        char *end = memmem(data, size, "\r\n\r\n", 4);
        if (!end)
            return 0;
        if (!memmem(data, end - data, " 101 ", 5)) {
            client_fail(client, "no upgrade:", data, end - data);
            return size;
        }
        dialect->on_open(client);
        client_flush(client);
        at = end + 4 - data;
    }
    while (client->state != CLOSED && size - at >= 2) {
        unsigned char *head = (unsigned char *)data + at;
        uint64_t length = head[1] & 127;
        size_t begin = length == 126 ? 4 : length == 127 ? 10 : 2;
        if (size - at < begin)
            break;
        if (begin > 2) {
            length = 0;
            for (size_t i = 2; i < begin; i++)
                length = length << 8 | head[i];
        }
        if (size - at < begin + length)
            break;
        if (!(head[0] & 0x80))
            client_fail(client, "sent a fragment", "", 0);
        else
            on_frame(client, head[0] & 15, (char *)head + begin, length);
        at += begin + length;
    }
    return at;
}

static void on_readable(struct client *client)
{
    ssize_t size;
    do {
        size = read(client->fd, incoming, READ_SIZE);
        if (size < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (size <= 0) {
            client_fail(client, size ? strerror(errno) : "closed", "", 0);
            return;
        }
        if (client->in.size) {
            append(&client->in, incoming, size);
            size_t taken = parse(client, client->in.data, client->in.size);
            if (client->state != CLOSED)
                take(&client->in, taken);
        } else {
            size_t taken = parse(client, incoming, size);
            if (client->state != CLOSED && taken < (size_t)size)
                append(&client->in, incoming + taken, size - taken);
        }
    } while (client->state != CLOSED && size == READ_SIZE);
}

void pump(int wait_ms)
{
    struct epoll_event events[512];
    int count = epoll_wait(net.epoll, events, 512, wait_ms);
    for (int i = 0; i < count; i++) {
        struct client *client = events[i].data.ptr;
        if (client->state != CLOSED && events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
            on_readable(client);
        if (client->state != CLOSED && events[i].events & EPOLLOUT)
            client_flush(client);
    }
}
