"""The edges of `rsfilter run`: threads, pipes and files. Each waits where the event loop may not.

    pipe, turn                    the pipe to ExaBGP; as many lines as a turn has time for
    truth_file, truth_watcher     the truth file, read and watched,
    directory_events                  at once where the kernel reports a change
    data_feed                     truth and RTR caches, into the pipeline
    readiness, reload             the files of `[readiness]`; the configuration, read again
    state_files                   what the next process goes on from:
    guard_file, guard_keeper          what the guard holds
    drain_file, unsettled_file        a requested drain; unfinished work with ExaBGP
    recorder                      recordings, written beside the filter, and read
    socket_memory, tcp_refusals   TCP MD5 and GTSM in the kernel: memory, refused segments
    ending                        signals, and a deadline for the end of the process
    alarms                        warnings in the log that an operator has to act on

docs/architecture.md, "Threads and tasks", lists what each may wait for.
"""
