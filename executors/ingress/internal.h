/* What the parts of the ingress share; nobody else includes it. */
#pragma once

#include "executors/ingress/ingress.h"

/* A literal address in its canonical text, without brackets. */
struct ingress_address {
    char host[48];
    int port;
    bool v6;
};
int ingress_address_parse(const char *text, struct ingress_address *ret_address,
                          struct error *err) WARN_UNUSED;
