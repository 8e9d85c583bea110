/*
 * http.h - an HTTP/1.1 server with streamed bodies: our request and response interface over
 * libmicrohttpd.
 *
 * Layer:   1 (http).  Uses base, net.
 * Threads: one thread per connection; a struct nx_http_req belongs to its handler call.
 * PHI:     bodies and paths pass through; nothing of them is logged.
 *
 * What libmicrohttpd lets through and RFC 9112 forbids is refused here: several Content-Length or
 * Host, both Content-Length and Transfer-Encoding, no Host, dripped headers and bodies (a reaper
 * ends connections that miss the header deadline or the minimum body rate).
 */
#ifndef NX_HTTP_HTTP_H
#define NX_HTTP_HTTP_H

#include <stdint.h>

#include "base/auto.h"
#include "base/err.h"
#include "base/slice.h"

struct nx_arena;
struct nx_http_req;
struct nx_http_server;
struct nx_tls_opts;

/* ---- the request, as a route's handler sees it ---- */

const char *nx_http_method(const struct nx_http_req *req);
const char *nx_http_path(const struct nx_http_req *req); /* percent-decoded; no "..", no NUL */
const char *nx_http_query_string(const struct nx_http_req *req); /* raw, without '?'; "" if none */
const char *nx_http_header(const struct nx_http_req *req, const char *name); /* first; NULL */
/* i-th query parameter, decoded; false past the end. */
bool nx_http_query_at(
	const struct nx_http_req *req, size_t i, const char **ret_key, const char **ret_value);
const char *nx_http_query(const struct nx_http_req *req, const char *key); /* first; NULL */
/* Value of {name} in the matched route pattern; asserts that the route has it. */
const char *nx_http_param(const struct nx_http_req *req, const char *name);
/* The same; NULL where prefix and pattern have none of that name. */
const char *nx_http_param_find(const struct nx_http_req *req, const char *name);
const char *nx_http_peer(const struct nx_http_req *req);    /* address; "unix" on a Unix socket */
const char *nx_http_peer_cn(const struct nx_http_req *req); /* verified client certificate; NULL */
bool nx_http_is_unix(const struct nx_http_req *req);
/* The user at the other end of a Unix socket (SO_PEERCRED); false elsewhere. */
bool nx_http_peer_uid(const struct nx_http_req *req, uint32_t *ret_uid);
bool nx_http_is_tls(const struct nx_http_req *req);
struct nx_arena *nx_http_arena(
	struct nx_http_req *req);               /* lives until the response is sent; wiped */
void *nx_http_context(struct nx_http_req *req); /* nx_http_opts.context */
void *nx_http_table_context(const struct nx_http_req *req); /* nx_route_table.context */
/* The part of the path that the table's prefix took: "/dicom-web/clinical".  NULL without memory.
 */
const char *nx_http_mount(struct nx_http_req *req);

/* Body length when Content-Length was given, else UINT64_MAX (chunked). */
uint64_t nx_http_body_length(const struct nx_http_req *req);
/* Blocks for the next bytes; *ret_n 0 at the end.  NX_E_TIMEOUT, NX_E_CLOSED. */
NX_NODISCARD nx_rc nx_http_body_read(
	struct nx_http_req *req, void *p, size_t n, size_t *ret_n, struct nx_err *err);
/* The same without a copy: the next bytes where they lie, valid until the next call; ret->n 0 at
 * the end. */
NX_NODISCARD nx_rc nx_http_body_next(
	struct nx_http_req *req, struct nx_slice *ret, struct nx_err *err);
/* The whole body, at most `max` bytes, in the request's arena. */
NX_NODISCARD nx_rc nx_http_body_all(
	struct nx_http_req *req, size_t max, struct nx_slice *ret, struct nx_err *err);

/* ---- the response; exactly one of these ends a handler ---- */

/* Before the body: add a header.  A value with CR or LF ends the connection instead of the reply.
 * Whoever sets no Cache-Control gets "no-store". */
void nx_http_set_header(struct nx_http_req *req, const char *name, const char *value);
/*
 * Before the body of a text: it may be sent compressed, as Accept-Encoding says.  The coding's
 * name,
 * "" for none, which belongs into what an ETag stands for.
 */
const char *nx_http_encode(struct nx_http_req *req);
/* The body is copied. */
nx_rc nx_http_reply(
	struct nx_http_req *req, int status, const char *content_type, struct nx_slice body);
/* {"error":{"code","message"}} with the code's status; logs it once. */
nx_rc nx_http_reply_err(struct nx_http_req *req, const struct nx_err *err);
/*
 * A body of `length` bytes (UINT64_MAX: chunked) that `read` fills piece by piece after the handler
 * has returned: *ret_n bytes into p, 0 at the end; a failure cuts the connection, so that no client
 * takes a part for the whole.  `done` is called exactly once, whether or not the body was sent,
 * with the bytes sent.
 */
typedef nx_rc (*nx_http_read_fn)(
	void *payload, void *p, size_t n, size_t *ret_n, struct nx_err *err);
typedef void (*nx_http_done_fn)(void *payload, uint64_t sent, bool complete);
nx_rc nx_http_reply_stream(struct nx_http_req *req, int status, const char *content_type,
	uint64_t length, nx_http_read_fn read, nx_http_done_fn done, void *payload);

