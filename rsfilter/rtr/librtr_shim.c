/*
 * What librtr 0.8.0 needs around it before it may run inside a Python process.
 *
 * One `rsf_cache` is one RTR cache: one rtr_mgr_config with one group with one socket, which runs on
 * one thread of librtr. No Python ever runs on that thread: librtr ends it with pthread_cancel(),
 * and a thread that dies while it waits for the GIL takes the interpreter with it. The thread leaves
 * whole snapshots here, says so on an eventfd, and Python fetches the newest with rsf_poll().
 *
 * docs/adr/0003-librtr-shim.md says which faults of librtr each part is for.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <rtrlib/rtrlib.h>

#if RTRLIB_VERSION_MAJOR != 0 || RTRLIB_VERSION_MINOR != 8
#error "rsfilter's binding is written for librtr 0.8: other versions have other structs"
#endif
#ifndef RTRLIB_HAVE_LIBSSH
#error "rsfilter needs a librtr that was built with libssh"
#endif

/* One cache's data between two End of Data. All that the RPKI holds today, some 700 000 VRPs, is
 * about 16 MB; librtr needs seven times what it receives. */
#define MAX_SYNC_BYTES (64u << 20)

/* Many small updates may not add up to much more VRPs than the 3.4 million of IPv4 that fit into
 * MAX_SYNC_BYTES. */
#define MAX_RECORDS (4u << 20)

/* Router keys (RFC 8210 section 5.10) that librtr keeps although nobody here wants them, in a table
 * that is slow when they are of one AS. The RPKI holds some hundred. */
#define MAX_ROUTER_KEYS (1u << 14)

/* librtr's maximum. Expiry is ours, by a clock and in a range that librtr does not offer. */
#define EXPIRE_S 172800

/* A handshake with one address that takes longer is a failed one; once all have failed the next
 * attempt is `retry` away. */
#define CONNECT_TIMEOUT_S 10

/* Waits of librtr are cut into slices of this length, so that a stop is never later. */
#define RECV_SLICE_S 1

/* A VRP, packed and big-endian: snapshots are sorted and compared as bytes. Addresses are numbers
 * of 128 bits; IPv4 is in the low 32. */
struct rsf_record {
	uint8_t family; /* 4 or 6 */
	uint8_t length;
	uint8_t max_length;
	uint8_t zero;
	uint32_t asn;
	uint64_t high;
	uint64_t low;
};

_Static_assert(sizeof(struct rsf_record) == 24, "rsf_record has padding");

/* What a cache has to say. `records` is the newest snapshot that nobody has fetched yet, and then
 * belongs to the caller (free()); NULL when the one that was fetched before still holds. */
struct rsf_report {
	int state; /* enum rtr_socket_state */
	uint32_t errors; /* connections lost and synchronisations that failed, so far */
	bool has_data; /* session, serial and confirmed are meaningful */
	uint32_t session;
	uint32_t serial;
	uint32_t expire; /* the Expire Interval of its End of Data (RFC 8210 section 6); 0: it has none */
	double confirmed; /* CLOCK_MONOTONIC: when the cache last said that this is all */
	double lost; /* the first error since then, or since the start; 0: none */
	struct rsf_record *records;
	size_t count;
};

struct rsf_options {
	const char *host;
	const char *port;
	const char *user; /* NULL: plain TCP */
	const char *key;
	const char *known_hosts;
	unsigned int refresh;
	unsigned int retry;
	int wake_fd; /* an eventfd */
};

struct rsf_cache {
	struct rtr_socket socket; /* first: the only handle that the update callback gets */
	struct rtr_socket *sockets[1];
	struct tr_socket outer; /* what librtr talks to: `inner` with our bounds around it */
	struct tr_socket inner;
	struct rtr_mgr_config *config;
	char *host; /* of a cache over TCP: see connect_any() */
	char *port;
	unsigned int retry;
	int wake_fd;

	/* Only on the thread of librtr. */
	size_t received; /* bytes since the synchronisation began */
	struct arriving {
		size_t seen; /* octets of the PDU that is coming */
		uint32_t size; /* octets that it has */
		uint8_t type;
		uint8_t length; /* of its prefix, as it came */
		uint32_t expire; /* of its End of Data */
	} arriving;
	uint32_t expire; /* of the last End of Data */
	size_t router_keys; /* since everything was asked for */
	bool is_asked_for_all; /* and has not come yet */
	bool is_clean; /* no error since the synchronisation began */
	bool must_break; /* the table cannot be trusted: reconnect and load it anew */
	bool must_wait; /* the last attempt failed: pause before the next */
	uint64_t changes; /* records added and removed */
	uint64_t published; /* `changes` at the last snapshot */

