/*
 * wire: the network between two places, packet by packet: a network namespace of its own, "far",
 * tied to where it was started by two TUN devices, with this process as the cable between them. A
 * cable has a length each way, and it can be cut: both ways, or one.
 *
 *     test-wire NEAR FAR DEVICE      addresses of the two ends, e.g. 10.77.1.1 10.77.1.2 wire1
 *
 * It prints "up" when packets flow, then obeys lines on standard input:
 *     delay <to far, us> <to near, us> <jitter, us>
 *     cut both|far|near|none         what goes towards there is dropped
 * and answers each with "ok". It ends with its standard input, and namespace and devices with it.
 * Who is to live in the far place enters /proc/<pid>/ns/net of this process. (The kernels at hand
 * have neither netem nor a packet filter; this needs CAP_NET_ADMIN and CAP_SYS_ADMIN.)
 *
 * Exit status 77 when the machine does not permit it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"

#define PACKET_BYTES 2048
#define PACKETS      65536 /* on the way in one direction: 10,000 requests/s over seconds */
#define BATCH        64
#define TICK_US      250 /* how much later a packet may be, so that busy ones share a wake-up */
#define MTU          1400

/* What was read at one end and is due at the other. In order: later ones are never due before. */
struct packet {
    int64_t due_us;
    uint16_t bytes;
    char data[PACKET_BYTES];
};

struct way {
    int from; /* TUN devices */
    int to;
    int64_t delay_us;
    bool cut;
    struct packet *ring;
    uint64_t head; /* next to write there */
    uint64_t tail; /* next to read here */
    int64_t last_due_us;
    int64_t dropped;
};

static uint64_t spread = 88172645463325252;

static int tun_open(const char *device, const char *address, const char *peer);
static int lo_up(void);
static int ioctl_on(int fd, unsigned long request, struct ifreq *ifr, const char *what);
static void carry(struct way *ways);
static bool take(struct way *way, int64_t jitter_us);
static void give(struct way *way, int64_t now_us);
static bool obey(struct way *ways, int64_t *jitter_us);
static bool order(const char *line, struct way *ways, int64_t *jitter_us);

int main(int argc, char **argv)
{
    static struct way ways[2];
    if (argc != 4) {
        fprintf(stderr, "usage: test-wire NEAR FAR DEVICE\n");
        return 2;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int near = tun_open(argv[3], argv[1], argv[2]);
    if (near < 0 || unshare(CLONE_NEWNET) < 0) {
        fprintf(stderr, "test-wire: not permitted here: %s\n", strerror(errno));
        return 77;
    }
    int far = tun_open(argv[3], argv[2], argv[1]);
    if (far < 0 || lo_up() < 0)
        return 1;
    ways[0] = (struct way){.from = near, .to = far};
    ways[1] = (struct way){.from = far, .to = near};
    for (int i = 0; i < 2; i++) {
        ways[i].ring = malloc(PACKETS * sizeof ways[i].ring[0]);
        if (ways[i].ring == NULL)
            return 1;
    }
    printf("up\n");
    fflush(stdout);
    carry(ways);
    return 0;
}

/* In the namespace that this process is in now. */
static int tun_open(const char *device, const char *address, const char *peer)
{
    struct ifreq ifr = {.ifr_flags = IFF_TUN | IFF_NO_PI};
    struct sockaddr_in *in = (struct sockaddr_in *)&ifr.ifr_addr;
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    int control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || control < 0) {
        fprintf(stderr, "test-wire: /dev/net/tun: %s\n", strerror(errno));
        return -1;
    }
    str_format(ifr.ifr_name, sizeof ifr.ifr_name, "%.15s", device);
    int rc = ioctl_on(fd, TUNSETIFF, &ifr, "TUNSETIFF");
    memset(&ifr.ifr_ifru, 0, sizeof ifr.ifr_ifru);
    in->sin_family = AF_INET;
    if (rc == 0 && inet_pton(AF_INET, address, &in->sin_addr) == 1)
        rc = ioctl_on(control, SIOCSIFADDR, &ifr, "address");
    if (rc == 0 && inet_pton(AF_INET, peer, &in->sin_addr) == 1)
        rc = ioctl_on(control, SIOCSIFDSTADDR, &ifr, "peer's address");
    memset(&ifr.ifr_ifru, 0, sizeof ifr.ifr_ifru);
    ifr.ifr_mtu = MTU;
    if (rc == 0)
        rc = ioctl_on(control, SIOCSIFMTU, &ifr, "MTU");
    memset(&ifr.ifr_ifru, 0, sizeof ifr.ifr_ifru);
    ifr.ifr_qlen = PACKETS;
    if (rc == 0)
        rc = ioctl_on(control, SIOCSIFTXQLEN, &ifr, "queue");
    memset(&ifr.ifr_ifru, 0, sizeof ifr.ifr_ifru);
    ifr.ifr_flags = IFF_UP | IFF_RUNNING | IFF_POINTOPOINT | IFF_NOARP;
    if (rc == 0)
        rc = ioctl_on(control, SIOCSIFFLAGS, &ifr, "up");
    close(control);
    return rc < 0 ? -1 : fd;
}