/* ---- routes ---- */

/*
 * One row per route; permission and audit are mandatory columns (0 is not a value of either; a unit
 * test refuses a row without them).  Patterns: "/studies/{study}/metadata"; "{key...}" at the end
 * takes the rest.
 */
typedef nx_rc (*nx_http_handler_fn)(struct nx_http_req *req, struct nx_err *err);

struct nx_route {
	const char *method;
	const char *pattern;
	unsigned perm;  /* enum nx_perm of access.h */
	unsigned audit; /* enum nx_action of ledger.h */
	nx_http_handler_fn fn;
	const char *summary; /* for the OpenAPI document */
};

/* A mounted table: `prefix`, which may hold {names} too, is put before every pattern.  The table
 * ends with {0}. */
struct nx_route_table {
	const char *prefix;
	const struct nx_route *routes;
	void *context; /* for the handlers of this mount */
};

struct nx_http_opts {
	const char *name;
	const char *address;   /* or */
	uint16_t port;         /* 0: any */
	const char *unix_path; /* when set, a Unix socket instead */
	/* When set, the socket of this server, which may then stop: nobody is refused in between.
	 */
	struct nx_http_server *inherit;
	const struct nx_tls_opts
		*tls; /* NULL: plain (loopback and Unix only; the server app decides) */
	unsigned max_conns;
	unsigned max_per_peer; /* by address; 0: no limit */
	int64_t header_us;     /* deadline for a request head; 0: 10 s */
	int64_t idle_us;       /* keep-alive; 0: 60 s */
	uint64_t min_rate;     /* bytes a second over any 10 s of a body; 0: 1024 */
	/* Origins of pages that may ask, with spaces between ("https://viewer.example.org"); NULL
	 * or empty: none.  Borrowed. */
	const char *cors_origins;
	const struct nx_route_table *tables;
	size_t n_tables;
	/* Runs before the handler of every route, with its row: authenticate, decide.  A failure is
	 * the reply. */
	nx_rc (*authorize)(struct nx_http_req *req, const struct nx_route *route, void *context,
		struct nx_err *err);
	void *context;
};

NX_NODISCARD nx_rc nx_http_start(
	const struct nx_http_opts *opts, struct nx_http_server **ret_server, struct nx_err *err);
uint16_t nx_http_port(const struct nx_http_server *server);
struct nx_http_server *nx_http_stop(struct nx_http_server *server, int64_t grace_us);

/* Where authorize() leaves the principal for the handler, and its name for the log, also when it
 * refuses.  Both live as long as the request. */
void nx_http_set_principal(struct nx_http_req *req, void *principal, const char *name);
void *nx_http_principal(const struct nx_http_req *req);

/* ---- helpers shared by the protocols ---- */

/* RFC 9110 14.1.2: one "bytes=" range against `size`.  NX_E_NOENT: no range header, or one to
 * ignore; NX_E_RANGE: not satisfiable.  If-Range is the caller's, who knows the validators. */
NX_NODISCARD nx_rc nx_http_range(const struct nx_http_req *req, uint64_t size, uint64_t *ret_off,
	uint64_t *ret_len, struct nx_err *err);

/* RFC 9110 12.5.1 and PS3.18 8.7: the best of `offers` ("application/dicom+json") for the Accept
 * header, whose media types may be listed, quoted or not, with parameters and "transfer-syntax=*".
 * Any one satisfiable member is enough.  An offer with "; explicit=" is for those alone that name
 * its type and a transfer syntax.  Index of the offer, or -1. */
int nx_http_accept(const char *accept, const char *const *offers, size_t n);

/* The value of a parameter of a media type, without its quotes; false: it has none, or not of less
 * than `cap` bytes. */
bool nx_http_media_param(const char *content_type, const char *name, char *ret, size_t cap);

enum {
	NX_HTTP_DATE = 32
};
/* RFC 9110 5.6.7: "Sun, 06 Nov 1994 08:49:37 GMT", and back; false: it is none. */
void nx_http_date_format(int64_t us, char ret[NX_HTTP_DATE]);
bool nx_http_date_parse(const char *text, int64_t *ret_us);

/* multipart/related (RFC 2387) as it streams in. */
struct nx_multipart;
struct nx_multipart_cb {
	/* The header fields are NULL where the part has none. */
	nx_rc (*on_part_begin)(void *payload, const char *content_type,
		const char *content_location, struct nx_err *err);
	nx_rc (*on_part_data)(void *payload, struct nx_slice data, struct nx_err *err);
	nx_rc (*on_part_end)(void *payload, struct nx_err *err);
};
/* The boundary from the Content-Type header.  NX_E_UNSUPPORTED, NX_E_MALFORMED. */
NX_NODISCARD nx_rc nx_multipart_new(const char *content_type, const struct nx_multipart_cb *cb,
	void *payload, struct nx_multipart **ret_mp, struct nx_err *err);
struct nx_multipart *nx_multipart_free(struct nx_multipart *mp);
NX_DEFINE_AUTO(nx_multipart);
NX_NODISCARD nx_rc nx_multipart_feed(
	struct nx_multipart *mp, const void *p, size_t n, struct nx_err *err);
NX_NODISCARD nx_rc nx_multipart_finish(
	struct nx_multipart *mp, struct nx_err *err); /* closing boundary seen */

#endif
