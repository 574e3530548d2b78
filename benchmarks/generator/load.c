/* Load for session services: many devices, some dashboards, one thread.
 *
 *     load stream|idle|storm|commands [--option value ...]
 *
 * stream    Devices send `update_data`, as fast as their window allows or at a rate. Every dashboard must
 *           get every sample exactly once: each sample carries a number of its own, and count and checksum
 *           of the numbers a dashboard got are compared with those of what was sent. Devices ask for an ack
 *           with every n-th event and with their last one, and all acks must come and say `ok`.
 * idle      Connections are opened, registered, and left alone: what do they cost, and what each second?
 * storm     Connections are opened and registered, dropped without a word, and all opened again at once.
 * commands  A dashboard sends `send_command` and waits for the result, which the device gives in its ack.
 *
 * Meanwhile the CPU time and the memory of the processes under observation are taken. One line of JSON
 * says what was found; the exit code is 0 whenever it does. The options stand in options.h. Who runs it, and
 * what the figures are compared with: benchmarks/trial.py. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "dialect.h"
#include "measure.h"
#include "options.h"
#include "samples.h"

#define SETUP_LIMIT_US 60000000ull /* for all clients to get ready, */
#define SETUP_EACH_US 10000        /* and for each of them */
#define AT_ONCE 16                 /* clients that are connecting at a time, but for a storm */
#define BURST 16                   /* events of one device before the next one's turn */

static struct client *clients; /* devices first */
static long acks, errors, acted, answered;
static uint64_t last_arrival_us;

/* -- what clients are told -- */

static uint64_t *command_sent_us; /* by number */

static void answer_command(struct client *device, const char *text)
{
    char answer[64];
    acted++;
    int size = sprintf(answer, "43%ld[{\"ok\":true,\"result\":1}]", atol(text + 1));
    client_send(device, answer, size);
    client_flush(device);
}

static void on_answer(struct client *client, long id, bool is_refused, const char *text, size_t size)
{
    last_arrival_us = now_us();
    if (is_refused) {
        if (!errors++)
            fprintf(stderr, "refused: %.*s\n", (int)size, text);
    } else if (command_sent_us) {
        answered++;
        note(&samples.delays, last_arrival_us - command_sent_us[id]);
    } else {
        acks++;
    }
    if (client->kind == DEVICE && id > client->acked)
        client->acked = id;
}

static void on_event(struct client *client, const char *text, size_t size)
{
    long received = client->received;
    if (client->kind == DASHBOARD)
        samples_take(client, text, size);
    else if (has(text, size < 40 ? size : 40, "[\"command\","))
        answer_command(client, text);
    else if (has(text, size < 400 ? size : 400, "service_error") && !errors++)
        fprintf(stderr, "told: %.*s\n", (int)(size < 400 ? size : 400), text);
    if (client->received != received) /* not with anything else: it may come for ever */
        last_arrival_us = now_us();
}

/* -- connecting -- */

static int client_count(void)
{
    return options.devices + options.dashboards;
}

static void make_clients(void)
{
    clients = calloc(client_count() + 1, sizeof *clients);
    for (int i = 0; i < client_count(); i++) {
        struct client *client = &clients[i];
        bool is_device = i < options.devices;
        client->kind = is_device ? DEVICE : DASHBOARD;
        client->number = is_device ? i : i - options.devices;
        const struct ports *ports = is_device ? &options.device_ports : &options.dashboard_ports;
        client->port = ports->list[client->number % ports->count];
    }
}

/* Connects all, at most `at_once` of them under way; whether all got ready. */
static bool connect_all(int at_once)
{
    uint64_t limit = now_us() + SETUP_LIMIT_US + client_count() * SETUP_EACH_US;
    for (int i = 0; i < client_count(); i++) {
        client_connect(&clients[i]);
        while (i + 1 - net.ready - net.failed >= at_once && now_us() < limit)
            pump(50);
    }
    while (net.ready + net.failed < client_count() && now_us() < limit)
        pump(50);
    return net.ready == client_count();
}

