/* Samples on their way: each carries when it was sent and a number of its own.
 *
 * A dashboard has got every sample exactly once when it has as many as were sent and the same checksum,
 * the sum of what `mix` makes of the numbers. */
#ifndef SAMPLES_H
#define SAMPLES_H

#include "client.h"
#include "measure.h"

extern struct samples {
    long sent;
    uint64_t checksum;       /* of what was sent */
    long expected_acks;      /* devices have asked for */
    long conflated;          /* batches of latest values only: the dashboard was too slow */
    struct histogram delays; /* from device to dashboard; in other modes of what they do */
} samples;

/* Puts the device's next `update_data` into its buffer. */
void samples_send(struct client *device, bool wants_ack);

/* Notes all samples in an event that a dashboard got: they are known by their form, wherever they stand. */
void samples_take(struct client *dashboard, const char *text, size_t size);

bool samples_complete(const struct client *dashboard);

#endif