	pthread_mutex_t mutex; /* guards what follows */
	pthread_cond_t stopped;
	bool is_stopping;
	struct rsf_report report;
};

static double monotonic(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static bool is_stopping(struct rsf_cache *cache)
{
	bool answer;

	pthread_mutex_lock(&cache->mutex);
	answer = cache->is_stopping;
	pthread_mutex_unlock(&cache->mutex);
	return answer;
}

/* The end of what may come in this connection: it is closed, and everything asked for anew. */
static void give_up(struct rsf_cache *cache)
{
	cache->is_clean = false;
	cache->must_break = true;
}

/* PDUs ----------------------------------------------------------------------------------------- */

enum { PDU_IPV6_PREFIX = 6, PDU_END_OF_DATA = 7, PDU_ROUTER_KEY = 9, PDU_ERROR_REPORT = 10 };

/* librtr looks bits of an IPv6 prefix up one by one, as deep as prefixes lie over each other, and
 * aborts the process at the 129th: which takes prefixes with host bits, or longer than 128. Host bits
 * are taken off here. A length that cannot be becomes 128, with a maxLength that cannot be either, and
 * is another one for each: who reads the table drops it. */
static uint8_t as_librtr_may_have_it(struct arriving *pdu, size_t at, uint8_t octet)
{
	if (at == 9) {
		pdu->length = octet;
		return octet > 128 ? 128 : octet;
	}
	if (at == 10)
		return pdu->length > 128 ? pdu->length - 129 : octet;
	if (at >= 12 && at < 28) {
		size_t first = (at - 12) * 8;

		if (pdu->length <= first)
			return 0;
		if (pdu->length < first + 8)
			return octet & (uint8_t)(0xff << (first + 8 - pdu->length));
	}
	return octet;
}

/* Looks through what has come before librtr does (RFC 8210 section 5). */
static void look_through(struct rsf_cache *cache, uint8_t *octets, size_t count)
{
	struct arriving *pdu = &cache->arriving;

	for (size_t i = 0; i < count; i++) {
		size_t at = pdu->seen++;

		if (at == 1)
			pdu->type = octets[i];
		if (at >= 4 && at < 8)
			pdu->size = pdu->size << 8 | octets[i];
		if (pdu->type == PDU_IPV6_PREFIX && at >= 9)
			octets[i] = as_librtr_may_have_it(pdu, at, octets[i]);
		if (pdu->type == PDU_END_OF_DATA && at >= 20 && at < 24) /* version 1: 24 octets */
			pdu->expire = pdu->expire << 8 | octets[i];
		if (pdu->seen < 8 || pdu->seen < pdu->size)
			continue;
		if (pdu->type == PDU_ROUTER_KEY && ++cache->router_keys > MAX_ROUTER_KEYS)
			give_up(cache);
		if (pdu->type == PDU_END_OF_DATA)
			cache->expire = pdu->expire;
		*pdu = (struct arriving){0};
	}
}

/* Transport ------------------------------------------------------------------------------------ */

static bool is_connected(struct rsf_cache *cache, int descriptor)
{
	struct pollfd wanted = {.fd = descriptor, .events = POLLOUT};
	int error = 0, slices = CONNECT_TIMEOUT_S / RECV_SLICE_S;
	socklen_t size = sizeof(error);

	while (slices-- > 0 && !is_stopping(cache)) {
		if (poll(&wanted, 1, RECV_SLICE_S * 1000) > 0)
			return getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0;
	}
	return false;
}

static int connect_one(struct rsf_cache *cache, const struct addrinfo *to)
{
	int descriptor = socket(to->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (descriptor < 0)
		return -1;
	if ((connect(descriptor, to->ai_addr, to->ai_addrlen) == 0 ||
	     (errno == EINPROGRESS && is_connected(cache, descriptor))) &&
	    fcntl(descriptor, F_SETFL, 0) == 0) /* librtr wants it blocking */
		return descriptor;
	close(descriptor);
	return -1;
}

/* Tries every address of the cache's name, in the order of the resolver (RFC 6724); librtr's own tries
 * the first only. Cancelling the thread in here would lose the descriptor: is_stopping() is asked
 * instead, every second. */
static int connect_any(void *data)
{
	struct rsf_cache *cache = data;
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found, *each;
	int descriptor = -1, before;

	if (getaddrinfo(cache->host, cache->port, &hints, &found) != 0)
		return -1;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
	for (each = found; each && descriptor < 0 && !is_stopping(cache); each = each->ai_next)
		descriptor = connect_one(cache, each);
	freeaddrinfo(found);
	pthread_setcancelstate(before, NULL);
	return descriptor;
}

static int outer_open(void *socket)
{
	struct rsf_cache *cache = socket;

	cache->must_break = false;
	cache->arriving = (struct arriving){0};
	if (is_stopping(cache))
		return TR_ERROR;
	return cache->inner.open_fp(cache->inner.socket);
}

static void outer_close(void *socket)
{
	struct rsf_cache *cache = socket;

	cache->inner.close_fp(cache->inner.socket);
}

static void outer_free(struct tr_socket *socket)
{
	struct rsf_cache *cache = socket->socket;

	cache->inner.free_fp(&cache->inner);
}

static int outer_send(const void *socket, const void *pdu, const size_t len, const time_t timeout)
{
	struct rsf_cache *cache = (struct rsf_cache *)socket;

	/* After an Error Report the session is over (RFC 8210 section 10). librtr would go on with it:
	 * what had come until then is forgotten, and what comes after would be taken for all. */
	if (len > 1 && ((const uint8_t *)pdu)[1] == PDU_ERROR_REPORT) {
		give_up(cache);
		return TR_ERROR;
	}
	return cache->inner.send_fp(cache->inner.socket, pdu, len, timeout);
}

static int outer_recv(const void *socket, void *pdu, const size_t len, const time_t timeout)
{
	struct rsf_cache *cache = (struct rsf_cache *)socket;
	time_t left = timeout;

	for (;;) {
		time_t slice = left < RECV_SLICE_S ? left : RECV_SLICE_S;
		int result;

		if (cache->must_break || cache->received > MAX_SYNC_BYTES || is_stopping(cache))
			return TR_ERROR;
		result = cache->inner.recv_fp(cache->inner.socket, pdu, len, slice);
		left -= slice;
		if (result > 0) {
			cache->received += (size_t)result;
			look_through(cache, pdu, (size_t)result);
			if (cache->must_break)
				return TR_ERROR;
		}
		if (result != TR_WOULDBLOCK || left <= 0)
			return result;
	}
}

static const char *outer_ident(void *socket)
{
	struct rsf_cache *cache = socket;

	return cache->inner.ident_fp(cache->inner.socket);
}

/* Snapshots ------------------------------------------------------------------------------------ */

struct copying {
	struct rsf_record *records;
	size_t count;
	size_t capacity;
	bool has_failed;
};

static void copy_record(const struct pfx_record *from, void *data)
{
	struct copying *copying = data;
	struct rsf_record *to;

	if (copying->has_failed)
		return;
	if (copying->count == copying->capacity) {
		size_t capacity = copying->capacity ? 2 * copying->capacity : 1024;
		void *larger = NULL;

		if (capacity <= MAX_RECORDS)
			larger = realloc(copying->records, capacity * sizeof(*to));
		if (!larger) {
			copying->has_failed = true;
			return;
		}
		copying->records = larger;
		copying->capacity = capacity;
	}
	to = &copying->records[copying->count++];
	*to = (struct rsf_record){
		.length = from->min_len,
		.max_length = from->max_len,
		.asn = htobe32(from->asn),
	};
	if (from->prefix.ver == LRTR_IPV4) {
		to->family = 4;
		to->low = htobe64(from->prefix.u.addr4.addr);
	} else {
		const uint32_t *word = from->prefix.u.addr6.addr;

		to->family = 6;
		to->high = htobe64((uint64_t)word[0] << 32 | word[1]);
		to->low = htobe64((uint64_t)word[2] << 32 | word[3]);
	}
}

static int compare_records(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct rsf_record));
}

