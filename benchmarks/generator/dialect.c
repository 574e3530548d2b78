#define _GNU_SOURCE
#include "dialect.h"

#include <string.h>

static const struct dialect *const dialects[] = {&socketio, &centrifugo};

const struct dialect *dialect = &socketio;

bool dialect_choose(const char *name)
{
    for (size_t i = 0; i < sizeof dialects / sizeof *dialects; i++)
        if (!strcmp(name, dialects[i]->name)) {
            dialect = dialects[i];
            return true;
        }
    return false;
}

bool begins(const char *text, size_t size, const char *with)
{
    size_t length = strlen(with);
    return size >= length && !memcmp(text, with, length);
}

bool has(const char *text, size_t size, const char *part)
{
    return memmem(text, size, part, strlen(part)) != NULL;
}
