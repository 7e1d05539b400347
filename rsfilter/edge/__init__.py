"""The edges of `rsfilter run`: threads, pipes and files. Each waits where the loop may not.

    pipe          both ends of the pipe to ExaBGP
    truth_file, truth_watcher   the truth file, read and watched
    directory_events   inotify, which says when to look
    readiness     the files of `[readiness]`, watched
    guard_file, guard_keeper   what the guard knows, kept for the next process
    drain_file    a drain that was requested, kept too
    unsettled_file   what was begun with ExaBGP, kept for the next process
    recording_writer   a recording, written beside the filter
    ending        signals, and a deadline for the end of the process
    alarms        warnings in the log that an operator has to act on

What each may wait for: docs/architecture.md, "Threads and tasks".
"""
