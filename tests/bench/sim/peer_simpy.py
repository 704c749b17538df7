"""The two-tier queue of two_tier.h in SimPy 3 or 4, as its users write it: a process for each task.

usage: peer_simpy.py PER_S SLOTS TASKS SEED; prints "TASKS TO_CLOUD".
"""
import random
import sys

import simpy


def main():
    per_s, slots, tasks, seed = (int(argument) for argument in sys.argv[1:5])
    env = simpy.Environment()
    chance = random.Random(seed)
    ledger = {"edge_cpu": 0.0, "cloud_cpu": 0.0, "edge_bytes": 0, "cloud_bytes": 0, "done": 0}
    latencies = [0] * 4096
    state = {"busy": 0, "cloud": 0}

    def task(site, way_s):
        began = env.now
        yield env.timeout(way_s)
        work = chance.expovariate(1.0)
        yield env.timeout(work)
        ledger[site + "_cpu"] += work
        yield env.timeout(way_s)
        ledger[site + "_bytes"] += 22000
        ledger["done"] += 1
        latencies[min(int((env.now - began) * 100), 4095)] += 1
        if site == "edge":
            state["busy"] -= 1

    def users():
        for _ in range(tasks):
            yield env.timeout(chance.expovariate(per_s))
            if state["busy"] < slots:
                state["busy"] += 1
                env.process(task("edge", 0.005))
            else:
                state["cloud"] += 1
                env.process(task("cloud", 0.050))

    env.process(users())
    env.run()
    print(ledger["done"], state["cloud"])


main()
