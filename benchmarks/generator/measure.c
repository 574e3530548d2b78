#define _GNU_SOURCE
#include "measure.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

uint64_t now_us(void)
{
    static uint64_t offset;
    struct timespec now;
    if (!offset) {
        struct timespec steady;
        clock_gettime(CLOCK_REALTIME, &now);
        clock_gettime(CLOCK_MONOTONIC, &steady);
        offset = (now.tv_sec - steady.tv_sec) * 1000000ull + (now.tv_nsec - steady.tv_nsec) / 1000;
    }
    clock_gettime(CLOCK_MONOTONIC, &now);
    return offset + now.tv_sec * 1000000ull + now.tv_nsec / 1000;
}

/* The same sum as utime + stime of /proc/PID/stat, in nanoseconds instead of ticks of 10 ms. */
double cpu_us(pid_t pid)
{
    clockid_t clock;
    struct timespec used;
    if (clock_getcpuclockid(pid, &clock) || clock_gettime(clock, &used))
        return 0;
    return used.tv_sec * 1e6 + used.tv_nsec / 1e3;
}

long memory_kb(pid_t pid)
{
    char path[64], line[256];
    long found = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "r");
    if (!file)
        return 0;
    while (fgets(line, sizeof line, file))
        if (!strncmp(line, "VmRSS:", 6))
            found = atol(line + 6);
    fclose(file);
    return found;
}

void mark(struct process *process)
{
    process->cpu_us = cpu_us(process->pid);
    process->memory_kb = memory_kb(process->pid);
}

/* Below 2 x STEPS a bucket is 1 us; from there on each power of two has STEPS buckets. */
static int bucket_of(uint64_t us)
{
    if (us < 2 * STEPS)
        return us;
    int shift = 63 - __builtin_clzll(us) - 6;
    int bucket = (shift + 1) * STEPS + (us >> shift) - STEPS;
    return bucket < BUCKETS ? bucket : BUCKETS - 1;
}

static uint64_t top_of(int bucket)
{
    if (bucket < 2 * STEPS)
        return bucket;
    int shift = bucket / STEPS - 1;
    return ((uint64_t)(bucket % STEPS + STEPS + 1) << shift) - 1;
}

void note(struct histogram *histogram, uint64_t us)
{
    histogram->count++;
    histogram->counts[bucket_of(us)]++;
}

double quantile_ms(const struct histogram *histogram, double part)
{
    uint64_t wanted = histogram->count * part, seen = 0;
    if (!histogram->count)
        return -1;
    for (int bucket = 0; bucket < BUCKETS; bucket++) {
        seen += histogram->counts[bucket];
        if (seen > wanted)
            return top_of(bucket) / 1e3;
    }
    return top_of(BUCKETS - 1) / 1e3;
}
