#define _GNU_SOURCE
#include "options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dialect.h"

struct options options = {.devices = 20, .dashboards = 1, .keys = 4, .samples = 1, .window = 100,
                          .ack_every = 10, .seconds = 5, .patience = 5, .events = 1000000000};

const char *const mode_names[] = {"stream", "idle", "storm", "commands", NULL};

static const struct option names[] = {{"device-ports", required_argument, 0, 'p'},
                                      {"dashboard-ports", required_argument, 0, 'd'},
                                      {"devices", required_argument, 0, 'n'},
                                      {"dashboards", required_argument, 0, 'm'},
                                      {"keys", required_argument, 0, 'k'},
                                      {"samples", required_argument, 0, 's'},
                                      {"window", required_argument, 0, 'w'},
                                      {"ack-every", required_argument, 0, 'a'},
                                      {"rate", required_argument, 0, 'r'},
                                      {"events", required_argument, 0, 'e'},
                                      {"seconds", required_argument, 0, 't'},
                                      {"patience", required_argument, 0, 'P'},
                                      {"baseline", required_argument, 0, 'b'},
                                      {"dialect", required_argument, 0, 'D'},
                                      {"watch", required_argument, 0, 'W'},
                                      {0, 0, 0, 0}};

static void refuse(const char *what, const char *value)
{
    fprintf(stderr, "%s%s\nload stream|idle|storm|commands --device-ports 5000,5001", what, value);
    for (const struct option *name = names + 1; name->name; name++)
        fprintf(stderr, " [--%s]", name->name);
    fprintf(stderr, "\n");
    exit(64);
}

static void read_ports(char *text, struct ports *ports)
{
    for (char *part = strtok(text, ","); part && ports->count < PORTS; part = strtok(NULL, ","))
        ports->list[ports->count++] = atoi(part);
}

static void read_watched(char *text)
{
    for (char *part = strtok(text, ","); part && options.watched_count < PROCESSES; part = strtok(NULL, ",")) {
        struct process *process = &options.watched[options.watched_count++];
        if (sscanf(part, "%31[^=]=%d", process->name, &process->pid) != 2)
            refuse("not name=pid: ", part);
    }
}

static void read_dialect(const char *name)
{
    if (!dialect_choose(name))
        refuse("no such dialect: ", name);
}

static void read_mode(const char *name)
{
    for (int mode = 0; mode_names[mode]; mode++)
        if (!strcmp(name, mode_names[mode])) {
            options.mode = mode;
            return;
        }
    refuse("no such mode: ", name);
}

void options_read(int count, char **values)
{
    int option;
    while ((option = getopt_long(count, values, "", names, NULL)) != -1) {
        switch (option) {
        case 'p': read_ports(optarg, &options.device_ports); break;
        case 'd': read_ports(optarg, &options.dashboard_ports); break;
        case 'n': options.devices = atoi(optarg); break;
        case 'm': options.dashboards = atoi(optarg); break;
        case 'k': options.keys = atoi(optarg); break;
        case 's': options.samples = atoi(optarg); break;
        case 'w': options.window = atoi(optarg); break;
        case 'a': options.ack_every = atoi(optarg); break;
        case 'r': options.rate = atof(optarg); break;
        case 'e': options.events = atol(optarg); break;
        case 't': options.seconds = atof(optarg); break;
        case 'P': options.patience = atof(optarg); break;
        case 'b': options.baseline = atof(optarg); break;
        case 'D': read_dialect(optarg); break;
        case 'W': read_watched(optarg); break;
        default: refuse("", "");
        }
    }
    if (optind + 1 != count)
        refuse("one mode is needed", "");
    read_mode(values[optind]);
    if (options.mode == COMMANDS && dialect != &socketio)
        refuse("commands are known to this dialect alone: ", socketio.name);
    if (!options.device_ports.count)
        refuse("--device-ports is needed", "");
    if (options.devices < 1 || options.keys < 1 || options.samples < 1 || options.ack_every < 1)
        refuse("at least 1 of each is needed", "");
    if (dialect->answers_all)
        options.ack_every = 1;
    if (!options.dashboard_ports.count)
        options.dashboard_ports = options.device_ports;
}
