// The two-tier queue of two_tier.h on ns-3's core: its scheduler, its clock, its random variables.
// usage: peer_ns3 PER_S SLOTS TASKS SEED [whole]; prints "TASKS TO_CLOUD". With `whole` a trip is
// one event, as in ours; otherwise one event for each step.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <ns3/core-module.h>

using namespace ns3;

struct Site {
    Time way;
    uint64_t bytes = 0;
    double cpu = 0;
};

static Ptr<ExponentialRandomVariable> gap;
static Ptr<ExponentialRandomVariable> work;
static Site sites[2];
static uint64_t latencies[4096];
static uint64_t done;
static uint64_t toCloud;
static long busy;
static long slots;
static long left;
static bool whole;

static void End(int site, Time began, double served)
{
    sites[site].bytes += 22000;
    sites[site].cpu += served;
    double took = (Simulator::Now() - began).GetSeconds() * 100;
    latencies[took < 4095 ? static_cast<int>(took) : 4095]++;
    done++;
    busy -= site == 0;
}

static void Served(int site, Time began, double served)
{
    Simulator::Schedule(sites[site].way, &End, site, began, served);
}

static void Serve(int site, Time began)
{
    double served = work->GetValue();
    Simulator::Schedule(Seconds(served), &Served, site, began, served);
}

static void Arrive()
{
    int site = busy < slots ? 0 : 1;
    busy += site == 0;
    toCloud += site;
    Time now = Simulator::Now();
    if (whole) {
        double served = work->GetValue();
        Simulator::Schedule(sites[site].way + sites[site].way + Seconds(served), &End, site, now,
                            served);
    } else {
        Simulator::Schedule(sites[site].way, &Serve, site, now);
    }
    if (--left > 0)
        Simulator::Schedule(Seconds(gap->GetValue()), &Arrive);
}

int main(int argc, char **argv)
{
    if (argc < 5)
        return 1;
    slots = std::atol(argv[2]);
    left = std::atol(argv[3]);
    whole = argc > 5 && std::strcmp(argv[5], "whole") == 0;
    RngSeedManager::SetSeed(static_cast<uint32_t>(std::atol(argv[4])));
    gap = CreateObject<ExponentialRandomVariable>();
    gap->SetAttribute("Mean", DoubleValue(1.0 / std::atof(argv[1])));
    work = CreateObject<ExponentialRandomVariable>();
    work->SetAttribute("Mean", DoubleValue(1.0));
    sites[0].way = MilliSeconds(5);
    sites[1].way = MilliSeconds(50);
    Simulator::Schedule(Seconds(gap->GetValue()), &Arrive);
    Simulator::Run();
    std::printf("%llu %llu\n", static_cast<unsigned long long>(done),
                static_cast<unsigned long long>(toCloud));
    Simulator::Destroy();
    return 0;
}
