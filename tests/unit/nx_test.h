/*
 * nx_test.h - cmocka with the headers it needs, and checks for our own types.  Include this, never
 * cmocka.h.
 */
#ifndef NX_TEST_H
#define NX_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* order matters: cmocka.h needs the four above */
#include <cmocka.h>

#include <stdio.h>

#include "base/err.h"

/* The code and, when it is another one, the text of `err_`. */
#define assert_rc_err(call, want, err_)                                            \
	do {                                                                       \
		nx_rc got_rc_ = (call);                                            \
		if (got_rc_ != (want)) {                                           \
			print_error("got %s (%s), want %s\n", nx_rc_wire(got_rc_), \
				nx_err_text(err_), nx_rc_wire(want));              \
			fail();                                                    \
		}                                                                  \
	} while (0)
#define assert_ok(call, err_) assert_rc_err(call, NX_OK, err_)
#define assert_rc(call, want) assert_int_equal((int)(call), (int)(want))

/* assert_int_equal() compares as unsigned long and takes -1 for UINT64_MAX: compare by kind
 * instead. */
#define assert_u64(a, b)                                                                           \
	do {                                                                                       \
		uint64_t a_ = (a), b_ = (b);                                                       \
		if (a_ != b_) {                                                                    \
			print_error(                                                               \
				"%llu != %llu\n", (unsigned long long)a_, (unsigned long long)b_); \
			fail();                                                                    \
		}                                                                                  \
	} while (0)
#define assert_i64(a, b)                                                             \
	do {                                                                         \
		int64_t a_ = (a), b_ = (b);                                          \
		if (a_ != b_) {                                                      \
			print_error("%lld != %lld\n", (long long)a_, (long long)b_); \
			fail();                                                      \
		}                                                                    \
	} while (0)

#endif
