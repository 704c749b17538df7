#include "executors/drivers/process/endpoint.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "base/str.h"

int endpoint_parse(const char *text, struct endpoint *ret_endpoint, struct error *err)
{
    struct endpoint endpoint = {.path = "/"};
    char host[LIMIT_TEXT_BYTES];
    int64_t port;
    const char *colon = strrchr(text, ':');
    if (colon == NULL || str_copy(endpoint.host, sizeof(endpoint.host), text) < 0 ||
        str_to_i64(colon + 1, &port) < 0 || port < 1 || port > 65535)
        return error_set(err, ERR_INVALID, 0,
                         "ready.target '%.100s': must be host:port, the port 1 to 65535", text);
    str_format(host, sizeof(host), "%.*s", (int)(colon - text), text);
    if (str_equal(host, "localhost"))
        str_format(host, sizeof(host), "127.0.0.1");
    size_t bytes = strlen(host);
    struct sockaddr_in *v4 = (struct sockaddr_in *)&endpoint.address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&endpoint.address;
    if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)port);
        endpoint.address_bytes = sizeof(*v4);
        *ret_endpoint = endpoint;
        return 0;
    }
    if (bytes > 2 && host[0] == '[' && host[bytes - 1] == ']') {
        host[bytes - 1] = 0;
        if (inet_pton(AF_INET6, host + 1, &v6->sin6_addr) == 1) {
            v6->sin6_family = AF_INET6;
            v6->sin6_port = htons((uint16_t)port);
            endpoint.address_bytes = sizeof(*v6);
            *ret_endpoint = endpoint;
            return 0;
        }
    }
    return error_set(err, ERR_INVALID, 0,
                     "ready.target '%.100s': the host must be an address or localhost", text);
}

int endpoint_parse_http(const char *text, struct endpoint *ret_endpoint, struct error *err)
{
    char place[LIMIT_TEXT_BYTES];
    if (!str_starts(text, "http://"))
        return error_set(err, ERR_INVALID, 0,
                         "ready.target '%.100s': must be http://host:port/path", text);
    const char *start = text + strlen("http://");
    const char *slash = strchr(start, '/');
    size_t bytes = slash == NULL ? strlen(start) : (size_t)(slash - start);
    str_format(place, sizeof(place), "%.*s%s", (int)(bytes > 200 ? 200 : bytes), start,
               memchr(start, ':', bytes) == NULL ? ":80" : "");
    struct endpoint endpoint;
    int rc = endpoint_parse(place, &endpoint, err);
    if (rc < 0)
        return rc;
    if (slash != NULL && strpbrk(slash, " \r\n") != NULL)
        return error_set(err, ERR_INVALID, 0, "ready.target '%.100s': a blank in the path", text);
    if (slash != NULL && str_copy(endpoint.path, sizeof(endpoint.path), slash) < 0)
        return error_set(err, ERR_LIMIT, 0, "ready.target '%.100s': the path is too long", text);
    *ret_endpoint = endpoint;
    return 0;
}

int endpoint_http_status(const char *text, size_t bytes)
{
    if (bytes < 12 || memcmp(text, "HTTP/1.", 7) != 0 || text[8] != ' ')
        return -1;
    int status = 0;
    for (int i = 9; i < 12; i++) {
        if (text[i] < '0' || text[i] > '9')
            return -1;
        status = status * 10 + (text[i] - '0');
    }
    return status >= 100 ? status : -1;
}