/* The whole table, sorted. The thread of librtr is the only one that changes it. */
static bool copy_table(struct rsf_cache *cache, struct copying *copying)
{
	*copying = (struct copying){0};
	rtr_mgr_for_each_ipv4_record(cache->config, copy_record, copying);
	rtr_mgr_for_each_ipv6_record(cache->config, copy_record, copying);
	if (copying->has_failed) {
		free(copying->records);
		return false;
	}
	if (!copying->records) /* an empty table is a snapshot too */
		copying->records = malloc(sizeof(struct rsf_record));
	if (!copying->records)
		return false;
	qsort(copying->records, copying->count, sizeof(struct rsf_record), compare_records);
	return true;
}

/* End of Data: what the table holds is what the cache holds. */
static void publish(struct rsf_cache *cache)
{
	struct rsf_report *report = &cache->report;
	struct copying copying = {0};
	bool has_changed = !report->has_data || cache->changes != cache->published;

	if (!cache->is_clean || (has_changed && !copy_table(cache, &copying))) {
		cache->must_break = true;
		return;
	}
	cache->published = cache->changes;
	pthread_mutex_lock(&cache->mutex);
	if (has_changed) {
		free(report->records);
		report->records = copying.records;
		report->count = copying.count;
	}
	report->has_data = true;
	report->session = cache->socket.session_id;
	report->serial = cache->socket.serial_number;
	report->expire = cache->expire;
	report->confirmed = monotonic();
	report->lost = 0;
	pthread_mutex_unlock(&cache->mutex);
}

