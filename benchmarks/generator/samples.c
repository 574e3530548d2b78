#define _GNU_SOURCE
#include "samples.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dialect.h"
#include "options.h"

#define EVENT_ROOM (1 << 18)

struct samples samples;

/* Spreads a sample's number over 64 bits, so that sums of different sets of numbers differ. */
static uint64_t mix(uint64_t number)
{
    number = (number + 0x9e3779b97f4a7c15ull) * 0xbf58476d1ce4e5b9ull;
    number = (number ^ number >> 27) * 0x94d049bb133111ebull;
    return number ^ number >> 31;
}

static int write_value(char *text, uint64_t now)
{
    uint64_t number = samples.sent++;
    samples.checksum += mix(number);
    return sprintf(text, "{\"t\":%" PRIu64 ",\"v\":%" PRIu64 "}", now, number);
}

void samples_send(struct client *device, bool wants_ack)
{
    static char text[EVENT_ROOM];
    uint64_t now = now_us();
    device->sent++;
    samples.expected_acks += wants_ack;
    int size = dialect->begin_update(text, device, wants_ack); /* its id says which events the ack covers */
    size += sprintf(text + size, "{\"device_id\":\"device-%05d\",", device->number);
    if (options.samples == 1) {
        size += sprintf(text + size, "\"key\":\"metric_%d\",\"value\":", device->key++ % options.keys);
        size += write_value(text + size, now);
    } else {
        size += sprintf(text + size, "\"samples\":");
        for (int i = 0; i < options.samples; i++) {
            size += sprintf(text + size, "%c[\"metric_%d\",", i ? ',' : '[', device->key++ % options.keys);
            size += write_value(text + size, now);
            text[size++] = ']';
        }
        text[size++] = ']';
    }
    size += sprintf(text + size, "}%s", dialect->end_update);
    client_send(device, text, size);
}

static const char *read_number(const char *at, uint64_t *number)
{
    char *end;
    *number = strtoull(at, &end, 10);
    return end;
}

void samples_take(struct client *dashboard, const char *text, size_t size)
{
    const char *at = text, *end = text + size;
    uint64_t now = now_us(), sent_us, number;
    while ((at = memmem(at, end - at, "\"t\":", 4))) {
        at = read_number(at + 4, &sent_us);
        at = memmem(at, end - at, "\"v\":", 4);
        if (!at)
            break;
        at = read_number(at + 4, &number);
        dashboard->received++;
        dashboard->checksum += mix(number);
        note(&samples.delays, now > sent_us ? now - sent_us : 0);
    }
    if (memmem(text, size, "\"conflated\":true", 16))
        samples.conflated++;
}

bool samples_complete(const struct client *dashboard)
{
    return dashboard->received == samples.sent && dashboard->checksum == samples.checksum;
}
