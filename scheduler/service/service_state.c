/*
 * service_state: all that a what-if needs, as the text of model/cost_state.h. It is larger than a
 * message, so the answer says under which id it is fetched, piece by piece, as a certificate is.
 */
#include "model/cost_state.h"
#include "scheduler/service/service_internal.h"

int service_state(struct service *service, const struct message_request *request,
                  struct json_out *json, struct error *err)
{
    struct arena arena;
    struct strbuf text;
    struct cost_input input;
    struct placement *at = NULL;
    if (core_state(service->core)->world == NULL)
        return error_set(err, ERR_NOT_FOUND, 0, "there is no world yet; `berth apply` one first");
    arena_init(&arena, SERVICE_JOB_BYTES);
    strbuf_init(&text, SERVICE_STATE_BYTES);
    int rc = core_cost_input(service->core, NULL, NULL, &arena, &input, err);
    if (rc == 0)
        rc = core_placement(service->core, &input, &arena, &at, err);
    if (rc == 0) {
        cost_state_write(&input, at, &text);
        rc = strbuf_error(&text, err);
    }
    if (rc == 0) {
        json_open(json, NULL, '{');
        json_string(json, "id", request->id);
        json_int(json, "bytes", (int64_t)text.bytes);
        json_int(json, "state_version", (int64_t)core_state(service->core)->version);
        json_close(json, '}');
        rc = service_kept_take(service, request->id, &text, err);
    }
    strbuf_done(&text);
    arena_done(&arena);
    return rc;
}
