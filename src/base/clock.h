/*
 * clock.h - time in microseconds.
 *
 * Layer:   0 (base).
 * Threads: safe.
 */
#ifndef NX_BASE_CLOCK_H
#define NX_BASE_CLOCK_H

#include <stdint.h>

int64_t nx_now_us(void);  /* since 1970-01-01 UTC; may jump */
int64_t nx_mono_us(void); /* for deadlines and durations; never goes back */

enum {
	NX_TIME_TEXT = 32
};

/* "2026-01-31T08:15:30.123456Z" (RFC 3339). */
void nx_time_format(int64_t us, char ret[NX_TIME_TEXT]);

enum {
	NX_DAY_TEXT = 9
};

/* "20260131": the day in UTC, as DICOM writes one. */
void nx_day_format(int64_t us, char ret[NX_DAY_TEXT]);

#endif
