/* The text of --ingress. */
#include <arpa/inet.h>
#include <string.h>

#include "base/str.h"
#include "executors/ingress/internal.h"

static int take(struct ingress_options *options, const char *key, const char *value,
                struct error *err);
static int take_number(const char *key, const char *value, int64_t min, int64_t max, int *ret_value,
                       struct error *err);
static int take_address(const char *key, const char *value, char *out, struct error *err);

int ingress_options_parse(const char *text, struct ingress_options *ret_options, struct error *err)
{
    struct ingress_options options = {
        .slots = INGRESS_SLOTS, .hold_us = INGRESS_HOLD_S * US_PER_S, .waiting = INGRESS_WAITING};
    char copy[2 * LIMIT_PATH_BYTES + 4 * LIMIT_NAME_BYTES];
    if (str_copy(copy, sizeof(copy), text) < 0)
        return error_set(err, ERR_LIMIT, 0, "--ingress is longer than %zu bytes", sizeof(copy) - 1);
    char *rest = copy;
    for (char *part; (part = strsep(&rest, ",")) != NULL;) {
        char *value = strchr(part, '=');
        if (value == NULL)
            return error_set(err, ERR_INVALID, 0,
                             "--ingress: '%s' is no KEY=VALUE. Write http=ADDR:PORT, and for TLS "
                             "https=ADDR:PORT,cert=FILE",
                             part);
        *value++ = 0;
        int rc = take(&options, part, value, err);
        if (rc < 0)
            return rc;
    }
    if (options.http[0] == 0 && options.https[0] == 0)
        return error_set(err, ERR_INVALID, 0,
                         "--ingress names no address to listen on: write http=ADDR:PORT");
    if ((options.https[0] != 0) != (options.cert[0] != 0))
        return error_set(err, ERR_INVALID, 0,
                         "--ingress: https= and cert= belong together, and one is missing");
    *ret_options = options;
    return 0;
}

int ingress_address_parse(const char *text, struct ingress_address *ret_address, struct error *err)
{
    struct ingress_address address = {.port = 0};
    const char *colon = strrchr(text, ':');
    int64_t port;
    unsigned char bytes[16];
    if (colon == NULL || str_to_i64(colon + 1, &port) < 0 || port < 1 || port > 65535 ||
        colon[1] == '+' || colon[1] == '0')
        return error_set(err, ERR_INVALID, 0,
                         "'%.100s' does not end in a port: write ADDRESS:PORT, 1 to 65535", text);
    size_t count = (size_t)(colon - text);
    address.v6 = count >= 2 && text[0] == '[' && colon[-1] == ']';
    if (address.v6) {
        text++;
        count -= 2;
    }
    if (count >= sizeof(address.host))
        return error_set(err, ERR_INVALID, 0, "'%.100s' is too long for an address", text);
    memcpy(address.host, text, count);
    if (inet_pton(address.v6 ? AF_INET6 : AF_INET, address.host, bytes) != 1)
        return error_set(err, ERR_INVALID, 0,
                         "'%.100s' is no literal address: names are not looked up here. Write "
                         "10.1.2.3:80 or [::1]:80",
                         address.host);
    /* One text for one address, to be compared with what HAProxy says. */
    (void)inet_ntop(address.v6 ? AF_INET6 : AF_INET, bytes, address.host, sizeof(address.host));
    address.port = (int)port;
    *ret_address = address;
    return 0;
}

void ingress_address_format(const struct ingress_address *address, char out[LIMIT_NAME_BYTES])
{
    str_format(out, LIMIT_NAME_BYTES, address->v6 ? "[%s]:%d" : "%s:%d", address->host,
               address->port);
}

static int take(struct ingress_options *options, const char *key, const char *value,
                struct error *err)
{
    if (str_equal(key, "http"))
        return take_address(key, value, options->http, err);
    if (str_equal(key, "https"))
        return take_address(key, value, options->https, err);
    if (str_equal(key, "slots"))
        return take_number(key, value, 1, LIMIT_ROUTES, &options->slots, err);
    if (str_equal(key, "threads"))
        return take_number(key, value, 1, 64, &options->threads, err);
    if (str_equal(key, "waiting"))
        return take_number(key, value, 1, INGRESS_WAITING_MAX, &options->waiting, err);
    if (str_equal(key, "hold")) {
        int seconds = 0;
        int rc = take_number(key, value, 0, INGRESS_HOLD_MAX_S, &seconds, err);
        if (rc == 0)
            options->hold_us = seconds * US_PER_S;
        return rc;
    }
    bool cert = str_equal(key, "cert");
    if (!cert && !str_equal(key, "haproxy"))
        return error_set(
            err, ERR_INVALID, 0,
            "--ingress: '%s' is not known. There are http, https, cert, slots, threads, "
            "hold, waiting and haproxy",
            key);
    if (value[0] != '/' || strpbrk(value, " \t\n\"'\\#$") != NULL)
        return error_set(
            err, ERR_INVALID, 0,
            "--ingress: %s is '%s'; it must be an absolute path without blanks, quotes, "
            "'\\', '#' and '$'",
            key, value);
    if (str_copy(cert ? options->cert : options->haproxy, LIMIT_PATH_BYTES, value) < 0)
        return error_set(err, ERR_LIMIT, 0, "--ingress: %s is longer than a path may be", key);
    return 0;
}

static int take_number(const char *key, const char *value, int64_t min, int64_t max, int *ret_value,
                       struct error *err)
{
    int64_t number;
    if (str_to_i64(value, &number) < 0 || number < min || number > max)
        return error_set(err, ERR_INVALID, 0, "--ingress: %s is '%s'; it must be %lld to %lld", key,
                         value, (long long)min, (long long)max);
    *ret_value = (int)number;
    return 0;
}

static int take_address(const char *key, const char *value, char *out, struct error *err)
{
    struct ingress_address address;
    int rc = ingress_address_parse(value, &address, err);
    if (rc < 0) {
        (void)error_prefix(err, "--ingress: %s", key);
        return rc;
    }
    ingress_address_format(&address, out);
    return 0;
}
