/*
 * err.h - error codes and the caller's error text.
 *
 * Layer:   0 (base).
 * Threads: a struct nx_err belongs to one thread at a time.
 * PHI:     none may enter: texts name tags, offsets, limits and internal ids, never values.
 */
#ifndef NX_BASE_ERR_H
#define NX_BASE_ERR_H

#include <stdbool.h>

#include "base/auto.h"

typedef enum {
	NX_OK = 0,
#define NX_ERROR(code, wire, http, dimse, retry) code,
#include "base/errors.def"
#undef NX_ERROR
	NX_E_COUNT_
} nx_rc;

enum {
	NX_ERR_TEXT_MAX = 256
};

/* On the caller's stack; set only by the functions below.  NULL may stand for it everywhere. */
struct nx_err {
	nx_rc rc;
	int errnum; /* errno where a system call failed, else 0 */
	char text[NX_ERR_TEXT_MAX];
};

/* Set `err` (may be NULL) to `rc` with a text; returns `rc`. */
nx_rc nx_err_set(struct nx_err *err, nx_rc rc, const char *fmt, ...) NX_PRINTF(3, 4);

/* The same with the code for the present errno, and its text appended. */
nx_rc nx_err_errno(struct nx_err *err, const char *fmt, ...) NX_PRINTF(2, 3);

/* Put "prefix: " before the text that is there; returns `rc`. */
nx_rc nx_err_prefix(struct nx_err *err, nx_rc rc, const char *fmt, ...) NX_PRINTF(3, 4);

/* The same functions, so that the compiler and its analyzers see what comes back: `rc` itself, and
 * never NX_OK for an errno.  Without that every failure looks as if it could be a success. */
#define nx_err_set(err, rc, ...)                                 \
	__extension__({                                          \
		const nx_rc set_rc_ = (rc);                      \
		(void)(nx_err_set)((err), set_rc_, __VA_ARGS__); \
		set_rc_;                                         \
	})
#define nx_err_prefix(err, rc, ...)                                    \
	__extension__({                                                \
		const nx_rc prefix_rc_ = (rc);                         \
		(void)(nx_err_prefix)((err), prefix_rc_, __VA_ARGS__); \
		prefix_rc_;                                            \
	})
#define nx_err_errno(err, ...)                                              \
	__extension__({                                                     \
		const nx_rc errno_rc_ = (nx_err_errno)((err), __VA_ARGS__); \
		if (errno_rc_ == NX_OK)                                     \
			__builtin_unreachable();                            \
		errno_rc_;                                                  \
	})

/* The text, or the wire name where no text was set. */
const char *nx_err_text(const struct nx_err *err);

nx_rc nx_rc_from_errno(int errnum);
const char *nx_rc_wire(nx_rc rc); /* "not-found" */
int nx_rc_http(nx_rc rc);         /* 404; 200 for NX_OK */
unsigned nx_rc_dimse(nx_rc rc);   /* PS3.7 Annex C status; 0 for NX_OK */
bool nx_rc_retryable(nx_rc rc);

#endif
