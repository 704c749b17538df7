#include "base/bus/subjects.h"

#include <stdbool.h>
#include <string.h>

#include "base/error.h"
#include "base/str.h"

/* A subject token of ours: letters, digits, '-' and '_'. Narrower than NATS allows, so that no name
 * can ever widen a subject ("*", ">", ".") or break a protocol line (blanks). */
static void check_token(const char *token, const char *what)
{
    size_t bytes = 0;
    bool fine = token != NULL && token[0] != 0;
    for (; fine && token[bytes] != 0; bytes++) {
        char c = token[bytes];
        fine = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '-' || c == '_';
    }
    BERTH_ASSERT(fine && bytes < LIMIT_NAME_BYTES, "%s '%s' is no subject token", what,
                 token == NULL ? "(none)" : token);
}

/* "" and NULL stand for a missing part of an event's subject, which must keep its place. */
static const char *token_or_blank(const char *token, const char *what)
{
    if (token == NULL || token[0] == 0)
        return "_";
    check_token(token, what);
    return token;
}

void subject_ctl(const char *verb, char out[LIMIT_SUBJECT_BYTES])
{
    check_token(verb, "verb");
    str_format(out, LIMIT_SUBJECT_BYTES, "berth.v1.ctl.%s", verb);
}

void subject_node(const char *node, const char *what, char out[LIMIT_SUBJECT_BYTES])
{
    check_token(node, "node");
    check_token(what, "kind of message");
    str_format(out, LIMIT_SUBJECT_BYTES, "berth.v1.node.%s.%s", node, what);
}

void subject_metrics(const char *node, char out[LIMIT_SUBJECT_BYTES])
{
    check_token(node, "node");
    str_format(out, LIMIT_SUBJECT_BYTES, "berth.v1.metrics.%s", node);
}

void subject_probe_metrics(const char *probe, char out[LIMIT_SUBJECT_BYTES])
{
    check_token(probe, "probe");
    str_format(out, LIMIT_SUBJECT_BYTES, "berth.v1.probe.%s.metrics", probe);
}

void subject_event(const char *ns, const char *app, const char *workload,
                   char out[LIMIT_SUBJECT_BYTES])
{
    str_format(out, LIMIT_SUBJECT_BYTES, "berth.v1.event.%s.%s.%s", token_or_blank(ns, "namespace"),
               token_or_blank(app, "app"), token_or_blank(workload, "workload"));
}

void subject_log(const char *ns, const char *app, const char *workload, int replica,
                 char out[LIMIT_SUBJECT_BYTES])
{
    check_token(ns, "namespace");
    check_token(app, "app");
    check_token(workload, "workload");
    str_format(out, LIMIT_SUBJECT_BYTES, "berth.v1.log.%s.%s.%s.%d", ns, app, workload, replica);
}

void subject_at(const char *ns, const char *workload, const char *instance,
                char out[LIMIT_SUBJECT_BYTES])
{
    check_token(ns, "namespace");
    check_token(workload, "workload");
    check_token(instance, "instance");
    str_format(out, LIMIT_SUBJECT_BYTES, "berth.v1.at.%s.%s.%s", ns, workload, instance);
}

void subject_inbox(const char *kind, const char *name, char out[LIMIT_SUBJECT_BYTES])
{
    check_token(kind, "kind of user");
    check_token(name, "user");
    str_format(out, LIMIT_SUBJECT_BYTES, "_INBOX.%s.%s", kind, name);
}

int subject_token(const char *subject, int index, char *out, size_t capacity)
{
    const char *start = subject;
    for (int i = 0; i < index; i++) {
        start = strchr(start, '.');
        if (start == NULL)
            return ERR_NOT_FOUND;
        start++;
    }
    size_t bytes = strcspn(start, ".");
    if (bytes == 0)
        return ERR_NOT_FOUND;
    if (bytes >= capacity)
        return ERR_LIMIT;
    memcpy(out, start, bytes);
    out[bytes] = 0;
    return 0;
}
