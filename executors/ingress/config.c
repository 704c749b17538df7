/*
 * config: what HAProxy is started with: everything that cannot be said at run time, and all routes
 * with their servers as they are wanted at that moment, so that it serves from its first instant.
 */
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include "executors/ingress/internal.h"

#define CONFIG_BYTES_MAX (64 << 20)
#define MARK             "# berth-ingress "
#define RETRIES          10
#define CONNECTIONS_MAX  20000 /* clients at once, when the limit of open files allows them */

/* The listeners are nobody else's: with SO_REUSEPORT the kernel would divide the connections among
 * all who listen there, another Berth's ingress say, and nobody would be told. */
static void write_global(const struct ingress *ingress, struct strbuf *out);
static void write_frontend(const struct ingress *ingress, struct strbuf *out);
static void write_slot(const struct ingress *ingress, int index, struct strbuf *out);
static uint64_t hash_of(const struct ingress *ingress);

int config_write(struct ingress *ingress, struct error *err)
{
    struct strbuf text;
    struct strbuf map;
    struct strbuf held;
    struct strbuf program;
    strbuf_init(&text, CONFIG_BYTES_MAX);
    strbuf_init(&map, CONFIG_BYTES_MAX);
    strbuf_init(&held, CONFIG_BYTES_MAX);
    strbuf_init(&program, CONFIG_BYTES_MAX);
    hold_program(ingress, &program);
    ingress->hash = hash_of(ingress);
    strbuf_printf(&text, MARK "%016llx\n", (unsigned long long)ingress->hash);
    write_global(ingress, &text);
    write_frontend(ingress, &text);
    for (int i = 0; i < ingress->options.slots; i++) {
        write_slot(ingress, i, &text);
        if (ingress->slots[i].key[0] != 0)
            strbuf_printf(&map, "%s %d\n", ingress->slots[i].key, i);
        if (ingress->slots[i].paused)
            strbuf_printf(&held, "%d 1\n", i);
    }
    const struct {
        const char *name;
        struct strbuf *text;
    } files[] = {{FILE_MAP, &map}, {FILE_HELD, &held}, {FILE_HOLD, &program}, {FILE_CONFIG, &text}};
    int rc = 0;
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        if (rc == 0)
            rc = strbuf_error(files[i].text, err);
        if (rc == 0)
            rc = ingress_write_file(ingress, ingress->folder_fd, files[i].name,
                                    strbuf_text(files[i].text), files[i].text->bytes, 0600, err);
        strbuf_done(files[i].text);
    }
    return rc;
}

bool config_is_current(const struct ingress *ingress)
{
    char line[64] = "";
    char expected[64];
    CLEANUP(cleanup_close)
    int fd = openat(ingress->folder_fd, FILE_CONFIG, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, line, sizeof(line) - 1) <= 0)
        return false;
    str_format(expected, sizeof(expected), MARK "%016llx\n", (unsigned long long)hash_of(ingress));
    return str_starts(line, expected);
}

