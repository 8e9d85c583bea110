#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"

enum {
	TEXT_MAX_LEN = 1024,
	LINE_MAX_LEN = 8192 /* a text of control characters grows sixfold */
};

static _Atomic int least_level = NX_LOG_INFO;

void nx_log_set_level(enum nx_log_level least)
{
	atomic_store(&least_level, (int)least);
}

static void line_write(enum nx_log_level level, const char *module, const char *event,
	const char *code, const char *text, const struct nx_log_field *fields, size_t n)
{
	static const char *const names[] = {"debug", "info", "warn", "error"};
	NX_AUTO_DONE(nx_buf) line;
	char when[NX_TIME_TEXT];
	struct nx_json json;
	ssize_t put;

	nx_time_format(nx_now_us(), when);
	nx_buf_init(&line, LINE_MAX_LEN, 0);
	nx_json_init(&json, &line);
	nx_json_object_begin(&json);
	nx_json_kv_str(&json, "time", when);
	nx_json_kv_str(&json, "level", names[level]);
	nx_json_kv_str(&json, "module", module);
	nx_json_kv_str(&json, "event", event);
	if (code)
		nx_json_kv_str(&json, "code", code);
	nx_json_kv_str(&json, "text", text);
	for (size_t i = 0; i < n; i++)
		if (fields[i].value)
			nx_json_kv_str(&json, fields[i].name, fields[i].value);
	nx_json_object_end(&json);
	nx_buf_put_u8(&line, '\n');
	put = write(STDERR_FILENO, line.data, line.len);
	(void)put; /* there is nowhere left to report it */
}

void nx_log(enum nx_log_level level, const char *module, const char *event, const char *fmt, ...)
{
	char text[TEXT_MAX_LEN];
	va_list ap;

	if ((int)level < atomic_load(&least_level))
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	line_write(level, module, event, NULL, text, NULL, 0);
}

void nx_log_err(
	enum nx_log_level level, const char *module, const char *event, const struct nx_err *err)
{
	nx_log_err_fields(level, module, event, err, NULL, 0);
}

void nx_log_err_fields(enum nx_log_level level, const char *module, const char *event,
	const struct nx_err *err, const struct nx_log_field *fields, size_t n)
{
	if ((int)level < atomic_load(&least_level))
		return;
	line_write(level, module, event, nx_rc_wire(err->rc), nx_err_text(err), fields, n);
}
