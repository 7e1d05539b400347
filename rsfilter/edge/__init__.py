"""The edges of `rsfilter run`: threads, pipes and files. Each waits where the event loop may not.

    pipe                        both ends of the pipe to ExaBGP
    truth_file, truth_watcher   the truth file, read and watched
    directory_events            inotify events, which trigger a check
    readiness                   the files of `[readiness]`, watched
    data_feed                   truth and RTR caches, into the pipeline
    reload                      the configuration, read again
    state_files                 the next three, which the next process goes on from
    guard_file, guard_keeper    the guard's state, kept for the next process
    drain_file                  a requested drain, kept too
    unsettled_file              unfinished work with ExaBGP, kept for the next process
    turn                        as many lines as a turn of the loop has time for
    recorder                    recordings, written beside the filter, and read
    socket_memory               memory of the kernel for TCP MD5 passwords
    tcp_refusals                segments that the kernel drops: TCP MD5, GTSM
    ending                      signals, and a deadline for the end of the process
    alarms                      warnings in the log that an operator has to act on

docs/architecture.md, "Threads and tasks", lists what each may wait for.
"""