static bool has_stalled(void)
{
    return now_us() - last_arrival_us >= options.patience * 1e6;
}

static void rest(double seconds)
{
    for (uint64_t until = now_us() + seconds * 1e6; now_us() < until;)
        pump(20);
}

/* -- the report -- */

static double generator_cpu_us;

static void begin_measuring(void)
{
    for (int i = 0; i < options.watched_count; i++)
        mark(&options.watched[i]);
    generator_cpu_us = clock() * 1e6 / CLOCKS_PER_SEC;
}

static void report_processes(void)
{
    printf(",\"generator_us\":%.0f,\"processes\":{", clock() * 1e6 / CLOCKS_PER_SEC - generator_cpu_us);
    for (int i = 0; i < options.watched_count; i++) {
        struct process *process = &options.watched[i];
        printf("%s\"%s\":{\"cpu_us\":%.0f,\"memory_kb\":%ld,\"memory_grown_kb\":%ld}", i ? "," : "",
               process->name, cpu_us(process->pid) - process->cpu_us, memory_kb(process->pid),
               memory_kb(process->pid) - process->memory_kb);
    }
    printf("}");
}

static void report(double seconds)
{
    printf("{\"mode\":\"%s\",\"seconds\":%.4f,\"failed\":%ld,\"errors\":%ld,\"p50_ms\":%.3f,\"p99_ms\":%.3f",
           mode_names[options.mode], seconds, net.failed, errors, quantile_ms(&samples.delays, .5),
           quantile_ms(&samples.delays, .99));
    report_processes();
}

/* -- the modes -- */

/* What processes use while nothing is asked of them, us of CPU per second. */
static void measure_baseline(double *used)
{
    begin_measuring();
    uint64_t began = now_us();
    rest(options.baseline);
    double seconds = (now_us() - began) / 1e6;
    for (int i = 0; i < options.watched_count; i++) {
        struct process *process = &options.watched[i];
        used[i] = options.baseline > 0 ? (cpu_us(process->pid) - process->cpu_us) / seconds : 0;
    }
}

static void report_baseline(const double *used)
{
    for (int i = 0; i < options.watched_count; i++)
        printf("%s\"%s\":%.0f", i ? "," : "", options.watched[i].name, used[i]);
}

static long send_at_rate(uint64_t began, uint64_t until)
{
    long sent = 0;
    while (now_us() < until && sent < options.events && !net.failed) {
        long due = (now_us() - began) * options.rate / 1e6;
        bool is_idle = true;
        for (; sent < due && sent < options.events; sent++, is_idle = false) {
            struct client *device = &clients[sent % options.devices];
            samples_send(device, (device->sent + 1) % options.ack_every == 0);
            client_flush(device);
        }
        pump(is_idle ? 1 : 0);
    }
    return sent;
}

static long send_saturated(uint64_t until)
{
    long sent = 0;
    while (now_us() < until && sent < options.events && !net.failed) {
        bool is_idle = true;
        for (int i = 0; i < options.devices; i++) {
            struct client *device = &clients[i];
            int burst = 0;
            while (burst < BURST && sent < options.events && device->out.size < 16384 &&
                   device->sent - device->acked < options.window) {
                samples_send(device, (device->sent + 1) % options.ack_every == 0);
                burst++;
                sent++;
            }
            if (burst) {
                client_flush(device);
                is_idle = false;
            }
        }
        pump(is_idle ? 1 : 0);
    }
    return sent;
}

static int complete_dashboards(void)
{
    int complete = 0;
    for (int i = options.devices; i < client_count(); i++)
        complete += samples_complete(&clients[i]);
    return complete;
}

