// The two-tier queue of two_tier.h in SimGrid's S4U: an actor for each task, which sleeps through
// its way and its service.
// usage: peer_simgrid PER_S SLOTS TASKS SEED; prints "TASKS TO_CLOUD".
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>

#include <simgrid/s4u.hpp>

namespace sg = simgrid::s4u;

static std::mt19937_64 chance;
static uint64_t latencies[4096];
static double cpu[2];
static uint64_t bytes[2];
static uint64_t done;
static uint64_t toCloud;
static long busy;

static void Task(int site)
{
    double way = site == 0 ? 0.005 : 0.050;
    double began = sg::Engine::get_clock();
    sg::this_actor::sleep_for(way);
    double served = std::exponential_distribution<double>(1.0)(chance);
    sg::this_actor::sleep_for(served);
    cpu[site] += served;
    sg::this_actor::sleep_for(way);
    bytes[site] += 22000;
    double took = (sg::Engine::get_clock() - began) * 100;
    latencies[took < 4095 ? static_cast<int>(took) : 4095]++;
    done++;
    busy -= site == 0;
}

int main(int argc, char **argv)
{
    if (argc < 5)
        return 1;
    double perS = std::atof(argv[1]);
    long slots = std::atol(argv[2]);
    long tasks = std::atol(argv[3]);
    chance.seed(static_cast<uint64_t>(std::atol(argv[4])));
    int quiet = 3;
    char name[] = "peer_simgrid";
    char log[] = "--log=root.thresh:critical";
    char stack[] = "--cfg=contexts/stack-size:16";
    char *own[] = {name, log, stack, nullptr};
    sg::Engine engine(&quiet, own);
    sg::Host *host = sg::create_full_zone("zone")->create_host("host", 1e9)->seal();
    sg::Actor::create("users", host, [=] {
        for (long i = 0; i < tasks; i++) {
            sg::this_actor::sleep_for(std::exponential_distribution<double>(perS)(chance));
            int site = busy < slots ? 0 : 1;
            busy += site == 0;
            toCloud += static_cast<uint64_t>(site);
            sg::Actor::create("task", host, Task, site);
        }
    });
    engine.run();
    std::printf("%llu %llu\n", static_cast<unsigned long long>(done),
                static_cast<unsigned long long>(toCloud));
    return 0;
}
