#include "examples/common/drive.h"

#include <inttypes.h>
#include <nats/nats.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/keys/keys.h"
#include "base/str.h"
#include "base/units.h"
#include "examples/shop/ask.h"
#include "examples/shop/service.h"

#define SUBJECT_BYTES 160
#define TIMEOUT_US    INT64_C(20000000)
#define SITES         4 /* that answer one group within a second */

struct tally {
    int64_t sent;
    int64_t answered;
    struct {
        char name[DRIVE_SITE_BYTES];
        int64_t count;
    } sites[SITES];
};

struct run {
    struct drive *drive;
    const char *url;
    const char *seed_path;
    int64_t seconds;
    bool asks[DRIVE_GROUPS];
    char subjects[DRIVE_GROUPS][SUBJECT_BYTES];
    natsConnection *connection;
    struct asker *asker;
    char *request;
    pthread_mutex_t lock; /* over what follows: answers come on a thread of nats.c */
    struct tally tallies[DRIVE_GROUPS];
    int64_t wrong;
    int64_t refused;
    int64_t lost;
    int64_t waiting;
};

/* One request, on its way to the first of the subjects that has somebody. */
struct question {
    struct run *run;
    int group;
    int tried; /* subjects, the group's own first */
    int64_t index;
    int bytes;
    char data[];
};

static volatile sig_atomic_t later;
static volatile sig_atomic_t ended;

static int read_options(struct run *run, int argc, char **argv);
static bool read_groups(struct run *run, const char *list);
static void name_subjects(struct run *run);
static natsStatus open_connection(struct run *run);
static void send_due(struct run *run, int group, int64_t elapsed_us);
static void ask_next(struct question *question);
static void on_answer(void *context, natsMsg *answer);
static void count_site(struct tally *tally, const char *site);
static void print_line(struct run *run, bool final);
static void on_signal(int number);

int drive_run(struct drive *drive, int argc, char **argv)
{
    static struct run run = {
        .url = "nats://127.0.0.1:4222", .seconds = 10, .lock = PTHREAD_MUTEX_INITIALIZER};
    run.drive = drive;
    for (int i = 0; i < drive->group_count; i++)
        run.asks[i] = true;
    if (read_options(&run, argc, argv) < 0)
        return 2;
    name_subjects(&run);
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGUSR1, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    run.request = malloc(DRIVE_BYTES_MAX);
    natsStatus status = run.request == NULL ? NATS_NO_MEMORY : open_connection(&run);
    if (status == NATS_OK)
        status = ask_open(run.connection, &run.asker);
    if (status != NATS_OK) {
        fprintf(stderr, "connect to %s: %s\n", run.url, natsStatus_GetText(status));
        return 2;
    }
    int64_t begun_us = service_now_us();
    int64_t print_at_us = begun_us + US_PER_S;
    int64_t sweep_at_us = begun_us;
    bool sending = true;
    for (int64_t waiting = 1; sending || waiting > 0;) {
        int64_t elapsed_us = service_now_us() - begun_us;
        drive->later = later != 0;
        sending = !ended && elapsed_us < run.seconds * US_PER_S;
        for (int group = 0; sending && group < drive->group_count; group++)
            send_due(&run, group, elapsed_us);
        if (service_now_us() >= sweep_at_us) { /* ends every question, so that this loop ends */
            sweep_at_us += US_PER_S / 4;
            ask_sweep(run.asker);
        }
        if (begun_us + elapsed_us >= print_at_us) {
            print_at_us += US_PER_S;
            print_line(&run, false);
        }
        pthread_mutex_lock(&run.lock);
        waiting = run.waiting;
        pthread_mutex_unlock(&run.lock);
        nats_Sleep(5);
    }
    print_line(&run, true);
    ask_close(run.asker);
    natsConnection_Destroy(run.connection);
    nats_Close();
    free(run.request);
    return run.wrong + run.refused + run.lost == 0 ? 0 : 1;
}

static int read_options(struct run *run, int argc, char **argv)
{
    for (int i = 1; i < argc; i += 2) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        int64_t number = 0;
        bool positive = str_to_i64(value, &number) == 0 && number > 0 && number <= 100000;
        if (str_equal(argv[i], "--url"))
            run->url = value;
        else if (str_equal(argv[i], "--seed"))
            run->seed_path = value;
        else if (str_equal(argv[i], "--inbox") && setenv("BERTH_INBOX_PREFIX", value, 1) == 0)
            continue;
        else if (str_equal(argv[i], "--workload"))
            run->drive->workload = value;
        else if (str_equal(argv[i], "--seconds") && positive)
            run->seconds = number;
        else if (str_equal(argv[i], "--rate") && positive)
            run->drive->rate_mhz = number * 1000;
        else if (!str_equal(argv[i], "--groups") || !read_groups(run, value)) {
            fprintf(stderr,
                    "usage: %s [--url URL] [--seed FILE] [--inbox PREFIX] [--seconds N] "
                    "[--rate N] [--groups A,B] [--workload NAME]\n",
                    argv[0]);
            return -1;
        }
    }
    return 0;
}

static bool read_groups(struct run *run, const char *list)
{
    const struct drive *drive = run->drive;
    memset(run->asks, 0, sizeof run->asks);
    while (*list != '\0') {
        size_t bytes = strcspn(list, ",");
        int group = 0;
        while (group < drive->group_count && (strlen(drive->groups[group]) != bytes ||
                                              strncmp(drive->groups[group], list, bytes) != 0))
            group++;
        if (group == drive->group_count)
            return false;
        run->asks[group] = true;
        list += bytes + (list[bytes] == ',' ? 1 : 0);
    }
    return true;
}