static void run_stream(void)
{
    double baseline[PROCESSES];
    rest(.4);
    measure_baseline(baseline);
    begin_measuring();
    uint64_t began = now_us(), until = began + options.seconds * 1e6;
    long sent = options.rate > 0 ? send_at_rate(began, until) : send_saturated(until);
    for (int i = 0; i < options.devices; i++) /* an ack for the last event of each */
        if (clients[i].sent % options.ack_every && clients[i].state == READY) {
            samples_send(&clients[i], true);
            client_flush(&clients[i]);
            sent++;
        }
    last_arrival_us = now_us();
    bool is_complete = false;
    while (!is_complete && !net.failed && !has_stalled()) {
        pump(2);
        is_complete = acks + errors >= samples.expected_acks && complete_dashboards() == options.dashboards;
    }
    long received = 0;
    for (int i = options.devices; i < client_count(); i++)
        received += clients[i].received;
    report((last_arrival_us - began) / 1e6);
    printf(",\"events\":%ld,\"samples\":%ld,\"delivered\":%ld,\"dashboards\":%d,\"complete_dashboards\":%d,"
           "\"conflated\":%ld,\"acks\":%ld,\"expected_acks\":%ld,\"baseline_us_per_s\":{",
           sent, samples.sent, received, options.dashboards, complete_dashboards(), samples.conflated, acks,
           samples.expected_acks);
    report_baseline(baseline);
    printf("},\"sent\":["); /* samples, by device */
    for (int i = 0; i < options.devices; i++)
        printf("%s%ld", i ? "," : "", clients[i].sent * options.samples);
    printf("]}\n");
}

static void run_idle(uint64_t began_us)
{
    double seconds = (now_us() - began_us) / 1e6;
    double used[PROCESSES];
    rest(2);
    report(seconds);
    printf(",\"connections\":%d,\"baseline_us_per_s\":{", client_count());
    measure_baseline(used);
    report_baseline(used);
    printf("}}\n");
}

static void on_ready_again(struct client *client)
{
    last_arrival_us = now_us();
    note(&samples.delays, last_arrival_us - client->began_us);
}

static void run_storm(void)
{
    rest(.5);
    net.on_ready = on_ready_again;
    begin_measuring();
    for (int i = 0; i < client_count(); i++)
        client_drop(&clients[i]);
    uint64_t began = now_us();
    connect_all(client_count() + 1);
    report((last_arrival_us - began) / 1e6);
    printf(",\"connections\":%d,\"registered\":%ld}\n", client_count(), net.ready);
}

static void run_commands(void)
{
    long count = options.rate * options.seconds, sent = 0;
    char text[200];
    command_sent_us = calloc(count + 1, sizeof *command_sent_us);
    rest(.4);
    begin_measuring();
    uint64_t began = now_us();
    last_arrival_us = began;
    while (sent < count || (answered + errors < sent && !has_stalled())) {
        for (long due = (now_us() - began) * options.rate / 1e6; sent < due && sent < count; sent++) {
            struct client *dashboard = &clients[options.devices + sent % options.dashboards];
            int size = sprintf(text,
                               "42%ld[\"send_command\",{\"device_id\":\"device-%05d\",\"command\":\"report\","
                               "\"wait\":\"result\"}]",
                               sent, (int)(sent % options.devices));
            command_sent_us[sent] = now_us();
            client_send(dashboard, text, size);
            client_flush(dashboard);
        }
        pump(1);
    }
    report((now_us() - began) / 1e6);
    printf(",\"commands\":%ld,\"acted\":%ld,\"answered\":%ld}\n", sent, acted, answered);
}

static void allow_many_files(void)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int count, char **values)
{
    options_read(count, values);
    allow_many_files();
    net_open();
    net.on_answer = on_answer;
    net.on_event = on_event;
    make_clients();
    begin_measuring();
    uint64_t began = now_us();
    if (!connect_all(AT_ONCE)) {
        fprintf(stderr, "only %ld of %d clients got ready; %s\n", net.ready, client_count(), net.failure);
        return 1;
    }
    switch (options.mode) {
    case STREAM: run_stream(); break;
    case IDLE: run_idle(began); break;
    case STORM: run_storm(); break;
    case COMMANDS: run_commands(); break;
    }
    if (net.failed)
        fprintf(stderr, "%s\n", net.failure);
    return 0;
}
