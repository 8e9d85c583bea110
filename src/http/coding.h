/*
 * coding.h - content codings (RFC 9110 8.4): a body compressed while it is sent.
 *
 * Layer:   1 (http), private.
 * Threads: a coder belongs to one thread at a time.
 * PHI:     bodies pass through; our own buffer is wiped.
 */
#ifndef NX_HTTP_CODING_H
#define NX_HTTP_CODING_H

#include "http/http.h"

enum nx_coding {
	NX_CODING_NONE,
	NX_CODING_ZSTD, /* RFC 8878 */
	NX_CODING_GZIP  /* RFC 1952 */
};

/* As it stands in Accept-Encoding and Content-Encoding; "" for none. */
const char *nx_coding_name(enum nx_coding coding);
/* What Accept-Encoding (may be NULL) likes best of what we have (RFC 9110 12.5.3). */
enum nx_coding nx_coding_choose(const char *accept);

struct nx_coder;

/* Codes what `read` gives until its end.  NULL without memory. */
struct nx_coder *nx_coder_new(enum nx_coding coding, nx_http_read_fn read, void *payload);
struct nx_coder *nx_coder_free(struct nx_coder *coder);
NX_DEFINE_AUTO(nx_coder);
/* The next coded bytes; *ret_n 0 at the end. */
NX_NODISCARD nx_rc nx_coder_read(
	struct nx_coder *coder, void *p, size_t n, size_t *ret_n, struct nx_err *err);

#endif
