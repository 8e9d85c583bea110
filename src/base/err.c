#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
	const char *wire;
	int http;
	unsigned dimse;
	bool retryable;
} codes[NX_E_COUNT_] = {
	[NX_OK] = {"ok", 200, 0x0000, false},
#define NX_ERROR(code, wire, http, dimse, retry) [code] = {wire, http, dimse, retry},
#include "base/errors.def"
#undef NX_ERROR
};

static const struct {
	int errnum;
	nx_rc rc;
} errnos[] = {
	{ENOMEM, NX_E_NOMEM},
	{ENOSPC, NX_E_NOSPACE},
	{EDQUOT, NX_E_NOSPACE},
	{ENOENT, NX_E_NOENT},
	{EEXIST, NX_E_EXISTS},
	{EACCES, NX_E_DENIED},
	{EPERM, NX_E_DENIED},
	{EROFS, NX_E_READONLY},
	{EAGAIN, NX_E_TIMEOUT},
	{ETIMEDOUT, NX_E_TIMEOUT},
	{EPIPE, NX_E_CLOSED},
	{ECONNRESET, NX_E_CLOSED},
	{EINVAL, NX_E_INVAL},
	{EBUSY, NX_E_BUSY},
};

nx_rc(nx_err_set)(struct nx_err *err, nx_rc rc, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return rc;
	err->rc = rc;
	err->errnum = 0;
	va_start(ap, fmt);
	(void)vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	return rc;
}

nx_rc(nx_err_errno)(struct nx_err *err, const char *fmt, ...)
{
	int errnum = errno;
	nx_rc rc = nx_rc_from_errno(errnum);
	char reason[64];
	va_list ap;
	size_t n;

	if (!err)
		return rc;
	err->rc = rc;
	err->errnum = errnum;
	va_start(ap, fmt);
	(void)vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	n = strlen(err->text);
	(void)snprintf(err->text + n, sizeof(err->text) - n, ": %s",
		strerror_r(errnum, reason, sizeof(reason)));
	return rc;
}

nx_rc(nx_err_prefix)(struct nx_err *err, nx_rc rc, const char *fmt, ...)
{
	char old[NX_ERR_TEXT_MAX];
	va_list ap;
	size_t n;

	if (!err)
		return rc;
	(void)snprintf(old, sizeof(old), "%s", nx_err_text(err));
	err->rc = rc;
	va_start(ap, fmt);
	(void)vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	n = strlen(err->text);
	(void)snprintf(err->text + n, sizeof(err->text) - n, ": %s", old);
	return rc;
}

const char *nx_err_text(const struct nx_err *err)
{
	return err->text[0] ? err->text : nx_rc_wire(err->rc);
}

nx_rc nx_rc_from_errno(int errnum)
{
	for (size_t i = 0; i < NX_ARRAY_LEN(errnos); i++)
		if (errnos[i].errnum == errnum)
			return errnos[i].rc;
	return NX_E_IO;
}

const char *nx_rc_wire(nx_rc rc)
{
	return rc < NX_E_COUNT_ ? codes[rc].wire : "unknown";
}

int nx_rc_http(nx_rc rc)
{
	return rc < NX_E_COUNT_ ? codes[rc].http : 500;
}

unsigned nx_rc_dimse(nx_rc rc)
{
	return rc < NX_E_COUNT_ ? codes[rc].dimse : 0x0110;
}

bool nx_rc_retryable(nx_rc rc)
{
	return rc < NX_E_COUNT_ && codes[rc].retryable;
}
