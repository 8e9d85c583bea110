/*
 * http_priv.h - what the files of this module share.
 *
 * Layer:   1 (http), private.
 * Threads: see http.h.
 */
#ifndef NX_HTTP_HTTP_PRIV_H
#define NX_HTTP_HTTP_PRIV_H

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>

#include <microhttpd.h>

#include "base/buf.h"
#include "http/coding.h"
#include "http/fiber.h"
#include "http/http.h"
#include "net/net.h"

enum {
	NX_HTTP_ROUTE_PARAMS = 8,
	NX_HTTP_PATH_SEGMENTS = 256,
	NX_HTTP_METHODS_LEN = 64
};

/* ---- pure functions (fuzzed and unit-tested by themselves) ---- */

struct nx_http_pair {
	const char *key;
	const char *value;
};

/* Percent-decode into the arena; NULL for a bad escape, NUL, or no memory. */
char *nx_http_decode(struct nx_arena *arena, const char *s, size_t n, bool plus_is_space);
/* The path of a request target (RFC 9112 3.2.1), decoded; refuses "..", controls. */
NX_NODISCARD nx_rc nx_http_path_parse(struct nx_arena *arena, const char *raw, size_t n,
	const char **ret_path, struct nx_err *err);
NX_NODISCARD nx_rc nx_http_query_parse(struct nx_arena *arena, const char *raw,
	struct nx_http_pair **ret_pairs, size_t *ret_n, struct nx_err *err);
/* `range` may be NULL. */
NX_NODISCARD nx_rc nx_http_range_parse(
	const char *range, uint64_t size, uint64_t *ret_off, uint64_t *ret_len, struct nx_err *err);

/* One media type or range with parameters: what Accept lists and Content-Type is. */
struct nx_media {
	struct nx_slice type;
	struct nx_slice subtype;
	struct nx_slice params; /* raw: ";a=b;c=\"d\"" */
};
/* Takes one list member; false at the end.  A member that is none has an empty type. */
bool nx_media_next(struct nx_slice *list, struct nx_media *ret);
/* A parameter's value without quotes (escapes kept); false where it is not there. */
bool nx_media_param(const struct nx_media *media, const char *name, struct nx_slice *ret);
bool nx_media_eq(struct nx_slice a, struct nx_slice b); /* ASCII case-insensitive */

/* What Accept-Encoding gives `coding`, in thousandths; 0: it is not wanted. */
int nx_coding_weight(const char *accept, const char *coding, bool any_counts);

/* Is `origin` in a list with spaces between? */
bool nx_cors_listed(const char *list, const char *origin);

struct nx_route_match {
	const struct nx_route *route;
	const struct nx_route_table *table;
	size_t mount_len; /* of the path: what the prefix took */
	size_t n_params;
	struct {
		struct nx_slice name;
		struct nx_slice value;
	} params[NX_HTTP_ROUTE_PARAMS];
	char allow[NX_HTTP_METHODS_LEN]; /* with NX_E_METHOD: "GET, HEAD" */
};
/* NX_E_NOENT, NX_E_METHOD. */
NX_NODISCARD nx_rc nx_route_find(const struct nx_route_table *tables, size_t n_tables,
	const char *method, const char *path, struct nx_route_match *ret, struct nx_err *err);

/* ---- a TCP connection ---- */

/* libmicrohttpd's socket context.  The reaper looks at it, its own thread writes it. */
struct nx_link {
	struct nx_link *next;
	struct nx_link **at;
	struct nx_http_server *server;
	int fd;
	atomic_int_least64_t cut_at_us; /* INT64_MAX: the ball is on our side */
	atomic_bool cut;
	atomic_bool waits;       /* for a head: there is no request to lose */
	int64_t left_us;         /* the patience left for this body; see nx_link_wait() */
	struct nx_http_req *req; /* the one at hand */
	struct nx_arena *arena;
	struct nx_fiber *fiber; /* kept from body to body */
	struct in6_addr addr;   /* IPv4 as ::ffff:a.b.c.d */
	char peer[INET6_ADDRSTRLEN];
	bool is_unix;
	bool fresh; /* has not asked for anything yet; guarded by the server's lock */
	bool cn_known;
	nx_rc cn_rc;
	char cn[256];
};

