/* Clocks, what processes used, and how long things took. */
#ifndef MEASURE_H
#define MEASURE_H

#include <stdint.h>
#include <sys/types.h>

#define PROCESSES 16

/* Microseconds since 1970 that never jump back. */
uint64_t now_us(void);

/* A process under observation, by a name for the report. */
struct process {
    char name[32];
    pid_t pid;
    double cpu_us;  /* at the last `mark` */
    long memory_kb; /* at the last `mark` */
};

/* User and system time of a process with all its threads, also those that ended; 0: it is gone. */
double cpu_us(pid_t pid);

/* Resident memory; 0: it is gone. */
long memory_kb(pid_t pid);

/* Remembers what a process has used until now. */
void mark(struct process *process);

/* Counts of durations, exact below 128 us and to 1.6 % above, in constant memory. */
#define STEPS 64
#define BUCKETS (STEPS * 40)

struct histogram {
    uint64_t count;
    uint64_t counts[BUCKETS];
};

void note(struct histogram *histogram, uint64_t us);

/* The duration in ms that `part` (0 to 1) of all do not exceed; -1: there are none. */
double quantile_ms(const struct histogram *histogram, double part);

#endif
