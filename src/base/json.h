/*
 * json.h - a streaming JSON emitter (RFC 8259): no tree, straight into a buffer.
 *
 * Layer:   0 (base).
 * Threads: one thread at a time.
 * PHI:     as the buffer.
 */
#ifndef NX_BASE_JSON_H
#define NX_BASE_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

struct nx_buf;

enum {
	NX_JSON_DEPTH = 420 /* three for each nested DICOM sequence, and what is around them */
};

/* In the caller's storage.  Commas and nesting are the emitter's; a misuse (value without key)
 * asserts. */
struct nx_json {
	struct nx_buf *out;
	unsigned depth;
	bool after_key;
	bool comma[NX_JSON_DEPTH];
};

void nx_json_init(struct nx_json *json, struct nx_buf *out);
void nx_json_object_begin(struct nx_json *json);
void nx_json_object_end(struct nx_json *json);
void nx_json_array_begin(struct nx_json *json);
void nx_json_array_end(struct nx_json *json);
void nx_json_key(struct nx_json *json, const char *key);
/* Bytes that are not UTF-8 become U+FFFD; control characters are escaped. */
void nx_json_str_n(struct nx_json *json, const char *s, size_t n);
void nx_json_str(struct nx_json *json, const char *s); /* NULL is null */
void nx_json_int(struct nx_json *json, int64_t v);
void nx_json_uint(struct nx_json *json, uint64_t v);
void nx_json_double(
	struct nx_json *json, double v); /* NaN and infinities are strings, PS3.18 F.2.3 */
void nx_json_bool(struct nx_json *json, bool v);
void nx_json_null(struct nx_json *json);
void nx_json_raw(struct nx_json *json, struct nx_slice value); /* already JSON */
void nx_json_hex(struct nx_json *json, const void *p, size_t n);
void nx_json_base64(struct nx_json *json, const void *p, size_t n);

/* key and value in one call */
void nx_json_kv_str(struct nx_json *json, const char *key, const char *s);
void nx_json_kv_int(struct nx_json *json, const char *key, int64_t v);
void nx_json_kv_uint(struct nx_json *json, const char *key, uint64_t v);
void nx_json_kv_bool(struct nx_json *json, const char *key, bool v);
/* Sixteen hexadecimal digits: a subject, as every answer names it. */
void nx_json_kv_id(struct nx_json *json, const char *key, uint64_t id);
void nx_json_kv_hex(struct nx_json *json, const char *key, const void *p, size_t n);

#endif