void nx_link_deadline(struct nx_link *link, int64_t us_from_now);
void nx_link_busy(struct nx_link *link);
/* We wait for the peer's body: `moved` bytes came, which buys time at the minimum rate, up to 10 s
 * in store.  Time in the handler does not count. */
void nx_link_wait(struct nx_link *link, uint64_t moved);
void nx_link_patience(struct nx_link *link); /* a new body: 10 s in store */
/* `n` bytes of response were handed over: time to send them at the minimum rate, and 10 s. */
void nx_link_sending(struct nx_link *link, uint64_t n);

struct nx_http_server {
	struct nx_http_opts opts;
	char name[64];
	char *unix_path;
	unsigned max_conns;
	struct MHD_Daemon *daemon;
	int fd;
	uint16_t port;
	bool tls;
	bool require_client_cert;
	struct nx_buf cert, key, ca;
	atomic_bool draining;
	atomic_bool inherited; /* another server has the socket too */
	pthread_t reaper;
	bool reaper_runs;
	pthread_mutex_t lock;
	pthread_cond_t changed; /* active fell to 0 while draining, or stop */
	bool stop;              /* guarded by lock */
	struct nx_link *links;  /* guarded by lock */
	unsigned n_links;       /* guarded by lock */
	unsigned n_cut;         /* of them, and their threads still to end; guarded by lock */
	unsigned n_fresh; /* connections that have not asked for anything yet; guarded by lock */
	bool coming;      /* accepted, and no link yet; guarded by lock */
	unsigned active;  /* requests; guarded by lock */
};

/* Caller holds server->lock and has just put a connection in front of the list: with more than
 * max_conns, the one that has waited longest for a request goes.  So a crowd that says nothing
 * keeps nobody out.  True when many are still on their way out: the next should not come at once.
 */
bool nx_links_make_room(struct nx_http_server *server);
NX_NODISCARD nx_rc nx_reaper_start(struct nx_http_server *server, struct nx_err *err);
void nx_reaper_stop(struct nx_http_server *server);

/* ---- a request ---- */

struct nx_http_req {
	struct nx_http_server *server;
	struct nx_link *link;
	struct MHD_Connection *conn;
	struct nx_arena *arena;
	char *uri;
	const char *method;
	const char *path;
	const char *query_string;
	struct nx_http_pair *query;
	size_t n_query;
	struct nx_route_match match;
	void *principal;
	const char *who; /* its name; NULL: not known */

	bool started; /* the head has been looked at */
	bool has_body;
	bool body_ended;
	bool must_close; /* the framing is not to be trusted: no further request */
	bool closed;     /* the peer has gone in mid-body */
	bool handled;    /* the handler has returned */
	uint64_t body_len;
	struct nx_slice chunk; /* libmicrohttpd's buffer, not yet taken */
	uint64_t discarded;

	struct nx_http_pair *headers; /* of the response */
	size_t n_headers;
	size_t max_headers;
	bool headers_failed;
	bool replied;
	bool queued;
	int status;
	struct MHD_Response *response;
	uint8_t *copy;
	size_t copy_len;
	size_t copy_at; /* what the coder has taken */
	enum nx_coding coding;
	struct nx_coder *coder;
	nx_http_read_fn read;
	nx_http_done_fn done;
	void *payload;
	uint64_t length;
	uint64_t sent;
	bool read_ended;
};

/* Everything about a head that can be refused before a body byte is read. */
NX_NODISCARD nx_rc nx_request_open(
	struct nx_http_req *req, const char *method, const char *version, struct nx_err *err);
/* The headers for a page of another origin; true: it is a preflight, which ends with them. */
bool nx_cors_open(struct nx_http_req *req);
/* Run the handler; on its fiber when there is a body. */
void nx_request_run(struct nx_http_req *req);
/* Give the response to libmicrohttpd. */
enum MHD_Result nx_reply_queue(struct nx_http_req *req);
void nx_reply_done(struct nx_http_req *req, bool complete);

#endif
