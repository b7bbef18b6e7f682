"""The real server and the real client library on virtual time and a virtual network.

`python -m reliability.virtual --runs 2000` runs that many seeds. One seed is one world: a server,
four devices of three accounts, messages, and faults; then everything is repaired, and the history
of what people wrote and saw is checked (`reliability.checker`). The same seed gives the same run.

    scenario, actions            what happens, drawn from the seed, and how it is done
    world, people, serving       a run: its client and server processes, and what is seen of them
    scheduler, loop, threads     virtual time and processes
    network, end, wire, sockets  the lines between them
    disk, store                  what survives a crash
    edges                        what is replaced in `jim`
    cast, play, campaign         accounts that are made once; one run; many runs, and shrinking
    plants                       bugs put in on purpose
"""