int config_key(struct ingress *ingress, struct error *err)
{
    char text[64] = "";
    unsigned char random[24];
    int fd = openat(ingress->folder_fd, FILE_KEY, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
    cleanup_close(&fd);
    if (got != 48 || strspn(text, "0123456789abcdef") != 48) {
        if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
            return error_set(err, ERR_IO, errno, "random bytes for the key of the ingress");
        for (int i = 0; i < 24; i++)
            str_format(text + 2 * i, 3, "%02x", random[i]);
        int rc = ingress_write_file(ingress, ingress->folder_fd, FILE_KEY, text, 48, 0600, err);
        if (rc < 0)
            return rc;
    }
    memcpy(ingress->key, text, 32);
    str_format(ingress->log_name, sizeof(ingress->log_name), "berth-ingress-%.16s", text + 32);
    return 0;
}

static void write_global(const struct ingress *ingress, struct strbuf *out)
{
    struct rlimit files = {1024, 1024};
    (void)getrlimit(RLIMIT_NOFILE, &files);
    /* Two descriptors a connection, and some for listeners, pipes and the runtime socket. Idle ones
     * to servers are kept until few descriptors are left: by default HAProxy closes them when a
     * fifth is in use, and opened one for nearly each request after a switch. */
    long long most = files.rlim_max > 2LL * CONNECTIONS_MAX + 500
                         ? CONNECTIONS_MAX
                         : ((long long)files.rlim_max - 500) / 2;
    strbuf_printf(out,
                  "global\n"
                  "    stats socket unix@" FILE_SOCKET " mode 600 level admin expose-fd listeners\n"
                  "    stats timeout 1d\n"
                  "    maxconn %lld\n"
                  "    tune.pool-low-fd-ratio 80\n"
                  "    tune.pool-high-fd-ratio 90\n"
                  "    hard-stop-after 30s\n"
                  "    noreuseport\n"
                  "    log abns@%s len 256 format raw local0\n"
                  "    ssl-default-bind-options ssl-min-ver TLSv1.2\n",
                  most > 100 ? most : 100, ingress->log_name);
    if (ingress->options.hold_us > 0)
        strbuf_puts(out, "    lua-load " FILE_HOLD "\n");
    if (ingress->options.threads > 0)
        strbuf_printf(out, "    nbthread %d\n", ingress->options.threads);
    /* What faces the world is not root: its sockets are open by then. */
    if (geteuid() == 0 && getpwnam("haproxy") != NULL)
        strbuf_puts(out, "    user haproxy\n");
    else if (geteuid() == 0 && getpwnam("nobody") != NULL)
        strbuf_puts(out, "    user nobody\n");
    /* A connection that was refused is tried again at once on another server; the request was not
     * sent. What may have been sent is never repeated here: see write_slot. */
    strbuf_puts(out, "defaults\n"
                     "    mode http\n"
                     "    log global\n"
                     "    balance roundrobin\n"
                     "    retries 3\n"
                     "    option redispatch 1\n"
                     "    retry-on conn-failure\n"
                     "    http-reuse safe\n"
                     "    timeout connect 3s\n"
                     "    timeout queue 5s\n"
                     "    timeout http-request 15s\n"
                     "    timeout http-keep-alive 75s\n"
                     "    timeout client 300s\n"
                     "    timeout server 300s\n"
                     "    timeout client-fin 10s\n"
                     "    timeout server-fin 10s\n"
                     "    timeout tunnel 24h\n"
                     "    http-error status 503 content-type text/plain string"
                     " \"no server of this route answers\\n\" hdr Retry-After 1\n");
}

static void write_frontend(const struct ingress *ingress, struct strbuf *out)
{
    strbuf_puts(out, "frontend web\n"
                     "    bind unix@" FILE_PROBE " mode 600\n");
    if (ingress->options.http[0] != 0)
        strbuf_printf(out, "    bind %s\n", ingress->options.http);
    if (ingress->options.https[0] != 0)
        strbuf_printf(out, "    bind %s ssl crt " FILE_CERT " alpn h2,http/1.1\n",
                      ingress->options.https);
    /* The route: of the request's host, else of any; the longest prefix. A probe with the key names
     * the server, and the path by which its route is found, as /berth may be another's; a client
     * can choose neither. */
    strbuf_printf(
        out,
        "    option forwardfor\n"
        "    log-format \"%%b %%s %%ST %%[var(txn.us)]\"\n"
        "    http-request set-var(txn.begun) date(0,us)\n"
        "    http-request set-var(txn.path) path\n"
        "    acl probe req.hdr(Berth-Probe) -m str %s\n"
        "    http-request set-var(txn.path) req.hdr(Berth-Route) if probe\n"
        "    http-request set-var(txn.host) req.hdr(host),host_only,lower\n" ROUTE_RULES(
            "", "") "    http-request set-var(txn.to) req.hdr(Berth-Instance) if probe\n"
                    "    http-request set-log-level silent if { var(txn.to) -m found }\n"
                    "    http-request del-header Berth-Probe\n"
                    "    http-request del-header Berth-Route\n"
                    "    http-request del-header Berth-Instance\n"
                    "    http-request set-header X-Forwarded-Proto %%[ssl_fc,iif(https,http)]\n",
        ingress->key);
    hold_rules(ingress, out);
    strbuf_puts(out, "    http-response set-header Berth-Server %s\n"
                     "    http-response set-var(txn.us) date(0,us),sub(txn.begun)\n"
                     "    use_backend r%[var(txn.slot)] if { var(txn.slot) -m found } "
                     "{ method GET HEAD OPTIONS TRACE }\n"
                     "    use_backend w%[var(txn.slot)] if { var(txn.slot) -m found }\n"
                     "    default_backend none\n"
                     "backend none\n"
                     "    http-request return status 404 content-type text/plain "
                     "string \"no route for this host and path\\n\"\n");
}

/*
 * Two backends: what the methods of "r" ask for may be asked twice, so their connections to servers
 * are kept, and a request that got nothing at all back is sent again, up to RETRIES times: the next
 * out of the pool may be as dead (with 3, HAProxy 3.0 lost 1 of some 10,000 requests to servers
 * that close idle connections after a millisecond). Those of "w" get a connection made for each:
 * the server cannot have closed it for idleness while the request was on its way, so there is
 * nothing that would have to be repeated.
 *
 * The kept ones are the server's (http-reuse safe) and are closed with it. Those of a client's
 * connection (http-reuse never) would outlive it: HAProxy 2.6 finds them again by the address of
 * the server's record, and where a later server's record took its place it sent requests to the
 * former owner, after its weight was 0 and it was taken out.
 */
static void write_slot(const struct ingress *ingress, int index, struct strbuf *out)
{
    const struct slot *slot = &ingress->slots[index];
    for (int lane = 0; lane < INGRESS_LANES; lane++) {
        if (lane == 0)
            strbuf_printf(out,
                          "backend r%d\n    retries %d\n    retry-on conn-failure empty-response\n",
                          index, RETRIES);
        else
            strbuf_printf(out, "backend w%d\n    option http-server-close\n", index);
        strbuf_puts(out, "    use-server %[var(txn.to)] if { var(txn.to) -m found }\n");
        for (int i = 0; i < slot->want_count; i++) {
            char at[LIMIT_NAME_BYTES];
            ingress_address_format(&slot->want[i].at, at);
            strbuf_printf(out, "    server %s %s weight %d " SERVER_POOL "\n",
                          slot->want[i].instance, at, slot->want[i].weight);
        }
    }
}

/* Of all that a running HAProxy cannot be told: another hash means another HAProxy. */
static uint64_t hash_of(const struct ingress *ingress)
{
    struct strbuf text;
    strbuf_init(&text, CONFIG_BYTES_MAX);
    write_global(ingress, &text);
    write_frontend(ingress, &text);
    hold_program(ingress, &text);
    uint64_t hash = hash_u64(HASH_SEED, (uint64_t)ingress->options.slots);
    struct slot empty = {0};
    struct ingress one = {.slots = &empty};
    write_slot(&one, 0, &text);
    hash = hash_str(hash, strbuf_text(&text));
    strbuf_done(&text);
    return hash;
}
