#include "tests/bench/handoff/drive.h"

#include <inttypes.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/bus/subjects.h"
#include "base/clock.h"
#include "base/keys/keys.h"
#include "base/str.h"

#define TERM        (UINT64_C(1) << 40) /* above every scheduler's */
#define HOLD_US     (500 * US_PER_MS)
#define PROBES      3
#define ANSWER_US   (5 * US_PER_S)
#define LINGER_PART 4 /* a quarter of the round trip, and a margin, on top of it */
#define LINGER_US   (5 * US_PER_MS)

/* Of the program, since nodes remember the epochs and names of earlier drives. */
static uint64_t epoch_last;
static int copy_last;

struct question {
    struct drive *drive;
    const char *identity; /* NULL: a command's answer */
    bool right;
};

static bool is_own(const struct drive_line *line, const struct bus_message *message);
static void on_beat(void *context, const struct bus_message *message);
static void on_report(void *context, const struct bus_message *message);
static void on_answer(void *context, const struct bus_message *message);
static void take(struct drive *drive, const struct message_instance *instance);
static void turn(struct drive *drive);
static void command(struct drive *drive, enum node_verb verb, int instance);
static int start(struct drive *drive, int node);
static void until(struct drive *drive, int instance, enum instance_state state);
static void reach(struct drive *drive, int instance);
static void stop(struct drive *drive, int instance);
static const char *node_of(const struct drive *drive, int instance);

void drive_open(struct drive *drive, struct cluster *cluster, bool direct, const char *program,
                const char *const *args)
{
    *drive = (struct drive){.cluster = cluster, .serving = -1, .program = program, .args = args};
    for (int i = 0; i < CLUSTER_NODES; i++) {
        struct error err = {0};
        struct drive_line *line = &drive->lines[i];
        bool at_leaf = direct && i == CLUSTER_AWS;
        *line = (struct drive_line){.drive = drive, .node = i};
        line->bus = cluster_connect(cluster, CLUSTER_USER_SCHEDULER,
                                    at_leaf ? cluster->leaf.url : cluster->hub.url);
        char seed[700];
        cluster_user_seed(cluster, CLUSTER_USER_SCHEDULER, seed);
        if (proof_link_open(
                &(struct proof_options){.at = PROOF_AT_SCHEDULER,
                                        .kind = "node",
                                        .name = cluster->nodes[i].name,
                                        .seed_path = seed,
                                        .peer_public =
                                            cluster->users[CLUSTER_USER_GCP + i].public_key},
                &line->link, &err) < 0)
            fail_msg("%s", err.text);
        /* A beat says as well as a hello that the node is there and takes commands. */
        if (bus_subscribe(line->bus, SUBJECT_NODE_BEAT, NULL, on_beat, line, NULL, &err) < 0 ||
            bus_subscribe(line->bus, SUBJECT_NODE_REPORT, NULL, on_report, line, NULL, &err) < 0)
            fail_msg("%s", err.text);
    }
    int64_t until_us = clock_mono_now().us + CLUSTER_WAIT_US;
    while (!drive->lines[0].hello || !drive->lines[1].hello) {
        turn(drive);
        if (clock_mono_now().us > until_us) {
            cluster_log_print(cluster, "gcp");
            cluster_log_print(cluster, "aws");
            fail_msg("a node does not say hello");
        }
    }
}

void drive_close(struct drive *drive)
{
    for (int i = 0; i < CLUSTER_NODES; i++) {
        bus_close(drive->lines[i].bus);
        drive->lines[i].bus = NULL;
    }
}

void drive_begin(struct drive *drive, int node)
{
    drive->serving = start(drive, node);
    until(drive, drive->serving, INSTANCE_READY);
    reach(drive, drive->serving);
}

void drive_end(struct drive *drive)
{
    stop(drive, drive->serving);
    drive->serving = -1;
}

void drive_move(struct drive *drive, enum drive_way way, int node)
{
    int old = drive->serving;
    if (way == DRIVE_STOP_START) {
        stop(drive, old);
        drive->serving = start(drive, node);
        until(drive, drive->serving, INSTANCE_READY);
        return;
    }
    int new = start(drive, node);
    until(drive, new, INSTANCE_READY);
    if (way == DRIVE_CAREFUL) {
        drive->rtt_us = 0;
        reach(drive, new);
        reach(drive, old);
        drive_run(drive, drive->rtt_us + drive->rtt_us / LINGER_PART + LINGER_US);
    }
    command(drive, NODE_DRAIN, old);
    until(drive, old, INSTANCE_HELD);
    if (way == DRIVE_CAREFUL)
        drive_run(drive, HOLD_US);
    stop(drive, old);
    drive->serving = new;
}

