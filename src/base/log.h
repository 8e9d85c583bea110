/*
 * log.h - one JSON line per event on standard error.
 *
 * Layer:   0 (base).
 * Threads: safe; a line is one write.
 * PHI:     none may enter: internal ids, counts, codes and nx_err texts only.
 */
#ifndef NX_BASE_LOG_H
#define NX_BASE_LOG_H

#include "base/auto.h"

struct nx_err;

enum nx_log_level {
	NX_LOG_DEBUG,
	NX_LOG_INFO,
	NX_LOG_WARN,
	NX_LOG_ERROR
};

void nx_log_set_level(enum nx_log_level least);

/* `module` and `event` are constant words; the text is for people. */
void nx_log(enum nx_log_level level, const char *module, const char *event, const char *fmt, ...)
	NX_PRINTF(4, 5);

/* The same with the code and text of `err`. */
void nx_log_err(
	enum nx_log_level level, const char *module, const char *event, const struct nx_err *err);

struct nx_log_field {
	const char *name;
	const char *value; /* NULL: left out */
};
/* With members of its own behind the text. */
void nx_log_err_fields(enum nx_log_level level, const char *module, const char *event,
	const struct nx_err *err, const struct nx_log_field *fields, size_t n);

#endif
