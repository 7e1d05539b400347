"""Build of the extension module `rsfilter.rtr._librtr` (cffi, API mode).

Needs a C compiler and librtr's header (Debian: librtr-dev). The compiler reads every struct from
librtr's own header, so a different layout is an error of the build, not a crash at run time.
"""

from pathlib import Path

from cffi import FFI

builder = FFI()

builder.cdef("""
    enum rtr_socket_state {
        RTR_CONNECTING, RTR_ESTABLISHED, RTR_RESET, RTR_SYNC, RTR_FAST_RECONNECT,
        RTR_ERROR_NO_DATA_AVAIL, RTR_ERROR_NO_INCR_UPDATE_AVAIL, RTR_ERROR_FATAL,
        RTR_ERROR_TRANSPORT, RTR_SHUTDOWN, RTR_CLOSED, ...
    };

    struct rsf_record { ...; };
    struct rsf_cache { ...; };

    struct rsf_report {
        int state;
        uint32_t errors;
        bool has_data;
        uint32_t session;
        uint32_t serial;
        uint32_t expire;
        double confirmed;
        double lost;
        struct rsf_record *records;
        size_t count;
        ...;
    };

    struct rsf_options {
        const char *host;
        const char *port;
        const char *user;
        const char *key;
        const char *known_hosts;
        unsigned int refresh;
        unsigned int retry;
        int wake_fd;
        ...;
    };

    struct rsf_cache *rsf_open(const struct rsf_options *options);
    int rsf_start(struct rsf_cache *cache);
    void rsf_stop(struct rsf_cache *cache);
    void rsf_free(struct rsf_cache *cache);
    void rsf_poll(struct rsf_cache *cache, struct rsf_report *report);
    int rsf_silence(void);
    void free(void *pointer);
""")

builder.set_source(
    "rsfilter.rtr._librtr",
    Path(__file__).with_name("librtr_shim.c").read_text(encoding="utf-8"),
    libraries=["rtr", "pthread"],
)
