/* Clients over non-blocking websockets on loopback, all in one thread.
 *
 * A client connects, upgrades, and gets READY in the words of its dialect (dialect.h). Frames are expected whole (no
 * continuation), which is what all servers of the benchmark send. */
#ifndef CLIENT_H
#define CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum kind { DEVICE, DASHBOARD };
enum state { CLOSED, UPGRADING, OPENING, JOINING, REGISTERING, READY };

struct buffer {
    char *data;
    size_t size, room;
};

struct client {
    int fd, number, port;
    enum kind kind;
    enum state state;
    struct buffer in;  /* the beginning of a frame whose end has not come */
    struct buffer out; /* what the socket would not take yet */
    bool is_writing;   /* told when the socket takes more */
    uint64_t began_us; /* when it began to connect */
    long sent, acked;  /* events of a device; how many of them acks have covered */
    int key;           /* of the next sample */
    int awaited;       /* answers that are missing until it is READY, where there are several */
    long received;     /* samples a dashboard got */
    uint64_t checksum; /* of these, see load.c */
};

struct net {
    int epoll;
    long ready;  /* clients that got to READY */
    long failed; /* clients that were refused, closed, or answered with an error */
    char failure[300]; /* what the first of them was told */
    void (*on_ready)(struct client *client);
    /* An answer to what the client sent with this id; the text says what. */
    void (*on_answer)(struct client *client, long id, bool is_refused, const char *text, size_t size);
    /* Anything else that a READY client is sent. Who answers flushes. */
    void (*on_event)(struct client *client, const char *text, size_t size);
};

extern struct net net;

void net_open(void);

/* Begins to connect; the rest happens in `pump`. */
void client_connect(struct client *client);

/* It has registered. */
void client_is_ready(struct client *client);

/* Counts a client that cannot go on, and closes it. */
void client_fail(struct client *client, const char *what, const char *text, size_t size);

/* Closes the socket at once, without a word. */
void client_drop(struct client *client);

/* Puts a text frame into the buffer; `client_flush` writes it. */
void client_send(struct client *client, const char *text, size_t size);
void client_flush(struct client *client);

/* Waits up to `wait_ms` for something to happen, and lets all of it happen. */
void pump(int wait_ms);

#endif
