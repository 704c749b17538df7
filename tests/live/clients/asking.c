#include "tests/live/clients/asking.h"

#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/str.h"
#include "tests/live/clients/pace.h"

#define STEP_US         200
#define SILENCE_DOUBLES 4

static void send_due(struct asking *asking, const struct pace *pace, int64_t now_us);
static void send_again(struct asking *asking, int64_t now_us);
static void ask(struct asking *asking, struct asking_waiting *waiting, int64_t now_us);
static void on_answer(void *context, int64_t number, enum nats_said said, const char *data,
                      int bytes);

int asking_open(struct asking *asking, const struct nats_client_options *options, struct error *err)
{
    asking->client.handler = on_answer;
    asking->client.context = asking;
    pthread_mutex_init(&asking->lock, NULL);
    int rc = judge_init(&asking->judge, asking->most, err);
    if (rc < 0)
        return rc;
    asking->waiting = calloc(ASKING_WAITING_MAX, sizeof *asking->waiting);
    if (asking->waiting == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "%d waiting requests", ASKING_WAITING_MAX);
    return nats_client_open(&asking->client, options, err);
}

void asking_close(struct asking *asking)
{
    nats_client_close(&asking->client);
    judge_done(&asking->judge);
    free(asking->waiting);
    pthread_mutex_destroy(&asking->lock);
}

void asking_run(struct asking *asking, const volatile int *ended, int64_t every_us,
                void (*line)(void *context))
{
    struct pace pace = {
        .begun_us = clock_mono_now().us, .rate = asking->rate, .most = asking->most};
    int64_t line_us = pace.begun_us + every_us;
    for (bool over = false; !over;) {
        int64_t now_us = clock_mono_now().us;
        pthread_mutex_lock(&asking->lock);
        if (!*ended)
            send_due(asking, &pace, now_us);
        send_again(asking, now_us);
        if (now_us >= line_us) {
            line(asking->context);
            line_us += every_us;
        }
        over = asking->waiting_count == 0 && (*ended || asking->judge.sent == asking->most);
        pthread_mutex_unlock(&asking->lock);
        struct timespec pause = {.tv_nsec = STEP_US * 1000};
        nanosleep(&pause, NULL);
    }
}

static void send_due(struct asking *asking, const struct pace *pace, int64_t now_us)
{
    int64_t due = pace_due(pace, now_us);
    while (asking->judge.sent < due && asking->waiting_count < ASKING_WAITING_MAX &&
           (asking->may == NULL || asking->may(asking->context, asking->judge.sent))) {
        struct asking_waiting *waiting = &asking->waiting[asking->waiting_count++];
        int64_t due_us = pace_due_us(pace, asking->judge.sent);
        *waiting = (struct asking_waiting){.number = judge_send(&asking->judge, due_us)};
        ask(asking, waiting, now_us);
    }
}

static void send_again(struct asking *asking, int64_t now_us)
{
    for (int i = 0; i < asking->waiting_count; i++) {
        struct asking_waiting *waiting = &asking->waiting[i];
        if (now_us < waiting->next_us)
            continue;
        int64_t sent_us = asking->judge.requests[waiting->number].sent_us;
        if (now_us - sent_us > asking->patience_us) {
            if (asking->gave_up != NULL)
                asking->gave_up(asking->context, waiting->number);
            *waiting = asking->waiting[--asking->waiting_count];
            i--;
            continue;
        }
        if (now_us - waiting->asked_us >= asking->silence_us) {
            asking->again_silent++;
            waiting->silences += waiting->silences < SILENCE_DOUBLES;
        }
        ask(asking, waiting, now_us);
    }
}

static void ask(struct asking *asking, struct asking_waiting *waiting, int64_t now_us)
{
    char text[256];
    waiting->asked_us = now_us;
    waiting->next_us = now_us + (asking->silence_us << waiting->silences);
    asking->make(asking->context, waiting->number, text, sizeof text);
    if (nats_client_ask(&asking->client, asking->subject, waiting->number, text) < 0)
        waiting->next_us = now_us + asking->retry_us;
}

static void on_answer(void *context, int64_t number, enum nats_said said, const char *data,
                      int bytes)
{
    struct asking *asking = context;
    int64_t now_us = clock_mono_now().us;
    pthread_mutex_lock(&asking->lock);
    int at = 0;
    while (at < asking->waiting_count && asking->waiting[at].number != number)
        at++;
    if (at == asking->waiting_count) {
        /* The second answer to a request that was asked twice: the first one counts. */
    } else if (said == NATS_SAID_ANSWER) {
        asking->waiting[at] = asking->waiting[--asking->waiting_count];
        int64_t sent_us = asking->judge.requests[number].sent_us;
        judge_answer(&asking->judge, number, now_us,
                     asking->take(asking->context, number, sent_us, data, bytes));
    } else {
        asking->again_refused += said == NATS_SAID_REFUSAL;
        asking->again_nobody += said == NATS_SAID_NOBODY;
        asking->waiting[at].next_us = now_us + asking->retry_us;
    }
    pthread_mutex_unlock(&asking->lock);
}