static int lo_up(void)
{
    struct ifreq ifr = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    int control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int rc = control < 0 ? -1 : ioctl_on(control, SIOCSIFFLAGS, &ifr, "lo up");
    if (control >= 0)
        close(control);
    return rc;
}

static int ioctl_on(int fd, unsigned long request, struct ifreq *ifr, const char *what)
{
    if (ioctl(fd, request, ifr) >= 0)
        return 0;
    int error = errno;
    fprintf(stderr, "test-wire: %s of %s: %s\n", what, ifr->ifr_name, strerror(error));
    errno = error;
    return -1;
}

static void carry(struct way *ways)
{
    int64_t jitter_us = 0;
    bool more = false;
    for (;;) {
        struct pollfd fds[3] = {{.fd = ways[0].from, .events = POLLIN},
                                {.fd = ways[1].from, .events = POLLIN},
                                {.fd = STDIN_FILENO, .events = POLLIN}};
        /* With packets on the way it looks every so often, and not for each of them: at 10,000
         * requests a second this program would else take most of a processor. */
        bool busy = ways[0].head != ways[0].tail || ways[1].head != ways[1].tail;
        struct timespec wait = {.tv_sec = busy ? 0 : 1,
                                .tv_nsec = busy && !more ? TICK_US * 1000 : 0};
        int rc = busy ? ppoll(&fds[2], 1, &wait, NULL) : ppoll(fds, 3, &wait, NULL);
        if (rc < 0 && errno != EINTR)
            return;
        more = false;
        for (int i = 0; i < 2; i++)
            more = take(&ways[i], jitter_us) || more;
        int64_t now_us = clock_mono_now().us;
        for (int i = 0; i < 2; i++)
            give(&ways[i], now_us);
        if (fds[2].revents != 0 && !obey(ways, &jitter_us))
            return;
    }
}

/* True when more may be there. */
static bool take(struct way *way, int64_t jitter_us)
{
    int64_t now_us = clock_mono_now().us;
    for (int i = 0; i < BATCH; i++) {
        static char nowhere[PACKET_BYTES];
        bool keep = !way->cut && way->tail - way->head < PACKETS;
        struct packet *packet = &way->ring[way->tail % PACKETS];
        ssize_t got = read(way->from, keep ? packet->data : nowhere, PACKET_BYTES);
        if (got <= 0)
            return false;
        if (!keep) {
            way->dropped++;
            continue;
        }
        spread ^= spread << 13;
        spread ^= spread >> 7;
        spread ^= spread << 17;
        packet->bytes = (uint16_t)got;
        packet->due_us =
            now_us + way->delay_us + (jitter_us == 0 ? 0 : (int64_t)(spread % (uint64_t)jitter_us));
        if (packet->due_us < way->last_due_us)
            packet->due_us = way->last_due_us;
        way->last_due_us = packet->due_us;
        way->tail++;
    }
    return true;
}

/* A packet that the other end does not take is dropped, as a network does. */
static void give(struct way *way, int64_t now_us)
{
    while (way->head != way->tail && way->ring[way->head % PACKETS].due_us <= now_us) {
        const struct packet *packet = &way->ring[way->head % PACKETS];
        if (!way->cut && write(way->to, packet->data, packet->bytes) < 0)
            way->dropped++;
        way->head++;
    }
}

static bool obey(struct way *ways, int64_t *jitter_us)
{
    static char line[256];
    static size_t used;
    ssize_t got = read(STDIN_FILENO, line + used, sizeof line - 1 - used);
    if (got <= 0)
        return false;
    used += (size_t)got;
    line[used] = 0;
    for (char *end; (end = strchr(line, '\n')) != NULL;) {
        *end = 0;
        if (!order(line, ways, jitter_us))
            return false;
        printf("ok\n");
        fflush(stdout);
        used -= (size_t)(end + 1 - line);
        memmove(line, end + 1, used + 1);
    }
    return used < sizeof line - 1;
}

static bool order(const char *line, struct way *ways, int64_t *jitter_us)
{
    char what[8] = "";
    int64_t far_us, near_us, jitter;
    if (sscanf(line, "delay %" SCNd64 " %" SCNd64 " %" SCNd64, &far_us, &near_us, &jitter) == 3) {
        ways[0].delay_us = far_us;
        ways[1].delay_us = near_us;
        *jitter_us = jitter;
        return true;
    }
    if (sscanf(line, "cut %7s", what) != 1)
        return false;
    ways[0].cut = str_equal(what, "both") || str_equal(what, "far");
    ways[1].cut = str_equal(what, "both") || str_equal(what, "near");
    return true;
}
