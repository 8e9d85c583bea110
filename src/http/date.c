#include <string.h>
#include <time.h>

#include "http/http.h"

static const char form[] = "%a, %d %b %Y %H:%M:%S GMT";

void nx_http_date_format(int64_t us, char ret[NX_HTTP_DATE])
{
	time_t s = (time_t)(us / 1000000);
	struct tm tm;

	(void)gmtime_r(&s, &tm);
	if (!strftime(ret, NX_HTTP_DATE, form, &tm))
		ret[0] = '\0';
}

/* The two obsolete forms (RFC 850, asctime) count as none: what they are a condition of is sent. */
bool nx_http_date_parse(const char *text, int64_t *ret_us)
{
	struct tm tm = {0};
	const char *end = strptime(text, form, &tm);
	time_t s;

	if (!end || *end)
		return false;
	s = timegm(&tm);
	*ret_us = (int64_t)s * 1000000;
	return true;
}
