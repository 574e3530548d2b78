/* What a run is to do, from the command line; `--dialect` chooses the one of dialect.h. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include "measure.h"

#define PORTS 16

struct ports {
    int count, list[PORTS];
};

struct options {
    enum mode { STREAM, IDLE, STORM, COMMANDS } mode;
    struct ports device_ports;    /* devices take turns */
    struct ports dashboard_ports; /* left out: those of the devices */
    int devices, dashboards;
    int keys;        /* data keys of a device, which take turns */
    int samples;     /* per event */
    int window;      /* events of a device that may be without an ack, where there is no rate */
    int ack_every;   /* n-th event of a device asks for an ack */
    double rate;     /* events or commands per second, of all clients; 0: as fast as it goes */
    long events;     /* no more than these */
    double seconds;  /* of load */
    double patience; /* seconds without an arrival after which nothing more will come */
    double baseline; /* seconds of quiet before it, to see what a process uses anyway */
    struct process watched[PROCESSES]; /* name=pid,name=pid */
    int watched_count;
};

extern struct options options;
extern const char *const mode_names[];

/* Reads the command line; ends the program with 64 when it is wrong. */
void options_read(int count, char **values);

#endif
