/* How clients and a server talk in the frames of a websocket. */
#ifndef DIALECT_H
#define DIALECT_H

#include "client.h"

struct dialect {
    const char *name, *path;
    bool answers_all; /* every update is answered, asked or not */
    void (*on_open)(struct client *client); /* the websocket is there */
    void (*on_text)(struct client *client, const char *text, size_t size); /* of a whole frame */
    /* Writes what stands before an update's JSON, and says how long it is; `end_update` stands behind it. The answer
     * has the number of the device's update for its id. */
    int (*begin_update)(char *text, const struct client *device, bool wants_ack);
    const char *end_update;
};

extern const struct dialect socketio, centrifugo;

/* The one of this run. */
extern const struct dialect *dialect;

/* Chooses it by its name; whether there is one. */
bool dialect_choose(const char *name);

/* What dialects look for in texts. */
bool begins(const char *text, size_t size, const char *with);
bool has(const char *text, size_t size, const char *part);

#endif
