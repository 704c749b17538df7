#include "tests/live/clients/owner_client.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"

static volatile int ended;

static void on_signal(int number);

int owner_client_options(struct owner_client *client, int argc, char **argv, const char *about,
                         const struct client_option *own)
{
    const struct client_option shared[] = {
        {"--url", "of NATS", .word = &client->url},
        {"--seed", "FILE of the user's nkey seed", .word = &client->seed},
        {"--inbox", "where this user may hear answers", .word = &client->inbox},
        {"--subject", "of the owner", .word = &client->subject},
        {"--rate", "requests a second", .number = &client->rate},
        {"--seconds", "how long", .number = &client->seconds},
        {"--every-ms", "between two lines", .number = &client->every_ms},
        {"--retry-us", "until asked again after a refusal", .number = &client->retry_us},
        {"--silence-ms", "until asked again after nothing", .number = &client->silence_ms},
        {"--patience-ms", "until an unanswered request is given up",
         .number = &client->patience_ms},
        {"--history", "FILE: every request, for a judge", .word = &client->history}};
    enum { SHARED = sizeof shared / sizeof shared[0] };
    struct client_option all[SHARED + OWNER_CLIENT_OWN_MAX + 1] = {{0}};
    memcpy(all, shared, sizeof shared);
    for (int i = 0; own[i].name != NULL; i++) {
        BERTH_ASSERT(i < OWNER_CLIENT_OWN_MAX, "more than %d options", OWNER_CLIENT_OWN_MAX);
        all[SHARED + i] = own[i];
    }
    int rc = client_options(argc, argv, about, all, &client->json);
    if (rc == 0 && (client->rate < 1 || client->seconds < 1 || client->every_ms < 1 ||
                    client->rate > JUDGE_REQUESTS_MAX / client->seconds)) {
        fprintf(stderr, "--rate, --seconds and --every-ms: from 1, at most %d requests in all\n",
                JUDGE_REQUESTS_MAX);
        rc = -1;
    }
    client->asking.most = client->rate * client->seconds;
    return rc;
}

int owner_client_open(struct owner_client *client, struct error *err)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    client->asking.subject = client->subject;
    client->asking.rate = client->rate;
    client->asking.retry_us = client->retry_us;
    client->asking.silence_us = client->silence_ms * US_PER_MS;
    client->asking.patience_us = client->patience_ms * US_PER_MS;
    return asking_open(&client->asking,
                       &(struct nats_client_options){.url = client->url,
                                                     .seed_path = client->seed,
                                                     .inbox_prefix = client->inbox},
                       err);
}

void owner_client_run(struct owner_client *client, void (*line)(void *context))
{
    asking_run(&client->asking, &ended, client->every_ms * US_PER_MS, line);
}

int owner_client_history(const struct owner_client *client, struct error *err)
{
    return client->history == NULL ? 0 : judge_history(&client->asking.judge, client->history, err);
}

void owner_client_close(struct owner_client *client)
{
    asking_close(&client->asking);
}

void owner_client_line_begin(struct owner_client *client, bool final)
{
    struct asking *asking = &client->asking;
    if (!client->json) {
        judge_text(&asking->judge, final, stdout);
        printf("  owners %d  longest pause %.2f ms", client->owners.count,
               (double)owners_longest_us(&client->owners) / 1e3);
        return;
    }
    printf("{");
    judge_json(&asking->judge, final, stdout);
    printf(",\"again_refused\":%" PRId64 ",\"again_nobody\":%" PRId64 ",\"again_silent\":%" PRId64,
           asking->again_refused, asking->again_nobody, asking->again_silent);
}

void owner_client_line_end(const struct owner_client *client)
{
    if (client->json) {
        printf(",");
        owners_json(&client->owners, stdout);
        printf("}");
    }
    printf("\n");
    fflush(stdout);
}

int64_t owner_client_wrong(const struct owner_client *client)
{
    return client->owners.at_once + client->owners.too_many + judge_waiting(&client->asking.judge);
}

static void on_signal(int number)
{
    (void)number;
    ended = 1;
}