/* Callbacks of librtr -------------------------------------------------------------------------- */

static void on_update(struct pfx_table *table, const struct pfx_record record, const bool added)
{
	(void)table;
	(void)added;
	((struct rsf_cache *)record.socket)->changes++;
}

/* Until `retry` seconds have gone by or somebody wants us to stop. */
static void pause_before_retry(struct rsf_cache *cache)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += cache->retry;
	pthread_mutex_lock(&cache->mutex);
	while (!cache->is_stopping &&
	       pthread_cond_timedwait(&cache->stopped, &cache->mutex, &until) != ETIMEDOUT)
		;
	pthread_mutex_unlock(&cache->mutex);
}

static void show(struct rsf_cache *cache, enum rtr_socket_state state, bool is_error)
{
	const uint64_t one = 1;

	pthread_mutex_lock(&cache->mutex);
	cache->report.state = (int)state;
	if (is_error) {
		cache->report.errors++;
		if (cache->report.lost == 0)
			cache->report.lost = monotonic();
	}
	pthread_mutex_unlock(&cache->mutex);
	if (write(cache->wake_fd, &one, sizeof(one)) < 0) {
		/* The counter is full: then the reader is awake anyway. */
	}
}

/* Runs on the thread of librtr, between two steps of its state machine. */
static void enter(struct rsf_cache *cache, enum rtr_socket_state state)
{
	struct rtr_socket *socket = &cache->socket;
	bool is_error = state == RTR_ERROR_FATAL || state == RTR_ERROR_TRANSPORT ||
			state == RTR_ERROR_NO_DATA_AVAIL ||
			/* a Cache Reset to one who asks for everything: librtr would ask on and on */
			(state == RTR_ERROR_NO_INCR_UPDATE_AVAIL && cache->is_asked_for_all);

	if (is_error) {
		cache->is_clean = false;
		cache->must_wait = true;
		/* Never ask for a difference to a session that has failed: StayRTR refuses it for
		 * ever, and its differences over several serials are wrong. */
		socket->request_session_id = true;
		socket->serial_number = 0;
	} else if (state == RTR_SYNC) {
		cache->is_clean = true;
		cache->received = 0;
	} else if (state == RTR_ESTABLISHED) {
		publish(cache);
		cache->received = 0;
		cache->is_asked_for_all = false;
	} else if (state == RTR_RESET) {
		cache->is_asked_for_all = true;
		cache->router_keys = 0;
	}
	show(cache, state, is_error);
	if (cache->must_wait && (state == RTR_CONNECTING || state == RTR_RESET)) {
		cache->must_wait = false;
		/* librtr goes down to version 0 for ever after one PDU of version 0. */
		if (state == RTR_CONNECTING)
			socket->version = 1;
		pause_before_retry(cache);
	}
	/* Into a shadow table that takes the old one's place at End of Data. */
	if (state == RTR_RESET)
		socket->is_resetting = true;
}

static void on_state(const struct rtr_socket *socket, const enum rtr_socket_state state, void *config,
		     void *group)
{
	int before;

	(void)config;
	(void)group;
	if (state == RTR_SHUTDOWN || state == RTR_CLOSED)
		return; /* on the thread that stops, which knows */
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
	enter((struct rsf_cache *)socket, state);
	pthread_setcancelstate(before, NULL);
}

/* Life ----------------------------------------------------------------------------------------- */

