/*
 * hold: how requests wait in HAProxy for the owner of a route that is paused.
 *
 * HAProxy queues for a server that is full, not for a backend in which none serves; so a request of
 * a slot that is in the map of the held ones sleeps in an action of the frontend, in Lua, before it
 * is given to a backend, and looks again. Its head is read by then and its body stays where it is:
 * one buffer at HAProxy (tune.bufsize, 16 KiB), the rest at the client. Nothing has been sent to
 * any server, so that letting it go sends it for the first time.
 *
 * One that sleeps looks again after 2 ms, and a millisecond more for every HOLD_LOOKS that wait
 * beside it: all of them together look 20,000 times a second at most.
 *
 * Those that wait are counted by the second in which they came. One whose client went away in its
 * sleep is never woken, and with its second it is forgotten: nobody waits for longer than the
 * limit.
 */
#include "executors/ingress/internal.h"

#define HOLD_LOOKS 20

static const char program[] =
    "local held = Map.new(\"" FILE_HELD "\", Map._str)\n"
    "local came = {} -- by second: those that came in it and wait\n"
    "local waiting = 0\n"
    "local function forget(now)\n"
    "    for second, count in pairs(came) do\n"
    "        if second < now - limit_ms // 1000 - 2 then\n"
    "            waiting = waiting - count\n"
    "            came[second] = nil\n"
    "        end\n"
    "    end\n"
    "end\n"
    "core.register_action(\"hold\", { \"http-req\" }, function(txn)\n"
    "    local slot = txn:get_var(\"txn.slot\")\n"
    "    local began = core.now()\n"
    "    if came[began.sec] == nil then\n"
    "        forget(began.sec)\n"
    "        came[began.sec] = 0\n"
    "    end\n"
    "    txn:set_var(\"txn.held\", \"late\")\n"
    "    if waiting >= most then\n"
    "        return\n"
    "    end\n"
    "    waiting = waiting + 1\n"
    "    came[began.sec] = came[began.sec] + 1\n"
    "    local left = limit_ms\n"
    "    local going = true\n"
    "    while left > 0 and going do\n"
    "        core.msleep(math.min(left, 2 + waiting // looks))\n"
    "        going = held:lookup(slot) ~= nil\n"
    "        local now = core.now()\n"
    "        left = limit_ms - (now.sec - began.sec) * 1000 - (now.usec - began.usec) // 1000\n"
    "    end\n"
    "    if came[began.sec] ~= nil then\n"
    "        waiting = waiting - 1\n"
    "        came[began.sec] = came[began.sec] - 1\n"
    "    end\n"
    "    if not going then\n"
    "        txn:set_var(\"txn.held\", \"served\")\n"
    "    end\n"
    "end)\n";

void hold_program(const struct ingress *ingress, struct strbuf *out)
{
    if (ingress->options.hold_us <= 0)
        return;
    strbuf_printf(out, "local limit_ms, most, looks = %lld, %d, %d\n",
                  (long long)(ingress->options.hold_us / US_PER_MS), ingress->options.waiting,
                  HOLD_LOOKS);
    strbuf_puts(out, program);
}

/* What waited is routed as what comes at this moment: its route may have ended, and the slot may be
 * another's. A probe names its server and does not wait. */
void hold_rules(const struct ingress *ingress, struct strbuf *out)
{
    if (ingress->options.hold_us <= 0)
        return;
    strbuf_puts(out,
                "    http-request lua.hold if { var(txn.slot),map_str(" FILE_HELD ") -m found } "
                "!{ var(txn.to) -m found }\n"
                "    acl held var(txn.held) -m found\n"
                "    http-request return status 503 content-type text/plain "
                "string \"its owner is on the way\\n\" hdr Retry-After 1 "
                "if { var(txn.held) -m str late }\n"
                "    http-request unset-var(txn.slot) if held\n" ROUTE_RULES(" if held", " held"));
}