void drive_run(struct drive *drive, int64_t us)
{
    int64_t until_us = clock_mono_now().us + us;
    while (clock_mono_now().us < until_us)
        turn(drive);
}

/* ---- steps ---- */

static int start(struct drive *drive, int node)
{
    if (drive->instance_count == DRIVE_INSTANCES)
        fail_msg("more than %d copies", DRIVE_INSTANCES);
    struct drive_instance *instance = &drive->instances[drive->instance_count];
    *instance = (struct drive_instance){.node = node};
    str_format(instance->id, sizeof(instance->id), "w-0-b%d", ++copy_last);
    drive->instance_count++;
    command(drive, NODE_START, drive->instance_count - 1);
    return drive->instance_count - 1;
}

static void stop(struct drive *drive, int instance)
{
    command(drive, NODE_STOP, instance);
    until(drive, instance, INSTANCE_STOPPED);
    command(drive, NODE_FORGET, instance);
}

static void until(struct drive *drive, int instance, enum instance_state state)
{
    const struct drive_instance *it = &drive->instances[instance];
    int64_t until_us = clock_mono_now().us + CLUSTER_WAIT_US;
    while (it->state != (int)state) {
        turn(drive);
        if (it->state == INSTANCE_FAILED || clock_mono_now().us > until_us) {
            cluster_log_print(drive->cluster, node_of(drive, instance));
            fail_msg("%s is %s (%s), not %s", it->id, instance_state_words[it->state], it->detail,
                     instance_state_words[state]);
        }
    }
}

/* The instance's own subject, asked from the hub, until it answers so often in a row. */
static void reach(struct drive *drive, int instance)
{
    struct error err = {0};
    char subject[LIMIT_SUBJECT_BYTES];
    const char *id = drive->instances[instance].id;
    subject_at("default", "w", id, subject);
    int64_t until_us = clock_mono_now().us + CLUSTER_WAIT_US;
    for (int reached = 0; reached < PROBES;) {
        struct question question = {.drive = drive, .identity = id};
        int64_t sent_us = clock_mono_now().us;
        drive->waiting++;
        if (bus_request(drive->lines[CLUSTER_GCP].bus, subject, "", 0, US_PER_S, on_answer,
                        &question, &err) < 0)
            fail_msg("%s", err.text);
        while (drive->waiting > 0)
            turn(drive);
        int64_t took_us = clock_mono_now().us - sent_us;
        reached = question.right ? reached + 1 : 0;
        if (question.right && took_us > drive->rtt_us)
            drive->rtt_us = took_us;
        if (!question.right)
            drive_run(drive, 20 * US_PER_MS);
        if (clock_mono_now().us > until_us)
            fail_msg("%s is not reached", id);
    }
}

