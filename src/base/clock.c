#include "base/clock.h"

#include <stdio.h>
#include <time.h>

static int64_t clock_us(clockid_t id)
{
	struct timespec ts;

	(void)clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t nx_now_us(void)
{
	return clock_us(CLOCK_REALTIME);
}

int64_t nx_mono_us(void)
{
	return clock_us(CLOCK_MONOTONIC);
}

void nx_time_format(int64_t us, char ret[NX_TIME_TEXT])
{
	time_t s = (time_t)(us / 1000000);
	int rest = (int)(us % 1000000);
	struct tm tm;
	size_t n;

	if (rest < 0) {
		rest += 1000000;
		s--;
	}
	(void)gmtime_r(&s, &tm);
	n = strftime(ret, NX_TIME_TEXT, "%Y-%m-%dT%H:%M:%S", &tm);
	(void)snprintf(ret + n, NX_TIME_TEXT - n, ".%06dZ", rest);
}

void nx_day_format(int64_t us, char ret[NX_DAY_TEXT])
{
	time_t s = (time_t)(us / 1000000);
	struct tm tm;

	(void)gmtime_r(&s, &tm);
	(void)strftime(ret, NX_DAY_TEXT, "%Y%m%d", &tm);
}