static int open_transport(struct rsf_cache *cache, const struct rsf_options *options)
{
	if (!options->user) {
		struct tr_tcp_config tcp = {
			.host = (char *)options->host,
			.port = (char *)options->port,
			.new_socket = connect_any,
			.data = cache,
		};
		cache->host = strdup(options->host);
		cache->port = strdup(options->port);
		if (!cache->host || !cache->port)
			return TR_ERROR;
		return tr_tcp_init(&tcp, &cache->inner);
	}
	struct tr_ssh_config ssh = {
		.host = (char *)options->host,
		.port = (unsigned int)strtoul(options->port, NULL, 10),
		.username = (char *)options->user,
		.client_privkey_path = (char *)options->key,
		.server_hostkey_path = (char *)options->known_hosts,
		.connect_timeout = CONNECT_TIMEOUT_S,
	};
	return tr_ssh_init(&ssh, &cache->inner);
}

static int open_manager(struct rsf_cache *cache, const struct rsf_options *options)
{
	struct rtr_mgr_group group = {.sockets = cache->sockets, .sockets_len = 1, .preference = 1};
	int result;

	cache->outer = (struct tr_socket){
		.socket = cache,
		.open_fp = outer_open,
		.close_fp = outer_close,
		.free_fp = outer_free,
		.send_fp = outer_send,
		.recv_fp = outer_recv,
		.ident_fp = outer_ident,
	};
	cache->sockets[0] = &cache->socket;
	cache->socket.tr_socket = &cache->outer;
	result = rtr_mgr_init(&cache->config, &group, 1, options->refresh, EXPIRE_S, options->retry,
			      on_update, NULL, NULL, NULL);
	if (result != RTR_SUCCESS)
		return result;
	/* Not chained to librtr's own: that one takes a mutex that rtr_mgr_stop() holds while it
	 * waits for this thread. */
	cache->socket.connection_state_fp = on_state;
	/* The pause is ours too: librtr's cannot be interrupted in every state. */
	cache->socket.retry_interval = 0;
	rtr_set_interval_mode(&cache->socket, RTR_INTERVAL_MODE_IGNORE_ANY);
	return RTR_SUCCESS;
}

static void release(struct rsf_cache *cache)
{
	free(cache->report.records);
	free(cache->host);
	free(cache->port);
	pthread_cond_destroy(&cache->stopped);
	pthread_mutex_destroy(&cache->mutex);
	free(cache);
}

static struct rsf_cache *rsf_open(const struct rsf_options *options)
{
	struct rsf_cache *cache = calloc(1, sizeof(*cache));
	pthread_condattr_t clock;

	if (!cache)
		return NULL;
	cache->retry = options->retry;
	cache->wake_fd = options->wake_fd;
	cache->report.state = RTR_CLOSED;
	pthread_mutex_init(&cache->mutex, NULL);
	pthread_condattr_init(&clock);
	pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	pthread_cond_init(&cache->stopped, &clock);
	pthread_condattr_destroy(&clock);
	if (open_transport(cache, options) != TR_SUCCESS) {
		release(cache);
		return NULL;
	}
	if (open_manager(cache, options) != RTR_SUCCESS) {
		cache->inner.free_fp(&cache->inner);
		release(cache);
		return NULL;
	}
	return cache;
}

static int rsf_start(struct rsf_cache *cache)
{
	sigset_t all, before;
	int result;

	/* A thread inherits the mask: signals are for Python's main thread. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	result = rtr_mgr_start(cache->config);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return result;
}

/* May take as long as a name server, a connect or a slice does: not for an event loop. */
static void rsf_stop(struct rsf_cache *cache)
{
	pthread_mutex_lock(&cache->mutex);
	cache->is_stopping = true;
	pthread_cond_broadcast(&cache->stopped);
	pthread_mutex_unlock(&cache->mutex);
	rtr_mgr_stop(cache->config);
}

/* After rsf_stop(), or instead of rsf_start(). */
static void rsf_free(struct rsf_cache *cache)
{
	rtr_mgr_free(cache->config);
	release(cache);
}

static void rsf_poll(struct rsf_cache *cache, struct rsf_report *report)
{
	pthread_mutex_lock(&cache->mutex);
	*report = cache->report;
	cache->report.records = NULL;
	cache->report.count = 0;
	pthread_mutex_unlock(&cache->mutex);
}

/* librtr reports every step on C's stderr and cannot be asked not to. glibc lets the stream be
 * replaced; file descriptor 2, and so Python's own stderr, stays what it is. */
static int rsf_silence(void)
{
	static FILE *nowhere;

	if (!nowhere)
		nowhere = fopen("/dev/null", "we");
	if (!nowhere)
		return -1;
	stderr = nowhere;
	return 0;
}