static void command(struct drive *drive, enum node_verb verb, int instance)
{
    static struct message_string args[LIMIT_ARGS];
    struct error err = {0};
    char subject[LIMIT_SUBJECT_BYTES], program[700];
    struct message_command message = {.verb = (int)verb, .timeout_us = 10 * US_PER_S};
    message.epoch = (struct epoch){.term = TERM, .n = ++epoch_last};
    id_random(message.id);
    str_format(message.instance, sizeof(message.instance), "%s", drive->instances[instance].id);
    if (verb == NODE_START) {
        message.spec = (struct message_spec){
            .namespace_ = "default",
            .app = "t",
            .workload = "w",
            .driver = "process",
            .args = args,
            .mcpu = 2000,
            .memory_bytes = INT64_C(1) << 30,
            .pids_max = 256,
            .ready = {.kind = READY_CONTRACT, .period_us = 100 * US_PER_MS, .timeout_us = US_PER_S},
            .contract = true,
            .start_timeout_us = 20 * US_PER_S,
            .drain_timeout_us = 10 * US_PER_S,
            .stop_timeout_us = 5 * US_PER_S,
            .restarts_max = 3,
            .restart_backoff_us = US_PER_S};
        cluster_program(drive->program, program);
        str_format(message.spec.artifact, sizeof(message.spec.artifact), "file:%s", program);
        if (digest_file(program, message.spec.digest, &err) < 0)
            fail_msg("%s", err.text);
        for (; drive->args[message.spec.arg_count] != NULL; message.spec.arg_count++)
            str_format(args[message.spec.arg_count].value, LIMIT_PATH_BYTES, "%s",
                       drive->args[message.spec.arg_count]);
    }
    struct strbuf text;
    struct drive_line *line = &drive->lines[drive->instances[instance].node];
    subject_node(node_of(drive, instance), "cmd", subject);
    strbuf_init(&text, LIMIT_WIRE_BYTES);
    proof_begin(&line->link, &text);
    wire_encode(&message_command_shape, &message, &text);
    proof_end(&line->link, subject, proof_next(&line->link), &text);
    struct question question = {.drive = drive};
    drive->waiting++;
    struct bus *bus = line->bus;
    if (bus_request(bus, subject, strbuf_text(&text), text.bytes, ANSWER_US, on_answer, &question,
                    &err) < 0)
        fail_msg("%s", err.text);
    while (drive->waiting > 0)
        turn(drive);
    strbuf_done(&text);
    if (!question.right)
        fail_msg("%s of %s was not taken", node_verb_words[verb], drive->instances[instance].id);
}

static const char *node_of(const struct drive *drive, int instance)
{
    return drive->cluster->nodes[drive->instances[instance].node].name;
}

/* ---- the loop ---- */

static void turn(struct drive *drive)
{
    struct pollfd fds[CLUSTER_NODES];
    for (int i = 0; i < CLUSTER_NODES; i++)
        fds[i] = (struct pollfd){.fd = bus_fd(drive->lines[i].bus), .events = POLLIN};
    (void)poll(fds, CLUSTER_NODES, 2);
    for (int i = 0; i < CLUSTER_NODES; i++)
        (void)bus_dispatch(drive->lines[i].bus, 1000);
}

/* Each line hears every node; only its own counts, as the other's words come later on it. */
static bool is_own(const struct drive_line *line, const struct bus_message *message)
{
    char name[LIMIT_NAME_BYTES] = "";
    return subject_token(message->subject, 3, name, sizeof(name)) == 0 &&
           str_equal(name, line->drive->cluster->nodes[line->node].name);
}

static void on_beat(void *context, const struct bus_message *message)
{
    struct drive_line *line = context;
    line->hello = line->hello || is_own(line, message);
}

static void on_report(void *context, const struct bus_message *message)
{
    struct drive_line *line = context;
    struct message_report report;
    struct error err = {0};
    struct arena arena;
    if (!is_own(line, message))
        return;
    arena_init(&arena, (size_t)4 << 20);
    if (wire_decode(&message_report_shape, message->data + PROOF_BYTES,
                    message->bytes - PROOF_BYTES, 0, &arena, &report, &err) < 0)
        fail_msg("a report: %s", err.text);
    take(line->drive, &report.instance);
    arena_done(&arena);
}

static void take(struct drive *drive, const struct message_instance *instance)
{
    for (int i = 0; i < drive->instance_count; i++)
        if (str_equal(drive->instances[i].id, instance->instance)) {
            drive->instances[i].state = instance->state;
            str_format(drive->instances[i].detail, sizeof(drive->instances[i].detail), "%s",
                       instance->detail);
        }
}

static void on_answer(void *context, const struct bus_message *message)
{
    struct question *question = context;
    struct error err = {0};
    question->drive->waiting--;
    if (message->status != 0)
        return;
    if (question->identity != NULL) {
        question->right = str_equal(message->data, question->identity);
        return;
    }
    struct message_answer answer;
    struct arena arena;
    arena_init(&arena, (size_t)4 << 20);
    if (wire_decode(&message_answer_shape, message->data + PROOF_BYTES,
                    message->bytes - PROOF_BYTES, 0, &arena, &answer, &err) < 0)
        fail_msg("an answer: %s", err.text);
    question->right = answer.code == 0;
    if (answer.code != 0)
        print_error("%s refused: %s\n", answer.node, answer.text);
    arena_done(&arena);
}