static void name_subjects(struct run *run)
{
    const struct drive *drive = run->drive;
    for (int i = 0; i < drive->group_count; i++)
        str_format(run->subjects[i], sizeof run->subjects[i], "svc.default.%s%s%s", drive->workload,
                   drive->split ? "--" : "", drive->split ? drive->groups[i] : "");
}

static natsStatus open_connection(struct run *run)
{
    natsOptions *options = NULL;
    natsStatus status = natsOptions_Create(&options);
    if (status == NATS_OK)
        status = natsOptions_SetURL(options, run->url);
    if (status == NATS_OK)
        status = natsOptions_SetMaxReconnect(options, -1);
    if (status == NATS_OK && run->seed_path != NULL) {
        char public_key[NKEY_TEXT_BYTES] = "";
        struct error err = {0};
        if (keys_init(&err) < 0 || nkey_file_public(run->seed_path, public_key, &err) < 0) {
            fprintf(stderr, "%s\n", err.text);
            natsOptions_Destroy(options);
            return NATS_INVALID_ARG;
        }
        status = natsOptions_SetNKeyFromSeed(options, public_key, run->seed_path);
    }
    /* nats.c 3.4 leaves out one signature of 256, which the server refuses: the next one counts. */
    natsStatus set_up = status;
    for (int i = 0; set_up == NATS_OK && i < 4; i++) {
        status = natsConnection_Connect(&run->connection, options);
        if (status != NATS_CONNECTION_AUTH_FAILED)
            break;
    }
    natsOptions_Destroy(options);
    return status;
}

/* An open loop: what is due is sent, whatever came back. */
static void send_due(struct run *run, int group, int64_t elapsed_us)
{
    struct drive *drive = run->drive;
    struct tally *tally = &run->tallies[group];
    int64_t due = run->asks[group] ? elapsed_us / 1000 * drive->rate_mhz / 1000000 + 1 : 0;
    while (tally->sent < due) {
        int bytes = drive->make(drive, group, tally->sent, run->request);
        struct question *question = malloc(sizeof *question + (size_t)bytes);
        if (question == NULL)
            return; /* due still, at the next turn */
        *question =
            (struct question){.run = run, .group = group, .index = tally->sent, .bytes = bytes};
        memcpy(question->data, run->request, (size_t)bytes);
        pthread_mutex_lock(&run->lock);
        tally->sent++;
        run->waiting++;
        pthread_mutex_unlock(&run->lock);
        ask_next(question);
    }
}

static void ask_next(struct question *question)
{
    struct run *run = question->run;
    /* 0 is the group's own; 1, 2, ... all the others in their order. */
    int at = question->tried++;
    int subject = at == 0 ? question->group : at <= question->group ? at - 1 : at;
    ask_send(run->asker, run->subjects[subject], question->data, question->bytes, TIMEOUT_US,
             on_answer, question);
}

static void on_answer(void *context, natsMsg *answer)
{
    struct question *question = context;
    struct run *run = question->run;
    const struct drive *drive = run->drive;
    char site[DRIVE_SITE_BYTES] = "";
    const char *error = NULL;
    if (answer != NULL && natsMsg_IsNoResponders(answer) && drive->split &&
        question->tried < drive->group_count) {
        ask_next(question);
        return;
    }
    bool refused =
        answer != NULL && (natsMsg_IsNoResponders(answer) ||
                           natsMsgHeader_Get(answer, "Nats-Service-Error", &error) == NATS_OK);
    bool right = answer != NULL && !refused &&
                 drive->judge(drive, question->group, question->index, natsMsg_GetData(answer),
                              natsMsg_GetDataLength(answer), site);
    pthread_mutex_lock(&run->lock);
    run->waiting--;
    if (answer == NULL)
        run->lost++;
    else if (refused)
        run->refused++;
    else if (!right)
        run->wrong++;
    else {
        run->tallies[question->group].answered++;
        count_site(&run->tallies[question->group], site);
    }
    pthread_mutex_unlock(&run->lock);
    free(question);
}

static void count_site(struct tally *tally, const char *site)
{
    for (int i = 0; i < SITES; i++) {
        if (tally->sites[i].count == 0)
            str_format(tally->sites[i].name, sizeof tally->sites[i].name, "%s", site);
        if (str_equal(tally->sites[i].name, site)) {
            tally->sites[i].count++;
            return;
        }
    }
}

static void print_line(struct run *run, bool final)
{
    const struct drive *drive = run->drive;
    int64_t sent = 0;
    int64_t answered = 0;
    pthread_mutex_lock(&run->lock);
    for (int i = 0; i < drive->group_count; i++) {
        sent += run->tallies[i].sent;
        answered += run->tallies[i].answered;
    }
    printf("{\"sent\":%" PRId64 ",\"answered\":%" PRId64 ",\"wrong\":%" PRId64
           ",\"refused\":%" PRId64 ",\"lost\":%" PRId64 ",\"from\":{",
           sent, answered, run->wrong, run->refused, run->lost);
    const char *comma = "";
    for (int i = 0; i < drive->group_count; i++) {
        struct tally *tally = &run->tallies[i];
        for (int k = 0; k < SITES && tally->sites[k].count > 0; k++) {
            printf("%s\"%s at %s\":%" PRId64, comma, drive->groups[i], tally->sites[k].name,
                   tally->sites[k].count);
            comma = ",";
        }
        memset(tally->sites, 0, sizeof tally->sites);
    }
    printf("},\"final\":%s}\n", final ? "true" : "false");
    fflush(stdout);
    pthread_mutex_unlock(&run->lock);
}

static void on_signal(int number)
{
    if (number == SIGUSR1)
        later = 1;
    else
        ended = 1;
}
